//! What can go wrong with a log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the log.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file or directory.
        file: PathBuf,
        /// What it said.
        source: Arc<io::Error>,
    },
    /// Bytes that were durable are not what was written.
    #[error("{} is damaged at offset {offset}: {what}", file.display())]
    Corruption {
        /// The file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// A newer release wrote the file.
    #[error("{} has log format {version}, this release reads up to {supported}", file.display())]
    UnsupportedVersion {
        /// The file.
        file: PathBuf,
        /// Its format.
        version: u32,
        /// The newest format known here.
        supported: u32,
    },
    /// A record is longer than a log can hold.
    #[error("a record of {bytes} bytes is longer than the {limit} bytes a log record can have")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The longest.
        limit: u64,
    },
    /// An earlier write or sync failed; nothing is accepted until the log is opened again.
    #[error("the log stopped after a failure: {0}")]
    Poisoned(Arc<Error>),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// The replay callback refused a record.
    #[error("a log record was refused: {0}")]
    Replay(String),
}

impl Error {
    pub(crate) fn io(file: &Path, source: io::Error) -> Self {
        Self::Io { file: file.to_owned(), source: Arc::new(source) }
    }

    pub(crate) fn corruption(file: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corruption { file: file.to_owned(), offset, what: what.into() }
    }
}
