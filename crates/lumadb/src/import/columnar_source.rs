//! Arrow and Parquet files: their columns' types and rows.

use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::Path;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader};
use arrow::record_batch::RecordBatch;
use luma_model::arrow::data_type;
use luma_model::{CastKind, CellReader, DataType, TextContext, cast};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::Failure;
use crate::import::source::{Batch, Column, Place, Reject, Source, match_columns};
use crate::import::{FileFormat, ReadOptions, encode};

/// Rows of a batch read from a file.
const READ_ROWS: usize = 8192;

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// A columnar file being read.
pub(super) struct ColumnarSource {
    batches: Batches,
    /// The batch at hand, and its next row.
    current: Option<(RecordBatch, usize)>,
    /// Types as they are in the file.
    types: Vec<DataType>,
    columns: Vec<Column>,
    batch_rows: usize,
    row: u64,
    total: Option<u64>,
}

/// Opens a file at a row.
fn open(path: &Path, format: FileFormat, from: u64) -> Result<(SchemaRef, Batches, Option<u64>), Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::new(format!("the file can't be read: {error}"));
    let mut file = File::open(path)?;
    if format == FileFormat::Parquet {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| wrong(&error))?;
        let total = builder.metadata().file_metadata().num_rows() as u64;
        let schema = builder.schema().clone();
        let reader = builder.with_batch_size(READ_ROWS).with_offset(from as usize).build();
        return Ok((schema, Box::new(reader.map_err(|error| wrong(&error))?), Some(total)));
    }
    let (schema, batches): (_, Batches) = match FileReader::try_new(BufReader::new(file.try_clone()?), None) {
        Ok(reader) => (reader.schema(), Box::new(reader)),
        Err(_) => {
            file.rewind()?;
            let reader = StreamReader::try_new(BufReader::new(file), None).map_err(|error| wrong(&error))?;
            (reader.schema(), Box::new(reader))
        }
    };
    let mut skip = from as usize;
    let batches = batches.filter_map(move |batch| match batch {
        Ok(batch) if skip >= batch.num_rows() => {
            skip -= batch.num_rows();
            None
        }
        Ok(batch) => Some(Ok({
            let first = std::mem::take(&mut skip);
            batch.slice(first, batch.num_rows() - first)
        })),
        Err(error) => Some(Err(error)),
    });
    Ok((schema, Box::new(batches), None))
}

fn columns(schema: &SchemaRef) -> Result<Vec<Column>, Failure> {
    schema
        .fields()
        .iter()
        .map(|field| Ok(Column { name: field.name().clone(), data_type: data_type(field)? }))
        .collect()
}

/// The columns of a file.
pub(super) fn infer(path: &Path, format: FileFormat) -> Result<Vec<Column>, Failure> {
    columns(&open(path, format, 0)?.0)
}

impl ColumnarSource {
    /// Opens a file for a table, from a place on.
    pub(super) fn open(
        path: &Path,
        format: FileFormat,
        options: &ReadOptions,
        table: &[Column],
        from: Option<Place>,
    ) -> Result<Self, Failure> {
        let row = from.map_or(0, |place| place.offset);
        let (schema, batches, total) = open(path, format, row)?;
        let found = columns(&schema)?;
        let columns = match_columns(found.iter().map(|column| column.name.as_str()), table)?;
        let types = found.into_iter().map(|column| column.data_type).collect();
        Ok(Self { batches, current: None, types, columns, batch_rows: options.batch_rows, row, total })
    }

    /// Writes rows of the batch at hand until `out` is full or the batch is at its end.
    fn write(&mut self, out: &mut Batch, batch: &RecordBatch, first: usize) -> Result<usize, Failure> {
        let readers = batch.columns().iter().zip(&self.types);
        let readers: Vec<CellReader> = readers
            .map(|(array, data_type)| CellReader::new(array.as_ref(), data_type))
            .collect::<luma_model::Result<_>>()?;
        let mut row = first;
        while row < batch.num_rows() && !out.is_full(self.batch_rows) {
            let start = out.data.len();
            self.row += 1;
            let next = Place { offset: self.row, line: self.row };
            match self.write_row(&mut out.data, &readers, row) {
                Ok(()) => out.end_row(self.row, next),
                Err(reason) => {
                    out.data.truncate(start);
                    out.rejects.push(Reject { line: self.row, reason, record: String::new() });
                }
            }
            row += 1;
        }
        Ok(row)
    }

    fn write_row(&self, out: &mut Vec<u8>, readers: &[CellReader], row: usize) -> Result<(), String> {
        encode::begin_row(out, self.columns.len());
        for ((reader, from), column) in readers.iter().zip(&self.types).zip(&self.columns) {
            let written = reader.get(row).map_err(|error| error.message.clone()).and_then(|value| {
                if *from == column.data_type || value.is_null() {
                    encode::value(out, value, from);
                    return Ok(());
                }
                let value =
                    cast(value, from, &column.data_type, CastKind::Assignment, &TextContext::default())
                        .map_err(|error| error.message.clone())?;
                encode::value(out, value.as_ref(), &column.data_type);
                Ok(())
            });
            written.map_err(|reason| format!("column {}: {reason}", column.name))?;
        }
        Ok(())
    }
}

impl Source for ColumnarSource {
    fn next_batch(&mut self) -> Result<Option<Batch>, Failure> {
        let mut out = Batch::default();
        while !out.is_full(self.batch_rows) {
            let (batch, first) = match self.current.take() {
                Some(current) => current,
                None => match self.batches.next() {
                    Some(batch) => (batch.map_err(|error| Failure::new(error.to_string()))?, 0),
                    None => break,
                },
            };
            let row = self.write(&mut out, &batch, first)?;
            if row < batch.num_rows() {
                self.current = Some((batch, row));
            }
        }
        out.next = Place { offset: self.row, line: self.row };
        Ok((!out.is_empty()).then_some(out))
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn total(&self) -> Option<u64> {
        self.total
    }
}
