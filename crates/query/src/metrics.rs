//! SQL over metrics: a table for each metric in the schema `metrics`, and PromQL as a function in FROM.
//!
//! A table has the columns `ts`, `value`, `histogram` and one for each label that the metric's series have. Tables are
//! made when a statement names them; there is nothing to create or to drop, so `pg_catalog` does not have them, from which dumps
//! are made, and `information_schema` does. Reads see what the store of metrics has when
//! they begin: samples are not part of SQL's transactions.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use luma_model::{DataType, Error, ErrorKind, Result, TextContext, Value};
use luma_promql::{METRIC_NAME, Matcher};
use luma_telemetry::Metrics;

use crate::names::{NAME_BYTES_MAX, QualifiedName};

mod filters;
pub(crate) mod function;
pub(crate) mod rates;
mod table;

/// The schema that metrics are tables of, unless the catalog has a relation of that name there.
pub(crate) const SCHEMA: &str = "metrics";
/// A column of a metric's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MetricColumn {
    Time,
    Value,
    Histogram,
    /// The value of a label.
    Label(Arc<str>),
}

impl MetricColumn {
    pub(crate) fn data_type(&self) -> DataType {
        match self {
            Self::Time => DataType::TimestampTz,
            Self::Value => DataType::Float8,
            Self::Histogram => DataType::Jsonb,
            Self::Label(_) => DataType::Text,
        }
    }

    /// Whether each row has one.
    pub(crate) fn not_null(&self) -> bool {
        *self == Self::Time
    }
}

/// The table of that name, if it is a metric's.
pub(crate) fn provider(name: &QualifiedName, store: &Arc<Metrics>) -> Option<Arc<dyn TableProvider>> {
    if name.schema.as_deref() != Some(SCHEMA) {
        return None;
    }
    let metric = metric(&name.name, store)?;
    let columns = columns(&metric, store);
    Some(Arc::new(table::MetricTable::new(Arc::clone(store), metric, columns)))
}

/// The metric that an identifier means: SQL cuts long ones.
fn metric(name: &str, store: &Metrics) -> Option<Arc<str>> {
    let exact = [Matcher::equal(METRIC_NAME, name)];
    if let Some(found) = told(store.label_values(METRIC_NAME, &exact, i64::MIN, i64::MAX)).into_iter().next()
    {
        return Some(found);
    }
    if name.len() + char::MAX_LEN_UTF8 <= NAME_BYTES_MAX {
        return None;
    }
    let mut longer = names(store).into_iter().filter(|metric| metric.starts_with(name));
    let found = longer.next();
    if longer.next().is_some() { None } else { found }
}

/// All metrics that have a table.
pub(crate) fn names(store: &Metrics) -> BTreeSet<Arc<str>> {
    told(store.label_values(METRIC_NAME, &[], i64::MIN, i64::MAX))
}

/// What the store says of its series; nothing, and a line in the log, if it cannot.
fn told(found: luma_telemetry::Result<BTreeSet<Arc<str>>>) -> BTreeSet<Arc<str>> {
    found.unwrap_or_else(|error| {
        tracing::error!(%error, "which metrics there are cannot be read");
        BTreeSet::new()
    })
}

/// The columns of a metric's table with their names.
pub(crate) fn columns(metric: &str, store: &Metrics) -> Vec<(String, MetricColumn)> {
    let mut columns = vec![
        ("ts".to_owned(), MetricColumn::Time),
        ("value".to_owned(), MetricColumn::Value),
        ("histogram".to_owned(), MetricColumn::Histogram),
    ];
    for label in told(store.label_names(&[Matcher::equal(METRIC_NAME, metric)], i64::MIN, i64::MAX)) {
        if &*label == METRIC_NAME {
            continue;
        }
        let mut name = label.to_string();
        while columns.iter().any(|(taken, _)| *taken == name) {
            name.insert_str(0, "label_");
        }
        columns.push((name, MetricColumn::Label(label)));
    }
    columns
}

/// What a query of metrics failed with.
pub(crate) fn failure(error: luma_promql::Error) -> Error {
    use luma_promql::answer::ErrorKind as Kind;
    let kind = match error.kind() {
        _ if matches!(error, luma_promql::Error::TooManySamples) => ErrorKind::ProgramLimit,
        Kind::BadData | Kind::Execution => ErrorKind::InvalidParameterValue,
        Kind::Timeout | Kind::Canceled => ErrorKind::QueryCanceled,
        _ => ErrorKind::IoError,
    };
    Error::new(kind, error.message())
}

/// What is written, as `jsonb` is stored.
pub(crate) fn jsonb(write: impl FnOnce(&mut String)) -> Result<String> {
    let mut text = String::new();
    write(&mut text);
    match luma_model::parse_text(&DataType::Jsonb, &text, &TextContext::default())? {
        Value::Text(text) => Ok(text),
        _ => Err(Error::internal("jsonb that is no text")),
    }
}

/// A time of metrics as SQL has it.
///
/// # Errors
/// 22008 for one that SQL does not have.
pub(crate) fn micros(millis: i64) -> Result<i64> {
    let out_of_range =
        || Error::new(ErrorKind::DatetimeOverflow, format!("timestamp out of range: {millis} ms"));
    millis.checked_mul(1000).ok_or_else(out_of_range)
}
