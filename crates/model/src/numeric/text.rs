//! Numbers as text.

use std::fmt;
use std::str::FromStr;

use super::decimal::Decimal;
use super::sorting::{Digits, Special};
use super::{DECIMAL_DIGITS_MAX, INTEGER_DIGITS_MAX, Numeric, NumericRef, SCALE_MAX};

/// Why a text is no [`Numeric`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumericParseError {
    /// It is not the text of a number.
    Syntax,
    /// The number has too many digits before or after the point.
    TooLarge,
}

impl fmt::Display for NumericParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "invalid input syntax for type numeric",
            Self::TooLarge => "value overflows numeric format",
        })
    }
}

impl std::error::Error for NumericParseError {}

impl FromStr for Numeric {
    type Err = NumericParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Numeric {
    /// Reads a number exactly: `12`, `-.5`, `1.50`, `6.02e23`, `NaN`, `-Infinity`.
    ///
    /// # Errors
    /// When the text is no number, or has more digits than a number may have.
    pub fn parse(text: &str) -> Result<Self, NumericParseError> {
        let parts = match split(text)? {
            Given::Finite(parts) => parts,
            Given::Special(special) => return Ok(Self::special(special)),
        };
        let (integer, fraction) = (parts.integer, parts.fraction);
        if parts.exponent == 0 && integer.len() + fraction.len() <= usize::from(DECIMAL_DIGITS_MAX) {
            let mut unscaled = 0i128;
            for digit in integer.iter().chain(fraction) {
                unscaled = unscaled * 10 + i128::from(digit - b'0');
            }
            return Ok(Self::new(if parts.negative { -unscaled } else { unscaled }, fraction.len() as u8));
        }
        let scale = (fraction.len() as i64 - parts.exponent).max(0);
        if scale > i64::from(SCALE_MAX) {
            return Err(NumericParseError::TooLarge);
        }
        let digits: Vec<u8> = integer.iter().chain(fraction).map(|digit| digit - b'0').collect();
        let mut digits = Digits::new(parts.negative, digits, fraction.len() as u32);
        if !digits.digits.is_empty() {
            let exponent = i64::from(digits.exponent) + parts.exponent;
            if exponent > i64::from(INTEGER_DIGITS_MAX) {
                return Err(NumericParseError::TooLarge);
            }
            digits.exponent = exponent as i32;
        }
        digits.scale = scale as u32;
        Ok(digits.numeric())
    }
}

/// What a text gives.
enum Given<'a> {
    Finite(Parts<'a>),
    Special(Special),
}

/// Sign, digits and exponent of a number, not yet put together.
struct Parts<'a> {
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

fn split(text: &str) -> Result<Given<'_>, NumericParseError> {
    let text = text.trim_matches(is_space);
    let (negative, body) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let bytes = body.as_bytes();
    let integer = digits(bytes);
    let mut rest = &bytes[integer.len()..];
    let mut fraction: &[u8] = &[];
    if let Some(after) = rest.strip_prefix(b".") {
        fraction = digits(after);
        rest = &after[fraction.len()..];
    }
    if integer.is_empty() && fraction.is_empty() {
        let is = |name: &str| body.eq_ignore_ascii_case(name);
        return match () {
            () if is("nan") && body.len() == text.len() => Ok(Given::Special(Special::NaN)),
            () if is("infinity") || is("inf") => {
                Ok(Given::Special(if negative { Special::NegativeInfinity } else { Special::Infinity }))
            }
            () => Err(NumericParseError::Syntax),
        };
    }
    let exponent = match rest {
        [] => 0,
        [b'e' | b'E', exponent @ ..] => {
            let text = std::str::from_utf8(exponent).map_err(|_| NumericParseError::Syntax)?;
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
                return Err(NumericParseError::Syntax);
            }
            let exponent: i64 = text.parse().map_err(|_| NumericParseError::TooLarge)?;
            if exponent.abs() > i64::from(i32::MAX) / 2 {
                return Err(NumericParseError::TooLarge);
            }
            exponent
        }
        _ => return Err(NumericParseError::Syntax),
    };
    Ok(Given::Finite(Parts { negative, integer, fraction, exponent }))
}

fn digits(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|c| !c.is_ascii_digit()).unwrap_or(bytes.len());
    &bytes[..end]
}

/// What C's `isspace` accepts.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

impl fmt::Display for NumericRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(42);
        self.write_text(&mut text);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl NumericRef<'_> {
    /// Appends the number's text: no exponent, as many digits after the point as the scale says.
    pub fn write_text(self, out: &mut Vec<u8>) {
        match self {
            Self::Decimal(number) => write_decimal(number, out),
            wide @ Self::Wide(_) => match wide.digits() {
                Ok(digits) => write_digits(&digits, out),
                Err(Special::NaN) => out.extend_from_slice(b"NaN"),
                Err(Special::Infinity) => out.extend_from_slice(b"Infinity"),
                Err(Special::NegativeInfinity) => out.extend_from_slice(b"-Infinity"),
            },
        }
    }
}

fn write_digits(number: &Digits, out: &mut Vec<u8>) {
    if number.negative {
        out.push(b'-');
    }
    let digit = |at: i32| {
        let known = usize::try_from(at).ok().and_then(|at| number.digits.get(at));
        known.map_or(b'0', |digit| digit + b'0')
    };
    if number.exponent <= 0 {
        out.push(b'0');
    }
    out.extend((0..number.exponent).map(digit));
    if number.scale > 0 {
        out.push(b'.');
        out.extend((number.exponent..number.exponent + number.scale as i32).map(digit));
    }
}

fn write_decimal(number: Decimal, out: &mut Vec<u8>) {
    if number.unscaled < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let magnitude = number.unscaled.unsigned_abs();
    let digits = match u64::try_from(magnitude) {
        Ok(short) => buffer.format(short),
        Err(_) => buffer.format(magnitude),
    };
    let scale = usize::from(number.scale);
    if scale == 0 {
        out.extend_from_slice(digits.as_bytes());
        return;
    }
    let (integer, fraction) = digits.as_bytes().split_at(digits.len().saturating_sub(scale));
    if integer.is_empty() {
        out.push(b'0');
    } else {
        out.extend_from_slice(integer);
    }
    out.push(b'.');
    out.resize(out.len() + (scale - fraction.len()), b'0');
    out.extend_from_slice(fraction);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_keeps_every_digit() {
        let sixty = "123456789012345678901234567890123456789012345678901234567890";
        let long = format!("{sixty}.{sixty}");
        for (given, wanted) in [
            ("0", "0"),
            ("-0", "0"),
            ("00012.50", "12.50"),
            (" +.5 ", "0.5"),
            ("5.", "5"),
            ("-0.001", "-0.001"),
            ("1e3", "1000"),
            ("1.5e1", "15"),
            ("1.2345e2", "123.45"),
            ("1e-5", "0.00001"),
            ("0e10", "0"),
            ("0.000", "0.000"),
            ("nan", "NaN"),
            ("inf", "Infinity"),
            ("-Infinity", "-Infinity"),
            ("99999999999999999999999999999999999999", "99999999999999999999999999999999999999"),
            ("0.00000000000000000000000000000000000001", "0.00000000000000000000000000000000000001"),
            (
                "1.00000000000000000000000000000000000000000000",
                "1.00000000000000000000000000000000000000000000",
            ),
            ("1e-45", "0.000000000000000000000000000000000000000000001"),
            ("-1.5e45", "-1500000000000000000000000000000000000000000000"),
            (sixty, sixty),
            (&long, &long),
        ] {
            let parsed = Numeric::parse(given).unwrap();
            assert_eq!(parsed.to_string(), wanted, "{given}");
        }
        let most = format!("-{}.{}", "9".repeat(131_072), "9".repeat(16_383));
        assert_eq!(Numeric::parse(&most).unwrap().to_string(), most);
    }

    #[test]
    fn what_is_no_number_or_too_long_is_refused() {
        use NumericParseError::*;
        for (given, wanted) in [
            ("", Syntax),
            (".", Syntax),
            ("-", Syntax),
            ("1e", Syntax),
            ("1 2", Syntax),
            ("0x1", Syntax),
            ("1_000", Syntax),
            ("-NaN", Syntax),
            ("1e131072", TooLarge),
            ("1e999999999999", TooLarge),
            ("1e-16384", TooLarge),
        ] {
            assert_eq!(Numeric::parse(given), Err(wanted), "{given}");
        }
    }

    proptest! {
        #[test]
        fn a_number_survives_its_text(text in "-?[1-9][0-9]{0,70}(\\.[0-9]{1,70})?") {
            prop_assert_eq!(Numeric::parse(&text).unwrap().to_string(), text);
        }

        #[test]
        fn reading_never_panics(text in "[-+ 0-9.eE]{0,60}") {
            let _ = Numeric::parse(&text);
        }
    }
}
