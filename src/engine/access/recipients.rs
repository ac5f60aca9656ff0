//! The list of recipients: who is never greylisted, and who otherwise than everybody.

use crate::engine::Greylist;
use crate::engine::access::keys::{self, RecipientPolicy};
use crate::engine::access::line::{self, Fault, Remark};
use crate::engine::access::{Addresses, Findings, Origin, read_lines};
use crate::engine::greylist::Rules;
use crate::engine::time::Seconds;

/// The line of the list that applies to a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipientLine {
    /// Where it stands.
    pub origin: Origin,
    /// How the recipient's mail is greylisted; `None` if it never is.
    pub policy: Option<RecipientPolicy>,
}

/// Recipients whose mail is never greylisted, or otherwise than all, by address or domain.
#[derive(Default)]
pub struct Recipients {
    addresses: Addresses,
    /// What lines with keys say, by the numbers of their rules, in order.
    policies: Vec<(u32, RecipientPolicy)>,
    has_all: bool,
}

impl Recipients {
    /// As [`read_within`](Recipients::read_within) the retry window that is the default.
    pub fn read<'t>(texts: impl IntoIterator<Item = &'t [u8]>) -> (Recipients, Findings) {
        Recipients::read_within(Rules::default().retry_window, texts)
    }

    /// From the texts of files, of which the first is file 0; and what is to be said of their lines. A delay that is not
    /// shorter than the retry window is a fault, and its line is ignored.
    pub fn read_within<'t>(
        retry_window: Seconds,
        texts: impl IntoIterator<Item = &'t [u8]>,
    ) -> (Recipients, Findings) {
        let mut recipients = Recipients::default();
        let findings = read_lines(texts, |origin, line| {
            recipients
                .add(origin, line, retry_window)
                .unwrap_or_else(Some)
        });
        recipients.addresses.shrink_to_fit();
        recipients.policies.shrink_to_fit();
        (recipients, findings)
    }

    /// Takes in a line, unless that is an error; gives what is to be said of it.
    fn add(
        &mut self,
        origin: Origin,
        line: &[u8],
        retry_window: Seconds,
    ) -> Result<Option<Remark>, Remark> {
        let split = keys::split(line::text(line)?);
        let keys = split.map(|(_, keys)| keys).unwrap_or_default();
        let policy = split.map(|_| keys::read(keys, retry_window)).transpose()?;
        let word = split.map_or(line, |(word, _)| word.as_bytes());
        let added = self.addresses.add(origin, word);
        if let (Some(rule), Some(policy)) = (added.rule, policy) {
            self.policies.push((rule, policy));
            self.has_all |= policy.greylist == Some(Greylist::All);
        }
        if let Some(remark) = added.remark {
            let is_word = |instead: &String| !instead.contains(' ');
            let instead = match (remark.instead, split) {
                (Some(instead), Some(_)) if is_word(&instead) => Some(format!("{instead} {keys}")),
                (instead, _) => instead,
            };
            return Ok(Some(Remark { instead, ..remark }));
        }
        let earlier = added.earlier.filter(|rule| self.policy(*rule) != policy);
        Ok(earlier.map(|rule| {
            let first = self.addresses.origin(rule);
            let file = match first.file == origin.file {
                true => "",
                false => " of an earlier file",
            };
            let why = format!(
                "line {}{file} says something else of the same recipients, and the first counts",
                first.line
            );
            Remark::new(Fault::NeverMatches, why).instead("one of them")
        }))
    }

    fn policy(&self, rule: u32) -> Option<RecipientPolicy> {
        let index = self.policies.binary_search_by_key(&rule, |(rule, _)| *rule);
        Some(self.policies[index.ok()?].1)
    }

    /// The line that applies to a recipient: the one with its longest user (a whole address before a user at any domain), else with its longest
    /// domain, else the first regular expression.
    pub fn find(&self, recipient: &[u8]) -> Option<RecipientLine> {
        let rule = self.addresses.find_rule(recipient)?;
        Some(RecipientLine {
            origin: self.addresses.origin(rule),
            policy: self.policy(rule),
        })
    }

    /// Whether a line says `greylist=all`.
    pub fn has_all(&self) -> bool {
        self.has_all
    }

    /// Rules there are.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }
}
