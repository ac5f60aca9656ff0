//! `greylet check`: what is wrong with the lists, and whether, where and why not they have a client or a recipient.

use std::net::IpAddr;
use std::process::ExitCode;

use crate::cli::Check;
use crate::commands::{print, serve};
use crate::engine::access::{Addresses, Clients, Fault, Origin, Recipients, is_plain};
use crate::engine::identity::{is_verified_name, parse_address};
use crate::engine::null_sender::is_null_sender;
use crate::engine::text::Printable;
use crate::error::Error;
use crate::lists::{Files, Loaded, Paths, Sources};

/// Reads the lists as serve would, and prints every line that is in doubt, and what was asked.
///
/// # Errors
///
/// The command line is wrong, or the output cannot be written.
pub fn run(options: &Check) -> Result<ExitCode, Error> {
    let address = options.client_address.as_deref().map(address).transpose()?;
    let mut sources = Sources::new(Paths {
        clients: &options.whitelist_clients,
        recipients: &options.whitelist_recipients,
        senders: &options.whitelist_senders,
        greylisted: &options.greylist_recipients,
    });
    if let Some(retry_window) = serve::retry_window(options.retry_window.as_deref())? {
        sources.retry_window = retry_window;
    }
    let (clients, recipients) = (sources.load_clients(), sources.load_recipients());
    let (senders, greylisted) = (sources.load_senders(), sources.load_greylisted());
    let mut report = Report::default();
    report.add_list("clients", &clients.files, clients.list.len());
    report.add_list("recipients", &recipients.files, recipients.list.len());
    // Of these there may be none.
    if senders.files.has_files() {
        report.add_list("senders", &senders.files, senders.list.len());
    }
    if greylisted.files.has_files() {
        report.add_list(
            "greylisted recipients",
            &greylisted.files,
            greylisted.list.len(),
        );
    }
    if let Some(name) = &options.client_name {
        report.add_client_name(&clients, name);
    }
    if let Some(address) = address {
        report.add_client_address(&clients, address);
    }
    if let Some(recipient) = &options.recipient {
        report.add_recipient(&recipients, recipient);
        report.add_opt_in(&greylisted, recipient);
    }
    if let Some(sender) = &options.sender {
        report.add_sender(&senders, sender, options.client_name.as_deref());
    }
    print(&report.text)?;
    Ok(if report.is_faulty {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn address(text: &str) -> Result<IpAddr, Error> {
    parse_address(text.as_bytes())
        .ok_or_else(|| Error::usage(format!("--client-address={text}: not an IP address")))
}

/// What is to be printed, and whether anything is wrong.
#[derive(Default)]
struct Report {
    text: String,
    is_faulty: bool,
}

impl Report {
    fn line(&mut self, line: &str) {
        let (bytes, bytes_max) = (line.as_bytes(), line.len());
        self.text += &Printable { bytes, bytes_max }.to_string();
        self.text.push('\n');
    }

    fn add_list(&mut self, whose: &str, files: &Files, rules: usize) {
        for problem in &files.problems {
            self.is_faulty = true;
            self.line(&problem.to_string());
        }
        for finding in &files.findings {
            self.is_faulty |= finding.remark.fault != Fault::Doubtful;
            self.line(&files.describe(finding));
        }
        if files.more_findings > 0 {
            self.is_faulty = true;
            let more = files.more_findings;
            self.line(&format!(
                "{more} more lines of the list of {whose} are in doubt"
            ));
        }
        for text in files.texts.iter().filter(|text| !text.name.is_empty()) {
            self.line(&format!("read {}", text.name));
        }
        self.line(&format!("list of {whose}: {rules} rules"));
    }

    fn add_client_name(&mut self, clients: &Loaded<Clients>, name: &str) {
        let of = format!("client name {name}");
        let found = clients.list.find_name(name.as_bytes());
        match found {
            Some(origin) => self.add_match(&clients.files, &of, origin),
            None => self.line(&format!("{of}: no line matches")),
        }
        self.add_pool(clients, name);
        self.add_nowhite(
            &clients.files,
            clients.list.find_nowhite(name.as_bytes(), None),
        );
        if found.is_some() {
            return;
        }
        if !is_verified_name(name.as_bytes()) {
            self.line("  Postfix gives a name only if reverse and forward DNS of the client agree; list its address instead");
        }
        self.add_if_written_otherwise(&clients.files, &|text| {
            let (clients, name) = (Clients::read([text]).0, name.as_bytes());
            clients.find_name(name).is_some()
                || clients.find_pool(name).is_some()
                || clients.find_nowhite(name, None).is_some()
        });
        self.add_ends(
            &clients.files,
            name,
            "a name matches from its beginning, or from a dot on",
        );
    }

    /// That a pool covers the name says who the client is, and lets no mail pass.
    fn add_pool(&mut self, clients: &Loaded<Clients>, name: &str) {
        let Some(pool) = clients.list.find_pool(name.as_bytes()) else {
            return;
        };
        let (place, content) = (
            clients.files.place(pool.origin),
            clients.files.content(pool.origin),
        );
        self.line(&format!(
            "  {place}: `{content}` covers it: all clients of that pool are one, but greylisted like any other"
        ));
    }

    fn add_nowhite(&mut self, files: &Files, origin: Option<Origin>) {
        let Some(origin) = origin else {
            return;
        };
        let (place, content) = (files.place(origin), files.content(origin));
        self.line(&format!(
            "  {place}: `{content}` covers it: such clients are greylisted like any other, and never auto-whitelisted"
        ));
    }

    fn add_client_address(&mut self, clients: &Loaded<Clients>, address: IpAddr) {
        let of = format!("client address {address}");
        let found = clients.list.find_address(address);
        match found {
            Some(origin) => self.add_match(&clients.files, &of, origin),
            None => self.line(&format!("{of}: no line matches")),
        }
        self.add_nowhite(
            &clients.files,
            clients.list.find_nowhite(b"", Some(address)),
        );
        if found.is_some() {
            return;
        }
        self.add_if_written_otherwise(&clients.files, &|text| {
            let clients = Clients::read([text]).0;
            clients.find_address(address).is_some()
                || clients.find_nowhite(b"", Some(address)).is_some()
        });
        for (place, content) in
            words(&clients.files).filter(|(_, content)| content.starts_with('/'))
        {
            let is_about_it = Clients::read([content.as_bytes()]).0;
            if is_about_it
                .find_name(address.to_string().as_bytes())
                .is_some()
            {
                self.line(&format!(
                    "  {place}: `{content}` is tried on names only, not on addresses"
                ));
            }
        }
    }

    fn add_recipient(&mut self, recipients: &Loaded<Recipients>, recipient: &str) {
        let of = format!("recipient {recipient}");
        if let Some(line) = recipients.list.find(recipient.as_bytes()) {
            self.add_match(&recipients.files, &of, line.origin);
            if line.policy.is_some() {
                self.line("  so its mail is greylisted, but as this line says");
            }
            return;
        }
        self.line(&format!("{of}: no line matches"));
        self.add_near_addresses(&recipients.files, recipient, &|text| {
            Recipients::read([text])
                .0
                .find(recipient.as_bytes())
                .is_some()
        });
    }

    /// Whether there is a list of those who are greylisted, and it has the recipient.
    fn add_opt_in(&mut self, greylisted: &Loaded<Addresses>, recipient: &str) {
        if greylisted.list.is_empty() {
            return;
        }
        let of = format!("greylisted recipient {recipient}");
        if let Some(origin) = greylisted.list.find(recipient.as_bytes()) {
            return self.add_match(&greylisted.files, &of, origin);
        }
        self.line(&match is_plain(recipient.as_bytes()) {
            true => format!("{of}: no line matches, so its mail is not greylisted"),
            false => format!(
                "{of}: no line matches, but its mail is greylisted: so written it may be anybody's"
            ),
        });
        self.add_near_addresses(&greylisted.files, recipient, &|text| {
            Addresses::read([text])
                .0
                .find(recipient.as_bytes())
                .is_some()
        });
    }

    fn add_sender(&mut self, senders: &Loaded<Addresses>, sender: &str, client_name: Option<&str>) {
        let of = format!("sender {sender}");
        if is_null_sender(sender.as_bytes()) {
            self.line(&format!("{of}: no line matches mail without a sender"));
        } else if let Some(origin) = senders.list.find(sender.as_bytes()) {
            self.add_match(&senders.files, &of, origin);
            self.line(match client_name {
                Some(name) if is_verified_name(name.as_bytes()) => {
                    "  this client has a verified name, so the line counts; senders can be forged"
                }
                Some(_) => "  this client has no verified name, so the line does not count",
                None => "  it counts only if the client has a verified name; senders can be forged",
            });
        } else {
            self.line(&format!("{of}: no line matches"));
            self.add_near_addresses(&senders.files, sender, &|text| {
                Addresses::read([text]).0.find(sender.as_bytes()).is_some()
            });
        }
    }

    /// Lines that nearly match an address, and why they do not.
    fn add_near_addresses(
        &mut self,
        files: &Files,
        address: &str,
        matches: &dyn Fn(&[u8]) -> bool,
    ) {
        self.add_if_written_otherwise(files, matches);
        let local_part = address.split(['@', '+']).next().unwrap_or_default();
        for (place, content) in words(files) {
            // Without its keys.
            let content = content.split_ascii_whitespace().next().unwrap_or_default();
            if content.eq_ignore_ascii_case(local_part) {
                self.line(&format!(
                    "  {place}: `{content}` is a domain; a user at any domain is {content}@"
                ));
            }
            if is_at_subdomain(address, content) {
                self.line(&format!(
                    "  {place}: `{content}` is the user at exactly this domain, not at its subdomains"
                ));
            }
        }
        self.add_ends(
            files,
            address,
            "a domain matches from the @, or from a dot on",
        );
    }

    fn add_match(&mut self, files: &Files, of: &str, origin: Origin) {
        let (place, content) = (files.place(origin), files.content(origin));
        self.line(&format!("{of}: matched by {place}: `{content}`"));
    }

    /// Lines that would match if they were written as advised.
    fn add_if_written_otherwise(&mut self, files: &Files, matches: &dyn Fn(&[u8]) -> bool) {
        for finding in &files.findings {
            let Some(instead) = &finding.remark.instead else {
                continue;
            };
            if matches(instead.as_bytes()) {
                let it = files.place_and_content(finding);
                self.line(&format!("  {it} would match if it were written {instead}"));
            }
        }
    }

    /// Words that are the end of what was asked, but not where they would count.
    fn add_ends(&mut self, files: &Files, asked: &str, why: &str) {
        let asked = asked.to_ascii_lowercase();
        for (place, content) in words(files) {
            // What begins otherwise is told of already.
            let is_word = content.starts_with(|first: char| first.is_ascii_alphanumeric());
            let word = content.split_ascii_whitespace().next().unwrap_or_default();
            if is_word && asked.ends_with(&word.to_ascii_lowercase()) {
                self.line(&format!("  {place}: `{content}` is its end, but {why}"));
            }
        }
    }
}

/// Whether a recipient has the user of an address, and a subdomain of its domain.
fn is_at_subdomain(recipient: &str, address: &str) -> bool {
    let (recipient, address) = (recipient.to_ascii_lowercase(), address.to_ascii_lowercase());
    let (Some((local_part, domain)), Some((user, parent))) =
        (recipient.split_once('@'), address.split_once('@'))
    else {
        return false;
    };
    let is_user = local_part
        .strip_prefix(user)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('+'));
    let subdomain = domain.strip_suffix(parent).filter(|_| !parent.is_empty());
    is_user && subdomain.is_some_and(|before| before.ends_with('.'))
}

/// The lines of a list, with their places.
fn words(files: &Files) -> impl Iterator<Item = (String, String)> {
    files.texts.iter().zip(0..).flat_map(move |(text, file)| {
        text.lines().map(move |(line, content)| {
            let content = String::from_utf8_lossy(content).into_owned();
            (files.place(Origin { file, line }), content)
        })
    })
}
