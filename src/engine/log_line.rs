//! A verdict to the line that Postgrey would log.

use std::fmt::{self, Write};

use heapless::VecView;

use crate::engine::limits::LOGGED_VALUE_BYTES_MAX;
use crate::engine::request::Request;
use crate::engine::text::{Printable, append};
use crate::engine::verdict::{Action, Reason, Verdict};

/// `4ABC123: action=greylist, reason=new, client_name=mail.example.com, client_address=192.0.2.1, sender=..., recipient=...`;
/// what is empty is left out, and in a dry run all lines say `dry_run=yes` after the reason.
#[derive(Clone, Copy, Debug)]
pub struct ActionLine<'a> {
    /// What was decided.
    pub verdict: &'a Verdict<'a>,
    /// On what.
    pub request: &'a Request<'a>,
    /// Whether Postfix was told to go on all the same.
    pub is_dry_run: bool,
}

impl ActionLine<'_> {
    /// Appends it.
    ///
    /// # Errors
    ///
    /// There is no room.
    pub fn append_to(&self, to: &mut VecView<u8>) -> fmt::Result {
        let Request {
            client_name,
            client_address,
            sender,
            recipient,
            queue_id,
            ..
        } = self.request;
        if let Some(bytes) = queue_id.filter(|bytes| !bytes.is_empty()) {
            Logged(bytes).append_to(to)?;
            append(to, b": ")?;
        }
        let action: &[u8] = match self.verdict.action {
            Action::Defer { .. } => b"action=greylist, reason=",
            Action::Dunno | Action::PrependHeader { .. } => b"action=pass, reason=",
        };
        append(to, action)?;
        append(to, self.verdict.reason.words().as_bytes())?;
        match (self.verdict.reason, self.verdict.action) {
            (Reason::EarlyRetry, Action::Defer { remaining }) => {
                write!(to, " ({remaining}s missing)")?;
            }
            (_, Action::PrependHeader { delayed }) => write!(to, ", delay={delayed}")?,
            _ => {}
        }
        if self.is_dry_run {
            append(to, b", dry_run=yes")?;
        }
        if let Some(identity) = self.verdict.identity {
            append(to, b", identity=")?;
            Logged(identity.as_bytes()).append_to(to)?;
        }
        if self.verdict.is_sender_folded {
            append(to, b", folded=yes")?;
        }
        if self.verdict.repeated {
            append(to, b", repeated=yes")?;
        }
        for (name, value) in [
            (", client_name=", client_name),
            (", client_address=", client_address),
            (", sender=", sender),
            (", recipient=", recipient),
        ] {
            if let Some(bytes) = value.filter(|bytes| !bytes.is_empty()) {
                append(to, name.as_bytes())?;
                Logged(bytes).append_to(to)?;
            }
        }
        Ok(())
    }
}

/// A client for people: `mail.example.com[192.0.2.1]`.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a>(pub &'a Request<'a>);

impl fmt::Display for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.client_name.unwrap_or_default();
        let address = self.0.client_address.unwrap_or_default();
        if name.is_empty() {
            return Logged(address).fmt(f);
        }
        write!(f, "{}[{}]", Logged(name), Logged(address))
    }
}

/// A value of a request as it may stand in a log.
#[derive(Clone, Copy, Debug)]
pub struct Logged<'a>(pub &'a [u8]);

impl fmt::Display for Logged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.printable().fmt(f)
    }
}

impl<'a> Logged<'a> {
    fn append_to(self, to: &mut VecView<u8>) -> fmt::Result {
        self.printable().append_to(to)
    }

    fn printable(self) -> Printable<'a> {
        Printable {
            bytes: self.0,
            bytes_max: LOGGED_VALUE_BYTES_MAX,
        }
    }
}
