//! Client, sender and recipient, normalised as Postgrey does, to the fingerprint under which the table knows them.

use std::hash::Hasher;
use std::net::IpAddr;

use heapless::VecView;
use siphasher::sip::SipHasher24;

use crate::engine::domain_name::DomainName;
use crate::engine::identity::{Client, Whereabouts};
use crate::engine::orders::Whom;
use crate::engine::organisation::Organisation;
use crate::engine::sender::{Address, append_lower_case, fold_sender, normalise_sender};
use crate::engine::text::make_lower_case;

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

/// What a mail is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Triplet {
    /// Made with the identity.
    pub first: Fingerprint,
    /// Made with the network, if the identity is an organisation.
    pub second: Option<Fingerprint>,
}

impl Triplet {
    /// One or two.
    pub fn fingerprints(self) -> impl Iterator<Item = Fingerprint> {
        std::iter::once(self.first).chain(self.second)
    }
}

/// In which form a sender goes into a triplet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderForm {
    /// Postgrey's.
    Postgrey,
    /// Postgrey's, and what changes with each mail folded.
    Folded,
}

/// Where [`Parties`] are put together: 8 kB, which stay where they are.
pub struct Room {
    sender: Address,
    recipient: Address,
}

impl Room {
    /// With nothing in it.
    #[inline]
    pub const fn new() -> Room {
        Room {
            sender: Address::new(),
            recipient: Address::new(),
        }
    }
}

impl Default for Room {
    fn default() -> Room {
        Room::new()
    }
}

/// The sender and the recipient of a mail, as they go into fingerprints.
pub struct Parties<'b> {
    sender: &'b [u8],
    recipient: &'b [u8],
    is_sender_folded: bool,
}

impl<'b> Parties<'b> {
    /// Normalises both: the sender into the given form, the recipient, as Postgrey, into lower case.
    pub fn new(
        form: SenderForm,
        sender: &[u8],
        recipient: &[u8],
        room: &'b mut Room,
    ) -> Parties<'b> {
        Parties::put_together(recipient, room, |to| match form {
            SenderForm::Postgrey => {
                normalise_sender(sender, to);
                false
            }
            SenderForm::Folded => fold_sender(sender, recipient, to),
        })
    }

    /// Those of a key in Postgrey's database, where both are normalised already. To do that again would not do: what was `PRVS=`
    /// has become `prvs=` there, which Postgrey would now take off.
    pub fn from_postgrey(
        form: SenderForm,
        sender: &[u8],
        recipient: &[u8],
        room: &'b mut Room,
    ) -> Parties<'b> {
        Parties::put_together(recipient, room, |to| match form {
            SenderForm::Postgrey => {
                append_lower_case(to, sender);
                false
            }
            SenderForm::Folded => {
                // Folding normalises first, but makes the same of what is normalised already.
                fold_sender(sender, recipient, to);
                **to != *sender
            }
        })
    }

    fn put_together(
        recipient: &[u8],
        room: &'b mut Room,
        append_sender: impl FnOnce(&mut VecView<u8>) -> bool,
    ) -> Parties<'b> {
        room.sender.clear();
        room.recipient.clear();
        let is_sender_folded = append_sender(&mut room.sender);
        append_lower_case(&mut room.recipient, recipient);
        Parties {
            sender: &room.sender,
            recipient: &room.recipient,
            is_sender_folded,
        }
    }

    /// Whether parts of the sender that change with each mail do not count.
    pub fn is_sender_folded(&self) -> bool {
        self.is_sender_folded
    }

    /// The sender's form.
    pub fn sender(&self) -> &[u8] {
        self.sender
    }

    fn fingerprint(&self, mut hash: Hash) -> Fingerprint {
        hash.field(self.sender);
        hash.field(self.recipient);
        hash.finish()
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
    OrganisationTriplet = 5,
    AutoWhitelistOrganisation = 6,
    WrittenTo = 7,
    Writer = 8,
    Recipient = 9,
    Instance = 10,
    Server = 11,
    AllowedMailbox = 12,
    AllowedRecipients = 13,
    AllowedNetwork = 14,
    AllowedClientName = 15,
    ForgottenNetwork = 16,
    ForgottenHost = 17,
    ForgottenOrganisation = 18,
    Share = 19,
}

impl FingerprintKey {
    /// A key from 16 random bytes.
    pub const fn new(bytes: [u8; 16]) -> FingerprintKey {
        FingerprintKey(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The fingerprints of a mail from a client to a recipient.
    pub fn triplet(&self, client: &Client<'_>, parties: &Parties<'_>) -> Triplet {
        let by_whereabouts = match client.whereabouts {
            Whereabouts::Network(network) => self.hash_address(Domain::NetworkTriplet, network),
            Whereabouts::Host(address) => self.hash_address(Domain::HostTriplet, address),
        };
        let by_whereabouts = parties.fingerprint(by_whereabouts);
        let Some(organisation) = client.identity() else {
            return Triplet {
                first: by_whereabouts,
                second: None,
            };
        };
        let by_name = self.hash_organisation(Domain::OrganisationTriplet, organisation);
        Triplet {
            first: parties.fingerprint(by_name),
            second: Some(by_whereabouts),
        }
    }

    /// The fingerprint under which it stands that the recipient of a mail wrote to its sender.
    pub fn written_to(&self, parties: &Parties<'_>) -> Fingerprint {
        parties.fingerprint(self.hash(Domain::WrittenTo))
    }

    /// The fingerprint of one of our users, for today.
    pub fn writer(&self, user: &[u8]) -> Fingerprint {
        let mut hash = self.hash(Domain::Writer);
        hash.field_in_lower_case(user);
        hash.finish()
    }

    /// The fingerprint under which the passes of an organisation's mail for senders of a domain are counted.
    pub fn auto_whitelist_organisation(
        &self,
        organisation: Organisation<'_>,
        senders: DomainName<'_>,
    ) -> Fingerprint {
        let mut hash = self.hash_organisation(Domain::AutoWhitelistOrganisation, organisation);
        hash.field_in_lower_case(senders.as_bytes());
        hash.finish()
    }

    /// The fingerprint under which the passes of one client address are counted.
    pub fn auto_whitelist(&self, address: IpAddr) -> Fingerprint {
        self.hash_address(Domain::AutoWhitelist, address).finish()
    }

    /// The fingerprint of one of several recipients.
    pub fn recipient(&self, recipient: &[u8]) -> Fingerprint {
        let mut hash = self.hash(Domain::Recipient);
        hash.field_in_lower_case(recipient);
        hash.finish()
    }

    /// The fingerprint of a message transaction.
    pub fn instance(&self, instance: &[u8]) -> Fingerprint {
        let mut hash = self.hash(Domain::Instance);
        hash.field(instance);
        hash.finish()
    }

    /// The fingerprint of an smtpd, by its address and port.
    pub fn server(&self, server: [&[u8]; 2]) -> Fingerprint {
        let mut hash = self.hash(Domain::Server);
        for field in server {
            hash.field(field);
        }
        hash.finish()
    }

    /// The fingerprint under which new entries of organisations are counted.
    pub fn share(&self, domain: DomainName<'_>) -> Fingerprint {
        let mut hash = self.hash(Domain::Share);
        hash.field_in_lower_case(domain.as_bytes());
        hash.finish()
    }

    /// The fingerprint of a question as it was asked, by which a repetition is known.
    pub fn question(&self, fields: [&[u8]; 5]) -> Fingerprint {
        let mut hash = self.hash(Domain::Question);
        for field in fields {
            hash.field(field);
        }
        hash.finish()
    }

    /// The fingerprint under which somebody is let through.
    pub fn allowed(&self, whom: &Whom<'_>) -> Fingerprint {
        match *whom {
            Whom::Mailbox(user, domain) => {
                let mut hash = self.mailboxes(domain);
                hash.write_in_lower_case(user);
                hash.finish()
            }
            Whom::RecipientDomain(domain) => self.whole(Domain::AllowedRecipients, domain),
            Whom::Network(address, bits) => self.allowed_network(address, bits),
            Whom::ClientName(name) => self.whole(Domain::AllowedClientName, name),
        }
    }

    /// The fingerprint under which the clients of a network are let through.
    pub fn allowed_network(&self, first: IpAddr, prefix_bits: u8) -> Fingerprint {
        let mut hash = self.hash_address(Domain::AllowedNetwork, first);
        hash.write(&[prefix_bits]);
        hash.finish()
    }

    /// Whether this holds for a client of this verified name, under that name or one of those that it is below.
    pub(super) fn is_any_client_name(
        &self,
        client_name: &[u8],
        is_it: impl FnMut(Fingerprint) -> bool,
    ) -> bool {
        DomainName::parse(client_name)
            .is_some_and(|name| self.is_any_end(Domain::AllowedClientName, name, is_it))
    }

    /// Whether this holds for a recipient: its mailbox, with or without what may be an extension of it, its domain, or one of those that this is below.
    pub(super) fn is_any_recipient(
        &self,
        recipient: &[u8],
        mut is_it: impl FnMut(Fingerprint) -> bool,
    ) -> bool {
        let Some(at) = recipient.iter().rposition(|&byte| byte == b'@') else {
            return false;
        };
        let (user, domain) = (&recipient[..at], &recipient[at + 1..]);
        let mut hash = self.mailboxes(domain);
        for (index, part) in user.split(|&byte| byte == b'+').enumerate() {
            if index > 0 {
                hash.write(b"+");
            }
            hash.write_in_lower_case(part);
            if is_it(hash.clone().finish()) {
                return true;
            }
        }
        DomainName::parse(domain)
            .is_some_and(|domain| self.is_any_end(Domain::AllowedRecipients, domain, is_it))
    }

    /// The fingerprints under which it stands that a client was forgotten: of its organisation, if it is known by that, and of where it is.
    pub fn identities(&self, client: &Client<'_>) -> [Option<Fingerprint>; 2] {
        let whereabouts = match client.whereabouts {
            Whereabouts::Network(network) => self.hash_address(Domain::ForgottenNetwork, network),
            Whereabouts::Host(address) => self.hash_address(Domain::ForgottenHost, address),
        };
        let organisation = client
            .identity()
            .map(|it| self.hash_organisation(Domain::ForgottenOrganisation, it));
        [organisation, Some(whereabouts)].map(|hash| hash.map(Hash::finish))
    }

    /// Whether this holds for a name or one of its ends; the shortest comes first. Each byte is hashed once: the labels go in from the last on.
    fn is_any_end(
        &self,
        domain: Domain,
        name: DomainName<'_>,
        mut is_it: impl FnMut(Fingerprint) -> bool,
    ) -> bool {
        let mut hash = self.hash(domain);
        name.as_bytes().rsplit(|&byte| byte == b'.').any(|label| {
            hash.write_in_lower_case(label);
            hash.write(b".");
            is_it(hash.clone().finish())
        })
    }

    /// The last of those that [`is_any_end`](FingerprintKey::is_any_end) has.
    fn whole(&self, domain: Domain, name: DomainName<'_>) -> Fingerprint {
        let mut whole = Fingerprint(0);
        self.is_any_end(domain, name, |end| {
            whole = end;
            false
        });
        whole
    }

    /// What the fingerprints of a domain's mailboxes begin with; the user is the rest.
    fn mailboxes(&self, domain: &[u8]) -> Hash {
        let mut hash = self.hash(Domain::AllowedMailbox);
        hash.field_in_lower_case(domain);
        hash
    }

    fn hash(&self, domain: Domain) -> Hash {
        Hash::new(&self.0, domain)
    }

    fn hash_organisation(&self, domain: Domain, organisation: Organisation<'_>) -> Hash {
        let mut hash = self.hash(domain);
        hash.field_in_lower_case(organisation.domain.as_bytes());
        hash
    }

    fn hash_address(&self, domain: Domain, address: IpAddr) -> Hash {
        let mut hash = self.hash(domain);
        match address {
            IpAddr::V4(address) => hash.field(&address.octets()),
            IpAddr::V6(address) => hash.field(&address.octets()),
        }
        hash
    }
}

/// A fingerprint in the making. SipHash takes a long time for short pieces, so they are gathered first.
#[derive(Clone)]
struct Hash {
    hash: SipHasher24,
    gathered: [u8; GATHERED_BYTES_MAX],
    /// Fewer than there is room for.
    gathered_bytes: usize,
}

/// Of whole words, which SipHash takes as they are.
const GATHERED_BYTES_MAX: usize = 64;

impl Hash {
    fn new(key: &[u8; 16], domain: Domain) -> Hash {
        let mut hash = Hash {
            hash: SipHasher24::new_with_key(key),
            gathered: [0; GATHERED_BYTES_MAX],
            gathered_bytes: 1,
        };
        hash.gathered[0] = domain as u8;
        hash
    }

    fn write(&mut self, bytes: &[u8]) {
        self.gather(bytes, |_| ());
    }

    /// Bytes in lower case, without their length.
    fn write_in_lower_case(&mut self, bytes: &[u8]) {
        self.gather(bytes, make_lower_case);
    }

    fn gather(&mut self, mut bytes: &[u8], change: impl Fn(&mut [u8])) {
        loop {
            let room = &mut self.gathered[self.gathered_bytes..];
            let taken_bytes = room.len().min(bytes.len());
            let (taken, left) = bytes.split_at(taken_bytes);
            let gathered = &mut room[..taken_bytes];
            gathered.copy_from_slice(taken);
            change(gathered);
            self.gathered_bytes += taken_bytes;
            if self.gathered_bytes < GATHERED_BYTES_MAX {
                return;
            }
            self.hash.write(&self.gathered);
            self.gathered_bytes = 0;
            bytes = left;
        }
    }

    /// A field with its length in front, so that no two lists of fields are the same bytes.
    fn field(&mut self, field: &[u8]) {
        self.write(&(field.len() as u32).to_le_bytes());
        self.write(field);
    }

    /// The same in lower case.
    fn field_in_lower_case(&mut self, field: &[u8]) {
        self.write(&(field.len() as u32).to_le_bytes());
        self.write_in_lower_case(field);
    }

    fn finish(mut self) -> Fingerprint {
        self.hash.write(&self.gathered[..self.gathered_bytes]);
        Fingerprint(self.hash.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::identity::{Lookup, Prefixes};

    const KEY: FingerprintKey = FingerprintKey::new(*b"0123456789abcdef");

    const SUBNET: Lookup = Lookup::Subnet(Prefixes {
        ipv4_bits: 24,
        ipv6_bits: 64,
    });

    fn client(lookup: Lookup, address: &str) -> Client<'static> {
        lookup.client(address.parse().unwrap(), b"unknown", b"", None)
    }

    fn triplet(key: &FingerprintKey, client: &Client<'_>, parties: [&str; 2]) -> Fingerprint {
        let [sender, recipient] = parties.map(str::as_bytes);
        let mut room = Room::new();
        let parties = Parties::new(SenderForm::Postgrey, sender, recipient, &mut room);
        key.triplet(client, &parties).first
    }

    #[test]
    fn fingerprints_differ() {
        let parties = ["a@s.example", "b@r.example"];
        let network = client(SUBNET, "192.0.2.0");
        let same_in_ipv6 = client(SUBNET, "c000:200::");
        let prints = [
            triplet(&KEY, &network, parties),
            triplet(&KEY, &client(Lookup::Host, "192.0.2.0"), parties),
            triplet(&KEY, &same_in_ipv6, parties),
            triplet(&KEY, &network, ["a@s.exampleb", "@r.example"]),
            triplet(&KEY, &network, ["b@r.example", "a@s.example"]),
            triplet(&KEY, &network, ["", "a@s.exampleb@r.example"]),
            KEY.auto_whitelist("192.0.2.0".parse().unwrap()),
            KEY.question([b"", b"", b"", b"", b""]),
            KEY.writer(b"a@s.example"),
            KEY.written_to(&Parties::new(
                SenderForm::Postgrey,
                b"a@s.example",
                b"b@r.example",
                &mut Room::new(),
            )),
            triplet(&FingerprintKey::new([8; 16]), &network, parties),
        ];
        for (index, print) in prints.iter().enumerate() {
            assert!(!prints[..index].contains(print), "{index}");
        }
        let again = triplet(&KEY, &network, ["A+x@S.example", "B@R.Example"]);
        assert_eq!(prints[0], again);
        let other = triplet(&KEY, &network, ["a@s.example", "b+x@r.example"]);
        assert_ne!(prints[0], other);
    }

    #[test]
    fn an_organisation_comes_before_the_network() {
        let mut room = Room::new();
        let form = SenderForm::Folded;
        let parties = Parties::new(form, b"a@s.example", b"b@r.example", &mut room);
        let by_name = Lookup::default();
        let of = |lookup: Lookup, address: &str, name: &'static str| {
            let client = lookup.client(address.parse().unwrap(), name.as_bytes(), b"", None);
            KEY.triplet(&client, &parties)
        };
        let first = of(by_name, "192.0.2.1", "mail-1.Provider.example");
        let other_machine = of(by_name, "203.0.113.9", "mail-2.provider.example");
        assert_eq!(first.first, other_machine.first);
        assert_ne!(first.second, other_machine.second);
        let nameless = of(by_name, "192.0.2.7", "unknown");
        assert_eq!(nameless.second, None);
        assert_eq!(Some(nameless.first), first.second);
        assert_eq!(of(SUBNET, "192.0.2.1", "mail-1.provider.example"), nameless);
    }

    /// However a field lies across the pieces in which it is hashed.
    #[test]
    fn pieces_do_not_show() {
        let text: Vec<u8> = (0..4_096_u32)
            .map(|it| b"aB.3-z@"[it as usize % 7])
            .collect();
        for length in (0..200).chain([4_095, 4_096]) {
            let field = &text[..length];
            let mut hash = KEY.hash(Domain::Writer);
            hash.field(field);
            hash.field_in_lower_case(field);
            let mut whole = vec![Domain::Writer as u8];
            for field in [field.to_vec(), field.to_ascii_lowercase()] {
                whole.extend_from_slice(&(length as u32).to_le_bytes());
                whole.extend_from_slice(&field);
            }
            let mut sip = SipHasher24::new_with_key(KEY.bytes());
            sip.write(&whole);
            assert_eq!(hash.finish().bits(), sip.finish(), "{length}");
        }
    }

    /// The fingerprints are kept on flash, so they must never change, on any target.
    #[test]
    fn fingerprints_are_stable() {
        // Computed with an independent SipHash-2-4: 1 | 4 | address | 11 | sender | 11 | recipient; 3 | 16 | address.
        let network = client(SUBNET, "192.0.2.0");
        assert_eq!(
            triplet(&KEY, &network, ["a@s.example", "b@r.example"]).bits(),
            10_507_513_654_418_874_512
        );
        assert_eq!(
            KEY.auto_whitelist("2001:db8::1".parse().unwrap()).bits(),
            4_079_235_116_216_081_715
        );
    }
}
