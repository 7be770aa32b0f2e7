//! What can go wrong with files and their manifest.

use std::io;
use std::path::{Path, PathBuf};

/// The result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a table.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be written or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// A file that the manifest names is not there.
    #[error("{} is missing, and the manifest names it; restore it from a backup", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The bytes of a file are not those that were written.
    #[error("{} is damaged: {what}; restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The manifest could not be read or changed.
    #[error("the manifest of table {table:?}: {source}")]
    Manifest {
        /// The table.
        table: String,
        /// What the engine said.
        source: lightning::Error,
    },
    /// An entry of the manifest makes no sense.
    #[error("the manifest of table {table:?} has a damaged entry: {what}")]
    DamagedManifest {
        /// The table.
        table: String,
        /// What is wrong with it.
        what: String,
    },
    /// Rows were not given in the order of series and time, or columns of different lengths.
    #[error("rows for {} are refused: {what}", path.display())]
    BadRows {
        /// The file they were to go into.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// One series has more samples in the time asked for than a reader may hold.
    #[error(
        "series {series} has more than {limit} samples in the time asked for; ask for less time or raise the limit"
    )]
    TooManyRows {
        /// The series.
        series: u32,
        /// How many a reader may hold.
        limit: usize,
    },
    /// What a change was based on changed meanwhile.
    #[error("files of table {table:?} changed meanwhile; nothing was changed, try again")]
    Outdated {
        /// The table.
        table: String,
    },
}

impl Error {
    /// What the file system says about a file.
    pub fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if source.kind() == io::ErrorKind::NotFound {
            Self::Missing { path }
        } else {
            Self::Io { path, source }
        }
    }

    /// A file whose bytes are not those that were written.
    pub fn damaged(path: &Path, what: impl ToString) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.to_string() }
    }

    /// What the Parquet library says; what our own input or output said before it passes through.
    pub fn parquet(path: &Path, error: parquet::errors::ParquetError) -> Self {
        if let parquet::errors::ParquetError::External(inner) = error {
            return match inner.downcast::<Error>() {
                Ok(own) => *own,
                Err(other) => match other.downcast::<io::Error>() {
                    Ok(source) => Self::io(path, *source),
                    Err(other) => Self::damaged(path, other),
                },
            };
        }
        Self::damaged(path, error)
    }
}
