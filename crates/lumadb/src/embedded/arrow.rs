//! Results as Arrow that every tool reads.
//!
//! Inside, a type of SQL may have a form of its own: numbers without a precision are bytes, enums are numbers. Outside, numbers
//! are decimals of as many digits as there are in the column, texts are UTF-8, and what Arrow has no type for is text as psql shows it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Decimal128Builder, Decimal256Builder, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef, i256};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use luma_model::arrow::arrow_type;
use luma_model::{CellReader, ColumnBuilder, DataType, Error, Result, TextContext, ValueRef, format_text};
use luma_query::{Column, RowSink};

/// Digits of the narrow and of the wide decimal.
const NARROW: usize = 38;
const WIDE: usize = 76;

/// Rows that come one by one.
pub(super) struct Gathered {
    builders: Vec<ColumnBuilder>,
    rows: usize,
}

impl Gathered {
    pub(super) fn new(columns: &[Column]) -> Self {
        Self {
            builders: columns.iter().map(|column| ColumnBuilder::new(&column.data_type, 1)).collect(),
            rows: 0,
        }
    }

    /// The rows as one batch's columns, or none.
    pub(super) fn finish(self) -> Result<Vec<Vec<ArrayRef>>> {
        if self.rows == 0 {
            return Ok(Vec::new());
        }
        Ok(vec![self.builders.into_iter().map(ColumnBuilder::finish).collect()])
    }
}

impl RowSink for Gathered {
    fn row(&mut self, values: &[ValueRef<'_>]) -> Result<()> {
        for (builder, value) in self.builders.iter_mut().zip(values) {
            match value {
                ValueRef::Null => builder.append_null(),
                value => builder.append(*value)?,
            }
        }
        self.rows += 1;
        Ok(())
    }
}

/// Batches of a result in their outer form.
pub(super) fn outer(
    columns: &[Column],
    batches: &[Vec<ArrayRef>],
    context: &TextContext,
) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let rows: Vec<usize> = batches.iter().map(|batch| batch.first().map_or(0, Array::len)).collect();
    let mut fields = Vec::with_capacity(columns.len());
    let mut all: Vec<Vec<ArrayRef>> = vec![Vec::with_capacity(columns.len()); batches.len()];
    for (place, column) in columns.iter().enumerate() {
        let parts: Vec<&ArrayRef> = batches.iter().filter_map(|batch| batch.get(place)).collect();
        let (outer, arrays) = column_of(&column.data_type, &parts, context)?;
        fields.push(Field::new(&column.name, outer, true));
        for (batch, array) in all.iter_mut().zip(arrays) {
            batch.push(array);
        }
    }
    let schema = Arc::new(Schema::new(fields));
    let batches = all.into_iter().zip(rows).map(|(arrays, rows)| {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options).map_err(failed)
    });
    let batches = batches.collect::<Result<Vec<_>>>()?;
    Ok((schema, batches))
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("a result as Arrow: {error}"))
}

/// What Arrow's type of a value is outside, if it is stored as such.
fn plain(data_type: &DataType) -> Option<ArrowType> {
    match data_type {
        DataType::Bool
        | DataType::Int2
        | DataType::Int4
        | DataType::Int8
        | DataType::Oid
        | DataType::Float4
        | DataType::Float8
        | DataType::Numeric(Some(_))
        | DataType::Date
        | DataType::Time
        | DataType::Timestamp
        | DataType::TimestampTz
        | DataType::Interval => Some(arrow_type(data_type)),
        DataType::Bytea => Some(ArrowType::Binary),
        DataType::Array(element) => {
            Some(ArrowType::List(Arc::new(Field::new_list_field(plain(element)?, true))))
        }
        other if arrow_type(other) == ArrowType::Utf8View => Some(ArrowType::Utf8),
        _ => None,
    }
}

fn column_of(
    data_type: &DataType,
    parts: &[&ArrayRef],
    context: &TextContext,
) -> Result<(ArrowType, Vec<ArrayRef>)> {
    if let Some(outer) = plain(data_type) {
        let arrays = parts.iter().map(|array| cast(array, &outer).map_err(failed)).collect::<Result<_>>()?;
        return Ok((outer, arrays));
    }
    let mut texts = Vec::with_capacity(parts.len());
    for array in parts {
        texts.push(as_texts(data_type, array, context)?);
    }
    if *data_type == DataType::Numeric(None)
        && let Some(found) = decimals(&texts)?
    {
        return Ok(found);
    }
    Ok((ArrowType::Utf8, texts.into_iter().map(|texts| Arc::new(texts) as ArrayRef).collect()))
}

fn as_texts(
    data_type: &DataType,
    array: &ArrayRef,
    context: &TextContext,
) -> Result<arrow::array::StringArray> {
    let reader = CellReader::new(array.as_ref(), data_type)?;
    let mut builder = StringBuilder::new();
    let mut text = Vec::new();
    for row in 0..array.len() {
        match reader.get(row)? {
            ValueRef::Null => builder.append_null(),
            value => {
                text.clear();
                format_text(value, data_type, context, &mut text);
                builder.append_value(std::str::from_utf8(&text).map_err(failed)?);
            }
        }
    }
    Ok(builder.finish())
}

/// Numbers as decimals of as many digits as they need together; none if they are not all numbers, or need more than there are.
fn decimals(texts: &[arrow::array::StringArray]) -> Result<Option<(ArrowType, Vec<ArrayRef>)>> {
    let (mut whole, mut scale) = (1, 0);
    for text in texts.iter().flat_map(|texts| texts.iter().flatten()) {
        let (before, after) =
            text.trim_start_matches('-').split_once('.').unwrap_or((text.trim_start_matches('-'), ""));
        if !before.bytes().chain(after.bytes()).all(|digit| digit.is_ascii_digit()) {
            return Ok(None);
        }
        (whole, scale) = (before.len().max(whole), after.len().max(scale));
    }
    if whole + scale > WIDE {
        return Ok(None);
    }
    let narrow = whole + scale <= NARROW;
    let outer = if narrow {
        ArrowType::Decimal128(NARROW as u8, scale as i8)
    } else {
        ArrowType::Decimal256(WIDE as u8, scale as i8)
    };
    let unscaled = |text: &str| {
        let (before, after) = text.split_once('.').unwrap_or((text, ""));
        format!("{before}{after}{}", "0".repeat(scale - after.len()))
    };
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(texts.len());
    for part in texts {
        arrays.push(if narrow {
            let mut builder = Decimal128Builder::new().with_data_type(outer.clone());
            for text in part {
                builder.append_option(text.map(|text| unscaled(text).parse()).transpose().map_err(failed)?);
            }
            Arc::new(builder.finish())
        } else {
            let mut builder = Decimal256Builder::new().with_data_type(outer.clone());
            for text in part {
                let number = text.map(|text| i256::from_string(&unscaled(text)).ok_or_else(|| failed(text)));
                builder.append_option(number.transpose()?);
            }
            Arc::new(builder.finish())
        });
    }
    Ok(Some((outer, arrays)))
}
