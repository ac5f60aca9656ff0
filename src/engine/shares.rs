//! How much of what waits under a verified name may be one organisation's.
//!
//! A class keeps its share of a full table, but nobody's share of the class: one rented host with a mail server's name, which writes to
//! ever new recipients, would push out what waits of every mail server that nobody knows yet. So an organisation has so many new entries
//! in about an hour in the class [`Named`](crate::engine::table::Class::Named), and what it enters beyond is kept as if its clients had no
//! names. That changes no verdict, and nothing at all while the table has room.
//!
//! Whoever has a domain has all names below it, so an organisation is counted here as what is bought: see
//! [`DomainName::registered`].
//!
//! Nothing is kept of an organisation but counts in two places by its fingerprint, and the lower one of them is believed (a count-min sketch with
//! conservative updates): it may be too high, where others have both places too, and is never too low. All counts sink by a sixteenth of a share
//! every sixteenth of an hour, so that an organisation which goes on has a share each hour. A restart forgets them.

use crate::engine::domain_name::DomainName;
use crate::engine::limits::{
    ORGANISATION_COUNTS, SHARE_MIN, SHARE_OF_FLOOR, SHARE_PART_MAX, SHARE_STEP, SHARE_STEPS,
};
use crate::engine::time::Timestamp;
use crate::engine::triplet::{Fingerprint, FingerprintKey};

/// See the [module](self). Its memory is all zero at first, but for the share.
pub(super) struct Shares {
    /// New entries of an organisation; not 0.
    share: u16,
    /// In which step since 1970 the counts were lowered last.
    step: u32,
    counts: [[u16; ORGANISATION_COUNTS]; 2],
}

impl Shares {
    /// Shares of a class that keeps so many entries in a full table.
    pub(super) fn of(floor_entries: u32) -> Shares {
        let least = SHARE_MIN.min(floor_entries / SHARE_PART_MAX).max(1);
        let share = (floor_entries / SHARE_OF_FLOOR).max(least);
        Shares {
            // Lossless, see limits.rs.
            share: share as u16,
            step: 0,
            counts: [[0; ORGANISATION_COUNTS]; 2],
        }
    }

    /// Whether an organisation may have one more entry as named at the time `now`, which is then counted.
    pub(super) fn take(
        &mut self,
        key: &FingerprintKey,
        organisation: DomainName<'_>,
        now: Timestamp,
    ) -> bool {
        self.lower(now);
        let share = self.share;
        let places = self.places(key.share(organisation.registered()));
        let count = places
            .iter()
            .fold(u16::MAX, |count, place| count.min(**place));
        if count >= share {
            return false;
        }
        for place in places {
            *place = (count + 1).max(*place);
        }
        true
    }

    fn places(&mut self, fingerprint: Fingerprint) -> [&mut u16; 2] {
        let bits = fingerprint.bits() as usize;
        let [first, second] = &mut self.counts;
        [
            &mut first[bits % ORGANISATION_COUNTS],
            &mut second[(bits >> 16) % ORGANISATION_COUNTS],
        ]
    }

    fn lower(&mut self, now: Timestamp) {
        let step = now.unix() / SHARE_STEP.get();
        if step == self.step {
            return;
        }
        let until = |step: u32| u64::from(step) * u64::from(self.share) / u64::from(SHARE_STEPS);
        // A clock that goes back, which only a test's does, has all begin anew.
        let by = until(step)
            .checked_sub(until(self.step))
            .unwrap_or(u64::MAX);
        let by = u16::try_from(by).unwrap_or(u16::MAX);
        self.step = step;
        for count in self.counts.iter_mut().flatten() {
            *count = count.saturating_sub(by);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const KEY: FingerprintKey = FingerprintKey::new([3; 16]);

    /// A whole number of steps.
    const START: u64 = 1_700_000_100;

    /// Those of 160 entries.
    fn shares() -> Shares {
        Shares::of(80 * 160)
    }

    /// How many of so many entries an organisation may have.
    fn taken(shares: &mut Shares, organisation: &str, entries: usize, time: u64) -> usize {
        let organisation = DomainName::parse(organisation.as_bytes()).unwrap();
        let now = Timestamp::from_unix(time);
        (0..entries)
            .filter(|_| shares.take(&KEY, organisation, now))
            .count()
    }

    #[test]
    fn an_organisation_has_its_share_each_hour() {
        let mut shares = shares();
        assert_eq!(taken(&mut shares, "evil.example", 100, START), 100);
        assert_eq!(taken(&mut shares, "EVIL.example", 100, START + 224), 60);
        assert_eq!(taken(&mut shares, "evil.example", 20, START + 225), 10);
        assert_eq!(taken(&mut shares, "evil.example", 200, START + 1_800), 70);
        assert_eq!(taken(&mut shares, "evil.example", 200, START + 5_400), 160);
        assert_eq!(taken(&mut shares, "evil.example", 200, 4_000_000_000), 160);
        assert_eq!(taken(&mut shares, "other.example", 200, 4_000_000_000), 160);
    }

    #[test]
    fn small_and_large_tables() {
        for (floor, share) in [(3, 1), (12, 2), (96, 16), (1_536, 19), (49_152, 614)] {
            let mut shares = Shares::of(floor);
            assert_eq!(taken(&mut shares, "evil.example", 1_000, START), share);
            let hours = (1..=16).map(|step| {
                let time = START + step * 225;
                taken(&mut shares, "evil.example", 1_000, time)
            });
            let an_hour = hours.sum::<usize>();
            // An hour need not begin with a whole entry.
            assert!((share..=share + 1).contains(&an_hour), "{an_hour}");
        }
    }

    #[test]
    fn a_clock_that_goes_back_has_all_begin_anew() {
        let mut shares = shares();
        assert_eq!(taken(&mut shares, "evil.example", 200, START + 9_000), 160);
        assert_eq!(taken(&mut shares, "evil.example", 200, START), 160);
    }

    /// Whoever has `evil.us` or `plc.me` has all below it, but nobody has `co.uk`.
    #[test]
    fn what_is_below_one_domain() {
        let all = |suffix: &str| {
            let mut shares = shares();
            let taken = (0..100).map(|number| {
                let organisation = format!("x{number}.{suffix}");
                taken(&mut shares, &organisation, 100, START)
            });
            taken.sum::<usize>()
        };
        assert_eq!(all("evil.us"), 160);
        assert_eq!(all("plc.me"), 160);
        assert_eq!(all("evil.example"), 160);
        // But for those that have both places of others.
        assert!(all("co.uk") > 98 * 100);
        let mut shares = shares();
        assert_eq!(taken(&mut shares, "a.co.uk", 200, START), 160);
        assert_eq!(taken(&mut shares, "b.co.uk", 200, START), 160);
        let later = START + 3_600;
        assert_eq!(taken(&mut shares, "c.co.uk", 200, later), 160);
    }

    /// What a map of exact counts refuses is refused; and while organisations are few, nothing else.
    #[test]
    fn as_exact_counts() {
        for (organisations, is_exact) in [(40, true), (3_000, false)] {
            let mut shares = Shares::of(768);
            let mut exact: HashMap<u64, u16> = HashMap::new();
            let (mut random, mut time, mut refused) = (1_u64, START, 0);
            for _ in 0..100_000 {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let number = (random >> 33) % organisations;
                if (random >> 20).is_multiple_of(10_000) {
                    time += 225;
                    for count in exact.values_mut() {
                        *count = count.saturating_sub(1);
                    }
                }
                let count = exact.entry(number).or_default();
                let is_within = *count < 16;
                let is_taken = taken(&mut shares, &format!("x{number}.example"), 1, time) == 1;
                assert!(is_within || !is_taken, "{number} has too much");
                assert!(!is_exact || is_within == is_taken, "{number}");
                *count += u16::from(is_taken);
                refused += u32::from(!is_taken);
            }
            assert!(refused > 100, "{refused}");
        }
    }
}
