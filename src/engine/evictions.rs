//! Who had to make room in a full table since the start, though of use yet.

use crate::engine::table::{Class, Entry};
use crate::engine::time::{Seconds, Timestamp};

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evictions {
    by_class: [u64; Class::ALL.len()],
    youngest_pending: Option<Seconds>,
}

impl Evictions {
    /// Counts an entry that was evicted at the time `now`.
    pub fn count(&mut self, evicted: &Entry, now: Timestamp) {
        self.by_class[evicted.class as usize] += 1;
        if evicted.class.is_pending() {
            let age = now.since(evicted.since);
            let youngest = self.youngest_pending.get_or_insert(age);
            *youngest = age.min(*youngest);
        }
    }

    /// Entries of a class.
    pub fn of(&self, class: Class) -> u64 {
        self.by_class[class as usize]
    }

    /// How long before its eviction the pending entry was made that had the least time to be retried.
    pub fn youngest_pending(&self) -> Option<Seconds> {
        self.youngest_pending
    }
}
