//! UUIDs as text.

use std::ops::Deref;

use super::error::invalid;
use crate::error::Result;

/// The 36 characters of a UUID.
pub(crate) struct UuidText([u8; 36]);

impl Deref for UuidText {
    type Target = str;

    fn deref(&self) -> &str {
        // Hexadecimal digits and hyphens are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The canonical text: lower case, in groups of 8, 4, 4, 4 and 12 digits.
pub(crate) fn format_uuid(bytes: [u8; 16]) -> UuidText {
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = super::bytea::HEX[usize::from(byte >> 4)];
        text[at + 1] = super::bytea::HEX[usize::from(byte & 15)];
        at += 2;
    }
    UuidText(text)
}

/// Reads a UUID: 32 digits, in braces or not, with a hyphen after any group of four.
pub(crate) fn parse_uuid(text: &str) -> Result<[u8; 16]> {
    read(text.as_bytes()).ok_or_else(|| invalid("uuid", text))
}

fn read(text: &[u8]) -> Option<[u8; 16]> {
    let mut rest = text;
    if let Some(inner) = rest.strip_prefix(b"{") {
        rest = inner.strip_suffix(b"}")?;
    }
    let mut bytes = [0; 16];
    for (place, byte) in bytes.iter_mut().enumerate() {
        let (pair, after) = rest.split_first_chunk::<2>()?;
        *byte = (super::bytea::digit(pair[0])? << 4) | super::bytea::digit(pair[1])?;
        rest = after;
        if place % 2 == 1 && place < 15 {
            rest = rest.strip_prefix(b"-").unwrap_or(rest);
        }
    }
    rest.is_empty().then_some(bytes)
}
