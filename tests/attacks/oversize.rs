//! More than there can be to a request: endless lines, a million attributes, senders of any length that Postfix hands on.

use std::io::Write;

use crate::support::request;
use crate::target::{Doors, Target, read_to_end};

/// Sends so many bytes without a line end, over as many connections as it takes; gives how many it took.
pub(crate) fn send_endless_lines(doors: &Doors, bytes: usize) -> usize {
    let piece = [b'x'; 65_536];
    let (mut sent_bytes, mut connections) = (0, 0);
    while sent_bytes < bytes {
        let mut stream = doors.tcp();
        connections += 1;
        while sent_bytes < bytes {
            match stream.write(&piece) {
                Ok(taken_bytes) => sent_bytes += taken_bytes,
                Err(_) => break,
            }
        }
        assert_eq!(read_to_end(&mut stream), b"");
    }
    connections
}

/// One request with so many attributes.
pub(crate) fn send_attributes(doors: &Doors, attributes: u32) {
    let mut stream = doors.tcp();
    let mut text = Vec::new();
    for number in 0..attributes {
        // Cannot fail: a vector takes everything.
        let _ = writeln!(text, "name{number}=value");
    }
    text.push(b'\n');
    // It is not taken to the end.
    let _ = stream.write_all(&text);
    assert_eq!(read_to_end(&mut stream), b"");
}

#[test]
fn a_line_without_end() {
    for (name, bytes) in [("1 MB", 1 << 20), ("64 MB", 64 << 20)] {
        let mut target = Target::start("endless", &["--quiet"]);
        let connections = send_endless_lines(&target.doors, bytes);
        let attack = format!("{name} without a newline, over {connections} connections");
        target.assert_unharmed(&attack, 100);
        target.stop();
    }
}

#[test]
fn a_million_attributes() {
    let mut target = Target::start("million", &["--quiet"]);
    send_attributes(&target.doors, 1_000_000);
    target.assert_unharmed("a million attributes", 100);
    target.stop();
}

/// Whoever got through with a sender that is too long to be judged would send them all like that.
#[test]
fn long_senders_are_judged() {
    let mut target = Target::start("long", &["--quiet"]);
    let mut client = target.doors.client();
    let mut ask = |sender: &str, time: &str| {
        client.ask(request(&[
            ("sender", Some(sender)),
            ("policy_test_time", Some(time)),
        ]))
    };
    for bytes in [513, 2_000, 2_048, 4_096] {
        // Different only at the end of the local part, and of what Postgrey would look at.
        let [sender, other] = ["y", "z"].map(|end| {
            let domain = "@s.example";
            "x".repeat(bytes - end.len() - domain.len()) + end + domain
        });
        assert!(ask(&sender, "1700000000").starts_with("DEFER_IF_PERMIT "));
        assert!(ask(&sender, "1700000299").starts_with("DEFER_IF_PERMIT "));
        assert!(ask(&sender, "1700000300").starts_with("PREPEND "));
        assert!(ask(&other, "1700000300").starts_with("DEFER_IF_PERMIT "));
    }
    target.assert_unharmed("senders of up to 4,096 bytes", 200);
    target.stop();
}
