//! A year of a small site in simulated time: the engine, and hourly saves by the daemon's rules, into nothing.

use std::collections::VecDeque;

use greylet::engine::growth::Growth;
use greylet::engine::limits::{BLOCK_BYTES_MAX, ENTRIES_DEFAULT};
use greylet::engine::request::Request;
use greylet::engine::snapshot::{Encoder, Extent, Moment, Save, Step};
use greylet::engine::table::{Bucket, Class, Entry, Slot, Table};
use greylet::engine::time::Timestamp;
use greylet::engine::triplet::FingerprintKey;
use greylet::engine::verdict::Action;
use greylet::engine::{Engine, Policy};

use crate::random::Random;

/// --max-age, in seconds.
const MAX_AGE: u64 = 35 * 86_400;

const START: u64 = 1_795_392_000;
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
const DAYS: u64 = 365;

const MAILS_A_DAY: u64 = 1_000;

/// Of the others, each comes once from an organisation that was never seen; all but these come from so many regular correspondents.
const NEW_ONE_IN: u64 = 10;
const REGULARS: u64 = 400;

/// When a mail server retries.
const RETRY_AFTER: u64 = 600;

const PAGE_BYTES: u64 = 4_096;

/// What was written in the year.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    pub(crate) saves: u64,
    pub(crate) full_saves: u64,
    pub(crate) bytes: u64,
    /// Pages of 4,096 bytes that were written, wholly or in part.
    pub(crate) page_bytes: u64,
    /// What a full save at the end has, and how many entries that is.
    pub(crate) file_bytes: u64,
    pub(crate) entries: u64,
}

impl Written {
    /// One of the data each time; for a full save another one of the folder.
    pub(crate) fn fsyncs(self) -> u64 {
        self.saves + self.full_saves
    }

    pub(crate) fn a_day(total: u64) -> f64 {
        total as f64 / DAYS as f64
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Regular(u64),
    New(u64),
    Spam(u64),
}

/// Lives through the year, with so much spam that never retries.
pub(crate) fn live(spam_a_day: u64) -> Written {
    let mut slots = Box::new(heapless::Vec::<Slot, { ENTRIES_DEFAULT as usize }>::new());
    let mut buckets = vec![Bucket::EMPTY; ENTRIES_DEFAULT as usize];
    let table = Table::new(slots.as_mut_view(), &mut buckets, ENTRIES_DEFAULT);
    let mut site = Site {
        engine: Engine::new(Policy::default(), FingerprintKey::new([7; 16]), table),
        growth: None,
        written: Written::default(),
    };
    let mut random = Random::new(spam_a_day);
    let mut retries = VecDeque::new();
    for day in 0..DAYS {
        let mut events = events_of(day, spam_a_day, &mut random)
            .into_iter()
            .peekable();
        for hour in 0..24 {
            let end = START + day * DAY + (hour + 1) * HOUR;
            while let Some((time, event)) = events.next_if(|(time, _)| *time < end) {
                while let Some(&(due, mail)) = retries.front()
                    && due <= time
                {
                    retries.pop_front();
                    assert!(site.passes(mail, due));
                }
                if !site.passes(event, time) && matches!(event, Event::Regular(_) | Event::New(_)) {
                    retries.push_back((time + RETRY_AFTER, event));
                }
            }
            if site.engine.table().changes() > 0 {
                site.save(end);
            }
        }
    }
    site.measure_file(START + DAYS * DAY)
}

/// In the order of their times.
fn events_of(day: u64, spam_a_day: u64, random: &mut Random) -> Vec<(u64, Event)> {
    let mut events = Vec::new();
    for number in day * MAILS_A_DAY..(day + 1) * MAILS_A_DAY {
        let event = if number % NEW_ONE_IN == 0 {
            Event::New(number)
        } else {
            Event::Regular(random.within(0..=REGULARS - 1))
        };
        events.push(event);
    }
    events.extend((day * spam_a_day..(day + 1) * spam_a_day).map(Event::Spam));
    let start = START + day * DAY;
    let at_some_time = |event| (start + random.within(0..=DAY - 1), event);
    let mut events: Vec<_> = events.into_iter().map(at_some_time).collect();
    events.sort_unstable();
    events
}

/// A number in letters, as digits may not count.
fn word(number: u64) -> String {
    let letters = (0..6).map(|place| char::from(b'a' + (number / 26_u64.pow(place) % 26) as u8));
    letters.collect()
}

struct Site<'a> {
    engine: Engine<'a>,
    growth: Option<Growth>,
    written: Written,
}

impl Site<'_> {
    fn passes(&mut self, event: Event, time: u64) -> bool {
        let (number, kind) = match event {
            Event::Regular(number) => (number, "regular"),
            Event::New(number) => (number, "shop"),
            Event::Spam(number) => (number, "spam"),
        };
        let name = match event {
            Event::Spam(_) => "unknown".to_owned(),
            _ => format!("mail.{kind}{}.example", word(number)),
        };
        let net = match event {
            Event::Regular(_) => 20,
            Event::New(_) => 60,
            Event::Spam(_) => 100,
        };
        let address = format!(
            "{}.{}.{}.9",
            net + number / 65_536 % 100,
            number / 256 % 256,
            number % 256
        );
        let sender = format!("someone@{kind}{}.example", word(number));
        let request = Request {
            request: Some(b"smtpd_access_policy"),
            protocol_state: Some(b"RCPT"),
            client_address: Some(address.as_bytes()),
            client_name: Some(name.as_bytes()),
            sender: Some(sender.as_bytes()),
            recipient: Some(b"user@site.example"),
            ..Request::default()
        };
        let verdict = self.engine.decide(&request, Timestamp::from_unix(time));
        !matches!(verdict.action, Action::Defer { .. })
    }

    fn save(&mut self, time: u64) {
        let extent = self.growth.map_or(Extent::Full, Growth::next_extent);
        let bytes = self.encode(extent, time);
        let from = match (extent, self.growth) {
            (Extent::Batch, Some(growth)) => growth.bytes(),
            _ => 0,
        };
        let pages = (from + bytes).div_ceil(PAGE_BYTES) - from / PAGE_BYTES;
        self.written.saves += 1;
        self.written.full_saves += u64::from(extent == Extent::Full);
        self.written.bytes += bytes;
        self.written.page_bytes += pages * PAGE_BYTES;
        self.growth = Some(match self.growth {
            Some(growth) => growth.after(extent, bytes),
            None => Growth::from_full(bytes),
        });
    }

    /// How many bytes a save has.
    fn encode(&mut self, extent: Extent, time: u64) -> u64 {
        let save = Save {
            extent,
            with_pending: false,
        };
        let moment = Moment {
            logical: Timestamp::from_unix(time),
            wall_unix_seconds: time,
            boot_seconds: time - START,
            boot_id: [1; 16],
            data_asked: None,
        };
        let mut encoder = Encoder::new(save, moment, heapless::Vec::new(), self.engine.table());
        let mut block = heapless::Vec::<u8, BLOCK_BYTES_MAX>::new();
        let mut bytes = 0;
        loop {
            match self.engine.save(&mut encoder, &mut block) {
                Step::Unfinished => {}
                Step::Block => {
                    bytes += block.len() as u64;
                    block.clear();
                }
                Step::Done => return bytes,
            }
        }
    }

    fn measure_file(mut self, time: u64) -> Written {
        let table = self.engine.table();
        let is_saved = |entry: &Entry| {
            !entry.class.is_pending() && time - u64::from(entry.last_seen.unix()) <= MAX_AGE
        };
        let all = Class::ALL.into_iter().flat_map(|class| table.iter(class));
        let entries = all.filter(|(_, entry)| is_saved(entry)).count() as u64;
        Written {
            file_bytes: self.encode(Extent::Full, time),
            entries,
            ..self.written
        }
    }
}
