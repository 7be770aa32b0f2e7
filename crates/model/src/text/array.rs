//! Arrays as text: `{1,NULL,"a b"}`.
//!
//! Arrays have one dimension that begins at 1; texts with more dimensions or other bounds are
//! refused, because they could not be kept.

use super::number::is_space;
use super::{TextContext, format_text, parse_text};
use crate::error::{Error, ErrorKind, Result};
use crate::types::DataType;
use crate::value::{ArrayRef, ArrayValue, Value};

/// Reads an array of that element type.
pub(super) fn parse(element: &DataType, text: &str, context: &TextContext) -> Result<ArrayValue> {
    let malformed = |detail: &str| {
        Error::new(ErrorKind::InvalidText, format!("malformed array literal: \"{text}\"")).detail(detail)
    };
    let mut rest = text.trim_matches(is_space);
    let mut expected = None;
    if rest.starts_with('[') {
        let (bounds, body) =
            rest.split_once('=').ok_or_else(|| malformed("Missing \"=\" after array dimensions."))?;
        expected = Some(length_of(bounds.trim_matches(is_space)).ok_or_else(|| dimensions(text))?);
        rest = body.trim_start_matches(is_space);
    }
    rest = rest
        .strip_prefix('{')
        .ok_or_else(|| malformed("Array value must start with \"{\" or dimension information."))?;
    let mut elements = Vec::new();
    rest = rest.trim_start_matches(is_space);
    if let Some(after) = rest.strip_prefix('}') {
        rest = after;
    } else {
        loop {
            let (item, after) = item(rest, text)?;
            elements.push(match item {
                Some(item) => parse_text(element, &item, context)?,
                None => Value::Null,
            });
            rest = after;
            if let Some(after) = rest.strip_prefix(',') {
                rest = after;
            } else if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            } else if rest.is_empty() {
                return Err(malformed("Unexpected end of input."));
            } else {
                return Err(malformed("Unexpected array element."));
            }
        }
    }
    if !rest.is_empty() {
        return Err(malformed("Junk after closing right brace."));
    }
    if expected.is_some_and(|expected| expected != elements.len()) {
        return Err(malformed("Specified array dimensions do not match array contents."));
    }
    Ok(ArrayValue { elements })
}

/// Reads a vector of the catalog's: elements with blanks between them.
pub(super) fn parse_vector(element: &DataType, text: &str, context: &TextContext) -> Result<ArrayValue> {
    let items = text.split_ascii_whitespace().map(|item| parse_text(element, item, context));
    Ok(ArrayValue { elements: items.collect::<Result<_>>()? })
}

/// Writes a vector of the catalog's.
pub(super) fn format_vector(value: ArrayRef<'_>, context: &TextContext, out: &mut Vec<u8>) {
    for (place, item) in value.iter().enumerate() {
        if place > 0 {
            out.push(b' ');
        }
        format_text(item, &DataType::Oid, context, out);
    }
}

/// The length that `[1:length]` says; `None` for other bounds.
fn length_of(bounds: &str) -> Option<usize> {
    let inner = bounds.strip_prefix('[')?.strip_suffix(']')?;
    let (first, last) = inner.split_once(':').unwrap_or(("1", inner));
    if first == "1" { last.parse().ok() } else { None }
}

#[cold]
fn dimensions(text: &str) -> Error {
    Error::new(
        ErrorKind::FeatureNotSupported,
        "arrays with more than one dimension or with bounds that do not begin at 1 are not supported",
    )
    .detail(format!("The array is \"{text}\"."))
}

/// One element (`None` for NULL) and what follows it.
fn item<'a>(text: &'a str, whole: &str) -> Result<(Option<String>, &'a str)> {
    let malformed = |detail: &str| {
        Error::new(ErrorKind::InvalidText, format!("malformed array literal: \"{whole}\"")).detail(detail)
    };
    let text = text.trim_start_matches(is_space);
    let mut value = String::new();
    let mut characters = text.char_indices();
    if text.starts_with('"') {
        characters.next();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => return Ok((Some(value), text[at + 1..].trim_start_matches(is_space))),
                '\\' => match characters.next() {
                    Some((_, escaped)) => value.push(escaped),
                    None => break,
                },
                other => value.push(other),
            }
        }
        return Err(malformed("Unexpected end of input."));
    }
    let mut escaped_any = false;
    // Blanks at the end do not count, unless they are escaped.
    let mut kept = 0;
    let mut end = text.len();
    while let Some((at, character)) = characters.next() {
        match character {
            ',' | '}' => {
                end = at;
                break;
            }
            '{' => return Err(dimensions(whole)),
            '"' => return Err(malformed("Unexpected array element.")),
            '\\' => match characters.next() {
                Some((_, escaped)) => {
                    value.push(escaped);
                    escaped_any = true;
                    kept = value.len();
                }
                None => return Err(malformed("Unexpected end of input.")),
            },
            other => {
                value.push(other);
                if !is_space(other) {
                    kept = value.len();
                }
            }
        }
    }
    value.truncate(kept);
    if value.is_empty() {
        return Err(match text[end..].chars().next() {
            Some(found) => malformed(&format!("Unexpected \"{found}\" character.")),
            None => malformed("Unexpected end of input."),
        });
    }
    let null = !escaped_any && value.eq_ignore_ascii_case("null");
    Ok(((!null).then_some(value), &text[end..]))
}

/// Appends an array of that element type.
pub(super) fn format(array: ArrayRef<'_>, element: &DataType, context: &TextContext, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut item = Vec::new();
    for (place, value) in array.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        if value.is_null() {
            out.extend_from_slice(b"NULL");
            continue;
        }
        item.clear();
        format_text(value, element, context, &mut item);
        let quoted = item.is_empty()
            || item.eq_ignore_ascii_case(b"null")
            || item
                .iter()
                .any(|c| matches!(c, b'"' | b'\\' | b'{' | b'}' | b',') || is_space(char::from(*c)));
        if !quoted {
            out.extend_from_slice(&item);
            continue;
        }
        out.push(b'"');
        for byte in &item {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(*byte);
        }
        out.push(b'"');
    }
    out.push(b'}');
}
