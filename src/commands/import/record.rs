//! A record of one of Postgrey's two databases, taken apart: `postgrey.db` has triplets, `postgrey_clients.db` the counts of the
//! auto-whitelist. A record says by itself which it is.
//!
//! | | key | value |
//! |---|---|---|
//! | a triplet | `192.0.2.0/sender/recipient`; IPv6 as `2001:db8:1:2:0:0:0:0/...` | `first,last` |
//! | with `--lookup-by-host` | `192.0.2.77/32/sender/recipient`, `2001:db8:1:2:0:0:0:1/128/...` | `first,last` |
//! | a count | `192.0.2.77`, `2001:DB8:1:2:0:0:0:1` | `count,last` |
//! | either with `--privacy` | the SHA-1 of one of these, as 40 hexadecimal digits | as above |
//!
//! Times are in seconds since 1970. Postgrey up to 1.36 wrote addresses as they came, `192.0.2.77/sender/recipient` with
//! `--lookup-by-host` and where a name seemed to be a dial-up line's, and the last octet as a third number of a triplet's value.

use std::net::IpAddr;

use crate::engine::identity::{Prefixes, parse_address};
use crate::engine::time::Timestamp;

/// See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'d> {
    /// A mail that has been seen.
    Triplet(Triplet<'d>),
    /// Passes of a client.
    Count(Count),
    /// Of whom, nobody can tell.
    Hashed,
}

/// A mail that has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Triplet<'d> {
    /// The client's address, or the first one of its network.
    pub address: IpAddr,
    /// Which of the two. An address is its network's only if Postgrey could have made it from another one; in one case of 256 it was none.
    pub is_host: bool,
    /// As Postgrey normalises it.
    pub sender: &'d [u8],
    /// In lower case.
    pub recipient: &'d [u8],
    /// Whether the sender could also end at another `/`.
    pub is_ambiguous: bool,
    /// When it was first seen, or began to wait again.
    pub first_seen: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
}

/// Passes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The client.
    pub address: IpAddr,
    /// Passes; more than 65,535 are as many.
    pub passes: u16,
    /// When the last one was counted.
    pub last_counted: Timestamp,
}

impl<'d> Record<'d> {
    /// Takes a record apart; nothing if it is not one of Postgrey's.
    pub fn new(key: &'d [u8], value: &[u8]) -> Option<Record<'d>> {
        const SHA1_DIGITS: usize = 40;
        let (first, last) = numbers(value)?;
        if key.len() == SHA1_DIGITS && key.iter().all(u8::is_ascii_hexdigit) {
            return Some(Record::Hashed);
        }
        let Some((client, parties)) = split_once(key, b'/') else {
            return Some(Record::Count(Count {
                address: parse_address(key)?,
                passes: u16::try_from(first).unwrap_or(u16::MAX),
                last_counted: Timestamp::from_unix(last),
            }));
        };
        if first > last {
            return None;
        }
        let address = parse_address(client)?;
        let length: &[u8] = match client.contains(&b':') {
            true => b"128/",
            false => b"32/",
        };
        let without_length = parties.strip_prefix(length);
        let (sender, recipient, is_ambiguous) = split_parties(without_length.unwrap_or(parties))?;
        Some(Record::Triplet(Triplet {
            address,
            is_host: without_length.is_some() || Prefixes::default().network(address) != address,
            sender,
            recipient,
            is_ambiguous,
            first_seen: Timestamp::from_unix(first),
            last_seen: Timestamp::from_unix(last),
        }))
    }
}

/// The first two numbers of a value.
fn numbers(value: &[u8]) -> Option<(u64, u64)> {
    let mut fields = std::str::from_utf8(value).ok()?.split(',');
    let mut number = || fields.next()?.parse().ok();
    Some((number()?, number()?))
}

/// Sender and recipient, and whether it could be others. Local parts may contain a `/`, but domains do not, so the sender ends at the first one
/// after its domain. A sender without a domain, as the null sender, ends at the very first.
fn split_parties(parties: &[u8]) -> Option<(&[u8], &[u8], bool)> {
    let at = parties.iter().position(|&byte| byte == b'@');
    let after_domain = at.and_then(|at| {
        let domain_bytes = parties[at..].iter().position(|&byte| byte == b'/')?;
        Some(at + domain_bytes)
    });
    if let Some(end) = after_domain {
        let (sender, recipient) = (&parties[..end], &parties[end + 1..]);
        let domain = split_once(recipient, b'@').map_or(&b""[..], |(_, domain)| domain);
        return Some((sender, recipient, domain.contains(&b'/')));
    }
    let (sender, recipient) = split_once(parties, b'/')?;
    let is_ambiguous = !sender.is_empty() && recipient.contains(&b'/');
    Some((sender, recipient, is_ambiguous))
}

fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|&byte| byte == separator)?;
    Some((&text[..end], &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn triplet(key: &str) -> Option<Triplet<'_>> {
        match Record::new(key.as_bytes(), b"1700000000,1700000300")? {
            Record::Triplet(triplet) => Some(triplet),
            other => panic!("{key}: {other:?}"),
        }
    }

    #[test]
    fn triplets() {
        for (key, address, is_host) in [
            ("192.0.2.0/a@s/b@r", "192.0.2.0", false),
            ("192.0.2.77/32/a@s/b@r", "192.0.2.77", true),
            ("192.0.2.0/32/a@s/b@r", "192.0.2.0", true),
            ("192.0.2.77/a@s/b@r", "192.0.2.77", true),
            ("2001:db8:1:2:0:0:0:0/a@s/b@r", "2001:db8:1:2::", false),
            ("2001:db8:1:2:0:0:0:0/128/a@s/b@r", "2001:db8:1:2::", true),
            ("2001:db8:1:2:0:0:0:1/128/a@s/b@r", "2001:db8:1:2::1", true),
            ("2001:db8::1/a@s/b@r", "2001:db8::1", true),
            ("0:0:0:0:0:ffff:c633:6401/128/a@s/b@r", "198.51.100.1", true),
        ] {
            let triplet = triplet(key).expect(key);
            assert_eq!(triplet.address.to_string(), address, "{key}");
            assert_eq!(triplet.is_host, is_host, "{key}");
            assert_eq!(
                (triplet.sender, triplet.recipient),
                (&b"a@s"[..], &b"b@r"[..])
            );
            assert_eq!(triplet.first_seen.unix(), 1_700_000_000);
            assert_eq!(triplet.last_seen.unix(), 1_700_000_300);
        }
    }

    #[test]
    fn parties() {
        for (parties, sender, recipient, is_ambiguous) in [
            ("a@s/b@r", "a@s", "b@r", false),
            ("/b@r", "", "b@r", false),
            ("/b/c@r", "", "b/c@r", false),
            ("/postmaster", "", "postmaster", false),
            ("/", "", "", false),
            ("a@s/", "a@s", "", false),
            ("a/b@s/c@r", "a/b@s", "c@r", false),
            ("a@s/b/c@r", "a@s", "b/c@r", false),
            ("/a/b/@s/c/d@r", "/a/b/@s", "c/d@r", false),
            ("a@s/postmaster", "a@s", "postmaster", false),
            ("a@b@s/c@r", "a@b@s", "c@r", false),
            ("a@b/c@s/d@r", "a@b", "c@s/d@r", true),
            ("joe/b@r", "joe", "b@r", false),
            ("joe/postmaster", "joe", "postmaster", false),
            ("joe/b/c@r", "joe", "b/c@r", true),
        ] {
            let split = split_parties(parties.as_bytes()).expect(parties);
            let expected = (sender.as_bytes(), recipient.as_bytes(), is_ambiguous);
            assert_eq!(split, expected, "{parties}");
        }
        assert_eq!(split_parties(b"a@s"), None);
        assert_eq!(split_parties(b""), None);
    }

    #[test]
    fn counts() {
        let count = |key: &str, value: &str| match Record::new(key.as_bytes(), value.as_bytes()) {
            Some(Record::Count(count)) => Some((
                count.address.to_string(),
                count.passes,
                count.last_counted.unix(),
            )),
            _ => None,
        };
        let last = 1_700_000_000;
        assert_eq!(
            count("192.0.2.77", "5,1700000000"),
            Some(("192.0.2.77".to_owned(), 5, last))
        );
        assert_eq!(
            count("2001:DB8:0:0:0:0:0:1", "70000,1700000000"),
            Some(("2001:db8::1".to_owned(), u16::MAX, last))
        );
        assert_eq!(
            count("0:0:0:0:0:FFFF:C633:6401", "1,9999999999"),
            Some(("198.51.100.1".to_owned(), 1, u32::MAX))
        );
    }

    #[test]
    fn values() {
        let triplet = |value: &[u8]| Record::new(b"192.0.2.0/a@s/b@r", value).is_some();
        assert!(triplet(b"1700000000,1700000000"));
        assert!(triplet(b"1700000000,1700000300,77"));
        for value in [
            &b""[..],
            b"1700000000",
            b"1700000000,",
            b",1700000000",
            b"-1,1700000000",
            b"1700000300,1700000000",
            b"1700000000;1700000300",
            b"1,99999999999999999999",
            b"\xff,1",
        ] {
            assert!(!triplet(value), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn others() {
        let sha1 = "57ddb4f27e09b209ae50766f2e37cac3634d4281";
        assert_eq!(Record::new(sha1.as_bytes(), b"1,2"), Some(Record::Hashed));
        for key in [
            "",
            "/a@s/b@r",
            "unknown/a@s/b@r",
            "192.0.2.0/a@s",
            "mail.example.com",
            &sha1[1..],
        ] {
            assert_eq!(Record::new(key.as_bytes(), b"1,2"), None, "{key}");
        }
    }
}
