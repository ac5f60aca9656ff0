//! Attacks on the real binary over real sockets. After each one it lives, answers an honest client right, and holds no more memory
//! than it may; how much, and what took how long, is printed, and no time is asserted.
//!
//! | module | who attacks |
//! |---|---|
//! | [`oversize`] | who sends more than there can be to a request |
//! | [`garbage`] | who sends what is no request |
//! | [`slow`] | who sends a byte now and then, or half a request |
//! | [`deaf`] | who never reads his answers |
//! | [`leavers`] | who sends and leaves, or is gone without a word |
//! | [`crowd`] | who comes in numbers |
//! | [`pipeline`] | who asks ten thousand times at once |
//! | [`log_reader`] | who does not read the log |
//! | [`signals`] | who sends signals without end |
//! | [`clocks`] | whose time jumps |
//! | [`together`] | all of them |
//!
//! [`target`] is what they attack, and [`honest`] who must not notice.

mod clocks;
mod crowd;
mod deaf;
mod garbage;
mod honest;
mod leavers;
mod log_reader;
mod oversize;
mod pipeline;
#[path = "../postgrey/random.rs"]
#[allow(dead_code)]
mod random;
mod signals;
mod slow;
#[path = "../support/mod.rs"]
mod support;
mod target;
mod together;
