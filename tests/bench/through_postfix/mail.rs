//! The kinds of mail, and who is known when it comes.

use std::io::{Read, Write};
use std::time::SystemTime;

use crate::address::Address;

/// The client of all of it; everybody waves through what comes from 127.0.0.1.
pub(crate) const CLIENT_ADDRESS: &str = "198.18.0.1";

/// Senders whose mail to every recipient has passed.
const KNOWN_SENDERS: u64 = 64;

/// When it came for the first time, and when it passed, in seconds before the measurement.
const FIRST_TRY_AGO: u64 = 3_600;
const RETRY_AGO: u64 = 1_800;

/// Recipients of accepted mail, at most.
const RECIPIENTS_MAX: usize = 20;

/// What is sent in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mail {
    pub(crate) name: &'static str,
    pub(crate) recipients: usize,
    /// Otherwise it is new, and every recipient is deferred.
    pub(crate) is_accepted: bool,
}

impl Mail {
    pub(crate) const ALL: [Mail; 4] = [
        Mail {
            name: "one accepted message",
            recipients: 1,
            is_accepted: true,
        },
        Mail {
            name: "one accepted message to 20 recipients",
            recipients: RECIPIENTS_MAX,
            is_accepted: true,
        },
        Mail {
            name: "one deferred recipient",
            recipients: 1,
            is_accepted: false,
        },
        Mail {
            name: "50 deferred recipients",
            recipients: 50,
            is_accepted: false,
        },
    ];

    /// The sender of the session with this number.
    pub(crate) fn sender(&self, session: u64) -> String {
        if self.is_accepted {
            known_sender(session % KNOWN_SENDERS)
        } else {
            format!("new{session}@sender.test")
        }
    }
}

fn known_sender(number: u64) -> String {
    format!("known{number}@sender.test")
}

/// One of the recipients of a mail.
pub(crate) fn recipient(number: usize) -> String {
    format!("user{number}@recipient.test")
}

/// Has everything pass that is to be accepted.
///
/// # Errors
///
/// It does not.
pub(crate) fn make_known(address: &Address) -> Result<(), String> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(|_| "the clock of this machine is not set")?
        .as_secs();
    let failed = |error| format!("{address}: {error}");
    let mut stream = address.connect().map_err(failed)?;
    for (ago, expected) in [
        (FIRST_TRY_AGO, "action=DEFER_IF_PERMIT "),
        (RETRY_AGO, "action=PREPEND "),
    ] {
        for sender in (0..KNOWN_SENDERS).map(known_sender) {
            for recipient in (0..RECIPIENTS_MAX).map(recipient) {
                let request = format!(
                    "request=smtpd_access_policy\nclient_address={CLIENT_ADDRESS}\nclient_name=unknown\nsender={sender}\nrecipient={recipient}\npolicy_test_time={}\n\n",
                    now.saturating_sub(ago)
                );
                stream.write_all(request.as_bytes()).map_err(failed)?;
                let mut answer = [0; 1_024];
                let answer_bytes = stream.read(&mut answer).map_err(failed)?;
                let answer = &answer[..answer_bytes];
                if !answer.starts_with(expected.as_bytes()) {
                    let answer = String::from_utf8_lossy(answer);
                    return Err(format!("did not answer {expected}: {answer:?}"));
                }
            }
        }
    }
    Ok(())
}
