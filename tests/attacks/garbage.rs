//! What is no request at all, and what was one before it was damaged.

use std::io::Write;
use std::net::Shutdown;

use crate::random::Random;
use crate::support::request;
use crate::target::{Doors, Target, read_to_end};

/// A connection with random bytes. It ends without an answer, but for what happens to be a blank line.
pub(crate) fn send_garbage(doors: &Doors, random: &mut Random, bytes: usize) {
    let garbage: Vec<u8> = (0..bytes).map(|_| random.next() as u8).collect();
    let rest = send(doors, &garbage);
    let rest = String::from_utf8(rest).expect("text");
    assert_eq!(rest.replace("action=DUNNO\n\n", ""), "");
}

/// A request in which some bytes are others. Each blank line of it may end a request, and each request has one answer.
pub(crate) fn send_damaged(doors: &Doors, random: &mut Random) {
    let mut bytes = request(&[("sender", Some(&random.word("abcxyz", 1..=30)))]).into_bytes();
    for _ in 0..random.within(1..=4) {
        let place = random.within(0..=bytes.len() as u64 - 1) as usize;
        bytes[place] = random.pick(b"\0\n\r=\xff\x80a ");
    }
    let answers = String::from_utf8(send(doors, &bytes)).expect("text");
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    let blank_lines = lines.filter(|line| matches!(line, [b'\n'] | [b'\r', b'\n']));
    let blank_lines = blank_lines.count();
    let sent = bytes.escape_ascii();
    assert!(
        answers.matches("\n\n").count() <= blank_lines,
        "{sent}: {answers}"
    );
    for answer in answers.split_inclusive("\n\n") {
        let is_known = answer == "action=DUNNO\n\n"
            || answer.starts_with("action=DEFER_IF_PERMIT Greylisted, ");
        assert!(is_known && answer.ends_with("\n\n"), "{sent}: {answers}");
    }
}

fn send(doors: &Doors, bytes: &[u8]) -> Vec<u8> {
    let mut stream = doors.tcp();
    // It may be closed before all is taken.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    read_to_end(&mut stream)
}

#[test]
fn binary_garbage() {
    let mut target = Target::start("garbage", &["--quiet"]);
    let mut random = Random::new(8);
    for bytes in (1..=200).chain([100_000, 1_000_000]) {
        send_garbage(&target.doors, &mut random, bytes);
    }
    target.assert_unharmed("binary garbage", 100);
    target.stop();
}

#[test]
fn damaged_requests() {
    let mut target = Target::start("damaged", &["--quiet"]);
    let mut random = Random::new(9);
    for _ in 0..500 {
        send_damaged(&target.doors, &mut random);
    }
    target.assert_unharmed("500 damaged requests", 300);
    target.stop();
}

/// Neither what precedes a NUL nor what follows it is taken for the value.
#[test]
fn a_nul_wherever_it_is() {
    let mut target = Target::start("nul", &["--quiet"]);
    let whole = request(&[]).into_bytes();
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes.insert(place, 0);
        assert_eq!(send(&target.doors, &bytes), b"", "at {place}");
    }
    target.assert_unharmed("a NUL at every place of a request", 100);
    target.stop();
}
