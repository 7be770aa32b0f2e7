//! What a file gives: batches of rows ready for COPY, each row with its place in the file.

use luma_model::DataType;

use crate::Failure;

/// Bytes after which a batch is full, whatever its rows.
pub(super) const BATCH_BYTES_MAX: usize = 16 << 20;

/// A place between two records of a file, from which reading can go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Bytes from the start of the file; rows for columnar files.
    pub(super) offset: u64,
    /// The line, from 1; the row for columnar files.
    pub(super) line: u64,
}

/// Where a row of a batch ends, in the batch and in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowEnd {
    pub(super) data: usize,
    /// The line it began on.
    pub(super) line: u64,
    /// The place after it.
    pub(super) next: Place,
}

/// A record that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reject {
    pub(super) line: u64,
    pub(super) reason: String,
    /// The record, as far as it is known.
    pub(super) record: String,
}

/// Rows on their way.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Rows of a binary COPY, without header and trailer.
    pub(super) data: Vec<u8>,
    pub(super) rows: Vec<RowEnd>,
    pub(super) rejects: Vec<Reject>,
    /// The place after all of it.
    pub(super) next: Place,
}

impl Batch {
    /// Ends a row that was written.
    pub(super) fn end_row(&mut self, line: u64, next: Place) {
        self.rows.push(RowEnd { data: self.data.len(), line, next });
    }

    pub(super) fn is_full(&self, rows_max: usize) -> bool {
        self.rows.len() + self.rejects.len() >= rows_max || self.data.len() >= BATCH_BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.rejects.is_empty()
    }
}

/// A column that a source fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) data_type: DataType,
}

/// A file being read.
pub(super) trait Source: Send {
    /// The next batch; `None` at the end.
    fn next_batch(&mut self) -> Result<Option<Batch>, Failure>;
    /// The columns it fills, in the order of its rows.
    fn columns(&self) -> &[Column];
    /// The place at its end, if that is known.
    fn total(&self) -> Option<u64>;
}

/// Finds the table's column for each name of a file.
///
/// # Errors
/// Names the first that has none.
pub(super) fn match_columns<'a>(
    names: impl Iterator<Item = &'a str>,
    table: &[Column],
) -> Result<Vec<Column>, Failure> {
    names
        .map(|name| {
            let exact = table.iter().find(|column| column.name == name);
            let found = exact.or_else(|| table.iter().find(|column| column.name.eq_ignore_ascii_case(name)));
            found.cloned().ok_or_else(|| {
                let known: Vec<_> = table.iter().map(|column| column.name.as_str()).collect();
                Failure::new(format!("the table has no column \"{name}\"; it has {}", known.join(", ")))
            })
        })
        .collect()
}
