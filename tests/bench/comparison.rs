//! greylet, the limit server, an empty server of smol and, if wanted, Postgrey, in turn under the same load.
//!
//! A round starts every server anew, on TCP and then on a Unix socket, and measures each in each setting, one server right after the
//! other, so that what the machine does besides hits all alike. At the end the system calls are counted, if there is an strace.

use std::time::{Duration, SystemTime};

use crate::address::Socket;
use crate::client::{Clients, Figures, ask_at};
use crate::cores::Cores;
use crate::options::Options;
use crate::others::Others;
use crate::scratch::Scratch;
use crate::server::{Kind, Server};
use crate::system_calls::Trace;
use crate::table::Table;
use crate::workload::{KNOWN_TRIPLETS, Setting};

/// When known triplets came for the first time, and when they passed, in seconds before the measurement.
const FIRST_TRY_AGO: u64 = 3_600;
const RETRY_AGO: u64 = 1_800;

/// How long it is measured, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    rounds: u32,
    /// Before each window, not counted.
    warm_up: Duration,
    window: Duration,
    /// The window in which system calls are counted.
    traced: Duration,
}

impl Plan {
    /// Enough to see whether it works.
    pub(crate) const TRIAL: Plan = Plan {
        rounds: 1,
        warm_up: Duration::ZERO,
        window: Duration::from_millis(20),
        traced: Duration::from_millis(20),
    };

    /// So many rounds.
    pub(crate) fn of_rounds(rounds: u32) -> Plan {
        Plan {
            rounds,
            warm_up: Duration::from_millis(250),
            window: Duration::from_millis(1_000),
            traced: Duration::from_millis(400),
        }
    }
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
    let start_all = |socket| {
        let kinds = kinds(options).into_iter();
        kinds
            .map(|kind| Subject::start(kind, socket, &scratch, cores))
            .collect::<Result<Vec<_>, _>>()
    };
    let mut table = Table::default();
    let others = Others::watch();
    for round in 1..=plan.rounds {
        if plan.rounds > 1 {
            eprintln!("round {round} of {}", plan.rounds);
        }
        for socket in [Socket::Tcp, Socket::Unix] {
            let mut subjects = start_all(socket)?;
            for setting in Setting::list(socket, options.all) {
                cores.move_client(setting.place())?;
                let figures = measure_all(&mut subjects, setting, plan, round % 2 == 0)?;
                table.note(setting, &figures);
            }
        }
    }
    let others = others.to_string();
    for socket in [Socket::Tcp, Socket::Unix] {
        for mut subject in start_all(socket)? {
            for setting in Setting::list(socket, options.all) {
                let traced = subject.trace(setting, plan, &scratch, &mut table);
                traced.map_err(|message| subject.server.blame(&message))?;
            }
        }
    }
    Ok(format!("{table}- {cores}\n- {others}\n"))
}

/// The limit server comes first: the others are compared with it.
fn kinds(options: &Options) -> Vec<Kind> {
    let mut kinds = vec![Kind::Limit, Kind::Smol];
    kinds.extend(options.greylets(&["--lookup-by-subnet", "--trust-test-time"]));
    if options.postgrey {
        kinds.push(Kind::Postgrey);
    }
    kinds
}

/// Measures each server, the last one first in every other round; gives names and figures in the order of the subjects.
fn measure_all(
    subjects: &mut [Subject],
    setting: Setting,
    plan: &Plan,
    backwards: bool,
) -> Result<Vec<(&'static str, Figures)>, String> {
    let measured = |subject: &mut Subject| {
        let figures = subject.measure(setting, plan.warm_up, plan.window);
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

    fn measure(
        &mut self,
        setting: Setting,
        warm_up: Duration,
        window: Duration,
    ) -> Result<Figures, String> {
        self.server.clear_log();
        let questions = setting
            .workload
            .questions(self.server.kind(), &mut self.requests);
        Clients::connect(self.server.address(), setting.connections, questions)?.measure(
            self.server.process(),
            warm_up,
            window,
        )
    }

    fn trace(
        &mut self,
        setting: Setting,
        plan: &Plan,
        scratch: &Scratch,
        table: &mut Table,
    ) -> Result<(), String> {
        let Some(trace) = Trace::begin(self.server.process(), scratch.path())? else {
            return Ok(());
        };
        let before = self.requests;
        self.measure(setting, Duration::ZERO, plan.traced)?;
        let requests = self.requests - before;
        let server = self.server.kind().name();
        table.note_system_calls(setting, server, trace.end()?, requests);
        Ok(())
    }
}
