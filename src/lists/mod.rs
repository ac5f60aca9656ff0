//! The files that lists are read from, and what is used where there are none.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::engine::access::{self, Addresses, Clients, Finding, Findings, Origin, Recipients};
use crate::engine::greylist::Rules;
use crate::engine::limits::LIST_LINE_SHOWN_BYTES_MAX;
use crate::engine::text::Printable;
use crate::engine::time::Seconds;

/// Largest list file that is read, in bytes; some hundred thousand lines.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Where the administrator's lists are looked for when no option names any.
const FOLDER: &str = "/etc/greylet";

/// What the names of lists begin with that are not files.
pub const BUILT_IN: &str = "built-in ";

/// Where the lists come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// Clients that are never greylisted.
    pub clients: Vec<Source>,
    /// Recipients whose mail is never greylisted, or otherwise than all.
    pub recipients: Vec<Source>,
    /// Senders whose mail is never greylisted.
    pub senders: Vec<Source>,
    /// Recipients whose mail is greylisted.
    pub greylisted: Vec<Source>,
    /// What the delays of recipients have to be shorter than.
    pub retry_window: Seconds,
}

/// The files that options name for each list; without one the defaults.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paths<'a> {
    /// `--whitelist-clients`
    pub clients: &'a [String],
    /// `--whitelist-recipients`
    pub recipients: &'a [String],
    /// `--whitelist-senders`
    pub senders: &'a [String],
    /// `--greylist-recipients`
    pub greylisted: &'a [String],
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    path: PathBuf,
    if_missing: IfMissing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IfMissing {
    Complain,
    Ignore,
    Use(&'static str),
}

impl Source {
    /// A file that is expected to be there, unless its name ends in `.local`: as in Postgrey such a one is a companion.
    pub fn named(path: impl Into<PathBuf>) -> Source {
        let path = path.into();
        let is_companion = path.as_os_str().as_bytes().ends_with(b".local");
        Source {
            path,
            if_missing: if is_companion {
                IfMissing::Ignore
            } else {
                IfMissing::Complain
            },
        }
    }

    /// A file of a folder with its companion, and what becomes of the list if there is none.
    fn defaults(folder: &Path, name: &str, if_missing: IfMissing) -> Vec<Source> {
        vec![
            Source {
                path: folder.join(name),
                if_missing,
            },
            Source {
                path: folder.join(format!("{name}.local")),
                if_missing: IfMissing::Ignore,
            },
        ]
    }

    /// Its text; none if it need not be there.
    fn read(&self) -> Result<Text, Problem> {
        match read_file(&self.path) {
            Ok(bytes) => Ok(Text {
                name: self.path.display().to_string(),
                bytes,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self.if_missing {
                IfMissing::Use(text) => Ok(Text {
                    name: format!(
                        "{BUILT_IN}{}",
                        self.path.file_name().unwrap_or_default().display()
                    ),
                    bytes: text.into(),
                }),
                IfMissing::Ignore => Ok(Text::default()),
                IfMissing::Complain => Err(self.problem(error)),
            },
            Err(error) => Err(self.problem(error)),
        }
    }

    fn problem(&self, error: io::Error) -> Problem {
        Problem {
            path: self.path.clone(),
            error,
        }
    }
}

/// A list file that cannot be read.
#[derive(Debug)]
pub struct Problem {
    path: PathBuf,
    error: io::Error,
}

impl Problem {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot read the list {}: {}",
            self.path.display(),
            self.error
        )
    }
}

/// What stands in a list file.
#[derive(Clone, Debug, Default)]
pub struct Text {
    /// The file's path, or where else it comes from.
    pub name: String,
    bytes: Vec<u8>,
}

impl Text {
    /// Its lines that say something, with their numbers.
    pub fn lines(&self) -> impl Iterator<Item = (u32, &[u8])> {
        access::lines(&self.bytes)
    }
}

/// A list, as far as it could be read.
pub struct Loaded<L> {
    /// The list.
    pub list: L,
    /// What there is to say of its files.
    pub files: Files,
}

/// The files of a list, of whatever kind.
pub struct Files {
    /// What the list was made of, in the order of the sources.
    pub texts: Vec<Text>,
    /// What is to be said of its lines: the first of a bounded number.
    pub findings: Vec<Finding>,
    /// How many more lines there are of which something is to be said.
    pub more_findings: usize,
    /// Files that could not be read; the list is made of the others.
    pub problems: Vec<Problem>,
}

impl Sources {
    /// Reads the list of clients.
    pub fn load_clients(&self) -> Loaded<Clients> {
        load(&self.clients, |texts| Clients::read(texts))
    }

    /// Reads the list of recipients.
    pub fn load_recipients(&self) -> Loaded<Recipients> {
        load(&self.recipients, |texts| {
            Recipients::read_within(self.retry_window, texts)
        })
    }

    /// Reads the list of senders.
    pub fn load_senders(&self) -> Loaded<Addresses> {
        load(&self.senders, |texts| Addresses::read(texts))
    }

    /// Reads the list of the recipients whose mail is greylisted.
    pub fn load_greylisted(&self) -> Loaded<Addresses> {
        load(&self.greylisted, |texts| Addresses::read(texts))
    }
}

impl Sources {
    /// Those that the options name, or else the defaults; with the retry window that is the default.
    pub fn new(paths: Paths<'_>) -> Sources {
        Sources::or_defaults_in(Path::new(FOLDER), paths)
    }

    fn or_defaults_in(folder: &Path, paths: Paths<'_>) -> Sources {
        let or_defaults = |paths: &[String], name, if_missing| match paths {
            [] => Source::defaults(folder, name, if_missing),
            paths => paths.iter().map(Source::named).collect(),
        };
        Sources {
            clients: or_defaults(
                paths.clients,
                "whitelist_clients",
                IfMissing::Use(include_str!("whitelist_clients")),
            ),
            recipients: or_defaults(
                paths.recipients,
                "whitelist_recipients",
                IfMissing::Use(include_str!("whitelist_recipients")),
            ),
            senders: or_defaults(paths.senders, "whitelist_senders", IfMissing::Ignore),
            greylisted: or_defaults(paths.greylisted, "greylist_recipients", IfMissing::Ignore),
            retry_window: Rules::default().retry_window,
        }
    }

    /// The paths of all files.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let lists = [
            &mut self.clients,
            &mut self.recipients,
            &mut self.senders,
            &mut self.greylisted,
        ];
        let sources = lists.into_iter().flatten();
        sources.map(|source| &mut source.path)
    }
}

impl Files {
    /// Whether any file was there, or should have been.
    pub fn has_files(&self) -> bool {
        let is_there = |text: &Text| !text.name.is_empty();
        self.texts.iter().any(is_there) || !self.problems.is_empty()
    }

    /// Where something stands, for people: `FILE line N`.
    pub fn place(&self, origin: Origin) -> String {
        let name = self
            .texts
            .get(usize::from(origin.file))
            .map_or("?", |text| &text.name);
        format!("{name} line {}", origin.line)
    }

    /// What stands on a line, in a length that can be shown.
    pub fn content(&self, origin: Origin) -> String {
        let text = self.texts.get(usize::from(origin.file));
        let line = text.and_then(|text| text.lines().find(|(line, _)| *line == origin.line));
        shown(line.map(|(_, content)| content).unwrap_or_default())
    }

    /// A finding, for people.
    pub fn describe(&self, finding: &Finding) -> String {
        format!("{} {}", self.place_and_content(finding), finding.remark)
    }

    /// Which line a finding is about, for people.
    pub fn place_and_content(&self, finding: &Finding) -> String {
        let place = self.place(finding.origin);
        format!("{place}: `{}`", shown(&finding.content))
    }
}

fn shown(bytes: &[u8]) -> String {
    let bytes_max = LIST_LINE_SHOWN_BYTES_MAX;
    Printable { bytes, bytes_max }.to_string()
}

fn load<L>(
    sources: &[Source],
    read: impl Fn(&mut dyn Iterator<Item = &[u8]>) -> (L, Findings),
) -> Loaded<L> {
    let mut problems = Vec::new();
    let texts: Vec<Text> = sources
        .iter()
        .filter_map(|source| source.read().map_err(|problem| problems.push(problem)).ok())
        .collect();
    let (list, findings) = read(&mut texts.iter().map(|text| &text.bytes[..]));
    let files = Files {
        texts,
        findings: findings.kept,
        more_findings: findings.more,
        problems,
    };
    Loaded { list, files }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // How some say that they want no list.
    if path == Path::new("/dev/null") {
        return Ok(Vec::new());
    }
    // Opening a pipe could wait for ever, and so could reading some of what the kernel calls a file.
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it is larger than 4 MiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty folder of this test's own, gone at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let name = format!("greylet-{name}-{}", std::process::id());
            let folder = Folder(std::env::temp_dir().join(name));
            std::fs::create_dir(&folder.0).expect("a new folder");
            folder
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.0.join(name), text).expect("a list");
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn default_files_and_their_companions() {
        let folder = Folder::new("default-lists");
        let load = || Sources::or_defaults_in(&folder.0, Paths::default()).load_clients();
        let has =
            |loaded: &Loaded<Clients>, name: &str| loaded.list.find_name(name.as_bytes()).is_some();
        let places = |loaded: &Loaded<Clients>| -> Vec<String> {
            loaded
                .files
                .texts
                .iter()
                .map(|text| text.name.clone())
                .collect()
        };
        let (file, companion) = ("whitelist_clients", "whitelist_clients.local");
        let path = |name| folder.0.join(name).display().to_string();

        let loaded = load();
        assert_eq!(places(&loaded), ["built-in whitelist_clients", ""]);
        assert!(loaded.files.problems.is_empty() && has(&loaded, "southwest.com"));

        folder.write(companion, "companion.example\n");
        let loaded = load();
        assert_eq!(
            places(&loaded),
            ["built-in whitelist_clients".to_owned(), path(companion)]
        );
        assert!(has(&loaded, "southwest.com") && has(&loaded, "companion.example"));

        folder.write(file, "file.example\n");
        let loaded = load();
        assert_eq!(places(&loaded), [path(file), path(companion)]);
        assert!(!has(&loaded, "southwest.com"));
        assert!(has(&loaded, "file.example") && has(&loaded, "companion.example"));

        folder.write("whitelist_recipients.local", "user@example.org\n");
        let sources = Sources::or_defaults_in(&folder.0, Paths::default());
        let recipients = sources.load_recipients();
        assert!(recipients.list.find(b"user@example.org").is_some());
        assert!(recipients.list.find(b"postmaster@example.org").is_some());

        // Of these there are no built-in ones.
        for loaded in [sources.load_senders(), sources.load_greylisted()] {
            assert!(loaded.list.is_empty() && loaded.files.problems.is_empty());
        }
        folder.write("whitelist_senders", "a@s.example\n");
        folder.write("greylist_recipients.local", "b@r.example\n");
        let (senders, greylisted) = (sources.load_senders(), sources.load_greylisted());
        assert!(senders.files.problems.is_empty() && senders.list.find(b"a@s.example").is_some());
        assert!(
            greylisted.files.problems.is_empty() && greylisted.list.find(b"b@r.example").is_some()
        );
    }

    #[test]
    fn a_named_companion_may_be_missing() {
        let folder = Folder::new("named-lists");
        let named = |name: &str| {
            let path = folder.0.join(name).display().to_string();
            let clients = &[path];
            let paths = Paths {
                clients,
                ..Paths::default()
            };
            Sources::or_defaults_in(&folder.0, paths).load_clients()
        };
        let loaded = named("my_clients.local");
        assert!(loaded.files.problems.is_empty() && loaded.list.is_empty());
        assert_eq!(named("my_clients").files.problems.len(), 1);
        folder.write("my_clients.local", "example.com\n");
        assert!(
            named("my_clients.local")
                .list
                .find_name(b"example.com")
                .is_some()
        );
    }

    /// Our own lists are beyond reproach, and each line says why it is there.
    #[test]
    fn built_in_lists() {
        let sources = Sources::new(Paths::default());
        assert_eq!(
            sources.clients[0].path,
            Path::new("/etc/greylet/whitelist_clients")
        );
        for (source, text) in [
            (&sources.clients[0], include_str!("whitelist_clients")),
            (&sources.recipients[0], include_str!("whitelist_recipients")),
        ] {
            assert_eq!(source.if_missing, IfMissing::Use(text));
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                let (_, reason) = line.split_once('#').expect("a reason");
                assert!(reason.contains("; 20") && reason.len() > 20, "{line}");
            }
        }
        let text = include_str!("whitelist_clients").as_bytes();
        let (clients, findings) = Clients::read([text]);
        assert!(
            clients.len() >= 8 && findings == Findings::default(),
            "{findings:?}"
        );
        let text = include_str!("whitelist_recipients").as_bytes();
        let (recipients, findings) = Recipients::read([text]);
        assert!(
            recipients.len() == 2 && findings == Findings::default(),
            "{findings:?}"
        );
    }
}
