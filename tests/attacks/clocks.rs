//! Whose time jumps. The daemon's own clock cannot be stepped, so the requests' times are: each is judged at its own, and who asks
//! about other mail at other times changes nothing for the honest.

use crate::random::Random;
use crate::support::request;
use crate::target::{Doors, ONE_CLIENT_KB, Target};

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

/// Asks about mail of its own, in times far apart in any order. It is deferred, or passes because its time has come.
pub(crate) fn jump(doors: &Doors, random: &mut Random, requests: u32) {
    let mut client = doors.client();
    for _ in 0..requests {
        let time = match random.one_in(2) {
            true => random.pick(&TIMES).to_owned(),
            false => random.within(0..=u64::from(u32::MAX)).to_string(),
        };
        let action = client.ask(request(&[
            ("policy_test_time", Some(&time)),
            ("client_address", Some("198.51.100.1")),
            ("client_name", Some("unknown")),
            ("recipient", Some(&random.word("jkl", 1..=3))),
        ]));
        let is_answer = ["DEFER_IF_PERMIT ", "PREPEND ", "DUNNO"]
            .iter()
            .any(|begin| action.starts_with(begin));
        assert!(is_answer, "at {time}: {action}");
    }
}

#[test]
fn time_goes_wild() {
    let mut target = Target::start("clocks", &["--quiet"]);
    let mut random = Random::new(10);
    for _ in 0..200 {
        jump(&target.doors, &mut random, 20);
        target.honest().send_mail();
    }
    target.assert_unharmed("4,000 requests whose time jumps", ONE_CLIENT_KB);
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
