//! Snapshots read: a first pass to find out what a file is, and a second one that fills the table, when the time is known.
//!
//! Both take the file in pieces of any size. There is never a second copy of the table in memory.

use crate::engine::greylist::Rules;
use crate::engine::history::{Counts, History, OUTCOMES, hour};
use crate::engine::limits::ALLOWED_FOR_MAX;
use crate::engine::orders::{Allow, Distrust, Orders};
use crate::engine::snapshot::block::{Blocks, Condition, Kind};
use crate::engine::snapshot::record::{Record, Records, take, take_varint};
use crate::engine::snapshot::{ALLOW, ALLOW_NETWORK, Contents, DISTRUST, Moment, VERSION};
use crate::engine::table::{Entry, Place, Table};
use crate::engine::time::{Seconds, Timestamp};
use crate::engine::triplet::{Fingerprint, FingerprintKey};

/// The content of a block whose checksum holds.
pub enum Block<'b> {
    /// A head of this version.
    Head(FingerprintKey),
    /// A head of another version.
    OtherVersion(u16),
    /// When a save began.
    Moment(Moment),
    /// Entries.
    Entries(Records<'b>),
    /// Counts of hours.
    Counters(Hours<'b>),
    /// All orders.
    Orders(OrderRecords<'b>),
    /// What only a later greylet understands.
    Unknown,
}

impl<'b> Block<'b> {
    pub(super) fn new(kind: u8, content: &'b [u8]) -> Block<'b> {
        let block = match kind {
            kind if kind == Kind::Head as u8 => read_head(content),
            kind if kind == Kind::Moment as u8 => read_moment(content).map(Block::Moment),
            kind if kind == Kind::Entries as u8 => Records::new(content).map(Block::Entries),
            kind if kind == Kind::Counters as u8 => Hours::new(content).map(Block::Counters),
            kind if kind == Kind::Orders as u8 => Some(Block::Orders(OrderRecords(content))),
            _ => None,
        };
        block.unwrap_or(Block::Unknown)
    }
}

fn read_head(mut content: &[u8]) -> Option<Block<'static>> {
    match u16::from_le_bytes(take(&mut content)?) {
        VERSION => Some(Block::Head(FingerprintKey::new(take(&mut content)?))),
        version => Some(Block::OtherVersion(version)),
    }
}

fn read_moment(mut content: &[u8]) -> Option<Moment> {
    let mut moment = Moment {
        logical: Timestamp::from_unix(u32::from_le_bytes(take(&mut content)?).into()),
        wall_unix_seconds: u64::from_le_bytes(take(&mut content)?),
        boot_seconds: u64::from_le_bytes(take(&mut content)?),
        boot_id: take(&mut content)?,
        data_asked: None,
    };
    let at = Timestamp::from_unix(u32::from_le_bytes(take(&mut content)?).into());
    let server = Fingerprint::from_bits(u64::from_le_bytes(take(&mut content)?));
    moment.data_asked = (at > Timestamp::default()).then_some((server, at));
    Some(moment)
}

/// The hours of a block, with their numbers since 1970.
#[derive(Clone, Debug)]
pub struct Hours<'b> {
    first: u32,
    bytes: &'b [u8],
}

impl<'b> Hours<'b> {
    fn new(mut content: &'b [u8]) -> Option<Hours<'b>> {
        let first = u32::from_le_bytes(take(&mut content)?);
        Some(Hours {
            first,
            bytes: content,
        })
    }
}

impl Iterator for Hours<'_> {
    type Item = (u32, Counts);

    fn next(&mut self) -> Option<(u32, Counts)> {
        let hour = self.first.checked_add(take_varint(&mut self.bytes)?)?;
        let mask = take_varint(&mut self.bytes)?;
        let mut counts = [0; OUTCOMES];
        for outcome in (0..u32::BITS).filter(|outcome| mask >> outcome & 1 == 1) {
            let count = take_varint(&mut self.bytes)?;
            if let Some(known) = counts.get_mut(outcome as usize) {
                *known = count;
            }
        }
        Some((hour, counts))
    }
}

/// The orders of a block.
#[derive(Clone, Copy, Debug)]
pub struct OrderRecords<'b>(&'b [u8]);

/// One order.
enum Order {
    Allow(Allow),
    Distrust(Distrust),
    Unknown,
}

impl OrderRecords<'_> {
    /// How many are let through at a time, and how many clients were forgotten then.
    pub fn count(mut self, at: Timestamp) -> (usize, usize) {
        let mut counts = (0, 0);
        while let Some(order) = self.take() {
            match order {
                Order::Allow(allow) => counts.0 += usize::from(at < allow.until),
                Order::Distrust(_) => counts.1 += 1,
                Order::Unknown => {}
            }
        }
        counts
    }

    fn take(&mut self) -> Option<Order> {
        let [kind] = take(&mut self.0)?;
        let fingerprint = Fingerprint::from_bits(u64::from_le_bytes(take(&mut self.0)?));
        let time = Timestamp::from_unix(u32::from_le_bytes(take(&mut self.0)?).into());
        let other = u32::from_le_bytes(take(&mut self.0)?);
        let allow = |prefix_bits| {
            Order::Allow(Allow {
                fingerprint,
                until: time,
                prefix_bits,
            })
        };
        Some(match (kind, u8::try_from(other)) {
            (ALLOW, _) => allow(None),
            (ALLOW_NETWORK, Ok(bits @ 0..=128)) => allow(Some(bits)),
            (DISTRUST, _) => Order::Distrust(Distrust {
                fingerprint,
                at: time,
                pending_at: Timestamp::from_unix(other.into()),
            }),
            _ => Order::Unknown,
        })
    }
}

/// Why nothing can be loaded from a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is empty.
    Empty,
    /// There is no block in it.
    Foreign,
    /// There are blocks, but both heads are damaged, and the key is lost.
    KeyLost,
    /// It is of this version, which another greylet may still want to read.
    OtherVersion(u16),
}

/// What a file is.
pub struct Found {
    /// The installation's key.
    pub key: FingerprintKey,
    /// When the last save began; `None` if nothing is left that says so.
    pub moment: Option<Moment>,
    /// The latest time that is mentioned, of `moment` or a later save that was cut short.
    pub latest: Timestamp,
    /// Where the last full save ends, which has two heads.
    pub base_bytes: Option<u64>,
    /// Which of its blocks are whole.
    pub condition: Condition,
}

/// The first pass.
pub struct Survey {
    blocks: Blocks,
    seen: Seen,
    /// Where the last head ends.
    base_bytes: Option<u64>,
}

#[derive(Default)]
struct Seen {
    key: Option<FingerprintKey>,
    heads: u32,
    other_version: Option<u16>,
    moment: Option<Moment>,
    latest: Timestamp,
}

impl Survey {
    /// At the beginning of a file.
    pub fn new() -> Survey {
        Survey {
            blocks: Blocks::new(),
            seen: Seen::default(),
            base_bytes: None,
        }
    }

    /// Takes in the next piece of the file.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.go_on(bytes, false);
    }

    /// Says what the file is that ends here.
    ///
    /// # Errors
    ///
    /// Nothing can be loaded from it.
    pub fn finish(mut self) -> Result<Found, Unusable> {
        self.go_on(&[], true);
        if let Some(version) = self.seen.other_version {
            return Err(Unusable::OtherVersion(version));
        }
        let condition = self.blocks.condition();
        match self.seen.key {
            Some(key) => Ok(Found {
                key,
                base_bytes: self.base_bytes.filter(|_| self.seen.heads == 2),
                moment: self.seen.moment,
                latest: self.seen.latest,
                condition,
            }),
            None if condition.bytes == 0 => Err(Unusable::Empty),
            None if condition.blocks == 0 => Err(Unusable::Foreign),
            None => Err(Unusable::KeyLost),
        }
    }

    fn go_on(&mut self, mut bytes: &[u8], is_end: bool) {
        while let Some(block) = self.blocks.next(&mut bytes, is_end) {
            let is_head = matches!(block, Block::Head(_));
            self.seen.take_note(block);
            if is_head {
                self.base_bytes = Some(self.blocks.condition().whole_bytes);
            }
        }
    }
}

impl Default for Survey {
    fn default() -> Survey {
        Survey::new()
    }
}

impl Seen {
    fn take_note(&mut self, block: Block<'_>) {
        match block {
            Block::Head(key) => {
                self.key = Some(key);
                self.heads += 1;
            }
            Block::OtherVersion(version) => self.other_version = Some(version),
            Block::Moment(moment) => {
                self.moment = Some(moment);
                self.latest = self.latest.max(moment.logical);
            }
            Block::Entries(records) => self.latest = self.latest.max(records.base()),
            Block::Counters(_) | Block::Orders(_) | Block::Unknown => {}
        }
    }
}

/// The second pass. An entry that is there already is replaced; when there is no room, the table's rule says who gives way, as if the
/// entries came in the order of their last use, but for a sixteenth of the table or so.
pub struct Loader<'l, 't> {
    blocks: Blocks,
    target: Target<'l, 't>,
}

struct Target<'l, 't> {
    table: &'l mut Table<'t>,
    history: &'l mut History,
    orders: &'l mut Orders,
    rules: Rules,
    now: Timestamp,
    /// How much pending entries are moved forward, so that they keep their age.
    pending_shift: Seconds,
    left_out: u32,
    /// Entries that may still give way before the oldest ones are no longer known.
    in_order: u32,
}

impl<'l, 't> Loader<'l, 't> {
    /// Loads what the first pass has found, at the logical time `now`, which is not before [`Found::latest`].
    pub fn new(
        found: &Found,
        now: Timestamp,
        is_same_boot: bool,
        rules: Rules,
        target: Contents<'l, 't>,
    ) -> Loader<'l, 't> {
        let pending_shift = if is_same_boot {
            Seconds::new(0)
        } else {
            now.since(found.latest)
        };
        let target = Target {
            table: target.table,
            history: target.history,
            orders: target.orders,
            rules,
            now,
            pending_shift,
            left_out: 0,
            in_order: 0,
        };
        Loader {
            blocks: Blocks::new(),
            target,
        }
    }

    /// Takes in the next piece of the file.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.go_on(bytes, false);
    }

    /// Takes it that the file ends here, as it also must when it cannot be read any further. Tells how many entries found no room.
    pub fn finish(mut self) -> u32 {
        self.go_on(&[], true);
        let Target {
            now, pending_shift, ..
        } = self.target;
        self.target.orders.shift_pending(pending_shift, now);
        self.target.table.sort_rings();
        self.target.history.mark_saved(self.target.now);
        self.target.left_out
    }

    fn go_on(&mut self, mut bytes: &[u8], is_end: bool) {
        while let Some(block) = self.blocks.next(&mut bytes, is_end) {
            self.target.take_block(block);
        }
    }
}

impl Target<'_, '_> {
    fn take_block(&mut self, block: Block<'_>) {
        match block {
            Block::Entries(records) => records.for_each(|record| self.take(record)),
            Block::Counters(hours) => hours.for_each(|(hour, counts)| self.take_hour(hour, counts)),
            Block::Orders(orders) => self.take_orders(orders),
            _ => {}
        }
    }

    /// All orders at once. None lasts longer than it could, whatever the file says.
    fn take_orders(&mut self, mut orders: OrderRecords<'_>) {
        self.orders.clear_lists();
        while let Some(order) = orders.take() {
            match order {
                Order::Allow(allow) if allow.until > self.now => self.orders.put(Allow {
                    until: allow.until.min(self.now.after(ALLOWED_FOR_MAX)),
                    ..allow
                }),
                Order::Distrust(it) if self.now.since(it.at) <= self.rules.max_age => {
                    self.orders.put_distrust(Distrust {
                        at: it.at.min(self.now),
                        ..it
                    });
                }
                _ => {}
            }
        }
    }

    fn take(&mut self, record: Record) {
        match record {
            Record::Removed(fingerprint) => {
                if let Some(place) = self.table.find(fingerprint) {
                    self.table.remove(place);
                }
            }
            Record::Entry(fingerprint, entry) => {
                let entry = self.as_of_now(entry);
                let place = match self.table.find(fingerprint) {
                    _ if entry.class.is_pending() && self.is_expired(&entry) => None,
                    Some(place) => {
                        self.table.update(place, entry);
                        Some(place)
                    }
                    None => self.add(fingerprint, entry),
                };
                if let Some(place) = place {
                    self.table.mark_saved(place);
                }
            }
        }
    }

    fn as_of_now(&self, entry: Entry) -> Entry {
        let shift = if entry.class.is_pending() {
            self.pending_shift
        } else {
            Seconds::new(0)
        };
        Entry {
            since: entry.since.after(shift).min(self.now),
            last_seen: entry.last_seen.after(shift).min(self.now),
            ..entry
        }
    }

    fn is_expired(&self, entry: &Entry) -> bool {
        self.rules.is_expired(entry, self.now)
    }

    /// Takes in a new entry; nobody makes room for one that is expired.
    fn add(&mut self, fingerprint: Fingerprint, entry: Entry) -> Option<Place> {
        if self.victim(entry).is_some() {
            self.left_out += 1;
            if self.is_expired(&entry) {
                return None;
            }
            if self.in_order == 0 {
                self.table.sort_rings();
                self.in_order = self.table.capacity() / 16;
            }
            self.in_order -= 1;
            let victim = self.victim(entry)?;
            self.table.remove(victim);
        }
        Some(self.table.add(fingerprint, entry))
    }

    fn victim(&self, newcomer: Entry) -> Option<Place> {
        let is_expired = |entry: &Entry| self.is_expired(entry);
        self.table.victim(newcomer.class, is_expired)
    }

    fn take_hour(&mut self, hour_number: u32, counts: Counts) {
        if hour_number > hour(self.now) {
            return;
        }
        if let Some(hour) = self.history.hour_mut(hour_number) {
            *hour = counts;
        }
    }
}
