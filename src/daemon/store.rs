//! The snapshot's file: how it is read at the start, and written so that a power cut at any moment leaves the old one or the new one.
//!
//! A full save goes into a file of its own, which takes the old one's place when all of it is on the flash; a batch is appended, and what of it is
//! on the flash after a power cut is known by its checksums. A file that is damaged, or not ours, is kept under another name, three at most.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use heapless::Vec;
use nix::fcntl::OFlag;
use smol::channel::Receiver;

use crate::daemon::clock::Clock;
use crate::daemon::folder::{Folder, give_to_owner};
use crate::engine::Engine;
use crate::engine::growth::Growth;
use crate::engine::limits::BLOCK_BYTES_MAX;
use crate::engine::snapshot::{Extent, Found, Survey, Unusable};

/// A block on its way to the file.
pub(super) type Block = Vec<u8, BLOCK_BYTES_MAX>;

/// What a save hands to whoever writes it.
pub(super) enum Piece {
    Block(Box<Block>),
    /// That was all; without this, nothing comes of it.
    End,
}

/// How much is read at a time.
const READ_BYTES: usize = 65_536;

/// How much is given up where a file cannot be read.
const SKIPPED_BYTES: u64 = 4_096;

/// Damaged files that are kept.
const DAMAGED_MAX: u32 = 3;

/// See the [module](self).
pub(super) struct Store {
    folder: Folder,
    /// What is in the file; none if that is not known, or something that nothing may be appended to.
    growth: Option<Growth>,
    /// That of the time when the save began that is being written.
    growth_before: Option<Growth>,
    /// What is in the file has yet to be kept under another name.
    aside_due: Option<SetAside>,
    is_behind: bool,
    /// The file has pending entries of an earlier run, which must not get lost with it.
    has_pending_of_before: bool,
    has_failed: bool,
    thread: Option<JoinHandle<()>>,
}

/// What has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// Now.
    pub(super) bytes: u64,
    /// The whole file.
    pub(super) file_bytes: u64,
}

impl Store {
    pub(super) fn new(folder: Folder) -> Store {
        Store {
            folder,
            growth: None,
            growth_before: None,
            aside_due: None,
            is_behind: false,
            has_pending_of_before: false,
            has_failed: false,
            thread: None,
        }
    }

    /// Where it is kept.
    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Looks at the file; none if there is none that can be used, which is then out of the way.
    pub(super) fn survey(&mut self) -> Option<Found> {
        let path = self.path();
        let mut survey = Survey::new();
        let outcome = read(&path, |bytes| survey.feed(bytes));
        if let Err(error) = &outcome
            && error.kind() == ErrorKind::NotFound
        {
            log::info!(
                "no snapshot in {}: nothing is known yet",
                self.folder.path().display()
            );
            return None;
        }
        let why = match (survey.finish(), outcome) {
            // What could not be read now cannot be read later either, and is told of then.
            (Ok(found), _) => return Some(found),
            (Err(_), Err(error)) => format!("cannot be read: {error}"),
            (Err(unusable), Ok(())) => describe(unusable),
        };
        match self.set_aside(SetAside::Rename) {
            Ok(aside) => log::error!(
                "{} {why}; it is kept as {}, and nothing is known",
                path.display(),
                aside.display()
            ),
            Err(error) => log::error!(
                "{} {why}, and cannot be renamed: {error}; nothing is known",
                path.display()
            ),
        }
        None
    }

    /// Loads what was found.
    pub(super) fn load(&mut self, found: &Found, engine: &mut Engine<'_>, clock: &Clock) {
        let path = self.path();
        let is_same_boot = found
            .moment
            .as_ref()
            .is_some_and(|moment| clock.is_same_boot(moment));
        let mut loader = engine.loader(found, clock.now(), is_same_boot);
        let outcome = read(&path, |bytes| loader.feed(bytes));
        let left_out = loader.finish();
        if let Err(error) = &outcome {
            log::error!(
                "cannot read {} any further: {error}; what was read before is used",
                path.display()
            );
        }
        if left_out > 0 {
            log::warn!(
                "{left_out} entries of {} found no room: raise --max-entries",
                path.display()
            );
        }
        self.is_behind = true;
        self.has_pending_of_before = true;
        let blocks = &found.condition;
        let torn_bytes = blocks.bytes - blocks.whole_bytes;
        if blocks.first_gap.is_some() || outcome.is_err() {
            let aside = match self.set_aside(SetAside::Copy) {
                Ok(aside) => format!("a copy is kept as {}", aside.display()),
                Err(error) => format!("a copy cannot be kept: {error}"),
            };
            let gap = blocks.first_gap.unwrap_or(blocks.whole_bytes);
            log::error!(
                "{} is damaged in {} places, the first at byte {gap}; what is whole is used, and {aside}",
                path.display(),
                blocks.gaps.max(1)
            );
        } else if torn_bytes > 0 {
            log::warn!(
                "the last save to {} was cut short; what there is of it is used",
                path.display()
            );
        } else if outcome.is_ok() && !is_same_boot {
            // Pending entries keep the age that they had at the last save, which a batch would make another one.
            self.is_behind = false;
        } else if outcome.is_ok() {
            self.is_behind = false;
            self.growth = Growth::of(found);
        }
        log::info!("{} entries from {}", engine.table().len(), path.display());
    }

    /// Whether a save is due even if nothing has changed: the file is damaged, or a save has failed.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Whether the file has pending entries of an earlier run, which a full save has to take over.
    pub(super) fn has_pending_of_before(&self) -> bool {
        self.has_pending_of_before
    }

    /// What the next save is to hold, all of it if that is needed, and who writes it, on whatever thread. Waits for the thread of one that was broken off.
    pub(super) fn begin(&mut self, is_full_needed: bool) -> (Extent, Writer) {
        if let Some(thread) = self.thread.take() {
            // How it ended does not matter: it wrote nothing that counts, or all of it.
            let _ = thread.join();
        }
        if let Some(how) = self.aside_due {
            // If it fails again, the save is worth more than a damaged file.
            let _ = self.set_aside(how);
            self.aside_due = None;
            self.growth = None;
        }
        // If the save is broken off, the engine takes for saved what is not.
        self.growth_before = self.growth.take();
        self.is_behind = true;
        let appended = self
            .growth_before
            .filter(|it| !is_full_needed && it.next_extent() == Extent::Batch);
        let writer = Writer {
            path: self.path(),
            append_at: appended.map(Growth::bytes),
        };
        let extent = appended.map_or(Extent::Full, |_| Extent::Batch);
        (extent, writer)
    }

    /// The thread that writes the save.
    pub(super) fn set_thread(&mut self, thread: JoinHandle<()>) {
        self.thread = Some(thread);
    }

    /// Takes note of what has become of a save.
    pub(super) fn end(&mut self, extent: Extent, outcome: &io::Result<Written>) {
        let Ok(written) = outcome else {
            return;
        };
        self.is_behind = false;
        self.has_pending_of_before &= extent == Extent::Batch;
        self.growth = Some(match self.growth_before {
            Some(before) => before.after(extent, written.bytes),
            None => Growth::from_full(written.bytes),
        });
    }

    /// Says how a save went: what was asked for always, otherwise only what is another story than before.
    pub(super) fn tell(&mut self, outcome: &io::Result<Written>, is_wanted: bool) {
        let path = self.path();
        let path = path.display();
        let is_news = is_news(is_wanted, self.has_failed, outcome.is_err());
        match outcome {
            Ok(Written { bytes, file_bytes }) if is_news => {
                log::info!("saved to {path}: {bytes} bytes of {file_bytes}");
            }
            Ok(Written { bytes, file_bytes }) => {
                log::debug!("saved to {path}: {bytes} bytes of {file_bytes}")
            }
            Err(error) if is_news => {
                log::error!(
                    "cannot save to {path}: {error}; what was saved before is left as it is, and the next try will be soon"
                );
            }
            Err(_) => {}
        }
        self.has_failed = outcome.is_err();
    }

    fn path(&self) -> PathBuf {
        self.folder.file("snapshot")
    }

    /// Keeps the file under another name; the oldest of those goes.
    fn set_aside(&mut self, how: SetAside) -> io::Result<PathBuf> {
        self.aside_due = Some(how);
        let name = |number: u32| self.folder.file(&format!("snapshot.damaged.{number}"));
        let new = self.folder.file("snapshot.damaged.new");
        match how {
            SetAside::Rename => fs::rename(self.path(), &new)?,
            // Until there is a new one, it is the best there is.
            SetAside::Copy => copy(&self.path(), &new)?,
        }
        for number in (1..DAMAGED_MAX).rev() {
            ignore_not_found(fs::rename(name(number), name(number + 1)))?;
        }
        fs::rename(&new, name(1))?;
        self.aside_due = None;
        Ok(name(1))
    }
}

#[derive(Clone, Copy)]
enum SetAside {
    Rename,
    Copy,
}

/// A second name for a file if it may have one, or else as much of it as can be read.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    ignore_not_found(fs::remove_file(to))?;
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    let mut new = Disk.create(to)?;
    let mut written = Ok(());
    let was_read = read(from, |bytes| {
        if written.is_ok() {
            written = new.write_all(bytes);
        }
    });
    // What cannot be read is no reason to have nothing.
    let _ = was_read;
    written
}

/// Whether a save was asked for, or is another story than the one before.
fn is_news(is_wanted: bool, had_failed: bool, has_failed: bool) -> bool {
    is_wanted || had_failed != has_failed
}

fn describe(unusable: Unusable) -> String {
    match unusable {
        Unusable::Empty => "is empty".to_owned(),
        Unusable::Foreign => "is no snapshot of greylet's".to_owned(),
        Unusable::KeyLost => "is damaged, and without its key of no use".to_owned(),
        Unusable::OtherVersion(version) => {
            format!("is of another greylet: its format is {version}")
        }
    }
}

fn ignore_not_found(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Reads a file to its end, over places that cannot be read; then the first such error is given.
///
/// # Errors
///
/// It is not there, not a file, or cannot be read, at least not as a whole.
pub fn read(path: &Path, mut feed: impl FnMut(&[u8])) -> io::Result<()> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut options = OpenOptions::new();
    let mut file = options.read(true).custom_flags(flags.bits()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut buffer = vec![0; READ_BYTES];
    let (mut offset, mut outcome) = (0, Ok(()));
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return outcome,
            Ok(bytes) => {
                feed(&buffer[..bytes]);
                offset += bytes as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                outcome = outcome.and(Err(error));
                // The next page; what is fed then begins in the middle of a block, and is found.
                offset = (offset / SKIPPED_BYTES + 1) * SKIPPED_BYTES;
                if offset >= metadata.len() {
                    return outcome;
                }
                file.seek(SeekFrom::Start(offset))?;
            }
        }
    }
}

/// Writes one save.
pub(super) struct Writer {
    path: PathBuf,
    append_at: Option<u64>,
}

impl Writer {
    /// Writes what comes. Waits for the disk, as long as that takes.
    pub(super) fn write(&self, pieces: &Receiver<Piece>) -> io::Result<Written> {
        let pieces = || {
            pieces
                .recv_blocking()
                .map_err(|_| io::Error::from(ErrorKind::Interrupted))
        };
        self.write_pieces(pieces)
    }

    /// The same, from whoever makes the pieces.
    pub(super) fn write_pieces(
        &self,
        pieces: impl FnMut() -> io::Result<Piece>,
    ) -> io::Result<Written> {
        self.write_to(&Disk, pieces)
    }

    fn write_to(
        &self,
        files: &impl Files,
        pieces: impl FnMut() -> io::Result<Piece>,
    ) -> io::Result<Written> {
        match self.append_at {
            Some(offset) => self.append(files, offset, pieces),
            None => self.replace(files, pieces),
        }
    }

    fn append(
        &self,
        files: &impl Files,
        offset: u64,
        mut pieces: impl FnMut() -> io::Result<Piece>,
    ) -> io::Result<Written> {
        let mut file = files.open(&self.path)?;
        if files.length(&file)? != offset {
            return Err(io::Error::other("it is not as we have left it"));
        }
        file.seek(SeekFrom::Start(offset))?;
        let written = write_all(files, &mut file, &mut pieces).and_then(|bytes| {
            files.sync(&file)?;
            Ok(bytes)
        });
        match written {
            Ok(bytes) => Ok(Written {
                bytes,
                file_bytes: offset + bytes,
            }),
            Err(error) => {
                // If this fails too, the next start finds what is whole.
                let _ = files.cut(&file, offset);
                Err(error)
            }
        }
    }

    fn replace(
        &self,
        files: &impl Files,
        mut pieces: impl FnMut() -> io::Result<Piece>,
    ) -> io::Result<Written> {
        let new = self.path.with_file_name("snapshot.new");
        let mut replaced = || -> io::Result<u64> {
            let mut file = files.create(&new)?;
            let bytes = write_all(files, &mut file, &mut pieces)?;
            files.sync(&file)?;
            files.rename(&new, &self.path)?;
            Ok(bytes)
        };
        match replaced() {
            Ok(bytes) => {
                if let Some(folder) = self.path.parent() {
                    files.sync_folder(folder)?;
                }
                Ok(Written {
                    bytes,
                    file_bytes: bytes,
                })
            }
            Err(error) => {
                let _ = files.remove(&new);
                Err(error)
            }
        }
    }
}

fn write_all(
    files: &impl Files,
    file: &mut File,
    pieces: &mut impl FnMut() -> io::Result<Piece>,
) -> io::Result<u64> {
    let mut bytes = 0;
    loop {
        match pieces()? {
            Piece::Block(block) => {
                files.write(file, &block)?;
                bytes += block.len() as u64;
            }
            Piece::End => return Ok(bytes),
        }
    }
}

/// What is done with files, so that a test can have each step fail.
trait Files {
    fn create(&self, path: &Path) -> io::Result<File>;
    fn open(&self, path: &Path) -> io::Result<File>;
    fn length(&self, file: &File) -> io::Result<u64>;
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()>;
    fn sync(&self, file: &File) -> io::Result<()>;
    fn cut(&self, file: &File, length: u64) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// The real ones.
struct Disk;

impl Files for Disk {
    fn create(&self, path: &Path) -> io::Result<File> {
        // Of a save that was cut short, or of somebody who wants us to write elsewhere.
        ignore_not_found(fs::remove_file(path))?;
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        if let Some(folder) = path.parent() {
            give_to_owner(&file, folder)?;
        }
        Ok(file)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        // Somebody may have put a pipe there, whose reader would be waited for, even by the end.
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(flags.bits()).open(path)
    }

    fn length(&self, file: &File) -> io::Result<u64> {
        Ok(file.metadata()?.len())
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Files of which one step fails, and with `is_power_cut` all that follow; half of what the failing step was to write is written.
    struct Faulty {
        steps_left: Cell<i32>,
        is_power_cut: bool,
    }

    impl Faulty {
        fn step(&self) -> io::Result<()> {
            self.steps_left.set(self.steps_left.get() - 1);
            match self.steps_left.get() {
                -1 => Err(ErrorKind::StorageFull.into()),
                ..-1 if self.is_power_cut => Err(ErrorKind::StorageFull.into()),
                _ => Ok(()),
            }
        }
    }

    impl Files for Faulty {
        fn create(&self, path: &Path) -> io::Result<File> {
            self.step().and_then(|()| Disk.create(path))
        }

        fn open(&self, path: &Path) -> io::Result<File> {
            self.step().and_then(|()| Disk.open(path))
        }

        fn length(&self, file: &File) -> io::Result<u64> {
            self.step().and_then(|()| Disk.length(file))
        }

        fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
            if let Err(error) = self.step() {
                if self.steps_left.get() == -1 {
                    Disk.write(file, &bytes[..bytes.len() / 2])?;
                }
                return Err(error);
            }
            Disk.write(file, bytes)
        }

        fn sync(&self, file: &File) -> io::Result<()> {
            self.step().and_then(|()| Disk.sync(file))
        }

        fn cut(&self, file: &File, length: u64) -> io::Result<()> {
            self.step().and_then(|()| Disk.cut(file, length))
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.step().and_then(|()| Disk.rename(from, to))
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            self.step().and_then(|()| Disk.remove(path))
        }

        fn sync_folder(&self, path: &Path) -> io::Result<()> {
            self.step().and_then(|()| Disk.sync_folder(path))
        }
    }

    /// A folder of the test's own, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("greylet-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).expect("a scratch folder");
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn block(bytes: &[u8]) -> Piece {
        Piece::Block(Box::new(Block::from_slice(bytes).expect("it fits")))
    }

    fn three_blocks() -> impl FnMut() -> io::Result<Piece> {
        let mut pieces = vec![Piece::End, block(b"33"), block(b"2222"), block(b"111111")];
        move || Ok(pieces.pop().expect("nobody reads on behind the end"))
    }

    /// Has each step of a write fail in turn, until none does any more.
    fn with_each_fault(name: &str, append_at: Option<u64>, check: impl Fn(&Path, bool, bool)) {
        for is_power_cut in [false, true] {
            for step in 0.. {
                let scratch = Scratch::new(name);
                let path = scratch.0.join("snapshot");
                fs::write(&path, "old").expect("a file");
                let files = Faulty {
                    steps_left: Cell::new(step),
                    is_power_cut,
                };
                let writer = Writer {
                    path: path.clone(),
                    append_at,
                };
                let outcome = writer.write_to(&files, three_blocks());
                check(&path, outcome.is_ok(), is_power_cut);
                if files.steps_left.get() >= 0 {
                    assert!(outcome.is_ok() && step > 4);
                    break;
                }
            }
        }
    }

    #[test]
    fn a_full_save_is_there_or_is_not() {
        with_each_fault("storefull", None, |path, is_ok, is_power_cut| {
            let text = fs::read_to_string(path).expect("it is there");
            match is_ok {
                true => assert_eq!(text, "111111222233"),
                // The folder may not be on the flash yet, but all of the file is.
                false => assert!(["old", "111111222233"].contains(&&text[..]), "{text}"),
            }
            let is_left_over = path.with_file_name("snapshot.new").exists();
            assert!(is_power_cut || !is_left_over);
        });
    }

    #[test]
    fn a_batch_leaves_what_was_there() {
        with_each_fault("storebatch", Some(3), |path, is_ok, is_power_cut| {
            let text = fs::read_to_string(path).expect("it is there");
            match is_ok {
                true => assert_eq!(text, "old111111222233"),
                // What is behind it has checksums.
                false if is_power_cut => {
                    assert!("old111111222233".starts_with(&text) && text.len() >= 3)
                }
                false => assert_eq!(text, "old"),
            }
        });
    }

    #[test]
    fn what_is_not_as_we_left_it_is_not_appended_to() {
        let scratch = Scratch::new("storeother");
        let path = scratch.0.join("snapshot");
        fs::write(&path, "other").expect("a file");
        let writer = Writer {
            path: path.clone(),
            append_at: Some(3),
        };
        assert!(writer.write_pieces(three_blocks()).is_err());
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "other");
    }

    #[test]
    fn a_failure_is_told_of_once() {
        let outcomes = [false, true, true, true, false, false];
        let told = outcomes
            .windows(2)
            .map(|pair| is_news(false, pair[0], pair[1]));
        assert_eq!(
            told.collect::<std::vec::Vec<_>>(),
            [true, false, false, true, false]
        );
        assert!(is_news(true, true, true) && is_news(true, false, false));
    }

    /// When the daemon ends in the middle of a save, its sender goes.
    #[test]
    fn a_save_that_is_broken_off_leaves_nothing() {
        let scratch = Scratch::new("storebroken");
        let path = scratch.0.join("snapshot");
        fs::write(&path, "old").expect("a file");
        for append_at in [None, Some(3)] {
            let (sender, receiver) = smol::channel::unbounded();
            sender
                .try_send(block(b"new"))
                .unwrap_or_else(|_| panic!("it has room"));
            drop(sender);
            let writer = Writer {
                path: path.clone(),
                append_at,
            };
            assert!(writer.write(&receiver).is_err());
            assert_eq!(fs::read_to_string(&path).expect("it is there"), "old");
        }
        assert_eq!(fs::read_dir(&scratch.0).expect("a folder").count(), 1);
    }
}
