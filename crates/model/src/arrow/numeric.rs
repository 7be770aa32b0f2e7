//! Numbers of any count of digits in one Arrow column.
//!
//! A cell is the number's sorting bytes (see [`key`](crate::key)) and, as its last byte, how many
//! digits are shown after the point. Cells sort as the numbers do; equal numbers have equal bytes up
//! to the last one, so that 1.5 comes before 1.50 and [`canonical`] makes both one.

use crate::error::{Error, Result};
use crate::key::{KeyOrder, decode_key, encode_key};
use crate::numeric::Numeric;
use crate::types::DataType;
use crate::value::{Value, ValueRef};

/// Appends a number's bytes.
pub(super) fn encode(number: Numeric, out: &mut Vec<u8>) -> Result<()> {
    encode_key(ValueRef::Numeric(number), &DataType::Numeric(None), KeyOrder::ASCENDING, out)?;
    out.push(number.scale);
    Ok(())
}

/// The number of these bytes.
pub(super) fn decode(bytes: &[u8]) -> Result<Numeric> {
    let damaged = || Error::internal("a damaged number in a column");
    let (scale, key) = bytes.split_last().ok_or_else(damaged)?;
    match decode_key(key, &DataType::Numeric(None), KeyOrder::ASCENDING)? {
        (Value::Numeric(number), _) => Ok(number.rescale(*scale).unwrap_or(number)),
        _ => Err(damaged()),
    }
}

/// The bytes that all equal numbers share.
pub fn canonical(bytes: &[u8]) -> &[u8] {
    bytes.split_last().map_or(bytes, |(_, key)| key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn cells_sort_as_numbers_and_keep_their_digits() {
        let texts =
            ["-12345678901234567890.5", "-1.50", "-1.5", "0", "0.00", "0.000001", "1.5", "1.50", "20"];
        let mut last: Option<(Numeric, Vec<u8>)> = None;
        for text in texts {
            let number = Numeric::parse(text).unwrap();
            let mut bytes = Vec::new();
            encode(number, &mut bytes).unwrap();
            assert_eq!(decode(&bytes).unwrap().to_string(), text);
            if let Some((before, earlier)) = last {
                assert_eq!(canonical(&earlier).cmp(canonical(&bytes)), before.cmp(&number));
            }
            last = Some((number, bytes));
        }
    }
}
