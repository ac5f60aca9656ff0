//! Random choices that depend on nothing but a seed (SplitMix64), so that what a test has done can be done again.

use std::ops::RangeInclusive;

/// See the [module](self).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let count = range.end() - range.start() + 1;
        range.start() + self.next() % count
    }

    /// True once in so many times.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.within(1..=times) == 1
    }

    pub(crate) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        let last = choices.len() as u64 - 1;
        choices[self.within(0..=last) as usize].clone()
    }

    /// A word of characters from an alphabet.
    pub(crate) fn word(&mut self, alphabet: &str, lengths: RangeInclusive<u64>) -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        let length = self.within(lengths);
        (0..length).map(|_| self.pick(&alphabet)).collect()
    }
}
