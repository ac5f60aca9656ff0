//! Entries and numbers as bytes.

use heapless::VecView;

use crate::engine::snapshot::block::put;
use crate::engine::table::{Class, Entry};
use crate::engine::time::{Seconds, Timestamp};
use crate::engine::triplet::Fingerprint;

/// Longest record: a fingerprint and three varints.
pub(super) const RECORD_BYTES_MAX: usize = 8 + 3 * VARINT_BYTES_MAX;
pub(super) const VARINT_BYTES_MAX: usize = 5;

const HAS_COUNT: u32 = 8;
const KNOWN_IN_SECONDS: u32 = 5;
const PROVEN_IN_SECONDS: u32 = 6;
const REMOVED: u32 = 7;
/// Most that a varint has room for beside the class.
const AGE_MAX: u32 = u32::MAX / 16;

/// What a snapshot says of a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// This entry is there.
    Entry(Fingerprint, Entry),
    /// None is there any more, on purpose.
    Removed(Fingerprint),
}

/// Units of the last use and of `since`, in seconds, by the class as it is written.
const fn units(code: u32) -> (u32, u32) {
    const KNOWN: u32 = Class::Known as u32;
    const WROTE_TO: u32 = Class::WroteTo as u32;
    const PROVEN: u32 = Class::Proven as u32;
    match code {
        KNOWN => (Seconds::HOUR.get(), Seconds::HOUR.get()),
        WROTE_TO | PROVEN => (Seconds::HOUR.get(), Seconds::DAY.get()),
        _ => (1, 1),
    }
}

/// Appends an entry, that of one that has passed with its times `in_seconds` if need be; what is later than `base` is taken to be of then.
pub(super) fn put_entry(
    to: &mut VecView<u8>,
    fingerprint: Fingerprint,
    entry: Entry,
    base: Timestamp,
    in_seconds: bool,
) {
    let code = match entry.class {
        Class::Known if in_seconds => KNOWN_IN_SECONDS,
        Class::Proven if in_seconds => PROVEN_IN_SECONDS,
        class => class as u32,
    };
    let (used_unit, since_unit) = units(code);
    let used = entry.last_seen.min(base).unix();
    let age = (base.unix() / used_unit - used / used_unit).min(AGE_MAX);
    let before = (used / since_unit).saturating_sub(entry.since.unix() / since_unit);
    let has_count = if entry.count > 0 { HAS_COUNT } else { 0 };
    put(to, &fingerprint.bits().to_le_bytes());
    put_varint(to, age * 16 + has_count + code);
    put_varint(to, before);
    if entry.count > 0 {
        put_varint(to, entry.count.into());
    }
}

/// Appends that an entry was removed.
pub(super) fn put_removed(to: &mut VecView<u8>, fingerprint: Fingerprint) {
    put(to, &fingerprint.bits().to_le_bytes());
    put_varint(to, REMOVED);
}

/// The records of a block.
#[derive(Clone, Debug)]
pub struct Records<'b> {
    base: Timestamp,
    bytes: &'b [u8],
}

impl<'b> Records<'b> {
    pub(super) fn new(mut content: &'b [u8]) -> Option<Records<'b>> {
        let base = Timestamp::from_unix(u32::from_le_bytes(take(&mut content)?).into());
        Some(Records {
            base,
            bytes: content,
        })
    }

    /// When the save began that the block is of.
    pub fn base(&self) -> Timestamp {
        self.base
    }
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let fingerprint = Fingerprint::from_bits(u64::from_le_bytes(take(&mut self.bytes)?));
        let first = take_varint(&mut self.bytes)?;
        if first % HAS_COUNT == REMOVED {
            return Some(Record::Removed(fingerprint));
        }
        let code = first % HAS_COUNT;
        let class = match code {
            KNOWN_IN_SECONDS => Class::Known,
            PROVEN_IN_SECONDS => Class::Proven,
            code => *Class::ALL.get(code as usize)?,
        };
        let (used_unit, since_unit) = units(code);
        let used = (self.base.unix() / used_unit).saturating_sub(first / 16) * used_unit;
        let before = take_varint(&mut self.bytes)?;
        let since = (used / since_unit).saturating_sub(before) * since_unit;
        let count = if first & HAS_COUNT == 0 {
            0
        } else {
            u16::try_from(take_varint(&mut self.bytes)?).unwrap_or(u16::MAX)
        };
        let entry = Entry {
            since: Timestamp::from_unix(since.into()),
            last_seen: Timestamp::from_unix(used.into()),
            count,
            class,
        };
        Some(Record::Entry(fingerprint, entry))
    }
}

/// Takes bytes off the front.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

pub(super) fn put_varint(to: &mut VecView<u8>, mut value: u32) {
    while value >= 0x80 {
        put(to, &[value as u8 | 0x80]);
        value >>= 7;
    }
    put(to, &[value as u8]);
}

/// Takes a varint off the front; `None` if it has no end, or more than 32 bits.
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let [byte] = take(bytes)?;
        let bits = u32::from(byte & 0x7f);
        value |= bits << shift;
        if byte < 0x80 {
            return (value >> shift == bits).then_some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints() {
        for (value, bytes) in [
            (0, &[0][..]),
            (0x7f, &[0x7f]),
            (0x80, &[0x80, 0x01]),
            (0x3fff, &[0xff, 0x7f]),
            (0x4000, &[0x80, 0x80, 0x01]),
            (u32::MAX, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut written = heapless::Vec::<u8, VARINT_BYTES_MAX>::new();
            put_varint(&mut written, value);
            assert_eq!(written, bytes);
            assert_eq!(take_varint(&mut &bytes[..]), Some(value));
        }
        for bytes in [
            &[][..],
            &[0x80],
            &[0xff, 0xff, 0xff, 0xff, 0x1f],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
        ] {
            assert_eq!(take_varint(&mut &bytes[..]), None, "{bytes:?}");
        }
    }
}
