//! PostgreSQL's binary forms: what `send` functions write and `recv` functions read.
//!
//! All numbers are in network order; dates and timestamps count from 2000-01-01.

mod numeric;

use crate::calendar::{DATE_MAX, DATE_MIN, DAYS_TO_2000, is_timestamp};
use crate::cast::{CastKind, fit_text};
use crate::error::{Error, ErrorKind, Result};
use crate::interval::{Interval, MICROS_PER_DAY};
use crate::json;
use crate::text::{internal_char, text_from_utf8, truncate_name};
use crate::types::DataType;
use crate::value::{
    ArrayRef, ArrayValue, DATE_INFINITY, DATE_NEGATIVE_INFINITY, TIMESTAMP_INFINITY,
    TIMESTAMP_NEGATIVE_INFINITY, Value, ValueRef,
};

const MICROS_TO_2000: i64 = DAYS_TO_2000 as i64 * MICROS_PER_DAY;
const JSONB_VERSION: u8 = 1;

/// Appends the binary form of a value of that type; of NULL, nothing.
pub fn to_binary(value: ValueRef<'_>, data_type: &DataType, out: &mut Vec<u8>) {
    match value {
        ValueRef::Null => {}
        ValueRef::Bool(value) => out.push(u8::from(value)),
        ValueRef::Int2(value) => out.extend_from_slice(&value.to_be_bytes()),
        ValueRef::Int4(value) => out.extend_from_slice(&value.to_be_bytes()),
        ValueRef::Int8(value) if let DataType::Enum(known) = data_type => {
            out.extend_from_slice(known.label(value).unwrap_or_default().as_bytes());
        }
        ValueRef::Int8(value) | ValueRef::Time(value) => out.extend_from_slice(&value.to_be_bytes()),
        ValueRef::Oid(value) => out.extend_from_slice(&value.to_be_bytes()),
        ValueRef::Float4(value) => out.extend_from_slice(&value.to_be_bytes()),
        ValueRef::Float8(value) => out.extend_from_slice(&value.to_be_bytes()),
        ValueRef::Numeric(value) => numeric::write(value, out),
        ValueRef::Bytea(value) => out.extend_from_slice(value),
        ValueRef::Uuid(value) => out.extend_from_slice(&value),
        ValueRef::Text(value) => text(value, data_type, out),
        ValueRef::Date(value) => {
            let days = match value {
                DATE_INFINITY | DATE_NEGATIVE_INFINITY => value,
                days => days.saturating_sub(DAYS_TO_2000),
            };
            out.extend_from_slice(&days.to_be_bytes());
        }
        ValueRef::Timestamp(value) | ValueRef::TimestampTz(value) => {
            let micros = match value {
                TIMESTAMP_INFINITY | TIMESTAMP_NEGATIVE_INFINITY => value,
                micros => micros.saturating_sub(MICROS_TO_2000),
            };
            out.extend_from_slice(&micros.to_be_bytes());
        }
        ValueRef::Interval(value) => {
            out.extend_from_slice(&value.micros.to_be_bytes());
            out.extend_from_slice(&value.days.to_be_bytes());
            out.extend_from_slice(&value.months.to_be_bytes());
        }
        ValueRef::Array(value) => {
            let lower = i32::from(!matches!(data_type, DataType::Int2Vector | DataType::OidVector));
            array(value, data_type.element().unwrap_or(&DataType::Text), lower, out);
        }
    }
}

fn text(value: &str, data_type: &DataType, out: &mut Vec<u8>) {
    match data_type {
        DataType::Jsonb => out.push(JSONB_VERSION),
        // One byte, even when it is none of the text's.
        DataType::InternalChar if value.is_empty() => out.push(0),
        _ => {}
    }
    out.extend_from_slice(value.as_bytes());
    if let DataType::Char(length) = data_type {
        let missing = (*length as usize).saturating_sub(value.chars().count());
        out.resize(out.len() + missing, b' ');
    }
}

fn array(value: ArrayRef<'_>, element: &DataType, lower_bound: i32, out: &mut Vec<u8>) {
    let length = value.len() as i32;
    out.extend_from_slice(&i32::from(length > 0).to_be_bytes());
    out.extend_from_slice(&i32::from(value.iter().any(|element| element.is_null())).to_be_bytes());
    out.extend_from_slice(&element.oid().to_be_bytes());
    if length == 0 {
        return;
    }
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&lower_bound.to_be_bytes());
    for value in value.iter() {
        if value.is_null() {
            out.extend_from_slice(&(-1i32).to_be_bytes());
            continue;
        }
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        to_binary(value, element, out);
        let length = (out.len() - start - 4) as i32;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
}

/// Reads a value of that type from its binary form.
///
/// # Errors
/// 22P03 when the bytes are no value of the type; 22003, 22008, 22001 or 22021 when the type cannot
/// hold it.
pub fn from_binary(data_type: &DataType, bytes: &[u8]) -> Result<Value> {
    Ok(match data_type {
        DataType::Bool => match bytes {
            [value] => Value::Bool(*value != 0),
            _ => return Err(malformed(data_type, bytes)),
        },
        DataType::Int2 => Value::Int2(i16::from_be_bytes(fixed(bytes, data_type)?)),
        DataType::Int4 => Value::Int4(i32::from_be_bytes(fixed(bytes, data_type)?)),
        DataType::Int8 => Value::Int8(i64::from_be_bytes(fixed(bytes, data_type)?)),
        DataType::Oid | DataType::Reg(_) | DataType::Xid => {
            Value::Oid(u32::from_be_bytes(fixed(bytes, data_type)?))
        }
        DataType::Float4 => Value::Float4(f32::from_be_bytes(fixed(bytes, data_type)?)),
        DataType::Float8 => Value::Float8(f64::from_be_bytes(fixed(bytes, data_type)?)),
        DataType::Numeric(modifier) => Value::Numeric(numeric::read(bytes, *modifier)?),
        DataType::Text | DataType::Void => Value::Text(text_from_utf8(bytes)?.to_owned()),
        DataType::Varchar(_) | DataType::Char(_) => {
            fit_text(text_from_utf8(bytes)?, data_type, CastKind::Assignment)?
        }
        DataType::Name => Value::Text(truncate_name(text_from_utf8(bytes)?).to_owned()),
        DataType::InternalChar => match bytes {
            [0] => Value::Text(String::new()),
            [_] => Value::Text(internal_char(text_from_utf8(bytes)?)?),
            _ => return Err(malformed(data_type, bytes)),
        },
        DataType::Json => {
            let text = text_from_utf8(bytes)?;
            json::validate(text)?;
            Value::Text(text.to_owned())
        }
        DataType::Jsonb => match bytes.split_first() {
            Some((&JSONB_VERSION, text)) => Value::Text(json::canonical(text_from_utf8(text)?)?),
            _ => return Err(malformed(data_type, bytes)),
        },
        DataType::Bytea => Value::Bytea(bytes.to_owned()),
        DataType::Uuid => Value::Uuid(fixed(bytes, data_type)?),
        DataType::Date => Value::Date(date(i32::from_be_bytes(fixed(bytes, data_type)?))?),
        DataType::Time => {
            let micros = i64::from_be_bytes(fixed(bytes, data_type)?);
            if !(0..=MICROS_PER_DAY).contains(&micros) {
                return Err(Error::new(ErrorKind::DatetimeOverflow, "time out of range"));
            }
            Value::Time(micros)
        }
        DataType::Timestamp => Value::Timestamp(timestamp(i64::from_be_bytes(fixed(bytes, data_type)?))?),
        DataType::TimestampTz => Value::TimestampTz(timestamp(i64::from_be_bytes(fixed(bytes, data_type)?))?),
        DataType::Interval => {
            let bytes: [u8; 16] = fixed(bytes, data_type)?;
            let whole = i128::from_be_bytes(bytes);
            Value::Interval(Interval::new(whole as i32, (whole >> 32) as i32, (whole >> 64) as i64))
        }
        DataType::Array(element) => Value::Array(read_array(bytes, element, data_type)?),
        DataType::Int2Vector | DataType::OidVector => {
            let element = data_type.element().unwrap_or(&DataType::Oid);
            Value::Array(read_array(bytes, element, data_type)?)
        }
        DataType::NodeTree => {
            return Err(Error::new(
                ErrorKind::FeatureNotSupported,
                "cannot accept a value of type pg_node_tree",
            ));
        }
        DataType::Record => return Err(crate::record::anonymous()),
        DataType::Enum(known) => Value::Int8(known.position(text_from_utf8(bytes)?)?),
    })
}

#[cold]
fn malformed(data_type: &DataType, bytes: &[u8]) -> Error {
    Error::new(ErrorKind::InvalidBinary, "incorrect binary data format").detail(format!(
        "{} bytes are no {} in binary form.",
        bytes.len(),
        data_type.base_name()
    ))
}

fn fixed<const LENGTH: usize>(bytes: &[u8], data_type: &DataType) -> Result<[u8; LENGTH]> {
    bytes.try_into().map_err(|_| malformed(data_type, bytes))
}

fn date(days: i32) -> Result<i32> {
    if days == DATE_INFINITY || days == DATE_NEGATIVE_INFINITY {
        return Ok(days);
    }
    days.checked_add(DAYS_TO_2000)
        .filter(|days| (DATE_MIN..=DATE_MAX).contains(days))
        .ok_or_else(|| Error::new(ErrorKind::DatetimeOverflow, "date out of range"))
}

fn timestamp(micros: i64) -> Result<i64> {
    if micros == TIMESTAMP_INFINITY || micros == TIMESTAMP_NEGATIVE_INFINITY {
        return Ok(micros);
    }
    micros
        .checked_add(MICROS_TO_2000)
        .filter(|micros| is_timestamp(*micros))
        .ok_or_else(|| Error::new(ErrorKind::DatetimeOverflow, "timestamp out of range"))
}

fn read_array(bytes: &[u8], element: &DataType, data_type: &DataType) -> Result<ArrayValue> {
    let mut rest = bytes;
    let mut next = || -> Result<i32> {
        let (number, after) = rest.split_first_chunk::<4>().ok_or_else(|| malformed(data_type, bytes))?;
        rest = after;
        Ok(i32::from_be_bytes(*number))
    };
    let dimensions = next()?;
    let _has_nulls = next()?;
    let oid = next()? as u32;
    if oid != element.oid() {
        return Err(Error::new(
            ErrorKind::DatatypeMismatch,
            format!("binary data has array element type {oid} instead of expected {}", element.oid()),
        ));
    }
    let length = match dimensions {
        0 => 0,
        1 => {
            let length = next()?;
            if !(0..=1).contains(&next()?) {
                return Err(unsupported_dimensions());
            }
            length
        }
        2..=6 => return Err(unsupported_dimensions()),
        _ => return Err(malformed(data_type, bytes)),
    };
    // Each element takes four bytes at least, so that a false length takes no memory.
    if length < 0 || length as usize > rest.len() / 4 {
        return Err(malformed(data_type, bytes));
    }
    let mut elements = Vec::with_capacity(length as usize);
    for _ in 0..length {
        let (size, after) = rest.split_first_chunk::<4>().ok_or_else(|| malformed(data_type, bytes))?;
        let size = i32::from_be_bytes(*size);
        if size == -1 {
            rest = after;
            elements.push(Value::Null);
            continue;
        }
        let size = usize::try_from(size).map_err(|_| malformed(data_type, bytes))?;
        let (value, after) = after.split_at_checked(size).ok_or_else(|| malformed(data_type, bytes))?;
        rest = after;
        elements.push(from_binary(element, value)?);
    }
    if rest.is_empty() { Ok(ArrayValue { elements }) } else { Err(malformed(data_type, bytes)) }
}

#[cold]
fn unsupported_dimensions() -> Error {
    Error::new(
        ErrorKind::FeatureNotSupported,
        "arrays with more than one dimension or with bounds that do not begin at 1 are not supported",
    )
}

#[cfg(test)]
mod tests;
