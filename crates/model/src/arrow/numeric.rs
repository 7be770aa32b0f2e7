//! Numbers of any count of digits in one Arrow column.
//!
//! A cell is the number's sorting bytes (see [`key`](crate::key)) and behind them how many digits are shown
//! after the point. Cells sort as the numbers do; equal numbers have equal bytes up to the scale, so
//! that 1.5 comes before 1.50 and [`canonical`] makes both one.

use crate::error::{Error, Result};
use crate::key::{KeyOrder, encode_key};
use crate::numeric::{NumericRef, sorting};
use crate::types::DataType;
use crate::value::ValueRef;

/// Appends a number's bytes.
pub(super) fn encode(number: NumericRef<'_>, out: &mut Vec<u8>) -> Result<()> {
    encode_key(ValueRef::Numeric(number), &DataType::Numeric(None), KeyOrder::ASCENDING, out)?;
    sorting::push_scale(number.scale().unwrap_or(0), out);
    Ok(())
}

/// The number of these bytes.
pub(super) fn decode(bytes: &[u8]) -> Result<NumericRef<'_>> {
    bytes
        .split_first()
        .and_then(|(_, number)| NumericRef::from_bytes(number))
        .ok_or_else(|| Error::internal("a damaged number in a column"))
}

/// The bytes that all equal numbers share.
pub fn canonical(bytes: &[u8]) -> &[u8] {
    sorting::split_scale(bytes).map_or(bytes, |(key, _)| key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::numeric::Numeric;

    #[test]
    fn cells_sort_as_numbers_and_keep_their_digits() {
        let long = format!("1.5{}", "0".repeat(300));
        let texts = [
            "-Infinity",
            "-1e200",
            "-12345678901234567890.5",
            "-1.50",
            "-1.5",
            "-1e-200",
            "0",
            "0.00",
            "1e-200",
            "0.000001",
            "1.5",
            "1.50",
            &long,
            "20",
            "12345678901234567890123456789012345678901234567890.25",
            "1e200",
            "1e131071",
            "Infinity",
            "NaN",
        ];
        let mut last: Option<(Numeric, Vec<u8>)> = None;
        for text in texts {
            let number = Numeric::parse(text).unwrap();
            let mut bytes = Vec::new();
            encode(number.as_ref(), &mut bytes).unwrap();
            assert_eq!(decode(&bytes).unwrap().to_string(), number.to_string());
            if let Some((before, earlier)) = last {
                assert_eq!(canonical(&earlier).cmp(canonical(&bytes)), before.cmp(&number), "{text}");
                assert!(before <= number, "{text}");
            }
            last = Some((number, bytes));
        }
    }
}
