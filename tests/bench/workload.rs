//! What is asked, on how many connections of which kind.

use std::fmt;

use crate::address::Socket;
use crate::client::Question;
use crate::cores::Place;
use crate::random::Random;
use crate::server::Kind;

/// Triplets that have passed before a measurement.
pub(crate) const KNOWN_TRIPLETS: u64 = 1_000;

/// Of a hundred requests of the mix, those about a triplet that never comes again.
const ONE_SHOT_PERCENT: u64 = 80;

const SEED: u64 = 1;

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Another triplet each time.
    New,
    /// Triplets that have passed, in a circle.
    Known,
    /// Mostly new ones; among those that have passed, the nth most frequent comes a nth as often as the first (Zipf's law).
    Mix,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Workload::New => "new",
            Workload::Known => "known",
            Workload::Mix => "mix",
        })
    }
}

impl Workload {
    /// Gives the questions, one after the other; no two with the same numbers of requests are about the same new triplet.
    pub(crate) fn questions(self, kind: &Kind, requests: &mut u64) -> impl FnMut() -> Question {
        let judges = matches!(kind, Kind::Greylet { .. } | Kind::Postgrey);
        let (mut random, zipf) = (Random::new(SEED), zipf());
        move || {
            *requests += 1;
            let known = match self {
                Workload::New => None,
                Workload::Known => Some(*requests % KNOWN_TRIPLETS),
                Workload::Mix if random.within(1..=100) <= ONE_SHOT_PERCENT => None,
                Workload::Mix => Some(random.pick(&zipf)),
            };
            Question {
                triplet: known.unwrap_or(KNOWN_TRIPLETS + *requests),
                transaction: *requests,
                expected: if judges && known.is_none() {
                    "action=DEFER_IF_PERMIT "
                } else {
                    "action=DUNNO\n"
                },
            }
        }
    }
}

/// Known triplets, each as often as is its share.
fn zipf() -> Vec<u64> {
    let often = |triplet: u64| KNOWN_TRIPLETS.div_ceil(triplet + 1) as usize;
    (0..KNOWN_TRIPLETS)
        .flat_map(|triplet| std::iter::repeat_n(triplet, often(triplet)))
        .collect()
}

/// Under what a server is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) workload: Workload,
    pub(crate) connections: usize,
    pub(crate) socket: Socket,
}

impl Setting {
    /// Those of one socket, in the order of the table: one thing is different at a time, or all of them are tried.
    pub(crate) fn list(socket: Socket, all: bool) -> Vec<Setting> {
        use Workload::{Known, Mix, New};
        let of = |workload: Workload, connections: &[usize]| {
            let setting = |&connections| Setting {
                workload,
                connections,
                socket,
            };
            connections.iter().map(setting).collect()
        };
        let settings: Vec<Vec<Setting>> = match (socket, all) {
            (Socket::Tcp, false) => vec![of(New, &[16]), of(Known, &[16]), of(Mix, &[1, 16, 200])],
            (Socket::Unix, false) => vec![of(Mix, &[16])],
            (Socket::Tcp, true) => [New, Known, Mix].map(|it| of(it, &[1, 16, 200])).into(),
            (Socket::Unix, true) => [New, Known, Mix].map(|it| of(it, &[16])).into(),
        };
        settings.concat()
    }

    /// Whether it is one of those whose system calls are listed.
    pub(crate) fn is_typical(self) -> bool {
        self.workload == Workload::Mix && self.connections <= 16 && self.socket == Socket::Tcp
    }

    /// Where the load generator is to run.
    pub(crate) fn place(self) -> Place {
        if self.connections == 1 {
            Place::WithServer
        } else {
            Place::Apart
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setting {
            workload,
            connections,
            socket,
        } = self;
        write!(f, "{workload}, {connections} {socket}")
    }
}
