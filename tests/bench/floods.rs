//! Floods of spam in simulated time, on tables of several sizes: who is delayed, how long chains become, and what a decision takes.
//! It fails where somebody is delayed whom a flood must not delay.

use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

use greylet::engine::limits::{ENTRIES_DEFAULT, ENTRIES_MAX};
use greylet::engine::table::{Class, Entry, Table};
use greylet::engine::time::Timestamp;
use greylet::engine::triplet::Fingerprint;

use crate::siege::{Bots, Outcome, Passed, Siege};
use crate::simulated::with_gateway;

const CAPACITIES: [u32; 3] = [4_096, ENTRIES_DEFAULT, ENTRIES_MAX];

const HOUR: Siege = Siege {
    bots: Bots::Nameless,
    spam_a_second: 100,
    retried_percent: 0,
    seconds: 3_600,
    known_entries_before: None,
};

/// Ten million, all different, for the default size.
const LONG: Siege = Siege {
    seconds: 100_000,
    ..HOUR
};

/// Of mail servers, and whether the table is full of known entries.
const TOO_MANY_DOMAINS: [(u64, bool); 5] = [
    (64, true),
    (128, true),
    (320, true),
    (320, false),
    (1_600, false),
];

const FULL: &str = ", table full of known ones";

/// Look-ups in one long chain.
const LOOKUPS: u32 = 100;

/// Simulates, and gives the tables.
pub(crate) fn measure() -> String {
    let mut table = String::from(
        "| entries | spam at 100 a second | named newcomers | nameless newcomers | named, next mail | retried spam | correspondence | longest chain | decision, ns | slowest second, ns |\n\
         |--:|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for capacity in CAPACITIES {
        for (name, siege) in sieges(capacity) {
            if siege.seconds > HOUR.seconds && capacity != ENTRIES_DEFAULT {
                continue;
            }
            let outcome = besiege(&mut table, capacity, name, &siege);
            assert_all(outcome.named, capacity, name);
        }
        // How far the defence goes.
        for (domains, is_full) in TOO_MANY_DOMAINS {
            let siege = Siege {
                bots: Bots::Domains(domains),
                known_entries_before: is_full.then_some(capacity),
                ..HOUR
            };
            let name = format!(
                "an hour, {domains} domains{}",
                if is_full { FULL } else { "" }
            );
            besiege(&mut table, capacity, &name, &siege);
        }
    }
    table.push_str(
        "\n| entries, all in one chain | decision's look-up of one that is not there, us |\n|--:|--:|\n",
    );
    for capacity in CAPACITIES {
        let lookup_us = lookup_in_one_chain_us(capacity);
        // Cannot fail: a String takes everything.
        let _ = writeln!(table, "| {capacity} | {lookup_us:.0} |");
    }
    table
}

/// Those that must harm neither correspondents nor named newcomers.
fn sieges(capacity: u32) -> [(&'static str, Siege); 11] {
    let of = |bots| Siege { bots, ..HOUR };
    let lines = of(Bots::Lines);
    let full = |siege| Siege {
        known_entries_before: Some(capacity),
        ..siege
    };
    let retried = |siege| Siege {
        retried_percent: 20,
        ..siege
    };
    [
        ("an hour, no names", HOUR),
        ("an hour, lines", lines),
        ("an hour, no names, table full of known ones", full(HOUR)),
        ("an hour, lines, table full of known ones", full(lines)),
        ("an hour, lines, a fifth retries", retried(lines)),
        (
            "an hour, lines, a fifth retries, table full of known ones",
            full(retried(lines)),
        ),
        ("an hour, one mail server", of(Bots::OneMailServer)),
        (
            "an hour, one mail server, table full of known ones",
            full(of(Bots::OneMailServer)),
        ),
        (
            "an hour, names below evil.us, table full of known ones",
            full(of(Bots::Below("evil.us"))),
        ),
        (
            "an hour, 32 domains, table full of known ones",
            full(of(Bots::Domains(32))),
        ),
        ("10,000,000, no names", LONG),
    ]
}

fn assert_all(Passed { of, passed }: Passed, capacity: u32, name: &str) {
    assert!(
        of > 0 && passed == of,
        "{capacity} entries, {name}: {passed} of {of} passed"
    );
}

/// Correspondents are never harmed.
fn besiege(to: &mut String, capacity: u32, name: &str, siege: &Siege) -> Outcome {
    with_gateway(capacity, |gateway| {
        let mut longest_chain = 0;
        let outcome = siege.run(gateway, |gateway| {
            longest_chain = longest_chain.max(gateway.engine.table().longest_chain());
        });
        let decision_ns = gateway.deciding.as_nanos() / u128::from(gateway.decisions);
        let share = |Passed { of, passed }: Passed| format!("{passed} of {of}");
        // Cannot fail: a String takes everything.
        let _ = writeln!(
            to,
            "| {capacity} | {name} | {} | {} | {} | {} | {} | {longest_chain} | {decision_ns} | {} |",
            share(outcome.named),
            share(outcome.nameless),
            share(outcome.next),
            share(outcome.retried_spam),
            share(outcome.correspondence),
            gateway.slowest.as_nanos(),
        );
        assert_all(outcome.correspondence, capacity, name);
        outcome
    })
}

/// What only somebody with the key could bring about.
fn lookup_in_one_chain_us(capacity: u32) -> f64 {
    let mut memory = crate::simulated::memory();
    memory.clear();
    let mut buckets = vec![greylet::engine::table::Bucket::EMPTY; capacity as usize];
    let mut table = Table::new(&mut *memory, &mut buckets, capacity);
    let entry = Entry::new(Class::Plain, Timestamp::from_unix(1));
    for number in 0..capacity {
        table.insert(Fingerprint::from_bits(number.into()), entry, |_| false);
    }
    assert_eq!(table.longest_chain(), capacity);
    let start = Instant::now();
    for number in 0..LOOKUPS {
        let absent = Fingerprint::from_bits((capacity + number).into());
        assert!(black_box(table.find(black_box(absent))).is_none());
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(LOOKUPS)
}
