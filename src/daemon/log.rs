//! serve's log: lines are kept in memory and written when the reader can take them, so that a slow, stuck or vanished
//! reader never holds up mail. What finds no room is dropped, and counted. Lines that come shortly one after the other share a write.
//!
//! Errors and warnings go to stderr, the rest to stdout, because procd and others take a stream for a severity. Lines have no timestamps
//! and no name, which procd and journald add; to the journal they carry its severity prefix. In the background all go to syslog. The levels are Postgrey's: error and warn always, info (what
//! is worth knowing, as "whitelisted:") even with --quiet and --log=none, debug (one line a decision) by default, trace with --verbose.
//! What is not logged is not even put into words.

use std::fmt::{self, Write};
use std::future::poll_fn;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use heapless::{Vec, VecView};
use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, SFlag};

use crate::daemon::reactor::Reactor;
use crate::daemon::syslog::Syslog;
use crate::engine::text::is_plain;

/// Room for lines that have not been written, on each stream.
const BUFFER_BYTES: usize = 65_536;

/// What poll(2) promises for a pipe: this much can be written without blocking (PIPE_BUF).
const PIECE_BYTES_MAX: usize = 4_096;

/// How long a line waits for others that are written with it.
const COMPANY_PAUSE: Duration = Duration::from_millis(10);

/// How long to leave a reader alone that does not take anything.
const STUCK_PAUSE: Duration = Duration::from_millis(50);

/// How long to leave syslog alone at the end.
const SYSLOG_PAUSE: Duration = Duration::from_millis(10);

static LOG: ServeLog = ServeLog {
    state: Mutex::new(State::new()),
};

/// The `log::Log` of the daemon.
struct ServeLog {
    state: Mutex<State>,
}

struct State {
    out: Stream,
    err: Stream,
    writer: Option<Waker>,
}

/// Lines for one file descriptor.
struct Stream {
    lines: Vec<u8, BUFFER_BYTES>,
    /// Of `lines`, what has been written already.
    written_bytes: usize,
    /// Lines dropped since the last one that found room.
    dropped_lines: u32,
    /// Lines that nobody will read.
    lost_lines: u64,
    to_journal: bool,
    /// Nobody has to read a file, so that poll(2) need not be asked.
    to_file: bool,
    /// A terminal, opened anew so that writing to it does not block; poll(2) does not promise that for terminals.
    /// Boxed, because all bits of a static that has no terminal are zero only so, and only then is its memory not in the program.
    terminal: Option<Box<OwnedFd>>,
    /// Where lines go instead of the descriptor. Boxed for the same reason.
    syslog: Option<Box<Syslog>>,
}

/// What appends the words of a line.
type Words<'a> = &'a dyn Fn(&mut VecView<u8>) -> fmt::Result;

/// Makes this the program's logger, with the level that shows `verbosity`; all goes to `syslog` if there is one.
pub(super) fn start(verbosity: LevelFilter, syslog: Option<Syslog>) {
    let mut state = LOG.lock();
    if let Some(syslog) = syslog {
        state.out.syslog = Some(Box::new(syslog));
    } else {
        state.out.prepare(io::stdout());
        state.err.prepare(io::stderr());
    }
    drop(state);
    if log::set_logger(&LOG).is_ok() {
        log::set_max_level(verbosity);
    }
}

/// Logs a panic, and ends the process whatever the build's panic setting: an executor may catch what unwinds, and a policy
/// server that has lost a part of itself is worse than one that its supervisor starts again.
pub(super) fn abort_on_panic() {
    std::panic::set_hook(Box::new(|info| {
        // The lock may be held by the very code that panics.
        if let Ok(mut state) = LOG.state.try_lock() {
            state.push(Level::Error, &|to| write!(to, "{info}; aborting"));
            drop(state);
            flush_for(Duration::from_secs(1));
        } else {
            // Unlike eprintln, without a panic in the panic.
            let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("{info}; aborting\n"));
        }
        std::process::abort();
    }));
}

/// Lines that nobody will read: there was no room for them, or nobody there.
pub(super) fn lost_lines() -> u64 {
    let state = LOG.lock();
    let syslog = state.out.syslog.as_ref().map_or(0, |it| it.lost_in_all());
    state.out.lost_lines + state.err.lost_lines + syslog
}

/// Writes lines as they come, for ever.
pub(super) async fn write_lines(reactor: &Reactor) {
    loop {
        poll_fn(|context| {
            let mut state = LOG.lock();
            if state.is_written() {
                state.writer = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        reactor.sleep(COMPANY_PAUSE).await;
        if !LOG.lock().write() {
            reactor.sleep(STUCK_PAUSE).await;
        }
    }
}

/// Writes what is left, for at most so long.
pub(super) fn flush_for(longest: Duration) {
    let deadline = Instant::now() + longest;
    let mut state = LOG.lock();
    while !state.write() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        if state.out.syslog.is_some() {
            std::thread::sleep(left.min(SYSLOG_PAUSE));
        } else if state.out.is_written() {
            can_be_written(io::stderr().as_fd(), left);
        } else {
            can_be_written(io::stdout().as_fd(), left);
        }
    }
}

/// Logs a line of which there are many, without the detour over `std::fmt` that the macros of `log` take.
pub(super) fn log_line(level: Level, words: Words<'_>) {
    if level <= log::max_level() {
        LOG.push(level, words);
    }
}

impl ServeLog {
    fn push(&self, level: Level, words: Words<'_>) {
        let mut state = self.lock();
        state.push(level, words);
        let writer = state.writer.take();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for ServeLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.push(record.level(), &|to| to.write_fmt(*record.args()));
        }
    }

    fn flush(&self) {}
}

impl State {
    const fn new() -> State {
        State {
            out: Stream::new(),
            err: Stream::new(),
            writer: None,
        }
    }

    fn push(&mut self, level: Level, words: Words<'_>) {
        if level <= Level::Warn && self.out.syslog.is_none() {
            self.err.push(level, words, &io::stderr());
        } else {
            self.out.push(level, words, &io::stdout());
        }
    }

    fn is_written(&self) -> bool {
        self.out.is_written() && self.err.is_written()
    }

    /// Writes what can be written now; false if something is left.
    fn write(&mut self) -> bool {
        let (out, err) = (io::stdout(), io::stderr());
        let out_is_written = self.out.write(&out);
        self.err.write(&err) && out_is_written
    }
}

impl Stream {
    const fn new() -> Stream {
        Stream {
            lines: Vec::new(),
            written_bytes: 0,
            dropped_lines: 0,
            lost_lines: 0,
            to_journal: false,
            to_file: false,
            terminal: None,
            syslog: None,
        }
    }

    fn prepare(&mut self, to: impl AsFd + IsTerminal) {
        self.to_journal = is_journal(&to);
        self.to_file = is_file(&to);
        self.terminal = to
            .is_terminal()
            .then(|| reopened(&to))
            .flatten()
            .map(Box::new);
    }

    fn is_written(&self) -> bool {
        self.written_bytes == self.lines.len()
    }

    /// Appends a line, and before it the number of those that have been dropped; or drops it. When there is no room the
    /// reader gets one more chance to take some. Lines that fill a piece wait for no others.
    fn push(&mut self, level: Level, words: Words<'_>, to: &impl AsFd) {
        let pushed = self.try_push(level, words) || {
            self.write(to);
            self.forget_written();
            self.try_push(level, words)
        };
        self.lost_lines += u64::from(!pushed);
        if self.lines.len() - self.written_bytes > PIECE_BYTES_MAX && self.syslog.is_none() {
            self.write_piece(to);
        }
        self.dropped_lines = if pushed {
            0
        } else {
            self.dropped_lines.saturating_add(1)
        };
    }

    /// Appends all or nothing.
    fn try_push(&mut self, level: Level, words: Words<'_>) -> bool {
        let start = self.lines.len();
        let pushed = self.append_dropped().is_ok() && self.append_line(level, words).is_ok();
        if !pushed {
            self.lines.truncate(start);
        }
        pushed
    }

    fn append_dropped(&mut self) -> fmt::Result {
        match self.dropped_lines {
            0 => Ok(()),
            lines => self.append_line(Level::Warn, &|to| {
                write!(
                    to,
                    "{lines} log lines were dropped: nobody read them in time"
                )
            }),
        }
    }

    /// Makes room where lines have been written.
    fn forget_written(&mut self) {
        if self.written_bytes > 0 {
            let left_bytes = self.lines.len() - self.written_bytes;
            self.lines.copy_within(self.written_bytes.., 0);
            self.lines.truncate(left_bytes);
            self.written_bytes = 0;
        }
    }

    fn append_line(&mut self, level: Level, words: Words<'_>) -> fmt::Result {
        if let Some(syslog) = &self.syslog {
            syslog.write_prefix(&mut self.lines, level)?;
        } else if self.to_journal {
            self.lines.write_str(match level {
                Level::Error => "<3>",
                Level::Warn => "<4>",
                Level::Info | Level::Debug | Level::Trace => "<6>",
            })?;
        }
        let start = self.lines.len();
        words(&mut self.lines)?;
        // One message is one line, whoever wrote it.
        if !is_plain(&self.lines[start..]) {
            for byte in &mut self.lines[start..] {
                if byte.is_ascii_control() {
                    *byte = b'?';
                }
            }
        }
        self.lines.push(b'\n').map_err(|_| fmt::Error)
    }

    /// Writes what can be written without blocking; false if something is left.
    fn write(&mut self, to: &impl AsFd) -> bool {
        if self.syslog.is_some() {
            return self.write_to_syslog();
        }
        while !self.is_written() {
            if !self.write_piece(to) {
                return false;
            }
        }
        true
    }

    /// Writes as much as may be written at once; false if nothing can be written now.
    fn write_piece(&mut self, to: &impl AsFd) -> bool {
        if !self.to_file && !can_be_written(to.as_fd(), Duration::ZERO) {
            return false;
        }
        let piece = piece(&self.lines[self.written_bytes..]);
        let fd = self
            .terminal
            .as_ref()
            .map_or(to.as_fd(), |terminal| terminal.as_fd());
        match nix::unistd::write(fd, piece) {
            Ok(bytes) => self.written_bytes += bytes,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return false,
            // A closed pipe or a full disk: there is nobody to tell.
            Err(_) => {
                self.lost_lines += piece.iter().filter(|&&byte| byte == b'\n').count() as u64;
                self.written_bytes += piece.len();
            }
        }
        if self.lines.len() - self.written_bytes <= PIECE_BYTES_MAX {
            self.forget_written();
        }
        true
    }

    /// Sends what can be sent to syslog without blocking; false if something is left.
    fn write_to_syslog(&mut self) -> bool {
        let Some(syslog) = &mut self.syslog else {
            return true;
        };
        while let Some(line) = self.lines[self.written_bytes..]
            .split_inclusive(|&byte| byte == b'\n')
            .next()
        {
            match syslog.send(line) {
                Some(bytes) => self.written_bytes += bytes,
                None => return false,
            }
        }
        self.forget_written();
        true
    }
}

/// As many whole lines as may be written at once, or the beginning of a longer one.
fn piece(lines: &[u8]) -> &[u8] {
    if lines.len() <= PIECE_BYTES_MAX {
        return lines;
    }
    let piece = &lines[..PIECE_BYTES_MAX];
    let end = piece
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(PIECE_BYTES_MAX, |lf| lf + 1);
    &lines[..end]
}

fn can_be_written(fd: BorrowedFd<'_>, longest: Duration) -> bool {
    let timeout = PollTimeout::try_from(longest).unwrap_or(PollTimeout::ZERO);
    let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
    // A reader that has gone is shown as an error, and the write then says so.
    poll(&mut fds, timeout).is_ok_and(|ready| ready > 0)
}

/// The same file with an open file description of its own, on which O_NONBLOCK is nobody else's business.
fn reopened(fd: &impl AsFd) -> Option<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    nix::fcntl::open(path.as_str(), flags, Mode::empty()).ok()
}

fn is_file(stream: &impl AsFd) -> bool {
    nix::sys::stat::fstat(stream)
        .is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG)
}

/// Whether systemd has connected this stream to the journal: JOURNAL_STREAM names its device and inode.
fn is_journal(stream: &impl AsFd) -> bool {
    std::env::var("JOURNAL_STREAM").is_ok_and(|journal| {
        nix::sys::stat::fstat(stream)
            .is_ok_and(|stat| journal == format!("{}:{}", stat.st_dev, stat.st_ino))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::syslog::Facility;
    use std::os::unix::net::UnixDatagram;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    /// Tells this test, started once more by itself, to panic.
    const PANIC: &str = "GREYLET_TEST_PANIC";

    /// In a detached task, where smol would catch it.
    #[test]
    fn a_panic_ends_the_process_with_a_line_in_the_log() {
        if std::env::var_os(PANIC).is_some() {
            start(LevelFilter::Trace, None);
            abort_on_panic();
            let executor = smol::LocalExecutor::new();
            executor.spawn(async { panic!("on purpose") }).detach();
            smol::future::block_on(executor.run(std::future::pending::<()>()));
        }
        let test = std::env::current_exe().expect("the path of this test");
        let name = "daemon::log::tests::a_panic_ends_the_process_with_a_line_in_the_log";
        let output = Command::new(test)
            .args(["--exact", name, "--nocapture"])
            .env(PANIC, "1")
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::null())
            .output()
            .expect("it starts");
        assert_eq!(output.status.signal(), Some(nix::libc::SIGABRT));
        let error = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(
            error.contains("on purpose") && error.ends_with("; aborting\n"),
            "{error}"
        );
    }

    /// A pipe that takes nothing more, with its reader.
    fn full_pipe() -> (OwnedFd, OwnedFd) {
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        while can_be_written(writer.as_fd(), Duration::ZERO) {
            nix::unistd::write(&writer, &[b'x'; PIECE_BYTES_MAX]).expect("it is taken");
        }
        (reader, writer)
    }

    #[test]
    fn lines_are_kept_until_there_is_no_room() {
        let (reader, writer) = full_pipe();
        let mut stream = Box::new(Stream::new());
        let line = "x".repeat(999);
        let push = |stream: &mut Stream| {
            stream.push(Level::Info, &|to| to.write_str(&line), &writer);
        };
        for _ in 0..70 {
            push(&mut stream);
        }
        assert_eq!((stream.lines.len(), stream.dropped_lines), (65_000, 5));
        // The reader takes two pieces, and so there is room for eight lines.
        for _ in 0..2 {
            let mut piece = [0; PIECE_BYTES_MAX];
            nix::unistd::read(&reader, &mut piece).expect("it was full");
        }
        push(&mut stream);
        let lines = String::from_utf8(stream.lines.to_vec()).expect("UTF-8");
        let mut end = lines.lines().rev();
        assert_eq!(end.next(), Some(&line[..]));
        let dropped = "5 log lines were dropped: nobody read them in time";
        assert_eq!(end.next(), Some(dropped));
        assert_eq!((end.count(), stream.dropped_lines), (65 - 8, 0));
    }

    #[test]
    fn a_message_is_one_line_with_the_journals_severity() {
        let nowhere = std::fs::File::create("/dev/null").expect("it is there");
        let mut stream = Box::new(Stream::new());
        stream.push(Level::Info, &|to| to.write_str("a\nb\tc"), &nowhere);
        stream.to_journal = true;
        stream.push(Level::Error, &|to| to.write_str("d"), &nowhere);
        stream.push(Level::Warn, &|to| to.write_str("e"), &nowhere);
        stream.push(Level::Debug, &|to| to.write_str("f"), &nowhere);
        assert_eq!(&stream.lines[..], b"a?b?c\n<3>d\n<4>e\n<6>f\n");
    }

    /// They wait for room there, in order, and warnings are not apart.
    #[test]
    fn lines_go_to_syslog() {
        let path = std::env::temp_dir().join(format!("greylet-log-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let reader = UnixDatagram::bind(&path).expect("a socket");
        reader.set_nonblocking(true).expect("it can");
        let mut state = Box::new(State::new());
        state.out.syslog = Some(Box::new(Syslog::to(&path, Facility::MAIL)));
        let mut pushed = 0;
        while state.write() {
            state.push(Level::Warn, &|to| write!(to, "line\n{pushed}"));
            state.push(Level::Debug, &|to| write!(to, "line\n{}", pushed + 1));
            pushed += 2;
        }
        assert!(!state.is_written() && state.err.is_written());
        for number in 0..pushed {
            let mut line = [0; 100];
            let bytes = reader.recv(&mut line).expect("it was sent");
            let line = String::from_utf8_lossy(&line[..bytes]);
            let priority = if number % 2 == 0 { "<20>" } else { "<22>" };
            let text = format!(" greylet[{}]: line?{number}", std::process::id());
            assert!(
                line.starts_with(priority) && line.ends_with(&text),
                "{line}"
            );
            state.write();
        }
        assert!(state.is_written());
        std::fs::remove_file(&path).expect("it is there");
    }

    #[test]
    fn pieces_end_with_a_line() {
        let lines = [b"x".repeat(3_000), b"\n".to_vec()].concat().repeat(3);
        assert_eq!(piece(&lines).len(), 3_001);
        assert_eq!(piece(b"a\nb\n"), b"a\nb\n");
        assert_eq!(piece(&b"x".repeat(9_000)).len(), PIECE_BYTES_MAX);
    }
}
