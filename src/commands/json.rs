//! What JSON is made of.

use std::fmt::{self, Write as _};
use std::io::{self, Write};

/// Writes things with commas between.
pub(super) fn list<W: Write, T>(
    out: &mut W,
    items: impl Iterator<Item = T>,
    mut write_item: impl FnMut(&mut W, T) -> io::Result<()>,
) -> io::Result<()> {
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        write_item(out, item)?;
    }
    Ok(())
}

/// `null` if there is none.
pub(super) struct OrNull<T>(pub(super) Option<T>);

impl<T: fmt::Display> fmt::Display for OrNull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("null"),
        }
    }
}

/// A JSON string.
pub(super) struct Text<T>(pub(super) T);

impl<T: AsRef<str>> fmt::Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.as_ref().chars() {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                '\0'..' ' => write!(f, "\\u{:04x}", u32::from(character))?,
                _ => f.write_char(character)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings() {
        for (text, json) in [
            ("", r#""""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("a\n\u{1f}ø", r#""a\u000a\u001fø""#),
        ] {
            assert_eq!(Text(text).to_string(), json);
            let read: String = serde_json::from_str(json).expect("JSON");
            assert_eq!(read, text);
        }
        assert_eq!(OrNull(None::<u64>).to_string(), "null");
    }
}
