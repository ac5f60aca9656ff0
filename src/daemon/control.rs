//! Orders of the administrator: `greylet allow` and `greylet forget`. Only over a Unix socket, where the kernel says who asks, and only from root and
//! the user that greylet runs as. The socket `control` in --dbdir is for them alone: it takes connections of its own, so that an order comes through when
//! Postfix has all others, and the few that there are take nothing from Postfix.

use std::convert::Infallible;
use std::fmt::{self, Write};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;

use heapless::VecView;
use nix::sys::socket::{Backlog, getsockopt, sockopt::PeerCredentials};
use nix::unistd::{Uid, geteuid};
use smol::{LocalExecutor, future};

use crate::daemon::admission::Admission;
use crate::daemon::complaints::Complaint;
use crate::daemon::connection;
use crate::daemon::folder::Folder;
use crate::daemon::listener::{Endpoint, Listener};
use crate::daemon::reactor::Watched;
use crate::daemon::{ACCEPT_PAUSE, Shared, is_about_one_connection};
use crate::engine::NotForgotten;
use crate::engine::identity::{Client, Whereabouts};
use crate::engine::limits::{ALLOWS_MAX, DISTRUSTS_MAX, LOGGED_VALUE_BYTES_MAX};
use crate::engine::log_line::Logged;
use crate::engine::orders::{Whom, allowed_for};
use crate::engine::request::Request;
use crate::engine::time::{Age, Timestamp};

/// What a request asks for that is an order.
const ALLOW: &[u8] = b"allow";
const FORGET: &[u8] = b"forget";

/// Longest answer to an order: a sentence, and names.
pub(super) const ANSWER_BYTES_MAX: usize = 400 + 3 * LOGGED_VALUE_BYTES_MAX;

/// Connections to the socket of the administrator's own at a time; the one that is of the least use gives way to the next.
pub(super) const CONNECTIONS_MAX: usize = 4;

/// Mode of that socket.
const MODE: u32 = 0o600;

/// Opens the socket in the folder. That it cannot be is no reason not to serve.
pub(super) fn open(folder: &Folder) -> Option<Listener> {
    let path = folder.file("control");
    let is_socket = |file: fs::Metadata| file.file_type().is_socket();
    if folder.is_locked() && fs::symlink_metadata(&path).is_ok_and(is_socket) {
        // Whoever made it is gone, even if it was another user, whose socket we may not try. If it stays, that is told of below.
        let _ = fs::remove_file(&path);
    }
    let endpoint = Endpoint::Unix(path);
    match Listener::bind(&endpoint, MODE, Backlog::MAXCONN) {
        Ok(listener) => Some(listener),
        Err(error) => {
            log::warn!(
                "{error}; greylet allow and greylet forget do not find this greylet there: for them, add a --unix socket, and name it with their --server"
            );
            None
        }
    }
}

/// Takes connections from that socket, for ever.
pub(super) async fn accept<'a>(
    executor: &LocalExecutor<'a>,
    shared: &'a Shared<'_>,
    admission: &'a Admission,
    listener: &Watched<'_, &Listener>,
) -> Infallible {
    loop {
        listener.readable().await;
        let taken = listener.get().accept();
        let stream = taken.and_then(|(stream, _)| shared.reactor.watch(stream));
        match stream {
            Ok(stream) => {
                if !admission.has_room() {
                    // However busy: later than any answer.
                    admission.make_room(Timestamp::from_unix(u64::MAX));
                }
                admission.admit(shared.clock.now(), |admitted| {
                    executor.spawn(connection::serve(shared, admitted, stream, None))
                });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => listener.found_nothing(),
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                shared.complaints.complain(
                    Complaint::Accept,
                    shared.clock.now(),
                    format_args!("cannot accept a connection of the administrator: {error}"),
                );
                shared.reactor.sleep(ACCEPT_PAUSE).await;
            }
        }
        future::yield_now().await;
    }
}

/// Whether a request is an order.
pub(super) fn is_order(request: &Request<'_>) -> bool {
    matches!(request.request, Some(ALLOW | FORGET))
}

/// Carries out an order that came over a Unix socket, and appends the answer, of at most [`ANSWER_BYTES_MAX`], for which there must be room.
pub(super) fn carry_out(
    shared: &Shared<'_>,
    peer: impl AsFd,
    request: &Request<'_>,
    now: Timestamp,
    to: &mut VecView<u8>,
) {
    let now = shared.test_time(request).unwrap_or(now);
    let appended = match may_order(peer) {
        Err(refused) => writeln!(to, "refused={refused}\n"),
        Ok(user) if request.request == Some(ALLOW) => allow(shared, user, request, now, to),
        Ok(user) => forget(shared, user, request, now, to),
    };
    debug_assert!(appended.is_ok(), "an answer is longer than its bound");
}

/// Why nobody is listened to.
enum Refused {
    NotOurs(Uid),
    Unknown(nix::Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NotOurs(user) => write!(
                f,
                "only root and greylet's user (uid {}) may give orders, and this is uid {user}",
                geteuid()
            ),
            Refused::Unknown(error) => write!(f, "cannot tell who asks: {error}"),
        }
    }
}

/// The user at the other end of a Unix socket, if it may give orders.
fn may_order(peer: impl AsFd) -> Result<Uid, Refused> {
    let user = getsockopt(&peer, PeerCredentials).map_err(Refused::Unknown)?;
    let user = Uid::from_raw(user.uid());
    match user.is_root() || user == geteuid() {
        true => Ok(user),
        false => Err(Refused::NotOurs(user)),
    }
}

fn allow(
    shared: &Shared<'_>,
    user: Uid,
    request: &Request<'_>,
    now: Timestamp,
    to: &mut VecView<u8>,
) -> fmt::Result {
    let Request {
        recipient,
        client_address,
        client_name,
        ..
    } = *request;
    let whom = match (recipient, client_address, client_name) {
        (Some(recipient), None, None) => Whom::recipient(recipient),
        (None, Some(client), None) | (None, None, Some(client)) => Whom::client(client),
        _ => return writeln!(to, "refused=name one recipient or one client\n"),
    };
    let seconds = request.for_seconds.and_then(|text| {
        let text = std::str::from_utf8(text).ok()?;
        allowed_for(text.parse().ok()?)
    });
    let (whom, span) = match (whom, seconds) {
        (Err(unfit), _) => return writeln!(to, "refused={unfit}\n"),
        (_, None) => return writeln!(to, "refused=for_seconds is not from 60 to 604800\n"),
        (Ok(whom), Some(span)) => (whom, span),
    };
    let has_evicted = shared.engine.borrow_mut().allow(&whom, span, now);
    let span = Age(span);
    log::info!("allowed by uid {user}: {whom}, for {span}");
    write!(to, "done={whom} is not greylisted for {span}")?;
    if has_evicted {
        log::warn!(
            "more than {ALLOWS_MAX} are allowed at a time: the one that would have ended first is not any more"
        );
        write!(
            to,
            "; more than {ALLOWS_MAX} are allowed, so the one that would have ended first is not any more"
        )?;
    }
    to.write_str("\n\n")
}

fn forget(
    shared: &Shared<'_>,
    user: Uid,
    request: &Request<'_>,
    now: Timestamp,
    to: &mut VecView<u8>,
) -> fmt::Result {
    let mut engine = shared.engine.borrow_mut();
    if let Some(recipient) = request.recipient {
        let Some(entries) = engine.forget_mail(request, now) else {
            return writeln!(to, "refused={NO_ADDRESS}\n");
        };
        let sender = Logged(request.sender.unwrap_or_default());
        let (client, recipient) = (
            Logged(request.client_address.unwrap_or_default()),
            Logged(recipient),
        );
        log::info!(
            "forgotten by uid {user}: {entries} entries of mail from {client}, sender={sender}, recipient={recipient}"
        );
        return match entries {
            0 => writeln!(to, "done=nothing was known of such mail\n"),
            1 => writeln!(to, "done=1 entry is forgotten\n"),
            entries => writeln!(to, "done={entries} entries are forgotten\n"),
        };
    }
    if request.sender.is_some() {
        // Less was meant than all of the client.
        return writeln!(to, "refused=a mail has a sender and a recipient\n");
    }
    match engine.forget_client(request, now) {
        Ok(client) => {
            let client = Identities(&client);
            log::info!("forgotten by uid {user}: {client}");
            writeln!(to, "done=all that was known of {client} is forgotten\n")
        }
        Err(NotForgotten::NoAddress) => writeln!(to, "refused={NO_ADDRESS}\n"),
        Err(NotForgotten::TooMany) => writeln!(
            to,
            "refused={DISTRUSTS_MAX} clients have been forgotten within --max-age, and there is no room for more\n"
        ),
    }
}

const NO_ADDRESS: &str = "client_address is not an address";

/// Who was forgotten, for people.
struct Identities<'a>(&'a Client<'a>);

impl fmt::Display for Identities<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(organisation) = self.0.identity() {
            write!(f, "{} and ", Logged(organisation.domain.as_bytes()))?;
        }
        match self.0.whereabouts {
            Whereabouts::Network(network) => write!(f, "the network of {network}"),
            Whereabouts::Host(address) => write!(f, "{address}"),
        }
    }
}
