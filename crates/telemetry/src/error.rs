//! What can go wrong with the store, and what is refused of a batch.

use luma_vfs::LockError;

/// The result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log failed. After a failed write or sync it takes nothing more until the store is opened again.
    #[error(transparent)]
    Log(#[from] luma_log::Error),
    /// Series went from the store since the batch looked them up by name; nothing of it was stored.
    #[error("series of this batch went since they were looked up; look them up again and send it again")]
    Outdated,
    /// Another process has the directory.
    #[error("{directory} is in use by {}; stop it or choose another directory", owner(*pid))]
    InUse {
        /// The directory.
        directory: String,
        /// Who has it, if that is known.
        pid: Option<u32>,
    },
    /// The directory could not be locked.
    #[error("{directory} cannot be locked: {source}")]
    Lock {
        /// The directory.
        directory: String,
        /// What the file system said.
        source: std::io::Error,
    },
    /// Files of samples, or their manifest, could not be read or written.
    #[error(transparent)]
    Files(#[from] luma_strata::Error),
    /// The registry of series could not be read or written.
    #[error("the registry of series: {0}")]
    Registry(#[from] lightning::Error),
    /// The registry of series makes no sense.
    #[error("the registry of series is damaged: {0}; restore the store from a backup")]
    DamagedRegistry(String),
    /// The system gives no thread to open the store with.
    #[error(
        "the store cannot be opened without threads: {0}; raise the limit of threads or stop other processes"
    )]
    NoThread(std::io::Error),
    /// A histogram in a file makes no sense.
    #[error("the histogram of series {series} at {t} is none; restore the store from a backup")]
    DamagedHistogram {
        /// The series.
        series: u32,
        /// Its time.
        t: i64,
    },
    /// A chunk could not be read.
    #[error("samples in memory are damaged: {0}; start the server again and check its memory")]
    Damaged(#[from] luma_codec::Error),
    /// A batch would make a record longer than the log should hold at once.
    #[error("a batch of {bytes} bytes is over the limit of {limit}; send it in parts")]
    BatchTooLarge {
        /// How long it would be.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
}

fn owner(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl Error {
    pub(crate) fn of_lock(directory: &std::path::Path, error: LockError) -> Self {
        let directory = directory.display().to_string();
        match error {
            LockError::Held { pid } => Self::InUse { directory, pid },
            LockError::Io(source) => Self::Lock { directory, source },
        }
    }
}

/// What is wrong with the labels of a series.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// There is none.
    #[error("a series has no labels; give it at least a name (`__name__`)")]
    Empty,
    /// One is there twice.
    #[error("a series has the label {0:?} twice")]
    Duplicate(String),
    /// A label has no name.
    #[error("a series has a label without a name")]
    Unnamed,
    /// There are too many.
    #[error("a series has more than {limit} labels")]
    TooMany {
        /// How many there may be.
        limit: usize,
    },
    /// They are too long.
    #[error("the labels of a series take {bytes} bytes, over the limit of {limit}")]
    TooLong {
        /// Bytes of names and values.
        bytes: usize,
        /// How many there may be.
        limit: usize,
    },
}

/// Why a sample of a batch was not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is a sample of the same time with another value.
    #[error("duplicate sample for timestamp {t}: there is one with another value")]
    Conflicting {
        /// Its time.
        t: i64,
    },
    /// It is older than the series' newest sample, and samples out of order are not taken.
    #[error("out of order sample: {t} is before the series' newest sample at {newest}")]
    OutOfOrder {
        /// Its time.
        t: i64,
        /// That of the newest sample.
        newest: i64,
    },
    /// It is older than samples out of order may be.
    #[error("too old sample: {t} is more than {window_ms} ms before the series' newest sample at {newest}")]
    TooOld {
        /// Its time.
        t: i64,
        /// That of the newest sample.
        newest: i64,
        /// How far behind it may be.
        window_ms: i64,
    },
    /// Its series is that of another batch, or of this one before it was cleared.
    #[error("the sample's series is none of its batch; name series anew for each batch")]
    UnknownSeries,
    /// It would be the first of a series too many.
    #[error(
        "the store has {limit} series, as many as it may; drop labels that vary (such as identifiers) or raise \
         the limit on series"
    )]
    SeriesLimit {
        /// How many series there may be.
        limit: usize,
    },
    /// It would be the first of a series for which there is no number left.
    #[error(
        "the store has given all its numbers, some four billion, to series; begin a new store and drop labels that vary \
         (such as identifiers)"
    )]
    NumbersUsedUp,
}
