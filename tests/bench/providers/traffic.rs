//! Mail for a gateway with twenty mailboxes: who sends what, when and to whom, and how it is tried until it is accepted or given up.
//!
//! All of it follows from a seed, and every try of a mail from the mail's own, so that mail is the same under all rules.

use super::shape::{Host, Shape, fill_in};
use crate::random::Random;

/// Mailboxes behind the gateway.
const MAILBOXES: u64 = 20;

/// Customers of a provider that write to them.
const CUSTOMERS: u64 = 12;

/// Mails of each shape in a fortnight.
const MAILS_A_FORTNIGHT: u64 = 200;

/// How long a fortnight is, in seconds.
const FORTNIGHT_S: u64 = 14 * 86_400;

/// How many there are: nothing is known before the first.
pub(crate) const FORTNIGHTS: usize = 2;

/// A mail that somebody sends.
pub(crate) struct Mail<'s> {
    pub(crate) shape: &'s Shape,
    /// In which of the fortnights.
    pub(crate) fortnight: usize,
    /// When it is tried first, in seconds after the start.
    pub(crate) sent_s: u64,
    /// Who writes to whom.
    correspondence: u64,
    seed: u64,
}

/// A mail on its way.
pub(crate) struct Delivery<'s> {
    shape: &'s Shape,
    sent_s: u64,
    random: Random,
    is_retried: bool,
    retries: usize,
    /// The host of the next try.
    pub(crate) host: Host,
    /// The envelope sender.
    pub(crate) sender: String,
    /// The envelope recipient.
    pub(crate) recipient: String,
}

/// What all of these send to a gateway.
pub(crate) fn mails<'s>(shapes: &[&'s Shape], seed: u64) -> Vec<Mail<'s>> {
    let mut random = Random::new(seed);
    let mut mails = Vec::new();
    for shape in shapes {
        let mut correspondences = 0;
        for fortnight in 0..FORTNIGHTS {
            let mut times: Vec<u64> = (0..MAILS_A_FORTNIGHT)
                .map(|_| fortnight as u64 * FORTNIGHT_S + random.within(0..=FORTNIGHT_S - 1))
                .collect();
            times.sort_unstable();
            for sent_s in times {
                let is_first = correspondences == 0 || random.one_in(shape.first_contact_one_in);
                correspondences += u64::from(is_first);
                let correspondence = if is_first {
                    correspondences
                } else {
                    random.within(1..=correspondences)
                };
                mails.push(Mail {
                    shape,
                    fortnight,
                    sent_s,
                    correspondence,
                    seed: random.next(),
                });
            }
        }
    }
    mails
}

impl<'s> Mail<'s> {
    /// Before the first try.
    pub(crate) fn post(&self) -> Delivery<'s> {
        let shape = self.shape;
        let mut random = Random::new(self.seed);
        let host = shape.host(&mut random);
        let mailbox = self.correspondence % MAILBOXES;
        let is_retried = random.within(1..=100) <= shape.retried_percent;
        Delivery {
            shape,
            sent_s: self.sent_s,
            is_retried,
            retries: 0,
            sender: self.sender(host.label, mailbox, &mut random),
            recipient: format!("user{mailbox}@r.example"),
            host,
            random,
        }
    }

    fn sender(&self, label: &str, mailbox: u64, random: &mut Random) -> String {
        let customer = self.correspondence % CUSTOMERS;
        fill_in(self.shape.sender, |word| match word {
            "person" => format!("person{}", self.correspondence),
            "customer" => format!("shop{customer}.example"),
            "account" => (10_612_303 + 97 * customer).to_string(),
            "verp" => format!("user{mailbox}=r.example"),
            "verp===" => format!("user{mailbox}===r.example"),
            "network" => label.to_owned(),
            _ => random_word(word, random),
        })
    }
}

/// So many hexadecimal digits (`x8`) or letters (`w8`).
fn random_word(word: &str, random: &mut Random) -> String {
    let (alphabet, length) = match word.split_at(1) {
        ("x", length) => ("0123456789abcdef", length),
        ("w", length) => ("abcdefghijklmnopqrstuvwxyz", length),
        _ => unreachable!("no {{{word}}} in senders"),
    };
    let length: u64 = length.parse().expect("a length");
    random.word(alphabet, length..=length)
}

impl Delivery<'_> {
    /// When it is tried again, in seconds after the start; `None` if it is not any more.
    pub(crate) fn retry(&mut self) -> Option<u64> {
        if !self.is_retried {
            return None;
        }
        let after_s = self.shape.retry_after_s(self.retries, &mut self.random)?;
        self.retries += 1;
        self.shape.move_on(&mut self.host, &mut self.random);
        Some(self.sent_s + after_s)
    }
}
