//! `greylet dump`: what is in a snapshot, and whether it is whole. Never the key.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::Dump;
use crate::commands::{print, serve};
use crate::daemon::read_snapshot as read;
use crate::engine::snapshot::{Block, Blocks, Condition, Found, Record, Survey, Unusable, VERSION};
use crate::engine::table::{Class, Entry};
use crate::engine::time::{Age, HeaderDate, Seconds, Timestamp};
use crate::engine::triplet::Fingerprint;
use crate::error::Error;

/// Reads, and prints. The exit status is 1 if the snapshot is damaged.
///
/// # Errors
///
/// There is no snapshot that can be read.
pub fn run(options: &Dump) -> Result<ExitCode, Error> {
    let path = path(options)?;
    let failed =
        |why: &dyn fmt::Display| Error::failure(format!("cannot dump {}: {why}", path.display()));
    let mut survey = Survey::new();
    read(&path, |bytes| survey.feed(bytes)).map_err(|error| failed(&error))?;
    let found = survey
        .finish()
        .map_err(|unusable| failed(&WhyUnusable(unusable)))?;
    let mut contents = Contents::default();
    let mut blocks = Blocks::new();
    read(&path, |bytes| {
        contents.feed(&mut blocks, bytes, false, found.latest)
    })
    .map_err(|error| failed(&error))?;
    contents.feed(&mut blocks, &[], true, found.latest);
    let dump = Described {
        path: &path,
        found: &found,
        entries: contents.by_class(),
        orders: contents.orders,
    };
    print(&if options.json {
        dump.json()
    } else {
        dump.to_string()
    })?;
    Ok(match is_whole(&found.condition) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn path(options: &Dump) -> Result<PathBuf, Error> {
    let default = || serve::default_folder().map(|folder| folder.join("snapshot"));
    let path = match &options.file {
        // A folder of --dbdir is as good.
        Some(path) if Path::new(path).is_dir() => Some(Path::new(path).join("snapshot")),
        Some(path) => Some(PathBuf::from(path)),
        None => default(),
    };
    path.ok_or_else(|| {
        Error::usage("there is no default folder: say which snapshot, or in which folder it is")
    })
}

fn is_whole(condition: &Condition) -> bool {
    condition.gaps == 0 && condition.bytes == condition.whole_bytes
}

struct WhyUnusable(Unusable);

impl fmt::Display for WhyUnusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Unusable::Empty => f.write_str("it is empty"),
            Unusable::Foreign => f.write_str("it is no snapshot of greylet's"),
            Unusable::KeyLost => f.write_str("it is damaged, and without its key of no use"),
            Unusable::OtherVersion(version) => {
                write!(
                    f,
                    "its format is {version}, and this greylet reads {VERSION}"
                )
            }
        }
    }
}

/// What the file says in the end; a later record of a fingerprint replaces an earlier one.
#[derive(Default)]
struct Contents {
    entries: HashMap<Fingerprint, Entry>,
    /// How many are allowed, and how many clients were forgotten.
    orders: (usize, usize),
}

impl Contents {
    fn feed(&mut self, blocks: &mut Blocks, mut bytes: &[u8], is_end: bool, at: Timestamp) {
        while let Some(block) = blocks.next(&mut bytes, is_end) {
            let records = match block {
                Block::Entries(records) => records,
                Block::Orders(orders) => {
                    self.orders = orders.count(at);
                    continue;
                }
                _ => continue,
            };
            for record in records {
                match record {
                    Record::Entry(fingerprint, entry) => {
                        self.entries.insert(fingerprint, entry);
                    }
                    Record::Removed(fingerprint) => {
                        self.entries.remove(&fingerprint);
                    }
                }
            }
        }
    }

    fn by_class(&self) -> Vec<OfClass> {
        let of_class = |class| {
            let entries = self.entries.values().filter(|entry| entry.class == class);
            let mut last_uses: Vec<Timestamp> =
                entries.clone().map(|entry| entry.last_seen).collect();
            last_uses.sort_unstable();
            OfClass {
                class,
                entries: last_uses.len(),
                counts: entries.filter(|entry| entry.count > 0).count(),
                last_uses,
            }
        };
        Class::ALL.into_iter().map(of_class).collect()
    }
}

/// The entries of one class.
struct OfClass {
    class: Class,
    entries: usize,
    /// How many of them are counts for the auto-whitelist.
    counts: usize,
    /// The oldest first.
    last_uses: Vec<Timestamp>,
}

impl OfClass {
    /// How long before the last save the newest, the middle and the oldest entry was used last.
    fn ages(&self, saved: Timestamp) -> Option<[Seconds; 3]> {
        let (oldest, newest) = (self.last_uses.first()?, self.last_uses.last()?);
        let middle = self.last_uses[self.entries / 2];
        Some([*newest, middle, *oldest].map(|last_use| saved.since(last_use)))
    }
}

struct Described<'a> {
    path: &'a Path,
    found: &'a Found,
    entries: Vec<OfClass>,
    orders: (usize, usize),
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Condition {
            blocks,
            gaps,
            first_gap,
            whole_bytes,
            bytes,
        } = self.found.condition;
        let entries: usize = self.entries.iter().map(|of_class| of_class.entries).sum();
        writeln!(
            f,
            "{}: {entries} entries, {bytes} bytes in {blocks} blocks",
            self.path.display()
        )?;
        match &self.found.moment {
            Some(moment) => {
                let unix_seconds = moment.wall_unix_seconds;
                writeln!(
                    f,
                    "saved last on {}, by the wall clock of then",
                    HeaderDate { unix_seconds }
                )?;
            }
            None => writeln!(f, "when it was saved last is not known")?,
        }
        match first_gap {
            Some(gap) => writeln!(
                f,
                "damaged in {gaps} places, the first at byte {gap}; the rest counts"
            )?,
            None if whole_bytes < bytes => writeln!(
                f,
                "the last save was cut short at byte {whole_bytes}; the rest counts"
            )?,
            None => writeln!(f, "not damaged")?,
        }
        let (allowed, forgotten) = self.orders;
        if self.orders != (0, 0) {
            writeln!(
                f,
                "orders: {allowed} allowed, {forgotten} clients forgotten"
            )?;
        }
        writeln!(
            f,
            "\n{:<9}{:>9}{:>9}   last used before the save: newest, middle, oldest",
            "class", "entries", "counts"
        )?;
        for of_class in &self.entries {
            write!(
                f,
                "{:<9}{:>9}{:>9}",
                of_class.class.name(),
                of_class.entries,
                of_class.counts
            )?;
            match of_class.ages(self.found.latest) {
                Some([newest, middle, oldest]) => {
                    writeln!(f, "   {}, {}, {}", Age(newest), Age(middle), Age(oldest))?
                }
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

impl Described<'_> {
    fn json(&self) -> String {
        let Condition {
            blocks,
            gaps,
            first_gap,
            whole_bytes,
            bytes,
        } = self.found.condition;
        let mut json = format!(
            "{{\"version\":{VERSION},\"bytes\":{bytes},\"whole_bytes\":{whole_bytes},\"blocks\":{blocks},\"gaps\":{gaps}"
        );
        let number =
            |number: Option<u64>| number.map_or("null".to_owned(), |number| number.to_string());
        let moment = self.found.moment.as_ref();
        for (name, value) in [
            ("first_gap", first_gap),
            (
                "saved_unix_seconds",
                moment.map(|moment| moment.wall_unix_seconds),
            ),
            (
                "saved_logical_seconds",
                Some(self.found.latest.unix().into()),
            ),
        ] {
            // A String takes all.
            let _ = write!(json, ",\"{name}\":{}", number(value));
        }
        let (allowed, forgotten) = self.orders;
        let _ = write!(
            json,
            ",\"allowed\":{allowed},\"clients_forgotten\":{forgotten},\"classes\":{{"
        );
        for (index, of_class) in self.entries.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let OfClass {
                entries, counts, ..
            } = of_class;
            let ages = of_class
                .ages(self.found.latest)
                .map(|ages| ages.map(|age| u64::from(age.get())));
            let [newest, middle, oldest] = match ages {
                Some(ages) => ages.map(|age| number(Some(age))),
                None => std::array::from_fn(|_| number(None)),
            };
            let _ = write!(
                json,
                "{comma}\"{}\":{{\"entries\":{entries},\"counts\":{counts},\"age_newest_seconds\":{newest},\"age_median_seconds\":{middle},\"age_oldest_seconds\":{oldest}}}",
                of_class.class.name()
            );
        }
        json.push_str("}}\n");
        json
    }
}
