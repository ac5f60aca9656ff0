//! `greylet query`: asks a policy server what Postfix would ask it.

use std::io::{self, BufRead};
use std::process::ExitCode;

use crate::cli::Query;
use crate::commands::print;
use crate::commands::server::{Connection, SERVER_DEFAULT};
use crate::error::Error;

/// What an action means for the mail; the worst of several is the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Passed,
    Deferred,
    Refused,
}

impl Outcome {
    fn exit_code(self) -> ExitCode {
        match self {
            Outcome::Passed => ExitCode::SUCCESS,
            Outcome::Deferred => ExitCode::from(3),
            Outcome::Refused => ExitCode::from(4),
        }
    }
}

/// Asks, and prints each answer's action.
///
/// # Errors
///
/// The command line is wrong, or there is no answer.
pub fn run(options: &Query) -> Result<ExitCode, Error> {
    let server = options.server.as_deref().unwrap_or(SERVER_DEFAULT);
    if !options.stdin {
        let request = request(options)?;
        return Ok(ask(&mut Connection::to(server)?, &request)?.exit_code());
    }
    let mut connection = None;
    let mut worst = Outcome::Passed;
    for request in Requests(io::stdin().lock()) {
        let request = request
            .map_err(|error| Error::failure(format!("cannot read standard input: {error}")))?;
        let connection = match &mut connection {
            Some(connection) => connection,
            None => connection.insert(Connection::to(server)?),
        };
        worst = worst.max(ask(connection, &request)?);
    }
    match connection {
        Some(_) => Ok(worst.exit_code()),
        None => Err(Error::failure(
            "there is no request on standard input: it is lines of NAME=VALUE, with a blank one at the end",
        )),
    }
}

/// Asks, and prints the action.
fn ask(server: &mut Connection, request: &[u8]) -> Result<Outcome, Error> {
    let lines = server.ask(request)?;
    let mut actions = lines.iter().filter_map(|line| line.strip_prefix("action="));
    let action = actions
        .next()
        .ok_or_else(|| server.failure("it has no action"))?;
    if lines.len() > 1 {
        let ignored_lines = lines.len() - 1;
        log::warn!(target: "greylet", "Postfix would ignore {ignored_lines} lines of the answer");
    }
    print(&format!("{action}\n"))?;
    Ok(outcome(action))
}

/// The request that Postfix would send, with the attributes in its order.
fn request(options: &Query) -> Result<Vec<u8>, Error> {
    let needed = |value: &Option<String>, name| match value {
        Some(_) => Ok(()),
        None => Err(Error::usage(format!(
            "--{name} is needed (or --stdin with whole requests)"
        ))),
    };
    needed(&options.client_address, "client-address")?;
    needed(&options.recipient, "recipient")?;
    let client_name = options.client_name.as_deref().unwrap_or("unknown");
    let attributes = [
        ("request", &options.request, "smtpd_access_policy"),
        ("protocol_state", &options.protocol_state, "RCPT"),
        ("protocol_name", &options.protocol_name, "ESMTP"),
        ("client_address", &options.client_address, ""),
        ("client_name", &options.client_name, client_name),
        ("client_port", &options.client_port, ""),
        (
            "reverse_client_name",
            &options.reverse_client_name,
            client_name,
        ),
        ("server_address", &options.server_address, ""),
        ("server_port", &options.server_port, ""),
        ("helo_name", &options.helo_name, ""),
        ("sender", &options.sender, ""),
        ("recipient", &options.recipient, ""),
        ("recipient_count", &options.recipient_count, "0"),
        ("queue_id", &options.queue_id, ""),
        ("instance", &options.instance, ""),
        ("size", &options.size, "0"),
        ("etrn_domain", &options.etrn_domain, ""),
        ("stress", &options.stress, ""),
        ("sasl_method", &options.sasl_method, ""),
        ("sasl_username", &options.sasl_username, ""),
        ("sasl_sender", &options.sasl_sender, ""),
        ("ccert_subject", &options.ccert_subject, ""),
        ("ccert_issuer", &options.ccert_issuer, ""),
        ("ccert_fingerprint", &options.ccert_fingerprint, ""),
        (
            "ccert_pubkey_fingerprint",
            &options.ccert_pubkey_fingerprint,
            "",
        ),
        ("encryption_protocol", &options.encryption_protocol, ""),
        ("encryption_cipher", &options.encryption_cipher, ""),
        ("encryption_keysize", &options.encryption_keysize, "0"),
    ];
    let mut attributes: Vec<(&str, &str)> = attributes
        .map(|(name, value, default)| (name, value.as_deref().unwrap_or(default)))
        .to_vec();
    // Newer versions of Postfix send these; an older one is imitated by leaving them out.
    for (name, value) in [
        ("tls_sni", &options.tls_sni),
        ("policy_context", &options.policy_context),
        ("compatibility_level", &options.compatibility_level),
        ("mail_version", &options.mail_version),
    ] {
        attributes.extend(value.as_deref().map(|value| (name, value)));
    }
    for attribute in &options.attribute {
        let (name, value) = attribute
            .split_once('=')
            .ok_or_else(|| Error::usage(format!("--attribute={attribute}: write NAME=VALUE")))?;
        attributes.push((name, value));
    }
    let mut request = Vec::new();
    for (name, value) in attributes {
        if name.is_empty() || name.contains(['\n', '\0']) || value.contains(['\n', '\0']) {
            return Err(Error::usage(format!(
                "the attribute {name:?}: names are not empty, and there are no line ends in the protocol"
            )));
        }
        request.extend_from_slice(format!("{name}={value}\n").as_bytes());
    }
    request.push(b'\n');
    Ok(request)
}

/// Requests as they are read; the last one may lack its blank line.
struct Requests<R>(R);

impl<R: BufRead> Iterator for Requests<R> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut request = Vec::new();
        loop {
            let start = request.len();
            match self.0.read_until(b'\n', &mut request) {
                Err(error) => return Some(Err(error)),
                Ok(0) if request.is_empty() => return None,
                Ok(0) => {
                    let end: &[u8] = if request.ends_with(b"\n") {
                        b"\n"
                    } else {
                        b"\n\n"
                    };
                    request.extend_from_slice(end);
                    return Some(Ok(request));
                }
                Ok(_) => {}
            }
            let is_blank = [&b"\n"[..], b"\r\n"].contains(&&request[start..]);
            match (is_blank, start) {
                // Nothing stands between two requests.
                (true, 0) => request.clear(),
                (true, _) => return Some(Ok(request)),
                (false, _) => {}
            }
        }
    }
}

/// What Postfix makes of an action (access(5)).
fn outcome(action: &str) -> Outcome {
    let verb = action
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_ascii_uppercase();
    let is_code = verb.len() == 3 && verb.bytes().all(|byte| byte.is_ascii_digit());
    match verb.as_str() {
        // An action of nothing but digits permits.
        _ if action.bytes().all(|byte| byte.is_ascii_digit()) => Outcome::Passed,
        "DUNNO" | "OK" | "PERMIT" | "PREPEND" | "WARN" | "INFO" | "HOLD" | "FILTER" | "BCC"
        | "REDIRECT" | "DISCARD" | "DEFER_IF_REJECT" => Outcome::Passed,
        "DEFER" | "DEFER_IF_PERMIT" => Outcome::Deferred,
        _ if is_code && verb.starts_with('4') => Outcome::Deferred,
        _ => Outcome::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes() {
        for (action, expected) in [
            ("DUNNO", Outcome::Passed),
            ("dunno", Outcome::Passed),
            ("PREPEND X-G: y", Outcome::Passed),
            ("", Outcome::Passed),
            ("450", Outcome::Passed),
            ("450 later", Outcome::Deferred),
            ("DEFER_IF_PERMIT 4.2.0 later", Outcome::Deferred),
            ("defer", Outcome::Deferred),
            ("REJECT", Outcome::Refused),
            ("550 no", Outcome::Refused),
            ("FOO", Outcome::Refused),
        ] {
            assert_eq!(outcome(action), expected, "{action}");
        }
    }
}
