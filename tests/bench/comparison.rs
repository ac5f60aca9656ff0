//! greylet, the limit server, an empty server of smol and, if wanted, Postgrey, in turn under the same load.
//!
//! A round starts every server anew, on TCP and then on a Unix socket, and measures each in each setting, one server right after the
//! other, so that what the machine does besides hits all alike. Shown are medians over the rounds; a ratio is taken within a
//! round first.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime};

use crate::address::Socket;
use crate::client::{Clients, Figures, ask_at};
use crate::cores::{Cores, Place};
use crate::options::Options;
use crate::others::Others;
use crate::scratch::Scratch;
use crate::server::{Kind, Server};

/// Triplets that have passed before a measurement.
const KNOWN_TRIPLETS: u64 = 1_000;

/// When these came for the first time, and when they passed, in seconds before the measurement.
const FIRST_TRY_AGO: u64 = 3_600;
const RETRY_AGO: u64 = 1_800;

/// How long it is measured, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    rounds: u32,
    /// Before each window, not counted.
    warm_up: Duration,
    window: Duration,
}

impl Plan {
    /// Enough to see whether it works.
    pub(crate) const TRIAL: Plan = Plan {
        rounds: 1,
        warm_up: Duration::ZERO,
        window: Duration::from_millis(20),
    };

    /// So many rounds.
    pub(crate) fn of_rounds(rounds: u32) -> Plan {
        Plan {
            rounds,
            warm_up: Duration::from_millis(250),
            window: Duration::from_millis(1_000),
        }
    }
}

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Workload {
    /// Another triplet each time.
    New,
    /// Triplets that have passed.
    Known,
}

impl Workload {
    /// The triplet of the request with this number.
    fn triplet(self, request: u64) -> u64 {
        match self {
            Workload::New => KNOWN_TRIPLETS + request,
            Workload::Known => request % KNOWN_TRIPLETS,
        }
    }

    /// How each answer begins.
    fn expected(self, kind: &Kind) -> &'static str {
        match (self, kind) {
            (Workload::New, Kind::Greylet { .. } | Kind::Postgrey) => "action=DEFER_IF_PERMIT ",
            _ => "action=DUNNO\n",
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Workload::New => "new",
            Workload::Known => "known",
        })
    }
}

/// Under what a server is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Setting {
    workload: Workload,
    connections: usize,
    socket: Socket,
}

impl Setting {
    fn place(self) -> Place {
        if self.connections == 1 {
            Place::WithServer
        } else {
            Place::Apart
        }
    }
}

/// The settings of one socket, in the order of the table.
fn settings(socket: Socket) -> Vec<Setting> {
    let connections: &[usize] = match socket {
        Socket::Tcp => &[1, 16, 200],
        Socket::Unix => &[16],
    };
    let with = |workload| {
        connections.iter().map(move |&connections| Setting {
            workload,
            connections,
            socket,
        })
    };
    with(Workload::New).chain(with(Workload::Known)).collect()
}

/// The figures of one server in one setting, a round each.
struct Row {
    setting: Setting,
    server: &'static str,
    /// With those of the limit server in the same round.
    rounds: Vec<(Figures, Figures)>,
}

/// A running server, and how many requests it has had.
struct Subject {
    server: Server,
    requests: u64,
}

/// Measures, and gives the table.
///
/// # Errors
///
/// A server does not start, or does not answer as it must.
pub(crate) fn measure(options: &Options, cores: Cores, plan: &Plan) -> Result<String, String> {
    let scratch = Scratch::new()?;
    // The limit server comes first: the others are compared with it.
    let mut kinds = vec![
        Kind::Limit,
        Kind::Smol,
        Kind::Greylet {
            binary: options.binary.clone(),
            options: ["--lookup-by-subnet", "--trust-test-time"]
                .map(str::to_owned)
                .into(),
        },
    ];
    if options.postgrey {
        kinds.push(Kind::Postgrey);
    }
    let mut rows: Vec<Row> = Vec::new();
    let others = Others::watch();
    for round in 1..=plan.rounds {
        if plan.rounds > 1 {
            eprintln!("round {round} of {}", plan.rounds);
        }
        for socket in [Socket::Tcp, Socket::Unix] {
            let mut subjects = kinds
                .iter()
                .map(|kind| Subject::start(kind.clone(), socket, &scratch, cores))
                .collect::<Result<Vec<_>, _>>()?;
            for setting in settings(socket) {
                cores.move_client(setting.place())?;
                let figures = measure_all(&mut subjects, setting, plan, round % 2 == 0)?;
                note(&mut rows, setting, &figures);
            }
        }
    }
    Ok(format!("{}- {cores}\n- {others}\n", table(&rows)))
}

/// Measures each server, the last one first in every other round; gives names and figures in the order of the subjects.
fn measure_all(
    subjects: &mut [Subject],
    setting: Setting,
    plan: &Plan,
    backwards: bool,
) -> Result<Vec<(&'static str, Figures)>, String> {
    let measured = |subject: &mut Subject| {
        let figures = subject.measure(setting, plan);
        let figures = figures.map_err(|message| subject.server.blame(&message))?;
        Ok((subject.server.kind().name(), figures))
    };
    if backwards {
        let figures: Result<Vec<_>, String> = subjects.iter_mut().rev().map(measured).collect();
        figures.map(|figures| figures.into_iter().rev().collect())
    } else {
        subjects.iter_mut().map(measured).collect()
    }
}

fn note(rows: &mut Vec<Row>, setting: Setting, figures: &[(&'static str, Figures)]) {
    let Some(&(_, limit)) = figures.first() else {
        return;
    };
    for &(server, figures) in figures {
        let is_its = |row: &&mut Row| row.setting == setting && row.server == server;
        match rows.iter_mut().find(is_its) {
            Some(row) => row.rounds.push((figures, limit)),
            None => rows.push(Row {
                setting,
                server,
                rounds: vec![(figures, limit)],
            }),
        }
    }
}

impl Subject {
    /// Starts a server, and has it pass what is to be known.
    fn start(
        kind: Kind,
        socket: Socket,
        scratch: &Scratch,
        cores: Cores,
    ) -> Result<Subject, String> {
        let subject = Subject {
            server: Server::start(kind, socket, scratch, cores)?,
            requests: 0,
        };
        match subject.make_triplets_known() {
            Ok(()) => Ok(subject),
            Err(message) => Err(subject.server.blame(&message)),
        }
    }

    fn make_triplets_known(&self) -> Result<(), String> {
        if matches!(self.server.kind(), Kind::Limit | Kind::Smol) {
            return Ok(());
        }
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_err(|_| "the clock of this machine is not set")?
            .as_secs();
        for (ago, expected) in [
            (FIRST_TRY_AGO, "action=DEFER_IF_PERMIT "),
            (RETRY_AGO, "action=PREPEND "),
        ] {
            let then = now.saturating_sub(ago);
            ask_at(self.server.address(), then, 0..KNOWN_TRIPLETS, expected)?;
        }
        Ok(())
    }

    fn measure(&mut self, setting: Setting, plan: &Plan) -> Result<Figures, String> {
        self.server.clear_log();
        let requests = &mut self.requests;
        let next = || {
            *requests += 1;
            (setting.workload.triplet(*requests), *requests)
        };
        let expected = setting.workload.expected(self.server.kind());
        Clients::connect(self.server.address(), setting.connections, next, expected)?.measure(
            self.server.process(),
            plan.warm_up,
            plan.window,
        )
    }
}

fn table(rows: &[Row]) -> String {
    let mut table = String::from(
        "| workload | connections | server | requests/s | of limit | p50, us | p99, us | p99.9, us | CPU per request, us | of limit | switches per 1000 |\n\
         |---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for row in rows {
        let median =
            |figure: fn(&Figures) -> f64| median_of(row.rounds.iter().map(|(own, _)| figure(own)));
        let ratio = |figure: fn(&Figures) -> f64| {
            median_of(
                row.rounds
                    .iter()
                    .map(|(own, limit)| figure(own) / figure(limit)),
            )
        };
        let Setting {
            workload,
            connections,
            socket,
        } = row.setting;
        // Cannot fail: a String takes everything.
        let _ = writeln!(
            table,
            "| {workload} | {connections} {socket} | {} | {:.0} | {:.2} | {:.1} | {:.1} | {:.1} | {:.2} | {:.2} | {:.0} |",
            row.server,
            median(|figures| figures.requests_per_second),
            ratio(|figures| figures.requests_per_second),
            median(|figures| figures.p50_us),
            median(|figures| figures.p99_us),
            median(|figures| figures.p999_us),
            median(|figures| figures.cpu_us),
            ratio(|figures| figures.cpu_us),
            median(|figures| figures.switches * 1e3),
        );
    }
    let _ = writeln!(
        table,
        "\n- medians of {} rounds; within a row, requests/s differ by up to {:.0} % between rounds, CPU per request by up to {:.0} %",
        rows.first().map_or(0, |row| row.rounds.len()),
        widest(rows, |figures| figures.requests_per_second),
        widest(rows, |figures| figures.cpu_us),
    );
    table
}

fn median_of(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let half = figures.len() / 2;
    match figures.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => figures[half],
        _ => f64::midpoint(figures[half - 1], figures[half]),
    }
}

/// How far the rounds of a row are apart, in percent of the lowest, in the row where that is most.
fn widest(rows: &[Row], figure: fn(&Figures) -> f64) -> f64 {
    rows.iter()
        .map(|row| {
            let figures = row.rounds.iter().map(|(own, _)| figure(own));
            let lowest = figures.clone().fold(f64::INFINITY, f64::min);
            let highest = figures.fold(0.0, f64::max);
            (highest / lowest - 1.0) * 100.0
        })
        .fold(0.0, f64::max)
}
