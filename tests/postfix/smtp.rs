//! A small blocking SMTP client that can say, with XCLIENT, that it is somebody else.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use crate::support::PATIENCE;

/// Who Postfix is to take us for.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// `None` if Postfix is not to know.
    pub(crate) address: Option<IpAddr>,
    /// Verified name, if any.
    pub(crate) name: Option<&'static str>,
}

impl Client {
    /// What Postfix calls it in `client_address`.
    pub(crate) fn client_address(&self) -> String {
        self.address
            .map_or_else(|| "unknown".to_owned(), |address| address.to_string())
    }

    fn xclient(&self) -> String {
        let unavailable = || "[UNAVAILABLE]".to_owned();
        let address = match self.address {
            Some(IpAddr::V4(address)) => address.to_string(),
            Some(IpAddr::V6(address)) => format!("IPV6:{address}"),
            None => unavailable(),
        };
        let name = self.name.map_or_else(unavailable, str::to_owned);
        format!("XCLIENT NAME={name} ADDR={address}")
    }
}

/// A mail that a client wants to send.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) client: Client,
    pub(crate) sender: &'static str,
    pub(crate) recipients: Vec<&'static str>,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The replies to RCPT TO.
    pub(crate) replies: Vec<String>,
    /// Under which name Postfix has queued it, if it took it for any recipient.
    pub(crate) queue_id: Option<String>,
}

/// An SMTP session after EHLO.
pub(crate) struct Session(BufReader<TcpStream>);

impl Session {
    /// Connects as a client.
    pub(crate) fn connect(smtpd: SocketAddr, client: &Client) -> Session {
        let stream = TcpStream::connect(smtpd).expect("smtpd takes connections");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a read timeout");
        let mut session = Session(BufReader::new(stream));
        let greeting = session.reply();
        assert!(greeting.starts_with("220 "), "{greeting}");
        // XCLIENT is offered only after EHLO, and starts the session anew.
        session.expect("250", "EHLO rig.test");
        session.expect("220", client.xclient());
        session.expect("250", "EHLO rig.test");
        session
    }

    /// Sends a command and gives the last line of the reply.
    pub(crate) fn command(&mut self, command: impl Display) -> String {
        let line = format!("{command}\r\n");
        let sent = self.0.get_mut().write_all(line.as_bytes());
        sent.unwrap_or_else(|error| panic!("{command}: {error}"));
        self.reply()
    }

    /// Tries to send a mail. It goes to those recipients that are accepted, if any.
    pub(crate) fn send(&mut self, mail: &Mail) -> Outcome {
        self.expect("250", format_args!("MAIL FROM:<{}>", mail.sender));
        let rcpt_to = |recipient| self.command(format_args!("RCPT TO:<{recipient}>"));
        let replies: Vec<String> = mail.recipients.iter().map(rcpt_to).collect();
        if !replies.iter().any(|reply| reply.starts_with("250 ")) {
            self.expect("250", "RSET");
            return Outcome {
                replies,
                queue_id: None,
            };
        }
        self.expect("354", "DATA");
        let queued = self.expect("250", "Subject: greetings\r\n\r\nHello.\r\n.");
        let queue_id = queued.rsplit(' ').next().map(str::to_owned);
        Outcome { replies, queue_id }
    }

    #[track_caller]
    fn expect(&mut self, code: &str, command: impl Display) -> String {
        let reply = self.command(&command);
        assert!(reply.starts_with(code), "{command}: {reply}");
        reply
    }

    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            let read = self.0.read_line(&mut line).expect("a reply");
            assert_ne!(read, 0, "smtpd has closed the connection");
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // smtpd notices that we are gone, but has to complain of it in its log if we do not say so.
        let _ = self.0.get_mut().write_all(b"QUIT\r\n");
    }
}
