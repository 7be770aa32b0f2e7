//! Scans: stored rows into Arrow batches, only the columns that are asked for.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use lightning::{Direction, Range, Readable, TransactionReader};
use luma_catalog::engine_error;
use luma_model::{Error, ErrorKind, Result, ValueRef};

use crate::access::{Access, KeyRange, KeySet};
use crate::cover::Cover;
use crate::index;
use crate::table::OpenTable;
use crate::taker::{Batch, OneByOne, Taker};

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
        let mut batch = Batch::new(&self.table, &self.columns, wanted);
        let count = self.take(wanted, &mut batch)?;
        if count == 0 {
            return Ok(None);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), batch.finish(), &options)
            .map_err(|error| Error::new(ErrorKind::Internal, format!("scan: {error}")))?;
        Ok(Some(batch))
    }

    /// Hands up to `rows` further rows to the caller, the values of each; how many there were, less only at the end.
    /// For scans of columns alone.
    ///
    /// # Errors
    /// Those of the caller, too.
    pub fn each_row(
        &mut self,
        rows: usize,
        give: impl FnMut(&[ValueRef<'_>]) -> Result<()>,
    ) -> Result<usize> {
        let mut taker = OneByOne::new(&self.columns, give)
            .ok_or_else(|| Error::internal("rows are given one by one of columns only"))?;
        self.take(rows.min(self.remaining), &mut taker)
    }

    /// Has up to `wanted` rows taken.
    fn take(&mut self, wanted: usize, taker: &mut impl Taker) -> Result<usize> {
        if let Some(set) = self.set.take() {
            self.find_keys(&set)?;
        }
        let mut count = 0;
        while count < wanted && self.take_next(taker)? {
            count += 1;
        }
        self.remaining = if count < wanted { 0 } else { self.remaining - count };
        Ok(count)
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

    /// Has the next row taken; `false` at the end.
    fn take_next(&mut self, taker: &mut impl Taker) -> Result<bool> {
        if let Some(keys) = &mut self.keys {
            let Some(key) = keys.next() else { return Ok(false) };
            look_up(&self.table, &self.reader, &key, &mut self.row_buffer, taker)?;
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
                taker.stored(&self.table, key, value)?;
                return Ok(true);
            }
            if let Some(cover) = &self.cover
                && taker.entry(cover, key, value)?
            {
                return Ok(true);
            }
            let row_key = index::row_key(key, value)?;
            look_up(&self.table, &self.reader, row_key, &mut self.row_buffer, taker)?;
            return Ok(true);
        }
    }
}

/// Has the row taken that an index names.
fn look_up(
    table: &OpenTable,
    reader: &TransactionReader,
    row_key: &[u8],
    buffer: &mut Vec<u8>,
    taker: &mut impl Taker,
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
    taker.stored(table, row_key, buffer)
}
