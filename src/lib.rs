//! greylet: a greylisting policy server for small Postfix mail gateways.
//!
//! | module | what it does | whom it uses |
//! |---|---|---|
//! | [`engine`] | decides: bytes to request to verdict to bytes; pure | nobody |
//! | [`lists`] | the files that lists are read from, and the built-in ones | `engine` |
//! | [`daemon`] | the shell round it: sockets, clock, signals, log | `engine`, `lists`, `error` |
//! | [`commands`] | a file or folder for each command: options to checked values, then the work | all |
//! | [`cli`] | every command and option, and their spelling | `help`, `error` |
//! | [`help`] | how `--help` is laid out | nobody |
//! | [`error`] | the one error that ends the program | nobody |
//!
//! `greylet.8` beside these is the manual page; a test holds it against `cli`.
//!
//! # Words
//!
//! A **triplet** is a client's identity, the sender and the recipient. The **identity** is the **organisation** of the client's verified
//! name, where that is evidence of a mail server, or else the client's network. What the table
//! keeps under a triplet's **fingerprint** is an **entry**: **pending** until it has passed (**named** if the client has
//! an organisation and that has not entered its share, otherwise **plain**), then **known**, and **proven** once it was used again a day later. A client whose triplets have passed often enough is on the
//! **auto-whitelist**. The engine's decision is a **verdict**; what Postfix is told is an **action**. An **order** is what the administrator
//! says for now, by `greylet allow` or `greylet forget`. An **instance** is Postfix's name for
//! one message transaction. The other words are those of RFC 6647, Postfix and Postgrey.

pub mod cli;
pub mod commands;
pub mod daemon;
pub mod engine;
pub mod error;
pub mod help;
pub mod lists;
