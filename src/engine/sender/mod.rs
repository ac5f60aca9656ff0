//! The normal form of a sender, by which a retry or the next mail from it is known.

mod fold;
mod postgrey;

pub use fold::fold_sender;
pub use postgrey::normalise_sender;

use heapless::{Vec, VecView};

use crate::engine::limits::VALUE_BYTES_MAX;
use crate::engine::text::make_lower_case;

/// A mail address in a buffer of its own.
pub(super) type Address = Vec<u8, VALUE_BYTES_MAX>;

/// What does not fit is cut.
fn append(to: &mut VecView<u8>, bytes: &[u8]) {
    let room = to.capacity() - to.len();
    // Cannot fail: it is cut to the room there is.
    let _ = to.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// What does not fit is cut.
pub(super) fn append_lower_case(to: &mut VecView<u8>, bytes: &[u8]) {
    let start = to.len();
    append(to, bytes);
    make_lower_case(&mut to[start..]);
}
