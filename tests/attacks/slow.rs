//! Who takes his time: a byte a second, or half a request and then nothing.

use std::io::Write;
use std::net::TcpStream;

use crate::support::{Client, request};
use crate::target::{Doors, Target};

/// As many as there may be connections when nothing is said.
const CLIENTS: usize = 256;

fn connect(doors: &Doors, clients: usize) -> Vec<Client<TcpStream>> {
    let connect = |_| {
        let mut client = doors.client();
        // Each byte shall be a packet.
        client.stream().set_nodelay(true).expect("no delay");
        client
    };
    (0..clients).map(connect).collect()
}

/// Some connections that get one byte each in turn, and go before the request ends.
pub(crate) fn trickle(doors: &Doors, clients: usize) {
    let mut clients = connect(doors, clients);
    let request = request(&[]).into_bytes();
    for byte in &request[..request.len() - 1] {
        for client in &mut clients {
            // It may have had to make room.
            let _ = client.stream().write(&[*byte]);
        }
    }
}

/// All places are taken by clients that send one byte a second, where a second is how long the honest one needs for its mail. It
/// comes when the house is full, so the first of them gives way; all others get their answers in the end.
#[test]
fn a_byte_a_second_from_everybody() {
    let mut target = Target::start("slow", &["--quiet"]);
    target.assert_unharmed_twice("a byte a second from 256 connections", 1_300, |target| {
        // The honest client that is there from the start has one place.
        let mut slow = connect(&target.doors, CLIENTS - 1);
        for client in &mut slow {
            client.send("r");
        }
        let mut late = target.doors.client();
        assert!(late.ask(request(&[])).starts_with("DEFER_IF_PERMIT "));
        let mut gave_way = slow.remove(0);
        assert_eq!(gave_way.rest(), b"");
        let request = request(&[]);
        for byte in &request.as_bytes()[1..] {
            for client in &mut slow {
                client.send([*byte]);
            }
            target.honest().send_mail();
            assert!(late.ask(&request).starts_with("DEFER_IF_PERMIT "));
        }
        for client in &mut slow {
            assert!(client.action().starts_with("DEFER_IF_PERMIT "));
        }
    });
    target.stop();
}

/// So many connections with the longest values that are kept, more often than once, without an end; `between` has its turn after each piece.
pub(crate) fn send_longest_halves(
    doors: &Doors,
    connections: usize,
    mut between: impl FnMut(),
) -> Vec<Client<TcpStream>> {
    let long = "x".repeat(4_096);
    let half = format!("client_name={long}\nsender={long}\nrecipient={long}\nname={long}");
    let again = format!("\n{half}");
    let mut clients = connect(doors, connections);
    for piece in [&half, &again, &again] {
        for client in &mut clients {
            // It may have had to make room.
            let _ = client.stream().write_all(piece.as_bytes());
        }
        between();
    }
    clients
}

/// The longest halves from everybody at once, and then nothing.
#[test]
fn the_longest_halves() {
    let mut target = Target::start("halves", &["--quiet"]);
    let doors = target.doors.clone();
    let mut clients = send_longest_halves(&doors, 250, || target.honest().send_mail());
    target.assert_unharmed("half a request of 50 kB from 250 connections", 13_000);
    for client in &mut clients {
        assert_eq!(client.ask("\n\n"), "DUNNO");
    }
    target.stop();
}

/// What they began is kept for them.
#[test]
fn half_a_request_holds_up_nobody() {
    let mut target = Target::start("half", &["--quiet"]);
    let request = request(&[]);
    let (first, second) = request.split_at(40);
    let mut halves = connect(&target.doors, 100);
    for client in &mut halves {
        client.send(first);
    }
    target.honest().send_mail();
    for client in &mut halves {
        assert!(client.ask(second).starts_with("DEFER_IF_PERMIT "));
    }
    target.stop();
}
