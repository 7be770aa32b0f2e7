//! Decimal numbers in PostgreSQL's binary form: digits to the base 10000.

use std::fmt::Write;

use crate::cast::{fit_numeric, numeric_overflow};
use crate::error::{Error, ErrorKind, Result};
use crate::numeric::{NUMERIC_DIGITS_MAX, Numeric};

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const INFINITY: u16 = 0xd000;
const NEGATIVE_INFINITY: u16 = 0xf000;
/// Most digits after the point that the form can say.
const SCALE_MAX: u16 = 0x3fff;

/// Appends a number.
pub(super) fn write(number: Numeric, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number.unscaled.unsigned_abs()).as_bytes();
    let scale = usize::from(number.scale);
    // Groups of four count from the point: the digits are the ones from place `scale` (counted from
    // the right) up, and the ones below it.
    let below = scale.div_ceil(4) * 4;
    let padded = digits.len().max(scale) + (below - scale);
    let above = (padded - below).div_ceil(4) * 4;
    let lead = above + below - digits.len() - (below - scale);
    let digit = |place: usize| -> u16 {
        place.checked_sub(lead).and_then(|at| digits.get(at)).map_or(0, |digit| u16::from(digit - b'0'))
    };
    let group = |place: usize| (0..4).fold(0, |group, at| group * 10 + digit(place * 4 + at));
    let count = (above + below) / 4;
    let first = (0..count).find(|place| group(*place) != 0).unwrap_or(count);
    let last = (first..count).rfind(|place| group(*place) != 0).map_or(first, |last| last + 1);
    let weight = if first == last { 0 } else { (above / 4) as i16 - 1 - first as i16 };
    out.extend_from_slice(&((last - first) as u16).to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&(if number.unscaled < 0 { NEGATIVE } else { 0 }).to_be_bytes());
    out.extend_from_slice(&u16::from(number.scale).to_be_bytes());
    for place in first..last {
        out.extend_from_slice(&group(place).to_be_bytes());
    }
}

/// Reads a number, rounded to a column's scale.
pub(super) fn read(bytes: &[u8], modifier: Option<(u8, u8)>) -> Result<Numeric> {
    let (head, groups) = bytes.split_first_chunk::<8>().ok_or_else(malformed)?;
    let part = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let (count, weight, sign, scale) = (usize::from(part(0)), i32::from(part(2) as i16), part(4), part(6));
    if matches!(sign, NAN | INFINITY | NEGATIVE_INFINITY) {
        return Err(Error::new(
            ErrorKind::FeatureNotSupported,
            "numeric values NaN and Infinity are not supported",
        ));
    }
    if groups.len() != count * 2 || !matches!(sign, 0 | NEGATIVE) || scale > SCALE_MAX {
        return Err(malformed());
    }
    // As text, which knows how to round: more digits may come than a number keeps.
    let mut text = String::with_capacity(count * 4 + 16);
    if sign == NEGATIVE {
        text.push('-');
    }
    text.push('0');
    for group in groups.chunks_exact(2) {
        let group = u16::from_be_bytes([group[0], group[1]]);
        if group > 9999 {
            return Err(malformed());
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{group:04}");
    }
    let exponent = (weight + 1 - count as i32) * 4;
    let _ = write!(text, "e{exponent}");
    let too_large = || match modifier {
        Some((precision, scale)) => numeric_overflow(precision, scale),
        None => Error::new(ErrorKind::OutOfRange, "numeric value has more than 38 digits"),
    };
    match modifier {
        Some((precision, scale)) => {
            let number = Numeric::parse_rounded(&text, scale).map_err(|_| too_large())?;
            fit_numeric(number, precision, scale)
        }
        None => {
            let number = Numeric::parse(&text).map_err(|_| too_large())?;
            let scale = scale.min(u16::from(NUMERIC_DIGITS_MAX)) as u8;
            Ok(number.rescale(scale).unwrap_or(number))
        }
    }
}

#[cold]
fn malformed() -> Error {
    Error::new(ErrorKind::InvalidBinary, "incorrect binary data format")
        .detail("The bytes are no numeric in binary form.")
}
