//! Whether a client's name is made of its address, as providers name lines and rented hosts by the thousand.
//!
//! Of an IPv4 address a name carries
//!
//! - three of the four octets, in any order, each being all of a run of digits, with or without zeros in front (`cpe-084-7-112`),
//! - or three, in any order, one directly after the other within a run of digits, each as it is or filled up to three digits (`n841127`),
//! - or three neighbouring ones as six hexadecimal digits, first octet first or last (`p5ddb3ec9`, `c93edb5d`),
//! - or all of it as one decimal number, with or without zeros in front;
//!
//! of an IPv6 address four neighbouring groups in their order, each with all its four digits or, where something else follows, without
//! zeros in front, and one `-`, `.` or `_` or nothing between them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Octets of an IPv4 address that must be found.
const OCTETS: usize = 3;

/// Groups of an IPv6 address that must be found: 16 digits.
const GROUPS: usize = 4;

/// Whether a name, in lower case, carries the address.
pub(super) fn carries(name: &[u8], address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => carries_ipv4(name, address),
        IpAddr::V6(address) => carries_ipv6(name, address),
    }
}

fn carries_ipv4(name: &[u8], address: Ipv4Addr) -> bool {
    let octets = address.octets();
    let written = octets.map(Written::new);
    let mut missing = octets.map(Some);
    let runs = name.split(|byte| !byte.is_ascii_digit());
    for run in runs.filter(|run| !run.is_empty()) {
        let number = number(run);
        let is_it = |octet: &&mut Option<u8>| octet.map(u64::from) == number;
        if let Some(octet) = missing.iter_mut().find(is_it) {
            *octet = None;
        }
        if number == Some(address.to_bits().into()) || has_octets_together(run, &written) {
            return true;
        }
    }
    missing.iter().filter(|octet| octet.is_none()).count() >= OCTETS
        || has_hexadecimal_octets(name, octets)
}

/// An octet in three digits, and how many of them are zeros in front.
#[derive(Clone, Copy)]
struct Written {
    digits: [u8; 3],
    zeros: usize,
}

impl Written {
    fn new(octet: u8) -> Written {
        let digits = [octet / 100, octet / 10 % 10, octet % 10].map(|digit| b'0' + digit);
        let zeros = digits[..2].iter().take_while(|&&digit| digit == b'0');
        Written {
            digits,
            zeros: zeros.count(),
        }
    }
}

/// Whether three different octets stand one after the other in digits.
fn has_octets_together(digits: &[u8], written: &[Written; 4]) -> bool {
    let mut starts = 0..(digits.len() + 1).saturating_sub(OCTETS);
    starts.any(|start| begins_with_octets(&digits[start..], written, 0))
}

/// Whether digits go on with as many octets as are missing; the bits of `used` say which are there already.
fn begins_with_octets(digits: &[u8], written: &[Written; 4], used: u8) -> bool {
    if used.count_ones() as usize == OCTETS {
        return true;
    }
    (0..4).filter(|index| used & 1 << index == 0).any(|index| {
        let Written {
            digits: filled,
            zeros,
        } = written[index];
        let goes_on = |octet: &[u8]| {
            digits.first() == octet.first()
                && digits
                    .strip_prefix(octet)
                    .is_some_and(|rest| begins_with_octets(rest, written, used | 1 << index))
        };
        goes_on(&filled[zeros..]) || zeros > 0 && goes_on(&filled)
    })
}

fn has_hexadecimal_octets(name: &[u8], octets: [u8; 4]) -> bool {
    let [a, b, c, d] = octets;
    let wanted = [[a, b, c], [b, c, d], [c, b, a], [d, c, b]];
    let wanted = wanted.map(|[high, middle, low]| u32::from_be_bytes([0, high, middle, low]));
    let (mut latest, mut digits) = (0, 0);
    name.iter().any(|&byte| {
        let Some(digit) = char::from(byte).to_digit(16) else {
            digits = 0;
            return false;
        };
        latest = (latest << 4 | digit) & 0xff_ffff;
        digits += 1;
        digits >= 2 * OCTETS && wanted.contains(&latest)
    })
}

fn carries_ipv6(name: &[u8], address: Ipv6Addr) -> bool {
    let groups = address.segments();
    (0..name.len()).any(|start| {
        let text = &name[start..];
        let Some((first, _)) = first_group(text) else {
            return false;
        };
        let mut candidates = groups.windows(GROUPS);
        candidates.any(|groups| groups[0] == first && begins_with_groups(text, groups))
    })
}

fn begins_with_groups(name: &[u8], groups: &[u16]) -> bool {
    let mut rest = name;
    groups.iter().all(|&group| {
        let Some((found, after)) = first_group(rest) else {
            return false;
        };
        rest = match after {
            [b'-' | b'.' | b'_', after @ ..] => after,
            after => after,
        };
        found == group
    })
}

/// Up to four hexadecimal digits, and what follows them.
fn first_group(text: &[u8]) -> Option<(u16, &[u8])> {
    let digits = text.iter().take(4);
    let digits = digits.map_while(|&byte| char::from(byte).to_digit(16));
    let (count, group) = digits.fold((0, 0), |(count, group), digit| {
        (count + 1, group << 4 | digit as u16)
    });
    (count > 0).then(|| (group, &text[count..]))
}

/// What decimal digits mean; `None` if that is more than 64 bits can hold.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, digit| {
        number.checked_mul(10)?.checked_add((digit - b'0').into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_carries(name: &str, address: &str) -> bool {
        carries(name.as_bytes(), address.parse().unwrap())
    }

    #[test]
    fn ipv4() {
        for (name, address) in [
            // Octets of their own, in any order, three of them at least.
            ("cpe-84-112-167-138.isp.example", "84.112.167.138"),
            ("138.167.112.84.isp.example", "84.112.167.138"),
            ("167x84y138.isp.example", "84.112.167.138"),
            ("cpe-084-112-007.isp.example", "84.112.7.9"),
            (
                "host106-67-dynamic.20-79-r.retail.telecomitalia.it",
                "79.20.67.106",
            ),
            ("lfbn-tou-1-1502-76.w90-89.abo.wanadoo.fr", "90.89.68.76"),
            ("lfbn-1-2229-223.w90-76.abo.wanadoo.fr", "90.76.50.223"),
            ("180.146.34.24.bc.googleusercontent.com", "24.34.146.180"),
            (
                "ec2-3-12-34-56.us-east-2.compute.amazonaws.com",
                "3.12.34.56",
            ),
            ("static.34.12.46.78.clients.your-server.de", "78.46.12.34"),
            ("10-10-10.isp.example", "10.10.10.1"),
            ("a0000084b112c167.example", "84.112.167.138"),
            // Run together, filled up or not.
            ("chello084112167138.7.11.vie.surfer.at", "84.112.167.138"),
            ("softbank126026090165.bbtec.net", "126.26.90.165"),
            ("n84112167.isp.example", "84.112.167.138"),
            ("n112084167.isp.example", "84.112.167.138"),
            ("n5138167841.isp.example", "84.112.167.138"),
            ("n8402.isp.example", "84.0.2.138"),
            ("n84000002.isp.example", "84.0.2.138"),
            // Hexadecimal, three octets at least.
            ("p5ddb3ec9.dip0.t-ipconnect.de", "93.219.62.201"),
            ("d54c15d55.access.telenet.be", "84.193.93.85"),
            ("c93edb5d.isp.example", "93.219.62.201"),
            ("p6eb203.tkyoac00.ap.so-net.ne.jp", "218.110.178.3"),
            ("x03b26e.isp.example", "218.110.178.3"),
            ("dsl-jklbng12-54fbdd-37.dhcp.inet.fi", "84.251.221.37"),
            (
                "bras-base-aurron9127w-grc-40-70-52-229-124.dsl.bell.ca",
                "70.52.229.124",
            ),
            // One number.
            ("ip1416669066.isp.example", "84.112.167.138"),
            ("ip001416669066.isp.example", "84.112.167.138"),
            ("1-2-3.isp.example", "::ffff:1.2.3.4"),
        ] {
            assert!(name_carries(name, address), "{name} {address}");
        }
        for (name, address) in [
            ("mail.example.com", "84.112.167.138"),
            ("84-112.isp.example", "84.112.167.138"),
            ("84-112-112-84.isp.example", "84.112.167.138"),
            ("10-10.isp.example", "10.10.10.10"),
            ("n84112.isp.example", "84.112.167.138"),
            ("n8411216.isp.example", "84.112.167.138"),
            ("n8484112.isp.example", "84.112.167.138"),
            ("841-12-167-138.isp.example", "84.112.16.1"),
            ("x6eb2.isp.example", "218.110.178.3"),
            ("xda6e03.isp.example", "218.110.178.3"),
            ("x6e-b2-03.isp.example", "218.110.178.3"),
            ("ip1416669067.isp.example", "84.112.167.138"),
            ("ip18446744073709551616.isp.example", "0.0.0.0"),
            ("bl13-26-148.dsl.telepac.pt", "85.246.26.148"),
            ("vmi242170.contaboserver.net", "207.180.221.201"),
            ("mx0a-00123456.pphosted.com", "148.163.147.86"),
            ("mta-83-184.sparkpostmail.com", "192.174.83.184"),
            (
                "node-11r0.pool-101-108.dynamic.totinternet.net",
                "101.108.215.12",
            ),
        ] {
            assert!(!name_carries(name, address), "{name} {address}");
        }
    }

    #[test]
    fn ipv6() {
        let address = "2003:ec:2f0f:5e00:e15a:1b2e:1d2a:ce20";
        for name in [
            "p200300ec2f0f5e00e15a1b2e1d2ace20.dip0.t-ipconnect.de",
            "200300ec2f0f5e00.isp.example",
            "host-e15a1b2e1d2ace20.isp.example",
            "xaf2f0f5e00e15a1b2e.isp.example",
            "2003-ec-2f0f-5e00.isp.example",
            "ip-2003-00ec-2f0f-5e00-e15a-1b2e-1d2a-ce20.isp.example",
            "2003.ec.2f0f_5e00.isp.example",
        ] {
            assert!(name_carries(name, address), "{name}");
        }
        for name in [
            "200300ec2f0f5e0.isp.example",
            "200300ec2f0f.isp.example",
            "2003-ec-2f0f.isp.example",
            "2003--ec-2f0f-5e00.isp.example",
            "5e002f0f00ec2003.isp.example",
            "2003ec2f0f5e00.isp.example",
            "mail-ed1-f43.google.com",
        ] {
            assert!(!name_carries(name, address), "{name}");
        }
        let name = "2a01cb0585290000c08fcfaf4969c46f.ipv6.abo.wanadoo.fr";
        assert!(name_carries(name, "2a01:cb05:8529:0:c08f:cfaf:4969:c46f"));
        assert!(name_carries("2001-db8-0-0.example", "2001:db8::1"));
    }
}
