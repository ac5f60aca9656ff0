//! When mail without a sender is judged.
//!
//! Two kinds of clients have none: bounces, and servers that verify one of our users' addresses before they take his mail
//! (RCPT, and never DATA). Who defers the second kind delays the mail of his own users elsewhere. So mail without a sender is
//! best judged at DATA, which a verification never comes to; but that needs the policy service in smtpd_data_restrictions
//! too, and must be no hole where it is not.

use crate::engine::limits::{
    ANSWERS_REMEMBERED, DATA_ASKERS_MAX, DATA_FORGOTTEN_AFTER, NULL_SENDERS_WITHOUT_DATA_MAX,
};
use crate::engine::time::Timestamp;
use crate::engine::transactions::Latest;
use crate::engine::triplet::Fingerprint;

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

/// What becomes of the recipients together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtData {
    /// They are judged; with the sum of the fingerprints of those that were left to DATA, if that is known.
    Judge(Option<u64>),
    /// They pass, for each of them has been judged.
    Pass,
}

/// A smtpd that asks: its address and port. Of several, each may have other restrictions.
#[derive(Clone, Copy)]
struct Asker {
    server: Fingerprint,
    /// When it asked about DATA last.
    at: Timestamp,
}

/// A message transaction before DATA.
#[derive(Clone, Copy)]
struct Transaction {
    instance: Fingerprint,
    /// The sum of the fingerprints of the recipients that were left to DATA, in whatever order they came.
    left_to_data: Option<u64>,
}

/// What is known of Postfix's questions about DATA, and of mail without a sender that is on its way there.
pub(super) struct DataQuestions {
    askers: Latest<Asker, DATA_ASKERS_MAX>,
    transactions: Latest<Transaction, ANSWERS_REMEMBERED>,
    /// Who has left recipients to DATA without asking about it, and how many.
    silent: Option<(Fingerprint, u32)>,
}

impl DataQuestions {
    pub(super) fn new() -> DataQuestions {
        DataQuestions {
            askers: Latest::new(),
            transactions: Latest::new(),
            silent: None,
        }
    }

    /// What is to become of a recipient of mail without a sender.
    pub(super) fn at_recipient(
        &self,
        mode: NullSender,
        server: Fingerprint,
        now: Timestamp,
    ) -> AtRecipient {
        match mode {
            NullSender::Rcpt => AtRecipient::Judge,
            NullSender::Pass => AtRecipient::Pass,
            NullSender::Auto if !self.has_asked(server, now) => AtRecipient::Judge,
            NullSender::Auto | NullSender::Data => AtRecipient::LeaveToData,
        }
    }

    /// Takes note that a recipient was left to DATA. True if many have been by now, and this smtpd seems not to ask about DATA: a client
    /// that asks after many addresses and never comes to it is not enough.
    pub(super) fn leave_to_data(
        &mut self,
        instance: Option<Fingerprint>,
        recipient: Fingerprint,
        server: Fingerprint,
        now: Timestamp,
    ) -> bool {
        if let Some(instance) = instance {
            let left = self.left_to_data(instance).flatten().unwrap_or(0);
            let left_to_data = Some(left.wrapping_add(recipient.bits()));
            self.remember(instance, left_to_data);
        }
        if self.has_asked(server, now) {
            return false;
        }
        let before = self.silent.filter(|(silent, _)| *silent == server);
        let left = before.map_or(0, |(_, left)| left).saturating_add(1);
        self.silent = Some((server, left));
        left >= NULL_SENDERS_WITHOUT_DATA_MAX
    }

    /// Takes note that the first recipient of a message transaction was not left to DATA. (Of a later one that says nothing: what is known of the
    /// first may have had to make room.)
    pub(super) fn keep_from_data(&mut self, instance: Fingerprint) {
        if self.left_to_data(instance).is_none() {
            self.remember(instance, None);
        }
    }

    /// What is to become of mail without a sender that has come to DATA. Whose recipients have been judged does not wait twice.
    pub(super) fn at_data(&self, mode: NullSender, instance: Option<Fingerprint>) -> AtData {
        let transaction = instance.and_then(|instance| self.left_to_data(instance));
        match (mode, transaction) {
            (NullSender::Rcpt | NullSender::Pass, _) | (_, Some(None)) => AtData::Pass,
            (_, Some(left)) => AtData::Judge(left),
            // Whatever was known of it has had to make room, which a client can bring about.
            (NullSender::Data | NullSender::Auto, None) => AtData::Judge(None),
        }
    }

    /// Takes note that an smtpd has asked about DATA.
    pub(super) fn take_note(&mut self, server: Fingerprint, now: Timestamp) {
        let asker = Asker { server, at: now };
        self.askers.put(asker, |other| other.server == server);
        self.silent = self.silent.filter(|(silent, _)| *silent != server);
    }

    /// Who asked about DATA last, and when.
    pub(super) fn last(&self) -> Option<(Fingerprint, Timestamp)> {
        let last = self.askers.iter().max_by_key(|asker| asker.at)?;
        Some((last.server, last.at))
    }

    fn has_asked(&self, server: Fingerprint, now: Timestamp) -> bool {
        let is_it = |asker: &&Asker| asker.server == server;
        let asker = self.askers.iter().find(is_it);
        asker.is_some_and(|asker| now.since(asker.at) <= DATA_FORGOTTEN_AFTER)
    }

    fn left_to_data(&self, instance: Fingerprint) -> Option<Option<u64>> {
        let is_it = |transaction: &&Transaction| transaction.instance == instance;
        let transaction = self.transactions.iter().find(is_it);
        transaction.map(|transaction| transaction.left_to_data)
    }

    fn remember(&mut self, instance: Fingerprint, left_to_data: Option<u64>) {
        let transaction = Transaction {
            instance,
            left_to_data,
        };
        self.transactions
            .put(transaction, |other| other.instance == instance);
    }
}

/// Whether nobody is to get a bounce: the null sender, or Postfix's own sender of address verification, `double-bounce`.
pub fn is_null_sender(sender: &[u8]) -> bool {
    const DOUBLE_BOUNCE: &[u8] = b"double-bounce@";
    let start = sender.get(..DOUBLE_BOUNCE.len());
    sender.is_empty() || start.is_some_and(|start| start.eq_ignore_ascii_case(DOUBLE_BOUNCE))
}
