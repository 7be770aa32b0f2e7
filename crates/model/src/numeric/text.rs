//! Decimal numbers as text.

use std::fmt;
use std::str::FromStr;

use super::{NUMERIC_DIGITS_MAX, Numeric, POWERS};

/// Why a text is no [`Numeric`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumericParseError {
    /// It is not the text of a number.
    Syntax,
    /// The number has more than 38 digits, or more than the scale allows before the point.
    TooLarge,
    /// It is `NaN` or an infinity, which are not kept.
    NotFinite,
}

impl fmt::Display for NumericParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "invalid input syntax for type numeric",
            Self::TooLarge => "numeric value has more than 38 digits",
            Self::NotFinite => "numeric values NaN and Infinity are not supported",
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
    /// Reads a number exactly: `12`, `-.5`, `1.50`, `6.02e23`.
    pub fn parse(text: &str) -> Result<Self, NumericParseError> {
        parse(text, None)
    }

    /// Reads a number, rounded to that many digits after the point.
    pub fn parse_rounded(text: &str, scale: u8) -> Result<Self, NumericParseError> {
        parse(text, Some(scale))
    }
}

/// Sign, digits and exponent of a number, not yet put together.
struct Parts<'a> {
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

fn parse(text: &str, scale: Option<u8>) -> Result<Numeric, NumericParseError> {
    let parts = split(text)?;
    // The number is 0.d1d2d3… times ten to the power of `point`.
    let point = parts.integer.len() as i64 + parts.exponent;
    let digit = |at: i64| -> Option<u8> {
        let at = usize::try_from(at).ok()?;
        parts.integer.get(at).or_else(|| parts.fraction.get(at - parts.integer.len())).copied()
    };
    let count = (parts.integer.len() + parts.fraction.len()) as i64;
    let last = (0..count).rev().find(|at| digit(*at) != Some(b'0'));
    let Some(last) = last else {
        let scale = scale.unwrap_or_else(|| (count - point).clamp(0, i64::from(NUMERIC_DIGITS_MAX)) as u8);
        return Ok(Numeric { unscaled: 0, scale });
    };
    let wanted = match scale {
        Some(scale) => i64::from(scale),
        // All digits, with the zeros at the end as far as there is room.
        None => (count - point).max(0).min((last + 1 - point).max(i64::from(NUMERIC_DIGITS_MAX))),
    };
    if wanted > i64::from(NUMERIC_DIGITS_MAX) {
        return Err(NumericParseError::TooLarge);
    }
    match accumulate(&digit, count, point + wanted) {
        Some(unscaled) => Ok(signed(unscaled, wanted as u8, parts.negative)),
        // Without a scale of its own the number may still fit once its last zeros are gone.
        None if scale.is_none() && last + 1 - point < wanted => {
            let wanted = (last + 1 - point).max(0);
            let unscaled = accumulate(&digit, count, point + wanted).ok_or(NumericParseError::TooLarge)?;
            Ok(signed(unscaled, wanted as u8, parts.negative))
        }
        None => Err(NumericParseError::TooLarge),
    }
}

/// The number made of the first `kept` digits, rounded; `None` when it has more than 38.
fn accumulate(digit: &impl Fn(i64) -> Option<u8>, count: i64, kept: i64) -> Option<i128> {
    if kept < 0 {
        return Some(0);
    }
    let mut unscaled = 0i128;
    for at in 0..kept.min(count) {
        unscaled = unscaled.checked_mul(10)?.checked_add(i128::from(digit(at)? - b'0'))?;
    }
    if kept > count && unscaled != 0 {
        let zeros = usize::try_from(kept - count).ok()?;
        unscaled = unscaled.checked_mul(*POWERS.get(zeros)?)?;
    }
    if digit(kept).is_some_and(|next| next >= b'5') {
        unscaled += 1;
    }
    (unscaled < POWERS[38]).then_some(unscaled)
}

fn signed(unscaled: i128, scale: u8, negative: bool) -> Numeric {
    Numeric { unscaled: if negative { -unscaled } else { unscaled }, scale }
}

fn split(text: &str) -> Result<Parts<'_>, NumericParseError> {
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
        let special = ["nan", "infinity", "inf"].iter().any(|name| body.eq_ignore_ascii_case(name));
        return Err(if special { NumericParseError::NotFinite } else { NumericParseError::Syntax });
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
    Ok(Parts { negative, integer, fraction, exponent })
}

fn digits(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|c| !c.is_ascii_digit()).unwrap_or(bytes.len());
    &bytes[..end]
}

/// What C's `isspace` accepts.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(42);
        self.write_text(&mut text);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl Numeric {
    /// Appends the number's text: no exponent, as many digits after the point as the scale says.
    pub fn write_text(self, out: &mut Vec<u8>) {
        if self.unscaled < 0 {
            out.push(b'-');
        }
        let mut buffer = itoa::Buffer::new();
        let magnitude = self.unscaled.unsigned_abs();
        let digits = match u64::try_from(magnitude) {
            Ok(short) => buffer.format(short),
            Err(_) => buffer.format(magnitude),
        };
        let scale = usize::from(self.scale);
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
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_keeps_every_digit() {
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
            ("99999999999999999999999999999999999999", "99999999999999999999999999999999999999"),
            ("0.00000000000000000000000000000000000001", "0.00000000000000000000000000000000000001"),
            ("1.00000000000000000000000000000000000000000000", "1.0000000000000000000000000000000000000"),
        ] {
            let parsed = Numeric::parse(given).unwrap();
            if wanted.len() < 39 {
                assert_eq!(parsed.to_string(), wanted, "{given}");
            } else {
                assert_eq!(parsed, Numeric::parse(wanted).unwrap(), "{given}");
            }
        }
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
            ("NaN", NotFinite),
            ("-Infinity", NotFinite),
            ("100000000000000000000000000000000000000", TooLarge),
            ("1e38", TooLarge),
            ("1e999999999999", TooLarge),
            ("1e-39", TooLarge),
        ] {
            assert_eq!(Numeric::parse(given), Err(wanted), "{given}");
        }
    }

    #[test]
    fn a_scale_rounds_any_number_of_digits() {
        let parse = |text, scale| Numeric::parse_rounded(text, scale).unwrap().to_string();
        assert_eq!(parse("1.2345678901234567890123456789012345678901234567890", 2), "1.23");
        assert_eq!(parse("1.995", 2), "2.00");
        assert_eq!(parse("-0.005", 2), "-0.01");
        assert_eq!(parse("1e-100", 2), "0.00");
        assert_eq!(parse("5e-1", 0), "1");
        assert_eq!(parse("7", 3), "7.000");
        assert!(Numeric::parse_rounded("1e38", 2).is_err());
    }

    proptest! {
        #[test]
        fn a_number_survives_its_text(unscaled in -(POWERS[38] - 1)..POWERS[38], scale in 0u8..=38) {
            let number = Numeric { unscaled, scale };
            let back = Numeric::parse(&number.to_string()).unwrap();
            prop_assert_eq!((back.unscaled, back.scale), (unscaled, scale));
        }

        #[test]
        fn reading_never_panics(text in "[-+ 0-9.eE]{0,60}", scale in 0u8..=38) {
            let _ = Numeric::parse(&text);
            let _ = Numeric::parse_rounded(&text, scale);
        }
    }
}
