//! --dbdir: the folder with what must not be forgotten. One greylet at a time has it: it holds a lock on a file in it, in which stands its process
//! id. The number is for people; the lock ends with the process.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown, fchown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, umask};
use nix::unistd::geteuid;

use crate::daemon::RunAs;
use crate::daemon::lock::Lock;
use crate::error::Error;

/// Which folder is to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderChoice {
    /// Its path, absolute.
    pub path: PathBuf,
    /// Whether somebody has asked for it; otherwise greylet can do without.
    pub is_given: bool,
}

impl FolderChoice {
    /// Makes the folder if it is not there, and gives it to the user who will need it.
    ///
    /// # Errors
    ///
    /// It was asked for, and cannot be made.
    pub fn make(&self, owner: Option<RunAs>) -> Result<(), Error> {
        let made = make(&self.path, owner);
        made.or_else(|error| self.is_unusable(&error))
    }

    /// Whether a path is that of a file which is, or will be, in the folder.
    fn has(&self, path: &Path) -> bool {
        let folder_of = |path: &Path| match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => fs::canonicalize(parent),
            _ => fs::canonicalize("."),
        };
        let name = path.file_name().unwrap_or_default().as_bytes();
        let is_own = name == b"control" || name == b"lock" || name.starts_with(b"snapshot");
        let is_there = || match (folder_of(path), fs::canonicalize(&self.path)) {
            (Ok(folder), Ok(ours)) => folder == ours,
            // Without the folder nothing can be in it.
            _ => false,
        };
        is_own && is_there()
    }

    /// Sees to it that nothing else is to be where the folder has a file of its own, which one of the two would destroy.
    ///
    /// # Errors
    ///
    /// `path`, which `option` names, is there.
    pub(super) fn keep_free(&self, option: &str, path: &Path) -> Result<(), Error> {
        match self.has(path) {
            true => Err(Error::usage(format!(
                "{option}={}: in {} this name is one of greylet's own: choose another",
                path.display(),
                self.path.display()
            ))),
            false => Ok(()),
        }
    }

    /// Takes the folder; none if greylet is to go on without one, which is then in the log.
    ///
    /// # Errors
    ///
    /// Another greylet has it, or it was asked for and cannot be used.
    pub fn take(&self) -> Result<Option<Folder>, Error> {
        match Folder::take(&self.path) {
            Ok(Taken::Ours(lock)) => Ok(Some(Folder {
                path: self.path.clone(),
                lock,
            })),
            Ok(Taken::Others(process)) => Err(Error::failure(format!(
                "{} is in use by another greylet, process {process}: stop it, or give this one another --dbdir (an empty one keeps nothing)",
                self.path.display()
            ))),
            Err(error) => self.is_unusable(&error).map(|()| None),
        }
    }

    fn is_unusable(&self, error: &io::Error) -> Result<(), Error> {
        let path = self.path.display();
        if self.is_given {
            return Err(Error::failure(format!(
                "cannot use --dbdir={path}: {error}; name a folder that greylet's user can write in (an empty one keeps nothing)"
            )));
        }
        log::warn!(
            "cannot use {path}: {error}; what is remembered is lost when greylet stops (name a folder with --dbdir)"
        );
        Ok(())
    }
}

/// A folder that is ours as long as this lives.
pub struct Folder {
    path: PathBuf,
    /// None on a file system that cannot be written, or had no room.
    lock: Option<Lock>,
}

enum Taken {
    Ours(Option<Lock>),
    Others(String),
}

impl Folder {
    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether it is certain that no other greylet has it.
    pub(super) fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn take(folder: &Path) -> io::Result<Taken> {
        let path = folder.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlag::O_NOFOLLOW.bits());
        let writable = options
            .clone()
            .write(true)
            .create(true)
            .mode(0o600)
            .open(&path);
        let (file, is_writable) = match writable {
            Ok(file) => (file, true),
            // What is there can still be read, and there may be room later.
            Err(error) if cannot_be_written_now(&error) => match options.open(&path) {
                Ok(file) => (file, false),
                Err(_) => return Ok(Taken::Ours(None)),
            },
            Err(error) => return Err(error),
        };
        match Lock::take(file) {
            Ok(lock) => {
                if is_writable && let Some(file) = lock.file() {
                    give_to_owner(file, folder)?;
                    // On a full disk it locks without a number as well.
                    let mut to = file;
                    let _ = file
                        .set_len(0)
                        .and_then(|()| writeln!(to, "{}", std::process::id()));
                }
                Ok(Taken::Ours(Some(lock)))
            }
            Err((file, Errno::EWOULDBLOCK)) => Ok(Taken::Others(process(file))),
            Err((_, error)) => Err(error.into()),
        }
    }
}

/// Gives a file to the owner of its folder, so that what root does there (an import, say) does not lock the daemon's user out.
pub(super) fn give_to_owner(file: &File, folder: &Path) -> io::Result<()> {
    let (ours, owner) = (file.metadata()?, fs::metadata(folder)?);
    if geteuid().is_root() && ours.uid() != owner.uid() {
        fchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

fn cannot_be_written_now(error: &io::Error) -> bool {
    use ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(
        error.kind(),
        ReadOnlyFilesystem | StorageFull | QuotaExceeded
    )
}

/// The process id in a lock.
fn process(lock: File) -> String {
    let mut text = String::new();
    // Whatever cannot be read is not known.
    let _ = lock.take(20).read_to_string(&mut text);
    match text.trim() {
        "" => "unknown".to_owned(),
        process => process.to_owned(),
    }
}

fn make(path: &Path, owner: Option<RunAs>) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        // The folders above it are nobody's secret, and its user must be able to go through them.
        let umask_before = umask(Mode::S_IWGRP | Mode::S_IWOTH);
        let made = fs::create_dir_all(parent);
        umask(umask_before);
        made?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        // Whose it is, and who may see it, is not ours to change.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    match owner {
        Some(owner) => chown(
            path,
            Some(owner.user().as_raw()),
            Some(owner.group().as_raw()),
        ),
        None => Ok(()),
    }
}
