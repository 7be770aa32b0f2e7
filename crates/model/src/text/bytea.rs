//! Bytes as text: written in hexadecimal, read in that or with backslash escapes.

use crate::error::{Error, ErrorKind, Result};

pub(super) const HEX: &[u8; 16] = b"0123456789abcdef";

/// The value of a hexadecimal digit.
pub(super) fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}

/// Appends `\x` and two digits for each byte.
pub(super) fn format(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(2 + bytes.len() * 2);
    out.extend_from_slice(b"\\x");
    for byte in bytes {
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
}

/// Reads either form.
pub(super) fn parse(text: &str) -> Result<Vec<u8>> {
    match text.strip_prefix("\\x") {
        Some(digits) => parse_hex(digits),
        None => parse_escaped(text),
    }
}

/// Pairs of digits; blanks may stand between pairs.
fn parse_hex(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut characters = text.chars();
    while let Some(first) = characters.next() {
        if matches!(first, ' ' | '\n' | '\t' | '\r') {
            continue;
        }
        let value = |character: char| {
            u8::try_from(character).ok().and_then(digit).ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidParameterValue,
                    format!("invalid hexadecimal digit: \"{character}\""),
                )
            })
        };
        let high = value(first)?;
        let Some(second) = characters.next() else {
            return Err(Error::new(
                ErrorKind::InvalidParameterValue,
                "invalid hexadecimal data: odd number of digits",
            ));
        };
        bytes.push((high << 4) | value(second)?);
    }
    Ok(bytes)
}

/// A backslash is doubled, or followed by three octal digits.
fn parse_escaped(text: &str) -> Result<Vec<u8>> {
    let octal = |digit: u8, most: u8| (b'0'..=most).contains(&digit).then_some(digit & 7);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b'\\', [b'\\', after @ ..]) => {
                bytes.push(b'\\');
                after
            }
            (b'\\', [a, b, c, after @ ..]) => match (octal(*a, b'3'), octal(*b, b'7'), octal(*c, b'7')) {
                (Some(a), Some(b), Some(c)) => {
                    bytes.push((a << 6) | (b << 3) | c);
                    after
                }
                _ => return Err(invalid()),
            },
            (b'\\', _) => return Err(invalid()),
            (byte, after) => {
                bytes.push(*byte);
                after
            }
        };
    }
    Ok(bytes)
}

fn invalid() -> Error {
    Error::new(ErrorKind::InvalidText, "invalid input syntax for type bytea")
}
