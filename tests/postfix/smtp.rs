//! A small blocking SMTP client that can say, with XCLIENT, that it is somebody else.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use crate::support::PATIENCE;

/// What all mails say.
const MESSAGE: &str = "Subject: greetings\r\n\r\nHello.\r\n";

/// Who Postfix is to take us for.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// `None` if Postfix is not to know.
    pub(crate) address: Option<IpAddr>,
    /// Verified name, if any.
    pub(crate) name: Option<String>,
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
        let name = self.name.clone().unwrap_or_else(unavailable);
        format!("XCLIENT NAME={name} ADDR={address}")
    }
}

/// A mail that a client wants to send.
#[derive(Clone, Debug)]
pub(crate) struct Mail<'a> {
    pub(crate) client: Client,
    pub(crate) sender: &'a str,
    pub(crate) recipients: Vec<&'a str>,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The replies to RCPT TO.
    pub(crate) replies: Vec<String>,
    /// The reply to DATA or BDAT, if it was refused.
    pub(crate) refusal_at_data: Option<String>,
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
        self.write(format_args!("{command}\r\n"));
        self.reply()
    }

    fn write(&mut self, text: impl Display) {
        let sent = self.0.get_mut().write_all(text.to_string().as_bytes());
        sent.unwrap_or_else(|error| panic!("{text}: {error}"));
    }

    /// Tries to send a mail. It goes to those recipients that are accepted, if any.
    pub(crate) fn send(&mut self, mail: &Mail<'_>) -> Outcome {
        self.offer(mail, |session| {
            let reply = session.command("DATA");
            if reply.starts_with("354 ") {
                session.command(format_args!("{MESSAGE}."))
            } else {
                reply
            }
        })
    }

    /// The same with BDAT (RFC 3030).
    pub(crate) fn send_in_a_chunk(&mut self, mail: &Mail<'_>) -> Outcome {
        self.offer(mail, |session| {
            session.write(format_args!("BDAT {} LAST\r\n{MESSAGE}", MESSAGE.len()));
            session.reply()
        })
    }

    fn offer(
        &mut self,
        mail: &Mail<'_>,
        send_message: impl FnOnce(&mut Session) -> String,
    ) -> Outcome {
        self.expect("250", format_args!("MAIL FROM:<{}>", mail.sender));
        let rcpt_to = |recipient| self.command(format_args!("RCPT TO:<{recipient}>"));
        let mut outcome = Outcome {
            replies: mail.recipients.iter().map(rcpt_to).collect(),
            refusal_at_data: None,
            queue_id: None,
        };
        if outcome.replies.iter().any(|it| it.starts_with("250 ")) {
            let reply = send_message(self);
            if reply.starts_with("250 ") {
                outcome.queue_id = reply.rsplit(' ').next().map(str::to_owned);
            } else {
                outcome.refusal_at_data = Some(reply);
            }
        }
        if outcome.queue_id.is_none() {
            self.expect("250", "RSET");
        }
        outcome
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
