//! The error of the whole house: a kind, a message for people, and what clients may want to know.
//!
//! An [`Error`] is one pointer, so that a `Result` on the hot path stays small; its fields are read
//! directly (`error.message`, `error.detail`), and set with methods of the same names.

mod kind;

use std::fmt;
use std::ops::{Deref, DerefMut};

pub use kind::ErrorKind;

/// A `Result` with the house's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
///
/// ```
/// use luma_model::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::UndefinedColumn, "column \"x\" does not exist").position(8);
/// assert_eq!(error.kind.sqlstate(), "42703");
/// assert_eq!(error.position, Some(8));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<ErrorBody>);

/// The fields of an [`Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorBody {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// The message: one line, lower case, without a full stop.
    pub message: String,
    /// More about it: whole sentences.
    pub detail: Option<String>,
    /// What to do about it: whole sentences.
    pub hint: Option<String>,
    /// Where in the statement it is: a place in characters, the first being 1.
    pub position: Option<u32>,
    /// The schema it is about.
    pub schema: Option<String>,
    /// The table it is about.
    pub table: Option<String>,
    /// The column it is about.
    pub column: Option<String>,
    /// The data type it is about.
    pub data_type: Option<String>,
    /// The constraint it is about.
    pub constraint: Option<String>,
    /// Where it happened, as in `COPY t, line 7`.
    pub context: Option<String>,
}

impl Error {
    /// An error with a kind and a message.
    #[cold]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(ErrorBody {
            kind,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            schema: None,
            table: None,
            column: None,
            data_type: None,
            constraint: None,
            context: None,
        }))
    }

    /// Something that cannot happen happened.
    #[cold]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Stored bytes are not what was written.
    #[cold]
    pub fn corrupted(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::DataCorrupted, message)
    }

    /// Says more about it.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Says what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Says where in the statement it is, in characters from 1.
    pub fn position(mut self, position: u32) -> Self {
        self.0.position = Some(position);
        self
    }

    /// Names the schema.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.0.schema = Some(schema.into());
        self
    }

    /// Names the table.
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.0.table = Some(table.into());
        self
    }

    /// Names the column.
    pub fn column(mut self, column: impl Into<String>) -> Self {
        self.0.column = Some(column.into());
        self
    }

    /// Names the data type.
    pub fn data_type(mut self, data_type: impl Into<String>) -> Self {
        self.0.data_type = Some(data_type.into());
        self
    }

    /// Names the constraint.
    pub fn constraint(mut self, constraint: impl Into<String>) -> Self {
        self.0.constraint = Some(constraint.into());
        self
    }

    /// Says where it happened, unless that was said before.
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.0.context.get_or_insert_with(|| context.into());
        self
    }

    /// The five-character code of its kind.
    pub fn sqlstate(&self) -> &'static str {
        self.kind.sqlstate()
    }
}

impl Deref for Error {
    type Target = ErrorBody;

    fn deref(&self) -> &ErrorBody {
        &self.0
    }
}

impl DerefMut for Error {
    fn deref_mut(&mut self) -> &mut ErrorBody {
        &mut self.0
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_of_nothing_is_one_pointer() {
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn fields_are_read_by_the_names_that_set_them() {
        let error = Error::new(ErrorKind::UniqueViolation, "duplicate key")
            .detail("Key (a)=(1) already exists.")
            .table("t")
            .constraint("t_pkey");
        assert_eq!(error.sqlstate(), "23505");
        assert_eq!(error.table.as_deref(), Some("t"));
        assert_eq!(error.constraint.as_deref(), Some("t_pkey"));
        assert_eq!(error.to_string(), "duplicate key (Key (a)=(1) already exists.)");
    }
}
