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

    /// This time, `span` earlier, but not before 1970.
    pub const fn before(self, span: Seconds) -> Timestamp {
        Timestamp(self.0.saturating_sub(span.0))
    }
}

impl Seconds {
    /// 60 minutes.
    pub const HOUR: Seconds = Seconds(3_600);
    /// Longer than anything lasts here.
    pub const FOREVER: Seconds = Seconds(u32::MAX);
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

/// A span for people, in the largest unit that it has two of: `119 seconds`, `2 minutes`, `3 days`.
#[derive(Clone, Copy, Debug)]
pub struct Age(pub Seconds);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.get();
        for (unit, name) in [(86_400, "days"), (3_600, "hours"), (60, "minutes")] {
            if seconds >= 2 * unit {
                return write!(f, "{} {name}", seconds / unit);
            }
        }
        write!(f, "{seconds} seconds")
    }
}

/// A date and a time of day, by the clock whose seconds they are made from; of the Gregorian calendar, before it was used, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CivilTime {
    /// The year.
    pub year: i64,
    /// The month, from 1.
    pub month: i64,
    /// The day of the month, from 1.
    pub day: i64,
    /// 0 to 23.
    pub hour: i64,
    /// 0 to 59.
    pub minute: i64,
    /// 0 to 59.
    pub second: i64,
    /// The days since a Sunday, 0 to 6.
    pub weekday: i64,
}

/// Years are counted from 1 March of the year 0, so that a leap day is a year's last: the days from there to 1970.
const DAYS_TO_1970: i64 = 719_468;

impl CivilTime {
    /// The time so many seconds after the beginning of 1970, or before it.
    pub const fn from_unix(seconds: i64) -> CivilTime {
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let day = days + DAYS_TO_1970;
        let era = day.div_euclid(146_097);
        let day_of_era = day.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let is_next_year = month_from_march >= 10;
        CivilTime {
            year: era * 400 + year_of_era + is_next_year as i64,
            month: month_from_march + if is_next_year { -9 } else { 3 },
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: second / 3_600,
            minute: second / 60 % 60,
            second: second % 60,
            // 1 January 1970 was a Thursday.
            weekday: (days + 4).rem_euclid(7),
        }
    }

    /// The days from 1970 to a date. A month longer than it is runs into the next.
    pub const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
        let year = if month <= 2 { year - 1 } else { year };
        let month_from_march = (month + 9) % 12;
        let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        365 * year + leap_days + (153 * month_from_march + 2) / 5 + day - 1 - DAYS_TO_1970
    }

    /// The month as English and syslog shorten it.
    pub const fn month_name(self) -> &'static str {
        MONTHS[self.month as usize - 1]
    }
}

/// The months as English and syslog shorten them.
pub const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A date as it stands in the X-Greylist header: `Mon, 23 Nov 2026 20:08:13 UTC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderDate {
    /// Seconds since 1970 by the wall clock.
    pub unix_seconds: u64,
}

impl HeaderDate {
    /// The same, taken apart.
    pub fn civil_time(self) -> CivilTime {
        CivilTime::from_unix(i64::try_from(self.unix_seconds).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for HeaderDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        let civil = self.civil_time();
        let CivilTime {
            year,
            day,
            hour,
            minute,
            second,
            ..
        } = civil;
        let weekday = WEEKDAYS[civil.weekday as usize];
        let month = civil.month_name();
        write!(
            f,
            "{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} UTC"
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
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 UTC"),
            (u64::MAX, "Sun, 04 Dec 292277026596 15:30:07 UTC"),
        ] {
            assert_eq!(HeaderDate { unix_seconds }.to_string(), date);
        }
    }

    #[test]
    fn dates_and_days_agree() {
        let mut weekday = CivilTime::from_unix(-800_000 * 86_400).weekday;
        for day in -800_000..800_000 {
            let civil = CivilTime::from_unix(day * 86_400 + 86_399);
            assert_eq!(
                CivilTime::days_since_1970(civil.year, civil.month, civil.day),
                day
            );
            assert!((1..=12).contains(&civil.month) && (1..=31).contains(&civil.day));
            assert_eq!((civil.hour, civil.minute, civil.second), (23, 59, 59));
            assert_eq!(civil.weekday, weekday);
            weekday = (weekday + 1) % 7;
        }
    }

    #[test]
    fn arithmetic_saturates() {
        let early = Timestamp::from_unix(5);
        let late = Timestamp::from_unix(u64::MAX);
        assert_eq!(early.since(late), Seconds::new(0));
        assert_eq!(late.since(early), Seconds::new(u32::MAX - 5));
        assert_eq!(late.after(Seconds::DAY), late);
        assert_eq!(early.before(Seconds::HOUR), Timestamp::from_unix(0));
        assert_eq!(Seconds::HOUR.less(Seconds::DAY), Seconds::new(0));
    }
}
