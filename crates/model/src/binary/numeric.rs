//! Numbers in PostgreSQL's binary form: digits to the base 10000.

use crate::error::{Error, ErrorKind, Result};
use crate::numeric::sorting::{Digits, Special};
use crate::numeric::{Numeric, NumericRef, overflow};

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const INFINITY: u16 = 0xd000;
const NEGATIVE_INFINITY: u16 = 0xf000;
/// Most digits after the point that the form can say.
const SCALE_MAX: u16 = 0x3fff;

/// Appends a number.
pub(super) fn write(number: NumericRef<'_>, out: &mut Vec<u8>) {
    let number = match number.digits() {
        Ok(digits) => digits,
        Err(special) => {
            let (sign, scale) = match special {
                Special::NaN => (NAN, 0),
                Special::Infinity => (INFINITY, 0x20),
                Special::NegativeInfinity => (NEGATIVE_INFINITY, 0x20),
            };
            for part in [0, 0, sign, scale] {
                out.extend_from_slice(&u16::to_be_bytes(part));
            }
            return;
        }
    };
    // Groups of four count from the point: the first one has the digits down to the next multiple of four.
    let weight = (number.exponent - 1).div_euclid(4);
    let lead = (weight + 1) * 4 - number.exponent;
    let digit = |at: i32| -> u16 {
        let known = usize::try_from(at - lead).ok().and_then(|at| number.digits.get(at));
        known.map_or(0, |digit| u16::from(*digit))
    };
    let count = (number.digits.len() as i32 + lead + 3) / 4;
    let (count, weight) = if number.digits.is_empty() { (0, 0) } else { (count, weight) };
    out.extend_from_slice(&(count as u16).to_be_bytes());
    out.extend_from_slice(&(weight as i16).to_be_bytes());
    out.extend_from_slice(&(if number.negative { NEGATIVE } else { 0 }).to_be_bytes());
    out.extend_from_slice(&(number.scale as u16).to_be_bytes());
    for group in 0..count {
        let value = (0..4).fold(0, |value, at| value * 10 + digit(group * 4 + at));
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Reads a number, rounded to a column's scale.
pub(super) fn read(bytes: &[u8], modifier: Option<(u16, i16)>) -> Result<Numeric> {
    let (head, groups) = bytes.split_first_chunk::<8>().ok_or_else(malformed)?;
    let part = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let (count, weight, sign, scale) = (usize::from(part(0)), i32::from(part(2) as i16), part(4), part(6));
    if groups.len() != count * 2 {
        return Err(malformed());
    }
    let number = match sign {
        NAN => Numeric::nan(),
        INFINITY => Numeric::infinity(),
        NEGATIVE_INFINITY => Numeric::negative_infinity(),
        0 | NEGATIVE if scale <= SCALE_MAX => finite(groups, weight, sign == NEGATIVE, scale.into())?,
        _ => return Err(malformed()),
    };
    match modifier {
        Some((precision, scale)) => number.as_ref().fit(precision, scale),
        None => Ok(number),
    }
}

/// A number of groups of four digits; what is below its scale is cut.
fn finite(groups: &[u8], weight: i32, negative: bool, scale: u32) -> Result<Numeric> {
    let mut digits = Vec::with_capacity(groups.len() * 2);
    for group in groups.chunks_exact(2) {
        let group = u16::from_be_bytes([group[0], group[1]]);
        if group > 9999 {
            return Err(malformed());
        }
        digits.extend([group / 1000, group / 100 % 10, group / 10 % 10, group % 10].map(|digit| digit as u8));
    }
    // The point is after the first group when the weight is 0.
    let point = (weight + 1) * 4;
    let kept = usize::try_from(point + scale as i32).unwrap_or(0);
    digits.truncate(kept);
    let mut number = Digits::new(negative, digits, 0);
    if number.digits.is_empty() {
        return Ok(Digits { scale, ..Digits::default() }.numeric());
    }
    let leading = groups.len() as i32 * 2;
    number.exponent += point - leading.min(kept as i32);
    if number.exponent > crate::numeric::INTEGER_DIGITS_MAX as i32 {
        return Err(overflow());
    }
    number.scale = scale;
    Ok(number.numeric())
}

#[cold]
fn malformed() -> Error {
    Error::new(ErrorKind::InvalidBinary, "incorrect binary data format")
        .detail("The bytes are no numeric in binary form.")
}
