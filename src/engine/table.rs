//! The table of what greylet remembers: fingerprint to entry, of fixed capacity, with LRU eviction by class.
//!
//! A slab of slots, hash buckets that chain them, and one ring per class in the order of last use; all links are indices
//! into the slab. An insert into a full table evicts and never fails; nothing is ever swept. Every operation costs one walk along one chain
//! and a bounded number of link changes. There are as many buckets as entries, so chains have one or two members, and eight or nine
//! at the longest; they could be as long as the table only for somebody who can choose fingerprints, and the key of
//! [`FingerprintKey`](crate::engine::triplet::FingerprintKey) is there so that nobody can.
//!
//! A slot has 32 bytes and a bucket 4. The memory comes from outside, and a slot is not touched before it is needed.
//!
//! Whatever changes an entry also settles whether it is worth a write to flash, and how many are is always known: see [`Table::changes`].

use std::num::NonZeroU32;

use heapless::VecView;

use crate::engine::evictions::Evictions;
use crate::engine::limits::{ENTRIES_MAX, ENTRIES_MIN, LAST_SEEN_SAVES};
use crate::engine::time::{Seconds, Timestamp};
use crate::engine::triplet::Fingerprint;

/// How much an entry is worth; the worst is evicted first. The number goes into snapshots, so it must never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// Pending, from a client without a mail server's name, or more of one organisation than its share.
    Plain,
    /// Pending, from a client with a verified name that is a mail server's, within its organisation's share.
    Named,
    /// Has passed; or an auto-whitelist count below its number.
    Known,
    /// Somebody whom one of our users wrote to. Never more than this class's floor.
    WroteTo,
    /// Used again a day or more after its first pass; or an auto-whitelist count that has reached its number.
    Proven,
}

impl Class {
    /// From the first to be evicted to the last.
    pub const ALL: [Class; 5] = [
        Class::Plain,
        Class::Named,
        Class::Known,
        Class::WroteTo,
        Class::Proven,
    ];

    /// Their names, of small letters and underscores.
    pub const NAMES: [&str; 5] = {
        let mut names = [""; 5];
        let mut index = 0;
        while index < names.len() {
            names[index] = Class::ALL[index].name();
            index += 1;
        }
        names
    };

    /// Its name, of small letters and underscores.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Plain => "plain",
            Class::Named => "named",
            Class::Known => "known",
            Class::WroteTo => "wrote_to",
            Class::Proven => "proven",
        }
    }

    /// Whether the entry is still waiting for its first pass.
    pub const fn is_pending(self) -> bool {
        matches!(self, Class::Plain | Class::Named)
    }

    /// The entries of this class that the other classes cannot push out, in a table for `capacity`. The floors
    /// add up to the capacity, so in a table that is too full some class is above its own.
    pub(super) const fn floor(self, capacity: u32) -> u32 {
        match self {
            Class::Plain => {
                capacity - 3 * capacity / 16 - capacity / 4 - capacity / 16 - 7 * capacity / 16
            }
            Class::Named => 3 * capacity / 16,
            Class::Known => capacity / 4,
            Class::WroteTo => capacity / 16,
            Class::Proven => 7 * capacity / 16,
        }
    }
}

/// What is remembered under a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Pending: when it was first seen. Otherwise: when it passed first.
    pub since: Timestamp,
    /// When it was last seen; of an auto-whitelist entry: last counted.
    pub last_seen: Timestamp,
    /// Passes counted for the auto-whitelist; 0 for a triplet.
    pub count: u16,
    /// What it is worth.
    pub class: Class,
}

impl Entry {
    /// An entry that begins now.
    pub const fn new(class: Class, now: Timestamp) -> Entry {
        Entry {
            since: now,
            last_seen: now,
            count: 0,
            class,
        }
    }
}

/// An index into the slab, plus one.
type Link = Option<NonZeroU32>;

/// One hash bucket: the first slot of its chain. All buckets must be [`Bucket::EMPTY`] at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket(Link);

impl Bucket {
    /// A bucket without a chain; all its bits are zero, so that a static array of them is not stored in the program.
    pub const EMPTY: Bucket = Bucket(None);
}

/// Room for one entry and its links. The entry stands here field by field, so that the mark has the byte that an [`Entry`] fills up with.
#[derive(Debug)]
pub struct Slot {
    fingerprint: Fingerprint,
    since: Timestamp,
    last_seen: Timestamp,
    count: u16,
    class: Class,
    mark: Mark,
    /// The next slot of the same bucket, or of the free ones.
    next: Link,
    older: Link,
    newer: Link,
}

const _: () = assert!(size_of::<Slot>() == 32 && size_of::<Bucket>() == 4);

impl Slot {
    fn entry(&self) -> Entry {
        Entry {
            since: self.since,
            last_seen: self.last_seen,
            count: self.count,
            class: self.class,
        }
    }

    /// Takes in what has become of the entry, and notes if that must not be lost.
    fn write(&mut self, entry: Entry, refresh_days: u8) {
        // A count that has reached its number does not matter any more.
        let is_counting = entry.count != self.count && entry.class != Class::Proven;
        let days = day(entry.last_seen).saturating_sub(day(self.last_seen));
        let is_long_after = days >= refresh_days.into();
        if entry.class != self.class || entry.since != self.since || is_counting || is_long_after {
            self.mark = Mark::DUE;
        }
        (self.since, self.last_seen) = (entry.since, entry.last_seen);
        (self.count, self.class) = (entry.count, entry.class);
    }

    /// Whether the entry is worth a write.
    fn is_due(&self, refresh_days: u8) -> bool {
        match self.mark {
            Mark::FREE => false,
            _ if self.class.is_pending() => false,
            Mark::DUE => true,
            saved => saved.days_until(self.last_seen) >= refresh_days,
        }
    }
}

/// What saves need to know of a slot: that it is free, that its entry must be written, or which day, modulo 254, the last
/// use was that has been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark(u8);

impl Mark {
    const DUE: Mark = Mark(0);
    const FREE: Mark = Mark(u8::MAX);
    const DAYS: u8 = u8::MAX - 1;

    fn saved(last_seen: Timestamp) -> Mark {
        Mark(1 + (day(last_seen) % u32::from(Mark::DAYS)) as u8)
    }

    /// Days, modulo 254, from the saved last use to another one.
    fn days_until(self, last_seen: Timestamp) -> u8 {
        let (from, to) = (self.0, Mark::saved(last_seen).0);
        if to >= from {
            to - from
        } else {
            Mark::DAYS - (from - to)
        }
    }
}

fn day(time: Timestamp) -> u32 {
    time.unix() / Seconds::DAY.get()
}

/// Where an entry is, until the next insert or removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(NonZeroU32);

impl Place {
    fn index(self) -> usize {
        // Lossless: usize has at least 32 bits on every Linux.
        self.0.get() as usize - 1
    }
}

/// The entries of one class, in the order of their last use.
#[derive(Clone, Copy, Default)]
struct Ring {
    oldest: Link,
    newest: Link,
    entries: u32,
}

/// See the [module](self).
pub struct Table<'a> {
    slots: &'a mut VecView<Slot>,
    buckets: &'a mut [Bucket],
    free: Link,
    rings: [Ring; 5],
    capacity: u32,
    max_age: Seconds,
    /// Days after which a last use is worth a write; less than half of those that a mark tells apart.
    refresh_days: u8,
    changes: u32,
    evictions: Evictions,
}

impl<'a> Table<'a> {
    /// An empty table for `capacity` entries in the given memory.
    ///
    /// # Panics
    ///
    /// If `slots` is not empty, or `capacity` is not from [`ENTRIES_MIN`] to [`ENTRIES_MAX`] or more than the memory has room for.
    pub fn new(
        slots: &'a mut VecView<Slot>,
        buckets: &'a mut [Bucket],
        capacity: u32,
    ) -> Table<'a> {
        assert!(
            (ENTRIES_MIN..=ENTRIES_MAX).contains(&capacity),
            "capacity of {capacity}"
        );
        assert!(slots.is_empty() && slots.capacity() >= capacity as usize);
        let buckets = &mut buckets[..capacity as usize];
        Table {
            slots,
            buckets,
            free: None,
            rings: [Ring::default(); 5],
            capacity,
            max_age: Seconds::FOREVER,
            refresh_days: 1,
            changes: 0,
            evictions: Evictions::default(),
        }
    }

    /// Tells the table how long an entry lives after its last use, for [`Table::changes`].
    pub fn set_max_age(&mut self, max_age: Seconds) {
        let days = max_age.get() / Seconds::DAY.get() / LAST_SEEN_SAVES;
        self.max_age = max_age;
        self.refresh_days = days.clamp(1, u32::from(Mark::DAYS / 2)) as u8;
        let is_due = |slot: &&Slot| slot.is_due(self.refresh_days);
        self.changes = self.slots.iter().filter(is_due).count() as u32;
    }

    /// How long an entry lives after its last use.
    pub(super) fn max_age(&self) -> Seconds {
        self.max_age
    }

    /// Most entries it can hold.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Entries it holds.
    pub fn len(&self) -> u32 {
        self.rings.iter().map(|ring| ring.entries).sum()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries of one class.
    pub fn len_of(&self, class: Class) -> u32 {
        self.rings[class as usize].entries
    }

    /// The entry of a class that was used least recently.
    pub fn least_recently_used(&self, class: Class) -> Option<Entry> {
        self.oldest(class).map(|place| self.entry(place))
    }

    /// Entries that had to make room since the table was made, as far as they were counted.
    pub fn evictions(&self) -> &Evictions {
        &self.evictions
    }

    /// The same, to count one.
    pub(super) fn evictions_mut(&mut self) -> &mut Evictions {
        &mut self.evictions
    }

    /// Entries that are worth a write to flash: they have passed since they were saved last, or for the first time, or counted a pass that matters, or
    /// have been used an eighth of their life after the last use that was saved. Neither a pending entry nor a fresh use is.
    pub fn changes(&self) -> u32 {
        self.changes
    }

    /// Where the entry with this fingerprint is.
    pub fn find(&self, fingerprint: Fingerprint) -> Option<Place> {
        let mut link = self.buckets[self.bucket_of(fingerprint)].0;
        while let Some(place) = link.map(Place) {
            let slot = &self.slots[place.index()];
            if slot.fingerprint == fingerprint {
                return Some(place);
            }
            link = slot.next;
        }
        None
    }

    /// The entry at a place.
    pub fn entry(&self, place: Place) -> Entry {
        self.slots[place.index()].entry()
    }

    /// Writes an entry back, and makes it the most recently used one of its class.
    pub fn update(&mut self, place: Place, entry: Entry) {
        self.leave_ring(place);
        let days = self.refresh_days;
        self.change(place, |slot| slot.write(entry, days));
        self.join_ring(place);
    }

    /// Takes in a new entry. If there is no room, another gives way, and is returned: one that `is_expired` says is
    /// of no use, if one of those that were used least recently in their class is; otherwise the least recently used one of the first class above its floor.
    /// The fingerprint must not be in the table.
    pub fn insert(
        &mut self,
        fingerprint: Fingerprint,
        entry: Entry,
        is_expired: impl Fn(&Entry) -> bool,
    ) -> Option<Entry> {
        let victim = self.victim(entry.class, is_expired);
        let evicted = victim.map(|victim| self.remove(victim));
        self.add(fingerprint, entry);
        evicted
    }

    /// Takes in a new entry, for which there must be room.
    pub(super) fn add(&mut self, fingerprint: Fingerprint, entry: Entry) -> Place {
        debug_assert!(self.find(fingerprint).is_none());
        let place = self.take_slot(fingerprint, entry);
        let bucket = self.bucket_of(fingerprint);
        self.slots[place.index()].next = self.buckets[bucket].0.replace(place.0);
        self.join_ring(place);
        place
    }

    /// Takes an entry out.
    pub fn remove(&mut self, place: Place) -> Entry {
        self.leave_ring(place);
        self.leave_chain(place);
        self.change(place, |slot| slot.mark = Mark::FREE);
        let slot = &mut self.slots[place.index()];
        slot.next = self.free.replace(place.0);
        slot.entry()
    }

    /// Slots that have ever been used: the places for [`Table::at`].
    pub(super) fn slots_used(&self) -> usize {
        self.slots.len()
    }

    /// The entry in a slot of the slab, if it is not free.
    pub(super) fn at(&self, index: usize) -> Option<(Place, Fingerprint)> {
        let slot = self.slots.get(index)?;
        let place = Place(NonZeroU32::new(index as u32 + 1)?);
        (slot.mark != Mark::FREE).then_some((place, slot.fingerprint))
    }

    /// Whether the entry at a place is one of [`Table::changes`].
    pub(super) fn is_due(&self, place: Place) -> bool {
        self.slots[place.index()].is_due(self.refresh_days)
    }

    /// Notes that an entry is saved as it is now.
    pub(super) fn mark_saved(&mut self, place: Place) {
        self.change(place, |slot| slot.mark = Mark::saved(slot.last_seen));
    }

    /// Puts each class in the order of the last use, after entries have come in any order: a radix sort of
    /// its ring, which needs no memory of its own.
    pub(super) fn sort_rings(&mut self) {
        for class in Class::ALL {
            for byte in 0..4 {
                self.sort_ring(class, byte);
            }
        }
    }

    /// Sorts a ring by one byte of the last use, 0 for the lowest; what is equal stays in its order.
    fn sort_ring(&mut self, class: Class, byte: usize) {
        let mut piles = [Ring::default(); 256];
        let mut link = self.rings[class as usize].oldest;
        while let Some(place) = link.map(Place) {
            let slot = &self.slots[place.index()];
            link = slot.newer;
            let pile = slot.last_seen.unix().to_le_bytes()[byte];
            self.join(&mut piles[usize::from(pile)], place);
        }
        let mut sorted = Ring {
            entries: self.len_of(class),
            ..Ring::default()
        };
        for pile in piles {
            let Some(oldest) = pile.oldest.map(Place) else {
                continue;
            };
            self.slots[oldest.index()].older = sorted.newest;
            match sorted.newest.map(Place) {
                Some(newest) => self.slots[newest.index()].newer = pile.oldest,
                None => sorted.oldest = pile.oldest,
            }
            sorted.newest = pile.newest;
        }
        self.rings[class as usize] = sorted;
    }

    /// The entries of a class, the most recently used first.
    pub fn iter(&self, class: Class) -> impl Iterator<Item = (Fingerprint, Entry)> {
        let mut link = self.rings[class as usize].newest;
        std::iter::from_fn(move || {
            let slot = &self.slots[Place(link?).index()];
            link = slot.older;
            Some((slot.fingerprint, slot.entry()))
        })
    }

    /// Members of the longest chain.
    pub fn longest_chain(&self) -> u32 {
        let chain = |bucket: &Bucket| {
            std::iter::successors(bucket.0, |&link| self.slots[Place(link).index()].next).count()
        };
        self.buckets.iter().map(chain).max().unwrap_or(0) as u32
    }

    /// A fingerprint's bits are as good as random, so their upper half, scaled, spreads evenly over any number of buckets.
    fn bucket_of(&self, fingerprint: Fingerprint) -> usize {
        let upper = fingerprint.bits() >> 32;
        ((upper * self.buckets.len() as u64) >> 32) as usize
    }

    /// The entry that gives way to one of this class: none while there is room; one that `is_expired` says
    /// is of no use, if an oldest one is; otherwise the oldest of the first class above its floor.
    pub(super) fn victim(
        &self,
        newcomer: Class,
        is_expired: impl Fn(&Entry) -> bool,
    ) -> Option<Place> {
        if newcomer == Class::WroteTo && self.is_at_floor(Class::WroteTo) {
            return self.oldest(Class::WroteTo);
        }
        if self.len() < self.capacity {
            return None;
        }
        let expired = |place: &Place| is_expired(&self.entry(*place));
        let mut oldest = Class::ALL
            .into_iter()
            .filter_map(|class| self.oldest(class));
        if let Some(place) = oldest.find(expired) {
            return Some(place);
        }
        let is_above_floor = |class: &Class| {
            let entries = self.len_of(*class) + u32::from(*class == newcomer);
            entries > class.floor(self.capacity)
        };
        Class::ALL
            .into_iter()
            .filter(is_above_floor)
            .find_map(|class| self.oldest(class))
    }

    fn oldest(&self, class: Class) -> Option<Place> {
        self.rings[class as usize].oldest.map(Place)
    }

    fn is_at_floor(&self, class: Class) -> bool {
        self.len_of(class) >= class.floor(self.capacity)
    }

    fn take_slot(&mut self, fingerprint: Fingerprint, entry: Entry) -> Place {
        let slot = Slot {
            fingerprint,
            since: entry.since,
            last_seen: entry.last_seen,
            count: entry.count,
            class: entry.class,
            mark: Mark::DUE,
            next: None,
            older: None,
            newer: None,
        };
        self.changes += u32::from(slot.is_due(self.refresh_days));
        if let Some(place) = self.free.map(Place) {
            self.free = self.slots[place.index()].next;
            self.slots[place.index()] = slot;
            return place;
        }
        let pushed = self.slots.push(slot).is_ok();
        assert!(pushed, "a table below its capacity has a free slot");
        let last = NonZeroU32::new(self.slots.len() as u32);
        Place(last.expect("the slab is not empty after a push"))
    }

    fn leave_chain(&mut self, place: Place) {
        let slot = &self.slots[place.index()];
        let (bucket, next) = (self.bucket_of(slot.fingerprint), slot.next);
        if self.buckets[bucket].0 == Some(place.0) {
            self.buckets[bucket].0 = next;
            return;
        }
        let mut link = self.buckets[bucket].0;
        while let Some(before) = link.map(Place) {
            let before = &mut self.slots[before.index()];
            if before.next == Some(place.0) {
                before.next = next;
                return;
            }
            link = before.next;
        }
    }

    /// Changes what a slot says of its entry, and keeps count of those that are worth a write.
    fn change(&mut self, place: Place, change: impl FnOnce(&mut Slot)) {
        let days = self.refresh_days;
        let slot = &mut self.slots[place.index()];
        self.changes -= u32::from(slot.is_due(days));
        change(slot);
        self.changes += u32::from(slot.is_due(days));
    }

    fn join_ring(&mut self, place: Place) {
        let class = self.slots[place.index()].class as usize;
        let mut ring = self.rings[class];
        self.join(&mut ring, place);
        self.rings[class] = ring;
    }

    /// Makes a slot the newest of a ring.
    fn join(&mut self, ring: &mut Ring, place: Place) {
        let newest = ring.newest.replace(place.0);
        ring.entries += 1;
        let slot = &mut self.slots[place.index()];
        (slot.older, slot.newer) = (newest, None);
        match newest.map(Place) {
            Some(newest) => self.slots[newest.index()].newer = Some(place.0),
            None => ring.oldest = Some(place.0),
        }
    }

    fn leave_ring(&mut self, place: Place) {
        let slot = &self.slots[place.index()];
        let (class, older, newer) = (slot.class, slot.older, slot.newer);
        match newer.map(Place) {
            Some(newer) => self.slots[newer.index()].older = older,
            None => self.rings[class as usize].newest = older,
        }
        match older.map(Place) {
            Some(older) => self.slots[older.index()].newer = newer,
            None => self.rings[class as usize].oldest = newer,
        }
        self.rings[class as usize].entries -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors_add_up() {
        for capacity in ENTRIES_MIN..5_000 {
            let floors = Class::ALL.map(|class| class.floor(capacity));
            assert_eq!(floors.iter().sum::<u32>(), capacity);
            assert!(floors.iter().all(|&floor| floor > 0));
        }
        assert_eq!(
            Class::ALL.map(|class| class.floor(65_536)),
            [4_096, 12_288, 16_384, 4_096, 28_672]
        );
    }
}
