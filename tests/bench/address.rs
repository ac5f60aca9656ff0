//! Where a server listens, and the sockets at both ends.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// How long a server may take to answer.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Which kind of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    /// TCP over loopback.
    Tcp,
    /// A Unix socket.
    Unix,
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Socket::Tcp => "TCP",
            Socket::Unix => "Unix",
        })
    }
}

/// Where a server listens; written as greylet does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// An address and a port.
    Inet(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Address> {
        match text.strip_prefix("unix:") {
            Some(path) => Ok(Address::Unix(PathBuf::from(path))),
            None => text
                .parse()
                .map(Address::Inet)
                .map_err(|error| io::Error::new(ErrorKind::InvalidInput, error)),
        }
    }
}

impl Address {
    /// Whatever port the kernel gives.
    pub(crate) fn any_port() -> Address {
        Address::Inet((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// A port that nobody had a moment ago.
    ///
    /// # Errors
    ///
    /// No port is left.
    pub(crate) fn unused_port() -> io::Result<Address> {
        Listener::bind(&Address::any_port())?.address()
    }

    /// Connects. Reads that nobody answers end with an error, so that a stuck server does not hang the benchmark.
    ///
    /// # Errors
    ///
    /// Nobody listens there.
    pub(crate) fn connect(&self) -> io::Result<File> {
        let stream: OwnedFd = match self {
            Address::Inet(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(SILENCE_MAX))?;
                stream.into()
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(SILENCE_MAX))?;
                stream.into()
            }
        };
        Ok(stream.into())
    }
}

/// A listening socket of either kind.
pub(crate) enum Listener {
    /// TCP.
    Inet(TcpListener),
    /// Unix.
    Unix(UnixListener),
}

impl Listener {
    /// Listens.
    ///
    /// # Errors
    ///
    /// The address cannot be had.
    pub(crate) fn bind(address: &Address) -> io::Result<Listener> {
        match address {
            Address::Inet(address) => TcpListener::bind(address).map(Listener::Inet),
            Address::Unix(path) => UnixListener::bind(path).map(Listener::Unix),
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// The kernel does not say.
    pub(crate) fn address(&self) -> io::Result<Address> {
        match self {
            Listener::Inet(listener) => listener.local_addr().map(Address::Inet),
            Listener::Unix(listener) => {
                let address = listener.local_addr()?;
                Ok(Address::Unix(
                    address.as_pathname().map(PathBuf::from).unwrap_or_default(),
                ))
            }
        }
    }

    /// Takes a connection.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(crate) fn accept(&self) -> io::Result<File> {
        let stream: OwnedFd = match self {
            Listener::Inet(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                stream.into()
            }
            Listener::Unix(listener) => listener.accept()?.0.into(),
        };
        Ok(stream.into())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Inet(listener) => listener.as_fd(),
            Listener::Unix(listener) => listener.as_fd(),
        }
    }
}
