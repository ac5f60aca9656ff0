//! greylet is killed a hundred times in one folder, while mail passes and one save follows the other: whatever a save that it says is done has
//! contained must be known ever after. (That a save is on the flash before it says so is what `daemon/store.rs` tests; a kill does not show it.)

mod support;

#[expect(dead_code, reason = "this needs only a part of it")]
#[path = "postgrey/random.rs"]
mod random;

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use random::Random;
use support::{Scratch, Server, request, say};

const KILLS: u32 = 100;
const SEED: u64 = 20_261_123;

/// Mails that pass before a kill.
const MAILS_MAX: u64 = 400;

/// Mails that are asked about at a time.
const MAILS_AT_ONCE: u64 = 8;

/// Without counts of the auto-whitelist, which would let everybody pass.
const OPTIONS: [&str; 3] = ["--quiet", "--lookup-by-host", "--auto-whitelist-clients=0"];

/// What may be in the log; a damaged snapshot, or one that cannot be read or written, is not among it.
const HARMLESS: [&str; 9] = [
    "greylet ",
    "--trust-test-time",
    "list of ",
    "listening on ",
    "no snapshot in ",
    "entries from ",
    "was cut short; what there is of it is used",
    "saved to ",
    "requests answered",
];

/// The sender of a mail, without digits, which do not count.
fn sender(mail: u64) -> String {
    let letters = (0..5).map(|place| char::from(b'a' + (mail / 26_u64.pow(place) % 26) as u8));
    format!("news@{}.example", letters.collect::<String>())
}

/// A question about a mail, at a time or now.
fn question(mail: u64, time: Option<u64>) -> String {
    let time = time.map(|time| time.to_string());
    request(&[
        ("sender", Some(&sender(mail))),
        ("policy_test_time", time.as_deref()),
    ])
}

/// One who asks, and stops when nobody answers any more.
struct Asker {
    stream: BufReader<TcpStream>,
}

impl Asker {
    fn connect(server: &Server) -> Asker {
        let stream = TcpStream::connect(&server.listening[0]).expect("it listens");
        Asker {
            stream: BufReader::new(stream),
        }
    }

    fn send(&mut self, questions: &str) -> Option<()> {
        self.stream.get_mut().write_all(questions.as_bytes()).ok()
    }

    /// The action of the next answer.
    fn action(&mut self) -> Option<String> {
        let (mut line, mut blank) = (String::new(), String::new());
        self.stream.read_line(&mut line).ok()?;
        self.stream.read_line(&mut blank).ok()?;
        (blank == "\n").then(|| line.trim_end().replacen("action=", "", 1))
    }

    /// Has mails pass for the first time, until there is no answer; counts them. After so many it kills.
    fn pass(&mut self, first: u64, kill_after: u64, passed: &AtomicU64, process: Pid) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let since = now.expect("it is after 1970").as_secs() - 700;
        for mails in (first..).step_by(MAILS_AT_ONCE as usize) {
            let mails = mails..mails + MAILS_AT_ONCE;
            let twice = |mail| question(mail, Some(since)) + &question(mail, Some(since + 301));
            let questions: String = mails.clone().map(twice).collect();
            if self.send(&questions).is_none() {
                return;
            }
            for mail in mails {
                let (Some(first_answer), Some(second)) = (self.action(), self.action()) else {
                    return;
                };
                assert!(first_answer.starts_with("DEFER"), "{mail}: {first_answer}");
                assert!(second.starts_with("PREPEND"), "{mail}: {second}");
                passed.store(mail + 1, Ordering::SeqCst);
                if mail + 1 == first + kill_after {
                    kill(process, Signal::SIGKILL).expect("it is running");
                }
            }
        }
    }

    /// Mails that are not known.
    fn unknown(&mut self, mails: impl Iterator<Item = u64>) -> Vec<u64> {
        let mut mails: Vec<u64> = mails.collect();
        let mut unknown = Vec::new();
        while !mails.is_empty() {
            let some = mails.split_off(mails.len().saturating_sub(32));
            let questions: String = some.iter().map(|&mail| question(mail, None)).collect();
            self.send(&questions).expect("it is running");
            for mail in some {
                if self.action().expect("an answer") != "DUNNO" {
                    unknown.push(mail);
                }
            }
        }
        unknown
    }
}

/// Leaves behind what a power cut does, and a kill hardly ever: the beginning of a block. The next save is then a full one.
fn tear(snapshot: &str, random: &mut Random) {
    let mut file = OpenOptions::new().append(true).open(snapshot);
    let file = file.as_mut().expect("a snapshot");
    let block = b"\xfagrl1234\x03\x00\xff\x0f and entries, as far as they have come";
    let bytes = random.within(1..=block.len() as u64) as usize;
    file.write_all(&block[..bytes]).expect("there is room");
}

#[test]
fn what_was_saved_survives_a_hundred_kills() {
    let scratch = Scratch::new("powercut");
    let folder = scratch.path("state");
    let mut random = Random::new(SEED);
    // Mails that a finished save has contained; each round has its own numbers.
    let mut saved: Vec<std::ops::Range<u64>> = Vec::new();
    let (mut first, mut saves, mut half_written) = (0, 0, 0);
    for round in 0..KILLS {
        let has_saved = saved.iter().any(|range| !range.is_empty());
        let is_torn = random.one_in(2) && has_saved;
        if is_torn {
            tear(&format!("{folder}/snapshot"), &mut random);
        }
        let mut server = Server::start_in(&folder, &OPTIONS);
        let older = (0..20).filter_map(|_| {
            let range = saved.get(random.within(0..=KILLS.into()) as usize)?;
            (!range.is_empty()).then(|| random.within(range.start..=range.end - 1))
        });
        let older: Vec<u64> = older.collect();
        let latest = saved.last().cloned().unwrap_or_default();
        let unknown = Asker::connect(&server).unknown(older.into_iter().chain(latest));
        assert_eq!(unknown, [0; 0], "after kill {round}: {:?}", server.log);
        let kill_after = random.within(1..=MAILS_MAX);
        let passed = AtomicU64::new(first);
        let process = server.pid();
        let mut asker = Asker::connect(&server);
        let mut saved_until = first;
        std::thread::scope(|scope| {
            scope.spawn(|| asker.pass(first, kill_after, &passed, process));
            loop {
                let passed_before = passed.load(Ordering::SeqCst);
                kill(process, Signal::SIGUSR1).expect("it has not been waited for");
                if server.wait_for_or_end("saved to").is_none() {
                    break;
                }
                saved_until = passed_before;
                saves += 1;
            }
        });
        assert!(!server.wait().success());
        let is_harmless = |line: &&String| HARMLESS.iter().any(|text| line.contains(text));
        let strange: Vec<_> = server.log.iter().filter(|it| !is_harmless(it)).collect();
        assert_eq!(strange, [""; 0], "in round {round}");
        let is_cut_short = |line: &String| line.contains("was cut short");
        assert!(!is_torn || server.log.iter().any(is_cut_short));
        half_written += u32::from(scratch.as_ref().join("state/snapshot.new").exists());
        saved.push(first..saved_until);
        first += kill_after + MAILS_AT_ONCE;
    }
    let server = Server::start_in(&folder, &OPTIONS);
    let unknown = Asker::connect(&server).unknown(saved.iter().cloned().flatten());
    assert_eq!(unknown, [0; 0]);
    let mails = saved
        .iter()
        .map(|range| range.end - range.start)
        .sum::<u64>();
    say(&format!(
        "{KILLS} kills, {saves} saves; {half_written} full saves were cut short; {mails} mails were saved, and are known"
    ));
    assert!(mails > 0);
}
