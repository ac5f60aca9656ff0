//! A verdict to the line that Postgrey would log.

use std::fmt;

use crate::engine::limits::LOGGED_VALUE_BYTES_MAX;
use crate::engine::request::Request;
use crate::engine::text::Printable;
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

impl fmt::Display for ActionLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request {
            client_name,
            client_address,
            sender,
            recipient,
            queue_id,
            ..
        } = self.request;
        if let Some(bytes) = queue_id.filter(|bytes| !bytes.is_empty()) {
            write!(f, "{}: ", Logged(bytes))?;
        }
        f.write_str(match self.verdict.action {
            Action::Defer { .. } => "action=greylist",
            Action::Dunno | Action::PrependHeader { .. } => "action=pass",
        })?;
        f.write_str(", reason=")?;
        self.verdict.reason.fmt(f)?;
        match (self.verdict.reason, self.verdict.action) {
            (Reason::EarlyRetry, Action::Defer { remaining }) => {
                write!(f, " ({remaining}s missing)")?;
            }
            (_, Action::PrependHeader { delayed }) => write!(f, ", delay={delayed}")?,
            _ => {}
        }
        if self.is_dry_run {
            f.write_str(", dry_run=yes")?;
        }
        if let Some(identity) = self.verdict.identity {
            f.write_str(", identity=")?;
            Logged(identity.as_bytes()).fmt(f)?;
        }
        if self.verdict.is_sender_folded {
            f.write_str(", folded=yes")?;
        }
        if self.verdict.repeated {
            f.write_str(", repeated=yes")?;
        }
        for (name, value) in [
            (", client_name=", client_name),
            (", client_address=", client_address),
            (", sender=", sender),
            (", recipient=", recipient),
        ] {
            if let Some(bytes) = value.filter(|bytes| !bytes.is_empty()) {
                f.write_str(name)?;
                Logged(bytes).fmt(f)?;
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
        Printable {
            bytes: self.0,
            bytes_max: LOGGED_VALUE_BYTES_MAX,
        }
        .fmt(f)
    }
}
