//! Bytes as text, hexadecimal digits and JSON, and back.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use crate::arguments::Form;
use crate::failure::{Code, Failure};

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// What was typed, as bytes.
pub(crate) fn bytes_of(text: &str, is_hex: bool) -> Result<Vec<u8>, Failure> {
    if !is_hex {
        return Ok(text.as_bytes().to_vec());
    }
    let wrong =
        || Failure::new(Code::Validation, format!("{text:?} is not an even number of hexadecimal digits"));
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0).ok_or_else(wrong)?;
    Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Puts bytes into an object: as text, or as `{name}_hex` if they are none.
fn put(object: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_owned(), text.into()),
        Err(_) => object.insert(format!("{name}_hex"), hex(bytes).into()),
    };
}

/// One line with a key and its value. In text, what would break the line is escaped.
pub(crate) fn write_entry(out: &mut dyn Write, form: Form, key: &[u8], value: &[u8]) -> io::Result<()> {
    match form {
        Form::Text => writeln!(out, "{}\t{}", escaped(key), escaped(value)),
        Form::Hex => writeln!(out, "{}\t{}", hex(key), hex(value)),
        Form::Json => {
            let mut object = Map::new();
            put(&mut object, "key", key);
            put(&mut object, "value", value);
            writeln!(out, "{}", Value::Object(object))
        }
    }
}

/// A value: in text its bytes as they are.
pub(crate) fn write_value(out: &mut dyn Write, form: Form, key: &[u8], value: &[u8]) -> io::Result<()> {
    match form {
        Form::Text => out.write_all(value).and_then(|()| out.write_all(b"\n")),
        Form::Hex => writeln!(out, "{}", hex(value)),
        Form::Json => write_entry(out, form, key, value),
    }
}

/// Text as it is but for control characters, backslashes and bytes that are no text.
fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for part in bytes.utf8_chunks() {
        for character in part.valid().chars() {
            match character {
                '\\' => out.push_str("\\\\"),
                control if control.is_control() => out.extend(control.escape_default()),
                other => out.push(other),
            }
        }
        for byte in part.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// Prints an answer in its form.
pub(crate) fn print(form: Form, text: &dyn Fn() -> String, value: Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match form {
        Form::Json => writeln!(out, "{value}"),
        Form::Text | Form::Hex => writeln!(out, "{}", text().trim_end()),
    }
}

/// Says that something was done, unless nobody wants to know.
pub(crate) fn print_done(form: Form, quiet: bool, what: &str) -> io::Result<()> {
    if quiet { Ok(()) } else { print(form, &|| what.to_owned(), json!({ "ok": true, "done": what })) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_byte_comes_back_from_its_digits_and_what_are_no_digits_is_refused() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(bytes_of(&hex(&all), true).unwrap(), all);
        assert_eq!(bytes_of("zz", false).unwrap(), b"zz");
        for wrong in ["abc", "zz", "é0", " 1"] {
            assert_eq!(bytes_of(wrong, true).unwrap_err().code, Code::Validation);
        }
    }

    #[test]
    fn an_entry_is_one_line_whatever_its_bytes() {
        for form in [Form::Text, Form::Json, Form::Hex] {
            let mut out = Vec::new();
            write_entry(&mut out, form, b"a\n\tb\\\xff", "é\u{1}".as_bytes()).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.matches('\n').count(), 1, "{text}");
        }
        assert_eq!(escaped(b"a\n\\\xff\xc3\xa9"), "a\\n\\\\\\xff\u{e9}");
    }
}
