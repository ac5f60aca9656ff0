//! A summary as one JSON object.

use std::fmt;

use std::io::{self, Write};

use super::dry_run::{Outcome, Sums};
use super::summary::{Lost, Share, Source, Summary, network_name};
use super::time::Moment;
use super::what_if::WhatIf;
use crate::commands::json::{OrNull, Text, list};
use crate::engine::log_line::Logged;

/// Writes it, and a line end.
///
/// # Errors
///
/// It cannot be written.
pub fn write(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    let source = summary.source.map(|source| match source {
        Source::ActionLines => "action lines",
        Source::Postfix => "Postfix",
        Source::PostfixRejects => "Postfix, rejects only",
    });
    let counts = &summary.counts;
    let known = |number: u64| summary.are_passes_known().then_some(number);
    write!(
        out,
        "{{\"source\":{},\"lines\":{},\"lines_too_long\":{},\"log_end\":{},",
        OrNull(source.map(Text)),
        summary.lines.read,
        summary.lines.too_long,
        OrNull(summary.lines.end.map(time)),
    )?;
    write!(
        out,
        "\"deferred\":{},\"deferrals\":{},\"deferrals_left_out\":{},\"passed\":{},\"deferred_before\":{},",
        summary.deferred(),
        counts.deferrals,
        counts.left_out,
        OrNull(known(counts.passed)),
        OrNull(known(counts.deferred_before)),
    )?;
    write!(
        out,
        "\"delay_mean\":{},\"delay_median\":{},\"waiting\":{},\"never_back\":{},\"never_back_share\":{},",
        OrNull(summary.delay.map(|(mean, _)| mean)),
        OrNull(summary.delay.map(|(_, median)| median)),
        summary.waiting,
        OrNull(known(summary.lost.len() as u64)),
        OrNull(summary.lost_share().map(decimal)),
    )?;
    out.write_all(b"\"passed_at_once\":{")?;
    list(out, counts.at_once.iter(), |out, (reason, passes)| {
        write!(out, "{}:{passes}", Text(reason))
    })?;
    out.write_all(b"},\"networks\":[")?;
    list(out, summary.networks(), write_network)?;
    out.write_all(b"]")?;
    if let Some(outcome) = &summary.dry_run {
        write_dry_run(out, outcome)?;
    }
    if let Some(what_if) = &summary.what_if {
        write_what_if(out, summary, what_if)?;
    }
    out.write_all(b"}\n")
}

fn write_dry_run<W: Write>(out: &mut W, outcome: &Outcome) -> io::Result<()> {
    write!(
        out,
        ",\"dry_run\":{{{},\"triplets_deferred\":{},\"known_later\":{},\"new_again\":{},\"of_mail_servers\":{},\"days\":[",
        SumsOf(outcome.together),
        outcome.triplets,
        outcome.known_later,
        outcome.deferred_again,
        outcome.of_mail_servers,
    )?;
    list(out, outcome.days.iter(), |out, (date, sums)| {
        write!(out, "{{\"date\":{},{}}}", Text(date), SumsOf(*sums))
    })?;
    out.write_all(b"],\"clients\":[")?;
    list(out, outcome.clients.iter(), |out, client| {
        write!(
            out,
            "{{\"client\":{},\"recipients_deferred\":{},\"known_later\":{},\"sender\":{}}}",
            bytes(&client.name),
            client.deferred,
            client.known_later,
            bytes(&client.sender),
        )
    })?;
    write!(
        out,
        "],\"clients_left_out\":{},\"recipients_of_uncounted_clients\":{}}}",
        outcome.clients_left_out, outcome.of_uncounted_clients
    )
}

/// The fields of sums.
struct SumsOf(Sums);

impl fmt::Display for SumsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sums {
            mails,
            mails_deferred,
            recipients,
            recipients_deferred,
        } = self.0;
        write!(
            f,
            "\"mails\":{mails},\"mails_deferred\":{mails_deferred},\"recipients\":{recipients},\"recipients_deferred\":{recipients_deferred}"
        )
    }
}

fn write_what_if<W: Write>(out: &mut W, summary: &Summary, what_if: &WhatIf) -> io::Result<()> {
    let deferred = summary.deferred();
    let still = deferred - what_if.at_once();
    let is_known = summary.are_passes_known();
    out.write_all(b",\"what_if\":{\"greylist\":\"suspicious\"")?;
    for (name, number) in [
        ("passed_at_once", Some(what_if.at_once())),
        ("came_back", is_known.then_some(what_if.passed)),
        ("never_back", is_known.then_some(what_if.never_back)),
        ("waiting", Some(what_if.waiting)),
        ("still_deferred", Some(still)),
    ] {
        let share = number.and_then(|number| Share::of(number, deferred));
        let (number, share) = (OrNull(number), OrNull(share.map(decimal)));
        write!(out, ",\"{name}\":{number},\"{name}_share\":{share}")?;
    }
    write!(
        out,
        ",\"spared_mean\":{},\"spared_median\":{},\"passed_elsewhere\":{},\"mail_server_passes\":{},\"organisations\":[",
        OrNull(what_if.spared.map(|(mean, _)| mean)),
        OrNull(what_if.spared.map(|(_, median)| median)),
        what_if.passed_elsewhere,
        what_if.mail_server_passes,
    )?;
    list(out, what_if.organisations.iter(), |out, organisation| {
        write!(
            out,
            "{{\"organisation\":{},\"mails\":{},\"passed_elsewhere\":{},\"sender\":{}}}",
            bytes(&organisation.domain),
            organisation.mails,
            organisation.passed_elsewhere,
            bytes(&organisation.sender),
        )
    })?;
    let others = what_if.organisations_left_out;
    write!(out, "],\"organisations_left_out\":{others}}}")
}

fn write_network<W: Write>(out: &mut W, network: &[Lost]) -> io::Result<()> {
    let Some(first) = network.first() else {
        return Ok(());
    };
    let name = network_name(first.pending.network);
    write!(out, "{{\"network\":{},\"mails\":[", Text(&name))?;
    list(out, network.iter(), |out, lost| {
        let pending = &lost.pending;
        write!(
            out,
            "{{\"client_name\":{},\"client_address\":\"{}\",\"sender\":{},\"recipient\":{},",
            bytes(&pending.mail.client_name),
            pending.mail.client_address,
            bytes(&pending.mail.sender),
            bytes(&pending.mail.recipient),
        )?;
        write!(
            out,
            "\"tries\":{},\"first\":{},\"last\":{},\"passed_elsewhere\":{}}}",
            pending.tries,
            OrNull(pending.first.map(time)),
            OrNull(pending.last.map(time)),
            lost.passed_elsewhere,
        )
    })?;
    out.write_all(b"]}")
}

fn decimal(share: Share) -> String {
    let ten_thousandths = share.scaled(10_000);
    let (ones, rest) = (ten_thousandths / 10_000, ten_thousandths % 10_000);
    format!("{ones}.{rest:04}")
}

fn time(moment: Moment) -> Text<String> {
    Text(moment.machine())
}

/// What a log contains, control characters and what is not UTF-8 as `?`.
fn bytes(bytes: &[u8]) -> Text<String> {
    Text(Logged(bytes).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text() {
        assert_eq!(bytes(b"\x1b\xff\"").to_string(), r#""??\"""#);
    }
}
