//! Who comes in numbers: more connections than there may be, or than greylet has descriptors for.

use std::net::TcpStream;
use std::time::Instant;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

use crate::support::{Client, Server, greylet, request, say};
use crate::target::{Doors, Target};

/// Connections that say nothing.
pub(crate) fn idle(doors: &Doors, connections: usize) -> Vec<TcpStream> {
    (0..connections).map(|_| doors.tcp()).collect()
}

/// The tests of a program share its descriptors.
fn allow_many_descriptors() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("Linux has it");
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(8_192), hard).expect("below the limit");
}

#[test]
fn five_hundred_idle_connections() {
    allow_many_descriptors();
    let mut target = Target::start("idle", &["--quiet"]);
    target.assert_unharmed_twice("500 idle connections", 700, |target| {
        let silent = idle(&target.doors, 500);
        let ask = |what: &str| {
            let start = Instant::now();
            let action = target.doors.client().ask(request(&[]));
            assert!(action.starts_with("DEFER_IF_PERMIT "));
            say(&format!(
                "500 idle connections: {what} is answered after {:.1} ms",
                start.elapsed().as_secs_f64() * 1e3
            ));
        };
        // Those who have only just come are left their places for two seconds, as their first request may be under way.
        ask("who comes with them");
        ask("who comes after them");
        let start = Instant::now();
        target.honest().send_mail();
        say(&format!(
            "500 idle connections: who was there before has four answers after {:.1} ms",
            start.elapsed().as_secs_f64() * 1e3
        ));
        drop(silent);
    });
    target.stop();
}

/// A greylet that may have so many descriptors.
fn with_descriptors(limit: u32) -> Server {
    let path = greylet().get_program().to_owned();
    let serve = format!(
        "ulimit -n {limit}; exec {} serve --dbdir= --inet=127.0.0.1:0",
        path.to_str().expect("a UTF-8 path")
    );
    let mut shell = std::process::Command::new("sh");
    shell.arg("-c").arg(serve);
    Server::start_command(shell, 1)
}

/// Many more come than there is room for, each with a request, and each is answered; it never takes one that it has no descriptor for.
#[test]
fn a_limit_of_64_descriptors() {
    let mut server = with_descriptors(64);
    let mut silent: Vec<_> = (0..100).map(|_| server.connect()).collect();
    assert!(silent[99].ask(request(&[])).starts_with("DEFER_IF_PERMIT "));
    let mut asking: Vec<Client<_>> = (0..200).map(|_| server.connect()).collect();
    for client in &mut asking {
        client.send(request(&[]));
    }
    for mut client in asking {
        assert!(client.action().starts_with("DEFER_IF_PERMIT "));
    }
    drop(silent);
    assert!(server.stop(Signal::SIGTERM).success());
    let ran_out = |line: &String| line.contains("raise ulimit -n");
    assert!(!server.log.iter().any(ran_out), "{:?}", server.log);
    let warned = |line: &String| line.contains("connections instead of 256");
    assert!(server.log.iter().any(warned), "{:?}", server.log);
}
