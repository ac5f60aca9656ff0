//! Warnings that somebody outside could cause in any number, and that the log must not drown in.

use std::cell::Cell;
use std::fmt::Arguments;

use crate::engine::time::{Seconds, Timestamp};

/// What is complained of.
#[derive(Clone, Copy)]
pub(super) enum Complaint {
    /// Bytes that are not the policy protocol.
    Malformed,
    /// A request without what is needed to judge it.
    Unjudged,
    /// An entry evicted too young.
    TableTooSmall,
    /// No room for another connection.
    ConnectionLimit,
    /// Mail that is judged at DATA, of which Postfix does not ask.
    DataMissing,
    /// A connection that could not be accepted.
    Accept,
}

const KINDS: usize = Complaint::Accept as usize + 1;

impl Complaint {
    /// How many of a kind are logged, in which time.
    const fn limit(self) -> (u32, Seconds) {
        match self {
            Complaint::Malformed | Complaint::Unjudged => (10, Seconds::new(60)),
            Complaint::TableTooSmall => (1, Seconds::HOUR),
            Complaint::DataMissing => (1, Seconds::DAY),
            Complaint::ConnectionLimit | Complaint::Accept => (1, Seconds::new(60)),
        }
    }
}

/// Counts complaints by kind.
#[derive(Default)]
pub(super) struct Complaints {
    windows: [Cell<Window>; KINDS],
    totals: [Cell<u64>; KINDS],
}

#[derive(Clone, Copy, Default)]
struct Window {
    begin: Option<Timestamp>,
    logged: u32,
    withheld: u32,
}

impl Complaints {
    /// Logs a complaint, or only counts it if there were enough of its kind.
    pub(super) fn complain(&self, kind: Complaint, now: Timestamp, message: Arguments<'_>) {
        let total = &self.totals[kind as usize];
        total.set(total.get() + 1);
        let (logged_max, length) = kind.limit();
        let mut window = self.windows[kind as usize].get();
        let mut withheld_before = 0;
        if window.begin.is_none_or(|begin| now.since(begin) >= length) {
            withheld_before = window.withheld;
            window = Window {
                begin: Some(now),
                ..Window::default()
            };
        }
        if window.logged >= logged_max {
            window.withheld = window.withheld.saturating_add(1);
        } else {
            window.logged += 1;
            if withheld_before == 0 {
                log::warn!("{message}");
            } else {
                log::warn!("{message} ({withheld_before} more like this before were not logged)");
            }
        }
        self.windows[kind as usize].set(window);
    }

    /// How often there was reason to complain.
    pub(super) fn total(&self, kind: Complaint) -> u64 {
        self.totals[kind as usize].get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_few_are_logged() {
        let complaints = Complaints::default();
        for second in 0..100 {
            let now = Timestamp::from_unix(second);
            complaints.complain(Complaint::Malformed, now, format_args!("x"));
        }
        assert_eq!(complaints.total(Complaint::Malformed), 100);
        assert_eq!(complaints.total(Complaint::Unjudged), 0);
        let window = complaints.windows[Complaint::Malformed as usize].get();
        assert_eq!((window.logged, window.withheld), (10, 30));
    }
}
