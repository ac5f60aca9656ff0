//! `greylet report`: reads mail logs, in memory that is bounded, and says what was greylisted and never came back.

pub mod action;
pub mod dry_run;
pub mod input;
pub mod json;
pub mod ledger;
pub mod line;
pub mod people;
pub mod postfix;
pub mod summary;
pub mod time;
pub mod what_if;

use std::io::{self, BufWriter, ErrorKind, Write};
use std::process::ExitCode;
use std::rc::Rc;

use action::{Action, ActionLine, action_line};
use dry_run::DryRun;
use input::{Input, NextLine, STDIN};
use ledger::{Ledger, Limits};
use line::Line;
use postfix::PostfixLog;
use summary::{Lines, Source, Summary};
use time::Moment;

use crate::cli::Report;
use crate::engine::access::Clients;
use crate::error::Error;
use crate::lists::{Paths, Sources};

/// What greylisting says by default, Postgrey's and greylet's.
const GREYLIST_TEXT_DEFAULT: &str = "Greylisted";

/// Reasons for passes after which the mail may still be deferred.
const UNDECIDED: [&[u8]; 2] = [b"not RCPT", b"null sender before DATA"];

/// Reads and prints.
///
/// # Errors
///
/// The report cannot be written. A log that cannot be read is logged, and makes the exit status 1.
pub fn run(options: &Report) -> Result<ExitCode, Error> {
    let greylist_text = options
        .greylist_text
        .as_deref()
        .unwrap_or(GREYLIST_TEXT_DEFAULT);
    let names = match options.files.as_slice() {
        [] => &[STDIN.to_owned()],
        files => files,
    };
    let mut reading = Reading::new(greylist_text, load_lists());
    let mut inputs = open(names);
    let mut failures = names.len() - inputs.len();
    for input in &mut inputs {
        if let Err(error) = reading.read(input) {
            complain(&input.name, &error);
            failures += 1;
        }
    }
    let status = match failures {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    };
    if failures == names.len() && reading.lines.read == 0 {
        return Ok(status);
    }
    let summary = reading.summary(options.what_if);
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match options.json {
        true => json::write(&mut out, &summary),
        false => people::write(&mut out, &summary, greylist_text),
    };
    match written.and_then(|()| out.flush()) {
        // The reader has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(status),
        Err(error) => Err(Error::failure(format!(
            "cannot write to standard output: {error}"
        ))),
        Ok(()) => Ok(status),
    }
}

/// Opens the logs, the oldest first: `mail.log*` names the newest first.
fn open(names: &[String]) -> Vec<Input> {
    let mut inputs = Vec::new();
    for name in names {
        match Input::open(name) {
            Ok(input) => inputs.push(input),
            Err(error) => complain(name, &error),
        }
    }
    // What has no time yet (standard input is not read before its turn) leaves all as they were named.
    let begins: Option<Vec<i64>> = inputs.iter().map(Input::first_second).collect();
    if begins.is_some() {
        inputs.sort_by_cached_key(Input::first_second);
    }
    inputs
}

/// The lists that serve uses when none are named, from which the report takes the pools.
fn load_lists() -> Rc<Clients> {
    let loaded = Sources::new(Paths::default()).load_clients();
    for problem in &loaded.files.problems {
        log::warn!(target: "greylet", "{problem}; its pools are not known");
    }
    Rc::new(loaded.list)
}

fn complain(name: &str, error: &io::Error) {
    log::error!(target: "greylet", "cannot read {}: {error}", name.escape_debug());
}

/// What has been read so far.
pub struct Reading {
    lines: Lines,
    /// Of action lines.
    ledger: Ledger,
    /// Postfix's own lines; none as soon as there is an action line.
    postfix: Option<PostfixLog>,
    /// Action lines of a dry run, if there are any.
    dry_run: Option<DryRun>,
    /// For their pools.
    lists: Rc<Clients>,
}

impl Reading {
    /// Nothing yet. The lists say who is a pool.
    pub fn new(greylist_text: &str, lists: Rc<Clients>) -> Reading {
        Reading {
            lines: Lines::default(),
            ledger: Ledger::new(Limits::DEFAULT, Rc::clone(&lists)),
            postfix: Some(PostfixLog::new(greylist_text, Rc::clone(&lists))),
            dry_run: None,
            lists,
        }
    }

    /// Reads a log to its end.
    ///
    /// # Errors
    ///
    /// It cannot be read; what came before counts.
    pub fn read(&mut self, input: &mut Input) -> io::Result<()> {
        let mut calendar = input.calendar();
        let mut bytes = Vec::new();
        loop {
            match input.next_line(&mut bytes)? {
                NextLine::End => return Ok(()),
                NextLine::TooLong => self.lines.too_long += 1,
                NextLine::Line => {
                    let line = Line::new(&bytes);
                    let at = line.stamp.map(|stamp| calendar.moment(stamp));
                    self.read_line(&line, at);
                }
            }
            self.lines.read += 1;
        }
    }

    fn read_line(&mut self, line: &Line<'_>, at: Option<Moment>) {
        let seconds = |moment: Option<Moment>| moment.map(|moment| moment.seconds);
        if seconds(at) > seconds(self.lines.end) {
            self.lines.end = at;
        }
        if let Some(action_line) = action_line(line) {
            self.postfix = None;
            self.book(&action_line, at);
        } else if let Some(postfix) = &mut self.postfix {
            postfix.read(line, at);
        }
    }

    fn book(&mut self, line: &ActionLine<'_>, at: Option<Moment>) {
        // Nothing is decided: another SMTP command than RCPT was asked about (--verbose), or the decision is left to DATA.
        let is_decided = line.action == Action::Greylist || !UNDECIDED.contains(&line.reason);
        if line.is_repeated || !is_decided {
            return;
        }
        if line.is_dry_run {
            self.book_dry_run(line, at);
            return;
        }
        match line.action {
            Action::Greylist => self.ledger.defer(&line.mail, at),
            Action::Pass { delay } => {
                // It may not have waited at all, but have been seen in a dry run before.
                let dry_run = self.dry_run.as_mut();
                let has_waited = self.ledger.is_pending(&line.mail)
                    || !dry_run.is_some_and(|it| it.pass(&line.mail, line.reason, at));
                let delay = delay.filter(|_| has_waited);
                self.ledger.pass(&line.mail, line.reason, delay, at);
            }
        }
    }

    fn book_dry_run(&mut self, line: &ActionLine<'_>, at: Option<Moment>) {
        // What was deferred before the dry run has come back, and whatever is said of it, it was let in.
        if self.ledger.is_pending(&line.mail) {
            self.ledger.pass(&line.mail, line.reason, None, at);
        }
        let lists = &self.lists;
        let dry_run = self
            .dry_run
            .get_or_insert_with(|| DryRun::new(Rc::clone(lists)));
        dry_run.book(line, at);
    }

    /// What it comes to.
    pub fn summary(self, is_what_if_wanted: bool) -> Summary {
        let (source, ledger) = match self.postfix {
            None if self.ledger.is_empty() && self.dry_run.is_some() => (None, self.ledger),
            None => (Some(Source::ActionLines), self.ledger),
            Some(postfix) => {
                let source = match (postfix.ledger.is_empty(), postfix.has_deliveries) {
                    (true, _) => None,
                    (false, true) => Some(Source::Postfix),
                    (false, false) => Some(Source::PostfixRejects),
                };
                (source, postfix.ledger)
            }
        };
        let mut summary = Summary::new(source, ledger, self.lines, is_what_if_wanted);
        summary.dry_run = self.dry_run.map(DryRun::outcome);
        let outcome = summary.dry_run.as_ref();
        summary.counts.left_out += outcome.map_or(0, |outcome| outcome.left_out);
        summary
    }
}
