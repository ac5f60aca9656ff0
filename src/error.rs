//! The one error that ends the program.

use std::fmt;

/// A message for whoever started greylet, saying what happened, to what, and what to do; and an exit status.
#[derive(Debug, PartialEq, Eq)]
pub struct Error {
    message: String,
    status: u8,
}

impl Error {
    /// Something did not work: exit status 1.
    pub fn failure(message: impl Into<String>) -> Error {
        Error {
            message: message.into(),
            status: 1,
        }
    }

    /// The command line is wrong: exit status 2.
    pub fn usage(message: impl Into<String>) -> Error {
        Error {
            message: message.into(),
            status: 2,
        }
    }

    /// The exit status.
    pub fn status(&self) -> u8 {
        self.status
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
