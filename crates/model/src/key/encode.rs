//! From values to sorting bytes.

use super::{ARRAY_ELEMENT, ARRAY_END, END, ESCAPED_ZERO, KeyOrder, NULL_FIRST, NULL_LAST, PRESENT};
use crate::error::{Error, Result};
use crate::types::DataType;
use crate::value::ValueRef;

/// Appends the sorting bytes of a value of that type.
///
/// An integer may be narrower than the type. No memory is taken beyond `out`.
///
/// # Errors
/// XX000 when the value is not one of the type's.
pub fn encode_key(
    value: ValueRef<'_>,
    data_type: &DataType,
    order: KeyOrder,
    out: &mut Vec<u8>,
) -> Result<()> {
    if value.is_null() {
        out.push(if order.nulls_first { NULL_FIRST } else { NULL_LAST });
        return Ok(());
    }
    out.push(PRESENT);
    let start = out.len();
    payload(value, data_type, out)?;
    if order.descending {
        for byte in &mut out[start..] {
            *byte = !*byte;
        }
    }
    Ok(())
}

fn payload(value: ValueRef<'_>, data_type: &DataType, out: &mut Vec<u8>) -> Result<()> {
    match (data_type, value) {
        (DataType::Int4, ValueRef::Int4(value)) | (DataType::Date, ValueRef::Date(value)) => int4(value, out),
        (DataType::Int8 | DataType::Enum(_), ValueRef::Int8(value))
        | (DataType::Time, ValueRef::Time(value))
        | (DataType::Timestamp, ValueRef::Timestamp(value))
        | (DataType::TimestampTz, ValueRef::TimestampTz(value)) => int8(value, out),
        (DataType::Int8, ValueRef::Int4(value)) => int8(value.into(), out),
        (DataType::Int8, ValueRef::Int2(value)) => int8(value.into(), out),
        (DataType::Int4, ValueRef::Int2(value)) => int4(value.into(), out),
        (DataType::Int2, ValueRef::Int2(value)) => {
            out.extend_from_slice(&((value as u16) ^ 0x8000).to_be_bytes());
        }
        (DataType::Oid | DataType::Reg(_) | DataType::Xid, ValueRef::Oid(value)) => {
            out.extend_from_slice(&value.to_be_bytes());
        }
        (DataType::Bool, ValueRef::Bool(value)) => out.push(u8::from(value)),
        (DataType::Char(_), ValueRef::Text(value)) => escaped(value.trim_end_matches(' ').as_bytes(), out),
        (
            DataType::Text
            | DataType::Varchar(_)
            | DataType::Name
            | DataType::InternalChar
            | DataType::NodeTree
            | DataType::Void
            | DataType::Json
            | DataType::Jsonb,
            ValueRef::Text(value),
        ) => escaped(value.as_bytes(), out),
        (DataType::Bytea | DataType::Record, ValueRef::Bytea(value)) => escaped(value, out),
        (DataType::Uuid, ValueRef::Uuid(value)) => out.extend_from_slice(&value),
        (DataType::Numeric(_), ValueRef::Numeric(value)) => value.sorting_bytes(out),
        (DataType::Float8, ValueRef::Float8(value)) => float8(value, out),
        (DataType::Float8, ValueRef::Float4(value)) => float8(value.into(), out),
        (DataType::Float4, ValueRef::Float4(value)) => float4(value, out),
        (DataType::Interval, ValueRef::Interval(value)) => {
            let total = value.total_micros() as u128;
            out.extend_from_slice(&(total ^ (1 << 127)).to_be_bytes());
        }
        (list, ValueRef::Array(array)) if list.element().is_some() => {
            let element = list.element().unwrap_or(&DataType::Text);
            for value in array.iter() {
                out.push(ARRAY_ELEMENT);
                encode_key(value, element, KeyOrder::ASCENDING, out)?;
            }
            out.push(ARRAY_END);
        }
        (_, value) => return Err(mismatch(value, data_type)),
    }
    Ok(())
}

#[cold]
fn mismatch(value: ValueRef<'_>, data_type: &DataType) -> Error {
    Error::internal(format!("a value of kind {:?} came where the key has type {data_type}", value.kind()))
}

fn int4(value: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(&((value as u32) ^ (1 << 31)).to_be_bytes());
}

fn int8(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&((value as u64) ^ (1 << 63)).to_be_bytes());
}

/// Negative numbers sort in reverse of their bits; NaN has one form, above infinity.
fn float8(value: f64, out: &mut Vec<u8>) {
    let bits = if value.is_nan() { f64::NAN.to_bits() & !(1 << 63) } else { (value + 0.0).to_bits() };
    let sorted = if bits >> 63 == 1 { !bits } else { bits | (1 << 63) };
    out.extend_from_slice(&sorted.to_be_bytes());
}

fn float4(value: f32, out: &mut Vec<u8>) {
    let bits = if value.is_nan() { f32::NAN.to_bits() & !(1 << 31) } else { (value + 0.0).to_bits() };
    let sorted = if bits >> 31 == 1 { !bits } else { bits | (1 << 31) };
    out.extend_from_slice(&sorted.to_be_bytes());
}

fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + 2);
    let mut rest = bytes;
    while let Some(zero) = rest.iter().position(|byte| *byte == 0) {
        out.extend_from_slice(&rest[..zero]);
        out.extend_from_slice(&[0, ESCAPED_ZERO]);
        rest = &rest[zero + 1..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(&[0, END]);
}
