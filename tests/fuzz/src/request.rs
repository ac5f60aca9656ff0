//! The policy protocol: however the bytes arrive, the requests are the same; each is decided and answered in one bounded line, and what is
//! explained before is what is decided, by each kind of policy and list.

use greylet::engine::access::{Access, Addresses, Clients, Recipients};
use greylet::engine::identity::{Lookup, Prefixes};
use greylet::engine::limits::{LOGGED_VALUE_BYTES_MAX, REPLY_BYTES_MAX};
use greylet::engine::log_line::ActionLine;
use greylet::engine::null_sender::NullSender;
use greylet::engine::reply::Texts;
use greylet::engine::request::{Malformed, Request, RequestParser, Requests};
use greylet::engine::table::{Bucket, Slot, Table};
use greylet::engine::time::{HeaderDate, Timestamp};
use greylet::engine::triplet::FingerprintKey;
use greylet::engine::{Engine, Greylist, Policy};

const START: u64 = 1_700_000_000;

/// Fewest entries that a table may have, so that entries are evicted.
const ENTRIES: usize = 64;

/// Longest log line: its values, and what it has besides.
const LINE_BYTES_MAX: usize = 6 * LOGGED_VALUE_BYTES_MAX + 300;

/// A rule of each kind, for names that the recorded cases do not have.
const CLIENTS: &[u8] = b"listed.example\n198.51.100.0/24\n2001:db8:1::/48\n/^mx[0-9]+\\.list/\npool pool.example\nnowhite nowhite.example\n";
const RECIPIENTS: &[u8] =
    b"listed@\nlisted@listed.example\n/^list(ed)?-/\nkeyed@ delay=60 greylist=suspicious\n";
const SENDERS: &[u8] = b"listed@\nlisted.example\n";
const GREYLISTED: &[u8] = b"r.example\n/greylisted/\n";

fn policy(number: usize) -> Policy {
    let (lookup, greylist, null_sender) = match number % 4 {
        0 => return Policy::default(),
        1 => (
            Lookup::Name(Prefixes::default()),
            Greylist::Suspicious,
            NullSender::Rcpt,
        ),
        2 => (
            Lookup::Subnet(Prefixes::default()),
            Greylist::All,
            NullSender::Data,
        ),
        _ => (Lookup::Host, Greylist::Suspicious, NullSender::Pass),
    };
    Policy {
        lookup,
        greylist,
        null_sender,
        ..Policy::default()
    }
}

fn access() -> Access {
    Access {
        clients: Clients::read([CLIENTS]).0,
        recipients: Recipients::read([RECIPIENTS]).0,
        senders: Addresses::read([SENDERS]).0,
        greylisted: Addresses::read([GREYLISTED]).0,
    }
}

/// What came of a stream: its requests, and how it ended.
type Outcome = (Vec<String>, Result<(), Malformed>);

/// Hands the requests of a stream to `take`.
fn read<'b>(
    pieces: impl IntoIterator<Item = &'b [u8]>,
    mut take: impl FnMut(&Request<'_>),
) -> Result<(), Malformed> {
    let mut requests = Requests::new(RequestParser::new);
    for mut piece in pieces {
        while let Some(request) = requests.next(&mut piece)? {
            take(&request);
        }
        assert!(piece.is_empty());
    }
    Ok(())
}

fn outcome<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> Outcome {
    let mut requests = Vec::new();
    let end = read(pieces, |request| requests.push(format!("{request:?}")));
    (requests, end)
}

/// The same by a parser alone.
fn parsed(mut bytes: &[u8]) -> Outcome {
    let mut parser = RequestParser::new();
    let mut requests = Vec::new();
    while !bytes.is_empty() {
        let fed = match parser.feed(bytes) {
            Ok(fed) => fed,
            Err(malformed) => return (requests, Err(malformed)),
        };
        assert!(fed.complete || fed.consumed_bytes == bytes.len());
        assert!((1..=bytes.len()).contains(&fed.consumed_bytes));
        bytes = &bytes[fed.consumed_bytes..];
        if fed.complete {
            requests.push(format!("{:?}", parser.request()));
            parser.clear();
        }
    }
    (requests, Ok(()))
}

/// Pieces of which each is as long as its first byte says, so that the input chooses where it is split.
fn as_it_says(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = 1 + usize::from(*bytes.first()?);
        let (piece, rest) = bytes.split_at(length.min(bytes.len()));
        bytes = rest;
        Some(piece)
    })
}

fn decide(engine: &mut Engine<'_>, texts: &Texts, request: &Request<'_>, now: Timestamp) {
    // A question that is repeated gets the answer that it had, which explain does not know of.
    let is_alone = request.instance.is_none_or(<[u8]>::is_empty);
    let explained = engine.explain(request, now).verdict.action;
    let verdict = engine.decide(request, now);
    let is_asked_of = request.request == Some(b"smtpd_access_policy");
    assert!(!is_alone || !is_asked_of || explained == verdict.action);
    let mut reply = heapless::Vec::<u8, REPLY_BYTES_MAX>::new();
    let date = || HeaderDate {
        unix_seconds: now.unix().into(),
    };
    texts.append_reply(&mut reply, &verdict, request, date);
    let line = reply.strip_prefix(b"action=").expect("an action");
    let line = line.strip_suffix(b"\n\n").expect("a whole reply");
    assert!(std::str::from_utf8(line).is_ok_and(|line| !line.contains(char::is_control)));
    let logged = ActionLine {
        verdict: &verdict,
        request,
        is_dry_run: false,
    };
    let mut line = heapless::Vec::<u8, LINE_BYTES_MAX>::new();
    assert!(logged.append_to(&mut line).is_ok(), "a line has its bound");
    let logged = std::str::from_utf8(&line).expect("UTF-8");
    assert!(!logged.contains(char::is_control), "{logged:?}");
}

/// See the [module](self).
pub fn check(bytes: &[u8]) {
    let whole = parsed(bytes);
    assert_eq!(outcome([bytes]), whole);
    assert_eq!(outcome(as_it_says(bytes)), whole);
    let middle = bytes.len() / 2 + 1;
    for piece_bytes in [1, 7, middle] {
        assert_eq!(outcome(bytes.chunks(piece_bytes)), whole, "{piece_bytes}");
    }
    let mut slots = heapless::Vec::<Slot, ENTRIES>::new();
    let mut buckets = [Bucket::EMPTY; ENTRIES];
    let table = Table::new(slots.as_mut_view(), &mut buckets, ENTRIES as u32);
    let key = FingerprintKey::new(*b"sixteen byte key");
    let mut engine = Engine::new(policy(bytes.len()), key, table);
    if bytes.len() % 8 >= 4 {
        *engine.access_mut() = access();
    }
    let texts = Texts {
        greylist_action: "DEFER_IF_PERMIT".into(),
        greylist_text: "Greylisted for %s seconds, see https://%r/%s".into(),
        x_greylist_header: "X-Greylist: delayed %t seconds by greylet-%v at %h; %d".into(),
        hostname: "gw.example".into(),
    };
    // Each request comes twice, the second time late enough to pass.
    for round in 0..2 {
        let mut now = START + round * 400;
        let _ = read([bytes], |request| {
            decide(&mut engine, &texts, request, Timestamp::from_unix(now));
            now += 3;
        });
    }
}
