//! Failures and the exit codes that scripts tell them apart by.

use std::process::ExitCode;

use lightning::Error;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// It works, but not as it should.
    General = 1,
    /// The command line is wrong.
    Usage = 2,
    /// There is no such database, keyspace or key.
    NotFound = 3,
    /// It is there already.
    Exists = 4,
    /// What was given can't be stored.
    Validation = 5,
    /// The system does not allow it.
    Permission = 6,
    /// A file could not be read or written.
    Io = 7,
    /// The database refuses.
    Database = 8,
    /// The transaction has to be run again.
    Transaction = 9,
    /// Stored bytes are not what was written.
    Integrity = 10,
    /// A defect of the program.
    Internal = 99,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) reason: String,
}

impl Failure {
    pub(crate) fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// Says it on standard error.
    pub(crate) fn report(&self, json: bool) {
        if json {
            eprintln!("{}", serde_json::json!({ "error": self.reason, "code": self.code as u8 }));
        } else {
            eprintln!("lightning: {}", self.reason);
        }
    }
}

fn code_of_io(error: &std::io::Error) -> Code {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => Code::Permission,
        _ => Code::Io,
    }
}

fn code_of(error: &Error) -> Code {
    match error {
        Error::Io { source, .. } => code_of_io(source),
        Error::Corruption { .. } => Code::Integrity,
        Error::Conflict { .. }
        | Error::Deadlock
        | Error::LockTimeout
        | Error::TransactionTooOld
        | Error::SavepointNotFound => Code::Transaction,
        Error::KeyspaceNotFound { .. } | Error::DatabaseNotFound { .. } => Code::NotFound,
        Error::KeyspaceExists { .. } => Code::Exists,
        Error::ReadOnly { .. } => Code::Permission,
        Error::TooLarge { .. }
        | Error::OutOfOrder { .. }
        | Error::OutOfTurn { .. }
        | Error::NoMergeOperator { .. }
        | Error::MergeFailed { .. }
        | Error::MergesExpire
        | Error::Overlap { .. } => Code::Validation,
        Error::Poisoned(cause) => code_of(cause),
        // In use, of another release, closed, and whatever else it refuses.
        _ => Code::Database,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(code_of(&error), error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(code_of_io(&error), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn what_stopped_writes_gives_the_code() {
        let full = Error::Io { file: "log".into(), source: Arc::new(std::io::ErrorKind::StorageFull.into()) };
        assert_eq!(Failure::from(Error::Poisoned(Arc::new(full))).code, Code::Io);
        let denied: Failure = std::io::Error::from(std::io::ErrorKind::PermissionDenied).into();
        assert_eq!(denied.code, Code::Permission);
        assert_eq!(Failure::from(Error::Deadlock).code, Code::Transaction);
    }
}
