//! The snapshot: whatever the file has become, it is read without harm, the same in pieces of any length; and what was loaded from it is
//! saved and loaded again as it was. The bytes are tried as they are, and once more with checksums that hold.

#[allow(dead_code, reason = "this needs only a part of it")]
#[path = "../../support/snapshots.rs"]
pub(crate) mod snapshots;

use std::collections::HashMap;
use std::hash::Hasher;

use greylet::engine::greylist::Rules;
use greylet::engine::history::Counts;
use greylet::engine::limits::BLOCK_BYTES_MAX;
use greylet::engine::snapshot::Survey;
use greylet::engine::table::{Class, Entry};
use greylet::engine::triplet::Fingerprint;
use siphasher::sip::SipHasher24;
use snapshots::{
    FULL_WITH_PENDING, Loaded, START, at, hours, load_into, rounded, save, with_table,
};

const MAGIC: &[u8] = b"\xfagrl";
const HEADER_BYTES: usize = 12;

/// Entries that a table has room for, so that some have to give way.
const ENTRIES: u32 = 64;

/// What a snapshot comes to.
type Contents = (HashMap<Fingerprint, Entry>, Vec<(u32, Counts)>, u32);

fn contents(loaded: Loaded) -> Contents {
    let hours = hours(&loaded.history);
    (loaded.entries, hours, loaded.left_out)
}

/// The same bytes, with a checksum that holds for whatever looks like a block.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + HEADER_BYTES) {
        let length = HEADER_BYTES + usize::from(u16::from_le_bytes([header[10], header[11]]));
        let is_block = header.starts_with(MAGIC) && length <= BLOCK_BYTES_MAX;
        match bytes.get(at + 8..at + length) {
            Some(checked) if is_block => {
                let mut hash = SipHasher24::new_with_key(b"greylet snapshot");
                hash.write(checked);
                let checksum = (hash.finish() as u32).to_le_bytes();
                bytes[at + 4..at + 8].copy_from_slice(&checksum);
                at += length;
            }
            _ => at += 1,
        }
    }
    bytes
}

fn load_and_save(bytes: &[u8], now: u32, is_same_boot: bool) -> Option<(Contents, Vec<u8>)> {
    with_table(ENTRIES, |table| {
        let mut loaded = load_into(table, bytes, 65_536, now, is_same_boot).ok()?;
        let saved = save(FULL_WITH_PENDING, now, &[], table, &mut loaded.history);
        Some((contents(loaded), saved))
    })
}

fn check_as_it_is(bytes: &[u8]) {
    let mut survey = Survey::new();
    survey.feed(bytes);
    let latest = survey.finish().map_or(0, |found| found.latest.unix());
    let now = latest.max(START);
    let loaded = load_and_save(bytes, now, false);
    for piece_bytes in [1, 100] {
        let in_pieces = with_table(ENTRIES, |table| {
            load_into(table, bytes, piece_bytes, now, false).map(contents)
        });
        assert_eq!(in_pieces.ok(), loaded.clone().map(|(contents, _)| contents));
    }
    let Some((first, saved)) = loaded else {
        return;
    };
    let again = load_and_save(&saved, now, true).expect("what we save can be loaded");
    check_saved(&first, &again.0, now);
    let at_last = load_and_save(&again.1, now, true).expect("what we save can be loaded");
    check_saved(&again.0, &at_last.0, now);
}

/// What was saved is there, but for entries that are not worth it: too old, or pending for long. Of those whom somebody wrote to there may be more
/// than find room in the next table, if the file made others into them, which greylet never does.
fn check_saved(before: &Contents, after: &Contents, now: u32) {
    let (entries, hours, _) = before;
    let (entries_after, hours_after, left_out) = after;
    assert_eq!(hours_after, hours);
    assert!(entries_after.keys().all(|name| entries.contains_key(name)));
    let max_age = Rules::default().max_age;
    let mut missing = 0;
    for (name, entry) in entries {
        match entries_after.get(name) {
            Some(found) => assert_eq!(*found, rounded(*entry, now)),
            None if entry.class == Class::WroteTo && missing < *left_out => missing += 1,
            None => assert!(
                entry.class.is_pending() || at(now).since(entry.last_seen) > max_age,
                "{entry:?}"
            ),
        }
    }
    assert!(
        *left_out <= missing,
        "{left_out} were left out, and {missing} are missing"
    );
}

/// See the [module](self).
pub fn check(bytes: &[u8]) {
    check_as_it_is(bytes);
    check_as_it_is(&with_checksums(bytes));
}
