//! Signals as events: blocked before there is a second thread, and read from a signalfd.

use std::io;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::daemon::reactor::Reactor;
use crate::error::Error;

/// The signals that the daemon takes.
pub(super) struct Signals(SignalFd);

impl Signals {
    /// Blocks the signals in this thread and in all that it starts.
    ///
    /// # Errors
    ///
    /// The kernel has no signalfd, or no descriptor is left.
    pub(super) fn block() -> Result<Signals, Error> {
        let failed = |error: Errno| {
            let error = io::Error::from(error);
            Error::failure(format!("cannot take signals: {error}"))
        };
        let mut set = SigSet::empty();
        for signal in [
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGQUIT,
            Signal::SIGHUP,
            Signal::SIGUSR1,
        ] {
            set.add(signal);
        }
        set.thread_block().map_err(failed)?;
        // A log file at its limit must not kill: the write fails, which is enough.
        SigSet::from(Signal::SIGXFSZ)
            .thread_block()
            .map_err(failed)?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        SignalFd::with_flags(&set, flags)
            .map(Signals)
            .map_err(failed)
    }

    /// Waits for a signal that asks for the end, and meanwhile hands on the others.
    ///
    /// # Errors
    ///
    /// The signalfd cannot be read.
    pub(super) async fn end(
        self,
        reactor: &Reactor,
        mut on_other: impl FnMut(Signal),
    ) -> io::Result<Signal> {
        let signals = reactor.watch(self.0)?;
        loop {
            signals.readable().await;
            let info = match signals.get().read_signal() {
                Ok(Some(info)) => info,
                Ok(None) => {
                    signals.found_nothing();
                    continue;
                }
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            match Signal::try_from(info.ssi_signo as i32) {
                Ok(signal @ (Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT)) => {
                    return Ok(signal);
                }
                Ok(signal) => on_other(signal),
                Err(_) => {}
            }
        }
    }
}
