//! JSON numbers without exponents.

use crate::error::{Error, ErrorKind, Result};

/// Most digits before and after the point, as PostgreSQL limits `numeric`.
const INTEGER_DIGITS_MAX: i64 = 131_072;
const FRACTION_DIGITS_MAX: i64 = 16_383;

/// The number without an exponent.
pub(crate) fn plain(text: &str) -> Result<String> {
    let mut out = Vec::with_capacity(text.len());
    write_plain(text, &mut out)?;
    String::from_utf8(out).map_err(|_| Error::internal("a number that is not UTF-8"))
}

/// Appends a JSON number without exponent, with all of its digits.
pub(super) fn write_plain(text: &str, out: &mut Vec<u8>) -> Result<()> {
    let Some(at) = text.find(['e', 'E']) else {
        return {
            write_signed(text, text.strip_prefix('-').unwrap_or(text).as_bytes(), out);
            Ok(())
        };
    };
    let exponent: i64 = text[at + 1..].parse().map_err(|_| overflow())?;
    let mantissa = text[..at].strip_prefix('-').unwrap_or(&text[..at]);
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [integer, fraction].concat();
    let significant = digits.trim_start_matches('0');
    let scale = fraction.len() as i64 - exponent.clamp(-1_000_000, 1_000_000);
    if significant.len() as i64 - scale > INTEGER_DIGITS_MAX || scale > FRACTION_DIGITS_MAX {
        return Err(overflow());
    }
    let mut plain = Vec::new();
    if significant.is_empty() {
        plain.push(b'0');
        if scale > 0 {
            plain.push(b'.');
            plain.resize(plain.len() + scale as usize, b'0');
        }
    } else if scale <= 0 {
        plain.extend_from_slice(significant.as_bytes());
        plain.resize(plain.len() + scale.unsigned_abs() as usize, b'0');
    } else {
        let padded = format!("{significant:0>width$}", width = scale as usize + 1);
        let (before, after) = padded.split_at(padded.len() - scale as usize);
        plain.extend_from_slice(before.as_bytes());
        plain.push(b'.');
        plain.extend_from_slice(after.as_bytes());
    }
    write_signed(text, &plain, out);
    Ok(())
}

/// Zero has no sign.
fn write_signed(text: &str, digits: &[u8], out: &mut Vec<u8>) {
    if text.starts_with('-') && digits.iter().any(|c| (b'1'..=b'9').contains(c)) {
        out.push(b'-');
    }
    out.extend_from_slice(digits);
}

#[cold]
fn overflow() -> Error {
    Error::new(ErrorKind::OutOfRange, "value overflows numeric format")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn exponents_become_digits() {
        for (given, wanted) in [
            ("1e2", "100"),
            ("1E-3", "0.001"),
            ("1.50e1", "15.0"),
            ("-1.5e0", "-1.5"),
            ("-0", "0"),
            ("-0.0", "0.0"),
            ("0e5", "0"),
            ("0.0e-1", "0.00"),
            ("1.50", "1.50"),
            (
                "12345678901234567890123456789012345678901234567890",
                "12345678901234567890123456789012345678901234567890",
            ),
        ] {
            assert_eq!(plain(given).unwrap(), wanted, "{given}");
        }
        assert!(plain("1e200000").is_err());
        assert!(plain("1e99999999999999999999").is_err());
    }
}
