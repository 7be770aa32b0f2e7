//! Scans: stored rows into Arrow batches, only the columns that are asked for.

use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use lightning::{Direction, Range, Readable, TransactionReader};
use luma_catalog::engine_error;
use luma_model::{ColumnBuilder, Error, ErrorKind, Result};

use crate::access::{Access, KeyRange, KeySet};
use crate::cover::Cover;
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
    /// How the index alone gives the rows, if it does.
    cover: Option<Cover>,
    /// The keys of the rows that are left to look up, where keys are looked up.
    keys: Option<std::vec::IntoIter<Box<[u8]>>>,
    /// Where those keys come from, before they are known.
    set: Option<KeySet>,
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
        let (index, mut ranges, set) = match access {
            Access::Rows(ranges) => (None, ranges, None),
            Access::Index(index, ranges) => (Some(index), ranges, None),
            Access::Keys(set) => (None, Vec::new(), Some(set)),
        };
        if direction == Direction::Reverse {
            ranges.reverse();
        }
        let opened = index.and_then(|place| table.indexes.get(place));
        let cover = opened.and_then(|opened| Cover::of(&table, opened, &columns));
        Self {
            table,
            reader,
            index,
            cover,
            keys: None,
            set,
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
        if let Some(set) = self.set.take() {
            self.find_keys(&set)?;
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

    /// Finds the keys to look up; of too many all rows are read.
    fn find_keys(&mut self, set: &KeySet) -> Result<()> {
        match crate::keys::collect(&self.table, &self.reader, set)? {
            Some(mut keys) => {
                if self.direction == Direction::Reverse {
                    keys.reverse();
                }
                self.keys = Some(keys.into_iter());
            }
            None => self.pending = vec![KeyRange::all()].into_iter(),
        }
        Ok(())
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
        if let Some(keys) = &mut self.keys {
            let Some(key) = keys.next() else { return Ok(false) };
            look_up(&self.table, &self.reader, &key, &mut self.row_buffer, builders)?;
            return Ok(true);
        }
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
            if let Some(cover) = &self.cover
                && cover.append(key, value, |at, value| match &mut builders[at] {
                    Builder::Value(_, builder) => builder.append(value),
                    Builder::Key(_) | Builder::Image(_) => Ok(()),
                })?
            {
                append_keys(index::row_key(key, value)?, builders);
                return Ok(true);
            }
            let row_key = index::row_key(key, value)?;
            look_up(&self.table, &self.reader, row_key, &mut self.row_buffer, builders)?;
            return Ok(true);
        }
    }
}

/// Appends the row that an index names.
fn look_up(
    table: &OpenTable,
    reader: &TransactionReader,
    row_key: &[u8],
    buffer: &mut Vec<u8>,
    builders: &mut [Builder],
) -> Result<()> {
    let found = reader
        .get_with(&table.rows, row_key, |row| {
            buffer.clear();
            buffer.extend_from_slice(row);
        })
        .map_err(engine_error)?;
    if found.is_none() {
        let message =
            format!("an index of table \"{}\" names a row that is not there", table.definition.name);
        return Err(Error::new(ErrorKind::DataCorrupted, message));
    }
    append(table, row_key, buffer, builders)
}

fn append_keys(key: &[u8], builders: &mut [Builder]) {
    for builder in builders {
        if let Builder::Key(builder) = builder {
            builder.append_value(key);
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
