//! `greylet query`: asks a policy server what Postfix would ask it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use crate::cli::Query;
use crate::commands::print;
use crate::engine::text::Printable;
use crate::error::Error;

const SERVER_DEFAULT: &str = "127.0.0.1:10023";

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

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
        return Ok(Connection::to(server)?.ask(&request)?.exit_code());
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
        worst = worst.max(connection.ask(&request)?);
    }
    match connection {
        Some(_) => Ok(worst.exit_code()),
        None => Err(Error::failure("there is no request on standard input")),
    }
}

/// The request that Postfix would send, with the attributes in its order.
fn request(options: &Query) -> Result<Vec<u8>, Error> {
    let needed = |value: &Option<String>, name| {
        value.clone().ok_or_else(|| {
            Error::usage(format!(
                "--{name} is needed (or --stdin with whole requests)"
            ))
        })
    };
    let client_address = needed(&options.client_address, "client-address")?;
    let recipient = needed(&options.recipient, "recipient")?;
    let or =
        |value: &Option<String>, default: &str| value.clone().unwrap_or_else(|| default.to_owned());
    let client_name = or(&options.client_name, "unknown");
    let reverse_client_name = or(&options.reverse_client_name, &client_name);
    let mut attributes = vec![
        ("request", or(&options.request, "smtpd_access_policy")),
        ("protocol_state", or(&options.protocol_state, "RCPT")),
        ("protocol_name", or(&options.protocol_name, "ESMTP")),
        ("client_address", client_address),
        ("client_name", client_name),
        ("client_port", or(&options.client_port, "")),
        ("reverse_client_name", reverse_client_name),
        ("server_address", or(&options.server_address, "")),
        ("server_port", or(&options.server_port, "")),
        ("helo_name", or(&options.helo_name, "")),
        ("sender", or(&options.sender, "")),
        ("recipient", recipient),
        ("recipient_count", or(&options.recipient_count, "0")),
        ("queue_id", or(&options.queue_id, "")),
        ("instance", or(&options.instance, "")),
        ("size", or(&options.size, "0")),
        ("etrn_domain", or(&options.etrn_domain, "")),
        ("stress", or(&options.stress, "")),
        ("sasl_method", or(&options.sasl_method, "")),
        ("sasl_username", or(&options.sasl_username, "")),
        ("sasl_sender", or(&options.sasl_sender, "")),
        ("ccert_subject", or(&options.ccert_subject, "")),
        ("ccert_issuer", or(&options.ccert_issuer, "")),
        ("ccert_fingerprint", or(&options.ccert_fingerprint, "")),
        (
            "ccert_pubkey_fingerprint",
            or(&options.ccert_pubkey_fingerprint, ""),
        ),
        ("encryption_protocol", or(&options.encryption_protocol, "")),
        ("encryption_cipher", or(&options.encryption_cipher, "")),
        ("encryption_keysize", or(&options.encryption_keysize, "0")),
    ];
    // Newer versions of Postfix send these; an older one is imitated by leaving them out.
    for (name, value) in [
        ("tls_sni", &options.tls_sni),
        ("policy_context", &options.policy_context),
        ("compatibility_level", &options.compatibility_level),
        ("mail_version", &options.mail_version),
    ] {
        attributes.extend(value.clone().map(|value| (name, value)));
    }
    for attribute in &options.attribute {
        let (name, value) = attribute
            .split_once('=')
            .ok_or_else(|| Error::usage(format!("--attribute={attribute}: write NAME=VALUE")))?;
        attributes.push((name, value.to_owned()));
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

struct Connection {
    server: String,
    answers: BufReader<Stream>,
}

/// Either kind of socket, of which every use must be done by a deadline.
struct Stream {
    socket: OwnedFd,
    deadline: Instant,
}

impl Stream {
    /// Waits until it can be used.
    fn wait_for(&self, readiness: PollFlags) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.socket.as_fd(), readiness)], timeout)? {
            0 => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait_for(PollFlags::POLLIN)?;
        Ok(nix::unistd::read(&self.socket, buffer)?)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait_for(PollFlags::POLLOUT)?;
        Ok(nix::unistd::write(&self.socket, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection {
    fn to(server: &str) -> Result<Connection, Error> {
        let connected = match server.strip_prefix("unix:") {
            Some(path) => Connection::to_unix(path),
            None => Connection::to_inet(server),
        };
        let socket = connected.map_err(|error| {
            let advice = match error.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                    "; is the server running? Name another with --server"
                }
                io::ErrorKind::InvalidInput => "; write HOST:PORT or unix:PATH",
                _ => "",
            };
            Error::failure(format!("cannot connect to {server}: {error}{advice}"))
        })?;
        let deadline = Instant::now();
        Ok(Connection {
            server: server.to_owned(),
            answers: BufReader::new(Stream { socket, deadline }),
        })
    }

    fn to_inet(server: &str) -> io::Result<OwnedFd> {
        let mut outcome = Err(io::Error::from(io::ErrorKind::InvalidInput));
        for address in server.to_socket_addrs()? {
            outcome = TcpStream::connect_timeout(&address, TIMEOUT);
            if outcome.is_ok() {
                break;
            }
        }
        let stream = outcome?;
        stream.set_nonblocking(true)?;
        Ok(stream.into())
    }

    /// A server that does not take connections fast enough is an error at once (EAGAIN).
    fn to_unix(path: &str) -> io::Result<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        Ok(socket)
    }

    /// Sends a request and prints the action that it is answered with.
    fn ask(&mut self, request: &[u8]) -> Result<Outcome, Error> {
        let stream = self.answers.get_mut();
        stream.deadline = Instant::now() + TIMEOUT;
        let answered = stream.write_all(request).and_then(|()| self.read_action());
        let action = answered.map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::TimedOut => {
                    format!("it was not whole after {} seconds", TIMEOUT.as_secs())
                }
                _ => error.to_string(),
            };
            Error::failure(format!("no answer from {}: {why}", self.server))
        })?;
        let bytes = action.as_bytes();
        let bytes_max = bytes.len();
        print(&format!("{}\n", Printable { bytes, bytes_max }))?;
        Ok(outcome(&action))
    }

    /// Reads one answer: lines up to a blank one, of which the first `action=` counts.
    fn read_action(&mut self) -> io::Result<String> {
        let mut answer = Read::take(&mut self.answers, ANSWER_BYTES_MAX);
        let (mut action, mut ignored_lines) = (None, 0);
        loop {
            let mut line = Vec::new();
            if answer.read_until(b'\n', &mut line)? == 0 {
                let why = match answer.limit() {
                    0 => "it is longer than 1 MiB",
                    _ => "the connection was closed",
                };
                return Err(io::Error::other(why));
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                break;
            }
            match line.strip_prefix("action=") {
                Some(text) if action.is_none() => action = Some(text.to_owned()),
                _ => ignored_lines += 1,
            }
        }
        if ignored_lines > 0 {
            log::warn!("Postfix would ignore {ignored_lines} lines of the answer");
        }
        action.ok_or_else(|| io::Error::other("it has no action"))
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
