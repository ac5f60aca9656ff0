//! Who the client is, and what follows from it, as stories of requests and times: organisations, senders that change with each mail,
//! mail without a sender, people we wrote to, suspicious clients only.

#[path = "support/story.rs"]
mod story;

use greylet::engine::access::{Clients, Recipients};
use greylet::engine::identity::{Lookup, Prefixes};
use greylet::engine::null_sender::NullSender;
use greylet::engine::request::Request;
use greylet::engine::table::Class;
use greylet::engine::time::Timestamp;
use greylet::engine::verdict::{AutoWhitelisted, Reason};
use greylet::engine::{Engine, Greylist, Policy};
use story::{DAY, HOUR, Header, Pass, START, Wait, mail, story, told, with_engine};

/// A client, by name and address.
fn client(client_name: &'static str, client_address: &'static str) -> Request<'static> {
    Request {
        client_name: Some(client_name.as_bytes()),
        client_address: Some(client_address.as_bytes()),
        ..mail()
    }
}

fn sent_by<'r>(request: Request<'r>, sender: &'r str) -> Request<'r> {
    Request {
        sender: Some(sender.as_bytes()),
        ..request
    }
}

/// Two machines of a provider in different networks.
fn outlook_1() -> Request<'static> {
    client(
        "mail-am6eur05on2041.outbound.protection.outlook.com",
        "40.107.22.41",
    )
}

fn outlook_2() -> Request<'static> {
    client(
        "mail-northeuropeazon11010045.outbound.protection.outlook.com",
        "52.101.68.45",
    )
}

fn at(time: u64) -> Timestamp {
    Timestamp::from_unix(START + time)
}

fn by_name(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy);
    policy
}

#[test]
fn a_retry_may_come_from_another_machine_of_the_organisation() {
    let steps = |second| {
        [
            (0, outlook_1(), Wait(300)),
            (400, outlook_2(), second),
            (500, outlook_1(), Pass),
        ]
    };
    story(Policy::default(), &steps(Header(400)));
    let by_subnet = by_name(|policy| policy.lookup = Lookup::Subnet(Prefixes::default()));
    story(
        by_subnet,
        &[
            (0, outlook_1(), Wait(300)),
            (400, outlook_2(), Wait(300)),
            (500, outlook_1(), Header(500)),
        ],
    );
}

#[test]
fn a_line_is_only_its_network() {
    let line = |address| client("p5dc12345.dip0.t-ipconnect.de", address);
    story(
        Policy::default(),
        &[
            (0, line("93.193.35.69"), Wait(300)),
            (400, line("93.193.99.1"), Wait(300)),
            (400, line("93.193.35.70"), Header(400)),
        ],
    );
}

/// Whoever has passed under a name has passed for its network too, and so a DNS hiccup delays nobody.
#[test]
fn a_name_that_dns_does_not_know_today() {
    let nameless = client("unknown", "40.107.22.99");
    story(
        Policy::default(),
        &[
            (0, outlook_1(), Wait(300)),
            (400, outlook_1(), Header(400)),
            (500, nameless, Pass),
            (600, client("unknown", "52.101.68.45"), Wait(300)),
        ],
    );
    // The first try counts, even if it had no name.
    story(
        Policy::default(),
        &[
            (0, nameless, Wait(300)),
            (100, outlook_1(), Wait(200)),
            (300, outlook_1(), Header(300)),
            (400, outlook_2(), Pass),
        ],
    );
}

#[test]
fn of_two_that_wait_the_older_counts() {
    let nameless = client("unknown", "52.101.68.45");
    story(
        Policy::default(),
        &[
            (0, outlook_1(), Wait(300)),
            (200, nameless, Wait(300)),
            (300, outlook_2(), Header(300)),
            (310, nameless, Pass),
        ],
    );
    // But not if it has waited for longer than the retry window.
    let late = 2 * DAY + 1;
    story(
        Policy::default(),
        &[
            (0, outlook_1(), Wait(300)),
            (late - 100, nameless, Wait(300)),
            (late, outlook_2(), Wait(200)),
        ],
    );
}

#[test]
fn a_pool_line_makes_an_organisation() {
    let machine = |address| client("spring-chicken-be.birds.example", address);
    let steps = |retry| {
        [
            (0, machine("192.0.2.1"), Wait(300)),
            (400, machine("203.0.113.1"), retry),
        ]
    };
    story(Policy::default(), &steps(Wait(300)));
    with_engine(64, Policy::default(), |engine| {
        let (clients, findings) = Clients::read([&b"pool birds.example\n"[..]]);
        assert!(findings.kept.is_empty(), "{findings:?}");
        engine.access_mut().clients = clients;
        for (time, request, expected) in steps(Header(400)) {
            assert_eq!(told(engine.decide(&request, at(time))), expected);
        }
    });
}

#[test]
fn the_sender_s_own_domain_makes_one() {
    let own = |address, sender| sent_by(client("www.shop.example", address), sender);
    story(
        Policy::default(),
        &[
            (0, own("192.0.2.1", "a@shop.example"), Wait(300)),
            (400, own("203.0.113.1", "a@shop.example"), Header(400)),
            (400, own("203.0.113.1", "a@other.example"), Wait(300)),
            (800, own("192.0.2.1", "a@other.example"), Wait(300)),
        ],
    );
}

#[test]
fn a_shop_s_mails_are_one_sender() {
    let mail_of = |sender| sent_by(client("a8-1.smtp-out.amazonses.com", "54.240.8.1"), sender);
    let first = "0102018f5a1b2c3d-4e5f6a7b-8c9d-4e5f-8a9b-0c1d2e3f4a5b-000000@ses.example";
    let second = "0102018f6b7c8d9e-1a2b3c4d-5e6f-4a5b-9c8d-7e6f5a4b3c2d-000000@ses.example";
    story(
        Policy::default(),
        &[
            (0, mail_of(first), Wait(300)),
            (400, mail_of(first), Header(400)),
            (500, mail_of(second), Pass),
        ],
    );
    with_engine(64, Policy::default(), |engine| {
        assert!(engine.decide(&mail_of(first), at(0)).is_sender_folded);
        let verdict = engine.decide(&mail_of("joe@ses.example"), at(0));
        assert!(!verdict.is_sender_folded);
        let identity = verdict.identity.expect("an organisation");
        assert_eq!(identity.as_bytes(), b"amazonses.com");
    });
}

/// Two customers of a provider; one proves himself, which says nothing of the other.
#[test]
fn an_organisation_is_whitelisted_for_a_domain_of_senders() {
    with_engine(256, Policy::default(), |engine| {
        let mut decide = |time, request: Request<'static>, recipient: &'static str| {
            let request = Request {
                recipient: Some(recipient.as_bytes()),
                ..request
            };
            let verdict = engine.decide(&request, at(time));
            (
                told(verdict),
                verdict.auto_whitelisted.sender_domain,
                verdict.reason,
            )
        };
        let good = |request| sent_by(request, "a@good.example");
        for recipient in ["1@r.example", "2@r.example", "3@r.example"] {
            decide(0, good(outlook_1()), recipient);
        }
        let found = Reason::TripletFound;
        assert_eq!(
            decide(300, good(outlook_1()), "1@r.example"),
            (Header(300), false, found)
        );
        // At most one an hour counts.
        assert_eq!(
            decide(400, good(outlook_1()), "2@r.example"),
            (Header(400), false, found)
        );
        assert_eq!(
            decide(300 + HOUR, good(outlook_1()), "3@r.example"),
            (Header(3_900), true, found)
        );
        let now = 301 + HOUR;
        let other_machine = sent_by(outlook_2(), "other@good.example");
        assert_eq!(
            decide(now, other_machine, "4@r.example"),
            (Pass, false, Reason::SenderDomainAutoWhitelisted)
        );
        // Not even a part of it vouches for the rest: strangers share what looks like one domain (`my.id`).
        for sender in ["a@bad.example", "a@sub.good.example", "a@d.example"] {
            let bad = sent_by(outlook_2(), sender);
            assert_eq!(decide(now, bad, "4@r.example").0, Wait(300), "{sender}");
        }
        let elsewhere = client("mail.elsewhere.example", "203.0.113.7");
        assert_eq!(decide(now, good(elsewhere), "4@r.example").0, Wait(300));
    });
}

/// Where the sender picks both, it takes Postgrey's five of one address.
#[test]
fn the_sender_s_own_domain_vouches_for_nobody() {
    let own = client("www.shop.example", "192.0.2.1");
    with_engine(256, Policy::default(), |engine| {
        for hour in 0..4 {
            let sender = format!("{hour}x@shop.example");
            let request = sent_by(own, &sender);
            engine.decide(&request, at(hour * 2 * HOUR));
            let verdict = engine.decide(&request, at(hour * 2 * HOUR + 300));
            assert_eq!(told(verdict), Header(300));
            assert_eq!(verdict.auto_whitelisted, AutoWhitelisted::default());
        }
    });
}

#[test]
fn no_auto_whitelist_at_all() {
    let policy = by_name(|policy| policy.rules.auto_whitelist_clients = 0);
    with_engine(256, policy, |engine| {
        for hour in 0..9 {
            let sender = format!("{hour}x@s.example");
            let request = sent_by(outlook_1(), &sender);
            assert_eq!(
                told(engine.decide(&request, at(hour * 2 * HOUR))),
                Wait(300)
            );
            let verdict = engine.decide(&request, at(hour * 2 * HOUR + 300));
            assert_eq!(told(verdict), Header(300));
        }
        assert_eq!(engine.table().len_of(Class::Proven), 0);
    });
}

fn bounce() -> Request<'static> {
    Request {
        protocol_state: Some(b"RCPT"),
        ..sent_by(mail(), "")
    }
}

fn at_data(request: Request<'_>) -> Request<'_> {
    Request {
        protocol_state: Some(b"DATA"),
        ..request
    }
}

#[test]
fn without_questions_about_data_a_bounce_waits_at_rcpt() {
    story(
        Policy::default(),
        &[(0, bounce(), Wait(300)), (300, bounce(), Header(300))],
    );
}

#[test]
fn with_questions_about_data_a_bounce_waits_there() {
    let other = at_data(mail());
    let to_several = Request {
        recipient: Some(b""),
        ..at_data(bounce())
    };
    let probe = sent_by(bounce(), "double-bounce@mx.s.example");
    story(
        Policy::default(),
        &[
            (0, other, Pass),
            (1, bounce(), Pass),
            (1, at_data(bounce()), Wait(300)),
            (400, bounce(), Pass),
            (400, at_data(bounce()), Header(399)),
            (401, to_several, Wait(300)),
            // Who verifies an address never comes to DATA.
            (402, probe, Pass),
            (402, at_data(probe), Wait(300)),
            // A day without a question, and it is as before.
            (402 + DAY, bounce(), Pass),
            (402 + 2 * DAY + 1, sent_by(probe, ""), Pass),
        ],
    );
    let mut later = bounce();
    later.recipient = Some(b"other@r.example");
    later.instance = Some(b"1.2.3");
    story(
        Policy::default(),
        &[
            (0, other, Pass),
            (DAY, later, Pass),
            // Left to DATA at the last moment, it is judged there.
            (DAY + 1, at_data(later), Wait(300)),
        ],
    );
    story(
        Policy::default(),
        &[(0, other, Pass), (DAY + 1, later, Wait(300))],
    );
}

/// A transaction of mail without a sender to several recipients, whom Postfix does not name at DATA, and what each question is answered.
fn transaction(
    engine: &mut Engine<'_>,
    time: u64,
    client: Request<'static>,
    instance: &'static str,
    recipients: &[&'static str],
) -> (Vec<story::Told>, story::Told) {
    let request = Request {
        protocol_state: Some(b"RCPT"),
        sender: Some(b""),
        instance: Some(instance.as_bytes()),
        ..client
    };
    let at_rcpt = recipients.iter().enumerate().map(|(index, recipient)| {
        let request = Request {
            recipient: Some(recipient.as_bytes()),
            queue_id: (index > 0).then_some(&b"4ABC"[..]),
            ..request
        };
        told(engine.decide(&request, at(time)))
    });
    let at_rcpt = at_rcpt.collect();
    let data = Request {
        recipient: Some(if let [only] = recipients {
            only.as_bytes()
        } else {
            b""
        }),
        ..at_data(request)
    };
    (at_rcpt, told(engine.decide(&data, at(time))))
}

#[test]
fn one_mail_to_several_says_nothing_of_another() {
    let line = |address| client("unknown", address);
    with_engine(256, Policy::default(), |engine| {
        engine.decide(&at_data(mail()), at(0));
        let mut send = |time, address, instance, recipients: &[&'static str]| {
            transaction(engine, time, line(address), instance, recipients)
        };
        let passed = vec![Pass, Pass];
        let (a, b, c, d) = ("a@r.example", "b@r.example", "c@r.example", "d@r.example");
        assert_eq!(
            send(1, "203.0.113.1", "1", &[a, b]),
            (passed.clone(), Wait(300))
        );
        // In whatever order, from wherever in the network, in whatever case.
        let again = send(301, "203.0.113.2", "2", &["B@R.example", a]);
        assert_eq!(again, (passed.clone(), Header(300)));
        assert_eq!(
            send(302, "203.0.113.1", "3", &[c, d]),
            (passed.clone(), Wait(300))
        );
        assert_eq!(send(302, "203.0.113.1", "4", &[a]), (vec![Pass], Wait(300)));
        assert_eq!(send(303, "203.0.113.1", "5", &[a, b]), (passed, Pass));
    });
}

/// Of two Postfixes that ask one greylet, only one has the service in smtpd_data_restrictions.
#[test]
fn each_smtpd_must_ask_about_data_itself() {
    let by = |server: &'static str, request: Request<'static>| Request {
        server_address: Some(server.as_bytes()),
        server_port: Some(b"25"),
        ..request
    };
    story(
        Policy::default(),
        &[
            (0, by("192.0.2.25", at_data(mail())), Pass),
            (1, by("192.0.2.25", bounce()), Pass),
            (1, by("192.0.2.26", bounce()), Wait(300)),
        ],
    );
}

/// Mail to recipients who are listed does not wait, not even to several of them; but nobody else can hide among them.
#[test]
fn bounces_to_listed_recipients() {
    with_engine(256, Policy::default(), |engine| {
        let (recipients, _) = Recipients::read([&b"postmaster@\nabuse@\n"[..]]);
        engine.access_mut().recipients = recipients;
        engine.decide(&at_data(mail()), at(0));
        let passed = vec![Pass, Pass];
        let mut send = |instance, recipients: &[&'static str]| {
            transaction(engine, 1, mail(), instance, recipients)
        };
        let (postmaster, abuse, a) = ("postmaster@r.example", "abuse@r.example", "a@r.example");
        assert_eq!(send("1", &[postmaster, abuse]), (passed.clone(), Pass));
        assert_eq!(send("2", &[postmaster, a]), (passed.clone(), Wait(300)));
        assert_eq!(send("3", &[a, postmaster]), (passed, Wait(300)));
    });
}

/// What was judged at RCPT does not wait again at DATA.
#[test]
fn the_first_question_about_data_delays_nobody_twice() {
    with_engine(256, Policy::default(), |engine| {
        let (a, b) = ("a@r.example", "b@r.example");
        let at_rcpt = |engine: &mut Engine<'_>, time, recipient: &'static str, queue_id| {
            let request = Request {
                recipient: Some(recipient.as_bytes()),
                instance: Some(b"1.2.3"),
                queue_id,
                ..bounce()
            };
            told(engine.decide(&request, at(time)))
        };
        for (time, expected) in [(0, [Wait(300); 2]), (300, [Header(300), Pass])] {
            let first = at_rcpt(engine, time, a, None);
            let second = at_rcpt(engine, time, b, Some(&b"4ABC"[..]));
            assert_eq!([first, second], expected);
        }
        let data = Request {
            recipient: Some(b""),
            instance: Some(b"1.2.3"),
            ..at_data(bounce())
        };
        assert_eq!(told(engine.decide(&data, at(300))), Pass);
    });
}

/// Whatever a client does to have its transaction forgotten before DATA, it is judged there.
#[test]
fn a_forgotten_transaction_is_judged() {
    with_engine(4_096, Policy::default(), |engine| {
        let by = |server: usize, request: Request<'static>| Request {
            server_address: Some(["1", "2", "3", "4", "5", "6", "7", "8", "9"][server].as_bytes()),
            ..request
        };
        let mine = Request {
            instance: Some(b"mine"),
            ..by(0, bounce())
        };
        engine.decide(&by(0, at_data(mail())), at(0));
        assert_eq!(engine.decide(&mine, at(1)).reason, Reason::LeftToData);
        for number in 0..200 {
            let instance = number.to_string();
            let request = Request {
                instance: Some(instance.as_bytes()),
                ..by(0, bounce())
            };
            engine.decide(&request, at(2));
        }
        for server in 1..9 {
            engine.decide(&by(server, at_data(mail())), at(3));
        }
        assert_eq!(told(engine.decide(&at_data(mine), at(4))), Wait(300));
    });
}

#[test]
fn null_sender_modes() {
    let with = |null_sender| by_name(|policy| policy.null_sender = null_sender);
    story(
        with(NullSender::Rcpt),
        &[
            (0, at_data(mail()), Pass),
            (0, bounce(), Wait(300)),
            (0, at_data(bounce()), Pass),
        ],
    );
    story(
        with(NullSender::Data),
        &[(0, bounce(), Pass), (0, at_data(bounce()), Wait(300))],
    );
    story(
        with(NullSender::Pass),
        &[(0, bounce(), Pass), (0, at_data(bounce()), Pass)],
    );
}

#[test]
fn nobody_asks_about_data() {
    let policy = by_name(|policy| policy.null_sender = NullSender::Data);
    with_engine(64, policy, |engine| {
        let mut missing = |time| engine.decide(&bounce(), at(time)).is_data_missing;
        assert!((0..19).all(|time| !missing(time)));
        assert!(missing(19));
        engine.decide(&at_data(mail()), at(20));
        let mut missing = |time| engine.decide(&bounce(), at(time)).is_data_missing;
        // Somebody asks after many addresses.
        assert!((21..100).all(|time| !missing(time)));
        assert!((0..19).all(|time| !missing(21 + DAY + time)));
        assert!(missing(40 + DAY));
    });
    with_engine(64, Policy::default(), |engine| {
        engine.decide(&at_data(mail()), at(0));
        let mut missing = |time| engine.decide(&bounce(), at(time)).is_data_missing;
        assert!((1..100).all(|time| !missing(time)));
    });
}

fn submission<'r>(user: &'r str, correspondent: &'r str) -> Request<'r> {
    Request {
        sasl_username: Some(user.as_bytes()),
        sender: Some(user.as_bytes()),
        recipient: Some(correspondent.as_bytes()),
        ..client("laptop.example", "198.51.100.9")
    }
}

fn answer<'r>(request: Request<'r>, correspondent: &'r str, user: &'r str) -> Request<'r> {
    Request {
        sender: Some(correspondent.as_bytes()),
        recipient: Some(user.as_bytes()),
        ..request
    }
}

#[test]
fn an_answer_to_our_mail_passes_at_once() {
    let policy = Policy::default();
    with_engine(256, policy, |engine| {
        let mut decide = |time, request| {
            let verdict = engine.decide(&request, at(time));
            (told(verdict), verdict.reason)
        };
        let written = submission("Anna@r.example", "bert+list@S.example");
        assert_eq!(decide(0, written), (Pass, Reason::Authenticated));
        let (bert, anna) = ("Bert@s.example", "anna@R.example");
        assert_eq!(
            decide(DAY, answer(outlook_1(), bert, anna)),
            (Pass, Reason::WrittenTo)
        );
        let nameless = client("unknown", "203.0.113.1");
        let line = client("p5dc12345.dip0.t-ipconnect.de", "93.193.35.69");
        let own = client("www.s.example", "203.0.113.1");
        for request in [nameless, line, own] {
            assert_eq!(decide(DAY, answer(request, bert, anna)).0, Wait(300));
        }
        for (sender, recipient) in [
            (bert, "otto@r.example"),
            ("otto@s.example", anna),
            (anna, bert),
        ] {
            let request = answer(outlook_1(), sender, recipient);
            assert_eq!(decide(DAY, request).0, Wait(300), "{sender} to {recipient}");
        }
        // It lives as long as it is used.
        let answer = answer(outlook_2(), bert, anna);
        assert_eq!(decide(36 * DAY, answer).1, Reason::WrittenTo);
        assert_eq!(decide(72 * DAY, answer).1, Reason::New);
    });
}

#[test]
fn the_service_may_say_that_mail_goes_out() {
    let outgoing = Request {
        sasl_username: None,
        policy_context: Some(b"outgoing"),
        ..submission("anna@r.example", "bert@s.example")
    };
    with_engine(64, Policy::default(), |engine| {
        assert_eq!(engine.decide(&outgoing, at(0)).reason, Reason::Outgoing);
        let answer = answer(outlook_1(), "bert@s.example", "anna@r.example");
        assert_eq!(engine.decide(&answer, at(1)).reason, Reason::WrittenTo);
    });
    let by_subnet = by_name(|policy| policy.lookup = Lookup::Subnet(Prefixes::default()));
    with_engine(64, by_subnet, |engine| {
        assert_eq!(engine.decide(&outgoing, at(0)).reason, Reason::Outgoing);
        assert!(engine.table().is_empty());
    });
}

#[test]
fn a_stolen_password_does_not_fill_the_table() {
    with_engine(4_096, Policy::default(), |engine| {
        let mut write = |time, user: &str, number: u32| {
            let correspondent = format!("n{number}x@s.example");
            let sender = format!("{number}{user}");
            let request = Request {
                // Whoever has a password chooses his senders.
                sender: Some(sender.as_bytes()),
                ..submission(user, &correspondent)
            };
            engine.decide(&request, at(time));
            engine.table().len_of(Class::WroteTo)
        };
        let mut entries = 0;
        for number in 0..1_000 {
            entries = write(0, "anna@r.example", number);
        }
        assert_eq!(entries, 200);
        for user in 0..500 {
            entries = write(1, &format!("u{user}x@r.example"), 0);
        }
        // A sixteenth of the table, and 63 users more.
        assert_eq!(entries, 256);
        // Neither bounces nor mail among colleagues is a correspondence.
        let mut engine_is_untouched = |user: &str, correspondent: &str| {
            let request = submission(user, correspondent);
            let before = engine.table().len();
            engine.decide(&request, at(2 * DAY));
            before == engine.table().len()
        };
        assert!(engine_is_untouched("anna", "bert@s.example"));
        assert!(engine_is_untouched("anna@r.example", "otto@R.example"));
        assert!(engine_is_untouched("anna@r.example", "postmaster"));
    });
}

#[test]
fn suspicious_clients_only() {
    let policy = by_name(|policy| policy.greylist = Greylist::Suspicious);
    let line = client("p5dc12345.dip0.t-ipconnect.de", "93.193.35.69");
    let own = sent_by(client("www.s.example", "203.0.113.1"), "a@s.example");
    story(
        policy,
        &[
            (0, outlook_1(), Pass),
            (0, line, Wait(300)),
            (0, client("unknown", "203.0.113.1"), Wait(300)),
            (0, own, Wait(300)),
        ],
    );
    with_engine(64, policy, |engine| {
        let verdict = engine.decide(&outlook_1(), at(0));
        assert_eq!(verdict.reason, Reason::MailServer);
        assert!(engine.table().is_empty());
    });
}

/// What is explained is what is then decided, and the question leaves no trace.
#[test]
fn explanations_come_true() {
    let requests = [
        outlook_1(),
        outlook_2(),
        client("unknown", "203.0.113.1"),
        client("unknown", "unknown"),
        client("unknown", "127.0.0.1"),
        bounce(),
        at_data(bounce()),
        at_data(mail()),
        submission("b@r.example", "a@s.example"),
        sent_by(outlook_1(), "0102018f5a1b2c3d-4e5f6a7b@s.example"),
    ];
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % below
    };
    with_engine(64, Policy::default(), |engine| {
        let mut time = 0;
        for _ in 0..2_000 {
            time += [0, 1, 299, 300, 4_000, DAY][random(6)];
            let request = &requests[random(requests.len())];
            let explained = engine.explain(request, at(time)).verdict;
            assert_eq!(engine.explain(request, at(time)).verdict, explained);
            let verdict = engine.decide(request, at(time));
            assert_eq!(
                (verdict.action, verdict.reason, verdict.identity),
                (explained.action, explained.reason, explained.identity),
                "{request:?}"
            );
        }
    });
}

/// Oddities that Postfix or an attacker may send.
#[test]
fn odd_names_and_senders() {
    let long_name = format!("{}mail.example.com", "a.".repeat(2_000));
    let names = [
        "",
        "unknown",
        "UNKNOWN",
        "mail",
        "192.0.2.1",
        "mail.example.com.",
        "mail..example.com",
        ".",
        "mail.xn--bcher-kva.example",
        "mail.b\u{fc}cher.example",
        "MAIL.EXAMPLE.COM",
        &long_name,
    ];
    let senders = ["", "@", "a@b@c", "a", "a@", "@s.example", "\u{ff}@\u{ff}"];
    with_engine(1_024, Policy::default(), |engine| {
        for name in names {
            for sender in senders {
                let request = Request {
                    client_name: Some(name.as_bytes()),
                    client_address: Some(b"192.0.2.1"),
                    ..sent_by(mail(), sender)
                };
                let verdict = engine.decide(&request, at(0));
                assert_ne!(told(verdict), Pass, "{name} {sender}");
            }
        }
    });
}
