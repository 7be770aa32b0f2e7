//! Conversions between dates, times and intervals.

use crate::calendar::{MICROS_PER_SECOND, is_infinite, is_timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::interval::{Interval, MICROS_PER_DAY};
use crate::text::TextContext;
use crate::types::DataType;
use crate::value::{
    DATE_INFINITY, DATE_NEGATIVE_INFINITY, TIMESTAMP_INFINITY, TIMESTAMP_NEGATIVE_INFINITY, Value, ValueRef,
};
use crate::zone;

/// Converts between dates and times; `None` when it is not about those.
pub(super) fn convert(value: ValueRef<'_>, to: &DataType, context: &TextContext) -> Option<Result<Value>> {
    Some(match (value, to) {
        (ValueRef::Date(days), DataType::Timestamp) => midnight(days).map(Value::Timestamp),
        (ValueRef::Date(days), DataType::TimestampTz) => {
            midnight(days).and_then(|local| to_utc(local, context)).map(Value::TimestampTz)
        }
        (ValueRef::Timestamp(micros), DataType::Date) => Ok(Value::Date(day(micros))),
        (ValueRef::Timestamp(micros), DataType::Time) => Ok(time(micros)),
        (ValueRef::Timestamp(micros), DataType::TimestampTz) => {
            to_utc(micros, context).map(Value::TimestampTz)
        }
        (ValueRef::TimestampTz(micros), DataType::Date) => {
            to_local(micros, context).map(|local| Value::Date(day(local)))
        }
        (ValueRef::TimestampTz(micros), DataType::Time) => to_local(micros, context).map(time),
        (ValueRef::TimestampTz(micros), DataType::Timestamp) => {
            to_local(micros, context).map(Value::Timestamp)
        }
        (ValueRef::Time(micros), DataType::Interval) => Ok(Value::Interval(Interval::new(0, 0, micros))),
        (ValueRef::Interval(span), DataType::Time) => Ok(Value::Time(span.micros.rem_euclid(MICROS_PER_DAY))),
        _ => return None,
    })
}

#[cold]
fn out_of_range() -> Error {
    Error::new(ErrorKind::DatetimeOverflow, "timestamp out of range")
}

fn midnight(days: i32) -> Result<i64> {
    match days {
        DATE_INFINITY => Ok(TIMESTAMP_INFINITY),
        DATE_NEGATIVE_INFINITY => Ok(TIMESTAMP_NEGATIVE_INFINITY),
        days => i64::from(days)
            .checked_mul(MICROS_PER_DAY)
            .ok_or_else(|| Error::new(ErrorKind::DatetimeOverflow, "date out of range for timestamp")),
    }
}

fn day(micros: i64) -> i32 {
    match micros {
        TIMESTAMP_INFINITY => DATE_INFINITY,
        TIMESTAMP_NEGATIVE_INFINITY => DATE_NEGATIVE_INFINITY,
        micros => micros.div_euclid(MICROS_PER_DAY) as i32,
    }
}

/// The time of day; infinity has none.
fn time(micros: i64) -> Value {
    if is_infinite(micros) { Value::Null } else { Value::Time(micros.rem_euclid(MICROS_PER_DAY)) }
}

fn to_utc(local: i64, context: &TextContext) -> Result<i64> {
    if is_infinite(local) {
        return Ok(local);
    }
    let offset = i64::from(zone::offset_of_local(context.timezone, local)) * MICROS_PER_SECOND;
    local.checked_sub(offset).filter(|micros| is_timestamp(*micros)).ok_or_else(out_of_range)
}

fn to_local(utc: i64, context: &TextContext) -> Result<i64> {
    if is_infinite(utc) {
        return Ok(utc);
    }
    let offset = i64::from(zone::offset_at(context.timezone, utc)) * MICROS_PER_SECOND;
    utc.checked_add(offset).filter(|micros| is_timestamp(*micros)).ok_or_else(out_of_range)
}
