//! The fastest server that could be in greylet's place: one thread, epoll, DUNNO to every blank line, and nothing else. What the
//! kernel and the protocol cost anyway is this, and what greylet costs is what it takes on top.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::address::Listener;

/// The first word that makes the benchmark this server; the second is where it listens.
pub(crate) const ARGUMENT: &str = "limit-server";

pub(crate) const ANSWER: &[u8] = b"action=DUNNO\n\n";
const ANSWERS_PER_WRITE_MAX: usize = 64;
const EVENTS_MAX: usize = 64;

const STDIN: u64 = 0;
const LISTENER: u64 = 1;
const FIRST_CONNECTION: u64 = 2;

struct Connection {
    stream: File,
    blank_lines: BlankLines,
}

/// What ends requests.
#[derive(Default)]
pub(crate) struct BlankLines {
    /// Whether the last byte so far ended a line.
    at_line_start: bool,
}

impl BlankLines {
    /// How many end in these bytes.
    pub(crate) fn count(&mut self, input: &[u8]) -> usize {
        let begins_with_one = self.at_line_start && input.first() == Some(&b'\n');
        self.at_line_start = input.last() == Some(&b'\n');
        usize::from(begins_with_one) + input.windows(2).filter(|pair| *pair == b"\n\n").count()
    }
}

/// Serves until standard input ends, that is until the benchmark does.
///
/// # Errors
///
/// The address cannot be used, or epoll fails.
pub(crate) fn serve(address: &str) -> Result<(), String> {
    answer_all(address).map_err(|error| format!("limit server on {address}: {error}"))
}

fn answer_all(address: &str) -> io::Result<()> {
    let listener = Listener::bind(&address.parse()?)?;
    println!("listening on {}", listener.address()?);
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let watch = |fd: &dyn AsFd, key| {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, key);
        epoll.add(fd.as_fd(), event).map_err(io::Error::from)
    };
    watch(&io::stdin(), STDIN)?;
    watch(&listener, LISTENER)?;
    let mut connections = BTreeMap::new();
    let mut next_key = FIRST_CONNECTION;
    let mut events = [EpollEvent::empty(); EVENTS_MAX];
    loop {
        let ready = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => 0,
            ready => ready?,
        };
        for event in &events[..ready] {
            match event.data() {
                STDIN => return Ok(()),
                LISTENER => {
                    let stream = listener.accept()?;
                    watch(&stream, next_key)?;
                    let blank_lines = BlankLines::default();
                    connections.insert(
                        next_key,
                        Connection {
                            stream,
                            blank_lines,
                        },
                    );
                    next_key += 1;
                }
                key => {
                    let ended = connections
                        .get_mut(&key)
                        .is_some_and(|connection| connection.answer().is_err());
                    if ended {
                        // Closing it takes it out of epoll, too.
                        connections.remove(&key);
                    }
                }
            }
        }
    }
}

impl Connection {
    /// Answers what one read gives.
    fn answer(&mut self) -> io::Result<()> {
        let mut input = [0; 4_096];
        let read_bytes = self.stream.read(&mut input)?;
        if read_bytes == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut blank_lines = self.blank_lines.count(&input[..read_bytes]);
        while blank_lines > 0 {
            let answers = blank_lines.min(ANSWERS_PER_WRITE_MAX);
            // The usual case needs no buffer.
            if answers == 1 {
                self.stream.write_all(ANSWER)?;
            } else {
                self.stream.write_all(&ANSWER.repeat(answers))?;
            }
            blank_lines -= answers;
        }
        Ok(())
    }
}
