//! From JSON to bytes.

use serde_json::{Map, Number, Value as Json};

use super::{
    DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX, TAG_ARRAY, TAG_FALSE, TAG_INTEGER, TAG_NULL, TAG_NUMBER,
    TAG_OBJECT, TAG_STRING, TAG_TRUE, VERSION, WIDTH_SHIFT,
};
use crate::error::{Error, ErrorKind, Result};

/// Appends the encoding of a document.
///
/// # Errors
/// 54001 when it is nested too deeply, 54000 when it is too large, 22P05 when a string contains the
/// character 0, which text cannot hold.
pub fn encode_document(document: &Json, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    out.push(VERSION);
    let encoded = node(document, 0, out);
    let size = out.len() - start;
    let checked =
        encoded.and_then(|()| if size > DOCUMENT_BYTES_MAX { Err(too_large(size)) } else { Ok(()) });
    if checked.is_err() {
        out.truncate(start);
    }
    checked
}

#[cold]
fn too_large(size: usize) -> Error {
    Error::new(
        ErrorKind::ProgramLimit,
        format!("a document has {size} bytes; the limit is {DOCUMENT_BYTES_MAX}"),
    )
}

#[cold]
fn too_deep() -> Error {
    Error::new(
        ErrorKind::StatementTooComplex,
        format!("a document is nested more than {DOCUMENT_DEPTH_MAX} levels deep"),
    )
}

fn node(value: &Json, depth: usize, out: &mut Vec<u8>) -> Result<()> {
    if depth > DOCUMENT_DEPTH_MAX {
        return Err(too_deep());
    }
    match value {
        Json::Null => out.push(TAG_NULL),
        Json::Bool(false) => out.push(TAG_FALSE),
        Json::Bool(true) => out.push(TAG_TRUE),
        Json::Number(value) => number(value, out),
        Json::String(text) => {
            if text.as_bytes().contains(&0) {
                return Err(Error::new(
                    ErrorKind::UntranslatableCharacter,
                    "unsupported Unicode escape sequence",
                )
                .detail("\\u0000 cannot be converted to text."));
            }
            out.push(TAG_STRING);
            out.extend_from_slice(text.as_bytes());
        }
        Json::Array(elements) => array(elements, depth, out)?,
        Json::Object(members) => object(members, depth, out)?,
    }
    Ok(())
}

/// An integer that reads back with the same digits, or the digits themselves.
fn number(value: &Number, out: &mut Vec<u8>) {
    let text = value.to_string();
    match text.parse::<i64>() {
        Ok(integer) if itoa::Buffer::new().format(integer) == text => {
            out.push(TAG_INTEGER);
            out.extend_from_slice(&integer.to_le_bytes());
        }
        _ => {
            out.push(TAG_NUMBER);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

fn array(elements: &[Json], depth: usize, out: &mut Vec<u8>) -> Result<()> {
    let mut ends = Vec::with_capacity(elements.len());
    let mut data = Vec::new();
    for element in elements {
        node(element, depth + 1, &mut data)?;
        check(data.len())?;
        ends.push(data.len());
    }
    let width = head(TAG_ARRAY, elements.len(), data.len(), out);
    table(&ends, width, out);
    out.extend_from_slice(&data);
    Ok(())
}

fn object(members: &Map<String, Json>, depth: usize, out: &mut Vec<u8>) -> Result<()> {
    let names: Vec<&String> = members.keys().collect();
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_unstable_by_key(|place| names[*place]);
    let mut name_ends = Vec::with_capacity(names.len());
    let mut text = Vec::new();
    for name in &names {
        text.extend_from_slice(name.as_bytes());
        name_ends.push(text.len());
    }
    if text.contains(&0) {
        return Err(Error::new(ErrorKind::UntranslatableCharacter, "unsupported Unicode escape sequence")
            .detail("\\u0000 cannot be converted to text."));
    }
    let mut ends = Vec::with_capacity(members.len());
    let mut data = Vec::new();
    for value in members.values() {
        node(value, depth + 1, &mut data)?;
        check(data.len())?;
        ends.push(data.len());
    }
    let width = head(TAG_OBJECT, names.len(), data.len().max(text.len()), out);
    table(&order, width, out);
    table(&name_ends, width, out);
    table(&ends, width, out);
    out.extend_from_slice(&text);
    out.extend_from_slice(&data);
    Ok(())
}

/// Stops before a document that will be refused takes more memory.
fn check(size: usize) -> Result<()> {
    if size > DOCUMENT_BYTES_MAX { Err(too_large(size)) } else { Ok(()) }
}

/// Appends tag and count; gives back how many bytes each entry of the table takes.
fn head(tag: u8, count: usize, largest: usize, out: &mut Vec<u8>) -> usize {
    let largest = largest.max(count);
    let (code, width) = match largest {
        0..=0xff => (0, 1),
        0x100..=0xffff => (1, 2),
        _ => (2, 4),
    };
    out.push(tag | (code << WIDTH_SHIFT));
    out.extend_from_slice(&(count as u32).to_le_bytes()[..width]);
    width
}

fn table(entries: &[usize], width: usize, out: &mut Vec<u8>) {
    for entry in entries {
        out.extend_from_slice(&(*entry as u32).to_le_bytes()[..width]);
    }
}
