//! A log line to its time, the program that has written it, and its text.

use super::time::{Stamp, after_clock, stamp};

/// Most words between the time and the `: ` that ends a line's head: facility, host, program, and what logread adds.
const HEAD_WORDS_MAX: usize = 4;

/// A log line without what syslog, logread, journald or docker have put before it.
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
        if let Some(line) = rfc_5424(line) {
            return line;
        }
        let (container, line) = container(line).unwrap_or((b"", line));
        let line = after_priority(line).unwrap_or(line);
        let (stamp, rest) = match stamp(line) {
            Some((stamp, rest)) => (Some(stamp), rest),
            None => (None, after_clock(line).unwrap_or(line)),
        };
        let (program, text) = program_and_text(rest).unwrap_or((container, rest));
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

/// RFC 5424: `<22>1 2026-11-23T20:08:13Z mx greylet 1 - - text`, of which all but the version may be `-`.
fn rfc_5424(line: &[u8]) -> Option<Line<'_>> {
    let rest = after_priority(line)?.strip_prefix(b"1 ")?;
    let (stamp, rest) = match stamp(rest) {
        Some((stamp, rest)) => (Some(stamp), rest),
        None => (None, rest.strip_prefix(b"- ")?),
    };
    let (_host, rest) = split_once(rest, b" ")?;
    let (program, rest) = split_once(rest, b" ")?;
    let (_process, rest) = split_once(rest, b" ")?;
    let (_message, rest) = split_once(rest, b" ")?;
    let text = after_structured_data(rest)?.trim_ascii_start();
    Some(Line {
        stamp,
        program,
        text: text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text),
    })
}

/// What follows `-` or `[id name="value"][...]`; within a value a backslash escapes.
fn after_structured_data(data: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = data.strip_prefix(b"-") {
        return Some(rest);
    }
    let (mut is_element, mut is_value, mut is_escaped) = (false, false, false);
    let end = data.iter().position(|&byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_value => is_escaped = true,
            b'"' if is_element => is_value = !is_value,
            b'[' if !is_value => is_element = true,
            b']' if !is_value => is_element = false,
            _ => return !is_element,
        }
        false
    })?;
    (end > 0).then_some(&data[end..])
}

/// Container and line of docker compose: `greylet-1  | text`.
fn container(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = split_once(line, b" ")?;
    let rest = rest.trim_ascii_start().strip_prefix(b"| ")?;
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    name.iter().all(is_name).then_some((name, rest))
}

/// What follows syslog's `<22>`.
fn after_priority(line: &[u8]) -> Option<&[u8]> {
    let (digits, rest) = split_once(line.strip_prefix(b"<")?, b">")?;
    let is_priority = (1..=3).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    is_priority.then_some(rest)
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
                "Mon 2026-11-23 20:08:13 CET mx greylet[1]: action=pass",
                "greylet",
                "",
                "action=pass",
            ),
            (
                "Okt 23 20:08:13 mx greylet[1]: 4ABC123: action=pass",
                "greylet",
                "4ABC123",
                "action=pass",
            ),
            (
                "Mo 23. Nov 2026 20:08:13 CET mx greylet[1]: action=pass",
                "greylet",
                "",
                "action=pass",
            ),
            (
                "<22>Nov 23 20:08:13 mx greylet[1]: action=pass",
                "greylet",
                "",
                "action=pass",
            ),
            (
                "<22>1 2026-11-23T20:08:13Z mx greylet 1 - - action=pass",
                "greylet",
                "",
                "action=pass",
            ),
            (
                "<22>1 - - postgrey - - [x@1 a=\"b ] \\\" c\"][y] \u{feff}4ABC123: action=pass",
                "postgrey",
                "4ABC123",
                "action=pass",
            ),
            ("greylet-1  | action=pass", "greylet-1", "", "action=pass"),
            (
                "greylet-1 | 2026-11-23T20:08:13.123456789Z action=pass",
                "greylet-1",
                "",
                "action=pass",
            ),
            (
                "1795464493.123456 mx greylet[1]: action=pass",
                "greylet",
                "",
                "action=pass",
            ),
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
