//! Columns built value by value.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder,
    Int16Builder, Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder, LargeBinaryBuilder,
    StringViewBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, ListArray, new_null_array};
use arrow_buffer::{IntervalMonthDayNano, NullBufferBuilder, OffsetBuffer, ScalarBuffer};

use super::field::{UTC, arrow_type, element_field};
use crate::error::{Error, ErrorKind, Result};
use crate::numeric::NumericRef;
use crate::text::format_uuid;
use crate::types::DataType;
use crate::value::ValueRef;

/// An Arrow column of one data type that grows by one value at a time.
///
/// The array it gives has the Arrow type that [`field`](super::field) names for the data type.
#[derive(Debug)]
pub struct ColumnBuilder {
    data_type: DataType,
    cells: Cells,
    length: usize,
}

#[derive(Debug)]
enum Cells {
    Bool(BooleanBuilder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Float4(Float32Builder),
    Float8(Float64Builder),
    /// With the scale of the column.
    Numeric(Decimal128Builder, u8),
    /// In sorting bytes.
    AnyNumeric(LargeBinaryBuilder, Vec<u8>),
    Text(StringViewBuilder),
    Bytea(BinaryViewBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    Array {
        elements: Box<ColumnBuilder>,
        ends: Vec<i32>,
        nulls: NullBufferBuilder,
    },
}

impl Cells {
    fn array(element: &DataType, capacity: usize) -> Self {
        let mut ends = Vec::with_capacity(capacity + 1);
        ends.push(0);
        let elements = Box::new(ColumnBuilder::new(element, capacity));
        Self::Array { elements, ends, nulls: NullBufferBuilder::new(capacity) }
    }
}

impl ColumnBuilder {
    /// An empty column with room for that many values.
    pub fn new(data_type: &DataType, capacity: usize) -> Self {
        let cells = match data_type {
            DataType::Bool => Cells::Bool(BooleanBuilder::with_capacity(capacity)),
            DataType::Int2 => Cells::Int2(Int16Builder::with_capacity(capacity)),
            DataType::Int4 => Cells::Int4(Int32Builder::with_capacity(capacity)),
            DataType::Int8 | DataType::Oid | DataType::Reg(_) | DataType::Xid | DataType::Enum(_) => {
                Cells::Int8(Int64Builder::with_capacity(capacity))
            }
            DataType::Float4 => Cells::Float4(Float32Builder::with_capacity(capacity)),
            DataType::Float8 => Cells::Float8(Float64Builder::with_capacity(capacity)),
            DataType::Numeric(_) => match data_type.decimal() {
                Some((_, scale)) => {
                    let builder =
                        Decimal128Builder::with_capacity(capacity).with_data_type(arrow_type(data_type));
                    Cells::Numeric(builder, scale)
                }
                None => {
                    Cells::AnyNumeric(LargeBinaryBuilder::with_capacity(capacity, capacity * 8), Vec::new())
                }
            },
            DataType::Text
            | DataType::Varchar(_)
            | DataType::Char(_)
            | DataType::Uuid
            | DataType::Json
            | DataType::Jsonb
            | DataType::Name
            | DataType::InternalChar
            | DataType::NodeTree
            | DataType::Void => Cells::Text(StringViewBuilder::with_capacity(capacity)),
            DataType::Bytea | DataType::Record => Cells::Bytea(BinaryViewBuilder::with_capacity(capacity)),
            DataType::Date => Cells::Date(Date32Builder::with_capacity(capacity)),
            DataType::Time => Cells::Time(Time64MicrosecondBuilder::with_capacity(capacity)),
            DataType::Timestamp => Cells::Timestamp(TimestampMicrosecondBuilder::with_capacity(capacity)),
            DataType::TimestampTz => {
                Cells::Timestamp(TimestampMicrosecondBuilder::with_capacity(capacity).with_timezone(UTC))
            }
            DataType::Interval => Cells::Interval(IntervalMonthDayNanoBuilder::with_capacity(capacity)),
            DataType::Array(element) => Cells::array(element, capacity),
            DataType::Int2Vector => Cells::array(&DataType::Int2, capacity),
            DataType::OidVector => Cells::array(&DataType::Oid, capacity),
        };
        Self { data_type: data_type.clone(), cells, length: 0 }
    }

    /// How many values it has.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends a value, NULL included.
    ///
    /// # Errors
    /// 22003 for a number that the column cannot hold exactly, 22008 for such an interval, XX000 for a
    /// value of another type.
    pub fn append(&mut self, value: ValueRef<'_>) -> Result<()> {
        match (&mut self.cells, value) {
            (_, ValueRef::Null) => {
                self.append_null();
                return Ok(());
            }
            (Cells::Int4(cells), ValueRef::Int4(value)) => cells.append_value(value),
            (Cells::Int8(cells), ValueRef::Int8(value)) => cells.append_value(value),
            (Cells::Text(cells), ValueRef::Text(value)) => cells.append_value(value),
            (Cells::Bool(cells), ValueRef::Bool(value)) => cells.append_value(value),
            (Cells::Int2(cells), ValueRef::Int2(value)) => cells.append_value(value),
            (Cells::Int4(cells), ValueRef::Int2(value)) => cells.append_value(value.into()),
            (Cells::Int8(cells), ValueRef::Int4(value)) => cells.append_value(value.into()),
            (Cells::Int8(cells), ValueRef::Int2(value)) => cells.append_value(value.into()),
            (Cells::Int8(cells), ValueRef::Oid(value)) => cells.append_value(value.into()),
            (Cells::Float4(cells), ValueRef::Float4(value)) => cells.append_value(value),
            (Cells::Float8(cells), ValueRef::Float8(value)) => cells.append_value(value),
            (Cells::Float8(cells), ValueRef::Float4(value)) => cells.append_value(value.into()),
            (Cells::Numeric(cells, scale), ValueRef::Numeric(value)) => {
                cells.append_value(unscaled(value, *scale, &self.data_type)?);
            }
            (Cells::AnyNumeric(cells, bytes), ValueRef::Numeric(value)) => {
                bytes.clear();
                super::numeric::encode(value, bytes)?;
                cells.append_value(&*bytes);
            }
            (Cells::Text(cells), ValueRef::Uuid(value)) => cells.append_value(&*format_uuid(value)),
            (Cells::Bytea(cells), ValueRef::Bytea(value)) => cells.append_value(value),
            (Cells::Date(cells), ValueRef::Date(value)) => cells.append_value(value),
            (Cells::Time(cells), ValueRef::Time(value)) => cells.append_value(value),
            (Cells::Timestamp(cells), ValueRef::Timestamp(value) | ValueRef::TimestampTz(value)) => {
                cells.append_value(value);
            }
            (Cells::Interval(cells), ValueRef::Interval(value)) => {
                let nanos = value.micros.checked_mul(1000).ok_or_else(|| {
                    Error::new(
                        ErrorKind::DatetimeOverflow,
                        "interval out of range: queries handle up to 2562047 hours beside months and days",
                    )
                })?;
                cells.append_value(IntervalMonthDayNano::new(value.months, value.days, nanos));
            }
            (Cells::Array { elements, ends, nulls }, ValueRef::Array(array)) => {
                let before = elements.length;
                let appended = array.iter().try_for_each(|element| elements.append(element));
                let end = i32::try_from(elements.length).map_err(|_| {
                    Error::new(ErrorKind::ProgramLimit, "a batch holds at most 2147483647 array elements")
                });
                if let Err(error) = appended.and(end.map(|end| ends.push(end))) {
                    // The elements before the bad one stay: an array of their own that nobody sees
                    // would shift the next row, so the row is closed here and the column unusable.
                    ends.push(i32::try_from(elements.length).unwrap_or(before as i32));
                    nulls.append_null();
                    self.length += 1;
                    return Err(error);
                }
                nulls.append_non_null();
            }
            (_, value) => {
                return Err(Error::internal(format!(
                    "a value of kind {:?} came where the column has type {}",
                    value.kind(),
                    self.data_type
                )));
            }
        }
        self.length += 1;
        Ok(())
    }

    /// Appends NULL.
    pub fn append_null(&mut self) {
        self.length += 1;
        match &mut self.cells {
            Cells::Bool(cells) => cells.append_null(),
            Cells::Int2(cells) => cells.append_null(),
            Cells::Int4(cells) => cells.append_null(),
            Cells::Int8(cells) => cells.append_null(),
            Cells::Float4(cells) => cells.append_null(),
            Cells::Float8(cells) => cells.append_null(),
            Cells::Numeric(cells, _) => cells.append_null(),
            Cells::AnyNumeric(cells, _) => cells.append_null(),
            Cells::Text(cells) => cells.append_null(),
            Cells::Bytea(cells) => cells.append_null(),
            Cells::Date(cells) => cells.append_null(),
            Cells::Time(cells) => cells.append_null(),
            Cells::Timestamp(cells) => cells.append_null(),
            Cells::Interval(cells) => cells.append_null(),
            Cells::Array { ends, nulls, .. } => {
                ends.push(ends.last().copied().unwrap_or(0));
                nulls.append_null();
            }
        }
    }

    /// The column as an array.
    pub fn finish(self) -> ArrayRef {
        match self.cells {
            Cells::Bool(mut cells) => Arc::new(cells.finish()),
            Cells::Int2(mut cells) => Arc::new(cells.finish()),
            Cells::Int4(mut cells) => Arc::new(cells.finish()),
            Cells::Int8(mut cells) => Arc::new(cells.finish()),
            Cells::Float4(mut cells) => Arc::new(cells.finish()),
            Cells::Float8(mut cells) => Arc::new(cells.finish()),
            Cells::Numeric(mut cells, _) => Arc::new(cells.finish()),
            Cells::AnyNumeric(mut cells, _) => Arc::new(cells.finish()),
            Cells::Text(mut cells) => Arc::new(cells.finish()),
            Cells::Bytea(mut cells) => Arc::new(cells.finish()),
            Cells::Date(mut cells) => Arc::new(cells.finish()),
            Cells::Time(mut cells) => Arc::new(cells.finish()),
            Cells::Timestamp(mut cells) => Arc::new(cells.finish()),
            Cells::Interval(mut cells) => Arc::new(cells.finish()),
            Cells::Array { elements, ends, mut nulls } => {
                let item = Arc::new(element_field(&elements.data_type));
                let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
                match ListArray::try_new(item, offsets, elements.finish(), nulls.finish()) {
                    Ok(array) => Arc::new(array),
                    // Cannot happen: the ends only grow and the last one is the number of elements.
                    Err(_) => new_null_array(&arrow_type(&self.data_type), self.length),
                }
            }
        }
    }
}

/// The number in units of the column's scale.
fn unscaled(value: NumericRef<'_>, scale: u8, data_type: &DataType) -> Result<i128> {
    let Some((precision, _)) = data_type.decimal() else {
        return Err(Error::internal("no numeric column"));
    };
    let NumericRef::Decimal(decimal) = value else { return Err(not_representable(value, precision, scale)) };
    decimal
        .rescale(scale)
        .filter(|number| number.integer_digits() <= u32::from(precision - scale))
        .map(|number| number.unscaled)
        .ok_or_else(|| not_representable(value, precision, scale))
}

#[cold]
fn not_representable(value: NumericRef<'_>, precision: u8, scale: u8) -> Error {
    Error::new(
        ErrorKind::OutOfRange,
        format!("numeric value {value} does not fit in numeric({precision},{scale})"),
    )
    .detail(format!(
        "The column holds up to {} digits before the decimal point and {scale} after it.",
        precision - scale
    ))
    .hint("Declare the column as numeric, which holds every number.")
}
