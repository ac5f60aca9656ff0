//! Storms of signals: lists are read anew as fast as they can be, and change meanwhile.

use std::fs;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{PATIENCE, Scratch, request};
use crate::target::Target;

/// Signals that do not end it.
pub(crate) fn send_storm(pid: Pid, signals: u32) {
    for _ in 0..signals {
        kill(pid, Signal::SIGHUP).expect("it is running");
        kill(pid, Signal::SIGUSR1).expect("it is running");
    }
}

/// Puts a list in the place of another, as an editor does: there is no moment without one.
fn replace(path: &str, text: &str) {
    let new = format!("{path}.new");
    fs::write(&new, text).expect("a file");
    fs::rename(&new, path).expect("a file");
}

/// Who is on every version of the list passes at every moment, and who is on some of them is treated by one of these.
#[test]
fn a_storm_of_reloads() {
    let scratch = Scratch::new("stormlists");
    let clients = scratch.path("clients");
    let version = |number: u32| {
        let others = (0..500).map(|other| format!("mail{other}.example{number}.com\n"));
        let always = "always.example\n/^mail\\d+\\.pattern\\.example$/\n";
        let now_and_then = if number.is_multiple_of(2) {
            "sometimes.example\n"
        } else {
            ""
        };
        others.collect::<String>() + always + now_and_then
    };
    replace(&clients, &version(1));
    let list = format!("--whitelist-clients={clients}");
    let mut target = Target::start("storm", &["--quiet", &list]);
    let mut client = target.doors.client();
    let mut ask = |name: &str| client.ask(request(&[("client_name", Some(name))]));
    for number in 0..100 {
        replace(&clients, &version(number));
        send_storm(target.pid(), 5);
        assert_eq!(ask("always.example"), "DUNNO");
        assert_eq!(ask("mail7.pattern.example"), "DUNNO");
        let sometimes = ask("sometimes.example");
        let is_one_of_them = sometimes == "DUNNO" || sometimes.starts_with("DEFER_IF_PERMIT ");
        assert!(is_one_of_them, "{sometimes}");
        target.honest().send_mail();
    }
    for (number, passed) in [(1, false), (2, true)] {
        replace(&clients, &version(number));
        send_storm(target.pid(), 1);
        // The signal comes when it comes.
        let deadline = Instant::now() + PATIENCE;
        while (ask("sometimes.example") == "DUNNO") != passed {
            assert!(
                Instant::now() < deadline,
                "version {number} is not in force"
            );
        }
    }
    target.assert_unharmed("500 SIGHUPs, with lists that change", 1_000);
    target.stop();
}
