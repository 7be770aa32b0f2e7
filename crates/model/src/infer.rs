//! Finding the type of a column from the texts in it.
//!
//! A column gets the narrowest type that every one of its values has exactly; numbers with a leading
//! zero (zip codes) are text, and mixtures that no type holds are text.

use crate::interval::MICROS_PER_DAY;
use crate::types::DataType;

/// Digits that a double always keeps.
const DOUBLE_DIGITS: usize = 17;
/// Digits that a numeric holds.
const NUMERIC_DIGITS_MAX: usize = 38;

/// What is known of a column's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// There was none yet.
    #[default]
    Unknown,
    /// `true` and `false`.
    Bool,
    /// Whole numbers of 32 bits.
    Int4,
    /// Whole numbers of 64 bits.
    Int8,
    /// Numbers that a double keeps.
    Double,
    /// Numbers of up to 38 digits.
    Numeric,
    /// Days.
    Date,
    /// Moments without a zone.
    Timestamp,
    /// Moments with a zone.
    TimestampTz,
    /// Anything.
    Text,
}

impl Kind {
    /// The kind of one value.
    pub fn of(text: &[u8]) -> Self {
        match text.first() {
            Some(b'0'..=b'9' | b'-' | b'.') => Self::of_number(text)
                .or_else(|| iso_date(text).map(|_| Self::Date))
                .or_else(|| match iso_timestamp(text) {
                    Some((_, None)) => Some(Self::Timestamp),
                    Some((_, Some(_))) => Some(Self::TimestampTz),
                    None => None,
                })
                .unwrap_or(Self::Text),
            _ if text.eq_ignore_ascii_case(b"true") || text.eq_ignore_ascii_case(b"false") => Self::Bool,
            _ => Self::Text,
        }
    }

    fn of_number(text: &[u8]) -> Option<Self> {
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let whole = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if whole > 1 && digits[0] == b'0' {
            return None;
        }
        let rest = &digits[whole..];
        if rest.is_empty() && whole > 0 {
            return Some(match std::str::from_utf8(text).ok()?.parse::<i64>() {
                Ok(number) if i32::try_from(number).is_ok() => Self::Int4,
                Ok(_) => Self::Int8,
                Err(_) if whole <= NUMERIC_DIGITS_MAX => Self::Numeric,
                Err(_) => return None,
            });
        }
        let fraction = rest.strip_prefix(b".").unwrap_or(rest);
        let decimals = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if whole + decimals == 0 || (rest.first() == Some(&b'.') && decimals == 0 && whole == 0) {
            return None;
        }
        match &fraction[decimals..] {
            [] if whole + decimals <= DOUBLE_DIGITS => Some(Self::Double),
            [] if whole + decimals <= NUMERIC_DIGITS_MAX => Some(Self::Numeric),
            [b'e' | b'E', exponent @ ..] => {
                let exponent =
                    exponent.strip_prefix(b"-").or(exponent.strip_prefix(b"+")).unwrap_or(exponent);
                let fits = (1..=3).contains(&exponent.len()) && exponent.iter().all(u8::is_ascii_digit);
                let finite =
                    || std::str::from_utf8(text).ok()?.parse::<f64>().ok().filter(|value| value.is_finite());
                (fits && finite().is_some()).then_some(Self::Double)
            }
            _ => None,
        }
    }

    /// The kind that holds the values of both.
    pub fn unify(self, other: Self) -> Self {
        use Kind::{Date, Double, Int4, Int8, Numeric, Text, Timestamp, Unknown};
        match (self, other) {
            (one, two) if one == two => one,
            (Unknown, known) | (known, Unknown) => known,
            (Int4, Int8) | (Int8, Int4) => Int8,
            (Int4 | Int8, Double) | (Double, Int4 | Int8) => Double,
            (Int4 | Int8 | Double, Numeric) | (Numeric, Int4 | Int8 | Double) => Numeric,
            (Date, Timestamp) | (Timestamp, Date) => Timestamp,
            _ => Text,
        }
    }

    /// The type of a column of such values.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Unknown | Self::Text => DataType::Text,
            Self::Bool => DataType::Bool,
            Self::Int4 => DataType::Int4,
            Self::Int8 => DataType::Int8,
            Self::Double => DataType::Float8,
            Self::Numeric => DataType::Numeric(None),
            Self::Date => DataType::Date,
            Self::Timestamp => DataType::Timestamp,
            Self::TimestampTz => DataType::TimestampTz,
        }
    }
}

/// Days since 1970 of `2013-01-31`.
pub fn iso_date(bytes: &[u8]) -> Option<i32> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = bytes else { return None };
    let year = number(&[*y1, *y2, *y3, *y4])?;
    let (month, day) = (number(&[*m1, *m2])?, number(&[*d1, *d2])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_max = match month {
        2 => 28 + i32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year == 0 || !(1..=days_max).contains(&day) {
        return None;
    }
    // Years begin in March here, so that the leap day is the last one.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted / 400;
    let year_of_era = shifted - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Microseconds since 1970 of `2013-01-31 23:59:59.5`, with `T` or a space, seconds and their
/// fraction optional, and the zone's offset in seconds if there is one.
pub fn iso_timestamp(bytes: &[u8]) -> Option<(i64, Option<i32>)> {
    let (date, rest) = bytes.split_at_checked(10)?;
    let days = iso_date(date)?;
    let [b' ' | b'T', h1, h2, b':', m1, m2, rest @ ..] = rest else { return None };
    let (hour, minute) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
    let (second, rest) = match rest {
        [b':', s1, s2, rest @ ..] => (number(&[*s1, *s2])?, rest),
        rest => (0, rest),
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 || digits > 6 {
                return None;
            }
            (number(&rest[..digits])? * 10i32.pow(6 - digits as u32), &rest[digits..])
        }
        rest => (0, rest),
    };
    let offset = match rest {
        [] => None,
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, rest @ ..] => {
            let minutes = match rest {
                [] => 0,
                [b':', m1, m2] | [m1, m2] => number(&[*m1, *m2])?,
                _ => return None,
            };
            let hours = number(&[*h1, *h2])?;
            if hours > 15 || minutes > 59 {
                return None;
            }
            let seconds = hours * 3600 + minutes * 60;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => return None,
    };
    let seconds = i64::from(hour * 3600 + minute * 60 + second);
    Some((i64::from(days) * MICROS_PER_DAY + seconds * 1_000_000 + i64::from(fraction), offset))
}

fn number(digits: &[u8]) -> Option<i32> {
    digits
        .iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i32::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_the_narrowest_kind_that_keeps_it() {
        for (text, kind) in [
            ("1", Kind::Int4),
            ("-12", Kind::Int4),
            ("0", Kind::Int4),
            ("3000000000", Kind::Int8),
            ("9223372036854775808", Kind::Numeric),
            ("00501", Kind::Text),
            ("-01", Kind::Text),
            ("10.357019999999999", Kind::Double),
            ("-.5", Kind::Double),
            ("5.", Kind::Double),
            ("1e5", Kind::Double),
            ("0.1234567890123456789", Kind::Numeric),
            ("1e999", Kind::Text),
            ("1e", Kind::Text),
            (".", Kind::Text),
            ("-", Kind::Text),
            ("1.2.3", Kind::Text),
            ("+49", Kind::Text),
            ("true", Kind::Bool),
            ("FALSE", Kind::Bool),
            ("t", Kind::Text),
            ("2013-01-01", Kind::Date),
            ("2013-02-30", Kind::Text),
            ("2013-01-01 06:00", Kind::Timestamp),
            ("2013-01-01T06:00:00.5", Kind::Timestamp),
            ("2013-01-01T06:00:00Z", Kind::TimestampTz),
            ("2013-01-01 06:00:00+02", Kind::TimestampTz),
            ("12:30", Kind::Text),
            ("NaN", Kind::Text),
            ("", Kind::Text),
        ] {
            assert_eq!(Kind::of(text.as_bytes()), kind, "{text}");
        }
    }

    #[test]
    fn kinds_widen_to_what_holds_both_or_to_text() {
        assert_eq!(Kind::Int4.unify(Kind::Double), Kind::Double);
        assert_eq!(Kind::Unknown.unify(Kind::Date), Kind::Date);
        assert_eq!(Kind::Date.unify(Kind::Timestamp), Kind::Timestamp);
        assert_eq!(Kind::Timestamp.unify(Kind::TimestampTz), Kind::Text);
        assert_eq!(Kind::Bool.unify(Kind::Int4), Kind::Text);
        assert_eq!(Kind::Int8.unify(Kind::Numeric), Kind::Numeric);
    }
}
