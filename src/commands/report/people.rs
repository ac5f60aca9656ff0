//! A summary for people to read.

use std::fmt;
use std::io::{self, Write};

use super::dry_run::Outcome;
use super::input::LINE_BYTES_MAX;
use super::ledger::Mail;
use super::summary::{Lost, STILL_WAITING, Share, Source, Summary, network_name};
use super::what_if::{Organisation, WhatIf};
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
        None if summary.dry_run.is_some() => {}
        None => write_nothing(out, summary, greylist_text)?,
    }
    if let Some(outcome) = &summary.dry_run {
        if summary.source.is_some() {
            writeln!(out)?;
        }
        write_dry_run(out, outcome)?;
    }
    write_notes(out, summary)?;
    match (&summary.what_if, summary.source) {
        (Some(what_if), Some(_)) => write_what_if(out, summary, what_if),
        _ => Ok(()),
    }
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
            writeln!(out, "\n{}", network_name(first.pending.network))?;
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
        let after = summary
            .delay
            .map(|delay| format!("after {}", Average(delay)));
        row(out, "came back", counts.passed, &after.unwrap_or_default())?;
    }
    let hours = STILL_WAITING / 3_600;
    let young = format!("first try less than {hours} hours before the log's end");
    row(out, "still waiting", summary.waiting, &young)?;
    let lost = summary.lost.len() as u64;
    if summary.are_passes_known() {
        let share = summary
            .lost_share()
            .map(|share| format!("{} of what is not still waiting", Percent(share)));
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

fn write_dry_run(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    let Outcome {
        together, triplets, ..
    } = *outcome;
    writeln!(
        out,
        "Dry run: nothing was deferred. What would have been\n\n  {:<12} {:>8} {:>9}  {:>10} {:>9}",
        "", "mails", "deferred", "recipients", "deferred"
    )?;
    let days = outcome
        .days
        .iter()
        .map(|(date, sums)| (date.as_str(), *sums));
    for (name, sums) in days.chain([("together", together)]) {
        writeln!(
            out,
            "  {name:<12} {:>8} {:>9}  {:>10} {:>9}",
            sums.mails, sums.mails_deferred, sums.recipients, sums.recipients_deferred
        )?;
    }
    if let (Some(mails), Some(recipients)) = (
        Share::of(together.mails_deferred, together.mails),
        Share::of(together.recipients_deferred, together.recipients),
    ) {
        let (mails, recipients) = (Percent(mails), Percent(recipients));
        writeln!(
            out,
            "\n  That is {mails} of the mails, and {recipients} of the recipients.\n"
        )?;
    }
    let what = "triplets (client, sender and recipient) would have had to wait";
    row(out, "deferred", triplets, what)?;
    let why = "of them seen again and passed; they would only have been delayed";
    row(out, "known later", outcome.known_later, why)?;
    let why = "whether they would have come back cannot be known";
    row(out, "not again", triplets - outcome.known_later, why)?;
    let why = "deferrals of one that was new before; fewer, if that had come back";
    row(out, "new again", outcome.deferred_again, why)?;
    let why = "deferrals that --greylist=suspicious would not make";
    row(out, "mail servers", outcome.of_mail_servers, why)?;
    write_dry_run_clients(out, outcome)
}

fn write_dry_run_clients(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    if outcome.clients.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\nDeferred recipients by the client's organisation or network, triplets known later, and one of the senders"
    )?;
    for client in &outcome.clients {
        let (name, sender) = (Logged(&client.name), Logged(&client.sender));
        let (deferred, known_later) = (client.deferred, client.known_later);
        writeln!(out, "  {deferred:>8} {known_later:>8}  {name}  <{sender}>")?;
    }
    if outcome.clients_left_out > 0 {
        writeln!(
            out,
            "  and {}",
            Count(outcome.clients_left_out, "other client")
        )?;
    }
    if outcome.of_uncounted_clients > 0 {
        let recipients = Count(outcome.of_uncounted_clients, "recipient");
        writeln!(
            out,
            "  and {recipients} of clients that found no room in memory"
        )?;
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
            "{} \"passed elsewhere\": later the same sender and recipient passed from a client of another organisation and network.",
            Count(elsewhere, "mail")
        ));
    }
    if summary.dry_run.is_some() {
        notes.push(
            "A dry run sees no retries, so greylisting would have made fewer mails wait than it says, not more."
                .to_owned(),
        );
    }
    let is_from_actions = matches!(summary.source, None | Some(Source::ActionLines));
    if is_from_actions && summary.lacks_passes() {
        notes.push(
            "Nothing has passed: if only deferrals were logged (--log=deferred), what came back is not known."
                .to_owned(),
        );
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

fn write_what_if(out: &mut impl Write, summary: &Summary, what_if: &WhatIf) -> io::Result<()> {
    let deferred = summary.deferred();
    let remark = |mails: u64, more: Option<String>| {
        let share = Share::of(mails, deferred).map(|share| Percent(share).to_string());
        let parts: Vec<String> = share.into_iter().chain(more).collect();
        parts.join(", ")
    };
    let mails = Count(deferred, "mail");
    writeln!(out, "\nWith --greylist=suspicious, of {mails} deferred")?;
    let at_once = what_if.at_once();
    let why = remark(at_once, Some("first tried by a mail server".to_owned()));
    row(out, "passed at once", at_once, &why)?;
    let WhatIf {
        passed,
        waiting,
        never_back,
        ..
    } = *what_if;
    if summary.are_passes_known() {
        let spared = what_if
            .spared
            .map(|delay| format!("spared {}", Average(delay)));
        row(out, "  came back", passed, &remark(passed, spared))?;
        let let_in = (never_back > 0).then(|| "let in, and probably spam; see below".to_owned());
        row(out, "  never back", never_back, &remark(never_back, let_in))?;
    } else {
        row(out, "  not known", never_back, &remark(never_back, None))?;
    }
    row(out, "  waiting", waiting, &remark(waiting, None))?;
    let still = deferred - at_once;
    row(out, "still deferred", still, &remark(still, None))?;
    write_organisations(out, summary, what_if)?;
    if what_if.mail_server_passes > 0 {
        let times = Count(what_if.mail_server_passes, "time");
        writeln!(
            out,
            "\nThe log has that mode already: a mail server's name let mail pass {times}. With --greylist=all the first of them would"
        )?;
        writeln!(
            out,
            "have waited; whether they would have come back cannot be known."
        )?;
    }
    Ok(())
}

fn write_organisations(
    out: &mut impl Write,
    summary: &Summary,
    what_if: &WhatIf,
) -> io::Result<()> {
    if what_if.organisations.is_empty() {
        return Ok(());
    }
    let fate = match summary.are_passes_known() {
        true => "never back",
        false => "perhaps never back",
    };
    writeln!(
        out,
        "\nLet in and {fate}, by the client's organisation, with one of the senders"
    )?;
    for organisation in &what_if.organisations {
        writeln!(out, "  {}", OrganisationLine(organisation))?;
    }
    match what_if.organisations_left_out {
        0 => Ok(()),
        others => writeln!(out, "  and {}", Count(others, "other organisation")),
    }
}

/// `      12  shop.example  <news@shop.example>, 3 passed elsewhere`
struct OrganisationLine<'a>(&'a Organisation);

impl fmt::Display for OrganisationLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Organisation {
            domain,
            mails,
            passed_elsewhere,
            sender,
        } = self.0;
        write!(f, "{mails:>8}  {}  <{}>", Logged(domain), Logged(sender))?;
        match passed_elsewhere {
            0 => Ok(()),
            elsewhere => write!(f, ", {elsewhere} passed elsewhere"),
        }
    }
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

/// A part of a whole, as `57.1 %`.
struct Percent(Share);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0.scaled(1_000);
        write!(f, "{}.{} %", tenths / 10, tenths % 10)
    }
}

/// Mean and median in seconds, as `7 min 54 s on average (median 8 min 0 s)`.
struct Average((u64, u64));

impl fmt::Display for Average {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mean, median) = (Duration(self.0.0), Duration(self.0.1));
        write!(f, "{mean} on average (median {median})")
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
