//! How handling a message can fail.

use luma_model::{Error, ErrorKind};

use crate::io::Disconnected;

/// What ended the handling of a message.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The statement failed; the connection goes on.
    Statement(Error),
    /// The connection can't go on; the client is told why.
    Fatal(Error),
    /// There is nobody to tell.
    Disconnected,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.kind {
            ErrorKind::AdminShutdown => Self::Fatal(error),
            _ => Self::Statement(error),
        }
    }
}

impl From<Disconnected> for Failure {
    fn from(_: Disconnected) -> Self {
        Self::Disconnected
    }
}

/// The error of a client that does not keep to the protocol.
pub(crate) fn violation(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::ProtocolViolation, message)
}
