//! Postfix's own lines, for a log without action lines: rejects with the greylisting text, and what was delivered.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use super::ledger::{Ledger, Limits, Mail};
use super::line::{Line, find, rsplit_once, split_once};
use super::time::Moment;
use crate::engine::access::Clients;
use crate::engine::identity::parse_address;

/// Most mails on their way through Postfix at a time.
const QUEUE_IDS_MAX: usize = 65_536;

/// Books rejects as deferrals and deliveries as passes.
pub struct PostfixLog {
    greylist_text: Vec<u8>,
    accepted: HashMap<Vec<u8>, Accepted>,
    /// What has been booked.
    pub ledger: Ledger,
    /// The log tells what was delivered.
    pub has_deliveries: bool,
}

/// A mail that Postfix has taken.
struct Accepted {
    client_name: Vec<u8>,
    client_address: IpAddr,
    at: Option<Moment>,
    /// What its queue manager says.
    sender: Option<Vec<u8>>,
}

impl PostfixLog {
    /// Greylisting's rejects contain the text; the lists say who is a pool.
    pub fn new(greylist_text: &str, lists: Rc<Clients>) -> PostfixLog {
        PostfixLog {
            greylist_text: greylist_text.into(),
            accepted: HashMap::new(),
            ledger: Ledger::new(Limits::DEFAULT, lists),
            has_deliveries: false,
        }
    }

    /// Reads a line, of whatever program.
    pub fn read(&mut self, line: &Line<'_>, at: Option<Moment>) {
        let (Some(queue_id), text) = line.queue_id_and_rest() else {
            return;
        };
        if let Some(reject) = text.strip_prefix(b"reject: ") {
            if let Some(mail) = greylisted(reject, &self.greylist_text) {
                self.ledger.defer(&mail, at);
            }
        } else if let Some(client) = text.strip_prefix(b"client=") {
            self.accept(queue_id, client, at);
        } else if let Some(sender) = text.strip_prefix(b"from=<") {
            self.queued(queue_id, sender);
        } else if text.starts_with(b"to=<") {
            self.deliver(queue_id, text);
        } else if text == b"removed" {
            self.accepted.remove(queue_id);
        }
    }

    fn accept(&mut self, queue_id: &[u8], client: &[u8], at: Option<Moment>) {
        // A filter before the queue, or a proxy, says for whom it speaks.
        let original = rsplit_once(client, b", orig_client=");
        let original = original.and_then(|(_, client)| name_and_address(client));
        let Some((client_name, client_address, _)) = original.or_else(|| name_and_address(client))
        else {
            return;
        };
        // What is never removed (the log has a gap) must not stay for good.
        if self.accepted.len() >= QUEUE_IDS_MAX {
            self.accepted.clear();
        }
        let accepted = Accepted {
            client_name: client_name.to_vec(),
            client_address,
            at,
            sender: None,
        };
        self.accepted.insert(queue_id.to_vec(), accepted);
    }

    /// qmgr: `from=<a@s.example>, size=345, nrcpt=1 (queue active)`.
    fn queued(&mut self, queue_id: &[u8], rest: &[u8]) {
        let sender = split_once(rest, b">, size=").map(|(sender, _)| sender);
        if let (Some(accepted), Some(sender)) = (self.accepted.get_mut(queue_id), sender) {
            accepted.sender = Some(sender.to_vec());
        }
    }

    /// `to=<b@r.example>, orig_to=<c@r.example>, relay=local, ...`: however that ended, smtpd had passed it.
    fn deliver(&mut self, queue_id: &[u8], text: &[u8]) {
        self.has_deliveries = true;
        let Some((recipient, rest)) = split_once(&text[b"to=<".len()..], b">, ") else {
            return;
        };
        let original = rest.strip_prefix(b"orig_to=<");
        let original = original.and_then(|rest| Some(split_once(rest, b">, ")?.0));
        let Some(accepted) = self.accepted.get(queue_id) else {
            return;
        };
        for recipient in [Some(recipient), original].into_iter().flatten() {
            let mail = Mail {
                client_name: Cow::Borrowed(&accepted.client_name),
                client_address: accepted.client_address,
                sender: Cow::Borrowed(accepted.sender.as_deref().unwrap_or_default()),
                recipient: Cow::Borrowed(recipient),
            };
            if self.ledger.is_pending(&mail) {
                self.ledger.pass(&mail, b"", None, accepted.at);
            }
        }
    }
}

/// `RCPT from mail.example.com[192.0.2.1]: 450 4.2.0 <b@r.example>: Recipient address rejected: Greylisted, see ...;
/// from=<a@s.example> to=<b@r.example> proto=ESMTP helo=<mail.example.com>`
fn greylisted<'a>(reject: &'a [u8], greylist_text: &[u8]) -> Option<Mail<'a>> {
    let (state, rest) = split_once(reject, b" from ")?;
    if ![&b"RCPT"[..], b"DATA", b"BDAT"].contains(&state) {
        return None;
    }
    let (client_name, client_address, rest) = name_and_address(rest)?;
    let (_, rest) = split_once(rest, b": ")?;
    let (reply, envelope) = split_once(rest, b"; from=<")?;
    // Before that stand addresses, which strangers choose.
    let said = rsplit_once(reply, b" rejected: ").map_or(reply, |(_, said)| said);
    if !reply.starts_with(b"4") || !greylist_text.is_empty() && find(said, greylist_text).is_none()
    {
        return None;
    }
    let (sender, recipient) = sender_and_recipient(envelope, replied_recipient(reply))?;
    Some(Mail {
        client_name: Cow::Borrowed(client_name),
        client_address,
        sender: Cow::Borrowed(sender),
        recipient: Cow::Borrowed(recipient),
    })
}

/// The recipient that the reply names, if it names one.
fn replied_recipient(reply: &[u8]) -> Option<&[u8]> {
    let (_, rest) = split_once(reply, b" <")?;
    let (recipient, _) = split_once(rest, b">: ")?;
    Some(recipient)
}

/// `a@s.example> to=<b@r.example> proto=...`. A sender can contain such text, so the recipient of the reply is looked for first; at
/// DATA there is none if there are several.
fn sender_and_recipient<'a>(
    envelope: &'a [u8],
    replied: Option<&'a [u8]>,
) -> Option<(&'a [u8], &'a [u8])> {
    if let Some(recipient) = replied {
        let wanted = [b"> to=<", recipient, b"> proto="].concat();
        if let Some((sender, _)) = split_once(envelope, &wanted) {
            return Some((sender, recipient));
        }
    }
    let (addresses, _) = split_once(envelope, b"> proto=")?;
    Some(split_once(addresses, b"> to=<").unwrap_or((addresses, b"")))
}

/// `mail.example.com[192.0.2.1]` and what follows it.
fn name_and_address(client: &[u8]) -> Option<(&[u8], IpAddr, &[u8])> {
    let (name, rest) = split_once(client, b"[")?;
    let (address, rest) = split_once(rest, b"]")?;
    Some((name, parse_address(address)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reject: &str) -> Option<[String; 4]> {
        let mail = greylisted(reject.as_bytes(), b"Greylisted")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some([
            text(&mail.client_name),
            mail.client_address.to_string(),
            text(&mail.sender),
            text(&mail.recipient),
        ])
    }

    #[test]
    fn rejects() {
        let see = "Greylisted, see https://www.rfc-editor.org/rfc/rfc6647";
        for (reject, fields) in [
            (
                format!(
                    "RCPT from mail.example.com[192.0.2.1]: 450 4.2.0 <b@r.example>: Recipient address rejected: {see}; from=<a@s.example> to=<b@r.example> proto=ESMTP helo=<mail.example.com>"
                ),
                [
                    "mail.example.com",
                    "192.0.2.1",
                    "a@s.example",
                    "b@r.example",
                ],
            ),
            (
                format!(
                    "RCPT from unknown[2001:db8::1]:4025: 451 4.7.1 <b@r.example>: Recipient address rejected: {see}; from=<> to=<b@r.example> proto=ESMTP helo=<x>"
                ),
                ["unknown", "2001:db8::1", "", "b@r.example"],
            ),
            (
                format!(
                    "DATA from unknown[192.0.2.1]: 450 4.2.0 <DATA>: Data command rejected: {see}; from=<a@s.example> to=<b@r.example> proto=ESMTP helo=<x>"
                ),
                ["unknown", "192.0.2.1", "a@s.example", "b@r.example"],
            ),
            (
                format!(
                    "BDAT from unknown[192.0.2.1]: 450 4.2.0 <BDAT>: Data command rejected: {see}; from=<a@s.example> proto=ESMTP helo=<x> to=<v>"
                ),
                ["unknown", "192.0.2.1", "a@s.example", ""],
            ),
            // A sender that writes a recipient into its address.
            (
                format!(
                    "RCPT from unknown[192.0.2.1]: 450 4.2.0 <b@r.example>: Recipient address rejected: {see}; from=<\"> to=<v@r.example> \"@s.example> to=<b@r.example> proto=ESMTP helo=<x>"
                ),
                [
                    "unknown",
                    "192.0.2.1",
                    "\"> to=<v@r.example> \"@s.example",
                    "b@r.example",
                ],
            ),
        ] {
            assert_eq!(read(&reject), Some(fields.map(str::to_owned)), "{reject}");
        }
    }

    #[test]
    fn other_rejects() {
        for reject in [
            "",
            "RCPT from unknown[192.0.2.1]: 554 5.7.1 <b@r.example>: Relay access denied; from=<a> to=<b@r.example> proto=SMTP helo=<x>",
            "RCPT from unknown[192.0.2.1]: 450 4.1.1 <b@r.example>: Recipient address rejected: unverified; from=<Greylisted> to=<b@r.example> proto=SMTP helo=<x>",
            "RCPT from unknown[unknown]: 450 4.2.0 <b@r.example>: Greylisted; from=<a> to=<b@r.example> proto=SMTP helo=<x>",
            "RCPT from unknown[192.0.2.1]: 450 4.1.1 <Greylisted@r.example>: Recipient address rejected: unverified address: x; from=<a> to=<Greylisted@r.example> proto=SMTP helo=<x>",
            "RCPT from unknown[192.0.2.1]: 450 4.1.8 <a@Greylisted.example>: Sender address rejected: Domain not found; from=<a@Greylisted.example> to=<b@r.example> proto=SMTP helo=<x>",
            "MAIL from unknown[192.0.2.1]: 450 4.2.0 <a>: Greylisted; from=<a> proto=SMTP helo=<x>",
        ] {
            assert_eq!(read(reject), None, "{reject}");
        }
    }
}
