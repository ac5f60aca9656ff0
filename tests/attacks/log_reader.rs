//! A log that nobody reads, and one whose reader has gone.

use crate::pipeline::{TEXT, ask_at_once};
use crate::target::{LogReader, Target};

#[test]
fn the_log_never_holds_up_mail() {
    for reader in [LogReader::Stuck, LogReader::Gone] {
        let options = ["--verbose", TEXT];
        let mut target = Target::start_with_log("logreader", &options, reader);
        // Several times what the pipe and the buffer hold.
        ask_at_once(&target.doors, "r", 10_000);
        target.assert_unharmed(&format!("log reader {reader:?}"), 1_300);
        target.stop();
    }
}
