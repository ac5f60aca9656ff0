//! Colliding triplets, looked for with the key unknown: whoever chooses addresses, senders and recipients finds no more of them than
//! by guessing.
//!
//! A fingerprint has 64 bits, too many for a test to meet two that are equal. So the tests count pairs that are equal in 24 bits of them, or in
//! ten, which chance must explain. The inputs are of the kinds by which weaker hashes are attacked, whatever their key: two letters at each of
//! many places (what a search with LLL finds for FNV), one bit or two that differ, and the boundary between two fields that moves. Keys and inputs are
//! always the same, and so are the counts.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::ops::Range;

use greylet::engine::identity::{Lookup, Prefixes};
use greylet::engine::triplet::{FingerprintKey, Parties, Room, SenderForm};

/// Mails of a family.
const MAILS: usize = 1 << 15;

/// Keys with which each family is tried.
const KEYS: u64 = 4;

/// What a triplet is made of.
struct Mail {
    address: Ipv4Addr,
    sender: Vec<u8>,
    recipient: Vec<u8>,
}

impl Mail {
    fn of_sender(sender: Vec<u8>) -> Mail {
        Mail {
            address: Ipv4Addr::new(192, 0, 2, 0),
            sender,
            recipient: b"b@r.example".to_vec(),
        }
    }

    fn to_recipient(recipient: Vec<u8>) -> Mail {
        Mail {
            recipient,
            ..Mail::of_sender(b"a@s.example".to_vec())
        }
    }

    /// Its fingerprints with the keys of these numbers.
    fn fingerprints(&self, keys: Range<u64>) -> impl Iterator<Item = u64> {
        let lookup = Lookup::Subnet(Prefixes::default());
        let client = lookup.client(self.address.into(), b"unknown", b"", None);
        let mut room = Room::new();
        let parties = Parties::new(
            SenderForm::Postgrey,
            &self.sender,
            &self.recipient,
            &mut room,
        );
        let bits = |number| key(number).triplet(&client, &parties).first.bits();
        keys.map(bits).collect::<Vec<_>>().into_iter()
    }
}

/// Neighbouring keys differ in few bits, as none may be weak.
fn key(number: u64) -> FingerprintKey {
    FingerprintKey::new(u128::from(number).to_le_bytes())
}

/// One of two letters at each of fifteen places of the sender: all words.
fn words_of_two_letters(number: usize) -> Mail {
    let letters = (0..15).map(|place| b"qz"[number >> place & 1]);
    Mail::of_sender(letters.chain(*b"@s.example").collect())
}

/// The same in a long recipient, the places far apart.
fn far_apart(number: usize) -> Mail {
    let mut recipient = vec![b'x'; 160];
    for place in 0..15 {
        recipient[place * 10] = b"gh"[number >> place & 1];
    }
    recipient.extend_from_slice(b"@r.example");
    Mail::to_recipient(recipient)
}

/// A recipient of `q`, of which one or two bits are others.
fn one_bit_or_two(number: usize) -> Mail {
    const BITS: usize = 400;
    let mut recipient = vec![b'q'; BITS / 4];
    for place in [number / BITS, number % BITS] {
        recipient[place / 4] ^= 1 << (place % 4);
    }
    Mail::to_recipient(recipient)
}

/// Sender and recipient are of one letter, and only where one ends and how long the other is makes the difference.
fn moved_boundaries(number: usize) -> Mail {
    let side = |length: usize| vec![b'x'; 1 + length];
    Mail {
        sender: side(number / 256),
        ..Mail::to_recipient(side(number % 256))
    }
}

/// Networks one after the other.
fn neighbours(number: usize) -> Mail {
    Mail {
        address: Ipv4Addr::from_bits((number as u32) << 8),
        ..Mail::of_sender(b"a@s.example".to_vec())
    }
}

/// What it is, and its mails by number.
type Family = (&'static str, fn(usize) -> Mail);

const FAMILIES: [Family; 5] = [
    ("words of two letters", words_of_two_letters),
    ("letters far apart", far_apart),
    ("one bit or two", one_bit_or_two),
    ("moved boundaries", moved_boundaries),
    ("neighbouring networks", neighbours),
];

/// Asserts that chance explains a count, which it does not by more than five standard deviations of a Poisson distribution.
fn assert_by_chance(what: &str, found: u64, expected: f64) {
    println!("{what}: {found} found, {expected:.1} expected");
    let off = (found as f64 - expected).abs();
    assert!(
        off <= 5.0 * expected.sqrt(),
        "{what}: {found} found, {expected:.1} expected"
    );
}

/// Pairs of equal numbers.
fn equal_pairs(mut numbers: Vec<u32>) -> u64 {
    numbers.sort_unstable();
    let runs = numbers.chunk_by(|one, other| one == other);
    runs.map(|run| run.len() as u64 * (run.len() as u64 - 1) / 2)
        .sum()
}

/// Of N mails N (N - 1) / 2 pairs are equal in 24 bits by a chance of one in 2^24 each: 32 pairs in each family for each key. The bits
/// are the upper ones, which choose the bucket, the lower ones, and those between.
#[test]
fn no_family_has_more_collisions_than_chance() {
    for (name, family) in FAMILIES {
        let mut prints = vec![Vec::with_capacity(MAILS); KEYS as usize];
        // Some families have a mail twice.
        let mut mails = HashSet::new();
        for number in 0..MAILS {
            let mail = family(number);
            for (prints, print) in prints.iter_mut().zip(mail.fingerprints(0..KEYS)) {
                prints.push(print);
            }
            mails.insert((mail.address, mail.sender, mail.recipient));
        }
        let different = mails.len();
        let mut found = [0; 3];
        for prints in &mut prints {
            prints.sort_unstable();
            prints.dedup();
            assert_eq!(prints.len(), different, "{name}: two are equal in 64 bits");
            for (found, shift) in found.iter_mut().zip([0, 20, 40]) {
                let bits = prints
                    .iter()
                    .map(|print| (print >> shift & 0xff_ffff) as u32);
                *found += equal_pairs(bits.collect());
            }
        }
        let pairs = different as f64 * (different as f64 - 1.0) / 2.0;
        let expected = pairs * KEYS as f64 / 2_f64.powi(24);
        for (found, bits) in found.into_iter().zip(["lower", "middle", "upper"]) {
            assert_by_chance(&format!("{name}, {bits} 24 bits"), found, expected);
        }
    }
}

/// What a search without the key would need: two mails that collide under more keys than chance has it. With FNV there are some that
/// do under one key in 256.
#[test]
fn no_two_mails_collide_under_more_keys_than_chance() {
    const PAIRS: usize = 128;
    const TRIED_KEYS: u64 = 512;
    const BITS: u32 = 10;
    for (name, family) in FAMILIES {
        let (mut all, mut most) = (0, 0);
        for number in 0..PAIRS {
            let [one, other] = [2 * number, 2 * number + 1].map(family);
            let one = one.fingerprints(0..TRIED_KEYS);
            let pairs = one.zip(other.fingerprints(0..TRIED_KEYS));
            let is_equal = |(one, other): &(u64, u64)| (one ^ other) << (64 - BITS) == 0;
            let equal = pairs.filter(is_equal).count() as u64;
            all += equal;
            most = most.max(equal);
        }
        let tries = PAIRS as f64 * TRIED_KEYS as f64;
        assert_by_chance(name, all, tries / f64::from(1 << BITS));
        // A half is expected of each pair; nine have a chance of one in 10^8.
        assert!(most < 9, "{name}: {most}");
    }
}
