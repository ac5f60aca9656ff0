//! What was decided in each hour of the last seven days, in memory that never grows.

use crate::engine::limits::HISTORY_HOURS;
use crate::engine::time::{Seconds, Timestamp};
use crate::engine::verdict::{Reason, Verdict};

/// What became of a request. The number goes into snapshots, so it must never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Deferred: not seen before, or too long ago.
    New,
    /// Deferred: came back too early.
    EarlyRetry,
    /// Passed for the first time.
    FirstPass,
    /// Passed as before.
    Known,
    /// Passed: the client, or the organisation's mail for the sender's domain, is on the auto-whitelist.
    AutoWhitelisted,
    /// Passed: the recipient wrote to the sender.
    WrittenTo,
    /// Passed: the client's name is a mail server's.
    MailServer,
    /// Passed: a list has the client.
    ClientListed,
    /// Passed: a list has the recipient.
    RecipientListed,
    /// Passed: mail of our own users, or of this machine.
    Own,
    /// Passed: mail without a sender, as the administrator wants it.
    NullSender,
    /// Passed: there was nothing to judge by.
    Unjudged,
    /// Passed: the administrator lets the client or the recipient through for some time.
    Allowed,
    /// Passed: a list has the sender.
    SenderListed,
    /// Passed: the recipient is none of those whose mail is greylisted.
    RecipientNotGreylisted,
}

/// Number of [`Outcome`]s.
pub const OUTCOMES: usize = Outcome::RecipientNotGreylisted as usize + 1;

/// Requests of an hour by [`Outcome`]; more than fit are as many as fit.
pub type Counts = [u32; OUTCOMES];

impl Outcome {
    /// Their names by number, of small letters and underscores.
    pub const NAMES: [&str; OUTCOMES] = [
        "new",
        "early_retry",
        "first_pass",
        "known",
        "auto_whitelisted",
        "wrote_to",
        "mail_server",
        "client_whitelist",
        "recipient_whitelist",
        "own",
        "null_sender",
        "unjudged",
        "allowed",
        "sender_whitelist",
        "recipient_not_greylisted",
    ];

    /// What a verdict is counted as. A repetition is not, and neither is a question that is answered at another time: one about
    /// another command than RCPT, or about a null sender before DATA.
    pub fn of(verdict: &Verdict<'_>) -> Option<Outcome> {
        if verdict.repeated {
            return None;
        }
        Some(match verdict.reason {
            Reason::New => Outcome::New,
            Reason::EarlyRetry => Outcome::EarlyRetry,
            Reason::TripletFound if verdict.is_first_pass => Outcome::FirstPass,
            Reason::TripletFound => Outcome::Known,
            Reason::ClientAutoWhitelisted | Reason::SenderDomainAutoWhitelisted => {
                Outcome::AutoWhitelisted
            }
            Reason::WrittenTo => Outcome::WrittenTo,
            Reason::MailServer => Outcome::MailServer,
            Reason::ClientListed => Outcome::ClientListed,
            Reason::RecipientListed => Outcome::RecipientListed,
            Reason::Allowed => Outcome::Allowed,
            Reason::SenderListed => Outcome::SenderListed,
            Reason::RecipientNotGreylisted => Outcome::RecipientNotGreylisted,
            Reason::Authenticated | Reason::Outgoing | Reason::LocalClient => Outcome::Own,
            Reason::NullSender => Outcome::NullSender,
            Reason::UnknownRequest | Reason::Missing(_) | Reason::UnparsableAddress => {
                Outcome::Unjudged
            }
            Reason::NotRecipientState | Reason::LeftToData => return None,
        })
    }
}

/// See the [module](self). Hours are counted from 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Hour `h` is at `h` modulo their number. On the heap, so that it is not moved with the engine.
    hours: Vec<Counts>,
    newest: u32,
    /// What is older has not changed since it was saved.
    unsaved_from: u32,
}

/// The hour that a time is in.
pub fn hour(time: Timestamp) -> u32 {
    time.unix() / Seconds::HOUR.get()
}

impl History {
    /// Of nothing.
    pub fn new() -> History {
        History {
            hours: vec![[0; OUTCOMES]; HISTORY_HOURS],
            newest: 0,
            unsaved_from: 0,
        }
    }

    /// Counts a verdict of the time `now`.
    pub fn count(&mut self, verdict: &Verdict<'_>, now: Timestamp) {
        let counts = Outcome::of(verdict).zip(self.hour_mut(hour(now)));
        if let Some((outcome, counts)) = counts {
            let count = &mut counts[outcome as usize];
            *count = count.saturating_add(1);
        }
    }

    /// The hours that are remembered, by number, the oldest first; they end with the one that was counted in last.
    pub fn hours(&self) -> impl Iterator<Item = (u32, &Counts)> {
        let oldest = (self.newest + 1).saturating_sub(HISTORY_HOURS as u32);
        (oldest..=self.newest).map(|hour| (hour, &self.hours[hour as usize % HISTORY_HOURS]))
    }

    /// What was decided in an hour, by its number; none if that is not remembered, or to come.
    pub fn counts(&self, hour: u32) -> Option<&Counts> {
        let ago = self.newest.checked_sub(hour)?;
        let is_remembered = ago < HISTORY_HOURS as u32;
        is_remembered.then(|| &self.hours[hour as usize % HISTORY_HOURS])
    }

    /// The oldest hour that has changed since it was saved.
    pub(super) fn unsaved_from(&self) -> u32 {
        self.unsaved_from
    }

    /// Notes that all is saved as it was at a time.
    pub(super) fn mark_saved(&mut self, at: Timestamp) {
        self.unsaved_from = hour(at);
    }

    /// An hour's counts, to be changed, unless it is too old. Hours until then are over.
    pub(super) fn hour_mut(&mut self, hour: u32) -> Option<&mut Counts> {
        let over = hour.saturating_sub(self.newest).min(HISTORY_HOURS as u32);
        for new in hour - over..hour {
            self.hours[(new + 1) as usize % HISTORY_HOURS] = [0; OUTCOMES];
        }
        self.newest = self.newest.max(hour);
        let is_remembered = self.newest - hour < HISTORY_HOURS as u32;
        is_remembered.then(|| &mut self.hours[hour as usize % HISTORY_HOURS])
    }
}

impl Default for History {
    fn default() -> History {
        History::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(history: &History) -> u32 {
        history.hours().flat_map(|(_, counts)| counts).sum()
    }

    #[test]
    fn an_hour_is_forgotten_after_seven_days() {
        let mut history = History::new();
        let verdict = Verdict::passed(Reason::LocalClient);
        let at = |hour: u64| Timestamp::from_unix(hour * 3_600);
        history.count(&verdict, at(500_000));
        history.count(&verdict, at(500_001));
        history.count(&verdict, at(500_167));
        assert_eq!(total(&history), 3);
        assert_eq!(history.hours().next().map(|(hour, _)| hour), Some(500_000));
        history.count(&verdict, at(500_168));
        assert_eq!(total(&history), 3);
        history.count(&verdict, at(500_000));
        assert_eq!(total(&history), 3);
        history.count(&verdict, at(500_168 + 1_000));
        assert_eq!(total(&history), 1);
    }

    #[test]
    fn repetitions_and_other_commands_do_not_count() {
        let mut history = History::new();
        let now = Timestamp::from_unix(1);
        let repeated = Verdict {
            repeated: true,
            ..Verdict::passed(Reason::TripletFound)
        };
        history.count(&repeated, now);
        history.count(&Verdict::passed(Reason::NotRecipientState), now);
        history.count(&Verdict::passed(Reason::LeftToData), now);
        assert_eq!(total(&history), 0);
        let first = Verdict {
            is_first_pass: true,
            ..Verdict::passed(Reason::TripletFound)
        };
        history.count(&first, now);
        history.count(&Verdict::passed(Reason::TripletFound), now);
        let counts = history.hours().last().map(|(_, counts)| *counts);
        let counts = counts.expect("an hour");
        assert_eq!(counts[Outcome::FirstPass as usize], 1);
        assert_eq!(counts[Outcome::Known as usize], 1);
    }
}
