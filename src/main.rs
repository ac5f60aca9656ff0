//! Runs the command, prints the one error, exits.

use std::io::Write;
use std::process::ExitCode;

use greylet::engine::text::Printable;

fn main() -> ExitCode {
    greylet::commands::run(std::env::args_os()).unwrap_or_else(|error| {
        // What a script was given by others may stand in it.
        let message = error.to_string();
        let message = Printable {
            bytes: message.as_bytes(),
            bytes_max: message.len(),
        };
        // Nobody may be there to read it, or no room; eprintln would panic.
        let _ = writeln!(std::io::stderr(), "greylet: {message}");
        ExitCode::from(error.status())
    })
}
