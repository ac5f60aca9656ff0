//! The request parser: however the bytes arrive, the requests are the same; and what is not the protocol is told at once.

use std::rc::Rc;

use greylet::engine::limits::{LINE_BYTES_MAX, REQUEST_BYTES_MAX, VALUE_BYTES_MAX};
use greylet::engine::request::{Malformed, Request, RequestParser, Requests};
use proptest::prelude::*;

/// A request's attributes with owners of their own.
type Attributes = Vec<Option<Vec<u8>>>;

fn attributes(request: &Request<'_>) -> Attributes {
    [
        request.request,
        request.protocol_state,
        request.client_address,
        request.client_name,
        request.sender,
        request.recipient,
        request.instance,
        request.queue_id,
        request.etrn_domain,
        request.sasl_username,
        request.policy_test_time,
        request.server_address,
        request.server_port,
        request.policy_context,
        request.for_seconds,
    ]
    .into_iter()
    .map(|value| value.map(<[u8]>::to_vec))
    .collect()
}

/// All requests in pieces of bytes that arrive one after the other.
fn parsed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Attributes>, Malformed> {
    let mut parser = RequestParser::new();
    let mut requests = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            let fed = parser.feed(piece)?;
            assert!(fed.complete || fed.consumed_bytes == piece.len());
            piece = &piece[fed.consumed_bytes..];
            if fed.complete {
                requests.push(attributes(&parser.request()));
                parser.clear();
            }
        }
    }
    Ok(requests)
}

/// All requests of a stream, as the daemon reads it.
fn streamed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Attributes>, Malformed> {
    let mut requests = Requests::new(RequestParser::new);
    let mut all = Vec::new();
    for mut piece in pieces {
        while let Some(request) = requests.next(&mut piece)? {
            all.push(attributes(&request));
        }
        assert!(piece.is_empty());
    }
    Ok(all)
}

/// The requests that bytes begin with, as long as they are whole and plain, and what follows.
fn read_in_place(mut bytes: &[u8]) -> (Vec<Attributes>, &[u8]) {
    let mut requests = Vec::new();
    while let Some((request, length_bytes)) = Request::at_start_of(bytes) {
        requests.push(attributes(&request));
        bytes = &bytes[length_bytes..];
    }
    (requests, bytes)
}

fn one(bytes: &[u8]) -> Result<Attributes, Malformed> {
    let mut requests = parsed([bytes])?;
    assert_eq!(requests.len(), 1);
    Ok(requests.remove(0))
}

fn postfix_requests() -> Vec<u8> {
    let text = include_str!("cases/postfix-3.7-requests.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| format!("{line}\n"))
        .collect::<String>()
        .into_bytes()
}

#[test]
fn real_requests() {
    let requests = parsed([&postfix_requests()[..]]).unwrap();
    assert_eq!(requests.len(), 9);
    let bytes = postfix_requests();
    assert_eq!(read_in_place(&bytes), (requests.clone(), &b""[..]));
    let get = |request: usize, attribute: usize| {
        requests[request][attribute]
            .as_deref()
            .map(|value| str::from_utf8(value).unwrap())
    };
    let (state, address, sender, recipient, queue_id, sasl) = (1, 2, 4, 5, 7, 9);
    assert_eq!(get(0, address), Some("192.0.2.7"));
    assert_eq!(get(0, queue_id), Some(""));
    assert_eq!(get(1, recipient), Some("V+ext@Rig.Test"));
    assert_eq!(get(1, queue_id), Some("97C2B9F0A68"));
    assert_eq!(
        (get(2, address), get(2, sender)),
        (Some("2001:db8::7"), Some(""))
    );
    assert_eq!(
        (get(3, sender), get(3, sasl)),
        (Some("odd = local@sender.test"), Some("joe"))
    );
    assert_eq!(get(4, sender), Some("josé@sénder.test"));
    assert_eq!((get(5, state), get(5, recipient)), (Some("DATA"), Some("")));
    assert_eq!(get(6, state), Some("END-OF-MESSAGE"));
    assert_eq!(get(8, recipient), Some("u@rig.test"));
}

#[test]
fn split_at_every_byte() {
    let bytes = postfix_requests();
    let whole = parsed([&bytes[..]]).unwrap();
    for middle in 0..=bytes.len() {
        let (first, second) = bytes.split_at(middle);
        assert_eq!(parsed([first, second]).unwrap(), whole, "{middle}");
        assert_eq!(streamed([first, second]).unwrap(), whole, "{middle}");
    }
    for length in [1, 2, 3, 7, 100, 4_096] {
        assert_eq!(parsed(bytes.chunks(length)).unwrap(), whole, "{length}");
        assert_eq!(streamed(bytes.chunks(length)).unwrap(), whole, "{length}");
    }
}

/// A connection that is idle has none.
#[test]
fn a_stream_has_a_parser_only_while_it_needs_one() {
    let parser = Rc::new(());
    let in_use = || Rc::strong_count(&parser) - 1;
    let mut taken = 0;
    let mut requests = Requests::new(|| {
        taken += 1;
        Lent(RequestParser::new(), parser.clone())
    });
    for (mut piece, complete, in_use_then) in [
        (&b"sender=a\n\n"[..], 1, 0),
        (b"sender=a\n\nsender=", 1, 1),
        (b"b\n", 0, 1),
        (b"", 0, 1),
        (b"\nsender=c\n\nsender=d\n\n", 3, 0),
        (b"\r\n", 1, 0),
    ] {
        let mut found = 0;
        while requests.next(&mut piece).unwrap().is_some() {
            found += 1;
        }
        assert_eq!((found, in_use()), (complete, in_use_then));
    }
    drop(requests);
    assert_eq!(taken, 2);
}

/// A parser that is counted.
struct Lent(
    RequestParser,
    #[expect(dead_code, reason = "it is counted")] Rc<()>,
);

impl AsMut<RequestParser> for Lent {
    fn as_mut(&mut self) -> &mut RequestParser {
        &mut self.0
    }
}

#[test]
fn crlf_is_a_line_end() {
    let bytes = postfix_requests();
    let whole = parsed([&bytes[..]]).unwrap();
    let with_cr: Vec<u8> = bytes
        .iter()
        .flat_map(|&byte| {
            if byte == b'\n' {
                vec![b'\r', b'\n']
            } else {
                vec![byte]
            }
        })
        .collect();
    for length in [1, 2, 3, 5, with_cr.len()] {
        assert_eq!(parsed(with_cr.chunks(length)).unwrap(), whole, "{length}");
    }
    // Only one CR belongs to the line end.
    assert_eq!(
        one(b"sender=a\r\r\n\n").unwrap()[4].as_deref(),
        Some(&b"a\r"[..])
    );
}

#[test]
fn values() {
    let sender = |bytes: &[u8]| one(bytes).unwrap().remove(4);
    assert_eq!(sender(b"\n"), None);
    assert_eq!(sender(b"sender=\n\n"), Some(b"".to_vec()));
    assert_eq!(sender(b"sender=a = b=c \n\n"), Some(b"a = b=c ".to_vec()));
    assert_eq!(sender(b"sender=a\nsender=bc\n\n"), Some(b"bc".to_vec()));
    assert_eq!(sender(b"sender=abc\nsender=\n\n"), Some(b"".to_vec()));
    assert_eq!(sender(b"Sender=a\n\n"), None);
    assert_eq!(sender(b"=x=y\nsenders=a\nsende=a\n\n"), None);
    assert_eq!(sender(b"sender=\xff\xfe\n\n"), Some(b"\xff\xfe".to_vec()));
}

#[test]
fn each_attribute_has_its_place() {
    let names = [
        "request",
        "protocol_state",
        "client_address",
        "client_name",
        "sender",
        "recipient",
        "instance",
        "queue_id",
        "etrn_domain",
        "sasl_username",
        "policy_test_time",
        "server_address",
        "server_port",
        "policy_context",
        "for_seconds",
    ];
    for (place, name) in names.iter().enumerate() {
        let value = match *name {
            // Only whether it is there counts.
            "etrn_domain" => "",
            name => name,
        };
        let mut expected = vec![None; names.len()];
        expected[place] = Some(value.as_bytes().to_vec());
        let request = format!("{name}={value}\n{name}s=no\n_{}=no\n\n", &name[1..]);
        let bytes = request.as_bytes();
        assert_eq!(one(bytes).unwrap(), expected);
        assert_eq!(read_in_place(bytes), (vec![expected], &b""[..]));
    }
}

#[test]
fn what_is_not_plain_is_left_to_the_parser() {
    for bytes in [
        &b""[..],
        b"sender=a\n",
        b"sender=a",
        b"\r\n",
        b"sender=a\r\n\r\n",
        b"sender\n\n",
        b"sender\nrecipient=a\n\n",
        b"sender=\0\n\n",
        b"a-b=c\n\n",
        &[&line("sender", VALUE_BYTES_MAX)[..], b"\n"].concat(),
        &[&line("unknown", 1_023).repeat(4)[..], b"\n"].concat(),
    ] {
        assert_eq!(read_in_place(bytes), (vec![], bytes));
    }
}

/// As long as one can be, after which the next one begins.
#[test]
fn a_plain_request_that_just_fits() {
    let longest = [&line("sender", VALUE_BYTES_MAX - 2)[..], b"\n"].concat();
    let (requests, rest) = read_in_place(&longest);
    assert_eq!((requests.len(), rest), (1, &b""[..]));
    let two = [&longest[..], b"sender=a\n\n"].concat();
    assert_eq!(read_in_place(&two).0, parsed([&two[..]]).unwrap());
    assert_eq!(read_in_place(&two).0.len(), 2);
}

#[test]
fn nothing_is_left_of_the_request_before() {
    let bytes = b"sender=a\nclient_name=b\netrn_domain=\nsasl_username=c\n\nrecipient=d\n\n";
    let requests = parsed([&bytes[..]]).unwrap();
    let present = |request: &Attributes| request.iter().filter(|value| value.is_some()).count();
    assert_eq!(requests.iter().map(present).collect::<Vec<_>>(), [4, 1]);
}

/// A line of exactly the given length with a name of its own.
fn line(name: &str, length: usize) -> Vec<u8> {
    let mut line = format!("{name}=").into_bytes();
    line.resize(length, b'x');
    line.push(b'\n');
    line
}

#[test]
fn bounds() {
    let longest_value = line("sender", 7 + VALUE_BYTES_MAX);
    let sender = one(&[&longest_value[..], b"\n"].concat())
        .unwrap()
        .remove(4);
    assert_eq!(sender.map(|value| value.len()), Some(VALUE_BYTES_MAX));
    let name = "n".repeat(LINE_BYTES_MAX - 1);
    for length in [1, 1_000, usize::MAX] {
        let parsed = |bytes: &[u8]| parsed(bytes.chunks(length));
        for name in ["sender", "unknown"] {
            let too_long = line(name, name.len() + 1 + VALUE_BYTES_MAX + 1);
            assert_eq!(parsed(&too_long), Err(Malformed::ValueTooLong));
        }
        assert_eq!(
            parsed(format!("{name}=\r\n\n").as_bytes()).map(|it| it.len()),
            Ok(1)
        );
        assert_eq!(
            parsed(format!("{name}n=\n\n").as_bytes()),
            Err(Malformed::LineTooLong)
        );
        assert_eq!(
            parsed(&vec![b'x'; 3 * LINE_BYTES_MAX]),
            Err(Malformed::LineTooLong)
        );
        assert_eq!(parsed(b"sender\n"), Err(Malformed::NoEqualsSign));
        assert_eq!(parsed(b"sender=a\0b\n"), Err(Malformed::Nul));
        assert_eq!(parsed(b"\0\n"), Err(Malformed::Nul));
        let lines = line("unknown", 1_023).repeat(REQUEST_BYTES_MAX / 1_024 - 1);
        let almost = [&lines[..], &line("unknown", 1_022), b"\n"].concat();
        assert_eq!(almost.len(), REQUEST_BYTES_MAX);
        assert_eq!(parsed(&almost).map(|it| it.len()), Ok(1));
        let too_long = [&lines[..], &line("unknown", 1_023), b"\n"].concat();
        assert_eq!(parsed(&too_long), Err(Malformed::RequestTooLong));
    }
}

#[test]
fn words_are_cut_and_stay_invalid() {
    let request = one(&[&line("client_address", 3_000)[..], b"\n"].concat()).unwrap();
    let address = request[2].as_deref().unwrap();
    assert!(greylet::engine::identity::parse_address(address).is_none());
}

/// Pieces of these lengths, in turn.
fn pieces<'b>(mut bytes: &'b [u8], lengths: &[usize]) -> impl Iterator<Item = &'b [u8]> {
    let mut lengths = lengths.iter().cycle();
    std::iter::from_fn(move || {
        let length = *lengths.next()?.min(&bytes.len());
        let (piece, rest) = bytes.split_at(length);
        bytes = rest;
        (length > 0).then_some(piece)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any bytes, in any pieces: the same requests or the same complaint, and no panic.
    #[test]
    fn pieces_do_not_matter(
        bytes in prop::collection::vec(
            prop_oneof![
                6 => Just(b"sender=a\n".to_vec()),
                3 => Just(b"\n".to_vec()),
                3 => Just(b"\r\n".to_vec()),
                2 => Just(b"client_name=".to_vec()),
                2 => prop::collection::vec(any::<u8>(), 0..20),
                1 => Just(vec![b'y'; 3_000]),
            ],
            0..30,
        ),
        lengths in prop::collection::vec(1_usize..50, 1..20),
    ) {
        let bytes = bytes.concat();
        let whole = parsed([&bytes[..]]);
        prop_assert_eq!(&parsed(pieces(&bytes, &lengths)), &whole);
        prop_assert_eq!(&streamed([&bytes[..]]), &whole);
        prop_assert_eq!(&streamed(pieces(&bytes, &lengths)), &whole);
        let (requests, rest) = read_in_place(&bytes);
        prop_assert_eq!(parsed([&bytes[..bytes.len() - rest.len()]]), Ok(requests));
    }
}
