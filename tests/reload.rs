//! Lists at the start and at SIGHUP, where a file comes, goes, or is for root alone.

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::geteuid;
use support::{Scratch, Server, request};

const PASSED: &str = "DUNNO";

fn ask(server: &Server, client_name: &str) -> String {
    let name = [("client_name", Some(client_name))];
    server.connect().ask(request(&name))
}

fn reload(server: &mut Server, said: &str) {
    kill(server.pid(), Signal::SIGHUP).expect("it is running");
    server.wait_for(said);
}

#[test]
fn a_file_that_was_never_there_freezes_nothing() {
    let scratch = Scratch::new("never");
    let (clients, missing) = (scratch.path("clients"), scratch.path("missing"));
    fs::write(&clients, "one.example\n").expect("a file");
    let mut server = Server::start(&[
        &format!("--whitelist-clients={clients}"),
        &format!("--whitelist-clients={missing}"),
    ]);
    assert_eq!(ask(&server, "one.example"), PASSED);
    fs::write(&clients, "two.example\n").expect("a file");
    reload(&mut server, "list of clients: 1 rules from");
    assert_eq!(ask(&server, "two.example"), PASSED);
    assert_ne!(ask(&server, "one.example"), PASSED);
    // Once it has been there, its content must not get lost.
    fs::write(&missing, "three.example\n").expect("a file");
    reload(&mut server, "list of clients: 2 rules from");
    assert_eq!(ask(&server, "three.example"), PASSED);
    fs::remove_file(&missing).expect("it is there");
    reload(&mut server, "the last good list stays in force");
    assert_eq!(ask(&server, "three.example"), PASSED);
}

/// A companion need not be there, but what it said must not get lost by a slip either.
#[test]
fn a_companion_that_goes() {
    let scratch = Scratch::new("companion");
    let (clients, local) = (scratch.path("clients"), scratch.path("clients.local"));
    fs::write(&clients, "one.example\n").expect("a file");
    let mut server = Server::start(&[
        &format!("--whitelist-clients={clients}"),
        &format!("--whitelist-clients={local}"),
    ]);
    assert!(!server.log.iter().any(|line| line.contains("cannot read")));
    fs::write(&local, "two.example\n").expect("a file");
    reload(&mut server, "list of clients: 2 rules from");
    fs::remove_file(&local).expect("it is there");
    reload(&mut server, "clients.local is not there any more");
    assert_eq!(ask(&server, "two.example"), PASSED);
    fs::write(&local, "").expect("a file");
    reload(&mut server, "list of clients: 1 rules from");
    assert_ne!(ask(&server, "two.example"), PASSED);
}

/// As in Postgrey, lists may be for root alone, whoever the server becomes.
#[test]
fn lists_are_read_before_root_is_given_up() {
    if !geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new("rootlists");
    let clients = scratch.path("clients");
    fs::write(&clients, "one.example\n").expect("a file");
    fs::set_permissions(&clients, Permissions::from_mode(0o600)).expect("it is ours");
    let list = format!("--whitelist-clients={clients}");
    let mut server = Server::start(&["--user=nobody", &list]);
    assert_eq!(ask(&server, "one.example"), PASSED);
    reload(&mut server, "the last good list stays in force");
    assert_eq!(ask(&server, "one.example"), PASSED);
}

#[test]
fn sigquit_ends_it_like_sigterm() {
    let mut server = Server::start(&[]);
    assert!(server.stop(Signal::SIGQUIT).success());
    assert!(
        server
            .log
            .iter()
            .any(|line| line == "SIGQUIT received: stopped")
    );
}
