//! How a table's columns are written to Parquet.
//!
//! Columns are found again by their numbers, which are the Parquet field identifiers, so that renaming and
//! dropping columns leaves files alone. Every column takes NULL in a file, whatever the table says now.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryArray, IntervalMonthDayNanoArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType as ArrowType, Field, IntervalMonthDayNanoType, Schema, SchemaRef};
use luma_catalog::{Column, Table};
use luma_model::arrow::arrow_type;
use luma_model::{DataType, Error, ErrorKind, Result};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

/// Rows of a row group: what is read by one thread at a time, and what is skipped by minima and maxima.
pub(crate) const GROUP_ROWS: usize = 128 << 10;
/// Rows of a page: what is unpacked at least to find one row.
const PAGE_ROWS: usize = 8 << 10;
/// Bytes of an interval: months and days in 4 each and nanoseconds in 8, low bytes first.
const INTERVAL_BYTES: i32 = 16;

/// Refuses a column whose values a file cannot have.
///
/// # Errors
/// 0A000 for arrays of intervals.
pub fn refuse_unstorable(column: &Column) -> Result<()> {
    if matches!(&column.data_type, DataType::Array(element) if **element == DataType::Interval) {
        return Err(Error::new(
            ErrorKind::FeatureNotSupported,
            format!("column \"{}\": a columnar table cannot have the type interval[]", column.name),
        )
        .hint("Keep the intervals in rows of their own, or use a table without engine = 'columnar'."));
    }
    Ok(())
}

/// The schema of a new file of the table.
pub(crate) fn schema(table: &Table) -> SchemaRef {
    let fields: Vec<Field> = table
        .live_columns()
        .map(|column| {
            let stored = match arrow_type(&column.data_type) {
                ArrowType::Interval(_) => ArrowType::FixedSizeBinary(INTERVAL_BYTES),
                other => other,
            };
            let id = (PARQUET_FIELD_ID_META_KEY.to_owned(), column.number.to_string());
            Field::new(&column.name, stored, true).with_metadata(HashMap::from([id]))
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// A column as files have it.
pub(crate) fn to_file(array: &ArrayRef) -> Result<ArrayRef> {
    if !matches!(array.data_type(), ArrowType::Interval(_)) {
        return Ok(Arc::clone(array));
    }
    let intervals = array.as_primitive::<IntervalMonthDayNanoType>();
    let mut bytes = Vec::with_capacity(intervals.len() * INTERVAL_BYTES as usize);
    for interval in intervals.values() {
        bytes.extend_from_slice(&interval.months.to_le_bytes());
        bytes.extend_from_slice(&interval.days.to_le_bytes());
        bytes.extend_from_slice(&interval.nanoseconds.to_le_bytes());
    }
    let stored = FixedSizeBinaryArray::try_new(INTERVAL_BYTES, bytes.into(), intervals.nulls().cloned());
    Ok(Arc::new(stored.map_err(|error| Error::internal(format!("intervals: {error}")))?))
}

/// A file's column as queries have it.
///
/// # Errors
/// XX001 when the file has another type than the table.
pub fn from_file(array: ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    let wanted = arrow_type(data_type);
    if *array.data_type() == wanted {
        return Ok(array);
    }
    if let (ArrowType::Interval(_), Some(stored)) = (&wanted, array.as_fixed_size_binary_opt()) {
        let intervals: Vec<_> = (0..stored.len())
            .map(|row| {
                let (months, rest) = stored.value(row).split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
                let (days, nanos) = rest.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
                let nanos = nanos.first_chunk::<8>().unwrap_or(&[0; 8]);
                let (months, days) = (i32::from_le_bytes(*months), i32::from_le_bytes(*days));
                arrow::datatypes::IntervalMonthDayNano::new(months, days, i64::from_le_bytes(*nanos))
            })
            .collect();
        return Ok(Arc::new(IntervalMonthDayNanoArray::new(
            ScalarBuffer::from(intervals),
            stored.nulls().cloned(),
        )));
    }
    Err(Error::corrupted(format!("a file has the type {} where {wanted} belongs", array.data_type())))
}

/// How files are written.
pub(crate) fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_created_by("luma-columns".to_owned())
        .set_compression(Compression::LZ4_RAW)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(1024)
        .set_statistics_enabled(EnabledStatistics::Page)
        .build()
}
