//! Runs the command, prints the one error, exits.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    greylet::commands::run(std::env::args_os()).unwrap_or_else(|error| {
        // Nobody may be there to read it, or no room; eprintln would panic.
        let _ = writeln!(std::io::stderr(), "greylet: {error}");
        ExitCode::from(error.status())
    })
}
