//! `generate_series`: all of its values as one array.

use luma_model::{
    ArrayValue, DataType, Error, ErrorKind, Interval, Numeric, NumericRef, Result, Value, ValueRef,
};

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
fn series<T: Clone + PartialOrd>(
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
        elements.push(value(found.clone()));
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

fn numbers(values: &[ValueRef<'_>]) -> Result<Value> {
    let (start, end) = (number(values[0]), number(values[1]));
    let step = values.get(2).map_or(NumericRef::new(1, 0), |step| number(*step));
    for (what, value) in [("start", start), ("stop", end), ("step size", step)] {
        let refused = |problem: &str| {
            let message =
                format!("{what}{}cannot be {problem}", if what == "step size" { " " } else { " value " });
            Err(Error::new(ErrorKind::InvalidParameterValue, message))
        };
        if value.is_nan() {
            return refused("NaN");
        }
        if !value.is_finite() {
            return refused("infinity");
        }
    }
    if step.is_zero() {
        return Err(zero_step());
    }
    let next = |found: Numeric| found.as_ref().add(step).map(Some);
    series(start.to_owned(), end.to_owned(), step.signum() > 0, &next, Value::Numeric)
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
        Overload::new(&[N, N, N], NumericArray, |_, values, _| numbers(values)).optional(1),
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
