//! When mail without a sender is judged.
//!
//! Two kinds of clients have none: bounces, and servers that verify one of our users' addresses before they take his mail
//! (RCPT, and never DATA). Who defers the second kind delays the mail of his own users elsewhere. So mail without a sender is
//! best judged at DATA, which a verification never comes to; but that needs the policy service in smtpd_data_restrictions
//! too, and must be no hole where it is not.

use crate::engine::limits::{DATA_FORGOTTEN_AFTER, NULL_SENDERS_WITHOUT_DATA_MAX};
use crate::engine::time::Timestamp;

/// When it is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NullSender {
    /// At DATA while Postfix asks about DATA, otherwise at RCPT.
    #[default]
    Auto,
    /// At DATA.
    Data,
    /// At RCPT, as all other mail (Postgrey).
    Rcpt,
    /// Never.
    Pass,
}

/// What becomes of a recipient of mail without a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtRecipient {
    /// It is judged.
    Judge,
    /// It passes, for the mail will be judged at DATA.
    LeaveToData,
    /// It passes.
    Pass,
}

/// What is known of Postfix's questions about DATA.
#[derive(Default)]
pub(super) struct DataQuestions {
    last: Option<Timestamp>,
    last_left_to_data: Option<Timestamp>,
    left_since_last: u32,
}

impl DataQuestions {
    /// What is to become of a recipient of mail without a sender.
    pub(super) fn at_recipient(&self, mode: NullSender, now: Timestamp) -> AtRecipient {
        match mode {
            NullSender::Rcpt => AtRecipient::Judge,
            NullSender::Pass => AtRecipient::Pass,
            NullSender::Auto if !is_recent(self.last, now) => AtRecipient::Judge,
            NullSender::Auto | NullSender::Data => AtRecipient::LeaveToData,
        }
    }

    /// Takes note that a recipient was left to DATA. True if many have been by now, and Postfix seems not to ask about DATA: a client that
    /// asks after many addresses and never comes to it is not enough.
    pub(super) fn leave_to_data(&mut self, now: Timestamp) -> bool {
        self.last_left_to_data = Some(now);
        self.left_since_last = self.left_since_last.saturating_add(1);
        self.left_since_last >= NULL_SENDERS_WITHOUT_DATA_MAX && !is_recent(self.last, now)
    }

    /// Whether mail without a sender that has come to DATA is to be judged there: only where its recipients may not have been, so
    /// that it does not wait twice.
    pub(super) fn is_judged_at_data(&self, mode: NullSender, now: Timestamp) -> bool {
        match mode {
            NullSender::Rcpt | NullSender::Pass => false,
            NullSender::Data => true,
            // A recipient may have been left to DATA at the end of the day.
            NullSender::Auto => is_recent(self.last, now) || is_recent(self.last_left_to_data, now),
        }
    }

    /// Takes note that Postfix has asked about DATA.
    pub(super) fn take_note(&mut self, now: Timestamp) {
        self.last = Some(now);
        self.left_since_last = 0;
    }
}

fn is_recent(at: Option<Timestamp>, now: Timestamp) -> bool {
    at.is_some_and(|at| now.since(at) <= DATA_FORGOTTEN_AFTER)
}

/// Whether nobody is to get a bounce: the null sender, or Postfix's own sender of address verification, `double-bounce`.
pub fn is_null_sender(sender: &[u8]) -> bool {
    const DOUBLE_BOUNCE: &[u8] = b"double-bounce@";
    let start = sender.get(..DOUBLE_BOUNCE.len());
    sender.is_empty() || start.is_some_and(|start| start.eq_ignore_ascii_case(DOUBLE_BOUNCE))
}
