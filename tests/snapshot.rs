//! Snapshots: the bytes of version 1, what is saved and what is not, and what a damaged file is good for.

#[path = "support/snapshots.rs"]
mod snapshots;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Mutex;

use greylet::engine::greylist::Rules;
use greylet::engine::history::{History, OUTCOMES, Outcome};
use greylet::engine::limits::{HISTORY_HOURS, SAVED_PENDING_MAX};
use greylet::engine::snapshot::{Block, Blocks, Moment, Record, Unusable};
use greylet::engine::table::{Bucket, Class, Entry, Slot, Table};
use greylet::engine::time::{Seconds, Timestamp};
use greylet::engine::triplet::{Fingerprint, FingerprintKey};
use greylet::engine::verdict::{Action, AutoWhitelisted, Reason, Verdict};
use proptest::collection::vec;
use proptest::prelude::*;
use snapshots::{
    BATCH, DAY, FULL, FULL_WITH_PENDING, HOUR, KEY, Loaded, MINUTE, START, at, entries, entry,
    fingerprint, hours, load, load_in_pieces, load_into, moment, put, rounded, save, save_between,
    with_table,
};

fn verdict(reason: Reason) -> Verdict<'static> {
    Verdict {
        action: Action::Dunno,
        reason,
        repeated: false,
        identity: None,
        is_sender_folded: false,
        is_first_pass: false,
        auto_whitelisted: AutoWhitelisted::default(),
        evicted_young: false,
        is_data_missing: false,
    }
}

/// Three days of mail.
fn history() -> History {
    let mut history = History::new();
    for hour in 0..72 {
        for (reason, often) in [(Reason::New, hour), (Reason::TripletFound, 200)] {
            for _ in 0..often {
                history.count(&verdict(reason), at(START - (72 - hour) * HOUR));
            }
        }
    }
    history
}

/// 48 entries that have passed, in all classes, with counts and without.
fn fill(table: &mut Table<'_>) {
    for number in 0..48 {
        let class = [Class::Known, Class::WroteTo, Class::Proven][number as usize % 3];
        let last_seen = START - number * 17 * HOUR;
        let entry = entry(class, last_seen - number * 5 * DAY, last_seen);
        let count = if number % 4 == 0 { number * 100 } else { 0 };
        let count = count as u16;
        put(table, number.into(), Entry { count, ..entry });
    }
}

fn all_rounded(table: &Table<'_>, base: u32) -> HashMap<Fingerprint, Entry> {
    let entries = entries(table).into_iter();
    entries
        .map(|(fingerprint, entry)| (fingerprint, rounded(entry, base)))
        .collect()
}

fn usable(loaded: Result<Loaded, Unusable>) -> Loaded {
    loaded.unwrap_or_else(|unusable| panic!("{unusable:?}"))
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// A full save and a batch, byte by byte. They must stay readable for ever.
const VERSION_1: &str = "
    fa67726c 55b78d9d 01 00 1200  0100 7369787465656e2062797465206b6579
    fa67726c 7770972a 03 00 3e00  00f15365
        0102030405060708 52 43
        0200000000000000 831e 14
        0300000000000000 8c3c fc02 ac02
        0400000000000000 e030 0a
        0500000000000000 01 f09f05
    fa67726c 15779056 04 00 0d00  9c340700
        00 8104 03 c801
        02 04 01
    fa67726c fed6e825 02 00 3000
        00f15365 07f1536500000000 d204000000000000 7468697320626f6f742773206e616d65 c4f05365 b181fc80293fe387
    fa67726c 55b78d9d 01 00 1200  0100 7369787465656e2062797465206b6579

    fa67726c 9f4ea2f4 03 00 1700  10ff5365
        0200000000000000 07
        0400000000000000 02 00
    fa67726c 28ba62fb 04 00 0a00  9e340700
        00 04 01
        01 08 01
    fa67726c 03278661 02 00 3000
        10ff5365 17ff536500000000 d204000000000000 7468697320626f6f742773206e616d65 d4fe5365 b181fc80293fe387
";

#[test]
fn version_1() {
    let name = Fingerprint::from_bits;
    let first = name(0x0807_0605_0403_0201);
    let proven = entry(Class::Proven, START - 400 * DAY, START - 20 * DAY);
    let proven = Entry {
        count: 300,
        ..proven
    };
    let mut bytes = Vec::new();
    with_table(64, |table| {
        for (name, entry) in [
            (
                first,
                entry(Class::Known, START - 3 * DAY, START - 5 * HOUR),
            ),
            (
                name(2),
                entry(Class::WroteTo, START - 30 * DAY, START - 10 * DAY),
            ),
            (name(3), proven),
            (name(4), entry(Class::Plain, START - 400, START - 390)),
            (name(5), entry(Class::Named, START - 86_000, START)),
        ] {
            table.insert(name, entry, |_| false);
        }
        let mut history = History::new();
        let first_pass = Verdict {
            is_first_pass: true,
            ..verdict(Reason::TripletFound)
        };
        (0..3).for_each(|_| history.count(&verdict(Reason::New), at(START - 2 * HOUR)));
        (0..200).for_each(|_| history.count(&verdict(Reason::Outgoing), at(START - 2 * HOUR)));
        history.count(&first_pass, at(START));
        bytes.extend(save(FULL_WITH_PENDING, START, &[], table, &mut history));
        table.remove(table.find(name(2)).expect("it is there"));
        let place = table.find(name(4)).expect("it is there");
        let passed = START + HOUR - MINUTE;
        table.update(place, entry(Class::Known, passed, passed));
        history.count(&verdict(Reason::TripletFound), at(START + HOUR));
        bytes.extend(save(BATCH, START + HOUR, &[name(2)], table, &mut history));
    });
    assert_eq!(bytes, hex(VERSION_1));

    let loaded = usable(load(&bytes, START + HOUR));
    let with_key = |key: &FingerprintKey| key.writer(b"u@r.example");
    assert_eq!(with_key(&loaded.found.key), with_key(&KEY));
    assert_eq!(loaded.found.moment, Some(moment(START + HOUR)));
    assert_eq!(loaded.found.latest, at(START + HOUR));
    // 22:13:20 in the hour, and in the day, of the start.
    let hour = START - 800;
    let expected = HashMap::from([
        (first, entry(Class::Known, hour - 3 * DAY, hour - 5 * HOUR)),
        (
            name(3),
            Entry {
                since: at((START - 400 * DAY) / DAY * DAY),
                last_seen: at(hour - 20 * DAY),
                ..proven
            },
        ),
        (name(4), entry(Class::Known, hour + HOUR, hour + HOUR)),
        (name(5), entry(Class::Named, START - 86_000, START)),
    ]);
    assert_eq!(loaded.entries, expected);
    let count = |outcomes: &[(Outcome, u32)]| {
        let mut counts = [0; OUTCOMES];
        for &(outcome, count) in outcomes {
            counts[outcome as usize] = count;
        }
        counts
    };
    let now = START / HOUR;
    assert_eq!(
        hours(&loaded.history),
        [
            (now - 2, count(&[(Outcome::New, 3), (Outcome::Own, 200)])),
            (now, count(&[(Outcome::FirstPass, 1)])),
            (now + 1, count(&[(Outcome::Known, 1)])),
        ]
    );
}

#[test]
fn what_is_loaded_and_saved_again_stays_as_it_is() {
    with_table(256, |table| {
        // A save leaves out what is older than that.
        table.set_max_age(Seconds::FOREVER);
        fill(table);
        for number in 100..140 {
            let class = [Class::Plain, Class::Named][number as usize % 2];
            let first_seen = START - number * 600;
            put(
                table,
                number.into(),
                entry(class, first_seen, first_seen + number),
            );
        }
        for number in 140..160 {
            let last_seen = START - (number - 139) * DAY;
            put(
                table,
                number.into(),
                entry(Class::Known, last_seen, last_seen),
            );
        }
        let expected = all_rounded(table, START);
        let mut history = history();
        let bytes = save(FULL_WITH_PENDING, START, &[], table, &mut history);
        with_table(256, |again| {
            again.set_max_age(Seconds::FOREVER);
            let loaded = usable(load_into(again, &bytes, 65_536, START, true));
            assert_eq!(loaded.entries, expected);
            assert_eq!(hours(&loaded.history), hours(&history));
            assert_eq!(hours(&loaded.history).len(), 72);
            assert_eq!(
                save(FULL_WITH_PENDING, START, &[], again, &mut history),
                bytes
            );
            // Ages are others later, and times the same.
            let later = START + 5 * DAY + 1_234;
            let later_bytes = save(FULL, later, &[], again, &mut history);
            let passed = |entries: HashMap<_, Entry>| {
                let mut passed: Vec<_> = entries.into_iter().collect();
                passed.retain(|(_, entry)| !entry.class.is_pending());
                passed.into_iter().collect::<HashMap<_, _>>()
            };
            let loaded = usable(load(&later_bytes, later));
            assert_eq!(loaded.entries, passed(expected));
        });
    });
}

#[test]
fn a_save_is_due_when_something_is_worth_it() {
    with_table(64, |table| {
        let mut history = History::new();
        let mut saved = |table: &mut Table<'_>, now| {
            let changes = table.changes();
            let bytes = save(BATCH, now, &[], table, &mut history);
            let records = load(&[save_head(), bytes].concat(), now).map(|it| it.entries.len());
            assert_eq!(records, Ok(changes as usize));
            assert_eq!(table.changes(), 0);
            changes
        };
        let write = |table: &mut Table<'_>, class, since, last_seen, count| {
            let entry = entry(class, since, last_seen);
            put(table, 1, Entry { count, ..entry });
        };
        write(table, Class::Plain, START, START, 0);
        write(table, Class::Named, START, START + 5, 0);
        assert_eq!(saved(table, START + 5), 0, "pending");
        let passed = START + 300;
        write(table, Class::Known, passed, passed, 0);
        assert_eq!(saved(table, passed), 1, "passed");
        for (days, is_due) in [(1, 0), (3, 0), (4, 1), (5, 0), (7, 0), (8, 1), (100, 1)] {
            let now = START / DAY * DAY + days * DAY;
            write(table, Class::Known, passed, now, 0);
            assert_eq!(saved(table, now), is_due, "used after {days} days");
        }
        // 254 days are as none for the mark.
        let now = START + 354 * DAY;
        write(table, Class::Known, passed, now, 0);
        assert_eq!(saved(table, now), 1, "used after a long time");
        write(table, Class::Known, passed, now, 1);
        assert_eq!(saved(table, now), 1, "counted");
        write(table, Class::Proven, passed, now, 5);
        assert_eq!(saved(table, now), 1, "proven");
        write(table, Class::Proven, passed, now, 6);
        assert_eq!(saved(table, now), 0, "counted when it does not matter");
        write(table, Class::Known, now, now, 0);
        write(table, Class::Plain, now, now, 0);
        assert_eq!(table.changes(), 0, "pending again");
        write(table, Class::Known, now, now, 0);
        assert_eq!(table.changes(), 1);
        table.remove(table.find(fingerprint(1)).expect("it is there"));
        assert_eq!(table.changes(), 0, "gone");
    });
}

/// The beginning of a snapshot, without which a batch is worth nothing.
fn save_head() -> Vec<u8> {
    with_table(64, |table| {
        save(FULL, START, &[], table, &mut History::new())
    })
}

#[test]
fn an_evicted_change_is_none() {
    with_table(64, |table| {
        for number in 0..200 {
            put(table, number, entry(Class::Known, START, START));
        }
        assert_eq!(table.changes(), 64);
    });
}

#[test]
fn a_batch_has_the_hours_since_the_last_save() {
    with_table(64, |table| {
        let mut history = history();
        let full = save(FULL, START - HOUR, &[], table, &mut history);
        history.count(&verdict(Reason::New), at(START));
        history.count(&verdict(Reason::New), at(START + HOUR));
        let batch = save(BATCH, START + HOUR, &[], table, &mut history);
        let alone = usable(load(&[save_head(), batch.clone()].concat(), START + HOUR));
        let numbers: Vec<_> = hours(&alone.history)
            .iter()
            .map(|(hour, _)| *hour)
            .collect();
        let now = START / HOUR;
        assert_eq!(numbers, [now - 1, now, now + 1]);
        let mut both = usable(load(&[full, batch].concat(), START + HOUR));
        assert_eq!(hours(&both.history), hours(&history));
        let next = save(BATCH, START + HOUR, &[], table, &mut both.history);
        let next = usable(load(&[save_head(), next].concat(), START + HOUR));
        assert_eq!(hours(&next.history).len(), 1, "loaded ones are saved");
    });
}

/// More than one block of them.
#[test]
fn busy_hours_are_saved() {
    with_table(64, |table| {
        let mut history = History::new();
        let reasons = [
            Reason::New,
            Reason::EarlyRetry,
            Reason::TripletFound,
            Reason::ClientAutoWhitelisted,
            Reason::WrittenTo,
            Reason::MailServer,
            Reason::ClientListed,
            Reason::RecipientListed,
            Reason::LocalClient,
            Reason::NullSender,
            Reason::UnknownRequest,
        ];
        for hour in 0..2 * HISTORY_HOURS as u32 {
            for _ in 0..150 {
                for reason in reasons {
                    history.count(&verdict(reason), at(START + hour * HOUR));
                }
            }
        }
        let now = START + (2 * HISTORY_HOURS as u32 - 1) * HOUR;
        let bytes = save(FULL, now, &[], table, &mut history);
        let loaded = usable(load(&bytes, now));
        assert_eq!(loaded.found.condition.blocks, 5, "two of counters");
        assert_eq!(hours(&loaded.history).len(), HISTORY_HOURS);
        assert_eq!(hours(&loaded.history), hours(&history));
        // And none from the future.
        let earlier = usable(load(&bytes, now - 10 * HOUR));
        assert_eq!(hours(&earlier.history).len(), HISTORY_HOURS - 10);
    });
}

#[test]
fn pending_entries_of_another_boot_keep_their_age() {
    let bytes = with_table(64, |table| {
        put(table, 1, entry(Class::Plain, START - 200, START - 100));
        put(table, 2, entry(Class::Known, START - 200, START - 100));
        // Left out: too old at the save.
        put(table, 3, entry(Class::Named, START - DAY - 1, START));
        save(FULL_WITH_PENDING, START, &[], table, &mut History::new())
    });
    let later = START + DAY;
    let load = |now, is_same_boot| {
        let load = |table: &mut Table<'_>| load_into(table, &bytes, 4_096, now, is_same_boot);
        usable(with_table(64, load)).entries
    };
    let known = rounded(entry(Class::Known, START - 200, START - 100), START);
    let with_known = |pending| HashMap::from([(fingerprint(1), pending), (fingerprint(2), known)]);
    assert_eq!(
        load(later, false),
        with_known(entry(Class::Plain, later - 200, later - 100))
    );
    assert_eq!(
        load(later, true),
        with_known(entry(Class::Plain, START - 200, START - 100))
    );
    let retry_window = Rules::default().retry_window.get();
    assert_eq!(load(START - 200 + retry_window, true).len(), 2);
    assert_eq!(load(START - 200 + retry_window + 1, true).len(), 1);
    assert_eq!(load(START + 100 * DAY, false).len(), 2);
}

#[test]
fn nothing_comes_from_the_future() {
    let bytes = with_table(64, |table| {
        put(table, 1, entry(Class::Known, START, START + DAY));
        put(table, 2, entry(Class::Plain, START, START));
        save(FULL_WITH_PENDING, START, &[], table, &mut History::new())
    });
    let now = START - 10 * DAY;
    let expected = [
        (fingerprint(1), entry(Class::Known, now, now)),
        (fingerprint(2), entry(Class::Plain, now, now)),
    ];
    assert_eq!(usable(load(&bytes, now)).entries, HashMap::from(expected));
}

/// So many that were seen at the same time as the first for which there is no room are left out.
#[test]
fn the_newest_pending_entries_are_saved_and_named_ones_first() {
    const CAPACITY: usize = 32_768;
    type Memory = (heapless::Vec<Slot, CAPACITY>, [Bucket; CAPACITY]);
    static MEMORY: Mutex<Memory> = Mutex::new((heapless::Vec::new(), [Bucket::EMPTY; CAPACITY]));
    let mut memory = MEMORY.lock().expect("nobody else has it");
    let (slots, buckets) = &mut *memory;
    let mut table = Table::new(slots, buckets, CAPACITY as u32);
    for number in 0..10_000 {
        let seen = START + number;
        put(&mut table, number.into(), entry(Class::Plain, seen, seen));
        if number < 1_000 {
            let named = entry(Class::Named, seen, seen);
            put(&mut table, 1_000_000 + u64::from(number), named);
        }
    }
    let now = START + 10_000;
    let count = |bytes: &[u8], class| {
        let mut bytes = bytes;
        let (mut blocks, mut numbers) = (Blocks::new(), Vec::new());
        while let Some(block) = blocks.next(&mut bytes, true) {
            let Block::Entries(records) = block else {
                continue;
            };
            for record in records {
                match record {
                    Record::Entry(_, entry) if entry.class == class => {
                        numbers.push(entry.since.unix() - START);
                    }
                    _ => {}
                }
            }
        }
        numbers
    };
    let bytes = save(FULL_WITH_PENDING, now, &[], &mut table, &mut History::new());
    assert_eq!(count(&bytes, Class::Named), (0..1_000).collect::<Vec<_>>());
    let plain_max = SAVED_PENDING_MAX as u32 - 1_000;
    assert_eq!(
        count(&bytes, Class::Plain),
        (10_000 - plain_max..10_000).collect::<Vec<_>>()
    );
    let bytes = save(FULL, now, &[], &mut table, &mut History::new());
    assert_eq!(count(&bytes, Class::Plain), [0; 0]);
}

#[test]
fn an_empty_table_has_a_time() {
    let found = usable(load(&save_head(), START)).found;
    assert_eq!(
        (found.moment, found.latest),
        (Some(moment(START)), at(START))
    );
}

#[test]
fn a_file_that_is_none_is_told_apart() {
    let bytes = small_snapshot();
    let why = |bytes: &[u8]| load(bytes, START).err();
    assert_eq!(why(b""), Some(Unusable::Empty));
    assert_eq!(why(b"\0"), Some(Unusable::Foreign));
    assert_eq!(why(&[0; 100_000]), Some(Unusable::Foreign));
    assert_eq!(why(&b"\xfagrl".repeat(10_000)), Some(Unusable::Foreign));
    assert_eq!(why(&bytes[..20]), Some(Unusable::Foreign));
    let blocks = block_ranges(&bytes);
    let without_heads = &bytes[blocks[1].end..blocks[2].end];
    assert_eq!(why(without_heads), Some(Unusable::KeyLost));
    // A head of version 2, and something that follows.
    let mut version_2 = hex("fa67726c 00000000 01 00 0300 0200 ff");
    seal(&mut version_2);
    version_2.extend(bytes);
    assert_eq!(why(&version_2), Some(Unusable::OtherVersion(2)));
}

/// What a later greylet of this version might write is passed over.
#[test]
fn unknown_kinds_and_longer_content_are_passed_over() {
    let bytes = small_snapshot();
    let mut unknown = hex("fa67726c 00000000 63 00 0300 010203");
    seal(&mut unknown);
    let blocks = block_ranges(&bytes);
    let mut longer = bytes[blocks[0].clone()].to_vec();
    longer.extend([1, 2, 3]);
    longer[10] += 3;
    seal(&mut longer);
    let with_both = [&longer, &unknown, &bytes[blocks[0].end..]].concat();
    let loaded = usable(load(&with_both, START + DAY));
    assert_eq!(loaded.entries, usable(load(&bytes, START + DAY)).entries);
    assert_eq!(loaded.found.condition.gaps, 0);
}

/// Puts the right checksum on a block.
fn seal(block: &mut [u8]) {
    use std::hash::Hasher;
    let mut hash = siphasher::sip::SipHasher24::new_with_key(b"greylet snapshot");
    hash.write(&block[8..]);
    block[4..8].copy_from_slice(&(hash.finish() as u32).to_le_bytes());
}

/// 48 entries, 12 changed and 16 more in a first batch, and a second one that removes one and changes others.
fn small_snapshot() -> Vec<u8> {
    with_table(256, |table| {
        fill(table);
        let mut history = history();
        let mut bytes = save(FULL, START, &[], table, &mut history);
        for number in 36..64 {
            put(table, number, entry(Class::Known, START, START + 60));
        }
        history.count(&verdict(Reason::New), at(START + HOUR));
        bytes.extend(save(BATCH, START + HOUR, &[], table, &mut history));
        for number in 30..40 {
            put(table, number, entry(Class::Proven, START, START + DAY));
        }
        table.remove(table.find(fingerprint(50)).expect("it is there"));
        let forgotten = [fingerprint(50)];
        bytes.extend(save(BATCH, START + DAY, &forgotten, table, &mut history));
        bytes
    })
}

/// Where the blocks of a whole snapshot are, by their lengths alone.
fn block_ranges(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut from = 0;
    while from < bytes.len() {
        let length = u16::from_le_bytes([bytes[from + 10], bytes[from + 11]]);
        ranges.push(from..from + 12 + usize::from(length));
        from += 12 + usize::from(length);
    }
    ranges
}

/// What loading these blocks comes to, as a map.
fn replay<'b>(blocks: impl Iterator<Item = &'b [u8]>) -> HashMap<Fingerprint, Entry> {
    let mut entries = HashMap::new();
    for mut bytes in blocks {
        let mut reader = Blocks::new();
        let Some(Block::Entries(records)) = reader.next(&mut bytes, true) else {
            continue;
        };
        for record in records {
            match record {
                Record::Entry(fingerprint, entry) => entries.insert(fingerprint, entry),
                Record::Removed(fingerprint) => entries.remove(&fingerprint),
            };
        }
    }
    entries
}

/// The last moment, and the latest time of all.
fn times<'b>(blocks: impl Iterator<Item = &'b [u8]>) -> (Option<Moment>, Timestamp) {
    let (mut last, mut latest) = (None, Timestamp::default());
    for mut bytes in blocks {
        match Blocks::new().next(&mut bytes, true) {
            Some(Block::Moment(moment)) => {
                last = Some(moment);
                latest = latest.max(moment.logical);
            }
            Some(Block::Entries(records)) => latest = latest.max(records.base()),
            _ => {}
        }
    }
    (last, latest)
}

#[test]
fn later_records_win() {
    let bytes = small_snapshot();
    let loaded = usable(load(&bytes, START + DAY));
    assert_eq!(loaded.entries.len(), 63);
    assert_eq!(loaded.entries.get(&fingerprint(50)), None);
    let class = |number| loaded.entries[&fingerprint(number)].class;
    assert_eq!(class(29), Class::Proven);
    assert_eq!(class(30), Class::Proven);
    assert_eq!(class(41), Class::Known);
    assert_eq!(loaded.left_out, 0);
    let ranges = block_ranges(&bytes);
    let blocks = ranges.iter().map(|range| &bytes[range.clone()]);
    assert_eq!(loaded.entries, replay(blocks));
}

#[test]
fn cut_anywhere_the_whole_blocks_count() {
    let bytes = small_snapshot();
    let ranges = block_ranges(&bytes);
    for cut in 0..=bytes.len() {
        let whole = ranges.iter().take_while(|range| range.end <= cut);
        let blocks: Vec<_> = whole.map(|range| &bytes[range.clone()]).collect();
        match load(&bytes[..cut], START + DAY) {
            Err(Unusable::Empty) => assert_eq!(cut, 0),
            Err(unusable) => {
                assert_eq!(unusable, Unusable::Foreign);
                assert!(blocks.is_empty(), "cut at {cut}");
            }
            Ok(loaded) => {
                let whole_bytes = blocks.iter().map(|block| block.len() as u64).sum();
                assert_eq!(loaded.found.condition.whole_bytes, whole_bytes);
                assert_eq!(loaded.found.condition.bytes, cut as u64);
                assert_eq!(loaded.found.condition.gaps, 0, "only the tail is torn");
                assert_eq!(loaded.found.condition.blocks as usize, blocks.len());
                assert_eq!(loaded.entries, replay(blocks.into_iter()), "cut at {cut}");
            }
        }
    }
}

#[test]
fn a_flipped_bit_costs_its_block() {
    let mut bytes = small_snapshot();
    let ranges = block_ranges(&bytes);
    let last = ranges.len() - 1;
    for bit in 0..8 * bytes.len() {
        let byte = bit / 8;
        bytes[byte] ^= 1 << (bit % 8);
        let hit = ranges.iter().position(|range| range.contains(&byte));
        let hit = hit.expect("every byte is in a block");
        let others = ranges.iter().enumerate().filter(|(index, _)| *index != hit);
        let others = others.map(|(_, range)| &bytes[range.clone()]);
        let loaded = usable(load(&bytes, START + DAY));
        let found = &loaded.found;
        assert_eq!((found.moment, found.latest), times(others.clone()));
        assert_eq!(loaded.entries, replay(others), "bit {bit}");
        let blocks = &loaded.found.condition;
        let first_gap = (hit != last).then_some(ranges[hit].start as u64);
        assert_eq!(blocks.first_gap, first_gap, "bit {bit}");
        assert_eq!(blocks.gaps, u32::from(hit != last));
        let end = if hit == last { last - 1 } else { last };
        assert_eq!(blocks.whole_bytes, ranges[end].end as u64);
        assert_eq!(blocks.bytes, bytes.len() as u64);
        bytes[byte] ^= 1 << (bit % 8);
    }
}

#[test]
fn whatever_is_between_blocks_is_passed_over() {
    let bytes = small_snapshot();
    let expected = usable(load(&bytes, START + DAY)).entries;
    let end = block_ranges(&bytes)[1].end;
    for garbage in [
        vec![0; 10_000],
        vec![0xfa; 10_000],
        b"\xfagrl".repeat(3),
        bytes[..20].to_vec(),
        bytes[end - 30..end].to_vec(),
        // It says that it is longer than all that follows.
        hex("fa67726c 00000000 03 00 f40f"),
        // And longer than a block can be.
        hex("fa67726c 00000000 03 00 ffff"),
    ] {
        let with_garbage = [&bytes[..end], &garbage, &bytes[end..]].concat();
        let loaded = usable(load(&with_garbage, START + DAY));
        assert_eq!(loaded.entries, expected);
        let blocks = &loaded.found.condition;
        assert_eq!((blocks.gaps, blocks.first_gap), (1, Some(end as u64)));
        assert_eq!(blocks.whole_bytes, with_garbage.len() as u64);
    }
}

#[test]
fn pieces_of_any_size_make_the_same_file() {
    let mut bytes = small_snapshot();
    let byte = block_ranges(&bytes)[4].start + 11;
    bytes[byte] ^= 1;
    let expected = usable(load(&bytes, START + DAY));
    for piece in [1, 2, 7, 13, 100, 1_000] {
        let loaded = usable(load_in_pieces(&bytes, piece, START + DAY));
        assert_eq!(loaded.entries, expected.entries, "pieces of {piece}");
        assert_eq!(hours(&loaded.history), hours(&expected.history));
        let (ours, theirs) = (&loaded.found.condition, &expected.found.condition);
        assert_eq!(ours.first_gap, theirs.first_gap);
        assert_eq!(ours.whole_bytes, theirs.whole_bytes);
    }
}

#[test]
fn a_smaller_table_takes_what_is_worth_most() {
    // In no order, and the newest first.
    for step in [389, 1] {
        take_what_is_worth_most(step);
    }
}

fn take_what_is_worth_most(step: u32) {
    let bytes = with_table(1_024, |table| {
        for number in 0..960_u32 {
            let class = [Class::Known, Class::Known, Class::Proven][number as usize % 3];
            let last_seen = START - (number * step % 800) * HOUR;
            put(table, number.into(), entry(class, last_seen, last_seen));
        }
        save(FULL, START, &[], table, &mut History::new())
    });
    let all = usable(load(&bytes, START)).entries;
    let loaded = with_table(512, |table| {
        usable(load_into(table, &bytes, 65_536, START, true))
    });
    assert_eq!(loaded.entries.len(), 512);
    assert_eq!(loaded.left_out, 960 - 512);
    for (class, kept_max) in [(Class::Proven, 320), (Class::Known, 512 - 320)] {
        let mut best: Vec<_> = all
            .iter()
            .filter(|(_, entry)| entry.class == class)
            .collect();
        best.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.last_seen));
        best.truncate(kept_max);
        let kept = best
            .iter()
            .filter(|(name, _)| loaded.entries.contains_key(name));
        let kept = kept.count();
        assert!(kept >= kept_max - 512 / 16, "{kept} of the best {class:?}");
    }
}

#[test]
fn what_is_expired_pushes_out_nobody() {
    let bytes = with_table(256, |table| {
        // Of a greylet with a longer --max-age.
        table.set_max_age(Seconds::FOREVER);
        for number in 0..100 {
            let unused = if number < 64 { 0 } else { 36 * DAY };
            let class = [Class::Known, Class::Proven][usize::from(number >= 64)];
            put(table, number, entry(class, START - unused, START - unused));
        }
        save(FULL, START, &[], table, &mut History::new())
    });
    with_table(64, |table| {
        assert_eq!(
            usable(load_into(table, &bytes, 512, START, true)).left_out,
            36
        );
        assert_eq!(table.len_of(Class::Known), 64);
    });
}

/// As in a table that runs, the floor of a class keeps a better one from taking all, and what is expired goes first.
#[test]
fn a_smaller_table_keeps_its_floors() {
    let bytes = with_table(1_024, |table| {
        for number in 0..1_000_u32 {
            let class = [Class::Known, Class::Proven][usize::from(number >= 300)];
            put(
                table,
                number.into(),
                entry(class, START - number, START - number),
            );
        }
        save(FULL, START, &[], table, &mut History::new())
    });
    let load_at = |now| {
        with_table(64, |table| {
            usable(load_into(table, &bytes, 65_536, now, true));
            Class::ALL.map(|class| table.len_of(class))
        })
    };
    assert_eq!(load_at(START), [0, 0, 16, 0, 48]);
    let all_expired = Rules::default().max_age.get() + DAY;
    assert_eq!(load_at(START + all_expired).iter().sum::<u32>(), 64);
}

/// What is done to a table that is saved now and then.
#[derive(Clone, Debug)]
enum Step {
    Put(u64, Entry),
    Remove(u64),
    Save,
}

fn an_entry() -> impl Strategy<Value = Entry> {
    let class = prop::sample::select(Class::ALL.to_vec());
    (0..40 * DAY, 0..35 * DAY, any::<u16>(), class).prop_map(|(life, unused, count, class)| {
        let last_seen = START - unused;
        let count = if class.is_pending() { 0 } else { count };
        Entry {
            count,
            ..entry(class, last_seen - life, last_seen)
        }
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0..100_u64, an_entry()).prop_map(|(name, entry)| Step::Put(name, entry)),
        1 => (0..100_u64).prop_map(Step::Remove),
        1 => Just(Step::Save),
    ];
    vec(step, 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// A full save and batches come to all that has passed and not been removed.
    #[test]
    fn batches_add_up(steps in steps()) {
        with_table(1_024, |table| -> Result<(), TestCaseError> {
            let mut history = History::new();
            let mut bytes = save(FULL, START, &[], table, &mut history);
            let mut removed = Vec::new();
            for step in steps.iter().chain([&Step::Save]) {
                match step {
                    Step::Put(name, entry) => put(table, *name, *entry),
                    Step::Remove(name) => {
                        if let Some(place) = table.find(fingerprint(*name)) {
                            table.remove(place);
                            removed.push(fingerprint(*name));
                        }
                    }
                    Step::Save => {
                        bytes.extend(save(BATCH, START, &removed, table, &mut history));
                        removed.clear();
                        prop_assert_eq!(table.changes(), 0);
                    }
                }
            }
            let loaded = usable(load(&bytes, START)).entries;
            let days = |entry: &Entry| entry.last_seen.unix() / DAY;
            let passed = |entry: &Entry| !entry.class.is_pending();
            let mut expected = all_rounded(table, START);
            expected.retain(|_, entry| passed(entry));
            for (name, entry) in &expected {
                let Some(saved) = loaded.get(name) else {
                    return Err(TestCaseError::fail(format!("{entry:?} is missing")));
                };
                // What is not worth a write may be older.
                prop_assert!(days(saved).abs_diff(days(entry)) < 4);
                let is_counting = entry.class != Class::Proven;
                let like_saved = Entry {
                    last_seen: saved.last_seen,
                    count: if is_counting { entry.count } else { saved.count },
                    ..*entry
                };
                prop_assert_eq!(like_saved.class, saved.class);
                prop_assert_eq!(like_saved.count, saved.count);
            }
            // A pending entry may hide one that had passed, and has since expired.
            for name in loaded.keys() {
                prop_assert!(table.find(*name).is_some(), "it was removed");
            }
            let bytes = save(FULL, START, &[], table, &mut history);
            prop_assert_eq!(usable(load(&bytes, START)).entries, expected);
            Ok(())
        })?;
    }

    /// Requests between the steps of a save: each entry is saved as it was at some time, and the next batch has the rest.
    #[test]
    fn a_save_does_not_stop_requests(changes in vec((0..700_u64, an_entry()), 1..40)) {
        with_table(1_024, |table| -> Result<(), TestCaseError> {
            let mut history = History::new();
            let mut versions: HashMap<Fingerprint, Vec<Entry>> = HashMap::new();
            let mut put = |table: &mut Table<'_>, number, entry| {
                put(table, number, entry);
                versions.entry(fingerprint(number)).or_default().push(rounded(entry, START));
            };
            for number in 0..700 {
                put(table, number, entry(Class::Known, START, START));
            }
            let mut changes = changes.into_iter();
            let mut bytes = save_between(FULL, START, &[], table, &mut history, |table| {
                for (number, entry) in changes.by_ref().take(10) {
                    put(table, number, entry);
                }
            });
            let loaded = usable(load(&bytes, START)).entries;
            for (name, entry) in &loaded {
                prop_assert!(versions[name].contains(entry));
            }
            bytes.extend(save(BATCH, START, &[], table, &mut history));
            let loaded = usable(load(&bytes, START)).entries;
            for (name, entry) in all_rounded(table, START) {
                if !entry.class.is_pending() {
                    prop_assert_eq!(loaded[&name].class, entry.class);
                }
            }
            Ok(())
        })?;
    }
}

const CAPACITY: usize = 65_536;

/// More than a stack holds.
static MEMORY: Mutex<[Memory; 2]> = Mutex::new([const { Memory::NEW }; 2]);

struct Memory {
    slots: heapless::Vec<Slot, CAPACITY>,
    buckets: [Bucket; CAPACITY],
}

impl Memory {
    const NEW: Memory = Memory {
        slots: heapless::Vec::new(),
        buckets: [Bucket::EMPTY; CAPACITY],
    };

    fn table(&mut self) -> Table<'_> {
        self.slots.clear();
        self.buckets.fill(Bucket::EMPTY);
        Table::new(&mut self.slots, &mut self.buckets, CAPACITY as u32)
    }
}

/// The same numbers in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u32) -> u32 {
        self.0 += 1;
        (fingerprint(self.0).bits() % u64::from(end)) as u32
    }
}

/// A table as a gateway of some years might have it: two thirds of its triplets known, many of them never seen again, a quarter
/// proven for up to three years, some counts, some correspondents.
fn fill_like_a_gateway(table: &mut Table<'_>) {
    let mut numbers = Numbers(1 << 32);
    for number in 0..CAPACITY as u64 {
        let unused = numbers.below(35 * DAY);
        let last_seen = START - unused;
        let once = numbers.below(2) == 0;
        let entry = match numbers.below(100) {
            0..60 if once => entry(Class::Known, last_seen, last_seen),
            0..60 => entry(Class::Known, last_seen - numbers.below(DAY), last_seen),
            60..85 => entry(
                Class::Proven,
                last_seen - numbers.below(1_000 * DAY),
                last_seen,
            ),
            85..90 => entry(
                Class::WroteTo,
                last_seen - numbers.below(400 * DAY),
                last_seen,
            ),
            90..95 => Entry {
                count: 1 + numbers.below(4) as u16,
                ..entry(Class::Known, last_seen - numbers.below(10 * DAY), last_seen)
            },
            _ => Entry {
                count: 5 + numbers.below(1_000) as u16,
                ..entry(
                    Class::Proven,
                    last_seen - numbers.below(1_000 * DAY),
                    last_seen,
                )
            },
        };
        put(table, number, entry);
    }
}

#[test]
fn a_full_table_takes_twelve_bytes_an_entry_and_survives_damage() {
    let mut memory = MEMORY.lock().expect("nobody else has it");
    let [first, second] = &mut *memory;
    let mut table = first.table();
    fill_like_a_gateway(&mut table);
    let bytes = save(FULL, START, &[], &mut table, &mut history());
    let each = bytes.len() as f64 / f64::from(table.len());
    println!(
        "{} entries, {} bytes: {each:.2} each",
        table.len(),
        bytes.len()
    );
    assert!(each <= 12.0, "{each:.2} bytes for each entry");

    let saved = all_rounded(&table, START);
    let mut load =
        |bytes: &[u8]| usable(load_into(&mut second.table(), bytes, 65_536, START, true));
    assert_eq!(load(&bytes).entries, saved);
    let mut numbers = Numbers(2 << 32);
    let entries_of_a_block = 4_096 / 10;
    for _ in 0..8 {
        let cut = 100 + numbers.below(bytes.len() as u32 - 100) as usize;
        let loaded = load(&bytes[..cut]);
        assert!(is_part(&loaded.entries, &saved), "cut at {cut}");
        assert!(cut as u64 - loaded.found.condition.whole_bytes < 4_096);
        let mut flipped = bytes.clone();
        let bit = numbers.below(8 * bytes.len() as u32) as usize;
        flipped[bit / 8] ^= 1 << (bit % 8);
        let loaded = load(&flipped);
        assert!(is_part(&loaded.entries, &saved), "bit {bit}");
        assert!(loaded.entries.len() >= saved.len() - entries_of_a_block);
    }
}

fn is_part(part: &HashMap<Fingerprint, Entry>, whole: &HashMap<Fingerprint, Entry>) -> bool {
    part.iter()
        .all(|(name, entry)| whole.get(name) == Some(entry))
}
