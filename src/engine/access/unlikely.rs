//! Words that can be read and yet match nothing, or not what they look like: why, and what to write instead.

use std::net::{IpAddr, Ipv4Addr};

use crate::engine::access::keys::is_key;
use crate::engine::access::line::{Fault, Remark};

/// Most networks that are proposed for a range.
const NETWORKS_PROPOSED_MAX: usize = 8;

fn never(why: &'static str) -> Remark {
    Remark::new(Fault::NeverMatches, why)
}

/// What is to be said of a word as the end of a client's verified name.
pub(super) fn unlikely_name(word: &str) -> Option<Remark> {
    if word.eq_ignore_ascii_case("unknown") {
        let why = "it matches every client without a verified name";
        return Some(Remark::new(Fault::Doubtful, why));
    }
    for (keyword, meaning) in [
        ("pool", "for a pool"),
        ("nowhite", "for clients that are never auto-whitelisted"),
    ] {
        if word.eq_ignore_ascii_case(keyword) {
            let why = format!("it matches names that end in .{keyword}");
            let instead = format!("{keyword} example.com {meaning}");
            return Some(Remark::new(Fault::Doubtful, why).instead(instead));
        }
    }
    if let Some(remark) = ipv4_range(word).or_else(|| unlikely_network(word)) {
        return Some(remark);
    }
    if let Some(remark) = unlikely_domain(word).or_else(|| starred_name(word)) {
        return Some(remark);
    }
    if word.contains('@') {
        return Some(never("clients have names, not mail addresses"));
    }
    if word.bytes().all(|byte| byte.is_ascii_digit()) {
        let why = "a number alone is no network";
        return Some(never(why).instead(format!("{word}.0.0.0/8")));
    }
    if !word.is_ascii() {
        return Some(never("names of clients are in ASCII: write the xn-- form"));
    }
    let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !word.bytes().all(is_of_a_name) {
        return Some(never("no name of a client has such a character"));
    }
    ends_in_number(word).then(|| never("no name ends in a number, and it is no address"))
}

/// What is to be said of a word of a list of recipients or senders.
pub(super) fn unlikely_address(word: &str) -> Option<Remark> {
    if word.starts_with('/') {
        return unlikely_domain(word);
    }
    if word.starts_with(['<', '"', '\'']) {
        let bare = word.trim_matches(['<', '>', '"', '\'']);
        return Some(never("an address stands without brackets and quotes").instead(bare));
    }
    if let Some((scheme, address)) = word.split_once(':')
        && scheme.eq_ignore_ascii_case("mailto")
    {
        return Some(never("an address stands alone").instead(address));
    }
    let bare = word.trim_end_matches([',', ';']);
    if bare.len() < word.len() && !bare.contains(',') {
        return Some(never("nothing stands between lines").instead(bare));
    }
    if word.contains(',') {
        return unlikely_domain(word);
    }
    if is_key(word) {
        let remark = never("whom it is about stands before it");
        return Some(remark.instead(format!("user@example.org {word}")));
    }
    match word.split_once('@') {
        None => unlikely_address_domain(word).or_else(|| {
            let pattern = format!("/[@.]{}$/", starred(word, "[^@]*"));
            let why = "a * stands for nothing but itself";
            word.contains('*').then(|| never(why).instead(pattern))
        }),
        Some((user, domain)) => unlikely_user(user, domain),
    }
}

fn unlikely_user(user: &str, domain: &str) -> Option<Remark> {
    if matches!(user, "" | "*") {
        let remark = match domain {
            "" | "*" => never("there is no sign for any user"),
            _ => never("there is no sign for any user, a domain stands alone").instead(domain),
        };
        return Some(remark);
    }
    if domain == "*" {
        let remark = never("there is no sign for any domain, a user and an @ stand alone");
        return Some(remark.instead(format!("{user}@")));
    }
    if let Some(bare) = domain
        .strip_prefix("*.")
        .or_else(|| domain.strip_prefix('.'))
    {
        let pattern = format!(
            r"/^{}@(.*\.)?{}$/",
            starred(user, "[^@]*"),
            starred(bare, ".*")
        );
        let why = "a user at all subdomains cannot be said in a word";
        return Some(never(why).instead(pattern));
    }
    if user.contains('*') || domain.contains('*') {
        let end = if domain.is_empty() { "" } else { "$" };
        let (user, domain) = (starred(user, "[^@]*"), starred(domain, "[^@]*"));
        // Unlike a domain, a user may have a star in it.
        let remark = Remark::new(Fault::Doubtful, "a * stands for nothing but itself");
        return Some(remark.instead(format!("/^{user}@{domain}{end}/")));
    }
    if user.starts_with('!') {
        return Some(Remark::new(Fault::Doubtful, "there are no exceptions"));
    }
    if domain.is_empty() {
        return None;
    }
    let remark = unlikely_address_domain(domain)?;
    let instead = remark.instead.map(|domain| format!("{user}@{domain}"));
    Some(Remark { instead, ..remark })
}

fn unlikely_address_domain(word: &str) -> Option<Remark> {
    if word.starts_with('[') {
        return None;
    }
    if word == "*" {
        return Some(never("there is no sign for any address"));
    }
    match word.parse() {
        Ok(IpAddr::V4(_)) => {
            let why = "an address in place of a domain stands in brackets";
            return Some(never(why).instead(format!("[{word}]")));
        }
        Ok(IpAddr::V6(_)) => {
            let why = "an address in place of a domain stands in brackets";
            return Some(never(why).instead(format!("[IPv6:{word}]")));
        }
        Err(_) if is_like_a_network(word) => {
            return Some(never("a mail address has no network"));
        }
        Err(_) => {}
    }
    unlikely_domain(word)
        .or_else(|| ends_in_number(word).then(|| never("no domain ends in a number")))
}

/// What is to be said of a word that is almost a network, or a range.
fn unlikely_network(word: &str) -> Option<Remark> {
    if let Some(network) = almost_ipv4(word) {
        return Some(never("it is not a network in this form").instead(network));
    }
    let (address, _) = word.split_once('/').unwrap_or((word, ""));
    if word.contains('/') && address.parse::<Ipv4Addr>().is_ok() {
        return Some(never("an IPv4 prefix length is a number from 0 to 32"));
    }
    let is_starred = word.contains('*') && word.contains('.') && is_like_a_network(word);
    is_starred.then(|| never("it is not a network in this form"))
}

fn is_like_a_network(word: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_digit() || b"./-*".contains(&byte);
    word.bytes().all(is_part) && word.contains(|byte: char| byte.is_ascii_digit())
        || word
            .split_once('/')
            .is_some_and(|(address, _)| address.parse::<IpAddr>().is_ok())
}

/// The networks that were meant by `192.0.2.1-192.0.2.9` or `192.0.2.0-255`.
fn ipv4_range(word: &str) -> Option<Remark> {
    let (first, last) = word.split_once('-')?;
    let first: Ipv4Addr = first.parse().ok()?;
    let last = match last.parse::<u8>() {
        Ok(last) => {
            let [a, b, c, _] = first.octets();
            Ipv4Addr::new(a, b, c, last)
        }
        Err(_) => last.parse().ok()?,
    };
    let remark = never("a range is written as networks");
    let networks = networks_of(first, last);
    Some(match networks.len() {
        1 => remark.instead(networks.concat()),
        2..=NETWORKS_PROPOSED_MAX => {
            remark.instead(format!("{}, each on a line of its own", networks.join(" ")))
        }
        _ => remark,
    })
}

/// The fewest networks that have all addresses from the first to the last.
fn networks_of(first: Ipv4Addr, last: Ipv4Addr) -> Vec<String> {
    let (mut first, last) = (u64::from(first.to_bits()), u64::from(last.to_bits()));
    let mut networks = Vec::new();
    while first <= last {
        let host_bits = (last - first + 1).ilog2().min(first.trailing_zeros());
        let address = Ipv4Addr::from_bits(first as u32);
        networks.push(match 32 - host_bits {
            32 => address.to_string(),
            prefix_bits => format!("{address}/{prefix_bits}"),
        });
        first += 1 << host_bits;
    }
    networks
}

/// What is to be said of a name with a star in it.
fn starred_name(word: &str) -> Option<Remark> {
    if !word.contains('*') {
        return None;
    }
    let remark = never("a * stands for nothing");
    let end = word.trim_start_matches('*');
    if end.is_empty() || word.contains(['@', '/']) {
        return Some(remark);
    }
    let start = if end.len() < word.len() {
        ""
    } else {
        r"(^|\.)"
    };
    Some(remark.instead(format!("/{start}{}$/", starred(end, ".*"))))
}

/// A regular expression for a word in which stars stand for something.
fn starred(word: &str, any: &str) -> String {
    let parts: Vec<String> = word.split('*').map(regex_lite::escape).collect();
    parts.join(any)
}

fn ends_in_number(word: &str) -> bool {
    let label = word.rsplit('.').next().unwrap_or_default();
    !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit())
}

/// What is to be said of a word as the end of a domain.
fn unlikely_domain(word: &str) -> Option<Remark> {
    if word.contains(',') {
        return Some(never("one line takes one name").instead("each on a line of its own"));
    }
    if let Some(bare) = word.strip_prefix("*.").or_else(|| word.strip_prefix('.')) {
        if bare.is_empty() {
            return Some(never("a dot alone is no name"));
        }
        let why = "a name covers its subdomains by itself";
        return Some(never(why).instead(bare));
    }
    if word.starts_with('!') {
        return Some(never("there are no exceptions"));
    }
    if let Some(inner) = word.strip_prefix('/') {
        let Some((pattern, _)) = inner
            .rsplit_once('/')
            .filter(|(pattern, _)| !pattern.is_empty())
        else {
            let why =
                r"a regular expression stands between slashes, and a # begins a comment even there";
            return Some(never(why));
        };
        let why = "a regular expression has no flags, and is not about case";
        return Some(never(why).instead(format!("/{pattern}/")));
    }
    if let Some(bare) = word.strip_suffix('.') {
        return Some(never("Postfix gives names without a dot at the end").instead(bare));
    }
    if let Some((host, _)) = word.split_once(':') {
        return Some(never("names have no port").instead(host));
    }
    if word.split('.').any(str::is_empty) {
        return Some(never("there are two dots with nothing between them"));
    }
    None
}

/// The network that was meant by `192.168.`, `192.168.*`, `192.168.2/24`, `192.0.2.1/`, `192.0.2.0/255.255.255.0`.
fn almost_ipv4(word: &str) -> Option<String> {
    let word = word.replace(".*", ".");
    let (address, prefix) = match word.split_once('/') {
        Some((address, "")) if address.parse::<Ipv4Addr>().is_ok() => {
            return Some(address.to_owned());
        }
        Some((address, prefix)) => (address, Some(prefix)),
        None => (word.strip_suffix('.')?, None),
    };
    let mut octets = [0_u8; 4];
    let parts = address.trim_end_matches('.').split('.');
    let mut count = 0;
    for part in parts {
        *octets.get_mut(count)? = part.parse().ok()?;
        count += 1;
    }
    let prefix_bits = match prefix {
        None => count as u32 * 8,
        Some(prefix) => match prefix.parse::<Ipv4Addr>() {
            Ok(mask) => mask_bits(mask)?,
            Err(_) => prefix.parse().ok().filter(|bits| *bits <= 32)?,
        },
    };
    Some(format!("{}/{prefix_bits}", Ipv4Addr::from(octets)))
}

/// The length of a prefix that is written as a mask, or turned round, as routers have it; nothing else may become a network by mistake.
fn mask_bits(mask: Ipv4Addr) -> Option<u32> {
    let (mask, wildcard) = (mask.to_bits(), !mask.to_bits());
    let is_prefix = |bits: u32| bits != 0 && bits.leading_ones() == bits.count_ones();
    let bits = [mask, wildcard].into_iter().find(|&bits| is_prefix(bits))?;
    Some(bits.leading_ones())
}
