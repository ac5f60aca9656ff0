//! Saves: the table and the history to blocks, a little at a time.

use heapless::{Vec, VecView};

use crate::engine::history::{History, OUTCOMES};
use crate::engine::limits::{
    ALLOWS_MAX, BLOCK_BYTES_MAX, DISTRUSTS_MAX, FORGOTTEN_MAX, SAVED_PENDING_AGE,
    SAVED_PENDING_MAX, SLOTS_A_STEP,
};
use crate::engine::orders::Orders;
use crate::engine::snapshot::block::{self, Kind, put, room, seal};
use crate::engine::snapshot::record::{
    RECORD_BYTES_MAX, VARINT_BYTES_MAX, put_entry, put_removed, put_varint,
};
use crate::engine::snapshot::{ALLOW, ALLOW_NETWORK, DISTRUST, Moment, VERSION};
use crate::engine::table::{Class, Entry, Place, Table};
use crate::engine::time::Timestamp;
use crate::engine::triplet::{Fingerprint, FingerprintKey};

/// Longest record of an hour: its distance, which counts there are, and all of them.
const HOUR_BYTES_MAX: usize = (2 + OUTCOMES) * VARINT_BYTES_MAX;

const _: () = assert!((ALLOWS_MAX + DISTRUSTS_MAX) * 17 < BLOCK_BYTES_MAX - 12);
const _: () = assert!(4 + FORGOTTEN_MAX * 9 + RECORD_BYTES_MAX < BLOCK_BYTES_MAX / 2);

/// How much a save writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A new snapshot, with all entries that have passed.
    Full,
    /// To be appended to a snapshot: what has changed since the last save.
    Batch,
}

/// What a save writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Save {
    /// How much of what has passed.
    pub extent: Extent,
    /// Whether to write pending entries too: of those that were first seen within a day the newest 8,192, named ones first.
    pub with_pending: bool,
}

/// What a step of a save has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The buffer holds a part of a block, or nothing, and is to be left alone.
    Unfinished,
    /// The buffer holds a block, which is to be written; it must be empty at the next step.
    Block,
    /// There is nothing more.
    Done,
}

/// What is saved, and what a snapshot is loaded into.
pub struct Contents<'c, 't> {
    /// The installation's key.
    pub key: &'c FingerprintKey,
    /// The entries.
    pub table: &'c mut Table<'t>,
    /// The counts.
    pub history: &'c mut History,
    /// The orders.
    pub orders: &'c mut Orders,
}

/// A save in progress. Requests may come between two steps: each entry is saved as it is when it is reached, but for times after the beginning of the
/// save, which become that. What changes behind it is for the next save. An entry counts as saved when it is in
/// the buffer: when a block cannot be written, the next save must be a full one.
pub struct Encoder {
    save: Save,
    moment: Moment,
    forgotten: Vec<Fingerprint, FORGOTTEN_MAX>,
    /// If pending entries are saved: when those were used last, plain and named, that are the first for which there is no room.
    pending_after: Option<[Option<Timestamp>; 2]>,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    Head,
    Orders,
    Forgotten,
    /// From this slot on.
    Entries(usize),
    /// From this hour on.
    Counters(u32),
    Moment,
    HeadAgain,
    Done,
}

impl Encoder {
    /// A save that begins now. `forgotten` are entries that were removed on purpose since the last one began.
    pub fn new(
        save: Save,
        moment: Moment,
        forgotten: Vec<Fingerprint, FORGOTTEN_MAX>,
        table: &Table<'_>,
    ) -> Encoder {
        let named = table.len_of(Class::Named) as usize;
        let plain_max = SAVED_PENDING_MAX.saturating_sub(named);
        let after = |class, max| {
            let first_left_out = table.iter(class).nth(max);
            first_left_out.map(|(_, entry)| entry.last_seen)
        };
        let pending_after = || {
            [
                after(Class::Plain, plain_max),
                after(Class::Named, SAVED_PENDING_MAX),
            ]
        };
        Encoder {
            save,
            moment,
            forgotten,
            pending_after: save.with_pending.then(pending_after),
            stage: match save.extent {
                Extent::Full => Stage::Head,
                Extent::Batch => Stage::Orders,
            },
        }
    }

    /// Goes on, for some hundred entries at most. `block` needs room for [`BLOCK_BYTES_MAX`].
    pub fn step(&mut self, contents: &mut Contents<'_, '_>, block: &mut VecView<u8>) -> Step {
        match self.stage {
            Stage::Head => {
                self.stage = Stage::Orders;
                put_head(block, contents.key)
            }
            Stage::Orders => {
                self.stage = Stage::Forgotten;
                let is_wanted = match self.save.extent {
                    Extent::Full => !contents.orders.is_empty(),
                    // Pending entries have been moved forward since the last boot, and what is believed of them with them.
                    Extent::Batch => {
                        contents.orders.are_unsaved()
                            || self.save.with_pending && contents.orders.need_seconds()
                    }
                };
                contents.orders.mark_saved();
                if is_wanted {
                    return put_orders(block, contents.orders);
                }
                Step::Unfinished
            }
            Stage::Forgotten => {
                self.stage = Stage::Entries(0);
                for &fingerprint in &self.forgotten {
                    self.begin_entries(block);
                    put_removed(block, fingerprint);
                }
                Step::Unfinished
            }
            Stage::Entries(from) => self.put_entries(from, contents, block),
            Stage::Counters(from) => self.put_counters(from, contents.history, block),
            Stage::Moment => {
                self.stage = match self.save.extent {
                    Extent::Full => Stage::HeadAgain,
                    Extent::Batch => Stage::Done,
                };
                put_moment(block, &self.moment)
            }
            Stage::HeadAgain => {
                self.stage = Stage::Done;
                put_head(block, contents.key)
            }
            Stage::Done => Step::Done,
        }
    }

    fn begin_entries(&self, block: &mut VecView<u8>) {
        if block.is_empty() {
            block::begin(Kind::Entries, block);
            put(block, &self.moment.logical.unix().to_le_bytes());
        }
    }

    fn put_entries(
        &mut self,
        from: usize,
        contents: &mut Contents<'_, '_>,
        block: &mut VecView<u8>,
    ) -> Step {
        let in_seconds = contents.orders.need_seconds();
        let table = &mut *contents.table;
        let end = table.slots_used().min(from + SLOTS_A_STEP);
        for index in from..end {
            if room(block) < RECORD_BYTES_MAX {
                self.stage = Stage::Entries(index);
                return finish(block);
            }
            let Some((place, fingerprint)) = table.at(index) else {
                continue;
            };
            let entry = table.entry(place);
            if self.moment.logical.since(entry.last_seen) > table.max_age() {
                // What nobody will miss is not due any more either.
                table.mark_saved(place);
            } else if self.is_wanted(table, place, entry) {
                self.begin_entries(block);
                put_entry(block, fingerprint, entry, self.moment.logical, in_seconds);
                table.mark_saved(place);
            }
        }
        if end < table.slots_used() {
            self.stage = Stage::Entries(end);
            return Step::Unfinished;
        }
        self.stage = Stage::Counters(0);
        finish(block)
    }

    fn is_wanted(&self, table: &Table<'_>, place: Place, entry: Entry) -> bool {
        if !entry.class.is_pending() {
            return self.save.extent == Extent::Full || table.is_due(place);
        }
        let is_young = self.moment.logical.since(entry.since) <= SAVED_PENDING_AGE;
        let is_new = |after| entry.last_seen > after;
        let has_room = |after: [Option<_>; 2]| after[entry.class as usize].is_none_or(is_new);
        is_young && self.pending_after.is_some_and(has_room)
    }

    fn put_counters(&mut self, from: u32, history: &mut History, block: &mut VecView<u8>) -> Step {
        let from = match self.save.extent {
            Extent::Full => from,
            Extent::Batch => from.max(history.unsaved_from()),
        };
        let mut first = from;
        for (hour, counts) in history.hours() {
            if hour < from || counts.iter().all(|&count| count == 0) {
                continue;
            }
            if block.is_empty() {
                block::begin(Kind::Counters, block);
                put(block, &hour.to_le_bytes());
                first = hour;
            }
            if room(block) < HOUR_BYTES_MAX {
                self.stage = Stage::Counters(hour);
                return finish(block);
            }
            put_hour(block, hour - first, counts);
        }
        history.mark_saved(self.moment.logical);
        self.stage = Stage::Moment;
        finish(block)
    }
}

/// Makes whole what has been begun, if anything has.
fn finish(block: &mut VecView<u8>) -> Step {
    if block.is_empty() {
        return Step::Unfinished;
    }
    seal(block);
    Step::Block
}

fn put_head(block: &mut VecView<u8>, key: &FingerprintKey) -> Step {
    block::begin(Kind::Head, block);
    put(block, &VERSION.to_le_bytes());
    put(block, key.bytes());
    finish(block)
}

fn put_orders(block: &mut VecView<u8>, orders: &Orders) -> Step {
    block::begin(Kind::Orders, block);
    let (allows, distrusts) = orders.lists();
    for allow in allows {
        let kind = match allow.prefix_bits {
            None => ALLOW,
            Some(_) => ALLOW_NETWORK,
        };
        let bits = allow.prefix_bits.unwrap_or(0).into();
        put_order(block, kind, allow.fingerprint, allow.until, bits);
    }
    for it in distrusts {
        put_order(block, DISTRUST, it.fingerprint, it.at, it.pending_at.unix());
    }
    finish(block)
}

fn put_order(
    block: &mut VecView<u8>,
    kind: u8,
    fingerprint: Fingerprint,
    time: Timestamp,
    other: u32,
) {
    put(block, &[kind]);
    put(block, &fingerprint.bits().to_le_bytes());
    put(block, &time.unix().to_le_bytes());
    put(block, &other.to_le_bytes());
}

fn put_moment(block: &mut VecView<u8>, moment: &Moment) -> Step {
    block::begin(Kind::Moment, block);
    put(block, &moment.logical.unix().to_le_bytes());
    put(block, &moment.wall_unix_seconds.to_le_bytes());
    put(block, &moment.boot_seconds.to_le_bytes());
    put(block, &moment.boot_id);
    let nobody = (Fingerprint::from_bits(0), Timestamp::default());
    let (server, at) = moment.data_asked.unwrap_or(nobody);
    put(block, &at.unix().to_le_bytes());
    put(block, &server.bits().to_le_bytes());
    finish(block)
}

fn put_hour(block: &mut VecView<u8>, distance: u32, counts: &[u32; OUTCOMES]) {
    let mask = (0..OUTCOMES)
        .filter(|&outcome| counts[outcome] > 0)
        .fold(0, |mask, outcome| mask | 1 << outcome);
    put_varint(block, distance);
    put_varint(block, mask);
    for &count in counts.iter().filter(|&&count| count > 0) {
        put_varint(block, count);
    }
}
