//! The site: the engine, its snapshot, its clock, and what happens to them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use greylet::engine::access::{Clients, Recipients};
use greylet::engine::clock::{Clock, Reading};
use greylet::engine::greylist::Rules;
use greylet::engine::growth::Growth;
use greylet::engine::identity::{Lookup, Prefixes};
use greylet::engine::limits::BLOCK_BYTES_MAX;
use greylet::engine::null_sender::NullSender;
use greylet::engine::request::Request;
use greylet::engine::snapshot::{Encoder, Extent, Found, Moment, Save, Step, Survey};
use greylet::engine::table::{Bucket, Class, Slot, Table};
use greylet::engine::time::{Seconds, Timestamp};
use greylet::engine::triplet::FingerprintKey;
use greylet::engine::verdict::{Action, Reason};
use greylet::engine::{Engine, Greylist, Policy};

use crate::model::{self, Bounces, Mail, Model, Told};
use crate::random::Random;
use crate::traffic::{Correspondent, Kind, Message, correspondents, rented, stranger};

const START: u64 = 1_700_000_000;
const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
const END: u64 = START + 35 * DAY;

/// How long the machine has run when greylet starts.
const BOOT_SECONDS: u64 = 20;

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
    pub(crate) clock_steps: u64,
    pub(crate) left_to_data: u64,
    pub(crate) deferred_at_data: u64,
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
        self.clock_steps += other.clock_steps;
        self.left_to_data += other.left_to_data;
        self.deferred_at_data += other.deferred_at_data;
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
    /// Somebody sets the wall clock.
    StepWallClock,
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

/// When a snapshot was made.
#[derive(Clone, Copy, Debug)]
struct Saved {
    time: u64,
    logical: u64,
    wall: u64,
    boots: u8,
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
    clock: Clock,
    /// When it was started, in true time, and what it said then.
    clock_started: (u64, u64),
    /// The wall clock before the true time, which may be behind it.
    wall_ahead: i64,
    boots: u8,
    /// When the machine was switched on, in true time.
    booted: u64,
    saved: Vec<Saved>,
    file: Vec<u8>,
    growth: Option<Growth>,
    /// What the file has, and what greylet should know.
    in_file: Model,
    model: Model,
    /// Whether Postfix does.
    asks_about_data: bool,
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
        let (bounces, asks_about_data) = match random.within(0..=9) {
            0 | 1 => (Bounces::Rcpt, random.one_in(2)),
            2..=4 => (Bounces::Data, true),
            _ => (Bounces::DataIfAsked, !random.one_in(4)),
        };
        let policy = Policy {
            lookup,
            greylist: match only_suspicious {
                true => Greylist::Suspicious,
                false => Greylist::All,
            },
            null_sender: match bounces {
                Bounces::Rcpt => NullSender::Rcpt,
                Bounces::Data => NullSender::Data,
                Bounces::DataIfAsked => NullSender::Auto,
            },
            rules: Rules {
                delay: Seconds::new(delay as u32),
                retry_window: Seconds::new(retry_window as u32),
                max_age: Seconds::new(max_age as u32),
                auto_whitelist_clients: auto_whitelist as u16,
            },
        };
        let rules = model::Rules {
            bounces,
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
            clock: Clock::start(None, reading(START, BOOT_SECONDS, 1)),
            clock_started: (START, START),
            wall_ahead: 0,
            boots: 1,
            booted: START - BOOT_SECONDS,
            saved: Vec::new(),
            file: Vec::new(),
            growth: None,
            in_file: Model::new(rules),
            model: Model::new(rules),
            asks_about_data,
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
        for number in 0..50 {
            let (from, kind) = match number % 5 {
                0 => {
                    let kinds = [Kind::OneShot, Kind::Hasty, Kind::Queued];
                    let from = self.next_stranger(number % 2 == 0);
                    (from, self.random.pick(&kinds))
                }
                _ => (self.random.pick(&self.correspondents), Kind::Honest),
            };
            let time = self.some_time();
            let message = Message::bounce(&from, kind, &mut self.random);
            self.send_message(time, message);
        }
        let floods = if self.capacity < 4_096 { 4 } else { 0 };
        for (event, count) in [
            (Event::WriteTo, 30),
            (Event::Reload, 5),
            (Event::StepWallClock, 6),
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
        self.send_message(time, message);
    }

    fn send_message(&mut self, time: u64, message: Message) {
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
                End::PowerCut { off_seconds } => {
                    self.switch_on(time + off_seconds);
                    time + off_seconds
                }
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
        let is_same_boot = self.start_clock(found.as_ref(), now)?;
        if let Some(found) = &found {
            let latest = u64::from(found.latest.unix());
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
            let outcome = match self.check_clock(time) {
                Ok(()) => self.take(&mut engine, event, time),
                Err(why) => Err(why),
            };
            let end = outcome.map_err(|why| format!("at {}, {event:?}: {why}", time - START))?;
            if let Some(end) = end {
                return Ok((end, time));
            }
        }
        Ok((End::Over, END))
    }

    /// Starts the clock, and tells whether the file was written in this boot. Since it was, the time has passed that truly has, whatever the wall
    /// clock was set to; after another boot, what the wall clock says, but neither less than nothing nor more than a week.
    fn start_clock(&mut self, found: Option<&Found>, now: u64) -> Result<bool, String> {
        let reading = reading(self.wall(now), self.boot_seconds(now), self.boots);
        self.clock = Clock::start(found, reading);
        let logical = self.logical(now);
        self.clock_started = (now, logical);
        let Some((found, moment)) = found.and_then(|it| Some((it, it.moment.as_ref()?))) else {
            return Ok(false);
        };
        let is_same_boot = self.clock.is_same_boot(moment);
        let saved_at = u64::from(moment.logical.unix());
        let is_it = |saved: &&Saved| saved.logical == saved_at;
        let saved = *self.saved.iter().rev().find(is_it).ok_or("never saved")?;
        let passed = match saved.boots == self.boots {
            true => now - saved.time,
            false => self.wall(now).saturating_sub(saved.wall).min(7 * DAY),
        };
        let expected = (saved_at + passed).max(found.latest.unix().into());
        match is_same_boot == (saved.boots == self.boots) && logical == expected {
            true => Ok(is_same_boot),
            false => Err(format!("starts at {logical}, not {expected}; {saved:?}")),
        }
    }

    /// It goes on as fast as time does.
    fn check_clock(&self, time: u64) -> Result<(), String> {
        let (start, at_start) = self.clock_started;
        let (logical, expected) = (self.logical(time), at_start + time - start);
        match logical == expected {
            true => Ok(()),
            false => Err(format!("the clock says {logical}, not {expected}")),
        }
    }

    fn switch_on(&mut self, time: u64) {
        self.boots += 1;
        self.booted = time - BOOT_SECONDS;
        // A machine with a battery, or without.
        if self.random.one_in(2) {
            self.step_wall_clock(time);
        }
    }

    /// To the truth, 1970, some time before, or a far year.
    fn step_wall_clock(&mut self, time: u64) {
        let truth = time as i64;
        let wall = self.random.pick(&[
            truth,
            truth,
            BOOT_SECONDS as i64,
            truth - 2 * DAY as i64,
            truth - 90,
            truth + 3 * HOUR as i64,
            2_124_000_000,
        ]);
        self.wall_ahead = wall - truth;
    }

    fn wall(&self, time: u64) -> u64 {
        time.saturating_add_signed(self.wall_ahead)
    }

    fn boot_seconds(&self, time: u64) -> u64 {
        time - self.booted
    }

    fn logical(&self, time: u64) -> u64 {
        self.clock.at(self.boot_seconds(time)).unix().into()
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
            Event::StepWallClock => {
                self.step_wall_clock(time);
                self.lived.clock_steps += 1;
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
        let mut accepted = Vec::new();
        for recipient in std::mem::take(&mut self.waiting[number]) {
            let mail = Mail {
                is_first_recipient: accepted.is_empty(),
                ..message.mail(machine, &recipient, instance.clone())
            };
            match self.ask_once_or_twice(engine, &message, machine, &mail, time)? {
                Told::Deferred(_) => self.waiting[number].push(recipient),
                _ => accepted.push(recipient),
            }
        }
        if self.asks_about_data && !accepted.is_empty() {
            let recipient = match &accepted[..] {
                [one] => one,
                _ => "",
            };
            let mail = Mail {
                is_first_recipient: false,
                is_data: true,
                ..message.mail(machine, recipient, instance)
            };
            let told = self.ask_once_or_twice(engine, &message, machine, &mail, time)?;
            if matches!(told, Told::Deferred(_)) {
                self.waiting[number].append(&mut accepted);
                self.lived.deferred_at_data += 1;
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

    fn ask_once_or_twice(
        &mut self,
        engine: &mut Engine<'_>,
        message: &Message,
        machine: usize,
        mail: &Mail,
        time: u64,
    ) -> Result<Told, String> {
        if self.random.one_in(10) {
            self.ask(engine, message, machine, mail.clone(), time)?;
        }
        self.ask(engine, message, machine, mail.clone(), time)
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
            protocol_state: Some(if mail.is_data { b"DATA" } else { b"RCPT" }),
            queue_id: (!mail.is_first_recipient).then_some(b"4ABCD"),
            client_address: Some(mail.address.as_bytes()),
            client_name: Some(name.as_bytes()),
            sender: Some(message.sender.as_bytes()),
            recipient: Some(mail.recipient.as_bytes()),
            instance: Some(mail.instance.as_bytes()),
            ..Request::default()
        };
        let verdict = engine.decide(&request, Timestamp::from_unix(now));
        let told = match verdict.action {
            Action::Dunno if verdict.reason == Reason::LeftToData => Told::LeftToData,
            Action::Dunno => Told::Passed,
            Action::PrependHeader { delayed } => Told::PassedWithHeader(delayed.get().into()),
            Action::Defer { remaining } => Told::Deferred(remaining.get().into()),
        };
        self.lived.answers += 1;
        self.lived.left_to_data += u64::from(told == Told::LeftToData);
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

    /// Strangers come in a minute, more than the table has room for, half of them of one organisation.
    fn flood(&mut self, time: u64) {
        for number in 0..u64::from(self.capacity) / 2 {
            let kind = match number % 5 {
                0 => Kind::Queued,
                _ => Kind::OneShot,
            };
            let from = match number % 2 {
                0 => rented(self.random.within(0..=10_000)),
                _ => self.next_stranger(number % 7 == 0),
            };
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
            data_asked: engine.data_asked(),
            ..self.clock.moment(self.wall(time), self.boot_seconds(time))
        };
        self.saved.push(Saved {
            time,
            logical: self.logical(time),
            wall: self.wall(time),
            boots: self.boots,
        });
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

fn reading(wall_unix_seconds: u64, boot_seconds: u64, boot: u8) -> Reading {
    Reading {
        wall_unix_seconds,
        boot_seconds,
        boot_id: [boot; 16],
    }
}
