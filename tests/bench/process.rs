//! What the kernel says of a running process.

use std::fs;
use std::time::Duration;

/// Units in which every Linux that Rust runs on gives utime and stime to user space.
const TICKS_PER_SECOND: u64 = 100;

/// A process, by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(u32);

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Resident memory, shared pages of files included, in kB.
    pub(crate) resident_kb: u64,
    /// Of that, what is in no file.
    pub(crate) anonymous_kb: u64,
    /// Threads.
    pub(crate) threads: u64,
}

impl Process {
    /// The process with this number.
    pub(crate) fn new(id: u32) -> Process {
        Process(id)
    }

    /// Its number.
    pub(crate) fn id(self) -> u32 {
        self.0
    }

    /// The CPU time that its living threads have used, in user and in kernel mode.
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub(crate) fn cpu(self) -> Result<Duration, String> {
        let precise = self.scheduled()?;
        // All zeros come from a kernel without CONFIG_SCHED_INFO.
        if precise.is_zero() {
            self.ticked()
        } else {
            Ok(precise)
        }
    }

    /// How often its living threads have left a core, to wait or for another.
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub(crate) fn switches(self) -> Result<u64, String> {
        let statuses = self.statuses()?;
        let switches = statuses.iter().map(|status| -> u64 {
            let counts = status
                .lines()
                .filter_map(|line| line.split_once("voluntary_ctxt_switches:"));
            counts
                .filter_map(|(_, count)| count.trim().parse::<u64>().ok())
                .sum()
        });
        Ok(switches.sum())
    }

    /// To the nanosecond, in each thread's schedstat; nothing if the kernel does not count it.
    fn scheduled(self) -> Result<Duration, String> {
        let tasks = format!("/proc/{}/task", self.0);
        let threads = fs::read_dir(&tasks).map_err(|error| format!("{tasks}: {error}"))?;
        let nanoseconds = threads
            .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok())
            .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
            .sum();
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// To the hundredth of a second.
    fn ticked(self) -> Result<Duration, String> {
        let text = self.read("stat")?;
        // The program's name, in brackets, may contain anything; behind it, utime and stime are the 12th and 13th field.
        let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks: Vec<u64> = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse().ok())
            .collect();
        match ticks[..] {
            [user, system] => Ok(Duration::from_millis(
                (user + system) * 1_000 / TICKS_PER_SECOND,
            )),
            _ => Err(format!("/proc/{}/stat has no CPU times", self.0)),
        }
    }

    /// Its memory. /proc/PID/status is cheaper, but may be off by 64 pages a thread.
    ///
    /// # Errors
    ///
    /// The process is gone, or the kernel lacks CONFIG_PROC_PAGE_MONITOR.
    pub(crate) fn memory(self) -> Result<Memory, String> {
        let rollup = self.read("smaps_rollup")?;
        let field = |text: &str, name: &str| {
            text.lines()
                .find_map(|line| {
                    line.strip_prefix(name)?
                        .split_whitespace()
                        .next()?
                        .parse()
                        .ok()
                })
                .ok_or_else(|| format!("/proc/{} does not tell its {name}", self.0))
        };
        Ok(Memory {
            resident_kb: field(&rollup, "Rss:")?,
            anonymous_kb: field(&rollup, "Anonymous:")?,
            threads: field(&self.read("status")?, "Threads:")?,
        })
    }

    /// What it has had the kernel write to disk, in bytes.
    ///
    /// # Errors
    ///
    /// The process is gone or another user's, or the kernel lacks CONFIG_TASK_IO_ACCOUNTING.
    pub(crate) fn written_bytes(self) -> Result<u64, String> {
        let io = self.read("io")?;
        let count = io
            .lines()
            .find_map(|line| line.strip_prefix("write_bytes:"));
        count
            .and_then(|count| count.trim().parse().ok())
            .ok_or_else(|| format!("/proc/{}/io does not count", self.0))
    }

    /// How long the file is that its standard output goes to.
    pub(crate) fn log_bytes(self) -> u64 {
        fs::metadata(format!("/proc/{}/fd/1", self.0)).map_or(0, |log| log.len())
    }

    /// The number of who traces each of its threads; 0 is nobody.
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub(crate) fn tracers(self) -> Result<Vec<u32>, String> {
        let statuses = self.statuses()?;
        let tracer = |status: &String| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("TracerPid:"));
            line.and_then(|number| number.trim().parse().ok())
        };
        Ok(statuses.iter().filter_map(tracer).collect())
    }

    /// /proc/PID/status of each of its threads.
    fn statuses(self) -> Result<Vec<String>, String> {
        let tasks = format!("/proc/{}/task", self.0);
        let threads = fs::read_dir(&tasks).map_err(|error| format!("{tasks}: {error}"))?;
        let statuses = threads
            .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("status")).ok());
        Ok(statuses.collect())
    }

    fn read(self, file: &str) -> Result<String, String> {
        let path = format!("/proc/{}/{file}", self.0);
        fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))
    }
}
