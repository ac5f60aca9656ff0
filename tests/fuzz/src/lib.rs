//! What must hold for any bytes whatever, one module for each kind of input that others write. `check` panics where it does not.

#![allow(missing_docs, reason = "the modules say it")]

pub mod dump;
pub mod lists;
pub mod log;
pub mod request;
pub mod snapshot;
