//! The rules as somebody would write them down who has all the memory in the world: strings in maps, no classes, no fingerprints.
//!
//! What a power cut or a full table has left is not always known. So the model keeps, for everything that it remembers, all the states that
//! this may be in; an answer of greylet's is right if it follows from some of them, and then only these are left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What a state is remembered under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// Client, sender, recipient.
    Triplet(String, String, String),
    /// An address.
    Passes(String),
    /// An organisation, and a domain of senders.
    DomainPasses(String, String),
    /// Somebody outside, and the user who wrote to him.
    WroteTo(String, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Pending { since: u64, last: u64 },
    Passed { since: u64, last: u64 },
    Counted { count: u16, last: u64 },
    WroteTo { last: u64 },
}

use State::{Counted, Passed, Pending, WroteTo};

/// A state, or none.
type Maybe = Option<State>;

/// A mail to one recipient, as far as the rules care.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) address: String,
    pub(crate) network: String,
    /// Whose machine the client is, if its name shows it.
    pub(crate) organisation: Option<String>,
    /// Whether that is a mail server's name, and not only that of the sender's domain.
    pub(crate) is_mail_server: bool,
    /// Without what changes with each mail.
    pub(crate) sender: String,
    pub(crate) sender_domain: String,
    pub(crate) recipient: String,
    pub(crate) instance: String,
    pub(crate) is_listed: bool,
    /// Whether no recipient of the message has been accepted before.
    pub(crate) is_first_recipient: bool,
    /// Whether it is asked about at DATA; with several recipients none is named then.
    pub(crate) is_data: bool,
}

/// What the client hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Passed,
    PassedWithHeader(u64),
    /// Accepted so far, to be judged at DATA.
    LeftToData,
    Deferred(u64),
}

/// When mail without a sender is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bounces {
    Rcpt,
    Data,
    /// At DATA if Postfix has asked about DATA within a day.
    DataIfAsked,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) bounces: Bounces,
    pub(crate) by_name: bool,
    pub(crate) by_host: bool,
    pub(crate) only_suspicious: bool,
    pub(crate) delay: u64,
    pub(crate) retry_window: u64,
    pub(crate) max_age: u64,
    pub(crate) auto_whitelist: u16,
}

const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

/// How much of an organisation may wait under its name, in tables as small as these.
const SHARE: usize = 16;

#[derive(Clone)]
pub(crate) struct Model {
    rules: Rules,
    /// What each may be, and as of which step.
    memory: BTreeMap<Key, (u64, Vec<Maybe>)>,
    step: u64,
    evicted: Evicted,
    /// When mail of an organisation was deferred within an hour.
    deferred: BTreeMap<String, Vec<u64>>,
    /// Organisations of which more has waited than what is kept under a name.
    beyond_share: BTreeSet<String>,
    /// Questions with an instance, when they were asked, and what was answered.
    answers: VecDeque<(u64, [String; 5], Told)>,
    /// When Postfix may have asked about DATA last.
    data_asked: Vec<Option<u64>>,
    /// By instance, the recipients of mail without a sender that were left to DATA; none if the first one was not.
    bounces: BTreeMap<String, Option<Vec<String>>>,
    with_header: VecDeque<String>,
}

/// In which step a full table may have let go of something last.
#[derive(Clone, Copy, Default)]
struct Evicted {
    /// Of what waits.
    pending: u64,
    /// Of what waits and has a name.
    named: u64,
    /// Of what has passed, but was not used a day later.
    passed: u64,
}

/// States of some keys, and what follows for them.
struct Course {
    told: Told,
    after: Vec<(Key, Maybe)>,
}

impl Model {
    pub(crate) fn new(rules: Rules) -> Model {
        Model {
            rules,
            memory: BTreeMap::new(),
            step: 1,
            evicted: Evicted::default(),
            deferred: BTreeMap::new(),
            beyond_share: BTreeSet::new(),
            answers: VecDeque::new(),
            data_asked: vec![None],
            bounces: BTreeMap::new(),
            with_header: VecDeque::new(),
        }
    }

    fn states(&self, key: &Key) -> Vec<Maybe> {
        let Some((step, states)) = self.memory.get(key) else {
            return vec![None];
        };
        let has_name = match key {
            Key::Triplet(client, ..) => {
                client.ends_with(".example") && !self.beyond_share.contains(client)
            }
            _ => false,
        };
        let evicted = |state: &Maybe| match state {
            Some(Pending { .. }) if has_name => self.evicted.named,
            Some(Pending { .. }) => self.evicted.pending,
            Some(Passed { since, last }) if last.saturating_sub(*since) < DAY => {
                self.evicted.passed
            }
            Some(Counted { .. }) => self.evicted.passed,
            _ => 0,
        };
        let may_be_gone = states.iter().any(|state| evicted(state) >= *step);
        let mut states = states.clone();
        if may_be_gone && !states.contains(&None) {
            states.push(None);
        }
        states
    }

    /// Checks an answer, and learns from it.
    pub(crate) fn check(&mut self, mail: &Mail, now: u64, told: Told) -> Result<(), String> {
        if mail.is_data {
            let judged = self.judged_at_data(mail);
            self.data_asked = vec![Some(now)];
            return match judged {
                Some(mail) => self.judge_once(&mail, now, told),
                None => same(&[Told::Passed], told),
            };
        }
        if mail.sender.is_empty() {
            self.check_course(mail, now, told)?;
            if told == Told::LeftToData {
                return Ok(());
            }
        }
        self.judge_once(mail, now, told)
    }

    /// Checks whether a recipient of mail without a sender was rightly left to DATA, or not.
    fn check_course(&mut self, mail: &Mail, now: u64, told: Told) -> Result<(), String> {
        let is_left = told == Told::LeftToData;
        let bounces = self.rules.bounces;
        let leaves = |asked: &Option<u64>| match bounces {
            Bounces::Rcpt => false,
            Bounces::Data => true,
            Bounces::DataIfAsked => asked.is_some_and(|at| now - at <= DAY),
        };
        if !mail.is_listed {
            self.data_asked.retain(|asked| leaves(asked) == is_left);
        }
        if self.data_asked.is_empty() || mail.is_listed && is_left {
            return Err(format!("told {told:?}, with bounces {bounces:?}"));
        }
        if mail.instance.is_empty() {
            return Ok(());
        }
        if is_left {
            let left = self.bounces.entry(mail.instance.clone()).or_default();
            left.get_or_insert_default().push(mail.recipient.clone());
        } else if mail.is_first_recipient {
            self.bounces.entry(mail.instance.clone()).or_default();
        }
        Ok(())
    }

    /// What is judged at DATA: mail without a sender, unless its first recipient was judged already. Several recipients count together.
    fn judged_at_data(&self, mail: &Mail) -> Option<Mail> {
        if !mail.sender.is_empty() || self.rules.bounces == Bounces::Rcpt {
            return None;
        }
        let mut mail = mail.clone();
        // Without an instance none is found.
        if let Some(left) = self.bounces.get(&mail.instance) {
            let mut left = left.clone()?;
            left.sort_unstable();
            if mail.recipient.is_empty() {
                mail.recipient = format!("together {left:?}");
            }
        }
        Some(mail)
    }

    fn judge_once(&mut self, mail: &Mail, now: u64, told: Told) -> Result<(), String> {
        let question = [
            mail.is_data.to_string(),
            mail.instance.clone(),
            mail.address.clone(),
            mail.sender.clone(),
            mail.recipient.clone(),
        ];
        let is_same = |(at, other, _): &&(u64, [String; 5], Told)| {
            *other == question && now - at <= 60 && !mail.instance.is_empty()
        };
        if let Some((_, _, before)) = self.answers.iter().find(is_same) {
            let expected = match before {
                Told::PassedWithHeader(_) => Told::Passed,
                other => *other,
            };
            return same(&[expected], told);
        }
        let outcome = self.judge(mail, now, told);
        if !mail.instance.is_empty() {
            self.answers.push_back((now, question, told));
            // Another smtpd may have had its say between; so many never do here.
            self.answers.retain(|(at, _, _)| now - at <= 60);
        }
        outcome
    }

    fn judge(&mut self, mail: &Mail, now: u64, told: Told) -> Result<(), String> {
        if mail.is_listed {
            return same(&[Told::Passed], told);
        }
        let keys = self.keys(mail);
        let had_header = self.with_header.contains(&mail.instance);
        let courses: Vec<Course> = combinations(keys.iter().map(|key| self.states(key)).collect())
            .into_iter()
            .map(|states| self.course(mail, &keys, &states, now, had_header))
            .collect();
        let expected: Vec<Told> = courses.iter().map(|course| course.told).collect();
        same(&expected, told)?;
        if let (Told::Deferred(_), Some(organisation)) = (told, &mail.organisation) {
            self.defer(organisation, now);
        }
        if matches!(told, Told::PassedWithHeader(_)) && !mail.instance.is_empty() {
            self.with_header.push_back(mail.instance.clone());
            if self.with_header.len() > 16 {
                self.with_header.pop_front();
            }
        }
        let courses = courses.iter().filter(|course| course.told == told);
        // What is written now has pushed out others, and not itself.
        self.step += 1;
        let after: Vec<&(Key, Maybe)> = courses.flat_map(|course| &course.after).collect();
        for key in keys {
            let states = after.iter().filter(|(other, _)| *other == key);
            let states = states.map(|(_, state)| *state).collect();
            self.put(key, states);
        }
        Ok(())
    }

    fn defer(&mut self, organisation: &str, now: u64) {
        let times = self.deferred.entry(organisation.to_owned()).or_default();
        times.retain(|at| now - at <= HOUR);
        times.push(now);
        if times.len() > SHARE {
            self.beyond_share.insert(organisation.to_owned());
        }
    }

    /// Triplets first, then the counts, then whom we wrote to.
    fn keys(&self, mail: &Mail) -> Vec<Key> {
        let triplet = |client: &str| {
            Key::Triplet(
                client.to_owned(),
                mail.sender.clone(),
                mail.recipient.clone(),
            )
        };
        let mut keys = vec![triplet(match self.rules.by_host {
            true => &mail.address,
            false => &mail.network,
        })];
        let organisation = mail.organisation.as_ref().filter(|_| self.rules.by_name);
        keys.extend(organisation.map(|organisation| triplet(organisation)));
        keys.push(Key::Passes(mail.address.clone()));
        if let Some(organisation) = organisation.filter(|_| mail.is_mail_server)
            && !mail.sender.is_empty()
        {
            keys.push(Key::DomainPasses(
                organisation.clone(),
                mail.sender_domain.clone(),
            ));
            keys.push(Key::WroteTo(mail.sender.clone(), mail.recipient.clone()));
        }
        keys
    }

    fn lives(&self, state: Maybe, now: u64) -> Maybe {
        state.filter(|state| match *state {
            Pending { since, last } => {
                now.saturating_sub(since) <= self.rules.retry_window
                    && now.saturating_sub(last) <= self.rules.max_age
            }
            Passed { last, .. } | Counted { last, .. } | WroteTo { last } => {
                now.saturating_sub(last) <= self.rules.max_age
            }
        })
    }

    fn threshold(&self, key: &Key) -> u16 {
        match key {
            Key::DomainPasses(..) => self.rules.auto_whitelist.min(2),
            _ => self.rules.auto_whitelist,
        }
    }

    fn course(
        &self,
        mail: &Mail,
        keys: &[Key],
        states: &[Maybe],
        now: u64,
        had_header: bool,
    ) -> Course {
        let mut after: Vec<(Key, Maybe)> = keys.iter().cloned().zip(states.to_vec()).collect();
        let live: Vec<Maybe> = states.iter().map(|&state| self.lives(state, now)).collect();
        let is_whitelisted = |(key, state): (&Key, &Maybe)| {
            let threshold = self.threshold(key);
            threshold > 0 && matches!(state, Some(Counted { count, .. }) if *count >= threshold)
        };
        let counters = || keys.iter().zip(&live);
        if counters().any(is_whitelisted) {
            for (index, whitelisted) in counters().map(is_whitelisted).enumerate() {
                if whitelisted {
                    after[index].1 = counted(live[index], now);
                }
            }
            return Course {
                told: Told::Passed,
                after,
            };
        }
        if self.rules.only_suspicious && mail.is_mail_server {
            return Course {
                told: Told::Passed,
                after,
            };
        }
        let triplets = || (0..keys.len()).filter(|&index| matches!(keys[index], Key::Triplet(..)));
        if triplets().any(|index| matches!(live[index], Some(Passed { .. }))) {
            for index in triplets() {
                after[index].1 = live[index].map(|state| seen(state, now));
            }
            return Course {
                told: Told::Passed,
                after,
            };
        }
        let wrote = (0..keys.len()).find(|&index| matches!(live[index], Some(WroteTo { .. })));
        if let Some(index) = wrote {
            after[index].1 = Some(WroteTo { last: now });
            return Course {
                told: Told::Passed,
                after,
            };
        }
        let since = triplets().filter_map(|index| match live[index] {
            Some(Pending { since, .. }) => Some(since),
            _ => None,
        });
        let told = match since.min() {
            None => {
                // The organisation, if there is one, stands behind the network.
                let index = triplets().next_back().expect("a triplet");
                for other in triplets() {
                    after[other].1 = live[other];
                }
                after[index].1 = Some(Pending {
                    since: now,
                    last: now,
                });
                Told::Deferred(self.rules.delay)
            }
            Some(since) if now - since < self.rules.delay => {
                for index in triplets() {
                    after[index].1 = live[index].map(|state| seen(state, now));
                }
                Told::Deferred(self.rules.delay - (now - since))
            }
            Some(since) => {
                for index in triplets() {
                    after[index].1 = Some(Passed {
                        since: now,
                        last: now,
                    });
                }
                for (index, key) in keys.iter().enumerate() {
                    let is_counter = matches!(key, Key::Passes(_) | Key::DomainPasses(..));
                    if is_counter && self.threshold(key) > 0 {
                        after[index].1 = counted(live[index], now);
                    }
                }
                match had_header {
                    true => Told::Passed,
                    false => Told::PassedWithHeader(now - since),
                }
            }
        };
        Course { told, after }
    }

    /// One of our users writes to somebody.
    pub(crate) fn write_to(&mut self, user: &str, other: &str, now: u64) {
        if self.rules.by_name {
            let key = Key::WroteTo(other.to_owned(), user.to_owned());
            self.put(key, vec![Some(WroteTo { last: now })]);
        }
    }

    /// What a file keeps of this, after a save into one that had `before` if that was appended to: what has passed, and, if it is the save of
    /// an orderly end, what waits and is young. Of what else waits, the file has what it had.
    pub(crate) fn saved(&self, with_pending: bool, now: u64, before: Option<&Model>) -> Model {
        let mut saved = Model::new(self.rules);
        saved.beyond_share.clone_from(&self.beyond_share);
        saved.data_asked.clone_from(&self.data_asked);
        let is_over = |state: &Maybe| self.lives(*state, now).is_none();
        let older = before
            .map(|before| before.memory.keys())
            .into_iter()
            .flatten();
        for key in self.memory.keys().chain(older) {
            let mut states = Vec::new();
            for state in self.states(key) {
                let is_saved = match state {
                    Some(Pending { since, .. }) => with_pending && now.saturating_sub(since) <= DAY,
                    Some(_) => true,
                    None => false,
                };
                if is_saved {
                    states.push(state);
                } else {
                    states.extend(before.map_or(vec![None], |before| before.states(key)));
                }
            }
            if !states.iter().all(is_over) {
                saved.put(key.clone(), states);
            }
        }
        saved
    }

    fn put(&mut self, key: Key, mut states: Vec<Maybe>) {
        states.sort_unstable();
        states.dedup();
        self.memory.insert(key, (self.step, states));
    }

    /// What is loaded from a file in which `latest` is the latest time. Of a last use it tells the hour, if it does not leave it as it was; what
    /// waits keeps its age if the machine has booted since.
    pub(crate) fn loaded(mut self, latest: u64, now: u64, is_same_boot: bool) -> Model {
        let days = (self.rules.max_age / DAY / 8).max(1) + 1;
        let earlier = |last: u64| last.saturating_sub(HOUR + days * DAY);
        let shift = if is_same_boot { 0 } else { now - latest };
        let keys: Vec<Key> = self.memory.keys().cloned().collect();
        for key in keys {
            let mut all = Vec::new();
            for state in self.states(&key) {
                match state {
                    Some(Pending { since, last }) => all.push(Some(Pending {
                        since: since + shift,
                        last: last + shift,
                    })),
                    Some(Passed { since, last }) => {
                        for last in [last, earlier(last)] {
                            all.push(Some(Passed { since, last }));
                        }
                    }
                    Some(Counted { count, last }) => {
                        for last in [last, last - last % HOUR, earlier(last)] {
                            all.push(Some(Counted { count, last }));
                        }
                    }
                    Some(WroteTo { last }) => {
                        for last in [last, earlier(last)] {
                            all.push(Some(WroteTo { last }));
                        }
                    }
                    None => all.push(None),
                }
            }
            self.put(key, all);
        }
        // The file may have more than the table has room for.
        self.step += 1;
        self
    }

    /// What a file may keep after a save was cut short: as it was before it, or as it would have been after it.
    pub(crate) fn or(mut self, other: &Model) -> Model {
        let keys: Vec<Key> = self
            .memory
            .keys()
            .chain(other.memory.keys())
            .cloned()
            .collect();
        for key in keys {
            let states = [self.states(&key), other.states(&key)].concat();
            self.put(key, states);
        }
        self.data_asked.extend(&other.data_asked);
        self.beyond_share.extend(other.beyond_share.iter().cloned());
        self
    }

    /// A full table may have let go of what waits, but of what has a name, and of what has passed and was not used a day later,
    /// only if there is much of it.
    pub(crate) fn evict(&mut self, much_is_named: bool, much_has_passed: bool) {
        let before = self.step - 1;
        self.evicted.pending = before;
        if much_is_named {
            self.evicted.named = before;
        }
        if much_has_passed {
            self.evicted.passed = before;
        }
    }
}

fn same(expected: &[Told], told: Told) -> Result<(), String> {
    match expected.contains(&told) {
        true => Ok(()),
        false => Err(format!("told {told:?}, expected one of {expected:?}")),
    }
}

fn seen(state: State, now: u64) -> State {
    match state {
        Pending { since, .. } => Pending { since, last: now },
        Passed { since, .. } => Passed { since, last: now },
        other => other,
    }
}

/// At most one pass counts in an hour.
fn counted(before: Maybe, now: u64) -> Maybe {
    match before {
        Some(Counted { count, last }) if now < last + HOUR => Some(Counted { count, last }),
        Some(Counted { count, .. }) => Some(Counted {
            count: count.saturating_add(1),
            last: now,
        }),
        _ => Some(Counted {
            count: 1,
            last: now,
        }),
    }
}

/// All ways to choose one of each.
fn combinations(choices: Vec<Vec<Maybe>>) -> Vec<Vec<Maybe>> {
    choices
        .into_iter()
        .fold(vec![Vec::new()], |chosen, states| {
            chosen
                .iter()
                .flat_map(|before| {
                    states.iter().map(|&state| {
                        let mut before = before.clone();
                        before.push(state);
                        before
                    })
                })
                .collect()
        })
}
