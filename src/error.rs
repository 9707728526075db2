//! What a command fails with: what happened, and what to do.

use std::fmt::Display;
use std::process::ExitCode;

/// A failure that ends the command.
#[derive(Debug)]
pub(crate) struct Error {
    code: u8,
    message: String,
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Something that could not be done: exit 1.
    pub(crate) fn new(message: impl Into<String>) -> Error {
        Error { code: 1, message: message.into() }
    }

    /// A wrong argument or setting: exit 2, as clap does.
    pub(crate) fn usage(message: impl Into<String>) -> Error {
        Error { code: 2, message: message.into() }
    }

    /// Tells the user.
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("orderlane: {}", self.message);
        ExitCode::from(self.code)
    }
}

/// Says what was being done when an error came up.
pub(crate) trait Context<T> {
    fn context(self, action: impl Display) -> Result<T>;
}

impl<T, E: Display> Context<T> for std::result::Result<T, E> {
    fn context(self, action: impl Display) -> Result<T> {
        self.map_err(|error| Error::new(format!("{action}: {error}")))
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}
