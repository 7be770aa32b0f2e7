//! What can go wrong with a query.

use crate::parser::ParseError;

/// What a source of series reports.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// A query failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no query.
    #[error("{0}")]
    Parse(#[from] ParseError),
    /// The query yields what cannot be asked for this way.
    #[error("{0}")]
    Type(String),
    /// The query cannot be evaluated on the data there is.
    #[error("{0}")]
    Evaluation(String),
    /// More samples than [`Options::max_samples`](crate::Options) would be in memory at once.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// The deadline passed.
    #[error("query timed out in expression evaluation")]
    Timeout,
    /// Someone cancelled the query.
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// The source of series failed.
    #[error("expanding series: {0}")]
    Source(SourceError),
}

/// The result of evaluating.
pub type Result<T, E = Error> = std::result::Result<T, E>;

pub(crate) fn failed<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::Evaluation(message.into()))
}

/// Two series of one result have the same labels at the same time.
pub(crate) fn same_labelset<T>() -> Result<T> {
    failed("vector cannot contain metrics with the same labelset")
}
