//! Scans: stored rows into Arrow batches, only the columns that are asked for.

use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use lightning::{Direction, Range, Readable, TransactionReader};
use luma_catalog::engine_error;
use luma_model::{ColumnBuilder, Error, ErrorKind, Result};

use crate::access::{Access, KeyRange};
use crate::index;
use crate::table::OpenTable;

/// What a scan gives for each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanColumn {
    /// The value at that ordinal.
    Value(usize),
    /// The row's key, for statements that change the row.
    Key,
    /// The stored row as a whole, to tell whether it changed since.
    Image,
}

enum Builder {
    Value(usize, ColumnBuilder),
    Key(BinaryBuilder),
    Image(BinaryBuilder),
}

/// A scan in progress. Holds its view of the data for as long as it lives.
pub struct RowScan {
    table: Arc<OpenTable>,
    reader: TransactionReader,
    index: Option<usize>,
    pending: std::vec::IntoIter<KeyRange>,
    range: Option<Range>,
    direction: Direction,
    columns: Vec<ScanColumn>,
    schema: SchemaRef,
    remaining: usize,
    row_buffer: Vec<u8>,
}

impl RowScan {
    /// Starts a scan over `access`; `schema` names and types the columns; at most `limit` rows.
    pub fn new(
        table: Arc<OpenTable>,
        reader: TransactionReader,
        access: Access,
        direction: Direction,
        columns: Vec<ScanColumn>,
        schema: SchemaRef,
        limit: Option<usize>,
    ) -> Self {
        let (index, mut ranges) = match access {
            Access::Rows(ranges) => (None, ranges),
            Access::Index(index, ranges) => (Some(index), ranges),
        };
        if direction == Direction::Reverse {
            ranges.reverse();
        }
        Self {
            table,
            reader,
            index,
            pending: ranges.into_iter(),
            range: None,
            direction,
            columns,
            schema,
            remaining: limit.unwrap_or(usize::MAX),
            row_buffer: Vec::new(),
        }
    }

    /// Up to `rows` further rows; `None` at the end.
    pub fn next_batch(&mut self, rows: usize) -> Result<Option<RecordBatch>> {
        let wanted = rows.min(self.remaining);
        if wanted == 0 {
            return Ok(None);
        }
        let mut builders: Vec<Builder> =
            self.columns.iter().map(|column| self.builder(*column, wanted)).collect();
        let mut count = 0;
        while count < wanted && self.append_next(&mut builders)? {
            count += 1;
        }
        if count == 0 {
            self.remaining = 0;
            return Ok(None);
        }
        self.remaining -= count;
        let arrays: Vec<ArrayRef> = builders
            .into_iter()
            .map(|builder| match builder {
                Builder::Value(_, builder) => builder.finish(),
                Builder::Key(mut builder) | Builder::Image(mut builder) => Arc::new(builder.finish()),
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map_err(|error| Error::new(ErrorKind::Internal, format!("scan: {error}")))?;
        Ok(Some(batch))
    }

    fn builder(&self, column: ScanColumn, capacity: usize) -> Builder {
        match column {
            ScanColumn::Value(ordinal) => {
                Builder::Value(ordinal, ColumnBuilder::new(self.table.data_type(ordinal), capacity))
            }
            ScanColumn::Key => Builder::Key(BinaryBuilder::with_capacity(capacity, capacity * 16)),
            ScanColumn::Image => Builder::Image(BinaryBuilder::with_capacity(capacity, capacity * 64)),
        }
    }

    /// Appends the next row; `false` at the end.
    fn append_next(&mut self, builders: &mut [Builder]) -> Result<bool> {
        loop {
            let Some(range) = &mut self.range else {
                let Some(next) = self.pending.next() else { return Ok(false) };
                let keyspace = match self.index {
                    Some(index) => &self.table.indexes[index].entries,
                    None => &self.table.rows,
                };
                let range = self
                    .reader
                    .range(keyspace, next.start(), next.end(), self.direction)
                    .map_err(engine_error)?;
                self.range = Some(range);
                continue;
            };
            let Some((key, value)) = range.next().map_err(engine_error)? else {
                self.range = None;
                continue;
            };
            if self.index.is_none() {
                append(&self.table, key, value, builders)?;
                return Ok(true);
            }
            let row_key = index::row_key(key, value)?;
            let buffer = &mut self.row_buffer;
            let found = self
                .reader
                .get_with(&self.table.rows, row_key, |row| {
                    buffer.clear();
                    buffer.extend_from_slice(row);
                })
                .map_err(engine_error)?;
            if found.is_none() {
                return Err(Error::new(
                    ErrorKind::DataCorrupted,
                    format!(
                        "an index of table \"{}\" names a row that is not there",
                        self.table.definition.name
                    ),
                ));
            }
            append(&self.table, row_key, &self.row_buffer, builders)?;
            return Ok(true);
        }
    }
}

fn append(table: &OpenTable, key: &[u8], bytes: &[u8], builders: &mut [Builder]) -> Result<()> {
    let row = table.row(bytes)?;
    for builder in builders {
        match builder {
            Builder::Value(ordinal, builder) if row.is_plain() => builder.append(row.get(*ordinal)?)?,
            Builder::Value(ordinal, builder) => builder.append(row.value(*ordinal)?.as_ref())?,
            Builder::Key(builder) => builder.append_value(key),
            Builder::Image(builder) => builder.append_value(bytes),
        }
    }
    Ok(())
}
