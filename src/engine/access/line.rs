//! Lines of a list to what they mean, by Postgrey's rules, and to what should be said of them.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use regex_lite::{Regex, RegexBuilder};

use crate::engine::access::keys;
use crate::engine::access::unlikely::{unlikely_address, unlikely_name};
use crate::engine::domain_name::DomainName;
use crate::engine::limits::{
    LIST_LINE_BYTES_MAX, PATTERN_BYTES_MAX, PATTERN_BYTES_MIN, PATTERNS_BYTES_MAX,
};

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It means nothing, and is ignored.
    Invalid,
    /// It means something that no mail can have.
    NeverMatches,
    /// It may not mean what it looks like.
    Doubtful,
}

/// What is to be said of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// How bad it is.
    pub fault: Fault,
    /// Why, in words.
    pub why: Cow<'static, str>,
    /// What to write instead, if that can be told.
    pub instead: Option<String>,
}

impl Remark {
    pub(super) fn new(fault: Fault, why: impl Into<Cow<'static, str>>) -> Remark {
        Remark {
            fault,
            why: why.into(),
            instead: None,
        }
    }

    /// For the line of one regular expression too many.
    pub(super) fn too_many_patterns() -> Remark {
        let kib = PATTERNS_BYTES_MAX >> 10;
        let why = format!(
            "the list has too many regular expressions, or they have more than {kib} KiB compiled"
        );
        Remark::new(Fault::Invalid, why)
    }

    pub(super) fn instead(self, line: impl Into<String>) -> Remark {
        Remark {
            instead: Some(line.into()),
            ..self
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.fault {
            Fault::Invalid => "is ignored: ",
            Fault::NeverMatches => "can never match: ",
            Fault::Doubtful => "may not mean what you want: ",
        })?;
        f.write_str(&self.why)?;
        match &self.instead {
            Some(line) => write!(f, "; write {line}"),
            None => Ok(()),
        }
    }
}

/// A regular expression, ready to be tried.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) regex: Regex,
    /// Its size, rounded up: a bound of what each byte of a text costs.
    pub(super) bytes: usize,
    /// See [`beginning`].
    beginning: String,
}

/// What a line of a client list means.
#[derive(Clone, Debug)]
pub(super) enum ClientRule<'a> {
    /// Names that fit a regular expression.
    Pattern(Pattern),
    /// These.
    Listed(Host<'a>),
    /// Names that are this word, or end in a dot and it; the line says only that they are one client.
    Pool(&'a [u8]),
    /// The line says only that these are never auto-whitelisted.
    Nowhite(Host<'a>),
}

/// Clients of a name or a network.
#[derive(Clone, Copy, Debug)]
pub(super) enum Host<'a> {
    /// Addresses of a network: one of its addresses, and the length of its prefix.
    Network(IpAddr, u8),
    /// Names that are this word, or end in a dot and it.
    Suffix(&'a [u8]),
}

/// What a line of a list of recipients or senders means, without its keys.
#[derive(Clone, Debug)]
pub(super) enum AddressRule<'a> {
    /// Addresses that fit a regular expression.
    Pattern(Pattern),
    /// A user with and without extension at exactly one domain.
    Whole { user: &'a [u8], domain: &'a [u8] },
    /// A user with and without extension at any domain.
    User(&'a [u8]),
    /// A domain and its subdomains.
    Suffix(&'a [u8]),
}

/// What stands on a line: without its comment, and without blanks round it. `None` if that is nothing.
pub(super) fn content(line: &[u8]) -> Option<&[u8]> {
    let content = line
        .split(|&byte| byte == b'#')
        .next()
        .unwrap_or(line)
        .trim_ascii();
    (!content.is_empty()).then_some(content)
}

/// The lines of a file that say something, with their numbers.
pub fn lines(text: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let numbered = text.split(|&byte| byte == b'\n').zip(1..);
    numbered.filter_map(|(line, number)| Some((number, content(line)?)))
}

type Read<R> = (Option<R>, Option<Remark>);

fn invalid<R>(why: impl Into<Cow<'static, str>>) -> Read<R> {
    (None, Some(Remark::new(Fault::Invalid, why)))
}

/// Reads a line of a client list.
pub(super) fn client_rule(line: &[u8]) -> Read<ClientRule<'_>> {
    let text = match text(line) {
        Ok(text) => text,
        Err(remark) => return (None, Some(remark)),
    };
    if let Some((keyword, rest)) = text.split_once(|it: char| it.is_ascii_whitespace()) {
        if keyword.eq_ignore_ascii_case("pool") {
            return pool_rule(rest.trim_ascii_start());
        }
        if keyword.eq_ignore_ascii_case("nowhite") {
            return nowhite_rule(rest.trim_ascii_start());
        }
    }
    if let Some((_, keys)) = keys::split(text) {
        let remark = keys_elsewhere().instead(format!("user@example.org {keys} there"));
        return (None, Some(remark));
    }
    let word = match one_word(text) {
        Ok(word) => word,
        Err(remark) => return (None, Some(remark)),
    };
    if let Some(pattern) = pattern(word) {
        return match compiled(pattern) {
            Ok(pattern) => (Some(ClientRule::Pattern(pattern)), None),
            Err(remark) => (None, Some(remark)),
        };
    }
    let (host, remark) = host(word);
    (host.map(ClientRule::Listed), remark)
}

/// Reads a name or a network.
fn host(word: &str) -> Read<Host<'_>> {
    if let Some(read) = ipv4_network(word) {
        return read;
    }
    if word.bytes().filter(|&byte| byte == b':').count() >= 2 {
        return ipv6_network(word);
    }
    (Some(Host::Suffix(word.as_bytes())), unlikely_name(word))
}

/// Reads a line of a list of recipients or senders that has no keys.
pub(super) fn address_rule(line: &[u8]) -> Read<AddressRule<'_>> {
    let word = text(line).and_then(|text| match keys::split(text) {
        Some((word, _)) => Err(keys_elsewhere().instead(word)),
        None => one_word(text).map_err(|remark| of_the_clients(text).unwrap_or(remark)),
    });
    let word = match word {
        Ok(word) => word,
        Err(remark) => return (None, Some(remark)),
    };
    if let Some(pattern) = pattern(word) {
        return match compiled(pattern) {
            Ok(pattern) => (Some(AddressRule::Pattern(pattern)), None),
            Err(remark) => (None, Some(remark)),
        };
    }
    let rule = match word.split_once('@') {
        Some((user, "")) => AddressRule::User(user.as_bytes()),
        Some((user, domain)) => AddressRule::Whole {
            user: user.as_bytes(),
            domain: domain.as_bytes(),
        },
        None => AddressRule::Suffix(word.as_bytes()),
    };
    (Some(rule), unlikely_address(word))
}

/// The line as text, or why it is none.
pub(super) fn text(line: &[u8]) -> Result<&str, Remark> {
    let bytes_max = match line.first() {
        Some(b'/') => PATTERN_BYTES_MAX,
        _ => LIST_LINE_BYTES_MAX,
    };
    if line.len() > bytes_max {
        let why = format!("it has more than {bytes_max} bytes");
        return Err(Remark::new(Fault::Invalid, why));
    }
    let text = std::str::from_utf8(line)
        .ok()
        .filter(|text| !text.contains(char::is_control));
    // A tab is a blank like any other.
    let tabbed = std::str::from_utf8(line)
        .ok()
        .filter(|text| text.contains('\t'));
    text.or(tabbed)
        .ok_or_else(|| Remark::new(Fault::Invalid, "it is not text"))
}

/// For a line with keys in a list that has none.
fn keys_elsewhere() -> Remark {
    let why = "keys such as delay=60 stand behind recipients, in whitelist_recipients";
    Remark::new(Fault::Invalid, why)
}

/// For a line with a keyword in a list of addresses.
fn of_the_clients(text: &str) -> Option<Remark> {
    let mut words = text.split_ascii_whitespace();
    let keyword = words.next()?;
    let is_keyword = ["pool", "nowhite"]
        .iter()
        .any(|it| keyword.eq_ignore_ascii_case(it));
    let why = "such a line stands in the list of clients, whitelist_clients";
    is_keyword.then(|| Remark::new(Fault::Invalid, why).instead("it there"))
}

/// The text as one word, or why it is none.
fn one_word(text: &str) -> Result<&str, Remark> {
    let Some((first, rest)) = text.split_once(|character: char| character.is_ascii_whitespace())
    else {
        return Ok(text);
    };
    if text.starts_with('/') {
        let why = "a regular expression has no blank in it";
        return Err(Remark::new(Fault::Invalid, why).instead(r"\s for a blank"));
    }
    let remark = Remark::new(Fault::Invalid, "one line takes one word");
    let is_result = ["OK", "PERMIT", "DUNNO"]
        .iter()
        .any(|word| rest.trim().eq_ignore_ascii_case(word));
    Err(if is_result {
        remark.instead(first)
    } else {
        remark
    })
}

/// What stands between the slashes of a regular expression.
fn pattern(word: &str) -> Option<&str> {
    word.strip_prefix('/')?
        .strip_suffix('/')
        .filter(|pattern| !pattern.is_empty())
}

/// Compiled in the smallest size that it fits in, as the size cannot be asked for.
fn compiled(pattern: &str) -> Result<Pattern, Remark> {
    let mut builder = RegexBuilder::new(pattern);
    builder.case_insensitive(true).size_limit(PATTERN_BYTES_MAX);
    let beginning = beginning(pattern).to_owned();
    let largest = builder.build().map_err(|error| {
        let why = format!("the regular expression does not work: {error}");
        Remark::new(Fault::Invalid, why)
    })?;
    let sizes = std::iter::successors(Some(PATTERN_BYTES_MIN), |bytes| Some(bytes * 2));
    let sizes = sizes.take_while(|bytes| *bytes < PATTERN_BYTES_MAX);
    for bytes in sizes.flat_map(|bytes| [bytes, bytes / 2 * 3]) {
        if let Ok(regex) = builder.size_limit(bytes).build() {
            return Ok(Pattern {
                regex,
                bytes,
                beginning,
            });
        }
    }
    Ok(Pattern {
        regex: largest,
        bytes: PATTERN_BYTES_MAX,
        beginning,
    })
}

impl Pattern {
    /// Whether a text begins so that it is worth a closer look.
    pub(super) fn may_match(&self, text: &[u8]) -> bool {
        let start = text.get(..self.beginning.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(self.beginning.as_bytes()))
    }
}

/// The letters and digits that all texts begin with that a regular expression matches, as far as that is plain to see.
fn beginning(pattern: &str) -> &str {
    let Some(rest) = pattern.strip_prefix('^') else {
        return "";
    };
    let end = rest.find(|it: char| !it.is_ascii_alphanumeric());
    let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
    if pattern.contains('|') {
        return "";
    }
    match behind.starts_with(['?', '*', '{']) {
        // The last one need not be there.
        true => &word[..word.len().saturating_sub(1)],
        false => word,
    }
}

/// What follows the word `pool`. Postgrey has no such line whose meaning were to be kept, so a faulty name is ignored.
fn pool_rule(text: &str) -> Read<ClientRule<'_>> {
    let remark = match one_word(text) {
        Ok(word) if is_like_a_name(word) => unlikely_name(word),
        Ok(_) => None,
        Err(remark) => Some(Remark {
            why: "a pool line takes one name".into(),
            ..remark
        }),
    };
    if let Some(remark) = remark {
        let is_name = |text: &String| DomainName::parse(text.as_bytes()).is_some();
        let instead = remark.instead.filter(is_name);
        let remark = Remark {
            fault: Fault::Invalid,
            why: remark.why,
            instead: instead.map(|name| format!("pool {name}")),
        };
        return (None, Some(remark));
    }
    let Some(name) = DomainName::parse(text.as_bytes()) else {
        return invalid(
            "a pool has a name of two labels or more, as in pool example.com; no address and no regular expression",
        );
    };
    let remark = name.is_second_level().then(|| {
        let why = "it makes one client of all below it, whoever they belong to";
        Remark::new(Fault::Doubtful, why)
    });
    (Some(ClientRule::Pool(name.as_bytes())), remark)
}

/// What follows the word `nowhite`. As with `pool`, what is faulty is ignored.
fn nowhite_rule(text: &str) -> Read<ClientRule<'_>> {
    let (host, remark) = match one_word(text) {
        Ok(word) if word.starts_with('/') => {
            let why = "a nowhite line takes a name or a network, no regular expression";
            (None, Some(Remark::new(Fault::Invalid, why)))
        }
        // Whoever has no verified name is somebody whom one may mean.
        Ok(word) if word.eq_ignore_ascii_case("unknown") => {
            (Some(Host::Suffix(word.as_bytes())), None)
        }
        Ok(word) => host(word),
        Err(remark) => {
            let why = "a nowhite line takes one name or network".into();
            (None, Some(Remark { why, ..remark }))
        }
    };
    let rule = host.map(ClientRule::Nowhite);
    let Some(remark) = remark else {
        return (rule, None);
    };
    let instead = remark.instead.filter(|instead| !instead.contains(' '));
    let instead = instead.map(|instead| format!("nowhite {instead}"));
    let remark = Remark { instead, ..remark };
    if remark.fault == Fault::Doubtful {
        return (rule, Some(remark));
    }
    let fault = Fault::Invalid;
    (None, Some(Remark { fault, ..remark }))
}

/// Whether a word is a name, with a mistake perhaps, and not one of the other things that a line can have.
fn is_like_a_name(word: &str) -> bool {
    let is_pattern = word.starts_with('/');
    let is_ipv6 = word.bytes().filter(|&byte| byte == b':').count() >= 2;
    word.contains('.') && word.contains(char::is_alphabetic) && !is_pattern && !is_ipv6
}

/// Two, three or four numbers with dots, four also with a prefix length.
fn ipv4_network(word: &str) -> Option<Read<Host<'_>>> {
    let is_number = |text: &str, digits_max| {
        (1..=digits_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let (address, prefix) = match word.split_once('/') {
        Some((address, prefix)) if is_number(prefix, 2) => (address, Some(prefix)),
        Some(_) => return None,
        None => (word, None),
    };
    if !address.split('.').all(|part| is_number(part, 3)) {
        return None;
    }
    let parts = address.split('.').count();
    if !(2..=4).contains(&parts) || prefix.is_some() && parts != 4 {
        return None;
    }
    let mut octets = [0; 4];
    for (octet, part) in octets.iter_mut().zip(address.split('.')) {
        match part.parse() {
            Ok(number) => *octet = number,
            Err(_) => return Some(invalid(format!("{part} is over 255"))),
        }
    }
    let prefix_bits = match prefix.map(str::parse) {
        Some(Ok(bits @ 0..=32)) => bits,
        Some(_) => return Some(invalid("an IPv4 prefix has at most 32 bits")),
        None if parts == 4 => 32,
        None => 24,
    };
    let has_leading_zero = address
        .split('.')
        .any(|part| part.len() > 1 && part.starts_with('0'));
    let remark = if parts == 2 {
        // Postgrey reads a.b so, though its manual means a.b.0.0/16.
        let why = format!("it is read as {address}.0.0/24, as Postgrey does");
        Some(Remark::new(Fault::Doubtful, why).instead(format!("{address}.0.0/16")))
    } else if has_leading_zero {
        let why = "its numbers are read as decimal, where Postgrey reads those with a 0 in front as octal";
        let address = Ipv4Addr::from(octets);
        let instead = match prefix {
            Some(bits) => format!("{address}/{bits}"),
            None => address.to_string(),
        };
        Some(Remark::new(Fault::Doubtful, why).instead(instead))
    } else {
        None
    };
    let network = Host::Network(Ipv4Addr::from(octets).into(), prefix_bits);
    Some((Some(network), remark))
}

fn ipv6_network(word: &str) -> Read<Host<'_>> {
    let (address, prefix) = match word.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (word, None),
    };
    let bare = address
        .strip_prefix('[')
        .and_then(|it| it.strip_suffix(']'))
        .unwrap_or(address);
    let Ok(address) = bare.parse::<Ipv6Addr>() else {
        let remark = Remark::new(Fault::Invalid, "it is not an IPv6 address");
        let is_partial = bare.split(':').all(|part| {
            (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        let groups = bare.split(':').count();
        let remark = if is_partial && groups < 8 {
            remark.instead(format!("{bare}::/{}", groups * 16))
        } else if let Some((address, _)) = bare.split_once('%') {
            remark.instead(address)
        } else {
            remark
        };
        return (None, Some(remark));
    };
    let prefix_bits = match prefix.map(str::parse) {
        Some(Ok(bits @ 0..=128)) => bits,
        Some(_) if prefix == Some("") => {
            let remark = Remark::new(Fault::Invalid, "there is no prefix length after the slash");
            return (None, Some(remark.instead(bare)));
        }
        Some(_) => return invalid("an IPv6 prefix length is a number from 0 to 128"),
        None => 128,
    };
    // Postgrey has the IPv4 addresses in ::/96.
    let is_around_ipv4 =
        prefix_bits <= 96 && u32::from(prefix_bits) <= address.to_bits().leading_zeros();
    let remark = is_around_ipv4.then(|| {
        let why = "it matches IPv6 clients only, and Postgrey's matches IPv4 clients, too";
        Remark::new(Fault::Doubtful, why)
    });
    let rule = match address.to_ipv4_mapped() {
        Some(mapped) if prefix_bits >= 96 => Host::Network(mapped.into(), prefix_bits - 96),
        _ => Host::Network(address.into(), prefix_bits),
    };
    (Some(rule), remark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_of_regular_expressions() {
        for (pattern, expected) in [
            (r"^lake.*mta.*\.cox\.net$", "lake"),
            ("^Mx1$", "Mx1"),
            ("^mx+y", "mx"),
            ("^mx?y", "m"),
            ("^mx*y", "m"),
            ("^mx{0}y", "m"),
            ("^m", "m"),
            ("^?m", ""),
            ("^", ""),
            ("^m|x", ""),
            ("^(?x)m x", ""),
            ("m", ""),
        ] {
            assert_eq!(beginning(pattern), expected, "{pattern}");
        }
        let pattern = compiled("^lake.*x").unwrap();
        for (text, may_match) in [
            ("LAKE", true),
            ("lakes.x", true),
            ("lak", false),
            ("a.lake", false),
        ] {
            assert_eq!(pattern.may_match(text.as_bytes()), may_match, "{text}");
        }
    }
}
