//! A lock on an open file or folder, that others of ours respect. It ends with this, or with the process, whatever the file system says: nix's
//! own type panics where it cannot unlock.

use std::fs::File;
use std::mem::forget;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// See the [module](self).
pub(super) struct Lock(Option<Flock<File>>);

impl Lock {
    /// Locks what nobody else has locked.
    ///
    /// # Errors
    ///
    /// Somebody has (`EWOULDBLOCK`), or it cannot be locked. It is given back.
    pub(super) fn take(file: File) -> Result<Lock, (File, Errno)> {
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map(|lock| Lock(Some(lock)))
    }

    /// What is locked, until the end.
    pub(super) fn file(&self) -> Option<&File> {
        self.0.as_deref()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(Err((lock, _))) = self.0.take().map(Flock::unlock) {
            forget(lock);
        }
    }
}
