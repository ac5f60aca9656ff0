//! What `--greylist=suspicious` would have done with the mails that were deferred. It passes a mail server's mail at once, so the client
//! of each mail's first try decides here.

use std::collections::HashMap;

use super::ledger::{Ledger, Pending};
use super::summary::Lost;

/// Most organisations that are named.
const ORGANISATIONS_MAX: usize = 20;

/// Mails that would have passed at once, and what became of them.
#[derive(Debug, PartialEq, Eq)]
pub struct WhatIf {
    /// They came back, and passed.
    pub passed: u64,
    /// Mean and median of the delay that these would have been spared, in seconds.
    pub spared: Option<(u64, u64)>,
    /// They may still come back.
    pub waiting: u64,
    /// They never came back, so that greylisting has kept them out.
    pub never_back: u64,
    /// Of these, the ones that passed elsewhere.
    pub passed_elsewhere: u64,
    /// Whose they are that never came back: those with the most mails, the most first.
    pub organisations: Vec<Organisation>,
    /// How many others there are.
    pub organisations_left_out: u64,
    /// Passes because of a mail server's name that the log has: the mode was already that.
    pub mail_server_passes: u64,
}

/// An organisation whose mail never came back.
#[derive(Debug, PartialEq, Eq)]
pub struct Organisation {
    /// Its domain, in lower case.
    pub domain: Vec<u8>,
    /// How many mails.
    pub mails: u64,
    /// Of these, the ones that passed elsewhere.
    pub passed_elsewhere: u64,
    /// Who sent one of them; empty for a bounce.
    pub sender: Vec<u8>,
}

impl WhatIf {
    /// Draws the sums.
    pub fn new(ledger: &mut Ledger, waiting: &[Box<Pending>], lost: &[Lost]) -> WhatIf {
        let mut organisations = organisations(ledger, lost);
        organisations.sort_unstable_by(|left, right| {
            let by_mails = right.mails.cmp(&left.mails);
            by_mails.then_with(|| left.domain.cmp(&right.domain))
        });
        let sum = |number: fn(&Organisation) -> u64| organisations.iter().map(number).sum();
        let never_back = sum(|organisation| organisation.mails);
        let passed_elsewhere = sum(|organisation| organisation.passed_elsewhere);
        let organisations_left_out = organisations.len().saturating_sub(ORGANISATIONS_MAX) as u64;
        organisations.truncate(ORGANISATIONS_MAX);
        let waiting = waiting
            .iter()
            .filter(|pending| ledger.mail_server(&pending.mail).is_some());
        WhatIf {
            passed: ledger.counts.passed_of_mail_servers,
            waiting: waiting.count() as u64,
            spared: ledger.mean_and_median_of_mail_servers(),
            never_back,
            passed_elsewhere,
            organisations,
            organisations_left_out,
            mail_server_passes: ledger.counts.mail_server_passes,
        }
    }

    /// All mails that would have passed at once.
    pub fn at_once(&self) -> u64 {
        self.passed + self.waiting + self.never_back
    }
}

fn organisations(ledger: &Ledger, lost: &[Lost]) -> Vec<Organisation> {
    let mut by_domain: HashMap<Vec<u8>, Organisation> = HashMap::new();
    for lost in lost {
        let mail = &lost.pending.mail;
        let Some(domain) = ledger.mail_server(mail) else {
            continue;
        };
        let domain = domain.to_ascii_lowercase();
        let organisation = by_domain
            .entry(domain)
            .or_insert_with_key(|domain| Organisation {
                domain: domain.clone(),
                mails: 0,
                passed_elsewhere: 0,
                sender: mail.sender.to_vec(),
            });
        organisation.mails += 1;
        organisation.passed_elsewhere += u64::from(lost.passed_elsewhere);
    }
    by_domain.into_values().collect()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::rc::Rc;

    use super::super::ledger::{Limits, Mail};
    use super::super::summary::{Lines, Summary};
    use super::*;

    /// The sums of mails that never came back, by the names of their clients.
    fn what_if(client_names: &[&str]) -> WhatIf {
        let mut ledger = Ledger::new(Limits::DEFAULT, Rc::default());
        for (index, client_name) in client_names.iter().enumerate() {
            let mail = Mail {
                client_name: Cow::Borrowed(client_name.as_bytes()),
                client_address: "192.0.2.1".parse().expect("an address"),
                sender: Cow::Owned(format!("{}@other.example", "x".repeat(index)).into_bytes()),
                recipient: Cow::Borrowed(b"b@r.example"),
            };
            ledger.defer(&mail, None);
        }
        let summary = Summary::new(None, ledger, Lines::default(), true);
        summary.what_if.expect("it is wanted")
    }

    fn domains(what_if: &WhatIf) -> Vec<(String, u64)> {
        let shown = |it: &Organisation| (String::from_utf8_lossy(&it.domain).into(), it.mails);
        what_if.organisations.iter().map(shown).collect()
    }

    #[test]
    fn organisations_with_most_mails_come_first() {
        let what_if = what_if(&[
            "mail.z.example",
            "mx.a.example",
            "www.c.example",
            "mx1.b.example",
            "MX2.B.Example",
            "unknown",
        ]);
        let wanted = [("b.example", 2), ("a.example", 1), ("z.example", 1)];
        let wanted = wanted.map(|(domain, mails)| (domain.to_owned(), mails));
        assert_eq!(domains(&what_if), wanted);
        assert_eq!((what_if.never_back, what_if.at_once()), (4, 4));
        assert_eq!(what_if.organisations_left_out, 0);
    }

    #[test]
    fn organisations_are_not_too_many() {
        let mut names: Vec<String> = (0..25).map(|n| format!("mx.{n:02}.example")).collect();
        names.push("mail.24.example".to_owned());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let what_if = what_if(&names);
        assert_eq!(what_if.organisations.len(), ORGANISATIONS_MAX);
        assert_eq!(what_if.organisations_left_out, 5);
        assert_eq!(domains(&what_if)[0], ("24.example".to_owned(), 2));
        // All count, those that are not named too.
        assert_eq!(what_if.never_back, 26);
    }
}
