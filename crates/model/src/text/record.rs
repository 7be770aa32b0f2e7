//! Rows as text: `(1,"a b",)`.

use super::{TextContext, format_text};
use crate::record;

/// Appends a record's columns in parentheses; what would be mistaken for something else is quoted.
pub(super) fn format(bytes: &[u8], context: &TextContext, out: &mut Vec<u8>) {
    out.push(b'(');
    for (place, (data_type, value)) in record::decode(bytes).unwrap_or_default().iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let value = value.as_ref();
        if value.is_null() {
            continue;
        }
        let mut text = Vec::new();
        format_text(value, data_type, context, &mut text);
        let special = |byte: &u8| b"\"\\(),".contains(byte) || byte.is_ascii_whitespace() || *byte == 0x0b;
        if !text.is_empty() && !text.iter().any(special) {
            out.extend_from_slice(&text);
            continue;
        }
        out.push(b'"');
        for byte in text {
            if matches!(byte, b'"' | b'\\') {
                out.push(byte);
            }
            out.push(byte);
        }
        out.push(b'"');
    }
    out.push(b')');
}
