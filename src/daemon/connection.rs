//! One connection: read, decide, write. Each request gets exactly one answer, in order, and the answers to what came in one read
//! go out in one write.
//!
//! An idle connection holds no buffer. What is needed while a request is in progress comes from a small stock, so that in the
//! long run nothing is allocated; only as many connections as stop in the middle of a request, or do not take
//! their answers, have one of their own, of bounded size.

use std::cell::RefCell;
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

/// Workspaces that are kept for the next request.
const STOCK: usize = 4;

/// What a connection needs while a request is in progress.
struct Workspace {
    parser: RequestParser,
    input: [u8; INPUT_BYTES],
    output: Vec<u8, OUTPUT_BYTES>,
}

/// Workspaces that nobody uses.
pub(super) struct Stock(RefCell<std::vec::Vec<Box<Workspace>>>);

impl Stock {
    /// A stock with one workspace, which is enough as long as requests come whole.
    pub(super) fn new() -> Stock {
        let mut workspaces = std::vec::Vec::with_capacity(STOCK);
        workspaces.push(Workspace::new());
        Stock(RefCell::new(workspaces))
    }

    fn take(&self) -> Box<Workspace> {
        self.0.borrow_mut().pop().unwrap_or_else(Workspace::new)
    }

    /// Takes back a workspace that is at the beginning of a request.
    fn put(&self, workspace: Box<Workspace>) {
        let mut workspaces = self.0.borrow_mut();
        if workspaces.len() < STOCK {
            workspaces.push(workspace);
        }
    }
}

impl Workspace {
    fn new() -> Box<Workspace> {
        Box::new(Workspace {
            parser: RequestParser::new(),
            input: [0; INPUT_BYTES],
            output: Vec::new(),
        })
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

impl From<Malformed> for End {
    fn from(malformed: Malformed) -> End {
        End::Malformed(malformed)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Broken(error)
    }
}

/// Answers requests until the connection ends.
pub(super) async fn serve(shared: &Shared<'_>, admitted: Admitted<'_>, stream: Async<OwnedFd>) {
    match answer_requests(shared, &admitted, &stream).await {
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
) -> End {
    loop {
        if let Err(error) = readable(stream).await {
            return error.into();
        }
        let mut workspace = shared.stock.take();
        match workspace.answer_until_idle(shared, admitted, stream).await {
            Ok(()) => shared.stock.put(workspace),
            Err(end) => return end,
        }
    }
}

impl Workspace {
    /// Reads and answers until no request is in progress. The stream must be readable.
    async fn answer_until_idle(
        &mut self,
        shared: &Shared<'_>,
        admitted: &Admitted<'_>,
        stream: &Async<OwnedFd>,
    ) -> Result<(), End> {
        loop {
            match nix::unistd::read(stream.get_ref(), &mut self.input) {
                Ok(0) => return Err(End::Closed),
                Ok(read_bytes) => {
                    self.answer_input(shared, admitted, stream, read_bytes)
                        .await?;
                }
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => return Err(End::Broken(error.into())),
            }
            if self.parser.is_at_start() {
                return Ok(());
            }
            readable(stream).await?;
        }
    }

    /// Answers every request that ends in the input.
    async fn answer_input(
        &mut self,
        shared: &Shared<'_>,
        admitted: &Admitted<'_>,
        stream: &Async<OwnedFd>,
        read_bytes: usize,
    ) -> Result<(), End> {
        let mut input = &self.input[..read_bytes];
        let mut malformed = None;
        while !input.is_empty() {
            match self.parser.feed(input) {
                Ok(fed) => {
                    input = &input[fed.consumed_bytes..];
                    if !fed.complete {
                        break;
                    }
                }
                Err(error) => {
                    malformed = Some(error);
                    break;
                }
            }
            let now = shared.clock.now();
            answer(shared, &self.parser.request(), now, &mut self.output);
            admitted.answered(now);
            self.parser.clear();
            if self.output.capacity() - self.output.len() < REPLY_BYTES_MAX {
                write(stream, &self.output).await?;
                self.output.clear();
            }
        }
        write(stream, &self.output).await?;
        self.output.clear();
        malformed.map_or(Ok(()), |malformed| Err(malformed.into()))
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
