//! A stand-in for Dovecot's auth socket (Dovecot's auth-protocol 1.1, PLAIN only) that knows one user.

use std::io::{self, BufRead, BufReader, Write};
use std::thread;

use crate::endpoint::{Endpoint, Stream};

/// What the one user sends: base64 of `\0alice\0secret`.
pub(crate) const PLAIN_OF_ALICE: &str = "AGFsaWNlAHNlY3JldA==";

/// Base64 of `\0alice\0guess`.
pub(crate) const WRONG_PLAIN_OF_ALICE: &str = "AGFsaWNlAGd1ZXNz";

const HANDSHAKE: &str = "VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\n\
                         COOKIE\t0123456789abcdef0123456789abcdef\nDONE\n";

/// Starts it; it ends with the process.
pub(crate) fn start(here: &Endpoint) -> io::Result<()> {
    let listener = here.listen()?;
    thread::spawn(move || {
        while let Ok(smtpd) = listener.accept() {
            thread::spawn(move || authenticate(smtpd));
        }
    });
    Ok(())
}

fn authenticate(smtpd: Box<dyn Stream>) -> io::Result<()> {
    let mut smtpd = BufReader::new(smtpd);
    smtpd.get_mut().write_all(HANDSHAKE.as_bytes())?;
    let mut line = String::new();
    while smtpd.read_line(&mut line)? > 0 {
        let mut words = line.trim_end().split('\t');
        // VERSION and CPID, which come first, need no answer.
        if words.next() == Some("AUTH") {
            let id = words.next().unwrap_or_default();
            let response = words.find_map(|word| word.strip_prefix("resp="));
            let answer = if response == Some(PLAIN_OF_ALICE) {
                format!("OK\t{id}\tuser=alice\n")
            } else {
                format!("FAIL\t{id}\tuser=alice\n")
            };
            smtpd.get_mut().write_all(answer.as_bytes())?;
        }
        line.clear();
    }
    Ok(())
}
