//! Floods of spam, on the engine and through the real binary: who is delayed by them, and who is not.
//!
//! Each overfills the table many times; `cargo bench --bench load -- floods` shows what larger ones do, and what it costs.

#[path = "../postgrey/random.rs"]
#[allow(dead_code)]
mod random;
mod served;
#[allow(dead_code)]
mod siege;
#[allow(dead_code)]
mod simulated;
#[path = "../support/mod.rs"]
mod support;

use greylet::engine::limits::ENTRIES_DEFAULT;
use greylet::engine::table::Class;

use crate::served::Served;
use crate::siege::{Bots, Outcome, Passed, Siege};
use crate::simulated::with_gateway;
use crate::support::say;

/// Small tables, which 120,000 triplets fill many times, and who floods them.
const SIEGES: [(u32, Bots); 2] = [(2_048, Bots::Lines), (16_384, Bots::Nameless)];

/// Rented hosts with good DNS; of domains 64 are too many, see limits.rs.
const NAMED_SIEGES: [(u32, Bots); 3] = [
    (2_048, Bots::OneMailServer),
    (16_384, Bots::Below("evil.us")),
    (16_384, Bots::Domains(50)),
];

/// As long as a chain may get by chance.
const CHAIN_MAX: u32 = 14;

fn siege(bots: Bots) -> Siege {
    Siege {
        bots,
        spam_a_second: 100,
        retried_percent: 0,
        seconds: 1_200,
        known_entries_before: None,
    }
}

/// All that the table holds has passed before.
fn on_full_table(capacity: u32, bots: Bots) -> Siege {
    Siege {
        known_entries_before: Some(capacity),
        ..siege(bots)
    }
}

/// No newcomer with a verified name is deferred twice, and no correspondent once.
fn assert_nobody_is_harmed(outcome: Outcome, what: &str) {
    say(&format!("{what}: {outcome:?}"));
    let all = |of: Passed| of.of > 0 && of.passed == of.of;
    assert!(all(outcome.named), "{what}: {outcome:?}");
    assert!(all(outcome.correspondence), "{what}: {outcome:?}");
    assert_eq!(outcome.spam.passed, 0, "{what}: {outcome:?}");
}

fn besiege(capacity: u32, siege: Siege) -> Outcome {
    let what = format!("{capacity} entries, {siege:?}");
    with_gateway(capacity, |gateway| {
        let mut longest_chain = 0;
        let outcome = siege.run(gateway, |gateway| {
            let table = gateway.engine.table();
            longest_chain = longest_chain.max(table.longest_chain());
        });
        assert_nobody_is_harmed(outcome, &what);
        let table = gateway.engine.table();
        assert_eq!(table.len(), capacity, "{what}: it was not overfilled");
        assert!(table.len_of(Class::Plain) > 0, "{what}");
        say(&format!("{what}: the longest chain had {longest_chain}"));
        assert!(longest_chain <= CHAIN_MAX, "{what}: {longest_chain}");
        outcome
    })
}

#[test]
fn one_shot_spam() {
    for (capacity, bots) in SIEGES {
        besiege(capacity, siege(bots));
    }
}

#[test]
fn one_shot_spam_on_a_table_full_of_what_has_passed() {
    for (capacity, bots) in SIEGES {
        besiege(capacity, on_full_table(capacity, bots));
    }
}

/// What one domain, or fifty, may enter under a name is less than its class keeps, however full the table is.
#[test]
fn one_shot_spam_from_mail_servers() {
    for (capacity, bots) in NAMED_SIEGES {
        besiege(capacity, on_full_table(capacity, bots));
    }
}

/// Whoever has as many domains as there are shares pushes out once what waits under a name in a table full of what has passed; with four times as
/// many, and some more, for as long as he likes. That still harms no correspondent.
#[test]
fn one_shot_spam_from_mail_servers_in_too_many_domains() {
    for (domains, loses_all) in [(80, false), (448, true)] {
        let siege = on_full_table(16_384, Bots::Domains(domains));
        let outcome = with_gateway(16_384, |gateway| siege.run(gateway, |_| {}));
        say(&format!("{siege:?}: {outcome:?}"));
        let Passed { of, passed } = outcome.named;
        assert!(passed < of, "{siege:?}: {outcome:?}");
        assert_eq!(passed == 0, loses_all, "{siege:?}: {outcome:?}");
        assert_eq!(outcome.correspondence.passed, outcome.correspondence.of);
    }
}

/// They pass, as anybody who retries does, and push out nobody who is proven.
#[test]
fn a_botnet_of_which_a_fifth_retries() {
    for (capacity, bots) in SIEGES {
        let siege = Siege {
            // So few that what waits in the table is there when it is retried.
            spam_a_second: u64::from(capacity) / 800,
            retried_percent: 20,
            seconds: 3_600,
            ..siege(bots)
        };
        let outcome = besiege(capacity, siege);
        assert!(outcome.retried_spam.passed > 0, "{outcome:?}");
    }
}

fn besiege_the_binary(capacity: u32, siege: Siege) -> Outcome {
    let mut served = Served::start(capacity);
    let outcome = siege.run(&mut served, |_| {});
    assert_nobody_is_harmed(outcome, &format!("the binary, {capacity}, {siege:?}"));
    outcome
}

/// The table that greylet has when nothing is said.
#[test]
fn through_the_binary() {
    let siege = Siege {
        retried_percent: 20,
        ..siege(Bots::Lines)
    };
    let outcome = besiege_the_binary(ENTRIES_DEFAULT, siege);
    assert!(outcome.retried_spam.passed > 0, "{outcome:?}");
}

#[test]
fn through_the_binary_with_a_table_full_of_what_has_passed() {
    for bots in [Bots::Nameless, Bots::OneMailServer] {
        let siege = Siege {
            seconds: 1_000,
            known_entries_before: Some(4_096),
            ..siege(bots)
        };
        besiege_the_binary(4_096, siege);
    }
}
