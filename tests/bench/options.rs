//! The command line of the benchmark.

use std::path::PathBuf;
use std::str::FromStr;

use crate::server::Kind;

const HELP: &str = "\
cargo bench --bench load -- [OPTIONS]         requests/s, latency and CPU beside the limit server and an empty one of smol
cargo bench --bench load -- postfix [OPTIONS] what a real Postfix does in a second with each beside it; needs root and Postfix
cargo bench --bench load -- memory [OPTIONS]  resident memory idle, with connections, lists and full tables, and after a flood
cargo bench --bench load -- lists             what long lists of clients cost
cargo bench --bench load -- providers         what knowing clients by name gains, simulated
cargo bench --bench load -- flash             what is written to flash, and how long restarts take; needs strace
cargo bench --bench load -- floods            whom floods of spam delay, simulated

  --rounds N       rounds of which the medians are shown (default 5; 3 for postfix; about three minutes)
  --all            every workload with every number of connections, which takes twice as long
  --postgrey       measure an installed Postgrey too
  --requests N     memory: requests of the flood (default 10000000)
  --binary PATH    measure another build of greylet
  --static PATH    the static build that is measured too (default: what cross/build has made for this machine, if it has)
";

const ROUNDS_DEFAULT: u32 = 5;
const POSTFIX_ROUNDS_DEFAULT: u32 = 3;
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
    /// Speed of a Postfix that asks.
    Postfix,
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
    /// Rounds of the comparison, or of Postfix.
    pub(crate) rounds: u32,
    /// Whether every setting is compared.
    pub(crate) all: bool,
    /// Whether Postgrey is compared too.
    pub(crate) postgrey: bool,
    /// greylet's binary.
    pub(crate) binary: PathBuf,
    /// A static one, if there is one.
    pub(crate) static_binary: Option<PathBuf>,
    /// What was given, for the command in the head of the table.
    pub(crate) words: Vec<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            topic: Topic::Comparison,
            memory_requests: FLOOD_REQUESTS_DEFAULT,
            rounds: ROUNDS_DEFAULT,
            all: false,
            postgrey: false,
            binary: PathBuf::from(env!("CARGO_BIN_EXE_greylet")),
            static_binary: None,
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
        let (mut requests, mut rounds) = (None, None);
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
                "postfix" => options.topic = Topic::Postfix,
                "memory" => options.topic = Topic::Memory,
                "lists" => options.topic = Topic::Lists,
                "providers" => options.topic = Topic::Providers,
                "flash" => options.topic = Topic::Flash,
                "floods" => options.topic = Topic::Floods,
                "--postgrey" => options.postgrey = true,
                "--all" => options.all = true,
                "--rounds" => rounds = Some(number(name, &value()?)?),
                "--requests" => requests = Some(number(name, &value()?)?),
                "--binary" => options.binary = PathBuf::from(value()?),
                "--static" => options.static_binary = Some(PathBuf::from(value()?)),
                _ => {
                    return Err(format!(
                        "{word}: there is no such option; --help lists what there is"
                    ));
                }
            }
        }
        let topic = options.topic;
        let of_speed = topic == Topic::Comparison || topic == Topic::Postfix;
        if topic != Topic::Memory && requests.is_some() {
            return Err("--requests is for memory".to_owned());
        }
        if topic != Topic::Comparison && options.all {
            return Err("--all is for the comparison".to_owned());
        }
        if !of_speed && (options.postgrey || rounds.is_some()) {
            return Err(
                "--postgrey and --rounds are for the comparison and for postfix".to_owned(),
            );
        }
        options.memory_requests = requests.unwrap_or(options.memory_requests);
        options.rounds = rounds.unwrap_or(match topic {
            Topic::Postfix => POSTFIX_ROUNDS_DEFAULT,
            _ => ROUNDS_DEFAULT,
        });
        options.static_binary = options.static_binary.or_else(static_build);
        Ok(Mode::Measure(options))
    }

    /// The builds of greylet, with these options.
    pub(crate) fn greylets(&self, options: &[&str]) -> Vec<Kind> {
        let builds = [
            ("greylet", Some(&self.binary)),
            ("greylet, static", self.static_binary.as_ref()),
        ];
        let kind = |(name, binary): (_, Option<&PathBuf>)| {
            Some(Kind::Greylet {
                name,
                binary: binary?.clone(),
                options: options.iter().map(|&it| it.to_owned()).collect(),
            })
        };
        builds.into_iter().filter_map(kind).collect()
    }
}

/// What cross/build has made for this machine.
fn static_build() -> Option<PathBuf> {
    let name = format!(
        "greylet-{}-{}-unknown-linux-musl",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH
    );
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("target/dist")
        .join(name);
    path.exists().then_some(path)
}

fn number<T: FromStr + PartialOrd + From<u8>>(name: &str, digits: &str) -> Result<T, String> {
    digits
        .parse()
        .ok()
        .filter(|number| *number >= T::from(1))
        .ok_or_else(|| format!("{name}={digits}: not a whole number from 1"))
}
