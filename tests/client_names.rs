//! Names of real clients, with their addresses and a sender's domain: in `client-names.tsv` P is a mail server, which should share an
//! identity with the others of its organisation, and L a line or a rented host, which must share one with nobody.

use std::net::IpAddr;

use greylet::engine::access::Clients;
use greylet::engine::organisation::{self, Evidence, Organisation};
use proptest::prelude::*;

struct Client {
    is_mail_server: bool,
    name: &'static str,
    address: IpAddr,
    sender: String,
}

impl Client {
    fn organisation(&self, clients: &Clients) -> Option<Organisation<'static>> {
        organisation(self.name, self.address, &self.sender, clients)
    }
}

fn organisation<'n>(
    name: &'n str,
    address: IpAddr,
    sender: &str,
    clients: &Clients,
) -> Option<Organisation<'n>> {
    let pool = clients.find_pool(name.as_bytes()).map(|pool| pool.name);
    organisation::of(name.as_bytes(), address, sender.as_bytes(), pool)
}

fn clients() -> Vec<Client> {
    let lines = include_str!("cases/client-names.tsv").lines();
    let lines = lines.filter(|line| !line.starts_with('#'));
    let clients = lines.map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[kind, name, address, domain] = &fields[..] else {
            panic!("four fields: {line}");
        };
        assert!(["P", "L"].contains(&kind), "{line}");
        Client {
            is_mail_server: kind == "P",
            name,
            address: address.parse().expect("an address"),
            sender: format!("a@{domain}"),
        }
    });
    clients.collect()
}

fn built_in() -> Clients {
    let text = include_str!("../src/lists/whitelist_clients").as_bytes();
    Clients::read([text]).0
}

/// What is wrong, for a failure, with how many there are of each kind.
fn counts(wrong: &[&Client], clients: &[Client]) -> String {
    let of_kind = |is_mail_server| {
        let is_it = |client: &&Client| client.is_mail_server == is_mail_server;
        let wrong = wrong.iter().copied().filter(is_it).count();
        format!("{wrong} of {}", clients.iter().filter(is_it).count())
    };
    let names: Vec<&str> = wrong.iter().map(|client| client.name).collect();
    format!(
        "mail servers split: {}; lines and hosts merged: {}; {names:#?}",
        of_kind(true),
        of_kind(false)
    )
}

/// Those whose identity is not what it should be.
fn wrong<'c>(clients: &'c [Client], pools: &Clients) -> Vec<&'c Client> {
    let is_wrong = |client: &&Client| client.is_mail_server != client.organisation(pools).is_some();
    clients.iter().filter(is_wrong).collect()
}

#[test]
fn all_cases_are_there() {
    let clients = clients();
    let mail_servers = clients.iter().filter(|client| client.is_mail_server);
    assert_eq!((clients.len(), mail_servers.count()), (67, 34));
}

#[test]
fn without_pools_at_most_three_in_a_hundred_are_split() {
    let clients = clients();
    let wrong = wrong(&clients, &Clients::default());
    let split = wrong.iter().filter(|client| client.is_mail_server).count();
    assert!(
        split == wrong.len() && split * 100 <= 34 * 3,
        "{}",
        counts(&wrong, &clients)
    );
}

#[test]
fn with_the_built_in_pools_none_is_split() {
    let clients = clients();
    let wrong = wrong(&clients, &built_in());
    assert!(wrong.is_empty(), "{}", counts(&wrong, &clients));
}

/// Mail servers of one organisation have the same identity, not only some identity each.
#[test]
fn mail_servers_share_their_organisation() {
    let pools = built_in();
    for client in clients().iter().filter(|client| client.is_mail_server) {
        let organisation = client.organisation(&pools).expect("an organisation");
        let labels: Vec<&str> = client.name.rsplit('.').collect();
        let expected = format!("{}.{}", labels[1], labels[0]);
        assert_eq!(organisation.domain.as_bytes(), expected.as_bytes());
    }
}

/// Whatever a stranger's sender is, lines and rented hosts are known by their network.
#[test]
fn lines_and_rented_hosts_are_merged_by_no_sender() {
    let pools = built_in();
    let clients = clients();
    let senders = clients.iter().map(|client| client.sender.clone());
    let senders: Vec<String> = senders
        .chain(
            [
                "",
                "a",
                "a@mail.example.com",
                "a@co.uk",
                "a@ne.jp",
                "a@net.tr",
            ]
            .map(String::from),
        )
        .collect();
    for client in clients.iter().filter(|client| !client.is_mail_server) {
        for sender in &senders {
            let organisation = organisation(client.name, client.address, sender, &pools);
            assert_eq!(organisation, None, "{} {sender}", client.name);
        }
    }
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
        Just(IpAddr::from([1, 1, 1, 1])),
        Just(IpAddr::from([0_u8; 16])),
    ]
}

/// What names are made of, and what they are not.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            ".", "-", "_", "mail", "mx", "mo7", "out", "a", "example", "co", "uk", "jp", "me.com", "0", "1", "84-112-7", "0a0b0c",
            "2001-db8-1-2", "unknown",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
        1 => Just(vec![b'1'; 100]),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_name_at_any_address(name in name(), address in address(), sender in name(), upper in any::<bool>()) {
        let pools = built_in();
        let of = |name: &[u8]| -> Option<(Vec<u8>, Evidence)> {
            let pool = pools.find_pool(name).map(|pool| pool.name);
            let found = organisation::of(name, address, &sender, pool)?;
            Some((found.domain.as_bytes().to_ascii_lowercase(), found.evidence))
        };
        let found = of(&name);
        let other_case = if upper { name.to_ascii_uppercase() } else { name.to_ascii_lowercase() };
        prop_assert_eq!(&of(&other_case), &found);
        if !name.ends_with(b".") {
            prop_assert_eq!(&of(&[&name[..], b"."].concat()), &found);
        }
        if let Some((domain, _)) = found {
            let name = name.to_ascii_lowercase();
            let name = name.strip_suffix(b".").unwrap_or(&name);
            let before = name.strip_suffix(&domain[..]);
            prop_assert!(before.is_some_and(|before| before.is_empty() || before.ends_with(b".")));
            prop_assert!(domain.contains(&b'.'));
        }
        if let Some(domain) = organisation::of_sender(&sender) {
            prop_assert!(sender.strip_suffix(b".").unwrap_or(&sender).ends_with(domain.as_bytes()));
        }
    }
}
