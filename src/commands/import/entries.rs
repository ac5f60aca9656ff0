//! Records of Postgrey's databases to what greylet's table would hold if it had been asked in Postgrey's place.
//!
//! Whose clock wrote the records is not known, so their ages are relative to the newest of them, which becomes now. A triplet
//! is written under its sender as Postgrey has it and as it folds, so that it counts in every lookup mode by network. More entries than two
//! of the largest tables hold are never in memory: those that are of the least use give way.

use std::cmp::Reverse;
use std::fmt;

use crate::engine::greylist::{Rules, merged};
use crate::engine::identity::{Client, Lookup};
use crate::engine::limits::IMPORTED_ENTRIES_MAX;
use crate::engine::table::Entry;
use crate::engine::time::Timestamp;
use crate::engine::triplet::{Fingerprint, FingerprintKey, Parties, Room, SenderForm};

use super::record::{Count, Record, Triplet};

/// Collects entries, record by record.
pub struct Importer<'k> {
    key: &'k FingerprintKey,
    lookup: Lookup,
    rules: Rules,
    entries: Vec<(Fingerprint, Entry)>,
    newest: Timestamp,
    tally: Tally,
}

/// What has been collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// One for each fingerprint; the first are those that were last seen the longest time ago, so that the
    /// table, which takes them in this order, lets these go first.
    pub entries: Vec<(Fingerprint, Entry)>,
    /// When the newest record was written, by Postgrey's clock.
    pub newest: Timestamp,
    /// What has been read.
    pub tally: Tally,
}

/// How many records have been read, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Triplets taken.
    pub triplets: u64,
    /// Of these, triplets whose sender could also end elsewhere (see [`Triplet::is_ambiguous`]).
    pub ambiguous: u64,
    /// Auto-whitelist counts taken.
    pub counts: u64,
    /// Records of `--privacy`: hashes are of no use to us.
    pub hashed: u64,
    /// Triplets of networks, where each address is to be a client by itself.
    pub of_networks: u64,
    /// Records that are not Postgrey's.
    pub strange: u64,
    /// Entries that are too old by the rules.
    pub expired: u64,
    /// Entries that no table would have room for.
    pub too_many: u64,
}

impl Tally {
    /// Records that have been read.
    pub fn records(&self) -> u64 {
        self.triplets + self.counts + self.hashed + self.of_networks + self.strange
    }
}

impl fmt::Display for Tally {
    /// `read 7 triplets and 2 auto-whitelisted clients`, and what is unusual, after semicolons.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            triplets, counts, ..
        } = self;
        write!(f, "read {triplets} triplets and {counts} counted clients")?;
        for (count, what) in [
            (
                self.ambiguous,
                "triplets have a / where it may belong to the sender or the recipient; it was taken for the end of the sender",
            ),
            (
                self.hashed,
                "records are hashes, of Postgrey's --privacy, and cannot be taken over",
            ),
            (
                self.of_networks,
                "triplets are of networks, and of no use with --lookup-by-host",
            ),
            (self.strange, "records are not Postgrey's"),
            (self.expired, "entries are too old"),
            (
                self.too_many,
                "entries are more than greylet can hold; the oldest were left out",
            ),
        ] {
            if count > 0 {
                write!(f, "; {count} {what}")?;
            }
        }
        Ok(())
    }
}

impl<'k> Importer<'k> {
    /// Nothing yet. The rules are those of Postgrey, and of greylet from now on; so is `lookup`. The name that a client had is not in a
    /// record, so by name its network is what counts.
    pub fn new(key: &'k FingerprintKey, lookup: Lookup, rules: Rules) -> Importer<'k> {
        Importer {
            key,
            lookup,
            rules,
            entries: Vec::new(),
            newest: Timestamp::default(),
            tally: Tally::default(),
        }
    }

    /// Takes a record from either of the databases.
    pub fn take(&mut self, key: &[u8], value: &[u8]) {
        match Record::new(key, value) {
            Some(Record::Triplet(triplet)) => self.take_triplet(&triplet),
            Some(Record::Count(count)) => self.take_count(count),
            Some(Record::Hashed) => self.tally.hashed += 1,
            None => self.tally.strange += 1,
        }
    }

    /// What was taken, as of `now`.
    pub fn finish(mut self, now: Timestamp) -> Imported {
        self.merge();
        let before = self.entries.len();
        let Importer {
            rules,
            newest,
            mut tally,
            mut entries,
            ..
        } = self;
        for (_, entry) in &mut entries {
            entry.since = now.before(newest.since(entry.since));
            entry.last_seen = now.before(newest.since(entry.last_seen));
        }
        entries.retain(|(_, entry)| !rules.is_expired(entry, now));
        entries.sort_unstable_by_key(|(_, entry)| entry.last_seen);
        tally.expired += (before - entries.len()) as u64;
        Imported {
            entries,
            newest,
            tally,
        }
    }

    fn take_triplet(&mut self, triplet: &Triplet<'_>) {
        let Some(client) = self.client_of(triplet) else {
            self.tally.of_networks += 1;
            return;
        };
        self.tally.triplets += 1;
        self.tally.ambiguous += u64::from(triplet.is_ambiguous);
        self.newest = self.newest.max(triplet.last_seen);
        let entry = (self.rules).triplet_seen(triplet.first_seen, triplet.last_seen);
        let Triplet {
            sender, recipient, ..
        } = triplet;
        for form in [SenderForm::Postgrey, SenderForm::Folded] {
            let mut room = Room::new();
            let parties = Parties::from_postgrey(form, sender, recipient, &mut room);
            if form == SenderForm::Postgrey || parties.is_sender_folded() {
                self.add(self.key.triplet(&client, &parties).first, entry);
            }
        }
    }

    fn take_count(&mut self, count: Count) {
        self.tally.counts += 1;
        self.newest = self.newest.max(count.last_counted);
        let entry = self.rules.client_counted(count.passes, count.last_counted);
        self.add(self.key.auto_whitelist(count.address), entry);
    }

    /// The client of a triplet, if it is still one. Of a host the network will do where networks are clients.
    fn client_of(&self, triplet: &Triplet<'_>) -> Option<Client<'static>> {
        let is_known = triplet.is_host || self.lookup != Lookup::Host;
        is_known.then(|| self.lookup.client(triplet.address, b"unknown", b"", None))
    }

    fn add(&mut self, fingerprint: Fingerprint, entry: Entry) {
        if self.entries.len() == IMPORTED_ENTRIES_MAX {
            self.make_room();
        }
        self.entries.push((fingerprint, entry));
    }

    /// Leaves as many entries as the largest table can hold: what has passed before what is pending, and what was
    /// seen last.
    fn make_room(&mut self) {
        self.merge();
        let kept = IMPORTED_ENTRIES_MAX / 2;
        if self.entries.len() > kept {
            self.entries.sort_unstable_by_key(|(_, entry)| {
                (entry.class.is_pending(), Reverse(entry.last_seen))
            });
            self.tally.too_many += (self.entries.len() - kept) as u64;
            self.entries.truncate(kept);
        }
    }

    /// Makes one of entries with the same fingerprint.
    fn merge(&mut self) {
        let entries = &mut self.entries;
        entries.sort_unstable_by_key(|(fingerprint, _)| fingerprint.bits());
        entries.dedup_by(|(fingerprint, entry), (kept_fingerprint, kept)| {
            let is_same = fingerprint == kept_fingerprint;
            if is_same {
                *kept = merged(*kept, *entry);
            }
            is_same
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::identity::Prefixes;
    use crate::engine::limits::ENTRIES_MAX;
    use crate::engine::sender::{fold_sender, normalise_sender};
    use crate::engine::table::Class;
    use crate::engine::time::Seconds;
    use proptest::prelude::*;

    const KEY: FingerprintKey = FingerprintKey::new(*b"0123456789abcdef");
    const DAY: u32 = Seconds::DAY.get();
    const NOW: u32 = 1_000 * DAY;
    /// Postgrey's clock when it wrote its last record.
    const THEN: u32 = 19_000 * DAY;

    fn importer(lookup: Lookup) -> Importer<'static> {
        let mut importer = Importer::new(&KEY, lookup, Rules::default());
        importer.newest = at(THEN);
        importer
    }

    fn at(unix: u32) -> Timestamp {
        Timestamp::from_unix(u64::from(unix))
    }

    /// Takes triplets that were seen first and last so many seconds before the newest.
    fn imported(lookup: Lookup, records: &[(&str, u32, u32)]) -> Imported {
        let mut importer = importer(lookup);
        for (key, first, last) in records {
            let value = format!("{},{}", THEN - first, THEN - last);
            importer.take(key.as_bytes(), value.as_bytes());
        }
        importer.finish(at(NOW))
    }

    fn entry_of(class: Class, since: u32, last_seen: u32) -> Entry {
        Entry {
            last_seen: at(NOW - last_seen),
            ..Entry::new(class, at(NOW - since))
        }
    }

    const KEY_TEXT: &str = "192.0.2.0/a@s.example/b@r.example";

    #[test]
    fn classes_and_ages() {
        let (delay, window, max_age) = (300, 2 * DAY, 35 * DAY);
        for (first, last, entry) in [
            (0, 0, Some(entry_of(Class::Plain, 0, 0))),
            (299, 0, Some(entry_of(Class::Plain, 299, 0))),
            (window, window, Some(entry_of(Class::Plain, window, window))),
            (window + 1, window, None),
            (delay, 0, Some(entry_of(Class::Known, 0, 0))),
            (DAY + 299, 0, Some(entry_of(Class::Known, DAY - 1, 0))),
            (DAY + 300, 0, Some(entry_of(Class::Proven, DAY, 0))),
            (
                max_age + delay,
                max_age,
                Some(entry_of(Class::Known, max_age, max_age)),
            ),
            (max_age + 301, max_age + 1, None),
        ] {
            let imported = imported(Lookup::default(), &[(KEY_TEXT, first, last)]);
            let entries: Vec<Entry> = imported.entries.iter().map(|(_, entry)| *entry).collect();
            assert_eq!(entries, Vec::from_iter(entry), "{first} {last}");
            assert_eq!(imported.tally.expired, u64::from(entry.is_none()));
            assert_eq!(imported.newest, at(THEN));
        }
    }

    #[test]
    fn ages_are_those_of_the_newest_record() {
        let mut importer = Importer::new(&KEY, Lookup::default(), Rules::default());
        importer.take(KEY_TEXT.as_bytes(), b"1000,1500");
        importer.take(b"192.0.2.1", b"1,1600");
        importer.take(KEY_TEXT.replace("a@", "c@").as_bytes(), b"1200,1550");
        let imported = importer.finish(at(NOW));
        assert_eq!(imported.newest, at(1_600));
        let entries: Vec<Entry> = imported.entries.iter().map(|(_, entry)| *entry).collect();
        let count = Entry {
            count: 1,
            ..entry_of(Class::Known, 0, 0)
        };
        assert_eq!(
            entries,
            [
                entry_of(Class::Known, 300, 100),
                entry_of(Class::Known, 100, 50),
                count
            ]
        );
    }

    /// A daemon that has no idea of the time counts from 1970.
    #[test]
    fn now_may_be_early() {
        let mut importer = importer(Lookup::default());
        importer.take(KEY_TEXT.as_bytes(), b"1641500000,1641600000");
        let imported = importer.finish(at(60));
        let entry = imported.entries[0].1;
        assert_eq!((entry.since, entry.last_seen), (at(0), at(60)));
        assert_eq!(entry.class, Class::Proven);
    }

    #[test]
    fn counts() {
        let of = |rules: Rules, passes: &str| {
            let mut importer = Importer::new(&KEY, Lookup::Host, rules);
            importer.take(b"192.0.2.1", format!("{passes},{THEN}").as_bytes());
            let imported = importer.finish(at(NOW));
            assert_eq!(imported.tally.counts, 1);
            let [(fingerprint, entry)] = imported.entries[..] else {
                panic!("{imported:?}")
            };
            assert_eq!(
                fingerprint,
                KEY.auto_whitelist("192.0.2.1".parse().unwrap())
            );
            (entry.class, entry.count, entry.last_seen)
        };
        let rules = Rules::default();
        assert_eq!(of(rules, "4"), (Class::Known, 4, at(NOW)));
        assert_eq!(of(rules, "5"), (Class::Proven, 5, at(NOW)));
        let never = Rules {
            auto_whitelist_clients: 0,
            ..rules
        };
        assert_eq!(of(never, "5"), (Class::Known, 5, at(NOW)));
    }

    fn fingerprints(lookup: Lookup, key: &str) -> Vec<u64> {
        let imported = imported(lookup, &[(key, 300, 0)]);
        let bits = imported.entries.iter().map(|(it, _)| it.bits());
        let mut bits: Vec<u64> = bits.collect();
        bits.sort_unstable();
        bits
    }

    #[test]
    fn networks_and_hosts() {
        let by_network = [Lookup::default(), Lookup::Subnet(Prefixes::default())];
        let expected = fingerprints(Lookup::default(), KEY_TEXT);
        assert_eq!(expected.len(), 1);
        for lookup in by_network {
            for client in ["192.0.2.0", "192.0.2.77", "192.0.2.77/32"] {
                let key = KEY_TEXT.replace("192.0.2.0", client);
                assert_eq!(fingerprints(lookup, &key), expected, "{lookup:?} {key}");
            }
        }
        let host = |client| fingerprints(Lookup::Host, &KEY_TEXT.replace("192.0.2.0", client));
        assert_eq!(host("192.0.2.77/32"), host("192.0.2.77"));
        assert_eq!(host("192.0.2.0/32").len(), 1);
        assert_ne!(host("192.0.2.0/32"), expected);
        let of_network = imported(Lookup::Host, &[(KEY_TEXT, 300, 0)]);
        assert_eq!(of_network.entries, []);
        assert_eq!(of_network.tally.of_networks, 1);
    }

    /// Mails of which greylet, asked itself, would look for one of the fingerprints.
    #[test]
    fn senders_fold() {
        let key = "192.0.2.0/0102018f2c11a0b3-000000@ses.example/b@r.example";
        let client = Lookup::default().client("192.0.2.9".parse().unwrap(), b"unknown", b"", None);
        let asked = |form| {
            let sender = b"0102018F2C11a0b3-000000@ses.example";
            let mut room = Room::new();
            let parties = Parties::new(form, sender, b"B@r.example", &mut room);
            KEY.triplet(&client, &parties).first.bits()
        };
        let taken = fingerprints(Lookup::default(), key);
        assert_eq!(taken.len(), 2);
        assert!(taken.contains(&asked(SenderForm::Folded)));
        let mut room = Room::new();
        let normal = Parties::from_postgrey(
            SenderForm::Postgrey,
            b"0102018f2c11a0b3-000000@ses.example",
            b"b@r.example",
            &mut room,
        );
        assert!(taken.contains(&KEY.triplet(&client, &normal).first.bits()));
    }

    /// Two mails of a sender that differ only in what folds become one that was used again.
    #[test]
    fn entries_merge() {
        let first = "192.0.2.0/0102018f2c11a0b3@ses.example/b@r.example";
        let second = "192.0.2.0/0102018f2c11a0b4@ses.example/b@r.example";
        let classes = |records: &[(&str, u32, u32)]| {
            let imported = imported(Lookup::default(), records);
            let entries = imported.entries.into_iter();
            entries.map(|(_, entry)| entry).collect::<Vec<_>>()
        };
        let (old, new) = ((first, 9 * DAY + 300, 9 * DAY), (second, 1_000, 500));
        let folded = entry_of(Class::Proven, 9 * DAY, 500);
        for records in [[old, new], [new, old]] {
            let entries = classes(&records);
            assert_eq!(entries.len(), 3);
            assert!(entries.contains(&folded), "{entries:?}");
        }
        // What is pending changes nothing in what has passed.
        let waits = (second, 100, 100);
        for records in [[old, waits], [waits, old]] {
            let entries = classes(&records);
            let passed = entry_of(Class::Known, 9 * DAY, 9 * DAY);
            let pending = entry_of(Class::Plain, 100, 100);
            assert_eq!(entries, [passed, passed, pending]);
        }
        // The same database twice.
        assert_eq!(classes(&[old, old]), classes(&[old]));
        // Both wait: the older counts.
        let entries = classes(&[(first, 200, 150), waits]);
        assert!(entries.contains(&entry_of(Class::Plain, 200, 100)));
    }

    #[test]
    fn counts_merge() {
        let mut importer = importer(Lookup::default());
        for value in [4, 7, 3].map(|count| format!("{count},{}", THEN - 10 * count)) {
            importer.take(b"192.0.2.1", value.as_bytes());
        }
        let imported = importer.finish(at(NOW));
        let counts: Vec<u16> = imported.entries.iter().map(|(_, it)| it.count).collect();
        assert_eq!(counts, [3]);
        assert_eq!(imported.entries[0].1.class, Class::Known);
    }

    #[test]
    fn what_is_left_out() {
        let sha1 = "57ddb4f27e09b209ae50766f2e37cac3634d4281";
        let ambiguous = "192.0.2.0/a@b/c@s.example/d@r.example";
        let records = [(sha1, 300, 0), (ambiguous, 300, 0), ("version", 300, 0)];
        let imported = imported(Lookup::default(), &records);
        let tally = Tally {
            triplets: 1,
            ambiguous: 1,
            hashed: 1,
            strange: 1,
            ..Tally::default()
        };
        assert_eq!(imported.tally, tally);
        assert_eq!(tally.records(), 3);
        assert_eq!(
            tally.to_string(),
            "read 1 triplets and 0 counted clients; \
             1 triplets have a / where it may belong to the sender or the recipient; it was taken for the end of the sender; \
             1 records are hashes, of Postgrey's --privacy, and cannot be taken over; 1 records are not Postgrey's"
        );
    }

    /// Of more than fit, what has passed last stays; the order of a dump is that of its keys.
    #[test]
    fn too_many() {
        let mut importer = importer(Lookup::default());
        let entry = |index: u32| match index % 4 {
            0 => entry_of(Class::Plain, 0, 0),
            _ => entry_of(Class::Known, index, index),
        };
        // Neighbours are not of the same age.
        let spread = |index: u64| Fingerprint::from_bits(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let half = ENTRIES_MAX;
        for index in 0..=2 * half {
            importer.add(spread(u64::from(index)), entry(index));
            assert!(importer.entries.len() <= IMPORTED_ENTRIES_MAX);
        }
        // The last one has come into a table's worth of others.
        assert_eq!(
            importer.entries.pop().map(|(_, entry)| entry),
            Some(entry(2 * half))
        );
        assert_eq!(importer.entries.len() as u32, half);
        assert_eq!(importer.tally.too_many, u64::from(half));
        let oldest = half / 3 * 4;
        let is_kept = |(_, entry): &(Fingerprint, Entry)| {
            entry.class == Class::Known && NOW - entry.last_seen.unix() <= oldest + 4
        };
        assert!(importer.entries.iter().all(is_kept));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever is asked of Postgrey, the fingerprints are those of the same question to greylet.
        #[test]
        fn keys_are_those_of_the_question(
            sender in "(|prvs=|PRVS=|SRS0=[A-Z/]{4}=)[a-zA-Z0-9/=.+_-]{0,24}@[sS]\\.example|",
            recipient in "[a-zA-Z0-9/=.+-]{1,9}@[rR]\\.example",
            octets: [u8; 4],
        ) {
            let address = std::net::IpAddr::from(octets);
            let network = Prefixes::default().network(address);
            let normal = |sender: &[u8]| {
                let mut normal = heapless::Vec::<u8, 64>::new();
                normalise_sender(sender, &mut normal);
                String::from_utf8(normal.to_vec()).unwrap()
            };
            let key = format!("{network}/{}/{}", normal(sender.as_bytes()), recipient.to_lowercase());
            let taken = fingerprints(Lookup::default(), &key);
            for lookup in [Lookup::default(), Lookup::Subnet(Prefixes::default())] {
                let client = lookup.client(address, b"unknown", b"", None);
                let mut room = Room::new();
                let form = lookup.sender_form();
                let parties = Parties::new(form, sender.as_bytes(), recipient.as_bytes(), &mut room);
                let asked = KEY.triplet(&client, &parties).first.bits();
                prop_assert!(taken.contains(&asked), "{} {:?}", key, lookup);
            }
            let mut folded = heapless::Vec::<u8, 64>::new();
            let is_folded = fold_sender(sender.as_bytes(), recipient.as_bytes(), &mut folded);
            prop_assert_eq!(taken.len(), 1 + usize::from(is_folded));
        }
    }
}
