//! Values into the rows of a binary COPY.
//!
//! Binary, because the server then has nothing left to parse: numbers, dates and timestamps in their
//! plain ISO form are converted here, on the reading thread, and everything else by the same code
//! that the server uses.

use luma_model::infer::{iso_date, iso_timestamp};
use luma_model::{DataType, TextContext, ValueRef, parse_text, to_binary};

/// What a binary COPY begins with.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
pub(super) const TRAILER: &[u8] = &[0xff, 0xff];

/// Days from 1970 to 2000, where PostgreSQL's dates begin.
const DAYS_TO_2000: i32 = 10_957;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Begins a row.
pub(super) fn begin_row(out: &mut Vec<u8>, columns: usize) {
    out.extend_from_slice(&(columns as u16).to_be_bytes());
}

/// Writes NULL.
pub(super) fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1i32).to_be_bytes());
}

/// Writes bytes as they are.
pub(super) fn raw(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&(length as u32).to_be_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Writes the value that a text means.
///
/// # Errors
/// Why it is none of that type.
pub(super) fn text(out: &mut Vec<u8>, bytes: &[u8], data_type: &DataType) -> Result<(), String> {
    let done = match data_type {
        DataType::Int4 => integer(bytes)
            .and_then(|number| i32::try_from(number).ok())
            .map(|number| raw(out, &[&number.to_be_bytes()])),
        DataType::Int8 => integer(bytes).map(|number| raw(out, &[&number.to_be_bytes()])),
        DataType::Float8 => float(bytes).map(|number| raw(out, &[&number.to_be_bytes()])),
        DataType::Date => iso_date(bytes).map(|days| raw(out, &[&(days - DAYS_TO_2000).to_be_bytes()])),
        DataType::Timestamp => {
            let local = iso_timestamp(bytes).filter(|(_, offset)| offset.is_none());
            local.map(|(micros, _)| raw(out, &[&since_2000(micros).to_be_bytes()]))
        }
        DataType::TimestampTz => iso_timestamp(bytes)
            .and_then(|(micros, offset)| Some(micros - i64::from(offset?) * 1_000_000))
            .map(|utc| raw(out, &[&since_2000(utc).to_be_bytes()])),
        DataType::Text => {
            let fits = !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok();
            fits.then(|| raw(out, &[bytes]))
        }
        _ => None,
    };
    if done.is_some() {
        return Ok(());
    }
    let text = std::str::from_utf8(bytes).map_err(|error| format!("the text is not UTF-8: {error}"))?;
    let parsed =
        parse_text(data_type, text, &TextContext::default()).map_err(|error| error.message.clone())?;
    value(out, parsed.as_ref(), data_type);
    Ok(())
}

/// Writes a value.
pub(super) fn value(out: &mut Vec<u8>, value: ValueRef<'_>, data_type: &DataType) {
    if value.is_null() {
        null(out);
        return;
    }
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    to_binary(value, data_type, out);
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn since_2000(micros: i64) -> i64 {
    micros - i64::from(DAYS_TO_2000) * MICROS_PER_DAY
}

/// Up to 18 digits with a sign.
fn integer(bytes: &[u8]) -> Option<i64> {
    let (digits, sign) = match bytes {
        [b'-', digits @ ..] => (digits, -1),
        digits => (digits, 1),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits
        .iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
        .map(|number: i64| number * sign)
}

/// A number in digits; words such as `nan` go the long way.
fn float(bytes: &[u8]) -> Option<f64> {
    let plain =
        bytes.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E'));
    let number: f64 = std::str::from_utf8(bytes).ok().filter(|_| plain)?.parse().ok()?;
    number.is_finite().then_some(number)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The short ways must write what the long one does.
    fn check(text_given: &str, data_type: &DataType) {
        let mut short = Vec::new();
        let done = text(&mut short, text_given.as_bytes(), data_type);
        let mut long = Vec::new();
        let parsed = parse_text(data_type, text_given, &TextContext::default());
        match parsed {
            Ok(parsed) => {
                done.unwrap();
                value(&mut long, parsed.as_ref(), data_type);
                assert_eq!(short, long, "{text_given} as {data_type:?}");
            }
            Err(_) => assert!(done.is_err(), "{text_given} as {data_type:?}"),
        }
    }

    #[test]
    fn short_ways_agree_with_the_server_code() {
        for text_given in [
            "0",
            "-1",
            "2147483647",
            "2147483648",
            "-2147483648",
            "999999999999999999",
            "9223372036854775807",
            "9223372036854775808",
            " 7 ",
            "x",
            "",
        ] {
            check(text_given, &DataType::Int4);
            check(text_given, &DataType::Int8);
            check(text_given, &DataType::Float8);
            check(text_given, &DataType::Text);
        }
        for text_given in ["1.5", "-0", "1e10", ".5", "5.", "nan", "Infinity", "1e400", "1_0", "--1", "e5"] {
            check(text_given, &DataType::Float8);
        }
        for text_given in [
            "1970-01-01",
            "2000-02-29",
            "1900-02-29",
            "2013-12-31",
            "0001-01-01",
            "9999-12-31",
            "0000-01-01",
            "2013-01-01 06:00",
            "2013-01-01T06:00:00Z",
            "2013-01-01 23:59:59.999999",
            "2013-01-01 24:00:00",
            "2013-01-01 06:00:00+02",
            "2013-01-01 06:00:00-05:30",
            "2013-01-01 06:00:00.1234567",
            "1969-12-31 23:59:59.5",
            "infinity",
            "epoch",
            "2013-13-01",
            "20130102",
        ] {
            check(text_given, &DataType::Date);
            check(text_given, &DataType::Timestamp);
            check(text_given, &DataType::TimestampTz);
        }
    }

    proptest! {
        #[test]
        fn dates_agree_with_the_server_code(year in 1i32..9999, month in 0u32..14, day in 0u32..33) {
            check(&format!("{year:04}-{month:02}-{day:02}"), &DataType::Date);
        }
    }
}
