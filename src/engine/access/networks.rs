//! Networks of one family, nested or apart, in which an address is found by one binary search.

/// Networks, each with the number of the rule that it belongs to.
#[derive(Default)]
pub(super) struct Networks {
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

impl Networks {
    /// From first and last addresses and rules; the ranges must be nested or apart, as networks are. Of two equal ones the
    /// first counts.
    pub(super) fn new(mut ranges: Vec<(u128, u128, u32)>) -> Networks {
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
        Networks { networks }
    }

    /// The rule of the narrowest network that contains an address.
    pub(super) fn find(&self, address: u128) -> Option<u32> {
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
            let found = Networks::new(ranges.clone());
            for address in addresses.into_iter().map(u128::from) {
                let around = ranges.iter().filter(|(first, last, _)| (first..=last).contains(&&address));
                let narrowest = around.min_by_key(|(first, last, rule)| (last - first, *rule));
                prop_assert_eq!(found.find(address), narrowest.map(|(_, _, rule)| *rule));
            }
        }
    }
}
