//! Tables that are saved to bytes and loaded from them.

use std::collections::HashMap;

use greylet::engine::greylist::Rules;
use greylet::engine::history::{Counts, History};
use greylet::engine::limits::{BLOCK_BYTES_MAX, FORGOTTEN_MAX};
use greylet::engine::orders::Orders;
use greylet::engine::snapshot::{
    Contents, Encoder, Extent, Found, Loader, Moment, Save, Step, Survey, Unusable,
};
use greylet::engine::table::{Bucket, Class, Entry, Slot, Table};
use greylet::engine::time::Timestamp;
use greylet::engine::triplet::{Fingerprint, FingerprintKey};

pub(crate) const START: u32 = 1_700_000_000;
pub(crate) const MINUTE: u32 = 60;
pub(crate) const HOUR: u32 = 3_600;
pub(crate) const DAY: u32 = 86_400;
pub(crate) const KEY: FingerprintKey = FingerprintKey::new(*b"sixteen byte key");

pub(crate) const FULL: Save = Save {
    extent: Extent::Full,
    with_pending: false,
};
pub(crate) const FULL_WITH_PENDING: Save = Save {
    with_pending: true,
    ..FULL
};
pub(crate) const BATCH: Save = Save {
    extent: Extent::Batch,
    with_pending: false,
};

/// Runs with a table for `capacity` entries, at most 1,024, and the rules' life of an entry.
pub(crate) fn with_table<T>(capacity: u32, run: impl FnOnce(&mut Table<'_>) -> T) -> T {
    let mut slots = Box::new(heapless::Vec::<Slot, 1_024>::new());
    let mut buckets = [Bucket::EMPTY; 1_024];
    let mut table = Table::new(slots.as_mut_view(), &mut buckets, capacity);
    table.set_max_age(Rules::default().max_age);
    run(&mut table)
}

pub(crate) fn at(unix: u32) -> Timestamp {
    Timestamp::from_unix(unix.into())
}

pub(crate) fn entry(class: Class, since: u32, last_seen: u32) -> Entry {
    Entry {
        since: at(since),
        last_seen: at(last_seen),
        count: 0,
        class,
    }
}

/// A fingerprint for a number, as random as a real one.
pub(crate) fn fingerprint(number: u64) -> Fingerprint {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    Fingerprint::from_bits(mixed ^ (mixed >> 32))
}

/// Writes an entry, whatever there is.
pub(crate) fn put(table: &mut Table<'_>, number: u64, entry: Entry) {
    match table.find(fingerprint(number)) {
        Some(place) => table.update(place, entry),
        None => {
            table.insert(fingerprint(number), entry, |_| false);
        }
    }
}

pub(crate) fn moment(logical: u32) -> Moment {
    Moment {
        logical: at(logical),
        wall_unix_seconds: u64::from(logical) + 7,
        boot_seconds: 1_234,
        boot_id: *b"this boot's name",
        data_asked: Some((fingerprint(0x5e4e4), at(logical - 60))),
    }
}

/// Saves to the end.
pub(crate) fn save(
    save: Save,
    now: u32,
    forgotten: &[Fingerprint],
    table: &mut Table<'_>,
    history: &mut History,
) -> Vec<u8> {
    save_between(save, now, forgotten, table, history, |_| {})
}

/// Saves to the end, and does something between two steps.
pub(crate) fn save_between(
    save: Save,
    now: u32,
    forgotten: &[Fingerprint],
    table: &mut Table<'_>,
    history: &mut History,
    mut between: impl FnMut(&mut Table<'_>),
) -> Vec<u8> {
    let forgotten = heapless::Vec::<_, FORGOTTEN_MAX>::from_slice(forgotten).expect("room");
    let mut encoder = Encoder::new(save, moment(now), forgotten, table);
    let mut block = heapless::Vec::<u8, BLOCK_BYTES_MAX>::new();
    let mut bytes = Vec::new();
    loop {
        let mut contents = Contents {
            key: &KEY,
            table,
            history,
            orders: &mut Orders::new(),
        };
        match encoder.step(&mut contents, &mut block) {
            Step::Unfinished => {}
            Step::Block => {
                bytes.extend_from_slice(&block);
                block.clear();
            }
            Step::Done => break,
        }
        between(table);
    }
    assert!(block.is_empty());
    bytes
}

/// What a snapshot comes to.
pub(crate) struct Loaded {
    pub(crate) found: Found,
    pub(crate) entries: HashMap<Fingerprint, Entry>,
    pub(crate) history: History,
    pub(crate) left_out: u32,
}

/// Loads into a table for 1,024 entries, at a later time of the same boot.
pub(crate) fn load(bytes: &[u8], now: u32) -> Result<Loaded, Unusable> {
    load_in_pieces(bytes, 65_536, now)
}

pub(crate) fn load_in_pieces(bytes: &[u8], piece: usize, now: u32) -> Result<Loaded, Unusable> {
    with_table(1_024, |table| load_into(table, bytes, piece, now, true))
}

pub(crate) fn load_into(
    table: &mut Table<'_>,
    bytes: &[u8],
    piece: usize,
    now: u32,
    is_same_boot: bool,
) -> Result<Loaded, Unusable> {
    let mut survey = Survey::new();
    bytes.chunks(piece).for_each(|piece| survey.feed(piece));
    let found = survey.finish()?;
    let mut history = History::new();
    let rules = Rules::default();
    let target = Contents {
        key: &KEY,
        table,
        history: &mut history,
        orders: &mut Orders::new(),
    };
    let mut loader = Loader::new(&found, at(now), is_same_boot, rules, target);
    bytes.chunks(piece).for_each(|piece| loader.feed(piece));
    let left_out = loader.finish();
    assert_eq!(table.changes(), 0, "what is loaded is saved");
    assert_in_order(table);
    Ok(Loaded {
        found,
        entries: entries(table),
        history,
        left_out,
    })
}

/// Rings are whole, and in the order of the last use.
fn assert_in_order(table: &Table<'_>) {
    for class in Class::ALL {
        let times: Vec<_> = table
            .iter(class)
            .map(|(_, entry)| entry.last_seen)
            .collect();
        assert!(times.is_sorted_by(|newer, older| newer >= older));
        assert_eq!(times.len() as u32, table.len_of(class));
    }
}

pub(crate) fn entries(table: &Table<'_>) -> HashMap<Fingerprint, Entry> {
    let classes = Class::ALL.into_iter();
    classes.flat_map(|class| table.iter(class)).collect()
}

/// Hours in which something was counted.
pub(crate) fn hours(history: &History) -> Vec<(u32, Counts)> {
    let hours = history.hours().map(|(hour, counts)| (hour, *counts));
    hours
        .filter(|(_, counts)| counts.iter().any(|&count| count > 0))
        .collect()
}

/// An entry as a snapshot has it that was begun at `base`.
pub(crate) fn rounded(entry: Entry, base: u32) -> Entry {
    let (used_unit, since_unit) = match entry.class {
        Class::Plain | Class::Named => (1, 1),
        Class::Known => (HOUR, HOUR),
        Class::WroteTo | Class::Proven => (HOUR, DAY),
    };
    let used = entry.last_seen.unix().min(base) / used_unit * used_unit;
    let since = entry.since.unix() / since_unit * since_unit;
    Entry {
        since: at(since.min(used / since_unit * since_unit)),
        last_seen: at(used),
        ..entry
    }
}
