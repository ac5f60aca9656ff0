//! One connection: read, decide, write. Each request gets exactly one answer, in order, and the answers to what came in one read
//! go out in one write.
//!
//! An idle connection holds no buffer. What is needed while a request is in progress comes from a small stock, so that in the
//! long run nothing is allocated. Only a connection that stops in the middle of a request keeps a parser, with
//! little more than the bytes it has sent, and only one that does not take its answers keeps buffers.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;

use heapless::Vec;
use nix::errno::Errno;
use smol::Async;

use crate::daemon::Shared;
use crate::daemon::admission::Admitted;
use crate::daemon::clock::header_date;
use crate::daemon::complaints::Complaint;
use crate::engine::limits::REPLY_BYTES_MAX;
use crate::engine::log_line::{ActionLine, Client, Logged};
use crate::engine::request::{Malformed, Request, RequestParser};
use crate::engine::time::Timestamp;
use crate::engine::verdict::{Reason, Verdict};

/// Postfix writes at most this much at once.
const INPUT_BYTES: usize = 4_096;

/// Answers that are waiting to be written; room for some that pipelined requests get.
const OUTPUT_BYTES: usize = 4_096;

const _: () = assert!(OUTPUT_BYTES >= 2 * REPLY_BYTES_MAX);

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
            buffers: Stock::with(Buffers::default()),
            parsers: Stock::with(RequestParser::with_all_memory()),
        }
    }
}

/// Things that nobody uses at the moment.
struct Stock<T>(RefCell<std::vec::Vec<Box<T>>>);

impl<T: Default> Stock<T> {
    /// Things that are kept for the next use.
    const KEPT: usize = 4;

    fn with(thing: T) -> Stock<T> {
        let mut things = std::vec::Vec::with_capacity(Self::KEPT);
        things.push(Box::new(thing));
        Stock(RefCell::new(things))
    }

    fn take(&self) -> Box<T> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes back what is as it was.
    fn put(&self, thing: Box<T>) {
        let mut things = self.0.borrow_mut();
        if things.len() < Self::KEPT {
            things.push(thing);
        }
    }
}

/// Why a connection ends.
enum End {
    /// The client has closed it.
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
pub(super) async fn serve(shared: &Shared<'_>, admitted: Admitted<'_>, stream: Async<OwnedFd>) {
    let Err(end) = answer_requests(shared, &admitted, &stream).await;
    match end {
        End::Closed => {}
        End::Broken(error) => log::trace!("connection lost: {error}"),
        End::Malformed(malformed) => shared.complaints.complain(
            Complaint::Malformed,
            shared.clock.now(),
            format_args!(
                "a client that does not speak Postfix's policy protocol was disconnected: it sent {malformed}"
            ),
        ),
    }
}

async fn answer_requests(
    shared: &Shared<'_>,
    admitted: &Admitted<'_>,
    stream: &Async<OwnedFd>,
) -> Result<Infallible, End> {
    // There while a request is in progress.
    let mut parser = None;
    loop {
        readable(stream).await?;
        let mut buffers = shared.stocks.buffers.take();
        let read_bytes = match nix::unistd::read(stream.get_ref(), &mut buffers.input) {
            Ok(0) => return Err(End::Closed),
            Ok(read_bytes) => read_bytes,
            Err(Errno::EAGAIN | Errno::EINTR) => 0,
            Err(error) => return Err(End::Broken(error.into())),
        };
        let mut in_progress = parser
            .take()
            .unwrap_or_else(|| shared.stocks.parsers.take());
        let Buffers { input, output } = &mut *buffers;
        let answered = answer_input(
            shared,
            admitted,
            stream,
            &mut in_progress,
            &input[..read_bytes],
            output,
        );
        answered.await?;
        shared.stocks.buffers.put(buffers);
        if in_progress.is_at_start() {
            shared.stocks.parsers.put(in_progress);
        } else {
            parser = Some(in_progress);
        }
    }
}

/// Answers every request that ends in the input.
async fn answer_input(
    shared: &Shared<'_>,
    admitted: &Admitted<'_>,
    stream: &Async<OwnedFd>,
    parser: &mut RequestParser,
    mut input: &[u8],
    output: &mut Vec<u8, OUTPUT_BYTES>,
) -> Result<(), End> {
    let mut outcome = Ok(());
    while !input.is_empty() {
        match parser.feed(input) {
            Ok(fed) if fed.complete => input = &input[fed.consumed_bytes..],
            Ok(_) => break,
            // What was asked before is answered all the same.
            Err(malformed) => {
                outcome = Err(End::Malformed(malformed));
                break;
            }
        }
        let now = shared.clock.now();
        answer(shared, &parser.request(), now, output);
        admitted.answered(now);
        parser.clear();
        if output.capacity() - output.len() < REPLY_BYTES_MAX {
            write(stream, output).await?;
            output.clear();
        }
    }
    write(stream, output).await?;
    output.clear();
    outcome
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
    shared
        .texts
        .append_reply(output, &verdict, request, header_date());
    shared.answers.set(shared.answers.get() + 1);
    log_verdict(shared, request, &verdict, now);
}

fn log_verdict(shared: &Shared<'_>, request: &Request<'_>, verdict: &Verdict, now: Timestamp) {
    let line = ActionLine { verdict, request };
    match verdict.reason {
        Reason::UnknownRequest | Reason::Missing(_) | Reason::UnparsableAddress => {
            complain_of_request(shared, request, verdict.reason, now);
        }
        Reason::NotRecipientState => log::trace!("{line}"),
        _ if verdict.repeated => log::trace!("{line}"),
        _ => log::debug!("{line}"),
    }
    if verdict.auto_whitelisted {
        log::info!("whitelisted: {}", Client(request));
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

async fn write(stream: &Async<OwnedFd>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(stream.get_ref(), bytes) {
            Ok(written_bytes) => bytes = &bytes[written_bytes..],
            Err(Errno::EAGAIN) => poll_fn(|context| stream.poll_writable(context)).await?,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Waits for bytes. Asking the reactor before the first read saves, in the usual case, a read that finds nothing.
async fn readable(stream: &Async<OwnedFd>) -> io::Result<()> {
    poll_fn(|context| stream.poll_readable(context)).await
}
