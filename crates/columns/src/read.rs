//! A row group of a file, read.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType as ArrowType, Field, FieldRef, SchemaRef};
use luma_model::arrow::arrow_type;
use luma_model::{ColumnBuilder, DataType, Error, Result, Value};
use luma_strata::open_file::Opened;
use parquet::arrow::arrow_reader::{
    ArrowPredicate, ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowFilter, RowSelection, RowSelector,
};
use parquet::arrow::{ProjectionMask, RowNumber};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};

use crate::file::{FileView, place_of};
use crate::layout::from_file;

/// The name of the column with the rows' places.
pub const ROW_NUMBER: &str = "row_number";

/// A column that is read.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its number.
    pub number: u16,
    /// Its type.
    pub data_type: DataType,
    /// What rows of files that are older than the column have.
    pub missing: Value,
}

/// What rows must satisfy to be read.
pub struct Predicate {
    /// The columns it looks at; at least one must be in the file.
    pub columns: Vec<Wanted>,
    /// Says of a batch of these columns which rows satisfy it.
    pub evaluate: Box<dyn FnMut(Vec<ArrayRef>, usize) -> Result<BooleanArray> + Send>,
}

/// What to read of a row group.
pub struct GroupRead<'a> {
    /// The file.
    pub view: &'a FileView,
    /// The row group.
    pub group: usize,
    /// The columns, in their order.
    pub columns: &'a [Wanted],
    /// Whether the rows' places in the file come as a last column.
    pub row_numbers: bool,
    /// Rows of a batch.
    pub batch_rows: usize,
    /// Which rows of the group may be wanted; all without it.
    pub selection: Option<RowSelection>,
    /// What they must satisfy, one after another: each sees what those before let through.
    pub predicates: Vec<Predicate>,
}

/// The batches of a row group.
pub struct GroupBatches {
    reader: ParquetRecordBatchReader,
    view: FileView,
    columns: Vec<Wanted>,
    /// For each column where it is in what the reader gives.
    places: Vec<Option<usize>>,
    row_numbers: bool,
}

/// The bytes of a file; clones share them.
#[derive(Clone)]
struct Bytes(Arc<Opened>);

impl Length for Bytes {
    fn len(&self) -> u64 {
        self.0.input.len()
    }
}

impl ChunkReader for Bytes {
    type T = <luma_strata::blocks::Input as ChunkReader>::T;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        self.0.input.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<bytes::Bytes> {
        self.0.input.get_bytes(start, length)
    }
}

/// The rows of a row group in its file.
pub(crate) fn group_rows(metadata: &ParquetMetaData, group: usize) -> Range<u64> {
    let before: i64 = metadata.row_groups().iter().take(group).map(RowGroupMetaData::num_rows).sum();
    let rows = metadata.row_groups().get(group).map_or(0, RowGroupMetaData::num_rows);
    before as u64..(before + rows) as u64
}

/// Selects the rows of a group that are not deleted; `None` when that is all.
fn undeleted(view: &FileView, rows: &Range<u64>) -> Option<RowSelection> {
    let deleted = view.deleted.as_ref()?;
    let (from, to) = (rows.start as u32, rows.end.min(u64::from(u32::MAX)) as u32);
    if deleted.range_cardinality(from..to) == 0 {
        return None;
    }
    let mut selectors = Vec::new();
    let mut at = from;
    for row in deleted.range(from..to) {
        if row > at {
            selectors.push(RowSelector::select((row - at) as usize));
        }
        selectors.push(RowSelector::skip(1));
        at = row + 1;
    }
    if at < to {
        selectors.push(RowSelector::select((to - at) as usize));
    }
    Some(RowSelection::from(selectors))
}

/// The leaf columns of these columns, and for each where it will be among them.
fn projection(metadata: &ParquetMetaData, columns: &[Wanted]) -> (ProjectionMask, Vec<Option<usize>>) {
    let roots: Vec<Option<usize>> = columns.iter().map(|column| place_of(metadata, column.number)).collect();
    let chosen: BTreeSet<usize> = roots.iter().flatten().copied().collect();
    let places = roots
        .iter()
        .map(|root| root.and_then(|root| chosen.iter().position(|chosen| *chosen == root)))
        .collect();
    let mask = ProjectionMask::roots(metadata.file_metadata().schema_descr(), chosen.iter().copied());
    (mask, places)
}

/// Brings a reader's columns into the order wanted, with constants for those that the file does not have.
fn arrange(
    given: &[ArrayRef],
    rows: usize,
    columns: &[Wanted],
    places: &[Option<usize>],
) -> Result<Vec<ArrayRef>> {
    columns
        .iter()
        .zip(places)
        .map(|(column, place)| match place.and_then(|place| given.get(place)) {
            Some(array) => from_file(Arc::clone(array), &column.data_type),
            None => constant(column, rows),
        })
        .collect()
}

fn constant(column: &Wanted, rows: usize) -> Result<ArrayRef> {
    if matches!(column.missing, Value::Null) {
        return Ok(new_null_array(&arrow_type(&column.data_type), rows));
    }
    let mut builder = ColumnBuilder::new(&column.data_type, rows);
    (0..rows).try_for_each(|_| builder.append(column.missing.as_ref()))?;
    Ok(builder.finish())
}

/// A predicate as the library wants it.
fn passing(metadata: &ParquetMetaData, predicate: Predicate) -> Box<dyn ArrowPredicate> {
    let Predicate { columns, mut evaluate } = predicate;
    let (mask, places) = projection(metadata, &columns);
    let passes = move |batch: RecordBatch| {
        let arranged = arrange(batch.columns(), batch.num_rows(), &columns, &places);
        arranged
            .and_then(|columns| evaluate(columns, batch.num_rows()))
            .map_err(|error| arrow::error::ArrowError::ExternalError(Box::new(error)))
    };
    Box::new(ArrowPredicateFn::new(mask, passes))
}

impl FileView {
    /// Whether the file has any of these columns.
    ///
    /// # Errors
    /// XX001 when it is missing or damaged.
    pub fn has_any(&self, columns: &[Wanted]) -> Result<bool> {
        let opened = self.open()?;
        Ok(columns.iter().any(|column| place_of(&opened.metadata, column.number).is_some()))
    }
}

impl GroupRead<'_> {
    /// Begins to read.
    ///
    /// # Errors
    /// XX001 when the file is missing or damaged.
    pub fn open(self) -> Result<GroupBatches> {
        let opened = self.view.open()?;
        let failed = |error| self.view.parquet_error(error);
        let mut options = ArrowReaderOptions::new();
        if self.row_numbers {
            let number = Field::new(ROW_NUMBER, ArrowType::Int64, false).with_extension_type(RowNumber);
            options = options.with_virtual_columns(vec![FieldRef::from(number)]).map_err(failed)?;
        }
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(&opened.metadata), options).map_err(failed)?;
        let rows = group_rows(&opened.metadata, self.group);
        let (mask, places) = projection(&opened.metadata, self.columns);
        let selection = match (undeleted(self.view, &rows), self.selection) {
            (Some(alive), Some(wanted)) => Some(alive.intersection(&wanted)),
            (Some(only), None) | (None, Some(only)) => Some(only),
            (None, None) => None,
        };
        let mut builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(Bytes(Arc::clone(&opened)), metadata)
                .with_row_groups(vec![self.group])
                .with_projection(mask)
                .with_batch_size(self.batch_rows);
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        if !self.predicates.is_empty() {
            let passing = self.predicates.into_iter().map(|predicate| passing(&opened.metadata, predicate));
            builder = builder.with_row_filter(RowFilter::new(passing.collect()));
        }
        Ok(GroupBatches {
            reader: builder.build().map_err(failed)?,
            view: self.view.clone(),
            columns: self.columns.to_vec(),
            places,
            row_numbers: self.row_numbers,
        })
    }
}

impl GroupBatches {
    /// The next rows: the columns, and how many rows there are.
    ///
    /// # Errors
    /// XX001 when the file is damaged; what the predicate says.
    pub fn next_columns(&mut self) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        let Some(batch) = self.reader.next() else { return Ok(None) };
        let batch = batch.map_err(|error| self.failed(error))?;
        let rows = batch.num_rows();
        let mut columns = arrange(batch.columns(), rows, &self.columns, &self.places)?;
        if self.row_numbers {
            columns.extend(batch.columns().last().map(Arc::clone));
        }
        Ok(Some((columns, rows)))
    }

    /// The next rows as a batch of that schema.
    ///
    /// # Errors
    /// As [`GroupBatches::next_columns`].
    pub fn next_batch(&mut self, schema: &SchemaRef) -> Result<Option<RecordBatch>> {
        let Some((columns, rows)) = self.next_columns()? else { return Ok(None) };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options);
        batch.map(Some).map_err(|error| Error::internal(format!("rows of a file: {error}")))
    }

    /// Errors of our own come through the library as they were.
    fn failed(&self, error: arrow::error::ArrowError) -> Error {
        use arrow::error::ArrowError;
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(error) = cause {
            if let Some(own) = error.downcast_ref::<Error>() {
                return own.clone();
            }
            cause = match error.downcast_ref::<ArrowError>() {
                Some(ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
                _ => error.source(),
            };
        }
        self.view.parquet_error(parquet::errors::ParquetError::ArrowError(error.to_string()))
    }
}
