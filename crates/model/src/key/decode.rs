//! From sorting bytes back to values.

use super::{ARRAY_ELEMENT, ARRAY_END, END, ESCAPED_ZERO, KeyOrder, NULL_FIRST, NULL_LAST, PRESENT};
use crate::error::{Error, Result};
use crate::interval::Interval;
use crate::numeric::sorting::Decoded;
use crate::types::DataType;
use crate::value::{ArrayValue, Value};

/// The value of the column that these bytes begin with, and how many bytes it takes.
///
/// The value equals the one that was encoded, but need not look like it: 1.00 comes back as 1, a
/// month as 30 days.
///
/// # Errors
/// XX001 when the bytes do not begin with a column of the type.
pub fn decode_key(bytes: &[u8], data_type: &DataType, order: KeyOrder) -> Result<(Value, usize)> {
    let mut reader = Reader { bytes, at: 0, mask: 0 };
    let value = reader.column(data_type, order);
    match value {
        Some(value) => Ok((value, reader.at)),
        None => Err(Error::corrupted(format!("a stored key is damaged where a {data_type} should be"))),
    }
}

/// Reads bytes, inverting them inside of what descends.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    mask: u8,
}

impl Reader<'_> {
    fn column(&mut self, data_type: &DataType, order: KeyOrder) -> Option<Value> {
        match self.byte()? {
            PRESENT => {}
            NULL_FIRST if order.nulls_first => return Some(Value::Null),
            NULL_LAST if !order.nulls_first => return Some(Value::Null),
            _ => return None,
        }
        let outer = self.mask;
        if order.descending {
            self.mask = !self.mask;
        }
        let value = self.payload(data_type);
        self.mask = outer;
        value
    }

    fn payload(&mut self, data_type: &DataType) -> Option<Value> {
        Some(match data_type {
            DataType::Bool => match self.byte()? {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                _ => return None,
            },
            DataType::Int2 => Value::Int2((u16::from_be_bytes(self.take()?) ^ 0x8000) as i16),
            DataType::Int4 => Value::Int4(self.int4()?),
            DataType::Date => Value::Date(self.int4()?),
            DataType::Int8 | DataType::Enum(_) => Value::Int8(self.int8()?),
            DataType::Time => Value::Time(self.int8()?),
            DataType::Timestamp => Value::Timestamp(self.int8()?),
            DataType::TimestampTz => Value::TimestampTz(self.int8()?),
            DataType::Oid | DataType::Reg(_) | DataType::Xid => Value::Oid(u32::from_be_bytes(self.take()?)),
            DataType::Uuid => Value::Uuid(self.take()?),
            DataType::Float4 => {
                let sorted = u32::from_be_bytes(self.take()?);
                let bits = if sorted >> 31 == 1 { sorted & !(1 << 31) } else { !sorted };
                Value::Float4(f32::from_bits(bits))
            }
            DataType::Float8 => {
                let sorted = u64::from_be_bytes(self.take()?);
                let bits = if sorted >> 63 == 1 { sorted & !(1 << 63) } else { !sorted };
                Value::Float8(f64::from_bits(bits))
            }
            DataType::Numeric(_) => Value::Numeric(Decoded::read(|| self.byte())?.numeric()),
            DataType::Interval => {
                let total = u128::from_be_bytes(self.take()?) ^ (1 << 127);
                Value::Interval(Interval::from_total_micros(total as i128)?)
            }
            DataType::Bytea | DataType::Record => Value::Bytea(self.escaped()?),
            DataType::Text
            | DataType::Varchar(_)
            | DataType::Char(_)
            | DataType::Name
            | DataType::InternalChar
            | DataType::NodeTree
            | DataType::Void
            | DataType::Json
            | DataType::Jsonb => Value::Text(String::from_utf8(self.escaped()?).ok()?),
            DataType::Array(element) => Value::Array(self.array(element)?),
            DataType::Int2Vector => Value::Array(self.array(&DataType::Int2)?),
            DataType::OidVector => Value::Array(self.array(&DataType::Oid)?),
        })
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte ^ self.mask)
    }

    fn take<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        let mut taken = *self.bytes.get(self.at..)?.first_chunk::<LENGTH>()?;
        self.at += LENGTH;
        for byte in &mut taken {
            *byte ^= self.mask;
        }
        Some(taken)
    }

    fn int4(&mut self) -> Option<i32> {
        Some((u32::from_be_bytes(self.take()?) ^ (1 << 31)) as i32)
    }

    fn int8(&mut self) -> Option<i64> {
        Some((u64::from_be_bytes(self.take()?) ^ (1 << 63)) as i64)
    }

    fn escaped(&mut self) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        loop {
            match self.byte()? {
                0 => match self.byte()? {
                    ESCAPED_ZERO => text.push(0),
                    END => return Some(text),
                    _ => return None,
                },
                byte => text.push(byte),
            }
        }
    }

    fn array(&mut self, element: &DataType) -> Option<ArrayValue> {
        let mut elements = Vec::new();
        loop {
            match self.byte()? {
                ARRAY_END => return Some(ArrayValue { elements }),
                ARRAY_ELEMENT => elements.push(self.column(element, KeyOrder::ASCENDING)?),
                _ => return None,
            }
        }
    }
}
