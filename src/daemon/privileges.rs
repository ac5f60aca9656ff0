//! --user and --group: who the daemon is once it listens. Names are looked up at the start, and what has become of the
//! process is checked, because a daemon that only believes to have given up root is worse than one that does not start.

use std::{fmt, io};

use nix::unistd::{
    Gid, Group, Uid, User, geteuid, getgroups, getresgid, getresuid, setgid, setgroups, setuid,
};

use crate::error::Error;

/// A user and the one group to go on as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunAs {
    user: Uid,
    group: Gid,
}

impl RunAs {
    /// Finds out who is meant: names first, then numbers. None if nobody is.
    ///
    /// # Errors
    ///
    /// There is no such user or group, or of a user that is only a number nobody knows the group.
    pub fn find(user: Option<&str>, group: Option<&str>) -> Result<Option<RunAs>, Error> {
        if user.is_none() && group.is_none() {
            return Ok(None);
        }
        let group = group.map(find_group).transpose()?;
        let (user, main_group) = match user {
            None => (geteuid(), None),
            Some(name) => find_user(name)?,
        };
        match group.or(main_group) {
            Some(group) => Ok(Some(RunAs { user, group })),
            None => Err(Error::usage(format!(
                "--user={user}: the system does not know this user's group; say --group too"
            ))),
        }
    }

    /// The user.
    pub(super) fn user(self) -> Uid {
        self.user
    }

    /// The group.
    pub(super) fn group(self) -> Gid {
        self.group
    }

    /// Whether there is nothing to do: this is who we are, and cannot be more.
    ///
    /// # Errors
    ///
    /// We are somebody else, and not root, who alone can change that.
    pub(super) fn is_us(self) -> Result<bool, Error> {
        match (self.is_all_ids(), geteuid().is_root()) {
            (true, false) => Ok(true),
            (is_all_ids, true) => Ok(is_all_ids && self.is_only_group()),
            (false, false) => Err(Error::failure(format!(
                "cannot become {self}: only root can; start greylet as root, or leave out --user and --group"
            ))),
        }
    }

    /// Becomes the user, with all threads, for good.
    ///
    /// # Errors
    ///
    /// The system does not let us, or it says that it does and then it is not so.
    pub(super) fn apply(self) -> Result<(), Error> {
        let failed = |what: &str, error: &dyn fmt::Display| {
            Error::failure(format!("cannot become {self}: {what}: {error}"))
        };
        // In this order: each one takes away the right to the ones before it.
        setgroups(&[self.group]).map_err(|error| failed("setgroups", &io::Error::from(error)))?;
        setgid(self.group).map_err(|error| failed("setgid", &io::Error::from(error)))?;
        setuid(self.user).map_err(|error| failed("setuid", &io::Error::from(error)))?;
        if !self.is_all_ids() || !self.is_only_group() {
            return Err(failed("the system said yes", &"but it is not so"));
        }
        if !self.user.is_root() && setuid(Uid::from_raw(0)).is_ok() {
            return Err(failed("setuid", &"it can still become root again"));
        }
        Ok(())
    }

    /// Whether every id of this process is this one: real, effective and saved.
    fn is_all_ids(self) -> bool {
        let is_user =
            getresuid().is_ok_and(|id| [id.real, id.effective, id.saved] == [self.user; 3]);
        let is_group =
            getresgid().is_ok_and(|id| [id.real, id.effective, id.saved] == [self.group; 3]);
        is_user && is_group
    }

    fn is_only_group(self) -> bool {
        getgroups().is_ok_and(|groups| groups == [self.group])
    }
}

impl fmt::Display for RunAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {} and group {}", self.user, self.group)
    }
}

fn find_user(name: &str) -> Result<(Uid, Option<Gid>), Error> {
    let by_name = User::from_name(name);
    if let Ok(Some(user)) = by_name {
        return Ok((user.uid, Some(user.gid)));
    }
    let number = id(name).ok_or_else(|| unknown("user", name, by_name.err()))?;
    let user = Uid::from_raw(number);
    let main_group = User::from_uid(user).ok().flatten().map(|user| user.gid);
    Ok((user, main_group))
}

fn find_group(name: &str) -> Result<Gid, Error> {
    let by_name = Group::from_name(name);
    if let Ok(Some(group)) = by_name {
        return Ok(group.gid);
    }
    id(name)
        .map(Gid::from_raw)
        .ok_or_else(|| unknown("group", name, by_name.err()))
}

/// A number that is one; the highest of all means "no change" to the system.
fn id(digits: &str) -> Option<u32> {
    let is_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| is_digits);
    number.filter(|&number| number != u32::MAX)
}

fn unknown(kind: &str, name: &str, error: Option<nix::Error>) -> Error {
    let why = error
        .map(|error| format!(" ({})", io::Error::from(error)))
        .unwrap_or_default();
    Error::usage(format!(
        "--{kind}={name}: there is no {kind} of this name, and it is not a number of one{why}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let found = |user, group| RunAs::find(user, group).unwrap();
        let (root, wheel) = (Uid::from_raw(0), Gid::from_raw(0));
        let expected = RunAs {
            user: root,
            group: wheel,
        };
        assert_eq!(found(None, None), None);
        assert_eq!(found(Some("root"), None), Some(expected));
        assert_eq!(found(Some("0"), None), Some(expected));
        let expected = RunAs {
            user: root,
            group: Gid::from_raw(12_345),
        };
        assert_eq!(found(Some("root"), Some("12345")), Some(expected));
        let group_only = found(None, Some("12345")).unwrap();
        assert_eq!(group_only.user(), geteuid());
        assert_eq!(group_only.group(), expected.group());
        for (user, group) in [
            (Some(""), None),
            (Some("+0"), None),
            (Some("root"), Some("")),
            (None, Some("4294967295")),
            (None, Some("4294967296")),
            (Some("a\0b"), None),
        ] {
            assert_eq!(RunAs::find(user, group).unwrap_err().status(), 2);
        }
    }
}
