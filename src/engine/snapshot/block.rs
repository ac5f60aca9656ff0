//! Blocks: made in a buffer, and found again in bytes that may be damaged.

use std::hash::Hasher;

use heapless::{Vec, VecView};
use siphasher::sip::SipHasher24;

use crate::engine::limits::BLOCK_BYTES_MAX;
use crate::engine::snapshot::decoder::Block;

const MAGIC: [u8; 4] = [0xfa, b'g', b'r', b'l'];
const CHECKSUM_KEY: [u8; 16] = *b"greylet snapshot";
const HEADER_BYTES: usize = 12;

/// What a block contains.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Kind {
    Head = 1,
    Moment = 2,
    Entries = 3,
    Counters = 4,
    Orders = 5,
}

/// Begins a block in an empty buffer; the content is then appended.
pub(super) fn begin(kind: Kind, block: &mut VecView<u8>) {
    assert!(block.is_empty() && block.capacity() >= BLOCK_BYTES_MAX);
    put(block, &MAGIC);
    put(block, &[0, 0, 0, 0, kind as u8, 0, 0, 0]);
}

/// Appends bytes of content, for which there must be room.
pub(super) fn put(block: &mut VecView<u8>, bytes: &[u8]) {
    let fits = block.extend_from_slice(bytes).is_ok();
    debug_assert!(fits);
}

/// Bytes of content for which there is room.
pub(super) fn room(block: &VecView<u8>) -> usize {
    BLOCK_BYTES_MAX - block.len()
}

/// Makes a block whole.
pub(super) fn seal(block: &mut VecView<u8>) {
    let length = (block.len() - HEADER_BYTES) as u16;
    block[10..12].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(&block[8..]);
    block[4..8].copy_from_slice(&checksum);
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut hash = SipHasher24::new_with_key(&CHECKSUM_KEY);
    hash.write(bytes);
    (hash.finish() as u32).to_le_bytes()
}

/// What bytes begin with.
enum Beginning {
    /// A block of that many bytes.
    Block(usize),
    /// What may become a block.
    Unfinished,
    /// Something else.
    Else,
}

fn beginning(bytes: &[u8]) -> Beginning {
    let known = bytes.len().min(MAGIC.len());
    if bytes[..known] != MAGIC[..known] {
        return Beginning::Else;
    }
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Beginning::Unfinished;
    };
    let length = HEADER_BYTES + usize::from(u16::from_le_bytes([header[10], header[11]]));
    if length > BLOCK_BYTES_MAX {
        return Beginning::Else;
    }
    match bytes.get(8..length) {
        None => Beginning::Unfinished,
        Some(checked) if checksum(checked) == header[4..8] => Beginning::Block(length),
        Some(_) => Beginning::Else,
    }
}

/// What state a file is in, as far as it has been looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Blocks that are whole.
    pub blocks: u32,
    /// How often a block was found elsewhere than at the end of the one before: each time, something was damaged.
    pub gaps: u32,
    /// Where in the file the first gap begins.
    pub first_gap: Option<u64>,
    /// Where the last block ends. More can be appended there; what the file has behind it was cut short.
    pub whole_bytes: u64,
    /// Bytes that have been looked at; at the end of the file, its length.
    pub bytes: u64,
}

impl Condition {
    fn take_note(&mut self, block_bytes: usize) {
        if self.bytes != self.whole_bytes {
            self.gaps += 1;
            self.first_gap = self.first_gap.or(Some(self.whole_bytes));
        }
        self.blocks += 1;
        self.bytes += block_bytes as u64;
        self.whole_bytes = self.bytes;
    }
}

/// Finds the blocks in a snapshot that is handed over piece by piece, of any size; keeps no more than one block of it.
#[derive(Default)]
pub struct Blocks {
    buffer: Vec<u8, BLOCK_BYTES_MAX>,
    /// Bytes of the buffer that are done with.
    done: usize,
    condition: Condition,
}

impl Blocks {
    /// At the beginning of a file.
    pub fn new() -> Blocks {
        Blocks::default()
    }

    /// The next block. Takes what it needs of `bytes`; `None` when it needs more, or, if this `is_end` of the file, at the end.
    pub fn next(&mut self, bytes: &mut &[u8], is_end: bool) -> Option<Block<'_>> {
        loop {
            match beginning(&self.buffer[self.done..]) {
                Beginning::Block(length) => {
                    let from = self.done;
                    self.done += length;
                    self.condition.take_note(length);
                    let block = &self.buffer[from..from + length];
                    return Some(Block::new(block[8], &block[HEADER_BYTES..]));
                }
                Beginning::Unfinished if self.refill(bytes) => {}
                Beginning::Unfinished if !is_end || self.done == self.buffer.len() => return None,
                Beginning::Unfinished | Beginning::Else => self.skip(),
            }
        }
    }

    /// The state of the file so far.
    pub fn condition(&self) -> Condition {
        self.condition
    }

    /// Fills the buffer up; false if there is nothing to fill it with.
    fn refill(&mut self, bytes: &mut &[u8]) -> bool {
        if bytes.is_empty() {
            return false;
        }
        let left = self.buffer.len() - self.done;
        self.buffer.copy_within(self.done.., 0);
        self.buffer.truncate(left);
        self.done = 0;
        let (piece, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES_MAX - left));
        put(&mut self.buffer, piece);
        *bytes = rest;
        true
    }

    /// Goes on to where the next block may begin.
    fn skip(&mut self) {
        let rest = &self.buffer[self.done + 1..];
        let next = rest.iter().position(|&byte| byte == MAGIC[0]);
        let skipped = 1 + next.unwrap_or(rest.len());
        self.done += skipped;
        self.condition.bytes += skipped as u64;
    }
}
