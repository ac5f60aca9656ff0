//! Seeded random sequences of requests that Postgrey and greylet must answer alike: what is different on purpose
//! (POSTGREY.md, "Where greylet differs") does not come up in them.
//!
//! So, in a sequence no client is this machine, an IPv4-mapped address or no address at all; no value is long; a question
//! is not repeated within its message transaction; no more than eight message transactions are live at a time, and one that has ended does
//! not come back; the time never goes back; and all is over before anything reaches max-age.

use std::collections::HashMap;
use std::fmt;

use crate::mail::{Mail, Mails};
use crate::options::Options;
use crate::random::Random;

const REQUESTS: usize = 150;
const START: u64 = 1_700_000_000;
/// The default of max-age is 35 days.
const LAST: u64 = START + 30 * 86_400;
const LIVE_INSTANCES: u64 = 8;
/// How long greylet knows a repeated question, in seconds.
const REPETITION: u64 = 60;
/// How far back a retry looks for its first try, in requests.
const RETRY_REQUESTS: u64 = 40;

/// See the [module](self).
pub(crate) struct Sequence {
    pub(crate) options: Vec<String>,
    pub(crate) requests: Vec<Request>,
}

/// A request as it is sent.
#[derive(Clone)]
pub(crate) struct Request(String);

impl Request {
    pub(crate) fn new(attributes: &[(&str, String)]) -> Request {
        let line = |(name, value): &(&str, String)| format!("{name}={value}\n");
        let lines: String = attributes.iter().map(line).collect();
        Request(format!("request=smtpd_access_policy\n{lines}\n"))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for Request {
    /// On one line, to be replayed with `printf`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.replace('\\', "\\\\").replace('\n', "\\n"))
    }
}

impl Sequence {
    pub(crate) fn random(seed: u64) -> Sequence {
        let mut random = Random::new(seed);
        let options = Options::random(&mut random);
        let mails = Mails::random(&mut random, &options);
        let mut generator = Generator {
            mails,
            intervals: intervals(&options),
            grid: random.pick(&[1, 1, 900, 3_600]),
            now: START,
            tries: Vec::new(),
            message: 0,
            asked: HashMap::new(),
            random,
        };
        Sequence {
            options: options.words,
            requests: (0..REQUESTS).map(|_| generator.request()).collect(),
        }
    }
}

/// Intervals at which something changes, with those a second before and after; the short ones more often.
fn intervals(options: &Options) -> Vec<u64> {
    let at = [
        options.delay,
        options.delay,
        options.delay,
        3_600,
        3_600,
        options.retry_window,
    ];
    at.iter().flat_map(|&at| [at - 1, at, at + 1]).collect()
}

struct Generator {
    random: Random,
    mails: Mails,
    intervals: Vec<u64>,
    /// All times are multiples of this from the start, so that many intervals are exactly an hour, say.
    grid: u64,
    now: u64,
    /// When was what asked.
    tries: Vec<(u64, Mail)>,
    /// The first of the eight message transactions that live together.
    message: u64,
    /// When a question was asked in a message transaction.
    asked: HashMap<[String; 4], u64>,
}

impl Generator {
    fn request(&mut self) -> Request {
        let mail = self.mail_at_its_time();
        self.tries.push((self.now, mail));
        let random = &mut self.random;
        let address = mail.client_address(random);
        let (sender, recipient) = (mail.sender(random), mail.recipient(random));
        let name = random.pick(&["mail.s.example", "unknown", "", "MX.S.Example"]);
        let instance = self.instance([&address, &sender, &recipient]);
        let mut attributes = vec![
            ("policy_test_time", self.now.to_string()),
            ("client_name", name.to_owned()),
            ("client_address", address),
            ("sender", sender),
            ("recipient", recipient),
        ];
        attributes.extend(instance.map(|instance| ("instance", instance)));
        self.leave_one_out(&mut attributes);
        self.add_what_does_not_matter(&mut attributes);
        Request::new(&attributes)
    }

    /// Lets time go by, often to just before or after something that was asked changes, and then asks it again.
    fn mail_at_its_time(&mut self) -> Mail {
        let random = &mut self.random;
        if !random.one_in(3) && !self.tries.is_empty() {
            let newest = self.tries.len() as u64 - 1;
            let index = random.within(newest.saturating_sub(RETRY_REQUESTS)..=newest);
            let (tried, mail) = self.tries[index as usize];
            let waited = tried + random.pick(&self.intervals) - START;
            let then = START + waited.next_multiple_of(self.grid);
            if (self.now..=LAST).contains(&then) {
                self.now = then;
                return self.mails.retry_of(mail, random);
            }
        }
        let step = match random.within(0..=19) {
            0 => random.within(0..=2 * 86_400),
            1..=3 => random.within(0..=7_200),
            4..=6 => random.within(0..=600),
            7..=10 => random.within(0..=3),
            _ => 0,
        };
        self.now = LAST.min(self.now + step.next_multiple_of(self.grid));
        self.mails.pick(random)
    }

    /// A message transaction in which the question has not been asked lately, or none.
    fn instance(&mut self, question: [&String; 3]) -> Option<String> {
        let random = &mut self.random;
        if random.one_in(40) {
            self.message += LIVE_INSTANCES;
        }
        if random.one_in(5) {
            return None;
        }
        let message = self.message + random.within(0..=LIVE_INSTANCES - 1);
        let instance = format!("1267.65000000.{message:x}.0");
        let [address, sender, recipient] = question.map(String::clone);
        let question = [instance.clone(), address, sender, recipient];
        let is_lately = |at: &u64| self.now - at <= REPETITION;
        if self.asked.get(&question).is_some_and(is_lately) {
            return None;
        }
        self.asked.insert(question, self.now);
        Some(instance)
    }

    /// Rarely: a request that is not whole passes unjudged.
    fn leave_one_out(&mut self, attributes: &mut Vec<(&str, String)>) {
        if self.random.one_in(60) {
            attributes.remove(self.random.within(1..=4) as usize);
        }
    }

    fn add_what_does_not_matter(&mut self, attributes: &mut Vec<(&str, String)>) {
        let more = [
            ("protocol_state", "RCPT"),
            ("protocol_name", "ESMTP"),
            ("helo_name", "a=b"),
            ("reverse_client_name", "mail.s.example"),
            ("queue_id", "4ABC123"),
            ("queue_id", ""),
            ("etrn_domain", ""),
            ("etrn_domain", "r.example"),
            ("size", "12345"),
            ("sasl_username", ""),
            ("policy_context", ""),
        ];
        for (name, value) in more {
            if self.random.one_in(3) {
                attributes.push((name, value.to_owned()));
            }
        }
    }
}
