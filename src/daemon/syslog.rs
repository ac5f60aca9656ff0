//! The log of a daemon in the background: /dev/log, as the C library's syslog(3) writes to it, but never waiting.
//!
//! A line is `<PRI>Nov 23 20:08:13 greylet[PID]: text`. RFC 3164 would let us leave out the time, and busybox and journald find out whether there is one; but
//! OpenWrt's logd takes 16 bytes away whenever the 16th is a blank, which of `greylet[12345]: text` is the name. It is in UTC, as musl's;
//! logd, journald and rsyslog put their own in its place, busybox's syslogd with -t.
//!
//! While nobody is there the lines are lost, and counted; the next line tries again, and tells. For a reader that is there and has no room,
//! `log` keeps them.

use std::fmt::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use heapless::String;
use log::Level;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, socket,
};

use crate::daemon::clock::header_date;
use crate::engine::time::{CivilTime, HeaderDate};

/// Where the system's log takes lines.
const SYSTEM_LOG: &str = "/dev/log";

/// What kind of program a line is from, by syslog(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(u8);

impl Facility {
    /// That of mail servers.
    pub const MAIL: Facility = Facility(2);

    /// All there are; 12 to 15 have no name on Linux.
    pub const NAMES: [&str; 20] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron",
        "authpriv", "ftp", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
        "local7",
    ];

    /// The facility of a name, in any case.
    pub fn from_name(name: &str) -> Option<Facility> {
        let mut names = Facility::NAMES.iter();
        let index = names.position(|known| known.eq_ignore_ascii_case(name))? as u8;
        Some(Facility(if index < 12 { index } else { index + 4 }))
    }

    fn priority(self, level: Level) -> u8 {
        let severity = match level {
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info | Level::Debug | Level::Trace => 6,
        };
        self.0 * 8 + severity
    }
}

/// A way to the system's log.
pub(super) struct Syslog {
    path: PathBuf,
    facility: Facility,
    process: u32,
    socket: Option<Socket>,
    /// Lines that nobody took, and that have yet to be told of.
    lost_lines: u32,
    /// Lines that nobody took.
    lost_in_all: u64,
}

struct Socket {
    fd: OwnedFd,
    is_stream: bool,
}

impl Syslog {
    /// To /dev/log, for this process.
    pub(super) fn to_system(facility: Facility) -> Syslog {
        Syslog::to(Path::new(SYSTEM_LOG), facility)
    }

    /// To a socket of syslog's kind.
    pub(super) fn to(path: &Path, facility: Facility) -> Syslog {
        Syslog {
            path: path.to_owned(),
            facility,
            process: std::process::id(),
            socket: None,
            lost_lines: 0,
            lost_in_all: 0,
        }
    }

    /// Lines that nobody took so far.
    pub(super) fn lost_in_all(&self) -> u64 {
        self.lost_in_all
    }

    /// Writes what a line begins with.
    pub(super) fn write_prefix(&self, line: &mut impl Write, level: Level) -> fmt::Result {
        let priority = self.facility.priority(level);
        let time = Time(header_date());
        write!(line, "<{priority}>{time} greylet[{}]: ", self.process)
    }

    /// Sends a line, given with its prefix and LF; gives how many of its bytes are done with, be they sent or lost. None if the
    /// reader is there but has no room.
    pub(super) fn send(&mut self, line: &[u8]) -> Option<usize> {
        // A reader that was started anew is not at the other end of the old socket.
        for _ in 0..2 {
            match self.try_send(line) {
                Ok(bytes) => return Some(bytes),
                Err(Errno::EAGAIN) => return None,
                Err(_) => self.socket = None,
            }
        }
        self.lost_lines = self.lost_lines.saturating_add(1);
        self.lost_in_all += 1;
        Some(line.len())
    }

    fn try_send(&mut self, line: &[u8]) -> nix::Result<usize> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => Socket::connect(&self.path)?,
        };
        let lost_line = (self.lost_lines > 0).then(|| self.lost_line());
        let socket = self.socket.insert(socket);
        if let Some(lost_line) = lost_line {
            socket.send(lost_line.as_bytes())?;
            self.lost_lines = 0;
        }
        socket.send(line)
    }

    fn lost_line(&self) -> String<128> {
        let mut line = String::new();
        // There is room for it.
        let _ = self.write_prefix(&mut line, Level::Warn).and_then(|()| {
            let lines = self.lost_lines;
            writeln!(
                line,
                "{lines} log lines were dropped: nobody read them in time"
            )
        });
        line
    }
}

impl Socket {
    fn connect(path: &Path) -> nix::Result<Socket> {
        let address = UnixAddr::new(path)?;
        let connected = |kind| -> nix::Result<OwnedFd> {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let fd = socket(AddressFamily::Unix, kind, flags, None)?;
            connect(fd.as_raw_fd(), &address)?;
            Ok(fd)
        };
        match connected(SockType::Datagram) {
            Err(Errno::EPROTOTYPE) => connected(SockType::Stream).map(|fd| Socket {
                fd,
                is_stream: true,
            }),
            fd => fd.map(|fd| Socket {
                fd,
                is_stream: false,
            }),
        }
    }

    fn send(&self, line: &[u8]) -> nix::Result<usize> {
        let text = match line.strip_suffix(b"\n") {
            // A datagram ends by itself.
            Some(text) if !self.is_stream => text,
            _ => line,
        };
        loop {
            match send(self.fd.as_raw_fd(), text, MsgFlags::MSG_NOSIGNAL) {
                Ok(bytes) if self.is_stream => return Ok(bytes),
                Ok(_) => return Ok(line.len()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The time as syslog has it: `Nov 23 20:08:13`, a day below 10 with a blank.
struct Time(HeaderDate);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = self.0.civil_time();
        let CivilTime {
            day,
            hour,
            minute,
            second,
            ..
        } = civil;
        let month = civil.month_name();
        write!(f, "{month} {day:2} {hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    /// A folder of the test's own, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("greylet-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(&path).expect("a scratch folder");
            Scratch(path)
        }

        fn log(&self) -> PathBuf {
            self.0.join("log")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn reader(path: &Path) -> UnixDatagram {
        let _ = std::fs::remove_file(path);
        let reader = UnixDatagram::bind(path).expect("a socket");
        reader.set_nonblocking(true).expect("it can");
        reader
    }

    fn read(reader: &UnixDatagram) -> std::string::String {
        let mut line = [0; 1_024];
        let bytes = reader.recv(&mut line).expect("a line");
        std::string::String::from_utf8_lossy(&line[..bytes]).into_owned()
    }

    #[test]
    fn facilities() {
        let number = |name| Facility::from_name(name).map(|it| it.0);
        assert_eq!(number("kern"), Some(0));
        assert_eq!(Facility::from_name("MAIL"), Some(Facility::MAIL));
        assert_eq!((number("ftp"), number("local0")), (Some(11), Some(16)));
        assert_eq!((number("local7"), number("local8")), (Some(23), None));
        assert_eq!(Facility::MAIL.priority(Level::Error), 19);
        assert_eq!(Facility::MAIL.priority(Level::Debug), 22);
    }

    #[test]
    fn times() {
        let time = |unix_seconds| Time(HeaderDate { unix_seconds }).to_string();
        assert_eq!(time(1_795_464_493), "Nov 23 20:08:13");
        assert_eq!(time(0), "Jan  1 00:00:00");
        assert_eq!(time(20 * 86_400), "Jan 21 00:00:00");
    }

    #[test]
    fn a_line_as_syslog_3_has_it() {
        let syslog = Syslog::to(Path::new("/nowhere"), Facility::MAIL);
        let mut line = String::<64>::new();
        syslog.write_prefix(&mut line, Level::Warn).expect("room");
        assert!(line.starts_with("<20>"), "{line}");
        let ident = format!(" greylet[{}]: ", std::process::id());
        assert_eq!(&line["<20>Nov 23 20:08:13".len()..], ident);
    }

    #[test]
    fn a_reader_that_comes_goes_and_comes_again() {
        let scratch = Scratch::new("syslog");
        let mut syslog = Syslog::to(&scratch.log(), Facility::MAIL);
        for _ in 0..3 {
            assert_eq!(syslog.send(b"nobody\n"), Some(7));
        }
        let first = reader(&scratch.log());
        assert_eq!(syslog.send(b"<22>a\n"), Some(6));
        let lost = read(&first);
        assert!(lost.starts_with("<20>") && lost.contains("]: 3 log lines were dropped"));
        assert_eq!(read(&first), "<22>a");
        let second = reader(&scratch.log());
        drop(first);
        // Nothing is lost if there is a new one.
        assert_eq!(syslog.send(b"<22>b\n"), Some(6));
        assert_eq!(read(&second), "<22>b");
        drop(second);
        assert_eq!(syslog.send(b"c\n"), Some(2));
        assert_eq!(syslog.lost_lines, 1);
    }

    #[test]
    fn a_reader_without_room_is_not_waited_for() {
        let scratch = Scratch::new("syslogfull");
        let reader = reader(&scratch.log());
        let mut syslog = Syslog::to(&scratch.log(), Facility::MAIL);
        let mut sent = 0;
        while syslog.send(b"x\n").is_some() {
            sent += 1;
        }
        assert!(sent > 0);
        read(&reader);
        assert_eq!(syslog.send(b"x\n"), Some(2));
        assert_eq!(syslog.lost_lines, 0);
    }

    #[test]
    fn a_stream() {
        let scratch = Scratch::new("syslogstream");
        let listener = UnixListener::bind(scratch.log()).expect("a socket");
        let mut syslog = Syslog::to(&scratch.log(), Facility::MAIL);
        assert_eq!(syslog.send(b"<22>a\n"), Some(6));
        assert_eq!(syslog.send(b"<22>b\n"), Some(6));
        drop(syslog);
        let mut lines = std::string::String::new();
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.read_to_string(&mut lines).expect("lines");
        assert_eq!(lines, "<22>a\n<22>b\n");
    }
}
