//! Finding the type of a column from the texts in it.
//!
//! A column gets the narrowest type that every one of its values has exactly; numbers with a leading
//! zero (zip codes) are text, and mixtures that no type holds are text.

use luma_model::DataType;

use crate::import::encode::{iso_date, iso_timestamp};

/// Digits that a double always keeps.
const DOUBLE_DIGITS: usize = 17;
/// Digits that a numeric holds.
const NUMERIC_DIGITS_MAX: usize = 38;

/// What is known of a column's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// There was none yet.
    #[default]
    Unknown,
    Bool,
    Int4,
    Int8,
    Double,
    Numeric,
    Date,
    Timestamp,
    TimestampTz,
    Text,
}

impl Kind {
    /// The kind of one value.
    pub(super) fn of(text: &[u8]) -> Self {
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
    pub(super) fn unify(self, other: Self) -> Self {
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
    pub(super) fn data_type(self) -> DataType {
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
