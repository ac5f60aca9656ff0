//! How much of what waits under a verified name may be one organisation's.
//!
//! A class keeps its share of a full table, but nobody's share of the class: one rented host with a mail server's name, which writes to
//! ever new recipients, would push out what waits of every mail server that nobody knows yet. So an organisation has so many new entries
//! in about an hour in the class [`Named`](crate::engine::table::Class::Named), and what it enters beyond is kept as if its clients had no
//! names. That changes no verdict, and nothing at all while the table has room.
//!
//! Whoever has a domain has all names below it, so an organisation is counted here as what is bought: the last two labels, or three below
//! a country's second-level word. As it is for sale, too, to be `plc` somewhere, what has the last two of three labels in common has a
//! number of shares together.
//!
//! Nothing is kept of an organisation but counts in two places by its fingerprint, and the lower one of them is believed (a count-min sketch with
//! conservative updates): it may be too high, where others have both places too, and is never too low. All counts sink by a sixteenth of a share
//! every sixteenth of an hour, so that an organisation which goes on has its share each hour, and never half of it at once. A restart forgets them.

use crate::engine::domain_name::DomainName;
use crate::engine::limits::{
    ORGANISATION_COUNTS, SHARE_MIN, SHARE_OF_FLOOR, SHARE_STEP, SHARE_STEPS, SHARES_BELOW_SUFFIX,
    SUFFIX_COUNTS,
};
use crate::engine::time::Timestamp;
use crate::engine::triplet::{Fingerprint, FingerprintKey};

/// See the [module](self). Its memory is all zero at first, but for two numbers.
pub(super) struct Shares {
    /// New entries of an organisation.
    share: u16,
    /// In which step since 1970 the counts were lowered last.
    step: u32,
    organisations: Counts<ORGANISATION_COUNTS>,
    /// Of what they are below, where that may be a suffix as `co.uk`.
    suffixes: Counts<SUFFIX_COUNTS>,
    refused: u64,
}

/// Counts by fingerprint, each in a place of both rows.
struct Counts<const PLACES: usize>([[u16; PLACES]; 2]);

impl Shares {
    /// Shares of a class that keeps so many entries in a full table.
    pub(super) const fn of(floor_entries: u32) -> Shares {
        let share = floor_entries / SHARE_OF_FLOOR;
        Shares {
            // Lossless, see limits.rs.
            share: if share < SHARE_MIN { SHARE_MIN } else { share } as u16,
            step: 0,
            organisations: Counts([[0; ORGANISATION_COUNTS]; 2]),
            suffixes: Counts([[0; SUFFIX_COUNTS]; 2]),
            refused: 0,
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
        let bought = organisation.registered();
        let suffix = bought.parent().map(|suffix| key.share(suffix));
        let bought = key.share(bought);
        let below_suffix = self.share.saturating_mul(SHARES_BELOW_SUFFIX);
        let is_within = self.organisations.of(bought) < self.share
            && suffix.is_none_or(|suffix| self.suffixes.of(suffix) < below_suffix);
        if is_within {
            self.organisations.add(bought);
            suffix.inspect(|&suffix| self.suffixes.add(suffix));
        } else {
            self.refused += 1;
        }
        is_within
    }

    /// How often an organisation has had no more.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    fn lower(&mut self, now: Timestamp) {
        let step = now.unix() / SHARE_STEP.get();
        if step == self.step {
            return;
        }
        // A clock that goes back, which only a test's does, has all begin anew.
        let steps = step.checked_sub(self.step).unwrap_or(u32::MAX);
        let steps = u16::try_from(steps).unwrap_or(u16::MAX);
        self.step = step;
        let share = self.share.div_ceil(SHARE_STEPS);
        self.organisations.lower(share.saturating_mul(steps));
        let below_suffix = share.saturating_mul(SHARES_BELOW_SUFFIX);
        self.suffixes.lower(below_suffix.saturating_mul(steps));
    }
}

impl<const PLACES: usize> Counts<PLACES> {
    fn places(&mut self, fingerprint: Fingerprint) -> [&mut u16; 2] {
        let bits = fingerprint.bits() as usize;
        let [first, second] = &mut self.0;
        [
            &mut first[bits % PLACES],
            &mut second[(bits >> 16) % PLACES],
        ]
    }

    fn of(&mut self, fingerprint: Fingerprint) -> u16 {
        let [first, second] = self.places(fingerprint);
        (*first).min(*second)
    }

    fn add(&mut self, fingerprint: Fingerprint) {
        let count = self.of(fingerprint).saturating_add(1);
        for place in self.places(fingerprint) {
            *place = count.max(*place);
        }
    }

    fn lower(&mut self, by: u16) {
        for count in self.0.iter_mut().flatten() {
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

    /// Those of a table of 65,536 entries.
    fn shares() -> Shares {
        Shares::of(12_288)
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
        assert_eq!(taken(&mut shares, "evil.example", 150, START), 150);
        assert_eq!(taken(&mut shares, "EVIL.example", 150, START + 224), 42);
        assert_eq!(shares.refused(), 108);
        assert_eq!(taken(&mut shares, "evil.example", 20, START + 225), 12);
        assert_eq!(taken(&mut shares, "evil.example", 200, START + 1_800), 84);
        assert_eq!(taken(&mut shares, "evil.example", 200, START + 5_400), 192);
        assert_eq!(taken(&mut shares, "evil.example", 200, 4_000_000_000), 192);
        assert_eq!(taken(&mut shares, "other.example", 200, 4_000_000_000), 192);
    }

    #[test]
    fn small_and_large_tables() {
        for (floor, share) in [(12, 16), (768, 16), (1_152, 18), (49_152, 768)] {
            let mut shares = Shares::of(floor);
            assert_eq!(taken(&mut shares, "evil.example", 1_000, START), share);
            let hours = (1..=16).map(|step| {
                let time = START + step * 225;
                taken(&mut shares, "evil.example", 1_000, time)
            });
            let an_hour = hours.sum::<usize>();
            // Steps are whole entries.
            assert!((share..=share + 16).contains(&an_hour), "{an_hour}");
        }
    }

    #[test]
    fn a_clock_that_goes_back_has_all_begin_anew() {
        let mut shares = shares();
        assert_eq!(taken(&mut shares, "evil.example", 200, START + 9_000), 192);
        assert_eq!(taken(&mut shares, "evil.example", 200, START), 192);
    }

    /// Whoever has `evil.us` or `plc.me` has all below it, but who has `co.uk` has not.
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
        assert_eq!(all("evil.us"), 192);
        assert_eq!(all("plc.me"), 16 * 192);
        assert_eq!(all("evil.example"), 192);
        let mut shares = shares();
        assert_eq!(taken(&mut shares, "a.co.uk", 200, START), 192);
        assert_eq!(taken(&mut shares, "b.co.uk", 200, START), 192);
        let later = START + 3_600;
        assert_eq!(taken(&mut shares, "c.co.uk", 200, later), 192);
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
