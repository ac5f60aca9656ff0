//! How a snapshot's file grows. A save that is appended costs a page of flash or two, and a full one as much as the table; but what is appended is
//! read at each start, and old entries in it are dead weight. So saves are appended until they outweigh what the last full one has written.

use crate::engine::limits::APPENDED_BYTES_MIN;
use crate::engine::snapshot::{Extent, Found};

/// The size of a snapshot that is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// What the last full save has written.
    base_bytes: u64,
    /// All of it.
    bytes: u64,
}

impl Growth {
    /// Of a file that is whole; none if it has no end of a full save.
    pub fn of(found: &Found) -> Option<Growth> {
        let bytes = found.condition.bytes;
        found
            .base_bytes
            .map(|base_bytes| Growth { base_bytes, bytes })
    }

    /// After a full save.
    pub fn from_full(bytes: u64) -> Growth {
        Growth {
            base_bytes: bytes,
            bytes,
        }
    }

    /// What the next save should be.
    pub fn next_extent(self) -> Extent {
        let appended_bytes = self.bytes - self.base_bytes;
        if appended_bytes <= self.base_bytes.max(APPENDED_BYTES_MIN) {
            Extent::Batch
        } else {
            Extent::Full
        }
    }

    /// After a save that has written so much.
    pub fn after(self, extent: Extent, written_bytes: u64) -> Growth {
        match extent {
            Extent::Full => Growth::from_full(written_bytes),
            Extent::Batch => Growth {
                bytes: self.bytes + written_bytes,
                ..self
            },
        }
    }

    /// The length of the file.
    pub fn bytes(self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_may_weigh_as_much_as_the_base() {
        let base_bytes = 10 * APPENDED_BYTES_MIN;
        let mut growth = Growth::from_full(base_bytes);
        assert_eq!(growth.next_extent(), Extent::Batch);
        growth = growth.after(Extent::Batch, base_bytes);
        assert_eq!(
            (growth.next_extent(), growth.bytes()),
            (Extent::Batch, 2 * base_bytes)
        );
        growth = growth.after(Extent::Batch, 1);
        assert_eq!(growth.next_extent(), Extent::Full);
        growth = growth.after(Extent::Full, base_bytes + 500);
        assert_eq!(growth, Growth::from_full(base_bytes + 500));
    }

    #[test]
    fn a_small_table_is_not_written_anew_each_time() {
        let growth = Growth::from_full(100).after(Extent::Batch, APPENDED_BYTES_MIN);
        assert_eq!(growth.next_extent(), Extent::Batch);
        assert_eq!(growth.after(Extent::Batch, 1).next_extent(), Extent::Full);
    }
}
