//! Why a command failed, as it is told to the person who typed it.

use std::fmt::{self, Write};

/// Why a command failed.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    /// A failure with its message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// Says in front what was being done.
    pub fn context(self, what: impl fmt::Display) -> Self {
        Self(format!("{what}: {}", self.0))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Self {
        Self(error.to_string())
    }
}

impl From<luma_model::Error> for Failure {
    fn from(error: luma_model::Error) -> Self {
        let mut message = error.message.clone();
        for (name, part) in [("DETAIL", &error.detail), ("HINT", &error.hint)] {
            if let Some(part) = part {
                let _ = write!(message, "\n{name}:  {part}");
            }
        }
        Self(message)
    }
}

impl From<lightning::Error> for Failure {
    fn from(error: lightning::Error) -> Self {
        Self(error.to_string())
    }
}
