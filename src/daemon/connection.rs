//! One connection: read, decide, write. Each request gets exactly one answer, in order, and the answers to what came in one read
//! go out in one write.
//!
//! An idle connection holds no buffer. What is needed while a request is in progress comes from a small stock, so that in the
//! long run nothing is allocated. Only a connection that stops in the middle of a request keeps a parser, with
//! little more than the bytes it has sent, and only one that does not take its answers, or lets others go first between many, keeps buffers.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use heapless::Vec;
use log::Level;
use nix::sys::socket::{Shutdown, shutdown};

use crate::daemon::Shared;
use crate::daemon::admission::Admitted;
use crate::daemon::clock::header_date;
use crate::daemon::complaints::Complaint;
use crate::daemon::control::{self, carry_out, is_order};
use crate::daemon::explain::{EXPLAIN, EXPLANATION_BYTES_MAX, Explained};
use crate::daemon::log::log_line;
use crate::daemon::reactor::Watched;
use crate::daemon::stats::{self, STATS};
use crate::engine::domain_name::domain_of;
use crate::engine::limits::REPLY_BYTES_MAX;
use crate::engine::log_line::{ActionLine, Client, Logged};
use crate::engine::request::{Malformed, Request, RequestParser, Requests};
use crate::engine::time::Timestamp;
use crate::engine::verdict::{Action, Reason, Verdict};

/// Postfix writes at most this much at once.
const INPUT_BYTES: usize = 4_096;

/// Answers that are waiting to be written; room for some that pipelined requests get.
const OUTPUT_BYTES: usize = 4_096;

/// Somebody who sends without end is not waited for.
const HANG_UP_READS_MAX: u32 = 256;

const _: () = assert!(OUTPUT_BYTES >= 2 * REPLY_BYTES_MAX);
const _: () = assert!(OUTPUT_BYTES >= EXPLANATION_BYTES_MAX);
const _: () = assert!(OUTPUT_BYTES >= stats::PIECE_BYTES_MAX);
const _: () = assert!(OUTPUT_BYTES >= control::ANSWER_BYTES_MAX);

/// Bytes from and to a client, while something is done with them.
struct Buffers {
    input: [u8; INPUT_BYTES],
    output: Vec<u8, OUTPUT_BYTES>,
}

impl Default for Buffers {
    fn default() -> Buffers {
        Buffers {
            input: [0; INPUT_BYTES],
            output: Vec::new(),
        }
    }
}

/// What requests in progress use, and idle connections do not have.
pub(super) struct Stocks {
    buffers: Stock<Buffers>,
    parsers: Stock<RequestParser>,
}

impl Stocks {
    /// One of each, which is enough as long as requests come whole and answers are taken.
    pub(super) fn new() -> Stocks {
        Stocks {
            buffers: Stock::with(Box::default()),
            parsers: Stock::with(Box::new(RequestParser::with_all_memory())),
        }
    }
}

/// Things that nobody uses at the moment.
struct Stock<T>(RefCell<std::vec::Vec<Box<T>>>);

/// Things that can be used again.
trait Reusable: Default {
    /// Makes it as it was.
    fn clear(&mut self);
}

impl Reusable for Buffers {
    fn clear(&mut self) {
        self.output.clear();
    }
}

impl Reusable for RequestParser {
    fn clear(&mut self) {
        RequestParser::clear(self);
    }
}

impl<T: Reusable> Stock<T> {
    /// Things that are kept for the next use.
    const KEPT: usize = 4;

    fn with(thing: Box<T>) -> Stock<T> {
        let mut things = std::vec::Vec::with_capacity(Self::KEPT);
        things.push(thing);
        Stock(RefCell::new(things))
    }

    fn take(&self) -> Taken<'_, T> {
        let thing = self.0.borrow_mut().pop().unwrap_or_default();
        Taken {
            thing: Some(thing),
            stock: self,
        }
    }
}

/// Something from a stock, to which it goes back at the end.
struct Taken<'a, T: Reusable> {
    /// There until the end.
    thing: Option<Box<T>>,
    stock: &'a Stock<T>,
}

impl<T: Reusable> AsMut<T> for Taken<'_, T> {
    fn as_mut(&mut self) -> &mut T {
        self.thing.get_or_insert_default()
    }
}

impl<T: Reusable> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        let mut things = self.stock.0.borrow_mut();
        if let Some(mut thing) = self.thing.take()
            && things.len() < Stock::<T>::KEPT
        {
            thing.clear();
            things.push(thing);
        }
    }
}

/// Why a connection ends.
enum End {
    /// The client has closed it, or it has got the one answer that it gets.
    Closed,
    /// It broke.
    Broken(io::Error),
    /// It does not speak the policy protocol.
    Malformed(Malformed),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Broken(error)
    }
}

/// Answers requests until the connection ends.
pub(super) async fn serve(
    shared: &Shared<'_>,
    admitted: Admitted<'_>,
    stream: Watched<'_, OwnedFd>,
    peer: Option<SocketAddr>,
) {
    let connection = Connection {
        shared,
        admitted,
        stream,
        is_unix: peer.is_none(),
        is_local: peer.is_none_or(|address| address.ip().to_canonical().is_loopback()),
    };
    let Err(end) = answer_requests(&connection).await;
    match end {
        End::Closed => {}
        End::Broken(error) => log::trace!("connection lost: {error}"),
        End::Malformed(malformed) => {
            hang_up(&connection.stream);
            shared.complaints.complain(
                Complaint::Malformed,
                shared.clock.now(),
                format_args!(
                    "{} does not speak Postfix's policy protocol and was disconnected: it sent {malformed}",
                    Peer(peer)
                ),
            );
        }
    }
}

/// A client of ours, for people.
struct Peer(Option<SocketAddr>);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(f, "the client at {address}"),
            None => f.write_str("a client of a Unix socket"),
        }
    }
}

/// A connection that is served.
struct Connection<'a, 'e> {
    shared: &'a Shared<'e>,
    admitted: Admitted<'a>,
    stream: Watched<'a, OwnedFd>,
    /// Whether its other end is on this machine.
    is_local: bool,
    /// Whether it is one of a Unix socket, of which the kernel knows who is at the other end.
    is_unix: bool,
}

async fn answer_requests(connection: &Connection<'_, '_>) -> Result<Infallible, End> {
    let Connection { shared, stream, .. } = connection;
    let mut requests = Requests::new(|| shared.stocks.parsers.take());
    loop {
        stream.readable().await;
        let mut buffers = shared.stocks.buffers.take();
        let Buffers { input, output } = buffers.as_mut();
        let read_bytes = match stream.read(input)? {
            Some(0) => return Err(End::Closed),
            Some(read_bytes) => read_bytes,
            None => continue,
        };
        let mut input = &input[..read_bytes];
        let outcome = loop {
            // By reference, since a move of a request costs.
            let answered = match &requests.next(&mut input) {
                Ok(Some(request)) => connection.answer_request(request, output).await,
                Ok(None) => break Ok(()),
                Err(malformed) => Err(End::Malformed(*malformed)),
            };
            if answered.is_err() {
                break answered;
            }
        };
        // What was asked before is answered all the same.
        if !matches!(outcome, Err(End::Closed | End::Broken(_))) {
            stream.write(output).await?;
        }
        outcome?;
    }
}

impl Connection<'_, '_> {
    /// Answers a request, as soon as there is room.
    async fn answer_request(
        &self,
        request: &Request<'_>,
        output: &mut Vec<u8, OUTPUT_BYTES>,
    ) -> Result<(), End> {
        let shared = self.shared;
        let is_explain = self.is_local && request.request == Some(EXPLAIN);
        let is_stats = self.is_local && request.request == Some(STATS);
        let is_order = self.is_unix && is_order(request);
        let bytes_max = match (is_explain, is_stats, is_order) {
            (true, ..) => EXPLANATION_BYTES_MAX,
            (_, true, _) => stats::PIECE_BYTES_MAX,
            (.., true) => control::ANSWER_BYTES_MAX,
            _ => REPLY_BYTES_MAX,
        };
        self.make_room(bytes_max, output).await?;
        // After others may have had their turn, so that no time comes before theirs.
        let now = shared.clock.now();
        if is_explain {
            explain(shared, request, now, output);
        } else if is_stats {
            let now = shared.test_time(request).unwrap_or(now);
            for piece in 0..stats::PIECES {
                self.make_room(bytes_max, output).await?;
                stats::append_piece(output, piece, shared, now);
            }
        } else if is_order {
            carry_out(shared, self.stream.get(), request, now, output);
        } else {
            answer(shared, request, now, output);
        }
        self.admitted.answered(now);
        if shared.one_answer {
            self.stream.write(output).await?;
            hang_up(&self.stream);
            return Err(End::Closed);
        }
        Ok(())
    }

    /// Writes what is there if there is not room for so many bytes more. Some short requests ask for much, so the others have their turn then.
    async fn make_room(&self, bytes: usize, output: &mut Vec<u8, OUTPUT_BYTES>) -> io::Result<()> {
        if output.capacity() - output.len() < bytes {
            self.stream.write(output).await?;
            output.clear();
            self.shared.reactor.after_others().await;
        }
        Ok(())
    }
}

/// Decides on a request, appends the reply, and says in the log what was decided.
fn answer(
    shared: &Shared<'_>,
    request: &Request<'_>,
    now: Timestamp,
    output: &mut Vec<u8, OUTPUT_BYTES>,
) {
    let time = shared.test_time(request).unwrap_or(now);
    let verdict = shared.engine.borrow_mut().decide(request, time);
    let told = match shared.is_dry_run {
        true => verdict.in_dry_run(),
        false => verdict,
    };
    shared
        .texts
        .append_reply(output, &told, request, header_date);
    shared.answers.set(shared.answers.get() + 1);
    log_verdict(shared, request, &verdict, now);
}

/// Appends what would be decided on a request, and why.
fn explain(
    shared: &Shared<'_>,
    request: &Request<'_>,
    now: Timestamp,
    output: &mut Vec<u8, OUTPUT_BYTES>,
) {
    let now = shared.test_time(request).unwrap_or(now);
    let engine = shared.engine.borrow();
    let explained = Explained {
        explanation: &engine.explain(request, now),
        request,
        policy: engine.policy(),
        lists: &shared.lists.borrow(),
        is_dry_run: shared.is_dry_run,
        now,
    };
    explained.append_to(output);
}

fn log_verdict(shared: &Shared<'_>, request: &Request<'_>, verdict: &Verdict<'_>, now: Timestamp) {
    let is_deferred = matches!(verdict.action, Action::Defer { .. });
    let line = ActionLine {
        verdict,
        request,
        is_dry_run: shared.is_dry_run,
    };
    match verdict.reason {
        Reason::UnknownRequest | Reason::Missing(_) | Reason::UnparsableAddress => {
            complain_of_request(shared, request, verdict.reason, now);
        }
        _ if !is_deferred && shared.logs_deferrals_only => {}
        Reason::NotRecipientState => log_line(Level::Trace, &|to| line.append_to(to)),
        _ if verdict.repeated => log_line(Level::Trace, &|to| line.append_to(to)),
        _ => log_line(Level::Debug, &|to| line.append_to(to)),
    }
    if verdict.auto_whitelisted.client {
        log::info!("whitelisted: {}", Client(request));
    }
    if verdict.auto_whitelisted.sender_domain
        && let Some(organisation) = verdict.identity
        && let Some(senders) = domain_of(request.sender.unwrap_or_default())
    {
        log::info!(
            "whitelisted: {} for senders of {}",
            Logged(organisation.as_bytes()),
            Logged(senders.as_bytes())
        );
    }
    if verdict.is_data_missing {
        shared.complaints.complain(
            Complaint::DataMissing,
            now,
            format_args!(
                "mail without a sender is judged at DATA, but Postfix does not ask about DATA: put the check_policy_service line into smtpd_data_restrictions too, or say --null-sender=rcpt"
            ),
        );
    }
    if verdict.evicted_young {
        shared.complaints.complain(
            Complaint::TableTooSmall,
            now,
            format_args!(
                "the table is too small: a pending entry had to go within an hour; raise --max-entries"
            ),
        );
    }
}

fn complain_of_request(shared: &Shared<'_>, request: &Request<'_>, reason: Reason, now: Timestamp) {
    let complain = |message| {
        shared
            .complaints
            .complain(Complaint::Unjudged, now, message)
    };
    match reason {
        Reason::UnknownRequest => complain(format_args!(
            "{reason}: '{}'; passed",
            Logged(request.request.unwrap_or_default())
        )),
        Reason::UnparsableAddress => complain(format_args!(
            "{reason}: '{}'; passed",
            Logged(request.client_address.unwrap_or_default())
        )),
        reason => complain(format_args!("{reason}; passed")),
    }
}

/// Ends what we say, and takes what has been said meanwhile: with that unread, the close would be a reset, which can destroy
/// answers on their way.
fn hang_up(stream: &Watched<'_, OwnedFd>) {
    // It is closed in a moment, whatever these find.
    let _ = shutdown(stream.get().as_raw_fd(), Shutdown::Write);
    let mut unread = [0; 512];
    for _ in 0..HANG_UP_READS_MAX {
        if !matches!(stream.read(&mut unread), Ok(Some(1..))) {
            return;
        }
    }
}
