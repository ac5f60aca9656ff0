//! Lines of list files, and clients and recipients that one of them matches or just misses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::strategy::{Strategy, ValueTree};
use proptest::string::string_regex;
use proptest::test_runner::TestRunner;

use crate::random::Random;

/// Whom a line is asked about.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) client_name: String,
    pub(crate) client_address: String,
    pub(crate) recipient: String,
}

impl Subject {
    fn named(client_name: String) -> Subject {
        Subject {
            client_name,
            client_address: "203.0.113.9".into(),
            recipient: "b@r.example".into(),
        }
    }

    fn at(client_address: IpAddr) -> Subject {
        Subject {
            client_address: client_address.to_string(),
            ..Subject::named("unknown".into())
        }
    }

    fn to(recipient: String) -> Subject {
        Subject {
            recipient,
            ..Subject::named("unknown".into())
        }
    }
}

/// What of a line counts, if anything does.
pub(crate) fn pattern(line: &str) -> Option<&str> {
    let pattern = line.split('#').next().unwrap_or_default().trim();
    (!pattern.is_empty()).then_some(pattern)
}

/// Clients for a line of a list of clients.
pub(crate) fn clients(pattern: &str, random: &mut Random) -> Vec<Subject> {
    if let Some(regex) = regex(pattern) {
        let names = names_for(regex);
        return names
            .iter()
            .flat_map(|name| near(name, random))
            .map(Subject::named)
            .collect();
    }
    match network(pattern) {
        Some((first, bits)) => addresses_about(first, bits, random)
            .into_iter()
            .map(Subject::at)
            .chain([Subject::named(pattern.into())])
            .collect(),
        None => near(pattern, random)
            .into_iter()
            .map(Subject::named)
            .collect(),
    }
}

/// Recipients for a line of a list of recipients.
pub(crate) fn recipients(pattern: &str, random: &mut Random) -> Vec<Subject> {
    let addresses: Vec<String> = match (regex(pattern), pattern.split_once('@')) {
        (Some(regex), _) => names_for(regex),
        (None, Some((user, ""))) => addresses_of(user, "r.example"),
        (None, Some((user, domain))) => addresses_of(user, domain),
        (None, None) => addresses_of("joe", pattern),
    };
    let with_near = addresses.iter().flat_map(|address| near(address, random));
    with_near.map(Subject::to).collect()
}

fn addresses_of(user: &str, domain: &str) -> Vec<String> {
    vec![
        format!("{user}@{domain}"),
        format!("{user}+x@{domain}"),
        format!("{user}+@{domain}"),
        format!("{user}+x+y@{domain}"),
        format!("{user}-x@{domain}"),
        format!("{user}@mail.{domain}"),
        format!("{user}@x@{domain}"),
        user.to_owned(),
        domain.to_owned(),
    ]
}

/// A text, and what differs from it by a hair.
fn near(text: &str, random: &mut Random) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let place = random.next() as usize % characters.len().max(1);
    let without = |place: usize| {
        let kept = characters.iter().enumerate();
        let kept = kept.filter(|(index, _)| *index != place);
        kept.map(|(_, character)| character).collect()
    };
    let mut replaced = characters.clone();
    if let Some(character) = replaced.get_mut(place) {
        *character = random.pick(&['x', '.', '-', '1']);
    }
    vec![
        text.to_owned(),
        text.to_uppercase(),
        format!("mail.{text}"),
        format!("a.b.{text}"),
        format!("x{text}"),
        format!("-{text}"),
        format!(".{text}"),
        format!("{text}x"),
        format!("{text}.x"),
        format!("{text}."),
        without(0),
        without(place),
        without(characters.len().saturating_sub(1)),
        replaced.into_iter().collect(),
    ]
}

fn regex(pattern: &str) -> Option<&str> {
    let inner = pattern.strip_prefix('/')?.strip_suffix('/')?;
    (!inner.is_empty()).then_some(inner)
}

/// Some texts that a regular expression matches.
fn names_for(regex: &str) -> Vec<String> {
    let strategy = string_regex(&in_ascii(regex)).expect("a regular expression");
    let mut runner = TestRunner::deterministic();
    let mut name = || strategy.new_tree(&mut runner).expect("a name").current();
    (0..3).map(|_| name()).collect()
}

/// A regular expression as proptest takes it, for ASCII names.
fn in_ascii(regex: &str) -> String {
    let mut ascii = String::new();
    let mut characters = regex.chars();
    while let Some(character) = characters.next() {
        match character {
            '^' | '$' if !ascii.ends_with('[') => {}
            '.' => ascii.push_str("[a-z0-9.-]"),
            '\\' => match characters.next() {
                Some('d') => ascii.push_str("[0-9]"),
                Some('w') => ascii.push_str("[A-Za-z0-9_]"),
                Some('b') | None => {}
                Some(other) => ascii.extend(['\\', other]),
            },
            '[' => {
                ascii.push('[');
                let class = characters.by_ref().take_while(|&inner| inner != ']');
                ascii.extend(class);
                // A negated class would give names of control characters.
                if ascii.ends_with("[^.") {
                    ascii.truncate(ascii.len() - 2);
                    ascii.push_str("a-z");
                }
                ascii.push(']');
            }
            other => ascii.push(other),
        }
    }
    ascii
}

/// The network that Postgrey makes of a line, as first address and prefix length.
fn network(pattern: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = match pattern.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
        None => (pattern, None),
    };
    let is_numbers = address
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let whole = match address.split('.').count() {
        2 if is_numbers => format!("{address}.0.0"),
        3 if is_numbers => format!("{address}.0"),
        _ => address.to_owned(),
    };
    let first: IpAddr = whole.parse().ok()?;
    let (all_bits, default) = match first {
        IpAddr::V4(_) if whole != address => (32, 24),
        IpAddr::V4(_) => (32, 32),
        IpAddr::V6(_) => (128, 128),
    };
    Some((first, bits.unwrap_or(default).clamp(1, all_bits)))
}

/// The ends of a network, their neighbours outside, and one inside.
fn addresses_about(first: IpAddr, bits: u32, random: &mut Random) -> Vec<IpAddr> {
    let (value, all_bits) = match first {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let host_mask = match all_bits - bits {
        0 => 0,
        host_bits => u128::MAX >> (128 - host_bits),
    };
    let (first, last) = (value & !host_mask, value | host_mask);
    let inside = first | (u128::from(random.next()) & host_mask);
    let around = [
        value,
        first,
        last,
        inside,
        first.wrapping_sub(1),
        last.wrapping_add(1),
        value ^ 1 << (all_bits - bits),
    ];
    let addresses = around.map(|value| match all_bits {
        32 => IpAddr::V4(Ipv4Addr::from_bits(value as u32)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(value)),
    });
    addresses.into_iter().filter(is_comparable).collect()
}

/// Whether both servers read an address alike: neither this machine's own, nor IPv4 in IPv6.
fn is_comparable(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_loopback(),
        IpAddr::V6(address) => address.segments()[..5] != [0; 5],
    }
}

/// A random line for a list of clients: right, odd or wrong.
pub(crate) fn random_client_line(random: &mut Random) -> String {
    let pattern = match random.within(0..=9) {
        0..=3 => random_domain(random),
        4 => random_ipv4(random),
        5 => {
            let address = random_ipv4(random);
            format!("{address}/{}", random.within(0..=33))
        }
        6 => {
            let numbers = random.within(1..=3) as usize;
            let address = random_ipv4(random);
            let kept: Vec<&str> = address.split('.').take(numbers).collect();
            kept.join(".")
        }
        7 => random_ipv6(random),
        8 => random_regex(random),
        _ => random_odd_client(random),
    };
    dressed(pattern, random)
}

/// The same for a list of recipients.
pub(crate) fn random_recipient_line(random: &mut Random) -> String {
    let domain = random_domain(random);
    let user = random.pick(&["joe", "Joe", "j.e", "joe+x", "joe-x", "a*b"]);
    let pattern = match random.within(0..=9) {
        0..=2 => format!("{user}@"),
        3..=5 => format!("{user}@{domain}"),
        6 | 7 => domain,
        8 => random_regex(random),
        _ => random
            .pick(&[
                "joe@ example",
                "joe@r.example OK",
                ".example",
                "*@example",
                "joe@x@example",
                "/joe/i",
                "//",
                "!joe@",
                "<joe@example>",
            ])
            .into(),
    };
    dressed(pattern, random)
}

fn random_domain(random: &mut Random) -> String {
    let labels = random.within(1..=3);
    let mut label = || random.pick(&["example", "mail", "com", "a", "b-1", "Mx", "EXAMPLE", "7"]);
    let labels: Vec<&str> = (0..labels).map(|_| label()).collect();
    labels.join(".")
}

fn random_ipv4(random: &mut Random) -> String {
    let mut number = || random.pick(&[0, 1, 2, 10, 77, 128, 192, 255]);
    let numbers: Vec<String> = (0..3).map(|_| number().to_string()).collect();
    format!("{}.{}", random.pick(&[10, 77, 192, 198]), numbers.join("."))
}

fn random_ipv6(random: &mut Random) -> String {
    let low = u128::from(random.next() & random.next() & random.next());
    let address = Ipv6Addr::from_bits(0x2001_0db8_0001 << 80 | low << random.within(0..=64));
    let address = random.pick(&[address.to_string(), address.to_string().to_uppercase()]);
    match random.one_in(3) {
        true => address,
        // A shorter prefix would take IPv4 in, in Postgrey.
        false => format!("{address}/{}", random.within(8..=129)),
    }
}

/// Without what only Perl or only Rust knows.
fn random_regex(random: &mut Random) -> String {
    random
        .pick(&[
            r"/^mail\d+\.example/",
            r"/\.example\.com$/",
            r"/a[0-9]+b?/",
            r"/(?:mail|mx)\d\.example/",
            r"/^[^.]+\.com$/",
            r"/EXAMPLE/",
            r"/^mail-\w+\./",
            r"/a{2,3}\.com/",
            r"/\bmail\b/",
            r"/^joe.*@r\.example$/",
            r"/^.*?x$/",
            r"/mail .*/",
        ])
        .into()
}

fn random_odd_client(random: &mut Random) -> String {
    random
        .pick(&[
            ".example.com",
            "*.example.com",
            "example.com OK",
            "example.com.",
            "192.168.",
            "192.168.2.",
            "192.168.2/24",
            "192.0.2.0/255.255.255.0",
            "300.1.1.1",
            "300.1.1",
            "1.2.3.4.5",
            "192.0.2.1 192.0.2.2",
            "/example/i",
            "//",
            "/",
            "!example.com",
            "example.com,example.net",
            "a:b:c",
            "2001:db8::zz",
            "2001:db8::/x",
            "[2001:db8::1]",
            "mail:25",
            "@example.com",
        ])
        .into()
}

/// With blanks, comments and line ends that do not count.
fn dressed(pattern: String, random: &mut Random) -> String {
    match random.within(0..=7) {
        0 => format!("  {pattern}\t"),
        1 => format!("{pattern} # why"),
        2 => format!("{pattern}#why"),
        3 => format!("{pattern}\r"),
        4 => format!("# {pattern}"),
        _ => pattern,
    }
}
