//! Random options that Postgrey and greylet both know, with values that both take.

use crate::random::Random;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

const TEXTS: [&str; 8] = [
    "Greylisted for %s seconds",
    "4.7.1 come back in %s s, %r",
    "%r: %s",
    "%s %r %s %r",
    "100% of %%s, %x %",
    "später, %r",
    "try again later",
    "%%r%s%",
];

const HEADERS: [&str; 5] = [
    "X-Delay: %t",
    "X-Greylist: %t s by %v at %h; %d",
    "X-Greylist: %d %h %v %t %d %h %v %t",
    "X-G: %%t 100% %x %h",
    "X-Waited: yes",
];

/// See the [module](self).
pub(crate) struct Options {
    /// As they stand on the command line.
    pub(crate) words: Vec<String>,
    pub(crate) delay: u64,
    pub(crate) retry_window: u64,
    pub(crate) ipv4_prefix_bits: u64,
    pub(crate) ipv6_prefix_bits: u64,
}

impl Options {
    pub(crate) fn random(random: &mut Random) -> Options {
        let mut options = Options {
            // Not the lists of this machine.
            words: ["clients", "recipients"]
                .map(|what| format!("--whitelist-{what}=/dev/null"))
                .into(),
            delay: 300,
            retry_window: 2 * DAY,
            ipv4_prefix_bits: 24,
            ipv6_prefix_bits: 64,
        };
        options.choose_times(random);
        options.choose_identity(random);
        options.choose_auto_whitelist(random);
        options.choose_texts(random);
        if random.one_in(4) {
            options.add("--privacy");
        }
        options
    }

    fn add(&mut self, word: impl Into<String>) {
        self.words.push(word.into());
    }

    fn choose_times(&mut self, random: &mut Random) {
        if random.one_in(2) {
            self.delay = random.pick(&[1, 2, 60, 299, 300, 3_599, 3_600, 7_200, 86_400]);
            self.add(format!("--delay={}", self.delay));
        }
        if random.one_in(2) {
            let (window, word) = match random.within(0..=2) {
                0 => hours(random.pick(&[1, 3, 25]), 'h'),
                1 => hours(random.pick(&[2, 5, 49]), 'H'),
                _ => {
                    let days = random.within(1..=4);
                    (days * DAY, days.to_string())
                }
            };
            // greylet refuses a window in which no retry could come.
            if window > self.delay {
                self.retry_window = window;
                self.add(format!("--retry-window={word}"));
            }
        }
    }

    fn choose_identity(&mut self, random: &mut Random) {
        if random.one_in(3) {
            self.ipv4_prefix_bits = random.pick(&[1, 8, 16, 20, 23, 25, 31, 32]);
            self.add(format!("--ipv4cidr={}", self.ipv4_prefix_bits));
        }
        if random.one_in(3) {
            self.ipv6_prefix_bits = random.pick(&[1, 16, 48, 56, 63, 65, 127, 128]);
            self.add(format!("--ipv6cidr={}", self.ipv6_prefix_bits));
        }
        if random.one_in(5) {
            self.add("--lookup-by-host");
        }
    }

    fn choose_auto_whitelist(&mut self, random: &mut Random) {
        match random.within(0..=6) {
            0 => self.add("--auto-whitelist-clients"),
            choice @ 1..=4 => {
                let count = [0, 1, 2, 5][choice as usize - 1];
                self.add(format!("--auto-whitelist-clients={count}"));
            }
            _ => {}
        }
    }

    fn choose_texts(&mut self, random: &mut Random) {
        if random.one_in(2) {
            self.add(format!("--greylist-text={}", random.pick(&TEXTS)));
        }
        if random.one_in(3) {
            let action = random.pick(&["451", "DEFER", "450", "defer_if_permit"]);
            self.add(format!("--greylist-action={action}"));
        }
        if random.one_in(2) {
            self.add(format!("--x-greylist-header={}", random.pick(&HEADERS)));
        }
        if random.one_in(2) {
            self.add(format!("--hostname=mx{}.r.example", random.within(1..=99)));
        }
    }
}

fn hours(count: u64, letter: char) -> (u64, String) {
    (count * HOUR, format!("{count}{letter}"))
}
