//! Listening sockets, and taking connections from them.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, UnixAddr, bind, connect, listen,
    setsockopt, socket, sockopt,
};
use nix::sys::stat::Mode;
use nix::unistd::fchownat;

use crate::daemon::RunAs;
use crate::daemon::lock::Lock;
use crate::error::Error;

/// How often, and at which intervals, the lock of a folder is tried.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP port; an IPv6 address does not take IPv4 connections too.
    Inet(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// Whether only this machine can connect to it.
    pub fn is_local(&self) -> bool {
        match self {
            Endpoint::Inet(address) => address.ip().to_canonical().is_loopback(),
            Endpoint::Unix(_) => true,
        }
    }

    /// The path of a Unix socket.
    pub fn path_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Endpoint::Inet(_) => None,
            Endpoint::Unix(path) => Some(path),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Inet(address) => address.fmt(f),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A listening socket.
pub(super) struct Listener {
    socket: Socket,
    endpoint: Endpoint,
    file: Option<SocketFile>,
}

enum Socket {
    Inet(TcpListener),
    Unix(UnixListener),
}

/// The file of a Unix socket, removed when this is dropped, if it is still ours.
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Listener {
    /// Binds and listens.
    ///
    /// # Errors
    ///
    /// The address is taken, or cannot be had by us; the message says what to do.
    pub(super) fn bind(
        endpoint: &Endpoint,
        socket_mode: u32,
        backlog: Backlog,
    ) -> Result<Listener, Error> {
        match endpoint {
            Endpoint::Inet(address) => bind_inet(*address, backlog)
                .map_err(|error| Error::failure(explain_inet(*address, &error))),
            Endpoint::Unix(path) => bind_unix(path, socket_mode, backlog),
        }
    }

    /// The address that it really listens on, as `--inet` and `--unix` have it.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Gives the file of a Unix socket to the user that the daemon goes on as, so that --socketmode means that user and
    /// group, as in Postgrey.
    ///
    /// # Errors
    ///
    /// It is not ours any more, or we may not.
    pub(super) fn give_to(&self, owner: RunAs) -> Result<(), Error> {
        self.file.as_ref().map_or(Ok(()), |file| {
            file.give_to(owner).map_err(|error| {
                Error::failure(format!("cannot give {} to {owner}: {error}", self.endpoint))
            })
        })
    }

    /// Takes a connection if somebody is waiting, with the address of a TCP client.
    pub(super) fn accept(&self) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
        match &self.socket {
            Socket::Inet(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                // One answer is one write, and nothing is gained by waiting for more; but it works without.
                let _ = stream.set_nodelay(true);
                Ok((stream.into(), Some(peer)))
            }
            Socket::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok((stream.into(), None))
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Inet(listener) => listener.as_fd(),
            Socket::Unix(listener) => listener.as_fd(),
        }
    }
}

impl SocketFile {
    fn is(&self, device: u64, inode: u64) -> bool {
        (device, inode) == (self.device, self.inode)
    }

    /// By descriptor: whoever may write in the folder could put something else under the path meanwhile.
    fn give_to(&self, owner: RunAs) -> io::Result<()> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = File::from(nix::fcntl::open(&self.path, flags, Mode::empty())?);
        let found = file.metadata()?;
        if !self.is(found.dev(), found.ino()) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (user, group) = (Some(owner.user()), Some(owner.group()));
        Ok(fchownat(&file, "", user, group, AtFlags::AT_EMPTY_PATH)?)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours =
            fs::symlink_metadata(&self.path).is_ok_and(|file| self.is(file.dev(), file.ino()));
        if is_ours {
            // Nothing depends on it: the next start replaces what is left behind.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn bind_inet(address: SocketAddr, backlog: Backlog) -> io::Result<Listener> {
    let family = if address.is_ipv6() {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Stream, flags, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&fd, backlog)?;
    let listener = TcpListener::from(fd);
    let endpoint = Endpoint::Inet(listener.local_addr()?);
    Ok(Listener {
        socket: Socket::Inet(listener),
        endpoint,
        file: None,
    })
}

fn explain_inet(address: SocketAddr, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse if address.port() == 10_023 => {
            "; Postgrey uses this port by default: is it still running? (systemctl stop postgrey), or choose another with --inet"
        }
        io::ErrorKind::AddrInUse => {
            "; another program listens there: stop it, or choose another port with --inet"
        }
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has this address",
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 are for root: choose another with --inet"
        }
        _ => "",
    };
    format!("cannot listen on {address}: {error}{advice}")
}

fn bind_unix(path: &Path, socket_mode: u32, backlog: Backlog) -> Result<Listener, Error> {
    let failed = |what: &str, error: &dyn fmt::Display| {
        Error::failure(format!("cannot {what} unix:{}: {error}", path.display()))
    };
    // Until it listens, another start of ours would take it for a stale one.
    let _alone = lock_folder(path);
    remove_stale(path)?;
    let address = UnixAddr::new(path).map_err(|error| match error {
        Errno::ENAMETOOLONG => failed(
            "listen on",
            &"the path is longer than 107 bytes; choose a shorter one with --unix",
        ),
        error => failed("listen on", &io::Error::from(error)),
    })?;
    let bound = || -> io::Result<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        bind(fd.as_raw_fd(), &address)?;
        Ok(fd)
    };
    let fd = bound().map_err(|error| {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "; make the folder first",
            io::ErrorKind::PermissionDenied => {
                "; this user may not write in the folder: choose another path with --unix"
            }
            io::ErrorKind::NotADirectory => "; what should be its folder is none",
            _ => "",
        };
        failed("listen on", &format_args!("{error}{advice}"))
    })?;
    let file = fs::symlink_metadata(path).map_err(|error| failed("find", &error))?;
    let file = SocketFile {
        path: path.to_owned(),
        device: file.dev(),
        inode: file.ino(),
    };
    fs::set_permissions(path, fs::Permissions::from_mode(socket_mode))
        .map_err(|error| failed("set the mode of", &error))?;
    listen(&fd.as_fd(), backlog).map_err(|error| failed("listen on", &io::Error::from(error)))?;
    let endpoint = Endpoint::Unix(path.to_owned());
    Ok(Listener {
        socket: Socket::Unix(UnixListener::from(fd)),
        endpoint,
        file: Some(file),
    })
}

/// Has all of ours that start at the same time wait for one another, for a few seconds. Without the lock, because the folder cannot be
/// opened, say, it goes on: what is wrong with the folder shows soon enough.
fn lock_folder(socket: &Path) -> Option<Lock> {
    let folder = socket
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut folder = File::open(folder.unwrap_or(Path::new("."))).ok()?;
    for _ in 0..LOCK_TRIES {
        match Lock::take(folder) {
            Ok(lock) => return Some(lock),
            Err((unlocked, _)) => folder = unlocked,
        }
        thread::sleep(LOCK_PAUSE);
    }
    None
}

/// Removes the socket of a process that is gone, and nothing else.
fn remove_stale(path: &Path) -> Result<(), Error> {
    let name = || OsStr::to_string_lossy(path.as_os_str());
    let Ok(file) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !file.file_type().is_socket() {
        let name = name();
        return Err(Error::failure(format!(
            "cannot listen on unix:{name}: there is a file of this name that is not a socket: remove it, or choose another path with --unix"
        )));
    }
    match connect_at_once(path) {
        Ok(()) | Err(Errno::EAGAIN) => Err(Error::failure(format!(
            "cannot listen on unix:{}: another process listens there: stop it, or choose another path with --unix",
            name()
        ))),
        Err(Errno::ECONNREFUSED) => fs::remove_file(path).map_err(|error| {
            Error::failure(format!(
                "cannot remove the stale socket {}: {error}; remove it as its owner, or choose another path with --unix",
                name()
            ))
        }),
        Err(error) => Err(Error::failure(format!(
            "cannot find out whether a process listens on unix:{}: {}; if none does, remove it",
            name(),
            io::Error::from(error)
        ))),
    }
}

/// Connects if that can be done without waiting, and disconnects. A server that does not take connections fast
/// enough gives EAGAIN, one that is gone ECONNREFUSED.
fn connect_at_once(path: &Path) -> nix::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice() {
        let in_use = io::Error::from(io::ErrorKind::AddrInUse);
        let said = |address: &str| explain_inet(address.parse().expect("an address"), &in_use);
        assert!(said("127.0.0.1:10023").contains("Postgrey uses this port"));
        assert!(said("127.0.0.1:10023").starts_with("cannot listen on 127.0.0.1:10023: "));
        assert!(said("[::1]:10024").contains("another program listens there"));
    }
}
