//! Representations that are converted when a column is opened.

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType as ArrowType, IntervalUnit, TimeUnit};

use super::json;
use crate::error::{Error, ErrorKind, Result};
use crate::interval::Interval;
use crate::numeric::NumericRef;
use crate::types::DataType;
use crate::value::Value;

/// Which elements belong to each list of a column.
#[derive(Debug, Clone)]
pub(super) enum Ranges {
    Short(OffsetBuffer<i32>),
    Long(OffsetBuffer<i64>),
    ShortView(ScalarBuffer<i32>, ScalarBuffer<i32>),
    LongView(ScalarBuffer<i64>, ScalarBuffer<i64>),
    Fixed(usize),
}

impl Ranges {
    /// Where the list at that row begins and ends.
    pub(super) fn get(&self, row: usize) -> (usize, usize) {
        match self {
            Ranges::Short(ends) => (ends[row] as usize, ends[row + 1] as usize),
            Ranges::Long(ends) => (ends[row] as usize, ends[row + 1] as usize),
            Ranges::ShortView(starts, sizes) => (starts[row] as usize, (starts[row] + sizes[row]) as usize),
            Ranges::LongView(starts, sizes) => (starts[row] as usize, (starts[row] + sizes[row]) as usize),
            Ranges::Fixed(size) => (row * size, (row + 1) * size),
        }
    }
}

/// Whether it is one of Arrow's lists.
pub(super) fn is_list(arrow: &ArrowType) -> bool {
    matches!(
        arrow,
        ArrowType::List(_)
            | ArrowType::LargeList(_)
            | ArrowType::ListView(_)
            | ArrowType::LargeListView(_)
            | ArrowType::FixedSizeList(..)
    )
}

/// The ranges of a column of lists, and the column of all its elements.
pub(super) fn list(array: &dyn Array) -> Result<(Ranges, ArrayRef)> {
    Ok(match array.data_type() {
        ArrowType::List(_) => {
            let list = array.as_list::<i32>();
            (Ranges::Short(list.offsets().clone()), list.values().clone())
        }
        ArrowType::LargeList(_) => {
            let list = array.as_list::<i64>();
            (Ranges::Long(list.offsets().clone()), list.values().clone())
        }
        ArrowType::ListView(_) => {
            let list = array.as_list_view::<i32>();
            (Ranges::ShortView(list.offsets().clone(), list.sizes().clone()), list.values().clone())
        }
        ArrowType::LargeListView(_) => {
            let list = array.as_list_view::<i64>();
            (Ranges::LongView(list.offsets().clone(), list.sizes().clone()), list.values().clone())
        }
        ArrowType::FixedSizeList(_, size) => {
            let list = array.as_fixed_size_list();
            (Ranges::Fixed(*size as usize), list.values().clone())
        }
        other => return Err(unsupported(other)),
    })
}

/// Of a run-end encoded column: the place of each row's value, and the values.
pub(super) fn run_places(array: &dyn Array, ends: &ArrowType) -> Result<(Vec<usize>, ArrayRef)> {
    fn places<R: RunEndIndexType>(array: &dyn Array) -> Option<(Vec<usize>, ArrayRef)> {
        let run = array.as_any().downcast_ref::<arrow_array::RunArray<R>>()?;
        let places = (0..run.len()).map(|row| run.get_physical_index(row)).collect();
        Some((places, run.values().clone()))
    }
    match ends {
        ArrowType::Int16 => places::<Int16Type>(array),
        ArrowType::Int32 => places::<Int32Type>(array),
        ArrowType::Int64 => places::<Int64Type>(array),
        _ => None,
    }
    .ok_or_else(|| unsupported(array.data_type()))
}

/// The value of a cell that is not NULL, of a type that is not read in place.
pub(super) fn natural_value(array: &dyn Array, row: usize, natural: &DataType) -> Result<Value> {
    macro_rules! cell {
        ($arrow:ident) => {
            array.as_primitive::<$arrow>().value(row)
        };
    }
    let numeric = |unscaled: i128, scale: i8| -> Result<Value> { decimal(unscaled, scale, natural) };
    Ok(match array.data_type() {
        ArrowType::Int8 => Value::Int2(cell!(Int8Type).into()),
        ArrowType::UInt8 => Value::Int2(cell!(UInt8Type).into()),
        ArrowType::UInt16 => Value::Int4(cell!(UInt16Type).into()),
        ArrowType::UInt32 => Value::Int8(cell!(UInt32Type).into()),
        ArrowType::UInt64 => Value::Int8(
            i64::try_from(cell!(UInt64Type))
                .map_err(|_| Error::new(ErrorKind::OutOfRange, "bigint out of range"))?,
        ),
        ArrowType::Float16 => Value::Float4(cell!(Float16Type).to_f32()),
        ArrowType::Decimal32(_, scale) => numeric(cell!(Decimal32Type).into(), *scale)?,
        ArrowType::Decimal64(_, scale) => numeric(cell!(Decimal64Type).into(), *scale)?,
        ArrowType::Decimal128(_, scale) => numeric(cell!(Decimal128Type), *scale)?,
        ArrowType::Decimal256(_, scale) => {
            let unscaled = cell!(Decimal256Type);
            numeric(unscaled.to_i128().ok_or_else(too_many_digits)?, *scale)?
        }
        ArrowType::Date64 => {
            let days = cell!(Date64Type).div_euclid(86_400_000);
            Value::Date(i32::try_from(days).map_err(|_| out_of_range("date"))?)
        }
        ArrowType::Time32(TimeUnit::Second) => Value::Time(i64::from(cell!(Time32SecondType)) * 1_000_000),
        ArrowType::Time32(_) => Value::Time(i64::from(cell!(Time32MillisecondType)) * 1000),
        ArrowType::Time64(_) => Value::Time(cell!(Time64NanosecondType) / 1000),
        ArrowType::Timestamp(unit, zone) => {
            let micros = match unit {
                TimeUnit::Second => cell!(TimestampSecondType).checked_mul(1_000_000),
                TimeUnit::Millisecond => cell!(TimestampMillisecondType).checked_mul(1000),
                TimeUnit::Microsecond => Some(cell!(TimestampMicrosecondType)),
                TimeUnit::Nanosecond => Some(cell!(TimestampNanosecondType).div_euclid(1000)),
            };
            let micros = micros.ok_or_else(|| out_of_range("timestamp"))?;
            if zone.is_some() { Value::TimestampTz(micros) } else { Value::Timestamp(micros) }
        }
        ArrowType::Duration(unit) => {
            let micros = match unit {
                TimeUnit::Second => cell!(DurationSecondType).checked_mul(1_000_000),
                TimeUnit::Millisecond => cell!(DurationMillisecondType).checked_mul(1000),
                TimeUnit::Microsecond => Some(cell!(DurationMicrosecondType)),
                TimeUnit::Nanosecond => Some(cell!(DurationNanosecondType) / 1000),
            };
            Value::Interval(duration(micros.ok_or_else(|| out_of_range("interval"))?))
        }
        ArrowType::Interval(IntervalUnit::YearMonth) => {
            Value::Interval(Interval::new(cell!(IntervalYearMonthType), 0, 0))
        }
        ArrowType::Interval(IntervalUnit::DayTime) => {
            let value = cell!(IntervalDayTimeType);
            Value::Interval(Interval::new(0, value.days, i64::from(value.milliseconds) * 1000))
        }
        _ if natural.is_json() => Value::Text(json::canonical_text(array, row)?),
        other => return Err(unsupported(other)),
    })
}

/// A length of time as the difference of two timestamps is shown: whole days and the rest.
fn duration(micros: i64) -> Interval {
    let day = crate::interval::MICROS_PER_DAY;
    Interval::new(0, (micros / day) as i32, micros % day)
}

fn decimal(unscaled: i128, scale: i8, natural: &DataType) -> Result<Value> {
    let number = if scale < 0 {
        let factor = crate::numeric::power_of_ten(u32::from(scale.unsigned_abs()));
        let unscaled = factor.and_then(|factor| unscaled.checked_mul(factor)).ok_or_else(too_many_digits)?;
        NumericRef::new(unscaled, 0)
    } else {
        NumericRef::new(unscaled, scale as u8)
    };
    Ok(Value::Numeric(match natural {
        DataType::Numeric(Some((_, wanted))) => number.round((*wanted).into())?,
        _ => number.trim_scale(),
    }))
}

#[cold]
fn too_many_digits() -> Error {
    Error::new(ErrorKind::OutOfRange, "numeric value has more than 38 digits")
}

#[cold]
fn out_of_range(name: &str) -> Error {
    Error::new(ErrorKind::DatetimeOverflow, format!("{name} out of range"))
}

#[cold]
fn unsupported(arrow: &ArrowType) -> Error {
    Error::new(ErrorKind::FeatureNotSupported, format!("columns of type {arrow} are not supported"))
}
