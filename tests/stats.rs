//! `greylet stats`: what the running server has counted, on the wire, for people, as JSON and for Prometheus.
//!
//! `promtool check metrics` reads the last one too, if there is a promtool (Debian: prometheus); it must be there if `CI` or
//! `GREYLET_REQUIRE_PROMTOOL` is set.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use greylet::engine::history::{OUTCOMES, Outcome};
use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use support::{Client, PATIENCE, Scratch, Server, greylet, request, run, say};

/// The beginning of an hour, well before the test runs.
const HOUR: u64 = 3_600 * 490_000;

/// What `greylet stats` prints of a server, with an option or none.
fn printed(server: &str, option: Option<&str>) -> String {
    let server = format!("--server={server}");
    let mut words = vec!["stats", &server];
    words.extend(option);
    let output = run(&words, b"");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stderr, b"");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn json(server: &str) -> Value {
    serde_json::from_str(&printed(server, Some("--json"))).expect("JSON")
}

/// What the server itself says at a time, name and value by line.
fn told<S: Read + Write>(client: &mut Client<S>, time: u64) -> BTreeMap<String, String> {
    client.send(format!("request=stats\npolicy_test_time={time}\n\n"));
    let reply = client.reply();
    assert!(reply.starts_with("stats=yes\nversion="), "{reply}");
    let lines = reply.trim_end().lines().map(|line| {
        let (name, value) = line.split_once('=').expect("a name and a value");
        (name.to_owned(), value.to_owned())
    });
    let (all, lines) = (
        reply.trim_end().lines().count(),
        lines.collect::<BTreeMap<_, _>>(),
    );
    assert_eq!(all, lines.len(), "no name twice");
    lines
}

fn ask_at<S: Read + Write>(client: &mut Client<S>, time: u64, changes: &[(&str, Option<&str>)]) {
    let time = time.to_string();
    let changes = [&[("policy_test_time", Some(&time[..]))], changes].concat();
    client.ask(request(&changes));
}

/// A mail that waits, comes too early, passes, and passes again; others that need not wait; and what is no mail.
fn ask_all_kinds<S: Read + Write>(client: &mut Client<S>) {
    let unknown = ("client_name", Some("unknown"));
    for time in [HOUR, HOUR + 60, HOUR + 3_600, HOUR + 3_700, HOUR + 3_800] {
        ask_at(client, time, &[unknown]);
    }
    let local = ("client_address", Some("127.0.0.1"));
    for _ in 0..3 {
        ask_at(client, HOUR + 4_000, &[local]);
    }
    let other = [
        unknown,
        ("sender", Some("c@s.example")),
        ("instance", Some("1.2")),
    ];
    ask_at(client, HOUR + 4_000, &other);
    ask_at(client, HOUR + 4_000, &other);
    ask_at(client, HOUR + 4_000, &[("request", Some("junk"))]);
    ask_at(client, HOUR + 4_000, &[("sender", None)]);
}

/// What the server tells of an hour in which there was this and nothing else.
fn hour(counts: &[(&str, u32)]) -> String {
    let count = |name: &&str| {
        let counted = counts.iter().find(|(counted, _)| counted == name);
        counted.map_or(0, |(_, count)| *count).to_string()
    };
    Outcome::NAMES
        .iter()
        .map(count)
        .collect::<Vec<_>>()
        .join(",")
}

#[test]
fn what_was_asked_is_counted() {
    let mut server = Server::start(&["--trust-test-time"]);
    let mut client = server.connect();
    ask_all_kinds(&mut client);
    let stats = told(&mut client, HOUR + 2 * 3_600);
    let is = |name: &str, value: &str| {
        assert_eq!(stats.get(name).map(String::as_str), Some(value), "{name}");
    };
    is("version", env!("CARGO_PKG_VERSION"));
    is("requests", "12");
    is("requests_repeated", "1");
    let verdicts = stats
        .iter()
        .filter(|(name, value)| name.starts_with("verdicts.") && *value != "0");
    let verdicts: Vec<_> = verdicts
        .map(|(name, value)| (&name["verdicts.".len()..], &value[..]))
        .collect();
    assert_eq!(
        verdicts,
        [
            ("attribute_missing", "1"),
            ("early_retry", "1"),
            ("first_pass", "1"),
            ("local_client", "3"),
            ("new", "2"),
            ("triplet_found", "2"),
            ("unknown_request", "1"),
        ]
    );
    is("requests_unjudged", "2");
    // The triplet, and the count of its first pass.
    is("entries.known", "2");
    is("entries.plain", "1");
    is("entries.proven", "0");
    is("entries_max", "65536");
    is("entries_unused_max_seconds.plain", "3200");
    is("entries_unused_max_seconds.known", "3600");
    assert!(!stats.contains_key("entries_unused_max_seconds.proven"));
    is("connections_open", "1");
    is("connections_accepted", "1");
    is("connections_max", "256");
    is("evictions.plain", "0");
    assert!(!stats.contains_key("evicted_pending_age_min_seconds"));
    // Nothing is kept.
    assert!(!stats.keys().any(|name| name.starts_with("snapshot_")));
    is("hours", &Outcome::NAMES.join(","));
    is("hour.2", &hour(&[("new", 1), ("early_retry", 1)]));
    let next = [
        ("new", 1),
        ("first_pass", 1),
        ("known", 2),
        ("own", 3),
        ("unjudged", 2),
    ];
    is("hour.1", &hour(&next));
    assert!(!stats.contains_key("hour.0") && !stats.contains_key("hour.3"));
    let later = told(&mut client, HOUR + 169 * 3_600);
    assert!(!later.contains_key("hour.168") && !later.contains_key("hour.169"));
    // To ask for the numbers is no request, and SIGUSR1 logs the same ones.
    assert_eq!(told(&mut client, HOUR)["requests"], "12");
    kill(server.pid(), Signal::SIGUSR1).expect("it runs");
    let logged = server.wait_for("requests answered");
    let begin = "12 requests answered, 3 entries; 1 connections, limit reached 0 times, 0 closed";
    assert!(logged.contains(begin), "{logged}");
    assert!(logged.ends_with(
        "0 clients without the protocol, 2 requests not judged, 0 entries evicted young"
    ));
}

#[test]
fn who_had_to_make_room() {
    let server = Server::start(&["--trust-test-time", "--max-entries=64"]);
    let mut client = server.connect();
    for second in 0..100 {
        let sender = format!("{}@s.example", "x".repeat(second + 1));
        let unknown = ("client_name", Some("unknown"));
        ask_at(
            &mut client,
            HOUR + second as u64,
            &[unknown, ("sender", Some(&sender))],
        );
    }
    let stats = told(&mut client, HOUR + 100);
    for (name, value) in [
        ("entries.plain", "64"),
        ("entries_max", "64"),
        ("evictions.plain", "36"),
        ("evictions.known", "0"),
        ("evictions_young", "36"),
        ("evicted_pending_age_min_seconds", "64"),
        ("entries_unused_max_seconds.plain", "64"),
        ("entries_beyond_share", "0"),
    ] {
        assert_eq!(stats[name], value, "{name}");
    }
    for second in 100..120 {
        let sender = format!("{}@s.example", "x".repeat(second + 1));
        let sender = ("sender", Some(&*sender));
        ask_at(&mut client, HOUR + second as u64, &[sender]);
    }
    let stats = told(&mut client, HOUR + 120);
    assert_eq!(stats["entries.named"], "2");
    assert_eq!(stats["entries_beyond_share"], "18");
    // What has expired makes room too, but nobody misses it.
    let unknown = ("client_name", Some("unknown"));
    ask_at(
        &mut client,
        HOUR + 3 * 86_400,
        &[unknown, ("sender", Some("late@s.example"))],
    );
    assert_eq!(
        told(&mut client, HOUR + 3 * 86_400)["evictions.plain"],
        "56"
    );
    let screen = printed(&server.listening[0], None);
    let beyond = "18 of mail servers were kept as plain, beyond their organisation's share.";
    assert!(screen.contains(beyond), "{screen}");
    assert!(
        screen.contains("evicted while it was pending was 64 seconds old.\n  The table is too small: raise --max-entries."),
        "{screen}"
    );
}

#[test]
fn saves() {
    let scratch = Scratch::new("statssaves");
    let folder = scratch.path("state");
    let in_the_way = format!("{folder}/snapshot.new");
    std::fs::create_dir_all(format!("{in_the_way}/full")).expect("a folder");
    let mut server = Server::start_in(&folder, &[]);
    let mut client = server.connect();
    ask_all_kinds(&mut client);
    let number = |stats: &BTreeMap<String, String>, name: &str| -> Option<u64> {
        stats
            .get(name)
            .map(|value| value.parse().expect("a number"))
    };
    let stats = told(&mut client, HOUR);
    assert_eq!(number(&stats, "snapshot_saves"), Some(0));
    assert_eq!(number(&stats, "snapshot_size_bytes"), None);
    assert_eq!(number(&stats, "snapshot_age_seconds"), None);
    kill(server.pid(), Signal::SIGUSR1).expect("it runs");
    server.wait_for("cannot save to");
    std::fs::remove_dir_all(&in_the_way).expect("it is there");
    server.save();
    let file_bytes = || {
        std::fs::metadata(format!("{folder}/snapshot"))
            .expect("a file")
            .len()
    };
    let stats = told(&mut client, HOUR);
    assert_eq!(number(&stats, "snapshot_saves"), Some(1));
    assert_eq!(number(&stats, "snapshot_saves_failed"), Some(1));
    assert_eq!(number(&stats, "snapshot_size_bytes"), Some(file_bytes()));
    assert_eq!(number(&stats, "snapshot_written_bytes"), Some(file_bytes()));
    assert!(number(&stats, "snapshot_age_seconds").is_some());
    ask_at(&mut client, HOUR + 5_000, &[]);
    server.save();
    let stats = told(&mut client, HOUR);
    assert_eq!(number(&stats, "snapshot_saves"), Some(2));
    assert_eq!(number(&stats, "snapshot_size_bytes"), Some(file_bytes()));
    assert!(server.stop(Signal::SIGTERM).success());
    // A start knows the snapshot, and has written nothing yet. What was decided before is in the history alone.
    let server = Server::start_in(&folder, &[]);
    let stats = told(&mut server.connect(), HOUR + 2 * 3_600);
    assert_eq!(number(&stats, "snapshot_size_bytes"), Some(file_bytes()));
    assert!(number(&stats, "snapshot_age_seconds").is_some());
    assert_eq!(number(&stats, "snapshot_saves"), Some(0));
    assert_eq!(number(&stats, "snapshot_written_bytes"), Some(0));
    assert_eq!(number(&stats, "verdicts.new"), Some(0));
    assert_eq!(stats["hour.2"], hour(&[("new", 1), ("early_retry", 1)]));
}

/// An answer that does not fit into one buffer, between others.
#[test]
fn a_long_answer() {
    let server = Server::start(&["--trust-test-time"]);
    let mut client = server.connect();
    for hour in 0..168 {
        ask_at(&mut client, HOUR + hour * 3_600, &[]);
    }
    let time = (HOUR + 167 * 3_600).to_string();
    let question = format!("request=stats\npolicy_test_time={time}\n\n");
    let mail = request(&[("policy_test_time", Some(&time))]);
    client.send(format!("{question}{mail}{question}"));
    let first = client.reply();
    assert!(first.len() > 4_096, "{}", first.len());
    let hours = first.lines().filter(|line| line.starts_with("hour."));
    assert_eq!(hours.count(), 168);
    assert!(client.action().starts_with("DUNNO"));
    let second = client.reply();
    assert!(second.contains("\nrequests=169\n") && second.ends_with("\n\n"));
}

#[test]
fn json_is_one_object_of_whole_numbers() {
    let scratch = Scratch::new("statsjson");
    let socket = scratch.path("socket");
    let unix = format!("--unix={socket}");
    let server = Server::start_on(&["--inet=127.0.0.1:0", &unix], &["--trust-test-time"]);
    ask_all_kinds(&mut Client::unix(&socket));
    for address in [&server.listening[0], &format!("unix:{socket}")] {
        let text = printed(address, Some("--json"));
        assert_eq!(text.lines().count(), 1);
        let stats: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(stats["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(stats["requests"], 12);
        assert_eq!(stats["verdicts"]["new"], 2);
        assert_eq!(stats["verdicts"]["mail_server"], 0);
        assert_eq!(stats["entries"]["wrote_to"], 0);
        let history = stats["history"].as_object().expect("an object");
        assert_eq!(history.len(), OUTCOMES);
        assert!(
            Outcome::NAMES
                .iter()
                .all(|name| history.contains_key(*name))
        );
        for hours in history.values() {
            assert_eq!(hours.as_array().map(Vec::len), Some(168));
        }
        assert_only_integers(&stats, &["version"]);
    }
}

fn assert_only_integers(value: &Value, texts: &[&str]) {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| !texts.contains(&&name[..]))
            .for_each(|(_, member)| assert_only_integers(member, &[])),
        Value::Array(items) => items
            .iter()
            .for_each(|item| assert_only_integers(item, &[])),
        value => assert!(value.is_u64(), "{value}"),
    }
}

/// Requests whose times are near, as the command has no time of its own to give.
#[test]
fn the_hours_are_in_order() {
    let server = Server::start(&["--trust-test-time"]);
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("after 1970")
        .as_secs();
    let mut client = server.connect();
    ask_at(&mut client, now - 10 * 3_600, &[]);
    ask_at(&mut client, now - 8 * 3_600, &[]);
    let stats = json(&server.listening[0]);
    let hour = |outcome: &str| {
        let hours = stats["history"][outcome].as_array().expect("hours");
        hours.iter().position(|count| *count == 1).expect("one")
    };
    assert_eq!(hour("first_pass") - hour("new"), 2);
    // The hour may have just begun, or end now.
    assert!((158..=160).contains(&hour("first_pass")), "{stats}");
    let screen = printed(&server.listening[0], None);
    assert!(
        screen.contains("\n  last 24 hours         1          1          0  |"),
        "{screen}"
    );
    let row = screen
        .lines()
        .find(|line| line.starts_with("  last 24 hours"))
        .expect("a row");
    assert_eq!(row.matches('@').count(), 1);
    // Now is at the right end.
    let graph = row.split('|').nth(1).expect("a graph");
    assert!(
        (12..=13).contains(&graph.find('@').expect("a peak")),
        "{row}"
    );
}

#[test]
fn the_screen() {
    let server = Server::start(&["--trust-test-time"]);
    ask_all_kinds(&mut server.connect());
    let screen = printed(&server.listening[0], None);
    for line in [
        "Requests                        12  since the start",
        "  deferred                       3",
        "    new                          2  not seen before, or too long ago",
        "    early retry                  1  came back too early",
        "  passed                         8",
        "    triplet found                2  has passed before",
        "    first pass                   1  came back after the delay",
        "    local client                 3  mail of this machine",
        "  repeated                       1  asked again about the same message",
        "  all                            3           0  room for 65536",
        "  open                           1  at most 256",
        "  not judged                     2  passed: something was missing",
        "Snapshot                      none",
    ] {
        assert!(screen.lines().any(|it| it == line), "{line}\n{screen}");
    }
    assert!(screen.lines().all(|line| line.len() <= 80), "{screen}");
    // What there was none of is left out.
    assert!(!screen.contains("mail server"), "{screen}");
}

#[test]
fn it_says_whether_it_pretends() {
    let said = "Dry run: all mail passes; what is deferred here would have been.";
    for (options, is_dry_run) in [(&["--dry-run"][..], 1), (&[], 0)] {
        let server = Server::start(options);
        let screen = printed(&server.listening[0], None);
        assert_eq!(
            screen.lines().nth(1) == Some(said),
            is_dry_run == 1,
            "{screen}"
        );
        assert_eq!(json(&server.listening[0])["dry_run"], is_dry_run);
        let text = printed(&server.listening[0], Some("--prometheus"));
        assert_eq!(samples(&text)["greylet_dry_run"], is_dry_run);
    }
}

#[test]
fn who_does_not_speak_the_protocol() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    client.rest();
    assert_eq!(json(&server.listening[0])["protocol_errors"], 1);
}

/// Waits for what must come.
fn until(mut is_there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_there() {
        assert!(begun.elapsed() < PATIENCE, "it has not come");
        std::thread::yield_now();
    }
}

/// Every write to /dev/full fails.
#[test]
fn lines_that_nobody_gets() {
    let scratch = Scratch::new("statsfull");
    let socket = scratch.path("socket");
    let full = File::options()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    let mut child = greylet()
        .args(["serve", "--dbdir=", &format!("--unix={socket}")])
        .stdin(Stdio::null())
        .stdout(full)
        .stderr(Stdio::null())
        .spawn()
        .expect("greylet starts");
    until(|| UnixStream::connect(&socket).is_ok());
    let mut client = Client::unix(&socket);
    let lost = |client: &mut Client<_>| -> u64 {
        told(client, HOUR)["log_lines_lost"]
            .parse()
            .expect("a number")
    };
    // What it says at the start.
    until(|| lost(&mut client) > 0);
    let before = lost(&mut client);
    for _ in 0..3 {
        client.ask(request(&[]));
    }
    until(|| lost(&mut client) >= before + 3);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

/// The text format by its rules: a name is described before its first sample and once, its samples stand together, and none is there twice.
#[test]
fn prometheus() {
    let scratch = Scratch::new("statsprometheus");
    let mut server = Server::start_in(&scratch.path("state"), &["--max-entries=64"]);
    let mut client = server.connect();
    ask_all_kinds(&mut client);
    for second in 0..100 {
        let sender = format!("{}@s.example", "x".repeat(second + 1));
        ask_at(
            &mut client,
            HOUR + 4_000 + second as u64,
            &[("sender", Some(&sender))],
        );
    }
    server.save();
    let text = printed(&server.listening[0], Some("--prometheus"));
    let samples = samples(&text);
    assert_eq!(samples["greylet_requests_total"], 112);
    assert_eq!(samples["greylet_verdicts_total{reason=\"early_retry\"}"], 1);
    assert_eq!(samples["greylet_entries_max"], 64);
    assert!(samples["greylet_evictions_total{class=\"plain\"}"] > 0);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        samples[&format!("greylet_build_info{{version=\"{version}\"}}")],
        1
    );
    assert!(!text.contains("history") && !text.contains("greylet_hour"));
    check_with_promtool(&text);
    check_readme(&text);
}

fn samples(text: &str) -> BTreeMap<String, u64> {
    assert!(text.ends_with('\n') && text.is_ascii());
    let (mut samples, mut described, mut current) =
        (BTreeMap::new(), BTreeSet::new(), String::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect("words");
            assert!(words.ends_with('.'), "{line}");
            assert!(
                described.insert(name.to_owned()),
                "{name} is described twice"
            );
            let kind = if name.ends_with("_total") {
                "counter"
            } else {
                "gauge"
            };
            assert_eq!(lines.next(), Some(&format!("# TYPE {name} {kind}")[..]));
            current = name.to_owned();
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').expect("a value");
        let name = sample.split('{').next().expect("a first part");
        assert_eq!(name, current, "{line}");
        if let Some(labels) = sample
            .strip_prefix(name)
            .filter(|labels| !labels.is_empty())
        {
            let label = labels
                .strip_prefix('{')
                .and_then(|it| it.strip_suffix("\"}"));
            let (label, value) = label.and_then(|it| it.split_once("=\"")).expect("a label");
            let is_plain = |text: &str| {
                text.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte))
            };
            assert!(is_plain(label) && is_plain(value), "{line}");
        }
        let value = value.parse().expect("a whole number");
        assert!(
            samples.insert(sample.to_owned(), value).is_none(),
            "{sample} is there twice"
        );
    }
    samples
}

fn check_with_promtool(text: &str) {
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = spawned else {
        let line = "there is no promtool: what Prometheus gets is not read by its own parser (apt install prometheus)";
        for variable in ["CI", "GREYLET_REQUIRE_PROMTOOL"] {
            assert!(std::env::var_os(variable).is_none(), "{variable}: {line}");
        }
        return say(line);
    };
    let mut stdin = promtool.stdin.take().expect("a pipe");
    stdin.write_all(text.as_bytes()).expect("it reads");
    drop(stdin);
    let output = promtool.wait_with_output().expect("it ends");
    // It prints what offends against the conventions.
    assert!(
        output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(),
        "{output:?}\n{text}"
    );
}

/// README has a row for each name, in the same order, and no other.
fn check_readme(text: &str) {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"))
        .expect("README.md");
    let rows = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `greylet_")?.split('`').next());
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE greylet_")?.split(' ').next());
    assert_eq!(rows.collect::<Vec<_>>(), names.collect::<Vec<_>>());
}

#[test]
fn whom_it_does_not_tell() {
    let failure = |server: &str| {
        let output = run(&["stats", &format!("--server={server}"), "--json"], b"");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(output.stdout, b"");
        String::from_utf8(output.stderr).expect("text")
    };
    // Any other policy server.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let server = std::thread::spawn(move || {
        let mut stream = listener.accept().expect("a connection").0;
        stream.write_all(b"action=DUNNO\n\n").expect("it is taken");
    });
    assert!(failure(&address).contains(&format!("{address} does not tell its numbers")));
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
        // To Postfix it is a request like any other that nobody knows.
        let mut client = server.connect();
        assert_eq!(client.ask("request=stats\n\n"), "DUNNO");
    }
}

#[test]
fn wrong_command_lines() {
    for (words, said) in [
        (
            &["stats", "--json", "--prometheus"][..],
            "--json or --prometheus, not both",
        ),
        (&["stats", "--jsno"], "--jsno"),
        (&["stats", "now"], "now"),
    ] {
        let output = run(words, b"");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(said), "{text}");
    }
}
