//! The greylisting rules (RFC 6647, as Postgrey has them) on the table.
//!
//! A triplet that comes for the first time is pending and deferred, and it stays so until `delay` has passed since then.
//! A retry after that, but within the retry window, passes and makes it known; a later one starts again. A known triplet passes
//! until it has not been seen for `max_age`. A client address that has had enough first passes, at most one counted an hour, is
//! auto-whitelisted. Expiry happens here, when an entry is asked for, and never in a sweep.

use crate::engine::limits::{AUTO_WHITELIST_INTERVAL, PROVEN_AFTER};
use crate::engine::table::{Class, Entry, Table};
use crate::engine::time::{Seconds, Timestamp};
use crate::engine::triplet::Fingerprint;

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
    /// It must wait that long.
    Wait(Seconds),
    /// It passes for the first time, after that long.
    FirstPass(Seconds),
    /// It has passed before.
    Known,
}

impl Rules {
    /// Whether an entry means nothing any more.
    pub fn is_expired(&self, entry: &Entry, now: Timestamp) -> bool {
        let is_too_old = now.since(entry.last_seen) > self.max_age;
        is_too_old || entry.class.is_pending() && now.since(entry.since) > self.retry_window
    }

    /// Judges a triplet and remembers that it was seen. A new one, and one that starts again, becomes pending in
    /// `pending_class`. Also gives the entry that had to make room, if any.
    pub fn judge(
        &self,
        table: &mut Table<'_>,
        triplet: Fingerprint,
        pending_class: Class,
        now: Timestamp,
    ) -> (Judgement, Option<Entry>) {
        let new = Entry {
            since: now,
            last_seen: now,
            count: 0,
            class: pending_class,
        };
        let Some(place) = table.find(triplet) else {
            let evicted = table.insert(triplet, new, |entry| self.is_expired(entry, now));
            return (Judgement::Wait(self.delay), evicted);
        };
        let entry = *table.entry(place);
        // A pending entry from the future starts again, as in Postgrey: only a test's clock goes back.
        if self.is_expired(&entry, now) || entry.class.is_pending() && entry.since > now {
            table.update(place, new);
            return (Judgement::Wait(self.delay), None);
        }
        let seen = Entry {
            last_seen: now.max(entry.last_seen),
            ..entry
        };
        if !entry.class.is_pending() {
            let proven = now.since(entry.since) >= PROVEN_AFTER;
            let class = if proven { Class::Proven } else { entry.class };
            table.update(place, Entry { class, ..seen });
            return (Judgement::Known, None);
        }
        let waited = now.since(entry.since);
        if waited < self.delay {
            // A name that was verified once stays so: DNS may have hiccups, but not forge.
            let class = entry.class.max(pending_class);
            table.update(place, Entry { class, ..seen });
            return (Judgement::Wait(self.delay.less(waited)), None);
        }
        table.update(
            place,
            Entry {
                since: now,
                class: Class::Known,
                ..seen
            },
        );
        (Judgement::FirstPass(waited), None)
    }

    /// Whether a client address is auto-whitelisted. If it is, this counts as a use of it.
    pub fn is_auto_whitelisted(
        &self,
        table: &mut Table<'_>,
        client: Fingerprint,
        now: Timestamp,
    ) -> bool {
        if self.auto_whitelist_clients == 0 {
            return false;
        }
        let Some(place) = table.find(client) else {
            return false;
        };
        let entry = *table.entry(place);
        if self.is_expired(&entry, now) || entry.count < self.auto_whitelist_clients {
            return false;
        }
        table.update(place, self.counted_if_due(entry, now));
        true
    }

    /// Counts a first pass for a client address; true if that auto-whitelists it. Also gives the entry that had to
    /// make room, if any.
    pub fn count_first_pass(
        &self,
        table: &mut Table<'_>,
        client: Fingerprint,
        now: Timestamp,
    ) -> (bool, Option<Entry>) {
        if self.auto_whitelist_clients == 0 {
            return (false, None);
        }
        let first = Entry {
            since: now,
            last_seen: now,
            count: 1,
            class: self.class_of_count(1),
        };
        let is_whitelisted_by = |entry: &Entry| entry.count >= self.auto_whitelist_clients;
        let Some(place) = table.find(client) else {
            let evicted = table.insert(client, first, |entry| self.is_expired(entry, now));
            return (is_whitelisted_by(&first), evicted);
        };
        let before = *table.entry(place);
        let expired = self.is_expired(&before, now);
        let after = if expired {
            first
        } else {
            self.counted_if_due(before, now)
        };
        table.update(place, after);
        (
            is_whitelisted_by(&after) && (expired || !is_whitelisted_by(&before)),
            None,
        )
    }

    /// The entry with one more in its count, if the last one was counted long enough ago.
    fn counted_if_due(&self, entry: Entry, now: Timestamp) -> Entry {
        if now < entry.last_seen.after(AUTO_WHITELIST_INTERVAL) {
            return entry;
        }
        let count = entry.count.saturating_add(1);
        Entry {
            last_seen: now,
            count,
            class: self.class_of_count(count),
            ..entry
        }
    }

    fn class_of_count(&self, count: u16) -> Class {
        if count >= self.auto_whitelist_clients {
            Class::Proven
        } else {
            Class::Known
        }
    }
}
