//! Rows in, files out.
//!
//! Rows gather until there are enough of them to sort; sorted, they are written as row groups of a file. A file
//! counts once the manifest has it: until then it is an orphan, and goes with the [`Finished`] that has it.
//!
//! Memory: [`CHUNK_BYTES`] of rows, twice that while they are sorted, and one encoded row group.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::SchemaRef;
use luma_catalog::{Columnar, StorageId, Table};
use luma_model::arrow::CellReader;
use luma_model::{ColumnBuilder, DataType, Error, ErrorKind, KeyOrder, Result, ValueRef, encode_key};
use luma_strata::Place;
use luma_strata::blocks::Output;
use parking_lot::Mutex;
use parquet::arrow::ArrowWriter;

use crate::entry::FileEntry;
use crate::file_error;
use crate::layout::{GROUP_ROWS, properties, schema, to_file};
use crate::store::ColumnStore;

/// Bytes of rows that gather, about.
const CHUNK_BYTES: usize = 64 << 20;
/// Rows that gather at most.
const CHUNK_ROWS: usize = 1 << 20;
/// Rows that become arrays at once.
const BATCH_ROWS: usize = 8192;
/// Rows that there is room for from the start.
const FIRST_ROWS: usize = 16;
/// Rows of a file, about.
const FILE_ROWS: u64 = 16 << 20;
/// Files that one chunk is cut into at most.
const PARTITIONS_MAX: usize = 1000;

/// A file that is written and durable but that no manifest has yet; it goes when this is dropped.
#[derive(Debug)]
#[must_use = "a file counts when a manifest has it"]
pub struct Finished {
    /// What the manifest is to say about it.
    pub entry: FileEntry,
    /// Where it is; to be kept once the manifest has it.
    pub place: Place,
}

/// Takes rows and makes files of them.
#[derive(Debug)]
pub struct Sink {
    store: Arc<ColumnStore>,
    storage: StorageId,
    level: u8,
    schema: SchemaRef,
    /// Ordinals and types of the live columns.
    columns: Vec<(usize, DataType)>,
    /// Places among the live columns that say which file a row goes into.
    partition_by: Vec<usize>,
    /// Places among the live columns that rows are sorted by within it.
    sort_by: Vec<usize>,
    builders: Vec<ColumnBuilder>,
    gathered: Vec<RecordBatch>,
    gathered_rows: usize,
    gathered_bytes: usize,
    /// The library's writer cannot be shared between threads; nobody waits for the lock.
    file: Option<Mutex<NewFile>>,
    finished: Vec<Finished>,
    rows: u64,
}

struct NewFile {
    number: u64,
    place: Place,
    writer: ArrowWriter<Output>,
    partition: Vec<u8>,
    rows: u64,
}

impl std::fmt::Debug for NewFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("NewFile").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Sink {
    /// A sink for a table's rows, whose files will have been merged `level` times.
    pub fn new(store: Arc<ColumnStore>, table: &Table, columnar: &Columnar, level: u8) -> Self {
        let columns: Vec<(usize, DataType)> = table
            .live_columns()
            .map(|column| (usize::from(column.number) - 1, column.data_type.clone()))
            .collect();
        let places = |numbers: &[u16]| -> Vec<usize> {
            let place = |number: &u16| table.live_columns().position(|column| column.number == *number);
            numbers.iter().filter_map(place).collect()
        };
        Self {
            store,
            storage: columnar.files,
            level,
            schema: schema(table),
            columns,
            partition_by: places(&columnar.partition_by),
            sort_by: places(&columnar.sort_by),
            builders: Vec::new(),
            gathered: Vec::new(),
            gathered_rows: 0,
            gathered_bytes: 0,
            file: None,
            finished: Vec::new(),
            rows: 0,
        }
    }

    /// How many rows it took.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether everything is still in memory.
    pub fn is_in_memory(&self) -> bool {
        self.file.is_none() && self.finished.is_empty()
    }

    /// Takes a row: values by ordinal.
    ///
    /// # Errors
    /// When a value cannot be stored, or a file cannot be written.
    pub fn push_row(&mut self, values: &[ValueRef<'_>]) -> Result<()> {
        if self.builders.is_empty() {
            let builder = |(_, data_type): &(usize, DataType)| ColumnBuilder::new(data_type, FIRST_ROWS);
            self.builders = self.columns.iter().map(builder).collect();
        }
        for (builder, (ordinal, _)) in self.builders.iter_mut().zip(&self.columns) {
            match values.get(*ordinal).copied().unwrap_or(ValueRef::Null) {
                ValueRef::Null => builder.append_null(),
                value => builder.append(value)?,
            }
        }
        self.rows += 1;
        if self.builders.first().is_some_and(|builder| builder.len() >= BATCH_ROWS) {
            self.close_batch()?;
        }
        Ok(())
    }

    fn close_batch(&mut self) -> Result<()> {
        let builders = std::mem::take(&mut self.builders);
        if builders.first().is_none_or(ColumnBuilder::is_empty) {
            return Ok(());
        }
        self.gather(builders.into_iter().map(ColumnBuilder::finish).collect())
    }

    /// Takes rows as columns: those the table has, with the types that queries have.
    ///
    /// # Errors
    /// When they are not, or a file cannot be written.
    pub fn push_columns(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        self.close_batch()?;
        self.rows += columns.first().map_or(0, |column| column.len()) as u64;
        self.gather(columns)
    }

    fn gather(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        let stored = columns.iter().map(to_file).collect::<Result<Vec<_>>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), stored).map_err(arrow_error)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.gathered_rows += batch.num_rows();
        self.gathered_bytes += batch.get_array_memory_size();
        self.gathered.push(batch);
        if self.gathered_bytes >= CHUNK_BYTES || self.gathered_rows >= CHUNK_ROWS {
            self.write_gathered()?;
        }
        Ok(())
    }

    /// Writes what gathered.
    fn write_gathered(&mut self) -> Result<()> {
        let batches = std::mem::take(&mut self.gathered);
        (self.gathered_rows, self.gathered_bytes) = (0, 0);
        if self.sort_by.is_empty() && self.partition_by.is_empty() {
            return batches.iter().try_for_each(|batch| self.write(Vec::new(), batch));
        }
        let whole = concat_batches(&self.schema, &batches).map_err(arrow_error)?;
        drop(batches);
        let options = SortOptions { descending: false, nulls_first: false };
        let keys: Vec<SortColumn> = self
            .partition_by
            .iter()
            .chain(&self.sort_by)
            .map(|place| SortColumn { values: Arc::clone(whole.column(*place)), options: Some(options) })
            .collect();
        let order = lexsort_to_indices(&keys, None).map_err(arrow_error)?;
        let sorted = take_record_batch(&whole, &order).map_err(arrow_error)?;
        drop(whole);
        let mut cut = 0;
        let mut at = 0;
        let partitions = self.partitions(&sorted)?;
        while at < sorted.num_rows() {
            let partition = partitions.get(at).cloned().unwrap_or_default();
            let rest = partitions.get(at..).unwrap_or_default();
            let rows = if partitions.is_empty() {
                sorted.num_rows() - at
            } else {
                rest.iter().take_while(|other| **other == partition).count()
            };
            cut += 1;
            if cut > PARTITIONS_MAX {
                return Err(Error::new(
                    ErrorKind::ProgramLimit,
                    format!("the rows go into more than {PARTITIONS_MAX} partitions at once"),
                )
                .hint("Insert rows of fewer partitions at a time, or partition by something coarser."));
            }
            self.write(partition, &sorted.slice(at, rows))?;
            at += rows;
        }
        Ok(())
    }

    /// The partition of each row; empty for a table without.
    fn partitions(&self, rows: &RecordBatch) -> Result<Vec<Vec<u8>>> {
        if self.partition_by.is_empty() {
            return Ok(Vec::new());
        }
        let mut partitions = vec![Vec::new(); rows.num_rows()];
        for place in &self.partition_by {
            let Some((_, data_type)) = self.columns.get(*place) else { continue };
            let reader = CellReader::new(rows.column(*place).as_ref(), data_type)?;
            for (at, partition) in partitions.iter_mut().enumerate() {
                encode_key(reader.get(at)?, data_type, KeyOrder::ASCENDING, partition)?;
            }
        }
        Ok(partitions)
    }

    /// Writes rows of one partition.
    fn write(&mut self, partition: Vec<u8>, rows: &RecordBatch) -> Result<()> {
        let fits = |file: &mut NewFile| file.partition == partition && file.rows < FILE_ROWS;
        if !self.file.as_mut().map(Mutex::get_mut).is_some_and(fits) {
            self.close_file()?;
            let (number, place, output) = self.store.create(self.storage)?;
            let writer = ArrowWriter::try_new(output, Arc::clone(&self.schema), Some(properties()))
                .map_err(|error| file_error(luma_strata::Error::parquet(place.path(), error)))?;
            self.file = Some(Mutex::new(NewFile { number, place, writer, partition, rows: 0 }));
        }
        let Some(file) = self.file.as_mut().map(Mutex::get_mut) else {
            return Err(Error::internal("no file to write to"));
        };
        file.rows += rows.num_rows() as u64;
        file.writer
            .write(rows)
            .map_err(|error| file_error(luma_strata::Error::parquet(file.place.path(), error)))
    }

    fn close_file(&mut self) -> Result<()> {
        let Some(file) = self.file.take().map(Mutex::into_inner) else { return Ok(()) };
        let path = file.place.path();
        let output = file.writer.into_inner();
        let output = output.map_err(|error| file_error(luma_strata::Error::parquet(path, error)))?;
        let (bytes, sums) =
            output.finish().map_err(|error| file_error(luma_strata::Error::io(path, error)))?;
        let entry = FileEntry {
            number: file.number,
            level: self.level,
            rows: file.rows,
            bytes,
            partition: file.partition,
            sums: sums.into(),
        };
        self.finished.push(Finished { entry, place: file.place });
        Ok(())
    }

    /// Writes what is left; the files, durable with their names.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn finish(mut self) -> Result<Vec<Finished>> {
        self.close_batch()?;
        self.write_gathered()?;
        self.close_file()?;
        if !self.finished.is_empty() {
            self.store.sync_names()?;
        }
        Ok(self.finished)
    }

    /// The rows that are in memory, by ordinal of `width` columns, instead of files.
    ///
    /// # Errors
    /// What `visit` says.
    pub fn drain_rows(
        mut self,
        width: usize,
        mut visit: impl FnMut(&[ValueRef<'_>]) -> Result<()>,
    ) -> Result<()> {
        self.close_batch()?;
        for batch in &self.gathered {
            let mut readers = Vec::with_capacity(self.columns.len());
            for ((ordinal, data_type), column) in self.columns.iter().zip(batch.columns()) {
                let column = crate::layout::from_file(Arc::clone(column), data_type)?;
                readers.push((*ordinal, CellReader::new(column.as_ref(), data_type)?));
            }
            let mut values = vec![ValueRef::Null; width];
            for row in 0..batch.num_rows() {
                for (ordinal, reader) in &readers {
                    if let Some(value) = values.get_mut(*ordinal) {
                        *value = reader.get(row)?;
                    }
                }
                visit(&values)?;
            }
        }
        Ok(())
    }
}

const _: () = assert!(GROUP_ROWS <= CHUNK_ROWS, "a chunk makes whole row groups");

fn arrow_error(error: arrow::error::ArrowError) -> Error {
    Error::internal(format!("rows for a file: {error}"))
}
