//! Who the client is: its network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a triplet knows a client by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The first address of its network.
    Network(IpAddr),
    /// Its whole address, with `--lookup-by-host`. Not the same as a network of one address, so that a change of the
    /// option does not mix the two.
    Host(IpAddr),
}

/// Which addresses are one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// All of a network (Postgrey's default).
    Subnet {
        /// Length of an IPv4 network's prefix, 1 to 32.
        ipv4_prefix_bits: u8,
        /// Length of an IPv6 network's prefix, 1 to 128.
        ipv6_prefix_bits: u8,
    },
    /// Each by itself.
    Host,
}

impl Default for Lookup {
    fn default() -> Lookup {
        Lookup::Subnet {
            ipv4_prefix_bits: 24,
            ipv6_prefix_bits: 64,
        }
    }
}

impl Lookup {
    /// Who the client with this address is.
    pub fn identity(self, address: IpAddr) -> Identity {
        let Lookup::Subnet {
            ipv4_prefix_bits,
            ipv6_prefix_bits,
        } = self
        else {
            return Identity::Host(address);
        };
        Identity::Network(match address {
            IpAddr::V4(address) => {
                let host_bits = 32_u32.saturating_sub(u32::from(ipv4_prefix_bits));
                let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) => {
                let host_bits = 128_u32.saturating_sub(u32::from(ipv6_prefix_bits));
                let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        })
    }
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

    fn network(lookup: Lookup, address: &str) -> String {
        match lookup.identity(parse_address(address.as_bytes()).unwrap()) {
            Identity::Network(first) => first.to_string(),
            Identity::Host(address) => format!("host {address}"),
        }
    }

    #[test]
    fn networks() {
        let default = Lookup::default();
        assert_eq!(network(default, "192.0.2.77"), "192.0.2.0");
        assert_eq!(network(default, "::ffff:192.0.2.77"), "192.0.2.0");
        assert_eq!(network(default, "2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        let widest = Lookup::Subnet {
            ipv4_prefix_bits: 1,
            ipv6_prefix_bits: 1,
        };
        assert_eq!(network(widest, "192.0.2.77"), "128.0.0.0");
        assert_eq!(network(widest, "fe80::1"), "8000::");
        let narrowest = Lookup::Subnet {
            ipv4_prefix_bits: 32,
            ipv6_prefix_bits: 128,
        };
        assert_eq!(network(narrowest, "192.0.2.77"), "192.0.2.77");
        assert_eq!(network(narrowest, "2001:db8::9"), "2001:db8::9");
        assert_eq!(
            network(Lookup::Host, "::ffff:192.0.2.77"),
            "host 192.0.2.77"
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
