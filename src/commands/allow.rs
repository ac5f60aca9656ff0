//! `greylet allow` and `greylet forget`: orders to a running greylet, over its Unix socket.

use std::process::ExitCode;

use crate::cli::{Allow, Forget};
use crate::commands::server::{Connection, attribute};
use crate::commands::{print, serve};
use crate::engine::identity::parse_address;
use crate::engine::orders::{Whom, allowed_for};
use crate::engine::time::Seconds;
use crate::error::Error;

/// How long mail is let through when nothing is said.
const FOR_DEFAULT: Seconds = Seconds::HOUR;

/// Has somebody's mail let through for some time.
///
/// # Errors
///
/// The command line is wrong, or greylet is not there, or does not obey.
pub fn allow(options: &Allow) -> Result<ExitCode, Error> {
    let (name, value) = whom(options)?;
    let span = match &options.for_ {
        Some(text) => span(text)?,
        None => FOR_DEFAULT,
    };
    let seconds = span.to_string();
    let attributes = [(name, value), ("for_seconds", seconds.as_str())];
    order("allow", options.server.as_deref(), &attributes)
}

/// Has a mail or a client forgotten.
///
/// # Errors
///
/// As above.
pub fn forget(options: &Forget) -> Result<ExitCode, Error> {
    let address = options.client_address.as_str();
    if parse_address(address.as_bytes()).is_none() {
        return Err(Error::usage(format!(
            "--client-address={address}: not an IP address"
        )));
    }
    if options.sender.is_some() && options.recipient.is_none() {
        return Err(Error::usage(
            "--sender without --recipient: name both to forget a mail, or none to forget all of the client",
        ));
    }
    let mut attributes = vec![("client_address", address)];
    for (name, value) in [
        ("client_name", &options.client_name),
        ("sender", &options.sender),
        ("recipient", &options.recipient),
    ] {
        attributes.extend(value.as_deref().map(|value| (name, value)));
    }
    order("forget", options.server.as_deref(), &attributes)
}

/// Whose mail is meant, as an attribute of the request. A word alone must not be a name that could be a client's and a recipient's.
fn whom(options: &Allow) -> Result<(&'static str, &str), Error> {
    let given = [&options.whom, &options.client, &options.recipient];
    let (name, value, read) = match given.map(Option::as_deref) {
        [Some(word), None, None] if word.contains('@') => {
            ("recipient", word, Whom::recipient(word.as_bytes()))
        }
        [Some(word), None, None] => match Whom::client(word.as_bytes()) {
            Ok(client) if client.is_network() => ("client_address", word, Ok(client)),
            Ok(_) => {
                return Err(Error::usage(format!(
                    "{word}: is that a client's name or the domain of recipients? Write --client={word} or --recipient={word}"
                )));
            }
            Err(_) => {
                return Err(Error::usage(format!(
                    "{word}: neither user@domain nor an IP address, a network or a domain"
                )));
            }
        },
        [None, Some(word), None] => {
            let client = Whom::client(word.as_bytes());
            let name = match client {
                Ok(client) if client.is_network() => "client_address",
                _ => "client_name",
            };
            (name, word, client)
        }
        [None, None, Some(word)] => ("recipient", word, Whom::recipient(word.as_bytes())),
        [None, None, None] => {
            return Err(Error::usage(
                "say whose mail: a recipient, or a client's address or name (greylet allow --help)",
            ));
        }
        _ => {
            return Err(Error::usage(
                "name one recipient or one client: greylet allow takes one at a time",
            ));
        }
    };
    match read {
        Ok(_) => Ok((name, value)),
        Err(unfit) => Err(Error::usage(format!("{value}: {unfit}"))),
    }
}

/// A span as `90s`, `10m`, `2h` or `7d`, from a minute to a week.
fn span(text: &str) -> Result<Seconds, Error> {
    let wrong = |why: &str| Error::usage(format!("--for={text}: {why}"));
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => Seconds::HOUR.get(),
        "d" => Seconds::DAY.get(),
        "" if !digits.is_empty() => {
            return Err(wrong(&format!(
                "say in which unit: {digits}s, {digits}m, {digits}h or {digits}d"
            )));
        }
        _ => return Err(wrong("write a number and s, m, h or d, as 10m")),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong("write a number and s, m, h or d, as 10m"));
    }
    let seconds = digits.parse::<u32>().ok();
    let seconds = seconds.and_then(|number| number.checked_mul(unit));
    let span = seconds.and_then(allowed_for);
    span.ok_or_else(|| wrong("it must be from 1m to 7d; what is to last is a list's"))
}

/// Sends an order, and prints what came of it.
fn order(
    request: &str,
    server: Option<&str>,
    attributes: &[(&str, &str)],
) -> Result<ExitCode, Error> {
    let mut text = format!("request={request}\n");
    for (name, value) in attributes {
        text.push_str(&attribute(name, value)?);
    }
    text.push('\n');
    let path = path(request, server)?;
    let mut connection = Connection::to_control(&path)?;
    let lines = connection.ask(text.as_bytes())?;
    let line = lines.first().map(String::as_str).unwrap_or_default();
    if let Some(done) = line.strip_prefix("done=") {
        print(&format!("{done}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    Err(match line.strip_prefix("refused=") {
        Some(why) => Error::failure(format!("unix:{path} refuses: {why}")),
        None => Error::failure(format!(
            "unix:{path} takes no orders: it is not greylet, or an older one"
        )),
    })
}

/// The path of the socket.
fn path(request: &str, server: Option<&str>) -> Result<String, Error> {
    let Some(server) = server else {
        let folder = serve::default_folder().ok_or_else(|| {
            Error::usage(
                "say where greylet's socket is: --server=unix:PATH; there is no default folder",
            )
        })?;
        return Ok(folder.join("control").display().to_string());
    };
    match server.strip_prefix("unix:") {
        Some(path) if !path.is_empty() => Ok(path.to_owned()),
        _ => Err(Error::usage(format!(
            "--server={server}: {request} works only over a Unix socket: write unix:PATH"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (text, seconds) in [
            ("60s", 60),
            ("10m", 600),
            ("2h", 7_200),
            ("7d", 604_800),
            ("168h", 604_800),
        ] {
            assert_eq!(span(text), Ok(Seconds::new(seconds)), "{text}");
        }
        for (text, said) in [
            ("10", "10m"),
            ("", "a number"),
            ("m", "a number"),
            ("10min", "a number"),
            ("1.5h", "a number"),
            ("-5m", "a number"),
            ("\u{664}m", "a number"),
            ("59s", "from 1m to 7d"),
            ("0m", "from 1m to 7d"),
            ("8d", "from 1m to 7d"),
            ("4294967296d", "from 1m to 7d"),
            ("71582789m", "from 1m to 7d"),
        ] {
            let error = span(text).unwrap_err();
            assert_eq!(error.status(), 2);
            assert!(error.to_string().contains(said), "{text}: {error}");
        }
    }
}
