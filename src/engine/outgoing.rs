//! How many correspondents of our users are remembered in a day, so that neither a newsletter nor a stolen password fills the
//! table with them.

use heapless::Vec;

use crate::engine::limits::{WRITERS_A_DAY_MAX, WRITTEN_TO_A_DAY_MAX};
use crate::engine::time::{Seconds, Timestamp};
use crate::engine::triplet::Fingerprint;

/// One of our users, today.
struct Writer {
    fingerprint: Fingerprint,
    correspondents: u8,
}

/// New correspondents of a day, by user.
#[derive(Default)]
pub(super) struct DailyQuotas {
    begin: Option<Timestamp>,
    writers: Vec<Writer, WRITERS_A_DAY_MAX>,
}

impl DailyQuotas {
    /// Whether a user may have one more correspondent today, who is then counted.
    pub(super) fn take(&mut self, writer: Fingerprint, now: Timestamp) -> bool {
        // A clock that goes back, which only a test's does, begins a new day too.
        let is_today = |begin| now >= begin && now.since(begin) < Seconds::DAY;
        if !self.begin.is_some_and(is_today) {
            self.begin = Some(now);
            self.writers.clear();
        }
        let known = self
            .writers
            .iter_mut()
            .find(|other| other.fingerprint == writer);
        match known {
            Some(writer) if writer.correspondents >= WRITTEN_TO_A_DAY_MAX => false,
            Some(writer) => {
                writer.correspondents += 1;
                true
            }
            None => {
                let first = Writer {
                    fingerprint: writer,
                    correspondents: 1,
                };
                self.writers.push(first).is_ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_so_many_a_day() {
        let mut quotas = DailyQuotas::default();
        let writer = Fingerprint::from_bits(1);
        let at = Timestamp::from_unix;
        let taken = (0..300).filter(|_| quotas.take(writer, at(1))).count();
        assert_eq!(taken, 200);
        assert!(quotas.take(Fingerprint::from_bits(2), at(1)));
        assert!(!quotas.take(writer, at(86_400)));
        assert!(quotas.take(writer, at(86_401)));
    }

    #[test]
    fn so_many_users_have_some() {
        let mut quotas = DailyQuotas::default();
        let now = Timestamp::from_unix(1);
        let taken = (0..100).filter(|&bits| quotas.take(Fingerprint::from_bits(bits), now));
        assert_eq!(taken.count(), 64);
        assert!(quotas.take(Fingerprint::from_bits(0), now));
    }
}
