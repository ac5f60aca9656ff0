//! What long lists cost: memory of a running greylet, and time of the look-ups of one decision, in which nothing matches.

use std::fmt::Write;
use std::hint::black_box;
use std::net::IpAddr;
use std::time::Instant;

use greylet::engine::access::{Clients, Recipients};

use crate::address::Socket;
use crate::cores::Cores;
use crate::options::Options;
use crate::scratch::Scratch;
use crate::server::{Kind, Server};

/// Lines of each kind: a list of so many names, and one of so many networks.
const LINES: [u32; 3] = [0, 1_000, 10_000];

/// Look-ups of which the fastest round counts.
const LOOKUPS: u32 = 200_000;
const ROUNDS: u32 = 7;

/// Regular expressions of the usual kind: some, and about as many as a list may have.
const PATTERNS: [u32; 3] = [0, 20, 80];

/// Regular expressions of the costliest kinds that were found.
const WORST: [(&str, usize, usize); 3] = [(".*", 500, 4), ("a?", 140, 12), (".*", 1, 512)];

/// Bytes of texts, of which the costliest counts.
const TEXT_BYTES: [usize; 6] = [80, 100, 120, 160, 240, 320];

/// Measures, and gives the table.
///
/// # Errors
///
/// greylet does not start.
pub(crate) fn measure(options: &Options, cores: Cores) -> Result<String, String> {
    let scratch = Scratch::new()?;
    let mut table = String::from(
        "| list of clients | look-ups of a decision, us | resident, kB | anonymous, kB |\n\
         |---|--:|--:|--:|\n",
    );
    for (name, text) in texts() {
        let path = scratch.path().join("clients");
        std::fs::write(&path, &text).map_err(|error| format!("{}: {error}", path.display()))?;
        let greylet = Kind::Greylet {
            name: "greylet",
            binary: options.binary.clone(),
            options: vec![format!("--whitelist-clients={}", path.display())],
        };
        let server = Server::start(greylet, Socket::Tcp, &scratch, cores)?;
        let memory = server.process().memory()?;
        let lookup_us = lookup_us(&text);
        // Cannot fail: a String takes everything.
        let _ = writeln!(
            table,
            "| {name} | {lookup_us:.2} | {} | {} |",
            memory.resident_kb, memory.anonymous_kb
        );
    }
    for (part, repeated, lines) in WORST {
        let text = format!("/{}1/\n", part.repeat(repeated)).repeat(lines);
        let (rules, worst_ms) = worst_ms(&text);
        let _ = writeln!(
            table,
            "\n{rules} times `{part}` {repeated} times, and the costliest recipient: {worst_ms:.2} ms"
        );
    }
    Ok(table)
}

/// How many of these lines count, and what the costliest text costs.
fn worst_ms(text: &str) -> (usize, f64) {
    let (recipients, _) = Recipients::read([text.as_bytes()]);
    let cost_ms = |bytes: usize| {
        let recipient = vec![b'a'; bytes];
        let round = |_| {
            let start = Instant::now();
            black_box(recipients.find(black_box(&recipient)));
            start.elapsed().as_secs_f64() * 1e3
        };
        (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
    };
    let worst_ms = TEXT_BYTES.map(cost_ms).into_iter().fold(0.0, f64::max);
    (recipients.len(), worst_ms)
}

fn texts() -> Vec<(String, String)> {
    let names = LINES.map(|lines| {
        let text = (0..lines).map(|line| format!("mail{line}.example{}.com\n", line % 97));
        (format!("{lines} names"), text.collect())
    });
    let networks = LINES.map(|lines| {
        let text = (0..lines).map(|line| {
            format!(
                "{}.{}.{}.0/24\n",
                line % 100 + 1,
                line / 100 % 256,
                line % 256
            )
        });
        (format!("{lines} networks"), text.collect())
    });
    let patterns = PATTERNS.map(|lines| {
        let text = (0..lines).map(|line| format!("/^mail\\d+-{line}\\.example\\.com$/\n"));
        (format!("{lines} regular expressions"), text.collect())
    });
    [&names[..], &networks[1..], &patterns[1..]].concat()
}

/// The best of some rounds, as the rest is what the machine does besides.
fn lookup_us(text: &str) -> f64 {
    let (clients, _) = Clients::read([text.as_bytes()]);
    let (recipients, _) = Recipients::read([&b"postmaster@\nabuse@\n"[..]]);
    let address: IpAddr = [203, 0, 113, 9].into();
    let lookups = if text.starts_with('/') {
        LOOKUPS / 100
    } else {
        LOOKUPS
    };
    let round = || {
        let start = Instant::now();
        for _ in 0..lookups {
            black_box(clients.find_name(black_box(b"smtp-out-23.eu-west-1.provider.example")));
            black_box(clients.find_address(black_box(address)));
            black_box(recipients.find(black_box(b"somebody+tag@mail.example.org")));
        }
        start.elapsed().as_secs_f64() * 1e6 / f64::from(lookups)
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}
