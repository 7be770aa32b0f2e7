//! Collections: tables whose rows are documents.
//!
//! Columns 1 to 5 are `_id`, `_rev`, `_createdAt`, `_updatedAt` and `_doc`; every further column is
//! a field that was seen with one type. Values given for field columns go into the document; the
//! system columns are kept by the database.

use std::sync::Arc;

use luma_catalog::{Column, Table};
use luma_model::{DataType, Error, ErrorKind, Result, TextContext, Value, format_text};
use luma_rows::OpenTable;

use crate::session::SessionInfo;

/// Places of the system columns.
const ID: usize = 0;
const REVISION: usize = 1;
const CREATED: usize = 2;
const UPDATED: usize = 3;
pub(crate) const DOCUMENT: usize = 4;
/// Most fields that become columns; others stay reachable through `_doc`.
const FIELD_COLUMNS_MAX: usize = 1000;

/// The columns every collection has.
pub(crate) fn system_columns() -> Vec<Column> {
    let column =
        |number, name: &str, data_type, not_null| Column { not_null, ..Column::new(number, name, data_type) };
    vec![
        column(1, "_id", DataType::Text, true),
        column(2, "_rev", DataType::Int8, true),
        column(3, "_createdAt", DataType::TimestampTz, true),
        column(4, "_updatedAt", DataType::TimestampTz, true),
        column(5, "_doc", DataType::Jsonb, true),
    ]
}

/// Completes the values of a document's row: puts field values into the document and sets the
/// system columns. `old` is the row that is replaced.
pub(crate) fn complete(
    values: &mut [Value],
    table: &OpenTable,
    info: &Arc<SessionInfo>,
    old: Option<&[Value]>,
) -> Result<()> {
    let mut document = match &values[DOCUMENT] {
        Value::Text(text) => parse(text)?,
        _ => serde_json::Map::new(),
    };
    for (ordinal, column) in table.columns().iter().enumerate().skip(DOCUMENT + 1) {
        if column.dropped || old.is_some_and(|old| old[ordinal] == values[ordinal]) {
            continue;
        }
        match &values[ordinal] {
            // An insert gives no value for most fields; an update that sets NULL removes nothing
            // but says null.
            Value::Null if old.is_none() => {}
            value => {
                document.insert(column.name.clone(), to_json(value, &column.data_type)?);
            }
        }
    }
    if let Value::Null = values[ID] {
        values[ID] = match document.remove("_id") {
            Some(serde_json::Value::String(id)) => Value::Text(id),
            Some(serde_json::Value::Null) | None => Value::Text(new_id()),
            Some(other) => Value::Text(other.to_string()),
        };
    }
    for name in ["_id", "_rev", "_createdAt", "_updatedAt"] {
        document.remove(name);
    }
    let now = Value::TimestampTz(info.transaction_micros);
    match old {
        None => {
            values[REVISION] = Value::Int8(1);
            values[CREATED] = now.clone();
        }
        Some(old) => {
            values[REVISION] = match &old[REVISION] {
                Value::Int8(revision) => Value::Int8(revision + 1),
                _ => Value::Int8(1),
            };
            values[CREATED] = old[CREATED].clone();
        }
    }
    values[UPDATED] = now;
    values[DOCUMENT] = Value::Text(serde_json::Value::Object(document).to_string());
    Ok(())
}

/// A document's text as an object.
///
/// # Errors
/// 22P02 when it is something else.
pub(crate) fn parse(text: &str) -> Result<serde_json::Map<String, serde_json::Value>> {
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Object(document)) => Ok(document),
        Ok(_) => Err(Error::new(ErrorKind::InvalidText, "a document must be a JSON object")),
        Err(error) => Err(Error::new(ErrorKind::InvalidText, format!("invalid document: {error}"))),
    }
}

/// An identifier that sorts by time: a UUID of version 7 (RFC 9562).
fn new_id() -> String {
    let millis = u64::try_from(crate::transaction::now_micros() / 1000).unwrap_or_default();
    let random = uuid::Uuid::new_v4().into_bytes();
    let mut tail = [0; 10];
    tail[..6].copy_from_slice(&random[..6]);
    tail[6..].copy_from_slice(&random[10..14]);
    uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid().to_string()
}

fn to_json(value: &Value, data_type: &DataType) -> Result<serde_json::Value> {
    Ok(match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => serde_json::Value::Bool(*value),
        Value::Text(text) if matches!(data_type, DataType::Json | DataType::Jsonb) => {
            serde_json::from_str(text)
                .map_err(|error| Error::new(ErrorKind::InvalidText, format!("invalid JSON: {error}")))?
        }
        Value::Text(text) => serde_json::Value::String(text.clone()),
        Value::Int2(_)
        | Value::Int4(_)
        | Value::Int8(_)
        | Value::Float4(_)
        | Value::Float8(_)
        | Value::Numeric(_) => {
            let mut text = Vec::new();
            format_text(value.as_ref(), data_type, &TextContext::default(), &mut text);
            serde_json::from_slice(&text).unwrap_or(serde_json::Value::Null)
        }
        other => {
            let mut text = Vec::new();
            format_text(other.as_ref(), data_type, &TextContext::default(), &mut text);
            serde_json::Value::String(String::from_utf8_lossy(&text).into_owned())
        }
    })
}

/// What a batch of documents says of their fields.
#[derive(Debug, Default)]
pub(crate) struct SeenFields {
    /// Name, and the type while all values agree on one.
    fields: Vec<(String, Option<DataType>)>,
    places: std::collections::HashMap<String, usize>,
}

impl SeenFields {
    /// Looks at one document.
    pub(crate) fn add(&mut self, document: &serde_json::Map<String, serde_json::Value>) {
        for (name, value) in document {
            let Some(seen) = json_type(value) else {
                self.place(name);
                continue;
            };
            let place = self.place(name);
            let field = &mut self.fields[place].1;
            *field = match field.take() {
                None => Some(seen),
                Some(known) => Some(unify(known, seen)),
            };
        }
    }

    fn place(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        self.places.insert(name.to_owned(), self.fields.len());
        self.fields.push((name.to_owned(), None));
        self.fields.len() - 1
    }

    /// The table with columns for what was seen; `None` when nothing is new. A field of several
    /// types becomes `jsonb`, which holds any of them.
    pub(crate) fn extend(&self, table: &Table) -> Option<Table> {
        let mut extended = table.clone();
        let mut changed = false;
        for (name, seen) in &self.fields {
            let Some(seen) = seen else { continue };
            if name.starts_with('_') && system_columns().iter().any(|column| column.name == *name) {
                continue;
            }
            let count = extended.columns.len();
            match extended.columns.iter_mut().find(|column| !column.dropped && column.name == *name) {
                Some(column) => {
                    let unified = unify(column.data_type.clone(), seen.clone());
                    changed |= unified != column.data_type;
                    column.data_type = unified;
                }
                None if count < FIELD_COLUMNS_MAX => {
                    let number = u16::try_from(count + 1).ok()?;
                    extended.columns.push(Column::new(number, name, seen.clone()));
                    changed = true;
                }
                None => {}
            }
        }
        changed.then_some(extended)
    }
}

/// The column type of a JSON value; none for null.
fn json_type(value: &serde_json::Value) -> Option<DataType> {
    match value {
        serde_json::Value::Null => None,
        serde_json::Value::Bool(_) => Some(DataType::Bool),
        serde_json::Value::Number(number) if number.as_i64().is_some() => Some(DataType::Int8),
        serde_json::Value::Number(_) => Some(DataType::Float8),
        serde_json::Value::String(_) => Some(DataType::Text),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => Some(DataType::Jsonb),
    }
}

fn unify(one: DataType, other: DataType) -> DataType {
    match (&one, &other) {
        _ if one == other => one,
        (DataType::Int8, DataType::Float8) | (DataType::Float8, DataType::Int8) => DataType::Float8,
        _ => DataType::Jsonb,
    }
}
