//! `greylet import`: reads what `db_dump` writes of Postgrey's databases, so that nobody whom Postgrey knew waits again.

pub mod dump;
pub mod entries;
pub mod record;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::process::ExitCode;

use crate::cli::{Import, Serve};
use crate::commands::{print, serve};
use crate::daemon;
use crate::error::Error;
use entries::Importer;

/// What standard input is called; on the command line it may be -, too.
const STDIN: &str = "/dev/stdin";

/// Imports, and says what became of the records.
///
/// # Errors
///
/// The command line is wrong, a dump cannot be read, or greylet runs.
pub fn run(options: &Import) -> Result<ExitCode, Error> {
    let settings = serve::settings(Serve {
        dbdir: options.dbdir.clone(),
        delay: options.delay.clone(),
        max_age: options.max_age.clone(),
        lookup_by_host: options.lookup_by_host,
        ..Serve::default()
    })?;
    let Some(folder) = settings.folder else {
        return Err(Error::usage("say with --dbdir where the snapshot is"));
    };
    let policy = settings.policy;
    let tally = daemon::change_snapshot(&folder, policy, |engine, now| {
        let key = engine.key().clone();
        let mut importer = Importer::new(&key, policy.lookup, policy.rules);
        read(&options.files, &mut importer)?;
        let imported = importer.finish(now);
        engine.take_over(&imported.entries, now);
        Ok(imported.tally)
    })?;
    print(&format!("{tally}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Reads dumps of either database, in any order; standard input if none is named.
///
/// # Errors
///
/// One cannot be read, or is none. One without records is only warned of.
pub fn read(names: &[String], importer: &mut Importer<'_>) -> Result<(), Error> {
    let names = match names {
        [] => &[STDIN.to_owned()],
        names => names,
    };
    for name in names {
        let source: Box<dyn Read> = if name == STDIN {
            Box::new(io::stdin())
        } else {
            let file = File::open(name);
            Box::new(file.map_err(|error| cannot(name, &error))?)
        };
        let take = |key: &[u8], value: &[u8]| importer.take(key, value);
        match dump::read(BufReader::new(source), take) {
            Err(problem) => return Err(cannot(name, &problem)),
            // A database of a running Postgrey looks so.
            Ok(0) => log::warn!(
                target: "greylet",
                "{} has no records; was Postgrey stopped before the dump was made?",
                name.escape_debug()
            ),
            Ok(_) => {}
        }
    }
    Ok(())
}

fn cannot(name: &str, problem: &dyn std::fmt::Display) -> Error {
    Error::failure(format!("cannot import {}: {problem}", name.escape_debug()))
}
