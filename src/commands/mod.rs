//! The commands: from checked words to what they do.

pub mod allow;
pub mod check;
pub mod dump;
pub mod explain;
pub mod import;
mod json;
pub mod migrate;
pub mod query;
pub mod report;
pub mod serve;
pub mod server;
pub mod shell;
pub mod stats;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use log::LevelFilter;
use simple_logger::SimpleLogger;

use crate::cli::{self, Command, Parsed};
use crate::daemon;
use crate::error::Error;

/// Does what a command line says, the program's name included.
///
/// # Errors
///
/// What ends the program, to be printed.
pub fn run(words: impl Iterator<Item = OsString>) -> Result<ExitCode, Error> {
    let words = words.skip(1).map(utf8).collect::<Result<_, _>>()?;
    match cli::parse(words)? {
        Parsed::Print(text) => {
            print(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        Parsed::Run(Command::Serve(options)) => daemon::serve(serve::settings(options)?),
        Parsed::Run(command) => run_short_lived(command),
    }
}

/// Apart, so that serve, which does not come this way, has no stack frames of the others.
#[inline(never)]
fn run_short_lived(command: Command) -> Result<ExitCode, Error> {
    match command {
        Command::Serve(options) => daemon::serve(serve::settings(options)?),
        Command::Check(options) => check::run(&options),
        Command::Migrate(options) => migrate::run(&options),
        Command::Import(options) => {
            log_to_stderr();
            import::run(&options)
        }
        Command::Query(options) => {
            log_to_stderr();
            query::run(&options)
        }
        Command::Allow(options) => allow::allow(&options),
        Command::Forget(options) => allow::forget(&options),
        Command::Dump(options) => dump::run(&options),
        Command::Explain(options) => explain::run(&options),
        Command::Stats(options) => stats::run(&options),
        Command::Report(options) => {
            log_to_stderr();
            report::run(&options)
        }
    }
}

fn utf8(word: OsString) -> Result<String, Error> {
    word.into_string().map_err(|word| {
        Error::usage(format!(
            "this argument is not UTF-8: {}",
            word.to_string_lossy()
        ))
    })
}

/// Prints to standard output; unlike println, without a panic when nobody reads it.
fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Error::failure(format!("cannot write to standard output: {error}")))
}

/// Lines name their target, which is therefore `greylet`, not a module.
fn log_to_stderr() {
    let logger = SimpleLogger::new().with_level(LevelFilter::Warn);
    // Fails only if there is a logger already, which then does as well.
    let _ = logger.init();
}
