//! `greylet stats`: asks a running greylet what it has decided and how it does, and prints it for people, as JSON or for Prometheus.

pub mod answer;
pub mod json;
pub mod prometheus;
pub mod screen;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use answer::Answer;

use crate::cli::Stats;
use crate::commands::server::{Connection, SERVER_DEFAULT};
use crate::error::Error;

/// Asks, and prints.
///
/// # Errors
///
/// The command line is wrong, there is no answer, or the server does not tell.
pub fn run(options: &Stats) -> Result<ExitCode, Error> {
    if options.json && options.prometheus {
        return Err(Error::usage("--json or --prometheus, not both"));
    }
    let server = options.server.as_deref().unwrap_or(SERVER_DEFAULT);
    let mut connection = Connection::to(server)?;
    let lines = connection.ask(b"request=stats\n\n")?;
    let Some(answer) = Answer::read(&lines) else {
        // Any policy server answers something to what it does not know.
        return Err(Error::failure(format!(
            "{server} does not tell its numbers: it is not greylet or an older one, or it was asked from another machine"
        )));
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let written = if options.json {
        json::write(&mut out, &answer)
    } else if options.prometheus {
        prometheus::write(&mut out, &answer)
    } else {
        screen::write(&mut out, &answer, server)
    };
    written
        .and_then(|()| out.flush())
        .map_err(|error| Error::failure(format!("cannot write to standard output: {error}")))?;
    Ok(ExitCode::SUCCESS)
}
