//! A verdict to the bytes that Postfix is sent.

use std::fmt::{self, Write};

use heapless::VecView;

use crate::engine::limits::{ACTION_BYTES_MAX, TEXT_BYTES_MAX};
use crate::engine::request::Request;
use crate::engine::text::{Printable, append};
use crate::engine::time::{HeaderDate, Seconds};
use crate::engine::verdict::{Action, Verdict};

/// The texts of replies, as the administrator has chosen them.
#[derive(Clone, Debug)]
pub struct Texts {
    /// What a deferral begins with, `DEFER_IF_PERMIT`, say.
    pub greylist_action: String,
    /// Why, for people; `%s` is the number of seconds left, `%r` the recipient's domain. Not empty.
    pub greylist_text: String,
    /// The header of a message that was delayed; `%t` is by how many seconds, `%v` our version, `%h` the host, `%d` the date.
    pub x_greylist_header: String,
    /// The host that the header names.
    pub hostname: String,
}

impl Texts {
    /// Appends the whole reply, of at most [`REPLY_BYTES_MAX`](crate::engine::limits::REPLY_BYTES_MAX), for which `to`
    /// must have room. `date` is asked for the date if the reply has one.
    pub fn append_reply(
        &self,
        to: &mut VecView<u8>,
        verdict: &Verdict,
        request: &Request<'_>,
        date: impl FnOnce() -> HeaderDate,
    ) {
        let appended = self.try_append_reply(to, verdict, request, date);
        debug_assert!(appended.is_ok(), "a reply is longer than its bound");
    }

    fn try_append_reply(
        &self,
        to: &mut VecView<u8>,
        verdict: &Verdict,
        request: &Request<'_>,
        date: impl FnOnce() -> HeaderDate,
    ) -> fmt::Result {
        match verdict.action {
            Action::Dunno => to.write_str("action=DUNNO\n\n"),
            Action::PrependHeader { delayed } => {
                to.write_str("action=PREPEND ")?;
                self.write_header(&mut Text::new(to), delayed, date())?;
                to.write_str("\n\n")
            }
            Action::Defer { remaining } => {
                let bytes = self.greylist_action.as_bytes();
                let action = Printable {
                    bytes,
                    bytes_max: ACTION_BYTES_MAX,
                };
                append(to, b"action=")?;
                action.append_to(to)?;
                append(to, b" ")?;
                // Postfix 2.3 and later send etrn_domain and take a DSN here; 4.2.0 spares old Exchange servers from 4.7.1 (Postgrey).
                if request.etrn_domain.is_some() && !begins_with_digit(&self.greylist_text) {
                    to.write_str("4.2.0 ")?;
                }
                self.write_greylist_text(&mut Text::new(to), remaining, request)?;
                to.write_str("\n\n")
            }
        }
    }

    fn write_greylist_text(
        &self,
        text: &mut Text<'_>,
        remaining: Seconds,
        request: &Request<'_>,
    ) -> fmt::Result {
        let recipient = request.recipient.unwrap_or_default();
        let domain = recipient
            .rsplit(|&byte| byte == b'@')
            .next()
            .unwrap_or_default();
        expand(
            &self.greylist_text,
            b"sr",
            text,
            |placeholder, text| match placeholder {
                b's' => write!(text, "{remaining}"),
                _ => text.write_bytes(domain),
            },
        )
    }

    fn write_header(&self, text: &mut Text<'_>, delayed: Seconds, date: HeaderDate) -> fmt::Result {
        expand(
            &self.x_greylist_header,
            b"tvdh",
            text,
            |placeholder, text| match placeholder {
                b't' => write!(text, "{delayed}"),
                b'v' => text.write_str(env!("CARGO_PKG_VERSION")),
                b'd' => write!(text, "{date}"),
                _ => text.write_str(&self.hostname),
            },
        )
    }
}

fn begins_with_digit(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
}

/// Writes a template with each of its placeholders replaced once, as Postgrey does it.
fn expand(
    template: &str,
    placeholders: &[u8],
    text: &mut Text<'_>,
    mut replace: impl FnMut(u8, &mut Text<'_>) -> fmt::Result,
) -> fmt::Result {
    let mut replaced = [false; u8::MAX as usize + 1];
    let mut rest = template;
    while let Some(percent) = rest.find('%') {
        let (before, from_percent) = rest.split_at(percent);
        text.write_str(before)?;
        match from_percent.as_bytes().get(1) {
            Some(&letter) if placeholders.contains(&letter) && !replaced[letter as usize] => {
                replaced[letter as usize] = true;
                replace(letter, text)?;
                rest = &from_percent[2..];
            }
            _ => {
                text.write_str("%")?;
                rest = &from_percent[1..];
            }
        }
    }
    text.write_str(rest)
}

/// The free text of a reply: harmless, and not longer than [`TEXT_BYTES_MAX`].
struct Text<'a> {
    to: &'a mut VecView<u8>,
    left_bytes: usize,
}

impl Text<'_> {
    fn new(to: &mut VecView<u8>) -> Text<'_> {
        Text {
            to,
            left_bytes: TEXT_BYTES_MAX,
        }
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> fmt::Result {
        let before_bytes = self.to.len();
        let shown = Printable {
            bytes,
            bytes_max: self.left_bytes,
        };
        shown.append_to(self.to)?;
        let fits = bytes.len() <= self.left_bytes;
        // What did not fit ends the text: a shorter piece that follows must not stand where it would mislead.
        self.left_bytes = if fits {
            self.left_bytes - (self.to.len() - before_bytes)
        } else {
            0
        };
        Ok(())
    }
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write_bytes(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::limits::REPLY_BYTES_MAX;
    use crate::engine::verdict::Reason;

    fn reply(texts: &Texts, action: Action, request: &Request<'_>) -> String {
        let verdict = Verdict {
            action,
            ..Verdict::passed(Reason::New)
        };
        let mut to = heapless::Vec::<u8, REPLY_BYTES_MAX>::new();
        let date = HeaderDate {
            unix_seconds: 1_795_464_493,
        };
        texts.append_reply(&mut to, &verdict, request, || date);
        String::from_utf8(to.to_vec()).unwrap()
    }

    fn texts(greylist_text: &str, x_greylist_header: &str) -> Texts {
        Texts {
            greylist_action: "DEFER_IF_PERMIT".into(),
            greylist_text: greylist_text.into(),
            x_greylist_header: x_greylist_header.into(),
            hostname: "gw.example".into(),
        }
    }

    const DEFER: Action = Action::Defer {
        remaining: Seconds::new(17),
    };

    #[test]
    fn greylist_text() {
        let request = Request {
            recipient: Some(b"b@r.example"),
            ..Request::default()
        };
        let from_postfix = Request {
            etrn_domain: Some(b""),
            ..request
        };
        for (text, request, reply_text) in [
            ("Greylisted", request, "Greylisted"),
            ("Greylisted", from_postfix, "4.2.0 Greylisted"),
            ("4.7.1 Greylisted", from_postfix, "4.7.1 Greylisted"),
            ("%s %r %s %r", request, "17 r.example %s %r"),
            ("100%", request, "100%"),
            ("%%s %x %", request, "%17 %x %"),
            ("a\tb\nc", request, "a?b?c"),
        ] {
            let reply = reply(&texts(text, ""), DEFER, &request);
            assert_eq!(reply, format!("action=DEFER_IF_PERMIT {reply_text}\n\n"));
        }
    }

    #[test]
    fn header() {
        let header = "X-G: %t %v %d %h %t";
        let action = Action::PrependHeader {
            delayed: Seconds::new(300),
        };
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            reply(&texts("x", header), action, &Request::default()),
            format!(
                "action=PREPEND X-G: 300 {version} Mon, 23 Nov 2026 20:08:13 UTC gw.example %t\n\n"
            )
        );
    }

    #[test]
    fn hostile_recipients_are_bounded_and_harmless() {
        let mut recipient = b"b@".to_vec();
        recipient.extend([b'\xff', b'\r', b'\0']);
        recipient.resize(4_096, b'r');
        let request = Request {
            recipient: Some(&recipient),
            ..Request::default()
        };
        let text = reply(&texts("see %r, soon", ""), DEFER, &request);
        let expected = format!("action=DEFER_IF_PERMIT see ???{}\n\n", "r".repeat(400 - 7));
        assert_eq!(text, expected);
    }

    #[test]
    fn longest_reply_fits() {
        let action = "D".repeat(ACTION_BYTES_MAX + 9);
        let texts = Texts {
            greylist_action: action,
            ..texts(&"x".repeat(900), "")
        };
        let request = Request {
            etrn_domain: Some(b""),
            ..Request::default()
        };
        assert_eq!(reply(&texts, DEFER, &request).len(), REPLY_BYTES_MAX);
    }
}
