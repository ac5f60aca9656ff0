//! What has been deferred and has not come back yet, and what became of the rest. Only what is pending is kept, by triplet as the
//! policy server knows it; its number and its text are bounded.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::rc::Rc;

use super::summary::network_name;
use super::time::Moment;
use crate::engine::access::Clients;
use crate::engine::identity::{Client, Lookup, Prefixes};
use crate::engine::limits::LOGGED_VALUE_BYTES_MAX;
use crate::engine::triplet::{Fingerprint, FingerprintKey, Parties, Room, Triplet};

/// How much a ledger keeps.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most triplets, delays, and pairs of sender and recipient.
    pub entries: usize,
    /// Most bytes of names and mail addresses.
    pub text_bytes: usize,
}

impl Limits {
    /// Half a million triplets, as long as their text fits into 64 MiB: together some 200 MiB.
    pub const DEFAULT: Limits = Limits {
        entries: 500_000,
        text_bytes: 64 << 20,
    };
}

/// Client, sender and recipient as a log has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail<'a> {
    /// The client's name; empty or `unknown` without a verified one.
    pub client_name: Cow<'a, [u8]>,
    /// The client's address.
    pub client_address: IpAddr,
    /// The sender; empty for a bounce.
    pub sender: Cow<'a, [u8]>,
    /// The recipient.
    pub recipient: Cow<'a, [u8]>,
}

/// A mail that has been deferred and has not passed since.
#[derive(Debug)]
pub struct Pending {
    /// What it is; the first try's, if they differ.
    pub mail: Mail<'static>,
    /// The first address of that client's network.
    pub network: IpAddr,
    /// How often it was deferred.
    pub tries: u64,
    /// When it was deferred first.
    pub first: Option<Moment>,
    /// When it was deferred last.
    pub last: Option<Moment>,
    /// The place of its last try among the events.
    order: u64,
    /// And of its first.
    order_first: u64,
    pair: Fingerprint,
}

/// Books deferrals and passes in the order of the log.
pub struct Ledger {
    limits: Limits,
    key: FingerprintKey,
    lookup: Lookup,
    /// The lists, for their pools.
    lists: Rc<Clients>,
    /// Boxed, because the map and the sorted list have to be moved as they grow.
    pending: HashMap<Fingerprint, Box<Pending>>,
    /// When sender and recipient passed last, from whatever client; only for those that have been deferred.
    pairs: HashMap<Fingerprint, u64>,
    text_bytes: usize,
    events: u64,
    delays: Delays,
    delays_of_mail_servers: Delays,
    /// What has been counted.
    pub counts: Counts,
}

/// Sums of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answers that told a client to come back.
    pub deferrals: u64,
    /// Mails that were deferred, and then passed.
    pub passed: u64,
    /// Mails that passed after a delay, but were deferred before the log begins.
    pub deferred_before: u64,
    /// Passes that had not to wait, by reason, in order.
    pub at_once: Vec<(&'static str, u64)>,
    /// Deferrals that found no room in the ledger.
    pub left_out: u64,
    /// Of the mails that were deferred and then passed, those whose first try was a mail server's.
    pub passed_of_mail_servers: u64,
    /// Passes because of a mail server's name, as `--greylist=suspicious` gives them.
    pub mail_server_passes: u64,
}

impl Counts {
    fn count_at_once(&mut self, reason: &'static str) {
        let reasons = &mut self.at_once;
        match reasons.binary_search_by_key(&reason, |(reason, _)| *reason) {
            Ok(index) => reasons[index].1 += 1,
            Err(index) => reasons.insert(index, (reason, 1)),
        }
    }
}

/// Delays of mails that passed, in seconds.
#[derive(Default)]
struct Delays(Vec<u64>);

impl Delays {
    /// Adds one that is known, while there are fewer than `most`.
    fn add(&mut self, delay: Option<u64>, most: usize) {
        if self.0.len() < most {
            self.0.extend(delay);
        }
    }

    fn mean_and_median(&mut self) -> Option<(u64, u64)> {
        let delays = &mut self.0;
        let count = delays.len();
        if count == 0 {
            return None;
        }
        delays.sort_unstable();
        let half = count as u64 / 2;
        let sum = delays
            .iter()
            .fold(half, |sum, delay| sum.saturating_add(*delay));
        let middle = (delays[(count - 1) / 2], delays[count / 2]);
        Some((sum / count as u64, middle.0.midpoint(middle.1)))
    }
}

impl Ledger {
    /// An empty one. The lists say who is a pool.
    pub fn new(limits: Limits, lists: Rc<Clients>) -> Ledger {
        Ledger {
            limits,
            key: random_key(),
            lookup: Lookup::default(),
            lists,
            pending: HashMap::new(),
            pairs: HashMap::new(),
            text_bytes: 0,
            events: 0,
            delays: Delays::default(),
            delays_of_mail_servers: Delays::default(),
            counts: Counts::default(),
        }
    }

    /// Books that a mail was told to come back.
    pub fn defer(&mut self, mail: &Mail<'_>, at: Option<Moment>) {
        self.events += 1;
        self.counts.deferrals += 1;
        let Known { triplet, pair } = self.known_by(mail);
        let place = self.place(triplet).unwrap_or(triplet.first);
        if let Some(known) = self.pending.get_mut(&place) {
            known.tries += 1;
            known.last = at.or(known.last);
            known.order = self.events;
            return;
        }
        let kept = mail.kept();
        let is_full = self.pending.len() >= self.limits.entries
            || self.text_bytes + kept.bytes() > self.limits.text_bytes;
        if is_full {
            self.counts.left_out += 1;
            return;
        }
        self.text_bytes += kept.bytes();
        if self.pairs.len() < self.limits.entries {
            self.pairs.entry(pair).or_insert(0);
        }
        let pending = Pending {
            network: Prefixes::default().network(kept.client_address),
            mail: kept,
            tries: 1,
            first: at,
            last: at,
            order: self.events,
            order_first: self.events,
            pair,
        };
        self.pending.insert(triplet.first, Box::new(pending));
    }

    /// Books that a mail was passed; `delay` is what the log says of it, in seconds. Gives what was pending.
    pub fn pass(
        &mut self,
        mail: &Mail<'_>,
        reason: &[u8],
        delay: Option<u64>,
        at: Option<Moment>,
    ) -> Option<Box<Pending>> {
        self.events += 1;
        let Known { triplet, pair } = self.known_by(mail);
        if let Some(last_pass) = self.pairs.get_mut(&pair) {
            *last_pass = self.events;
        }
        if reason == MAIL_SERVER {
            self.counts.mail_server_passes += 1;
        }
        let Some(pending) = self.remove(triplet) else {
            match delay {
                Some(_) => self.counts.deferred_before += 1,
                None => self.counts.count_at_once(known_reason(reason)),
            }
            return None;
        };
        self.counts.passed += 1;
        let by_times = || at?.since(pending.first?);
        let delay = delay.or_else(by_times);
        let most = self.limits.entries;
        self.delays.add(delay, most);
        if self.mail_server(&pending.mail).is_some() {
            self.counts.passed_of_mail_servers += 1;
            self.delays_of_mail_servers.add(delay, most);
        }
        Some(pending)
    }

    /// Takes out a mail that is pending. As the server has it, a pass is one for the client's name and for its network, so it
    /// settles what is pending under either; the older one counts.
    fn remove(&mut self, triplet: Triplet) -> Option<Box<Pending>> {
        let fingerprints = triplet.fingerprints();
        let removed = fingerprints.filter_map(|fingerprint| {
            let pending = self.pending.remove(&fingerprint)?;
            self.text_bytes -= pending.mail.bytes();
            Some(pending)
        });
        removed.min_by_key(|pending| pending.order_first)
    }

    /// Whether a mail is pending.
    pub fn is_pending(&self, mail: &Mail<'_>) -> bool {
        self.place(self.known_by(mail).triplet).is_some()
    }

    /// Whether nothing has been booked.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Mean and median of the delays of what passed, in seconds.
    pub fn mean_and_median(&mut self) -> Option<(u64, u64)> {
        self.delays.mean_and_median()
    }

    /// Mean and median of the delays of what passed and was first tried by a mail server, in seconds.
    pub fn mean_and_median_of_mail_servers(&mut self) -> Option<(u64, u64)> {
        self.delays_of_mail_servers.mean_and_median()
    }

    /// What has not come back, in the order of networks and then of the log.
    pub fn take_pending(&mut self) -> Vec<Box<Pending>> {
        let mut pending: Vec<Box<Pending>> = self.pending.drain().map(|(_, it)| it).collect();
        pending.sort_unstable_by_key(|pending| (pending.network, pending.order));
        pending
    }

    /// Whether the same sender and recipient passed later from a client of another organisation and network, as the machines of
    /// some providers do. Bounces all have the same sender, so that of them nothing is known.
    pub fn has_passed_elsewhere(&self, pending: &Pending) -> bool {
        let last_pass = self.pairs.get(&pending.pair);
        !pending.mail.sender.is_empty() && last_pass.is_some_and(|pass| *pass > pending.order)
    }

    fn known_by(&self, mail: &Mail<'_>) -> Known {
        let mut room = Room::new();
        let form = self.lookup.sender_form();
        let parties = Parties::new(form, &mail.sender, &mail.recipient, &mut room);
        Known {
            triplet: self.key.triplet(&self.client(mail), &parties),
            pair: self.key.written_to(&parties),
        }
    }

    fn client<'m>(&self, mail: &'m Mail<'_>) -> Client<'m> {
        let (address, name) = (mail.client_address, &mail.client_name);
        let pool = self.lists.find_pool(name).map(|pool| pool.name);
        self.lookup.client(address, name, &mail.sender, pool)
    }

    /// The organisation of a mail's client, if its name is evidence of a mail server.
    pub fn mail_server<'m>(&self, mail: &'m Mail<'_>) -> Option<&'m [u8]> {
        let client = self.client(mail);
        let organisation = client.organisation.filter(|_| client.is_mail_server())?;
        Some(organisation.domain.as_bytes())
    }

    /// Whom a mail's client is known as: its organisation, in lower case, or its network.
    pub fn client_name(&self, mail: &Mail<'_>) -> Vec<u8> {
        match self.client(mail).organisation {
            Some(organisation) => organisation.domain.as_bytes().to_ascii_lowercase(),
            None => network_name(Prefixes::default().network(mail.client_address)).into(),
        }
    }

    /// Where a mail is pending.
    fn place(&self, triplet: Triplet) -> Option<Fingerprint> {
        let mut fingerprints = triplet.fingerprints();
        fingerprints.find(|fingerprint| self.pending.contains_key(fingerprint))
    }
}

/// What a mail is known by.
struct Known {
    triplet: Triplet,
    /// Sender and recipient alone.
    pair: Fingerprint,
}

/// A key that nobody who writes into a log can know.
fn random_key() -> FingerprintKey {
    let random = RandomState::new();
    let halves = [random.hash_one(0), random.hash_one(1)].map(u64::to_le_bytes);
    let mut key = [0; 16];
    key.copy_from_slice(&halves.concat());
    FingerprintKey::new(key)
}

/// Why mail passes because of a mail server's name, in the log's words.
const MAIL_SERVER: &[u8] = b"mail server";

/// One of the reasons that there are, so that a log cannot make up others.
fn known_reason(reason: &[u8]) -> &'static str {
    let reasons = [
        "triplet found",
        "client AWL",
        "sender domain AWL",
        "client whitelist",
        "recipient whitelist",
        "sender whitelist",
        "recipient not greylisted",
        "allowed",
        "authenticated",
        "outgoing",
        "local client",
        "mail server",
        "wrote to",
        "null sender",
    ];
    let known = reasons.iter().find(|known| known.as_bytes() == reason);
    known.copied().unwrap_or("other")
}

impl Mail<'_> {
    /// What is kept of it; the rest of overlong values is not.
    fn kept(&self) -> Mail<'static> {
        let kept = |bytes: &[u8]| {
            let bytes = &bytes[..bytes.len().min(LOGGED_VALUE_BYTES_MAX)];
            Cow::Owned(bytes.to_vec())
        };
        Mail {
            client_name: kept(&self.client_name),
            client_address: self.client_address,
            sender: kept(&self.sender),
            recipient: kept(&self.recipient),
        }
    }

    fn bytes(&self) -> usize {
        self.client_name.len() + self.sender.len() + self.recipient.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::identity::parse_address;

    fn mail<'a>(address: &str, sender: &'a str, recipient: &'a str) -> Mail<'a> {
        Mail {
            client_name: Cow::Borrowed(b"unknown"),
            client_address: parse_address(address.as_bytes()).expect("an address"),
            sender: Cow::Borrowed(sender.as_bytes()),
            recipient: Cow::Borrowed(recipient.as_bytes()),
        }
    }

    fn named<'a>(name: &'a str, address: &str, sender: &'a str) -> Mail<'a> {
        Mail {
            client_name: Cow::Borrowed(name.as_bytes()),
            ..mail(address, sender, "b@r.example")
        }
    }

    fn ledger() -> Ledger {
        Ledger::new(Limits::DEFAULT, Rc::default())
    }

    /// What passes without a judgement for want of something is not worth a line of its own.
    #[test]
    fn reasons_of_mail_that_passes_are_known() {
        use crate::engine::verdict::Reason;
        let others = [
            "new",
            "early_retry",
            "left_to_data",
            "not_rcpt",
            "no_address",
            "attribute_missing",
            "unknown_request",
        ];
        for (name, _) in Reason::NAMES {
            let words = name.replace('_', " ").replace("awl", "AWL");
            let known = known_reason(words.as_bytes());
            let wanted = if others.contains(name) {
                "other"
            } else {
                &words
            };
            assert_eq!(known, wanted);
        }
    }

    #[test]
    fn a_triplet_is_what_the_server_takes_for_one() {
        for (first, second) in [
            (
                ("192.0.2.1", "a@s.example", "b@r.example"),
                ("192.0.2.200", "A@s.example", "B@R.example"),
            ),
            (
                ("192.0.2.1", "bounces+1-b=r@s.example", "b@r.example"),
                ("::ffff:192.0.2.1", "bounces+2-b=r@s.example", "b@r.example"),
            ),
            (
                ("2001:db8::1", "prvs=1234abcdef=joe@s.example", "b"),
                ("2001:db8::2", "prvs=fedcba4321=joe@s.example", "b"),
            ),
            (("2001:db8::1", "", "b"), ("2001:db8::1", "", "b")),
        ] {
            let mut ledger = ledger();
            ledger.defer(&mail(first.0, first.1, first.2), None);
            ledger.defer(&mail(second.0, second.1, second.2), None);
            assert_eq!(ledger.pending.len(), 1, "{second:?}");
            let second = mail(second.0, second.1, second.2);
            ledger.pass(&second, b"triplet found", Some(300), None);
            assert_eq!(
                (ledger.counts.passed, ledger.counts.deferrals),
                (1, 2),
                "{second:?}"
            );
            assert!(ledger.take_pending().is_empty() && ledger.text_bytes == 0);
        }
    }

    /// A retry by another machine of the same organisation is a retry; one by another customer's line is not.
    #[test]
    fn an_organisation_is_one_client() {
        let (clients, findings) = Clients::read([&b"pool farm.example"[..]]);
        assert!(findings.kept.is_empty());
        let lists = Rc::new(clients);
        for (first, second, is_retry) in [
            ("mail-1.s.example", "smtp2.s.example", true),
            ("mail-1.s.example", "MAIL-3.S.example", true),
            ("a.farm.example", "b.farm.example", true),
            ("mail-1.s.example", "unknown", false),
            ("line-1.s.example", "line-2.s.example", false),
        ] {
            let mut ledger = Ledger::new(Limits::DEFAULT, Rc::clone(&lists));
            ledger.defer(&named(first, "192.0.2.1", "a@other.example"), None);
            let second = named(second, "198.51.100.1", "a@other.example");
            ledger.pass(&second, b"triplet found", Some(300), None);
            assert_eq!(ledger.counts.passed == 1, is_retry, "{first} {second:?}");
            let pending = ledger.take_pending();
            assert_eq!(pending.is_empty(), is_retry, "{first} {second:?}");
            // Who passed is then somebody else.
            for pending in pending {
                assert!(ledger.has_passed_elsewhere(&pending));
            }
        }
    }

    /// While DNS fails the client has no name; a pass settles what is pending under either.
    #[test]
    fn a_name_that_is_lost_for_a_while() {
        let with_name = named("mail.s.example", "192.0.2.1", "a@s.example");
        let without = named("unknown", "192.0.2.2", "a@s.example");
        for (tries, deferred_by_name) in [
            ([&with_name, &without], true),
            ([&without, &with_name], false),
        ] {
            let mut ledger = ledger();
            for mail in tries {
                ledger.defer(mail, None);
            }
            ledger.pass(&with_name, b"triplet found", Some(300), None);
            assert_eq!(ledger.counts.passed, 1);
            // The first try tells whose mail it was.
            assert_eq!(
                ledger.counts.passed_of_mail_servers,
                u64::from(deferred_by_name)
            );
            assert!(ledger.take_pending().is_empty() && ledger.text_bytes == 0);
        }
    }

    #[test]
    fn delays_of_mail_servers() {
        let mut ledger = ledger();
        for (name, delay) in [
            ("mail.s.example", 600),
            ("unknown", 9_000),
            ("www.s.example", 9_000),
            ("mx1.s.example", 300),
        ] {
            let mail = named(name, "192.0.2.1", "a@s.example");
            ledger.defer(&mail, None);
            ledger.pass(&mail, b"triplet found", Some(delay), None);
        }
        assert_eq!(ledger.counts.passed, 4);
        assert_eq!(ledger.counts.passed_of_mail_servers, 2);
        assert_eq!(ledger.mean_and_median_of_mail_servers(), Some((450, 450)));
        assert_eq!(ledger.mean_and_median(), Some((4_725, 4_800)));
    }

    #[test]
    fn deferred_again_after_a_pass() {
        let (mut ledger, mail) = (ledger(), mail("192.0.2.1", "a", "b"));
        ledger.defer(&mail, None);
        ledger.pass(&mail, b"client AWL", None, None);
        ledger.defer(&mail, None);
        assert_eq!(ledger.counts.passed, 1);
        assert_eq!(ledger.take_pending().len(), 1);
        assert!(ledger.counts.at_once.is_empty());
    }

    #[test]
    fn passes_without_a_deferral() {
        let (mut ledger, mail) = (ledger(), mail("192.0.2.1", "a", "b"));
        ledger.pass(&mail, b"triplet found", Some(300), None);
        ledger.pass(&mail, b"triplet found", None, None);
        ledger.pass(&mail, b"made up", None, None);
        assert_eq!(ledger.counts.deferred_before, 1);
        let at_once: Vec<_> = ledger.counts.at_once.into_iter().collect();
        assert_eq!(at_once, [("other", 1), ("triplet found", 1)]);
    }

    #[test]
    fn passed_elsewhere() {
        let mut ledger = ledger();
        ledger.pass(&mail("203.0.113.1", "early", "b"), b"", None, None);
        for sender in ["early", "late", ""] {
            ledger.defer(&mail("192.0.2.1", sender, "b"), None);
        }
        ledger.pass(&mail("203.0.113.1", "late", "b"), b"", None, None);
        ledger.pass(&mail("203.0.113.1", "", "b"), b"", None, None);
        let pending = ledger.take_pending();
        let elsewhere = pending.iter().map(|it| ledger.has_passed_elsewhere(it));
        assert_eq!(elsewhere.collect::<Vec<_>>(), [false, true, false]);
    }

    #[test]
    fn limits() {
        for limits in [
            Limits {
                entries: 2,
                ..Limits::DEFAULT
            },
            Limits {
                text_bytes: 2 * b"unknown1b".len(),
                ..Limits::DEFAULT
            },
        ] {
            let mut ledger = Ledger::new(limits, Rc::default());
            for sender in ["1", "2", "3", "1"] {
                ledger.defer(&mail("192.0.2.1", sender, "b"), None);
            }
            assert_eq!(ledger.counts.deferrals, 4);
            assert_eq!(ledger.counts.left_out, 1);
            assert_eq!(ledger.take_pending().len(), 2);
        }
        let long = "x".repeat(60_000);
        assert_eq!(
            mail("192.0.2.1", &long, &long).kept().bytes(),
            7 + 2 * LOGGED_VALUE_BYTES_MAX
        );
    }

    #[test]
    fn mean_and_median() {
        for (delays, expected) in [
            (&[][..], None),
            (&[7], Some((7, 7))),
            (&[9, 1], Some((5, 5))),
            (&[300, 301, 3_000], Some((1_200, 301))),
        ] {
            let mut ledger = ledger();
            let mail = mail("192.0.2.1", "a", "b");
            for delay in delays {
                ledger.defer(&mail, None);
                ledger.pass(&mail, b"triplet found", Some(*delay), None);
            }
            assert_eq!(ledger.mean_and_median(), expected);
        }
    }
}
