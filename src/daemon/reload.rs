//! Lists into the engine: at the start, and again at SIGHUP.

use crate::engine::Engine;
use crate::lists::{Loaded, Sources, Text};

/// Lines that are complained of at a time; `greylet check` shows all.
const COMPLAINTS_MAX: usize = 20;

/// The files that lists were made of, in the order in which the engine counts them.
#[derive(Default)]
pub(super) struct ListNames {
    pub(super) clients: Vec<String>,
    pub(super) recipients: Vec<String>,
}

/// Reads all lists. At the start a list is made of the files that can be read; later one with a file that cannot keeps its
/// last good content, so that nobody is greylisted because of a slip.
pub(super) fn load_lists(
    sources: &Sources,
    engine: &mut Engine<'_>,
    list_names: &mut ListNames,
    is_reload: bool,
) {
    let access = engine.access_mut();
    let clients = sources.load_clients();
    let rules = clients.list.len();
    complain(&clients, "clients", is_reload);
    if is_in_force(&clients, is_reload) {
        access.clients = clients.list;
        list_names.clients = all_names(&clients.texts);
        log::info!(
            "list of clients: {rules} rules from {}",
            names(&clients.texts)
        );
    }
    let recipients = sources.load_recipients();
    let rules = recipients.list.len();
    complain(&recipients, "recipients", is_reload);
    if is_in_force(&recipients, is_reload) {
        access.recipients = recipients.list;
        list_names.recipients = all_names(&recipients.texts);
        log::info!(
            "list of recipients: {rules} rules from {}",
            names(&recipients.texts)
        );
    }
}

fn is_in_force<L>(loaded: &Loaded<L>, is_reload: bool) -> bool {
    loaded.problems.is_empty() || !is_reload
}

fn complain<L>(loaded: &Loaded<L>, whose: &str, is_reload: bool) {
    for problem in &loaded.problems {
        let so = if is_reload {
            "the last good list stays in force"
        } else {
            "going on without it"
        };
        log::error!("{problem}; {so} ({whose})");
    }
    for finding in loaded.findings.iter().take(COMPLAINTS_MAX) {
        log::warn!("{}", loaded.describe(finding));
    }
    let more = loaded.findings.len().saturating_sub(COMPLAINTS_MAX);
    if more > 0 {
        log::warn!(
            "{more} more lines of the list of {whose} are in doubt: greylet check shows all"
        );
    }
}

fn all_names(texts: &[Text]) -> Vec<String> {
    texts.iter().map(|text| text.name.clone()).collect()
}

fn names(texts: &[Text]) -> String {
    let names: Vec<&str> = texts
        .iter()
        .map(|text| &text.name[..])
        .filter(|name| !name.is_empty())
        .collect();
    match names[..] {
        [] => "no file".to_owned(),
        _ => names.join(", "),
    }
}
