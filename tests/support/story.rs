//! Stories for the engine: requests at times, and what Postfix must be told.

use greylet::engine::request::Request;
use greylet::engine::table::{Bucket, Slot, Table};
use greylet::engine::time::Timestamp;
use greylet::engine::triplet::FingerprintKey;
use greylet::engine::verdict::{Action, Verdict};
use greylet::engine::{Engine, Policy};

/// Times are counted from here.
pub(crate) const START: u64 = 1_700_000_000;
pub(crate) const HOUR: u64 = 3_600;
pub(crate) const DAY: u64 = 86_400;

/// What Postfix is told, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Pass,
    Header(u32),
    Wait(u32),
}
pub(crate) use Told::{Header, Pass, Wait};

pub(crate) fn told(verdict: Verdict<'_>) -> Told {
    match verdict.action {
        Action::Dunno => Pass,
        Action::PrependHeader { delayed } => Header(delayed.get()),
        Action::Defer { remaining } => Wait(remaining.get()),
    }
}

/// A request like those of the recorded cases.
pub(crate) fn mail() -> Request<'static> {
    Request {
        request: Some(b"smtpd_access_policy"),
        client_address: Some(b"192.0.2.1"),
        client_name: Some(b"mail.example.com"),
        sender: Some(b"a@s.example"),
        recipient: Some(b"b@r.example"),
        ..Request::default()
    }
}

/// Runs a story with an engine for `capacity` entries.
pub(crate) fn with_engine(capacity: u32, policy: Policy, story: impl FnOnce(&mut Engine<'_>)) {
    let mut slots = Box::new(heapless::Vec::<Slot, 4_096>::new());
    let mut buckets = [Bucket::EMPTY; 4_096];
    let table = Table::new(slots.as_mut_view(), &mut buckets, capacity);
    story(&mut Engine::new(
        policy,
        FingerprintKey::new([9; 16]),
        table,
    ));
}

/// Requests at times after the start, and what Postfix must be told.
pub(crate) fn story(policy: Policy, steps: &[(u64, Request<'_>, Told)]) {
    with_engine(1_024, policy, |engine| {
        for (index, (time, request, expected)) in steps.iter().enumerate() {
            let verdict = engine.decide(request, Timestamp::from_unix(START + time));
            assert_eq!(
                told(verdict),
                *expected,
                "step {index}, {time} s: {verdict:?}"
            );
        }
    });
}
