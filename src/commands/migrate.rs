//! `greylet migrate`: Postgrey's options, as a distribution keeps them, to a line for greylet, with what differs for this user.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::{self, Command, Migrate, Parsed};
use crate::commands::{print, serve};
use crate::error::Error;
use crate::lists::Sources;

/// Where Debian keeps Postgrey's options, and its lists.
const FILE: &str = "/etc/default/postgrey";
const LISTS: &str = "/etc/postgrey";

/// Variables with options, as distributions call them.
const OPTION_VARIABLES: [&str; 2] = ["POSTGREY_OPTS", "OPTIONS"];

/// Prints the line, and what differs.
///
/// # Errors
///
/// The file cannot be read, or cannot be understood.
pub fn run(options: &Migrate) -> Result<ExitCode, Error> {
    let words = match &options.options {
        Some(line) => shell_words(line)?,
        None => words_of_file(options.file.as_deref().unwrap_or(FILE))?,
    };
    let mut migration = Migration::default();
    migration.take_options(cli::postgrey_options(words)?);
    migration.take_lists(Path::new(options.lists.as_deref().unwrap_or(LISTS)));
    migration.check_together();
    print(&migration.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// What is to be printed.
#[derive(Default)]
struct Migration {
    words: Vec<String>,
    notes: Vec<String>,
}

impl Migration {
    fn has(&self, option: &str) -> bool {
        let with_value = format!("{option}=");
        self.words
            .iter()
            .any(|word| word == option || word.starts_with(&with_value))
    }

    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn take_options(&mut self, options: Vec<(String, Option<String>)>) {
        for (name, value) in options {
            let word = match &value {
                Some(value) => format!("{name}={value}"),
                None => name.clone(),
            };
            match refusal(&[&word]) {
                None => self.words.push(word),
                Some(error) => {
                    let meant = postgreys_reading(&name, value.as_deref());
                    self.note(format!("{word} is left out: {error}{meant}"));
                }
            }
        }
        if !self.has("--inet") && !self.has("--unix") {
            self.note("neither --inet nor --unix is given, with which Postgrey does not start; greylet listens on 127.0.0.1:10023");
        }
        if self.has("--inet") && self.has("--unix") {
            self.note("--inet and --unix: Postgrey listens on the first only, greylet on both");
        }
        if !self.has("--greylist-text") {
            self.note("the text that deferred clients see names RFC 6647, not Postgrey's site; --greylist-text changes it");
        }
        if !self.has("--lookup-by-subnet") && !self.has("--lookup-by-host") {
            self.note("Postgrey knows a client by its network; greylet by the organisation of its verified name where there is one, and mail without a sender waits at DATA if smtpd_data_restrictions has the service; --lookup-by-subnet is Postgrey's way in both");
        }
        if self.has("--dbdir") {
            self.note("--dbdir: greylet does not read Postgrey's database; who was known there waits once more");
        }
        if !self.has("--user") {
            self.note("Postgrey changes to the user postgrey by itself; greylet stays the user who starts it, unless --user is given");
        }
        if self.has("--retry-window") || self.has("--max-age") {
            self.note(
                "--retry-window and --max-age are applied at each request, not only at night",
            );
        }
        if self.has("--privacy") {
            self.note("--privacy needs nothing: greylet keeps only keyed fingerprints");
        }
    }

    /// Postgrey's own lists, if no option names others, and what is wrong in any.
    fn take_lists(&mut self, folder: &Path) {
        for list in ["whitelist_clients", "whitelist_recipients"] {
            let option = format!("--{}", list.replace('_', "-"));
            if self.has(&option) {
                continue;
            }
            for name in [list.to_owned(), format!("{list}.local")] {
                let path = folder.join(name);
                if path.is_file() {
                    self.words.push(format!("{option}={}", path.display()));
                }
            }
        }
        let paths = |option: &str| -> Vec<String> {
            let values = self
                .words
                .iter()
                .filter_map(|word| word.strip_prefix(option));
            values.map(str::to_owned).collect()
        };
        let (clients, recipients) = (
            paths("--whitelist-clients="),
            paths("--whitelist-recipients="),
        );
        let sources = Sources::new(&clients, &recipients);
        let (clients, recipients) = (sources.load_clients(), sources.load_recipients());
        let problems = clients.problems.iter().chain(&recipients.problems);
        let mut notes: Vec<String> = problems.map(ToString::to_string).collect();
        notes.extend(
            clients
                .findings
                .iter()
                .map(|finding| clients.describe(finding)),
        );
        notes.extend(
            recipients
                .findings
                .iter()
                .map(|finding| recipients.describe(finding)),
        );
        self.notes.extend(notes);
    }

    fn check_together(&mut self) {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        if let Some(error) = refusal(&words) {
            self.note(format!("greylet refuses this line as it stands: {error}"));
        }
    }
}

impl std::fmt::Display for Migration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("greylet serve")?;
        for word in &self.words {
            write!(f, " {}", quoted(word))?;
        }
        f.write_str("\n\nWhat differs:\n")?;
        for note in &self.notes {
            writeln!(f, "- {note}")?;
        }
        f.write_str(
            "- in main.cf, check_policy_service stays as it is; { inet:127.0.0.1:10023, timeout=10s, default_action=DUNNO } is safer\n",
        )
    }
}

/// Why greylet would not take these options.
fn refusal(words: &[&str]) -> Option<Error> {
    let words = std::iter::once("serve").chain(words.iter().copied());
    match cli::parse(words.map(str::to_owned).collect()) {
        Ok(Parsed::Run(Command::Serve(options))) => serve::settings(options).err(),
        Ok(_) => Some(Error::usage("it starts no server")),
        Err(error) => Some(error),
    }
}

/// How Postgrey takes a value that greylet refuses.
fn postgreys_reading(name: &str, value: Option<&str>) -> &'static str {
    match (name, value) {
        ("--delay", Some("0")) => "; Postgrey reads it as 300, which is the default here too",
        ("--max-age", Some("0")) => "; Postgrey reads it as 35, which is the default here too",
        ("--ipv4cidr", Some("0")) => "; Postgrey reads it as 24, which is the default here too",
        ("--ipv6cidr", Some("0")) => "; Postgrey reads it as 64, which is the default here too",
        _ => "",
    }
}

/// The option words in a file of shell assignments.
fn words_of_file(path: &str) -> Result<Vec<String>, Error> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::failure(format!(
            "cannot read {path}: {error}; name the file, or give the options with --options"
        ))
    })?;
    // A backslash at the end of a line joins it to the next one.
    let text = text.replace("\\\n", " ");
    let mut words = Vec::new();
    let mut greylist_text = None;
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
    {
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        // The value is one word of the shell, and its content is a list of words.
        let value = shell_words(value)?.into_iter().next().unwrap_or_default();
        if OPTION_VARIABLES.contains(&name) {
            words = shell_words(&value)?;
        } else if name == "POSTGREY_TEXT" {
            greylist_text = Some(value);
        }
    }
    // Debian's start script adds it so.
    words.extend(greylist_text.map(|text| format!("--greylist-text={text}")));
    if words.is_empty() {
        return Err(Error::failure(format!(
            "{path} sets neither {} to anything; give the options with --options",
            OPTION_VARIABLES.join(" nor ")
        )));
    }
    Ok(words)
}

/// Splits a line as a shell does: quotes, backslashes, a comment at the end.
fn shell_words(line: &str) -> Result<Vec<String>, Error> {
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
            (_, '\\') => word.get_or_insert_default().extend(characters.next()),
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
fn quoted(word: &str) -> String {
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
        for (line, words) in [
            ("", &[][..]),
            ("a  b\tc", &["a", "b", "c"]),
            ("--text='a b' c", &["--text=a b", "c"]),
            (r#""a 'b'" c\ d "e\"f""#, &["a 'b'", "c d", "e\"f"]),
            ("a #b c", &["a"]),
            ("a#b", &["a#b"]),
            ("''", &[""]),
        ] {
            assert_eq!(shell_words(line).unwrap(), words, "{line}");
        }
        assert!(shell_words("'a").is_err() && shell_words("$HOME").is_err());
        for word in ["plain=1", "a b", "it's", "$x", "--inet=[::1]:1"] {
            assert_eq!(shell_words(&quoted(word)).unwrap(), [word]);
        }
    }
}
