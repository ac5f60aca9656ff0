//! Bytes to requests of Postfix's policy delegation protocol (SMTPD_POLICY_README): `name=value` lines and a blank
//! line at the end, LF or CRLF.
//!
//! [`Requests`] gives those of a stream. One that is there as a whole is read [where it is](Request::at_start_of), without a copy. The
//! [parser](RequestParser) takes bytes as they arrive, split anywhere, and stops behind each request. Both keep only the attributes that the engine uses; of an
//! attribute that comes twice the last counts. What the parser holds is bounded by [`limits`](crate::engine::limits), and every byte is looked at a fixed
//! number of times.

use std::fmt;

use crate::engine::limits::{
    INSTANCE_BYTES_MAX, LINE_BYTES_MAX, REQUEST_BYTES_MAX, VALUE_BYTES_MAX, WORD_BYTES_MAX,
};
use crate::engine::text::{position, position_of_line_end, position_up_to};

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
    /// The address that the client has connected to; since Postfix 3.2.
    pub server_address: Option<&'a [u8]>,
    /// The port that the client has connected to; since Postfix 3.2.
    pub server_port: Option<&'a [u8]>,
    /// What the administrator calls the service that asks, `outgoing` for submission.
    pub policy_context: Option<&'a [u8]>,
    /// For how many seconds mail is to be let through, in an order of the administrator's.
    pub for_seconds: Option<&'a [u8]>,
    /// Seconds since 1970 that a test wants to be taken as now.
    pub policy_test_time: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// Reads the request that bytes begin with, and tells its length. `None` if it is not there as a whole, or is not as plain as Postfix writes
    /// them; a [parser](RequestParser) then reads it, or says what is wrong.
    pub fn at_start_of(bytes: &'a [u8]) -> Option<(Request<'a>, usize)> {
        // So no value, line or request can be too long.
        let bytes = &bytes[..bytes.len().min(VALUE_BYTES_MAX)];
        let mut values = [None; KEPT];
        let mut start = 0;
        // A line of nothing but its LF ends it.
        while *bytes.get(start)? != b'\n' {
            let equals = start + position_up_to(&bytes[start..], b'=')?;
            let end = equals + position_up_to(&bytes[equals..], b'\n')?;
            if bytes[equals] != b'=' || bytes[end] != b'\n' {
                return None;
            }
            if let Some(kept) = Kept::of_name(&bytes[start..equals]) {
                let value = match &bytes[equals + 1..end] {
                    [value @ .., b'\r'] => value,
                    value => value,
                };
                values[kept as usize] = Some(kept.cut(value));
            }
            start = end + 1;
        }
        let request = Request::of(|kept| values[kept as usize]);
        Some((request, start + 1))
    }

    fn of(get: impl Fn(Kept) -> Option<&'a [u8]>) -> Request<'a> {
        Request {
            request: get(Kept::Request),
            protocol_state: get(Kept::ProtocolState),
            client_address: get(Kept::ClientAddress),
            client_name: get(Kept::ClientName),
            sender: get(Kept::Sender),
            recipient: get(Kept::Recipient),
            instance: get(Kept::Instance),
            queue_id: get(Kept::QueueId),
            etrn_domain: get(Kept::EtrnDomain),
            sasl_username: get(Kept::SaslUsername),
            server_address: get(Kept::ServerAddress),
            server_port: get(Kept::ServerPort),
            policy_context: get(Kept::PolicyContext),
            for_seconds: get(Kept::ForSeconds),
            policy_test_time: get(Kept::PolicyTestTime),
        }
    }
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

/// The attributes that are kept.
#[derive(Clone, Copy)]
enum Kept {
    Request,
    ProtocolState,
    ClientAddress,
    ClientName,
    Sender,
    Recipient,
    Instance,
    QueueId,
    EtrnDomain,
    SaslUsername,
    ServerAddress,
    ServerPort,
    PolicyContext,
    ForSeconds,
    PolicyTestTime,
}

const KEPT: usize = Kept::PolicyTestTime as usize + 1;

/// Room for the longest values of all.
const KEPT_BYTES_MAX: usize = 3 * VALUE_BYTES_MAX + INSTANCE_BYTES_MAX + 10 * WORD_BYTES_MAX;

impl Kept {
    /// Most names are none of these, and length and second letter tell so at once.
    #[inline]
    fn of_name(name: &[u8]) -> Option<Kept> {
        let (whole, kept): (&[u8], Kept) = match (name.len(), *name.get(1)?) {
            (7, b'e') => (b"request", Kept::Request),
            (14, b'r') => (b"protocol_state", Kept::ProtocolState),
            (14, b'l') => (b"client_address", Kept::ClientAddress),
            (11, b'l') => (b"client_name", Kept::ClientName),
            (6, b'e') => (b"sender", Kept::Sender),
            (9, b'e') => (b"recipient", Kept::Recipient),
            (8, b'n') => (b"instance", Kept::Instance),
            (8, b'u') => (b"queue_id", Kept::QueueId),
            (11, b't') => (b"etrn_domain", Kept::EtrnDomain),
            (13, b'a') => (b"sasl_username", Kept::SaslUsername),
            (14, b'e') => (b"server_address", Kept::ServerAddress),
            (11, b'e') => (b"server_port", Kept::ServerPort),
            (14, b'o') => (b"policy_context", Kept::PolicyContext),
            (11, b'o') => (b"for_seconds", Kept::ForSeconds),
            (16, b'o') => (b"policy_test_time", Kept::PolicyTestTime),
            _ => return None,
        };
        (name == whole).then_some(kept)
    }

    /// What is kept of its value.
    fn cut(self, value: &[u8]) -> &[u8] {
        &value[..value.len().min(self.bytes_max())]
    }

    /// How much of its value is kept. More of a word or number than that is no more valid than this much.
    const fn bytes_max(self) -> usize {
        match self {
            Kept::ClientName | Kept::Sender | Kept::Recipient => VALUE_BYTES_MAX,
            Kept::Instance => INSTANCE_BYTES_MAX,
            Kept::EtrnDomain => 0,
            Kept::Request
            | Kept::ProtocolState
            | Kept::ClientAddress
            | Kept::QueueId
            | Kept::SaslUsername
            | Kept::ServerAddress
            | Kept::ServerPort
            | Kept::PolicyContext
            | Kept::ForSeconds
            | Kept::PolicyTestTime => WORD_BYTES_MAX,
        }
    }
}

/// The values of the attributes that are kept, one behind the other, so that a short request needs little memory.
#[derive(Default)]
struct Values {
    bytes: Vec<u8>,
    ranges: [Option<(u16, u16)>; KEPT],
}

const _: () = assert!(KEPT_BYTES_MAX <= u16::MAX as usize);

impl Values {
    /// Takes one line without its LF, and without a NUL; true if it was the blank one.
    fn take_line(&mut self, line: &[u8]) -> Result<bool, Malformed> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(true);
        }
        if line.len() > LINE_BYTES_MAX {
            return Err(Malformed::LineTooLong);
        }
        let equals = position(line, b'=').ok_or(Malformed::NoEqualsSign)?;
        let (name, value) = (&line[..equals], &line[equals + 1..]);
        if value.len() > VALUE_BYTES_MAX {
            return Err(Malformed::ValueTooLong);
        }
        if let Some(kept) = Kept::of_name(name) {
            self.set(kept, value);
        }
        Ok(false)
    }

    fn get(&self, kept: Kept) -> Option<&[u8]> {
        let (start, end) = self.ranges[kept as usize]?;
        Some(&self.bytes[usize::from(start)..usize::from(end)])
    }

    fn set(&mut self, kept: Kept, value: &[u8]) {
        self.remove(kept);
        let value = kept.cut(value);
        let start = self.bytes.len() as u16;
        self.bytes.extend_from_slice(value);
        debug_assert!(self.bytes.len() <= KEPT_BYTES_MAX);
        self.ranges[kept as usize] = Some((start, self.bytes.len() as u16));
    }

    fn remove(&mut self, kept: Kept) {
        let Some((start, end)) = self.ranges[kept as usize].take() else {
            return;
        };
        let length = end - start;
        self.bytes
            .copy_within(usize::from(end).., usize::from(start));
        self.bytes.truncate(self.bytes.len() - usize::from(length));
        for range in self
            .ranges
            .iter_mut()
            .flatten()
            .filter(|range| range.0 >= end)
        {
            *range = (range.0 - length, range.1 - length);
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ranges = [None; KEPT];
    }
}

/// A request in progress.
#[derive(Default)]
pub struct RequestParser {
    /// Bytes of this request so far.
    length_bytes: usize,
    values: Values,
    /// The beginning of a line whose end has not arrived, with room for a CR that may belong to the line end.
    line: Vec<u8>,
}

/// A line at its longest, with the CR.
const PARTIAL_LINE_BYTES_MAX: usize = LINE_BYTES_MAX + 1;

impl RequestParser {
    /// A parser at the beginning of a request. It takes memory as it needs it, within the bounds, and keeps it.
    pub fn new() -> RequestParser {
        RequestParser::default()
    }

    /// A parser that has taken all the memory that it will ever need.
    pub fn with_all_memory() -> RequestParser {
        let mut parser = RequestParser::new();
        parser.values.bytes.reserve_exact(KEPT_BYTES_MAX);
        parser.line.reserve_exact(PARTIAL_LINE_BYTES_MAX);
        parser
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
            let line_end = position_of_line_end(rest);
            let piece = &rest[..line_end.unwrap_or(rest.len())];
            let is_nul = line_end.is_some_and(|end| rest[end] == 0);
            let taken_bytes = piece.len() + usize::from(line_end.is_some());
            consumed_bytes += taken_bytes;
            self.length_bytes += taken_bytes;
            if self.length_bytes > REQUEST_BYTES_MAX {
                return Err(Malformed::RequestTooLong);
            }
            let complete = if self.line.is_empty() && line_end.is_some() && !is_nul {
                self.values.take_line(piece)?
            } else {
                if self.line.len() + piece.len() > PARTIAL_LINE_BYTES_MAX {
                    return Err(Malformed::LineTooLong);
                }
                if is_nul {
                    return Err(Malformed::Nul);
                }
                self.line.extend_from_slice(piece);
                let complete = line_end.is_some() && self.values.take_line(&self.line)?;
                if line_end.is_some() {
                    self.line.clear();
                }
                complete
            };
            if complete {
                return Ok(Fed {
                    consumed_bytes,
                    complete,
                });
            }
        }
        Ok(Fed {
            consumed_bytes,
            complete: false,
        })
    }

    /// The request so far; whole once [`feed`](RequestParser::feed) has said so.
    pub fn request(&self) -> Request<'_> {
        Request::of(|kept| self.values.get(kept))
    }

    /// Forgets everything, for the next request.
    pub fn clear(&mut self) {
        self.length_bytes = 0;
        self.values.clear();
        self.line.clear();
    }
}

impl AsMut<RequestParser> for RequestParser {
    fn as_mut(&mut self) -> &mut RequestParser {
        self
    }
}

/// The requests of a stream, whose bytes come in pieces that may end anywhere.
pub struct Requests<P, F> {
    /// There while a request is in progress that did not come as a whole.
    parser: Option<P>,
    /// Whether that request has ended.
    is_complete: bool,
    new_parser: F,
}

impl<P: AsMut<RequestParser>, F: FnMut() -> P> Requests<P, F> {
    /// A stream at its beginning. A parser, which must be at the beginning of a request, is taken only for a request that does not come as a whole, and
    /// dropped behind it.
    pub fn new(new_parser: F) -> Requests<P, F> {
        Requests {
            parser: None,
            is_complete: false,
            new_parser,
        }
    }

    /// Gives the next request that ends in these bytes, and takes its bytes off them; or takes them all, and gives none.
    ///
    /// # Errors
    ///
    /// The bytes are not the policy protocol; nothing more may be asked of the stream.
    pub fn next<'r, 'b: 'r>(
        &'r mut self,
        bytes: &mut &'b [u8],
    ) -> Result<Option<Request<'r>>, Malformed> {
        if self.is_complete {
            self.is_complete = false;
            self.parser = None;
        }
        if self.parser.is_none() {
            if bytes.is_empty() {
                return Ok(None);
            }
            // Nearly always it is there as a whole.
            if let Some((request, length_bytes)) = Request::at_start_of(bytes) {
                *bytes = &bytes[length_bytes..];
                return Ok(Some(request));
            }
        }
        let parser = self
            .parser
            .get_or_insert_with(&mut self.new_parser)
            .as_mut();
        let fed = parser.feed(bytes)?;
        *bytes = &bytes[fed.consumed_bytes..];
        self.is_complete = fed.complete;
        Ok(fed.complete.then(|| parser.request()))
    }
}
