//! What a dry run (`serve --dry-run`) would have deferred: by day, by client, and how much of it was seen again. Nothing came back,
//! because nothing was deferred, so what would have is not known.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;

use super::action::{Action, ActionLine};
use super::ledger::{Ledger, Limits, Mail};
use super::time::Moment;
use crate::engine::access::Clients;

/// Most clients that are counted apart.
const CLIENTS_MAX: usize = 50_000;

/// Most of them that are named.
const CLIENTS_NAMED_MAX: usize = 20;

/// Most days that are listed, the last ones.
const DAYS_MAX: usize = 31;

/// Most messages whose other recipients may be expected at a time.
const MESSAGES_MAX: usize = 65_536;

/// Books the lines of a dry run in the order of the log.
pub struct DryRun {
    /// What would have been deferred and has not passed since.
    ledger: Ledger,
    random: RandomState,
    /// The last message of each client and sender.
    messages: HashMap<u64, Message>,
    together: Sums,
    /// By the number of the day.
    /// By number, with their dates; a log has few, and mostly in order.
    days: Vec<(i64, (String, Sums))>,
    clients: HashMap<Vec<u8>, Client>,
    deferred_again: u64,
    of_mail_servers: u64,
    of_uncounted_clients: u64,
}

/// A message transaction.
struct Message {
    /// None before the first recipient has been accepted.
    queue_id: Option<u64>,
    is_deferred: bool,
}

/// What was decided on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Message transactions.
    pub mails: u64,
    /// Those with a recipient that would have been deferred.
    pub mails_deferred: u64,
    /// Questions, one for each recipient.
    pub recipients: u64,
    /// Those that would have been deferred.
    pub recipients_deferred: u64,
}

/// A client whose mail would have been deferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its organisation, in lower case, or its network.
    pub name: Vec<u8>,
    /// Recipients that would have been deferred.
    pub deferred: u64,
    /// Triplets of it that were seen again, and passed.
    pub known_later: u64,
    /// Who sent one of its mails; empty for a bounce.
    pub sender: Vec<u8>,
}

/// All that there is to say of a dry run.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Of the whole log.
    pub together: Sums,
    /// Of the last days of it, each with its date; none if the log has no times.
    pub days: Vec<(String, Sums)>,
    /// Triplets that would have been deferred.
    pub triplets: u64,
    /// Of these, those that were seen again in time and passed.
    pub known_later: u64,
    /// Deferrals of a triplet as new that had been deferred as new before.
    pub deferred_again: u64,
    /// Deferrals of clients whose name is a mail server's.
    pub of_mail_servers: u64,
    /// Those with the most deferrals, the most first.
    pub clients: Vec<Client>,
    /// How many others there are.
    pub clients_left_out: u64,
    /// Deferrals that found no room in the ledger.
    pub left_out: u64,
    /// Deferrals of clients for which there was no room.
    pub of_uncounted_clients: u64,
}

impl DryRun {
    /// An empty one. The lists say who is a pool.
    pub fn new(lists: Rc<Clients>) -> DryRun {
        DryRun {
            ledger: Ledger::new(Limits::DEFAULT, lists),
            random: RandomState::new(),
            messages: HashMap::new(),
            together: Sums::default(),
            days: Vec::new(),
            clients: HashMap::new(),
            deferred_again: 0,
            of_mail_servers: 0,
            of_uncounted_clients: 0,
        }
    }

    /// Books a decision.
    pub fn book(&mut self, line: &ActionLine<'_>, at: Option<Moment>) {
        let is_deferred = line.action == Action::Greylist;
        let (is_new, is_first_deferral) = self.note_message(line, is_deferred);
        let day = at.map(|at| {
            let day = at.day();
            let found = self.days.binary_search_by_key(&day, |(day, _)| *day);
            let index = found.unwrap_or_else(|index| {
                let sums = (at.date(), Sums::default());
                self.days.insert(index, (day, sums));
                index
            });
            &mut self.days[index].1.1
        });
        for sums in [Some(&mut self.together), day].into_iter().flatten() {
            sums.mails += u64::from(is_new);
            sums.mails_deferred += u64::from(is_first_deferral);
            sums.recipients += 1;
            sums.recipients_deferred += u64::from(is_deferred);
        }
        if is_deferred {
            self.defer(line, at);
        } else {
            self.pass(&line.mail, line.reason, at);
        }
    }

    /// Books that a mail has passed, in the dry run or after it; gives whether it would have been deferred before.
    pub fn pass(&mut self, mail: &Mail<'_>, reason: &[u8], at: Option<Moment>) -> bool {
        let Some(deferred) = self.ledger.pass(mail, reason, None, at) else {
            return false;
        };
        let name = self.ledger.client_name(&deferred.mail);
        if let Some(client) = self.clients.get_mut(&name) {
            client.known_later += 1;
        }
        true
    }

    fn defer(&mut self, line: &ActionLine<'_>, at: Option<Moment>) {
        let mail = &line.mail;
        if line.reason == b"new" && self.ledger.is_pending(mail) {
            self.deferred_again += 1;
        }
        self.ledger.defer(mail, at);
        self.of_mail_servers += u64::from(self.ledger.mail_server(mail).is_some());
        let name = self.ledger.client_name(mail);
        if self.clients.len() >= CLIENTS_MAX && !self.clients.contains_key(&name) {
            self.of_uncounted_clients += 1;
            return;
        }
        let client = self.clients.entry(name).or_insert_with_key(|name| Client {
            name: name.clone(),
            deferred: 0,
            known_later: 0,
            sender: mail.sender.to_vec(),
        });
        client.deferred += 1;
    }

    /// Tells whether a line begins a message, and whether it is the first of it that would have been deferred. Postfix has a queue
    /// id as soon as the first recipient is accepted, so what has one belongs to the message before it.
    fn note_message(&mut self, line: &ActionLine<'_>, is_deferred: bool) -> (bool, bool) {
        let key = (line.mail.client_address, &*line.mail.sender);
        let key = self.random.hash_one(key);
        let queue_id = line.queue_id.map(|id| self.random.hash_one(id));
        let message = self.messages.get_mut(&key).filter(|message| {
            queue_id.is_some() && (message.queue_id.is_none() || message.queue_id == queue_id)
        });
        if let Some(message) = message {
            message.queue_id = queue_id;
            let is_first_deferral = is_deferred && !message.is_deferred;
            message.is_deferred |= is_deferred;
            return (false, is_first_deferral);
        }
        if self.messages.len() >= MESSAGES_MAX {
            self.messages.clear();
        }
        let message = Message {
            queue_id,
            is_deferred,
        };
        self.messages.insert(key, message);
        (true, is_deferred)
    }

    /// Draws the sums.
    pub fn outcome(mut self) -> Outcome {
        let mut clients: Vec<Client> = self.clients.into_values().collect();
        clients.sort_unstable_by(|left, right| {
            let by_deferrals = right.deferred.cmp(&left.deferred);
            by_deferrals.then_with(|| left.name.cmp(&right.name))
        });
        let clients_left_out = clients.len().saturating_sub(CLIENTS_NAMED_MAX) as u64;
        clients.truncate(CLIENTS_NAMED_MAX);
        let known_later = self.ledger.counts.passed;
        let first_day = self.days.len().saturating_sub(DAYS_MAX);
        Outcome {
            together: self.together,
            days: self.days.drain(first_day..).map(|(_, sums)| sums).collect(),
            triplets: known_later + self.ledger.take_pending().len() as u64,
            known_later,
            deferred_again: self.deferred_again,
            of_mail_servers: self.of_mail_servers,
            clients,
            clients_left_out,
            left_out: self.ledger.counts.left_out,
            of_uncounted_clients: self.of_uncounted_clients,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::action::action_line;
    use super::super::line::Line;
    use super::*;

    /// Books lines of a queue id (or nothing), an action with its reason, a sender, and a recipient.
    fn booked(lines: &[[&str; 4]]) -> Outcome {
        let mut dry_run = DryRun::new(Rc::default());
        for [queue_id, action, sender, recipient] in lines {
            let text = format!(
                "greylet: {queue_id}action={action}, dry_run=yes, client_name=mail.s.example, client_address=192.0.2.1, sender={sender}, recipient={recipient}"
            );
            let line = Line::new(text.as_bytes());
            dry_run.book(&action_line(&line).expect("an action line"), None);
        }
        dry_run.outcome()
    }

    const NEW: &str = "greylist, reason=new";
    const PASS: &str = "pass, reason=triplet found, delay=90000";

    #[test]
    fn recipients_of_a_message_are_one_mail() {
        for (lines, mails, mails_deferred) in [
            (
                &[
                    ("", NEW, "a"),
                    ("4ABC123: ", NEW, "a"),
                    ("4ABC123: ", NEW, "a"),
                ][..],
                1,
                1,
            ),
            (
                &[("", NEW, "a"), ("", NEW, "a"), ("4ABC123: ", NEW, "a")],
                2,
                2,
            ),
            (&[("4ABC123: ", NEW, "a"), ("4ABC124: ", NEW, "a")], 2, 2),
            (
                &[
                    ("", NEW, "a"),
                    ("", NEW, "b"),
                    ("4ABC123: ", NEW, "a"),
                    ("4ABC124: ", NEW, "b"),
                ],
                2,
                2,
            ),
            (
                &[
                    ("", PASS, "a"),
                    ("4ABC123: ", NEW, "a"),
                    ("4ABC123: ", NEW, "a"),
                ],
                1,
                1,
            ),
            (&[("", PASS, "a"), ("4ABC123: ", PASS, "a")], 1, 0),
        ] {
            let recipients: Vec<String> = (0..lines.len()).map(|n| format!("{n}@r")).collect();
            let whole = lines.iter().zip(&recipients);
            let whole: Vec<_> = whole
                .map(|(line, to)| [line.0, line.1, line.2, to])
                .collect();
            let sums = booked(&whole).together;
            let wanted = Sums {
                mails,
                mails_deferred,
                recipients: lines.len() as u64,
                recipients_deferred: lines.iter().filter(|line| line.1 == NEW).count() as u64,
            };
            assert_eq!(sums, wanted, "{lines:?}");
        }
    }

    #[test]
    fn what_is_seen_again_is_known_or_deferred_again() {
        let early = "greylist, reason=early-retry (200s missing)";
        let outcome = booked(&[
            ["", NEW, "a@s.example", "x@r"],
            ["", early, "a@s.example", "x@r"],
            ["", PASS, "a@s.example", "x@r"],
            ["", NEW, "weekly@s.example", "x@r"],
            ["", NEW, "weekly@s.example", "x@r"],
            ["", PASS, "never@s.example", "x@r"],
        ]);
        assert_eq!((outcome.triplets, outcome.known_later), (2, 1));
        assert_eq!((outcome.deferred_again, outcome.of_mail_servers), (1, 4));
        let client = Client {
            name: b"s.example".to_vec(),
            deferred: 4,
            known_later: 1,
            sender: b"a@s.example".to_vec(),
        };
        assert_eq!(outcome.clients, [client]);
    }
}
