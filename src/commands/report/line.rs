//! A log line to its time, the program that has written it, and its text.

use super::time::{Stamp, stamp};

/// Most words before the `: ` that ends a line's head: facility, host, program.
const HEAD_WORDS_MAX: usize = 4;

/// A log line without what syslog, logread or journald have put before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// When it was written, if that is written.
    pub stamp: Option<Stamp>,
    /// The program's name without its process id; empty if there is none.
    pub program: &'a [u8],
    /// What the program has said.
    pub text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Takes a line apart.
    pub fn new(line: &'a [u8]) -> Line<'a> {
        let (stamp, rest) = match stamp(line) {
            Some((stamp, rest)) => (Some(stamp), rest),
            None => (None, line),
        };
        let (program, text) = program_and_text(rest).unwrap_or((b"", rest));
        Line {
            stamp,
            program,
            text,
        }
    }

    /// The text without the queue id that may stand before it, and that queue id.
    pub fn queue_id_and_rest(&self) -> (Option<&'a [u8]>, &'a [u8]) {
        match split_once(self.text, b": ") {
            Some((id, rest)) if !id.is_empty() && id.iter().all(u8::is_ascii_alphanumeric) => {
                (Some(id), rest)
            }
            _ => (None, self.text),
        }
    }
}

/// `mail.info host postfix/smtpd[429]: text`, of which only the program has to be there.
fn program_and_text(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, text) = split_once(rest, b": ")?;
    let mut words = head
        .split(|&byte| byte == b' ')
        .filter(|word| !word.is_empty());
    let tag = words.next_back()?;
    // A `=` is of the text, which then has no head.
    if words.count() >= HEAD_WORDS_MAX || head.contains(&b'=') {
        return None;
    }
    let program = tag.split(|&byte| byte == b'[').next()?;
    Some((program, text))
}

/// What stands before and after the first occurrence.
pub fn split_once<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = find(bytes, separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

/// What stands before and after the last occurrence.
pub fn rsplit_once<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes
        .windows(separator.len())
        .rposition(|window| window == separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

/// Where something that is not empty occurs first.
pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        for (line, program, queue_id, rest) in [
            (
                "Nov 23 20:08:13 mx postgrey[429]: action=pass",
                "postgrey",
                "",
                "action=pass",
            ),
            ("Nov 23 20:08:13 mx postgrey: x", "postgrey", "", "x"),
            (
                "Nov 23 20:08:13 mx postfix/smtpd[1]: NOQUEUE: reject: x",
                "postfix/smtpd",
                "NOQUEUE",
                "reject: x",
            ),
            (
                "Mon Nov 23 20:23:29 2026 daemon.info greylet[429]: 4ABC123: x",
                "greylet",
                "4ABC123",
                "x",
            ),
            (
                "Mon Nov 23 20:23:29 2026 [1795464493.123] daemon.info greylet[429]: x",
                "greylet",
                "",
                "x",
            ),
            (
                "2026-11-23T20:08:13+0100 mx greylet[429]: x: y z",
                "greylet",
                "x",
                "y z",
            ),
            (
                "action=pass, reason=a: b",
                "",
                "",
                "action=pass, reason=a: b",
            ),
            ("4ABC123: action=pass", "4ABC123", "", "action=pass"),
            ("greylet[1]: action=pass", "greylet", "", "action=pass"),
            (
                "some words that are no head at all: x",
                "",
                "",
                "some words that are no head at all: x",
            ),
            ("", "", "", ""),
            (": x", "", "", ": x"),
        ] {
            let line = Line::new(line.as_bytes());
            let (id, text) = line.queue_id_and_rest();
            let shown = |bytes| String::from_utf8_lossy(bytes);
            assert_eq!(shown(line.program), program, "{line:?}");
            assert_eq!(shown(id.unwrap_or_default()), queue_id, "{line:?}");
            assert_eq!(shown(text), rest, "{line:?}");
        }
    }
}
