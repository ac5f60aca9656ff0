//! --daemonize: the process that was started waits, in the foreground, until the daemon that it has forked listens, has its
//! pidfile and is who it is to be; then it ends with status 0. If the daemon does not get so far, its error stands on the
//! terminal and its exit status is the starter's.
//!
//! The fork is the first thing of all, while there is one thread and nothing that two processes would share.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::process::ExitCode;

use fork::{Fork, fork};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use crate::daemon::syslog::{Facility, Syslog};
use crate::error::Error;

/// Which of the two processes this is.
pub(super) enum Started {
    /// The one that becomes the daemon.
    Daemon(Background),
    /// The one that was started, with its exit status: the daemon is ready, or has failed.
    Starter(ExitCode),
}

/// The way to the background.
pub(super) struct Background {
    facility: Facility,
    /// Closed when the daemon ends, so that the starter never waits in vain.
    ready: PipeWriter,
}

/// Forks, and has the starter say the warnings and wait.
///
/// # Errors
///
/// No process can be made.
pub(super) fn start(facility: Facility, warnings: &[String]) -> Result<Started, Error> {
    let failed =
        |why: &dyn std::fmt::Display| Error::failure(format!("cannot go to the background: {why}"));
    for warning in warnings {
        // They go to the log too; nobody may be there to read this.
        let _ = writeln!(io::stderr(), "greylet: {warning}");
    }
    let (reader, ready) = io::pipe().map_err(|error| failed(&error))?;
    match fork() {
        Ok(Fork::Child) => Ok(Started::Daemon(Background { facility, ready })),
        Ok(Fork::Parent(daemon)) => {
            drop(ready);
            wait_for(reader, Pid::from_raw(daemon)).map(Started::Starter)
        }
        Err(_) => Err(failed(&io::Error::last_os_error())),
    }
}

fn wait_for(mut ready: PipeReader, daemon: Pid) -> Result<ExitCode, Error> {
    if ready.read_exact(&mut [0]).is_ok() {
        return Ok(ExitCode::SUCCESS);
    }
    match waitpid(daemon, None) {
        // The daemon has said why.
        Ok(WaitStatus::Exited(_, status)) => Ok(ExitCode::from(status as u8)),
        Ok(WaitStatus::Signaled(_, signal, _)) => Err(Error::failure(format!(
            "{signal} has ended the daemon before it was ready"
        ))),
        Ok(_) => Err(Error::failure("the daemon has ended before it was ready")),
        Err(error) => Err(Error::failure(format!(
            "cannot tell what has become of the daemon: {error}"
        ))),
    }
}

impl Background {
    /// Where the daemon's log goes.
    pub(super) fn syslog(&self) -> Syslog {
        Syslog::to_system(self.facility)
    }

    /// Leaves the terminal and the folder, and tells the starter that the daemon is ready.
    ///
    /// # Errors
    ///
    /// Nothing of this can be done; the starter gets to know.
    pub(super) fn detach(mut self) -> Result<(), Error> {
        let mut detach = || -> io::Result<()> {
            setsid()?;
            std::env::set_current_dir("/")?;
            let null = File::options().read(true).write(true).open("/dev/null")?;
            dup2_stdin(&null)?;
            dup2_stdout(&null)?;
            dup2_stderr(&null)?;
            self.ready.write_all(&[0])
        };
        detach().map_err(|error| Error::failure(format!("cannot go to the background: {error}")))
    }
}
