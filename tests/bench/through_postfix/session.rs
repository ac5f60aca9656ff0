//! An SMTP session, a command at a time.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use super::mail::{CLIENT_ADDRESS, Mail, recipient};
use crate::address::Address;

struct Session(BufReader<File>);

/// Sends one mail, and counts the answers to RCPT.
///
/// # Errors
///
/// Postfix says something else than it must.
pub(crate) fn send(
    smtpd: &Address,
    mail: Mail,
    number: u64,
    answered: &AtomicU64,
) -> Result<(), String> {
    let stream = smtpd
        .connect()
        .map_err(|error| format!("cannot connect to smtpd on {smtpd}: {error}"))?;
    let mut session = Session(BufReader::new(stream));
    // Unlike XCLIENT, this takes no answer.
    let client = format!("PROXY TCP4 {CLIENT_ADDRESS} 127.0.0.1 40000 25");
    session.command(&client, "220 ")?;
    session.command("EHLO mail.sender.test", "250 ")?;
    session.command(&format!("MAIL FROM:<{}>", mail.sender(number)), "250 ")?;
    let expected = if mail.is_accepted { "250 " } else { "450 " };
    for recipient in (0..mail.recipients).map(recipient) {
        session.command(&format!("RCPT TO:<{recipient}>"), expected)?;
        answered.fetch_add(1, Ordering::Relaxed);
    }
    if mail.is_accepted {
        session.command("DATA", "354 ")?;
        session.command("Subject: greetings\r\n\r\nHello.\r\n.", "250 ")?;
    }
    session.command("QUIT", "221 ")
}

impl Session {
    fn command(&mut self, command: &str, expected: &str) -> Result<(), String> {
        let sent = self
            .0
            .get_mut()
            .write_all(format!("{command}\r\n").as_bytes());
        sent.map_err(|error| format!("smtpd does not take {command}: {error}"))?;
        let answer = self.expect(expected);
        answer.map_err(|message| format!("{command}: {message}"))
    }

    /// Takes an answer; its last line has a blank behind the code.
    fn expect(&mut self, expected: &str) -> Result<(), String> {
        let mut line = String::new();
        loop {
            line.clear();
            let bytes = self.0.read_line(&mut line);
            match bytes.map_err(|error| format!("smtpd does not answer: {error}"))? {
                0 => return Err("smtpd closes the connection".to_owned()),
                _ if line.as_bytes().get(3) == Some(&b'-') => {}
                _ if line.starts_with(expected) => return Ok(()),
                _ => return Err(format!("smtpd says {:?}", line.trim_end())),
            }
        }
    }
}
