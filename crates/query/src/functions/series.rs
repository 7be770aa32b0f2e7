//! `generate_series`: all of its values as one array.

use luma_model::{ArrayValue, DataType, Error, ErrorKind, Interval, Numeric, Result, Value, ValueRef};

use crate::functions::calendar::{shift, shift_zoned};
use crate::functions::numbers::{int, number};
use crate::functions::operators::micros;
use crate::functions::overload::Kind::{
    Int4, Int4Array, Int8, Int8Array, Interval as Span, Numeric as N, NumericArray, Timestamp,
    TimestampArray, TimestampTz, TimestampTzArray,
};
use crate::functions::overload::{Function, Overload};

/// Most values of one series.
const VALUES_MAX: usize = 10_000_000;

/// Values from a start, each made from the one before, while they have not passed the end.
fn series<T: Copy + PartialOrd>(
    start: T,
    end: T,
    up: bool,
    next: &dyn Fn(T) -> Result<Option<T>>,
    value: fn(T) -> Value,
) -> Result<Value> {
    let mut elements = Vec::new();
    let mut current = Some(start);
    while let Some(found) = current.filter(|found| if up { *found <= end } else { *found >= end }) {
        if elements.len() == VALUES_MAX {
            return Err(Error::new(ErrorKind::ProgramLimit, "a series has at most 10000000 values"));
        }
        elements.push(value(found));
        current = next(found)?;
    }
    Ok(Value::Array(ArrayValue { elements }))
}

fn zero_step() -> Error {
    Error::new(ErrorKind::InvalidParameterValue, "step size cannot equal zero")
}

fn integers(values: &[ValueRef<'_>], value: fn(i64) -> Value) -> Result<Value> {
    let step = values.get(2).map_or(1, |step| int(*step));
    if step == 0 {
        return Err(zero_step());
    }
    series(int(values[0]), int(values[1]), step > 0, &|found| Ok(found.checked_add(step)), value)
}

fn span(value: ValueRef<'_>) -> Result<Interval> {
    match value {
        ValueRef::Interval(span) if span.total_micros() == 0 => Err(zero_step()),
        ValueRef::Interval(span) => Ok(span),
        _ => Ok(Interval::default()),
    }
}

pub(super) static FUNCTIONS: &[&Function] = &[&Function::new(
    "luma_generate_series",
    &[
        Overload::new(&[Int4, Int4, Int4], Int4Array, |_, values, _| {
            integers(values, |number| Value::Int4(number as i32))
        })
        .optional(1),
        Overload::new(&[Int8, Int8, Int8], Int8Array, |_, values, _| integers(values, Value::Int8))
            .optional(1),
        Overload::new(&[N, N, N], NumericArray, |_, values, _| {
            let step = values.get(2).map_or(Numeric::new(1, 0), |step| number(*step));
            if step.unscaled == 0 {
                return Err(zero_step());
            }
            let next = |found: Numeric| Ok(found.checked_add(step));
            series(number(values[0]), number(values[1]), step.unscaled > 0, &next, Value::Numeric)
        })
        .optional(1),
        Overload::new(&[Timestamp, Timestamp, Span], TimestampArray, |_, values, _| {
            let step = span(values[2])?;
            let next = |found: i64| shift(found, step).map(Some);
            series(micros(values[0]), micros(values[1]), step.total_micros() > 0, &next, Value::Timestamp)
        }),
        Overload::new(&[TimestampTz, TimestampTz, Span], TimestampTzArray, |info, values, _: &[DataType]| {
            let (step, zone) = (span(values[2])?, info.text_context().timezone);
            let next = |found: i64| shift_zoned(found, step, zone).map(Some);
            series(micros(values[0]), micros(values[1]), step.total_micros() > 0, &next, Value::TimestampTz)
        }),
    ],
)];
