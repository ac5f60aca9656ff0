//! `greylet allow` and `greylet forget`: rules as stories, and the real binary over its sockets.

#[expect(dead_code, reason = "this needs only a part of it")]
#[path = "support/story.rs"]
mod story;
mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use greylet::engine::history::Outcome;
use greylet::engine::identity::{Lookup, Prefixes};
use greylet::engine::limits::{ALLOWS_MAX, BLOCK_BYTES_MAX, DISTRUSTS_MAX};
use greylet::engine::null_sender::NullSender;
use greylet::engine::orders::{Allowed, AllowedBy, Whom};
use greylet::engine::request::Request;
use greylet::engine::snapshot::{Encoder, Extent, Moment, Save, Step, Survey};
use greylet::engine::time::{Seconds, Timestamp};
use greylet::engine::verdict::Reason;
use greylet::engine::{Engine, NotForgotten, Policy};
use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use story::{DAY, HOUR, Header, Pass, START, Told, Wait, mail, told, with_engine};
use support::{Client, Scratch, Server, greylet, remembering, request, run};

const BY_SUBNET: Lookup = Lookup::Subnet(Prefixes {
    ipv4_bits: 24,
    ipv6_bits: 64,
});

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix(START + seconds)
}

fn ask(engine: &mut Engine<'_>, request: &Request<'_>, seconds: u64) -> Told {
    told(engine.decide(request, at(seconds)))
}

fn allow(engine: &mut Engine<'_>, whom: Whom<'_>, span: u32, seconds: u64) -> bool {
    engine.allow(&whom, Seconds::new(span), at(seconds))
}

fn recipient(text: &str) -> Whom<'_> {
    Whom::recipient(text.as_bytes()).expect("a recipient")
}

fn client(text: &str) -> Whom<'_> {
    Whom::client(text.as_bytes()).expect("a client")
}

#[test]
fn a_recipient_is_let_through_until_the_time_is_over() {
    with_engine(64, Policy::default(), |engine| {
        assert_eq!(ask(engine, &mail(), 0), Wait(300));
        allow(engine, recipient("B@R.example"), 600, 10);
        let verdict = engine.decide(&mail(), at(10));
        assert_eq!((told(verdict), verdict.reason), (Pass, Reason::Allowed));
        let explained = engine.explain(&mail(), at(609));
        assert_eq!(explained.verdict.reason, Reason::Allowed);
        let allowed = Allowed {
            by: AllowedBy::Recipient,
            until: at(610),
        };
        assert_eq!(explained.allowed, Some(allowed));
        assert_eq!(engine.explain(&mail(), at(610)).allowed, None);
        let mut other = mail();
        other.sender = Some(b"new@else.example");
        assert_eq!(ask(engine, &other, 609), Pass);
        // It left no trace.
        assert_eq!(ask(engine, &other, 610), Wait(300));
        assert_eq!(ask(engine, &mail(), 610), Header(610));
        let hour = engine.history().hours().last().expect("an hour").1;
        assert_eq!(hour[Outcome::Allowed as usize], 2);
    });
}

/// Whether a mail to this recipient, from this client, passes with an order.
fn passes(whom: Whom<'_>, to: &str, address: &str, name: &str) -> bool {
    let mut passes = false;
    with_engine(64, Policy::default(), |engine| {
        allow(engine, whom, 60, 0);
        let request = Request {
            recipient: Some(to.as_bytes()),
            client_address: Some(address.as_bytes()),
            client_name: Some(name.as_bytes()),
            ..mail()
        };
        passes = ask(engine, &request, 1) == Pass;
    });
    passes
}

#[test]
fn whom_an_order_is_about() {
    let to = |whom: &str, to: &str| passes(recipient(whom), to, "192.0.2.1", "unknown");
    for (whom, recipient) in [
        ("b@r.example", "b@r.example"),
        ("b@r.example", "B+shop@R.EXAMPLE"),
        ("b+x@r.example", "b+x@r.example"),
        ("b+x@r.example", "b+x+y@r.example"),
        ("r.example", "b@r.example"),
        ("@r.example", "b@r.example"),
        ("r.example", "b@mail.R.example"),
        ("\"a@b\"@r.example", "\"A@b\"@r.example"),
        ("b@[192.0.2.9]", "b@[192.0.2.9]"),
    ] {
        assert!(to(whom, recipient), "{whom} {recipient}");
    }
    for (whom, recipient) in [
        ("b@r.example", "c@r.example"),
        ("b@r.example", "bb@r.example"),
        ("b@r.example", "b@x.r.example"),
        ("b@r.example", "b-x@r.example"),
        ("b+x@r.example", "b@r.example"),
        ("b+x@r.example", "b+xy@r.example"),
        ("r.example", "b@xr.example"),
        ("r.example", "r.example"),
        ("x.r.example", "b@r.example"),
        ("r.example", "b"),
        ("r.example", ""),
    ] {
        assert!(!to(whom, recipient), "{whom} {recipient}");
    }
    let from = |whom: &str, address: &str, name: &str| passes(client(whom), "b@r", address, name);
    assert!(from("192.0.2.1", "192.0.2.1", "unknown"));
    assert!(from("192.0.2.1", "::ffff:192.0.2.1", "unknown"));
    assert!(!from("192.0.2.1", "192.0.2.2", "unknown"));
    assert!(from("192.0.2.77/28", "192.0.2.64", "unknown"));
    assert!(!from("192.0.2.77/28", "192.0.2.63", "unknown"));
    assert!(from("2001:db8:1::/48", "2001:db8:1:2::3", "unknown"));
    assert!(!from("2001:db8:1::/48", "2001:db8:2:2::3", "unknown"));
    assert!(from("s.example", "192.0.2.1", "S.example"));
    assert!(from("s.example", "192.0.2.1", "a.b.s.example"));
    assert!(!from("s.example", "192.0.2.1", "bs.example"));
    assert!(!from("a.s.example", "192.0.2.1", "s.example"));
    // A client's name is no recipient's domain, and the other way round.
    assert!(!passes(
        client("r.example"),
        "b@r.example",
        "192.0.2.1",
        "unknown"
    ));
    assert!(!passes(
        recipient("s.example"),
        "b@r.example",
        "192.0.2.1",
        "s.example"
    ));
}

/// The last word counts.
#[test]
fn an_order_can_be_cut_short() {
    with_engine(64, Policy::default(), |engine| {
        allow(engine, recipient("b@r.example"), 604_800, 0);
        allow(engine, recipient("b@r.example"), 60, 0);
        assert_eq!(engine.orders().len(), (1, 0));
        assert_eq!(ask(engine, &mail(), 60), Wait(300));
    });
}

/// A million orders need the room of a few, and push nobody out of the table.
#[test]
fn a_million_orders() {
    with_engine(64, Policy::default(), |engine| {
        for number in 0..64_u64 {
            let sender = format!("{}@s.example", "x".repeat(1 + number as usize));
            let request = Request {
                sender: Some(sender.as_bytes()),
                ..mail()
            };
            ask(engine, &request, number);
        }
        let entries = engine.table().len();
        let mut evicted = 0;
        for number in 0..1_000_000_u32 {
            let user = format!("user{number}@r.example");
            evicted += u32::from(allow(engine, recipient(&user), 60 + number % 7_000, 100));
        }
        assert_eq!(evicted, 1_000_000 - ALLOWS_MAX as u32);
        assert_eq!(engine.orders().len(), (ALLOWS_MAX, 0));
        assert_eq!(engine.table().len(), entries);
        // The last one is there, whatever its time.
        allow(engine, recipient("b@r.example"), 60, 100);
        assert_eq!(ask(engine, &mail(), 101), Pass);
        // All of them end.
        allow(engine, recipient("c@r.example"), 60, 8_000);
        assert_eq!(engine.orders().len(), (1, 0));
    });
}

/// Left to DATA it would be judged there, where several recipients have no names.
#[test]
fn a_bounce_to_an_allowed_recipient() {
    let policy = Policy {
        null_sender: NullSender::Data,
        ..Policy::default()
    };
    with_engine(64, policy, |engine| {
        let bounce = Request {
            sender: Some(b""),
            instance: Some(b"1"),
            ..mail()
        };
        assert_eq!(engine.decide(&bounce, at(0)).reason, Reason::LeftToData);
        allow(engine, recipient("b@r.example"), 60, 0);
        let bounce = Request {
            instance: Some(b"2"),
            ..bounce
        };
        assert_eq!(
            engine.explain(&bounce, at(1)).verdict.reason,
            Reason::Allowed
        );
        assert_eq!(engine.decide(&bounce, at(1)).reason, Reason::Allowed);
    });
}

#[test]
fn a_forgotten_mail_waits_again() {
    with_engine(64, Policy::default(), |engine| {
        let by_name = Request {
            client_name: Some(b"mail-1.provider.example"),
            ..mail()
        };
        assert_eq!(ask(engine, &by_name, 0), Wait(300));
        assert_eq!(ask(engine, &by_name, 400), Header(400));
        let other = Request {
            sender: Some(b"c@s.example"),
            ..by_name
        };
        assert_eq!(ask(engine, &other, 400), Wait(300));
        assert_eq!(engine.forget_mail(&by_name, at(500)), Some(2));
        assert_eq!(engine.forget_mail(&by_name, at(500)), Some(0));
        assert_eq!(ask(engine, &by_name, 500), Wait(300));
        // By name or by network, it is the same mail; and another one is not.
        let nameless = Request {
            client_name: Some(b"unknown"),
            ..by_name
        };
        assert_eq!(ask(engine, &nameless, 500), Wait(300));
        assert_eq!(ask(engine, &other, 800), Header(400));
        let unknown = Request {
            client_address: Some(b"unknown"),
            ..by_name
        };
        assert_eq!(engine.forget_mail(&unknown, at(900)), None);
    });
}

/// Passes mails of a client until it is on both auto-whitelists, with an hour between two.
fn earn(engine: &mut Engine<'_>, request: Request<'_>, start: u64) {
    for number in 0..5 {
        let sender = format!(
            "{}@s.example",
            "abcde".get(number..=number).expect("a letter")
        );
        let request = Request {
            sender: Some(sender.as_bytes()),
            ..request
        };
        let begin = start + number as u64 * 2 * HOUR;
        ask(engine, &request, begin);
        assert_ne!(ask(engine, &request, begin + 400), Wait(300));
    }
}

#[test]
fn a_forgotten_client_has_earned_nothing() {
    for (lookup, name) in [
        (Lookup::default(), "mail-1.provider.example"),
        (Lookup::default(), "unknown"),
        (BY_SUBNET, "mail-1.provider.example"),
        (Lookup::Host, "unknown"),
    ] {
        let policy = Policy {
            lookup,
            ..Policy::default()
        };
        with_engine(256, policy, |engine| {
            let request = Request {
                client_name: Some(name.as_bytes()),
                ..mail()
            };
            let elsewhere = Request {
                client_address: Some(b"198.51.100.7"),
                client_name: Some(b"mx.other.example"),
                ..mail()
            };
            earn(engine, request, 0);
            ask(engine, &elsewhere, 9 * HOUR);
            let new = Request {
                sender: Some(b"new@s.example"),
                ..request
            };
            assert_eq!(ask(engine, &new, 9 * HOUR), Pass, "{name}");
            let then = 9 * HOUR + 100;
            engine.forget_client(&request, at(then)).expect("a client");
            assert_eq!(
                engine.explain(&new, at(then + 1)).verdict.reason,
                Reason::New
            );
            assert_eq!(ask(engine, &new, then + 1), Wait(300), "{name}");
            assert_eq!(ask(engine, &mail_of(request, "a"), then + 1), Wait(300));
            // It can earn it anew, one first pass an hour.
            assert_eq!(ask(engine, &new, then + 400), Header(399));
            assert_eq!(ask(engine, &new, then + 500), Pass);
            assert_eq!(ask(engine, &mail_of(request, "b"), then + 500), Wait(300));
            // Others are none the worse.
            assert_eq!(ask(engine, &elsewhere, 9 * HOUR + 400), Header(400));
        });
    }
}

fn mail_of<'r>(request: Request<'r>, user: &str) -> Request<'r> {
    let sender: &'static [u8] = match user {
        "a" => b"a@s.example",
        _ => b"b@s.example",
    };
    Request {
        sender: Some(sender),
        ..request
    }
}

/// Counts begin anew, so that they are later than the time at which it was forgotten.
#[test]
fn an_auto_whitelist_can_be_earned_anew() {
    with_engine(256, Policy::default(), |engine| {
        let unknown = Request {
            client_name: Some(b"unknown"),
            ..mail()
        };
        earn(engine, unknown, 0);
        let forgotten = engine.forget_client(&unknown, at(10 * HOUR));
        forgotten.expect("a client");
        earn(engine, unknown, 10 * HOUR + 1);
        let new = Request {
            sender: Some(b"new@s.example"),
            ..unknown
        };
        let reason = engine.decide(&new, at(20 * HOUR)).reason;
        assert_eq!(reason, Reason::ClientAutoWhitelisted);
    });
}

/// Who begins anew in the very second in which he is forgotten waits as long as everybody.
#[test]
fn a_mail_right_after_its_client_is_forgotten() {
    with_engine(64, Policy::default(), |engine| {
        let unknown = Request {
            client_name: Some(b"unknown"),
            ..mail()
        };
        ask(engine, &unknown, 0);
        assert_eq!(ask(engine, &unknown, 500), Header(500));
        engine.forget_client(&unknown, at(500)).expect("a client");
        assert_eq!(ask(engine, &unknown, 500), Wait(300));
        assert_eq!(ask(engine, &unknown, 800), Header(300));
        assert_eq!(ask(engine, &unknown, 900), Pass);
    });
}

/// What an organisation has earned from any of its addresses is gone too.
#[test]
fn an_organisation_is_forgotten_everywhere() {
    with_engine(256, Policy::default(), |engine| {
        let from = |address: &'static [u8]| Request {
            client_address: Some(address),
            client_name: Some(b"mail-1.provider.example"),
            ..mail()
        };
        ask(engine, &from(b"192.0.2.1"), 0);
        assert_eq!(ask(engine, &from(b"192.0.2.1"), 400), Header(400));
        assert_eq!(ask(engine, &from(b"203.0.113.1"), 500), Pass);
        let forgotten = engine.forget_client(&from(b"203.0.113.1"), at(600));
        assert!(forgotten.expect("a client").identity().is_some());
        assert_eq!(ask(engine, &from(b"192.0.2.1"), 700), Wait(300));
    });
}

#[test]
fn as_many_as_can_be_forgotten() {
    with_engine(64, Policy::default(), |engine| {
        let forget = |engine: &mut Engine<'_>, number: usize, seconds| {
            let address = format!("192.0.{number}.1");
            let request = Request {
                client_address: Some(address.as_bytes()),
                client_name: Some(b"unknown"),
                ..mail()
            };
            engine.forget_client(&request, at(seconds)).map(|_| ())
        };
        for number in 0..DISTRUSTS_MAX {
            assert_eq!(forget(engine, number, 0), Ok(()));
        }
        assert_eq!(forget(engine, 100, 1), Err(NotForgotten::TooMany));
        // One that was forgotten before needs no more room; and in the end nobody can have what is older.
        assert_eq!(forget(engine, 3, 1), Ok(()));
        assert_eq!(forget(engine, 100, 36 * DAY), Ok(()));
        assert_eq!(engine.orders().len().1, 1);
    });
}

/// Saves an engine, with what is pending.
fn saved(engine: &mut Engine<'_>, extent: Extent, seconds: u64) -> Vec<u8> {
    let save = Save {
        extent,
        with_pending: true,
    };
    saved_as(engine, save, seconds)
}

fn saved_as(engine: &mut Engine<'_>, save: Save, seconds: u64) -> Vec<u8> {
    let moment = Moment {
        logical: at(seconds),
        wall_unix_seconds: 0,
        boot_seconds: 0,
        boot_id: [0; 16],
        data_asked: None,
    };
    let removed = engine.take_removed();
    let mut encoder = Encoder::new(save, moment, removed, engine.table());
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

/// Loads it into another engine, that never knew anything.
fn with_loaded(
    bytes: &[u8],
    seconds: u64,
    is_same_boot: bool,
    story: impl FnOnce(&mut Engine<'_>),
) {
    with_engine(256, Policy::default(), |engine| {
        let mut survey = Survey::new();
        survey.feed(bytes);
        let found = survey.finish().expect("a snapshot");
        let mut loader = engine.loader(&found, at(seconds), is_same_boot);
        loader.feed(bytes);
        loader.finish();
        story(engine);
    });
}

#[test]
fn orders_survive_a_restart() {
    with_engine(256, Policy::default(), |engine| {
        let unknown = Request {
            client_name: Some(b"unknown"),
            ..mail()
        };
        earn(engine, unknown, 0);
        let then = 10 * HOUR + 1_234;
        let mut bytes = saved(engine, Extent::Full, then - 100);
        assert!(!engine.has_changed());
        allow(engine, client("192.0.2.0/24"), 600, then);
        allow(engine, recipient("c@r.example"), 600, then);
        engine.forget_client(&unknown, at(then)).expect("a client");
        assert!(engine.has_changed());
        bytes.extend(saved(engine, Extent::Batch, then + 1));
        assert!(!engine.has_changed());
        // Nothing new is written of them.
        let save = Save {
            extent: Extent::Batch,
            with_pending: false,
        };
        let batch = saved_as(engine, save, then + 2);
        let full = saved(engine, Extent::Full, then + 2);
        assert!(batch.len() < 100, "{}", batch.len());
        for bytes in [bytes, full] {
            for is_same_boot in [true, false] {
                with_loaded(&bytes, then + 300, is_same_boot, |engine| {
                    assert_eq!(engine.orders().len(), (2, 1));
                    assert!(!engine.has_changed());
                    assert_eq!(ask(engine, &unknown, then + 599), Pass);
                    assert_eq!(ask(engine, &unknown, then + 600), Wait(300));
                });
                with_loaded(&bytes, then + 601, is_same_boot, |engine| {
                    assert_eq!(engine.orders().len(), (0, 1));
                });
            }
        }
    });
}

/// What was earned since a client was forgotten is not lost, however soon after it, however often it is saved and loaded.
#[test]
fn what_is_earned_anew_survives_restarts() {
    with_engine(256, Policy::default(), |engine| {
        let unknown = Request {
            client_name: Some(b"unknown"),
            ..mail()
        };
        // In the middle of an hour and of a day.
        let then = 5 * HOUR + 1_000;
        engine.forget_client(&unknown, at(then)).expect("a client");
        ask(engine, &unknown, then + 1);
        assert_eq!(ask(engine, &unknown, then + 400), Header(399));
        let pending = mail_of(unknown, "b");
        ask(engine, &pending, then + 401);
        let bytes = saved(engine, Extent::Full, then + 500);
        with_loaded(&bytes, then + 500, false, |engine| {
            assert_eq!(ask(engine, &unknown, then + 501), Pass);
            let bytes = saved(engine, Extent::Full, then + 600);
            // Off for two days: what was pending is as old as it was, and so is what was forgotten.
            let later = then + 600 + 2 * DAY;
            with_loaded(&bytes, later, false, |engine| {
                assert_eq!(ask(engine, &unknown, later), Pass);
                assert_eq!(ask(engine, &pending, later + 101), Header(300));
            });
        });
    });
}

/// Pending entries keep their age over a boot; those from before a client was forgotten stay forgotten.
#[test]
fn what_was_pending_stays_forgotten_over_a_boot() {
    with_engine(256, Policy::default(), |engine| {
        let unknown = Request {
            client_name: Some(b"unknown"),
            ..mail()
        };
        ask(engine, &unknown, 0);
        engine.forget_client(&unknown, at(100)).expect("a client");
        let bytes = saved(engine, Extent::Full, 200);
        with_loaded(&bytes, 200 + HOUR, false, |engine| {
            assert_eq!(ask(engine, &unknown, 500 + HOUR), Wait(300));
        });
    });
}

/// Over any number of boots, also where only batches are written, of pending entries as old as they are by then.
#[test]
fn what_was_pending_stays_forgotten_over_two_boots() {
    with_engine(256, Policy::default(), |engine| {
        let unknown = Request {
            client_name: Some(b"unknown"),
            ..mail()
        };
        ask(engine, &unknown, 0);
        engine.forget_client(&unknown, at(100)).expect("a client");
        let mut bytes = saved(engine, Extent::Full, 200);
        with_loaded(&bytes.clone(), 200 + HOUR, false, |engine| {
            bytes.extend(saved(engine, Extent::Batch, 300 + HOUR));
        });
        with_loaded(&bytes, 300 + 2 * HOUR, false, |engine| {
            assert_eq!(ask(engine, &unknown, 700 + 2 * HOUR), Wait(300));
        });
    });
}

#[test]
fn forgotten_mails_do_not_come_back() {
    with_engine(256, Policy::default(), |engine| {
        let unknown = Request {
            client_name: Some(b"unknown"),
            ..mail()
        };
        let of = |number: usize| format!("{}@s.example", "y".repeat(number + 1));
        for number in 0..70 {
            let sender = of(number);
            let request = Request {
                sender: Some(sender.as_bytes()),
                ..unknown
            };
            ask(engine, &request, 0);
            assert_eq!(ask(engine, &request, 400), Header(400));
        }
        let before = saved(engine, Extent::Full, 500);
        for count in [1, 64, 65] {
            for number in 0..count {
                let sender = of(number);
                let request = Request {
                    sender: Some(sender.as_bytes()),
                    ..unknown
                };
                engine.forget_mail(&request, at(600));
            }
            // For more than 64 a batch has no room.
            if engine.is_full_save_due() {
                assert_eq!(count, 65);
            }
        }
        assert!(engine.has_changed());
        let extent = match engine.is_full_save_due() {
            true => Extent::Full,
            false => Extent::Batch,
        };
        let bytes = match extent {
            Extent::Full => saved(engine, extent, 700),
            Extent::Batch => [before, saved(engine, extent, 700)].concat(),
        };
        assert!(!engine.has_changed());
        with_loaded(&bytes, 800, true, |engine| {
            for number in 0..70 {
                let sender = of(number);
                let request = Request {
                    sender: Some(sender.as_bytes()),
                    ..unknown
                };
                let expected = match number {
                    0..65 => Wait(300),
                    _ => Pass,
                };
                assert_eq!(ask(engine, &request, 800), expected, "{number}");
            }
        });
    });
}

/// A block of orders that is damaged costs the orders, and nothing else; one with records of a later greylet costs those.
#[test]
fn damaged_orders() {
    with_engine(256, Policy::default(), |engine| {
        let unknown = Request {
            client_name: Some(b"unknown"),
            ..mail()
        };
        ask(engine, &unknown, 0);
        ask(engine, &unknown, 400);
        allow(engine, recipient("c@r.example"), 600, 500);
        allow(engine, recipient("d@r.example"), 600, 500);
        let good = saved(engine, Extent::Full, 500);
        // The second block; the first is a head of 30 bytes.
        let (start, end) = (30, 30 + 12 + 2 * 17);
        assert_eq!(good[start + 8], 5, "the kind");
        let with_first_record = |bytes: [(usize, u8); 2], is_sealed: bool, allowed: usize| {
            let mut snapshot = good.clone();
            for (index, byte) in bytes {
                snapshot[start + 12 + index] = byte;
            }
            if is_sealed {
                seal(&mut snapshot[start..end]);
            }
            with_loaded(&snapshot, 600, true, |engine| {
                assert_eq!(engine.orders().len(), (allowed, 0), "{bytes:?}");
                assert_eq!(ask(engine, &unknown, 600), Pass);
            });
        };
        with_first_record([(0, 1), (13, 0)], false, 2);
        with_first_record([(0, 9), (13, 0)], false, 0);
        with_first_record([(0, 9), (13, 0)], true, 1);
        // A network of so many bits, or of too many.
        with_first_record([(0, 2), (13, 128)], true, 2);
        with_first_record([(0, 2), (13, 129)], true, 1);
    });
}

/// Puts the right checksum on a block.
fn seal(block: &mut [u8]) {
    use std::hash::Hasher;
    let mut hash = siphasher::sip::SipHasher24::new_with_key(b"greylet snapshot");
    hash.write(&block[8..]);
    block[4..8].copy_from_slice(&(hash.finish() as u32).to_le_bytes());
}

// The real binary.

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("it is later than 1970").as_secs()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Gives an order that is obeyed; gives what is said.
fn order(words: &[&str], socket: &str) -> String {
    let server = format!("--server=unix:{socket}");
    let output = run(&[words, &[&server]].concat(), b"");
    assert!(output.status.success(), "{words:?}: {output:?}");
    text(&output.stdout)
}

/// The status and the error of a command line.
fn failure(words: &[&str]) -> (i32, String) {
    let output = run(words, b"");
    assert!(output.stdout.is_empty(), "{output:?}");
    (
        output.status.code().expect("a status"),
        text(&output.stderr),
    )
}

fn is_passed(server: &Server, sender: &str) -> bool {
    let action = server.connect().ask(request(&[("sender", Some(sender))]));
    !action.starts_with("DEFER")
}

#[test]
fn orders_from_first_to_last() {
    let scratch = Scratch::new("allow");
    let folder = scratch.path("db");
    let control = scratch.path("db/control");
    let mut server = Server::start_in(&folder, &[]);
    server.wait_for(&format!("listening on unix:{control}, for orders"));
    let socket = fs::symlink_metadata(&control).expect("a socket");
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    assert!(!is_passed(&server, "a@s.example"));
    let said = order(&["allow", "b@r.example", "--for=10m"], &control);
    assert_eq!(
        said,
        "mail to b@r.example is not greylisted for 10 minutes\n"
    );
    let uid = geteuid();
    server.wait_for(&format!(
        "allowed by uid {uid}: mail to b@r.example, for 10 minutes"
    ));
    assert!(is_passed(&server, "a@s.example"));
    server.wait_for("action=pass, reason=allowed, client_name=");
    // Explanations can be had there too.
    let mut client = Client::unix(&control);
    client.send(request(&[("request", Some("explain"))]));
    let explained = client.reply();
    let begin = "explained=yes\nwould be=passed: allowed\nallowed=the recipient, for ";
    assert!(explained.starts_with(begin), "{explained}");
    drop(client);
    let said = order(&["allow", "--client=192.0.2.0/24"], &control);
    assert_eq!(
        said,
        "mail from 192.0.2.0/24 is not greylisted for 60 minutes\n"
    );
    let said = order(
        &["allow", "--for", "7d", "--recipient", "r.example"],
        &control,
    );
    assert_eq!(
        said,
        "mail to r.example and below is not greylisted for 7 days\n"
    );
    let said = order(&["allow", "--client", "s.example"], &control);
    assert!(said.starts_with("mail from s.example and below is"));
    // They outlive the daemon, whose socket goes with it.
    assert!(server.stop(Signal::SIGTERM).success());
    assert!(fs::symlink_metadata(&control).is_err());
    let dump = text(&run(&["dump", &folder], b"").stdout);
    assert!(
        dump.contains("orders: 4 allowed, 0 clients forgotten\n"),
        "{dump}"
    );
    let json = text(&run(&["dump", "--json", &folder], b"").stdout);
    assert!(
        json.contains(",\"allowed\":4,\"clients_forgotten\":0,"),
        "{json}"
    );
    let server = Server::start_in(&folder, &[]);
    assert!(is_passed(&server, "new@s.example"));
}

#[test]
fn forgotten_from_first_to_last() {
    let scratch = Scratch::new("forget");
    let folder = scratch.path("db");
    let control = scratch.path("db/control");
    let options = ["--lookup-by-subnet"];
    let mut server = Server::start_in(&folder, &options);
    let begin = now() - 3_600;
    let mut connection = server.connect();
    for sender in ["a@s.example", "c@s.example"] {
        for seconds in [0, 400] {
            let time = (begin + seconds).to_string();
            connection.ask(request(&[
                ("sender", Some(sender)),
                ("policy_test_time", Some(&time)),
            ]));
        }
    }
    server.save();
    let of = |sender: &'static str| {
        vec![
            "forget",
            "--client-address=192.0.2.1",
            "--client-name=mail.example.com",
            sender,
            "--recipient=b@r.example",
        ]
    };
    assert_eq!(
        order(&of("--sender=nobody@s.example"), &control),
        "nothing was known of such mail\n"
    );
    assert_eq!(
        order(&of("--sender=a@s.example"), &control),
        "1 entry is forgotten\n"
    );
    server.wait_for("forgotten by uid ");
    server
        .wait_for(": 1 entries of mail from 192.0.2.1, sender=a@s.example, recipient=b@r.example");
    assert!(is_passed(&server, "c@s.example"));
    assert!(server.stop(Signal::SIGTERM).success());
    let mut server = Server::start_in(&folder, &options);
    assert!(!is_passed(&server, "a@s.example"));
    assert!(is_passed(&server, "c@s.example"));
    let said = order(&["forget", "--client-address=192.0.2.200"], &control);
    assert_eq!(
        said,
        "all that was known of the network of 192.0.2.0 is forgotten\n"
    );
    assert!(!is_passed(&server, "c@s.example"));
    // No word of goodbye.
    server.save();
    server.stop(Signal::SIGKILL);
    assert!(fs::symlink_metadata(&control).is_ok(), "a stale socket");
    let server = Server::start_in(&folder, &options);
    assert!(!is_passed(&server, "c@s.example"));
    order(&["allow", "b@r.example"], &control);
    assert!(is_passed(&server, "c@s.example"));
}

/// Some thousands, and nothing grows or is refused.
#[test]
fn thousands_of_orders() {
    let scratch = Scratch::new("allowmany");
    let folder = scratch.path("db");
    let mut server = Server::start_in(&folder, &["--quiet"]);
    server.wait_for("for orders");
    let mut client = Client::unix(&scratch.path("db/control"));
    for number in 0..5_000 {
        client.send(format!(
            "request=allow\nrecipient=user{number}@r.example\nfor_seconds=600\n\n"
        ));
        let reply = client.reply();
        assert!(reply.starts_with("done=mail to user"), "{reply}");
        assert_eq!(reply.contains("more than 128 are allowed"), number >= 128);
    }
    assert!(server.stop(Signal::SIGTERM).success());
    let dump = text(&run(&["dump", &folder], b"").stdout);
    assert!(dump.contains("orders: 128 allowed"), "{dump}");
}

#[test]
fn requests_that_are_no_orders() {
    let scratch = Scratch::new("allowbad");
    let socket = scratch.path("socket");
    let unix = format!("--unix={socket}");
    let mut server = Server::start_on(&["--inet=127.0.0.1:0", &unix], &[]);
    let mut client = Client::unix(&socket);
    let whom = "not a recipient: write user@domain";
    for (lines, said) in [
        ("", "name one recipient or one client"),
        (
            "recipient=b@r.example\n",
            "for_seconds is not from 60 to 604800",
        ),
        (
            "recipient=b@r.example\nfor_seconds=59\n",
            "for_seconds is not",
        ),
        (
            "recipient=b@r.example\nfor_seconds=604801\n",
            "for_seconds is not",
        ),
        (
            "recipient=b@r.example\nfor_seconds=10m\n",
            "for_seconds is not",
        ),
        ("recipient=b\nfor_seconds=60\n", whom),
        ("recipient=b \x1b@r.example\nfor_seconds=60\n", whom),
        (
            "client_address=192.0.2.300\nfor_seconds=60\n",
            "not a client",
        ),
        ("client_name=unknown\nfor_seconds=60\n", "not a client"),
        (
            "recipient=b@r.example\nclient_address=192.0.2.1\nfor_seconds=60\n",
            "name one recipient or one client",
        ),
    ] {
        client.send(format!("request=allow\n{lines}\n"));
        let reply = client.reply();
        assert!(
            reply.starts_with(&format!("refused={said}")),
            "{lines}: {reply}"
        );
    }
    for lines in ["", "recipient=b@r.example\n", "client_address=unknown\n"] {
        client.send(format!("request=forget\n{lines}\n"));
        assert_eq!(
            client.reply(),
            "refused=client_address is not an address\n\n"
        );
    }
    client.send("request=forget\nclient_address=192.0.2.1\nsender=a@s.example\n\n");
    assert_eq!(
        client.reply(),
        "refused=a mail has a sender and a recipient\n\n"
    );
    // What stands in the log cannot be more lines, or move a cursor.
    client.send("request=forget\nclient_address=192.0.2.1\nsender=\x1b[2J\r.\nrecipient=\x07b\n\n");
    assert_eq!(client.reply(), "done=nothing was known of such mail\n\n");
    server.wait_for("0 entries of mail from 192.0.2.1, sender=?[2J?., recipient=?b");
    // The longest answer fits.
    let long = format!("{}@{}", "u".repeat(2_000), "v".repeat(2_000));
    client.send(format!("request=allow\nrecipient={long}\nfor_seconds=60\n\n").repeat(9));
    for _ in 0..9 {
        assert!(
            client
                .reply()
                .ends_with(" is not greylisted for 60 seconds\n\n")
        );
    }
    // Over TCP nobody knows who asks.
    let action = server
        .connect()
        .ask("request=allow\nrecipient=x@r.example\nfor_seconds=60\n\n");
    assert_eq!(action, "DUNNO");
    let action = server
        .connect()
        .ask(request(&[("recipient", Some("x@r.example"))]));
    assert!(action.starts_with("DEFER"));
}

#[test]
fn wrong_command_lines() {
    for (words, said) in [
        (&["allow"][..], "say whose mail"),
        (
            &["allow", "r.example"],
            "--client=r.example or --recipient=r.example",
        ),
        (&["allow", "b"], "neither user@domain nor"),
        (&["allow", "192.0.2.1/33"], "neither user@domain nor"),
        (&["allow", "b@"], "not a recipient"),
        (&["allow", "--client=b@r.example"], "not a client"),
        (&["allow", "--recipient=192.0.2.1"], "not a recipient"),
        (
            &["allow", "b@r.example", "--client=192.0.2.1"],
            "one at a time",
        ),
        (&["allow", "b@r.example", "c@r.example"], "c@r.example"),
        (
            &["allow", "b@r.example", "--for=10"],
            "10s, 10m, 10h or 10d",
        ),
        (&["allow", "b@r.example", "--for=30s"], "from 1m to 7d"),
        (&["allow", "b@r.example", "--for=8d"], "from 1m to 7d"),
        (&["allow", "b@r.example", "--for=soon"], "--for=soon"),
        (
            &["allow", "b@r.example", "--server=127.0.0.1:10023"],
            "only over a Unix socket",
        ),
        (
            &["allow", "b@r.example", "--server=unix:"],
            "only over a Unix socket",
        ),
        (&["forget"], "--client-address"),
        (&["forget", "--client-address=unknown"], "not an IP address"),
        (
            &["forget", "--client-address=192.0.2.1", "--client-name=a\n"],
            "no line ends",
        ),
        (
            &[
                "forget",
                "--client-address=192.0.2.1",
                &format!("--recipient={}", "b".repeat(4_097)),
            ],
            "recipient: it has more than 4096 bytes",
        ),
        // It would be all of the client, and less was meant.
        (
            &["forget", "--client-address=192.0.2.1", "--sender=a@s"],
            "--sender without --recipient",
        ),
        (
            &[
                "forget",
                "--client-address=192.0.2.1",
                "--server=[::1]:10023",
            ],
            "forget works only over a Unix socket",
        ),
    ] {
        let (status, error) = failure(words);
        assert_eq!(status, 2, "{error}");
        assert!(error.contains(said), "{words:?}: {error}");
    }
}

#[test]
fn nobody_is_there() {
    let scratch = Scratch::new("allownone");
    let missing = format!("--server=unix:{}", scratch.path("none"));
    let (status, error) = failure(&["allow", "b@r.example", &missing]);
    assert_eq!(status, 1);
    assert!(error.contains("is greylet running?"), "{error}");
    let stale = scratch.path("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).expect("a socket"));
    let server = format!("--server=unix:{stale}");
    let (status, error) = failure(&["forget", "--client-address=192.0.2.1", &server]);
    assert_eq!(status, 1);
    assert!(error.contains("is not running there"), "{error}");
    // Some other server.
    let other = scratch.path("other");
    let listener = std::os::unix::net::UnixListener::bind(&other).expect("a socket");
    let answering = std::thread::spawn(move || {
        let mut stream = listener.accept().expect("a connection").0;
        let mut order = [0; 512];
        assert!(stream.read(&mut order).expect("an order") > 0);
        stream.write_all(b"action=DUNNO\n\n").expect("it is taken");
    });
    let server = format!("--server=unix:{other}");
    let (status, error) = failure(&["allow", "b@r.example", &server]);
    assert_eq!(status, 1);
    assert!(error.contains("takes no orders"), "{error}");
    answering.join().expect("it answers");
    // Without --server, it is where serve has it.
    let output = greylet()
        .args(["allow", "b@r.example"])
        .env("STATE_DIRECTORY", scratch.path("state"))
        .output()
        .expect("greylet runs");
    let expected = format!("unix:{}", scratch.path("state/control"));
    assert!(text(&output.stderr).contains(&expected), "{output:?}");
}

/// Runs a command as the user and group 65534.
fn as_nobody(scratch: &Scratch, words: &[&str]) -> Output {
    // The folder that it is built in may be closed to others.
    let program = scratch.path("greylet");
    fs::copy(env!("CARGO_BIN_EXE_greylet"), &program).expect("a copy");
    Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(words)
        .output()
        .expect("setpriv runs")
}

/// Another user is refused on a socket that it can reach, and does not reach the one that is not for it.
#[test]
fn the_wrong_user() {
    if !geteuid().is_root() {
        support::say("skipped: only root can be somebody else");
        return;
    }
    let scratch = Scratch::new("allowuser");
    let (folder, socket) = (scratch.path("db"), scratch.path("socket"));
    let mut command = greylet();
    command
        .args(["serve", "--inet=127.0.0.1:0"])
        .arg(format!("--unix={socket}"))
        .arg(format!("--dbdir={folder}"));
    let mut server = Server::start_command(command, 2);
    server.wait_for("for orders");
    let open = format!("--server=unix:{socket}");
    let output = as_nobody(&scratch, &["allow", "b@r.example", &open]);
    assert_eq!(output.status.code(), Some(1));
    let said = "only root and greylet's user (uid 0) may give orders, and this is uid 65534";
    assert!(text(&output.stderr).contains(said), "{output:?}");
    let closed = format!("--server=unix:{folder}/control");
    let output = as_nobody(&scratch, &["allow", "b@r.example", &closed]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("only root and greylet's user"),
        "{output:?}"
    );
    assert!(!is_passed(&server, "a@s.example"));
}

/// With --user the socket is that user's, who may give orders, as root may.
#[test]
fn after_root_is_given_up() {
    if !geteuid().is_root() {
        support::say("skipped: only root can become somebody else");
        return;
    }
    let scratch = Scratch::new("allowdrop");
    fs::set_permissions(&scratch, fs::Permissions::from_mode(0o755)).expect("ours");
    let folder = scratch.path("db");
    let control = scratch.path("db/control");
    let options = ["--user=65534", "--group=65534"];
    let mut server = Server::start_command(remembering(greylet(), &folder, &options), 1);
    server.wait_for("for orders");
    let socket = fs::symlink_metadata(&control).expect("a socket");
    assert_eq!((socket.uid(), socket.mode() & 0o777), (65_534, 0o600));
    order(&["allow", "b@r.example"], &control);
    let output = as_nobody(
        &scratch,
        &["allow", "c@r.example", &format!("--server=unix:{control}")],
    );
    assert!(output.status.success(), "{output:?}");
    server.wait_for("allowed by uid 65534: mail to c@r.example");
    assert!(server.stop(Signal::SIGTERM).success());
    assert!(fs::symlink_metadata(&control).is_err());
    // What root has left behind there is in nobody's way.
    drop(std::os::unix::net::UnixListener::bind(&control).expect("a socket"));
    chown(&folder, Some(65_534), Some(65_534)).expect("we are root");
    let mut server = Server::start_command(remembering(greylet(), &folder, &options), 1);
    server.wait_for("for orders");
    assert!(is_passed(&server, "a@s.example"));
}

/// A socket that cannot be made is no reason not to serve; the log says what follows.
#[test]
fn a_socket_that_cannot_be_made() {
    let scratch = Scratch::new("allowlong");
    let folder = scratch.path(&"f".repeat(100));
    let mut server = Server::start_in(&folder, &[]);
    // Said before it listens, but on another stream.
    let is_long = |line: &String| line.contains("the path is longer than 107 bytes");
    let long = server.log.iter().find(|line| is_long(line)).cloned();
    let long = long.unwrap_or_else(|| server.wait_for("the path is longer than 107 bytes"));
    assert!(long.contains("greylet allow and greylet forget"), "{long}");
    assert!(!is_passed(&server, "a@s.example"));
    assert!(server.stop(Signal::SIGTERM).success());
    let folder = scratch.path("db");
    fs::create_dir_all(format!("{folder}/control")).expect("a folder");
    let mut server = Server::start_in(&folder, &[]);
    assert!(!is_passed(&server, "a@s.example"));
    assert!(server.stop(Signal::SIGTERM).success());
    let said = |line: &String| line.contains("that is not a socket");
    assert!(server.log.iter().any(said), "{:#?}", server.log);
    assert!(
        fs::metadata(format!("{folder}/control"))
            .expect("it is still there")
            .is_dir()
    );
}

/// The administrator gets through when all connections are taken, and his own cannot be used up.
#[test]
fn at_the_connection_limit() {
    let scratch = Scratch::new("allowlimit");
    let control = scratch.path("db/control");
    let mut server = Server::start_in(&scratch.path("db"), &["--max-connections=2"]);
    server.wait_for("for orders");
    let mut busy = [server.connect(), server.connect()];
    for connection in &mut busy {
        connection.ask(request(&[]));
    }
    let idle: Vec<UnixStream> = (0..20)
        .map(|_| UnixStream::connect(&control).expect("it is taken"))
        .collect();
    order(&["allow", "b@r.example"], &control);
    for connection in &mut busy {
        assert_eq!(connection.ask(request(&[])), "DUNNO");
    }
    drop(idle);
}

/// A second greylet does not take the first one's socket away.
#[test]
fn a_second_greylet() {
    let scratch = Scratch::new("allowsecond");
    let folder = scratch.path("db");
    let mut server = Server::start_in(&folder, &[]);
    server.wait_for("for orders");
    let mut second = remembering(greylet(), &folder, &[]);
    let output = second.stdin(Stdio::null()).output().expect("greylet ends");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("is in use by another greylet"));
    order(&["allow", "b@r.example"], &scratch.path("db/control"));
}

/// One of the two would destroy the other: the socket that Postfix asks, or what is remembered.
#[test]
fn options_that_name_files_of_the_folder() {
    let scratch = Scratch::new("allownames");
    let folder = scratch.path("db");
    let mut server = Server::start_in(&folder, &[]);
    assert!(server.stop(Signal::SIGTERM).success());
    let names = || {
        let mut names: Vec<_> = fs::read_dir(&folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        (
            names,
            fs::read(format!("{folder}/snapshot")).expect("a snapshot"),
        )
    };
    let before = names();
    for option in [
        "--unix=DB/control",
        "--unix=DB/../db//snapshot.new",
        "--pidfile=DB/snapshot",
        "--pidfile=DB/lock",
    ] {
        let option = option.replace("DB", &folder);
        let mut command = remembering(greylet(), &folder, &[&option]);
        let output = command.stdin(Stdio::null()).output().expect("greylet ends");
        assert_eq!(output.status.code(), Some(2), "{option}: {output:?}");
        assert!(
            text(&output.stderr).contains("one of greylet's own"),
            "{output:?}"
        );
        assert_eq!(names(), before, "{option}");
    }
    let other = format!("--unix={folder}/policy");
    let mut server = Server::start_in(&folder, &[&other]);
    assert!(!is_passed(&server, "a@s.example"));
    assert!(server.stop(Signal::SIGTERM).success());
}
