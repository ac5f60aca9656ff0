//! What there is to say of a log: who never came back, by network, and the totals.

use std::net::IpAddr;

use super::dry_run::Outcome;
use super::ledger::{Counts, Ledger, Pending};
use super::time::Moment;
use super::what_if::WhatIf;

/// What was tried first less than so many seconds before the log's end may still come back.
pub const STILL_WAITING: u64 = 4 * 3_600;

/// Where the knowledge comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `action=` lines of greylet or Postgrey.
    ActionLines,
    /// Postfix's rejects, and its deliveries.
    Postfix,
    /// Postfix's rejects, without deliveries: what passed is not known.
    PostfixRejects,
}

/// A log's lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines {
    /// All of them.
    pub read: u64,
    /// Those that were too long.
    pub too_long: u64,
    /// The latest time of a line.
    pub end: Option<Moment>,
}

/// A mail that never came back.
pub struct Lost {
    /// The mail.
    pub pending: Box<Pending>,
    /// Its sender's mail to its recipient passed later from a client of another organisation and network.
    pub passed_elsewhere: bool,
}

/// A part of a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    part: u64,
    whole: u64,
}

impl Share {
    /// `None` of nothing.
    pub fn of(part: u64, whole: u64) -> Option<Share> {
        (whole > 0).then_some(Share { part, whole })
    }

    /// Where the whole is `scale`, rounded.
    pub fn scaled(self, scale: u64) -> u64 {
        (self.part * scale + self.whole / 2) / self.whole
    }
}

/// All that is said.
pub struct Summary {
    /// Nothing if there was no greylisting.
    pub source: Option<Source>,
    /// The lines.
    pub lines: Lines,
    /// What was counted.
    pub counts: Counts,
    /// Mean and median of the delay, in seconds.
    pub delay: Option<(u64, u64)>,
    /// Mails that may still come back.
    pub waiting: u64,
    /// Mails that never came back, those of a network beside each other.
    pub lost: Vec<Lost>,
    /// What another mode would have done, if that is wanted.
    pub what_if: Option<WhatIf>,
    /// What a dry run would have done, if the log has one.
    pub dry_run: Option<Outcome>,
}

impl Summary {
    /// Draws the sums of a ledger.
    pub fn new(
        source: Option<Source>,
        mut ledger: Ledger,
        lines: Lines,
        is_what_if_wanted: bool,
    ) -> Summary {
        let pending = ledger.take_pending().into_iter();
        let (waiting, lost): (Vec<_>, Vec<_>) =
            pending.partition(|pending| is_waiting(pending, lines.end));
        let lost: Vec<Lost> = lost
            .into_iter()
            .map(|pending| Lost {
                passed_elsewhere: ledger.has_passed_elsewhere(&pending),
                pending,
            })
            .collect();
        let what_if = is_what_if_wanted.then(|| WhatIf::new(&mut ledger, &waiting, &lost));
        Summary {
            source,
            lines,
            delay: ledger.mean_and_median(),
            waiting: waiting.len() as u64,
            lost,
            what_if,
            dry_run: None,
            counts: ledger.counts,
        }
    }

    /// Mails that were deferred; those that did not fit into the ledger are not known to be mails.
    pub fn deferred(&self) -> u64 {
        self.counts.passed + self.waiting + self.lost.len() as u64
    }

    /// What part never came back of that which is not waiting.
    pub fn lost_share(&self) -> Option<Share> {
        let lost = self.lost.len() as u64;
        let share = Share::of(lost, lost + self.counts.passed);
        share.filter(|_| self.are_passes_known())
    }

    /// Whether the log tells what passed.
    pub fn are_passes_known(&self) -> bool {
        self.source != Some(Source::PostfixRejects)
    }

    /// Whether there are deferrals, but nothing passes, as if passes had not been logged.
    pub fn lacks_passes(&self) -> bool {
        let Counts {
            deferrals,
            passed,
            deferred_before,
            at_once,
            ..
        } = &self.counts;
        let of_dry_run = self.dry_run.as_ref().map(|dry_run| dry_run.together);
        let dry_run = of_dry_run.unwrap_or_default();
        let deferrals = deferrals + dry_run.recipients_deferred;
        let is_all = dry_run.recipients == dry_run.recipients_deferred;
        deferrals > 0 && passed + deferred_before == 0 && at_once.is_empty() && is_all
    }

    /// Of those that never came back, how many passed elsewhere.
    pub fn passed_elsewhere(&self) -> usize {
        self.lost
            .iter()
            .filter(|lost| lost.passed_elsewhere)
            .count()
    }

    /// Those that never came back, network by network.
    pub fn networks(&self) -> impl Iterator<Item = &[Lost]> {
        self.lost
            .chunk_by(|left, right| left.pending.network == right.pending.network)
    }
}

fn is_waiting(pending: &Pending, end: Option<Moment>) -> bool {
    let age = || end?.since(pending.first?);
    age().is_some_and(|age| age < STILL_WAITING)
}

/// A network as people write it: `192.0.2.0/24`.
pub fn network_name(network: IpAddr) -> String {
    // Those of the default lookup.
    let bits = if network.is_ipv4() { 24 } else { 64 };
    format!("{network}/{bits}")
}
