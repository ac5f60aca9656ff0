//! `greylet report` on logs of every kind, in `tests/cases/*.log`, and on what is no log.

mod support;

use std::fs;
use std::io::Write;
use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime};

use greylet::commands::report::action::action_line;
use greylet::commands::report::line::Line;
use nix::sys::signal::Signal;
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Scratch, Server, greylet, request, run};

fn case(name: &str) -> String {
    format!("{}/tests/cases/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// What is printed by a report without a complaint.
fn report(words: &[&str], input: &[u8]) -> String {
    let output = run(&[&["report"], words].concat(), input);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    assert_eq!(output.status.code(), Some(0), "{words:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn json_report(words: &[&str], input: &[u8]) -> Value {
    let printed = report(&[&["--json"], words].concat(), input);
    serde_json::from_str(&printed).expect("JSON")
}

/// Sender, recipient, number of tries, first and last time of all that never came back.
fn lost(report: &Value) -> Vec<String> {
    let networks = report["networks"].as_array().expect("an array");
    let mails = networks.iter().flat_map(|network| {
        let mails = network["mails"].as_array().expect("an array");
        mails.iter().map(|mail| {
            let text = |name: &str| mail[name].as_str().unwrap_or("-").to_owned();
            format!(
                "{} {}[{}] <{}> <{}> {} {} {}",
                network["network"].as_str().expect("a network"),
                text("client_name"),
                text("client_address"),
                text("sender"),
                text("recipient"),
                mail["tries"],
                text("first"),
                text("last")
            )
        })
    });
    mails.collect()
}

/// Deferred mails, deferrals, passed, waiting, never back.
fn totals(report: &Value) -> [Option<u64>; 5] {
    ["deferred", "deferrals", "passed", "waiting", "never_back"].map(|name| report[name].as_u64())
}

#[test]
fn greylet_on_openwrt() {
    assert_eq!(
        report(&[&case("greylet-openwrt.log")], b""),
        r#"Greylisted, and never back: 4 mails

192.0.2.0/24
  mail.example.com[192.0.2.1]  <a@s.example> -> <bert@r.example>  1 try, 2026-11-23 08:12:10

198.51.100.0/24
  web3.hoster.example[198.51.100.20]  <order-1701@shop.example> -> <anna@r.example>  1 try, 2026-11-23 08:40:00, passed elsewhere

203.0.113.0/24
  unknown[203.0.113.77]  <promo@spam.example> -> <anna@r.example>  1 try, 2026-11-23 08:30:00
  unknown[203.0.113.77]  <promo@spam.example> -> <bert@r.example>  1 try, 2026-11-23 08:30:02

Totals
  deferred              9  in 10 deferrals
  came back             3  after 7 min 54 s on average (median 8 min 0 s)
  still waiting         2  first try less than 4 hours before the log's end
  never back            4  57.1 % of what is not still waiting
  passed at once        1  client AWL
  passed at once        1  triplet found

1 mail "passed elsewhere": later the same sender and recipient passed from a client of another organisation and network.
"#
    );
}

/// VERP and BATV senders, a doubled `%`, a name `unknown`, and the end of a year that nobody has written.
#[test]
fn postgrey_in_syslog() {
    let report = json_report(&[&case("postgrey-syslog.log")], b"");
    assert_eq!(
        lost(&report),
        [
            "203.0.113.0/24 mail.nobody.example[203.0.113.9] <100%@nobody.example> <anna@r.example> 2 Dec 30 22:10:00 Dec 31 23:58:20",
            "203.0.113.0/24 unknown[203.0.113.200] <\"x, recipient=victim@r.example\"@evil.example> <anna@r.example> 1 Jan  1 00:30:00 Jan  1 00:30:00",
        ]
    );
    assert_eq!(totals(&report), [4, 5, 2, 0, 2].map(Some));
    // One delay is as logged, the other is told by the times of two years.
    assert_eq!(report["delay_mean"], 1_200);
    assert_eq!(
        report["passed_at_once"],
        json!({"client whitelist": 1, "recipient whitelist": 1})
    );
    assert_eq!(report["never_back_share"], json!(0.5));
}

/// Organisations, folded senders, and bounces that are judged at DATA.
#[test]
fn greylet_with_names() {
    let log = case("greylet-names.log");
    let printed = report(&["--what-if", &log], b"");
    let (before, what_if) = printed.split_once("\nWith --greylist").expect("both parts");
    assert_eq!(before, report(&[&log], b""));
    assert_eq!(
        what_if,
        r#"=suspicious, of 13 mails deferred
  passed at once        7  53.8 %, first tried by a mail server
    came back           2  15.4 %, spared 8 min 15 s on average (median 8 min 15 s)
    never back          4  30.8 %, let in, and probably spam; see below
    waiting             1  7.7 %
  still deferred        6  46.2 %

Let in and never back, by the client's organisation, with one of the senders
         2  spam.example  <win@spam.example>
         1  rented.example  <offer@other.example>
         1  shop.example  <order@shop.example>, 1 passed elsewhere
"#
    );
    let json = json_report(&["--what-if", &log], b"");
    assert_eq!(totals(&json), [13, 15, 4, 2, 7].map(Some));
    assert_eq!(
        json["passed_at_once"],
        json!({"client AWL": 1, "outgoing": 1, "wrote to": 1})
    );
    assert_eq!(
        lost(&json)[6],
        "203.0.113.0/24 unknown[203.0.113.44] <> <anna@r.example> 2 Nov 23 10:00:00 Nov 23 10:01:00"
    );
    let organisation = |name, mails, passed_elsewhere, sender| json!({"organisation": name, "mails": mails, "passed_elsewhere": passed_elsewhere, "sender": sender});
    assert_eq!(
        json["what_if"],
        json!({
            "greylist": "suspicious",
            "passed_at_once": 7,
            "passed_at_once_share": 0.5385,
            "came_back": 2,
            "came_back_share": 0.1538,
            "never_back": 4,
            "never_back_share": 0.3077,
            "waiting": 1,
            "waiting_share": 0.0769,
            "still_deferred": 6,
            "still_deferred_share": 0.4615,
            "spared_mean": 495,
            "spared_median": 495,
            "passed_elsewhere": 1,
            "mail_server_passes": 0,
            "organisations": [
                organisation("spam.example", 2, 0, "win@spam.example"),
                organisation("rented.example", 1, 0, "offer@other.example"),
                organisation("shop.example", 1, 1, "order@shop.example"),
            ],
            "organisations_left_out": 0,
        })
    );
    // Who does not ask is not told.
    assert_eq!(json_report(&[&log], b"").get("what_if"), None);
}

/// Postfix's rejects have the names too. Without deliveries nobody knows what came back.
#[test]
fn what_if_with_postfix_alone() {
    let log = fs::read_to_string(case("postfix-alone.log")).expect("the log");
    let what_if = &json_report(&["--what-if"], log.as_bytes())["what_if"];
    let numbers = |what_if: &Value| {
        ["passed_at_once", "came_back", "never_back", "spared_mean"]
            .map(|name| what_if[name].as_u64())
    };
    assert_eq!(numbers(what_if), [Some(2), Some(2), Some(0), Some(921)]);

    let rejects: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("reject:"))
        .collect();
    let mut rejects = rejects.join("\n");
    rejects.push_str("\nNov 24 20:00:00 mx postfix/smtpd[429]: connect from unknown[203.0.113.5]");
    let what_if = &json_report(&["--what-if"], rejects.as_bytes())["what_if"];
    assert_eq!(numbers(what_if), [Some(2), None, None, None]);
    let printed = report(&["--what-if"], rejects.as_bytes());
    assert!(
        printed.contains("    not known           2  50.0 %\n"),
        "{printed}"
    );
    assert!(
        printed.contains("Let in and perhaps never back"),
        "{printed}"
    );
}

/// The default list has iCloud's servers as a pool: their names do not say that they send mail.
#[test]
fn pools_of_the_default_list() {
    let new = NEW.replace("mail.example.com", "qs51p00im-qukt01072501.me.com");
    let found = FOUND.replace("mail.example.com", "mr85p00im-ztdg06021701.me.com");
    let found = found.replace("192.0.2.1", "198.51.100.1");
    let json = json_report(&["--what-if"], format!("{new}\n{found}\n").as_bytes());
    assert_eq!(totals(&json), [1, 1, 1, 0, 0].map(Some));
    assert_eq!(json["what_if"]["came_back"], 1);
}

#[test]
fn what_if_there_is_nothing() {
    let printed = report(&["--what-if"], b"");
    assert!(!printed.contains("suspicious"), "{printed}");
    let line =
        "action=pass, reason=client AWL, client_name=x, client_address=192.0.2.1, recipient=b";
    let printed = report(&["--what-if"], line.as_bytes());
    assert!(
        printed.ends_with(
            r#"
With --greylist=suspicious, of 0 mails deferred
  passed at once        0  first tried by a mail server
    came back           0
    never back          0
    waiting             0
  still deferred        0
"#
        ),
        "{printed}"
    );
}

/// Summer time ends between a first try and its retry.
#[test]
fn reasons_of_lists() {
    let client =
        "client_name=x, client_address=192.0.2.1, sender=a@s.example, recipient=b@r.example";
    let reasons = ["sender whitelist", "recipient not greylisted", "made up"];
    let lines = reasons.map(|reason| format!("action=pass, reason={reason}, {client}\n"));
    let json = json_report(&[], lines.concat().as_bytes());
    assert_eq!(
        json["passed_at_once"],
        json!({"sender whitelist": 1, "recipient not greylisted": 1, "other": 1})
    );
}

#[test]
fn greylet_in_the_journal() {
    let report = json_report(&[&case("greylet-journald.log")], b"");
    assert_eq!(
        lost(&report),
        [
            "203.0.113.0/24 unknown[203.0.113.5] <x@spam.example> <b@r.example> 1 2026-10-25T02:07:00+01:00 2026-10-25T02:07:00+01:00"
        ]
    );
    assert_eq!(totals(&report), [2, 2, 1, 0, 1].map(Some));
    assert_eq!(report["delay_mean"], 600);
    assert_eq!(report["log_end"], "2026-10-25T09:07:00+01:00");
}

#[test]
fn greylet_with_iso_8601() {
    let report = json_report(&[&case("greylet-iso8601.log")], b"");
    assert_eq!(
        lost(&report),
        [
            "203.0.113.0/24 unknown[203.0.113.5] <x@spam.example> <b@r.example> 2 2026-11-23T20:14:00+01:00 2026-11-23T20:15:10+01:00"
        ]
    );
    assert_eq!(totals(&report), [2, 3, 1, 0, 1].map(Some));
}

#[test]
fn postfix_alone() {
    let log = case("postfix-alone.log");
    let report = json_report(&[&log], b"");
    assert_eq!(report["source"], "Postfix");
    assert_eq!(
        lost(&report),
        [
            "203.0.113.0/24 unknown[203.0.113.5] <s@spam.example> <b@r.example> 1 Nov 23 20:26:00 Nov 23 20:26:00",
            "2001:db8:bad::/64 unknown[2001:db8:bad::1] <> <b@r.example> 1 Nov 23 20:24:00 Nov 23 20:24:00",
        ]
    );
    assert_eq!(totals(&report), [4, 4, 2, 0, 2].map(Some));
    // From the reject to the client's line.
    assert_eq!(report["delay_median"], (642 + 1_200) / 2);
    // Another text is another program's.
    let other = json_report(&["--greylist-text=Relay access", &log], b"");
    assert_eq!(totals(&other)[0], Some(1));
}

#[test]
fn postfix_without_deliveries() {
    let log = fs::read_to_string(case("postfix-alone.log")).expect("the log");
    let is_seen = |line: &&str| line.contains("smtpd[") || line.contains("anvil");
    let log: Vec<&str> = log.lines().filter(is_seen).collect();
    let log = log.join("\n");
    let json = json_report(&[], log.as_bytes());
    assert_eq!(json["source"], "Postfix, rejects only");
    assert_eq!(totals(&json), [Some(4), Some(4), None, Some(0), None]);
    assert_eq!(json["never_back_share"], Value::Null);
    assert_eq!(lost(&json).len(), 4);
    let printed = report(&["-"], log.as_bytes());
    assert!(printed.starts_with("Greylisted, and perhaps never back: 4 mails\n"));
    assert!(
        printed.contains("it is not known what came back"),
        "{printed}"
    );
}

/// One action line, and Postfix's rejects are those of the mails that it tells of.
#[test]
fn postfix_beside_action_lines() {
    let mut log = fs::read(case("postfix-alone.log")).expect("the log");
    log.extend_from_slice(b"Nov 24 04:00:00 mx postgrey[9]: action=pass, reason=client AWL, client_name=x, client_address=192.0.2.1, recipient=b\n");
    let report = json_report(&[], &log);
    assert_eq!(report["source"], "action lines");
    assert_eq!(totals(&report)[..2], [Some(0), Some(0)]);
}

/// What serve logs itself, which has no times.
#[test]
fn what_serve_logs() {
    let mut server = Server::start(&["--trust-test-time"]);
    let mut client = server.connect();
    let at = |time: &str, changes: &[(&str, Option<&str>)]| {
        request(&[changes, &[("policy_test_time", Some(time))]].concat())
    };
    let bounce = [
        ("sender", Some("")),
        ("client_address", Some("2001:db8::1")),
    ];
    let spam = [
        ("sender", Some("spam@s.example")),
        ("queue_id", Some("4ABC")),
    ];
    for question in [
        at("1000000000", &[]),
        at("1000000001", &bounce),
        at("1000000002", &spam),
        at("1000000003", &spam),
        at("1000000642", &[]),
        at("1000000643", &bounce),
        at("1000000644", &[("client_name", Some("other.example.com"))]),
    ] {
        client.ask(question);
    }
    drop(client);
    server.stop(Signal::SIGTERM);
    let log = server.log.join("\n");
    let json = json_report(&[], log.as_bytes());
    assert_eq!(totals(&json), [3, 4, 2, 0, 1].map(Some), "{log}");
    assert_eq!(
        lost(&json),
        ["192.0.2.0/24 mail.example.com[192.0.2.1] <spam@s.example> <b@r.example> 2 - -"]
    );
    assert_eq!(json["delay_mean"], 642);
    assert_eq!(json["passed_at_once"], json!({"triplet found": 1}));
    assert!(report(&[], log.as_bytes()).contains("The lines have no times"));
}

/// What it logs when it lets mail servers pass.
#[test]
fn what_serve_logs_of_suspicious_clients() {
    let mut server = Server::start(&["--greylist=suspicious", "--null-sender=data"]);
    let mut client = server.connect();
    let unnamed = ("client_name", Some("unknown"));
    let bounce = ("sender", Some(""));
    let data = ("protocol_state", Some("DATA"));
    for question in [
        &[][..],
        &[("recipient", Some("c@r.example"))],
        &[unnamed],
        &[unnamed, bounce],
        &[unnamed, bounce, data],
    ] {
        client.ask(request(question));
    }
    drop(client);
    server.stop(Signal::SIGTERM);
    let log = server.log.join("\n");
    let json = json_report(&["--what-if"], log.as_bytes());
    assert_eq!(totals(&json), [2, 2, 0, 0, 2].map(Some), "{log}");
    assert_eq!(json["passed_at_once"], json!({"mail server": 2}), "{log}");
    let what_if = &json["what_if"];
    assert_eq!(what_if["passed_at_once"], 0);
    assert_eq!(what_if["still_deferred"], 2);
    assert_eq!(what_if["mail_server_passes"], 2);
    let printed = report(&["--what-if"], log.as_bytes());
    assert!(
        printed.contains("a mail server's name let mail pass 2 times."),
        "{printed}"
    );
}

/// With --verbose it logs what Postfix asks again for the same mail.
#[test]
fn repeated_questions_count_once() {
    let mut server = Server::start(&["--verbose"]);
    let mut client = server.connect();
    for _ in 0..3 {
        client.ask(request(&[("instance", Some("1.1"))]));
    }
    drop(client);
    server.stop(Signal::SIGTERM);
    let log = server.log.join("\n");
    assert_eq!(log.matches(", repeated=yes, ").count(), 2, "{log}");
    let json = json_report(&[], log.as_bytes());
    assert_eq!(totals(&json), [1, 1, 0, 0, 1].map(Some), "{log}");
}

const NEW: &str = "action=greylist, reason=new, client_name=mail.example.com, client_address=192.0.2.1, sender=a@s.example, recipient=b@r.example";
const FOUND: &str = "action=pass, reason=triplet found, delay=600, client_name=mail.example.com, client_address=192.0.2.1, sender=a@s.example, recipient=b@r.example";

/// Heads of syslog, journalctl and docker, with the time that is read and what is shown of it.
#[test]
fn heads_of_all_kinds() {
    for (head, shown) in [
        ("Nov 3 20:08:13 mx greylet[1]: ", "Nov  3 20:08:13"),
        ("<22>Nov 23 20:08:13 mx greylet[1]: ", "Nov 23 20:08:13"),
        (
            "<22>1 2026-11-23T20:08:13Z mx greylet 1 - - ",
            "2026-11-23T20:08:13Z",
        ),
        (
            "Mon 2026-11-23 20:08:13 CET mx greylet[1]: ",
            "2026-11-23T20:08:13",
        ),
        ("1795464493.123456 mx greylet[1]: ", "2026-11-23T20:08:13Z"),
        (
            "greylet-1  | 2026-11-23T20:08:13.5Z ",
            "2026-11-23T20:08:13Z",
        ),
        ("greylet-1  | ", "-"),
        ("Okt 23 20:08:13 mx greylet[1]: ", "-"),
    ] {
        let other = NEW.replace("b@r.example", "c@r.example");
        let log = format!("{head}{NEW}\n{head}{other}\n{head}{FOUND}\n");
        let json = json_report(&[], log.as_bytes());
        assert_eq!(json["deferred"], 2, "{head}");
        assert_eq!(json["passed"], 1, "{head}");
        // Without a later line the second one is still waiting.
        let later = "Wed 2026-11-25 20:08:13 UTC mx greylet[1]: x\n";
        let json = json_report(&[], format!("{log}{later}").as_bytes());
        assert_eq!(
            lost(&json),
            [format!(
                "192.0.2.0/24 mail.example.com[192.0.2.1] <a@s.example> <c@r.example> 1 {shown} {shown}"
            )],
            "{head}"
        );
    }
}

/// A before-queue filter hands the mail to another smtpd, which calls the filter its client.
#[test]
fn postfix_with_a_filter_before_the_queue() {
    let log = "Nov 23 20:00:00 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from mail.example.com[192.0.2.1]: 450 4.2.0 <b@r.example>: Recipient address rejected: Greylisted; from=<a@s.example> to=<b@r.example> proto=ESMTP helo=<x>
Nov 23 20:10:00 mx postfix/smtpd[2]: 4ABC123: client=localhost[127.0.0.1], orig_client=mail.example.com[192.0.2.1]
Nov 23 20:10:00 mx postfix/qmgr[3]: 4ABC123: from=<a@s.example>, size=345, nrcpt=1 (queue active)
Nov 23 20:10:01 mx postfix/local[4]: 4ABC123: to=<b@r.example>, relay=local, delay=0.1, dsn=2.0.0, status=sent (delivered)
";
    let json = json_report(&[], log.as_bytes());
    assert_eq!(totals(&json), [1, 1, 1, 0, 0].map(Some));
    let without = log.replace(", orig_client=mail.example.com[192.0.2.1]", "");
    let json = json_report(&[], without.as_bytes());
    assert_eq!(json["passed"], 0);
}

/// `mail.log*` names the newest log first, and some are empty, compressed, or cannot be read at all.
#[test]
fn rotated_logs() {
    let scratch = Scratch::new("rotated");
    let paths =
        ["mail.log", "mail.log.1", "mail.log.2.gz", "mail.log.3"].map(|name| scratch.path(name));
    fs::write(&paths[0], format!("Jan  2 00:00:00 mx greylet: {FOUND}\n")).expect("a log");
    fs::write(&paths[1], format!("Dec 31 23:50:00 mx greylet: {NEW}\n")).expect("a log");
    fs::write(&paths[2], b"\x1f\x8b\x08\x00").expect("a log");
    fs::write(&paths[3], b"").expect("a log");
    // They are of 1970.
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
    for path in &paths[..2] {
        let file = fs::File::options()
            .append(true)
            .open(path)
            .expect("the log");
        file.set_modified(written).expect("a time");
    }
    let missing = scratch.path("no\x1bsuch.log");
    let mut words = vec!["report", "--json", scratch_folder(&scratch), &missing];
    words.extend(paths.iter().map(String::as_str));
    let Output {
        status,
        stdout,
        stderr,
    } = run(&words, b"");
    let errors = String::from_utf8(stderr).expect("UTF-8");
    assert_eq!(status.code(), Some(1));
    let json: Value = serde_json::from_slice(&stdout).expect("JSON");
    assert_eq!(totals(&json), [1, 1, 1, 0, 0].map(Some));
    assert_eq!(errors.lines().count(), 3, "{errors}");
    assert!(errors.contains("Is a directory"), "{errors}");
    assert!(
        errors.contains("such.log: No such file") && !errors.contains('\x1b'),
        "{errors}"
    );
    assert!(
        errors.contains(&paths[2]) && errors.contains("zcat"),
        "{errors}"
    );

    // Nothing could be read, so nothing is said.
    let output = run(&["report", &missing], b"");
    assert_eq!((output.status.code(), output.stdout), (Some(1), Vec::new()));
}

fn scratch_folder(scratch: &Scratch) -> &str {
    let folder: &std::path::Path = scratch.as_ref();
    folder.to_str().expect("UTF-8")
}

#[test]
fn no_greylisting() {
    for (log, lines) in [("", "0 lines"), ("Nov 23 20:08:13 mx x: y\n", "1 line.")] {
        let printed = report(&[], log.as_bytes());
        assert!(printed.contains(lines), "{printed}");
        for wanted in ["action=greylist", "reject: RCPT", "--greylist-text"] {
            assert!(printed.contains(wanted), "{printed}");
        }
    }
    let json = json_report(&[], b"");
    assert_eq!(json["source"], Value::Null);
    assert_eq!(totals(&json), [0; 5].map(Some));
}

#[test]
fn strange_bytes() {
    let mut log = Vec::new();
    log.extend_from_slice(&vec![b'x'; 10_000_000]);
    log.extend_from_slice(b"\n\xff\xfe\0\r\n\n");
    log.extend_from_slice(b"Nov 23 20:08:13 mx greylet[1]: action=greylist, reason=new, client_name=\x1b[31m, client_address=192.0.2.1, sender=\xff\"\\\x07@s.example, recipient=b@r.example");
    let printed = report(&[], &log);
    assert!(
        !printed.chars().any(|it| it.is_control() && it != '\n'),
        "{printed:?}"
    );
    assert!(printed.contains("1 line of more than 64 KiB skipped"));
    let printed = report(&["--json"], &log);
    let json: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(json["lines"], 4);
    assert_eq!(json["waiting"], 1);
    log.extend_from_slice(b"\nNov 24 20:08:13 mx greylet[1]: x");
    assert_eq!(
        lost(&json_report(&[], &log)),
        [
            "192.0.2.0/24 ?[31m[192.0.2.1] <?\"\\?@s.example> <b@r.example> 1 Nov 23 20:08:13 Nov 23 20:08:13"
        ]
    );
}

#[test]
fn nobody_reads_the_report() {
    let mut child = greylet()
        .arg("report")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("greylet starts");
    drop(child.stdout.take());
    let mut log = child.stdin.take().expect("a pipe");
    for number in 0..2_000 {
        let line = NEW.replace("sender=a@", &format!("sender=a{number}@"));
        writeln!(log, "{line}").expect("it reads all");
    }
    drop(log);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));

    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("it is there");
    let status = greylet()
        .args(["report", &case("greylet-openwrt.log")])
        .stdout(full)
        .stderr(Stdio::null())
        .status()
        .expect("it ends");
    assert_eq!(status.code(), Some(1));
}

proptest! {
    /// Whatever a sender is called, its mail counts for its own client.
    #[test]
    fn senders_cannot_change_the_client(sender in "[ -~]{0,60}") {
        let text = format!("Nov 23 20:08:13 mx greylet[1]: action=greylist, reason=new, client_name=x, client_address=192.0.2.1, sender={sender}, recipient=b@r.example");
        let line = Line::new(text.as_bytes());
        let read = action_line(&line).expect("an action line");
        prop_assert_eq!(read.mail.client_address.to_string(), "192.0.2.1");
        prop_assert_eq!(&*read.mail.sender, sender.as_bytes());
        prop_assert_eq!(&*read.mail.recipient, b"b@r.example");
    }

    /// Any bytes are a line.
    #[test]
    fn no_line_is_a_panic(
        head in prop::sample::select(vec!["", "Nov 23 20:08:13 mx x: ", "2026-11-23T20:08:13+", "action=pass, reason=, ", "Mon Nov  3 ", "<22>1 - - - - - [", "Mon 2026-11-23 20:08:13 ", "x | ", "1795464493."]),
        rest in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let bytes = [head.as_bytes(), &rest].concat();
        action_line(&Line::new(&bytes));
    }
}
