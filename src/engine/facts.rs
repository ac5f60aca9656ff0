//! What greylet knows about a question, looked up without a trace. Verdicts follow from it, and so do explanations.

use std::cell::RefCell;
use std::net::IpAddr;

use crate::engine::access::{Origin, RecipientLine};
use crate::engine::domain_name::domain_of;
use crate::engine::greylist::{Judgement, Rules};
use crate::engine::identity::Client;
use crate::engine::orders::{Allowed, TrustedAfter};
use crate::engine::table::{Entry, Table};
use crate::engine::time::Timestamp;
use crate::engine::triplet::{Fingerprint, FingerprintKey, Parties, Room, Triplet};
use crate::engine::verdict::{Action, Reason, Verdict};
use crate::engine::{Greylist, Policy};

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Facts<'r> {
    /// Who the client is.
    pub client: Client<'r>,
    /// Passes of the client's address.
    pub address: Counter,
    /// Passes of the organisation's mail for the sender's domain, if such are counted.
    pub organisation: Option<Counter>,
    /// Where it stands that the recipient wrote to the sender, and the entry.
    pub written_to: Option<(Fingerprint, Option<Entry>)>,
    /// Whether the sender has parts that change with each mail, and do not count.
    pub is_sender_folded: bool,
    /// What the mail is known by.
    pub triplet: Triplet,
    /// Its entries, in the order of the fingerprints.
    pub entries: [Option<Entry>; 2],
}

/// Counted passes.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    /// Where the count is kept.
    pub fingerprint: Fingerprint,
    /// How many auto-whitelist, 0 for never.
    pub threshold: u16,
    /// The count, if there is one.
    pub entry: Option<Entry>,
}

impl Counter {
    /// Whether there are enough.
    pub fn is_auto_whitelisted(&self) -> bool {
        self.threshold > 0
            && self
                .entry
                .is_some_and(|entry| entry.count >= self.threshold)
    }
}

/// What follows from the facts.
#[derive(Clone, Copy, Debug)]
pub enum Conclusion {
    /// The client's address has had enough first passes.
    AutoWhitelisted,
    /// The organisation's mail for this domain of senders has.
    SenderDomainAutoWhitelisted,
    /// Its name shows that the client is a mail server, and the administrator only greylists others.
    MailServer,
    /// The recipient wrote to the sender.
    WrittenTo(Fingerprint),
    /// The triplet decides.
    Triplet(Judgement),
}

impl<'r> Facts<'r> {
    /// The first of the conclusions that holds, but that who has passed before needs nobody to have written to him.
    pub fn conclusion(&self, policy: &Policy, now: Timestamp) -> Conclusion {
        if self.address.is_auto_whitelisted() {
            return Conclusion::AutoWhitelisted;
        }
        if self.organisation.is_some_and(|it| it.is_auto_whitelisted()) {
            return Conclusion::SenderDomainAutoWhitelisted;
        }
        if policy.greylist == Greylist::Suspicious && self.client.is_mail_server() {
            return Conclusion::MailServer;
        }
        match (policy.rules.judge(self.entries, now), self.written_to) {
            (Judgement::Known, _) => Conclusion::Triplet(Judgement::Known),
            (_, Some((fingerprint, Some(_)))) => Conclusion::WrittenTo(fingerprint),
            (judgement, _) => Conclusion::Triplet(judgement),
        }
    }

    /// What is to be said on a conclusion.
    pub(super) fn verdict(&self, conclusion: Conclusion, rules: &Rules) -> Verdict<'r> {
        let identity = self.client.identity();
        let verdict = match conclusion {
            Conclusion::AutoWhitelisted => Verdict::passed(Reason::ClientAutoWhitelisted),
            Conclusion::SenderDomainAutoWhitelisted => {
                Verdict::passed(Reason::SenderDomainAutoWhitelisted)
            }
            Conclusion::MailServer => Verdict::passed(Reason::MailServer),
            Conclusion::WrittenTo(_) => Verdict::passed(Reason::WrittenTo),
            Conclusion::Triplet(Judgement::Known) => Verdict::passed(Reason::TripletFound),
            Conclusion::Triplet(Judgement::New) => Verdict::deferred(Reason::New, rules.delay),
            Conclusion::Triplet(Judgement::Wait(remaining)) if remaining == rules.delay => {
                Verdict::deferred(Reason::New, remaining)
            }
            Conclusion::Triplet(Judgement::Wait(remaining)) => {
                Verdict::deferred(Reason::EarlyRetry, remaining)
            }
            Conclusion::Triplet(Judgement::FirstPass(delayed)) => Verdict {
                action: Action::PrependHeader { delayed },
                is_first_pass: true,
                ..Verdict::passed(Reason::TripletFound)
            },
        };
        Verdict {
            identity: identity.map(|organisation| organisation.domain),
            is_sender_folded: self.is_sender_folded,
            ..verdict
        }
    }
}

/// Where lists have a client, a recipient and a sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The client.
    pub client: Option<Origin>,
    /// The recipient.
    pub recipient: Option<RecipientLine>,
    /// The sender, whoever may have written it there.
    pub sender: Option<Origin>,
    /// Whether the client has a verified name, so that there is somebody to blame for a forged sender.
    pub is_name_verified: bool,
    /// Whether the recipient is one of those whose mail is greylisted.
    pub opt_in: OptIn,
}

/// What a list of the recipients whose mail is greylisted says of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OptIn {
    /// There is no such list, so that the mail of all is; or the recipient is written so that one cannot be expected to have him.
    #[default]
    Everybody,
    /// His is, because of this line.
    Line(Origin),
    /// His is not.
    NoLine,
}

impl Listed {
    /// Why their mail passes, in Postgrey's order.
    pub(super) fn reason(&self) -> Option<Reason> {
        if self.client.is_some() {
            Some(Reason::ClientListed)
        } else if self.recipient.is_some_and(|line| line.policy.is_none()) {
            Some(Reason::RecipientListed)
        } else if self.sender.is_some() && self.is_name_verified {
            Some(Reason::SenderListed)
        } else {
            (self.opt_in == OptIn::NoLine).then_some(Reason::RecipientNotGreylisted)
        }
    }
}

/// Why a request would be answered as it would be.
#[derive(Clone, Copy, Debug)]
pub struct Explanation<'r> {
    /// The answer.
    pub verdict: Verdict<'r>,
    /// Whether the administrator lets it through for now.
    pub allowed: Option<Allowed>,
    /// The lists.
    pub listed: Listed,
    /// The pool that the client is in, which says only who it is.
    pub pool: Option<Origin>,
    /// Where it stands that the client is never auto-whitelisted.
    pub nowhite: Option<Origin>,
    /// What is known, if the request is about a client with an address.
    pub facts: Option<Facts<'r>>,
}

impl<'r> Explanation<'r> {
    pub(super) fn of(verdict: Verdict<'r>) -> Explanation<'r> {
        Explanation {
            verdict,
            allowed: None,
            listed: Listed::default(),
            pool: None,
            nowhite: None,
            facts: None,
        }
    }
}

/// Where facts are looked up.
#[derive(Clone, Copy)]
pub(super) struct Sources<'s, 't> {
    pub(super) policy: &'s Policy,
    pub(super) key: &'s FingerprintKey,
    pub(super) table: &'s Table<'t>,
    /// From when on entries are believed, if the client was forgotten.
    pub(super) trusted_after: Option<TrustedAfter>,
    pub(super) room: &'s RefCell<Room>,
}

impl Sources<'_, '_> {
    /// Looks up what is known about a client that writes to a recipient.
    pub(super) fn look_up<'r>(
        self,
        client: Client<'r>,
        address: IpAddr,
        sender: &[u8],
        recipient: &[u8],
        now: Timestamp,
    ) -> Facts<'r> {
        let Policy { lookup, rules, .. } = self.policy;
        let live = |fingerprint| rules.live(self.table, fingerprint, now);
        let is_trusted = |entry: &Entry| self.trusted_after.is_none_or(|after| after.trusts(entry));
        let entry = |fingerprint| live(fingerprint).filter(is_trusted);
        let counter = |fingerprint, threshold| Counter {
            fingerprint,
            threshold,
            entry: entry(fingerprint),
        };
        let mut room = self.room.borrow_mut();
        let parties = Parties::new(lookup.sender_form(), sender, recipient, &mut room);
        let triplet = self.key.triplet(&client, &parties);
        let organisation = client.vouched_identity();
        let [first, second] = [Some(triplet.first), triplet.second];
        Facts {
            client,
            address: counter(
                self.key.auto_whitelist(address),
                rules.auto_whitelist_clients,
            ),
            organisation: organisation
                .zip(domain_of(sender))
                .map(|(organisation, senders)| {
                    counter(
                        self.key.auto_whitelist_organisation(organisation, senders),
                        rules.auto_whitelist_sender_domains(),
                    )
                }),
            written_to: organisation.map(|_| {
                // What our users have written is not the client's to lose.
                let fingerprint = self.key.written_to(&parties);
                (fingerprint, live(fingerprint))
            }),
            is_sender_folded: parties.is_sender_folded(),
            triplet,
            entries: [first.and_then(entry), second.and_then(entry)],
        }
    }
}
