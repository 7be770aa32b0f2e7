//! Conversions between numbers.
//!
//! Floats round half to even and decimals half away from zero, each as PostgreSQL does.

use super::CastKind;
use crate::error::{Error, ErrorKind, Result};
use crate::numeric::{Numeric, NumericRef};
use crate::types::DataType;
use crate::value::{Value, ValueRef};

/// A number on its way from one type to another.
#[derive(Clone, Copy)]
enum Number<'a> {
    Integer(i64),
    Single(f32),
    Double(f64),
    Decimal(NumericRef<'a>),
}

/// Converts between numbers, object identifiers and truth values; `None` when it is not about those.
pub(super) fn convert(
    value: ValueRef<'_>,
    from: &DataType,
    to: &DataType,
    kind: CastKind,
) -> Option<Result<Value>> {
    let explicit = kind == CastKind::Explicit;
    let number = match value {
        ValueRef::Bool(value) if explicit && *to == DataType::Int4 => {
            return Some(Ok(Value::Int4(value.into())));
        }
        ValueRef::Int4(value) if explicit && *to == DataType::Bool => {
            return Some(Ok(Value::Bool(value != 0)));
        }
        ValueRef::Int2(value) => Number::Integer(value.into()),
        ValueRef::Int4(value) => Number::Integer(value.into()),
        ValueRef::Int8(value) => Number::Integer(value),
        ValueRef::Oid(value) if matches!(to, DataType::Int4) => return Some(Ok(Value::Int4(value as i32))),
        ValueRef::Oid(value) if *to == DataType::Int8 || to.is_identifier() => Number::Integer(value.into()),
        ValueRef::Float4(value) => Number::Single(value),
        ValueRef::Float8(value) => Number::Double(value),
        ValueRef::Numeric(value) => Number::Decimal(value),
        _ => return None,
    };
    Some(match to {
        DataType::Int2 => integer(number, "smallint")
            .and_then(|number| i16::try_from(number).map(Value::Int2).map_err(|_| out_of_range("smallint"))),
        DataType::Int4 => integer(number, "integer")
            .and_then(|number| i32::try_from(number).map(Value::Int4).map_err(|_| out_of_range("integer"))),
        DataType::Int8 => integer(number, "bigint").map(Value::Int8),
        // Only by way of a number does one kind of object become another.
        DataType::Reg(_) if matches!(from, DataType::Reg(_)) => return None,
        DataType::Oid | DataType::Reg(_) => match number {
            // A 32-bit integer keeps its bits.
            Number::Integer(number) if *from == DataType::Int4 || *from == DataType::Int2 => {
                Ok(Value::Oid(number as u32))
            }
            Number::Integer(number) => u32::try_from(number)
                .map(Value::Oid)
                .map_err(|_| Error::new(ErrorKind::OutOfRange, "OID out of range")),
            _ => return None,
        },
        DataType::Float4 => single(number).map(Value::Float4),
        DataType::Float8 => double(number).map(Value::Float8),
        DataType::Numeric(modifier) => modified(decimal(number).as_ref(), *modifier),
        _ => return None,
    })
}

/// A number under a column's precision and scale.
pub(super) fn modified(number: NumericRef<'_>, modifier: Option<(u16, i16)>) -> Result<Value> {
    match modifier {
        Some((precision, scale)) => number.fit(precision, scale).map(Value::Numeric),
        None => Ok(Value::Numeric(number.to_owned())),
    }
}

#[cold]
fn out_of_range(name: &str) -> Error {
    Error::new(ErrorKind::OutOfRange, format!("{name} out of range"))
}

fn integer(number: Number<'_>, name: &str) -> Result<i64> {
    match number {
        Number::Integer(number) => Ok(number),
        Number::Single(number) => integer(Number::Double(number.into()), name),
        Number::Double(number) => {
            let rounded = number.round_ties_even();
            // The bounds are exact: -2^63 fits, 2^63 does not.
            if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded) {
                Ok(rounded as i64)
            } else {
                Err(out_of_range(name))
            }
        }
        Number::Decimal(number) => number.to_i64(name),
    }
}

fn double(number: Number<'_>) -> Result<f64> {
    Ok(match number {
        Number::Integer(number) => number as f64,
        Number::Single(number) => number.into(),
        Number::Double(number) => number,
        Number::Decimal(number) => {
            let double = number.to_f64();
            if double.is_infinite() && number.is_finite() {
                let message = format!("\"{number}\" is out of range for type double precision");
                return Err(Error::new(ErrorKind::OutOfRange, message));
            }
            double
        }
    })
}

fn single(number: Number<'_>) -> Result<f32> {
    let (wide, narrow) = match number {
        Number::Single(number) => return Ok(number),
        Number::Integer(number) => return Ok(number as f32),
        Number::Decimal(number) => (number.to_f64(), number.to_f32()),
        Number::Double(number) => (number, number as f32),
    };
    if narrow.is_infinite() && !wide.is_infinite() {
        return Err(Error::new(ErrorKind::OutOfRange, "value out of range: overflow"));
    }
    if narrow == 0.0 && wide != 0.0 {
        return Err(Error::new(ErrorKind::OutOfRange, "value out of range: underflow"));
    }
    Ok(narrow)
}

fn decimal(number: Number<'_>) -> Numeric {
    match number {
        Number::Integer(number) => number.into(),
        Number::Decimal(number) => number.to_owned(),
        Number::Single(number) => Numeric::from_f32(number),
        Number::Double(number) => Numeric::from_f64(number),
    }
}
