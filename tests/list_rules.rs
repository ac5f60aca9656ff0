//! What lists say besides that somebody passes, as stories of requests and times, and through the real binary.

#[expect(dead_code, reason = "these stories have lists")]
#[path = "support/story.rs"]
mod story;
mod support;

use std::fs;

use greylet::engine::access::{Access, Addresses, Clients, Recipients};
use greylet::engine::facts::Conclusion;
use greylet::engine::request::Request;
use greylet::engine::time::Timestamp;
use greylet::engine::verdict::Reason;
use greylet::engine::{Engine, Greylist, Policy};
use nix::sys::signal::{Signal, kill};
use story::{DAY, HOUR, Header, Pass, START, Told, Wait, mail, told, with_engine};
use support::{Scratch, Server, request, run};

/// Tells a story to an engine with lists.
fn listed_story(policy: Policy, access: Access, steps: &[(u64, Request<'_>, Told, Reason)]) {
    with_engine(1_024, policy, |engine| {
        *engine.access_mut() = access;
        for (index, (time, request, expected, reason)) in steps.iter().enumerate() {
            let verdict = decide(engine, *time, request);
            assert_eq!(verdict, (*expected, *reason), "step {index}, {time} s");
        }
    });
}

fn decide(engine: &mut Engine<'_>, time: u64, request: &Request<'_>) -> (Told, Reason) {
    let verdict = engine.decide(request, Timestamp::from_unix(START + time));
    (told(verdict), verdict.reason)
}

fn recipients(text: &str) -> Access {
    let (recipients, findings) = Recipients::read([text.as_bytes()]);
    assert!(findings.is_empty(), "{findings:?}");
    Access {
        recipients,
        ..Access::default()
    }
}

fn addresses(text: &str) -> Addresses {
    let (addresses, findings) = Addresses::read([text.as_bytes()]);
    assert!(findings.is_empty(), "{findings:?}");
    addresses
}

fn to(recipient: &'static str) -> Request<'static> {
    Request {
        recipient: Some(recipient.as_bytes()),
        ..mail()
    }
}

fn by_sender(sender: &'static str) -> Request<'static> {
    Request {
        sender: Some(sender.as_bytes()),
        ..mail()
    }
}

/// From a client whose name says nothing.
fn suspicious(request: Request<'static>) -> Request<'static> {
    Request {
        client_name: Some(b"unknown"),
        client_address: Some(b"203.0.113.9"),
        ..request
    }
}

#[test]
fn a_recipient_with_a_delay_of_its_own() {
    use Reason::{EarlyRetry, New, RecipientListed, TripletFound};
    listed_story(
        Policy::default(),
        recipients("r.example delay=60\nslow@ DELAY=7200\nfree@r.example\n/^x/ delay=10"),
        &[
            (0, to("b@r.example"), Wait(60), New),
            (0, to("b@r.example"), Wait(60), New),
            (0, to("slow+x@r.example"), Wait(7_200), New),
            (0, to("free@r.example"), Pass, RecipientListed),
            (0, to("x@other.example"), Wait(10), New),
            (0, to("b@other.example"), Wait(300), New),
            (59, to("b@r.example"), Wait(1), EarlyRetry),
            (60, to("b@r.example"), Header(60), TripletFound),
            (61, to("b@other.example"), Wait(239), EarlyRetry),
            (7_199, to("slow+x@r.example"), Wait(1), EarlyRetry),
            (7_200, to("slow+x@r.example"), Header(7_200), TripletFound),
        ],
    );
}

#[test]
fn a_delay_that_is_raised_unpasses_nobody() {
    with_engine(64, Policy::default(), |engine| {
        *engine.access_mut() = recipients("b@ delay=60");
        assert_eq!(decide(engine, 0, &mail()).0, Wait(60));
        assert_eq!(decide(engine, 0, &by_sender("z@s.example")).0, Wait(60));
        assert_eq!(decide(engine, 60, &mail()).0, Header(60));
        *engine.access_mut() = recipients("b@ delay=86400");
        assert_eq!(decide(engine, 61, &mail()).0, Pass);
        // Who has not passed yet has to wait for the rest of it, and with a shorter one for less.
        let waiting = by_sender("z@s.example");
        assert_eq!(
            decide(engine, 61, &waiting),
            (Wait(86_339), Reason::EarlyRetry)
        );
        *engine.access_mut() = recipients("b@ delay=62");
        assert_eq!(decide(engine, 61, &waiting).0, Wait(1));
        assert_eq!(decide(engine, 62, &waiting).0, Header(62));
    });
}

#[test]
fn a_recipient_for_whom_only_suspicious_clients_wait() {
    use Reason::{MailServer, New};
    listed_story(
        Policy::default(),
        recipients("boss@ greylist=suspicious delay=60"),
        &[
            (0, to("boss@r.example"), Pass, MailServer),
            (0, suspicious(to("boss@r.example")), Wait(60), New),
            (0, to("b@r.example"), Wait(300), New),
        ],
    );
    let policy = Policy {
        greylist: Greylist::Suspicious,
        ..Policy::default()
    };
    listed_story(
        policy,
        recipients("r.example\nboss@r.example Greylist=All"),
        &[
            (0, to("boss@r.example"), Wait(300), New),
            (0, to("b@r.example"), Pass, Reason::RecipientListed),
            (0, to("b@other.example"), Pass, MailServer),
        ],
    );
}

/// Senders can be forged, so there has to be a client that can be found again.
#[test]
fn senders() {
    use Reason::{New, SenderListed};
    let access = || Access {
        senders: addresses("a@s.example\n/.*/"),
        ..Access::default()
    };
    let verified = |sender| (0, by_sender(sender), Pass, SenderListed);
    let rcpt = |sender| Request {
        client_address: Some(b"198.51.100.1"),
        ..by_sender(sender)
    };
    let nameless = Request {
        client_name: Some(b""),
        ..rcpt("b@s.example")
    };
    listed_story(
        Policy::default(),
        access(),
        &[
            verified("a@s.example"),
            verified("A+x@S.example"),
            verified("b@s.example"),
            (0, suspicious(by_sender("a@s.example")), Wait(300), New),
            (0, nameless, Wait(300), New),
            (0, rcpt(""), Wait(300), New),
            (0, rcpt("double-bounce@s.example"), Wait(300), New),
        ],
    );
}

#[test]
fn only_some_recipients_are_greylisted() {
    use Reason::{MailServer, New, RecipientNotGreylisted};
    let access = Access {
        greylisted: addresses("b@r.example\nlists.example"),
        ..recipients("b@ greylist=suspicious")
    };
    listed_story(
        Policy::default(),
        access,
        &[
            (0, to("a@lists.example"), Wait(300), New),
            (0, to("c@r.example"), Pass, RecipientNotGreylisted),
            (0, suspicious(to("B@r.example")), Wait(300), New),
            // How somebody is greylisted does not say that he is.
            (0, to("b@r.example"), Pass, MailServer),
            (
                0,
                suspicious(to("b@other.example")),
                Pass,
                RecipientNotGreylisted,
            ),
        ],
    );
    listed_story(
        Policy::default(),
        Access::default(),
        &[(0, to("c@r.example"), Wait(300), New)],
    );
}

/// Postfix takes these for the same mailbox, or may, so a client must not pass by writing them.
#[test]
fn other_spellings_of_a_greylisted_recipient() {
    use Reason::{New, RecipientNotGreylisted};
    for (recipient, expected) in [
        ("b", (Wait(300), New)),
        ("b@localhost", (Wait(300), New)),
        ("b@[192.0.2.25]", (Wait(300), New)),
        ("b@192.0.2.25", (Wait(300), New)),
        ("b+@r.example", (Wait(300), New)),
        ("b+x@r.example", (Wait(300), New)),
        ("b@r.example.", (Wait(300), New)),
        ("b%r.example", (Wait(300), New)),
        ("b%r.example@gateway.example", (Wait(300), New)),
        ("b@r.example@gateway.example", (Wait(300), New)),
        ("r.example!b", (Wait(300), New)),
        ("r.example!b@gateway.example", (Wait(300), New)),
        ("c@r.example", (Pass, RecipientNotGreylisted)),
        ("c+x@r.example", (Pass, RecipientNotGreylisted)),
    ] {
        let access = Access {
            greylisted: addresses("b@r.example"),
            ..Access::default()
        };
        with_engine(64, Policy::default(), |engine| {
            *engine.access_mut() = access;
            assert_eq!(decide(engine, 0, &to(recipient)), expected, "{recipient}");
        });
    }
}

/// Nobody passes at DATA because somebody else's mail is not greylisted, and several recipients wait as long as everybody.
#[test]
fn mail_without_a_sender_and_lists() {
    with_engine(256, Policy::default(), |engine| {
        *engine.access_mut() = Access {
            greylisted: addresses("r.example"),
            ..recipients("b@ delay=60")
        };
        let bounce = |recipient, state: &'static str, instance: &'static str| Request {
            sender: Some(b""),
            protocol_state: Some(state.as_bytes()),
            instance: Some(instance.as_bytes()),
            ..to(recipient)
        };
        let mut ask =
            |recipient, state, instance| decide(engine, 1, &bounce(recipient, state, instance));
        ask("b@r.example", "DATA", "0");
        let left = (Pass, Reason::LeftToData);
        let exempt = (Pass, Reason::RecipientNotGreylisted);
        assert_eq!(ask("b@r.example", "RCPT", "1"), left);
        assert_eq!(ask("b@r.example", "DATA", "1"), (Wait(60), Reason::New));
        assert_eq!(ask("c@free.example", "RCPT", "2"), exempt);
        assert_eq!(
            ask("c@free.example", "DATA", "2"),
            (Pass, Reason::NotRecipientState)
        );
        assert_eq!(ask("c@free.example", "RCPT", "3"), exempt);
        assert_eq!(ask("b@r.example", "RCPT", "3"), left);
        assert_eq!(ask("", "DATA", "3"), (Wait(300), Reason::New));
    });
}

/// Nor because somebody else's waits only from suspicious clients.
#[test]
fn mail_without_a_sender_to_somebody_for_whom_all_wait() {
    let policy = Policy {
        greylist: Greylist::Suspicious,
        ..Policy::default()
    };
    for (lines, expected) in [
        ("boss@ greylist=all", (Wait(300), Reason::New)),
        ("boss@ delay=60", (Pass, Reason::MailServer)),
    ] {
        with_engine(256, policy, |engine| {
            *engine.access_mut() = recipients(lines);
            let bounce = |recipient, state: &'static str, instance: &'static str| Request {
                sender: Some(b""),
                protocol_state: Some(state.as_bytes()),
                instance: Some(instance.as_bytes()),
                ..to(recipient)
            };
            let mut ask =
                |recipient, state, instance| decide(engine, 1, &bounce(recipient, state, instance));
            ask("b@r.example", "DATA", "0");
            for recipient in ["b@r.example", "boss@r.example"] {
                assert_eq!(ask(recipient, "RCPT", "1"), (Pass, Reason::LeftToData));
            }
            assert_eq!(ask("", "DATA", "1"), expected, "{lines}");
        });
    }
}

/// How many of ten new mails, one every two hours, have to wait; their senders are of one domain or of five.
fn waits(lines: &str, is_one_domain: bool) -> usize {
    let (clients, findings) = Clients::read([lines.as_bytes()]);
    assert!(findings.is_empty(), "{findings:?}");
    let mut waits = 0;
    with_engine(256, Policy::default(), |engine| {
        engine.access_mut().clients = clients;
        for number in 0..10_u64 {
            let letter = ["a", "b", "c", "d", "e"][number as usize % 5];
            let sender = match is_one_domain {
                true => format!("{letter}@s.example"),
                false => format!("a@s{letter}.example"),
            };
            let recipient = format!("{}@r.example", ["x", "y"][number as usize / 5]);
            let mail = Request {
                sender: Some(sender.as_bytes()),
                recipient: Some(recipient.as_bytes()),
                ..mail()
            };
            let at = number * 2 * HOUR;
            if decide(engine, at, &mail).0 == Wait(300) {
                waits += 1;
                assert!(matches!(decide(engine, at + 300, &mail).0, Header(300)));
            }
        }
    });
    waits
}

#[test]
fn a_client_that_is_never_auto_whitelisted() {
    let (one_domain, domains) = (true, false);
    // Without a line the address is after five, and the organisation's mail for one domain of senders after two.
    assert_eq!(waits("", domains), 5);
    assert_eq!(waits("", one_domain), 2);
    for line in [
        "nowhite example.com",
        "NOWHITE\tmail.Example.com # why",
        "nowhite com",
        "nowhite 192.0.2.1",
        "nowhite 192.0.2.0/24",
    ] {
        assert_eq!(waits(line, domains), 10, "{line}");
        assert_eq!(waits(line, one_domain), 10, "{line}");
    }
    for line in ["nowhite ample.com", "nowhite 192.0.3", "nowhite unknown"] {
        assert_eq!(waits(line, domains), 5, "{line}");
    }
}

/// Counts from before such a line do not apply, and are there again without it.
#[test]
fn nowhite_comes_and_goes() {
    with_engine(256, Policy::default(), |engine| {
        let senders = ["a@s.example", "b@s.example"];
        for (sender, at) in senders.into_iter().zip([0, 2 * HOUR]) {
            assert_eq!(decide(engine, at, &by_sender(sender)).0, Wait(300));
            assert_eq!(decide(engine, at + 300, &by_sender(sender)).0, Header(300));
        }
        let (clients, _) = Clients::read([&b"nowhite example.com"[..]]);
        engine.access_mut().clients = clients;
        let third = by_sender("c@s.example");
        assert_eq!(decide(engine, DAY, &third).0, Wait(300));
        let at = Timestamp::from_unix(START + DAY);
        let explanation = engine.explain(&third, at);
        let facts = explanation.facts.expect("an address");
        assert!(explanation.nowhite.is_some() && facts.address.threshold == 0);
        engine.access_mut().clients = Clients::default();
        let facts = engine.explain(&third, at).facts.expect("an address");
        let conclusion = facts.conclusion(engine.policy(), at);
        assert!(matches!(
            conclusion,
            Conclusion::SenderDomainAutoWhitelisted
        ));
    });
}

const PASSED: &str = "DUNNO";

fn ask(server: &Server, recipient: &str) -> String {
    let recipient = [("recipient", Some(recipient))];
    server.connect().ask(request(&recipient))
}

fn reload(server: &mut Server, said: &str) {
    kill(server.pid(), Signal::SIGHUP).expect("it is running");
    server.wait_for(said);
}

fn assert_stops_having_said(mut server: Server, said: &str) {
    assert!(server.stop(Signal::SIGTERM).success());
    let has_said = server.log.iter().any(|line| line.contains(said));
    assert!(has_said, "{said}: {:?}", server.log);
}

/// The list of those who are greylisted is in force as a whole, or not at all.
#[test]
fn greylisted_recipients_through_reloads() {
    let scratch = Scratch::new("optin");
    let (one, two) = (scratch.path("one"), scratch.path("two"));
    fs::write(&one, "one@r.example\n").expect("a file");
    let mut server = Server::start(&[
        &format!("--greylist-recipients={one}"),
        &format!("--greylist-recipients={two}"),
    ]);
    let said = format!(
        "cannot read the list {two}: No such file or directory (os error 2); the mail of all recipients is greylisted until it can be read"
    );
    assert_ne!(ask(&server, "other@r.example"), PASSED);
    reload(&mut server, "greylisted until it can be read");
    assert_ne!(ask(&server, "other@r.example"), PASSED);
    fs::write(&two, "two@r.example\n").expect("a file");
    reload(&mut server, "list of greylisted recipients: 2 rules from");
    assert_eq!(ask(&server, "other@r.example"), PASSED);
    assert_ne!(ask(&server, "one@r.example"), PASSED);
    assert_ne!(ask(&server, "two@r.example"), PASSED);
    server.wait_for("action=pass, reason=recipient not greylisted");
    fs::remove_file(&one).expect("it is there");
    reload(&mut server, "the last good list stays in force");
    assert_eq!(ask(&server, "other@r.example"), PASSED);
    assert_ne!(ask(&server, "one@r.example"), PASSED);
    fs::write(&one, "").expect("a file");
    fs::write(&two, "# nobody\n").expect("a file");
    reload(&mut server, "0 rules from");
    assert!(
        server
            .log
            .last()
            .expect("a line")
            .ends_with(", so the mail of all is greylisted")
    );
    assert_ne!(ask(&server, "other@r.example"), PASSED);
    assert_stops_having_said(server, &said);
}

#[test]
fn recipients_and_senders_through_a_reload() {
    let scratch = Scratch::new("rules");
    let (recipients, senders) = (scratch.path("recipients"), scratch.path("senders"));
    fs::write(&recipients, "b@r.example delay=60\nlate@ delay=7200\n").expect("a file");
    fs::write(&senders, "s.example\n").expect("a file");
    let mut server = Server::start(&[
        &format!("--whitelist-recipients={recipients}"),
        &format!("--whitelist-senders={senders}.local"),
        "--retry-window=1h",
        "--greylist-text=wait %s",
    ]);
    let said = format!(
        "{recipients} line 2: `late@ delay=7200` is ignored: with delay=7200 and a retry window of 3600 seconds no retry could be in time; write delay=3599 at most"
    );
    assert_eq!(ask(&server, "b@r.example"), "DEFER_IF_PERMIT wait 60");
    assert_eq!(ask(&server, "late@r.example"), "DEFER_IF_PERMIT wait 300");
    fs::write(&recipients, "late@ delay=3599\n").expect("a file");
    fs::rename(&senders, format!("{senders}.local")).expect("a file");
    reload(&mut server, "list of senders: 1 rules from");
    assert_eq!(ask(&server, "late@other.example"), PASSED);
    let unknown = [
        ("client_name", Some("unknown")),
        ("recipient", Some("late@other.example")),
    ];
    assert_eq!(
        server.connect().ask(request(&unknown)),
        "DEFER_IF_PERMIT wait 3599"
    );
    server.wait_for("action=pass, reason=sender whitelist");
    assert_stops_having_said(server, &said);
}

#[test]
fn explained() {
    let scratch = Scratch::new("explainrules");
    let file = |name: &str, text: &str| {
        fs::write(scratch.path(name), text).expect("a file");
        scratch.path(name)
    };
    let recipients = file("recipients", "\nb@ greylist=suspicious delay=60\n");
    let senders = file("senders", "a@s.example\n");
    let greylisted = file("greylisted", "# these\n\nr.example\n");
    let clients = file("clients", "nowhite example.com\n");
    let server = Server::start(&[
        &format!("--whitelist-clients={clients}"),
        &format!("--whitelist-recipients={recipients}"),
        &format!("--whitelist-senders={senders}"),
        &format!("--greylist-recipients={greylisted}"),
    ]);
    let explain = |name: &str, recipient: &str| {
        let (name, recipient) = (
            format!("--client-name={name}"),
            format!("--recipient={recipient}"),
        );
        let server = format!("--server={}", server.listening[0]);
        let words = [
            "explain",
            &server,
            "--client-address=192.0.2.1",
            "--sender=a@s.example",
            &name,
            &recipient,
        ];
        String::from_utf8(run(&words, b"").stdout).expect("text")
    };
    let printed = explain("mail.example.com", "b@r.example");
    for said in [
        "would be       passed: sender whitelist\n".to_owned(),
        format!("recipient list {recipients} line 2: delay=60 greylist=suspicious\n"),
        format!("sender list    {senders} line 1\n"),
        format!("greylisted     {greylisted} line 3\n"),
        format!("nowhite        {clients} line 1\n"),
        "address AWL    switched off\n".to_owned(),
    ] {
        assert!(printed.contains(&said), "{said}: {printed}");
    }
    let printed = explain("unknown", "b@r.example");
    assert!(
        printed.contains("would be       deferred, 60 seconds from now on: new"),
        "{printed}"
    );
    assert!(
        printed.contains("line 1, but the client has no verified name\n"),
        "{printed}"
    );
    let printed = explain("unknown", "b@other.example");
    assert!(
        printed.contains("would be       passed: recipient not greylisted\n"),
        "{printed}"
    );
    assert!(printed.contains("greylisted     no line\n"), "{printed}");
}
