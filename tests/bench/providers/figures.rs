//! Shares and percentiles of what became of mails.

use std::fmt;

use super::gateway::Outcome;

/// What became of some mails, in order.
pub(crate) struct Figures(Vec<Outcome>);

impl FromIterator<Outcome> for Figures {
    fn from_iter<I: IntoIterator<Item = Outcome>>(outcomes: I) -> Figures {
        let mut outcomes: Vec<Outcome> = outcomes.into_iter().collect();
        outcomes.sort_unstable();
        Figures(outcomes)
    }
}

impl Figures {
    /// Those that had to wait, or never came.
    pub(crate) fn deferred(&self) -> Share {
        self.share(|outcome| outcome != Outcome::Accepted(0))
    }

    /// Those that never came.
    pub(crate) fn lost(&self) -> Share {
        self.share(|outcome| outcome == Outcome::Lost)
    }

    /// Those that came.
    pub(crate) fn accepted(&self) -> Share {
        self.share(|outcome| outcome != Outcome::Lost)
    }

    /// Those that did not even wait.
    pub(crate) fn accepted_at_once(&self) -> Share {
        self.share(|outcome| outcome == Outcome::Accepted(0))
    }

    /// How long so many percent of those that were deferred had to wait at most.
    pub(crate) fn wait(&self, percent: usize) -> Wait {
        let at_once = self
            .0
            .partition_point(|outcome| *outcome == Outcome::Accepted(0));
        let deferred = &self.0[at_once..];
        Wait(
            deferred
                .get((deferred.len() * percent / 100).min(deferred.len().saturating_sub(1)))
                .copied(),
        )
    }

    fn share(&self, is_one: impl Fn(Outcome) -> bool) -> Share {
        let count = self.0.iter().filter(|outcome| is_one(**outcome)).count();
        Share(count as f64 / self.0.len() as f64)
    }
}

/// A part of the whole, shown in percent; what is not nothing and not all is not shown as such.
#[derive(Clone, Copy)]
pub(crate) struct Share(f64);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.0 * 100.0;
        if percent == 0.0 || percent == 100.0 {
            write!(f, "{percent:.0}")
        } else {
            write!(f, "{:.1}", percent.clamp(0.1, 99.9))
        }
    }
}

/// A wait, shown in minutes; of nobody a dash.
#[derive(Clone, Copy)]
pub(crate) struct Wait(Option<Outcome>);

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(Outcome::Accepted(seconds)) => write!(f, "{:.0}", seconds as f64 / 60.0),
            Some(Outcome::Lost) => f.write_str("never"),
            None => f.write_str("–"),
        }
    }
}
