//! Who is gone before he is answered: closed, half closed, or without a word, as when a cable is pulled.

use std::cell::RefCell;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt};

use crate::support::{request, say};
use crate::target::{Doors, Target, read_to_end};

/// Sends so many requests and leaves, with the answers unread.
pub(crate) fn send_and_leave(doors: &Doors, requests: usize) {
    // It may fail when greylet has noticed.
    let _ = doors
        .tcp()
        .write_all(request(&[]).repeat(requests).as_bytes());
    let _ = doors.unix().write_all(&request(&[]).as_bytes()[..40]);
}

#[test]
fn who_sends_and_leaves() {
    let mut target = Target::start("leave", &["--quiet"]);
    target.assert_unharmed_twice("2,000 clients that send and leave", 100, |target| {
        for number in 0..1_000 {
            send_and_leave(&target.doors, 1 + number % 50);
        }
    });
    target.stop();
}

/// So many connections that are half closed behind some requests, with half a one at the end or not; who says that he has said everything is answered,
/// and told so in turn.
pub(crate) fn send_and_say_so(doors: &Doors, connections: usize) {
    let half = &request(&[])[..40];
    for (sent, answers) in [
        (String::new(), 0),
        (half.to_owned(), 0),
        (request(&[]), 1),
        (request(&[]).repeat(100) + half, 100),
    ] {
        let mut streams: Vec<_> = (0..connections).map(|_| doors.tcp()).collect();
        for stream in &mut streams {
            stream.write_all(sent.as_bytes()).expect("it is taken");
            stream.shutdown(Shutdown::Write).expect("it is connected");
        }
        for mut stream in streams {
            let text = String::from_utf8(read_to_end(&mut stream)).expect("text");
            assert_eq!(text.matches("action=DEFER_IF_PERMIT ").count(), answers);
            assert_eq!(text.matches("action=").count(), answers);
        }
    }
}

#[test]
fn half_closed_connections() {
    let mut target = Target::start("halfclosed", &["--quiet"]);
    target.assert_unharmed_twice("200 half-closed connections", 200, |target| {
        send_and_say_so(&target.doors, 50);
    });
    target.stop();
}

/// So many connections of which every other one has half a request, and whose clients vanish without a word. Gives those that could not, as it takes
/// CAP_NET_ADMIN; whoever keeps them is not to be told from one whose client is gone.
pub(crate) fn vanish(doors: &Doors, connections: usize) -> Vec<TcpStream> {
    let mut silent = Vec::new();
    for number in 0..connections {
        let mut stream = doors.tcp();
        if number % 2 == 0 {
            // It may have had to make room.
            let _ = stream.write_all(&request(&[]).as_bytes()[..40]);
        }
        // A socket under repair is closed without a word to the other end.
        if setsockopt(&stream.as_fd(), sockopt::TcpRepair, &1).is_err() {
            silent.push(stream);
        }
    }
    silent
}

/// greylet cannot know that nobody is there any more. When all places are taken like this, they are given to those who come.
#[test]
fn half_open_connections() {
    let mut target = Target::start("halfopen", &["--quiet"]);
    let silent = RefCell::new(Vec::new());
    target.assert_unharmed_twice("300 half-open connections", 700, |target| {
        let mut silent = silent.borrow_mut();
        silent.extend(vanish(&target.doors, 300));
        if !silent.is_empty() {
            say("without CAP_NET_ADMIN: half-open connections have silent clients instead");
        }
    });
    target.stop();
}
