//! A gateway in simulated time: the engine, and whoever tries to deliver to it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use greylet::engine::access::{Access, Clients, Recipients};
use greylet::engine::limits::ENTRIES_DEFAULT;
use greylet::engine::request::Request;
use greylet::engine::table::{Bucket, Slot, Table};
use greylet::engine::time::Timestamp;
use greylet::engine::triplet::FingerprintKey;
use greylet::engine::verdict::Action;
use greylet::engine::{Engine, Policy};

use super::traffic::{Delivery, Mail};

/// Times are counted from here, in seconds since 1970.
const START: u64 = 1_795_392_000;

/// What became of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Accepted so many seconds after the first try.
    Accepted(u64),
    /// Given up.
    Lost,
}

/// What becomes of each mail at a gateway with this policy and the built-in lists; and how many entries its table has in the end.
pub(crate) fn receive(policy: Policy, mails: &[Mail<'_>]) -> (Vec<Outcome>, u32) {
    let mut slots = Box::new(heapless::Vec::<Slot, { ENTRIES_DEFAULT as usize }>::new());
    let mut buckets = vec![Bucket::EMPTY; ENTRIES_DEFAULT as usize];
    let table = Table::new(slots.as_mut_view(), &mut buckets, ENTRIES_DEFAULT);
    let mut engine = Engine::new(policy, FingerprintKey::new([0; 16]), table);
    *engine.access_mut() = built_in_lists();

    let mut deliveries: Vec<Delivery<'_>> = mails.iter().map(Mail::post).collect();
    let mut outcomes = vec![Outcome::Lost; mails.len()];
    let first_tries = mails.iter().enumerate();
    let mut tries: BinaryHeap<Reverse<(u64, usize)>> = first_tries
        .map(|(index, mail)| Reverse((mail.sent_s, index)))
        .collect();
    while let Some(Reverse((now_s, index))) = tries.pop() {
        let delivery = &mut deliveries[index];
        if is_deferred(&mut engine, delivery, now_s) {
            tries.extend(delivery.retry().map(|at_s| Reverse((at_s, index))));
        } else {
            outcomes[index] = Outcome::Accepted(now_s - mails[index].sent_s);
        }
    }
    (outcomes, engine.table().len())
}

fn is_deferred(engine: &mut Engine<'_>, delivery: &Delivery<'_>, now_s: u64) -> bool {
    let client_address = delivery.host.address.to_string();
    let request = Request {
        request: Some(b"smtpd_access_policy"),
        protocol_state: Some(b"RCPT"),
        client_address: Some(client_address.as_bytes()),
        client_name: Some(delivery.host.name.as_bytes()),
        sender: Some(delivery.sender.as_bytes()),
        recipient: Some(delivery.recipient.as_bytes()),
        ..Request::default()
    };
    let verdict = engine.decide(&request, Timestamp::from_unix(START + now_s));
    matches!(verdict.action, Action::Defer { .. })
}

/// Not those of this machine.
fn built_in_lists() -> Access {
    let clients = include_bytes!("../../../src/lists/whitelist_clients");
    let recipients = include_bytes!("../../../src/lists/whitelist_recipients");
    Access {
        clients: Clients::read([&clients[..]]).0,
        recipients: Recipients::read([&recipients[..]]).0,
        ..Access::default()
    }
}
