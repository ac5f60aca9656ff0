//! Bytes to requests of Postfix's policy delegation protocol (SMTPD_POLICY_README): `name=value` lines and a blank
//! line at the end, LF or CRLF.
//!
//! The parser takes bytes as they arrive, split anywhere, and stops behind each request. It keeps only the attributes
//! that the engine uses; of an attribute that comes twice the last counts. What it holds is bounded by
//! [`limits`](crate::engine::limits), and every byte is looked at a fixed number of times.

use std::fmt;

use heapless::{Vec, VecView};

use crate::engine::limits::{
    INSTANCE_BYTES_MAX, LINE_BYTES_MAX, REQUEST_BYTES_MAX, VALUE_BYTES_MAX, WORD_BYTES_MAX,
};

/// One question of Postfix's. An attribute is `None` if the request does not have it, and empty if it has it
/// without a value; Postfix sends what it does not know in either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// The kind of request; only `smtpd_access_policy` exists.
    pub request: Option<&'a [u8]>,
    /// The SMTP command that is asked about: `RCPT`, `DATA`, `END-OF-MESSAGE`, `VRFY` ...
    pub protocol_state: Option<&'a [u8]>,
    /// The client's address, or `unknown`.
    pub client_address: Option<&'a [u8]>,
    /// The client's name, only if its forward and reverse DNS agree; otherwise `unknown`.
    pub client_name: Option<&'a [u8]>,
    /// The envelope sender, without angle brackets; empty for a bounce.
    pub sender: Option<&'a [u8]>,
    /// The envelope recipient, without angle brackets.
    pub recipient: Option<&'a [u8]>,
    /// Postfix's name for the message transaction.
    pub instance: Option<&'a [u8]>,
    /// The queue id, from the second recipient on.
    pub queue_id: Option<&'a [u8]>,
    /// Of this only the presence counts: Postfix has sent it since 2.3, which can also take its own DSN in a reply's text.
    pub etrn_domain: Option<&'a [u8]>,
    /// The login name of an authenticated client.
    pub sasl_username: Option<&'a [u8]>,
    /// Seconds since 1970 that a test wants to be taken as now.
    pub policy_test_time: Option<&'a [u8]>,
}

/// Bytes that are not the policy protocol. The connection cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A line without `=`.
    NoEqualsSign,
    /// A line of more than [`LINE_BYTES_MAX`].
    LineTooLong,
    /// A value of more than [`VALUE_BYTES_MAX`].
    ValueTooLong,
    /// A NUL byte.
    Nul,
    /// More than [`REQUEST_BYTES_MAX`] before the blank line.
    RequestTooLong,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::NoEqualsSign => f.write_str("a line without `=`"),
            Malformed::LineTooLong => write!(f, "a line of more than {LINE_BYTES_MAX} bytes"),
            Malformed::ValueTooLong => write!(f, "a value of more than {VALUE_BYTES_MAX} bytes"),
            Malformed::Nul => f.write_str("a NUL byte"),
            Malformed::RequestTooLong => {
                write!(
                    f,
                    "more than {REQUEST_BYTES_MAX} bytes without a blank line"
                )
            }
        }
    }
}

/// How far [`RequestParser::feed`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// Bytes that were used; all of them, unless the request ended before.
    pub consumed_bytes: usize,
    /// Whether they ended a request, which [`RequestParser::request`] now gives.
    pub complete: bool,
}

/// A value, and whether the request has it at all.
#[derive(Default)]
struct Value<const N: usize> {
    bytes: Vec<u8, N>,
    present: bool,
}

impl<const N: usize> Value<N> {
    fn get(&self) -> Option<&[u8]> {
        self.present.then_some(&self.bytes)
    }

    /// Takes over `value`, or as much of it as has room: more of a word than that means the same as that.
    fn set(&mut self, value: &[u8]) {
        self.present = true;
        self.bytes.clear();
        append_bounded(&mut self.bytes, value);
    }
}

fn append_bounded(to: &mut VecView<u8>, bytes: &[u8]) {
    let room = to.capacity() - to.len();
    let fits = &bytes[..bytes.len().min(room)];
    // Cannot fail: it was cut to the room there is.
    let _ = to.extend_from_slice(fits);
}

/// A request in progress.
#[derive(Default)]
pub struct RequestParser {
    /// The beginning of a line whose end has not arrived, with room for a CR that may belong to the line end.
    line: Vec<u8, { LINE_BYTES_MAX + 1 }>,
    /// Bytes of this request so far.
    length_bytes: usize,
    request: Value<WORD_BYTES_MAX>,
    protocol_state: Value<WORD_BYTES_MAX>,
    client_address: Value<WORD_BYTES_MAX>,
    client_name: Value<VALUE_BYTES_MAX>,
    sender: Value<VALUE_BYTES_MAX>,
    recipient: Value<VALUE_BYTES_MAX>,
    instance: Value<INSTANCE_BYTES_MAX>,
    queue_id: Value<WORD_BYTES_MAX>,
    etrn_domain: Value<0>,
    sasl_username: Value<WORD_BYTES_MAX>,
    policy_test_time: Value<WORD_BYTES_MAX>,
}

impl RequestParser {
    /// A parser at the beginning of a request.
    pub fn new() -> RequestParser {
        RequestParser::default()
    }

    /// Takes bytes up to the end of a request, or all of them.
    ///
    /// # Errors
    ///
    /// The bytes are not the policy protocol; the parser must be [cleared](RequestParser::clear) before it is used again.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Fed, Malformed> {
        let mut consumed_bytes = 0;
        while consumed_bytes < bytes.len() {
            let rest = &bytes[consumed_bytes..];
            let line_end = rest.iter().position(|&byte| byte == b'\n');
            let piece = &rest[..line_end.unwrap_or(rest.len())];
            let taken_bytes = piece.len() + usize::from(line_end.is_some());
            consumed_bytes += taken_bytes;
            self.length_bytes += taken_bytes;
            if self.length_bytes > REQUEST_BYTES_MAX {
                return Err(Malformed::RequestTooLong);
            }
            if line_end.is_some() && self.line.is_empty() {
                if self.take_line(piece)? {
                    return Ok(Fed {
                        consumed_bytes,
                        complete: true,
                    });
                }
                continue;
            }
            if self.line.extend_from_slice(piece).is_err() {
                return Err(Malformed::LineTooLong);
            }
            if line_end.is_some() {
                let line = std::mem::take(&mut self.line);
                if self.take_line(&line)? {
                    return Ok(Fed {
                        consumed_bytes,
                        complete: true,
                    });
                }
            }
        }
        Ok(Fed {
            consumed_bytes,
            complete: false,
        })
    }

    /// Takes one line without its LF; true if it was the blank one.
    fn take_line(&mut self, line: &[u8]) -> Result<bool, Malformed> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(true);
        }
        if line.len() > LINE_BYTES_MAX {
            return Err(Malformed::LineTooLong);
        }
        if line.contains(&0) {
            return Err(Malformed::Nul);
        }
        let equals = line
            .iter()
            .position(|&byte| byte == b'=')
            .ok_or(Malformed::NoEqualsSign)?;
        let (name, value) = (&line[..equals], &line[equals + 1..]);
        if value.len() > VALUE_BYTES_MAX {
            return Err(Malformed::ValueTooLong);
        }
        match name {
            b"request" => self.request.set(value),
            b"protocol_state" => self.protocol_state.set(value),
            b"client_address" => self.client_address.set(value),
            b"client_name" => self.client_name.set(value),
            b"sender" => self.sender.set(value),
            b"recipient" => self.recipient.set(value),
            b"instance" => self.instance.set(value),
            b"queue_id" => self.queue_id.set(value),
            b"etrn_domain" => self.etrn_domain.set(value),
            b"sasl_username" => self.sasl_username.set(value),
            b"policy_test_time" => self.policy_test_time.set(value),
            _ => {}
        }
        Ok(false)
    }

    /// The request so far; whole once [`feed`](RequestParser::feed) has said so.
    pub fn request(&self) -> Request<'_> {
        Request {
            request: self.request.get(),
            protocol_state: self.protocol_state.get(),
            client_address: self.client_address.get(),
            client_name: self.client_name.get(),
            sender: self.sender.get(),
            recipient: self.recipient.get(),
            instance: self.instance.get(),
            queue_id: self.queue_id.get(),
            etrn_domain: self.etrn_domain.get(),
            sasl_username: self.sasl_username.get(),
            policy_test_time: self.policy_test_time.get(),
        }
    }

    /// Whether no byte of a request has come yet.
    pub fn is_at_start(&self) -> bool {
        self.length_bytes == 0
    }

    /// Forgets everything, for the next request.
    pub fn clear(&mut self) {
        self.line.clear();
        self.length_bytes = 0;
        self.request.present = false;
        self.protocol_state.present = false;
        self.client_address.present = false;
        self.client_name.present = false;
        self.sender.present = false;
        self.recipient.present = false;
        self.instance.present = false;
        self.queue_id.present = false;
        self.etrn_domain.present = false;
        self.sasl_username.present = false;
        self.policy_test_time.present = false;
    }
}
