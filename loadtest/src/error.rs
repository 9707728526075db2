//! What can go wrong while the generator talks to a server.

use std::{fmt, io};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something could not be done.
#[derive(Debug)]
pub enum Error {
    /// A socket, thread or timer failed.
    Io(io::Error),
    /// The options contradict the wire format or each other.
    Options(String),
    /// The server answered, but not with what was asked for.
    Refused {
        /// Method and path.
        what: String,
        /// Status code of the answer.
        status: u16,
        /// Start of its body.
        body: String,
    },
    /// The server answered with something that is not the documented format.
    Malformed {
        /// Method and path.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Some orders had not ended when the time was up.
    NotEnded {
        /// Orders in a status that is no end.
        open: u64,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Options(reason) => write!(f, "load generator options: {reason}"),
            Self::Refused { what, status, body } => write!(f, "{what} was answered {status}: {body}"),
            Self::Malformed { what, reason } => write!(f, "{what} was answered in an unknown format: {reason}"),
            Self::NotEnded { open } => write!(f, "{open} orders had not ended in time"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Options(_) | Self::Refused { .. } | Self::Malformed { .. } | Self::NotEnded { .. } => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustix::io::Errno> for Error {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}
