//! Text from outside, made harmless for a log line or an SMTP reply.

use std::fmt::{self, Write};

/// Shows bytes with every control character and every run of invalid UTF-8 as `?`, and ends, at a character's
/// border, after at most `bytes_max` bytes.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a> {
    /// What is to be shown.
    pub bytes: &'a [u8],
    /// Where it ends.
    pub bytes_max: usize,
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |byte: &u8| (b' '..=b'~').contains(byte);
        if self.bytes.len() <= self.bytes_max
            && self.bytes.iter().all(plain)
            && let Ok(text) = std::str::from_utf8(self.bytes)
        {
            return f.write_str(text);
        }
        let mut left_bytes = self.bytes_max;
        for chunk in self.bytes.utf8_chunks() {
            let broken = (!chunk.invalid().is_empty()).then_some('?');
            for character in chunk.valid().chars().chain(broken) {
                let character = if character.is_control() {
                    '?'
                } else {
                    character
                };
                let Some(left) = left_bytes.checked_sub(character.len_utf8()) else {
                    return Ok(());
                };
                left_bytes = left;
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8], bytes_max: usize) -> String {
        Printable { bytes, bytes_max }.to_string()
    }

    #[test]
    fn printable() {
        assert_eq!(shown(b"a b~", 10), "a b~");
        assert_eq!(shown(b"a\r\nb\x7f\0", 10), "a??b??");
        assert_eq!(shown("jørn\u{85}".as_bytes(), 10), "jørn?");
        assert_eq!(shown(b"a\xff\xfeb\xc3", 10), "a??b?");
        assert_eq!(shown(b"abcdef", 3), "abc");
        assert_eq!(shown("aøø".as_bytes(), 4), "aø");
    }
}
