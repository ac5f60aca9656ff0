//! The daemon's clock: it is set once, at the start, and then runs with the kernel's CLOCK_BOOTTIME, which nobody can
//! set and which goes on during suspend. When NTP moves the wall clock, nothing happens here.
//!
//! It goes on where the last save left it. In the same boot CLOCK_BOOTTIME tells how long that was ago; after another one the wall clock does, but it is believed
//! only from nothing to a week: a box without a battery boots in 1970, or in whatever year somebody has left in it, and nobody is to be forgotten because of that.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::engine::snapshot::{Found, Moment};
use crate::engine::time::{HeaderDate, Timestamp};

/// Longest time that the wall clock is believed to have passed between two boots, in seconds.
const OFF_SECONDS_MAX: u64 = 7 * 86_400;

/// A clock that only goes forward.
pub(super) struct Clock {
    start: Timestamp,
    start_boot_seconds: u64,
    boot_id: [u8; 16],
}

/// What the other clocks say.
#[derive(Clone, Copy)]
struct Reading {
    wall_unix_seconds: u64,
    boot_seconds: u64,
    /// Zero if the kernel does not say.
    boot_id: [u8; 16],
}

impl Clock {
    /// A clock that goes on from a snapshot, or starts at what the wall clock says.
    pub(super) fn start(found: Option<&Found>) -> Clock {
        let reading = Reading::now();
        Clock {
            start: match found {
                None => Timestamp::from_unix(believable(reading.wall_unix_seconds)),
                Some(found) => resumed(found.moment.as_ref(), found.latest, reading),
            },
            start_boot_seconds: reading.boot_seconds,
            boot_id: reading.boot_id,
        }
    }

    /// Whether a moment was in this boot.
    pub(super) fn is_same_boot(&self, moment: &Moment) -> bool {
        moment.boot_id == self.boot_id && self.boot_id != [0; 16]
    }

    /// What time it is.
    pub(super) fn now(&self) -> Timestamp {
        self.at(boot_seconds())
    }

    /// The same, by all clocks.
    pub(super) fn moment(&self) -> Moment {
        let boot_seconds = boot_seconds();
        Moment {
            logical: self.at(boot_seconds),
            wall_unix_seconds: wall_unix_seconds(),
            boot_seconds,
            boot_id: self.boot_id,
            data_asked: None,
        }
    }

    /// How long it has run.
    pub(super) fn uptime_seconds(&self) -> u64 {
        boot_seconds().saturating_sub(self.start_boot_seconds)
    }

    fn at(&self, boot_seconds: u64) -> Timestamp {
        let passed = boot_seconds.saturating_sub(self.start_boot_seconds);
        Timestamp::from_unix(u64::from(self.start.unix()).saturating_add(passed))
    }
}

impl Reading {
    fn now() -> Reading {
        Reading {
            wall_unix_seconds: wall_unix_seconds(),
            boot_seconds: boot_seconds(),
            boot_id: boot_id().unwrap_or_default(),
        }
    }
}

/// The time of a first start. A logical clock ends in 2106, so what is near that is not believed; it need not be right.
fn believable(wall_unix_seconds: u64) -> u64 {
    const YEAR_2030: u64 = 1_893_456_000;
    const YEAR_2080: u64 = 3_471_292_800;
    match wall_unix_seconds {
        0..YEAR_2080 => wall_unix_seconds,
        _ => YEAR_2030,
    }
}

/// The time after the last save, which was not before `latest`.
fn resumed(moment: Option<&Moment>, latest: Timestamp, reading: Reading) -> Timestamp {
    let Some(moment) = moment else {
        return latest;
    };
    let is_same_boot = moment.boot_id == reading.boot_id && reading.boot_id != [0; 16];
    let passed = if is_same_boot {
        reading.boot_seconds.saturating_sub(moment.boot_seconds)
    } else {
        let off = reading
            .wall_unix_seconds
            .saturating_sub(moment.wall_unix_seconds);
        off.min(OFF_SECONDS_MAX)
    };
    Timestamp::from_unix(u64::from(moment.logical.unix()).saturating_add(passed)).max(latest)
}

/// The date for a header, by the wall clock: people compare it with the other headers.
pub(super) fn header_date() -> HeaderDate {
    HeaderDate {
        unix_seconds: wall_unix_seconds(),
    }
}

fn wall_unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn boot_seconds() -> u64 {
    // Cannot fail: every Linux that Rust supports has this clock, and it is never negative.
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .ok()
        .and_then(|time| u64::try_from(time.tv_sec()).ok())
        .unwrap_or(0)
}

fn boot_id() -> Option<[u8; 16]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = text.trim().split('-').collect();
    let id = u128::from_str_radix(&digits, 16).ok()?;
    Some(id.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    /// Saved on 23 November 2026, by a box that had run for a day.
    fn saved() -> Moment {
        Moment {
            logical: Timestamp::default(),
            wall_unix_seconds: SAVED_WALL,
            boot_seconds: DAY,
            boot_id: [1; 16],
            data_asked: None,
        }
    }

    const SAVED_WALL: u64 = 1_795_464_493;

    fn passed(wall_unix_seconds: u64, boot_seconds: u64, boot_id: u8) -> u64 {
        let reading = Reading {
            wall_unix_seconds,
            boot_seconds,
            boot_id: [boot_id; 16],
        };
        resumed(Some(&saved()), Timestamp::default(), reading)
            .unix()
            .into()
    }

    #[test]
    fn in_the_same_boot_only_its_own_clock_counts() {
        for wall in [0, SAVED_WALL, SAVED_WALL + 900 * DAY] {
            assert_eq!(passed(wall, DAY + 30, 1), 30);
            assert_eq!(passed(wall, 90 * DAY, 1), 89 * DAY);
        }
        // A clock that goes back, which CLOCK_BOOTTIME does not.
        assert_eq!(passed(SAVED_WALL, 0, 1), 0);
    }

    #[test]
    fn after_another_boot_the_wall_clock_is_believed_for_a_week() {
        let wall = SAVED_WALL;
        assert_eq!(passed(wall + 600, 20, 2), 600);
        assert_eq!(passed(wall + 6 * DAY, 20, 2), 6 * DAY);
        assert_eq!(passed(wall + 60 * DAY, 20, 2), 7 * DAY);
        // Boot in 1970, in 2050; saved in 2037 is the first the other way round.
        assert_eq!(passed(20, 20, 2), 0);
        assert_eq!(passed(2_524_608_000, 20, 2), 7 * DAY);
        // A kernel that does not name its boots has always another one.
        assert_eq!(passed(wall + 600, DAY + 30, 0), 600);
    }

    #[test]
    fn time_does_not_go_back() {
        let latest = Timestamp::from_unix(5_000);
        let reading = Reading {
            wall_unix_seconds: 20,
            boot_seconds: 20,
            boot_id: [2; 16],
        };
        assert_eq!(resumed(Some(&saved()), latest, reading), latest);
        assert_eq!(resumed(None, latest, reading), latest);
    }

    #[test]
    fn a_first_start_in_a_far_year() {
        for wall in [0, SAVED_WALL, 2_524_608_000] {
            assert_eq!(believable(wall), wall);
        }
        for wall in [4_294_967_295, 4_300_000_000, u64::MAX] {
            assert!(believable(wall) < 2_524_608_000);
        }
    }

    #[test]
    fn this_boot_has_a_name() {
        assert!(boot_id().is_some_and(|id| id != [0; 16]));
    }
}
