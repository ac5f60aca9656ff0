//! The rules, as stories of requests and times.

#[path = "support/story.rs"]
mod story;

use greylet::engine::greylist::Rules;
use greylet::engine::history::Outcome;
use greylet::engine::identity::{Lookup, Prefixes};
use greylet::engine::limits::BLOCK_BYTES_MAX;
use greylet::engine::null_sender::NullSender;
use greylet::engine::request::Request;
use greylet::engine::snapshot::{Encoder, Extent, Moment, Save, Step, Survey};
use greylet::engine::table::Class;
use greylet::engine::time::{Seconds, Timestamp};
use greylet::engine::verdict::{Action, Attribute, Reason};
use greylet::engine::{Engine, Policy};
use story::{DAY, HOUR, Header, Pass, START, Told, Wait, mail, story, told, with_engine};

/// What Postgrey does when it is told nothing.
fn postgrey() -> Policy {
    Policy {
        lookup: Lookup::Subnet(Prefixes::default()),
        null_sender: NullSender::Rcpt,
        ..Policy::default()
    }
}

fn from(client_address: &'static str) -> Request<'static> {
    Request {
        client_address: Some(client_address.as_bytes()),
        ..mail()
    }
}

fn rules(change: impl FnOnce(&mut Rules)) -> Policy {
    let mut policy = postgrey();
    change(&mut policy.rules);
    policy
}

#[test]
fn a_new_mail_waits_and_its_retry_passes() {
    story(
        postgrey(),
        &[
            (0, mail(), Wait(300)),
            (299, mail(), Wait(1)),
            (300, mail(), Header(300)),
            (301, mail(), Pass),
        ],
    );
}

#[test]
fn the_retry_window_is_counted_from_the_first_try() {
    story(
        postgrey(),
        &[
            (0, mail(), Wait(300)),
            (100, mail(), Wait(200)),
            (2 * DAY, mail(), Header(172_800)),
            (2 * DAY + 1, mail(), Pass),
        ],
    );
    story(
        postgrey(),
        &[
            (0, mail(), Wait(300)),
            (100, mail(), Wait(200)),
            (2 * DAY + 1, mail(), Wait(300)),
            (2 * DAY + 301, mail(), Header(300)),
        ],
    );
}

#[test]
fn a_known_triplet_lives_until_it_is_not_seen_for_max_age() {
    let start = [(0, mail(), Wait(300)), (300, mail(), Header(300))];
    let seen = (300 + 35 * DAY, mail(), Pass);
    let unseen = (300 + 70 * DAY + 1, mail(), Wait(300));
    story(
        postgrey(),
        &[start[0], start[1], seen, (300 + 70 * DAY, mail(), Pass)],
    );
    story(postgrey(), &[start[0], start[1], seen, unseen]);
}

/// The daemon's clock cannot go back, but a test's may.
#[test]
fn a_clock_that_goes_back_unpasses_nobody() {
    story(
        postgrey(),
        &[
            (40 * DAY, mail(), Wait(300)),
            (40 * DAY + 300, mail(), Header(300)),
            (0, mail(), Pass),
            (75 * DAY, mail(), Pass),
        ],
    );
    story(
        postgrey(),
        &[
            (DAY, mail(), Wait(300)),
            (0, mail(), Wait(300)),
            (300, mail(), Header(300)),
        ],
    );
}

#[test]
fn clients_of_one_network_are_one() {
    let subnet = |told| (300, from("192.0.2.250"), told);
    story(postgrey(), &[(0, mail(), Wait(300)), subnet(Header(300))]);
    let by_host = Policy {
        lookup: Lookup::Host,
        ..postgrey()
    };
    story(by_host, &[(0, mail(), Wait(300)), subnet(Wait(300))]);
    story(
        postgrey(),
        &[
            (0, from("2001:db8:1:2::1"), Wait(300)),
            (300, from("2001:db8:1:2:ffff::9"), Header(300)),
            (301, from("2001:db8:1:3::1"), Wait(300)),
            (302, from("::ffff:192.0.2.1"), Wait(300)),
            (602, from("192.0.2.2"), Header(300)),
        ],
    );
    let prefixes = Lookup::Subnet(Prefixes {
        ipv4_bits: 16,
        ipv6_bits: 48,
    });
    let wide = Policy {
        lookup: prefixes,
        ..postgrey()
    };
    story(
        wide,
        &[
            (0, mail(), Wait(300)),
            (300, from("192.0.99.1"), Header(300)),
        ],
    );
}

/// With five first passes an hour apart the address is whitelisted, and only the address.
#[test]
fn five_first_passes_whitelist_a_client() {
    let senders: Vec<String> = (0..8)
        .map(|number| format!("a{number}x@s.example"))
        .collect();
    let by = |number: usize| Request {
        sender: Some(senders[number].as_bytes()),
        ..mail()
    };
    let mut steps = Vec::new();
    for number in 0..5 {
        let hour = number as u64 * HOUR;
        steps.push((hour, by(number), Wait(300)));
        steps.push((hour + 300, by(number), Header(300)));
    }
    steps.push((6 * HOUR, by(5), Pass));
    steps.push((
        6 * HOUR,
        Request {
            sender: Some(b"x@s.example"),
            ..from("192.0.2.2")
        },
        Wait(300),
    ));
    // It stays so as long as it is used within max-age.
    steps.push((6 * HOUR + 35 * DAY, by(6), Pass));
    steps.push((6 * HOUR + 70 * DAY + 1, by(7), Wait(300)));
    story(postgrey(), &steps);
    steps.truncate(11);
    steps[10].2 = Wait(300);
    story(rules(|rules| rules.auto_whitelist_clients = 0), &steps);
    story(rules(|rules| rules.auto_whitelist_clients = 6), &steps);
}

#[test]
fn at_most_one_pass_an_hour_counts_for_the_whitelist() {
    let senders = ["a@s.example", "b@s.example", "c@s.example"];
    let by = |number: usize| Request {
        sender: Some(senders[number].as_bytes()),
        ..mail()
    };
    with_engine(
        1_024,
        rules(|rules| rules.auto_whitelist_clients = 2),
        |engine| {
            let mut decide = |time, number| {
                let verdict = engine.decide(&by(number), Timestamp::from_unix(START + time));
                (verdict.auto_whitelisted.client, verdict.reason)
            };
            for number in 0..3 {
                decide(0, number);
            }
            let found = Reason::TripletFound;
            assert_eq!(decide(300, 0), (false, found));
            assert_eq!(decide(300 + HOUR - 1, 1), (false, found));
            assert_eq!(decide(300 + HOUR, 2), (true, found));
            assert_eq!(decide(300 + HOUR, 2).1, Reason::ClientAutoWhitelisted);
        },
    );
}

#[test]
fn one_header_for_each_message() {
    let to = |recipient: &'static str, instance: &'static str| Request {
        recipient: Some(recipient.as_bytes()),
        instance: Some(instance.as_bytes()),
        ..mail()
    };
    story(
        postgrey(),
        &[
            (0, to("b@r.example", "i1"), Wait(300)),
            (0, to("c@r.example", "i1"), Wait(300)),
            (0, to("d@r.example", "i1"), Wait(300)),
            (300, to("b@r.example", "i2"), Header(300)),
            (300, to("c@r.example", "i2"), Pass),
            (300, to("d@r.example", "i3"), Header(300)),
        ],
    );
    // Without an instance nobody knows which message it is (Exim).
    story(
        postgrey(),
        &[
            (0, to("b@r.example", ""), Wait(300)),
            (0, to("c@r.example", ""), Wait(300)),
            (300, to("b@r.example", ""), Header(300)),
            (300, to("c@r.example", ""), Header(300)),
        ],
    );
}

#[test]
fn a_question_repeated_within_its_transaction_gets_the_same_answer() {
    let asked = |instance: &'static str| Request {
        instance: Some(instance.as_bytes()),
        ..mail()
    };
    story(
        postgrey(),
        &[
            (0, asked("i1"), Wait(300)),
            (2, asked("i1"), Wait(300)),
            (2, asked("i2"), Wait(298)),
            (300, asked("i3"), Header(300)),
            (300, asked("i3"), Pass),
        ],
    );
    // After a minute it is asked anew, and another instance always is.
    story(
        postgrey(),
        &[
            (0, asked("i1"), Wait(300)),
            (60, asked("i1"), Wait(300)),
            (61, asked("i1"), Wait(239)),
        ],
    );
    with_engine(1_024, postgrey(), |engine| {
        let at = |time| Timestamp::from_unix(START + time);
        assert!(!engine.decide(&asked("i1"), at(0)).repeated);
        assert!(engine.decide(&asked("i1"), at(1)).repeated);
        assert_eq!(engine.table().len(), 1);
    });
}

#[test]
fn what_is_not_judged_passes_and_is_not_remembered() {
    let recipient_state = |state: &'static str| Request {
        protocol_state: Some(state.as_bytes()),
        ..mail()
    };
    let cases = [
        (
            Request {
                request: None,
                ..mail()
            },
            Reason::Missing(Attribute::Request),
        ),
        (
            Request {
                request: Some(b"x"),
                ..mail()
            },
            Reason::UnknownRequest,
        ),
        (
            Request {
                client_address: None,
                ..mail()
            },
            Reason::Missing(Attribute::ClientAddress),
        ),
        (
            Request {
                client_name: None,
                ..mail()
            },
            Reason::Missing(Attribute::ClientName),
        ),
        (
            Request {
                sender: None,
                ..mail()
            },
            Reason::Missing(Attribute::Sender),
        ),
        (
            Request {
                recipient: None,
                ..mail()
            },
            Reason::Missing(Attribute::Recipient),
        ),
        (from("unknown"), Reason::UnparsableAddress),
        (from(""), Reason::UnparsableAddress),
        (from("fe80::1%eth0"), Reason::UnparsableAddress),
        (from("127.0.0.1"), Reason::LocalClient),
        (from("127.9.9.9"), Reason::LocalClient),
        (from("::1"), Reason::LocalClient),
        (from("::ffff:127.0.0.1"), Reason::LocalClient),
        (recipient_state("DATA"), Reason::NotRecipientState),
        (recipient_state("END-OF-MESSAGE"), Reason::NotRecipientState),
        (recipient_state("VRFY"), Reason::NotRecipientState),
        (
            Request {
                sasl_username: Some(b"joe"),
                ..mail()
            },
            Reason::Authenticated,
        ),
    ];
    with_engine(1_024, postgrey(), |engine| {
        for (request, reason) in cases {
            let verdict = engine.decide(&request, Timestamp::from_unix(START));
            assert_eq!((verdict.action, verdict.reason), (Action::Dunno, reason));
        }
        assert!(engine.table().is_empty());
        for request in [
            recipient_state("RCPT"),
            recipient_state(""),
            Request {
                sasl_username: Some(b""),
                ..mail()
            },
            Request {
                sender: Some(b""),
                ..mail()
            },
            Request {
                client_name: Some(b""),
                ..mail()
            },
        ] {
            assert_ne!(
                told(engine.decide(&request, Timestamp::from_unix(START))),
                Pass
            );
        }
    });
}

/// Postfix passes on senders of over 2,000 bytes, and a spammer could choose them.
#[test]
fn long_senders_are_judged() {
    let long = |last: &str| format!("{}{last}@s.example", "x".repeat(4_000)).into_bytes();
    let (one, other) = (long("y"), long("z"));
    let by = |sender| Request {
        sender: Some(sender),
        ..mail()
    };
    story(
        postgrey(),
        &[
            (0, by(&one), Wait(300)),
            (300, by(&other), Wait(300)),
            (300, by(&one), Header(300)),
        ],
    );
}

#[test]
fn reasons() {
    with_engine(1_024, postgrey(), |engine| {
        let mut reason = |time| {
            engine
                .decide(&mail(), Timestamp::from_unix(START + time))
                .reason
        };
        assert_eq!(reason(0), Reason::New);
        assert_eq!(reason(0), Reason::New);
        assert_eq!(reason(1), Reason::EarlyRetry);
        assert_eq!(reason(300), Reason::TripletFound);
        assert_eq!(reason(301), Reason::TripletFound);
    });
}

#[test]
fn classes() {
    with_engine(1_024, postgrey(), |engine| {
        let count = |engine: &Engine<'_>| Class::ALL.map(|class| engine.table().len_of(class));
        let at = |time| Timestamp::from_unix(START + time);
        let nameless = Request {
            client_name: Some(b"unknown"),
            ..mail()
        };
        engine.decide(&nameless, at(0));
        assert_eq!(count(engine), [1, 0, 0, 0, 0]);
        engine.decide(&mail(), at(1));
        assert_eq!(count(engine), [0, 1, 0, 0, 0]);
        engine.decide(&nameless, at(2));
        assert_eq!(count(engine), [0, 1, 0, 0, 0]);
        engine.decide(&nameless, at(300));
        // The triplet, and the client's first count.
        assert_eq!(count(engine), [0, 0, 2, 0, 0]);
        engine.decide(&nameless, at(300 + DAY - 1));
        assert_eq!(count(engine), [0, 0, 2, 0, 0]);
        engine.decide(&nameless, at(300 + DAY));
        assert_eq!(count(engine), [0, 0, 1, 0, 1]);
    });
}

/// One-shot spam, far more than there is room for, pushes out nobody who has passed, and says so when the table is too small.
#[test]
fn a_flood_pushes_out_nobody_who_has_passed() {
    with_engine(
        128,
        rules(|rules| rules.auto_whitelist_clients = 0),
        |engine| {
            let at = |time| Timestamp::from_unix(START + time);
            let senders: Vec<String> = (0..30)
                .map(|number| format!("s{number}x@s.example"))
                .collect();
            let known: Vec<Request<'_>> = senders
                .iter()
                .map(|sender| Request {
                    sender: Some(sender.as_bytes()),
                    ..mail()
                })
                .collect();
            for time in [0, 300] {
                for request in &known {
                    engine.decide(request, at(time));
                }
            }
            let honest = Request {
                client_name: Some(b"mail.newcomer.example"),
                ..mail()
            };
            engine.decide(&honest, at(300));
            let mut evicted_young = false;
            for number in 0..10_000_u32 {
                let sender = format!("spam{number}x@bot.example");
                let request = Request {
                    sender: Some(sender.as_bytes()),
                    client_name: Some(b"unknown"),
                    ..from("198.51.100.1")
                };
                let verdict = engine.decide(&request, at(301 + u64::from(number) / 100));
                assert_eq!(told(verdict), Wait(300));
                evicted_young |= verdict.evicted_young;
            }
            assert!(evicted_young);
            assert_eq!(engine.table().len(), 128);
            for request in &known {
                assert_eq!(told(engine.decide(request, at(500))), Pass);
            }
            // Neither did it push out an honest newcomer with a verified name.
            assert_eq!(told(engine.decide(&honest, at(600))), Header(300));
        },
    );
}

/// What spam is told that comes from a client with this name, but from an address and a sender of its own.
fn spam(engine: &mut Engine<'_>, number: u64, client_name: &str, time: u64) -> Told {
    let address = format!("198.51.{}.{}", number / 250, number % 250);
    let sender = format!("offers@s{number}.example");
    let request = Request {
        client_address: Some(address.as_bytes()),
        client_name: Some(client_name.as_bytes()),
        sender: Some(sender.as_bytes()),
        ..mail()
    };
    told(engine.decide(&request, Timestamp::from_unix(START + time)))
}

const EVIL: &str = "mail.evil.example";

/// A mail server's name is not enough to push out what waits of the others. The name counts in every lookup mode.
#[test]
fn a_flood_from_one_mail_server_pushes_out_no_other() {
    for lookup in [
        Lookup::default(),
        Lookup::Subnet(Prefixes::default()),
        Lookup::Host,
    ] {
        let policy = Policy {
            lookup,
            ..postgrey()
        };
        with_engine(1_024, policy, |engine| {
            let at = |time| Timestamp::from_unix(START + time);
            let honest = [1, 2, 3].map(|number| format!("mail.newcomer{number}.example"));
            let honest = [0, 1, 2].map(|index| Request {
                client_name: Some(honest[index].as_bytes()),
                sender: Some([b"a@s.example", b"b@s.example", b"c@s.example"][index]),
                ..mail()
            });
            for request in &honest {
                assert_eq!(told(engine.decide(request, at(0))), Wait(300));
            }
            for number in 0..10_000 {
                let told = spam(engine, number, EVIL, number / 10);
                assert_eq!(told, Wait(300), "{number}");
            }
            assert_eq!(engine.table().len(), 1_024);
            for request in &honest {
                assert_eq!(told(engine.decide(request, at(1_000))), Header(1_000));
            }
            // Three honest ones, and a share of 16, again in an hour.
            let named = engine.table().len_of(Class::Named);
            assert!((16..16 + 16 / 3).contains(&named), "{named}");
            assert!(engine.entries_beyond_share() > 9_000);
        });
    }
}

/// What an organisation enters beyond its share is judged as ever.
#[test]
fn a_share_changes_no_verdict() {
    with_engine(4_096, postgrey(), |engine| {
        for (time, expected) in [
            (0, Wait(300)),
            (200, Wait(100)),
            (300, Header(300)),
            (301, Pass),
        ] {
            for number in 0..500 {
                let told = spam(engine, number, EVIL, time);
                assert_eq!(told, expected, "{number} at {time}");
            }
        }
    });
}

/// An early retry is no way to have more than the share, and neither is a name that DNS finds later.
#[test]
fn a_pending_mail_becomes_named_within_the_share_only() {
    with_engine(1_024, Policy::default(), |engine| {
        let at = |time| Timestamp::from_unix(START + time);
        let named = |engine: &Engine<'_>| engine.table().len_of(Class::Named);
        let without_name = Request {
            client_name: Some(b"unknown"),
            ..from("203.0.113.1")
        };
        let with_name = from("203.0.113.1");
        engine.decide(&without_name, at(0));
        assert_eq!(named(engine), 0);
        engine.decide(&with_name, at(1));
        assert_eq!(named(engine), 1);
        for (time, name) in [(10, EVIL), (20, EVIL), (30, "unknown")] {
            for number in 0..100 {
                spam(engine, number, name, time);
            }
            // What is named stays so.
            assert_eq!(named(engine), 1 + 16);
        }
    });
}

/// An entry that has expired goes before any that is of use, whatever its class.
#[test]
fn expired_entries_go_first() {
    with_engine(
        64,
        rules(|rules| rules.auto_whitelist_clients = 0),
        |engine| {
            let at = |time| Timestamp::from_unix(START + time);
            let senders: Vec<String> = (0..65)
                .map(|number| format!("s{number}x@s.example"))
                .collect();
            let by = |number: usize| Request {
                sender: Some(senders[number].as_bytes()),
                ..mail()
            };
            engine.decide(&by(0), at(0));
            engine.decide(&by(0), at(300));
            let late = 36 * DAY;
            for number in 1..64 {
                engine.decide(&by(number), at(late));
            }
            assert_eq!(
                Class::ALL.map(|class| engine.table().len_of(class)),
                [61, 2, 1, 0, 0]
            );
            assert!(!engine.decide(&by(64), at(late + 1)).evicted_young);
            assert_eq!(
                Class::ALL.map(|class| engine.table().len_of(class)),
                [62, 2, 0, 0, 0]
            );
        },
    );
}

#[test]
fn a_delay_of_a_day_still_works() {
    let policy = rules(|rules| rules.delay = Seconds::DAY);
    story(
        policy,
        &[
            (0, mail(), Wait(86_400)),
            (DAY - 1, mail(), Wait(1)),
            (DAY, mail(), Header(86_400)),
        ],
    );
}

/// Saves all that an engine remembers.
fn snapshot(engine: &mut Engine<'_>, now: u64) -> Vec<u8> {
    let save = Save {
        extent: Extent::Full,
        with_pending: true,
    };
    let moment = Moment {
        logical: Timestamp::from_unix(START + now),
        wall_unix_seconds: START + now,
        boot_seconds: 1_000,
        boot_id: [1; 16],
        data_asked: engine.data_asked(),
    };
    let mut encoder = Encoder::new(save, moment, heapless::Vec::new(), engine.table());
    let mut block = heapless::Vec::<u8, BLOCK_BYTES_MAX>::new();
    let mut bytes = Vec::new();
    loop {
        match engine.save(&mut encoder, &mut block) {
            Step::Unfinished => {}
            Step::Block => {
                bytes.extend_from_slice(&block);
                block.clear();
            }
            Step::Done => return bytes,
        }
    }
}

fn load(engine: &mut Engine<'_>, bytes: &[u8], now: u64, is_same_boot: bool) {
    let mut survey = Survey::new();
    survey.feed(bytes);
    let Ok(found) = survey.finish() else {
        panic!("it cannot be loaded");
    };
    let mut loader = engine.loader(&found, Timestamp::from_unix(START + now), is_same_boot);
    loader.feed(bytes);
    assert_eq!(loader.finish(), 0);
}

#[test]
fn an_engine_goes_on_where_another_stopped() {
    let mut bytes = Vec::new();
    let other = || from("198.51.100.7");
    let data = Request {
        protocol_state: Some(b"DATA"),
        ..mail()
    };
    let data_asked = Timestamp::from_unix(START + 350);
    with_engine(1_024, postgrey(), |engine| {
        engine.decide(&data, data_asked);
        for (time, request, expected) in [
            (0, mail(), Wait(300)),
            (300, mail(), Header(300)),
            (400, other(), Wait(300)),
        ] {
            let verdict = engine.decide(&request, Timestamp::from_unix(START + time));
            assert_eq!(told(verdict), expected);
        }
        bytes = snapshot(engine, 500);
    });
    for (is_same_boot, pending) in [(true, Header(7_600)), (false, Wait(200))] {
        with_engine(1_024, postgrey(), |engine| {
            // Two hours later.
            load(engine, &bytes, 8_000, is_same_boot);
            let now = Timestamp::from_unix(START + 8_000);
            assert_eq!(told(engine.decide(&mail(), now)), Pass);
            assert_eq!(told(engine.decide(&other(), now)), pending);
            let count = |outcome: Outcome| -> u32 {
                let hours = engine.history().hours();
                hours.map(|(_, counts)| counts[outcome as usize]).sum()
            };
            assert_eq!(count(Outcome::New), 2);
            assert_eq!(count(Outcome::Known), 1);
            assert_eq!(engine.data_asked().map(|(_, at)| at), Some(data_asked));
            let again = u32::from(is_same_boot);
            assert_eq!(count(Outcome::FirstPass), 1 + again);
            assert_eq!(count(Outcome::EarlyRetry), 1 - again);
            // Proven, and then worth a write again after an eighth of 35 days.
            let mut changes_after = |days| {
                let now = Timestamp::from_unix(START + days * DAY);
                assert_eq!(told(engine.decide(&mail(), now)), Pass);
                let changes = engine.table().changes();
                snapshot(engine, days * DAY);
                changes > 0
            };
            assert!(changes_after(2));
            assert!(!changes_after(2));
            assert!(!changes_after(5));
            assert!(changes_after(9));
        });
    }
}
