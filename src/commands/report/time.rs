//! The time at the head of a log line, in the usual forms of syslog, logread, journalctl and docker, and the year that some leave out.

use std::fmt;

use crate::engine::time::{CivilTime, MONTHS};

const DAY: i64 = 86_400;

/// How far lines of one log may be out of order without being taken for another year's.
const DISORDER: i64 = 7 * DAY;

/// Most words of a date before its time of day: `Mo 23. Nov 2026`.
const DATE_WORDS_MAX: usize = 4;

/// A time as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    year: Option<i64>,
    /// From 1.
    month: i64,
    day: i64,
    second_of_day: i64,
    /// Seconds east of Greenwich.
    zone: Option<i64>,
}

/// A time whose year is known, or at least assumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since 1970; in UTC if the zone is written, otherwise by the log's own clock.
    pub seconds: i64,
    zone: Option<i64>,
    has_year: bool,
}

/// Reads the time at the head of a line; gives it with what follows the blank after it.
pub fn stamp(line: &[u8]) -> Option<(Stamp, &[u8])> {
    iso(line)
        .or_else(|| unix_date(line))
        .or_else(|| month_first(line))
        .or_else(|| short_full(line))
        .or_else(|| short_unix(line))
}

/// What follows the time of day where the date before it is not understood, as `Okt 23 20:08:13 `. Words that no date has (a
/// program, or fields) end the search: what they are followed by may be anybody's.
pub fn after_clock(line: &[u8]) -> Option<&[u8]> {
    let mut rest = line;
    for _ in 0..=DATE_WORDS_MAX {
        let mut scan = Scan(rest);
        if scan.clock().is_some() && scan.byte(b' ').is_some() {
            return Some(scan.0);
        }
        let (word, after) = rest.split_at(rest.iter().position(|&byte| byte == b' ')?);
        if word.contains(&b'=') || word.ends_with(b":") {
            return None;
        }
        rest = after.trim_ascii_start();
    }
    None
}

/// `2026-11-23T20:08:13.123456+01:00 `, with a blank for the T too, and with or without fraction and zone.
fn iso(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let mut scan = Scan(line);
    let year = scan.number(4)?;
    scan.byte(b'-')?;
    let month = scan.number(2)?;
    scan.byte(b'-')?;
    let day = scan.number(2)?;
    scan.byte(b'T').or_else(|| scan.byte(b' '))?;
    let second_of_day = scan.clock()?;
    let zone = scan.zone()?;
    scan.byte(b' ')?;
    let stamp = Stamp {
        year: Some(year),
        month,
        day,
        second_of_day,
        zone,
    };
    stamp.checked(scan.0)
}

/// What follows `Mon `.
fn after_weekday(line: &[u8]) -> Option<&[u8]> {
    let (weekday, rest) = line.split_at_checked(4)?;
    let is_weekday = weekday[..3].iter().all(u8::is_ascii_alphabetic) && weekday[3] == b' ';
    is_weekday.then_some(rest)
}

/// journalctl's `Mon 2026-11-23 20:08:13 CET `. What a zone is short for depends on the place, but for UTC.
fn short_full(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let (stamp, rest) = iso(after_weekday(line)?)?;
    let (name, rest) = rest.split_at(rest.iter().position(|&byte| byte == b' ')?);
    let zone = match name {
        b"UTC" => Some(0),
        _ => Scan(name).zone().flatten(),
    };
    Some((Stamp { zone, ..stamp }, &rest[1..]))
}

/// journalctl's `1795464493.123456 `.
fn short_unix(line: &[u8]) -> Option<(Stamp, &[u8])> {
    // Until 2286, and since 2001.
    let mut scan = Scan(line);
    let seconds = scan.number(10)?;
    scan.byte(b'.')?;
    scan.digits()?;
    scan.byte(b' ')?;
    let civil = CivilTime::from_unix(seconds);
    let stamp = Stamp {
        year: Some(civil.year),
        month: civil.month,
        day: civil.day,
        second_of_day: seconds.rem_euclid(DAY),
        zone: Some(0),
    };
    Some((stamp, scan.0))
}

/// OpenWrt's `Mon Nov 23 20:23:29 2026 `.
fn unix_date(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let (stamp, rest) = month_first(after_weekday(line)?)?;
    let mut scan = Scan(rest);
    let year = Some(scan.number(4)?);
    scan.byte(b' ')?;
    Some((Stamp { year, ..stamp }, scan.0))
}

/// `Nov 23 20:08:13 ` of RFC 3164 and of journalctl, with or without a fraction; some write `Nov 3 ` with one blank.
fn month_first(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let (name, rest) = line.split_at_checked(3)?;
    let month = MONTHS.iter().position(|month| month.as_bytes() == name)? as i64 + 1;
    let mut scan = Scan(rest);
    scan.byte(b' ')?;
    let is_padded = scan.byte(b' ').is_some();
    let two_digits = if is_padded { None } else { scan.number(2) };
    let day = two_digits.or_else(|| scan.number(1))?;
    scan.byte(b' ')?;
    let second_of_day = scan.clock()?;
    scan.byte(b' ')?;
    let stamp = Stamp {
        year: None,
        month,
        day,
        second_of_day,
        zone: None,
    };
    stamp.checked(scan.0)
}

/// What is left of a line.
struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    fn byte(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        let is_number = number.iter().all(u8::is_ascii_digit);
        self.0 = is_number.then_some(rest)?;
        Some(
            number
                .iter()
                .fold(0, |value, digit| value * 10 + i64::from(digit - b'0')),
        )
    }

    /// `20:08:13` or `20:08:13.123456`, as second of the day; the fraction is passed over.
    fn clock(&mut self) -> Option<i64> {
        let hour = self.number(2)?;
        self.byte(b':')?;
        let minute = self.number(2)?;
        self.byte(b':')?;
        let second = self.number(2)?;
        if self.byte(b'.').or_else(|| self.byte(b',')).is_some() {
            self.digits()?;
        }
        // A leap second is the 60th.
        let is_time = hour < 24 && minute < 60 && second <= 60;
        is_time.then_some(hour * 3_600 + minute * 60 + second)
    }

    /// Digits, however many, and then something else.
    fn digits(&mut self) -> Option<()> {
        let end = self.0.iter().position(|byte| !byte.is_ascii_digit())?;
        self.0 = &self.0[end..];
        Some(())
    }

    /// `Z`, `+01:00`, `+0100`, `+01` or nothing.
    fn zone(&mut self) -> Option<Option<i64>> {
        if self.byte(b'Z').is_some() {
            return Some(Some(0));
        }
        let sign = match self.0.first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Some(None),
        };
        self.0 = &self.0[1..];
        let hours = self.number(2)?;
        let has_colon = self.byte(b':').is_some();
        let minutes = match self.number(2) {
            Some(minutes) => minutes,
            None if has_colon => return None,
            None => 0,
        };
        Some(Some(sign * (hours * 3_600 + minutes * 60)))
    }
}

impl Stamp {
    fn checked(self, rest: &[u8]) -> Option<(Stamp, &[u8])> {
        let is_date = (1..=12).contains(&self.month) && (1..=31).contains(&self.day);
        is_date.then_some((self, rest))
    }

    fn seconds_in(&self, year: i64) -> i64 {
        CivilTime::days_since_1970(year, self.month, self.day) * DAY + self.second_of_day
            - self.zone.unwrap_or(0)
    }
}

/// Gives the times of a log, read in its order, their years.
#[derive(Clone, Debug)]
pub struct Calendar {
    /// When the log ends at the latest.
    end: i64,
    previous: Option<i64>,
}

impl Calendar {
    /// For a log that has been written until then (seconds since 1970).
    pub fn new(end: i64) -> Calendar {
        Calendar {
            end,
            previous: None,
        }
    }

    /// When a line was written, the next one of the log. A month that goes back means a new year.
    pub fn moment(&mut self, stamp: Stamp) -> Moment {
        let year = stamp.year.unwrap_or_else(|| self.year_of(&stamp));
        let seconds = stamp.seconds_in(year);
        self.previous = Some(seconds);
        Moment {
            seconds,
            zone: stamp.zone,
            has_year: stamp.year.is_some(),
        }
    }

    fn year_of(&self, stamp: &Stamp) -> i64 {
        let Some(previous) = self.previous else {
            // Two days more, because the zone is unknown and clocks are wrong.
            let year = CivilTime::from_unix(self.end + 2 * DAY).year;
            let is_over = stamp.seconds_in(year) <= self.end + 2 * DAY;
            return if is_over { year } else { year - 1 };
        };
        let year = CivilTime::from_unix(previous).year;
        (year - 1..=year)
            .find(|&year| stamp.seconds_in(year) >= previous - DISORDER)
            .unwrap_or(year + 1)
    }
}

impl Moment {
    /// The whole seconds since another moment, if it is not later; zones, where written, are heeded.
    pub fn since(&self, earlier: Moment) -> Option<u64> {
        u64::try_from(self.seconds - earlier.seconds).ok()
    }

    /// The day by the clock of the log, counted from 1970.
    pub fn day(&self) -> i64 {
        (self.seconds + self.zone.unwrap_or(0)).div_euclid(86_400)
    }

    /// That day: `2026-11-23`, or `Nov 23` if it has no year.
    pub fn date(&self) -> String {
        let mut date = self.to_string();
        // The time of day has eight characters.
        date.truncate(date.len() - " 20:08:13".len());
        date
    }

    /// As in the log, with its zone: `2026-11-23T20:08:13+01:00`, or `Nov 23 20:08:13` if it has no year.
    pub fn machine(&self) -> String {
        if !self.has_year {
            return self.to_string();
        }
        let zone = match self.zone {
            None => String::new(),
            Some(0) => "Z".to_owned(),
            Some(zone) => {
                let sign = if zone < 0 { '-' } else { '+' };
                let minutes = zone.abs() / 60;
                format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        };
        format!("{}{zone}", self.to_string().replace(' ', "T"))
    }
}

impl fmt::Display for Moment {
    /// By the clock of the log: `2026-11-23 20:08:13`, or `Nov 23 20:08:13` if it has no year.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = CivilTime::from_unix(self.seconds + self.zone.unwrap_or(0));
        let CivilTime {
            year,
            month,
            day,
            hour,
            minute,
            second,
            ..
        } = civil;
        if self.has_year {
            write!(f, "{year:04}-{month:02}-{day:02} ")?;
        } else {
            write!(f, "{} {day:2} ", civil.month_name())?;
        }
        write!(f, "{hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 23 November 2026, 12:00 UTC.
    const NOW: i64 = 1_795_435_200;

    fn moment(line: &str) -> Option<Moment> {
        let (stamp, rest) = stamp(line.as_bytes())?;
        assert_eq!(rest, b"host x: y", "{line}");
        Some(Calendar::new(NOW).moment(stamp))
    }

    #[test]
    fn forms() {
        for (form, seconds, shown, machine) in [
            (
                "Nov 23 20:08:13",
                1_795_464_493,
                "Nov 23 20:08:13",
                "Nov 23 20:08:13",
            ),
            (
                "Nov 23 20:08:13.123456",
                1_795_464_493,
                "Nov 23 20:08:13",
                "Nov 23 20:08:13",
            ),
            (
                "Mar  1 00:00:00",
                1_772_323_200,
                "Mar  1 00:00:00",
                "Mar  1 00:00:00",
            ),
            (
                "Mon Nov 23 20:08:13 2026",
                1_795_464_493,
                "2026-11-23 20:08:13",
                "2026-11-23T20:08:13",
            ),
            (
                "2026-11-23T20:08:13.123456+01:00",
                1_795_460_893,
                "2026-11-23 20:08:13",
                "2026-11-23T20:08:13+01:00",
            ),
            (
                "2026-11-23T20:08:13-0230",
                1_795_473_493,
                "2026-11-23 20:08:13",
                "2026-11-23T20:08:13-02:30",
            ),
            (
                "2026-11-23T20:08:13,5Z",
                1_795_464_493,
                "2026-11-23 20:08:13",
                "2026-11-23T20:08:13Z",
            ),
            (
                "2024-02-29 23:59:59+00",
                1_709_251_199,
                "2024-02-29 23:59:59",
                "2024-02-29T23:59:59Z",
            ),
            (
                "Nov 3 20:08:13",
                1_793_736_493,
                "Nov  3 20:08:13",
                "Nov  3 20:08:13",
            ),
            (
                "Mon 2026-11-23 20:08:13 CET",
                1_795_464_493,
                "2026-11-23 20:08:13",
                "2026-11-23T20:08:13",
            ),
            (
                "Mon 2026-11-23 20:08:13 UTC",
                1_795_464_493,
                "2026-11-23 20:08:13",
                "2026-11-23T20:08:13Z",
            ),
            (
                "Mon 2026-11-23 20:08:13 +03",
                1_795_453_693,
                "2026-11-23 20:08:13",
                "2026-11-23T20:08:13+03:00",
            ),
            (
                "1795464493.123456",
                1_795_464_493,
                "2026-11-23 20:08:13",
                "2026-11-23T20:08:13Z",
            ),
            (
                "1969-12-31T23:59:60",
                0,
                "1970-01-01 00:00:00",
                "1970-01-01T00:00:00",
            ),
        ] {
            let moment = moment(&format!("{form} host x: y")).unwrap_or_else(|| panic!("{form}"));
            assert_eq!(moment.seconds, seconds, "{form}");
            assert_eq!(moment.to_string(), shown, "{form}");
            assert_eq!(moment.machine(), machine, "{form}");
        }
    }

    #[test]
    fn not_times() {
        for line in [
            "",
            "Nov",
            "Nov 23",
            "Nov 23 20:08:13",
            "Nov 23 24:08:13 ",
            "Nov 32 20:08:13 ",
            "Nov  23 20:08:13 ",
            "Mon 2026-11-23 20:08:13 CET",
            "795464493.123456 ",
            "1795464493 ",
            "Nov 00 20:08:13 ",
            "Nox 23 20:08:13 ",
            "Mon Nov 23 20:08:13 host",
            "2026-13-23T20:08:13 ",
            "2026-11-23T20:08:13+01: ",
            "2026-11-23T20:08:13.5",
            "2026-11-23X20:08:13 ",
            "action=pass",
        ] {
            assert_eq!(stamp(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn times_of_day() {
        for (line, rest) in [
            ("Okt 23 20:08:13 mx x: y", Some("mx x: y")),
            ("Mo 23. Nov 2026 20:08:13.5 mx x: y", Some("mx x: y")),
            ("mär  3 20:08:13 ", Some("")),
            ("20:08:13 x", Some("x")),
            ("a b c d e 20:08:13 x", None),
            ("action=pass, 20:08:13 x: action=pass", None),
            ("mx x: 20:08:13 y: z", None),
            ("a 20:08:13", None),
            ("", None),
        ] {
            let found = after_clock(line.as_bytes());
            assert_eq!(found, rest.map(str::as_bytes), "{line}");
        }
    }

    fn days_between(times: &[&str]) -> Vec<i64> {
        let mut calendar = Calendar::new(NOW);
        let mut seconds = Vec::new();
        for time in times {
            let line = format!("{time} 12:00:00 ");
            let (stamp, _) = stamp(line.as_bytes()).unwrap_or_else(|| panic!("{time}"));
            seconds.push(calendar.moment(stamp).seconds);
        }
        let pairs = seconds.windows(2);
        pairs.map(|pair| (pair[1] - pair[0]) / DAY).collect()
    }

    #[test]
    fn years() {
        assert_eq!(days_between(&["Dec 30", "Dec 31", "Jan  1"]), [1, 1]);
        // Out of order, but of the same night.
        assert_eq!(
            days_between(&["Dec 31", "Jan  1", "Dec 31", "Jan  1"]),
            [1, -1, 1]
        );
        assert_eq!(days_between(&["Nov 30", "Dec  1", "Nov 30"]), [1, -1]);
        assert_eq!(days_between(&["Mar  1", "Jan  1"]), [306]);
        // A log that ends in November 2026 has its December in 2025.
        assert_eq!(days_between(&["2025-12-24", "Dec 25"]), [1]);
        let mut calendar = Calendar::new(NOW);
        let (dec, _) = stamp(b"Dec 25 00:00:00 ").unwrap();
        let civil = CivilTime::from_unix(calendar.moment(dec).seconds);
        assert_eq!((civil.year, civil.month, civil.day), (2025, 12, 25));
    }
}
