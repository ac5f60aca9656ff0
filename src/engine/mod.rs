//! The policy: pure. No I/O, no clock, no logging, no randomness, and no allocation per request.

pub mod access;
mod carried_address;
pub mod domain_name;
pub mod facts;
pub mod greylist;
pub mod identity;
pub mod limits;
pub mod log_line;
pub mod null_sender;
pub mod organisation;
mod outgoing;
pub mod reply;
pub mod request;
pub mod sender;
pub mod table;
pub mod text;
pub mod time;
mod transactions;
pub mod triplet;
pub mod verdict;

use std::net::IpAddr;

use crate::engine::access::Access;
use crate::engine::facts::{Conclusion, Counter, Explanation, Facts, Listed, Sources};
use crate::engine::greylist::{Counted, Judgement, Rules};
use crate::engine::identity::{Lookup, parse_address};
use crate::engine::null_sender::{AtRecipient, DataQuestions, NullSender, is_null_sender};
use crate::engine::outgoing::DailyQuotas;
use crate::engine::request::Request;
use crate::engine::table::Table;
use crate::engine::time::Timestamp;
use crate::engine::transactions::Transactions;
use crate::engine::triplet::{FingerprintKey, Parties};
use crate::engine::verdict::{Action, Attribute, AutoWhitelisted, Reason, Verdict};

/// What the administrator has chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Which clients are one.
    pub lookup: Lookup,
    /// Who is greylisted.
    pub greylist: Greylist,
    /// When mail without a sender is.
    pub null_sender: NullSender,
    /// The numbers of greylisting.
    pub rules: Rules,
}

/// Who is greylisted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Greylist {
    /// Every client.
    #[default]
    All,
    /// Clients whose names do not show that they are mail servers.
    Suspicious,
}

/// Decides on requests, and remembers what it needs for that.
pub struct Engine<'a> {
    policy: Policy,
    access: Access,
    key: FingerprintKey,
    table: Table<'a>,
    transactions: Transactions,
    data_questions: DataQuestions,
    daily_quotas: DailyQuotas,
}

/// A request that is to be judged.
struct Question<'r> {
    /// The SMTP command.
    state: &'r [u8],
    /// As it was sent.
    client_address: &'r [u8],
    /// `None` if it is not one.
    address: Option<IpAddr>,
    client_name: &'r [u8],
    sender: &'r [u8],
    recipient: &'r [u8],
    /// Empty if there is none, as Postfix and Exim have it.
    instance: &'r [u8],
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
            data_questions: DataQuestions::default(),
            daily_quotas: DailyQuotas::default(),
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
    /// 1. what is not a whole request of Postfix's, or not about a recipient, passes (but see [`null_sender`]),
    /// 2. so do clients that have logged in, mail that goes out, and this machine itself,
    /// 3. a question that is repeated within its message transaction gets the same verdict again,
    /// 4. clients and recipients that are listed pass,
    /// 5. a client without an address passes: there is nothing to know it by,
    /// 6. then it depends on what is known: see [`Conclusion`].
    pub fn decide<'r>(&mut self, request: &Request<'r>, now: Timestamp) -> Verdict<'r> {
        match matter_of(request) {
            Matter::Nothing(reason) => Verdict::passed(reason),
            Matter::Outgoing(question, reason) => {
                self.note_outgoing(&question, now);
                Verdict::passed(reason)
            }
            Matter::Recipient(question) if is_null_sender(question.sender) => {
                self.decide_on_null_sender(&question, now)
            }
            Matter::Recipient(question) => self.judge_once(&question, now),
            Matter::Data(question) => {
                let mode = self.policy.null_sender;
                let is_judged = is_null_sender(question.sender)
                    && self.data_questions.is_judged_at_data(mode, now);
                self.data_questions.take_note(now);
                if is_judged {
                    self.judge_once(&question, now)
                } else {
                    Verdict::passed(Reason::NotRecipientState)
                }
            }
        }
    }

    fn decide_on_null_sender<'r>(
        &mut self,
        question: &Question<'r>,
        now: Timestamp,
    ) -> Verdict<'r> {
        let mode = self.policy.null_sender;
        match self.data_questions.at_recipient(mode, now) {
            AtRecipient::Judge => self.judge_once(question, now),
            AtRecipient::LeaveToData => Verdict {
                is_data_missing: self.data_questions.leave_to_data(now),
                ..Verdict::passed(Reason::LeftToData)
            },
            AtRecipient::Pass => Verdict::passed(Reason::NullSender),
        }
    }

    /// Judges a question, or gives the verdict that it has had in its message transaction before.
    fn judge_once<'r>(&mut self, question: &Question<'r>, now: Timestamp) -> Verdict<'r> {
        if question.instance.is_empty() {
            return self.judge(question, now);
        }
        let fingerprint = self.key.question([
            question.instance,
            question.state,
            question.client_address,
            question.sender,
            question.recipient,
        ]);
        if let Some(verdict) = self.transactions.answer_to(fingerprint, now) {
            return verdict;
        }
        let verdict = self.judge(question, now);
        let action = match verdict.action {
            Action::PrependHeader { .. } => Action::Dunno,
            action => action,
        };
        let repetition = Verdict {
            action,
            repeated: true,
            ..Verdict::passed(verdict.reason)
        };
        self.transactions.remember(fingerprint, now, repetition);
        verdict
    }

    fn judge<'r>(&mut self, question: &Question<'r>, now: Timestamp) -> Verdict<'r> {
        if let Some(reason) = self.listed(question).reason() {
            return Verdict::passed(reason);
        }
        let Some(facts) = self.facts(question, now) else {
            return Verdict::passed(Reason::UnparsableAddress);
        };
        let conclusion = facts.conclusion(&self.policy, now);
        self.remember(question, &facts, conclusion, now)
    }

    /// What is known about the client and its mail; nothing if it has no address.
    fn facts<'r>(&self, question: &Question<'r>, now: Timestamp) -> Option<Facts<'r>> {
        let address = question.address?;
        let pool = self.access.clients.find_pool(question.client_name);
        let pool = pool.map(|pool| pool.name);
        let lookup = self.policy.lookup;
        let client = lookup.client(address, question.client_name, question.sender, pool);
        let sources = Sources {
            policy: &self.policy,
            key: &self.key,
            table: &self.table,
        };
        Some(sources.look_up(client, address, question.sender, question.recipient, now))
    }

    /// Remembers what follows from a conclusion, and gives the verdict.
    fn remember<'r>(
        &mut self,
        question: &Question<'_>,
        facts: &Facts<'r>,
        conclusion: Conclusion,
        now: Timestamp,
    ) -> Verdict<'r> {
        let rules = self.policy.rules;
        let mut verdict = facts.verdict(conclusion, &rules);
        match conclusion {
            Conclusion::AutoWhitelisted(counter) => {
                self.count(Some(counter), now);
            }
            Conclusion::MailServer => {}
            Conclusion::WrittenTo(fingerprint) => rules.refresh(&mut self.table, fingerprint, now),
            Conclusion::Triplet(judgement) => {
                let class = facts.client.pending_class();
                let table = &mut self.table;
                verdict.evicted_young = rules.remember(table, facts.triplet, judgement, class, now);
                if matches!(judgement, Judgement::FirstPass(_)) {
                    self.count_first_pass(facts, &mut verdict, now);
                    let may_have_header = question.instance.is_empty()
                        || self.transactions.claim_header(question.instance);
                    if !may_have_header {
                        verdict.action = Action::Dunno;
                    }
                }
            }
        }
        verdict
    }

    fn count_first_pass(&mut self, facts: &Facts<'_>, verdict: &mut Verdict<'_>, now: Timestamp) {
        let client = self.count(Some(facts.address), now);
        let sender_domain = self.count(facts.organisation, now);
        verdict.evicted_young |= client.evicted_young || sender_domain.evicted_young;
        verdict.auto_whitelisted = AutoWhitelisted {
            client: client.auto_whitelisted,
            sender_domain: sender_domain.auto_whitelisted,
        };
    }

    fn count(&mut self, counter: Option<Counter>, now: Timestamp) -> Counted {
        match counter {
            Some(counter) if counter.threshold > 0 => {
                let (table, rules) = (&mut self.table, self.policy.rules);
                rules.count(table, counter.fingerprint, counter.threshold, now)
            }
            _ => Counted::default(),
        }
    }

    /// Remembers whom one of our users writes to.
    fn note_outgoing(&mut self, question: &Question<'_>, now: Timestamp) {
        let Policy { lookup, rules, .. } = self.policy;
        let (user, correspondent) = (question.sender, question.recipient);
        if !lookup.is_by_name() || !is_correspondence(user, correspondent) {
            return;
        }
        // As it will be when the answer comes.
        let parties = Parties::new(lookup.sender_form(), correspondent, user);
        let fingerprint = self.key.written_to(&parties);
        if rules.live(&self.table, fingerprint, now).is_some() {
            rules.refresh(&mut self.table, fingerprint, now);
        } else if self.daily_quotas.take(self.key.writer(user), now) {
            rules.remember_written_to(&mut self.table, fingerprint, now);
        }
    }

    /// Where lists have the client and the recipient.
    fn listed(&self, question: &Question<'_>) -> Listed {
        let Access {
            clients,
            recipients,
        } = &self.access;
        let by_address = || clients.find_address(question.address?);
        Listed {
            client: clients.find_name(question.client_name).or_else(by_address),
            recipient: recipients.find(question.recipient),
        }
    }

    /// Why a request would be answered as it would be, without a trace of the question.
    pub fn explain<'r>(&self, request: &Request<'r>, now: Timestamp) -> Explanation<'r> {
        let request = Request {
            request: Some(b"smtpd_access_policy"),
            ..*request
        };
        let mode = self.policy.null_sender;
        let (question, passed) = match matter_of(&request) {
            Matter::Nothing(reason) => return Explanation::of(Verdict::passed(reason)),
            Matter::Outgoing(question, reason) => (question, Some(reason)),
            Matter::Recipient(question) if is_null_sender(question.sender) => {
                let passed = match self.data_questions.at_recipient(mode, now) {
                    AtRecipient::Judge => None,
                    AtRecipient::LeaveToData => Some(Reason::LeftToData),
                    AtRecipient::Pass => Some(Reason::NullSender),
                };
                (question, passed)
            }
            Matter::Recipient(question) => (question, None),
            Matter::Data(question) => {
                let is_judged = is_null_sender(question.sender)
                    && self.data_questions.is_judged_at_data(mode, now);
                (question, (!is_judged).then_some(Reason::NotRecipientState))
            }
        };
        let listed = self.listed(&question);
        let pool = self.access.clients.find_pool(question.client_name);
        let facts = self.facts(&question, now);
        let verdict = match (passed.or(listed.reason()), &facts) {
            (Some(reason), _) => Verdict::passed(reason),
            (None, None) => Verdict::passed(Reason::UnparsableAddress),
            (None, Some(facts)) => {
                facts.verdict(facts.conclusion(&self.policy, now), &self.policy.rules)
            }
        };
        Explanation {
            verdict,
            listed,
            pool: pool.map(|pool| pool.origin),
            facts,
        }
    }

    /// What the administrator has chosen.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
}

/// Whether mail from `user` to `correspondent` may be answered from outside: both have domains, and not the same one.
fn is_correspondence(user: &[u8], correspondent: &[u8]) -> bool {
    let domain = |address: &'_ [u8]| {
        let at = address.iter().rposition(|&byte| byte == b'@')?;
        Some(at + 1)
    };
    match (domain(user), domain(correspondent)) {
        (Some(ours), Some(theirs)) => !user[ours..].eq_ignore_ascii_case(&correspondent[theirs..]),
        _ => false,
    }
}

/// What a request is about.
enum Matter<'r> {
    /// Nothing that is judged.
    Nothing(Reason),
    /// A recipient of incoming mail.
    Recipient(Question<'r>),
    /// The recipients of incoming mail together.
    Data(Question<'r>),
    /// A recipient of mail of our own users, which passes.
    Outgoing(Question<'r>, Reason),
}

/// What a request is about, and why it passes if it is not judged.
///
/// Every way out of here but the first passes mail, and so do mail of null senders that is left to DATA, the lists, a missing address, a
/// repetition of what has passed, and what [`Conclusion`] says, in [`Engine::decide`]. Can a remote SMTP client take it?
///
/// - unknown request, missing attribute: no, Postfix writes these.
/// - `client_address` that is not an address: only by being gone already, or as a neighbour on the same link, whose IPv6 address has a zone.
/// - other states than RCPT: yes, but RCPT comes in each transaction, before any mail.
/// - left to DATA: yes, and it is judged there; by default only after Postfix has asked about DATA within a day. Where the administrator has
///   said `--null-sender=data` without that question in main.cf, yes, and the log warns. With `pass`, yes: that is its meaning.
/// - authenticated: only with the password of a user. Outgoing: only at a service with `policy_context=outgoing`, which the administrator must
///   keep closed to others.
/// - local client: no; loopback addresses are not routed, and Postfix takes the address from the connection.
/// - lists: only a client or a recipient that the administrator has named.
/// - repetition: only of a question that has passed in the same message transaction, which Postfix numbers.
/// - mail server's name: only with `--greylist=suspicious`, and a name in verified DNS that looks like one.
/// - wrote to: only as a sender that one of our users wrote to, from a verified name that looks like a mail server's.
fn matter_of<'r>(request: &Request<'r>) -> Matter<'r> {
    match try_matter_of(request) {
        Ok(matter) => matter,
        Err(reason) => Matter::Nothing(reason),
    }
}

fn try_matter_of<'r>(request: &Request<'r>) -> Result<Matter<'r>, Reason> {
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
    let state = request.protocol_state.unwrap_or_default();
    let is_data = matches!(state, b"DATA" | b"BDAT");
    if !is_data && !matches!(state, b"" | b"RCPT") {
        return Err(Reason::NotRecipientState);
    }
    let address = parse_address(client_address);
    let question = Question {
        state,
        client_address,
        address,
        client_name,
        sender,
        recipient,
        instance: request.instance.unwrap_or_default(),
    };
    let is_authenticated = request.sasl_username.is_some_and(|name| !name.is_empty());
    let is_outgoing = is_authenticated || request.policy_context == Some(b"outgoing");
    match (is_data, is_outgoing) {
        (true, true) => Err(Reason::NotRecipientState),
        (false, true) if is_authenticated => Ok(Matter::Outgoing(question, Reason::Authenticated)),
        (false, true) => Ok(Matter::Outgoing(question, Reason::Outgoing)),
        _ if address.is_some_and(|address| address.is_loopback()) => Err(Reason::LocalClient),
        (true, false) => Ok(Matter::Data(question)),
        (false, false) => Ok(Matter::Recipient(question)),
    }
}
