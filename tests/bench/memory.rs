//! What greylet holds: idle, with a full table, and after a flood that the table could not hold.

use std::fmt::Write;
use std::time::Instant;

use crate::address::Socket;
use crate::cores::{Cores, Place};
use crate::flood::Flood;
use crate::options::Options;
use crate::scratch::Scratch;
use crate::server::{Kind, Server};

/// Entries of a table when nothing is said.
const ENTRIES: u64 = 65_536;

/// Measures, and gives the table.
///
/// # Errors
///
/// greylet does not start, or leaves a request without its answer.
pub(crate) fn measure(options: &Options, cores: Cores, requests: u64) -> Result<String, String> {
    let scratch = Scratch::new()?;
    let greylet = Kind::Greylet {
        binary: options.binary.clone(),
        options: ["--lookup-by-subnet", "--quiet"].map(str::to_owned).into(),
    };
    let server = Server::start(greylet, Socket::Tcp, &scratch, cores)?;
    cores.move_client(Place::Apart)?;
    flood(&server, requests).map_err(|message| server.blame(&message))
}

fn flood(server: &Server, requests: u64) -> Result<String, String> {
    let process = server.process();
    let idle = process.memory()?;
    let mut flood = Flood::connect(server.address())?;
    flood.send(ENTRIES)?;
    let full = process.memory()?;
    let start = Instant::now();
    flood.send(requests)?;
    let elapsed = start.elapsed();
    let flooded = process.memory()?;
    let mut table = String::from(
        "| | resident, kB | anonymous, kB | threads |\n\
         |---|--:|--:|--:|\n",
    );
    for (when, memory) in [
        ("idle".to_owned(), idle),
        (format!("after {ENTRIES} triplets"), full),
        (format!("after {requests} one-shot triplets more"), flooded),
    ] {
        // Cannot fail: a String takes everything.
        let _ = writeln!(
            table,
            "| {when} | {} | {} | {} |",
            memory.resident_kb, memory.anonymous_kb, memory.threads
        );
    }
    let entries_kb = full.anonymous_kb.saturating_sub(idle.anonymous_kb);
    let _ = writeln!(
        table,
        "\n{:.1} bytes an entry; the flood had {:.0} requests/s, and each got its answer",
        (entries_kb * 1_024) as f64 / ENTRIES as f64,
        requests as f64 / elapsed.as_secs_f64(),
    );
    Ok(table)
}
