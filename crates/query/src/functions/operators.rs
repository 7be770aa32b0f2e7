//! Operators that are calls of functions: on dates and times, spans, JSON, arrays, bytes and text.

use datafusion::sql::sqlparser::ast::BinaryOperator;
use luma_model::{DataType, Error, ErrorKind, Interval, MICROS_PER_DAY, Result, Value, ValueRef};

use crate::functions::calendar;
use crate::functions::numbers::{ABSOLUTE, CUBE_ROOT, POWER, SQUARE_ROOT, float};
use crate::functions::overload::Kind::{
    Bool, Bytea, Date, Float8, Int4, Int8, Interval as Span, Text, Time, Timestamp, TimestampTz,
};
use crate::functions::overload::Surroundings;
use crate::functions::overload::{Function, Overload};
use crate::functions::{arrays, json};
use crate::plan::operator::Operand;

/// The function behind an operator on operands of these types.
pub(crate) fn find(op: &BinaryOperator, left: &Operand, right: &Operand) -> Option<&'static Function> {
    let is = |check: fn(&DataType) -> bool| {
        let side = |operand: &Operand| matches!(operand, Operand::Known(data_type) if check(data_type));
        side(left) || side(right)
    };
    let left_is =
        |check: fn(&DataType) -> bool| matches!(left, Operand::Known(data_type) if check(data_type));
    let temporal = |data_type: &DataType| {
        matches!(
            data_type,
            DataType::Date
                | DataType::Time
                | DataType::Timestamp
                | DataType::TimestampTz
                | DataType::Interval
        )
    };
    Some(match op {
        BinaryOperator::Plus if is(temporal) => &PLUS,
        BinaryOperator::Minus if is(temporal) => &MINUS,
        BinaryOperator::Multiply if is(|data_type| *data_type == DataType::Interval) => &TIMES,
        BinaryOperator::Divide if left_is(|data_type| *data_type == DataType::Interval) => &DIVIDED,
        BinaryOperator::Minus if left_is(|data_type| *data_type == DataType::Jsonb) => &json::REMOVE,
        BinaryOperator::StringConcat if is(|data_type| *data_type == DataType::Jsonb) => &json::CONCATENATE,
        BinaryOperator::StringConcat if is(DataType::is_array) => &arrays::CONCATENATE,
        BinaryOperator::StringConcat if is(|data_type| *data_type == DataType::Bytea) => &BYTES_CONCATENATE,
        BinaryOperator::StringConcat if is(DataType::is_string) => &TEXT_CONCATENATE,
        BinaryOperator::StringConcat if *left == Operand::Unknown || *right == Operand::Unknown => {
            &TEXT_CONCATENATE
        }
        BinaryOperator::PGExp | BinaryOperator::BitwiseXor
            if is(DataType::is_numeric) && *op == BinaryOperator::PGExp =>
        {
            &POWER
        }
        BinaryOperator::PGOverlap if is(DataType::is_array) => &arrays::OVERLAPS,
        BinaryOperator::AtArrow if is(DataType::is_array) => &arrays::CONTAINS,
        BinaryOperator::ArrowAt if is(DataType::is_array) => &arrays::CONTAINED,
        BinaryOperator::PGStartsWith => &STARTS_WITH,
        BinaryOperator::QuestionAnd => &json::EXISTS_ALL,
        BinaryOperator::QuestionPipe => &json::EXISTS_ANY,
        BinaryOperator::HashMinus => &json::REMOVE_PATH,
        _ => return None,
    })
}

pub(super) fn micros(value: ValueRef<'_>) -> i64 {
    match value {
        ValueRef::Timestamp(micros) | ValueRef::TimestampTz(micros) | ValueRef::Time(micros) => micros,
        ValueRef::Date(days) => calendar::midnight(days),
        _ => 0,
    }
}

fn days(value: ValueRef<'_>) -> i64 {
    match value {
        ValueRef::Date(days) => days.into(),
        other => super::row::integer(other).unwrap_or(0),
    }
}

fn span(value: ValueRef<'_>) -> Interval {
    match value {
        ValueRef::Interval(span) => span,
        ValueRef::Time(micros) => Interval::new(0, 0, micros),
        _ => Interval::default(),
    }
}

fn date(days: i64) -> Result<Value> {
    i32::try_from(days)
        .map(Value::Date)
        .map_err(|_| Error::new(ErrorKind::DatetimeOverflow, "date out of range"))
}

fn interval_range() -> Error {
    Error::new(ErrorKind::DatetimeOverflow, "interval out of range")
}

/// A span times a number.
pub(super) fn times(span: Interval, factor: f64) -> Result<Value> {
    scale(span, |part| part * factor)
}

/// A span divided by a number that is not zero.
pub(super) fn parted(span: Interval, divisor: f64) -> Result<Value> {
    scale(span, |part| part / divisor)
}

/// A span whose parts are scaled, fractions going down to the smaller units.
fn scale(span: Interval, by: impl Fn(f64) -> f64) -> Result<Value> {
    let months = by(f64::from(span.months));
    let days = by(f64::from(span.days));
    if !months.is_finite() || months.abs() > f64::from(i32::MAX) || days.abs() > f64::from(i32::MAX) {
        return Err(interval_range());
    }
    let whole_months = months.trunc();
    // A month is thirty days here; what is nearly a whole microsecond is one.
    let near = |value: f64| (value * 1e6).round() / 1e6;
    let month_days = near((months - whole_months) * 30.0);
    let seconds_of_day = MICROS_PER_DAY as f64 / 1e6;
    let rest = near((days - days.trunc() + month_days - month_days.trunc()) * seconds_of_day);
    let whole_days = days.trunc() + month_days.trunc() + (rest / seconds_of_day).trunc();
    let micros = (by(span.micros as f64) + rest % seconds_of_day * 1e6).round_ties_even();
    Ok(Value::Interval(Interval::new(whole_months as i32, whole_days as i32, micros as i64)))
}

fn negated(span: Interval) -> Result<Interval> {
    span.checked_neg().ok_or_else(interval_range)
}

fn shift(value: ValueRef<'_>, by: Interval) -> Result<Value> {
    calendar::shift(micros(value), by).map(Value::Timestamp)
}

fn shift_zoned(info: &Surroundings, value: ValueRef<'_>, by: Interval) -> Result<Value> {
    calendar::shift_zoned(micros(value), by, info.text_context().timezone).map(Value::TimestampTz)
}

fn shift_time(value: ValueRef<'_>, by: i64) -> Value {
    Value::Time((micros(value) + by % MICROS_PER_DAY).rem_euclid(MICROS_PER_DAY))
}

/// The time between two moments in days and what is left.
fn between(later: i64, earlier: i64) -> Result<Value> {
    let micros = later.checked_sub(earlier).ok_or_else(interval_range)?;
    let days = micros / MICROS_PER_DAY;
    Ok(Value::Interval(Interval::new(0, days as i32, micros - days * MICROS_PER_DAY)))
}

static PLUS: Function = Function::new(
    "+",
    &[
        Overload::new(&[Date, Int4], Date, |_, values, _| date(days(values[0]) + days(values[1]))),
        Overload::new(&[Int4, Date], Date, |_, values, _| date(days(values[0]) + days(values[1]))),
        Overload::new(&[Date, Span], Timestamp, |_, values, _| shift(values[0], span(values[1]))),
        Overload::new(&[Span, Date], Timestamp, |_, values, _| shift(values[1], span(values[0]))),
        Overload::new(&[Date, Time], Timestamp, |_, values, _| {
            Ok(Value::Timestamp(micros(values[0]) + micros(values[1])))
        }),
        Overload::new(&[Time, Date], Timestamp, |_, values, _| {
            Ok(Value::Timestamp(micros(values[0]) + micros(values[1])))
        }),
        Overload::new(&[Timestamp, Span], Timestamp, |_, values, _| shift(values[0], span(values[1]))),
        Overload::new(&[Span, Timestamp], Timestamp, |_, values, _| shift(values[1], span(values[0]))),
        Overload::new(&[TimestampTz, Span], TimestampTz, |info, values, _| {
            shift_zoned(info, values[0], span(values[1]))
        }),
        Overload::new(&[Span, TimestampTz], TimestampTz, |info, values, _| {
            shift_zoned(info, values[1], span(values[0]))
        }),
        Overload::new(&[Time, Span], Time, |_, values, _| Ok(shift_time(values[0], span(values[1]).micros))),
        Overload::new(&[Span, Time], Time, |_, values, _| Ok(shift_time(values[1], span(values[0]).micros))),
        Overload::new(&[Span, Span], Span, |_, values, _| {
            span(values[0]).checked_add(span(values[1])).map(Value::Interval).ok_or_else(interval_range)
        }),
    ],
);

static MINUS: Function = Function::new(
    "-",
    &[
        Overload::new(&[Date, Date], Int4, |_, values, _| {
            Ok(Value::Int4((days(values[0]) - days(values[1])) as i32))
        }),
        Overload::new(&[Date, Int4], Date, |_, values, _| date(days(values[0]) - days(values[1]))),
        Overload::new(&[Date, Span], Timestamp, |_, values, _| shift(values[0], negated(span(values[1]))?)),
        Overload::new(&[Timestamp, Timestamp], Span, |_, values, _| {
            between(micros(values[0]), micros(values[1]))
        }),
        Overload::new(&[TimestampTz, TimestampTz], Span, |_, values, _| {
            between(micros(values[0]), micros(values[1]))
        }),
        Overload::new(&[Timestamp, Span], Timestamp, |_, values, _| {
            shift(values[0], negated(span(values[1]))?)
        }),
        Overload::new(&[TimestampTz, Span], TimestampTz, |info, values, _| {
            shift_zoned(info, values[0], negated(span(values[1]))?)
        }),
        Overload::new(&[Time, Time], Span, |_, values, _| {
            Ok(Value::Interval(Interval::new(0, 0, micros(values[0]) - micros(values[1]))))
        }),
        Overload::new(&[Time, Span], Time, |_, values, _| Ok(shift_time(values[0], -span(values[1]).micros))),
        Overload::new(&[Span, Span], Span, |_, values, _| {
            let sum = span(values[0]).checked_add(negated(span(values[1]))?);
            sum.map(Value::Interval).ok_or_else(interval_range)
        }),
    ],
);

static TIMES: Function = Function::new(
    "*",
    &[
        Overload::new(&[Span, Float8], Span, |_, values, _| times(span(values[0]), float(values[1]))),
        Overload::new(&[Float8, Span], Span, |_, values, _| times(span(values[1]), float(values[0]))),
    ],
);

static DIVIDED: Function = Function::new(
    "/",
    &[Overload::new(&[Span, Float8], Span, |_, values, _| {
        let divisor = float(values[1]);
        if divisor == 0.0 {
            return Err(Error::new(ErrorKind::DivisionByZero, "division by zero"));
        }
        parted(span(values[0]), divisor)
    })],
);

/// A span's length, by which spans compare.
pub(crate) static INTERVAL_MICROS: Function = Function::new(
    "interval_micros",
    &[Overload::new(&[Span], Int8, |_, values, _| {
        let total = span(values[0]).total_micros();
        Ok(Value::Int8(total.clamp(i64::MIN.into(), i64::MAX.into()) as i64))
    })],
);

fn concatenated(values: &[ValueRef<'_>], types: &[DataType], info: &Surroundings) -> Value {
    let mut out = Vec::new();
    for (value, data_type) in values.iter().zip(types) {
        luma_model::format_text(*value, data_type, info.text_context(), &mut out);
    }
    Value::Text(String::from_utf8_lossy(&out).into_owned())
}

pub(crate) static TEXT_CONCATENATE: Function = Function::new(
    "textcat",
    &[
        Overload::new(&[Text, Text], Text, |info, values, types| Ok(concatenated(values, types, info))),
        Overload::new(&[Text, super::overload::Kind::Any], Text, concatenate_any),
        Overload::new(&[super::overload::Kind::Any, Text], Text, concatenate_any),
    ],
);

fn concatenate_any(info: &Surroundings, values: &[ValueRef<'_>], types: &[DataType]) -> Result<Value> {
    // A truth value beside a text is spelled out.
    let spelled: Vec<Value> = values
        .iter()
        .map(|value| match value {
            ValueRef::Bool(value) => Value::Text(value.to_string()),
            other => other.to_owned(),
        })
        .collect();
    let types: Vec<DataType> = spelled
        .iter()
        .zip(types)
        .map(|(value, data_type)| match value {
            Value::Text(_) if *data_type == DataType::Bool => DataType::Text,
            _ => data_type.clone(),
        })
        .collect();
    let borrowed: Vec<ValueRef<'_>> = spelled.iter().map(Value::as_ref).collect();
    Ok(concatenated(&borrowed, &types, info))
}

static BYTES_CONCATENATE: Function = Function::new(
    "byteacat",
    &[Overload::new(&[Bytea, Bytea], Bytea, |_, values, _| match (values[0], values[1]) {
        (ValueRef::Bytea(one), ValueRef::Bytea(other)) => Ok(Value::Bytea([one, other].concat())),
        _ => Ok(Value::Null),
    })],
);

static STARTS_WITH: Function = Function::new(
    "starts_with",
    &[Overload::new(&[Text, Text], Bool, |_, values, _| match (values[0], values[1]) {
        (ValueRef::Text(text), ValueRef::Text(start)) => Ok(Value::Bool(text.starts_with(start))),
        _ => Ok(Value::Null),
    })],
);

pub(crate) static FUNCTIONS: &[&Function] = &[
    &STARTS_WITH,
    // `@ x`, `|/ x` and `||/ x` are calls of these.
    &ABSOLUTE,
    &SQUARE_ROOT,
    &CUBE_ROOT,
    &INTERVAL_MICROS,
];
