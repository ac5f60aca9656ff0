//! A summary for people to read.

use std::fmt;
use std::io::{self, Write};

use super::input::LINE_BYTES_MAX;
use super::ledger::Mail;
use super::summary::{Lost, STILL_WAITING, Source, Summary, network_name};
use crate::engine::log_line::Logged;

/// Writes it.
///
/// # Errors
///
/// It cannot be written.
pub fn write(out: &mut impl Write, summary: &Summary, greylist_text: &str) -> io::Result<()> {
    match summary.source {
        Some(source) => {
            write_lost(out, summary, source)?;
            write_totals(out, summary)?;
        }
        None => write_nothing(out, summary, greylist_text)?,
    }
    write_notes(out, summary)
}

fn write_nothing(out: &mut impl Write, summary: &Summary, greylist_text: &str) -> io::Result<()> {
    let lines = Count(summary.lines.read, "line");
    writeln!(out, "There is no greylisting in {lines}. Looked for were")?;
    writeln!(
        out,
        "  lines of greylet or Postgrey: action=greylist, reason=... and action=pass, reason=..."
    )?;
    writeln!(
        out,
        "  lines of Postfix: reject: RCPT (or DATA, BDAT) from ...: 4xx ... {greylist_text} ... (--greylist-text)"
    )
}

fn write_lost(out: &mut impl Write, summary: &Summary, source: Source) -> io::Result<()> {
    let lost = Count(summary.lost.len() as u64, "mail");
    match source {
        Source::PostfixRejects => {
            writeln!(out, "Greylisted, and perhaps never back: {lost}")?;
        }
        _ => writeln!(out, "Greylisted, and never back: {lost}")?,
    }
    for network in summary.networks() {
        if let Some(first) = network.first() {
            writeln!(out, "\n{}", network_name(first.pending.identity))?;
        }
        for lost in network {
            writeln!(out, "  {}", LostLine(lost))?;
        }
    }
    Ok(())
}

fn write_totals(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    let counts = &summary.counts;
    writeln!(out, "\nTotals")?;
    let deferrals = Count(counts.deferrals, "deferral");
    row(
        out,
        "deferred",
        summary.deferred(),
        &format!("in {deferrals}"),
    )?;
    if summary.are_passes_known() {
        let after = summary.delay.map(|(mean, median)| {
            let (mean, median) = (Duration(mean), Duration(median));
            format!("after {mean} on average (median {median})")
        });
        row(out, "came back", counts.passed, &after.unwrap_or_default())?;
    }
    let hours = STILL_WAITING / 3_600;
    let young = format!("first try less than {hours} hours before the log's end");
    row(out, "still waiting", summary.waiting, &young)?;
    let lost = summary.lost.len() as u64;
    if summary.are_passes_known() {
        let share = summary.lost_share().map(|share| {
            let tenths = (share.ten_thousandths + 5) / 10;
            let (percent, tenth) = (tenths / 10, tenths % 10);
            format!("{percent}.{tenth} % of what is not still waiting")
        });
        row(out, "never back", lost, &share.unwrap_or_default())?;
    } else {
        row(out, "not known", lost, "")?;
    }
    if counts.deferred_before > 0 {
        let before = "deferred before the log begins";
        row(out, "came back", counts.deferred_before, before)?;
    }
    for (reason, passes) in &counts.at_once {
        row(out, "passed at once", *passes, reason)?;
    }
    Ok(())
}

fn row(out: &mut impl Write, name: &str, number: u64, remark: &str) -> io::Result<()> {
    let line = format!("  {name:<14} {number:>8}  {remark}");
    writeln!(out, "{}", line.trim_end())
}

fn write_notes(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    let mut notes = Vec::new();
    match summary.source {
        Some(Source::Postfix) => notes.push(
            "There are no action lines of greylet or Postgrey; this is told from Postfix's rejects and deliveries."
                .to_owned(),
        ),
        Some(Source::PostfixRejects) => notes.push(
            "There are no action lines of greylet or Postgrey, and no deliveries of Postfix, so it is not known what came back."
                .to_owned(),
        ),
        _ => {}
    }
    if summary.source.is_some() && summary.lines.end.is_none() {
        notes.push(
            "The lines have no times, so what may still come back is not told from what never did."
                .to_owned(),
        );
    }
    let elsewhere = summary.passed_elsewhere() as u64;
    if elsewhere > 0 {
        notes.push(format!(
            "{} \"passed elsewhere\": later the same sender and recipient passed from another network.",
            Count(elsewhere, "mail")
        ));
    }
    if summary.counts.left_out > 0 {
        notes.push(format!(
            "Too much is pending at a time: {} found no room in memory and {} missing above.",
            Count(summary.counts.left_out, "deferral"),
            if summary.counts.left_out == 1 {
                "is"
            } else {
                "are"
            }
        ));
    }
    if summary.lines.too_long > 0 {
        notes.push(format!(
            "{} of more than {} KiB skipped.",
            Count(summary.lines.too_long, "line"),
            LINE_BYTES_MAX / 1_024
        ));
    }
    for (index, note) in notes.iter().enumerate() {
        let distance = if index == 0 { "\n" } else { "" };
        writeln!(out, "{distance}{note}")?;
    }
    Ok(())
}

/// `mail.example.com[192.0.2.1]  a@s.example -> b@r.example  2 tries, Nov 23 20:08:13 to Nov 23 20:09:00`
struct LostLine<'a>(&'a Lost);

impl fmt::Display for LostLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pending = &self.0.pending;
        let Mail {
            client_name,
            client_address,
            sender,
            recipient,
        } = &pending.mail;
        let client_name: &[u8] = if client_name.is_empty() {
            b"unknown"
        } else {
            client_name
        };
        write!(f, "{}[{client_address}]", Logged(client_name))?;
        write!(f, "  <{}> -> <{}>", Logged(sender), Logged(recipient))?;
        let tries = pending.tries;
        write!(f, "  {tries} {}", if tries == 1 { "try" } else { "tries" })?;
        match (pending.first, pending.last) {
            (Some(first), Some(last)) if tries > 1 => write!(f, ", {first} to {last}")?,
            (Some(first), _) => write!(f, ", {first}")?,
            _ => {}
        }
        match self.0.passed_elsewhere {
            true => f.write_str(", passed elsewhere"),
            false => Ok(()),
        }
    }
}

/// A number of things.
struct Count(u64, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", self.0, self.1)
    }
}

/// Seconds, as `45 s`, `10 min 42 s`, `3 h 5 min` or `2 d 4 h`.
struct Duration(u64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (minutes, hours) = (self.0 / 60, self.0 / 3_600);
        match (hours, minutes) {
            (0, 0) => write!(f, "{} s", self.0),
            (0, _) => write!(f, "{minutes} min {} s", self.0 % 60),
            (..24, _) => write!(f, "{hours} h {} min", minutes % 60),
            _ => write!(f, "{} d {} h", hours / 24, hours % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (seconds, shown) in [
            (0, "0 s"),
            (59, "59 s"),
            (642, "10 min 42 s"),
            (11_100, "3 h 5 min"),
            (187_200, "2 d 4 h"),
        ] {
            assert_eq!(Duration(seconds).to_string(), shown);
        }
    }
}
