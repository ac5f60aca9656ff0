//! A policy server that a command asks, over TCP or a Unix socket, with patience for each question.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use crate::engine::limits::VALUE_BYTES_MAX;
use crate::engine::text::Printable;
use crate::error::Error;

/// The server that is asked when none is named: what `greylet serve` listens on by default.
pub const SERVER_DEFAULT: &str = "127.0.0.1:10023";

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// A line of a request to a greylet.
///
/// # Errors
///
/// The value cannot be in one.
pub fn attribute(name: &str, value: &str) -> Result<String, Error> {
    if value.contains(['\n', '\0']) {
        return Err(Error::usage(format!(
            "{name}: there are no line ends in the protocol"
        )));
    }
    if value.len() > VALUE_BYTES_MAX {
        return Err(Error::usage(format!(
            "{name}: it has more than {VALUE_BYTES_MAX} bytes, which greylet does not take"
        )));
    }
    Ok(format!("{name}={value}\n"))
}

/// A connection to a policy server.
pub struct Connection {
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
    /// Connects to `HOST:PORT` or `unix:PATH`.
    ///
    /// # Errors
    ///
    /// Nobody is there, or not reachable.
    pub fn to(server: &str) -> Result<Connection, Error> {
        let connected = match server.strip_prefix("unix:") {
            Some(path) => Connection::to_unix(path),
            None => Connection::to_inet(server),
        };
        let socket = connected.map_err(|error| {
            let advice = match error.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                    "; is the server running? Name another with --server"
                }
                io::ErrorKind::PermissionDenied if server.starts_with("unix:") => {
                    "; may this user connect to it? (--socketmode of serve)"
                }
                io::ErrorKind::InvalidInput => {
                    "; write ADDRESS:PORT, [IPV6-ADDRESS]:PORT, localhost:PORT or unix:PATH (names are not looked up)"
                }
                _ => "",
            };
            Error::failure(format!("cannot connect to {server}: {error}{advice}"))
        })?;
        Ok(Connection::new(server.to_owned(), socket))
    }

    /// Connects to the socket that a greylet takes orders on.
    ///
    /// # Errors
    ///
    /// As above; the message says what to do.
    pub fn to_control(path: &str) -> Result<Connection, Error> {
        let socket = Connection::to_unix(path).map_err(|error| {
            let advice = match error.kind() {
                io::ErrorKind::NotFound => {
                    "; is greylet running? Name its socket with --server=unix:PATH: a --unix of serve, or control in its --dbdir"
                }
                io::ErrorKind::ConnectionRefused => "; greylet is not running there",
                io::ErrorKind::PermissionDenied => {
                    "; only root and greylet's user may give orders"
                }
                _ => "",
            };
            Error::failure(format!("cannot connect to unix:{path}: {error}{advice}"))
        })?;
        Ok(Connection::new(format!("unix:{path}"), socket))
    }

    fn new(server: String, socket: OwnedFd) -> Connection {
        let deadline = Instant::now();
        Connection {
            server,
            answers: BufReader::new(Stream { socket, deadline }),
        }
    }

    fn to_inet(server: &str) -> io::Result<OwnedFd> {
        let address = inet_address(server).ok_or(io::ErrorKind::InvalidInput)?;
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
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

    /// Sends a request, and gives the lines of the answer, which may be none.
    ///
    /// # Errors
    ///
    /// There is no whole answer in time.
    pub fn ask(&mut self, request: &[u8]) -> Result<Vec<String>, Error> {
        let stream = self.answers.get_mut();
        stream.deadline = Instant::now() + TIMEOUT;
        let answered = stream.write_all(request).and_then(|()| self.read_lines());
        answered.map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::TimedOut => {
                    format!("it was not whole after {} seconds", TIMEOUT.as_secs())
                }
                _ => error.to_string(),
            };
            self.failure(&why)
        })
    }

    /// The error that there is no answer.
    pub fn failure(&self, why: &str) -> Error {
        Error::failure(format!("no answer from {}: {why}", self.server))
    }

    /// Reads one answer: lines up to a blank one.
    fn read_lines(&mut self) -> io::Result<Vec<String>> {
        let mut answer = Read::take(&mut self.answers, ANSWER_BYTES_MAX);
        let mut lines = Vec::new();
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
                return Ok(lines);
            }
            let (bytes, bytes_max) = (line.as_bytes(), line.len());
            lines.push(Printable { bytes, bytes_max }.to_string());
        }
    }
}

/// The address of `HOST:PORT`. A name is none, but for the one that `serve` takes: a resolver would be 10 kB of the static binary.
fn inet_address(server: &str) -> Option<SocketAddr> {
    match server.strip_prefix("localhost:") {
        Some(port) => Some((Ipv4Addr::LOCALHOST, port.parse().ok()?).into()),
        None => server.parse().ok(),
    }
}
