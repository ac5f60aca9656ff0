//! Postfix's smtpd processes, all in one thread: on each connection one request at a time, the next as soon as the answer is there.

use std::fs::File;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use crate::address::Address;
use crate::process::Process;
use crate::request::Request;

/// Longest answer, in bytes; greylet's have at most half of that.
const ANSWER_BYTES_MAX: usize = 1_024;

/// How long a server may take to answer, in milliseconds.
const SILENCE_MS_MAX: u16 = 10_000;

const EVENTS_MAX: usize = 64;

/// What is asked next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    /// Number of the triplet.
    pub(crate) triplet: u64,
    /// Number of the message transaction.
    pub(crate) transaction: u64,
    /// How the answer must begin.
    pub(crate) expected: &'static str,
}

/// What one measurement has given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// Answers in a second.
    pub(crate) requests_per_second: f64,
    /// Median time from a request to its answer.
    pub(crate) p50_us: f64,
    /// The time that one answer in a hundred takes longer than.
    pub(crate) p99_us: f64,
    /// The time that one answer in a thousand takes longer than.
    pub(crate) p999_us: f64,
    /// CPU time that the server has used for a request.
    pub(crate) cpu_us: f64,
    /// How often a request has had the server leave a core.
    pub(crate) switches: f64,
    /// What the server has resident at the end.
    pub(crate) resident_kb: f64,
    /// What a request has the server write to disk, its log included.
    pub(crate) written_bytes: f64,
    /// What a request adds to the server's log.
    pub(crate) log_bytes: f64,
}

/// Connections, with a request in progress on each.
pub(crate) struct Clients<N> {
    epoll: Epoll,
    connections: Vec<Connection>,
    next: N,
}

struct Connection {
    stream: File,
    request: Request,
    sent: Instant,
    expected: &'static str,
    answer: [u8; ANSWER_BYTES_MAX],
    answer_bytes: usize,
}

impl<N: FnMut() -> Question> Clients<N> {
    /// Connects so many times.
    ///
    /// # Errors
    ///
    /// The server does not take a connection.
    pub(crate) fn connect(
        address: &Address,
        connections: usize,
        next: N,
    ) -> Result<Clients<N>, String> {
        let cannot =
            |error: &dyn std::fmt::Display| format!("cannot connect to {address}: {error}");
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|error| cannot(&error))?;
        let connections = (0..connections)
            .map(|index| {
                let stream = address.connect().map_err(|error| cannot(&error))?;
                let event = EpollEvent::new(EpollFlags::EPOLLIN, index as u64);
                epoll.add(&stream, event).map_err(|error| cannot(&error))?;
                Ok(Connection::new(stream, Request::of_postfix()))
            })
            .collect::<Result<_, String>>()?;
        Ok(Clients {
            epoll,
            connections,
            next,
        })
    }

    /// Keeps the server busy, and measures it once it is warm.
    ///
    /// # Errors
    ///
    /// The server says something else than it must, or nothing, or is gone.
    pub(crate) fn measure(
        mut self,
        server: Process,
        warm_up: Duration,
        window: Duration,
    ) -> Result<Figures, String> {
        let mut latencies = Vec::new();
        let start = Instant::now();
        for connection in &mut self.connections {
            connection.ask((self.next)(), start)?;
        }
        self.ask_until(start + warm_up, &mut latencies)?;
        latencies.clear();
        let bytes = || Ok::<_, String>((server.written_bytes()?, server.log_bytes()));
        let ((written_before, log_before), switches_before) = (bytes()?, server.switches()?);
        let (start, cpu_before) = (Instant::now(), server.cpu()?);
        self.ask_until(start + window, &mut latencies)?;
        let (elapsed, cpu_after) = (start.elapsed(), server.cpu()?);
        let switches = server.switches()?.saturating_sub(switches_before);
        let (written_bytes, log_bytes) = bytes()?;
        let resident_kb = server.memory()?.resident_kb as f64;
        self.take_last_answers()?;
        if latencies.is_empty() {
            return Err(format!("no answer in {} ms", window.as_millis()));
        }
        latencies.sort_unstable();
        let requests = latencies.len() as f64;
        let each = |after: u64, before| after.saturating_sub(before) as f64 / requests;
        let per_thousand =
            |share| f64::from(latencies[(latencies.len() - 1) * share / 1_000]) / 1e3;
        Ok(Figures {
            requests_per_second: requests / elapsed.as_secs_f64(),
            p50_us: per_thousand(500),
            p99_us: per_thousand(990),
            p999_us: per_thousand(999),
            switches: switches as f64 / requests,
            cpu_us: cpu_after.saturating_sub(cpu_before).as_secs_f64() * 1e6 / requests,
            resident_kb,
            written_bytes: each(written_bytes, written_before),
            log_bytes: each(log_bytes, log_before),
        })
    }

    /// Lets an answer be followed by the next request until it is time; notes how long each took, in ns.
    fn ask_until(&mut self, end: Instant, latencies: &mut Vec<u32>) -> Result<(), String> {
        let mut events = [EpollEvent::empty(); EVENTS_MAX];
        loop {
            let mut now = Instant::now();
            if now >= end {
                return Ok(());
            }
            for event in wait(&self.epoll, &mut events)? {
                let Some(connection) = self.connections.get_mut(event.data() as usize) else {
                    continue;
                };
                if !connection.take_answer()? {
                    continue;
                }
                now = Instant::now();
                let latency = now.saturating_duration_since(connection.sent).as_nanos();
                latencies.push(u32::try_from(latency).unwrap_or(u32::MAX));
                connection.ask((self.next)(), now)?;
            }
        }
    }

    /// Takes the answers that are still to come, so that the server is idle afterwards.
    fn take_last_answers(&mut self) -> Result<(), String> {
        for connection in &mut self.connections {
            while !connection.take_answer()? {}
        }
        Ok(())
    }
}

impl Connection {
    fn new(stream: File, request: Request) -> Connection {
        Connection {
            stream,
            request,
            sent: Instant::now(),
            expected: "",
            answer: [0; ANSWER_BYTES_MAX],
            answer_bytes: 0,
        }
    }

    fn ask(&mut self, question: Question, now: Instant) -> Result<(), String> {
        (self.sent, self.expected) = (now, question.expected);
        let request = self.request.about(question.triplet, question.transaction);
        self.stream
            .write_all(request)
            .map_err(|error| format!("cannot send a request: {error}"))
    }

    /// Reads; true if the answer is now whole.
    fn take_answer(&mut self) -> Result<bool, String> {
        let read_bytes = self
            .stream
            .read(&mut self.answer[self.answer_bytes..])
            .map_err(|error| format!("cannot read an answer: {error}"))?;
        self.answer_bytes += read_bytes;
        let answer = &self.answer[..self.answer_bytes];
        let wrong = |what: &str| {
            let answer = String::from_utf8_lossy(answer);
            Err(format!("it {what}: {:?}", answer.trim_end()))
        };
        if read_bytes == 0 {
            return wrong("closed the connection instead of answering");
        }
        match answer.windows(2).position(|pair| pair == b"\n\n") {
            None if answer.len() == ANSWER_BYTES_MAX => return wrong("does not end its answer"),
            None => return Ok(false),
            Some(end) if end + 2 < answer.len() => return wrong("said more than it was asked"),
            Some(_) => {}
        }
        if !answer.starts_with(self.expected.as_bytes()) {
            return wrong(&format!("did not answer {}", self.expected));
        }
        self.answer_bytes = 0;
        Ok(true)
    }
}

/// Asks about one triplet after the other on one connection, as if at another time; every answer must begin as expected.
///
/// # Errors
///
/// One does not, or the server is gone.
pub(crate) fn ask_at(
    address: &Address,
    unix_seconds: u64,
    triplets: std::ops::Range<u64>,
    expected: &'static str,
) -> Result<(), String> {
    let stream = address
        .connect()
        .map_err(|error| format!("cannot connect to {address}: {error}"))?;
    let mut connection = Connection::new(stream, Request::at(unix_seconds));
    for triplet in triplets {
        let question = Question {
            triplet,
            // Another one than that of the other time.
            transaction: unix_seconds + triplet,
            expected,
        };
        connection.ask(question, Instant::now())?;
        while !connection.take_answer()? {}
    }
    Ok(())
}

fn wait<'a>(epoll: &Epoll, events: &'a mut [EpollEvent]) -> Result<&'a [EpollEvent], String> {
    loop {
        match epoll.wait(events, SILENCE_MS_MAX) {
            Ok(0) => return Err(format!("no answer in {SILENCE_MS_MAX} ms")),
            Ok(ready) => return Ok(&events[..ready]),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(format!("cannot wait for answers: {error}")),
        }
    }
}
