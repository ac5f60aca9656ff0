//! `greylet explain`: why the running server would answer what it would answer.

mod support;

use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use support::{Scratch, Server, request, run};

const MAIL: [&str; 4] = [
    "--client-name=mail-1.provider.example",
    "--client-address=192.0.2.1",
    "--sender=a@s.example",
    "--recipient=b@r.example",
];

/// What explain prints of a mail, name and value by line.
fn explained(server: &str, words: &[&str]) -> Vec<(String, String)> {
    let server = format!("--server={server}");
    let words = [&["explain", &server], words].concat();
    let output = run(&words, b"");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = text.lines().map(|line| {
        let (name, value) = line.split_at(14);
        (name.trim_end().to_owned(), value.trim_start().to_owned())
    });
    lines.collect()
}

fn value<'a>(lines: &'a [(String, String)], name: &str) -> &'a str {
    let mut values = lines.iter().filter(|(found, _)| found == name);
    values.next().map_or("", |(_, value)| value)
}

#[test]
fn a_mail_from_first_to_last() {
    let scratch = Scratch::new("explain");
    let socket = scratch.path("socket");
    let unix = format!("--unix={socket}");
    let mut server = Server::start_on(&["--inet=127.0.0.1:0", &unix], &["--trust-test-time"]);
    let (inet, unix) = (server.listening[0].clone(), format!("unix:{socket}"));
    for address in [&inet, &unix] {
        let new = explained(address, &MAIL);
        assert!(value(&new, "would be").starts_with("deferred, 300 seconds from now on: new"));
        assert_eq!(value(&new, "client list"), "no line");
        assert_eq!(
            value(&new, "client"),
            "provider.example: its name is a mail server's"
        );
        assert_eq!(value(&new, "by name"), "not known");
        assert_eq!(value(&new, "address AWL"), "0 of 5 first passes");
    }
    let mut client = server.connect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("it is later than 1970").as_secs();
    let mut ask_ago = |seconds: u64| {
        client.ask(request(&[
            ("client_name", Some("mail-1.provider.example")),
            ("policy_test_time", Some(&(now - seconds).to_string())),
        ]))
    };
    assert!(ask_ago(9_000).starts_with("DEFER"));
    assert!(ask_ago(8_000).starts_with("PREPEND"));
    let known = explained(&inet, &MAIL);
    assert!(
        value(&known, "would be").starts_with("passed: triplet found"),
        "{known:?}"
    );
    assert!(
        value(&known, "by network").starts_with("known, passed 2 hours ago"),
        "{known:?}"
    );
    assert!(value(&known, "domain AWL").starts_with("1 of 2 first passes, the last"));
    drop(client);
    assert!(server.stop(Signal::SIGTERM).success());
    // An explanation is no request.
    assert!(
        server
            .log
            .iter()
            .any(|line| line.starts_with("2 requests answered, "))
    );
}

#[test]
fn which_line_of_which_list() {
    let scratch = Scratch::new("explainlists");
    let (clients, recipients) = (scratch.path("clients"), scratch.path("recipients"));
    std::fs::write(&clients, "# mine\npool provider.example\nother.example\n").expect("a file");
    std::fs::write(&recipients, "b@\n").expect("a file");
    let server = Server::start(&[
        &format!("--whitelist-clients={clients}"),
        &format!("--whitelist-recipients={recipients}"),
    ]);
    let lines = explained(&server.listening[0], &MAIL);
    assert_eq!(value(&lines, "would be"), "passed: recipient whitelist");
    assert_eq!(value(&lines, "client list"), "no line");
    assert_eq!(
        value(&lines, "recipient list"),
        format!("{recipients} line 1")
    );
    assert_eq!(value(&lines, "pool"), format!("{clients} line 2"));
    assert_eq!(
        value(&lines, "client"),
        "provider.example: a pool line says so"
    );
    // After a reload the lines have other numbers.
    std::fs::write(&clients, "pool provider.example\n").expect("a file");
    kill(server.pid(), Signal::SIGHUP).expect("it runs");
    while value(&explained(&server.listening[0], &MAIL), "pool") != format!("{clients} line 1") {
        std::thread::yield_now();
    }
}

#[test]
fn what_is_not_judged() {
    let server = Server::start(&[]);
    let would_be = |words: &[&str]| {
        let words = [&MAIL[..], words].concat();
        value(&explained(&server.listening[0], &words), "would be").to_owned()
    };
    assert_eq!(would_be(&["--sasl-username=anna"]), "passed: authenticated");
    assert_eq!(would_be(&["--protocol-state=VRFY"]), "passed: not RCPT");
    assert_eq!(would_be(&["--client-address=::1"]), "passed: local client");
    let unknown = would_be(&["--client-address=unknown"]);
    assert_eq!(unknown, "passed: client_address is not an address");
}

/// Names and addresses as long as they can be, and lists with long names, fit into an explanation.
#[test]
fn the_longest_explanation() {
    let scratch = Scratch::new("explainlong");
    let folder = scratch.path(&"f".repeat(200));
    let folder = format!("{folder}/{}", "g".repeat(200));
    std::fs::create_dir_all(&folder).expect("a folder");
    let clients = format!("{folder}/clients");
    std::fs::write(&clients, "pool provider.example\n").expect("a file");
    let server = Server::start(&[&format!("--whitelist-clients={clients}")]);
    let name = format!("{}.provider.example", vec!["x".repeat(55); 4].join("."));
    let address = format!("{}@{}", "\u{fc}".repeat(1_000), "y".repeat(2_000));
    let mut client = server.connect();
    for _ in 0..3 {
        let name = Some(&name[..]);
        let question = request(&[
            ("request", Some("explain")),
            ("client_name", name),
            ("sender", Some(&address)),
            ("recipient", Some(&address)),
        ]);
        client.send(question.repeat(3));
        for _ in 0..3 {
            let lines = client.reply();
            assert!(
                lines.starts_with("explained=yes\nwould be=deferred"),
                "{lines}"
            );
            assert!(lines.contains("client=provider.example"), "{lines}");
        }
    }
}

#[test]
fn whom_it_does_not_answer() {
    let failure = |server: &str| {
        let server = format!("--server={server}");
        let output = run(&[&["explain", &server], &MAIL[..]].concat(), b"");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    // Any other policy server.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let server = std::thread::spawn(move || {
        let mut stream = listener.accept().expect("a connection").0;
        stream.write_all(b"action=DUNNO\n\n").expect("it is taken");
    });
    assert!(failure(&address).contains("it is not greylet"));
    server.join().expect("it answers");
    // Another machine, for which this one stands if it has an address that is not only its own.
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    let ours = socket
        .connect("192.0.2.1:9")
        .and_then(|()| socket.local_addr());
    if let Ok(ours) = ours
        && !ours.ip().is_loopback()
    {
        let server = Server::start_on(&[&format!("--inet={}:0", ours.ip())], &[]);
        assert!(failure(&server.listening[0]).contains("asked from another machine"));
    }
}

#[test]
fn wrong_command_lines() {
    for (words, said) in [
        (&["explain"][..], "--client-address"),
        (&["explain", "--client-address=192.0.2.1"], "--recipient"),
        (
            &["explain", "--client-address=1\n", "--recipient=b"],
            "client_address: there are no line ends",
        ),
        (
            &[
                "explain",
                "--client-address=1",
                &format!("--recipient={}", "b".repeat(4_097)),
            ],
            "recipient: it has more than 4096 bytes",
        ),
    ] {
        let output = run(words, b"");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(said), "{text}");
    }
}
