//! Structs, maps and lists of lists as JSON text.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType as ArrowType, Field};

use super::{CellReader, data_type, nested};
use crate::error::{Error, ErrorKind, Result};
use crate::json;
use crate::text::{TextContext, format_text};
use crate::types::DataType;
use crate::value::ValueRef;

/// Deepest nesting of Arrow types that is written.
const DEPTH_MAX: usize = 64;

/// The cell's value as `jsonb` text.
pub(super) fn canonical_text(array: &dyn Array, row: usize) -> Result<String> {
    let mut text = Vec::new();
    write(array, row, &mut text, 0)?;
    let text = String::from_utf8(text).map_err(|_| Error::internal("JSON that is not UTF-8"))?;
    json::canonical(&text)
}

fn write(array: &dyn Array, row: usize, out: &mut Vec<u8>, depth: usize) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(Error::new(ErrorKind::StatementTooComplex, "a column's type is nested too deeply"));
    }
    if array.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match array.data_type() {
        ArrowType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let members = fields.iter().zip(columns);
            object(members.map(|(field, column)| (field.name().clone(), column.clone(), row)), out, depth)
        }
        ArrowType::Map(..) => {
            let entries = array.as_map().value(row);
            let [keys, values] = entries.columns() else {
                return Err(Error::internal("a map without values"));
            };
            let mut members = Vec::with_capacity(entries.len());
            for place in 0..entries.len() {
                members.push((scalar_text(keys.as_ref(), place)?, values.clone(), place));
            }
            object(members.into_iter(), out, depth)
        }
        arrow if nested::is_list(arrow) => {
            let (ranges, values) = nested::list(array)?;
            let (start, end) = ranges.get(row);
            out.push(b'[');
            for place in start..end {
                if place > start {
                    out.push(b',');
                }
                write(values.as_ref(), place, out, depth + 1)?;
            }
            out.push(b']');
            Ok(())
        }
        _ => scalar(array, row, out),
    }
}

fn object(
    members: impl Iterator<Item = (String, ArrayRef, usize)>,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<()> {
    out.push(b'{');
    for (place, (name, column, row)) in members.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        json::write_string(&name, out);
        out.push(b':');
        write(column.as_ref(), row, out, depth + 1)?;
    }
    out.push(b'}');
    Ok(())
}

/// Numbers and truth values as they are, JSON as it is, everything else as a string.
fn scalar(array: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<()> {
    let data_type = type_of(array)?;
    let cell = array.slice(row, 1);
    let reader = CellReader::new(cell.as_ref(), &data_type)?;
    match reader.get(0)? {
        ValueRef::Null => out.extend_from_slice(b"null"),
        ValueRef::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        ValueRef::Float8(value) if !value.is_finite() => out.extend_from_slice(b"null"),
        ValueRef::Float4(value) if !value.is_finite() => out.extend_from_slice(b"null"),
        ValueRef::Text(text) if data_type.is_json() => out.extend_from_slice(text.as_bytes()),
        value if data_type.is_numeric() => {
            format_text(value, &data_type, &TextContext::default(), out);
        }
        _ => json::write_string(&scalar_text(array, row)?, out),
    }
    Ok(())
}

fn scalar_text(array: &dyn Array, row: usize) -> Result<String> {
    let data_type = type_of(array)?;
    let cell = array.slice(row, 1);
    let reader = CellReader::new(cell.as_ref(), &data_type)?;
    let mut text = Vec::new();
    format_text(reader.get(0)?, &data_type, &TextContext::default(), &mut text);
    String::from_utf8(text).map_err(|_| Error::internal("text that is not UTF-8"))
}

fn type_of(array: &dyn Array) -> Result<DataType> {
    data_type(&Field::new("value", array.data_type().clone(), true))
}
