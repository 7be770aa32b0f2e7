//! One value as the bytes of a column; `FORMAT.md` lists the forms.

use crate::interval::Interval;
use crate::numeric::NumericRef;
use crate::value::{ValueKind, ValueRef};

/// In the place of a number's scale, before one that is not a `Decimal`.
const WIDE: u8 = 0xff;

/// Appends a value that is not NULL.
pub(super) fn write(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Null => {}
        ValueRef::Bool(value) => out.push(u8::from(value)),
        ValueRef::Int2(value) => out.extend_from_slice(&value.to_le_bytes()),
        ValueRef::Int4(value) | ValueRef::Date(value) => out.extend_from_slice(&value.to_le_bytes()),
        ValueRef::Int8(value)
        | ValueRef::Time(value)
        | ValueRef::Timestamp(value)
        | ValueRef::TimestampTz(value) => out.extend_from_slice(&value.to_le_bytes()),
        ValueRef::Float4(value) => out.extend_from_slice(&value.to_le_bytes()),
        ValueRef::Float8(value) => out.extend_from_slice(&value.to_le_bytes()),
        ValueRef::Oid(value) => out.extend_from_slice(&value.to_le_bytes()),
        ValueRef::Uuid(value) => out.extend_from_slice(&value),
        ValueRef::Text(value) => out.extend_from_slice(value.as_bytes()),
        ValueRef::Bytea(value) => out.extend_from_slice(value),
        ValueRef::Interval(value) => {
            out.extend_from_slice(&value.months.to_le_bytes());
            out.extend_from_slice(&value.days.to_le_bytes());
            out.extend_from_slice(&value.micros.to_le_bytes());
        }
        ValueRef::Numeric(NumericRef::Decimal(value)) => {
            out.push(value.scale);
            let bytes = value.unscaled.to_le_bytes();
            out.extend_from_slice(&bytes[..significant(value.unscaled)]);
        }
        ValueRef::Numeric(NumericRef::Wide(value)) => {
            out.push(WIDE);
            out.extend_from_slice(value.bytes());
        }
        ValueRef::Array(array) => {
            let elements: Vec<ValueRef<'_>> = array.iter().collect();
            super::encode_row(&elements, out);
        }
    }
}

/// How many low bytes hold the number, its sign included.
fn significant(number: i128) -> usize {
    let sign_bits = if number < 0 { number.leading_ones() } else { number.leading_zeros() };
    let bits = 129 - sign_bits as usize;
    if number == 0 { 0 } else { bits.div_ceil(8) }
}

/// The value of that kind in these bytes; `None` when they hold no such value. Not for arrays.
#[inline(always)]
pub(super) fn read(bytes: &[u8], kind: ValueKind) -> Option<ValueRef<'_>> {
    Some(match kind {
        ValueKind::Bool => match bytes {
            [0] => ValueRef::Bool(false),
            [1] => ValueRef::Bool(true),
            _ => return None,
        },
        ValueKind::Int2 => ValueRef::Int2(i16::from_le_bytes(bytes.try_into().ok()?)),
        ValueKind::Int4 => ValueRef::Int4(i32::from_le_bytes(bytes.try_into().ok()?)),
        ValueKind::Int8 => ValueRef::Int8(i64::from_le_bytes(bytes.try_into().ok()?)),
        ValueKind::Float4 => ValueRef::Float4(f32::from_le_bytes(bytes.try_into().ok()?)),
        ValueKind::Float8 => ValueRef::Float8(f64::from_le_bytes(bytes.try_into().ok()?)),
        ValueKind::Date => ValueRef::Date(i32::from_le_bytes(bytes.try_into().ok()?)),
        ValueKind::Time => ValueRef::Time(i64::from_le_bytes(bytes.try_into().ok()?)),
        ValueKind::Timestamp => ValueRef::Timestamp(i64::from_le_bytes(bytes.try_into().ok()?)),
        ValueKind::TimestampTz => ValueRef::TimestampTz(i64::from_le_bytes(bytes.try_into().ok()?)),
        ValueKind::Oid => ValueRef::Oid(u32::from_le_bytes(bytes.try_into().ok()?)),
        ValueKind::Uuid => ValueRef::Uuid(bytes.try_into().ok()?),
        ValueKind::Text => ValueRef::Text(std::str::from_utf8(bytes).ok()?),
        ValueKind::Bytea => ValueRef::Bytea(bytes),
        ValueKind::Interval => {
            let (months, rest) = bytes.split_first_chunk::<4>()?;
            let (days, rest) = rest.split_first_chunk::<4>()?;
            ValueRef::Interval(Interval {
                months: i32::from_le_bytes(*months),
                days: i32::from_le_bytes(*days),
                micros: i64::from_le_bytes(rest.try_into().ok()?),
            })
        }
        ValueKind::Numeric => {
            let (scale, number) = bytes.split_first()?;
            if *scale == WIDE {
                return NumericRef::from_bytes(number).map(ValueRef::Numeric);
            }
            if *scale > crate::numeric::DECIMAL_DIGITS_MAX || number.len() > 16 {
                return None;
            }
            let negative = number.last().is_some_and(|last| last & 0x80 != 0);
            let mut filled = [if negative { 0xff } else { 0 }; 16];
            filled[..number.len()].copy_from_slice(number);
            ValueRef::Numeric(NumericRef::new(i128::from_le_bytes(filled), *scale))
        }
        ValueKind::Array => return None,
    })
}
