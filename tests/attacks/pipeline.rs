//! Who asks without waiting for answers, which Postfix never does.

use std::io::Write;

use crate::support::{Client, request};
use crate::target::{Doors, Target};

/// Asks so many times in one write, about new mails, and takes the answers, which must come in the order of the questions.
pub(crate) fn ask_at_once(doors: &Doors, name: &str, requests: usize) {
    let mut client: Client<_> = doors.client();
    let to = |number: usize| format!("b@{name}{number}.example");
    let text: String = (0..requests)
        .map(|number| request(&[("recipient", Some(&to(number)))]))
        .collect();
    let stream = client.stream().try_clone().expect("a second handle");
    let writer = std::thread::spawn(move || (&stream).write_all(text.as_bytes()));
    for number in 0..requests {
        assert_eq!(
            client.action(),
            format!("DEFER_IF_PERMIT Greylisted, for {name}{number}.example")
        );
    }
    writer.join().expect("no panic").expect("all is taken");
}

/// What [`ask_at_once`] expects to be told.
pub(crate) const TEXT: &str = "--greylist-text=Greylisted, for %r";

#[test]
fn ten_thousand_requests_in_one_write() {
    let mut target = Target::start("pipeline", &["--quiet", TEXT]);
    ask_at_once(&target.doors, "r", 10_000);
    target.assert_unharmed("10,000 pipelined requests", 1_200);
    target.stop();
}
