//! 35 days of a small site, on the real engine and the real snapshot, with power cuts, clocks that step, reloads and floods, held against a
//! naive model of the rules. Every choice comes from a seed, which a failure prints; `GREYLET_SIMULATION_SEEDS=7..=7` lives it again, and a
//! larger range more of them.

mod model;
#[allow(dead_code, reason = "others need more of it")]
#[path = "../postgrey/random.rs"]
mod random;
mod site;
mod traffic;

use std::ops::RangeInclusive;

use site::{Lived, Site};

fn live(seeds: RangeInclusive<u64>) -> Lived {
    let mut all = Lived::default();
    for seed in seeds {
        let lived = Site::new(seed).live();
        all.add(&lived.unwrap_or_else(|why| panic!("seed {seed}: {why}")));
    }
    println!("{all:?}");
    all
}

/// In two halves, for two processors.
fn live_half(seeds: RangeInclusive<u64>) {
    let Ok(chosen) = std::env::var("GREYLET_SIMULATION_SEEDS") else {
        assert_it_happened(live(seeds));
        return;
    };
    let (first, last) = chosen.split_once("..=").expect("FIRST..=LAST");
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let (first, last) = (number(first), number(last));
    let middle = first + (last - first) / 2;
    live(match *seeds.start() {
        1 => first..=middle,
        _ => middle + 1..=last,
    });
}

/// Otherwise nothing was tried.
fn assert_it_happened(lived: Lived) {
    let Lived {
        answers,
        deferred,
        first_passes,
        power_cuts,
        cut_saves,
        restarts,
        reloads,
        full_tables,
        clock_steps,
        left_to_data,
        deferred_at_data,
        honest_messages,
    } = lived;
    for count in [
        answers,
        deferred,
        first_passes,
        power_cuts,
        cut_saves,
        restarts,
        reloads,
        full_tables,
        clock_steps,
        left_to_data,
        deferred_at_data,
        honest_messages,
    ] {
        assert!(count > 20, "{lived:?}");
    }
}

#[test]
fn days_of_fifty_small_sites() {
    live_half(1..=50);
}

#[test]
fn days_of_fifty_more() {
    live_half(51..=100);
}
