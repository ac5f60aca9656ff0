//! The table against a naive model: a list per class, searched from end to end.

use std::collections::HashMap;
use std::sync::Mutex;

use greylet::engine::history::History;
use greylet::engine::limits::BLOCK_BYTES_MAX;
use greylet::engine::orders::Orders;
use greylet::engine::snapshot::{Contents, Encoder, Extent, Moment, Save, Step as SaveStep};
use greylet::engine::table::{Bucket, Class, Entry, Slot, Table};
use greylet::engine::time::{Seconds, Timestamp};
use greylet::engine::triplet::{Fingerprint, FingerprintKey};
use proptest::collection::vec;
use proptest::prelude::*;

/// What is done to both.
#[derive(Clone, Debug)]
enum Step {
    Insert(u64, Entry),
    Update(u64, Entry),
    /// It is seen at that time, and nothing else changes.
    Use(u64, u32),
    Remove(u64),
    Save,
}

/// Entries by class, the most recently used first.
struct Model {
    capacity: usize,
    classes: [Vec<(Fingerprint, Entry)>; 5],
    /// The day of the last use that is saved, of entries of which nothing else has changed since.
    saved_days: HashMap<Fingerprint, u32>,
}

impl Model {
    fn find(&self, fingerprint: Fingerprint) -> Option<Entry> {
        let mut all = self.classes.iter().flatten();
        all.find(|(found, _)| *found == fingerprint)
            .map(|(_, entry)| *entry)
    }

    /// Forgets that it is saved if more than the last use has changed, or that by days.
    fn update(&mut self, fingerprint: Fingerprint, entry: Entry) {
        let before = self.find(fingerprint).expect("it is there");
        let is_counting = before.count != entry.count && entry.class != Class::Proven;
        let is_long_after = day(entry) >= day(before) + REFRESH_DAYS;
        if before.class != entry.class
            || before.since != entry.since
            || is_counting
            || is_long_after
        {
            self.saved_days.remove(&fingerprint);
        }
        let saved_day = self.saved_days.get(&fingerprint).copied();
        self.remove(fingerprint);
        self.add(fingerprint, entry);
        self.saved_days
            .extend(saved_day.map(|day| (fingerprint, day)));
    }

    fn is_due(&self, fingerprint: Fingerprint, entry: Entry) -> bool {
        let is_old = |&saved: &u32| day(entry) < saved || day(entry) >= saved + REFRESH_DAYS;
        !entry.class.is_pending() && self.saved_days.get(&fingerprint).is_none_or(is_old)
    }

    fn save(&mut self) {
        let all: Vec<_> = self.classes.iter().flatten().copied().collect();
        for (fingerprint, entry) in all {
            if self.is_due(fingerprint, entry) {
                self.saved_days.insert(fingerprint, day(entry));
            }
        }
    }

    fn changes(&self) -> usize {
        let all = self.classes.iter().flatten();
        all.filter(|(fingerprint, entry)| self.is_due(*fingerprint, *entry))
            .count()
    }

    fn remove(&mut self, fingerprint: Fingerprint) {
        self.saved_days.remove(&fingerprint);
        for class in &mut self.classes {
            class.retain(|(found, _)| *found != fingerprint);
        }
    }

    fn add(&mut self, fingerprint: Fingerprint, entry: Entry) {
        self.classes[entry.class as usize].insert(0, (fingerprint, entry));
    }

    /// Of N entries named may keep 3N/16, known N/4, wrote-to N/16 and proven 7N/16, and plain what they leave.
    fn floor(&self, class: Class) -> usize {
        let n = self.capacity;
        match class {
            Class::Plain => n - 3 * n / 16 - n / 4 - n / 16 - 7 * n / 16,
            Class::Named => 3 * n / 16,
            Class::Known => n / 4,
            Class::WroteTo => n / 16,
            Class::Proven => 7 * n / 16,
        }
    }

    fn evict_for(&mut self, newcomer: Class) -> Option<Entry> {
        let wrote_to = self.classes[Class::WroteTo as usize].len();
        if newcomer == Class::WroteTo && wrote_to >= self.floor(Class::WroteTo) {
            return self.pop(Class::WroteTo);
        }
        if self.classes.iter().map(Vec::len).sum::<usize>() < self.capacity {
            return None;
        }
        let expired = Class::ALL.into_iter().find(|class| {
            let oldest = self.classes[*class as usize].last();
            oldest.is_some_and(|(_, entry)| is_expired(entry))
        });
        let victim = expired.or_else(|| {
            Class::ALL.into_iter().find(|class| {
                let entries = self.classes[*class as usize].len();
                entries > 0 && entries + usize::from(*class == newcomer) > self.floor(*class)
            })
        });
        let victim = victim.expect("one class is above its floor");
        self.pop(victim)
    }

    fn pop(&mut self, class: Class) -> Option<Entry> {
        let (fingerprint, entry) = self.classes[class as usize].pop()?;
        self.saved_days.remove(&fingerprint);
        Some(entry)
    }
}

/// An eighth of 35 days, in whole ones.
const REFRESH_DAYS: u32 = 4;

fn day(entry: Entry) -> u32 {
    entry.last_seen.unix() / 86_400
}

/// Saves what has changed, and throws it away.
fn save(table: &mut Table<'_>) {
    let save = Save {
        extent: Extent::Batch,
        with_pending: false,
    };
    let moment = Moment {
        // Before every last use: what is too old counts as saved, whether it was due or not.
        logical: Timestamp::from_unix(1_700_000_000),
        wall_unix_seconds: 0,
        boot_seconds: 0,
        boot_id: [0; 16],
        data_asked: None,
    };
    let mut encoder = Encoder::new(save, moment, heapless::Vec::new(), table);
    let mut block = heapless::Vec::<u8, BLOCK_BYTES_MAX>::new();
    let mut contents = Contents {
        key: &FingerprintKey::new([0; 16]),
        table,
        history: &mut History::new(),
        orders: &mut Orders::new(),
    };
    loop {
        match encoder.step(&mut contents, &mut block) {
            SaveStep::Unfinished => {}
            SaveStep::Block => block.clear(),
            SaveStep::Done => return,
        }
    }
}

/// Any rule would do.
fn is_expired(entry: &Entry) -> bool {
    entry.since.unix().is_multiple_of(7)
}

fn entry() -> impl Strategy<Value = Entry> {
    let class = prop::sample::select(Class::ALL.to_vec());
    // A mark tells 254 days apart.
    let last_seen = 1_700_000_000..1_720_000_000_u32;
    (any::<u32>(), last_seen, any::<u16>(), class).prop_map(|(since, last_seen, count, class)| {
        let time = |unix: u32| Timestamp::from_unix(unix.into());
        Entry {
            since: time(since),
            last_seen: time(last_seen),
            count,
            class,
        }
    })
}

fn steps(fingerprints: u64) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..fingerprints, entry()).prop_map(|(name, entry)| Step::Insert(name, entry)),
        3 => (0..fingerprints, entry()).prop_map(|(name, entry)| Step::Update(name, entry)),
        3 => (0..fingerprints, 1_700_000_000..1_720_000_000_u32).prop_map(|(name, at)| Step::Use(name, at)),
        1 => (0..fingerprints).prop_map(Step::Remove),
        1 => Just(Step::Save),
    ];
    vec(step, 1..600)
}

/// Does the steps to a table and to the model, and compares all that can be seen after each.
fn compare(
    capacity: u32,
    steps: &[Step],
    spread: impl Fn(u64) -> u64,
) -> Result<(), TestCaseError> {
    let mut slots = Box::new(heapless::Vec::<Slot, 200>::new());
    let mut buckets = [Bucket::EMPTY; 200];
    let mut table = Table::new(slots.as_mut_view(), &mut buckets, capacity);
    let mut model = Model {
        capacity: capacity as usize,
        classes: Default::default(),
        saved_days: HashMap::new(),
    };
    table.set_max_age(Seconds::new(35 * Seconds::DAY.get()));
    for step in steps {
        let name = match *step {
            Step::Insert(name, _) | Step::Update(name, _) => name,
            Step::Use(name, _) | Step::Remove(name) => name,
            Step::Save => 0,
        };
        let fingerprint = Fingerprint::from_bits(spread(name));
        let place = table.find(fingerprint);
        prop_assert_eq!(
            place.map(|place| table.entry(place)),
            model.find(fingerprint)
        );
        match (step, place) {
            (Step::Insert(_, entry), None) => {
                let evicted = table.insert(fingerprint, *entry, is_expired);
                prop_assert_eq!(evicted, model.evict_for(entry.class));
                model.add(fingerprint, *entry);
            }
            (Step::Insert(_, entry) | Step::Update(_, entry), Some(place)) => {
                table.update(place, *entry);
                model.update(fingerprint, *entry);
            }
            (Step::Use(_, at), Some(place)) => {
                let entry = Entry {
                    last_seen: Timestamp::from_unix((*at).into()),
                    ..table.entry(place)
                };
                table.update(place, entry);
                model.update(fingerprint, entry);
            }
            (Step::Save, _) => {
                save(&mut table);
                prop_assert_eq!(table.changes(), 0);
                model.save();
            }
            (Step::Remove(_), Some(place)) => {
                prop_assert_eq!(Some(table.remove(place)), model.find(fingerprint));
                model.remove(fingerprint);
            }
            (Step::Update(..) | Step::Use(..) | Step::Remove(_), None) => {}
        }
        for class in Class::ALL {
            let entries: Vec<_> = table.iter(class).collect();
            prop_assert_eq!(&entries, &model.classes[class as usize]);
            prop_assert_eq!(table.len_of(class) as usize, entries.len());
        }
        prop_assert!(table.len() <= capacity);
        prop_assert_eq!(table.changes() as usize, model.changes());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn like_the_model(capacity in 64_u32..=200, steps in steps(300)) {
        compare(capacity, &steps, |name| name.wrapping_mul(0x9e37_79b9_7f4a_7c15))?;
    }

    /// All in one chain, which a lower half that differs and an upper one that does not brings about.
    #[test]
    fn like_the_model_in_one_chain(capacity in 64_u32..=100, steps in steps(150)) {
        compare(capacity, &steps, |name| name)?;
    }
}

/// An entry that is used some days later is not due again, so that a clock that is set back leaves it as it was saved.
#[test]
fn a_use_in_the_past_after_a_save() {
    let days = 86_400;
    let saved = 1_702_425_600;
    let entry = Entry {
        since: Timestamp::default(),
        last_seen: Timestamp::from_unix(saved.into()),
        count: 0,
        class: Class::Known,
    };
    let steps = [
        Step::Insert(1, entry),
        Step::Save,
        Step::Use(1, saved + 3 * days),
        Step::Save,
        Step::Use(1, saved),
    ];
    compare(64, &steps, |name| name).expect("the model");
}

const CAPACITY: usize = 65_536;

/// More than a stack holds.
static MEMORY: Mutex<(heapless::Vec<Slot, CAPACITY>, [Bucket; CAPACITY])> =
    Mutex::new((heapless::Vec::new(), [Bucket::EMPTY; CAPACITY]));

/// A full table of the default size, and as many again: chains stay short.
#[test]
fn chains_stay_short() {
    let mut memory = MEMORY.lock().expect("nobody else has it");
    let (slots, buckets) = &mut *memory;
    let mut table = Table::new(slots, buckets, CAPACITY as u32);
    let key = greylet::engine::triplet::FingerprintKey::new([3; 16]);
    let now = Timestamp::from_unix(1);
    let entry = Entry {
        since: now,
        last_seen: now,
        count: 0,
        class: Class::Plain,
    };
    for number in 0..2 * CAPACITY as u32 {
        let address = std::net::Ipv4Addr::from_bits(number);
        table.insert(key.auto_whitelist(address.into()), entry, |_| false);
    }
    assert_eq!(table.len() as usize, CAPACITY);
    assert!(table.longest_chain() <= 12, "{}", table.longest_chain());
}
