//! Lists of clients, recipients and senders that are never greylisted or otherwise than all, in the syntax of Postgrey's whitelists, and of the
//! pools of clients that are one client, which Postgrey does not know: it warns of such a line and ignores it.
//!
//! A name, an address or a recipient is looked up by hash or binary search, whatever the length of the list. Regular expressions are
//! tried one after the other; what they may cost together is bounded, as it is somebody else who chooses what they are tried on.

mod keys;
mod line;
mod networks;
mod recipients;
mod unlikely;
mod words;

pub use keys::RecipientPolicy;
pub use line::{Fault, Remark, lines};
pub use recipients::{RecipientLine, Recipients};

use std::hash::Hasher;
use std::net::IpAddr;

use fnv::FnvHasher;

use crate::engine::access::line::{AddressRule, ClientRule, Host, Pattern};
use crate::engine::access::networks::{NetworkRanges, Networks};
use crate::engine::access::words::Words;
use crate::engine::domain_name::DomainName;
use crate::engine::limits::{
    FINDINGS_MAX, LIST_LINE_SHOWN_BYTES_MAX, PATTERN_TEXT_BYTES_MAX, PATTERN_WORK_MAX,
    PATTERNS_BYTES_MAX, PATTERNS_TRIED_MAX,
};

/// Where a rule stands: the number of a file among those that were read, from 0, and of a line in it, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The file.
    pub file: u16,
    /// The line.
    pub line: u32,
}

/// Something to be said of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where it stands.
    pub origin: Origin,
    /// What stands there, to be shown; not all of a long line.
    pub content: Vec<u8>,
    /// What is to be said.
    pub remark: Remark,
}

/// What is to be said of the lines of a list; of a file that is no list at all, that is every line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The first ones, in the order of files and lines; at most [`FINDINGS_MAX`].
    pub kept: Vec<Finding>,
    /// How many more there were.
    pub more: usize,
}

impl Findings {
    /// Whether nothing is to be said.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    fn add(&mut self, origin: Origin, content: &[u8], remark: Remark) {
        if self.kept.len() >= FINDINGS_MAX {
            self.more += 1;
            return;
        }
        let shown_bytes = content.len().min(LIST_LINE_SHOWN_BYTES_MAX);
        let content = content[..shown_bytes].to_vec();
        self.kept.push(Finding {
            origin,
            content,
            remark,
        });
    }
}

/// All lists.
#[derive(Default)]
pub struct Access {
    /// Clients that are never greylisted.
    pub clients: Clients,
    /// Recipients whose mail is never greylisted, or otherwise than all.
    pub recipients: Recipients,
    /// Senders whose mail is never greylisted.
    pub senders: Addresses,
    /// Recipients whose mail is greylisted; without one, that of all is.
    pub greylisted: Addresses,
}

/// What both kinds of lists have: where the rules stand, and the regular expressions among them.
#[derive(Default)]
struct Rules {
    origins: Vec<Origin>,
    patterns: Vec<(Pattern, u32)>,
    /// All patterns compiled, in bytes.
    patterns_bytes: usize,
    /// Patterns that were compiled, if in vain.
    patterns_tried: usize,
}

impl Rules {
    /// Whether a line is a regular expression that is not even to be compiled: so many would hold up the answers.
    fn has_enough_of(&mut self, line: &[u8]) -> bool {
        if line.first() != Some(&b'/') {
            return false;
        }
        self.patterns_tried += 1;
        self.patterns_tried > PATTERNS_TRIED_MAX
    }

    fn add(&mut self, origin: Origin) -> u32 {
        self.origins.push(origin);
        self.last()
    }

    /// The rule that was added last.
    fn last(&self) -> u32 {
        self.origins.len() as u32 - 1
    }

    fn add_pattern(&mut self, pattern: Pattern, origin: Origin) -> Option<Remark> {
        if self.patterns_bytes + pattern.bytes > PATTERNS_BYTES_MAX {
            return Some(Remark::too_many_patterns());
        }
        self.patterns_bytes += pattern.bytes;
        let rule = self.add(origin);
        self.patterns.push((pattern, rule));
        None
    }

    /// Longest text that the patterns are tried on, in bytes: the less, the more patterns there are.
    fn pattern_text_bytes_max(&self) -> usize {
        let affordable = PATTERN_WORK_MAX / self.patterns_bytes.max(1);
        affordable.min(PATTERN_TEXT_BYTES_MAX)
    }

    fn origin(&self, rule: u32) -> Origin {
        self.origins[rule as usize]
    }

    fn find_pattern(&self, text: &[u8]) -> Option<u32> {
        let text_bytes_max = self.pattern_text_bytes_max();
        let mut patterns = self.patterns.iter();
        // Most have to do with few names, and show that at once.
        if text.len() > text_bytes_max || !patterns.any(|(pattern, _)| pattern.may_match(text)) {
            return None;
        }
        // Only what is not UTF-8, and so no address of anybody's, is copied, and may grow.
        let text = String::from_utf8_lossy(text);
        if text.len() > text_bytes_max {
            return None;
        }
        let mut patterns = self.patterns.iter();
        let found = patterns.find(|(pattern, _)| pattern.regex.is_match(&text));
        found.map(|(_, rule)| *rule)
    }
}

/// Clients that are one client, because a line `pool NAME` covers their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool<'a> {
    /// The NAME, as the end of the client's name.
    pub name: DomainName<'a>,
    /// Where the line stands.
    pub origin: Origin,
}

/// Clients, by name or address.
#[derive(Default)]
pub struct Clients {
    rules: Rules,
    suffixes: Words,
    networks: Networks,
    pools: Words,
    nowhite_suffixes: Words,
    nowhite_networks: Networks,
}

/// Addresses of recipients or senders, whole or by their parts.
#[derive(Default)]
pub struct Addresses {
    rules: Rules,
    suffixes: Words,
    addresses: Words,
    users: Words,
}

impl Clients {
    /// From the texts of files, of which the first is file 0; and what is to be said of their lines.
    pub fn read<'t>(texts: impl IntoIterator<Item = &'t [u8]>) -> (Clients, Findings) {
        let mut clients = Clients::default();
        let (mut networks, mut nowhite_networks) =
            (NetworkRanges::default(), NetworkRanges::default());
        let findings = read_lines(texts, |origin, line| {
            if clients.rules.has_enough_of(line) {
                return Some(Remark::too_many_patterns());
            }
            let (rule, remark) = line::client_rule(line);
            let (suffixes, networks, host) = match rule {
                None => return remark,
                Some(ClientRule::Pattern(pattern)) => {
                    return clients.rules.add_pattern(pattern, origin);
                }
                Some(ClientRule::Pool(name)) => {
                    let rule = clients.rules.add(origin);
                    clients.pools.insert(hash_backwards(name), name, rule);
                    return remark;
                }
                Some(ClientRule::Listed(host)) => (&mut clients.suffixes, &mut networks, host),
                Some(ClientRule::Nowhite(host)) => {
                    (&mut clients.nowhite_suffixes, &mut nowhite_networks, host)
                }
            };
            let rule = clients.rules.add(origin);
            match host {
                Host::Suffix(word) => {
                    suffixes.insert(hash_backwards(word), word, rule);
                }
                Host::Network(address, prefix_bits) => networks.add(address, prefix_bits, rule),
            }
            remark
        });
        clients.networks = Networks::new(networks);
        clients.nowhite_networks = Networks::new(nowhite_networks);
        clients.rules.origins.shrink_to_fit();
        clients.suffixes.shrink_to_fit();
        clients.pools.shrink_to_fit();
        clients.nowhite_suffixes.shrink_to_fit();
        (clients, findings)
    }

    /// Where it stands that a client of this name is listed: as the whole name or its end after a dot, or by a regular expression.
    pub fn find_name(&self, client_name: &[u8]) -> Option<Origin> {
        let found = find_suffix(&self.suffixes, client_name, is_label_border);
        let rule = found.map(|(rule, _)| rule);
        let rule = rule.or_else(|| self.rules.find_pattern(client_name))?;
        Some(self.rules.origin(rule))
    }

    /// The pool that a client of this name belongs to; of several the one with the shortest name, so that all whom that one covers are one client. It
    /// does not list the client.
    pub fn find_pool<'n>(&self, client_name: &'n [u8]) -> Option<Pool<'n>> {
        let name = client_name.strip_suffix(b".").unwrap_or(client_name);
        let (rule, length_bytes) = find_suffix(&self.pools, name, is_label_border)?;
        Some(Pool {
            name: DomainName::parse(client_name)?.end(length_bytes),
            origin: self.rules.origin(rule),
        })
    }

    /// Where it stands that a client of this address is listed.
    pub fn find_address(&self, address: IpAddr) -> Option<Origin> {
        Some(self.rules.origin(self.networks.find(address)?))
    }

    /// Where it stands that a client of this name and address is never auto-whitelisted.
    pub fn find_nowhite(&self, client_name: &[u8], address: Option<IpAddr>) -> Option<Origin> {
        let found = find_suffix(&self.nowhite_suffixes, client_name, is_label_border);
        let by_address = || self.nowhite_networks.find(address?);
        let rule = found.map(|(rule, _)| rule).or_else(by_address)?;
        Some(self.rules.origin(rule))
    }

    /// Rules there are.
    pub fn len(&self) -> usize {
        self.rules.origins.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.origins.is_empty()
    }
}

/// What became of a line.
struct Added {
    /// The number of the new rule, if there is one.
    rule: Option<u32>,
    /// The rule that has the same word, and counts.
    earlier: Option<u32>,
    /// What is to be said of it.
    remark: Option<Remark>,
}

impl Addresses {
    /// From the texts of files, of which the first is file 0; and what is to be said of their lines.
    pub fn read<'t>(texts: impl IntoIterator<Item = &'t [u8]>) -> (Addresses, Findings) {
        let mut addresses = Addresses::default();
        let findings = read_lines(texts, |origin, line| addresses.add(origin, line).remark);
        addresses.shrink_to_fit();
        (addresses, findings)
    }

    fn add(&mut self, origin: Origin, line: &[u8]) -> Added {
        let ignored = |remark| Added {
            rule: None,
            earlier: None,
            remark,
        };
        let rules = &mut self.rules;
        if rules.has_enough_of(line) {
            return ignored(Some(Remark::too_many_patterns()));
        }
        let (rule, remark) = line::address_rule(line);
        let (number, earlier) = match rule {
            None => return ignored(remark),
            Some(AddressRule::Pattern(pattern)) => {
                return match rules.add_pattern(pattern, origin) {
                    None => Added {
                        rule: Some(rules.last()),
                        ..ignored(None)
                    },
                    remark => ignored(remark),
                };
            }
            Some(AddressRule::Suffix(word)) => {
                let number = rules.add(origin);
                let earlier = self.suffixes.insert(hash_backwards(word), word, number);
                (number, earlier)
            }
            Some(AddressRule::User(user)) => {
                let number = rules.add(origin);
                (number, self.users.insert(hash(user), user, number))
            }
            Some(AddressRule::Whole { user, domain }) => {
                let address = [user, b"@", domain].concat();
                let hash = hash_of_both(hash(user), hash(domain));
                let number = rules.add(origin);
                (number, self.addresses.insert(hash, &address, number))
            }
        };
        Added {
            rule: Some(number),
            earlier,
            remark,
        }
    }

    fn shrink_to_fit(&mut self) {
        self.rules.origins.shrink_to_fit();
        self.suffixes.shrink_to_fit();
        self.addresses.shrink_to_fit();
        self.users.shrink_to_fit();
    }

    /// Where it stands that this address is listed.
    pub fn find(&self, address: &[u8]) -> Option<Origin> {
        self.find_rule(address).map(|rule| self.origin(rule))
    }

    fn origin(&self, rule: u32) -> Origin {
        self.rules.origin(rule)
    }

    /// The rule that says most of an address: of its user before its domain, and of a longer part before a shorter; regular expressions come last.
    fn find_rule(&self, address: &[u8]) -> Option<u32> {
        if self.is_empty() {
            return None;
        }
        self.find_user(address)
            .or_else(|| self.find_domain(address))
            .or_else(|| self.rules.find_pattern(address))
    }

    fn find_domain(&self, address: &[u8]) -> Option<u32> {
        let is_border = |before: Option<u8>| before.is_some_and(|byte| b"@.".contains(&byte));
        find_suffixes(&self.suffixes, address, is_border)
            .last()
            .map(|(rule, _)| rule)
    }

    /// A user without extension, or with all that may be one: what follows a `+`.
    fn find_user(&self, address: &[u8]) -> Option<u32> {
        let at = address.iter().position(|&byte| byte == b'@')?;
        let (local_part, domain) = (&address[..at], &address[at + 1..]);
        let mut longest = None;
        let mut hash = FnvHasher::default();
        // Without addresses it is not worth hashing.
        let domain_hash = match self.addresses.is_empty() {
            true => 0,
            false => self::hash(domain),
        };
        for end in 0..=at {
            let is_user_end = end == at || local_part[end] == b'+' && end + 1 < at;
            if is_user_end {
                let (user, user_hash) = (&local_part[..end], hash.finish());
                let rule = self.find_at_domain(user, user_hash, domain, domain_hash);
                let is_user = |word: &[u8]| word.eq_ignore_ascii_case(user);
                let rule = rule.or_else(|| self.users.find(user_hash, is_user));
                longest = rule.or(longest);
            }
            if end < at {
                hash.write_u8(local_part[end].to_ascii_lowercase());
            }
        }
        longest
    }

    fn find_at_domain(
        &self,
        user: &[u8],
        user_hash: u64,
        domain: &[u8],
        domain_hash: u64,
    ) -> Option<u32> {
        self.addresses
            .find(hash_of_both(user_hash, domain_hash), |word| {
                let (left, right) = word.split_at(user.len().min(word.len()));
                left.eq_ignore_ascii_case(user)
                    && right.split_first().is_some_and(|(at, right)| {
                        *at == b'@' && right.eq_ignore_ascii_case(domain)
                    })
            })
    }

    /// Rules there are.
    pub fn len(&self) -> usize {
        self.rules.origins.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.origins.is_empty()
    }
}

/// Whether an address is written so that a list that does not have it is about somebody else. A client can write a recipient in other ways that Postfix
/// takes for the same mailbox: without a domain, at `localhost` or an address of this machine, as `user%domain` or `domain!user`, with an empty
/// extension, or with a dot at the end.
pub fn is_plain(address: &[u8]) -> bool {
    let Some(at) = address.iter().rposition(|&byte| byte == b'@') else {
        return false;
    };
    let (user, domain) = (&address[..at], &address[at + 1..]);
    let is_routed = user.iter().any(|byte| b"@%!".contains(byte));
    !is_routed
        && !user.ends_with(b"+")
        && !domain.ends_with(b".")
        && DomainName::parse(domain).is_some()
}

/// Reads all lines that say something; gives what is to be said of them.
fn read_lines<'t>(
    texts: impl IntoIterator<Item = &'t [u8]>,
    mut read: impl FnMut(Origin, &'t [u8]) -> Option<Remark>,
) -> Findings {
    let mut findings = Findings::default();
    for (text, file) in texts.into_iter().zip(0..) {
        for (line, content) in line::lines(text) {
            let origin = Origin { file, line };
            if let Some(remark) = read(origin, content) {
                findings.add(origin, content, remark);
            }
        }
    }
    findings
}

/// Whether a name may end before what follows this byte, or nothing.
fn is_label_border(before: Option<u8>) -> bool {
    before.is_none_or(|byte| byte == b'.')
}

/// The rule and the length of the shortest word that is the end of `text`, if `is_border` agrees to what stands before it.
fn find_suffix(
    words: &Words,
    text: &[u8],
    is_border: impl Fn(Option<u8>) -> bool,
) -> Option<(u32, usize)> {
    find_suffixes(words, text, is_border).next()
}

/// The rules and the lengths of all such words, the shortest first.
fn find_suffixes(
    words: &Words,
    text: &[u8],
    is_border: impl Fn(Option<u8>) -> bool,
) -> impl Iterator<Item = (u32, usize)> {
    let mut hash = FnvHasher::default();
    // Without words nothing is worth hashing.
    let mut rest = if words.is_empty() { b"" } else { text };
    std::iter::from_fn(move || {
        while let [before @ .., byte] = rest {
            hash.write_u8(byte.to_ascii_lowercase());
            rest = before;
            if !is_border(before.last().copied()) {
                continue;
            }
            let suffix = &text[before.len()..];
            let is_it = |word: &[u8]| word.eq_ignore_ascii_case(suffix);
            if let Some(rule) = words.find(hash.finish(), is_it) {
                return Some((rule, suffix.len()));
            }
        }
        None
    })
}

fn hash(word: &[u8]) -> u64 {
    let mut hash = FnvHasher::default();
    for byte in word {
        hash.write_u8(byte.to_ascii_lowercase());
    }
    hash.finish()
}

/// As [`find_suffix`] meets the bytes.
fn hash_backwards(word: &[u8]) -> u64 {
    let mut hash = FnvHasher::default();
    for byte in word.iter().rev() {
        hash.write_u8(byte.to_ascii_lowercase());
    }
    hash.finish()
}

/// One number from two, so that neither part has to be hashed again for each of the other.
fn hash_of_both(user_hash: u64, domain_hash: u64) -> u64 {
    user_hash.rotate_left(32) ^ domain_hash
}
