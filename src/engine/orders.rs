//! What the administrator has ordered while greylet runs: mail that is let through for some time, and clients that are to be strangers again.
//!
//! Neither is in the table, where a script that runs wild could push out what has passed: both have a small memory of their own. As everywhere, only
//! fingerprints are kept, so what is known of a client cannot be found to be removed. Instead it is noted when the client was forgotten, and
//! whatever is older is not believed any more.

use std::fmt;
use std::net::IpAddr;

use heapless::Vec;

use crate::engine::domain_name::DomainName;
use crate::engine::identity::{Client, Prefixes, is_verified_name, parse_address};
use crate::engine::limits::{
    ALLOWED_FOR_MAX, ALLOWED_FOR_MIN, ALLOWS_MAX, DISTRUSTS_MAX, FORGOTTEN_MAX, VALUE_BYTES_MAX,
};
use crate::engine::log_line::Logged;
use crate::engine::table::Entry;
use crate::engine::time::{Seconds, Timestamp};
use crate::engine::triplet::{Fingerprint, FingerprintKey};

/// Whose mail is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom<'a> {
    /// A mailbox, with and without an extension behind a `+`: what is left and right of its last `@`.
    Mailbox(&'a [u8], &'a [u8]),
    /// The recipients of a domain, and of those below it.
    RecipientDomain(DomainName<'a>),
    /// Clients of a network, which may be a single address: the first address, and the length of the prefix.
    Network(IpAddr, u8),
    /// Clients with this verified name, or one below it.
    ClientName(DomainName<'a>),
}

/// What is wrong with the name of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Neither `user@domain` nor a domain.
    Recipient,
    /// Neither an address, nor a network, nor a verified name.
    Client,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unfit::Recipient => "not a recipient: write user@domain, or a domain of two labels or more",
            Unfit::Client => {
                "not a client: write an IP address, a network as ADDRESS/BITS, or a verified name of two labels or more"
            }
        })
    }
}

impl<'a> Whom<'a> {
    /// Reads a recipient: `user@domain`, `domain` or `@domain`.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn recipient(text: &'a [u8]) -> Result<Whom<'a>, Unfit> {
        let is_written = |byte: &u8| *byte > b' ' && *byte != 0x7f;
        if text.len() > VALUE_BYTES_MAX || !text.iter().all(is_written) {
            return Err(Unfit::Recipient);
        }
        let (user, domain) = match text.iter().rposition(|&byte| byte == b'@') {
            None | Some(0) => {
                let domain = text.strip_prefix(b"@").unwrap_or(text);
                let domain = DomainName::parse(domain).ok_or(Unfit::Recipient)?;
                return Ok(Whom::RecipientDomain(domain));
            }
            Some(at) => (&text[..at], &text[at + 1..]),
        };
        match domain {
            b"" => Err(Unfit::Recipient),
            domain => Ok(Whom::Mailbox(user, domain)),
        }
    }

    /// Reads a client: an IP address, a network or a verified name.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn client(text: &'a [u8]) -> Result<Whom<'a>, Unfit> {
        if let Some((address, bits)) = read_network(text) {
            let prefixes = Prefixes {
                ipv4_bits: bits,
                ipv6_bits: bits,
            };
            return Ok(Whom::Network(prefixes.network(address), bits));
        }
        match DomainName::parse(text).filter(|_| is_verified_name(text)) {
            Some(name) => Ok(Whom::ClientName(name)),
            None => Err(Unfit::Client),
        }
    }

    /// Whether only an address or a network can be meant, and no name.
    pub fn is_network(&self) -> bool {
        matches!(self, Whom::Network(..))
    }
}

/// An address and the bits of a prefix, all of them if none are given.
fn read_network(text: &[u8]) -> Option<(IpAddr, u8)> {
    let slash = text.iter().position(|&byte| byte == b'/');
    let address = parse_address(&text[..slash.unwrap_or(text.len())])?;
    let bits_max = match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    let Some(slash) = slash else {
        return Some((address, bits_max));
    };
    let digits = &text[slash + 1..];
    let is_number = digits.iter().all(u8::is_ascii_digit);
    let bits = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (is_number && bits <= bits_max).then_some((address, bits))
}

impl fmt::Display for Whom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whom::Mailbox(user, domain) => {
                write!(f, "mail to {}@{}", Logged(user), Logged(domain))
            }
            Whom::RecipientDomain(domain) => {
                write!(f, "mail to {} and below", Logged(domain.as_bytes()))
            }
            Whom::Network(address, bits) => match (address, bits) {
                (IpAddr::V4(_), 32) | (IpAddr::V6(_), 128) => write!(f, "mail from {address}"),
                _ => write!(f, "mail from {address}/{bits}"),
            },
            Whom::ClientName(name) => {
                write!(f, "mail from {} and below", Logged(name.as_bytes()))
            }
        }
    }
}

/// How long mail may be let through; none for what is too short or too long.
pub fn allowed_for(seconds: u32) -> Option<Seconds> {
    let span = Seconds::new(seconds);
    (ALLOWED_FOR_MIN..=ALLOWED_FOR_MAX)
        .contains(&span)
        .then_some(span)
}

/// Somebody whose mail is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allow {
    pub(super) fingerprint: Fingerprint,
    pub(super) until: Timestamp,
    /// The length of a network's prefix; none for whatever else.
    pub(super) prefix_bits: Option<u8>,
}

/// That a mail is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// By what.
    pub by: AllowedBy,
    /// Until when.
    pub until: Timestamp,
}

/// What of a mail the administrator lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedBy {
    /// The client's address, or a network that it is in.
    ClientAddress,
    /// The client's verified name, or one that it is below.
    ClientName,
    /// The recipient, or his domain.
    Recipient,
}

/// A client that was forgotten. What is not later than that is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Distrust {
    pub(super) fingerprint: Fingerprint,
    /// When it was forgotten.
    pub(super) at: Timestamp,
    /// The same for entries that are pending, which are moved forward when the machine has booted, so that they keep their age.
    pub(super) pending_at: Timestamp,
}

/// From when on entries are believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TrustedAfter {
    passed: Timestamp,
    pending: Timestamp,
}

impl TrustedAfter {
    pub(super) fn trusts(self, entry: &Entry) -> bool {
        match entry.class.is_pending() {
            // What has waited for less than a second has not earned anything, and may have begun anew.
            true => entry.since >= self.pending,
            false => entry.since > self.passed,
        }
    }
}

/// See the [module](self).
#[derive(Default)]
pub struct Orders {
    /// By fingerprint.
    allows: Vec<Allow, ALLOWS_MAX>,
    distrusts: Vec<Distrust, DISTRUSTS_MAX>,
    /// Entries that were removed since the last save began.
    removed: Vec<Fingerprint, FORGOTTEN_MAX>,
    /// More were removed than that, so only a full save says all.
    is_full_save_due: bool,
    is_unsaved: bool,
}

impl Orders {
    /// Without any.
    pub const fn new() -> Orders {
        Orders {
            allows: Vec::new(),
            distrusts: Vec::new(),
            removed: Vec::new(),
            is_full_save_due: false,
            is_unsaved: false,
        }
    }

    /// How many are let through, and how many clients were forgotten.
    pub fn len(&self) -> (usize, usize) {
        (self.allows.len(), self.distrusts.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// Lets mail through until then; true if the one that would have ended first has had to make room. What was ordered about the same before does
    /// not count any more.
    pub(super) fn allow(&mut self, allow: Allow, now: Timestamp) -> bool {
        self.is_unsaved = true;
        self.allows
            .retain(|other| now < other.until && other.fingerprint != allow.fingerprint);
        let is_full = self.allows.is_full();
        if is_full {
            let first = self.allows.iter().map(|allow| allow.until).min();
            let index = self
                .allows
                .iter()
                .position(|it| Some(it.until) == first)
                .unwrap_or(0);
            self.allows.remove(index);
        }
        self.put(allow);
        is_full
    }

    /// Takes in one that is not there; without room it is nothing.
    pub(super) fn put(&mut self, allow: Allow) {
        let index = self
            .allows
            .partition_point(|other| other.fingerprint.bits() < allow.fingerprint.bits());
        let _ = self.allows.insert(index, allow);
    }

    /// By what a mail is let through. Costs nothing while nobody is.
    pub(super) fn allows(
        &self,
        key: &FingerprintKey,
        address: Option<IpAddr>,
        client_name: &[u8],
        recipient: &[u8],
        now: Timestamp,
    ) -> Option<Allowed> {
        if self.allows.is_empty() {
            return None;
        }
        if let Some(until) = address.and_then(|address| self.allows_address(key, address, now)) {
            let by = AllowedBy::ClientAddress;
            return Some(Allowed { by, until });
        }
        let mut until = None;
        let mut is_allowed = |fingerprint: Fingerprint| {
            let found = self
                .allows
                .binary_search_by_key(&fingerprint.bits(), |it| it.fingerprint.bits());
            let found = found.map(|index| self.allows[index].until);
            until = found.ok().filter(|until| now < *until);
            until.is_some()
        };
        let by = if key.is_any_client_name(client_name, &mut is_allowed) {
            AllowedBy::ClientName
        } else if key.is_any_recipient(recipient, &mut is_allowed) {
            AllowedBy::Recipient
        } else {
            return None;
        };
        until.map(|until| Allowed { by, until })
    }

    fn allows_address(
        &self,
        key: &FingerprintKey,
        address: IpAddr,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let found = self.allows.iter().find(|allow| {
            let is_it = |bits| {
                let prefixes = Prefixes {
                    ipv4_bits: bits,
                    ipv6_bits: bits,
                };
                key.allowed_network(prefixes.network(address), bits) == allow.fingerprint
            };
            now < allow.until && allow.prefix_bits.is_some_and(is_it)
        });
        found.map(|allow| allow.until)
    }

    /// Forgets a client, for whom there [is room](Orders::has_room_to_distrust).
    pub(super) fn distrust(&mut self, fingerprint: Fingerprint, now: Timestamp, max_age: Seconds) {
        self.distrusts
            .retain(|it| now.since(it.at) <= max_age && it.fingerprint != fingerprint);
        self.is_unsaved = true;
        self.put_distrust(Distrust {
            fingerprint,
            at: now,
            pending_at: now,
        });
    }

    /// Takes in one that is not there; without room it is nothing.
    pub(super) fn put_distrust(&mut self, distrust: Distrust) {
        let _ = self.distrusts.push(distrust);
    }

    /// Whether a client with these identities can be forgotten now.
    pub(super) fn has_room_to_distrust(
        &self,
        identities: [Option<Fingerprint>; 2],
        now: Timestamp,
        max_age: Seconds,
    ) -> bool {
        let others = self.distrusts.iter().filter(|it| {
            now.since(it.at) <= max_age && !identities.contains(&Some(it.fingerprint))
        });
        others.count() + identities.iter().flatten().count() <= DISTRUSTS_MAX
    }

    /// Since when a client is believed, if it was forgotten.
    pub(super) fn trusted_after(
        &self,
        key: &FingerprintKey,
        client: &Client<'_>,
    ) -> Option<TrustedAfter> {
        if self.distrusts.is_empty() {
            return None;
        }
        let fingerprints = key.identities(client);
        let found = self.distrusts.iter();
        found
            .filter(|it| fingerprints.contains(&Some(it.fingerprint)))
            .fold(None, |after: Option<TrustedAfter>, it| {
                let after = after.unwrap_or_default();
                Some(TrustedAfter {
                    passed: after.passed.max(it.at),
                    pending: after.pending.max(it.pending_at),
                })
            })
    }

    /// Whether points in time must be saved to the second, because it matters what was before and after.
    pub(super) fn need_seconds(&self) -> bool {
        !self.distrusts.is_empty()
    }

    /// Moves the times of pending entries, as these are moved.
    pub(super) fn shift_pending(&mut self, span: Seconds, now: Timestamp) {
        for distrust in &mut self.distrusts {
            distrust.pending_at = distrust.pending_at.after(span).min(now);
        }
    }

    /// Notes that an entry was removed on purpose.
    pub(super) fn note_removed(&mut self, fingerprint: Fingerprint) {
        let is_noted = self.removed.contains(&fingerprint);
        self.is_full_save_due |= !is_noted && self.removed.push(fingerprint).is_err();
    }

    /// Hands over what was removed, to a save that begins and that is a full one where that [is needed](Orders::is_full_save_due).
    pub(super) fn take_removed(&mut self) -> Vec<Fingerprint, FORGOTTEN_MAX> {
        self.is_full_save_due = false;
        std::mem::take(&mut self.removed)
    }

    /// Whether only a full save can say what was removed.
    pub(super) fn is_full_save_due(&self) -> bool {
        self.is_full_save_due
    }

    /// Whether there is something that the snapshot does not have.
    pub(super) fn has_changed(&self) -> bool {
        self.are_unsaved() || self.is_full_save_due || !self.removed.is_empty()
    }

    /// Whether the two lists are others than those that were saved.
    pub(super) fn are_unsaved(&self) -> bool {
        self.is_unsaved
    }

    /// Notes that both lists are saved as they are.
    pub(super) fn mark_saved(&mut self) {
        self.is_unsaved = false;
    }

    /// Both lists, to be saved.
    pub(super) fn lists(&self) -> (&[Allow], &[Distrust]) {
        (&self.allows, &self.distrusts)
    }

    /// Empties both lists, for what a snapshot has.
    pub(super) fn clear_lists(&mut self) {
        self.allows.clear();
        self.distrusts.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients() {
        let read = |text: &'static str| Whom::recipient(text.as_bytes());
        assert_eq!(read("a@b"), Ok(Whom::Mailbox(b"a", b"b")));
        assert_eq!(
            read("\"a@b\"@c.example"),
            Ok(Whom::Mailbox(b"\"a@b\"", b"c.example"))
        );
        for domain in ["r.example", "@r.example", "r.example."] {
            let name = DomainName::parse(b"R.example").expect("a name");
            assert_eq!(read(domain), Ok(Whom::RecipientDomain(name)));
        }
        for text in [
            "",
            "@",
            "a@",
            "b",
            "192.0.2.1",
            "a b@c.example",
            "a\n@c.example",
            "a..b",
            "x@y@",
        ] {
            assert_eq!(read(text), Err(Unfit::Recipient), "{text:?}");
        }
    }

    #[test]
    fn clients() {
        let read = |text: &'static str| Whom::client(text.as_bytes()).map(|it| it.to_string());
        for (text, shown) in [
            ("192.0.2.1", "mail from 192.0.2.1"),
            ("::ffff:192.0.2.1", "mail from 192.0.2.1"),
            ("192.0.2.77/24", "mail from 192.0.2.0/24"),
            ("2001:db8::1", "mail from 2001:db8::1"),
            ("2001:db8:1:2:3::/64", "mail from 2001:db8:1:2::/64"),
            ("mail.s.example", "mail from mail.s.example and below"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(shown), "{text}");
        }
        for text in [
            "",
            "unknown",
            "localhost",
            "192.0.2.256",
            "192.0.2.1/33",
            "192.0.2.1/",
            "192.0.2.1/+8",
            "::1/129",
            "a@s.example",
            "a b.example",
            "[192.0.2.1]",
            "x\n.example",
        ] {
            assert_eq!(read(text), Err(Unfit::Client), "{text:?}");
        }
    }

    #[test]
    fn spans() {
        assert_eq!(allowed_for(59), None);
        assert_eq!(allowed_for(60), Some(Seconds::new(60)));
        assert_eq!(allowed_for(604_800), Some(Seconds::new(604_800)));
        assert_eq!(allowed_for(604_801), None);
    }
}
