//! Text from outside: looked at eight bytes at a time, and made harmless for a log line or an SMTP reply.

use std::fmt::{self, Write};

use heapless::VecView;

const ONES: u64 = u64::MAX / 0xff;
const HIGH_BITS: u64 = 0x80 * ONES;

/// Marks, in the highest bit of each, the zero bytes of a word; above the lowest of them a mark may be wrong.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH_BITS
}

/// Where a byte is first.
pub(super) fn position(bytes: &[u8], wanted: u8) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let found = zeros(u64::from_le_bytes(*word) ^ (ONES * u64::from(wanted)));
        if found != 0 {
            return Some(8 * index + found.trailing_zeros() as usize / 8);
        }
    }
    let last = rest.iter().position(|&byte| byte == wanted);
    last.map(|index| bytes.len() - rest.len() + index)
}

/// Where the first LF or NUL is.
pub(super) fn position_of_line_end(bytes: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        let found = start + position_up_to(&bytes[start..], b'\n')?;
        if matches!(bytes[found], b'\n' | 0) {
            return Some(found);
        }
        start = found + 1;
    }
}

/// Where the first byte is that is not above another, which is of ASCII.
// Inlined, since a call takes as long as it takes to read most words.
#[inline(always)]
pub(super) fn position_up_to(bytes: &[u8], highest: u8) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // Again the lowest mark is right.
        let found = word.wrapping_sub(u64::from(highest + 1) * ONES) & !word & HIGH_BITS;
        if found != 0 {
            return Some(8 * index + found.trailing_zeros() as usize / 8);
        }
    }
    let last = rest.iter().position(|&byte| byte <= highest);
    last.map(|index| bytes.len() - rest.len() + index)
}

/// Puts ASCII letters into lower case.
pub(super) fn make_lower_case(bytes: &mut [u8]) {
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        let number = u64::from_le_bytes(*word);
        let low_bits = number & !HIGH_BITS;
        // Both sums have the highest bit of a byte set where it is at least that letter; none carries into the next.
        let from_a = low_bits + u64::from(0x80 - b'A') * ONES;
        let above_z = low_bits + u64::from(0x7f - b'Z') * ONES;
        let upper_case = from_a & !above_z & !number & HIGH_BITS;
        *word = (number | upper_case >> 2).to_le_bytes();
    }
    rest.make_ascii_lowercase();
}

/// Whether all bytes are from blank to tilde: ASCII without control characters.
pub fn is_plain(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    // What one byte borrows from or carries into the next changes nothing: it is not plain itself.
    let not_plain = words.iter().fold(0, |marks, word| {
        let word = u64::from_le_bytes(*word);
        marks | word | word.wrapping_sub(0x20 * ONES) | word.wrapping_add(ONES)
    });
    not_plain & HIGH_BITS == 0 && rest.iter().all(|byte| (b' '..=b'~').contains(byte))
}

/// Shows bytes with every control character and every run of invalid UTF-8 as `?`, and ends, at a character's
/// border, after at most `bytes_max` bytes.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a> {
    /// What is to be shown.
    pub bytes: &'a [u8],
    /// Where it ends.
    pub bytes_max: usize,
}

impl Printable<'_> {
    /// Appends what is shown.
    ///
    /// # Errors
    ///
    /// There is no room.
    pub fn append_to(&self, to: &mut VecView<u8>) -> fmt::Result {
        match self.bytes.len() <= self.bytes_max && is_plain(self.bytes) {
            true => append(to, self.bytes),
            false => write!(to, "{self}"),
        }
    }
}

/// Appends all of it.
///
/// # Errors
///
/// There is no room.
pub fn append(to: &mut VecView<u8>, bytes: &[u8]) -> fmt::Result {
    to.extend_from_slice(bytes).map_err(|_| fmt::Error)
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    fn each_byte_at_each_place() {
        for length in 0..20 {
            for (place, byte) in
                (0..length).flat_map(|place| (0..=u8::MAX).map(move |byte| (place, byte)))
            {
                let mut text = vec![b'~'; length];
                text[place] = byte;
                assert_eq!(is_plain(&text), (0x20..=0x7e).contains(&byte), "{text:?}");
                let mut lower_case = text.clone();
                make_lower_case(&mut lower_case);
                assert_eq!(lower_case, text.to_ascii_lowercase());
                for behind in [0, b' ', 0x7f, 0x80, 0xff] {
                    text[place + 1..].fill(behind);
                    let is_end = |byte: &u8| [b'\n', 0].contains(byte);
                    assert_eq!(
                        position_of_line_end(&text),
                        text.iter().position(is_end),
                        "{text:?}"
                    );
                    for highest in [b'\n', b'='] {
                        let naive = text.iter().position(|&byte| byte <= highest);
                        assert_eq!(position_up_to(&text, highest), naive, "{text:?}");
                    }
                    for wanted in [b'=', 0, 0x80, 0xff] {
                        let naive = text.iter().position(|&byte| byte == wanted);
                        assert_eq!(position(&text, wanted), naive, "{text:?} {wanted}");
                    }
                }
            }
        }
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
