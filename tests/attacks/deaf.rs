//! Who asks and never reads the answers: they do not fit into the socket, so greylet must wait with some, and with reading more.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use nix::sys::socket::{setsockopt, sockopt};

use crate::honest::Honest;
use crate::support::{Client, request, say};
use crate::target::{Doors, Target};

/// A client gets no more into greylet than that, in bytes: what the sockets hold, which the system decides.
const TAKEN_BYTES_MAX: usize = 1 << 26;

/// After so many mails of the honest client, in which nobody else's was taken, nothing will be.
const FULL_AFTER_MAILS: u32 = 20;

/// Somebody who asks, and how many bytes of that were taken.
struct Deaf<S> {
    stream: S,
    taken_bytes: usize,
}

impl<S: Write> Deaf<S> {
    /// Sends what is taken; tells whether anything was.
    fn push(&mut self, requests: &[u8]) -> bool {
        let before = self.taken_bytes;
        loop {
            let rest = &requests[self.taken_bytes % requests.len()..];
            match self.stream.write(rest) {
                Ok(bytes) => self.taken_bytes += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // It has had to make room.
                Err(_) => return false,
            }
            let taken = self.taken_bytes;
            assert!(
                taken < TAKEN_BYTES_MAX,
                "greylet takes requests without end"
            );
        }
        self.taken_bytes > before
    }
}

/// Pushes requests into so many connections until none takes any.
fn fill<H: Read + Write, S: Write>(honest: &mut Honest<H>, mut deaf: Vec<Deaf<S>>) -> Vec<Deaf<S>> {
    let requests = request(&[]).repeat(100).into_bytes();
    let mut full = 0;
    while full < FULL_AFTER_MAILS {
        let mut is_any_taken = false;
        for deaf in &mut deaf {
            is_any_taken |= deaf.push(&requests);
        }
        // While it was answered, greylet has read what it wanted of the others.
        honest.send_mail();
        full = if is_any_taken { 0 } else { full + 1 };
    }
    deaf
}

/// So many clients that ask until nothing is taken any more, and then go.
pub(crate) fn ask_and_never_read(doors: &Doors, clients: usize) {
    let mut honest = Honest::new(doors.unix_client(), "beside-deaf");
    drop(fill(&mut honest, over_unix(doors, clients)));
}

fn over_unix(doors: &Doors, clients: usize) -> Vec<Deaf<UnixStream>> {
    let connect = |_| {
        let stream = doors.unix();
        stream.set_nonblocking(true).expect("it can");
        Deaf {
            stream,
            taken_bytes: 0,
        }
    };
    (0..clients).map(connect).collect()
}

#[test]
fn answers_that_nobody_reads() {
    let mut target = Target::start("deaf", &["--quiet"]);
    target.assert_unharmed_twice("40 that never read their answers", 1_300, |target| {
        let deaf = over_unix(&target.doors, 40);
        let deaf = fill(target.honest(), deaf);
        let taken_bytes: usize = deaf.iter().map(|deaf| deaf.taken_bytes).sum();
        say(&format!(
            "40 that never read their answers: {taken_bytes} bytes taken"
        ));
    });
    target.stop();
}

#[test]
fn answers_that_nobody_reads_over_tcp() {
    let mut target = Target::start("deaftcp", &["--quiet"]);
    let connect = |_| {
        let stream = target.doors.tcp();
        // What the kernel would keep for it is no matter of greylet's.
        setsockopt(&stream.as_fd(), sockopt::RcvBuf, &4_096).expect("it can");
        setsockopt(&stream.as_fd(), sockopt::SndBuf, &4_096).expect("it can");
        stream.set_nonblocking(true).expect("it can");
        Deaf {
            stream,
            taken_bytes: 0,
        }
    };
    let deaf = (0..8).map(connect).collect();
    let deaf = fill(target.honest(), deaf);
    let taken_bytes: usize = deaf.iter().map(|deaf| deaf.taken_bytes).sum();
    let attack = format!("{taken_bytes} bytes over TCP from 8 that never read their answers");
    target.assert_unharmed(&attack, 800);
    target.stop();
}

/// What was taken is answered when it is wanted.
#[test]
fn answers_that_are_read_late() {
    let mut target = Target::start("late", &["--quiet"]);
    let mut client: Client<_> = target.doors.unix_client();
    client.stream().set_nonblocking(true).expect("it can");
    let late = vec![Deaf {
        stream: client.stream().try_clone().expect("a second handle"),
        taken_bytes: 0,
    }];
    let taken_bytes = fill(target.honest(), late)[0].taken_bytes;
    client.stream().set_nonblocking(false).expect("it can");
    for _ in 0..taken_bytes / request(&[]).len() {
        assert!(client.action().starts_with("DEFER_IF_PERMIT "));
    }
    target.stop();
}
