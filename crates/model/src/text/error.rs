//! The errors of reading text, in PostgreSQL's words.

use crate::error::{Error, ErrorKind};

/// The text is none of the type's.
#[cold]
pub(crate) fn invalid(data_type: &str, text: &str) -> Error {
    Error::new(ErrorKind::InvalidText, format!("invalid input syntax for type {data_type}: \"{text}\""))
}

/// The text is a number that the type cannot hold.
#[cold]
pub(crate) fn out_of_range(data_type: &str, text: &str) -> Error {
    Error::new(ErrorKind::OutOfRange, format!("value \"{text}\" is out of range for type {data_type}"))
}
