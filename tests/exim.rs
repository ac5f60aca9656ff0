//! Exim's way of asking: a connection for each request, and one answer on it. What README's ACL made Exim 4.96 send is in
//! `tests/cases/exim-4.96-requests.txt`; the ACL itself is run by the Exim in PATH, if there is one.

mod support;

use std::fs::{self, File};
use std::net::Shutdown;
use std::process::Command;

use nix::sys::signal::Signal;
use regex_lite::Regex;
use support::{Client, Scratch, Server, say};

const REQUESTS: &str = include_str!("cases/exim-4.96-requests.txt");
const README: &str = include_str!("../README.md");
const TEXT: &str = "Greylisted, see https://www.rfc-editor.org/rfc/rfc6647";
const NOW: u64 = 1_800_000_000;

/// What is answered until greylet closes the connection, on which Exim says that it sends nothing more.
fn answer(server: &Server, request: &str) -> String {
    let mut client = server.connect();
    client.send(request);
    client
        .stream()
        .shutdown(Shutdown::Write)
        .expect("it is connected");
    String::from_utf8(client.rest()).expect("UTF-8")
}

/// A request at a time of the test.
fn at(unix_seconds: u64, request: &str) -> String {
    let lines = request.strip_suffix('\n').expect("the empty line");
    format!("{lines}policy_test_time={unix_seconds}\n\n")
}

fn requests() -> Vec<&'static str> {
    REQUESTS.split_inclusive("\n\n").collect()
}

#[test]
fn each_request_gets_one_answer() {
    let server = Server::start(&["--exim"]);
    for request in requests() {
        let deferral = format!("action=DEFER_IF_PERMIT {TEXT}\n\n");
        assert_eq!(answer(&server, request), deferral, "{request}");
    }

    let scratch = Scratch::new("exim");
    let unix = format!("--unix={}", scratch.path("socket"));
    let _server = Server::start_on(&[&unix], &["--exim"]);
    for request in requests() {
        // Nobody says that this was all.
        let mut client = Client::unix(&scratch.path("socket"));
        let action = client.ask(request);
        assert_eq!(action, format!("DEFER_IF_PERMIT {TEXT}"), "{request}");
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn a_message_to_two_gets_one_header() {
    let server = Server::start(&["--exim", "--trust-test-time", "--hostname=mx.r.example"]);
    let [first, second, bounce] = requests()[..] else {
        panic!("not three requests");
    };
    for request in [first, second, bounce] {
        answer(&server, &at(NOW, request));
    }
    // As Exim names the message of the retry.
    let retry = |request: &str| at(NOW + 300, &request.replace("instance=", "instance=2"));
    let version = env!("CARGO_PKG_VERSION");
    let header = format!(
        "action=PREPEND X-Greylist: delayed 300 seconds by greylet-{version} at mx.r.example; "
    );
    for (request, begin) in [
        (first, &header[..]),
        (second, "action=DUNNO\n\n"),
        (bounce, &header),
    ] {
        let answer = answer(&server, &retry(request));
        assert!(answer.starts_with(begin), "{request}{answer}");
    }
}

/// The ACL as it stands in README.
fn readme_acl() -> String {
    let (_, section) = README.split_once("\n## Exim\n").expect("a section");
    let (section, _) = section.split_once("\n## ").expect("another one");
    let lines = section.lines().filter_map(|line| line.strip_prefix("    "));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn what_exim_has_asked_is_what_the_readme_makes_it_ask() {
    let acl: String = readme_acl()
        .lines()
        .map(|line| line.trim().trim_end_matches('\\').to_owned())
        .collect();
    let (_, asked) = acl.split_once("{request=").expect("a request");
    let (asked, _) = asked.split_once("\\n\\n}").expect("its end");
    let names = |request: &str, line_end: &str| -> Vec<String> {
        let lines = request.trim_end().split(line_end);
        lines
            .map(|line| line.split('=').next().unwrap_or_default().to_owned())
            .collect()
    };
    let in_readme = names(&format!("request={asked}"), "\\n");
    for request in requests() {
        assert_eq!(names(request, "\n"), in_readme);
    }
}

/// What the ACL takes for a deferral is one, whatever --greylist-action says, and nothing else is.
#[test]
fn the_readmes_acl_knows_a_deferral() {
    let acl = readme_acl();
    let (_, pattern) = acl
        .split_once("condition = ${if match{$acl_m_greylet}{")
        .expect("a condition");
    let (pattern, _) = pattern.split_once("}}\n").expect("its end");
    let is_deferral = Regex::new(pattern).expect("a regular expression");
    let [first, ..] = requests()[..] else {
        panic!("no request");
    };
    for action in ["DEFER_IF_PERMIT", "defer", "451", "450 4.7.1"] {
        let server = Server::start(&["--exim", &format!("--greylist-action={action}")]);
        let answer = answer(&server, first);
        assert!(answer.starts_with(&format!("action={action} ")), "{answer}");
        assert!(is_deferral.is_match(&answer), "{answer}");
    }
    for answer in ["action=DUNNO\n\n", "action=PREPEND X: 4 DEFER\n\n", ""] {
        assert!(!is_deferral.is_match(answer), "{answer}");
    }
}

#[test]
fn the_readmes_acl_in_a_real_exim() {
    let runs = |program: &&str| {
        let output = Command::new(program).arg("-bV").output();
        output.is_ok_and(|output| output.stdout.starts_with(b"Exim version"))
    };
    let Some(exim) = ["exim4", "exim"].into_iter().find(runs) else {
        say("there is no Exim in PATH that runs: README's ACL is not tried (tests/exim.rs)");
        return;
    };
    let scratch = Scratch::new("realexim");
    let unix = scratch.path("socket");
    for (listen, socket) in [
        ("--inet=127.0.0.1:0".to_owned(), None),
        (format!("--unix={unix}"), Some(unix)),
    ] {
        let mut server = Server::start_on(&[&listen], &["--exim", "--trust-test-time"]);
        let socket = socket.unwrap_or_else(|| format!("inet:{}", server.listening[0]));
        let said_at = |unix_seconds| session(exim, &scratch, &socket, unix_seconds);
        // The value of add_header, not the answer.
        let header = " = X-Greylist: delayed 300 seconds by greylet-";

        let said = said_at(NOW);
        assert!(said.contains(&format!("\n450 4.2.0 {TEXT}")), "{said}");
        assert!(!said.contains("Accepted"), "{said}");
        let said = said_at(NOW + 300);
        assert!(said.contains("\n250 Accepted"), "{said}");
        assert!(said.contains(header), "{said}");
        let said = said_at(NOW + 301);
        assert!(said.contains("\n250 Accepted"), "{said}");
        assert!(!said.contains(header), "{said}");

        assert!(server.stop(Signal::SIGTERM).success());
        let said = said_at(NOW);
        assert!(said.contains("\n250 Accepted"), "{said}");
    }
}

/// What Exim says when a client plays a session with it; that of the ACL, too.
fn session(exim: &str, scratch: &Scratch, socket: &str, unix_seconds: u64) -> String {
    let folder = scratch.as_ref().display();
    let acl = readme_acl()
        .replace("inet:127.0.0.1:10023", socket)
        .replace(
            "instance=$",
            &format!("policy_test_time={unix_seconds}\\ninstance=$"),
        );
    let (conf, smtp) = (scratch.path("conf"), scratch.path("smtp"));
    // Nobody here has a name, and Exim must not wait for one.
    let text = format!(
        "primary_hostname = mx.r.example\nspool_directory = {folder}\nlog_file_path = {folder}/%slog\n\
         dns_retrans = 1s\ndns_retry = 1\nacl_smtp_rcpt = acl_check_rcpt\n\
         begin acl\nacl_check_rcpt:\n{acl}\n  accept\n"
    );
    fs::write(&conf, text).expect("a configuration");
    fs::write(
        &smtp,
        "EHLO c.example\r\nMAIL FROM:<a@s.example>\r\nRCPT TO:<b@r.example>\r\nQUIT\r\n",
    )
    .expect("a session");
    let output = Command::new(exim)
        .args(["-C", &conf, "-bh", "192.0.2.1"])
        .stdin(File::open(&smtp).expect("the session"))
        .output()
        .expect("it runs");
    let (stdout, stderr) = (&output.stdout, &output.stderr);
    format!(
        "\n{}\n{}",
        String::from_utf8_lossy(stdout),
        String::from_utf8_lossy(stderr)
    )
}
