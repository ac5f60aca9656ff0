//! What is remembered, as bytes and back: the format of the snapshot, version 1. Bytes in, bytes out; files are the daemon's.
//!
//! A snapshot is a sequence of blocks. A full save makes a new one: head, orders, entries, counters, moment, and the head once more. Later
//! saves append batches to it, of what has changed: orders, entries, counters, moment. Numbers are little-endian, so the bytes are the same on
//! every target. A *varint* is a number of up to 32 bits in 1 to 5 bytes of 7 bits, the lowest first, all but the last with their highest bit set (LEB128).
//!
//! # Block
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `fa 67 72 6c` |
//! | 4 | checksum: the lower half of SipHash-2-4, with the key `greylet snapshot`, of all that follows |
//! | 1 | kind |
//! | 1 | 0 |
//! | 2 | n, the length of the content, at most 4,084 |
//! | n | content |
//!
//! A block whose checksum holds is used as a whole; anything else is skipped, byte by byte, until the next one. What a later block says
//! counts. A kind that is not known is skipped too. Content behind what is described here belongs to a later version of greylet, and is not looked at.
//!
//! # Kinds
//!
//! 1, **head**. First and last block of a full save, so that damage to one does not cost everything:
//!
//! | bytes | what |
//! |---|---|
//! | 2 | version of the format, 1; a head begins like this in all of them |
//! | 16 | the key of the fingerprints |
//!
//! 2, **moment**. When a save began, in every save; a save that has none was cut short, and what there is of it counts nevertheless:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | logical time, in seconds since 1970 |
//! | 8 | wall clock, in seconds since 1970 |
//! | 8 | CLOCK_BOOTTIME, in seconds |
//! | 16 | the boot's id |
//! | 4 | logical time at which Postfix asked about DATA last, in seconds since 1970; 0 if it never did |
//! | 8 | fingerprint of the smtpd that did |
//!
//! 3, **entries**:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | logical time from which ages are counted back, in seconds since 1970: when the save began |
//! | .. | records, to the end |
//!
//! A record is a fingerprint (8 bytes), and a varint: 16 times the age of the last use, plus 8 if there is a count, plus the class (0 plain, 1 named,
//! 2 known, 3 wrote to, 4 proven; 5 and 6 are known and proven with times in seconds; 7: the entry was removed on purpose, and the record ends here). Then two varints: the time from `since` to the last use, and the count, if it is not 0.
//! The two times are in the units of the class, of which the points in time are rounded down, so that whatever is saved and loaded again and again stays as it is:
//!
//! | class | last use | `since` |
//! |---|---|---|
//! | plain, named | seconds | seconds |
//! | known | hours | hours |
//! | wrote to, proven | hours | days |
//! | known and proven, as 5 and 6 | seconds | seconds |
//!
//! That is 11 bytes for most entries, and 13 for pending ones. Seconds are written of those that have passed while clients are forgotten, for then it
//! matters what was before and after.
//!
//! 4, **counters**:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | an hour, counted from 1970 |
//! | .. | hours, to the end |
//!
//! Each is a varint, hours after that one; a varint whose bits, from the lowest, say which counts of [`Outcome`](crate::engine::history::Outcome) are not 0; and these counts as varints.
//!
//! 5, **orders**: all that the administrator has ordered and is not over, in place of those of an earlier block; in a full save if there are any, in a batch
//! if they have changed, or if it has pending entries and clients were forgotten. Records to the end, each of 17 bytes:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | 1: somebody's mail is let through; 2: mail of a network is; 3: a client was forgotten; others are not looked at |
//! | 8 | fingerprint |
//! | 4 | logical time, in seconds since 1970: until when it is let through; when it was forgotten |
//! | 4 | for 2: length of the network's prefix; for 3: when the client was forgotten, as its pending entries have it, which keep their age over a boot; otherwise 0 |
//!
//! # Time
//!
//! Times are logical. Loading expires nothing that has passed, and puts nothing into the future. A pending entry from another boot keeps the age that it had
//! at the last moment; one whose retry window is over is left out.

mod block;
mod decoder;
mod encoder;
mod record;

pub use block::{Blocks, Condition};
pub use decoder::{Block, Found, Hours, Loader, OrderRecords, Survey, Unusable};
pub use encoder::{Contents, Encoder, Extent, Save, Step};
pub use record::{Record, Records};

use crate::engine::time::Timestamp;
use crate::engine::triplet::Fingerprint;

/// The version of the format that is written, and the only one that is read.
pub const VERSION: u16 = 1;

/// What a record of an order begins with.
const ALLOW: u8 = 1;
const ALLOW_NETWORK: u8 = 2;
const DISTRUST: u8 = 3;

/// When a save began, by all clocks, and what else there is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The daemon's logical time.
    pub logical: Timestamp,
    /// The wall clock, in seconds since 1970.
    pub wall_unix_seconds: u64,
    /// CLOCK_BOOTTIME.
    pub boot_seconds: u64,
    /// The kernel's name for this boot.
    pub boot_id: [u8; 16],
    /// Which smtpd asked about DATA last, and when, by the logical time.
    pub data_asked: Option<(Fingerprint, Timestamp)>,
}
