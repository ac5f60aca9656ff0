//! The numbers for people, on a terminal of 80 columns.

use std::io::{self, Write};

use super::answer::Answer;
use crate::daemon::metrics::Id;
use crate::engine::history::{OUTCOMES, Outcome};
use crate::engine::limits::{EVICTED_YOUNG, HISTORY_HOURS};
use crate::engine::tally::Tally;
use crate::engine::time::{Age, Seconds};

/// Writes it.
///
/// # Errors
///
/// It cannot be written.
pub fn write(out: &mut impl Write, answer: &Answer, server: &str) -> io::Result<()> {
    let uptime = answer.value(Id::Uptime);
    let started = uptime.map(|uptime| format!(", started {} ago", age(uptime)));
    let started = started.unwrap_or_default();
    writeln!(out, "greylet {} at {server}{started}", answer.version)?;
    if answer.value(Id::DryRun) == Some(1) {
        writeln!(
            out,
            "Dry run: all mail passes; what is deferred here would have been."
        )?;
    }
    write_verdicts(out, answer)?;
    write_table(out, answer)?;
    write_connections(out, answer)?;
    write_snapshot(out, answer)?;
    write_trouble(out, answer)?;
    write_history(out, &answer.hours)
}

fn write_verdicts(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let kinds = answer.values(Id::Verdicts).iter().map(|(name, verdicts)| {
        let kind = Tally::NAMES.iter().position(|known| known == name);
        (kind, name, *verdicts)
    });
    let (deferred, passed): (Vec<_>, Vec<_>) =
        kinds.partition(|(kind, _, _)| kind.is_some_and(Tally::is_deferral));
    writeln!(out)?;
    row(
        out,
        "Requests",
        answer.value(Id::Requests),
        "since the start",
    )?;
    for (title, kinds) in [("deferred", deferred), ("passed", passed)] {
        let sum = sum(kinds.iter().map(|(_, _, verdicts)| *verdicts));
        row(out, &format!("  {title}"), Some(sum), "")?;
        for (kind, name, verdicts) in kinds {
            if verdicts > 0 {
                let name = format!("    {}", name.replace('_', " "));
                row(out, &name, Some(verdicts), kind.map_or("", Tally::meaning))?;
            }
        }
    }
    let repeated = "asked again about the same message";
    row(out, "  repeated", answer.value(Id::Repeated), repeated)
}

fn write_table(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    writeln!(
        out,
        "\n{:<24}{:>10}{:>12}  longest unused",
        "Table", "entries", "evicted"
    )?;
    let (mut entries, mut evicted) = (0, 0);
    for (class, of_class) in answer.values(Id::Entries) {
        let evicted_of_class = answer.labelled(Id::Evictions, class).unwrap_or_default();
        let unused = answer.labelled(Id::EntriesUnused, class);
        let line = format!(
            "  {:<22}{of_class:>10}{evicted_of_class:>12}  {}",
            class.replace('_', " "),
            unused.map(|it| age(it).to_string()).unwrap_or_default()
        );
        writeln!(out, "{}", line.trim_end())?;
        entries = sum([entries, *of_class]);
        evicted = sum([evicted, evicted_of_class]);
    }
    let room = answer.value(Id::EntriesMax);
    let room = room.map(|room| format!("  room for {room}"));
    let room = room.unwrap_or_default();
    writeln!(out, "  {:<22}{entries:>10}{evicted:>12}{room}", "all")?;
    if let Some(beyond @ 1..) = answer.value(Id::EntriesBeyondShare) {
        writeln!(
            out,
            "  {beyond} of mail servers were kept as plain, beyond their organisation's share."
        )?;
    }
    if let Some(youngest) = answer.value(Id::EvictedPendingAgeMin) {
        let age = age(youngest);
        writeln!(
            out,
            "  The youngest that was evicted while it was pending was {age} old."
        )?;
        if youngest < EVICTED_YOUNG.get().into() {
            writeln!(out, "  The table is too small: raise --max-entries.")?;
        }
    }
    Ok(())
}

fn write_connections(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let limit = answer.value(Id::ConnectionsMax);
    let limit = limit.map(|limit| format!("at most {limit}"));
    let (reached, closed) = (Id::ConnectionLimitReached, Id::ConnectionsClosedForRoom);
    writeln!(out, "\nConnections")?;
    for (name, id, remark) in [
        (
            "  open",
            Id::Connections,
            limit.as_deref().unwrap_or_default(),
        ),
        ("  so far", Id::ConnectionsAccepted, ""),
        ("  limit reached", reached, "times"),
        ("  closed to make room", closed, ""),
    ] {
        row(out, name, answer.value(id), remark)?;
    }
    Ok(())
}

fn write_snapshot(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    // Nothing is kept.
    let Some(saves) = answer.value(Id::SnapshotSaves) else {
        return writeln!(out, "\nSnapshot                      none");
    };
    let saved = answer.value(Id::SnapshotAge);
    let saved = saved.map(|saved| format!("bytes, saved {} ago", age(saved)));
    let written = answer.value(Id::SnapshotWritten).unwrap_or_default();
    let written = format!("since the start, {written} bytes");
    writeln!(out, "\nSnapshot")?;
    let size = answer.value(Id::SnapshotSize).or(Some(0));
    row(
        out,
        "  size",
        size,
        saved.as_deref().unwrap_or("never saved"),
    )?;
    row(out, "  saves", Some(saves), &written)?;
    let failed = answer.value(Id::SnapshotSavesFailed);
    row(out, "  failed saves", failed, "")
}

fn write_trouble(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    writeln!(out, "\nTrouble")?;
    for (name, id, remark) in [
        (
            "  not judged",
            Id::Unjudged,
            "passed: something was missing",
        ),
        (
            "  protocol errors",
            Id::Malformed,
            "clients that are not Postfix",
        ),
        (
            "  log lines lost",
            Id::LogLinesLost,
            "nobody read them in time",
        ),
    ] {
        row(out, name, answer.value(id), remark)?;
    }
    Ok(())
}

/// A line, if there is a number.
fn row(out: &mut impl Write, name: &str, number: Option<u64>, remark: &str) -> io::Result<()> {
    let Some(number) = number else {
        return Ok(());
    };
    let line = format!("{name:<24}{number:>10}  {remark}");
    writeln!(out, "{}", line.trim_end())
}

/// Hours of a line.
const DAY_HOURS: usize = 24;

/// From nothing to the most there is.
const SHADES: &[u8] = b" .:-=+*#%@";

fn write_history(out: &mut impl Write, hours: &[[u64; OUTCOMES]; HISTORY_HOURS]) -> io::Result<()> {
    let most = hours.iter().map(deferred).max().unwrap_or_default();
    writeln!(
        out,
        "\n{:<16}{:>9}{:>11}{:>11}   deferred by hour, until now",
        "Last seven days", "deferred", "came back", "at once"
    )?;
    for (day, hours) in hours.chunks(DAY_HOURS).enumerate() {
        let of_day = |of: fn(&[u64; OUTCOMES]) -> u64| sum(hours.iter().map(of));
        let (deferred_in_all, came_back) = (of_day(deferred), of_day(came_back));
        let at_once = of_day(|hour| sum(*hour))
            .saturating_sub(deferred_in_all)
            .saturating_sub(came_back);
        let graph: String = hours
            .iter()
            .rev()
            .map(|hour| shade(deferred(hour), most))
            .collect();
        let name = match day {
            0 => "last 24 hours".to_owned(),
            1 => "a day before".to_owned(),
            days => format!("{days} days before"),
        };
        writeln!(
            out,
            "  {name:<14}{deferred_in_all:>9}{came_back:>11}{at_once:>11}  |{graph}|"
        )?;
    }
    match most {
        0 => Ok(()),
        _ => writeln!(out, "{:>50}@ is {most}", ""),
    }
}

fn deferred(hour: &[u64; OUTCOMES]) -> u64 {
    sum([
        hour[Outcome::New as usize],
        hour[Outcome::EarlyRetry as usize],
    ])
}

fn came_back(hour: &[u64; OUTCOMES]) -> u64 {
    hour[Outcome::FirstPass as usize]
}

/// Only nothing is blank.
fn shade(number: u64, most: u64) -> char {
    let steps = SHADES.len() as u128 - 1;
    let shade = (u128::from(number) * steps).div_ceil(most.max(1).into());
    char::from(SHADES[shade as usize])
}

/// Whoever is asked may answer any numbers.
fn sum(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(0, u64::saturating_add)
}

fn age(seconds: u64) -> Age {
    Age(Seconds::new(u32::try_from(seconds).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::metrics::{Label, METRICS};

    /// A greylet that has counted as much as it can in a year of a million requests an hour.
    fn long_lived() -> Answer {
        answer("3599", "999999")
    }

    /// Every metric has one value, and every outcome of an hour another.
    fn answer(value: &str, count: &str) -> Answer {
        let mut lines = vec!["stats=yes".to_owned(), "version=10.10.10".to_owned()];
        for metric in METRICS {
            for label in metric.label.map_or(&[""][..], Label::values) {
                let dot = if label.is_empty() { "" } else { "." };
                lines.push(format!("{}{dot}{label}={value}", metric.name));
            }
        }
        let names = Outcome::NAMES.join(",");
        lines.push(format!("hours={names}"));
        for ago in 0..HISTORY_HOURS {
            let counts = [count; OUTCOMES].join(",");
            lines.push(format!("hour.{ago}={counts}"));
        }
        Answer::read(&lines).expect("an answer")
    }

    #[test]
    fn it_fits_a_terminal() {
        let mut screen = Vec::new();
        write(&mut screen, &long_lived(), "127.0.0.1:10023").expect("a Vec takes all");
        let screen = String::from_utf8(screen).expect("UTF-8");
        for line in screen.lines() {
            assert!(line.len() <= 80 && line == line.trim_end(), "{line:?}");
        }
        // All outcomes but two are no deferral, and but one of these passed at once.
        let day = DAY_HOURS * 999_999;
        let (deferred, at_once) = (2 * day, (OUTCOMES - 3) * day);
        let row = format!("  a day before   {deferred:>8}{day:>11}{at_once:>11}  |@@@@");
        assert!(screen.contains(&row), "{row}\n{screen}");
        assert!(screen.contains("59 minutes old.\n  The table is too small"));
    }

    #[test]
    fn numbers_that_no_greylet_can_have_counted() {
        let most = u64::MAX.to_string();
        let mut screen = Vec::new();
        write(&mut screen, &answer(&most, &most), "127.0.0.1:10023").expect("a Vec takes all");
        let screen = String::from_utf8(screen).expect("UTF-8");
        assert!(screen.contains(&format!("@ is {most}")), "{screen}");
    }

    #[test]
    fn shades() {
        let shades: String = (0..=18).map(|number| shade(number, 18)).collect();
        assert_eq!(shades, " ..::--==++**##%%@@");
        assert_eq!((shade(0, 0), shade(1, 1_000), shade(1, 1)), (' ', '.', '@'));
        assert_eq!(shade(u64::MAX / 2, u64::MAX), '+');
    }
}
