//! A relay between Postfix and greylet that tells greylet what time it is: it adds `policy_test_time`, which Postfix does not
//! send, to every request. It also remembers what Postfix has asked, and over which connection.

use std::io::{self, BufRead, BufReader, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::endpoint::{Endpoint, Stream};

/// The time that the tests live in.
#[derive(Clone)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock(Arc::new(AtomicU64::new(1_800_000_000)))
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn unix_seconds(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// What Postfix has asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicyRequest {
    /// Which of Postfix's connections it came over.
    pub(crate) connection: usize,
    text: String,
}

impl PolicyRequest {
    /// The value of an attribute; empty if there is none.
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .unwrap_or_default()
    }
}

/// See the [module](self).
pub(crate) struct Relay {
    pub(crate) endpoint: Endpoint,
    requests: Arc<Mutex<Vec<PolicyRequest>>>,
}

impl Relay {
    /// Starts one; it ends with the process.
    pub(crate) fn start(here: &Endpoint, greylet: &Endpoint, clock: &Clock) -> io::Result<Relay> {
        let listener = here.listen()?;
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (greylet, clock, log) = (greylet.clone(), clock.clone(), requests.clone());
        thread::spawn(move || {
            for connection in 0.. {
                let Ok(postfix) = listener.accept() else {
                    return;
                };
                let (greylet, clock, log) = (greylet.clone(), clock.clone(), log.clone());
                thread::spawn(move || {
                    let remember = |text| {
                        let request = PolicyRequest { connection, text };
                        log.lock().expect("no panic elsewhere").push(request);
                    };
                    // An error means that one side has gone; that leaves the other side, too.
                    relay(postfix, greylet.connect()?, &clock, remember)
                });
            }
        });
        Ok(Relay {
            endpoint: here.clone(),
            requests,
        })
    }

    /// All that has been asked so far about a client.
    pub(crate) fn requests_about(&self, client_address: &str) -> Vec<PolicyRequest> {
        let requests = self.requests.lock().expect("no panic elsewhere");
        requests
            .iter()
            .filter(|request| request.attribute("client_address") == client_address)
            .cloned()
            .collect()
    }
}

fn relay(
    postfix: Box<dyn Stream>,
    greylet: Box<dyn Stream>,
    clock: &Clock,
    remember: impl Fn(String),
) -> io::Result<()> {
    let (mut postfix, mut greylet) = (BufReader::new(postfix), BufReader::new(greylet));
    while let Some(mut request) = read_paragraph(&mut postfix)? {
        remember(String::from_utf8_lossy(&request).into_owned());
        writeln!(request, "policy_test_time={}\n", clock.unix_seconds())?;
        greylet.get_mut().write_all(&request)?;
        let Some(mut reply) = read_paragraph(&mut greylet)? else {
            return Ok(());
        };
        reply.push(b'\n');
        postfix.get_mut().write_all(&reply)?;
    }
    Ok(())
}

/// Reads lines until an empty one, which is left out; `None` at the end of the stream.
fn read_paragraph(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut lines = Vec::new();
    loop {
        let start = lines.len();
        if from.read_until(b'\n', &mut lines)? == 0 {
            return Ok(None);
        }
        if &lines[start..] == b"\n" {
            lines.truncate(start);
            return Ok(Some(lines));
        }
    }
}
