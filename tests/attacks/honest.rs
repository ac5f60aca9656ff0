//! Somebody who only wants to send mail: each is deferred, deferred again before its time, and then passes, once with a header.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::{Client, request};

/// Seconds from one mail to the next.
const MAILS_APART: u64 = 1_000;

/// How many there have been.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// See the [module](self).
pub(crate) struct Honest<S> {
    client: Client<S>,
    name: String,
    /// Tells its mail from that of others.
    number: u64,
    now: u64,
    mails: u64,
    latencies: Vec<Duration>,
}

impl<S: Read + Write> Honest<S> {
    pub(crate) fn new(client: Client<S>, name: &str) -> Honest<S> {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        Honest {
            client,
            name: name.to_owned(),
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            // Not far from the daemon's clock, by which others are judged.
            now: since_1970.expect("it is after 1970").as_secs(),
            mails: 0,
            latencies: Vec::new(),
        }
    }

    /// Goes on over another connection.
    pub(crate) fn connect_anew(&mut self, client: Client<S>) {
        self.client = client;
    }

    /// Sends one mail, with all its retries.
    pub(crate) fn send_mail(&mut self) {
        for (seconds, expected) in [
            (0, "DEFER_IF_PERMIT Greylisted, "),
            (299, "DEFER_IF_PERMIT Greylisted, "),
            (300, "PREPEND X-Greylist: delayed 300 seconds by "),
            (301, "DUNNO"),
        ] {
            let action = self.ask(seconds);
            assert!(
                action.starts_with(expected),
                "{}, mail {}, after {seconds} s: {action}",
                self.name,
                self.mails
            );
        }
        self.mails += 1;
    }

    fn ask(&mut self, seconds: u64) -> String {
        let time = (self.now + self.mails * MAILS_APART + seconds).to_string();
        let recipient = format!("honest{}-{}@r.example", self.number, self.mails);
        let request = request(&[
            ("policy_test_time", Some(&time)),
            ("recipient", Some(&recipient)),
        ]);
        let start = Instant::now();
        let action = self.client.ask(request);
        self.latencies.push(start.elapsed());
        action
    }

    pub(crate) fn mails(&self) -> u64 {
        self.mails
    }

    /// How long its answers took: of a thousand the 500th, the 990th, and the last.
    pub(crate) fn latencies(&mut self) -> [Duration; 3] {
        self.latencies.sort_unstable();
        let last = self.latencies.len() - 1;
        [last / 2, last * 99 / 100, last].map(|index| self.latencies[index])
    }
}
