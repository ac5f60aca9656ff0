//! What a shell would make of a file of assignments or of a line of words, as far as that can be said without running one.

use crate::error::Error;

/// What a file assigns to the variables in the end.
///
/// # Errors
///
/// A statement that mentions one of them is no plain assignment, or stands under a condition.
pub fn assigned<const N: usize>(
    text: &str,
    variables: [&str; N],
) -> Result<[Option<String>; N], Error> {
    let mut values: [Option<String>; N] = [const { None }; N];
    let mut depth = 0_usize;
    for statement in statements(text) {
        let first_word = statement.split_whitespace().next().unwrap_or_default();
        match first_word {
            "if" | "case" | "for" | "while" | "until" | "{" => depth += 1,
            "fi" | "esac" | "done" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if !variables.iter().any(|name| mentions(statement, name)) {
            continue;
        }
        let exported = statement.strip_prefix("export ").map(str::trim_start);
        let is_name = |word: &str| word.bytes().all(is_of_a_name);
        if exported.is_some_and(|names| names.split_whitespace().all(is_name)) {
            continue;
        }
        let not_understood = || {
            Error::failure(format!(
                "`{statement}` is not understood; give the options as they are in the end with --options"
            ))
        };
        let (index, is_added, value) =
            assignment(exported.unwrap_or(statement), &variables).ok_or_else(not_understood)?;
        let mut value = words(value)?;
        if depth > 0 || value.len() > 1 {
            return Err(not_understood());
        }
        let value = value.pop().unwrap_or_default();
        match &mut values[index] {
            Some(earlier) if is_added => earlier.push_str(&value),
            variable => *variable = Some(value),
        }
    }
    Ok(values)
}

/// Which of the variables gets a value, whether it is added to what it has, and the value's source.
fn assignment<'a>(statement: &'a str, variables: &[&str]) -> Option<(usize, bool, &'a str)> {
    variables.iter().enumerate().find_map(|(index, name)| {
        let rest = statement.strip_prefix(name)?;
        match rest.strip_prefix("+=") {
            Some(value) => Some((index, true, value)),
            None => Some((index, false, rest.strip_prefix('=')?)),
        }
    })
}

/// The statements of a file, which end at a line's end or a semicolon outside of quotes; without comments.
fn statements(text: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let (mut begin, mut quote, mut is_comment) = (0, None, false);
    let mut previous = '\n';
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (_, '\n') if is_comment => (begin, is_comment) = (at + 1, false),
            _ if is_comment => {}
            (Some(open), _) if character == open => quote = None,
            (None | Some('"'), '\\') => {
                characters.next();
            }
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, '#') if previous.is_whitespace() || previous == ';' => {
                statements.push(&text[begin..at]);
                is_comment = true;
            }
            (None, '\n' | ';') => {
                statements.push(&text[begin..at]);
                begin = at + 1;
            }
            (None, _) => {}
        }
        previous = character;
    }
    if !is_comment {
        statements.push(&text[begin..]);
    }
    statements.into_iter().map(str::trim).collect()
}

/// Whether a variable's name stands there as a word of its own.
fn mentions(statement: &str, name: &str) -> bool {
    let mut words =
        statement.split(|character: char| !u8::try_from(character).is_ok_and(is_of_a_name));
    words.any(|word| word == name)
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Splits a line as a shell does: quotes, backslashes, a comment at the end.
///
/// # Errors
///
/// A quote is not closed, or the shell would put something else in a word's place.
pub fn words(line: &str) -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(character),
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (_, '\\') => match characters.next() {
                // It joins the lines.
                Some('\n') => {}
                // Within double quotes it escapes these alone.
                Some(next) if quote.is_some() && !"$`\"\\".contains(next) => {
                    word.get_or_insert_default().extend(['\\', next]);
                }
                next => word.get_or_insert_default().extend(next),
            },
            (_, '$' | '`') => {
                return Err(Error::failure(format!(
                    "the shell would replace something in `{line}`; give the options as they are in the end with --options"
                )));
            }
            (None, '#') if word.is_none() => break,
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err(Error::failure(format!("a quote is not closed in `{line}`")));
    }
    words.extend(word);
    Ok(words)
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=+:./,@%[]".contains(&byte);
    if word.bytes().all(is_plain) && !word.contains('[') {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_like_a_shell() {
        for (line, expected) in [
            ("", &[][..]),
            ("a  b\tc", &["a", "b", "c"]),
            ("--text='a b' c", &["--text=a b", "c"]),
            (r#""a 'b'" c\ d "e\"f""#, &["a 'b'", "c d", "e\"f"]),
            ("a #b c", &["a"]),
            ("a#b", &["a#b"]),
            ("''", &[""]),
            ("a\\\nb \"c\\\nd\" 'e\\\nf'", &["ab", "cd", "e\\\nf"]),
            ("\"a\nb\" c\nd", &["a\nb", "c", "d"]),
            (r#""a\n\\\$""#, &[r"a\n\$"]),
        ] {
            assert_eq!(words(line).unwrap(), expected, "{line}");
        }
        assert!(words("'a").is_err() && words("$HOME").is_err());
        for word in ["plain=1", "a b", "it's", "$x", "--inet=[::1]:1"] {
            assert_eq!(words(&quoted(word)).unwrap(), [word]);
        }
    }
}
