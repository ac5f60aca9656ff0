//! The policy: pure. No I/O, no clock, no logging, no randomness, and no allocation per request.

pub mod access;
mod carried_address;
pub mod clock;
pub mod domain_name;
pub mod evictions;
pub mod facts;
pub mod greylist;
pub mod growth;
pub mod history;
pub mod identity;
pub mod limits;
pub mod log_line;
pub mod null_sender;
pub mod orders;
pub mod organisation;
mod outgoing;
pub mod reply;
pub mod request;
pub mod sender;
mod shares;
pub mod snapshot;
pub mod table;
pub mod tally;
pub mod text;
pub mod time;
mod transactions;
pub mod triplet;
pub mod verdict;

use std::cell::RefCell;
use std::net::IpAddr;

use heapless::VecView;

use crate::engine::access::{Access, Origin, is_plain};
use crate::engine::facts::{Conclusion, Counter, Explanation, Facts, Listed, OptIn, Sources};
use crate::engine::greylist::{Counted, Judgement, Rules};
use crate::engine::history::History;
use crate::engine::identity::{Client, Lookup, is_verified_name, parse_address};
use crate::engine::limits::FORGOTTEN_MAX;
use crate::engine::null_sender::{AtData, AtRecipient, DataQuestions, NullSender, is_null_sender};
use crate::engine::orders::{Allow, Allowed, Orders, TrustedAfter, Whom};
use crate::engine::outgoing::DailyQuotas;
use crate::engine::request::Request;
use crate::engine::shares::Shares;
use crate::engine::snapshot::{Contents, Encoder, Found, Loader, Step};
use crate::engine::table::{Class, Entry, Table};
use crate::engine::tally::Tally;
use crate::engine::time::{Seconds, Timestamp};
use crate::engine::transactions::Transactions;
use crate::engine::triplet::{Fingerprint, FingerprintKey, Parties, Room};
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
    history: History,
    tally: Tally,
    transactions: Transactions,
    data_questions: DataQuestions,
    daily_quotas: DailyQuotas,
    orders: Orders,
    /// Where the parties of a mail are put together: made once, not for each request.
    room: RefCell<Room>,
    shares: Shares,
    entries_beyond_share: u64,
}

/// A request that is to be judged.
#[derive(Clone, Copy)]
struct Question<'r> {
    /// The address and port of the smtpd that asks, as far as Postfix says.
    server: [&'r [u8]; 2],
    /// The SMTP command.
    state: &'r [u8],
    /// As it was sent.
    client_address: &'r [u8],
    /// `None` if it is not one.
    address: Option<IpAddr>,
    client_name: &'r [u8],
    sender: &'r [u8],
    recipient: &'r [u8],
    /// The login name; empty if there is none.
    login: &'r [u8],
    /// For several recipients, which have no name: the sum of their fingerprints, if it is known.
    recipients: Option<u64>,
    /// Whether no other recipient of the message has been accepted before; Postfix has a queue id from then on.
    is_first_recipient: bool,
    /// Empty if there is none, as Postfix and Exim have it.
    instance: &'r [u8],
}

impl<'a> Engine<'a> {
    /// An engine with a table, and the key of this installation.
    pub fn new(policy: Policy, key: FingerprintKey, mut table: Table<'a>) -> Engine<'a> {
        table.set_max_age(policy.rules.max_age);
        let shares = Shares::of(Class::Named.floor(table.capacity()));
        Engine {
            policy,
            access: Access::default(),
            key,
            table,
            history: History::new(),
            tally: Tally::default(),
            transactions: Transactions::new(),
            data_questions: DataQuestions::new(),
            daily_quotas: DailyQuotas::default(),
            orders: Orders::new(),
            room: RefCell::new(Room::new()),
            shares,
            entries_beyond_share: 0,
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

    /// What was decided in the last seven days.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What was decided since the start.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Pending entries since the start that were not kept as named, because their organisations had entered their shares.
    pub fn entries_beyond_share(&self) -> u64 {
        self.entries_beyond_share
    }

    /// Loads a snapshot whose first pass has found this, at the logical time `now`, which is not before [`Found::latest`].
    pub fn loader(&mut self, found: &Found, now: Timestamp, is_same_boot: bool) -> Loader<'_, 'a> {
        if let Some((server, at)) = found.moment.as_ref().and_then(|moment| moment.data_asked) {
            self.data_questions.take_note(server, at);
        }
        let rules = self.policy.rules;
        let target = Contents {
            key: &self.key,
            table: &mut self.table,
            history: &mut self.history,
            orders: &mut self.orders,
        };
        Loader::new(found, now, is_same_boot, rules, target)
    }

    /// The installation's key.
    pub fn key(&self) -> &FingerprintKey {
        &self.key
    }

    /// Takes over entries that another server had, each merged with the one that is there.
    pub fn take_over(&mut self, entries: &[(Fingerprint, Entry)], now: Timestamp) {
        for &(fingerprint, entry) in entries {
            let rules = self.policy.rules;
            rules.take_over(&mut self.table, fingerprint, entry, now);
        }
    }

    /// Which smtpd asked about DATA last, and when, for the snapshot.
    pub fn data_asked(&self) -> Option<(Fingerprint, Timestamp)> {
        self.data_questions.last()
    }

    /// The orders in force.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Whether there is something that is worth a write to flash.
    pub fn has_changed(&self) -> bool {
        self.table.changes() > 0 || self.orders.has_changed()
    }

    /// Whether so much was removed that only a full save can say it.
    pub fn is_full_save_due(&self) -> bool {
        self.orders.is_full_save_due()
    }

    /// Hands over which entries were removed, to a save that begins.
    pub fn take_removed(&mut self) -> heapless::Vec<Fingerprint, FORGOTTEN_MAX> {
        self.orders.take_removed()
    }

    /// Lets somebody's mail through from `now` on for so long, whatever was ordered before. True if another such order, the one
    /// that would have ended first, has had to make room.
    pub fn allow(&mut self, whom: &Whom<'_>, span: Seconds, now: Timestamp) -> bool {
        let allow = Allow {
            fingerprint: self.key.allowed(whom),
            until: now.after(span),
            prefix_bits: match whom {
                Whom::Network(_, bits) => Some(*bits),
                _ => None,
            },
        };
        self.orders.allow(allow, now)
    }

    /// Forgets a mail: its triplet, and that its recipient wrote to its sender. Gives the number of entries that there were; none if the
    /// request has no client's address.
    pub fn forget_mail(&mut self, request: &Request<'_>, now: Timestamp) -> Option<usize> {
        let facts = self.facts(&question_of(request)?, &self.policy, now)?;
        let parties = Parties::new(
            self.policy.lookup.sender_form(),
            request.sender.unwrap_or_default(),
            request.recipient.unwrap_or_default(),
            self.room.get_mut(),
        );
        let written_to = self.key.written_to(&parties);
        let mut removed = 0;
        for fingerprint in facts.triplet.fingerprints().chain([written_to]) {
            if let Some(place) = self.table.find(fingerprint) {
                self.table.remove(place);
                self.orders.note_removed(fingerprint);
                removed += 1;
            }
        }
        Some(removed)
    }

    /// Forgets a client, and all that it has earned: the organisation that it is known by, if it is, and its network or address.
    ///
    /// # Errors
    ///
    /// See [`NotForgotten`].
    pub fn forget_client<'r>(
        &mut self,
        request: &Request<'r>,
        now: Timestamp,
    ) -> Result<Client<'r>, NotForgotten> {
        let facts =
            question_of(request).and_then(|question| self.facts(&question, &self.policy, now));
        let client = facts.ok_or(NotForgotten::NoAddress)?.client;
        let fingerprints = self.key.identities(&client);
        let max_age = self.policy.rules.max_age;
        if !self.orders.has_room_to_distrust(fingerprints, now, max_age) {
            return Err(NotForgotten::TooMany);
        }
        for fingerprint in fingerprints.into_iter().flatten() {
            self.orders.distrust(fingerprint, now, max_age);
        }
        Ok(client)
    }

    /// Goes on with a save.
    pub fn save(&mut self, encoder: &mut Encoder, block: &mut VecView<u8>) -> Step {
        let mut contents = Contents {
            key: &self.key,
            table: &mut self.table,
            history: &mut self.history,
            orders: &mut self.orders,
        };
        encoder.step(&mut contents, block)
    }

    /// Decides on a request at the time `now`, and counts the verdict. This is the order of the checks:
    ///
    /// 1. what is not a whole request of Postfix's, or not about a recipient, passes (but see [`null_sender`]),
    /// 2. so do clients that have logged in, mail that goes out, and this machine itself,
    /// 3. a question that is repeated within its message transaction gets the same verdict again,
    /// 4. clients, recipients and senders that are listed pass, so do recipients who are not among those that are greylisted, and whomever the
    ///    administrator lets through for some time,
    /// 5. a client without an address passes: there is nothing to know it by,
    /// 6. then it depends on what is known: see [`Conclusion`].
    pub fn decide<'r>(&mut self, request: &Request<'r>, now: Timestamp) -> Verdict<'r> {
        let verdict = self.verdict(request, now);
        self.history.count(&verdict, now);
        self.tally.count(&verdict);
        verdict
    }

    fn verdict<'r>(&mut self, request: &Request<'r>, now: Timestamp) -> Verdict<'r> {
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
                let course = self.course_at_data(&question);
                self.data_questions.take_note(self.server(&question), now);
                match course {
                    Ok(question) => self.judge_once(&question, now),
                    Err(reason) => Verdict::passed(reason),
                }
            }
        }
    }

    fn decide_on_null_sender<'r>(
        &mut self,
        question: &Question<'r>,
        now: Timestamp,
    ) -> Verdict<'r> {
        let (mode, server) = (self.policy.null_sender, self.server(question));
        let instance = self.instance(question);
        let is_waved_through = self.is_waved_through(question, now);
        let course = self.data_questions.at_recipient(mode, server, now);
        if course == AtRecipient::LeaveToData && !is_waved_through {
            let recipient = self.key.recipient(question.recipient);
            let questions = &mut self.data_questions;
            return Verdict {
                is_data_missing: questions.leave_to_data(instance, recipient, server, now),
                ..Verdict::passed(Reason::LeftToData)
            };
        }
        if let (Some(instance), true) = (instance, question.is_first_recipient) {
            self.data_questions.keep_from_data(instance);
        }
        match course {
            AtRecipient::Pass => Verdict::passed(Reason::NullSender),
            AtRecipient::Judge | AtRecipient::LeaveToData => self.judge_once(question, now),
        }
    }

    /// The question that is judged at DATA, or why none is.
    fn course_at_data<'r>(&self, question: &Question<'r>) -> Result<Question<'r>, Reason> {
        if !is_null_sender(question.sender) {
            return Err(Reason::NotRecipientState);
        }
        let mode = self.policy.null_sender;
        match self.data_questions.at_data(mode, self.instance(question)) {
            AtData::Pass => Err(Reason::NotRecipientState),
            AtData::Judge(recipients) => Ok(Question {
                // Postfix names one recipient, and none if there are more.
                recipients: recipients.filter(|_| question.recipient.is_empty()),
                ..*question
            }),
        }
    }

    fn server(&self, question: &Question<'_>) -> Fingerprint {
        self.key.server(question.server)
    }

    fn instance(&self, question: &Question<'_>) -> Option<Fingerprint> {
        (!question.instance.is_empty()).then(|| self.key.instance(question.instance))
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
        let listed = self.listed(question);
        if let Some(reason) = self.waved_through(question, &listed, now) {
            return Verdict::passed(reason);
        }
        let policy = self.policy_on(question, &listed);
        let Some(facts) = self.facts(question, &policy, now) else {
            return Verdict::passed(Reason::UnparsableAddress);
        };
        if let Some(after) = self.orders.trusted_after(&self.key, &facts.client) {
            self.drop_distrusted(&facts, after);
        }
        let conclusion = facts.conclusion(&policy, now);
        self.remember(question, &facts, &policy, conclusion, now)
    }

    /// What holds for a question: what the lines of its recipient and its client say, and the rest as for everybody.
    fn policy_on(&self, question: &Question<'_>, listed: &Listed) -> Policy {
        let own = listed.recipient.and_then(|line| line.policy);
        let mut policy = own.unwrap_or_default().over(self.policy);
        // Several recipients have no names at DATA, and a client could hide one for whom all have to wait among others.
        if question.recipient.is_empty() && self.access.recipients.has_all() {
            policy.greylist = Greylist::All;
        }
        if self.nowhite(question).is_some() {
            policy.rules.auto_whitelist_clients = 0;
        }
        policy
    }

    fn nowhite(&self, question: &Question<'_>) -> Option<Origin> {
        let clients = &self.access.clients;
        clients.find_nowhite(question.client_name, question.address)
    }

    /// What is known about the client and its mail; nothing if it has no address.
    fn facts<'r>(
        &self,
        question: &Question<'r>,
        policy: &Policy,
        now: Timestamp,
    ) -> Option<Facts<'r>> {
        let address = question.address?;
        let pool = self.access.clients.find_pool(question.client_name);
        let pool = pool.map(|pool| pool.name);
        let lookup = policy.lookup;
        let client = lookup.client(address, question.client_name, question.sender, pool);
        let sources = Sources {
            policy,
            key: &self.key,
            table: &self.table,
            trusted_after: self.orders.trusted_after(&self.key, &client),
            room: &self.room,
        };
        let mut several = [0; 9];
        let recipient = match question.recipients {
            None => question.recipient,
            Some(sum) => {
                // Behind a NUL, which no recipient has.
                several[1..].copy_from_slice(&sum.to_le_bytes());
                &several
            }
        };
        Some(sources.look_up(client, address, question.sender, recipient, now))
    }

    /// Takes out what is not believed of a client that was forgotten, so that it cannot be refreshed. It may come back from
    /// the snapshot, as old as it was.
    fn drop_distrusted(&mut self, facts: &Facts<'_>, after: TrustedAfter) {
        let counters = [Some(facts.address), facts.organisation];
        let counters = counters.into_iter().flatten().map(|it| it.fingerprint);
        for fingerprint in facts.triplet.fingerprints().chain(counters) {
            if let Some(place) = self.table.find(fingerprint)
                && !after.trusts(&self.table.entry(place))
            {
                self.table.remove(place);
            }
        }
    }

    /// Remembers what follows from a conclusion, and gives the verdict.
    fn remember<'r>(
        &mut self,
        question: &Question<'_>,
        facts: &Facts<'r>,
        policy: &Policy,
        conclusion: Conclusion,
        now: Timestamp,
    ) -> Verdict<'r> {
        let rules = policy.rules;
        let mut verdict = facts.verdict(conclusion, &rules);
        match conclusion {
            Conclusion::AutoWhitelisted | Conclusion::SenderDomainAutoWhitelisted => {
                // Both are in use, or one would be forgotten while the other speaks.
                for counter in [Some(facts.address), facts.organisation] {
                    self.count(counter.filter(Counter::is_auto_whitelisted), now);
                }
            }
            Conclusion::MailServer => {}
            Conclusion::WrittenTo(fingerprint) => rules.refresh(&mut self.table, fingerprint, now),
            Conclusion::Triplet(judgement) => {
                let class = self.pending_class(facts, judgement, now);
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

    /// What a mail is while it waits: named as long as that is within its organisation's share.
    fn pending_class(&mut self, facts: &Facts<'_>, judgement: Judgement, now: Timestamp) -> Class {
        let Some(organisation) = facts.client.organisation else {
            return Class::Plain;
        };
        let is_entered = match judgement {
            Judgement::New => true,
            // It would be named from now on.
            Judgement::Wait(_) => {
                let mut entries = facts.entries.iter().flatten();
                entries.any(|entry| entry.class == Class::Plain)
            }
            Judgement::FirstPass(_) | Judgement::Known => false,
        };
        if !is_entered || self.shares.take(&self.key, organisation.domain, now) {
            return Class::Named;
        }
        self.entries_beyond_share += u64::from(judgement == Judgement::New);
        Class::Plain
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
        // A client chooses its senders, but not its login.
        let writer = match question.login {
            b"" => user,
            login => login,
        };
        if !lookup.is_by_name() || !is_correspondence(user, correspondent) {
            return;
        }
        // As it will be when the answer comes.
        let room = self.room.get_mut();
        let parties = Parties::new(lookup.sender_form(), correspondent, user, room);
        let fingerprint = self.key.written_to(&parties);
        if rules.live(&self.table, fingerprint, now).is_some() {
            rules.refresh(&mut self.table, fingerprint, now);
        } else if self.daily_quotas.take(self.key.writer(writer), now) {
            rules.remember_written_to(&mut self.table, fingerprint, now);
        }
    }

    /// Why a mail need not be judged: a list, or an order.
    fn waved_through(
        &self,
        question: &Question<'_>,
        listed: &Listed,
        now: Timestamp,
    ) -> Option<Reason> {
        let allowed = || self.allowed(question, now).map(|_| Reason::Allowed);
        listed.reason().or_else(allowed)
    }

    fn is_waved_through(&self, question: &Question<'_>, now: Timestamp) -> bool {
        let listed = self.listed(question);
        self.waved_through(question, &listed, now).is_some()
    }

    fn allowed(&self, question: &Question<'_>, now: Timestamp) -> Option<Allowed> {
        let Question {
            address,
            client_name,
            recipient,
            ..
        } = *question;
        let orders = &self.orders;
        orders.allows(&self.key, address, client_name, recipient, now)
    }

    /// Where lists have the client, the recipient and the sender.
    fn listed(&self, question: &Question<'_>) -> Listed {
        let Access {
            clients,
            recipients,
            senders,
            greylisted,
        } = &self.access;
        let by_address = || clients.find_address(question.address?);
        let has_sender = !is_null_sender(question.sender);
        // At DATA there is no name for several recipients. Who is not greylisted has passed at RCPT already, and cannot hide the others.
        let is_opt_in = !greylisted.is_empty() && !question.recipient.is_empty();
        Listed {
            client: clients.find_name(question.client_name).or_else(by_address),
            recipient: recipients.find(question.recipient),
            sender: senders.find(question.sender).filter(|_| has_sender),
            is_name_verified: is_verified_name(question.client_name),
            opt_in: match is_opt_in.then(|| greylisted.find(question.recipient)) {
                Some(Some(origin)) => OptIn::Line(origin),
                Some(None) if is_plain(question.recipient) => OptIn::NoLine,
                Some(None) | None => OptIn::Everybody,
            },
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
                let server = self.server(&question);
                let passed = match self.data_questions.at_recipient(mode, server, now) {
                    AtRecipient::LeaveToData if self.is_waved_through(&question, now) => None,
                    AtRecipient::Judge => None,
                    AtRecipient::LeaveToData => Some(Reason::LeftToData),
                    AtRecipient::Pass => Some(Reason::NullSender),
                };
                (question, passed)
            }
            Matter::Recipient(question) => (question, None),
            Matter::Data(question) => match self.course_at_data(&question) {
                Ok(question) => (question, None),
                Err(reason) => (question, Some(reason)),
            },
        };
        let listed = self.listed(&question);
        let pool = self.access.clients.find_pool(question.client_name);
        let policy = self.policy_on(&question, &listed);
        let facts = self.facts(&question, &policy, now);
        let waved_through = self.waved_through(&question, &listed, now);
        let verdict = match (passed.or(waved_through), &facts) {
            (Some(reason), _) => Verdict::passed(reason),
            (None, None) => Verdict::passed(Reason::UnparsableAddress),
            (None, Some(facts)) => facts.verdict(facts.conclusion(&policy, now), &policy.rules),
        };
        Explanation {
            verdict,
            allowed: self.allowed(&question, now),
            listed,
            pool: pool.map(|pool| pool.origin),
            nowhite: self.nowhite(&question),
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

/// Why a client is not forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotForgotten {
    /// It has no address.
    NoAddress,
    /// As many clients were forgotten as can be, and what was known of them could still count.
    TooMany,
}

/// The question that an order is about; none if there is no client's address.
fn question_of<'r>(request: &Request<'r>) -> Option<Question<'r>> {
    let client_address = request.client_address?;
    Some(Question {
        server: [b"", b""],
        state: b"",
        client_address,
        address: Some(parse_address(client_address)?),
        client_name: request.client_name.unwrap_or_default(),
        sender: request.sender.unwrap_or_default(),
        recipient: request.recipient.unwrap_or_default(),
        login: b"",
        recipients: None,
        is_first_recipient: true,
        instance: b"",
    })
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
/// Every way out of here but the first passes mail, and so do mail of null senders that is left to DATA, the lists, what the administrator
/// allows, a missing address, a repetition of what has passed, and what [`Conclusion`] says, in [`Engine::decide`]. Can a remote SMTP client take it?
///
/// - unknown request, missing attribute: no, Postfix writes these.
/// - `client_address` that is not an address: only by being gone already, or as a neighbour on the same link, whose IPv6 address has a zone.
/// - other states than RCPT: yes, but RCPT comes in each transaction, before any mail.
/// - left to DATA: yes, and it is judged there; by default only after Postfix has asked about DATA within a day. Where the administrator has
///   said `--null-sender=data` without that question in main.cf, yes, and the log warns. With `pass`, yes: that is its meaning.
/// - authenticated: only with the password of a user. Outgoing: only at a service with `policy_context=outgoing`, which the administrator must
///   keep closed to others.
/// - local client: no; loopback addresses are not routed, and Postfix takes the address from the connection.
/// - lists: only a client or a recipient that the administrator has named. A sender that he has named, yes: senders can be forged, so a client without a
///   verified name cannot, and README warns of the others. A recipient whom he has not named, only where he has named those who are greylisted, and only as a [plain](is_plain) address.
/// - allowed: only a client or a recipient that the administrator has named with `greylet allow`, and for the time that he said.
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
        server: [request.server_address, request.server_port].map(Option::unwrap_or_default),
        state,
        client_address,
        address,
        client_name,
        sender,
        recipient,
        login: request.sasl_username.unwrap_or_default(),
        recipients: None,
        is_first_recipient: request.queue_id.unwrap_or_default().is_empty(),
        instance: request.instance.unwrap_or_default(),
    };
    let is_authenticated = !question.login.is_empty();
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
