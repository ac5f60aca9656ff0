//! The policy: pure. No I/O, no clock, no logging, no randomness, and no allocation per request.

pub mod access;
pub mod greylist;
pub mod identity;
pub mod limits;
pub mod log_line;
pub mod reply;
pub mod request;
pub mod table;
pub mod text;
pub mod time;
mod transactions;
pub mod triplet;
pub mod verdict;

use std::net::IpAddr;

use crate::engine::access::Access;
use crate::engine::greylist::{Judgement, Rules};
use crate::engine::identity::{Lookup, is_verified_name, parse_address};
use crate::engine::limits::EVICTED_YOUNG;
use crate::engine::request::Request;
use crate::engine::table::{Class, Entry, Table};
use crate::engine::time::Timestamp;
use crate::engine::transactions::Transactions;
use crate::engine::triplet::FingerprintKey;
use crate::engine::verdict::{Action, Attribute, Reason, Verdict};

/// What the administrator has chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Which addresses are one client.
    pub lookup: Lookup,
    /// The numbers of greylisting.
    pub rules: Rules,
}

/// Decides on requests, and remembers what it needs for that.
pub struct Engine<'a> {
    policy: Policy,
    access: Access,
    key: FingerprintKey,
    table: Table<'a>,
    transactions: Transactions,
}

/// A request that is to be judged.
struct Question<'a> {
    /// `None` if it is not one.
    address: Option<IpAddr>,
    client_name: &'a [u8],
    sender: &'a [u8],
    recipient: &'a [u8],
    /// Empty if there is none, as Postfix and Exim have it.
    instance: &'a [u8],
}

impl<'a> Engine<'a> {
    /// An engine with a table, and the key of this installation.
    pub fn new(policy: Policy, key: FingerprintKey, table: Table<'a>) -> Engine<'a> {
        Engine {
            policy,
            access: Access::default(),
            key,
            table,
            transactions: Transactions::new(),
        }
    }

    /// The lists, empty at first, to be replaced as a whole or one of them.
    pub fn access_mut(&mut self) -> &mut Access {
        &mut self.access
    }

    /// The table, to be looked at.
    pub fn table(&self) -> &Table<'a> {
        &self.table
    }

    /// Decides on a request at the time `now`. This is the order of the checks:
    ///
    /// 1. what is not a whole request of Postfix's, or not about a recipient, passes,
    /// 2. so do clients that have logged in, and this machine itself,
    /// 3. a question that is repeated within its message transaction gets the same verdict again,
    /// 4. clients and recipients that are listed pass,
    /// 5. a client without an address passes: there is nothing to know it by,
    /// 6. an auto-whitelisted client passes,
    /// 7. the triplet is judged.
    pub fn decide(&mut self, request: &Request<'_>, now: Timestamp) -> Verdict {
        let question = match to_be_judged(request) {
            Ok(question) => question,
            Err(reason) => return passed(reason),
        };
        if question.instance.is_empty() {
            return self.judge(&question, now);
        }
        let fingerprint = self.key.question([
            question.instance,
            request.client_address.unwrap_or_default(),
            question.sender,
            question.recipient,
        ]);
        if let Some(verdict) = self.transactions.answer_to(fingerprint, now) {
            return verdict;
        }
        let verdict = self.judge(&question, now);
        let repetition = match verdict.action {
            Action::PrependHeader { .. } => Action::Dunno,
            action => action,
        };
        self.transactions.remember(
            fingerprint,
            now,
            Verdict {
                action: repetition,
                repeated: true,
                auto_whitelisted: false,
                evicted_young: false,
                ..verdict
            },
        );
        verdict
    }

    fn judge(&mut self, question: &Question<'_>, now: Timestamp) -> Verdict {
        if let Some(reason) = self.listed(question) {
            return passed(reason);
        }
        let Some(address) = question.address else {
            return passed(Reason::UnparsableAddress);
        };
        let Policy { lookup, rules } = self.policy;
        let client = self.key.auto_whitelist(address);
        if rules.is_auto_whitelisted(&mut self.table, client, now) {
            return passed(Reason::ClientAutoWhitelisted);
        }
        let identity = lookup.identity(address);
        let triplet = self
            .key
            .triplet(identity, question.sender, question.recipient);
        let pending_class = if is_verified_name(question.client_name) {
            Class::Named
        } else {
            Class::Plain
        };
        let (judgement, evicted) = rules.judge(&mut self.table, triplet, pending_class, now);
        let is_young =
            |entry: Entry| entry.class.is_pending() && now.since(entry.since) < EVICTED_YOUNG;
        let verdict = Verdict {
            evicted_young: evicted.is_some_and(is_young),
            ..passed(Reason::TripletFound)
        };
        match judgement {
            Judgement::Known => verdict,
            Judgement::Wait(remaining) => Verdict {
                action: Action::Defer { remaining },
                reason: if remaining == rules.delay {
                    Reason::New
                } else {
                    Reason::EarlyRetry
                },
                ..verdict
            },
            Judgement::FirstPass(delayed) => {
                let (auto_whitelisted, evicted) =
                    rules.count_first_pass(&mut self.table, client, now);
                let wants_header = question.instance.is_empty()
                    || self.transactions.claim_header(question.instance);
                Verdict {
                    action: if wants_header {
                        Action::PrependHeader { delayed }
                    } else {
                        Action::Dunno
                    },
                    auto_whitelisted,
                    evicted_young: evicted.is_some_and(is_young),
                    ..verdict
                }
            }
        }
    }
}

impl Engine<'_> {
    /// Whether a list has the client or the recipient, in Postgrey's order.
    fn listed(&self, question: &Question<'_>) -> Option<Reason> {
        let Access {
            clients,
            recipients,
        } = &self.access;
        let by_address = || clients.find_address(question.address?);
        if clients
            .find_name(question.client_name)
            .or_else(by_address)
            .is_some()
        {
            return Some(Reason::ClientListed);
        }
        let recipient = recipients.find(question.recipient);
        recipient.map(|_| Reason::RecipientListed)
    }
}

/// What is to be judged in a request, or why it passes unjudged.
///
/// Every way out of here passes mail, and so do the lists, a missing address, a repetition of what has passed and the auto-whitelist,
/// in [`Engine::decide`]. Can a remote SMTP client take it?
///
/// - unknown request, missing attribute: no, Postfix writes these.
/// - `client_address` that is not an address: only by being gone already, or as a neighbour on the same link, whose IPv6 address has a zone.
/// - other states than RCPT: yes, but RCPT comes in each transaction, before any mail.
/// - authenticated: only with the password of a user.
/// - local client: no; loopback addresses are not routed, and Postfix takes the address from the connection.
/// - lists: only a client or a recipient that the administrator has named.
/// - repetition: only of a question that has passed in the same message transaction, which Postfix numbers.
fn to_be_judged<'r>(request: &Request<'r>) -> Result<Question<'r>, Reason> {
    match request.request {
        None => return Err(Reason::Missing(Attribute::Request)),
        Some(b"smtpd_access_policy") => {}
        Some(_) => return Err(Reason::UnknownRequest),
    }
    let present = |value: Option<&'r [u8]>, attribute| value.ok_or(Reason::Missing(attribute));
    let client_address = present(request.client_address, Attribute::ClientAddress)?;
    let client_name = present(request.client_name, Attribute::ClientName)?;
    let recipient = present(request.recipient, Attribute::Recipient)?;
    let sender = present(request.sender, Attribute::Sender)?;
    if !request.protocol_state.unwrap_or_default().is_empty()
        && request.protocol_state != Some(b"RCPT")
    {
        return Err(Reason::NotRecipientState);
    }
    if request
        .sasl_username
        .is_some_and(|username| !username.is_empty())
    {
        return Err(Reason::Authenticated);
    }
    let address = parse_address(client_address);
    if address.is_some_and(|address| address.is_loopback()) {
        return Err(Reason::LocalClient);
    }
    let instance = request.instance.unwrap_or_default();
    Ok(Question {
        address,
        client_name,
        sender,
        recipient,
        instance,
    })
}

fn passed(reason: Reason) -> Verdict {
    Verdict {
        action: Action::Dunno,
        reason,
        repeated: false,
        auto_whitelisted: false,
        evicted_young: false,
    }
}
