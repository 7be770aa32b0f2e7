//! Columns read value by value.

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{
    Array, BinaryArray, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray,
    Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray,
    LargeBinaryArray, LargeStringArray, StringArray, StringViewArray,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType as ArrowType, Field, TimeUnit};

use super::{field, nested};
use crate::cast::{CastKind, cast};
use crate::error::{Error, ErrorKind, Result};
use crate::interval::Interval;
use crate::numeric::{DECIMAL_DIGITS_MAX, NumericRef};
use crate::text::{TextContext, parse_uuid};
use crate::types::DataType;
use crate::value::{ArrayRef, Value, ValueRef};

/// Reads the cells of one Arrow column as values of one data type.
///
/// The usual representations are read in place. Others (unsigned integers, seconds, dictionaries of
/// numbers, structs) are converted once, when the reader is made.
#[derive(Debug, Clone)]
pub struct CellReader {
    cells: Cells,
    length: usize,
}

#[derive(Debug, Clone)]
enum Cells {
    Null,
    Bool(BooleanArray),
    Int2(Int16Array),
    Int4(Int32Array),
    Int8(Int64Array),
    Oid(Int64Array),
    Float4(Float32Array),
    Float8(Float64Array),
    /// With its scale.
    Numeric(Decimal128Array, u8),
    AnyNumeric(LargeBinaryArray),
    TextView(StringViewArray),
    Text(StringArray),
    LargeText(LargeStringArray),
    UuidView(StringViewArray),
    BinaryView(BinaryViewArray),
    Binary(BinaryArray),
    FixedBinary(FixedSizeBinaryArray),
    Date(Date32Array),
    Time(Int64Array),
    Timestamp(Int64Array),
    TimestampTz(Int64Array),
    Interval(IntervalMonthDayNanoArray),
    /// Where each list ends in the column of all elements; the first number is where the first begins.
    List {
        elements: Box<CellReader>,
        ranges: nested::Ranges,
        nulls: Option<NullBuffer>,
    },
    /// The place of each row's value among the values.
    Lookup {
        values: Box<CellReader>,
        places: Vec<usize>,
        nulls: Option<NullBuffer>,
    },
    Values(Vec<Value>),
}

impl CellReader {
    /// A reader of the column's cells as values of that type, usually the one that
    /// [`data_type`](super::data_type) gives for the column's field.
    ///
    /// # Errors
    /// When the column's Arrow type has no counterpart, or a cell has none in the type.
    pub fn new(array: &dyn Array, data_type: &DataType) -> Result<Self> {
        Ok(Self { cells: open(array, data_type)?, length: array.len() })
    }

    /// How many cells the column has.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether the column has no cells.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The value of the cell at that place, borrowed where it is text or bytes.
    ///
    /// # Errors
    /// XX000 past the end; 22P02 for the text of a damaged UUID.
    pub fn get(&self, row: usize) -> Result<ValueRef<'_>> {
        if row >= self.length {
            return Err(Error::internal(format!("row {row} of a column of {}", self.length)));
        }
        macro_rules! cell {
            ($array:expr, $variant:ident) => {
                if $array.is_null(row) { ValueRef::Null } else { ValueRef::$variant($array.value(row)) }
            };
        }
        Ok(match &self.cells {
            Cells::Null => ValueRef::Null,
            Cells::Bool(array) => cell!(array, Bool),
            Cells::Int2(array) => cell!(array, Int2),
            Cells::Int4(array) => cell!(array, Int4),
            Cells::Int8(array) => cell!(array, Int8),
            Cells::Oid(array) if array.is_null(row) => ValueRef::Null,
            Cells::Oid(array) => {
                ValueRef::Oid(u32::try_from(array.value(row)).map_err(|_| out_of_range("oid"))?)
            }
            Cells::Float4(array) => cell!(array, Float4),
            Cells::Float8(array) => cell!(array, Float8),
            Cells::Numeric(array, _) if array.is_null(row) => ValueRef::Null,
            Cells::Numeric(array, scale) => ValueRef::Numeric(NumericRef::new(array.value(row), *scale)),
            Cells::AnyNumeric(array) if array.is_null(row) => ValueRef::Null,
            Cells::AnyNumeric(array) => ValueRef::Numeric(super::numeric::decode(array.value(row))?),
            Cells::TextView(array) => cell!(array, Text),
            Cells::Text(array) => cell!(array, Text),
            Cells::LargeText(array) => cell!(array, Text),
            Cells::UuidView(array) if array.is_null(row) => ValueRef::Null,
            Cells::UuidView(array) => ValueRef::Uuid(parse_uuid(array.value(row))?),
            Cells::BinaryView(array) => cell!(array, Bytea),
            Cells::Binary(array) => cell!(array, Bytea),
            Cells::FixedBinary(array) => cell!(array, Bytea),
            Cells::Date(array) => cell!(array, Date),
            Cells::Time(array) => cell!(array, Time),
            Cells::Timestamp(array) => cell!(array, Timestamp),
            Cells::TimestampTz(array) => cell!(array, TimestampTz),
            Cells::Interval(array) if array.is_null(row) => ValueRef::Null,
            Cells::Interval(array) => {
                let value = array.value(row);
                ValueRef::Interval(Interval::new(value.months, value.days, value.nanoseconds / 1000))
            }
            Cells::List { nulls, .. } | Cells::Lookup { nulls, .. }
                if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) =>
            {
                ValueRef::Null
            }
            Cells::List { elements, ranges, .. } => {
                let (start, end) = ranges.get(row);
                for place in start..end {
                    elements.get(place)?;
                }
                ValueRef::Array(ArrayRef::from_cells(elements, start, end - start))
            }
            Cells::Lookup { values, places, .. } => values.get(places[row])?,
            Cells::Values(values) => values[row].as_ref(),
        })
    }
}

#[cold]
fn out_of_range(name: &str) -> Error {
    Error::new(ErrorKind::OutOfRange, format!("{name} out of range"))
}

fn open(array: &dyn Array, data_type: &DataType) -> Result<Cells> {
    let arrow = array.data_type();
    Ok(match (arrow, data_type) {
        (ArrowType::Null, _) => Cells::Null,
        (ArrowType::Dictionary(..), _) => {
            let dictionary = array.as_any_dictionary();
            let values = CellReader::new(dictionary.values().as_ref(), data_type)?;
            // An empty dictionary has only NULL keys, whose places are never looked at.
            let places = if values.is_empty() { vec![0; array.len()] } else { dictionary.normalized_keys() };
            Cells::Lookup { values: Box::new(values), places, nulls: dictionary.keys().nulls().cloned() }
        }
        (ArrowType::RunEndEncoded(ends, _), _) => {
            let (places, values) = nested::run_places(array, ends.data_type())?;
            let values = CellReader::new(values.as_ref(), data_type)?;
            Cells::Lookup { values: Box::new(values), places, nulls: None }
        }
        (ArrowType::Boolean, DataType::Bool) => Cells::Bool(array.as_boolean().clone()),
        (ArrowType::Int16, DataType::Int2) => Cells::Int2(array.as_primitive::<Int16Type>().clone()),
        (ArrowType::Int32, DataType::Int4) => Cells::Int4(array.as_primitive::<Int32Type>().clone()),
        (ArrowType::Int64, DataType::Int8 | DataType::Enum(_)) => {
            Cells::Int8(array.as_primitive::<Int64Type>().clone())
        }
        (ArrowType::Int64, DataType::Oid | DataType::Reg(_) | DataType::Xid) => {
            Cells::Oid(array.as_primitive::<Int64Type>().clone())
        }
        (ArrowType::Float32, DataType::Float4) => Cells::Float4(array.as_primitive::<Float32Type>().clone()),
        (ArrowType::Float64, DataType::Float8) => Cells::Float8(array.as_primitive::<Float64Type>().clone()),
        (ArrowType::Decimal128(_, scale), DataType::Numeric(modifier))
            if (0..=DECIMAL_DIGITS_MAX as i8).contains(scale)
                && modifier.is_none_or(|(_, wanted)| wanted == i16::from(*scale)) =>
        {
            let array = array.as_primitive::<Decimal128Type>().clone();
            Cells::Numeric(array, *scale as u8)
        }
        (ArrowType::LargeBinary, number) if number.is_wide_numeric() => {
            Cells::AnyNumeric(array.as_binary::<i64>().clone())
        }
        (ArrowType::Utf8View, DataType::Uuid) => Cells::UuidView(array.as_string_view().clone()),
        (ArrowType::Utf8View, _) if is_text(data_type) => Cells::TextView(array.as_string_view().clone()),
        (ArrowType::Utf8, _) if is_text(data_type) => Cells::Text(array.as_string::<i32>().clone()),
        (ArrowType::LargeUtf8, _) if is_text(data_type) => Cells::LargeText(array.as_string::<i64>().clone()),
        (ArrowType::BinaryView, DataType::Bytea | DataType::Record) => {
            Cells::BinaryView(array.as_binary_view().clone())
        }
        (ArrowType::Binary, DataType::Bytea) => Cells::Binary(array.as_binary::<i32>().clone()),
        (ArrowType::FixedSizeBinary(_), DataType::Bytea) => {
            Cells::FixedBinary(array.as_fixed_size_binary().clone())
        }
        (ArrowType::Date32, DataType::Date) => Cells::Date(array.as_primitive::<Date32Type>().clone()),
        (ArrowType::Time64(TimeUnit::Microsecond), DataType::Time) => {
            Cells::Time(array.as_primitive::<Time64MicrosecondType>().reinterpret_cast())
        }
        (ArrowType::Timestamp(TimeUnit::Microsecond, _), DataType::Timestamp) => {
            Cells::Timestamp(array.as_primitive::<TimestampMicrosecondType>().reinterpret_cast())
        }
        (ArrowType::Timestamp(TimeUnit::Microsecond, _), DataType::TimestampTz) => {
            Cells::TimestampTz(array.as_primitive::<TimestampMicrosecondType>().reinterpret_cast())
        }
        (ArrowType::Interval(arrow_schema::IntervalUnit::MonthDayNano), DataType::Interval) => {
            Cells::Interval(array.as_primitive::<IntervalMonthDayNanoType>().clone())
        }
        (_, list) if nested::is_list(arrow) && list.element().is_some() => {
            let element = list.element().unwrap_or(&DataType::Text);
            let (ranges, values) = nested::list(array)?;
            Cells::List {
                elements: Box::new(CellReader::new(values.as_ref(), element)?),
                ranges,
                nulls: array.nulls().cloned(),
            }
        }
        _ => Cells::Values(convert(array, data_type)?),
    })
}

fn is_text(data_type: &DataType) -> bool {
    data_type.is_string() || data_type.is_json() || *data_type == DataType::Void
}

/// Every cell as a value: read as what the Arrow type stands for, then cast.
fn convert(array: &dyn Array, data_type: &DataType) -> Result<Vec<Value>> {
    let natural = field::data_type(&Field::new("column", array.data_type().clone(), true))?;
    if natural == *data_type {
        return (0..array.len())
            .map(|row| {
                if array.is_null(row) { Ok(Value::Null) } else { nested::natural_value(array, row, &natural) }
            })
            .collect();
    }
    let reader = CellReader::new(array, &natural)?;
    let context = TextContext::default();
    (0..array.len())
        .map(|row| cast(reader.get(row)?, &natural, data_type, CastKind::Explicit, &context))
        .collect()
}
