//! What remembering costs the flash, and what a slow disk costs those who ask.
//!
//! | module | what it is |
//! |---|---|
//! | [`year`] | a year of a small site, simulated on the engine |
//! | [`daemon`] | the real one, and what it writes |

mod daemon;
mod year;

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;

use crate::client::{Clients, Figures, Question};
use crate::options::Options;
use crate::process::Process;
use crate::request::Request;
use crate::scratch::Scratch;
use daemon::{Daemon, Strace};
use year::Written;

/// Spam of the site, which never comes back.
const SPAM_A_DAY: u64 = 20_000;

/// Hours of a day, each of which is a second here, and what comes in one.
const HOURS: u64 = 24;
const NEW_AN_HOUR: u64 = 4;
const KNOWN_AN_HOUR: u64 = 38;
const SPAM_AN_HOUR: u64 = SPAM_A_DAY / HOURS;

/// Sizes of a table that is loaded.
const ENTRIES: [u64; 3] = [0, 65_536, 262_144];

/// Starts of which the median is shown.
const STARTS: usize = 9;

/// A bit more than two intervals of a second, so that whatever is due has been saved.
const TWO_INTERVALS: Duration = Duration::from_millis(2_500);

/// One entry for each triplet, and nobody passes because of others.
const BY_HOST: [&str; 4] = [
    "--quiet",
    "--lookup-by-host",
    "--auto-whitelist-clients=0",
    "--save-interval=0",
];

/// Measures, and gives the tables.
///
/// # Errors
///
/// greylet does not start, or does not do what it should.
pub(crate) fn measure(options: &Options) -> Result<String, String> {
    let scratch = Scratch::new()?;
    let tables = [
        simulated_year(),
        real_day(&options.binary, scratch.path())?,
        by_thousands(&options.binary, scratch.path())?,
        restarts(&options.binary, scratch.path())?,
        slow_disk(&options.binary, scratch.path())?,
    ];
    Ok(tables.join("\n"))
}

fn simulated_year() -> String {
    let mut table = String::from(
        "| a simulated year, a day | saves | of these full | bytes | bytes in pages of 4,096 | fsyncs | snapshot, bytes | bytes an entry |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let years = std::thread::scope(|scope| {
        let years = [0, SPAM_A_DAY].map(|spam| (spam, scope.spawn(move || year::live(spam))));
        years.map(|(spam, year)| (spam, year.join().expect("a simulation does not fail")))
    });
    for (spam, written) in years {
        let a_day = Written::a_day;
        // Cannot fail: a String takes everything.
        let _ = writeln!(
            table,
            "| 1000 mails, {spam} spam triplets | {:.1} | {:.2} | {:.0} | {:.0} | {:.1} | {} | {:.2} |",
            a_day(written.saves),
            a_day(written.full_saves),
            a_day(written.bytes),
            a_day(written.page_bytes),
            a_day(written.fsyncs()),
            written.file_bytes,
            written.file_bytes as f64 / written.entries as f64,
        );
    }
    table
}

/// A day in 24 seconds: a second is long enough for all that comes in an hour.
fn real_day(binary: &Path, scratch: &Path) -> Result<String, String> {
    let mut table = String::from(
        "| a day of hourly saves, an hour in a second | saves | write_bytes | fsyncs |\n\
         |---|--:|--:|--:|\n",
    );
    let days = [
        ("1000 mails", true, 0),
        ("1000 mails, 20000 spam triplets", true, SPAM_AN_HOUR),
        ("20000 spam triplets", false, SPAM_AN_HOUR),
    ];
    let outcomes = std::thread::scope(|scope| {
        let running = days.map(|(name, has_mail, spam)| {
            let folder = scratch.join(format!("day {name}"));
            scope.spawn(move || live_a_day(binary, &folder, has_mail, spam))
        });
        running.map(|day| day.join().expect("no panic"))
    });
    for ((name, ..), outcome) in days.iter().zip(outcomes) {
        let (saves, bytes, fsyncs) = outcome?;
        let _ = writeln!(table, "| {name} | {saves} | {bytes} | {fsyncs} |");
    }
    Ok(table)
}

fn live_a_day(
    binary: &Path,
    folder: &Path,
    has_mail: bool,
    spam_an_hour: u64,
) -> Result<(usize, u64, usize), String> {
    let options = [
        "--lookup-by-subnet",
        "--auto-whitelist-clients=0",
        "--save-interval=1",
    ];
    let daemon = Daemon::start(binary, folder, &options, Strace::Count)?;
    let bytes_before = daemon.write_bytes()?;
    for hour in 0..HOURS {
        let start = Instant::now();
        daemon.ask(spam(hour * spam_an_hour..(hour + 1) * spam_an_hour))?;
        if has_mail {
            pass(&daemon, hour * NEW_AN_HOUR..(hour + 1) * NEW_AN_HOUR)?;
            daemon.ask((0..KNOWN_AN_HOUR).map(|number| ask(number % NEW_AN_HOUR, None)))?;
            daemon.wait_for_save(hour as usize + 1)?;
        } else {
            std::thread::sleep(Duration::from_secs(1).saturating_sub(start.elapsed()));
        }
    }
    Ok((
        daemon.saves(),
        daemon.write_bytes()? - bytes_before,
        daemon.fsyncs(),
    ))
}

fn by_thousands(binary: &Path, scratch: &Path) -> Result<String, String> {
    let daemon = Daemon::start(
        binary,
        &scratch.join("thousands"),
        &[
            "--save-interval=1",
            "--lookup-by-subnet",
            "--auto-whitelist-clients=0",
        ],
        Strace::Count,
    )?;
    let mut table = String::from(
        "| a thousand, within one interval | write_bytes | fsyncs |\n\
         |---|--:|--:|\n",
    );
    // The first save makes the file.
    pass(&daemon, 0..1_000)?;
    daemon.wait_for_save(1)?;
    let before = (daemon.write_bytes()?, daemon.fsyncs());
    pass(&daemon, 1_000..2_000)?;
    std::thread::sleep(TWO_INTERVALS);
    let new = (daemon.write_bytes()?, daemon.fsyncs());
    daemon.ask((0..1_000).map(|number| ask(number, None)))?;
    std::thread::sleep(TWO_INTERVALS);
    let known = (daemon.write_bytes()?, daemon.fsyncs());
    for (name, from, to) in [
        ("new triplets that pass", before, new),
        ("requests of known ones", new, known),
    ] {
        let _ = writeln!(table, "| {name} | {} | {} |", to.0 - from.0, to.1 - from.1);
    }
    Ok(table)
}

fn restarts(binary: &Path, scratch: &Path) -> Result<String, String> {
    let mut table = String::from(
        "| entries | snapshot, bytes | start to first answer, ms | SIGTERM to the end, all entries unsaved, ms |\n\
         |--:|--:|--:|--:|\n",
    );
    for entries in ENTRIES {
        let folder = scratch.join(format!("restart {entries}"));
        let most = format!("--max-entries={}", entries.max(64));
        let options = [&BY_HOST[..], &[&most]].concat();
        let daemon = Daemon::start(binary, &folder, &options, Strace::No)?;
        pass(&daemon, 0..entries)?;
        let end = daemon.stop()?;
        let mut starts = Vec::new();
        for _ in 0..STARTS {
            let start = Instant::now();
            let daemon = Daemon::start(binary, &folder, &options, Strace::No)?;
            starts.push(start.elapsed());
            if entries > 0 {
                let answers = daemon.ask([0, entries - 1].map(|number| ask(number, None)))?;
                all_begin(&answers, "DUNNO")?;
            }
            // Dropped, it is killed.
        }
        starts.sort_unstable();
        let bytes = std::fs::metadata(folder.join("state/snapshot")).map_or(0, |it| it.len());
        let _ = writeln!(
            table,
            "| {entries} | {bytes} | {:.1} | {:.1} |",
            ms(starts[STARTS / 2]),
            ms(end)
        );
    }
    Ok(table)
}

fn slow_disk(binary: &Path, scratch: &Path) -> Result<String, String> {
    let folder = scratch.join("slow");
    let daemon = Daemon::start(binary, &folder, &BY_HOST, Strace::Slow)?;
    pass(&daemon, 0..65_536)?;
    let calm = answers(&daemon)?;
    daemon.signal(Signal::SIGUSR1)?;
    let saving = answers(&daemon)?;
    if daemon.saves() > 0 || !folder.join("state/snapshot.new").exists() {
        return Err("the save was over before the measurement was".to_owned());
    }
    let mut table = String::from(
        "| 16 connections, known triplets | requests/s | p50, us | p99, us |\n\
         |---|--:|--:|--:|\n",
    );
    for (name, figures) in [
        ("no save", calm),
        (
            "while 65536 entries are saved to a disk that takes 5 s for an fsync",
            saving,
        ),
    ] {
        let _ = writeln!(
            table,
            "| {name} | {:.0} | {:.1} | {:.1} |",
            figures.requests_per_second, figures.p50_us, figures.p99_us
        );
    }
    Ok(table)
}

/// For four seconds, which is less than the disk takes.
fn answers(daemon: &Daemon) -> Result<Figures, String> {
    let mut number = 0;
    let next = || {
        number += 1;
        Question {
            triplet: number % 65_536,
            transaction: number,
            expected: "action=DUNNO",
        }
    };
    let clients = Clients::connect(&daemon.address(), 16, next)?;
    let us = Process::new(std::process::id());
    clients.measure(us, Duration::from_millis(0), Duration::from_secs(4))
}

/// Has triplets pass for the first time, some minutes ago.
fn pass(daemon: &Daemon, numbers: std::ops::Range<u64>) -> Result<(), String> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|error| error.to_string())?
        .as_secs()
        - 700;
    for (time, expected) in [(since, "DEFER"), (since + 301, "PREPEND")] {
        let requests = numbers.clone().map(|number| ask(number, Some(time)));
        all_begin(&daemon.ask(requests)?, expected)?;
    }
    Ok(())
}

fn ask(number: u64, time: Option<u64>) -> Vec<u8> {
    let mut request = match time {
        Some(time) => Request::at(time),
        None => Request::of_postfix(),
    };
    request.about(number, number).to_vec()
}

fn spam(numbers: std::ops::Range<u64>) -> impl Iterator<Item = Vec<u8>> {
    numbers.map(|number| Request::short().about(1_000_000 + number, 0).to_vec())
}

fn all_begin(answers: &[String], expected: &str) -> Result<(), String> {
    match answers.iter().find(|answer| !answer.starts_with(expected)) {
        None => Ok(()),
        Some(answer) => Err(format!("{answer:?} instead of {expected}")),
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
