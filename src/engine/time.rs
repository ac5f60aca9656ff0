//! Time as values: the engine is told what time it is and never asks. All arithmetic saturates.

use std::fmt;

/// A point of the daemon's logical clock, in seconds since 1970; up to the year 2106.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u32);

/// A span of time in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(u32);

impl Timestamp {
    /// The time `seconds` after 1970; what lies beyond 2106 becomes 2106.
    pub fn from_unix(seconds: u64) -> Timestamp {
        Timestamp(u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    /// The seconds since 1970.
    pub const fn unix(self) -> u32 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    pub const fn since(self, earlier: Timestamp) -> Seconds {
        Seconds(self.0.saturating_sub(earlier.0))
    }

    /// This time, `span` later.
    pub const fn after(self, span: Seconds) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }
}

impl Seconds {
    /// 60 minutes.
    pub const HOUR: Seconds = Seconds(3_600);
    /// 24 hours.
    pub const DAY: Seconds = Seconds(86_400);

    /// A span of that many seconds.
    pub const fn new(seconds: u32) -> Seconds {
        Seconds(seconds)
    }

    /// The number of seconds.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// What is left of this span when `passed` is over; zero at the end.
    pub const fn less(self, passed: Seconds) -> Seconds {
        Seconds(self.0.saturating_sub(passed.0))
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A date as it stands in the X-Greylist header: `Mon, 23 Nov 2026 20:08:13 UTC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderDate {
    /// Seconds since 1970 by the wall clock.
    pub unix_seconds: u64,
}

impl fmt::Display for HeaderDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] = [
            "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb",
        ];
        let days = self.unix_seconds / 86_400;
        let second = self.unix_seconds % 86_400;
        // Years are counted from 1 March of the year 0, so that a leap day is a year's last.
        let day = days + 719_468;
        let era = day / 146_097;
        let day_of_era = day % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
        let year = era * 400 + year_of_era + u64::from(month >= 10);
        write!(
            f,
            "{}, {day_of_month:02} {} {year} {:02}:{:02}:{:02} UTC",
            WEEKDAYS[(days % 7) as usize],
            MONTHS[month as usize],
            second / 3_600,
            second / 60 % 60,
            second % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_date() {
        for (unix_seconds, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 UTC"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 UTC"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 UTC"),
            (1_795_464_493, "Mon, 23 Nov 2026 20:08:13 UTC"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 UTC"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 UTC"),
        ] {
            assert_eq!(HeaderDate { unix_seconds }.to_string(), date);
        }
    }

    #[test]
    fn arithmetic_saturates() {
        let early = Timestamp::from_unix(5);
        let late = Timestamp::from_unix(u64::MAX);
        assert_eq!(early.since(late), Seconds::new(0));
        assert_eq!(late.since(early), Seconds::new(u32::MAX - 5));
        assert_eq!(late.after(Seconds::DAY), late);
        assert_eq!(Seconds::HOUR.less(Seconds::DAY), Seconds::new(0));
    }
}
