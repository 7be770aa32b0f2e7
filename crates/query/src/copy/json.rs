//! Rows as JSON objects, one to a line.

use luma_model::{ArrayValue, DataType, Error, ErrorKind, Result, TextContext, Value, ValueRef, parse_text};
use serde_json::Value as Json;

use crate::functions::json::build::written;
use crate::functions::overload::Surroundings;

/// What fields that no column has mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OtherFields {
    /// An error.
    #[default]
    Refused,
    /// Nothing.
    Ignored,
}

/// Writes `"name":value`.
pub(super) fn member(
    name: &str,
    value: ValueRef<'_>,
    data_type: &DataType,
    context: &TextContext,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(Json::String(name.to_owned()).to_string().as_bytes());
    out.push(b':');
    let written = written(&Surroundings::of(context), value, data_type, false);
    out.extend_from_slice(written.unwrap_or_else(|_| "null".to_owned()).as_bytes());
}

/// Reads an object into a row of these columns; `place` says in errors where it is.
pub(super) fn read_object(
    line: &[u8],
    columns: &[(String, DataType)],
    others: OtherFields,
    context: &TextContext,
    place: &dyn Fn() -> String,
    row: &mut Vec<Value>,
) -> Result<()> {
    let invalid = |error: serde_json::Error| {
        Error::new(ErrorKind::InvalidText, format!("the line is not a JSON object: {error}"))
    };
    let object: serde_json::Map<String, Json> = serde_json::from_slice(line).map_err(invalid)?;
    if others == OtherFields::Refused
        && let Some(unknown) = object.keys().find(|name| !columns.iter().any(|(known, _)| known == *name))
    {
        let message = format!("the line has a field \"{unknown}\", which is no column");
        return Err(
            Error::new(ErrorKind::BadCopyFormat, message).hint("Give the column, or leave the field out.")
        );
    }
    for (name, data_type) in columns {
        let value = object.get(name).unwrap_or(&Json::Null);
        row.push(read(value, data_type, context).map_err(|error| {
            let shown = value.to_string();
            error.column(name).context(format!("{}, column {name}: {shown}", place()))
        })?);
    }
    Ok(())
}

fn read(value: &Json, data_type: &DataType, context: &TextContext) -> Result<Value> {
    match (value, data_type) {
        (Json::Null, _) => Ok(Value::Null),
        (Json::String(text), data_type) if !data_type.is_json() => parse_text(data_type, text, context),
        (Json::Array(items), DataType::Array(element)) => {
            let elements = items.iter().map(|item| read(item, element, context)).collect::<Result<_>>()?;
            Ok(Value::Array(ArrayValue { elements }))
        }
        (value, data_type) => parse_text(data_type, &value.to_string(), context),
    }
}
