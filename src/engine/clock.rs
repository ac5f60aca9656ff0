//! The logical clock: it is set once, at the start, and then runs with CLOCK_BOOTTIME, which nobody can set and which goes on during
//! suspend. When NTP moves the wall clock, nothing happens here. What the other clocks say comes in as a value.
//!
//! It goes on where the last save left it. In the same boot CLOCK_BOOTTIME tells how long that was ago; after another one the wall clock does, but it is believed
//! only from nothing to a week: a box without a battery boots in 1970, or in whatever year somebody has left in it, and nobody is to be forgotten because of that.

use crate::engine::snapshot::{Found, Moment};
use crate::engine::time::Timestamp;

/// Longest time that the wall clock is believed to have passed between two boots, in seconds.
const OFF_SECONDS_MAX: u64 = 7 * 86_400;

/// A clock that only goes forward.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Timestamp,
    start_boot_seconds: u64,
    boot_id: [u8; 16],
}

/// What the other clocks say.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The wall clock, in seconds since 1970.
    pub wall_unix_seconds: u64,
    /// CLOCK_BOOTTIME.
    pub boot_seconds: u64,
    /// The kernel's name for this boot; zero if it does not say.
    pub boot_id: [u8; 16],
}

impl Clock {
    /// A clock that goes on from a snapshot, or starts at what the wall clock says.
    pub fn start(found: Option<&Found>, reading: Reading) -> Clock {
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
    pub fn is_same_boot(&self, moment: &Moment) -> bool {
        is_of_boot(moment, self.boot_id)
    }

    /// What time it is when CLOCK_BOOTTIME says this.
    pub fn at(&self, boot_seconds: u64) -> Timestamp {
        let passed = self.uptime_seconds(boot_seconds);
        Timestamp::from_unix(u64::from(self.start.unix()).saturating_add(passed))
    }

    /// The same, by all clocks.
    pub fn moment(&self, wall_unix_seconds: u64, boot_seconds: u64) -> Moment {
        Moment {
            logical: self.at(boot_seconds),
            wall_unix_seconds,
            boot_seconds,
            boot_id: self.boot_id,
            data_asked: None,
        }
    }

    /// How long it has run then.
    pub fn uptime_seconds(&self, boot_seconds: u64) -> u64 {
        boot_seconds.saturating_sub(self.start_boot_seconds)
    }
}

/// Not if the kernel does not name its boots.
fn is_of_boot(moment: &Moment, boot_id: [u8; 16]) -> bool {
    moment.boot_id == boot_id && boot_id != [0; 16]
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
    let passed = if is_of_boot(moment, reading.boot_id) {
        reading.boot_seconds.saturating_sub(moment.boot_seconds)
    } else {
        let off = reading
            .wall_unix_seconds
            .saturating_sub(moment.wall_unix_seconds);
        off.min(OFF_SECONDS_MAX)
    };
    Timestamp::from_unix(u64::from(moment.logical.unix()).saturating_add(passed)).max(latest)
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
}
