//! Results as they are shown or stored: one row in, bytes out, nothing kept but what a format needs.

mod columnar;
mod table;
mod text;

use std::io::Write;

use crate::Failure;
use crate::client::{Column, Row};
use crate::command::Format;

pub(crate) use columnar::{ArrowFile, ArrowStream, Parquet};
pub(crate) use table::Table;
pub(crate) use text::{Csv, Json, Ndjson};

/// Takes one result.
pub(crate) trait Output {
    /// Takes the columns; rows follow.
    fn begin(&mut self, columns: &[Column]) -> Result<(), Failure>;
    /// Takes a row.
    fn row(&mut self, row: &Row) -> Result<(), Failure>;
    /// The result is at its end.
    fn end(&mut self) -> Result<(), Failure>;
}

/// What a result is shown with.
pub(crate) fn printer<'a>(
    format: Format,
    expanded: bool,
    out: Box<dyn Write + Send + 'a>,
) -> Box<dyn Output + 'a> {
    match format {
        Format::Table => Box::new(Table::new(out, expanded)),
        Format::Json => Box::new(Json::new(out)),
        Format::Csv => Box::new(Csv::new(out)),
        Format::Ndjson => Box::new(Ndjson::new(out)),
        Format::Arrow => Box::new(ArrowStream::new(out)),
    }
}
