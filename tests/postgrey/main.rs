//! greylet beside the real Postgrey: both are asked the same, and must answer the same.
//!
//! Needs Debian's package of Postgrey, which need not be set up. Without it nothing is tested, unless `CI` or
//! `GREYLET_REQUIRE_POSTGREY` is set: then this fails. `GREYLET_POSTGREY_SEQUENCES` is the number of random sequences,
//! `GREYLET_POSTGREY_SEED` the only one to be asked; `GREYLET_POSTGREY_LISTS` is the number of random list files. Databases need Debian's
//! db5.3-util too (or `GREYLET_REQUIRE_DB_DUMP`); with `GREYLET_RECORD_DATABASES` the dumps in tests/cases are made anew.

mod comparison;
mod databases;
#[path = "../support/known_mails.rs"]
mod known_mails;
mod lists;
mod mail;
mod options;
mod patterns;
mod postgrey;
mod random;
mod sequence;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Instant;

use crate::comparison::{Answers, first_difference, reduced};
use crate::sequence::Sequence;
use crate::support::say;

const SEQUENCES: u64 = 64;

#[test]
fn random_sequences_beside_postgrey() {
    if postgrey::is_missing() {
        return;
    }
    let begin = Instant::now();
    let seeds = seeds();
    let mut kinds = BTreeMap::new();
    for seed in seeds.clone() {
        let Sequence { options, requests } = Sequence::random(seed);
        let count = |answers: &Answers| *kinds.entry(kind(answers)).or_insert(0) += 1;
        if let Some((index, answers)) = first_difference(&options, &requests, count) {
            let before = reduced(&options, requests[..=index].to_vec());
            let lines: Vec<String> = before.iter().map(ToString::to_string).collect();
            panic!(
                "GREYLET_POSTGREY_SEED={seed}, request {index}: {answers:#?}\noptions: {options:?}\nsent:\n{}",
                lines.join("\n")
            );
        }
    }
    let compared: u32 = kinds.values().sum();
    say(&format!(
        "{compared} answers of Postgrey and greylet compared ({kinds:?}), of {seeds:?}, in {:?}",
        begin.elapsed()
    ));
    if seeds.contains(&SEQUENCES) {
        let enough = |kind: &str| kinds.get(kind).is_some_and(|count| *count > compared / 40);
        assert!(
            ["DUNNO", "PREPEND", "deferred"]
                .iter()
                .all(|kind| enough(kind))
        );
    }
}

fn kind(answers: &Answers) -> &'static str {
    match answers.greylet.split(' ').next() {
        Some("DUNNO") => "DUNNO",
        Some("PREPEND") => "PREPEND",
        _ => "deferred",
    }
}

fn seeds() -> RangeInclusive<u64> {
    match number_in("GREYLET_POSTGREY_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number_in("GREYLET_POSTGREY_SEQUENCES").unwrap_or(SEQUENCES),
    }
}

/// The number in an environment variable, if it is set.
pub(crate) fn number_in(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    let number = value.parse();
    Some(number.unwrap_or_else(|error| panic!("{variable}={value}: {error}")))
}
