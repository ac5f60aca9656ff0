//! `greylet migrate`: Postgrey's options, as a distribution keeps them, to a line for greylet, with what differs for this user.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::{self, Command, Migrate, Parsed};
use crate::commands::shell::{assigned, quoted, words as shell_words};
use crate::commands::{print, serve};
use crate::daemon::{Endpoint, Settings};
use crate::error::Error;
use crate::lists::{Paths, Sources};

/// Where Debian keeps Postgrey's options, and its lists.
const FILE: &str = "/etc/default/postgrey";
const LISTS: &str = "/etc/postgrey";

/// Where Postfix is in its chroot, so that paths within are named from here.
const POSTFIX_QUEUE: &str = "/var/spool/postfix";

/// The variables that matter: the options, as distributions call them, and Debian's text.
const VARIABLES: [&str; 3] = ["POSTGREY_OPTS", "OPTIONS", "POSTGREY_TEXT"];

/// Prints the line, and what differs. The exit status is 1 if greylet would not listen where Postgrey does.
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
    Ok(match migration.lost_listener {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// What is to be printed.
#[derive(Default)]
struct Migration {
    words: Vec<String>,
    notes: Vec<String>,
    /// An endpoint of Postgrey's had to be left out.
    lost_listener: bool,
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
            match settings(&[&word]) {
                Ok(_) => self.words.push(word),
                Err(error) => {
                    let meant = postgreys_reading(&name, value.as_deref());
                    self.note(format!("{word} is left out: {error}{meant}"));
                    self.lost_listener |= ["--inet", "--unix"].contains(&name.as_str());
                }
            }
        }
        let has_listener = self.has("--inet") || self.has("--unix");
        if !has_listener && self.lost_listener {
            self.note("where Postgrey listens is left out, so greylet would listen on 127.0.0.1:10023; say where with --inet or --unix");
        } else if !has_listener {
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
            self.note("--dbdir: greylet keeps its own snapshot there; greylet import takes over Postgrey's database");
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
            let (path, local) = (folder.join(list), folder.join(format!("{list}.local")));
            let has_list = path.is_file();
            if has_list {
                self.words.push(format!("{option}={}", path.display()));
            }
            // Postgrey reads it as soon as it is there.
            if has_list || local.is_file() {
                self.words.push(format!("{option}={}", local.display()));
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
        let sources = Sources::new(Paths {
            clients: &clients,
            recipients: &recipients,
            ..Paths::default()
        });
        let (clients, recipients) = (
            sources.load_clients().files,
            sources.load_recipients().files,
        );
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
        match settings(&words) {
            Ok(settings) => self.note_restriction(&settings.endpoints),
            Err(error) => self.note(format!("greylet refuses this line as it stands: {error}")),
        }
    }

    fn note_restriction(&mut self, endpoints: &[Endpoint]) {
        // `*` is one address for IPv4 and one for IPv6.
        let mut services: Vec<String> = endpoints.iter().map(service).collect();
        services.dedup();
        let restrictions: Vec<String> = services
            .iter()
            .map(|service| format!("{{ {service}, timeout=10s, default_action=DUNNO }}"))
            .collect();
        let restrictions = restrictions.join(" or ");
        self.note(match self.lost_listener {
            true => format!(
                "in main.cf, check_policy_service has to name where greylet listens: {restrictions}"
            ),
            false => {
                format!("in main.cf, check_policy_service stays as it is; {restrictions} is safer")
            }
        });
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
        Ok(())
    }
}

/// How Postfix on this machine names an endpoint.
fn service(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Inet(address) if address.ip().is_unspecified() => {
            format!("inet:127.0.0.1:{}", address.port())
        }
        Endpoint::Inet(address) => format!("inet:{address}"),
        Endpoint::Unix(path) => {
            let path = path.strip_prefix(POSTFIX_QUEUE).unwrap_or(path);
            format!("unix:{}", path.display())
        }
    }
}

/// What greylet makes of these options, or why it would not take them.
fn settings(words: &[&str]) -> Result<Settings, Error> {
    let words = std::iter::once("serve").chain(words.iter().copied());
    match cli::parse(words.map(str::to_owned).collect())? {
        Parsed::Run(Command::Serve(options)) => serve::settings(options),
        _ => Err(Error::usage("it starts no server")),
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

/// The option words in a file of shell assignments. Only the variables that matter are read, and whatever else mentions them is
/// refused: no shell runs here.
fn words_of_file(path: &str) -> Result<Vec<String>, Error> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::failure(format!(
            "cannot read {path}: {error}; name the file, or give the options with --options"
        ))
    })?;
    let [postgrey_opts, options, greylist_text] =
        assigned(&text, VARIABLES).map_err(|error| Error::failure(format!("{path}: {error}")))?;
    let Some(line) = postgrey_opts.or(options) else {
        return Err(Error::failure(format!(
            "{path} sets neither {} nor {}; give the options with --options",
            VARIABLES[0], VARIABLES[1]
        )));
    };
    // The value is one word of the shell, and its content is a list of words.
    let mut words = shell_words(&line)?;
    // As Debian's start script does it.
    let greylist_text = greylist_text.filter(|text| !text.is_empty());
    words.extend(greylist_text.map(|text| format!("--greylist-text={text}")));
    Ok(words)
}
