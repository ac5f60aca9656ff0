//! The real binary over real sockets: whatever comes, each request gets one answer, and nobody is held up by another.

mod support;

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{setsockopt, sockopt};
use support::{Client, Scratch, Server, greylet, request};

fn request_from(sender: &str) -> String {
    request(&[("sender", Some(sender))])
}

#[test]
fn real_postfix_requests() {
    let server = Server::start(&["--lookup-by-subnet"]);
    let mut client = server.connect();
    let text = include_str!("cases/postfix-3.7-requests.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    let defer = "DEFER_IF_PERMIT 4.2.0 Greylisted, see https://www.rfc-editor.org/rfc/rfc6647";
    let expected = [
        defer, defer, defer, "DUNNO", defer, "DUNNO", "DUNNO", "DUNNO", "DUNNO",
    ];
    let requests: Vec<&str> = text.split_inclusive("\n\n").collect();
    assert_eq!(requests.len(), expected.len());
    for (request, action) in requests.iter().zip(expected) {
        assert_eq!(client.ask(request), action, "{request}");
    }
}

#[test]
fn who_has_said_its_last_gets_its_answers() {
    const REQUESTS: usize = 1_000;
    let server = Server::start(&["--quiet"]);
    let mut client = server.connect();
    let mut sender = client.stream().try_clone().expect("a second handle");
    let writer = std::thread::spawn(move || {
        sender.write_all(request(&[]).repeat(REQUESTS).as_bytes())?;
        sender.shutdown(std::net::Shutdown::Write)
    });
    for _ in 0..REQUESTS {
        assert!(client.action().starts_with("DEFER_IF_PERMIT "));
    }
    assert_eq!(client.rest(), b"");
    writer.join().expect("no panic").expect("all is taken");
}

/// Their answers are far longer than these requests, which are read at once. The log tells who had its turn when.
#[test]
fn who_asks_for_much_at_once_lets_others_go_first() {
    const REQUESTS: usize = 40;
    let mut server = Server::start(&[&format!("--greylist-text={}", "x".repeat(400))]);
    let (mut greedy, mut quiet) = (server.connect(), server.connect());
    let ask_from = |sender: &str, number: usize| {
        let recipient = format!("{number}@r");
        let name = ("client_name", Some(""));
        request(&[
            name,
            ("sender", Some(sender)),
            ("recipient", Some(&recipient)),
        ])
    };
    // Both have been accepted.
    greedy.ask(ask_from("greedy@s", 0));
    quiet.ask(ask_from("quiet@s", 0));
    kill(server.pid(), Signal::SIGSTOP).expect("it is running");
    let requests: String = (1..=REQUESTS)
        .map(|number| ask_from("greedy@s", number))
        .collect();
    assert!(requests.len() <= 4_096);
    greedy.send(requests);
    quiet.send(ask_from("quiet@s", 1));
    kill(server.pid(), Signal::SIGCONT).expect("it is stopped");
    for _ in 0..REQUESTS {
        greedy.action();
    }
    quiet.action();
    assert!(server.stop(Signal::SIGTERM).success());
    let judged = server.log.iter().filter(|line| line.contains("action="));
    let senders: Vec<bool> = judged.map(|line| line.contains("quiet@s")).collect();
    let before = senders.iter().skip(2).position(|is_quiet| *is_quiet);
    assert!(before.is_some_and(|it| it <= REQUESTS / 2), "{before:?}");
}

/// One that fills what the server reads at a time may be all that there is, or not.
#[test]
fn requests_of_all_lengths_about_a_read() {
    let server = Server::start(&["--quiet"]);
    let mut client = server.connect();
    let short = request(&[("sasl_method", Some(""))]).len();
    for bytes in [4_094, 4_095, 4_096, 4_097, 4_098, 8_191, 8_192, 8_193] {
        let mut padding = "x".repeat(bytes - short);
        if padding.len() > 4_096 {
            padding.replace_range(4_000..4_003, "\nx=");
        }
        let request = request(&[("sasl_method", Some(&padding))]);
        assert_eq!(request.len(), bytes);
        for _ in 0..2 {
            assert!(
                client.ask(&request).starts_with("DEFER_IF_PERMIT "),
                "{bytes}"
            );
        }
    }
}

#[test]
fn requests_in_single_bytes() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.stream().set_nodelay(true).expect("no delay");
    for byte in request(&[]).into_bytes() {
        client.send([byte]);
    }
    assert!(client.action().starts_with("DEFER_IF_PERMIT "));
}

#[test]
fn what_is_not_judged_passes_with_a_line_in_the_log() {
    let mut server = Server::start(&[]);
    let mut client = server.connect();
    for (changes, said) in [
        ([("recipient", None)], "attribute missing: recipient"),
        ([("sender", None)], "attribute missing: sender"),
        ([("client_name", None)], "attribute missing: client_name"),
        (
            [("client_address", None)],
            "attribute missing: client_address",
        ),
        ([("request", None)], "attribute missing: request"),
        (
            [("request", Some("stats\x1b[2J"))],
            "unrecognized request type: 'stats?[2J'",
        ),
        (
            [("client_address", Some("unknown"))],
            "client_address is not an address: 'unknown'",
        ),
    ] {
        assert_eq!(client.ask(request(&changes)), "DUNNO");
        server.wait_for(said);
    }
    assert_eq!(client.ask("\n"), "DUNNO");
}

#[test]
fn what_is_not_the_protocol_is_disconnected_without_an_answer() {
    let mut server = Server::start(&[]);
    let long_value = format!("sender={}\n", "x".repeat(4_097));
    let long_line = "x".repeat(8_194);
    let long_request = "a=b\n".repeat(16_385);
    for (bytes, said) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "a line without `=`"),
        (long_value.as_bytes(), "a value of more than 4096 bytes"),
        (long_line.as_bytes(), "a line of more than 8192 bytes"),
        (
            long_request.as_bytes(),
            "more than 65536 bytes without a blank line",
        ),
        (b"sender=a\0b\n\n", "a NUL byte"),
    ] {
        let mut client = server.connect();
        client.send(bytes);
        assert_eq!(client.rest(), b"");
        server.wait_for(said);
    }
    // What was asked before it is answered.
    let mut client = server.connect();
    client.send(request(&[]) + "garbage\n");
    assert!(client.rest().starts_with(b"action=DEFER_IF_PERMIT "));
}

/// What he has not taken yet waits in the kernel, and would be lost if the connection were reset for what nobody reads.
#[test]
fn who_asks_and_then_talks_nonsense_gets_all_answers() {
    const REQUESTS: usize = 200;
    let mut server = Server::start(&["--quiet"]);
    let mut client = server.connect();
    let mut stream = client.stream().try_clone().expect("a second handle");
    setsockopt(&stream.as_fd(), sockopt::RcvBuf, &4_096).expect("it can");
    let nonsense = "garbage\n".repeat(1_000);
    // Stopped, so that all is there when it goes on.
    kill(server.pid(), Signal::SIGSTOP).expect("it is running");
    client.send(request(&[]).repeat(REQUESTS) + &nonsense);
    kill(server.pid(), Signal::SIGCONT).expect("it is stopped");
    server.wait_for("does not speak");
    // When this is answered the other connection is closed.
    server.connect().ask(request(&[]));
    let mut answers = String::new();
    let end = stream.read_to_string(&mut answers);
    assert_eq!(end.map_err(|error| error.kind()), Ok(answers.len()));
    assert_eq!(answers.matches("action=DEFER_IF_PERMIT ").count(), REQUESTS);
    assert_eq!(answers.matches("\n\n").count(), REQUESTS);
}

#[test]
fn complaints_do_not_drown_the_log() {
    let mut server = Server::start(&[]);
    for _ in 0..50 {
        let mut client = server.connect();
        client.send("garbage\n");
        assert_eq!(client.rest(), b"");
    }
    assert!(
        server
            .connect()
            .ask(request(&[]))
            .starts_with("DEFER_IF_PERMIT ")
    );
    assert!(server.stop(Signal::SIGTERM).success());
    let complaints = server
        .log
        .iter()
        .filter(|line| line.contains("does not speak"))
        .count();
    // A new minute may begin while this goes on.
    assert!((10..=20).contains(&complaints), "{complaints}");
    let counted = server
        .log
        .iter()
        .any(|line| line.contains("50 clients without the protocol"));
    assert!(counted, "{:?}", server.log);
}

#[test]
fn without_descriptors_one_gives_way() {
    let mut server = Server::start(&[]);
    let mut honest = server.connect();
    honest.ask(request(&[]));
    let mut silent: Vec<_> = (0..4).map(|_| server.connect()).collect();
    // They have all been taken when this one has been answered.
    server.connect().ask(request(&[]));
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("its descriptors");
    let limit = std::process::Command::new("prlimit")
        .arg(format!("--nofile={}", open.count()))
        .arg(format!("--pid={}", server.pid()))
        .status();
    assert!(limit.expect("prlimit (util-linux)").success());
    let mut newcomers: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for client in &mut newcomers {
        assert!(client.ask(request(&[])).starts_with("DEFER_IF_PERMIT "));
    }
    assert!(honest.ask(request(&[])).starts_with("DEFER_IF_PERMIT "));
    assert_eq!(silent[0].rest(), b"");
    server.wait_for("cannot accept a connection: Too many open files");
}

#[test]
fn nobody_sets_the_time_without_leave() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for time in ["1700000000", "1700001000"] {
        let action = client.ask(request(&[("policy_test_time", Some(time))]));
        assert!(action.starts_with("DEFER_IF_PERMIT "), "{action}");
    }
}

#[test]
fn at_the_limit_the_one_that_never_asked_gives_way() {
    let mut server = Server::start(&["--max-connections=4"]);
    let mut silent = server.connect();
    let mut busy: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for client in &mut busy {
        client.ask(request(&[]));
    }
    let mut fifth = server.connect();
    assert!(fifth.ask(request(&[])).starts_with("DEFER_IF_PERMIT "));
    assert_eq!(silent.rest(), b"");
    server.wait_for("new ones have to wait: raise --max-connections");
    // Now all have been of use lately, and the next one waits until one of them goes.
    let mut sixth = server.connect();
    sixth.send(request(&[]));
    loop {
        kill(server.pid(), Signal::SIGUSR1).expect("it is running");
        if server
            .wait_for("requests answered")
            .contains("limit reached 2 times")
        {
            break;
        }
    }
    for client in &mut busy {
        assert!(client.ask(request(&[])).starts_with("DEFER_IF_PERMIT "));
    }
    drop(busy.pop());
    assert!(sixth.action().starts_with("DEFER_IF_PERMIT "));
    assert!(server.stop(Signal::SIGTERM).success());
    let counts = server
        .log
        .iter()
        .rfind(|line| line.contains("requests answered"));
    let counts = counts.expect("the counts at the end");
    assert!(
        counts.contains("6 connections, limit reached 2 times, 1 closed"),
        "{counts}"
    );
}

/// For a server whose log cannot be asked whether it listens.
fn connected_when_there(socket: &str) -> Client<UnixStream> {
    while UnixStream::connect(socket).is_err() {
        std::thread::yield_now();
    }
    Client::unix(socket)
}

fn greylet_path() -> String {
    greylet()
        .get_program()
        .to_str()
        .expect("a UTF-8 path")
        .to_owned()
}

#[test]
fn log_lines_in_postgreys_words() {
    let mut server = Server::start(&[
        "--lookup-by-subnet",
        "--trust-test-time",
        "--auto-whitelist-clients=1",
    ]);
    let mut client = server.connect();
    let mut ask = |time: &str, sender: &str, queue_id: &str| {
        client.ask(request(&[
            ("policy_test_time", Some(time)),
            ("sender", Some(sender)),
            ("queue_id", Some(queue_id)),
        ]))
    };
    ask("1700000000", "a@s.example", "");
    ask("1700000001", "a@s.example", "4ABC123");
    ask("1700000300", "a@s.example", "");
    ask("1700000301", "", "");
    ask("1700000301", "evil\x07, recipient=x\u{85}", "");
    assert!(server.stop(Signal::SIGTERM).success());
    let tail = "client_name=mail.example.com, client_address=192.0.2.1, sender=a@s.example, recipient=b@r.example";
    let bounce = "client_name=mail.example.com, client_address=192.0.2.1, recipient=b@r.example";
    let evil = "client_name=mail.example.com, client_address=192.0.2.1, sender=evil?, recipient=x?, recipient=b@r.example";
    let lines: Vec<&String> = server
        .log
        .iter()
        .filter(|line| line.contains("action=") || line.contains("whitelisted"))
        .collect();
    assert_eq!(
        lines,
        [
            &format!("action=greylist, reason=new, {tail}"),
            &format!("4ABC123: action=greylist, reason=early-retry (299s missing), {tail}"),
            &format!("action=pass, reason=triplet found, delay=300, {tail}"),
            &"whitelisted: mail.example.com[192.0.2.1]".to_owned(),
            &format!("action=pass, reason=client AWL, {bounce}"),
            &format!("action=pass, reason=client AWL, {evil}"),
        ]
    );
}

#[test]
fn quiet_and_verbose() {
    for (option, greylisted, data) in [
        ("--quiet", 0, 0),
        ("--socketmode=666", 1, 0),
        ("--verbose", 1, 1),
    ] {
        let mut server = Server::start(&[option]);
        server.connect().ask(request(&[]));
        server
            .connect()
            .ask(request(&[("protocol_state", Some("DATA"))]));
        assert!(server.stop(Signal::SIGTERM).success());
        let count = |text: &str| server.log.iter().filter(|line| line.contains(text)).count();
        assert_eq!(
            (count("action=greylist"), count("reason=not RCPT")),
            (greylisted, data)
        );
        assert_eq!((count("listening on"), count("SIGTERM received")), (1, 1));
    }
}

#[test]
fn a_log_file_at_its_limit_does_not_kill() {
    let scratch = Scratch::new("limit");
    let (socket, log) = (scratch.path("policy"), scratch.path("log"));
    let path = greylet_path();
    let mut server = std::process::Command::new("sh")
        .arg("-c")
        .arg(format!(
            "ulimit -f 4; exec {path} serve --dbdir= --unix={socket} >{log}"
        ))
        .spawn()
        .expect("sh starts");
    let mut client = connected_when_there(&socket);
    for number in 0..200 {
        client.ask(request_from(&format!("s{number}x@s.example")));
    }
    let size = std::fs::metadata(&log).expect("the log").len();
    assert!((1..=4_096).contains(&size), "{size}");
    server.kill().expect("it is running");
    server.wait().expect("it ends");
}

/// A terminal says that it can be written to when there is room for one byte.
#[test]
fn a_stuck_terminal_holds_up_no_mail() {
    let scratch = Scratch::new("terminal");
    let socket = scratch.path("policy");
    let terminal = nix::pty::openpty(None, None).expect("a terminal");
    let mut child = greylet()
        .args(["serve", "--dbdir=", "--unix", &socket])
        .stdin(Stdio::null())
        .stdout(terminal.slave.try_clone().expect("a handle"))
        .stderr(terminal.slave)
        .spawn()
        .expect("greylet starts");
    let mut screen = std::fs::File::from(terminal.master);
    let mut shown = Vec::new();
    while !String::from_utf8_lossy(&shown).contains("listening on") {
        let mut piece = [0; 100];
        let bytes = std::io::Read::read(&mut screen, &mut piece).expect("a line");
        shown.extend_from_slice(&piece[..bytes]);
    }
    let mut client = Client::unix(&socket);
    for number in 0..2_000 {
        let action = client.ask(request_from(&format!("s{number}x@s.example")));
        assert!(action.starts_with("DEFER_IF_PERMIT "));
    }
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    kill(pid, Signal::SIGTERM).expect("it is running");
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn lines_that_were_dropped_are_counted() {
    let scratch = Scratch::new("dropped");
    let socket = scratch.path("policy");
    let fifo = scratch.path("log");
    nix::unistd::mkfifo(fifo.as_str(), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    let fifo = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&fifo)
        .expect("the fifo");
    let mut server = greylet()
        .args(["serve", "--dbdir=", "--unix", &socket])
        .stdout(fifo.try_clone().expect("a handle"))
        .stderr(Stdio::null())
        .spawn()
        .expect("greylet starts");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(fifo));
    let mut next_line = || lines.next().expect("a line").expect("readable");
    while !next_line().contains("listening on") {}
    let mut client = Client::unix(&socket);
    for number in 0..5_000 {
        client.ask(request_from(&format!("s{number}x@s.example")));
    }
    let mut logged = 0;
    let dropped: usize = loop {
        // Each request makes a line and each look makes room, so the reader never waits for ever.
        client.ask(request_from("late@s.example"));
        let line = next_line();
        if let Some((count, _)) = line.split_once(" log lines were dropped") {
            break count.parse().expect("a number");
        }
        assert!(line.starts_with("action=greylist"), "{line}");
        logged += 1;
    };
    assert!(logged + dropped >= 5_000, "{logged} + {dropped}");
    server.kill().expect("it is running");
    server.wait().expect("it ends");
}

#[test]
fn other_signals_do_not_kill() {
    let mut server = Server::start(&[]);
    let mut client = server.connect();
    for (signal, said) in [
        (
            Signal::SIGHUP,
            Some("HUP received: reloading whitelists..."),
        ),
        (Signal::SIGUSR1, Some("requests answered, ")),
        (Signal::SIGPIPE, None),
    ] {
        kill(server.pid(), signal).expect("it is running");
        if let Some(said) = said {
            server.wait_for(said);
        }
        assert!(client.ask(request(&[])).starts_with("DEFER_IF_PERMIT "));
    }
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("its threads");
    assert_eq!(tasks.count(), 1);
    assert!(server.stop(Signal::SIGINT).success());
}

/// Where greylet knows more than Postgrey, it says so behind Postgrey's words.
#[test]
fn log_lines_by_name() {
    let mut server = Server::start(&["--trust-test-time", "--auto-whitelist-clients=1"]);
    let mut client = server.connect();
    let sender = "bounce-0123456789abcdef0123@s.example";
    for time in ["1700000000", "1700000300"] {
        client.ask(request(&[
            ("policy_test_time", Some(time)),
            ("sender", Some(sender)),
        ]));
    }
    client.ask(request(&[
        ("sasl_username", Some("anna")),
        ("sender", Some("anna@r.example")),
        ("recipient", Some("bert@s.example")),
    ]));
    assert!(server.stop(Signal::SIGTERM).success());
    let who = "client_name=mail.example.com, client_address=192.0.2.1";
    let tail =
        format!("identity=example.com, folded=yes, {who}, sender={sender}, recipient=b@r.example");
    let lines: Vec<&String> = server
        .log
        .iter()
        .filter(|line| line.contains("action=") || line.contains("whitelisted"))
        .collect();
    assert_eq!(
        lines,
        [
            &format!("action=greylist, reason=new, {tail}"),
            &format!("action=pass, reason=triplet found, delay=300, {tail}"),
            &"whitelisted: mail.example.com[192.0.2.1]".to_owned(),
            &"whitelisted: example.com for senders of s.example".to_owned(),
            &format!(
                "action=pass, reason=authenticated, {who}, sender=anna@r.example, recipient=bert@s.example"
            ),
        ]
    );
}
