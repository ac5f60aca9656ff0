//! --pidfile: a file with the daemon's process id, which others read but greylet never does, so that no number in it
//! ever keeps greylet from starting. It is replaced as a whole. At the end it is removed if it is still ours, or at least emptied if
//! the folder is not ours to change, so that nobody sends a signal to whoever has the number next.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The file, removed or emptied when this is dropped.
pub(super) struct Pidfile {
    path: PathBuf,
    /// While it is open, nobody else gets its inode, and whoever may not remove the file can still empty it.
    file: File,
}

impl Pidfile {
    /// Writes the number of this process, whatever there is in the file.
    ///
    /// # Errors
    ///
    /// The folder cannot be written in, or there is something of this name that is not a file.
    pub(super) fn write(path: &Path) -> Result<Pidfile, Error> {
        replace(path)
            .map(|file| Pidfile {
                path: path.to_owned(),
                file,
            })
            .map_err(|error| {
                Error::failure(format!(
                    "cannot write the pidfile {}: {error}; choose another path with --pidfile",
                    path.display()
                ))
            })
    }

    fn is_ours(&self) -> io::Result<bool> {
        let (ours, there) = (self.file.metadata()?, fs::symlink_metadata(&self.path)?);
        Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        let is_removed = self.is_ours().unwrap_or(false) && fs::remove_file(&self.path).is_ok();
        if !is_removed {
            // If it is not under the path any more, nobody sees this.
            let _ = self.file.set_len(0);
        }
    }
}

fn replace(path: &Path) -> io::Result<File> {
    if fs::symlink_metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::other(
            "there is something of this name that is not a regular file",
        ));
    }
    let mut name = path
        .file_name()
        .ok_or_else(|| io::Error::other("it has no name"))?
        .to_owned();
    let id = std::process::id();
    name.push(format!(".{id}"));
    let new = path.with_file_name(name);
    // Of somebody who has had our number.
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).open(&new)?;
    let written = file
        .set_permissions(Permissions::from_mode(0o644))
        .and_then(|()| writeln!(file, "{id}"))
        .and_then(|()| fs::rename(&new, path));
    if let Err(error) = written {
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    Ok(file)
}
