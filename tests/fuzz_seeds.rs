//! What tests/fuzz looks for in hours, on stable and in seconds: recorded cases and what random changes make of them. A failure names the seed
//! that brings it about; `GREYLET_FUZZ_SEED` starts from another one than the usual, and `GREYLET_FUZZ_INPUTS` sets how many inputs are made.

#[allow(dead_code, unreachable_pub)]
#[path = "fuzz/src/lib.rs"]
mod targets;

#[expect(dead_code, reason = "this needs only a part of it")]
#[path = "postgrey/random.rs"]
mod random;

#[path = "support/cases.rs"]
mod cases;

use std::panic::catch_unwind;

use random::Random;

const SEED: u64 = 20_261_127;

/// Longest input, in bytes.
const INPUT_BYTES_MAX: usize = 16_384;

/// Bytes that mean something to one reader or another.
const TOKENS: [&[u8]; 24] = [
    b"\n",
    b"\n\n",
    b"\r\n",
    b"=",
    b" ",
    b"/",
    b".",
    b":",
    b"@",
    b"\0",
    b"\xff",
    b"%",
    b"+",
    b"-",
    b"\"",
    b"\\",
    b"[",
    b"]",
    b"unknown",
    b"999999999999999999999",
    b"::ffff:192.0.2.1",
    b"\xfagrl",
    b"\x7f\x7f",
    b"\xff\xff\xff\xff\x0f",
];

/// Changes an input in a few places, or puts a part of another one into it.
fn mutate(input: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    for _ in 0..random.within(1..=6) {
        let at = random.within(0..=input.len() as u64) as usize;
        let end = (at + random.within(0..=20) as usize).min(input.len());
        match random.within(0..=6) {
            0 => drop(input.drain(at..end)),
            1 => {
                let token = random.pick(&TOKENS);
                input.splice(at..at, token.iter().copied());
            }
            2 => input
                .splice(at..end, random.pick(&TOKENS).iter().copied())
                .for_each(drop),
            3 if at < input.len() => input[at] ^= 1 << random.within(0..=7),
            4 if at < input.len() => input[at] = random.next() as u8,
            5 => {
                let repeated = input[at..end].repeat(random.within(1..=40) as usize);
                input.splice(at..at, repeated);
            }
            _ => {
                let other = &others[random.within(0..=others.len() as u64 - 1) as usize];
                let from = random.within(0..=other.len() as u64) as usize;
                let to = (from + random.within(0..=400) as usize).min(other.len());
                input.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
    input.truncate(INPUT_BYTES_MAX);
}

fn number(variable: &str, otherwise: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => otherwise,
    }
}

/// Has a target look at every case, and at inputs made of them.
fn run(target: &str, inputs: u64, check: fn(&[u8])) {
    let cases = cases::of_target(target);
    assert!(!cases.is_empty());
    for (index, case) in cases.iter().enumerate() {
        if catch_unwind(|| check(case)).is_err() {
            panic!("{target}: case {index} fails");
        }
    }
    let first = number("GREYLET_FUZZ_SEED", SEED);
    for seed in first..first + number("GREYLET_FUZZ_INPUTS", inputs) {
        let mut random = Random::new(seed);
        let mut input = random.pick(&cases);
        mutate(&mut input, &cases, &mut random);
        if catch_unwind(|| check(&input)).is_err() {
            panic!(
                "{target}: GREYLET_FUZZ_SEED={seed} GREYLET_FUZZ_INPUTS=1 brings it about: {}",
                input.escape_ascii()
            );
        }
    }
}

#[test]
fn requests() {
    run("request", 1_000, targets::request::check);
}

#[test]
fn snapshots() {
    run("snapshot", 300, targets::snapshot::check);
}

#[test]
fn lists() {
    run("lists", 1_000, targets::lists::check);
}

#[test]
fn dumps() {
    run("dump", 2_000, targets::dump::check);
}

#[test]
fn logs() {
    run("log", 1_000, targets::log::check);
}

/// Writes what cargo-fuzz starts from, a folder for each target, into the folder that `GREYLET_FUZZ_CORPUS` names.
#[test]
fn corpus() {
    let Ok(folder) = std::env::var("GREYLET_FUZZ_CORPUS") else {
        return;
    };
    for target in ["request", "snapshot", "lists", "dump", "log"] {
        let folder = std::path::Path::new(&folder).join(target);
        std::fs::create_dir_all(&folder).expect("a folder");
        for (index, case) in cases::of_target(target).iter().enumerate() {
            std::fs::write(folder.join(format!("case-{index}")), case).expect("there is room");
        }
    }
}
