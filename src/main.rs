//! Runs the command, prints the one error, exits.

use std::process::ExitCode;

fn main() -> ExitCode {
    greylet::commands::run(std::env::args_os()).unwrap_or_else(|error| {
        eprintln!("greylet: {error}");
        ExitCode::from(error.status())
    })
}
