//! Parts of OpenTelemetry's messages that others are made of: attributes, exemplars, times.

use std::fmt::Write as _;

use luma_promql::Labels;
use luma_promql::answer::write_text;
use luma_telemetry::Exemplar;

use super::names::label;
use crate::wire::{Field, Reader, WireError};

/// How deep values may be within one another.
const DEPTH_MAX: usize = 16;

/// Names and values, the names as they were sent.
pub(super) type Attributes = Vec<(String, String)>;

/// Milliseconds of a time in nanoseconds.
pub(super) fn milliseconds(field: Field<'_>) -> Result<i64, WireError> {
    Ok((field.fixed64()? / 1_000_000) as i64)
}

/// Reads an attribute.
pub(super) fn attribute(message: &[u8], into: &mut Attributes) -> Result<(), WireError> {
    let (name, value) = pair(message)?;
    into.push((name.to_owned(), text(value, 0)?));
    Ok(())
}

fn pair(message: &[u8]) -> Result<(&str, &[u8]), WireError> {
    let (mut name, mut value) = ("", &[][..]);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => name = field.text()?,
            2 => value = field.bytes()?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// A value as text: lists and maps as JSON.
fn text(message: &[u8], depth: usize) -> Result<String, WireError> {
    let mut out = String::new();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => field.text()?.clone_into(&mut out),
            5 | 6 => {
                out.clear();
                json(message, depth, &mut out)?;
            }
            _ => {
                out.clear();
                plain(field, &mut out)?;
            }
        }
    }
    Ok(out)
}

fn plain(field: Field<'_>, out: &mut String) -> Result<(), WireError> {
    match field.number {
        2 => out.push_str(if field.unsigned()? == 0 { "false" } else { "true" }),
        3 => {
            let _ = write!(out, "{}", field.signed()?);
        }
        4 => {
            let _ = write!(out, "{}", field.double()?);
        }
        7 => hexadecimal(field.bytes()?, out),
        _ => {}
    }
    Ok(())
}

fn json(message: &[u8], depth: usize, out: &mut String) -> Result<(), WireError> {
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => write_text(field.text()?, out),
            7 => {
                let mut bytes = String::new();
                hexadecimal(field.bytes()?, &mut bytes);
                write_text(&bytes, out);
            }
            kind @ (5 | 6) if depth < DEPTH_MAX => {
                let (open, close) = if kind == 5 { ('[', ']') } else { ('{', '}') };
                out.push(open);
                let mut items = Reader::new(field.bytes()?);
                let mut first = true;
                while let Some(item) = items.next()? {
                    if !std::mem::take(&mut first) {
                        out.push(',');
                    }
                    if kind == 5 {
                        json(item.bytes()?, depth + 1, out)?;
                    } else {
                        let (name, value) = pair(item.bytes()?)?;
                        write_text(name, out);
                        out.push(':');
                        json(value, depth + 1, out)?;
                    }
                }
                out.push(close);
            }
            5 | 6 => out.push_str("null"),
            _ => plain(field, out)?,
        }
    }
    Ok(())
}

fn hexadecimal(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
}

/// Labels of attributes: two whose names become the same are joined.
pub(super) fn labels(attributes: &Attributes) -> Vec<(String, String)> {
    let mut sorted: Vec<&(String, String)> = attributes.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut labels: Vec<(String, String)> = Vec::with_capacity(sorted.len());
    for (name, value) in sorted {
        let name = label(name);
        match labels.iter_mut().find(|(other, _)| *other == name) {
            Some((_, joined)) => {
                joined.push(';');
                joined.push_str(value);
            }
            None => labels.push((name, value.clone())),
        }
    }
    labels
}

/// Reads an exemplar.
pub(super) fn exemplar(message: &[u8]) -> Result<Exemplar, WireError> {
    let mut attributes = Attributes::new();
    let (mut t, mut value) = (0, 0.0);
    let (mut span, mut trace) = (String::new(), String::new());
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            2 => t = milliseconds(field)?,
            3 => value = field.double()?,
            4 => hexadecimal(field.bytes()?, &mut span),
            5 => hexadecimal(field.bytes()?, &mut trace),
            6 => value = field.fixed64()? as i64 as f64,
            7 => attribute(field.bytes()?, &mut attributes)?,
            _ => {}
        }
    }
    let ids = [("trace_id".to_owned(), trace), ("span_id".to_owned(), span)];
    Ok(Exemplar { labels: Labels::new(labels(&attributes).into_iter().chain(ids)), value, t })
}
