//! The site: the engine, its snapshot, its clock, and what happens to them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use greylet::engine::access::{Clients, Recipients};
use greylet::engine::greylist::Rules;
use greylet::engine::growth::Growth;
use greylet::engine::identity::{Lookup, Prefixes};
use greylet::engine::limits::BLOCK_BYTES_MAX;
use greylet::engine::null_sender::NullSender;
use greylet::engine::request::Request;
use greylet::engine::snapshot::{Encoder, Extent, Moment, Save, Step, Survey};
use greylet::engine::table::{Bucket, Class, Slot, Table};
use greylet::engine::time::{Seconds, Timestamp};
use greylet::engine::triplet::FingerprintKey;
use greylet::engine::verdict::Action;
use greylet::engine::{Engine, Greylist, Policy};

use crate::model::{self, Mail, Model, Told};
use crate::random::Random;
use crate::traffic::{Correspondent, Kind, Message, correspondents, stranger};

const START: u64 = 1_700_000_000;
const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
const END: u64 = START + 35 * DAY;

/// Whom no list has, at first.
const LISTED_DOMAIN: &str = "shopaaaa.example";
const LISTED_RECIPIENT: &str = "userbaaa@site.example";

/// What has happened, so that a run in which nothing did is seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lived {
    pub(crate) answers: u64,
    pub(crate) deferred: u64,
    pub(crate) first_passes: u64,
    pub(crate) power_cuts: u64,
    pub(crate) cut_saves: u64,
    pub(crate) restarts: u64,
    pub(crate) reloads: u64,
    pub(crate) full_tables: u64,
    pub(crate) honest_messages: u64,
}

impl Lived {
    pub(crate) fn add(&mut self, other: &Lived) {
        self.answers += other.answers;
        self.deferred += other.deferred;
        self.first_passes += other.first_passes;
        self.power_cuts += other.power_cuts;
        self.cut_saves += other.cut_saves;
        self.restarts += other.restarts;
        self.reloads += other.reloads;
        self.full_tables += other.full_tables;
        self.honest_messages += other.honest_messages;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A message is tried, after so many earlier tries, to the recipients that have not accepted it.
    Try {
        message: usize,
        tries: usize,
    },
    /// One of our users writes to somebody.
    WriteTo,
    /// Somebody floods us for a minute.
    Flood,
    Save,
    Reload,
    /// The process ends; without a save if it is killed.
    Restart {
        is_killed: bool,
    },
    /// The machine is off for so many seconds; the save that was under way, if one was, is cut.
    PowerCut {
        off_seconds: u64,
    },
}

/// How a boot ends.
enum End {
    Over,
    Restart,
    PowerCut { off_seconds: u64 },
}

pub(crate) struct Site {
    random: Random,
    policy: Policy,
    rules: model::Rules,
    capacity: u32,
    correspondents: Vec<Correspondent>,
    strangers: u64,
    messages: Vec<Message>,
    /// Which recipients have still to accept each message.
    waiting: Vec<Vec<String>>,
    /// By the true time, in the order in which they were thought of.
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    thought_of: u64,
    instances: u64,
    /// The logical clock before the true time, which may be behind it.
    ahead: i64,
    boots: u8,
    file: Vec<u8>,
    growth: Option<Growth>,
    /// What the file has, and what greylet should know.
    in_file: Model,
    model: Model,
    is_listing: bool,
    lived: Lived,
}

impl Site {
    pub(crate) fn new(seed: u64) -> Site {
        let mut random = Random::new(seed);
        let delay = random.pick(&[60, 300, 600]);
        let retry_window = random.pick(&[4 * HOUR, DAY, 2 * DAY]);
        let max_age = random.pick(&[3 * DAY, 7 * DAY, 35 * DAY]);
        let auto_whitelist = random.pick(&[0, 2, 5]);
        let lookup = match random.within(0..=9) {
            0..=5 => Lookup::Name(Prefixes::default()),
            6 | 7 => Lookup::Subnet(Prefixes::default()),
            _ => Lookup::Host,
        };
        let only_suspicious = random.one_in(5);
        let policy = Policy {
            lookup,
            greylist: match only_suspicious {
                true => Greylist::Suspicious,
                false => Greylist::All,
            },
            null_sender: NullSender::Rcpt,
            rules: Rules {
                delay: Seconds::new(delay as u32),
                retry_window: Seconds::new(retry_window as u32),
                max_age: Seconds::new(max_age as u32),
                auto_whitelist_clients: auto_whitelist as u16,
            },
        };
        let rules = model::Rules {
            by_name: lookup.is_by_name(),
            by_host: lookup == Lookup::Host,
            only_suspicious,
            delay,
            retry_window,
            max_age,
            auto_whitelist: auto_whitelist as u16,
        };
        let capacity = if random.one_in(3) { 512 } else { 4_096 };
        let mut site = Site {
            policy,
            rules,
            capacity,
            correspondents: correspondents(&mut random),
            strangers: 0,
            messages: Vec::new(),
            waiting: Vec::new(),
            events: BinaryHeap::new(),
            thought_of: 0,
            instances: 0,
            ahead: 0,
            boots: 1,
            file: Vec::new(),
            growth: None,
            in_file: Model::new(rules),
            model: Model::new(rules),
            is_listing: false,
            lived: Lived::default(),
            random,
        };
        site.plan();
        site
    }

    /// Thinks of what will happen.
    fn plan(&mut self) {
        let interval = self.random.pick(&[3 * HOUR, 12 * HOUR, DAY]);
        for number in 1..35 * DAY / interval {
            self.at(START + number * interval, Event::Save);
        }
        for _ in 0..220 {
            let from = self.random.pick(&self.correspondents);
            self.send(&from, Kind::Honest);
        }
        for number in 0..150 {
            let kind = self
                .random
                .pick(&[Kind::OneShot, Kind::OneShot, Kind::Hasty, Kind::Queued]);
            let from = self.next_stranger(number % 4 == 0);
            self.send(&from, kind);
        }
        let floods = if self.capacity < 4_096 { 4 } else { 0 };
        for (event, count) in [
            (Event::WriteTo, 30),
            (Event::Reload, 5),
            (Event::Restart { is_killed: false }, 3),
            (Event::Restart { is_killed: true }, 2),
            (Event::PowerCut { off_seconds: 120 }, 2),
            (Event::PowerCut { off_seconds: DAY }, 1),
            (Event::Flood, floods),
        ] {
            for _ in 0..count {
                let time = self.some_time();
                self.at(time, event);
            }
        }
    }

    fn some_time(&mut self) -> u64 {
        self.random.within(START..=END - DAY)
    }

    fn next_stranger(&mut self, has_name: bool) -> Correspondent {
        self.strangers += 1;
        stranger(self.strangers, has_name)
    }

    fn send(&mut self, from: &Correspondent, kind: Kind) {
        let time = self.some_time();
        self.send_at(time, from, kind);
    }

    fn send_at(&mut self, time: u64, from: &Correspondent, kind: Kind) {
        let message = Message::of(from, kind, &mut self.random);
        self.waiting.push(message.recipients.clone());
        self.messages.push(message);
        let message = self.messages.len() - 1;
        self.at(time, Event::Try { message, tries: 0 });
    }

    fn at(&mut self, time: u64, event: Event) {
        self.thought_of += 1;
        self.events.push(Reverse((time, self.thought_of, event)));
    }

    /// Lives to the end; an error says what went wrong, and when.
    pub(crate) fn live(mut self) -> Result<Lived, String> {
        let mut now = START;
        loop {
            let (end, time) = self.boot(now)?;
            now = match end {
                End::Over => return self.judge_deliveries(),
                End::Restart => time,
                End::PowerCut { off_seconds } => time + off_seconds,
            };
        }
    }

    fn judge_deliveries(self) -> Result<Lived, String> {
        for (message, waiting) in self.messages.iter().zip(&self.waiting) {
            if message.kind == Kind::Honest && !waiting.is_empty() {
                return Err(format!("mail of {} never came", message.folded));
            }
        }
        Ok(self.lived)
    }

    /// Runs the engine from a start to its end; how that came, and when.
    fn boot(&mut self, now: u64) -> Result<(End, u64), String> {
        let mut slots = Box::new(heapless::Vec::<Slot, 4_096>::new());
        let mut buckets = [Bucket::EMPTY; 4_096];
        let table = Table::new(slots.as_mut_view(), &mut buckets, self.capacity);
        let mut survey = Survey::new();
        survey.feed(&self.file);
        let found = survey.finish().ok();
        let key = found.as_ref().map(|found| found.key.clone());
        let key = key.unwrap_or(FingerprintKey::new([7; 16]));
        let mut engine = Engine::new(self.policy, key, table);
        if let Some(found) = &found {
            let moment = found.moment.as_ref();
            let is_same_boot = moment.is_some_and(|moment| moment.boot_id[0] == self.boots);
            let latest = u64::from(found.latest.unix());
            self.set_clock(latest, now, is_same_boot);
            let logical = self.logical(now);
            let mut loader = engine.loader(found, Timestamp::from_unix(logical), is_same_boot);
            loader.feed(&self.file);
            loader.finish();
            self.model = self.in_file.clone().loaded(latest, logical, is_same_boot);
            self.growth = Growth::of(found);
        } else {
            self.model = Model::new(self.rules);
        }
        self.load_lists(&mut engine);
        self.take_note_of_evictions(&engine);
        while let Some(Reverse((time, _, event))) = self.events.pop() {
            if time < now {
                // The machine was off.
                let later = now + self.random.within(0..=HOUR);
                self.at(later, event);
                continue;
            }
            let outcome = self.take(&mut engine, event, time);
            let end = outcome.map_err(|why| format!("at {}, {event:?}: {why}", time - START))?;
            if let Some(end) = end {
                return Ok((end, time));
            }
        }
        Ok((End::Over, END))
    }

    /// In the same boot the clock goes on; after another one the wall clock says nothing, the truth, or far too much.
    fn set_clock(&mut self, latest: u64, now: u64, is_same_boot: bool) {
        if is_same_boot {
            return;
        }
        let off = now.saturating_sub(latest.saturating_add_signed(-self.ahead));
        let believed = self.random.pick(&[0, off, 7 * DAY]).min(7 * DAY);
        self.ahead = (latest + believed) as i64 - now as i64;
    }

    fn logical(&self, time: u64) -> u64 {
        time.saturating_add_signed(self.ahead)
    }

    fn take(
        &mut self,
        engine: &mut Engine<'_>,
        event: Event,
        time: u64,
    ) -> Result<Option<End>, String> {
        match event {
            Event::Try { message, tries } => self.try_message(engine, message, tries, time)?,
            Event::WriteTo => self.write_to(engine, time),
            Event::Flood => self.flood(time),
            Event::Save => {
                if engine.table().changes() > 0 {
                    self.save(engine, time, false);
                }
            }
            Event::Reload => {
                self.is_listing = !self.is_listing;
                self.load_lists(engine);
                self.lived.reloads += 1;
            }
            Event::Restart { is_killed } => {
                if !is_killed {
                    self.save(engine, time, true);
                }
                self.lived.restarts += 1;
                return Ok(Some(End::Restart));
            }
            Event::PowerCut { off_seconds } => {
                if self.random.one_in(2) {
                    self.cut_save(engine, time);
                }
                self.boots += 1;
                self.lived.power_cuts += 1;
                return Ok(Some(End::PowerCut { off_seconds }));
            }
        }
        Ok(None)
    }

    fn load_lists(&self, engine: &mut Engine<'_>) {
        let (clients, recipients) = match self.is_listing {
            true => (LISTED_DOMAIN, LISTED_RECIPIENT),
            false => ("", ""),
        };
        let access = engine.access_mut();
        access.clients = Clients::read([clients.as_bytes()]).0;
        access.recipients = Recipients::read([recipients.as_bytes()]).0;
    }

    /// From any of the machines, if these are one client, otherwise from the first.
    fn try_message(
        &mut self,
        engine: &mut Engine<'_>,
        number: usize,
        tries: usize,
        time: u64,
    ) -> Result<(), String> {
        let message = self.messages[number].clone();
        let machines = match self.rules.by_name {
            true => message.from.machines.len() as u64,
            false => 1,
        };
        let machine = self.random.within(0..=machines - 1) as usize;
        self.instances += 1;
        let instance = match self.random.one_in(8) {
            true => String::new(),
            false => format!("{:x}.simulated", self.instances),
        };
        // Now and then DNS does not know a name.
        let mut message = message;
        if self.random.one_in(12) {
            message.lose_names();
        }
        for recipient in std::mem::take(&mut self.waiting[number]) {
            let mail = message.mail(machine, &recipient, instance.clone());
            let questions = if self.random.one_in(10) { 2 } else { 1 };
            let mut told = Told::Passed;
            for _ in 0..questions {
                told = self.ask(engine, &message, machine, mail.clone(), time)?;
            }
            if matches!(told, Told::Deferred(_)) {
                self.waiting[number].push(recipient);
            }
        }
        if message.kind == Kind::Honest && tries == 0 {
            self.lived.honest_messages += 1;
        }
        if !self.waiting[number].is_empty() {
            self.retry(message.kind, number, tries + 1, time);
        }
        Ok(())
    }

    fn retry(&mut self, kind: Kind, message: usize, tries: usize, time: u64) {
        let pause = match (kind, tries) {
            (Kind::OneShot, _) | (Kind::Hasty, 4..) | (Kind::Queued, 9..) => return,
            (Kind::Hasty, _) => self.random.within(1..=30),
            (_, 1) => self.random.within(30..=15 * MINUTE),
            // Of those who give up in the end, some do so after half a day.
            (_, 12..) => return,
            _ => self.random.within(10 * MINUTE..=HOUR),
        };
        self.at(time + pause, Event::Try { message, tries });
    }

    /// Asks the engine, and has the model judge the answer.
    fn ask(
        &mut self,
        engine: &mut Engine<'_>,
        message: &Message,
        machine: usize,
        mail: Mail,
        time: u64,
    ) -> Result<Told, String> {
        let name = &message.from.machines[machine].2;
        let is_listed = self.is_listing
            && (name.ends_with(LISTED_DOMAIN) || mail.recipient == LISTED_RECIPIENT);
        let mail = Mail { is_listed, ..mail };
        let now = self.logical(time);
        let request = Request {
            request: Some(b"smtpd_access_policy"),
            protocol_state: Some(b"RCPT"),
            client_address: Some(mail.address.as_bytes()),
            client_name: Some(name.as_bytes()),
            sender: Some(message.sender.as_bytes()),
            recipient: Some(mail.recipient.as_bytes()),
            instance: Some(mail.instance.as_bytes()),
            ..Request::default()
        };
        let verdict = engine.decide(&request, Timestamp::from_unix(now));
        let told = match verdict.action {
            Action::Dunno => Told::Passed,
            Action::PrependHeader { delayed } => Told::PassedWithHeader(delayed.get().into()),
            Action::Defer { remaining } => Told::Deferred(remaining.get().into()),
        };
        self.lived.answers += 1;
        self.lived.deferred += u64::from(matches!(told, Told::Deferred(_)));
        self.lived.first_passes += u64::from(verdict.is_first_pass);
        self.model
            .check(&mail, now, told)
            .map_err(|why| format!("{why}; {mail:?}"))?;
        self.take_note_of_evictions(engine);
        Ok(told)
    }

    fn take_note_of_evictions(&mut self, engine: &Engine<'_>) {
        let table = engine.table();
        if table.len() == table.capacity() {
            self.lived.full_tables += 1;
            let much_is_named = table.len_of(Class::Named) >= 3 * self.capacity / 16;
            let much_has_passed = table.len_of(Class::Known) >= self.capacity / 4;
            self.model.evict(much_is_named, much_has_passed);
        }
    }

    fn write_to(&mut self, engine: &mut Engine<'_>, time: u64) {
        let from = self.random.pick(&self.correspondents);
        let message = Message::of(&from, Kind::Honest, &mut self.random);
        let (user, other) = (&message.recipients[0], &message.folded);
        let now = self.logical(time);
        let request = Request {
            request: Some(b"smtpd_access_policy"),
            client_address: Some(b"10.0.0.7"),
            client_name: Some(b"unknown"),
            sender: Some(user.as_bytes()),
            recipient: Some(other.as_bytes()),
            sasl_username: Some(user.as_bytes()),
            ..Request::default()
        };
        engine.decide(&request, Timestamp::from_unix(now));
        self.model.write_to(user, other, now);
    }

    /// Strangers come in a minute, more than the table has room for.
    fn flood(&mut self, time: u64) {
        for number in 0..u64::from(self.capacity) / 2 {
            let kind = match number % 5 {
                0 => Kind::Queued,
                _ => Kind::OneShot,
            };
            let from = self.next_stranger(number % 7 == 0);
            self.send_at(time + number % MINUTE, &from, kind);
        }
    }

    fn extent(&self) -> Extent {
        self.growth.map_or(Extent::Full, Growth::next_extent)
    }

    fn save(&mut self, engine: &mut Engine<'_>, time: u64, with_pending: bool) {
        let extent = self.extent();
        let bytes = self.encode(engine, extent, time, with_pending);
        self.in_file = self.saved_model(extent, time, with_pending);
        let written = bytes.len() as u64;
        match extent {
            Extent::Full => self.file = bytes,
            Extent::Batch => self.file.extend(bytes),
        }
        self.growth = Some(match self.growth {
            Some(growth) => growth.after(extent, written),
            None => Growth::from_full(written),
        });
    }

    fn saved_model(&self, extent: Extent, time: u64, with_pending: bool) -> Model {
        let before = (extent == Extent::Batch).then_some(&self.in_file);
        self.model.saved(with_pending, self.logical(time), before)
    }

    /// The power goes during a save. A new file has not taken the old one's place then; what was appended is there in part.
    fn cut_save(&mut self, engine: &mut Engine<'_>, time: u64) {
        let extent = self.extent();
        let bytes = self.encode(engine, extent, time, false);
        if extent == Extent::Batch {
            let cut = self.random.within(0..=bytes.len() as u64) as usize;
            self.file.extend(&bytes[..cut]);
            let after = self.saved_model(extent, time, false);
            self.in_file = self.in_file.clone().or(&after);
            self.lived.cut_saves += 1;
        }
    }

    fn encode(
        &mut self,
        engine: &mut Engine<'_>,
        extent: Extent,
        time: u64,
        with_pending: bool,
    ) -> Vec<u8> {
        let save = Save {
            extent,
            with_pending,
        };
        let moment = Moment {
            logical: Timestamp::from_unix(self.logical(time)),
            wall_unix_seconds: time,
            boot_seconds: time - START,
            boot_id: [self.boots; 16],
            data_asked: None,
        };
        let mut encoder = Encoder::new(save, moment, heapless::Vec::new(), engine.table());
        let mut block = heapless::Vec::<u8, BLOCK_BYTES_MAX>::new();
        let mut bytes = Vec::new();
        loop {
            match engine.save(&mut encoder, &mut block) {
                Step::Unfinished => {}
                Step::Block => {
                    bytes.extend_from_slice(&block);
                    block.clear();
                }
                Step::Done => return bytes,
            }
        }
    }
}
