//! The engine as a gateway, in simulated time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use greylet::engine::request::Request;
use greylet::engine::table::{Bucket, Slot, Table};
use greylet::engine::time::Timestamp;
use greylet::engine::triplet::FingerprintKey;
use greylet::engine::verdict::Action;
use greylet::engine::{Engine, Policy};

use crate::siege::{Gateway, Mail};

/// Most entries of a table here.
const CAPACITY_MAX: usize = 262_144;

/// More than a stack holds. One at a time has it.
static SLOTS: Mutex<heapless::Vec<Slot, CAPACITY_MAX>> = Mutex::new(heapless::Vec::new());

/// See the [module](self).
pub(crate) struct Simulated<'a> {
    pub(crate) engine: Engine<'a>,
    pub(crate) decisions: u64,
    /// How long all of them took.
    pub(crate) deciding: Duration,
    /// How long one took on average in the slowest batch of a hundred or more.
    pub(crate) slowest: Duration,
}

/// Room for the slots of a table.
pub(crate) fn memory() -> MutexGuard<'static, heapless::Vec<Slot, CAPACITY_MAX>> {
    SLOTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs something with an engine for so many entries.
pub(crate) fn with_gateway<T>(capacity: u32, run: impl FnOnce(&mut Simulated<'_>) -> T) -> T {
    let mut slots = memory();
    slots.clear();
    let mut buckets = vec![Bucket::EMPTY; capacity as usize];
    let table = Table::new(slots.as_mut_view(), &mut buckets, capacity);
    run(&mut Simulated {
        engine: Engine::new(Policy::default(), FingerprintKey::new([5; 16]), table),
        decisions: 0,
        deciding: Duration::ZERO,
        slowest: Duration::ZERO,
    })
}

impl Gateway for Simulated<'_> {
    fn ask(&mut self, mails: &[Mail], time: u64) -> Vec<bool> {
        let now = Timestamp::from_unix(time);
        let mut passed = Vec::with_capacity(mails.len());
        let start = Instant::now();
        for mail in mails {
            let request = Request {
                request: Some(b"smtpd_access_policy"),
                protocol_state: Some(b"RCPT"),
                client_address: Some(mail.client_address.as_bytes()),
                client_name: Some(mail.client_name.as_bytes()),
                sender: Some(mail.sender.as_bytes()),
                recipient: Some(mail.recipient.as_bytes()),
                ..Request::default()
            };
            let action = self.engine.decide(&request, now).action;
            passed.push(!matches!(action, Action::Defer { .. }));
        }
        let elapsed = start.elapsed();
        self.decisions += mails.len() as u64;
        self.deciding += elapsed;
        if mails.len() >= 100 {
            self.slowest = self.slowest.max(elapsed / mails.len() as u32);
        }
        passed
    }
}
