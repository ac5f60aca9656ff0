//! What `greylet explain` gets: lines of the policy protocol's form, but for people.

use std::fmt::{self, Write};

use heapless::VecView;

use crate::daemon::reload::{ListInForce, ListsInForce};
use crate::engine::Policy;
use crate::engine::access::{Origin, RecipientLine};
use crate::engine::facts::{Counter, Explanation, Facts, Listed, OptIn};
use crate::engine::identity::Whereabouts;
use crate::engine::limits::LOGGED_VALUE_BYTES_MAX;
use crate::engine::log_line::Logged;
use crate::engine::orders::{Allowed, AllowedBy};
use crate::engine::organisation::Evidence;
use crate::engine::request::Request;
use crate::engine::table::{Class, Entry};
use crate::engine::text::Printable;
use crate::engine::time::{Age, Timestamp};
use crate::engine::triplet::{Parties, Room};
use crate::engine::verdict::{Action, Reason};

/// What a request asks for that wants an explanation.
pub(super) const EXPLAIN: &[u8] = b"explain";

/// Longest explanation: some short lines, the names of six list files, a client's and a sender's.
pub(super) const EXPLANATION_BYTES_MAX: usize =
    1_840 + 6 * NAME_BYTES_MAX + 2 * LOGGED_VALUE_BYTES_MAX;

/// How much of a file's name is shown.
const NAME_BYTES_MAX: usize = 200;

/// An explanation on the way to its reader.
pub(super) struct Explained<'a> {
    pub(super) explanation: &'a Explanation<'a>,
    pub(super) request: &'a Request<'a>,
    pub(super) policy: &'a Policy,
    pub(super) lists: &'a ListsInForce,
    pub(super) is_dry_run: bool,
    pub(super) now: Timestamp,
}

impl Explained<'_> {
    /// Appends the whole reply, of at most [`EXPLANATION_BYTES_MAX`], for which `to` must have room.
    pub(super) fn append_to(&self, to: &mut VecView<u8>) {
        let appended = self.try_append_to(to);
        debug_assert!(appended.is_ok(), "an explanation is longer than its bound");
    }

    fn try_append_to(&self, to: &mut VecView<u8>) -> fmt::Result {
        to.write_str("explained=yes\n")?;
        self.write_verdict(to)?;
        if self.is_dry_run {
            to.write_str("dry run=yes, so Postfix is told nothing, and the mail passes\n")?;
        }
        if let Some(allowed) = self.explanation.allowed {
            self.write_allowed(to, allowed)?;
        }
        self.write_lists(to)?;
        if let Some(facts) = &self.explanation.facts {
            self.write_facts(to, facts)?;
        }
        to.write_str("\n")
    }

    fn write_allowed(&self, to: &mut VecView<u8>, Allowed { by, until }: Allowed) -> fmt::Result {
        let by = match by {
            AllowedBy::ClientAddress => "the client's address",
            AllowedBy::ClientName => "the client's name",
            AllowedBy::Recipient => "the recipient",
        };
        writeln!(to, "allowed={by}, for {} more", Age(until.since(self.now)))
    }

    fn write_lists(&self, to: &mut VecView<u8>) -> fmt::Result {
        let (explanation, lists) = (self.explanation, self.lists);
        let Listed {
            client,
            recipient,
            sender,
            is_name_verified,
            opt_in,
        } = explanation.listed;
        match client {
            Some(origin) => writeln!(to, "client list={}", Place::of(origin, &lists.clients))?,
            None => to.write_str("client list=no line\n")?,
        }
        match recipient {
            None => to.write_str("recipient list=no line\n")?,
            Some(RecipientLine { origin, policy }) => {
                write!(
                    to,
                    "recipient list={}",
                    Place::of(origin, &lists.recipients)
                )?;
                match policy {
                    Some(policy) => writeln!(to, ": {policy}")?,
                    None => to.write_str("\n")?,
                }
            }
        }
        if let Some(origin) = sender {
            let so = match is_name_verified {
                true => "",
                false => ", but the client has no verified name",
            };
            writeln!(to, "sender list={}{so}", Place::of(origin, &lists.senders))?;
        }
        match opt_in {
            OptIn::Everybody => {}
            OptIn::Line(origin) => {
                writeln!(to, "greylisted={}", Place::of(origin, &lists.greylisted))?;
            }
            OptIn::NoLine => to.write_str("greylisted=no line\n")?,
        }
        for (name, origin) in [("pool", explanation.pool), ("nowhite", explanation.nowhite)] {
            if let Some(origin) = origin {
                writeln!(to, "{name}={}", Place::of(origin, &lists.clients))?;
            }
        }
        Ok(())
    }

    fn write_verdict(&self, to: &mut VecView<u8>) -> fmt::Result {
        let reason = self.explanation.verdict.reason;
        match (self.explanation.verdict.action, reason) {
            (Action::Defer { remaining }, Reason::New) => {
                writeln!(
                    to,
                    "would be=deferred, {remaining} seconds from now on: {reason}"
                )
            }
            (Action::Defer { remaining }, _) => {
                writeln!(to, "would be=deferred, {remaining} seconds more: {reason}")
            }
            (Action::PrependHeader { delayed }, _) => {
                writeln!(to, "would be=passed, after {delayed} seconds: {reason}")
            }
            (Action::Dunno, _) => writeln!(to, "would be=passed: {reason}"),
        }
    }

    fn write_facts(&self, to: &mut VecView<u8>, facts: &Facts<'_>) -> fmt::Result {
        self.write_client(to, facts)?;
        let Request {
            sender, recipient, ..
        } = self.request;
        let (sender, recipient) = (sender.unwrap_or_default(), recipient.unwrap_or_default());
        let mut room = Room::new();
        let form = self.policy.lookup.sender_form();
        let parties = Parties::new(form, sender, recipient, &mut room);
        match (sender, facts.is_sender_folded) {
            (b"", _) => writeln!(to, "sender=none")?,
            (_, true) => writeln!(to, "sender={}, folded", Logged(parties.sender()))?,
            (_, false) => writeln!(to, "sender={}", Logged(parties.sender()))?,
        }
        let [first, second] = facts.entries;
        match facts.client.identity() {
            Some(_) => {
                self.write_entry(to, "by name", first)?;
                self.write_entry(to, "by network", second)?;
            }
            None => self.write_entry(to, "triplet", first)?,
        }
        self.write_counter(to, "address AWL", facts.address)?;
        if let Some(counter) = facts.organisation {
            self.write_counter(to, "domain AWL", counter)?;
        }
        if let Some((_, entry)) = facts.written_to {
            self.write_entry(to, "wrote to", entry)?;
        }
        Ok(())
    }

    fn write_client(&self, to: &mut VecView<u8>, facts: &Facts<'_>) -> fmt::Result {
        let client = facts.client;
        if let Some(organisation) = client.identity() {
            let evidence = match organisation.evidence {
                Evidence::MailServerName => "its name is a mail server's",
                Evidence::SenderDomain => "the sender's domain is its own",
                Evidence::PoolLine => "a pool line says so",
            };
            return writeln!(
                to,
                "client={}: {evidence}",
                Logged(organisation.domain.as_bytes())
            );
        }
        match client.whereabouts {
            Whereabouts::Network(network) if self.policy.lookup.is_by_name() => writeln!(
                to,
                "client=network of {network}: its name is no evidence of a mail server"
            ),
            Whereabouts::Network(network) => writeln!(to, "client=network of {network}"),
            Whereabouts::Host(address) => writeln!(to, "client={address}"),
        }
    }

    fn write_entry(&self, to: &mut VecView<u8>, name: &str, entry: Option<Entry>) -> fmt::Result {
        let Some(entry) = entry else {
            return writeln!(to, "{name}=not known");
        };
        let since = Age(self.now.since(entry.since));
        let last_seen = Age(self.now.since(entry.last_seen));
        match entry.class {
            Class::Plain | Class::Named => {
                writeln!(
                    to,
                    "{name}=pending, first seen {since} ago, last seen {last_seen} ago"
                )
            }
            Class::Known => {
                writeln!(
                    to,
                    "{name}=known, passed {since} ago, last seen {last_seen} ago"
                )
            }
            Class::Proven => {
                writeln!(
                    to,
                    "{name}=proven, passed {since} ago, last seen {last_seen} ago"
                )
            }
            Class::WroteTo => writeln!(to, "{name}=yes, {since} ago, last seen {last_seen} ago"),
        }
    }

    fn write_counter(&self, to: &mut VecView<u8>, name: &str, counter: Counter) -> fmt::Result {
        let threshold = counter.threshold;
        match counter.entry {
            _ if threshold == 0 => writeln!(to, "{name}=switched off"),
            None => writeln!(to, "{name}=0 of {threshold} first passes"),
            Some(entry) => {
                let age = Age(self.now.since(entry.last_seen));
                let count = entry.count;
                writeln!(
                    to,
                    "{name}={count} of {threshold} first passes, the last {age} ago"
                )
            }
        }
    }
}

/// Where a line stands.
struct Place<'a> {
    origin: Origin,
    files: &'a [String],
}

impl Place<'_> {
    fn of(origin: Origin, list: &ListInForce) -> Place<'_> {
        let files = &list.names;
        Place { origin, files }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.files.get(usize::from(self.origin.file));
        let name = Printable {
            bytes: file.map_or(b"?", |name| name.as_bytes()),
            bytes_max: NAME_BYTES_MAX,
        };
        write!(f, "{name} line {}", self.origin.line)
    }
}
