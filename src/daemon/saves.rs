//! What has become of the snapshot since the start, for those who ask how greylet does.

use std::io;

use crate::daemon::store::Written;
use crate::engine::snapshot::Found;
use crate::engine::time::Timestamp;

/// See the [module](self).
#[derive(Clone, Copy, Default)]
pub(super) struct Saves {
    /// The last one, by this run or one before; none if that is not known.
    pub(super) last: Option<Timestamp>,
    /// The size of the snapshot; none without one.
    pub(super) file_bytes: Option<u64>,
    /// What saves have written.
    pub(super) written_bytes: u64,
    /// Saves that were done.
    pub(super) done: u64,
    /// Saves that have failed.
    pub(super) failed: u64,
}

impl Saves {
    /// Of a start with this snapshot.
    pub(super) fn since(found: Option<&Found>) -> Saves {
        let moment = found.and_then(|found| found.moment.as_ref());
        Saves {
            last: moment.map(|moment| moment.logical),
            file_bytes: found.map(|found| found.condition.bytes),
            ..Saves::default()
        }
    }

    /// After one more, begun at a time.
    pub(super) fn after(self, outcome: &io::Result<Written>, begun: Timestamp) -> Saves {
        match outcome {
            Ok(written) => Saves {
                last: Some(begun),
                file_bytes: Some(written.file_bytes),
                written_bytes: self.written_bytes + written.bytes,
                done: self.done + 1,
                ..self
            },
            Err(_) => Saves {
                failed: self.failed + 1,
                ..self
            },
        }
    }
}
