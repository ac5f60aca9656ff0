//! Postgrey's databases, as `db_dump` wrote them (tests/postgrey checks that it still does): who had passed there passes here.

#[path = "support/known_mails.rs"]
mod known_mails;
#[allow(dead_code)]
#[path = "support/story.rs"]
mod story;
mod support;

use std::fs;
use std::path::Path;

use greylet::commands::import::dump;
use greylet::commands::import::entries::{Imported, Importer, Tally};
use greylet::engine::greylist::Rules;
use greylet::engine::identity::{Lookup, Prefixes};
use greylet::engine::null_sender::NullSender;
use greylet::engine::request::Request;
use greylet::engine::table::{Bucket, Class, Entry, Slot, Table};
use greylet::engine::time::{Seconds, Timestamp};
use greylet::engine::triplet::{Fingerprint, FingerprintKey};
use greylet::engine::{Engine, Policy};
use known_mails::{AUTO_WHITELISTED, Mail, Then, mails};
use story::{DAY, Header, Pass, Told, Wait, mail, told};
use support::Scratch;

const KEY: FingerprintKey = FingerprintKey::new([7; 16]);

const SUBNET: Lookup = Lookup::Subnet(Prefixes {
    ipv4_bits: 24,
    ipv6_bits: 64,
});

/// Our clock has nothing to do with Postgrey's.
fn now() -> Timestamp {
    Timestamp::from_unix(500 * DAY)
}

fn dump_path(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/postgrey-databases");
    folder.join(format!("{name}.dump")).display().to_string()
}

/// Imports one stream of the named dumps.
fn imported(lookup: Lookup, dumps: &[&str]) -> Imported {
    let bytes: Vec<u8> = dumps
        .iter()
        .flat_map(|name| fs::read(dump_path(name)).expect("a dump"))
        .collect();
    let mut importer = Importer::new(&KEY, lookup, Rules::default());
    dump::read(&bytes[..], |key, value| importer.take(key, value)).expect("whole dumps");
    importer.finish(now())
}

fn policy(lookup: Lookup) -> Policy {
    Policy {
        lookup,
        null_sender: NullSender::Rcpt,
        ..Policy::default()
    }
}

/// What a server that has taken over the entries says to one request.
fn answer(lookup: Lookup, imported: &Imported, request: &Request<'_>) -> Told {
    let mut slots = Box::new(heapless::Vec::<Slot, 256>::new());
    let mut buckets = [Bucket::EMPTY; 256];
    let mut table = Table::new(slots.as_mut_view(), &mut buckets, 256);
    let policy = policy(lookup);
    for (fingerprint, entry) in &imported.entries {
        (policy.rules).take_over(&mut table, *fingerprint, *entry, now());
    }
    told(Engine::new(policy, KEY, table).decide(request, now()))
}

fn next_mail<'a>(known: &'a Mail, client_address: &'a str) -> Request<'a> {
    Request {
        client_address: Some(client_address.as_bytes()),
        client_name: Some(b"unknown"),
        sender: Some(known.next_sender.as_bytes()),
        recipient: Some(known.recipient.as_bytes()),
        ..mail()
    }
}

fn expected(then: Then) -> Told {
    match then {
        Then::Passes => Pass,
        Then::PassesFirst(delayed) => Header(delayed),
        Then::Waits(remaining) => Wait(remaining),
    }
}

#[test]
fn who_had_passed_passes() {
    for dumps in [
        &["triplets", "clients"][..],
        &["triplets-print", "clients"],
        &["clients", "triplets-print", "triplets"],
        // What stands for a machine stands for its network.
        &["triplets-by-host", "clients"],
    ] {
        for lookup in [SUBNET, Lookup::default()] {
            let imported = imported(lookup, dumps);
            for known in mails() {
                for name in [&b"unknown"[..], b"mail-out.provider.example"] {
                    let request = Request {
                        client_name: Some(name),
                        ..next_mail(&known, known.neighbour)
                    };
                    assert_eq!(
                        answer(lookup, &imported, &request),
                        expected(known.then),
                        "{dumps:?} {lookup:?} {request:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn by_host() {
    let by_host = imported(Lookup::Host, &["triplets-by-host"]);
    for known in mails() {
        let same = answer(Lookup::Host, &by_host, &next_mail(&known, known.address));
        assert_eq!(same, expected(known.then), "{}", known.address);
        let other = answer(Lookup::Host, &by_host, &next_mail(&known, known.neighbour));
        assert_eq!(other, Wait(300), "{}", known.neighbour);
    }
    let of_networks = imported(Lookup::Host, &["triplets"]);
    assert_eq!(of_networks.entries, []);
    let triplets = mails().len() as u64;
    assert_eq!(of_networks.tally.of_networks, triplets);
}

#[test]
fn auto_whitelisted_clients() {
    let lookup = Lookup::default();
    let imported = imported(lookup, &["clients"]);
    let new_mail = |address: &'static str| Request {
        sender: Some(b"new@awl.example"),
        client_address: Some(address.as_bytes()),
        ..mail()
    };
    assert_eq!(answer(lookup, &imported, &new_mail(AUTO_WHITELISTED)), Pass);
    assert_eq!(
        answer(lookup, &imported, &new_mail("203.0.113.78")),
        Wait(300)
    );
    assert_eq!(answer(lookup, &imported, &new_mail("192.0.2.1")), Wait(300));
}

/// By name, a sender that is new with each mail is known by what stays.
#[test]
fn a_sender_that_folds() {
    let request = Request {
        client_address: Some(b"198.51.14.1"),
        sender: Some(b"0102018f5555beef-000000@ses.example"),
        ..mail()
    };
    for (lookup, says) in [(Lookup::default(), Pass), (SUBNET, Wait(300))] {
        let imported = imported(lookup, &["triplets"]);
        assert_eq!(answer(lookup, &imported, &request), says, "{lookup:?}");
    }
}

#[test]
fn hashes_are_counted() {
    let imported = imported(Lookup::default(), &["triplets-privacy", "clients-privacy"]);
    assert_eq!(imported.entries, []);
    let hashed = imported.tally.hashed;
    assert!(hashed > mails().len() as u64);
    assert_eq!(
        imported.tally,
        Tally {
            hashed,
            ..Tally::default()
        }
    );
}

/// Each is once in the table, and what the mails were decides its class.
#[test]
fn tally_and_classes() {
    let imported = imported(Lookup::default(), &["triplets", "clients"]);
    let class = |class: Class| {
        let entries = imported.entries.iter().map(|(_, entry)| entry);
        entries.filter(|entry| entry.class == class).count()
    };
    // The one that was used for weeks, and the client that is auto-whitelisted.
    assert_eq!(class(Class::Proven), 2);
    assert_eq!(class(Class::Plain), 3);
    let Tally {
        triplets,
        ambiguous,
        counts,
        expired,
        ..
    } = imported.tally;
    assert_eq!(triplets, mails().len() as u64);
    assert_eq!((ambiguous, counts), (1, 22));
    // A pending one, one that was not used for too long, and its client's count.
    assert_eq!(expired, 3);
    assert_eq!(imported.tally.records(), triplets + counts);
    assert!(
        imported
            .entries
            .is_sorted_by_key(|(_, entry)| entry.last_seen)
    );
}

/// What greylet itself has seen since is not lost.
#[test]
fn a_table_that_knows_something_already() {
    let mut slots = Box::new(heapless::Vec::<Slot, 64>::new());
    let mut buckets = [Bucket::EMPTY; 64];
    let mut table = Table::new(slots.as_mut_view(), &mut buckets, 64);
    let rules = Rules::default();
    let fingerprint = Fingerprint::from_bits(1);
    let ago = |seconds| now().before(Seconds::new(seconds));
    let day = Seconds::DAY.get();
    let entry = |class, since, last_seen| Entry {
        last_seen: ago(last_seen),
        ..Entry::new(class, ago(since))
    };
    for (taken, then) in [
        // Too old to mean anything to what comes next.
        (entry(Class::Known, 36 * day, 36 * day), None),
        (
            entry(Class::Plain, 200, 100),
            Some(entry(Class::Plain, 200, 100)),
        ),
        (
            entry(Class::Named, 150, 50),
            Some(entry(Class::Named, 200, 50)),
        ),
        (
            entry(Class::Known, 3 * day, 3 * day),
            Some(entry(Class::Known, 3 * day, 3 * day)),
        ),
        (
            entry(Class::Plain, 10, 10),
            Some(entry(Class::Known, 3 * day, 3 * day)),
        ),
        (
            entry(Class::Known, 20, 20),
            Some(entry(Class::Proven, 3 * day, 20)),
        ),
    ] {
        rules.take_over(&mut table, fingerprint, taken, now());
        assert_eq!(rules.live(&table, fingerprint, now()), then, "{taken:?}");
    }
}

#[test]
fn files() {
    let mut importer = Importer::new(&KEY, SUBNET, Rules::default());
    let mut read = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let error = greylet::commands::import::read(&names, &mut importer).err();
        error.map(|error| error.to_string())
    };
    let dumps = [dump_path("triplets"), dump_path("clients")];
    assert_eq!(read(&[&dumps[0], &dumps[1]]), None);
    let folder = Scratch::new("import");
    let path = folder.path("a\nb");
    let error = read(&[&dumps[0], &path]).expect("no file");
    assert!(error.starts_with("cannot import /"), "{error}");
    assert!(error.contains("a\\nb: No such file"), "{error}");
    let whole = fs::read(&dumps[0]).expect("a dump");
    fs::write(&path, &whole[..whole.len() / 2]).expect("half a dump");
    let error = read(&[&path]).expect("half a dump");
    assert!(error.contains("a\\nb: the dump is cut off: ") || error.contains("a\\nb: line "));
    let tally = importer.finish(now()).tally;
    assert!(tally.triplets > 2 * mails().len() as u64);
}
