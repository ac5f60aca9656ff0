//! `greylet import` through the real binary: whom Postgrey knew need not wait, by network and by name.

#[path = "support/known_mails.rs"]
mod known_mails;
mod support;

use known_mails::{Then, mails};
use support::{Scratch, Server, request, run};

fn import(words: &[&str]) -> (Option<i32>, String) {
    let output = run(&[&["import"], words].concat(), b"");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("text"))
}

fn dump(name: &str) -> String {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/cases/postgrey-databases"
    );
    format!("{folder}/{name}.dump")
}

/// Asks for the next mail of everybody that Postgrey knew.
fn ask_for_known_mails(dbdir: &str, options: &[&str]) {
    // A snapshot has hours, so what was used just within 35 days may seem older.
    let options = [options, &[dbdir, "--null-sender=rcpt", "--max-age=36"]].concat();
    let server = Server::start(&options);
    let mut client = server.connect();
    for mail in mails().iter().filter(|mail| mail.then == Then::Passes) {
        let action = client.ask(request(&[
            ("client_name", Some("unknown")),
            ("client_address", Some(mail.neighbour)),
            ("sender", Some(&mail.next_sender)),
            ("recipient", Some(mail.recipient)),
        ]));
        assert_eq!(action, "DUNNO", "{} {}", mail.neighbour, mail.next_sender);
    }
    let nobody = request(&[("client_address", Some("198.18.0.1"))]);
    assert!(client.ask(nobody).starts_with("DEFER"));
}

#[test]
fn whom_postgrey_knew_need_not_wait() {
    let scratch = Scratch::new("import");
    let dbdir = format!("--dbdir={}", scratch.path("state"));
    let (status, text) = import(&[&dbdir, &dump("triplets"), &dump("clients")]);
    assert_eq!(status, Some(0), "{text}");
    for options in [&[][..], &["--lookup-by-subnet"]] {
        ask_for_known_mails(&dbdir, options);
    }
    // Once more changes nothing.
    assert_eq!(import(&[&dbdir, &dump("triplets-print")]).0, Some(0));
    ask_for_known_mails(&dbdir, &[]);
}

#[test]
fn while_greylet_runs_nothing_is_imported() {
    let scratch = Scratch::new("importrunning");
    let dbdir = format!("--dbdir={}", scratch.path("state"));
    let server = Server::start(&[&dbdir]);
    let (status, text) = import(&[&dbdir, &dump("triplets")]);
    assert_eq!(status, Some(1), "{text}");
    let process = format!("in use by another greylet, process {}", server.pid());
    assert!(text.contains(&process), "{text}");
}

#[test]
fn what_cannot_be_imported() {
    let scratch = Scratch::new("importbad");
    let dbdir = format!("--dbdir={}", scratch.path("state"));
    let (status, text) = import(&[&dbdir, &dump("triplets-privacy")]);
    assert!(status == Some(0) && text.contains("privacy"), "{text}");
    let database = scratch.path("postgrey.db");
    std::fs::write(
        &database,
        [&[0; 12][..], b"\x62\x31\x05\x00", &[0; 4_080]].concat(),
    )
    .expect("a file");
    for (file, said) in [
        (&database[..], "postgrey.db"),
        (&scratch.path("missing"), "No such file"),
        ("/dev/null", "/dev/null"),
    ] {
        let (status, text) = import(&[&dbdir, file]);
        assert_eq!(status, Some(1), "{text}");
        assert!(text.contains(said), "{text}");
    }
    let (status, text) = import(&["--dbdir=", &dump("triplets")]);
    assert!(status == Some(2) && text.contains("--dbdir"), "{text}");
}
