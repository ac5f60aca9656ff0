//! Networks, nested or apart, in which an address is found by one binary search.

use std::net::IpAddr;

/// First and last addresses of networks, with the numbers of their rules, before they are put in order.
#[derive(Default)]
pub(super) struct NetworkRanges {
    ipv4: Vec<(u128, u128, u32)>,
    ipv6: Vec<(u128, u128, u32)>,
}

impl NetworkRanges {
    /// Takes in the network around an address.
    pub(super) fn add(&mut self, address: IpAddr, prefix_bits: u8, rule: u32) {
        let (ranges, first, host_bits) = match address {
            IpAddr::V4(first) => (&mut self.ipv4, first.to_bits().into(), 32 - prefix_bits),
            IpAddr::V6(first) => (&mut self.ipv6, first.to_bits(), 128 - prefix_bits),
        };
        let hosts = u128::MAX
            .checked_shr(128 - u32::from(host_bits))
            .unwrap_or(0);
        ranges.push((first & !hosts, first | hosts, rule));
    }
}

/// Networks of both families.
#[derive(Default)]
pub(super) struct Networks {
    ipv4: Family,
    ipv6: Family,
}

impl Networks {
    pub(super) fn new(ranges: NetworkRanges) -> Networks {
        Networks {
            ipv4: Family::new(ranges.ipv4),
            ipv6: Family::new(ranges.ipv6),
        }
    }

    /// The rule of the narrowest network that contains an address.
    pub(super) fn find(&self, address: IpAddr) -> Option<u32> {
        match address {
            IpAddr::V4(address) => self.ipv4.find(address.to_bits().into()),
            IpAddr::V6(address) => self.ipv6.find(address.to_bits()),
        }
    }
}

/// Networks of one family, each with the number of the rule that it belongs to.
#[derive(Default)]
struct Family {
    /// Sorted by first address, a wider network before a narrower one.
    networks: Vec<Network>,
}

struct Network {
    first: u128,
    last: u128,
    rule: u32,
    /// The next wider network around this one, plus one.
    around: u32,
}

impl Family {
    /// From first and last addresses and rules; the ranges must be nested or apart, as networks are. Of two equal ones the
    /// first counts.
    fn new(mut ranges: Vec<(u128, u128, u32)>) -> Family {
        ranges.sort_by_key(|&(first, last, rule)| (first, !last, rule));
        ranges.dedup_by_key(|&mut (first, last, _)| (first, last));
        let mut networks: Vec<Network> = Vec::with_capacity(ranges.len());
        for (first, last, rule) in ranges {
            let mut around = networks.len() as u32;
            while around > 0 && networks[around as usize - 1].last < first {
                around = networks[around as usize - 1].around;
            }
            networks.push(Network {
                first,
                last,
                rule,
                around,
            });
        }
        Family { networks }
    }

    /// The rule of the narrowest network that contains an address.
    fn find(&self, address: u128) -> Option<u32> {
        let mut index = self
            .networks
            .partition_point(|network| network.first <= address);
        while index > 0 {
            let network = &self.networks[index - 1];
            if address <= network.last {
                return Some(network.rule);
            }
            index = network.around as usize;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn like_a_search_from_end_to_end(
            networks in prop::collection::vec((any::<u8>(), 0_u32..=8), 0..60),
            addresses in prop::collection::vec(any::<u8>(), 1..60),
        ) {
            let ranges: Vec<(u128, u128, u32)> = networks
                .iter()
                .zip(0..)
                .map(|(&(address, host_bits), rule)| {
                    let first = u128::from(address) >> host_bits << host_bits;
                    (first, first + (1 << host_bits) - 1, rule)
                })
                .collect();
            let found = Family::new(ranges.clone());
            for address in addresses.into_iter().map(u128::from) {
                let around = ranges.iter().filter(|(first, last, _)| (first..=last).contains(&&address));
                let narrowest = around.min_by_key(|(first, last, rule)| (last - first, *rule));
                prop_assert_eq!(found.find(address), narrowest.map(|(_, _, rule)| *rule));
            }
        }
    }
}
