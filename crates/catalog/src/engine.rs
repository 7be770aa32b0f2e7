//! The engine's errors in the words of SQL.

use luma_model::{Error, ErrorKind};

/// Translates an engine's error; the kind decides what a client may do about it.
pub fn engine_error(error: lightning::Error) -> Error {
    use lightning::Error as Engine;
    let message = error.to_string();
    match error {
        Engine::Conflict { .. } => {
            Error::new(ErrorKind::SerializationFailure, "could not serialize access due to concurrent update")
                .detail(message)
                .hint("Run the transaction again.")
        }
        Engine::Deadlock => Error::new(ErrorKind::DeadlockDetected, "deadlock detected")
            .detail(message)
            .hint("Run the transaction again."),
        Engine::LockTimeout => {
            Error::new(ErrorKind::LockNotAvailable, "canceling statement due to lock timeout")
        }
        Engine::TransactionTooOld => {
            Error::new(ErrorKind::SerializationFailure, message).hint("Run the transaction again.")
        }
        Engine::TooLarge { .. } => Error::new(ErrorKind::ProgramLimit, message),
        Engine::Io { ref source, .. } if is_full(source) => full(message),
        Engine::Io { .. } | Engine::ReadOnly { .. } => Error::new(ErrorKind::IoError, message),
        Engine::Poisoned(ref cause) => match cause.as_ref() {
            Engine::Io { source, .. } if is_full(source) => full(message),
            _ => Error::new(ErrorKind::IoError, message)
                .hint("Reads go on. Mend the disk, then restart the server."),
        },
        Engine::Corruption { .. } => Error::new(ErrorKind::DataCorrupted, message)
            .hint("Run `lumadb verify` to see all damage; restore the file from a backup."),
        Engine::Closed => Error::new(ErrorKind::AdminShutdown, "the database is shutting down"),
        Engine::SavepointNotFound => Error::new(ErrorKind::InvalidSavepoint, message),
        Engine::Locked { .. } => Error::new(ErrorKind::ObjectInUse, message),
        _ => Error::new(ErrorKind::Internal, message),
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

fn full(message: String) -> Error {
    Error::new(ErrorKind::DiskFull, "the disk is full")
        .detail(message)
        .hint("Nothing acknowledged is lost and reads go on. Free space, then restart the server.")
}
