//! `serve --dry-run`, which decides and logs, but defers nothing; `--log`; and what `report` makes of such a log.

mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::{Scratch, Server, request, run};

const DAY: u64 = 86_400;

/// When a test begins, which is half a month ago: a snapshot's clock goes on from the system's.
fn start() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("it is later than 1970").as_secs() - 15 * DAY
}

fn question(sender: &str, at: u64) -> String {
    request(&[
        ("sender", Some(sender)),
        ("policy_test_time", Some(&at.to_string())),
    ])
}

fn json_report(log: &str) -> Value {
    let output = run(&["report", "--json"], log.as_bytes());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The lines of decisions that it has logged, without the client and what follows it.
fn decisions(server: &Server) -> Vec<&str> {
    let lines = server.log.iter();
    let lines = lines.filter_map(|line| Some(line.split_once(", client_name=")?.0));
    lines.filter(|line| line.contains("action=")).collect()
}

/// Mail of a sender today and tomorrow, of another one every fortnight, and of one that never comes again.
#[test]
fn everything_passes_and_the_table_learns() {
    let scratch = Scratch::new("dryrun");
    let (folder, start) = (scratch.path("state"), start());
    let mut server = Server::start_in(&folder, &["--dry-run", "--lookup-by-subnet"]);
    let mut client = server.connect();
    for (sender, at) in [
        ("daily@s.example", 0),
        ("spam@s.example", 10),
        ("daily@s.example", 60),
        ("rare@s.example", 100),
        ("daily@s.example", DAY),
        ("daily@s.example", 2 * DAY),
        ("rare@s.example", 14 * DAY),
    ] {
        assert_eq!(
            client.ask(question(sender, start + at)),
            "DUNNO",
            "{sender} {at}"
        );
    }
    assert!(server.stop(Signal::SIGTERM).success());
    let warned = "--dry-run: nothing is deferred";
    assert!(server.log.iter().any(|line| line.starts_with(warned)));
    assert_eq!(
        decisions(&server),
        [
            "action=greylist, reason=new, dry_run=yes",
            "action=greylist, reason=new, dry_run=yes",
            "action=greylist, reason=early-retry (240s missing), dry_run=yes",
            "action=greylist, reason=new, dry_run=yes",
            "action=pass, reason=triplet found, delay=86400, dry_run=yes",
            "action=pass, reason=triplet found, dry_run=yes",
            "action=greylist, reason=new, dry_run=yes",
        ]
    );
    let report = json_report(&server.log.join("\n"));
    assert_eq!(report["source"], Value::Null);
    assert_eq!([&report["deferred"], &report["deferrals"]], [0, 0]);
    assert_eq!(
        report["dry_run"],
        json!({
            "mails": 7, "mails_deferred": 5, "recipients": 7, "recipients_deferred": 5,
            "triplets_deferred": 3, "known_later": 1, "new_again": 1, "of_mail_servers": 5, "days": [],
            "clients": [{
                "client": "example.com", "recipients_deferred": 5, "known_later": 1, "sender": "daily@s.example"
            }],
            "clients_left_out": 0, "recipients_of_uncounted_clients": 0,
        })
    );
    // For real, whoever was seen twice need not wait.
    let mut server = Server::start_in(&folder, &["--lookup-by-subnet"]);
    let mut client = server.connect();
    let mut ask = |sender| client.ask(question(sender, start + 15 * DAY));
    assert_eq!(ask("daily@s.example"), "DUNNO");
    assert!(ask("other@s.example").starts_with("DEFER_IF_PERMIT "));
    assert!(server.stop(Signal::SIGTERM).success());
    assert!(server.log.iter().all(|line| !line.contains("dry_run")));
}

#[test]
fn explain_says_that_it_is_one() {
    for (option, said) in [("--dry-run", 1), ("--exim", 0)] {
        let mut server = Server::start(&[option]);
        let asked = format!("--server={}", server.listening[0]);
        let mail = ["--client-address=192.0.2.1", "--recipient=b@r.example"];
        let output = run(&[&["explain", &asked], &mail[..]].concat(), b"");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(
            text.contains("would be       deferred, 300 seconds"),
            "{text}"
        );
        let line = "dry run        yes, so Postfix is told nothing, and the mail passes\n";
        assert_eq!(text.matches(line).count(), said, "{text}");
        assert!(server.stop(Signal::SIGTERM).success());
    }
}

/// The new one, its early retry and the repeated question about that, its first pass, and a question about DATA.
fn logged(options: &[&str]) -> (Vec<String>, Vec<String>) {
    let mut server = Server::start(&[&["--trust-test-time"], options].concat());
    let (mut client, start) = (server.connect(), start());
    for (at, instance, state) in [
        (0, "1", "RCPT"),
        (1, "2", "RCPT"),
        (1, "2", "RCPT"),
        (300, "3", "RCPT"),
        (300, "3", "DATA"),
    ] {
        client.ask(request(&[
            ("instance", Some(instance)),
            ("protocol_state", Some(state)),
            ("policy_test_time", Some(&(start + at).to_string())),
        ]));
    }
    assert!(server.stop(Signal::SIGTERM).success());
    let decisions = decisions(&server).into_iter().map(str::to_owned).collect();
    (decisions, std::mem::take(&mut server.log))
}

#[test]
fn which_decisions_are_logged() {
    let new = "action=greylist, reason=new, identity=example.com";
    let early = "action=greylist, reason=early-retry (299s missing), identity=example.com";
    let again = "action=greylist, reason=early-retry (299s missing), repeated=yes";
    let pass = "action=pass, reason=triplet found, delay=300, identity=example.com";
    let data = "action=pass, reason=not RCPT";
    for (options, lines) in [
        (&[][..], &[new, early, pass][..]),
        (&["--log=all"], &[new, early, pass]),
        (
            &["--log=all", "--verbose"],
            &[new, early, again, pass, data],
        ),
        (&["--log=deferred"], &[new, early]),
        (&["--log=deferred", "--verbose"], &[new, early, again]),
        (&["--log=none"], &[]),
        (&["--log=none", "--verbose"], &[]),
        (&["--quiet"], &[]),
        (&["--quiet", "--log=deferred"], &[]),
        (&["--log=none", "--log=all"], &[new, early, pass]),
    ] {
        let (decisions, log) = logged(options);
        assert_eq!(decisions, lines, "{options:?}");
        // What is no decision is there.
        let starts = |start: &str| log.iter().filter(|line| line.starts_with(start)).count();
        assert_eq!(
            (starts("greylet "), starts("SIGTERM received")),
            (1, 1),
            "{options:?}"
        );
        let in_conflict = options == ["--quiet", "--log=deferred"];
        assert_eq!(
            starts("--log=deferred does nothing with --quiet"),
            usize::from(in_conflict)
        );
    }
    let output = run(&["serve", "--log=some"], b"");
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(error, "greylet: --log=some: write all, deferred or none\n");
}

/// Where only deferrals are logged, `never back` says little.
#[test]
fn a_report_of_deferrals_alone_says_so() {
    let (_, log) = logged(&["--log=deferred"]);
    let note = "Nothing has passed: if only deferrals were logged (--log=deferred), what came back is not known.";
    let printed = |log: &[String]| {
        let output = run(&["report"], log.join("\n").as_bytes());
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(printed(&log).matches(note).count(), 1);
    let (_, log) = logged(&[]);
    assert_eq!(printed(&log).matches(note).count(), 0);
}

fn case(name: &str) -> String {
    format!("{}/tests/cases/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Three days with Postfix's own lines between, and a mail to several recipients.
#[test]
fn a_report_for_people() {
    let output = run(&["report", &case("greylet-dry-run.log")], b"");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8(output.stdout).expect("text"), PRINTED);
}

const PRINTED: &str = r#"Dry run: nothing was deferred. What would have been

                  mails  deferred  recipients  deferred
  Nov 23              3         3           5         4
  Nov 24              2         0           2         0
  Nov 30              1         1           1         1
  together            6         4           8         5

  That is 66.7 % of the mails, and 62.5 % of the recipients.

  deferred              4  triplets (client, sender and recipient) would have had to wait
  known later           1  of them seen again and passed; they would only have been delayed
  not again             3  whether they would have come back cannot be known
  new again             1  deferrals of one that was new before; fewer, if that had come back
  mail servers          4  deferrals that --greylist=suspicious would not make

Deferred recipients by the client's organisation or network, triplets known later, and one of the senders
         2        1  shop.example  <news@shop.example>
         2        0  weekly.example  <list@weekly.example>
         1        0  203.0.113.0/24  <promo@spam.example>

A dry run sees no retries, so greylisting would have made fewer mails wait than it says, not more.
"#;

/// Before and after it greylisting is real: what comes back then is not mixed up.
#[test]
fn a_dry_run_among_real_lines() {
    let line = |action: &str, sender: &str| {
        format!(
            "action={action}, client_name=mail.s.example, client_address=192.0.2.1, sender={sender}, recipient=b@r.example\n"
        )
    };
    let new = "greylist, reason=new";
    let dry_new = "greylist, reason=new, dry_run=yes";
    let early = "greylist, reason=early-retry (1s missing), dry_run=yes";
    let pass = "pass, reason=triplet found, delay=400";
    let dry_pass = "pass, reason=triplet found, delay=400, dry_run=yes";
    for (lines, passed, never_back, dry_deferred, known_later) in [
        // Deferred, and let in by the dry run that has begun meanwhile.
        (&[(new, "a"), (dry_pass, "a")][..], 1, 0, 0, 0),
        (&[(new, "a"), (early, "a")], 1, 0, 1, 0),
        // Let in by the dry run; then it comes again, and need not wait.
        (&[(dry_new, "a"), (pass, "a")], 0, 0, 1, 1),
        // Never back for real, and not again in the dry run.
        (&[(new, "a"), (dry_new, "b")], 0, 1, 1, 0),
    ] {
        let log: String = lines
            .iter()
            .map(|(action, sender)| line(action, sender))
            .collect();
        let report = json_report(&log);
        assert_eq!(report["passed"], passed, "{log}");
        assert_eq!(report["never_back"], never_back, "{log}");
        assert_eq!(report["deferred_before"], 0, "{log}");
        assert_eq!(
            report["dry_run"]["recipients_deferred"], dry_deferred,
            "{log}"
        );
        assert_eq!(report["dry_run"]["known_later"], known_later, "{log}");
    }
}
