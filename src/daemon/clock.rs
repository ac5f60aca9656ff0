//! The daemon's clock: it is set once, at the start, and then runs with the kernel's CLOCK_BOOTTIME, which nobody can
//! set and which goes on during suspend. When NTP moves the wall clock, nothing happens here.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::engine::time::{HeaderDate, Timestamp};

/// A clock that only goes forward.
pub(super) struct Clock {
    start_unix_seconds: u64,
    start_boot_seconds: u64,
}

impl Clock {
    /// A clock that starts at what the wall clock says.
    pub(super) fn start() -> Clock {
        Clock {
            start_unix_seconds: wall_unix_seconds(),
            start_boot_seconds: boot_seconds(),
        }
    }

    /// What time it is.
    pub(super) fn now(&self) -> Timestamp {
        let passed = boot_seconds().saturating_sub(self.start_boot_seconds);
        Timestamp::from_unix(self.start_unix_seconds.saturating_add(passed))
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
