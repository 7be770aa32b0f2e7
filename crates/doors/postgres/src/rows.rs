//! Rows into DataRow messages.

use arrow_array::RecordBatch;
use luma_model::arrow::CellReader;
use luma_model::{DataType, Error, ErrorKind, Result, TextContext, ValueRef, format_text, to_binary};
use luma_query::{Column, RowSink, RowStream};

use crate::message::backend;
use crate::message::frontend::Format;

/// Longest row or value, bytes; a client would take a longer one for a negative length.
const ROW_BYTES_MAX: usize = 1 << 30;

/// Writes rows that are in memory.
pub(crate) struct RowWriter<'a> {
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) columns: &'a [Column],
    /// The format of each column; text where there is none.
    pub(crate) formats: &'a [Format],
    pub(crate) context: &'a TextContext,
    /// Whether the client still has to be told the columns.
    pub(crate) describe: bool,
}

impl RowWriter<'_> {
    /// Tells the columns if that was not done yet.
    pub(crate) fn describe(&mut self) {
        if self.describe {
            let formats = self.formats;
            backend::row_description(self.out, self.columns, |place| format_at(formats, place));
            self.describe = false;
        }
    }
}

impl RowSink for RowWriter<'_> {
    fn row(&mut self, values: &[ValueRef<'_>]) -> Result<()> {
        self.describe();
        let start = begin_row(self.out, values.len());
        for (place, (value, column)) in values.iter().zip(self.columns).enumerate() {
            let format = format_at(self.formats, place);
            write_value(self.out, *value, &column.data_type, format, self.context);
        }
        end_row(self.out, start)
    }
}

/// Rows of a query that is not read to its end.
pub(crate) struct Rows {
    pub(crate) stream: RowStream,
    /// The batch in hand.
    pub(crate) batch: Option<OpenBatch>,
    /// Rows given since the last Execute.
    pub(crate) given: u64,
}

impl Rows {
    pub(crate) fn new(stream: RowStream) -> Self {
        Self { stream, batch: None, given: 0 }
    }
}

/// A batch of which some rows were given.
pub(crate) struct OpenBatch {
    readers: Vec<CellReader>,
    rows: usize,
    next: usize,
}

impl OpenBatch {
    pub(crate) fn new(batch: &RecordBatch, columns: &[Column]) -> Result<Self> {
        if batch.num_columns() != columns.len() {
            let message = format!("a batch has {} columns instead of {}", batch.num_columns(), columns.len());
            return Err(Error::internal(message));
        }
        let readers = batch.columns().iter().zip(columns);
        let readers = readers.map(|(array, column)| CellReader::new(array.as_ref(), &column.data_type));
        Ok(Self { readers: readers.collect::<Result<_>>()?, rows: batch.num_rows(), next: 0 })
    }

    pub(crate) fn is_done(&self) -> bool {
        self.next >= self.rows
    }

    /// Passes over up to `rows_max` rows; the answer is how many.
    pub(crate) fn pass(&mut self, rows_max: usize) -> usize {
        let passed = rows_max.min(self.rows - self.next);
        self.next += passed;
        passed
    }

    /// Writes rows until there are `rows_max` of them, `out` is past `bytes_max` bytes, or the batch
    /// is at its end; the answer is how many.
    pub(crate) fn write(
        &mut self,
        out: &mut Vec<u8>,
        columns: &[Column],
        formats: &[Format],
        context: &TextContext,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<usize> {
        let first = self.next;
        let end = self.rows.min(first.saturating_add(rows_max));
        while self.next < end && (out.len() < bytes_max || self.next == first) {
            let start = begin_row(out, self.readers.len());
            for (place, (reader, column)) in self.readers.iter().zip(columns).enumerate() {
                let format = format_at(formats, place);
                match reader.get(self.next) {
                    Ok(value) => write_value(out, value, &column.data_type, format, context),
                    Err(error) => {
                        out.truncate(start - 1);
                        return Err(error);
                    }
                }
            }
            end_row(out, start)?;
            self.next += 1;
        }
        Ok(self.next - first)
    }
}

fn format_at(formats: &[Format], place: usize) -> Format {
    formats.get(place).copied().unwrap_or(Format::Text)
}

/// The answer is where the message's length is.
fn begin_row(out: &mut Vec<u8>, columns: usize) -> usize {
    let columns = (columns as u16).to_be_bytes();
    out.extend_from_slice(&[b'D', 0, 0, 0, 0, columns[0], columns[1]]);
    out.len() - 6
}

fn end_row(out: &mut Vec<u8>, start: usize) -> Result<()> {
    if out.len() - start > ROW_BYTES_MAX {
        let message = format!("a row of {} bytes is longer than the protocol carries", out.len() - start);
        out.truncate(start - 1);
        return Err(Error::new(ErrorKind::ProgramLimit, message));
    }
    backend::finish(out, start);
    Ok(())
}

fn write_value(
    out: &mut Vec<u8>,
    value: ValueRef<'_>,
    data_type: &DataType,
    format: Format,
    context: &TextContext,
) {
    if value.is_null() {
        out.extend_from_slice(&(-1i32).to_be_bytes());
        return;
    }
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    match format {
        Format::Text => format_text(value, data_type, context, out),
        Format::Binary => to_binary(value, data_type, out),
    }
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}
