//! The shape in which somebody sends mail: from which hosts, as which senders, and what he does when he is told to wait.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use crate::random::Random;

/// See the [module](self). In names and senders something stands for each `{word}`; see [`Shape::host`] and
/// [`Mail::post`](super::traffic::Mail::post).
pub(crate) struct Shape {
    /// For the table.
    pub(crate) name: &'static str,
    /// Names of hosts as DNS verifies them, or `unknown`.
    pub(crate) host_name: &'static str,
    /// The first octets of each network's addresses, three or two, and what stands for `{network}`.
    pub(crate) networks: &'static [(&'static str, &'static str)],
    /// The last octets of the hosts in a network.
    pub(crate) hosts: RangeInclusive<u8>,
    /// Envelope senders.
    pub(crate) sender: &'static str,
    /// One mail in so many is the first from its sender to its recipient.
    pub(crate) first_contact_one_in: u64,
    /// How many mails are tried again at all.
    pub(crate) retried_percent: u64,
    /// Which host tries again.
    pub(crate) retry_from: RetryFrom,
    /// When, in minutes after the first try.
    pub(crate) retries_min: &'static [f64],
    /// How often after the last of these; never if `None`.
    pub(crate) then_every_min: Option<f64>,
    /// By up to how much later than said a try is made.
    pub(crate) spread_s: u64,
    /// How long after the first try the mail is given up.
    pub(crate) gives_up_h: f64,
}

/// Which host tries again.
#[derive(Clone, Copy)]
pub(crate) enum RetryFrom {
    /// The one that tried before.
    SameHost,
    /// Any of the same network.
    SameNetwork,
    /// Any.
    Pool,
}

/// A host that has mail to deliver.
pub(crate) struct Host {
    pub(crate) address: Ipv4Addr,
    pub(crate) name: String,
    /// What stands for `{network}`.
    pub(crate) label: &'static str,
    prefix: &'static str,
}

impl Shape {
    /// The host of a first try.
    pub(crate) fn host(&self, random: &mut Random) -> Host {
        let (prefix, label) = random.pick(self.networks);
        self.host_in(prefix, label, random)
    }

    /// Makes the host of a try that of the next.
    pub(crate) fn move_on(&self, host: &mut Host, random: &mut Random) {
        match self.retry_from {
            RetryFrom::SameHost => {}
            RetryFrom::SameNetwork => *host = self.host_in(host.prefix, host.label, random),
            RetryFrom::Pool => *host = self.host(random),
        }
    }

    fn host_in(&self, prefix: &'static str, label: &'static str, random: &mut Random) -> Host {
        let (first, last) = (u64::from(*self.hosts.start()), u64::from(*self.hosts.end()));
        let host = random.within(first..=last);
        let address = match prefix.split('.').count() {
            3 => format!("{prefix}.{host}"),
            _ => format!("{prefix}.{}.{host}", random.within(0..=255)),
        };
        let address: Ipv4Addr = address.parse().expect("two or three octets and the rest");
        let [a, b, c, d] = address.octets();
        let name = fill_in(self.host_name, |word| match word {
            "a" => a.to_string(),
            "b" => b.to_string(),
            "c" => c.to_string(),
            "d" => d.to_string(),
            "hex" => format!("{:08X}", address.to_bits()),
            "network" => label.to_owned(),
            _ => unreachable!("no {{{word}}} in names"),
        });
        Host {
            address,
            name,
            label,
            prefix,
        }
    }

    /// How long after the first try a retry comes, in seconds; the first is number 0. `None` when the mail is given up.
    pub(crate) fn retry_after_s(&self, retry: usize, random: &mut Random) -> Option<u64> {
        let beyond = |last: f64| {
            let more = retry + 1 - self.retries_min.len();
            Some(last + self.then_every_min? * more as f64)
        };
        let minutes = match (self.retries_min.get(retry), self.retries_min.last()) {
            (Some(minutes), _) => *minutes,
            (None, Some(last)) => beyond(*last)?,
            (None, None) => return None,
        };
        let is_given_up = minutes > self.gives_up_h * 60.0;
        (!is_given_up).then(|| (minutes * 60.0) as u64 + random.within(0..=self.spread_s))
    }
}

/// A text with something in the place of each `{word}`.
pub(crate) fn fill_in(text: &str, mut of: impl FnMut(&str) -> String) -> String {
    let mut pieces = text.split('{');
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (word, rest) = piece.split_once('}').expect("`{` has its `}`");
        filled += &of(word);
        filled += rest;
    }
    filled
}
