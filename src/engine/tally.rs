//! How many verdicts there were of each kind since the start.

use crate::engine::verdict::{Reason, Verdict};

/// Kinds of verdicts: their reasons, and the first passes.
const KINDS: usize = Reason::NAMES.len() + 1;

/// The first passes, which have the reason of all triplets that are found, are the kind behind the reasons.
const FIRST_PASS: usize = Reason::NAMES.len();

/// See the [module](self).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    verdicts: [u64; KINDS],
    repeated: u64,
}

impl Tally {
    /// The names of the kinds, of small letters and underscores.
    pub const NAMES: [&str; KINDS] = {
        let mut names = [""; KINDS];
        let mut kind = 0;
        while kind < KINDS {
            names[kind] = Tally::name_and_meaning(kind).0;
            kind += 1;
        }
        names
    };

    const fn name_and_meaning(kind: usize) -> (&'static str, &'static str) {
        match kind {
            FIRST_PASS => ("first_pass", "came back after the delay"),
            reason => Reason::NAMES[reason],
        }
    }

    /// What a kind means, in a few words.
    pub fn meaning(kind: usize) -> &'static str {
        Tally::name_and_meaning(kind).1
    }

    /// Whether mail has to wait by verdicts of a kind.
    pub fn is_deferral(kind: usize) -> bool {
        [Reason::New, Reason::EarlyRetry]
            .iter()
            .any(|reason| reason.number() == kind)
    }

    /// Counts a verdict.
    pub fn count(&mut self, verdict: &Verdict<'_>) {
        let count = match verdict {
            Verdict { repeated: true, .. } => &mut self.repeated,
            Verdict {
                is_first_pass: true,
                ..
            } => &mut self.verdicts[FIRST_PASS],
            verdict => &mut self.verdicts[verdict.reason.number()],
        };
        *count += 1;
    }

    /// Verdicts that were no repetitions, by the number of their kind.
    pub fn verdicts(&self) -> &[u64] {
        &self.verdicts
    }

    /// Questions that were repeated within their message transaction.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::verdict::Attribute;

    #[test]
    fn each_verdict_counts_once() {
        let mut tally = Tally::default();
        let found = Verdict::passed(Reason::TripletFound);
        let first = Verdict {
            is_first_pass: true,
            ..found
        };
        let repeated = Verdict {
            repeated: true,
            ..first
        };
        let missing = Verdict::passed(Reason::Missing(Attribute::Sender));
        for (verdict, times) in [(found, 4), (first, 3), (repeated, 2), (missing, 1)] {
            (0..times).for_each(|_| tally.count(&verdict));
        }
        let of = |name| {
            let number = Tally::NAMES.iter().position(|kind| *kind == name);
            tally.verdicts()[number.expect("a kind")]
        };
        assert_eq!((of("triplet_found"), of("first_pass")), (4, 3));
        assert_eq!((of("attribute_missing"), tally.repeated()), (1, 2));
        assert_eq!(tally.verdicts().iter().sum::<u64>(), 8);
    }
}
