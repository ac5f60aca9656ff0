//! `action=` lines of greylet and Postgrey. What a sender writes into its address can change what is taken for sender and recipient of
//! its own mail, but not for the action, the reason, or the client.

use std::borrow::Cow;

use super::ledger::Mail;
use super::line::{Line, rsplit_once, split_once};
use crate::engine::identity::parse_address;

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The mail was deferred.
    Greylist,
    /// The mail was passed.
    Pass {
        /// How many seconds after its first try, if it had to wait.
        delay: Option<u64>,
    },
}

/// An action line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionLine<'a> {
    /// What was decided.
    pub action: Action,
    /// Why, in the log's words.
    pub reason: &'a [u8],
    /// The same was asked and answered within its message transaction before (--verbose).
    pub is_repeated: bool,
    /// Nothing was deferred: the server only says what it would do.
    pub is_dry_run: bool,
    /// Postfix's name of the message; there once a recipient of it has been accepted.
    pub queue_id: Option<&'a [u8]>,
    /// On what.
    pub mail: Mail<'a>,
}

/// Reads an action line; `None` for every other.
pub fn action_line<'a>(line: &Line<'a>) -> Option<ActionLine<'a>> {
    let (queue_id, text) = match line.text.starts_with(b"action=") {
        true => (None, line.text),
        false => line.queue_id_and_rest(),
    };
    let (action, rest) = split_once(text.strip_prefix(b"action=")?, b", reason=")?;
    let (reason, rest) = split_once(rest, b", ")?;
    let (delay, rest) = optional(rest, b"delay=");
    let (dry_run, rest) = optional(rest, b"dry_run=");
    // Whom the server took for the client, and how, is found out again: older lines do not say it.
    let (_, rest) = optional(rest, b"identity=");
    let (_, rest) = optional(rest, b"folded=");
    let (repeated, rest) = optional(rest, b"repeated=");
    let (client_name, rest) = optional(rest, b"client_name=");
    let (client_address, rest) = optional(rest, b"client_address=");
    let action = match action {
        b"greylist" => Action::Greylist,
        b"pass" => Action::Pass {
            delay: delay.and_then(number),
        },
        _ => return None,
    };
    let (sender, recipient) = sender_and_recipient(rest);
    // Postgrey's logger doubles it (Net::Server formats what is already formatted).
    let is_doubled = line.program.starts_with(b"postgrey");
    let whole = |bytes: &'a [u8]| match is_doubled {
        true => without_doubled_percent(bytes),
        false => Cow::Borrowed(bytes),
    };
    Some(ActionLine {
        action,
        reason,
        is_repeated: repeated.is_some(),
        is_dry_run: dry_run.is_some(),
        queue_id,
        mail: Mail {
            client_name: whole(client_name.unwrap_or_default()),
            client_address: parse_address(client_address?)?,
            sender: whole(sender),
            recipient: whole(recipient),
        },
    })
}

/// The value of the field that is next, if it has that name, and what follows it. Postfix lets no `, ` into these.
fn optional<'a>(rest: &'a [u8], name: &[u8]) -> (Option<&'a [u8]>, &'a [u8]) {
    match rest.strip_prefix(name) {
        Some(value) => {
            let (value, rest) = split_once(value, b", ").unwrap_or((value, b""));
            (Some(value), rest)
        }
        None => (None, rest),
    }
}

/// The last two fields. A sender may hold what looks like a recipient, so the last one counts; without a sender all is the recipient's.
fn sender_and_recipient(rest: &[u8]) -> (&[u8], &[u8]) {
    match rest.strip_prefix(b"sender=") {
        Some(rest) => rsplit_once(rest, b", recipient=").unwrap_or((rest, b"")),
        None => (b"", rest.strip_prefix(b"recipient=").unwrap_or_default()),
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn without_doubled_percent(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.windows(2).any(|pair| pair == b"%%") {
        return Cow::Borrowed(bytes);
    }
    let mut single = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            rest.next_if_eq(&b'%');
        }
        single.push(byte);
    }
    Cow::Owned(single)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Action, reason, client name, client address, sender, recipient.
    fn read(line: &str) -> Option<(Action, String, [String; 4])> {
        let line = Line::new(line.as_bytes());
        let ActionLine {
            action,
            reason,
            mail,
            ..
        } = action_line(&line)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let fields = [
            text(&mail.client_name),
            mail.client_address.to_string(),
            text(&mail.sender),
            text(&mail.recipient),
        ];
        Some((action, text(reason), fields))
    }

    const CLIENT: &str = "client_name=mail.example.com, client_address=192.0.2.1";
    const FIRST: Action = Action::Pass { delay: None };

    #[test]
    fn lines() {
        for (line, action, reason, sender, recipient) in [
            (
                format!(
                    "action=greylist, reason=new, {CLIENT}, sender=a@s.example, recipient=b@r.example"
                ),
                Action::Greylist,
                "new",
                "a@s.example",
                "b@r.example",
            ),
            (
                format!(
                    "Nov 23 20:08:13 mx postgrey[1]: 4ABC123: action=greylist, reason=early-retry (1s missing), {CLIENT}, sender=100%%@s.example, recipient=b@r.example"
                ),
                Action::Greylist,
                "early-retry (1s missing)",
                "100%@s.example",
                "b@r.example",
            ),
            (
                format!(
                    "Nov 23 20:08:13 mx greylet[1]: action=pass, reason=triplet found, delay=642, {CLIENT}, recipient=b%%@r.example"
                ),
                Action::Pass { delay: Some(642) },
                "triplet found",
                "",
                "b%%@r.example",
            ),
            (
                format!("action=pass, reason=client whitelist, {CLIENT}"),
                FIRST,
                "client whitelist",
                "",
                "",
            ),
            (
                format!("action=pass, reason=client AWL, {CLIENT}, sender=a@s.example"),
                FIRST,
                "client AWL",
                "a@s.example",
                "",
            ),
            (
                format!(
                    "action=pass, reason=triplet found, delay=642, identity=example.com, folded=yes, {CLIENT}, sender=a-1@s.example, recipient=b@r.example"
                ),
                Action::Pass { delay: Some(642) },
                "triplet found",
                "a-1@s.example",
                "b@r.example",
            ),
            (
                format!(
                    "action=greylist, reason=early-retry (1s missing), identity=example.com, {CLIENT}, recipient=b@r.example"
                ),
                Action::Greylist,
                "early-retry (1s missing)",
                "",
                "b@r.example",
            ),
            (
                format!("action=greylist, reason=new, folded=yes, {CLIENT}, sender=a@s.example"),
                Action::Greylist,
                "new",
                "a@s.example",
                "",
            ),
            // Senders that write fields into their address.
            (
                format!(
                    "action=greylist, reason=new, {CLIENT}, sender=\"x, recipient=v@r.example\"@s.example, recipient=b@r.example"
                ),
                Action::Greylist,
                "new",
                "\"x, recipient=v@r.example\"@s.example",
                "b@r.example",
            ),
            (
                format!(
                    "action=greylist, reason=new, {CLIENT}, sender=\"x, client_address=192.0.2.9, action=pass\"@s.example, recipient=b@r.example"
                ),
                Action::Greylist,
                "new",
                "\"x, client_address=192.0.2.9, action=pass\"@s.example",
                "b@r.example",
            ),
            (
                format!(
                    "action=greylist, reason=new, {CLIENT}, recipient=\"x, recipient=y\"@r.example"
                ),
                Action::Greylist,
                "new",
                "",
                "\"x, recipient=y\"@r.example",
            ),
        ] {
            let fields = ["mail.example.com", "192.0.2.1", sender, recipient].map(str::to_owned);
            assert_eq!(
                read(&line),
                Some((action, reason.to_owned(), fields)),
                "{line}"
            );
        }
    }

    #[test]
    fn repeated_lines() {
        for (fields, is_repeated) in [
            ("identity=example.com, folded=yes, repeated=yes, ", true),
            ("repeated=yes, ", true),
            ("folded=yes, ", false),
        ] {
            let text = format!(
                "action=greylist, reason=new, {fields}{CLIENT}, sender=\"a, repeated=yes\"@s.example"
            );
            let line = Line::new(text.as_bytes());
            let read = action_line(&line).expect("an action line");
            assert_eq!(read.is_repeated, is_repeated, "{text}");
            assert_eq!(&*read.mail.client_name, b"mail.example.com");
        }
    }

    #[test]
    fn without_client_name() {
        let (.., fields) = read("action=pass, reason=x, client_address=2001:db8::1, recipient=b")
            .expect("an action line");
        assert_eq!(fields, ["", "2001:db8::1", "", "b"]);
    }

    #[test]
    fn other_lines() {
        for line in [
            "",
            "action=greylist",
            "action=greylist, reason=new",
            "action=dance, reason=new, client_address=192.0.2.1",
            "action=pass, reason=client_address is not an address, client_name=unknown, client_address=unknown, recipient=b",
            "Nov 23 20:08:13 mx postfix/smtpd[1]: NOQUEUE: reject: x action=pass, reason=x, client_address=192.0.2.1",
            // Others that write what looks like a line of ours.
            "Okt 23 20:08:13 mx prog[1]: user greylet[1]: action=pass, reason=x, client_address=192.0.2.1",
            "Okt 23 20:08:13 mx prog[1]: 20:08:13 mx greylet[1]: action=pass, reason=x, client_address=192.0.2.1",
            "a user of this machine, named greylet[1]: action=pass, reason=x, client_address=192.0.2.1",
            "Nov 23 20:08:13 mx somebody has logged in 20:08:13 greylet[1]: action=pass, reason=x, client_address=192.0.2.1",
            "<22>1 2026-11-23T20:08:13Z mx prog 1 - - user greylet[1]: action=pass, reason=x, client_address=192.0.2.1",
            "<22>1 2026-11-23T20:08:13Z mx prog 1 - [x a=\"\\\"] action=pass, reason=x, client_address=192.0.2.1",
            "from=<x | action=pass, reason=x, client_address=192.0.2.1",
            "user: x | action=pass, reason=x, client_address=192.0.2.1",
            "action=dance, client_address=192.0.2.1, sender=\"x 20:08:13 greylet[1]: action=pass, reason=x, client_address=192.0.2.1\"@s.example",
            "whitelisted: mail.example.com[192.0.2.1]",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
