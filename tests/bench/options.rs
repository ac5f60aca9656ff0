//! The command line of the benchmark.

use std::path::PathBuf;
use std::str::FromStr;

const HELP: &str = "\
cargo bench --bench load -- [OPTIONS]         requests/s, latency and CPU beside the limit server and an empty one of smol
cargo bench --bench load -- memory [OPTIONS]  resident memory idle, with a full table and after a flood
cargo bench --bench load -- lists             what long lists of clients cost
cargo bench --bench load -- providers         what knowing clients by name gains, simulated
cargo bench --bench load -- flash             what is written to flash, and how long restarts take; needs strace
cargo bench --bench load -- floods            whom floods of spam delay, simulated

  --rounds N       rounds of which the medians are shown (default 5, about three minutes)
  --postgrey       measure an installed Postgrey too
  --requests N     memory: requests of the flood (default 10000000)
  --binary PATH    measure another build of greylet
";

const ROUNDS_DEFAULT: u32 = 5;
const FLOOD_REQUESTS_DEFAULT: u64 = 10_000_000;

/// What to do.
#[derive(Debug)]
pub(crate) enum Mode {
    /// Print this, and that is all.
    Help(String),
    /// Measure.
    Measure(Options),
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// Speed, beside others.
    Comparison,
    /// Memory, before and after a flood.
    Memory,
    /// Long lists.
    Lists,
    /// Knowing clients by name.
    Providers,
    /// What is written to flash.
    Flash,
    /// Floods of spam.
    Floods,
}

/// What to measure, and how.
#[derive(Debug)]
pub(crate) struct Options {
    /// What is measured.
    pub(crate) topic: Topic,
    /// Requests of the flood.
    pub(crate) memory_requests: u64,
    /// Rounds of the comparison.
    pub(crate) rounds: u32,
    /// Whether Postgrey is compared too.
    pub(crate) postgrey: bool,
    /// greylet's binary.
    pub(crate) binary: PathBuf,
    /// What was given, for the command in the head of the table.
    pub(crate) words: Vec<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            topic: Topic::Comparison,
            memory_requests: FLOOD_REQUESTS_DEFAULT,
            rounds: ROUNDS_DEFAULT,
            postgrey: false,
            binary: PathBuf::from(env!("CARGO_BIN_EXE_greylet")),
            words: Vec::new(),
        }
    }
}

impl Options {
    /// Reads the words after the program's name, `--bench` left out.
    ///
    /// # Errors
    ///
    /// The first word that is wrong.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Mode, String> {
        let words: Vec<String> = words.collect();
        let mut options = Options {
            words: words.clone(),
            ..Options::default()
        };
        let mut requests = None;
        let mut rest = words.into_iter();
        while let Some(word) = rest.next() {
            let (name, mut value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            let mut value = || {
                value
                    .take()
                    .or_else(|| rest.next())
                    .ok_or_else(|| format!("{name} needs a value"))
            };
            match name {
                "-h" | "--help" => return Ok(Mode::Help(HELP.to_owned())),
                "memory" => options.topic = Topic::Memory,
                "lists" => options.topic = Topic::Lists,
                "providers" => options.topic = Topic::Providers,
                "flash" => options.topic = Topic::Flash,
                "floods" => options.topic = Topic::Floods,
                "--postgrey" => options.postgrey = true,
                "--rounds" => options.rounds = number(name, &value()?)?,
                "--requests" => requests = Some(number(name, &value()?)?),
                "--binary" => options.binary = PathBuf::from(value()?),
                _ => {
                    return Err(format!(
                        "{word}: there is no such option; --help lists what there is"
                    ));
                }
            }
        }
        if options.topic != Topic::Memory && requests.is_some() {
            return Err("--requests is for memory".to_owned());
        }
        if options.topic != Topic::Comparison && options.postgrey {
            return Err("only the comparison is of Postgrey, too".to_owned());
        }
        options.memory_requests = requests.unwrap_or(options.memory_requests);
        Ok(Mode::Measure(options))
    }
}

fn number<T: FromStr + PartialOrd + From<u8>>(name: &str, digits: &str) -> Result<T, String> {
    digits
        .parse()
        .ok()
        .filter(|number| *number >= T::from(1))
        .ok_or_else(|| format!("{name}={digits}: not a whole number from 1"))
}
