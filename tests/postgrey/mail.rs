//! Random clients, senders and recipients, few enough that triplets come back, each time spelt a bit differently.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::options::Options;
use crate::random::Random;

/// The mails of a sequence: what it draws its clients, senders and recipients from.
pub(crate) struct Mails {
    addresses: Vec<IpAddr>,
    senders: Vec<SenderKind>,
    recipients: Vec<&'static str>,
}

/// One of the mails; its sender changes a bit with each try.
#[derive(Clone, Copy)]
pub(crate) struct Mail {
    pub(crate) address: IpAddr,
    sender: SenderKind,
    recipient: &'static str,
}

const RECIPIENTS: [&str; 15] = [
    "b@r.example",
    "b+x@r.example",
    "b+y@r.example",
    "c-12@r.example",
    "b@sub.r.example",
    "bob",
    "a@b@r.example",
    "jörg@bücher.example",
    "",
    "u1@r.example",
    "u2@r.example",
    "u3@r.example",
    "u4@r.example",
    "u5@r.example",
    "u6@r.example",
];

#[derive(Clone, Copy)]
enum SenderKind {
    Plain,
    Null,
    Verp,
    Batv,
    BatvLike,
    Plus,
    Digits,
    NoAt,
    SeveralAt,
    Quoted,
    Utf8,
    Srs,
    /// Any characters that mean something to the rules.
    Wild,
}

const SENDER_KINDS: [SenderKind; 13] = [
    SenderKind::Plain,
    SenderKind::Null,
    SenderKind::Verp,
    SenderKind::Batv,
    SenderKind::BatvLike,
    SenderKind::Plus,
    SenderKind::Digits,
    SenderKind::NoAt,
    SenderKind::SeveralAt,
    SenderKind::Quoted,
    SenderKind::Utf8,
    SenderKind::Srs,
    SenderKind::Wild,
];

impl Mails {
    pub(crate) fn random(random: &mut Random, options: &Options) -> Mails {
        let mut addresses = ipv4_addresses(random, options.ipv4_prefix_bits);
        addresses.extend(ipv6_addresses(random, options.ipv6_prefix_bits));
        // An auto-whitelist needs one address with many triplets.
        if random.one_in(3) {
            addresses = vec![random.pick(&addresses)];
        }
        let senders = random.within(1..=3);
        let recipients = random.pick(&[1, 2, 3, 12]);
        Mails {
            addresses,
            senders: (0..senders).map(|_| random.pick(&SENDER_KINDS)).collect(),
            recipients: (0..recipients).map(|_| random.pick(&RECIPIENTS)).collect(),
        }
    }

    pub(crate) fn pick(&self, random: &mut Random) -> Mail {
        Mail {
            address: random.pick(&self.addresses),
            sender: random.pick(&self.senders),
            recipient: random.pick(&self.recipients),
        }
    }

    /// The same mail, maybe from another host of the sender's.
    pub(crate) fn retry_of(&self, mail: Mail, random: &mut Random) -> Mail {
        let address = match random.one_in(4) {
            true => random.pick(&self.addresses),
            false => mail.address,
        };
        Mail { address, ..mail }
    }
}

impl Mail {
    pub(crate) fn client_address(&self, random: &mut Random) -> String {
        match self.address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => match random.within(0..=3) {
                0 => spelt_out(address),
                1 => spelt_out(address).to_uppercase(),
                _ => address.to_string(),
            },
        }
    }

    pub(crate) fn sender(&self, random: &mut Random) -> String {
        let number = random.within(0..=9_999);
        let sender = match self.sender {
            SenderKind::Plain => "joe@s.example".into(),
            SenderKind::Null => String::new(),
            SenderKind::Verp => format!("list-{number}-bob=r.example@s.example"),
            SenderKind::Batv => match random.one_in(2) {
                true => format!("prvs={number:06}abcd=joe@s.example"),
                false => format!("prvs=joe={number:06}abcd@s.example"),
            },
            SenderKind::BatvLike => batv_like(random),
            SenderKind::Plus => format!("joe+{number}+x@s.example"),
            SenderKind::Digits => match random.within(0..=3) {
                0 => format!("{number}@s{}.example", number % 3),
                1 => format!("a{}b@s.example", number % 3),
                2 => format!("a_{}_b@s.example", number % 3),
                _ => format!("x={number}={number}@s.example"),
            },
            SenderKind::NoAt => random
                .pick(&["joe", "joe+x", "12", "prvs=1234abcdef=joe"])
                .into(),
            SenderKind::SeveralAt => format!("a-{number}@{}+x@s.example", number % 3),
            SenderKind::Quoted => format!("\"q {number} \\\"2 \"@s.example"),
            SenderKind::Utf8 => format!("jørn{}-{number}@bücher.example", number % 3),
            SenderKind::Srs => format!("SRS0=H{}=TT=orig.example=user@fwd.example", number % 3),
            SenderKind::Wild => {
                let start = random.pick(&["", "prvs="]);
                format!("{start}{}", random.word("a1=+@.-_# ø", 0..=6))
            }
        };
        in_some_case(sender, random)
    }

    pub(crate) fn recipient(&self, random: &mut Random) -> String {
        in_some_case(self.recipient.into(), random)
    }
}

/// What is or is not a BATV tag, by a hair.
fn batv_like(random: &mut Random) -> String {
    let prefix = random.pick(&["prvs", "prvs", "prvs", "PRVS", "msprvs1", "btv1="]);
    let parts = [
        "joe",
        "jo=e",
        "",
        "=",
        "123456789",
        "1234abcdef",
        "1234abcdefg",
        "1234ABCDEF",
        "12-34",
    ];
    let (first, second) = (random.pick(&parts), random.pick(&parts));
    let end = random.pick(&["", "", "=", "+x", "=x"]);
    format!("{prefix}={first}={second}{end}@s.example")
}

fn in_some_case(address: String, random: &mut Random) -> String {
    match random.within(0..=5) {
        0 => address.to_ascii_uppercase(),
        1 => address.replace('e', "E"),
        _ => address,
    }
}

fn spelt_out(address: Ipv6Addr) -> String {
    let groups: Vec<String> = address
        .segments()
        .map(|group| format!("{group:04x}"))
        .into();
    groups.join(":")
}

/// An address, two of its network, and one of the next network.
fn ipv4_addresses(random: &mut Random, prefix_bits: u64) -> Vec<IpAddr> {
    // Without 0/8, 127/8 and multicast, whichever bit is turned round.
    let first = random.pick(&[66, 77, 78, 198]) << 24 | random.within(0..=0xff_ffff);
    flipped_bits(random, 32, prefix_bits)
        .map(|bit| IpAddr::V4(Ipv4Addr::from_bits((first ^ bit as u64) as u32)))
        .into()
}

fn ipv6_addresses(random: &mut Random, prefix_bits: u64) -> Vec<IpAddr> {
    // Neither ::/96 nor ::1, nor an IPv4-mapped one, whichever bit is turned round.
    let first = 0x2001_0db8 << 96 | u128::from(random.next()) << 32 | u128::from(random.next());
    flipped_bits(random, 128, prefix_bits)
        .map(|bit| IpAddr::V6(Ipv6Addr::from_bits(first ^ bit)))
        .into()
}

/// Nothing, two bits of the host part (or nothing if it is empty), and the last of the network part.
fn flipped_bits(random: &mut Random, address_bits: u64, prefix_bits: u64) -> [u128; 4] {
    let host_bits = address_bits - prefix_bits;
    let in_host = |bit: u64| if bit < host_bits { 1 << bit } else { 0 };
    let low = in_host(random.within(0..=7));
    let highest = in_host(host_bits.saturating_sub(1));
    [0, low, highest, 1 << host_bits]
}
