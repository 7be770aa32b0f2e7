//! A row group of a file, read.

use std::collections::{BTreeSet, HashMap};
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

use crate::cache::{Part, Pieces};
use crate::file::{FileView, place_of};
use crate::kept::{Column, KeptBatches, PIECE_ROWS};
use crate::layout::from_file;
use crate::packed::Packed;

/// The name of the column with the rows' places.
pub const ROW_NUMBER: &str = "row_number";

/// What a value takes in memory, about, before that is known.
const BYTES_OF_VALUE: usize = 8;

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
    pub evaluate: Evaluate,
}

/// Says of some columns, and how many rows they have, which rows are wanted; none of it is NULL.
pub type Evaluate = Box<dyn FnMut(Vec<ArrayRef>, usize) -> Result<BooleanArray> + Send>;

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
    /// What they must satisfy, one after another: each sees what those before let through.
    pub predicates: Vec<Predicate>,
    /// Whether it is read to its end, and others are likely to read it, too, so that its columns are worth unpacking as
    /// a whole and keeping.
    pub again: bool,
}

/// The batches of a row group.
pub struct GroupBatches(Source);

enum Source {
    File(Box<FileBatches>),
    Memory(KeptBatches),
}

struct FileBatches {
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

pub(crate) fn constant(column: &Wanted, rows: usize) -> Result<ArrayRef> {
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
        if let Some(kept) = self.columns_in_memory(&opened)? {
            return Ok(GroupBatches(Source::Memory(self.kept(&opened, kept))));
        }
        let failed = |error| self.view.parquet_error(error);
        let mut options = ArrowReaderOptions::new();
        if self.row_numbers {
            let number = Field::new(ROW_NUMBER, ArrowType::Int64, false).with_extension_type(RowNumber);
            options = options.with_virtual_columns(vec![FieldRef::from(number)]).map_err(failed)?;
        }
        let rows = group_rows(&opened.metadata, self.group);
        let (mask, places) = projection(&opened.metadata, self.columns);
        let selection = undeleted(self.view, &rows);
        let mut builder =
            self.reader(&opened, options)?.with_projection(mask).with_batch_size(self.batch_rows);
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        if !self.predicates.is_empty() {
            let passing = self.predicates.into_iter().map(|predicate| passing(&opened.metadata, predicate));
            builder = builder.with_row_filter(RowFilter::new(passing.collect()));
        }
        Ok(GroupBatches(Source::File(Box::new(FileBatches {
            reader: builder.build().map_err(failed)?,
            view: self.view.clone(),
            columns: self.columns.to_vec(),
            places,
            row_numbers: self.row_numbers,
        }))))
    }

    /// What reads the group.
    fn reader(
        &self,
        opened: &Arc<Opened>,
        options: ArrowReaderOptions,
    ) -> Result<ParquetRecordBatchReaderBuilder<Bytes>> {
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(&opened.metadata), options)
            .map_err(|error| self.view.parquet_error(error))?;
        let bytes = Bytes(Arc::clone(opened));
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata);
        Ok(builder.with_row_groups(vec![self.group]))
    }

    /// The numbers of the columns that are read and that the file has.
    fn numbers(&self, metadata: &ParquetMetaData) -> Vec<u16> {
        let looked_at = self.predicates.iter().flat_map(|predicate| &predicate.columns);
        let mut numbers: Vec<u16> =
            self.columns.iter().chain(looked_at).map(|column| column.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|number| place_of(metadata, *number).is_some());
        numbers
    }

    /// All columns unpacked, by number, if they are in memory or worth to be.
    fn columns_in_memory(&self, opened: &Arc<Opened>) -> Result<Option<HashMap<u16, Pieces>>> {
        let cache = self.view.cache();
        let numbers = self.numbers(&opened.metadata);
        let part = |column: u16| Part { file: self.view.key(), group: self.group as u32, column };
        let rows = group_rows(&opened.metadata, self.group);
        let bytes =
            usize::try_from(rows.end - rows.start).unwrap_or(usize::MAX).saturating_mul(BYTES_OF_VALUE);
        let parts: Vec<Part> = numbers.iter().map(|number| part(*number)).collect();
        let (found, worth) = cache.look_up(&parts, bytes);
        if !worth || !self.again && found.iter().any(Option::is_none) {
            return Ok(None);
        }
        let missing: Vec<u16> = numbers
            .iter()
            .zip(&found)
            .filter(|(_, found)| found.is_none())
            .map(|(number, _)| *number)
            .collect();
        let mut kept: HashMap<u16, Pieces> =
            numbers.iter().zip(found).filter_map(|(number, found)| Some((*number, found?))).collect();
        if !missing.is_empty() {
            for (number, pieces) in self.unpack(opened, &missing)? {
                cache.keep(part(number), &pieces);
                kept.insert(number, pieces);
            }
        }
        Ok(Some(kept))
    }

    /// Unpacks whole columns of the group.
    fn unpack(&self, opened: &Arc<Opened>, numbers: &[u16]) -> Result<Vec<(u16, Pieces)>> {
        let failed = |error| self.view.parquet_error(error);
        let looked_at = self.predicates.iter().flat_map(|predicate| &predicate.columns);
        let mut columns: Vec<Wanted> = Vec::with_capacity(numbers.len());
        for column in self.columns.iter().chain(looked_at) {
            if numbers.contains(&column.number) && !columns.iter().any(|known| known.number == column.number)
            {
                columns.push(column.clone());
            }
        }
        let (mask, places) = projection(&opened.metadata, &columns);
        let reader = self
            .reader(opened, ArrowReaderOptions::new())?
            .with_projection(mask)
            .with_batch_size(PIECE_ROWS)
            .build()
            .map_err(failed)?;
        let mut pieces: Vec<Vec<Packed>> = columns.iter().map(|_| Vec::new()).collect();
        for batch in reader {
            let batch = batch.map_err(|error| failed(error.into()))?;
            let arranged = arrange(batch.columns(), batch.num_rows(), &columns, &places)?;
            drop(batch);
            for (pieces, array) in pieces.iter_mut().zip(arranged) {
                pieces.push(Packed::new(array));
            }
        }
        Ok(columns.iter().map(|column| column.number).zip(pieces.into_iter().map(Pieces::from)).collect())
    }

    fn kept(self, opened: &Opened, kept: HashMap<u16, Pieces>) -> KeptBatches {
        let of = |wanted: &Wanted| match kept.get(&wanted.number) {
            Some(pieces) => Column::Kept(Arc::clone(pieces)),
            None => Column::Missing(wanted.clone()),
        };
        let predicates = self.predicates.into_iter();
        KeptBatches {
            columns: self.columns.iter().map(of).collect(),
            predicates: predicates
                .map(|predicate| (predicate.columns.iter().map(of).collect(), predicate.evaluate))
                .collect(),
            deleted: self.view.deleted.clone(),
            rows: group_rows(&opened.metadata, self.group),
            row_numbers: self.row_numbers,
            piece: 0,
        }
    }
}

impl GroupBatches {
    /// The next rows: the columns, and how many rows there are.
    ///
    /// # Errors
    /// XX001 when the file is damaged; what the predicate says.
    pub fn next_columns(&mut self) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        match &mut self.0 {
            Source::File(batches) => batches.next_columns(),
            Source::Memory(batches) => batches.next_columns(),
        }
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
}

impl FileBatches {
    fn next_columns(&mut self) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        let Some(batch) = self.reader.next() else { return Ok(None) };
        let batch = batch.map_err(|error| self.failed(error))?;
        let rows = batch.num_rows();
        let mut columns = arrange(batch.columns(), rows, &self.columns, &self.places)?;
        if self.row_numbers {
            columns.extend(batch.columns().last().map(Arc::clone));
        }
        Ok(Some((columns, rows)))
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
