//! The list files: those that Debian's Postgrey installs, and small random ones. Each line is asked about clients and recipients that it
//! matches or just misses, and greylet must pass and defer the same as Postgrey.
//!
//! Not asked is what differs on purpose: IPv4-mapped addresses, and IPv6 prefixes that hold IPv4 addresses for Postgrey.

use std::fs;

use greylet::engine::access::{Clients, Findings, Recipients};

use crate::comparison::Pair;
use crate::number_in;
use crate::patterns::{
    Subject, clients, pattern, random_client_line, random_recipient_line, recipients,
};
use crate::postgrey;
use crate::random::Random;
use crate::sequence::Request;
use crate::support::{Scratch, say};

const DEBIANS_CLIENTS: &str = "/etc/postgrey/whitelist_clients";
const DEBIANS_RECIPIENTS: &str = "/etc/postgrey/whitelist_recipients";
const RANDOM_LISTS: u64 = 40;

/// A kind of list.
struct Kind {
    option: &'static str,
    line: fn(&mut Random) -> String,
    subjects: fn(&str, &mut Random) -> Vec<Subject>,
}

const CLIENTS: Kind = Kind {
    option: "--whitelist-clients",
    line: random_client_line,
    subjects: clients,
};

const RECIPIENTS: Kind = Kind {
    option: "--whitelist-recipients",
    line: random_recipient_line,
    subjects: recipients,
};

/// How often both have said the same.
#[derive(Default)]
struct Tally {
    passed: u32,
    deferred: u32,
}

#[test]
fn debians_lists_beside_postgrey() {
    if postgrey::is_missing() {
        return;
    }
    let random = &mut Random::new(1);
    let mut subjects = Vec::new();
    for line in lines(DEBIANS_CLIENTS)
        .iter()
        .filter_map(|line| pattern(line))
    {
        subjects.extend(clients(line, random));
    }
    for line in lines(DEBIANS_RECIPIENTS)
        .iter()
        .filter_map(|line| pattern(line))
    {
        subjects.extend(recipients(line, random));
    }
    let files = [
        format!("--whitelist-clients={DEBIANS_CLIENTS}"),
        format!("--whitelist-recipients={DEBIANS_RECIPIENTS}"),
    ];
    let mut tally = Tally::default();
    tally.compare(&files, &subjects, "Debian's lists");
    tally.report("Debian's lists", 500);
}

/// Whoever comes from Postgrey begins without a complaint.
#[test]
fn nothing_is_said_of_debians_lists() {
    if postgrey::is_missing() {
        return;
    }
    let (clients, recipients) = [DEBIANS_CLIENTS, DEBIANS_RECIPIENTS].map(bytes).into();
    let (clients, said_of_clients) = Clients::read([&clients[..]]);
    let (recipients, said_of_recipients) = Recipients::read([&recipients[..]]);
    assert_eq!(said_of_clients, Findings::default());
    assert_eq!(said_of_recipients, Findings::default());
    assert!(clients.len() > 50 && recipients.len() >= 2);
}

#[test]
fn random_lists_beside_postgrey() {
    if postgrey::is_missing() {
        return;
    }
    let scratch = Scratch::new("postgrey-lists");
    let mut tally = Tally::default();
    for seed in 1..=number_in("GREYLET_POSTGREY_LISTS").unwrap_or(RANDOM_LISTS) {
        let random = &mut Random::new(seed);
        let (mut files, mut subjects, mut shown) = (Vec::new(), Vec::new(), String::new());
        for number in 0..4 {
            let kind = if number < 2 { &CLIENTS } else { &RECIPIENTS };
            let lines: Vec<String> = (0..random.within(0..=2))
                .map(|_| (kind.line)(random))
                .collect();
            let path = scratch.path(&format!("{number}"));
            fs::write(&path, lines.join("\n")).expect("a list file");
            shown += &format!("{}: {lines:?}\n", kind.option);
            files.push(format!("{}={path}", kind.option));
            // What stands in a comment or is wrong is asked about, too.
            let asked = lines.iter().map(|line| line.replace('#', " "));
            subjects.extend(asked.flat_map(|line| (kind.subjects)(line.trim(), random)));
        }
        tally.compare(&files, &subjects, &format!("seed {seed}\n{shown}"));
    }
    tally.report("random lists", 1_000);
}

impl Tally {
    /// Asks both, with these options, about each subject in a triplet that is new.
    fn compare(&mut self, files: &[String], subjects: &[Subject], lists: &str) {
        let mut options = files.to_vec();
        options.extend([
            "--auto-whitelist-clients=0".into(),
            "--greylist-text=no".into(),
        ]);
        let mut pair = Pair::start(&options);
        for (number, subject) in subjects.iter().enumerate() {
            let answers = pair.ask(&request(number, subject));
            assert!(!answers.differ(), "{answers:#?}\n{subject:?}\n{lists}");
            match answers.greylet.as_str() {
                "DUNNO" => self.passed += 1,
                _ => self.deferred += 1,
            }
        }
    }

    /// Prints what was compared, which must be enough of both.
    fn report(&self, what: &str, least: u32) {
        let Tally { passed, deferred } = *self;
        say(&format!(
            "{what}: {passed} passed and {deferred} deferred by both Postgrey and greylet"
        ));
        assert!(passed > least && deferred > least);
    }
}

fn request(number: usize, subject: &Subject) -> Request {
    Request::new(&[
        ("client_name", subject.client_name.clone()),
        ("client_address", subject.client_address.clone()),
        ("sender", format!("n{number}@s.example")),
        ("recipient", subject.recipient.clone()),
    ])
}

fn lines(path: &str) -> Vec<String> {
    let text = String::from_utf8(bytes(path)).expect("UTF-8");
    text.lines().map(str::to_owned).collect()
}

fn bytes(path: &str) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}
