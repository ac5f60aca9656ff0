//! greylet under load, beside the fastest server that could be in its place and, if wanted, Postgrey.
//!
//! `cargo bench --bench load` compares requests/s, latency and CPU per request; `cargo bench --bench load -- postfix` does so for what a real Postfix
//! does with it, `-- memory` shows what connections, lists, entries and a flood do to greylet's memory, `-- lists` what long lists cost, `-- providers`
//! what knowing clients by name gains, `-- flash` what is written to flash and when, `-- floods` whom spam in numbers delays; `-- --help` lists the options. All print
//! Markdown, need nothing but loopback and clean up behind themselves. `cargo test --all-targets` only tries whether comparison and simulation still run.
//!
//! | module | what it is |
//! |---|---|
//! | [`options`] | the command line |
//! | [`comparison`], [`through_postfix`], [`memory`], [`lists`], [`providers`], [`flash`], [`floods`] | the modes: what is measured, and the table of it |
//! | [`workload`], [`table`] | what is asked in the comparison, and how its figures are shown |
//! | [`server`], [`address`] | a server as a child process, and where it listens |
//! | [`limit`] | the fastest server there could be |
//! | [`smol_server`] | an empty server of smol |
//! | [`client`], [`flood`] | who asks: like Postfix, or as fast as possible |
//! | [`request`] | what is asked |
//! | [`cores`] | which core runs what |
//! | [`process`], [`machine`], [`others`] | what /proc says |
//! | [`siege`], [`simulated`] | a flood, and an engine to which it comes |
//! | [`system_calls`] | what strace counts |
//! | [`postfix`], [`support`] | a private Postfix, as the tests have it |
//! | [`random`] | choices that follow from a seed |
//! | [`scratch`] | a folder for the time being |

mod address;
mod client;
mod comparison;
mod cores;
mod flash;
mod flood;
mod floods;
mod limit;
mod lists;
mod machine;
mod memory;
mod options;
mod others;
#[allow(dead_code, reason = "the tests read its log and its mail, too")]
#[path = "../postfix/postfix.rs"]
mod postfix;
mod process;
mod providers;
#[path = "../postgrey/random.rs"]
mod random;
mod request;
mod scratch;
mod server;
#[path = "../floods/siege.rs"]
#[allow(dead_code)]
mod siege;
#[path = "../floods/simulated.rs"]
mod simulated;
mod smol_server;
#[path = "../support/mod.rs"]
mod support;
mod system_calls;
mod table;
mod through_postfix;
mod workload;

use std::io::Write;
use std::process::ExitCode;

use crate::comparison::Plan;
use crate::cores::Cores;
use crate::options::{Mode, Options, Topic};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("load: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<(), String> {
    if let [first, address] = words
        && first == limit::ARGUMENT
    {
        return limit::serve(address);
    }
    if let [first, address] = words
        && first == smol_server::ARGUMENT
    {
        return smol_server::serve(address);
    }
    let cores = Cores::find();
    // cargo bench says that it is one, cargo test says nothing.
    let is_bench = words.iter().any(|word| word == "--bench");
    if !is_bench {
        return try_out(words, cores);
    }
    let words = words.iter().filter(|word| *word != "--bench");
    let options = match Options::parse(words.cloned())? {
        Mode::Help(text) => return print(&text),
        Mode::Measure(options) => options,
    };
    let head = machine::describe(&options)?;
    let table = match options.topic {
        Topic::Comparison => {
            comparison::measure(&options, cores, &Plan::of_rounds(options.rounds))?
        }
        Topic::Postfix => through_postfix::measure(&options, cores)?,
        Topic::Memory => memory::measure(&options, cores)?,
        Topic::Lists => lists::measure(&options, cores)?,
        Topic::Providers => providers::measure(providers::GATEWAYS),
        Topic::Flash => flash::measure(&options)?,
        Topic::Floods => floods::measure(),
    };
    print(&format!("{head}\n{table}"))
}

/// What `cargo test` gets: comparison and simulation in a fraction of a second, without their figures. Test runners that ask for a list of
/// tests, or for one by name, get nothing.
fn try_out(words: &[String], cores: Cores) -> Result<(), String> {
    if words.is_empty() {
        comparison::measure(&Options::default(), cores, &Plan::TRIAL)?;
        providers::measure(1);
    }
    print("load: only tried out; `cargo bench --bench load` measures\n")
}

fn print(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))
}
