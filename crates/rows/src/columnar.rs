//! The files of a columnar table: what they add to the rows that are in its keyspace.
//!
//! New rows go to the keyspace like those of any table, and are moved to files later; a statement with many rows
//! writes files at once. A row of a file never changes: deleting it notes its address, and updating it also
//! inserts a new row.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use arrow_array::builder::BinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use lightning::{Direction, Keyspace, Readable, Transaction, TransactionReader};
use luma_catalog::{Columnar, StorageId, engine_error};
use luma_columns::{
    ColumnStore, FileView, Finished, GroupBatches, GroupRead, Predicate, RowAddress, Sink, Wanted, file_key,
};
use luma_model::{CellReader, Error, Result, Value};
use luma_strata::Place;
use parking_lot::Mutex;

use crate::scan::ScanColumn;
use crate::table::{OpenTable, encode_row, row_number_key};

/// Rows from which a statement's rows go to a file at once.
const FILE_ROWS_MIN: u64 = 10_000;
/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// Where a columnar table's files are.
#[derive(Clone, Debug)]
pub struct TableFiles {
    /// The files of all tables.
    pub store: Arc<ColumnStore>,
    /// Which files there are, and which of their rows are deleted.
    pub manifest: Keyspace,
    /// How the table wants them.
    pub columnar: Columnar,
}

impl TableFiles {
    /// The storage that the files belong to.
    pub fn storage(&self) -> StorageId {
        self.columnar.files
    }

    /// The files as `reader` sees them.
    ///
    /// # Errors
    /// XX001 when the manifest is damaged.
    pub fn views<R: Readable>(&self, reader: &R) -> Result<Vec<FileView>> {
        self.store.files(self.storage(), &self.manifest, reader)
    }

    /// A sink whose files will have been merged `level` times.
    pub fn sink(&self, table: &OpenTable, level: u8) -> Sink {
        Sink::new(Arc::clone(&self.store), &table.definition, &self.columnar, level)
    }
}

/// Files that a transaction wrote. They go with it, unless it commits and its manifest has them. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct NewFiles(Arc<Mutex<Vec<(Keyspace, u64, Place)>>>);

impl NewFiles {
    /// Puts files into a table's manifest.
    ///
    /// # Errors
    /// When the transaction cannot take the entries.
    pub fn add(
        &self,
        transaction: &mut Transaction,
        manifest: &Keyspace,
        files: Vec<Finished>,
    ) -> Result<()> {
        for Finished { entry, place } in files {
            transaction.put(manifest, &file_key(entry.number), &entry.encode()).map_err(engine_error)?;
            self.0.lock().push((manifest.clone(), entry.number, place));
        }
        Ok(())
    }

    /// Keeps those that the transaction, which is about to commit, has in a manifest; the others were rolled
    /// back to a savepoint, and go. Once it commits, or nobody knows whether it did, they are not its own.
    ///
    /// # Errors
    /// When a manifest cannot be read.
    pub fn settle(&self, transaction: &Transaction) -> Result<()> {
        let files = std::mem::take(&mut *self.0.lock());
        for (manifest, number, place) in files {
            if transaction.get_latest(&manifest, &file_key(number)).map_err(engine_error)?.is_some() {
                place.keep();
            }
        }
        Ok(())
    }
}

/// The rows that a statement inserts into a columnar table.
#[derive(Debug)]
pub(crate) struct PendingInserts {
    rows: Keyspace,
    files: TableFiles,
    /// Columns of the table, the dropped ones too.
    width: usize,
    last_row_number: Arc<AtomicI64>,
    pub sink: Sink,
}

impl PendingInserts {
    pub fn new(table: &OpenTable, files: &TableFiles) -> Self {
        Self {
            rows: table.rows.clone(),
            files: files.clone(),
            width: table.columns().len(),
            last_row_number: Arc::clone(&table.last_row_number),
            sink: files.sink(table, 0),
        }
    }

    pub fn is_of(&self, files: &TableFiles) -> bool {
        self.files.storage() == files.storage()
    }

    /// Puts few rows into the table's keyspace, and writes files of many.
    pub fn finish(self, transaction: &mut Transaction, new_files: &NewFiles) -> Result<()> {
        if !self.sink.is_in_memory() || self.sink.rows() >= FILE_ROWS_MIN {
            let files = self.sink.finish()?;
            return new_files.add(transaction, &self.files.manifest, files);
        }
        let mut bytes = Vec::new();
        self.sink.drain_rows(self.width, |values| {
            bytes.clear();
            encode_row(values, None, &mut bytes);
            let key = row_number_key(&self.last_row_number)?;
            transaction.put(&self.rows, &key, &bytes).map_err(engine_error)
        })
    }
}

/// A row group's rows as a scan wants them.
pub struct FileScan {
    table: Arc<OpenTable>,
    file: u64,
    batches: GroupBatches,
    columns: Vec<ScanColumn>,
    /// Ordinals of the columns that are read.
    read: Vec<usize>,
    schema: SchemaRef,
}

impl OpenTable {
    /// A column as files are asked for it.
    pub fn wanted(&self, ordinal: usize) -> Wanted {
        Wanted {
            number: ordinal as u16 + 1,
            data_type: self.data_type(ordinal).clone(),
            missing: self.missing(ordinal).clone(),
        }
    }

    /// Whether `reader` sees no row.
    ///
    /// # Errors
    /// What the engine says.
    pub fn is_empty(&self, reader: &TransactionReader) -> Result<bool> {
        if let Some(files) = &self.files
            && files.views(reader)?.iter().any(|view| view.live_rows() > 0)
        {
            return Ok(false);
        }
        let all = std::ops::Bound::Unbounded;
        let mut rows = reader.range(&self.rows, all, all, Direction::Forward).map_err(engine_error)?;
        Ok(rows.next().map_err(engine_error)?.is_none())
    }

    /// Gives every row that `reader` sees to `visit`; with `every` only each so many-th. How many rows there are.
    ///
    /// # Errors
    /// What the engine says, and `visit`.
    pub fn for_each_row(
        self: &Arc<Self>,
        reader: &TransactionReader,
        every: u64,
        visit: &mut dyn FnMut(Vec<Value>) -> Result<()>,
    ) -> Result<u64> {
        let every = every.max(1);
        let mut count = 0u64;
        let all = std::ops::Bound::Unbounded;
        let mut rows = reader.range(&self.rows, all, all, Direction::Forward).map_err(engine_error)?;
        while let Some((_, bytes)) = rows.next().map_err(engine_error)? {
            count += 1;
            if is_sampled(count, every) {
                visit(self.row(bytes)?.values()?)?;
            }
        }
        let Some(files) = &self.files else { return Ok(count) };
        let live: Vec<usize> = self.live_ordinals();
        let wanted: Vec<Wanted> = live.iter().map(|ordinal| self.wanted(*ordinal)).collect();
        for view in files.views(reader)? {
            for group in 0..view.groups()? {
                let read = GroupRead {
                    view: &view,
                    group,
                    columns: &wanted,
                    row_numbers: false,
                    batch_rows: BATCH_ROWS,
                    predicates: Vec::new(),
                    again: false,
                };
                let mut batches = read.open()?;
                while let Some((columns, rows)) = batches.next_columns()? {
                    let readers = self.readers(&live, &columns)?;
                    for row in 0..rows {
                        count += 1;
                        if !is_sampled(count, every) {
                            continue;
                        }
                        let mut values = vec![Value::Null; self.columns().len()];
                        for (ordinal, reader) in live.iter().zip(&readers) {
                            if let Some(value) = values.get_mut(*ordinal) {
                                *value = reader.get(row)?.to_owned();
                            }
                        }
                        visit(values)?;
                    }
                }
            }
        }
        Ok(count)
    }

    fn live_ordinals(&self) -> Vec<usize> {
        self.definition.live_columns().map(|column| usize::from(column.number) - 1).collect()
    }

    fn readers(&self, ordinals: &[usize], columns: &[ArrayRef]) -> Result<Vec<CellReader>> {
        let read = |(ordinal, column): (&usize, &ArrayRef)| {
            CellReader::new(column.as_ref(), self.data_type(*ordinal))
        };
        ordinals.iter().zip(columns).map(read).collect()
    }
}

/// Whether a row is one of a sample, one in `every`: at no regular distance, as what repeats itself would be seen in part.
fn is_sampled(row: u64, every: u64) -> bool {
    // The finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
    let mixed = (row ^ (row >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)).is_multiple_of(every)
}

impl FileScan {
    /// Begins to read a row group of a file; `schema` names and types the columns; `again` says that others will read them, too.
    ///
    /// # Errors
    /// XX001 when the file is missing or damaged.
    pub fn open(
        table: Arc<OpenTable>,
        view: &FileView,
        group: usize,
        columns: Vec<ScanColumn>,
        schema: SchemaRef,
        predicates: Vec<Predicate>,
        again: bool,
    ) -> Result<Self> {
        let mut read: Vec<usize> = columns
            .iter()
            .filter_map(|column| match column {
                ScanColumn::Value(ordinal) => Some(*ordinal),
                _ => None,
            })
            .collect();
        if columns.contains(&ScanColumn::Image) {
            read.extend(table.live_ordinals());
        }
        read.sort_unstable();
        read.dedup();
        let wanted: Vec<Wanted> = read.iter().map(|ordinal| table.wanted(*ordinal)).collect();
        let row_numbers = columns.contains(&ScanColumn::Key);
        let batches = GroupRead {
            view,
            group,
            columns: &wanted,
            row_numbers,
            batch_rows: BATCH_ROWS,
            predicates,
            again,
        }
        .open()?;
        Ok(Self { file: view.entry().number, table, batches, columns, read, schema })
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// XX001 when the file is damaged; what the predicate says.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let Some((given, rows)) = self.batches.next_columns()? else { return Ok(None) };
        let arrays = self
            .columns
            .iter()
            .map(|column| match column {
                ScanColumn::Value(ordinal) => self
                    .read
                    .binary_search(ordinal)
                    .ok()
                    .and_then(|place| given.get(place))
                    .map(Arc::clone)
                    .ok_or_else(|| Error::internal("a column was not read")),
                ScanColumn::Key => self.keys(&given),
                ScanColumn::Image => self.images(&given, rows),
            })
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options);
        batch.map(Some).map_err(|error| Error::internal(format!("rows of a file: {error}")))
    }

    fn keys(&self, given: &[ArrayRef]) -> Result<ArrayRef> {
        let numbers = given.last().and_then(|column| column.as_primitive_opt::<Int64Type>());
        let numbers = numbers.ok_or_else(|| Error::internal("rows came without their places"))?;
        let mut keys = BinaryBuilder::with_capacity(numbers.len(), numbers.len() * RowAddress::KEY_BYTES);
        for number in numbers.values() {
            keys.append_value(RowAddress { file: self.file, row: *number as u32 }.key());
        }
        Ok(Arc::new(keys.finish()))
    }

    fn images(&self, given: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let readers = self.table.readers(&self.read, given)?;
        let mut images = BinaryBuilder::with_capacity(rows, rows * 64);
        let mut bytes = Vec::new();
        let mut values = vec![luma_model::ValueRef::Null; self.table.columns().len()];
        for row in 0..rows {
            for (ordinal, reader) in self.read.iter().zip(&readers) {
                if let Some(value) = values.get_mut(*ordinal) {
                    *value = reader.get(row)?;
                }
            }
            bytes.clear();
            encode_row(&values, None, &mut bytes);
            images.append_value(&bytes);
        }
        Ok(Arc::new(images.finish()))
    }
}
