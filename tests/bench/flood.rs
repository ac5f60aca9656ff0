//! One-shot triplets, as fast as a server takes them: requests are pipelined, which Postfix never does, and as short as can be.

use std::fs::File;
use std::io::{Read, Write};

use crate::address::Address;
use crate::request::Request;

const CONNECTIONS: usize = 4;

/// Requests in one write. Their answers fit into a socket's buffer, so neither side waits for the other in a circle.
const BATCH: u64 = 32;

const EXPECTED: &[u8] = b"action=DEFER_IF_PERMIT ";

/// See the [module](self). The connections stay until this is dropped.
pub(crate) struct Flood {
    connections: Vec<Connection>,
    request: Request,
    next_triplet: u64,
}

struct Connection {
    stream: File,
    /// The beginning of an answer whose end has not arrived.
    answer: Vec<u8>,
    unanswered: u64,
}

impl Flood {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Nobody listens there.
    pub(crate) fn connect(address: &Address) -> Result<Flood, String> {
        let connect = |_| {
            Ok(Connection {
                stream: address
                    .connect()
                    .map_err(|error| format!("cannot connect to {address}: {error}"))?,
                answer: Vec::new(),
                unanswered: 0,
            })
        };
        Ok(Flood {
            connections: (0..CONNECTIONS)
                .map(connect)
                .collect::<Result<_, String>>()?,
            request: Request::short(),
            next_triplet: 0,
        })
    }

    /// Asks about so many triplets that were never asked about before. Every one must be deferred.
    ///
    /// # Errors
    ///
    /// One is not, or the server is gone.
    pub(crate) fn send(&mut self, requests: u64) -> Result<(), String> {
        let mut batch = Vec::new();
        let mut left = requests;
        // While one connection's answers are awaited, the server has the others' requests.
        while left > 0 {
            for connection in &mut self.connections {
                connection.take_answers()?;
                batch.clear();
                let size = left.min(BATCH);
                for _ in 0..size {
                    batch.extend_from_slice(self.request.about(self.next_triplet, 0));
                    self.next_triplet += 1;
                }
                connection
                    .stream
                    .write_all(&batch)
                    .map_err(|error| format!("cannot send requests: {error}"))?;
                connection.unanswered = size;
                left -= size;
            }
        }
        self.connections
            .iter_mut()
            .try_for_each(Connection::take_answers)
    }
}

impl Connection {
    /// Waits until every request has its answer.
    fn take_answers(&mut self) -> Result<(), String> {
        let mut input = [0; 8_192];
        while self.unanswered > 0 {
            let read_bytes = match self.stream.read(&mut input) {
                Ok(0) => return Err(format!("{} requests got no answer", self.unanswered)),
                Ok(read_bytes) => read_bytes,
                Err(error) => {
                    let unanswered = self.unanswered;
                    return Err(format!("{unanswered} requests got no answer: {error}"));
                }
            };
            self.answer.extend_from_slice(&input[..read_bytes]);
            let mut rest = &self.answer[..];
            while let Some(end) = rest.windows(2).position(|pair| pair == b"\n\n") {
                if !rest.starts_with(EXPECTED) || self.unanswered == 0 {
                    let answer = String::from_utf8_lossy(&rest[..end]);
                    return Err(format!("a new triplet was not deferred once: {answer:?}"));
                }
                self.unanswered -= 1;
                rest = &rest[end + 2..];
            }
            let taken_bytes = self.answer.len() - rest.len();
            self.answer.drain(..taken_bytes);
        }
        if self.answer.is_empty() {
            Ok(())
        } else {
            let answer = String::from_utf8_lossy(&self.answer);
            Err(format!("it said more than it was asked: {answer:?}"))
        }
    }
}
