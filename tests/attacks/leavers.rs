//! Who is gone before he is answered: closed, half closed, or without a word, as when a cable is pulled.

use std::io::Write;
use std::net::Shutdown;
use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt};

use crate::support::{request, say};
use crate::target::{ALL_CLIENTS_KB, Doors, Target, read_to_end};

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
    for number in 0..1_000 {
        send_and_leave(&target.doors, 1 + number % 50);
    }
    target.assert_unharmed("2,000 clients that send and leave", ALL_CLIENTS_KB);
    target.stop();
}

/// Somebody who says that he has said everything is answered, and told so in turn.
#[test]
fn half_closed_connections() {
    let mut target = Target::start("halfclosed", &["--quiet"]);
    let half = &request(&[])[..40];
    for (sent, answers) in [
        (String::new(), 0),
        (half.to_owned(), 0),
        (request(&[]), 1),
        (request(&[]).repeat(100) + half, 100),
    ] {
        let mut streams: Vec<_> = (0..50).map(|_| target.doors.tcp()).collect();
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
    target.assert_unharmed("200 half-closed connections", ALL_CLIENTS_KB);
    target.stop();
}

/// greylet cannot know that nobody is there any more. When all places are taken like this, they are given to those who come.
#[test]
fn half_open_connections() {
    let mut target = Target::start("halfopen", &["--quiet"]);
    let mut vanished = 0;
    for number in 0..300 {
        let mut stream = target.doors.tcp();
        if number % 2 == 0 {
            stream
                .write_all(&request(&[]).as_bytes()[..40])
                .expect("it is taken");
        }
        // A socket under repair is closed without a word to the other end.
        if setsockopt(&stream.as_fd(), sockopt::TcpRepair, &1).is_ok() {
            vanished += 1;
        } else {
            // Not to be told from one whose client is gone.
            std::mem::forget(stream);
        }
    }
    if vanished == 0 {
        say("without CAP_NET_ADMIN: half-open connections have silent clients instead");
    }
    target.assert_unharmed("300 half-open connections", ALL_CLIENTS_KB);
    target.stop();
}
