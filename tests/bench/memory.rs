//! What greylet holds: idle, with connections, with lists, with full tables, and after a flood that the table could not hold.

use std::fmt::Write;
use std::fs::File;
use std::io::{Read, Write as _};
use std::time::Instant;

use crate::address::Socket;
use crate::cores::{Cores, Place};
use crate::flood::Flood;
use crate::options::Options;
use crate::process::Memory;
use crate::request::Request;
use crate::scratch::Scratch;
use crate::server::{Kind, Server};

/// Entries of a table when nothing is said, and of the largest one.
const ENTRIES: u64 = 65_536;
const ENTRIES_MAX: u64 = 262_144;

/// Connections of a busy gateway, and as many as are taken when nothing is said.
const CONNECTIONS: [usize; 2] = [200, 256];

/// Lines of whitelist_clients in Debian's Postgrey 1.37: names, networks and regular expressions; comments come on top.
const NAMES: u32 = 108;
const NETWORKS: u32 = 22;
const PATTERNS: u32 = 34;
const COMMENT_LINES: usize = 146;

/// What one build holds at one time.
struct Row {
    when: String,
    memory: Memory,
}

/// Measures, and gives the table.
///
/// # Errors
///
/// greylet does not start, or leaves a request without its answer.
pub(crate) fn measure(options: &Options, cores: Cores) -> Result<String, String> {
    let scratch = Scratch::new()?;
    cores.move_client(Place::Apart)?;
    let clients = scratch.path().join("whitelist_clients");
    std::fs::write(&clients, long_list())
        .map_err(|error| format!("{}: {error}", clients.display()))?;
    let with_lists = format!("--whitelist-clients={}", clients.display());
    let with_room = format!("--max-entries={ENTRIES_MAX}");
    // A log of the floods would be gigabytes.
    let for_floods = ["--lookup-by-subnet", "--quiet"];

    let builds = options.greylets(&[]);
    let start = |build: usize, words: &[&str]| {
        let kind = options.greylets(words).swap_remove(build);
        Server::start(kind, Socket::Tcp, &scratch, cores)
    };
    let mut columns: Vec<Vec<Row>> = Vec::new();
    let mut notes = String::new();
    for build in 0..builds.len() {
        let mut rows = Vec::new();
        let server = start(build, &[])?;
        connect(&server, &mut rows).map_err(|message| server.blame(&message))?;
        drop(server);

        let server = start(build, &[&with_lists])?;
        let lines = NAMES + NETWORKS + PATTERNS;
        note(&mut rows, &server, format!("{lines} lines of clients"))?;
        drop(server);

        let server = start(build, &[&for_floods[..], &[&with_room]].concat())?;
        let mut flood = Flood::connect(server.address())?;
        let sent = flood.send(ENTRIES_MAX);
        sent.map_err(|message| server.blame(&message))?;
        note(&mut rows, &server, format!("{ENTRIES_MAX} entries"))?;
        drop(server);

        let server = start(build, &for_floods)?;
        let said = fill(&server, options.memory_requests, &mut rows);
        let said = said.map_err(|message| server.blame(&message))?;
        notes.push_str(&said);
        columns.push(rows);
    }
    Ok(format!("{}\n{notes}", table(&builds, &columns)))
}

/// Idle, and with one connection after the other, each of which has asked something.
fn connect(server: &Server, rows: &mut Vec<Row>) -> Result<(), String> {
    note(rows, server, "idle".to_owned())?;
    let mut connections: Vec<File> = Vec::new();
    let mut request = Request::of_postfix();
    for most in CONNECTIONS {
        while connections.len() < most {
            let number = connections.len() as u64;
            let failed = |error| format!("connection {number}: {error}");
            let mut connection = server.address().connect().map_err(failed)?;
            let asked = connection.write_all(request.about(number, number));
            asked.map_err(failed)?;
            let mut answer = [0; 1_024];
            if connection.read(&mut answer).map_err(failed)? == 0 {
                return Err(format!("connection {number} is closed at once"));
            }
            connections.push(connection);
        }
        note(rows, server, format!("{most} connections"))?;
    }
    Ok(())
}

/// With a full table, and after a flood.
fn fill(server: &Server, requests: u64, rows: &mut Vec<Row>) -> Result<String, String> {
    let idle = server.process().memory()?;
    let mut flood = Flood::connect(server.address())?;
    flood.send(ENTRIES)?;
    let full = note(rows, server, format!("{ENTRIES} entries"))?;
    let start = Instant::now();
    flood.send(requests)?;
    let elapsed = start.elapsed();
    let flooded = note(rows, server, format!("{requests} one-shot triplets more"))?;
    let entries_kb = full.anonymous_kb.saturating_sub(idle.anonymous_kb);
    Ok(format!(
        "- {}: {:.1} bytes an entry; the flood had {:.0} requests/s on 4 connections, pipelined, and each got its answer; threads: {}\n",
        server.kind().name(),
        (entries_kb * 1_024) as f64 / ENTRIES as f64,
        requests as f64 / elapsed.as_secs_f64(),
        flooded.threads,
    ))
}

fn note(rows: &mut Vec<Row>, server: &Server, when: String) -> Result<Memory, String> {
    let memory = server.process().memory()?;
    rows.push(Row { when, memory });
    Ok(memory)
}

/// A column for each build; all have the same rows.
fn table(builds: &[Kind], columns: &[Vec<Row>]) -> String {
    let mut table = String::from("| |");
    for build in builds {
        // Cannot fail: a String takes everything.
        let _ = write!(
            table,
            " {}: resident, kB | of it anonymous, kB |",
            build.name()
        );
    }
    table.push_str("\n|---|");
    table.push_str(&"--:|--:|".repeat(builds.len()));
    for (index, row) in columns.first().into_iter().flatten().enumerate() {
        let _ = write!(table, "\n| {} |", row.when);
        for Row { memory, .. } in columns.iter().map(|column| &column[index]) {
            let (resident_kb, anonymous_kb) = (memory.resident_kb, memory.anonymous_kb);
            let _ = write!(table, " {resident_kb} | {anonymous_kb} |");
        }
    }
    table.push('\n');
    table
}

/// As long as Debian's, of lines of its kinds.
fn long_list() -> String {
    let names = (0..NAMES).map(|line| format!("mail{line}.example{}.com\n", line % 97));
    let networks = (0..NETWORKS).map(|line| format!("198.51.{line}.0/24\n"));
    let patterns = (0..PATTERNS).map(|line| format!("/^mail\\d+-{line}\\.example\\.com$/\n"));
    let comments = "# Why a client is in this list.\n".repeat(COMMENT_LINES);
    let lines: String = names.chain(networks).chain(patterns).collect();
    comments + &lines
}
