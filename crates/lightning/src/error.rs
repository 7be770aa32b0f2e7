//! What can go wrong with a database.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the engine.
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
    /// Stored bytes are not what was written.
    #[error("{} is damaged at offset {offset}: {what}", file.display())]
    Corruption {
        /// The file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// Another transaction committed a change of a key this one wrote, or read if it is serializable; run it
    /// again.
    #[error("the key {} of keyspace \"{keyspace}\" was changed by another transaction; run this one again", key.escape_ascii())]
    Conflict {
        /// The keyspace's name.
        keyspace: String,
        /// The key that the other changed.
        key: Vec<u8>,
    },
    /// Waiting for this lock would never end, because its holders wait for this transaction.
    #[error("deadlock: the holders of a lock this transaction needs wait for it; roll back and run it again")]
    Deadlock,
    /// A lock was not granted in time.
    #[error("a lock was not granted in time")]
    LockTimeout,
    /// So much changed since the transaction began that it can't be told whether it conflicts.
    #[error("the transaction is too old to be checked for conflicts; run it again, or raise history_bytes")]
    TransactionTooOld,
    /// What was there at a past moment is not kept, or not any more.
    #[error("what was there at that moment is not kept; see version_retention and history_bytes")]
    SnapshotTooOld,
    /// No keyspace has this name, or it was dropped.
    #[error("keyspace \"{name}\" does not exist")]
    KeyspaceNotFound {
        /// The name.
        name: String,
    },
    /// A keyspace has this name already.
    #[error("keyspace \"{name}\" exists already")]
    KeyspaceExists {
        /// The name.
        name: String,
    },
    /// The directory has no database, and [`Options::create`](crate::Options::create) is not set.
    #[error("there is no database in {}", path.display())]
    DatabaseNotFound {
        /// The directory.
        path: PathBuf,
    },
    /// Another process has the database open.
    #[error("{} is in use by {}", path.display(), owner(pid))]
    Locked {
        /// The database.
        path: PathBuf,
        /// Who has it, if it could be read.
        pid: Option<u32>,
    },
    /// The directory holds something else.
    #[error("{} is not a Lightning database: {what}", path.display())]
    NotADatabase {
        /// The directory.
        path: PathBuf,
        /// What is there.
        what: String,
    },
    /// The directory can't be written, and a database needs that even to be read.
    #[error("{} can't be written ({source}); open the database as a user who may, or copy it elsewhere", path.display())]
    ReadOnly {
        /// The directory.
        path: PathBuf,
        /// What the file system said.
        source: Arc<io::Error>,
    },
    /// Another release wrote the file.
    #[error("{} has format {version}, this release reads {supported}; open it with the release that wrote it", file.display())]
    UnsupportedVersion {
        /// The file.
        file: PathBuf,
        /// Its format.
        version: u32,
        /// The format known here.
        supported: u32,
    },
    /// An entry of the external log was applied already, or a later one.
    #[error("entry {index} of the external log comes after entry {applied}; write each once, in their order")]
    OutOfTurn {
        /// The entry.
        index: u64,
        /// The newest that was applied.
        applied: u64,
    },
    /// Something does not go together with an external log, or only with one.
    #[error("{0}")]
    ExternalLog(&'static str),
    /// A key, value or commit is longer than allowed.
    #[error("{what} of {bytes} bytes is longer than the {limit} bytes allowed")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Its length.
        bytes: u64,
        /// The longest.
        limit: u64,
    },
    /// An earlier failure stopped all writes; reads go on. Open the database again once it is fixed.
    #[error("writes stopped after a failure: {0}")]
    Poisoned(Arc<Error>),
    /// The database was closed.
    #[error("the database is closed")]
    Closed,
    /// A keyspace has a merge operator that the program did not give.
    #[error(
        "keyspace \"{keyspace}\" needs the merge operator \"{operator}\"; give it in Options::merge_operators"
    )]
    MergeOperatorMissing {
        /// The keyspace's name.
        keyspace: String,
        /// The operator's.
        operator: String,
    },
    /// A keyspace has no merge operator, so nothing can be merged into it.
    #[error("keyspace \"{keyspace}\" has no merge operator; one is given when a keyspace is created")]
    NoMergeOperator {
        /// The keyspace's name.
        keyspace: String,
    },
    /// A merge operator could not make a value of what was merged into a key. Putting or deleting the key
    /// takes that away.
    #[error("the merge operator \"{operator}\" can't make a value of what was merged into the key {} of keyspace \"{keyspace}\"; put a value there or delete the key", key.escape_ascii())]
    MergeFailed {
        /// The keyspace's name.
        keyspace: String,
        /// The operator's.
        operator: String,
        /// The key.
        key: Vec<u8>,
    },
    /// Options of a keyspace that exclude each other.
    #[error("a keyspace with a merge operator can't have values that expire")]
    MergesExpire,
    /// Ingested keys must ascend.
    #[error("the ingested key {} does not come after the one before it", key.escape_ascii())]
    OutOfOrder {
        /// The key that came too early.
        key: Vec<u8>,
    },
    /// Ingested keys must not lie among existing ones.
    #[error("the ingested range overlaps data of keyspace \"{keyspace}\"")]
    Overlap {
        /// The keyspace's name.
        keyspace: String,
    },
    /// A savepoint was rolled back, or belongs to another transaction.
    #[error("the savepoint does not exist any more")]
    SavepointNotFound,
}

fn owner(pid: &Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl Error {
    pub(crate) fn io(file: &Path, source: io::Error) -> Self {
        Self::Io { file: file.to_owned(), source: Arc::new(source) }
    }

    pub(crate) fn corruption(file: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corruption { file: file.to_owned(), offset, what: what.into() }
    }

    /// This error as the cause that stops writes.
    pub(crate) fn poison(self) -> Self {
        match self {
            Self::Poisoned(_) | Self::Closed => self,
            cause => Self::Poisoned(Arc::new(cause)),
        }
    }

    /// What stopped writes, if this error says that they stopped.
    pub(crate) fn into_cause(self) -> Self {
        match self {
            Self::Poisoned(cause) => cause.as_ref().clone(),
            error => error,
        }
    }
}

impl From<luma_log::Error> for Error {
    fn from(error: luma_log::Error) -> Self {
        match error {
            luma_log::Error::Io { file, source } => Self::Io { file, source },
            luma_log::Error::Corruption { file, offset, what } => Self::Corruption { file, offset, what },
            luma_log::Error::UnsupportedVersion { file, version, supported } => {
                Self::UnsupportedVersion { file, version, supported }
            }
            luma_log::Error::TooLarge { bytes, limit } => Self::TooLarge { what: "a commit", bytes, limit },
            luma_log::Error::Poisoned(cause) => Self::Poisoned(Arc::new(cause.as_ref().clone().into())),
            luma_log::Error::Closed => Self::Closed,
            luma_log::Error::Replay(what) => Self::Corruption { file: PathBuf::from("log"), offset: 0, what },
        }
    }
}
