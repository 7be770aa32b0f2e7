//! What can go wrong, and why an entry was refused.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an entry, a URL or a text can't be taken. Nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub(crate) String);

impl Invalid {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// This reason, said of a part of the entry.
    pub(crate) fn of(self, part: &str) -> Self {
        Self(format!("{part}: {}", self.0))
    }
}

/// An error of the engine.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The store refused; [`lightning::Error::Locked`] when another process writes here.
    #[error(transparent)]
    Store(#[from] lightning::Error),
    /// The file system refused.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file or directory.
        file: PathBuf,
        /// What it said.
        source: Arc<io::Error>,
    },
    /// An entry, URL or text can't be taken.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Settings that can't be used, and what to do.
    #[error("{0}")]
    Settings(String),
    /// What is stored is not what this crate writes.
    #[error("the store is damaged: {0}; restore it, or export what can be read and import it anew")]
    Damaged(String),
    /// A source of entries failed.
    #[error("source {source_name}: {reason}")]
    Source {
        /// Which one.
        source_name: String,
        /// What happened.
        reason: String,
    },
    /// The engine was closed meanwhile.
    #[error("the engine is closed")]
    Closed,
}

impl Error {
    pub(crate) fn io(file: &Path, source: io::Error) -> Self {
        Self::Io { file: file.to_owned(), source: Arc::new(source) }
    }

    /// Whether another process has the directory open.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Store(lightning::Error::Locked { .. }))
    }
}
