//! All attacks at once, with a log that nobody reads, beside honest clients whose every answer is checked.
//!
//! It lasts some seconds, or as many as GREYLET_ATTACK_SECONDS says.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::honest::Honest;
use crate::pipeline::{TEXT, ask_at_once};
use crate::random::Random;
use crate::support::{request, say};
use crate::target::{Doors, LogReader, Target};
use crate::{clocks, crowd, deaf, garbage, leavers, oversize, signals, slow};

const SECONDS_DEFAULT: u64 = 3;

/// However little time there is, so many mails must have been sent.
const MAILS_MIN: u64 = 50;

/// Mails after which an honest client connects anew, as Postfix does.
const MAILS_A_CONNECTION: u64 = 10;

/// Memory that all of them may cost, in kB: a table that fills up, and about twice what was seen besides.
const ALL_KB: u64 = 2_600 + 2_000;

/// Ends the attacks when it is dropped, whatever the reason.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn seconds() -> u64 {
    let seconds = std::env::var("GREYLET_ATTACK_SECONDS");
    seconds.map_or(SECONDS_DEFAULT, |seconds| seconds.parse().expect("seconds"))
}

#[test]
fn all_attacks_together() {
    let options = ["--verbose", TEXT];
    let mut target = Target::start_with_log("together", &options, LogReader::Stuck);
    let (doors, pid) = (target.doors.clone(), target.pid());
    let (is_over, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut newcomer = Honest::new(doors.client(), "newcomer");
    std::thread::scope(|scope| {
        let attack = |seed: u64, attack: fn(&Doors, &mut Random)| {
            let (doors, is_over, rounds) = (&doors, &is_over, &rounds);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                while !is_over.load(Ordering::Relaxed) {
                    attack(doors, &mut random);
                    // So that there are not only new connections: the kernel forgets some when too many wait.
                    doors.client().ask(request(&[]));
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        };
        attack(1, |doors, _| {
            oversize::send_endless_lines(doors, 1 << 20);
        });
        attack(2, |doors, _| oversize::send_attributes(doors, 100_000));
        attack(3, |doors, random| {
            garbage::send_garbage(doors, random, 3_000)
        });
        attack(4, garbage::send_damaged);
        attack(5, |doors, _| slow::trickle(doors, 32));
        attack(6, |doors, _| deaf::ask_and_never_read(doors, 8));
        attack(7, |doors, _| leavers::send_and_leave(doors, 20));
        attack(8, |doors, _| {
            let _silent = crowd::idle(doors, 500);
            doors.client().ask(request(&[]));
        });
        attack(9, |doors, random| {
            ask_at_once(doors, &random.word("abcdefgh", 9..=9), 1_000);
        });
        attack(10, |doors, random| clocks::jump(doors, random, 5));
        attack(11, |doors, _| {
            let _silent = leavers::vanish(doors, 4);
            doors.client().ask(request(&[]));
        });
        attack(12, |doors, _| leavers::send_and_say_so(doors, 2));
        attack(13, |doors, _| {
            let mut last = doors.client();
            let _halves = slow::send_longest_halves(doors, 32, || {
                last.ask(request(&[]));
            });
        });
        scope.spawn(|| {
            let mut client = doors.client();
            while !is_over.load(Ordering::Relaxed) {
                signals::send_storm(pid, 1);
                // A reload takes some milliseconds; with others at once there would be nothing else.
                client.ask(request(&[]));
            }
        });
        let _over = Over(&is_over);
        let start = Instant::now();
        let longest = Duration::from_secs(seconds());
        while start.elapsed() < longest || newcomer.mails() < MAILS_MIN {
            target.honest().send_mail();
            newcomer.send_mail();
            if newcomer.mails().is_multiple_of(MAILS_A_CONNECTION) {
                newcomer.connect_anew(doors.client());
            }
        }
    });
    for (name, honest) in [("stays", target.honest()), ("comes anew", &mut newcomer)] {
        let [p50, p99, longest] = honest.latencies().map(|it| it.as_secs_f64() * 1e3);
        say(&format!(
            "all attacks together: {} mails of who {name}, each answered right; p50 {p50:.2} ms, p99 {p99:.2} ms, at most {longest:.2} ms",
            honest.mails()
        ));
    }
    let attack = format!("all together, {} rounds", rounds.into_inner());
    target.assert_unharmed(&attack, ALL_KB);
    target.stop();
}
