//! A flood of spam in simulated time, and the mail of honest people in it. The same siege is always the same mails at the same times.
//!
//! Two kinds of honest people are there. Newcomers have never written before: each tries once and, 15 minutes later, again. Half of them
//! have mail servers with verified names, the others come without a name. Correspondents have written for days, and are proven.

use std::collections::BTreeMap;

use crate::random::Random;

/// Mail servers whose mail has been used for a day or more.
pub(crate) const CORRESPONDENTS: u64 = 200;

/// When the correspondents write first, in seconds since 1970; the flood comes days later.
pub(crate) const START: u64 = 1_700_000_000;
const DAY: u64 = 86_400;
pub(crate) const FLOOD: u64 = START + 4 * DAY;

/// A good while more than the delay of 300.
const PROPER_RETRY: u64 = 400;

/// When a newcomer retries.
const NEWCOMERS_RETRY: u64 = 900;

/// From one newcomer to the next.
const NEWCOMERS_APART: u64 = 20;

/// When a newcomer who has passed writes again.
const NEXT_MAIL: u64 = 3_600;

/// Seconds from one mail of any correspondent to the next.
const CORRESPONDENCE_APART: u64 = 6;

/// What a policy server is asked about.
#[derive(Clone)]
pub(crate) struct Mail {
    pub(crate) client_address: String,
    pub(crate) client_name: String,
    pub(crate) sender: String,
    pub(crate) recipient: String,
}

/// Whoever answers.
pub(crate) trait Gateway {
    /// Asks about these mails in their order, at this time in seconds since 1970; tells which pass.
    fn ask(&mut self, mails: &[Mail], time: u64) -> Vec<bool>;
}

/// What sends the spam.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bots {
    /// Clients without verified names.
    Nameless,
    /// Dial-up lines with verified names, which carry their addresses.
    Lines,
    /// Hosts that have one mail server's name, verified.
    OneMailServer,
    /// Hosts with verified names of mail servers in so many domains.
    Domains(u64),
    /// Hosts with verified names of mail servers, no two of them the same, below one domain.
    Below(&'static str),
}

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Siege {
    pub(crate) bots: Bots,
    /// Spam that comes in each second, with a client, a sender and a recipient that were never seen.
    pub(crate) spam_a_second: u64,
    /// How much of it is retried as a mail server would, in percent.
    pub(crate) retried_percent: u64,
    pub(crate) seconds: u64,
    /// Whether the table was full of what had passed before it began; of so many entries.
    pub(crate) known_entries_before: Option<u32>,
}

/// How many of something there were, and how many of these passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) of: u64,
    pub(crate) passed: u64,
}

/// What became of the mail.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// Spam, at the first try.
    pub(crate) spam: Passed,
    /// Spam that was retried.
    pub(crate) retried_spam: Passed,
    /// Newcomers with verified names, at the retry.
    pub(crate) named: Passed,
    /// Newcomers without, at the retry.
    pub(crate) nameless: Passed,
    /// The next mail of newcomers with verified names who had passed.
    pub(crate) next: Passed,
    /// Mail of correspondents.
    pub(crate) correspondence: Passed,
}

#[derive(Clone, Copy)]
enum Kind {
    Spam,
    RetriedSpam,
    Newcomer,
    NewcomersRetry,
    NewcomersNextMail,
    NamelessNewcomer,
    NamelessNewcomersRetry,
    Correspondence,
}

impl Siege {
    /// Lets honest people become known, and then besieges the gateway. `each_minute` may look at it.
    pub(crate) fn run<G: Gateway>(
        &self,
        gateway: &mut G,
        mut each_minute: impl FnMut(&mut G),
    ) -> Outcome {
        prove_correspondents(gateway);
        if let Some(entries) = self.known_entries_before {
            fill_with_known(gateway, entries);
        }
        let mut outcome = Outcome::default();
        let mut random = Random::new(1);
        let mut later: BTreeMap<u64, Vec<(Kind, Mail)>> = BTreeMap::new();
        let (mut kinds, mut mails) = (Vec::new(), Vec::new());
        for second in 0..self.seconds {
            let now = FLOOD + second;
            let due = later.remove(&now).unwrap_or_default();
            let fresh = self.fresh(second, &mut random);
            for (kind, mail) in due.into_iter().chain(fresh) {
                kinds.push(kind);
                mails.push(mail);
            }
            let passed = gateway.ask(&mails, now);
            assert_eq!(passed.len(), mails.len());
            for ((kind, mail), passed) in kinds.drain(..).zip(mails.drain(..)).zip(passed) {
                outcome.note(kind, passed);
                let next = match kind {
                    Kind::Spam if random.within(1..=100) <= self.retried_percent => {
                        Some((PROPER_RETRY, Kind::RetriedSpam))
                    }
                    Kind::Newcomer => Some((NEWCOMERS_RETRY, Kind::NewcomersRetry)),
                    Kind::NamelessNewcomer => Some((NEWCOMERS_RETRY, Kind::NamelessNewcomersRetry)),
                    Kind::NewcomersRetry if passed => Some((NEXT_MAIL, Kind::NewcomersNextMail)),
                    _ => None,
                };
                if let Some((seconds, kind)) = next {
                    later.entry(now + seconds).or_default().push((kind, mail));
                }
            }
            if second % 60 == 59 {
                each_minute(gateway);
            }
        }
        outcome
    }

    /// Mail that comes in this second and is no retry.
    fn fresh(&self, second: u64, random: &mut Random) -> Vec<(Kind, Mail)> {
        let spam = (0..self.spam_a_second).map(|number| {
            let number = second * self.spam_a_second + number;
            (Kind::Spam, self.bots.mail(number))
        });
        let mut fresh: Vec<(Kind, Mail)> = spam.collect();
        // In the middle of them, wherever that is.
        let place = fresh.len() / 2;
        if second.is_multiple_of(NEWCOMERS_APART) {
            let number = second / NEWCOMERS_APART;
            fresh.insert(place, (Kind::Newcomer, newcomer(number, true)));
            fresh.insert(place, (Kind::NamelessNewcomer, newcomer(number, false)));
        }
        if random.one_in(CORRESPONDENCE_APART) {
            let mail = correspondent(random.within(0..=CORRESPONDENTS - 1));
            fresh.insert(place, (Kind::Correspondence, mail));
        }
        fresh
    }
}

impl Outcome {
    fn note(&mut self, kind: Kind, passed: bool) {
        let count = match kind {
            Kind::Spam => &mut self.spam,
            Kind::RetriedSpam => &mut self.retried_spam,
            Kind::NewcomersRetry => &mut self.named,
            Kind::NamelessNewcomersRetry => &mut self.nameless,
            Kind::NewcomersNextMail => &mut self.next,
            Kind::Correspondence => &mut self.correspondence,
            Kind::Newcomer | Kind::NamelessNewcomer => {
                assert!(!passed, "a newcomer was not deferred");
                return;
            }
        };
        count.of += 1;
        count.passed += u64::from(passed);
    }
}

impl Bots {
    /// Spam; no two of its numbers have a client or a recipient in common.
    fn mail(self, number: u64) -> Mail {
        // All over 1.0.0.0 to 99.255.255.255, and neighbours hardly ever one after the other.
        let spread = (number as u32).wrapping_mul(0x9e37_79b1);
        let [a, b, c, d] = spread.to_be_bytes();
        let a = 1 + a % 99;
        Mail {
            client_address: format!("{a}.{b}.{c}.{d}"),
            client_name: match self {
                Bots::Nameless => "unknown".to_owned(),
                Bots::Lines => format!("{a}-{b}-{c}-{d}.dyn.isp{}.example", number % 50),
                Bots::OneMailServer => "mail.evil.example".to_owned(),
                Bots::Domains(domains) => format!("mail.evil{}.example", number % domains),
                Bots::Below(domain) => format!("mail.{}.{domain}", letters(number)),
            },
            sender: format!("offers@spam{}.example", number % 1_000),
            recipient: format!("{}@r.example", letters(number)),
        }
    }
}

/// A number in letters, which greylet does not take for one.
fn letters(mut number: u64) -> String {
    let mut letters = String::new();
    loop {
        letters.push(char::from(b'a' + (number % 26) as u8));
        number /= 26;
        if number == 0 {
            return letters;
        }
    }
}

fn newcomer(number: u64, is_named: bool) -> Mail {
    let [high, low] = (number as u16).to_be_bytes();
    let (network, client_name) = if is_named {
        (150, format!("mail.new{number}.example"))
    } else {
        (151, "unknown".to_owned())
    };
    Mail {
        client_address: format!("{network}.{high}.{low}.25"),
        client_name,
        sender: format!("anna@new{number}.example"),
        recipient: format!("user{}@r.example", number % 20),
    }
}

/// Three of four have mail servers with verified names.
fn correspondent(number: u64) -> Mail {
    Mail {
        client_address: format!("160.1.{number}.25"),
        client_name: match number % 4 {
            0 => "unknown".to_owned(),
            _ => format!("mail.friend{number}.example"),
        },
        sender: format!("berta@friend{number}.example"),
        recipient: format!("user{}@r.example", number % 20),
    }
}

/// Each writes on two days.
fn prove_correspondents(gateway: &mut impl Gateway) {
    let mails: Vec<Mail> = (0..CORRESPONDENTS).map(correspondent).collect();
    for (time, expected) in [
        (START, false),
        (START + PROPER_RETRY, true),
        (START + 2 * DAY, true),
    ] {
        let passed = gateway.ask(&mails, time);
        assert!(passed.iter().all(|&it| it == expected), "at {time}");
    }
}

/// Mail that has passed once, from so many clients that a table of that size has no room for more: a triplet and a count each.
fn fill_with_known(gateway: &mut impl Gateway, entries: u32) {
    let mut time = START + 3 * DAY;
    let mails = (0..entries / 2).map(|number| {
        let [_, b, c, d] = number.to_be_bytes();
        Mail {
            client_address: format!("{}.{c}.{d}.1", 170 + b),
            client_name: "unknown".to_owned(),
            sender: "carla@known.example".to_owned(),
            recipient: format!("{}@r.example", letters(number.into())),
        }
    });
    let mails: Vec<Mail> = mails.collect();
    // Not more at once than may be waiting in a table that is full.
    for mails in mails.chunks((entries / 32) as usize) {
        for expected in [false, true] {
            let passed = gateway.ask(mails, time);
            assert!(passed.iter().all(|&it| it == expected), "at {time}");
            time += PROPER_RETRY;
        }
    }
    assert!(time < FLOOD);
}
