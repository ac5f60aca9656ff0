//! Tells a service manager that asks for it (`Type=notify` in systemd) that the daemon listens, so that what is ordered after it finds the
//! sockets. Nothing else is ever said, and whoever has not set NOTIFY_SOCKET hears nothing.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The variable with the manager's socket; sd_notify(3).
const SOCKET: &str = "NOTIFY_SOCKET";

/// How long a manager may leave its queue full: no mail is answered meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);

/// Says READY=1. If that cannot be done it is logged: a manager that waits for it will end the daemon, and its owner should see why.
pub(super) fn ready() {
    let Some(socket) = env::var_os(SOCKET).filter(|it| !it.is_empty()) else {
        return;
    };
    if let Err(error) = send(&socket, b"READY=1") {
        log::error!(
            "cannot tell the service manager at {SOCKET}={} that greylet is ready: {error}",
            socket.display()
        );
    }
}

/// Sends to a path, or to an abstract address, which begins with `@`.
fn send(socket: &OsStr, message: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(socket),
    };
    let sender = UnixDatagram::unbound()?;
    sender.set_write_timeout(Some(PATIENCE))?;
    sender.send_to_addr(message, &address?)?;
    Ok(())
}
