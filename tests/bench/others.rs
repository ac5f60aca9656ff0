//! What the rest of the machine did meanwhile. Figures taken beside a compiler are worth nothing, and should say so.

use std::fmt;
use std::fs;
use std::time::Instant;

/// Units of /proc in a second, on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time used up to a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Others {
    since: Instant,
    ticks: Option<u64>,
}

impl Others {
    /// From now on.
    pub(crate) fn watch() -> Others {
        Others {
            since: Instant::now(),
            ticks: ticks(),
        }
    }

    /// Percent of one core, since then, that neither this process nor those of its children that have ended have used.
    fn percent_of_a_core(&self) -> Option<f64> {
        let ticks = ticks()?.saturating_sub(self.ticks?);
        let seconds = self.since.elapsed().as_secs_f64();
        Some(ticks as f64 / TICKS_PER_SECOND / seconds * 100.0)
    }
}

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.percent_of_a_core() {
            Some(percent) => write!(f, "other processes used {percent:.0} % of a core meanwhile"),
            None => f.write_str("nobody knows what other processes did meanwhile"),
        }
    }
}

/// CPU time of the machine, but for our own.
fn ticks() -> Option<u64> {
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let machine = numbers(machine.lines().next()?);
    // A process pays for the interrupts in which it was, so these are in both; what the hypervisor takes away is another's.
    let [user, nice, system, _idle, _iowait, irq, softirq, steal] = *machine.first_chunk()?;
    let machine = user + nice + system + irq + softirq + steal;
    let own = fs::read_to_string("/proc/self/stat").ok()?;
    let own = numbers(own.rsplit_once(')')?.1);
    // utime, stime, and both of the children that have been waited for.
    let own: u64 = own.get(10..14)?.iter().sum();
    Some(machine.saturating_sub(own))
}

fn numbers(line: &str) -> Vec<u64> {
    line.split_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap_or(0))
        .collect()
}
