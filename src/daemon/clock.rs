//! The [logical clock](crate::engine::clock) by the kernel's clocks.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::engine::clock::{self, Reading};
use crate::engine::snapshot::{Found, Moment};
use crate::engine::time::{HeaderDate, Timestamp};

/// A clock that only goes forward.
pub(super) struct Clock(clock::Clock);

impl Clock {
    /// A clock that goes on from a snapshot, or starts at what the wall clock says.
    pub(super) fn start(found: Option<&Found>) -> Clock {
        let reading = Reading {
            wall_unix_seconds: wall_unix_seconds(),
            boot_seconds: boot_seconds(),
            boot_id: boot_id().unwrap_or_default(),
        };
        Clock(clock::Clock::start(found, reading))
    }

    /// Whether a moment was in this boot.
    pub(super) fn is_same_boot(&self, moment: &Moment) -> bool {
        self.0.is_same_boot(moment)
    }

    /// What time it is.
    pub(super) fn now(&self) -> Timestamp {
        self.0.at(boot_seconds())
    }

    /// The same, by all clocks.
    pub(super) fn moment(&self) -> Moment {
        self.0.moment(wall_unix_seconds(), boot_seconds())
    }

    /// How long it has run.
    pub(super) fn uptime_seconds(&self) -> u64 {
        self.0.uptime_seconds(boot_seconds())
    }
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

    #[test]
    fn this_boot_has_a_name() {
        assert!(boot_id().is_some_and(|id| id != [0; 16]));
    }
}
