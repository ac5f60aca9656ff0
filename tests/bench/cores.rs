//! Which core runs what. Left alone, the scheduler puts a server now on the load generator's core and now on another one that must
//! first be woken, which changes the time of an answer fivefold and hides everything else.

use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::fs;
use std::process::{Command, Stdio};

/// Where the load generator runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the server's core: with one request at a time only one of the two has something to do.
    WithServer,
    /// On another core, so that it takes nothing from the server.
    Apart,
}

/// The first and the last core that we may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores(Option<(usize, usize)>);

impl Cores {
    /// Looks which there are. Must be asked before anything is moved.
    pub(crate) fn find() -> Cores {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let allowed = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
            .unwrap_or_default();
        // As in 0-3,8.
        let mut numbers = allowed
            .split([',', '-'])
            .filter_map(|number| number.trim().parse().ok());
        let cores = numbers
            .next()
            .map(|first| (first, numbers.next_back().unwrap_or(first)));
        // There is no safe call for it in std, but nearly every system has the command.
        Cores(cores.filter(|(first, _)| moves_us_to(*first)))
    }

    /// A command that will run on the server's core.
    pub(crate) fn server_command(self, program: impl AsRef<OsStr>) -> Command {
        let Cores(Some((_, last))) = self else {
            return Command::new(program);
        };
        let mut command = Command::new("taskset");
        command.args(["-c", &last.to_string()]).arg(program);
        command
    }

    /// Moves this process.
    ///
    /// # Errors
    ///
    /// It worked before, and now it does not.
    pub(crate) fn move_client(self, place: Place) -> Result<(), String> {
        let Cores(Some((first, last))) = self else {
            return Ok(());
        };
        let core = match place {
            Place::WithServer => last,
            Place::Apart => first,
        };
        if moves_us_to(core) {
            Ok(())
        } else {
            Err(format!("cannot move to core {core}"))
        }
    }

    /// Leaves this process, and what it will start, to the scheduler.
    pub(crate) fn leave_to_the_scheduler(self) -> Cores {
        if let Cores(Some((first, last))) = self {
            moves_us_to(format!("{first}-{last}"));
        }
        Cores(None)
    }
}

impl Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("cores left to the scheduler (there is no taskset)"),
            Some((first, last)) if first == last => write!(f, "all on core {first}"),
            Some((first, last)) => write!(
                f,
                "server on core {last}, client on core {first}, or with one connection on core {last} too"
            ),
        }
    }
}

fn moves_us_to(cores: impl Display) -> bool {
    Command::new("taskset")
        .args([
            "-c",
            "-p",
            &cores.to_string(),
            &std::process::id().to_string(),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
