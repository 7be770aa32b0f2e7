//! Rows into COPY's bytes.

use luma_model::{TextContext, ValueRef, format_text, to_binary};

use crate::copy::json;
use crate::copy::options::{CopyFormat, CopyOptions, Forced, Header};
use crate::outcome::Column;

/// What begins every binary COPY.
pub(crate) const BINARY_SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// What comes before the rows.
pub(crate) fn header(options: &CopyOptions, columns: &[Column], out: &mut Vec<u8>) {
    if options.format == CopyFormat::Binary {
        out.extend_from_slice(BINARY_SIGNATURE);
        out.extend_from_slice(&[0; 8]);
    } else if options.header != Header::None {
        for (place, column) in columns.iter().enumerate() {
            header_value(options, place, column.name.as_bytes(), out);
        }
        out.push(b'\n');
    }
}

/// What comes after the rows.
pub(crate) fn trailer(options: &CopyOptions, out: &mut Vec<u8>) {
    if options.format == CopyFormat::Binary {
        out.extend_from_slice(&(-1i16).to_be_bytes());
    }
}

pub(crate) fn begin_row(options: &CopyOptions, columns: usize, out: &mut Vec<u8>) {
    match options.format {
        CopyFormat::Binary => out.extend_from_slice(&(columns as i16).to_be_bytes()),
        CopyFormat::Json => out.push(b'{'),
        CopyFormat::Text | CopyFormat::Csv | CopyFormat::Parquet => {}
    }
}

pub(crate) fn end_row(options: &CopyOptions, out: &mut Vec<u8>) {
    match options.format {
        CopyFormat::Binary => {}
        CopyFormat::Json => out.extend_from_slice(b"}\n"),
        CopyFormat::Text | CopyFormat::Csv | CopyFormat::Parquet => out.push(b'\n'),
    }
}

/// One value of a row.
pub(crate) fn value(
    options: &CopyOptions,
    place: usize,
    value: ValueRef<'_>,
    column: &Column,
    context: &TextContext,
    out: &mut Vec<u8>,
) {
    let data_type = &column.data_type;
    if options.format == CopyFormat::Json {
        if place > 0 {
            out.push(b',');
        }
        json::member(&column.name, value, data_type, context, out);
        return;
    }
    if options.format == CopyFormat::Binary {
        if matches!(value, ValueRef::Null) {
            out.extend_from_slice(&(-1i32).to_be_bytes());
            return;
        }
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        to_binary(value, data_type, out);
        let length = (out.len() - start - 4) as i32;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        return;
    }
    if matches!(value, ValueRef::Null) {
        if place > 0 {
            out.push(options.delimiter);
        }
        out.extend_from_slice(options.null.as_bytes());
        return;
    }
    let mut text = Vec::new();
    format_text(value, data_type, context, &mut text);
    text_value(options, place, &text, out);
}

/// A column's name, which FORCE_QUOTE is not about.
fn header_value(options: &CopyOptions, place: usize, name: &[u8], out: &mut Vec<u8>) {
    let plain = CopyOptions { force_quote: Forced::default(), ..options.clone() };
    text_value(&plain, place, name, out);
}

fn text_value(options: &CopyOptions, place: usize, text: &[u8], out: &mut Vec<u8>) {
    if place > 0 {
        out.push(options.delimiter);
    }
    if options.format == CopyFormat::Csv {
        let special = |byte: &u8| {
            *byte == options.delimiter || *byte == options.quote || *byte == b'\n' || *byte == b'\r'
        };
        let quoted = options.force_quote.has(place)
            || text == options.null.as_bytes()
            || text == b"\\."
            || text.iter().any(special);
        if !quoted {
            out.extend_from_slice(text);
            return;
        }
        out.push(options.quote);
        for byte in text {
            if *byte == options.quote || *byte == options.escape {
                out.push(options.escape);
            }
            out.push(*byte);
        }
        out.push(options.quote);
        return;
    }
    for byte in text {
        let letter = match byte {
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            8 => b'b',
            12 => b'f',
            11 => b'v',
            other if *other == options.delimiter => *other,
            other => {
                out.push(*other);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}
