//! `greylet explain`: asks a running greylet what it would answer, and why, without a trace of the question.

use std::process::ExitCode;

use crate::cli::Explain;
use crate::commands::print;
use crate::commands::server::{Connection, SERVER_DEFAULT, attribute};
use crate::error::Error;

/// Asks, and prints what there is to say, a line each.
///
/// # Errors
///
/// The command line is wrong, there is no answer, or the server does not explain.
pub fn run(options: &Explain) -> Result<ExitCode, Error> {
    let server = options.server.as_deref().unwrap_or(SERVER_DEFAULT);
    let request = request(options)?;
    let mut connection = Connection::to(server)?;
    let lines = connection.ask(&request)?;
    // Any policy server answers something to what it does not know.
    let [first, rest @ ..] = lines.as_slice() else {
        return Err(connection.failure("it is empty"));
    };
    if first != EXPLAINED {
        return Err(Error::failure(format!(
            "{server} does not explain: it is not greylet, or it was asked from another machine; ask on the same one, with --server=127.0.0.1:PORT or unix:PATH"
        )));
    }
    let mut text = String::new();
    for line in rest {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        text.push_str(&format!("{name:<WIDTH$} {value}\n"));
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What an explanation begins with.
const EXPLAINED: &str = "explained=yes";

/// Room for the names.
const WIDTH: usize = 14;

fn request(options: &Explain) -> Result<Vec<u8>, Error> {
    let or = |value: &Option<String>, default: &str| match value {
        Some(value) => value.clone(),
        None => default.to_owned(),
    };
    let mut request = String::from("request=explain\n");
    for (name, value) in [
        ("protocol_state", or(&options.protocol_state, "RCPT")),
        ("client_address", options.client_address.clone()),
        ("client_name", or(&options.client_name, "unknown")),
        ("sender", or(&options.sender, "")),
        ("recipient", options.recipient.clone()),
        ("sasl_username", or(&options.sasl_username, "")),
    ] {
        request.push_str(&attribute(name, &value)?);
    }
    request.push('\n');
    Ok(request.into_bytes())
}
