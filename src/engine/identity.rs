//! Who the client is: its network, or the organisation of its verified name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::engine::domain_name::DomainName;
use crate::engine::organisation::{self, Evidence, Organisation};
use crate::engine::triplet::SenderForm;

/// The part of an address that a triplet knows a client by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// The first address of its network.
    Network(IpAddr),
    /// Its whole address, with `--lookup-by-host`. Not the same as a network of one address, so that a change of the
    /// option does not mix the two.
    Host(IpAddr),
}

/// How long the prefixes of networks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixes {
    /// Of an IPv4 network, 1 to 32.
    pub ipv4_bits: u8,
    /// Of an IPv6 network, 1 to 128.
    pub ipv6_bits: u8,
}

impl Default for Prefixes {
    /// Postgrey's.
    fn default() -> Prefixes {
        Prefixes {
            ipv4_bits: 24,
            ipv6_bits: 64,
        }
    }
}

/// Which clients are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// All of an organisation, where the name is evidence of one; otherwise all of a network.
    Name(Prefixes),
    /// All of a network (Postgrey's default).
    Subnet(Prefixes),
    /// Each by itself.
    Host,
}

impl Default for Lookup {
    fn default() -> Lookup {
        Lookup::Name(Prefixes::default())
    }
}

impl Lookup {
    /// The client with this address and name. `pool` is the pool that a list has for its name.
    pub fn client<'r>(
        self,
        address: IpAddr,
        client_name: &'r [u8],
        sender: &[u8],
        pool: Option<DomainName<'r>>,
    ) -> Client<'r> {
        Client {
            organisation: organisation::of(client_name, address, sender, pool),
            whereabouts: match self {
                Lookup::Name(prefixes) | Lookup::Subnet(prefixes) => {
                    Whereabouts::Network(prefixes.network(address))
                }
                Lookup::Host => Whereabouts::Host(address),
            },
            is_known_by_name: self.is_by_name(),
        }
    }

    /// Whether organisations are known.
    pub fn is_by_name(self) -> bool {
        matches!(self, Lookup::Name(_))
    }

    /// In which form a sender goes into a triplet.
    pub fn sender_form(self) -> SenderForm {
        match self {
            Lookup::Name(_) => SenderForm::Folded,
            Lookup::Subnet(_) | Lookup::Host => SenderForm::Postgrey,
        }
    }
}

impl Prefixes {
    /// The first address of the network that an address is in.
    pub fn network(self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(address) => {
                let host_bits = 32_u32.saturating_sub(u32::from(self.ipv4_bits));
                let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) => {
                let host_bits = 128_u32.saturating_sub(u32::from(self.ipv6_bits));
                let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        }
    }
}

/// Who a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client<'r> {
    /// The organisation of its name, whether or not it is known by that. It makes its mail [named](crate::engine::table::Class::Named),
    /// within its share, in every lookup mode: a flood of nameless clients is not to push out mail servers.
    pub organisation: Option<Organisation<'r>>,
    /// Where it is.
    pub whereabouts: Whereabouts,
    is_known_by_name: bool,
}

impl<'r> Client<'r> {
    /// The organisation that it is known by, before its whereabouts.
    pub fn identity(&self) -> Option<Organisation<'r>> {
        self.organisation.filter(|_| self.is_known_by_name)
    }

    /// The organisation that it is known by on better evidence than the sender's own word.
    pub fn vouched_identity(&self) -> Option<Organisation<'r>> {
        self.identity().filter(is_vouched)
    }

    /// Whether its name is evidence of a mail server.
    pub fn is_mail_server(&self) -> bool {
        self.organisation.as_ref().is_some_and(is_vouched)
    }
}

fn is_vouched(organisation: &Organisation<'_>) -> bool {
    // Who sends spam chooses his senders too.
    organisation.evidence != Evidence::SenderDomain
}

/// Reads a `client_address`; an IPv4-mapped address is its IPv4 address. `None` for `unknown` and everything else that is
/// not an address, one with a zone included.
pub fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let address: IpAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(address.to_canonical())
}

/// Whether Postfix has verified the client's name: it gives `unknown` unless reverse and forward DNS agree.
pub fn is_verified_name(client_name: &[u8]) -> bool {
    !client_name.is_empty() && !client_name.eq_ignore_ascii_case(b"unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(ipv4_bits: u8, ipv6_bits: u8, address: &str) -> String {
        let prefixes = Prefixes {
            ipv4_bits,
            ipv6_bits,
        };
        let address = parse_address(address.as_bytes()).unwrap();
        prefixes.network(address).to_string()
    }

    #[test]
    fn networks() {
        assert_eq!(network(24, 64, "192.0.2.77"), "192.0.2.0");
        assert_eq!(network(24, 64, "::ffff:192.0.2.77"), "192.0.2.0");
        assert_eq!(network(24, 64, "2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network(1, 1, "192.0.2.77"), "128.0.0.0");
        assert_eq!(network(1, 1, "fe80::1"), "8000::");
        assert_eq!(network(32, 128, "192.0.2.77"), "192.0.2.77");
        assert_eq!(network(32, 128, "2001:db8::9"), "2001:db8::9");
    }

    #[test]
    fn by_host() {
        let address = parse_address(b"::ffff:192.0.2.77").unwrap();
        let client = Lookup::Host.client(address, b"unknown", b"", None);
        assert_eq!(
            client.whereabouts,
            Whereabouts::Host("192.0.2.77".parse().unwrap())
        );
    }

    #[test]
    fn not_addresses() {
        for text in [
            "",
            "unknown",
            "local",
            "192.0.2.256",
            "192.0.2",
            "192.0.2.1 ",
            "fe80::1%eth0",
            "IPv6:2001:db8::1",
            "[2001:db8::1]",
            "2001:db8::1/64",
            "mail.example.com",
        ] {
            assert_eq!(parse_address(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_address(b"\xff"), None);
    }

    #[test]
    fn verified_names() {
        assert!(is_verified_name(b"mail.example.com"));
        assert!(!is_verified_name(b"unknown"));
        assert!(!is_verified_name(b"UNKNOWN"));
        assert!(!is_verified_name(b""));
    }
}
