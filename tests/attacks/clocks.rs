//! Whose time jumps. The daemon's own clock cannot be stepped, so the requests' times are: each is judged at its own, and who asks
//! about other mail at other times changes nothing for the honest.

use crate::random::Random;
use crate::support::request;
use crate::target::{Doors, Target};

/// The ends of every kind of number, and what is none.
const TIMES: [&str; 14] = [
    "0",
    "1",
    "1700000000",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "-1",
    "1700000000.5",
    "99999999999999999999999999999999999999999999999999999999999999",
    "soon",
    "",
];

/// Where the answers change, in seconds from one question to the next.
const PAUSES: [u32; 10] = [
    0,
    1,
    299,
    300,
    301,
    172_800,
    172_801,
    3_024_000,
    3_024_001,
    u32::MAX,
];

/// What there is to know of a mail.
#[derive(Clone, Copy)]
enum Mail {
    Unknown,
    Waiting { since: u32 },
    Passed { last: u32 },
}

impl Mail {
    /// How the answer to a question at this time must begin.
    fn ask(&mut self, at: u32) -> &'static str {
        match *self {
            Mail::Waiting { since } if since > at => {}
            Mail::Waiting { since } if at - since < 300 => return "DEFER_IF_PERMIT ",
            Mail::Waiting { since } if at - since <= 172_800 => {
                *self = Mail::Passed { last: at };
                return "PREPEND X-Greylist: delayed ";
            }
            Mail::Passed { last } if at.saturating_sub(last) <= 3_024_000 => {
                *self = Mail::Passed { last: at.max(last) };
                return "DUNNO";
            }
            _ => {}
        }
        *self = Mail::Waiting { since: at };
        "DEFER_IF_PERMIT "
    }
}

/// Asks up to five times about each of so many mails of its own, at times that go forward and back, and is answered by these.
pub(crate) fn jump(doors: &Doors, random: &mut Random, mails: u32) {
    let mut client = doors.client();
    for _ in 0..mails {
        let recipient = random.word("abcdefghijklmnopqrstuvwxyz", 20..=20);
        let mut ask = |time: &str| {
            client.ask(request(&[
                ("policy_test_time", Some(time)),
                ("client_address", Some("198.51.100.1")),
                ("client_name", Some("unknown")),
                ("recipient", Some(&recipient)),
            ]))
        };
        let first = match random.one_in(2) {
            true => random.pick(&TIMES).to_owned(),
            false => random.within(0..=u64::from(u32::MAX)).to_string(),
        };
        let action = ask(&first);
        assert!(action.starts_with("DEFER_IF_PERMIT "), "{first}: {action}");
        // Where it is no time, that of the daemon's clock counts, and what lies beyond 2106 is 2106.
        let Ok(first) = first.parse::<u64>() else {
            continue;
        };
        let mut time = u32::try_from(first).unwrap_or(u32::MAX);
        let (mut mail, mut times) = (Mail::Unknown, vec![time]);
        mail.ask(time);
        for _ in 0..4 {
            let pause = random.pick(&PAUSES);
            time = match random.one_in(4) {
                true => time.saturating_sub(pause),
                false => time.saturating_add(pause),
            };
            times.push(time);
            let had_passed = matches!(mail, Mail::Passed { .. });
            let (action, expected) = (ask(&time.to_string()), mail.ask(time));
            assert!(action.starts_with(expected), "{times:?}: {action}");
            if had_passed && matches!(mail, Mail::Waiting { .. }) {
                // That it has passed may come to life again when the clock goes back.
                break;
            }
        }
    }
}

#[test]
fn time_goes_wild() {
    let mut target = Target::start("clocks", &["--quiet"]);
    let mut random = Random::new(10);
    for _ in 0..200 {
        jump(&target.doors, &mut random, 10);
        target.honest().send_mail();
    }
    target.assert_unharmed("2,000 mails whose time jumps", 700);
    target.stop();
}

/// For one and the same mail time goes forward by years and back: it is deferred or passed by its own time, and answered always.
#[test]
fn a_mail_whose_time_jumps() {
    let target = Target::start("jumps", &["--quiet"]);
    let mut client = target.doors.client();
    let mut ask = |time: u64| client.ask(request(&[("policy_test_time", Some(&time.to_string()))]));
    let start = 1_700_000_000;
    assert!(ask(start).starts_with("DEFER_IF_PERMIT "));
    // A pending mail from the future begins again.
    assert!(ask(start - 1_000_000).starts_with("DEFER_IF_PERMIT "));
    assert!(ask(start - 1_000_000 + 300).starts_with("PREPEND "));
    // What has passed stays so when the clock goes back, to 1970 even.
    for time in [start - 2_000_000, 0, start - 1_000_000] {
        assert_eq!(ask(time), "DUNNO");
    }
    // In 2106 it is too old.
    assert!(ask(u64::from(u32::MAX)).starts_with("DEFER_IF_PERMIT "));
    target.stop();
}
