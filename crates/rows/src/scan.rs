//! Scans: stored rows into Arrow batches, only the columns that are asked for.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use lightning::{Direction, Range, Readable, TransactionReader};
use luma_catalog::engine_error;
use luma_model::{Error, ErrorKind, Result, ValueRef};
use smallvec::SmallVec;

use crate::access::{Access, KeyRange, KeySet};
use crate::cover::Cover;
use crate::index;
use crate::keys;
use crate::table::OpenTable;
use crate::taker::{Batch, OneByOne, Taker};

/// Rows that are looked up together.
const LOOK_UPS: usize = 64;

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
    /// Whether each key that is looked up must have a row.
    exist: bool,
    /// Where those keys come from, before they are known.
    set: Option<KeySet>,
    pending: std::vec::IntoIter<KeyRange>,
    range: Option<Range>,
    direction: Direction,
    columns: Vec<ScanColumn>,
    schema: SchemaRef,
    remaining: usize,
    /// Of the rows that are looked up next.
    named: Named,
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
        let keys = if index.is_none() && set.is_none() { keys::whole(&table, &ranges) } else { None };
        if keys.is_some() {
            ranges.clear();
        }
        Self {
            table,
            reader,
            index,
            cover,
            exist: keys.is_none(),
            keys: keys.map(Vec::into_iter),
            set,
            pending: ranges.into_iter(),
            range: None,
            direction,
            columns,
            schema,
            remaining: limit.unwrap_or(usize::MAX),
            named: Named::default(),
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
        let mut taker = OneByOne::new(&self.table, &self.columns, give)
            .ok_or_else(|| Error::internal("rows are given one by one of columns only"))?;
        self.take(rows.min(self.remaining), &mut taker)
    }

    /// Has up to `wanted` rows taken.
    fn take(&mut self, wanted: usize, taker: &mut impl Taker) -> Result<usize> {
        if let Some(set) = self.set.take() {
            self.find_keys(&set)?;
        }
        let mut count = 0;
        while count < wanted {
            let taken = self.take_some(wanted - count, taker)?;
            if taken == 0 {
                break;
            }
            count += taken;
        }
        self.remaining = if count < wanted { 0 } else { self.remaining - count };
        Ok(count)
    }

    /// Finds the keys to look up; of too many all rows are read.
    fn find_keys(&mut self, set: &KeySet) -> Result<()> {
        match keys::collect(&self.table, &self.reader, set)? {
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

    /// Has the next row taken, or the next few, no more than `most`; how many, none at the end.
    fn take_some(&mut self, most: usize, taker: &mut impl Taker) -> Result<usize> {
        while let Some(keys) = &mut self.keys {
            self.named.clear();
            keys.by_ref().take(most.min(LOOK_UPS)).for_each(|key| self.named.push(&key));
            let taken = self.look_up(taker)?;
            if taken > 0 || self.named.len() == 0 {
                return Ok(taken);
            }
        }
        // What an index mostly has by itself keeps the order of its entries.
        let together = if self.cover.is_some() { 1 } else { most.min(LOOK_UPS) };
        self.named.clear();
        loop {
            let Some(range) = &mut self.range else {
                let Some(next) = self.pending.next() else { break };
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
                return Ok(1);
            }
            if let Some(cover) = &self.cover
                && taker.entry(cover, key, value)?
            {
                return Ok(1);
            }
            self.named.push(index::row_key(key, value)?);
            if self.named.len() == together {
                break;
            }
        }
        self.look_up(taker)
    }

    /// Has the rows taken whose keys are known; how many.
    fn look_up(&self, taker: &mut impl Taker) -> Result<usize> {
        let keys: SmallVec<[&[u8]; LOOK_UPS]> = self.named.iter().collect();
        let mut taken = Ok(0);
        let take = |at: usize, row: Option<&[u8]>| {
            let Ok(count) = taken else { return };
            taken = match row {
                Some(row) => taker.stored(&self.table, keys[at], row).map(|()| count + 1),
                None if self.exist => Err(missing(&self.table)),
                None => Ok(count),
            };
        };
        self.reader.get_each(&self.table.rows, &keys, take).map_err(engine_error)?;
        taken
    }
}

fn missing(table: &OpenTable) -> Error {
    let message = format!("an index of table \"{}\" names a row that is not there", table.definition.name);
    Error::new(ErrorKind::DataCorrupted, message)
}

/// Keys of rows, one after the other.
#[derive(Default)]
struct Named {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Named {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}
