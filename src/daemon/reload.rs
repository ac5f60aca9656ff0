//! Lists into the engine: at the start, and again at SIGHUP.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::engine::access::Access;
use crate::lists::{BUILT_IN, Files, Problem, Sources, Text};

/// Lines that are complained of at a time; `greylet check` shows more.
const COMPLAINTS_MAX: usize = 20;

/// What else than its rules there is to know of the lists in force.
#[derive(Default)]
pub(super) struct ListsInForce {
    pub(super) clients: ListInForce,
    pub(super) recipients: ListInForce,
    pub(super) senders: ListInForce,
    pub(super) greylisted: ListInForce,
}

/// The files of a list.
#[derive(Default)]
pub(super) struct ListInForce {
    /// Those that it was made of, in the order in which the engine counts them.
    pub(super) names: Vec<String>,
    /// Those that could not be read then.
    unreadable: Vec<PathBuf>,
}

/// Reads all lists. A list is made of the files that can be read; but when one that could be read before cannot any more, the list keeps its
/// last good content, so that nobody is greylisted because of a slip. The list of those who are greylisted comes into force only as a whole, so that
/// nobody's mail passes because of one; at the start all are greylisted until then.
pub(super) fn load_lists(sources: &Sources, access: &mut Access, in_force: &mut ListsInForce) {
    let clients = sources.load_clients();
    let rules = clients.list.len();
    if in_force.clients.take(&clients.files, Kind::Clients, rules) {
        access.clients = clients.list;
    }
    let recipients = sources.load_recipients();
    let rules = recipients.list.len();
    if in_force
        .recipients
        .take(&recipients.files, Kind::Recipients, rules)
    {
        access.recipients = recipients.list;
    }
    let senders = sources.load_senders();
    let rules = senders.list.len();
    if in_force.senders.take(&senders.files, Kind::Senders, rules) {
        access.senders = senders.list;
    }
    let greylisted = sources.load_greylisted();
    let rules = greylisted.list.len();
    if in_force
        .greylisted
        .take(&greylisted.files, Kind::Greylisted, rules)
    {
        access.greylisted = greylisted.list;
    }
}

/// Which list it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Clients,
    Recipients,
    Senders,
    Greylisted,
}

impl Kind {
    /// Whose it is, for people.
    fn whose(self) -> &'static str {
        match self {
            Kind::Clients => "clients",
            Kind::Recipients => "recipients",
            Kind::Senders => "senders",
            Kind::Greylisted => "greylisted recipients",
        }
    }
}

impl ListInForce {
    /// Whether a list comes into force; says so, and what is wrong with it.
    fn take(&mut self, files: &Files, kind: Kind, rules: usize) -> bool {
        let whose = kind.whose();
        let unreadable = || files.problems.iter().map(Problem::path);
        // At the start there is nothing yet that could be lost.
        let is_start = self.names.is_empty();
        let was_unreadable = |path| self.unreadable.iter().any(|it| it == path);
        let gone = || self.names.iter().filter(|name| is_gone(name, files));
        let is_known = || unreadable().all(was_unreadable) && gone().next().is_none();
        let is_taken = match kind {
            Kind::Greylisted => files.problems.is_empty() && gone().next().is_none(),
            _ => is_start || is_known(),
        };
        complain(
            files,
            whose,
            match (is_taken, is_start) {
                (true, _) => "going on without it",
                (false, false) => "the last good list stays in force",
                (false, true) => "the mail of all recipients is greylisted until it can be read",
            },
        );
        for name in gone() {
            log::error!(
                "the list {name} is not there any more; the last good list stays in force ({whose}); an empty file would mean none"
            );
        }
        if is_taken {
            let is_optional = matches!(kind, Kind::Senders | Kind::Greylisted);
            let has_file = files.texts.iter().any(|text| !text.name.is_empty());
            if has_file || !is_optional {
                let so = match kind {
                    Kind::Greylisted if rules == 0 => ", so the mail of all is greylisted",
                    _ => "",
                };
                log::info!(
                    "list of {whose}: {rules} rules from {}{so}",
                    Names(&files.texts)
                );
            }
            self.names = files.texts.iter().map(|text| text.name.clone()).collect();
            self.unreadable = unreadable().map(Path::to_owned).collect();
        }
        is_taken
    }
}

/// Whether a file that need not be there was there before, and is not any more.
fn is_gone(name: &str, files: &Files) -> bool {
    let is_file = !name.is_empty() && !name.starts_with(BUILT_IN);
    let is_unreadable = |problem: &Problem| problem.path().display().to_string() == name;
    is_file
        && files.texts.iter().all(|text| text.name != name)
        && !files.problems.iter().any(is_unreadable)
}

fn complain(files: &Files, whose: &str, so: &str) {
    for problem in &files.problems {
        log::error!("{problem}; {so} ({whose})");
    }
    for finding in files.findings.iter().take(COMPLAINTS_MAX) {
        log::warn!("{}", files.describe(finding));
    }
    let more = files.findings.len().saturating_sub(COMPLAINTS_MAX) + files.more_findings;
    if more > 0 {
        log::warn!("{more} more lines of the list of {whose} are in doubt: see greylet check");
    }
}

/// Files, for people.
struct Names<'a>(&'a [Text]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|text| &text.name);
        let names: Vec<&str> = names
            .map(String::as_str)
            .filter(|name| !name.is_empty())
            .collect();
        f.write_str(match names[..] {
            [] => "no file",
            _ => return f.write_str(&names.join(", ")),
        })
    }
}
