//! Numbers and strings as Go writes and reads them: the texts of labels, annotations and answers
//! must not differ by a digit from Prometheus'.

use std::fmt::Write as _;

/// The shortest decimal text that reads back as the value, never with an exponent
/// (`strconv.FormatFloat(v, 'f', -1, 64)`).
pub fn format_plain(value: f64) -> String {
    match special(value) {
        Some(text) => text.to_owned(),
        None => format!("{value}"),
    }
}

/// The shortest text, with an exponent below -4 and from 6 on (`%g` and `%v`).
pub fn format_general(value: f64) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    let scientific = format!("{value:e}");
    match split_exponent(&scientific) {
        Some((mantissa, exponent)) if value != 0.0 && !(-4..6).contains(&exponent) => {
            with_exponent(mantissa, exponent)
        }
        _ => format!("{value}"),
    }
}

/// What `%.2g` writes: two significant digits.
pub fn format_two_digits(value: f64) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    let scientific = format!("{value:.1e}");
    let Some((mantissa, exponent)) = split_exponent(&scientific) else { return scientific };
    let trimmed = mantissa.trim_end_matches('0').trim_end_matches('.');
    if !(-4..2).contains(&exponent) {
        return with_exponent(trimmed, exponent);
    }
    let decimals = usize::try_from(1 - exponent).unwrap_or(0);
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// OpenMetrics' form: like `%g`, and a whole number has `.0`.
pub fn format_open_metrics(value: f64) -> String {
    if value == 1.0 {
        return "1.0".to_owned();
    }
    if value == 0.0 {
        return "0.0".to_owned();
    }
    if value == -1.0 {
        return "-1.0".to_owned();
    }
    let text = format_general(value);
    if value.is_finite() && !text.contains(['e', '.']) { text + ".0" } else { text }
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value == f64::INFINITY {
        Some("+Inf")
    } else if value == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

/// The shortest text, with an exponent of two digits or more (`'e'`, -1).
pub fn format_scientific(value: f64) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    let scientific = format!("{value:e}");
    match split_exponent(&scientific) {
        Some((mantissa, exponent)) => with_exponent(mantissa, exponent),
        None => scientific,
    }
}

fn split_exponent(scientific: &str) -> Option<(&str, i32)> {
    let (mantissa, exponent) = scientific.split_once('e')?;
    Some((mantissa, exponent.parse().ok()?))
}

fn with_exponent(mantissa: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// A text in double quotes with Go's escapes.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Reads a number as PromQL does: decimal, hexadecimal, octal and binary whole numbers,
/// decimal fractions, `Inf` and `NaN` in any case, underscores between digits.
pub fn parse_number(text: &str) -> Option<f64> {
    if let Some(whole) = parse_whole(text) {
        return Some(whole);
    }
    parse_float(text)
}

fn parse_whole(text: &str) -> Option<f64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = if let Some(hex) = lower.strip_prefix("0x") {
        (16, hex)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (8, octal)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (2, binary)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    if body.is_empty() || body.ends_with('_') || body.contains("__") {
        return None;
    }
    if radix == 10 && body.starts_with('_') {
        return None;
    }
    let plain: String = body.chars().filter(|c| *c != '_').collect();
    let value = i64::from_str_radix(&plain, radix).ok()?;
    Some(if negative { -(value as f64) } else { value as f64 })
}

/// Reads a fraction as `strconv.ParseFloat` does.
pub fn parse_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match unsigned.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => {
            return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        "nan" if unsigned.len() == text.len() => return Some(f64::NAN),
        _ => {}
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') || text.contains('_') {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_text_that_go_gives_them() {
        let cases = [
            (1e6, "1000000", "1e+06"),
            (123_456.0, "123456", "123456"),
            (123_456_789.0, "123456789", "1.23456789e+08"),
            (0.1, "0.1", "0.1"),
            (1e-5, "0.00001", "1e-05"),
            (1.5e300, &format!("15{}", "0".repeat(299)), "1.5e+300"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (-0.0, "-0", "-0"),
        ];
        for (value, plain, general) in cases {
            assert_eq!(format_plain(value), plain);
            assert_eq!(format_general(value), general);
        }
        assert_eq!(format_open_metrics(0.25), "0.25");
        assert_eq!(format_open_metrics(2.0), "2.0");
        assert_eq!(format_two_digits(0.0123), "0.012");
        assert_eq!(format_two_digits(123.0), "1.2e+02");
        assert_eq!(format_two_digits(3.0), "3");
    }

    #[test]
    fn numbers_are_read_in_every_notation() {
        assert_eq!(parse_number("0x1f"), Some(31.0));
        assert_eq!(parse_number("010"), Some(8.0));
        assert_eq!(parse_number("1_000"), Some(1000.0));
        assert_eq!(parse_number(".2"), Some(0.2));
        assert_eq!(parse_number("2."), Some(2.0));
        assert_eq!(parse_number("1e3"), Some(1000.0));
        assert_eq!(parse_number("iNf"), Some(f64::INFINITY));
        assert_eq!(parse_number("Hello"), None);
        assert_eq!(parse_number(""), None);
        assert_eq!(parse_float("infinity7"), None);
    }
}
