//! The system calls of a server while it answers, counted by strace, which slows it down so much that nothing else is measured then.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process::Process;

/// How long strace may take to get hold of a process.
const START_MAX: Duration = Duration::from_secs(10);

/// How often each has been called.
#[derive(Clone, Debug)]
pub(crate) struct SystemCalls(Vec<(String, u64)>);

/// A running strace, which is killed when this is dropped.
pub(crate) struct Trace {
    strace: Child,
    summary: PathBuf,
}

impl Trace {
    /// Begins to count the calls of a process; nothing if there is no strace, or it may not.
    ///
    /// # Errors
    ///
    /// The process is gone, or strace hangs.
    pub(crate) fn begin(process: Process, folder: &Path) -> Result<Option<Trace>, String> {
        let summary = folder.join("system-calls");
        let strace = Command::new("strace")
            .args(["-f", "-c", "-o"])
            .arg(&summary)
            .args(["-p", &process.id().to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(strace) = strace else {
            return Ok(None);
        };
        let mut trace = Trace { strace, summary };
        let deadline = Instant::now() + START_MAX;
        while process.tracers()?.contains(&0) {
            if !matches!(trace.strace.try_wait(), Ok(None)) {
                return Ok(None);
            }
            if Instant::now() > deadline {
                return Err("strace does not get hold of it".to_owned());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(Some(trace))
    }

    /// Lets go of the process.
    ///
    /// # Errors
    ///
    /// There is no summary.
    pub(crate) fn end(mut self) -> Result<SystemCalls, String> {
        let failed = |error: &dyn std::fmt::Display| format!("cannot count system calls: {error}");
        let pid = Pid::from_raw(self.strace.id().cast_signed());
        kill(pid, Signal::SIGINT).map_err(|error| failed(&error))?;
        self.strace.wait().map_err(|error| failed(&error))?;
        let summary = fs::read_to_string(&self.summary).map_err(|error| failed(&error))?;
        Ok(SystemCalls::of_summary(&summary))
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

impl SystemCalls {
    /// Lines of: share of time, seconds, us per call, calls, perhaps errors, name.
    fn of_summary(summary: &str) -> SystemCalls {
        let call = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let count = fields.get(3)?.parse().ok()?;
            Some((fields.last()?.to_string(), count))
        };
        let calls = summary.lines().filter_map(call);
        SystemCalls(calls.filter(|(name, _)| name != "total").collect())
    }

    /// How many there were for each of so many requests.
    pub(crate) fn per_request(&self, requests: u64) -> f64 {
        let all: u64 = self.0.iter().map(|(_, calls)| calls).sum();
        all as f64 / requests as f64
    }

    /// Those that come at least once in a hundred requests, the most frequent first.
    pub(crate) fn frequent(&self, requests: u64) -> String {
        let mut calls = self.0.clone();
        calls.retain(|(_, calls)| calls * 100 >= requests);
        calls.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
        let texts: Vec<String> = calls
            .iter()
            .map(|(name, calls)| format!("{name} {:.2}", *calls as f64 / requests as f64))
            .collect();
        texts.join(", ")
    }
}
