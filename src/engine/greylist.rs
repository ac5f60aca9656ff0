//! The greylisting rules (RFC 6647, as Postgrey has them) on the table.
//!
//! A triplet that comes for the first time is pending and deferred, and it stays so until `delay` has passed since then.
//! A retry after that, but within the retry window, passes and makes it known; a later one starts again. A known triplet passes
//! until it has not been seen for `max_age`. A client address that has had enough first passes, at most one counted an hour, is
//! auto-whitelisted. Expiry happens here, when an entry is asked for, and never in a sweep.

use crate::engine::limits::{
    AUTO_WHITELIST_INTERVAL, AUTO_WHITELIST_SENDER_DOMAINS, EVICTED_YOUNG, PROVEN_AFTER,
};
use crate::engine::table::{Class, Entry, Table};
use crate::engine::time::{Seconds, Timestamp};
use crate::engine::triplet::{Fingerprint, Triplet};

/// The numbers in the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long a new triplet waits.
    pub delay: Seconds,
    /// How long after its first sight a pending triplet may come back; longer than `delay`.
    pub retry_window: Seconds,
    /// How long an entry that has passed lives after it was last seen.
    pub max_age: Seconds,
    /// First passes that auto-whitelist a client address; 0 for never.
    pub auto_whitelist_clients: u16,
}

impl Default for Rules {
    /// Postgrey's.
    fn default() -> Rules {
        Rules {
            delay: Seconds::new(300),
            retry_window: Seconds::new(2 * Seconds::DAY.get()),
            max_age: Seconds::new(35 * Seconds::DAY.get()),
            auto_whitelist_clients: 5,
        }
    }
}

/// What the rules say of a triplet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It has not been seen, or too long ago, and must wait the whole delay.
    New,
    /// It is pending, and must wait that long yet.
    Wait(Seconds),
    /// It passes for the first time, after that long.
    FirstPass(Seconds),
    /// It has passed before.
    Known,
}

/// What the counting of a pass comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// The count has just reached its number.
    pub auto_whitelisted: bool,
    /// A pending entry had to make room before its sender may have retried.
    pub evicted_young: bool,
}

impl Rules {
    /// First passes that auto-whitelist an organisation's mail for one domain of senders; 0 for never.
    pub fn auto_whitelist_sender_domains(&self) -> u16 {
        self.auto_whitelist_clients
            .min(AUTO_WHITELIST_SENDER_DOMAINS)
    }

    /// Whether an entry means nothing any more.
    pub fn is_expired(&self, entry: &Entry, now: Timestamp) -> bool {
        let is_too_old = now.since(entry.last_seen) > self.max_age;
        is_too_old || entry.class.is_pending() && now.since(entry.since) > self.retry_window
    }

    /// What an entry is there for, if it means something.
    pub fn live(
        &self,
        table: &Table<'_>,
        fingerprint: Fingerprint,
        now: Timestamp,
    ) -> Option<Entry> {
        let entry = table.entry(table.find(fingerprint)?);
        // A pending entry from the future starts again, as in Postgrey: only a test's clock goes back.
        let is_of_the_future = entry.class.is_pending() && entry.since > now;
        (!is_of_the_future && !self.is_expired(&entry, now)).then_some(entry)
    }

    /// Judges a triplet by the entries that it has. The better one counts: one that has passed before one that is pending,
    /// and of two that are pending the older.
    pub fn judge(&self, entries: [Option<Entry>; 2], now: Timestamp) -> Judgement {
        let entries = || entries.iter().flatten();
        if entries().any(|entry| !entry.class.is_pending()) {
            return Judgement::Known;
        }
        let Some(since) = entries().map(|entry| entry.since).min() else {
            return Judgement::New;
        };
        let waited = now.since(since);
        if waited < self.delay {
            Judgement::Wait(self.delay.less(waited))
        } else {
            Judgement::FirstPass(waited)
        }
    }

    /// Remembers that a triplet was seen and judged so. A new one becomes pending in `pending_class`, under its first
    /// fingerprint; a first pass is written under both; later ones refresh what there is. True if a pending entry had to make
    /// room before its sender may have retried.
    pub fn remember(
        &self,
        table: &mut Table<'_>,
        triplet: Triplet,
        judgement: Judgement,
        pending_class: Class,
        now: Timestamp,
    ) -> bool {
        if judgement == Judgement::New {
            return self.write(table, triplet.first, Entry::new(pending_class, now), now);
        }
        let mut evicted_young = false;
        for fingerprint in triplet.fingerprints() {
            let entry = match (judgement, self.live(table, fingerprint, now)) {
                (Judgement::FirstPass(_), _) => Entry::new(Class::Known, now),
                (_, Some(entry)) => seen(entry, pending_class, now),
                (_, None) => continue,
            };
            evicted_young |= self.write(table, fingerprint, entry, now);
        }
        evicted_young
    }

    /// Remembers that one of our users wrote to somebody; true as above.
    pub fn remember_written_to(
        &self,
        table: &mut Table<'_>,
        correspondents: Fingerprint,
        now: Timestamp,
    ) -> bool {
        self.write(table, correspondents, Entry::new(Class::WroteTo, now), now)
    }

    /// Marks an entry as used.
    pub fn refresh(&self, table: &mut Table<'_>, fingerprint: Fingerprint, now: Timestamp) {
        if let Some(place) = table.find(fingerprint) {
            let entry = table.entry(place);
            let last_seen = now.max(entry.last_seen);
            table.update(place, Entry { last_seen, ..entry });
        }
    }

    /// Counts a pass: a first one, which may make the entry, or a use of an auto-whitelisted client. At most one counts in an hour. Tells
    /// whether that has just auto-whitelisted at `threshold`, and, as above, whether somebody had to go too early.
    pub fn count(
        &self,
        table: &mut Table<'_>,
        counter: Fingerprint,
        threshold: u16,
        now: Timestamp,
    ) -> Counted {
        let before = self.live(table, counter, now);
        let after = match before {
            None => Entry {
                count: 1,
                ..Entry::new(class_of_count(1, threshold), now)
            },
            Some(entry) => counted_if_due(entry, threshold, now),
        };
        let was_whitelisted = before.is_some_and(|entry| entry.count >= threshold);
        Counted {
            auto_whitelisted: !was_whitelisted && after.count >= threshold,
            evicted_young: self.write(table, counter, after, now),
        }
    }

    /// The entry of a triplet that another server with these rules saw first and last at these times. It has passed if they are
    /// a delay apart. When it did is not known: as nearly everybody retries within the hour, the end of the delay
    /// will do, so that what was used for another day is proven.
    pub fn triplet_seen(&self, first_seen: Timestamp, last_seen: Timestamp) -> Entry {
        let has_passed = last_seen.since(first_seen) >= self.delay;
        let entry = match has_passed {
            true => Entry::new(Class::Known, first_seen.after(self.delay)),
            false => Entry::new(Class::Plain, first_seen),
        };
        seen(entry, Class::Plain, last_seen)
    }

    /// The entry of a client address of which another server counted so many passes, the last one then.
    pub fn client_counted(&self, count: u16, last_counted: Timestamp) -> Entry {
        let class = class_of_count(count, self.auto_whitelist_clients);
        Entry {
            count,
            ..Entry::new(class, last_counted)
        }
    }

    /// Writes an entry from elsewhere, [`merged`] with the one that is there if that still means something. True as
    /// above.
    pub fn take_over(
        &self,
        table: &mut Table<'_>,
        fingerprint: Fingerprint,
        entry: Entry,
        now: Timestamp,
    ) -> bool {
        let entry = match self.live(table, fingerprint, now) {
            Some(ours) => merged(ours, entry),
            None => entry,
        };
        self.write(table, fingerprint, entry, now)
    }

    /// Writes an entry, whatever there is; true if another that had to make room was evicted young.
    fn write(
        &self,
        table: &mut Table<'_>,
        fingerprint: Fingerprint,
        entry: Entry,
        now: Timestamp,
    ) -> bool {
        if let Some(place) = table.find(fingerprint) {
            table.update(place, entry);
            return false;
        }
        let Some(evicted) = table.insert(fingerprint, entry, |entry| self.is_expired(entry, now))
        else {
            return false;
        };
        if !self.is_expired(&evicted, now) {
            table.evictions_mut().count(&evicted, now);
        }
        evicted.class.is_pending() && now.since(evicted.since) < EVICTED_YOUNG
    }
}

/// What two entries with one fingerprint come to, as if one server had seen all that they stand for. A triplet that has passed comes
/// before one that is pending, and of two counts the one that was counted last is taken.
pub fn merged(one: Entry, other: Entry) -> Entry {
    let (earlier, later) = match one.last_seen <= other.last_seen {
        true => (one, other),
        false => (other, one),
    };
    let is_count = later.count > 0;
    match (earlier.class.is_pending(), later.class.is_pending()) {
        (true, false) => later,
        (false, true) => earlier,
        _ if is_count => later,
        _ => {
            let since = earlier.since.min(later.since);
            let class = earlier.class.max(later.class);
            let entry = Entry {
                since,
                class,
                ..later
            };
            seen(entry, class, later.last_seen)
        }
    }
}

/// An entry that is seen once more.
fn seen(entry: Entry, pending_class: Class, now: Timestamp) -> Entry {
    let class = match entry.class {
        // A name that was verified once stays so: DNS may have hiccups, but not forge.
        class if class.is_pending() => class.max(pending_class),
        _ if now.since(entry.since) >= PROVEN_AFTER => Class::Proven,
        class => class,
    };
    let last_seen = now.max(entry.last_seen);
    Entry {
        last_seen,
        class,
        ..entry
    }
}

/// The entry with one more in its count, if the last one was counted long enough ago.
fn counted_if_due(entry: Entry, threshold: u16, now: Timestamp) -> Entry {
    if now < entry.last_seen.after(AUTO_WHITELIST_INTERVAL) {
        return entry;
    }
    let count = entry.count.saturating_add(1);
    Entry {
        last_seen: now,
        count,
        class: class_of_count(count, threshold),
        ..entry
    }
}

fn class_of_count(count: u16, threshold: u16) -> Class {
    if threshold > 0 && count >= threshold {
        Class::Proven
    } else {
        Class::Known
    }
}
