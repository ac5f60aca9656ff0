//! Where policy requests go: the three ways in which Postfix can reach a policy server, each to be listened on and connected to.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

/// How Postfix reaches a policy server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Inet4,
    Inet6,
    Unix,
}

impl Transport {
    pub(crate) const ALL: [Transport; 3] = [Transport::Inet4, Transport::Inet6, Transport::Unix];
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Inet4 => "inet4",
            Transport::Inet6 => "inet6",
            Transport::Unix => "unix",
        })
    }
}

/// An address of a policy server.
#[derive(Clone, Debug)]
pub(crate) enum Endpoint {
    Inet(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    /// As Postfix's `check_policy_service` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Inet(address) => write!(f, "inet:{address}"),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A connection, whatever it goes over.
pub(crate) trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

impl Endpoint {
    /// As an option of greylet's.
    pub(crate) fn option(&self) -> String {
        match self {
            Endpoint::Inet(address) => format!("--inet={address}"),
            Endpoint::Unix(path) => format!("--unix={}", path.display()),
        }
    }

    /// As `--server` of greylet's has it.
    pub(crate) fn server(&self) -> String {
        match self {
            Endpoint::Inet(address) => address.to_string(),
            Endpoint::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    pub(crate) fn connect(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Endpoint::Inet(address) => Box::new(TcpStream::connect(address)?),
            Endpoint::Unix(path) => Box::new(UnixStream::connect(path)?),
        })
    }

    /// Listens, for everybody: Postfix's smtpd does not run as root.
    pub(crate) fn listen(&self) -> io::Result<Listener> {
        Ok(match self {
            Endpoint::Inet(address) => Listener::Inet(TcpListener::bind(address)?),
            Endpoint::Unix(path) => {
                let listener = UnixListener::bind(path)?;
                std::fs::set_permissions(path, PermissionsExt::from_mode(0o666))?;
                Listener::Unix(listener)
            }
        })
    }
}

/// A listening socket.
pub(crate) enum Listener {
    Inet(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub(crate) fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Listener::Inet(listener) => Box::new(listener.accept()?.0),
            Listener::Unix(listener) => Box::new(listener.accept()?.0),
        })
    }
}
