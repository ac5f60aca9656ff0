//! Client, sender and recipient, normalised as Postgrey does, to the fingerprint under which the table knows them.

use std::hash::Hasher;
use std::net::IpAddr;

use heapless::{Vec, VecView};
use siphasher::sip::SipHasher24;

use crate::engine::identity::Identity;
use crate::engine::limits::VALUE_BYTES_MAX;

/// A mail address in a buffer of its own.
type Address = Vec<u8, VALUE_BYTES_MAX>;

/// 64 bits of SipHash-2-4 with the installation's key. Without the key nobody can look for two triplets with the same
/// fingerprint; by chance, two of a full default table share one in about one table of nine thousand million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// A fingerprint from its bits.
    pub const fn from_bits(bits: u64) -> Fingerprint {
        Fingerprint(bits)
    }

    /// The fingerprint's bits.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// The secret from which fingerprints are made; one per installation. It has no `Debug`, so that no log can show it.
#[derive(Clone)]
pub struct FingerprintKey([u8; 16]);

/// What a fingerprint stands for. The number goes into the hash, so it must never change.
#[derive(Clone, Copy)]
enum Domain {
    NetworkTriplet = 1,
    HostTriplet = 2,
    AutoWhitelist = 3,
    Question = 4,
}

impl FingerprintKey {
    /// A key from 16 random bytes.
    pub const fn new(bytes: [u8; 16]) -> FingerprintKey {
        FingerprintKey(bytes)
    }

    /// The fingerprint of a triplet. The addresses are normalised here.
    pub fn triplet(&self, identity: Identity, sender: &[u8], recipient: &[u8]) -> Fingerprint {
        let mut normal = Address::new();
        let mut hash = match identity {
            Identity::Network(network) => self.hash_address(Domain::NetworkTriplet, network),
            Identity::Host(address) => self.hash_address(Domain::HostTriplet, address),
        };
        normalise_sender(sender, &mut normal);
        hash_field(&mut hash, &normal);
        normal.clear();
        append_lower_case(&mut normal, recipient);
        hash_field(&mut hash, &normal);
        Fingerprint(hash.finish())
    }

    /// The fingerprint under which the passes of one client address are counted.
    pub fn auto_whitelist(&self, address: IpAddr) -> Fingerprint {
        Fingerprint(self.hash_address(Domain::AutoWhitelist, address).finish())
    }

    /// The fingerprint of a question as it was asked, by which a repetition is known.
    pub fn question(&self, fields: [&[u8]; 4]) -> Fingerprint {
        let mut hash = self.hash(Domain::Question);
        for field in fields {
            hash_field(&mut hash, field);
        }
        Fingerprint(hash.finish())
    }

    fn hash(&self, domain: Domain) -> SipHasher24 {
        let mut hash = SipHasher24::new_with_key(&self.0);
        hash.write(&[domain as u8]);
        hash
    }

    fn hash_address(&self, domain: Domain, address: IpAddr) -> SipHasher24 {
        let mut hash = self.hash(domain);
        match address {
            IpAddr::V4(address) => hash_field(&mut hash, &address.octets()),
            IpAddr::V6(address) => hash_field(&mut hash, &address.octets()),
        }
        hash
    }
}

/// A field with its length in front, so that no two lists of fields are the same bytes.
fn hash_field(hash: &mut SipHasher24, field: &[u8]) {
    hash.write(&(field.len() as u32).to_le_bytes());
    hash.write(field);
}

/// Appends a sender as Postgrey's key has it: a BATV tag (`prvs=`), then everything from the first `+`, is taken off the
/// local part, its whole-word numbers become `#`, and all is in lower case. Bytes from 0x80 are left alone, and so is a sender
/// without `@`, but for its case. What does not fit is cut; a sender of up to [`VALUE_BYTES_MAX`] always fits.
pub fn normalise_sender(sender: &[u8], to: &mut VecView<u8>) {
    let Some(at) = sender.iter().position(|&byte| byte == b'@') else {
        append_lower_case(to, sender);
        return;
    };
    let (local_part, domain) = sender.split_at(at);
    let user = without_batv(local_part);
    let user = user.split(|&byte| byte == b'+').next().unwrap_or(user);
    append_with_numbers_as_hash_signs(to, user);
    append_lower_case(to, domain);
}

/// `prvs=tag=user` or `prvs=user=tag` without the tag, which begins with ten digits or lower-case letters. Like
/// Perl's split, this overlooks `=` at the end.
fn without_batv(local_part: &[u8]) -> &[u8] {
    let Some(tagged) = local_part.strip_prefix(b"prvs=") else {
        return local_part;
    };
    let end = tagged
        .iter()
        .rposition(|&byte| byte != b'=')
        .map_or(0, |last| last + 1);
    let mut parts = tagged[..end].split(|&byte| byte == b'=');
    let (Some(first), Some(second), None) = (parts.next(), parts.next(), parts.next()) else {
        return local_part;
    };
    let is_tag = |part: &[u8]| {
        part.len() >= 10
            && part[..10]
                .iter()
                .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
    };
    if is_tag(second) && !is_tag(first) {
        first
    } else {
        second
    }
}

fn append_with_numbers_as_hash_signs(to: &mut VecView<u8>, user: &[u8]) {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    for run in user.chunk_by(|left, right| is_word(left) == is_word(right)) {
        if run.iter().all(u8::is_ascii_digit) {
            append_lower_case(to, b"#");
        } else {
            append_lower_case(to, run);
        }
    }
}

fn append_lower_case(to: &mut VecView<u8>, bytes: &[u8]) {
    let start = to.len();
    let room = to.capacity() - start;
    // Cannot fail: it is cut to the room there is.
    let _ = to.extend_from_slice(&bytes[..bytes.len().min(room)]);
    to[start..].make_ascii_lowercase();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(sender: &str) -> String {
        let mut address = Address::new();
        normalise_sender(sender.as_bytes(), &mut address);
        String::from_utf8(address.to_vec()).unwrap()
    }

    /// What Postgrey 1.37 makes of these, read from its database.
    #[test]
    fn senders() {
        for (sender, key) in [
            ("", ""),
            ("joe", "joe"),
            ("Joe+Tag", "joe+tag"),
            ("@", "@"),
            ("joe@s.example", "joe@s.example"),
            ("JOE@S.Example", "joe@s.example"),
            ("joe+tag@s.example", "joe@s.example"),
            ("+tag@s.example", "@s.example"),
            ("a.123.b@s.example", "a.#.b@s.example"),
            ("a123b@s.example", "a123b@s.example"),
            ("a_123_b@s.example", "a_123_b@s.example"),
            ("123@s.example", "#@s.example"),
            ("x=12=34@s.example", "x=#=#@s.example"),
            ("prvs=1234abcdef=joe@s.example", "joe@s.example"),
            ("prvs=joe=1234abcdef@s.example", "joe@s.example"),
            ("prvs=short=joe@s.example", "joe@s.example"),
            (
                "prvs=1234abcdef=1234abcdee@s.example",
                "1234abcdee@s.example",
            ),
            ("prvs=1234abcdef=joe=@s.example", "joe@s.example"),
            ("prvs==joe@s.example", "joe@s.example"),
            ("prvs=joe==@s.example", "prvs=joe==@s.example"),
            ("prvs=@s.example", "prvs=@s.example"),
            (
                "PRVS=1234abcdef=joe@s.example",
                "prvs=1234abcdef=joe@s.example",
            ),
            (
                "prvs=1234abcdef=j=oe@s.example",
                "prvs=1234abcdef=j=oe@s.example",
            ),
            ("prvs=1234abcdef=joe+tag-12@s.example", "joe@s.example"),
            (
                "btv1==1234abcdef==joe@s.example",
                "btv1==1234abcdef==joe@s.example",
            ),
            (
                "msprvs1=18abc=bounces-123@s.example",
                "msprvs1=18abc=bounces-#@s.example",
            ),
            (
                "SRS0=HHH=TT=orig=user@fwd.example",
                "srs0=hhh=tt=orig=user@fwd.example",
            ),
            (
                "bounces+123-abcd-u=r@em123.s.example",
                "bounces@em123.s.example",
            ),
            (
                "0102018f1111-4e5f-8c9d-0000-000000@ses.example",
                "0102018f1111-4e5f-8c9d-#-#@ses.example",
            ),
            (
                "bounce-7f3a9c-123=user=host@s.example",
                "bounce-7f3a9c-#=user=host@s.example",
            ),
            ("A@B@s.example", "a@b@s.example"),
            ("u-12345678901234567890@s.example", "u-#@s.example"),
            ("q 1 2@s.example", "q # #@s.example"),
            ("joe@1.2.s.example", "joe@1.2.s.example"),
            ("JØRN-12@Bücher.Example", "jØrn-#@bücher.example"),
        ] {
            assert_eq!(normal(sender), key, "{sender}");
        }
        // A byte from 0x80 is no part of a word, so these digits are a word of their own.
        assert_eq!(normal("ø12@s.example"), "ø#@s.example");
    }

    #[test]
    fn longest_sender_fits() {
        let mut sender = [b'A'; VALUE_BYTES_MAX];
        sender[VALUE_BYTES_MAX - 2] = b'@';
        let mut address = Address::new();
        normalise_sender(&sender, &mut address);
        assert_eq!(address.len(), VALUE_BYTES_MAX);
        assert!(address.iter().all(|byte| b"a@".contains(byte)));
    }

    #[test]
    fn fingerprints_differ() {
        let key = FingerprintKey::new([7; 16]);
        let address: IpAddr = "192.0.2.0".parse().unwrap();
        let same_in_ipv6: IpAddr = "c000:200::".parse().unwrap();
        let network = Identity::Network(address);
        let prints = [
            key.triplet(network, b"a@s.example", b"b@r.example"),
            key.triplet(Identity::Host(address), b"a@s.example", b"b@r.example"),
            key.triplet(
                Identity::Network(same_in_ipv6),
                b"a@s.example",
                b"b@r.example",
            ),
            key.triplet(network, b"a@s.exampleb", b"@r.example"),
            key.triplet(network, b"b@r.example", b"a@s.example"),
            key.triplet(network, b"", b"a@s.exampleb@r.example"),
            key.auto_whitelist(address),
            key.question([b"", b"", b"", b""]),
            FingerprintKey::new([8; 16]).triplet(network, b"a@s.example", b"b@r.example"),
        ];
        for (index, print) in prints.iter().enumerate() {
            assert!(!prints[..index].contains(print), "{index}");
        }
        assert_eq!(
            prints[0],
            key.triplet(network, b"A+x@S.example", b"B@R.Example")
        );
        assert_ne!(
            prints[0],
            key.triplet(network, b"a@s.example", b"b+x@r.example")
        );
    }

    /// The fingerprints are kept on flash, so they must never change, on any target.
    #[test]
    fn fingerprints_are_stable() {
        // Computed with an independent SipHash-2-4: 1 | 4 | address | 11 | sender | 11 | recipient; 3 | 16 | address.
        let key = FingerprintKey::new(*b"0123456789abcdef");
        let network = Identity::Network("192.0.2.0".parse().unwrap());
        assert_eq!(
            key.triplet(network, b"a@s.example", b"b@r.example").bits(),
            10_507_513_654_418_874_512
        );
        assert_eq!(
            key.auto_whitelist("2001:db8::1".parse().unwrap()).bits(),
            4_079_235_116_216_081_715
        );
    }
}
