//! Values made into JSON.

use std::fmt::Write as _;

use luma_model::{DataType, Error, ErrorKind, Result, Value, ValueRef};
use serde_json::Value as Json;

use super::{canonical, json, parse, sorted};
use crate::functions::arrays::texts;
use crate::functions::overload::Kind::{Any, Json as JsonText, Jsonb, Text, TextArray};
use crate::functions::overload::Surroundings;
use crate::functions::overload::{Function, Overload};

/// A value's JSON text; `jsonb` spaces out its arrays, `json` does not.
pub(crate) fn written(
    info: &Surroundings,
    value: ValueRef<'_>,
    data_type: &DataType,
    spaced: bool,
) -> Result<String> {
    Ok(match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Bool(value) => value.to_string(),
        ValueRef::Bytea(_) if *data_type == DataType::Record => {
            return Err(Error::new(
                ErrorKind::FeatureNotSupported,
                "a value of type record is not made JSON of",
            )
            .hint("Give the row itself to the function: row_to_json(t)."));
        }
        ValueRef::Text(text) if data_type.is_json() => text.to_owned(),
        ValueRef::Text(text) => Json::String(text.to_owned()).to_string(),
        ValueRef::Array(items) => {
            let element = data_type.element().cloned().unwrap_or(DataType::Text);
            let parts =
                items.iter().map(|item| written(info, item, &element, spaced)).collect::<Result<Vec<_>>>()?;
            format!("[{}]", parts.join(if spaced { ", " } else { "," }))
        }
        ValueRef::Timestamp(_) | ValueRef::TimestampTz(_) => {
            let mut shown = info.shown_iso(value, data_type).replacen(' ', "T", 1);
            if matches!(value, ValueRef::TimestampTz(_))
                && shown.rfind(['+', '-']).is_some_and(|sign| sign + 3 == shown.len())
            {
                shown.push_str(":00");
            }
            format!("\"{shown}\"")
        }
        other => {
            let shown = info.shown_iso(other, data_type);
            let number = data_type.is_numeric() && serde_json::from_str::<serde_json::Number>(&shown).is_ok();
            if number { shown } else { Json::String(shown).to_string() }
        }
    })
}

/// The text of a part of a JSON text as it was written; `None` where it cannot be told.
pub(super) fn raw(whole: &str, part: &Json) -> Option<String> {
    // A part that is spelled in one way only needs no search.
    let compact = part.to_string();
    if whole.contains(&compact) {
        return Some(compact);
    }
    // Otherwise the first place whose text reads as the part.
    whole.char_indices().filter(|(_, character)| matches!(character, '{' | '[')).find_map(|(start, _)| {
        let mut stream = serde_json::Deserializer::from_str(&whole[start..]).into_iter::<Json>();
        let found = stream.next()?.ok()?;
        (found == *part).then(|| whole[start..start + stream.byte_offset()].to_owned())
    })
}

fn pairs(
    info: &Surroundings,
    values: &[ValueRef<'_>],
    types: &[DataType],
    spaced: bool,
) -> Result<Vec<(String, String)>> {
    if values.len() % 2 == 1 {
        return Err(Error::new(
            ErrorKind::InvalidParameterValue,
            "argument list must have even number of elements",
        ));
    }
    values
        .chunks_exact(2)
        .zip(types.chunks_exact(2))
        .enumerate()
        .map(|(at, (pair, types))| {
            if pair[0].is_null() {
                let message = format!("argument {}: key must not be null", at * 2 + 1);
                return Err(Error::new(ErrorKind::InvalidParameterValue, message));
            }
            Ok((info.shown(pair[0], &types[0]), written(info, pair[1], &types[1], spaced)?))
        })
        .collect()
}

/// Members in json's spacing.
fn object(pairs: &[(String, String)], open: &str, close: &str) -> String {
    let parts: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{} : {value}", Json::String(name.clone()))).collect();
    format!("{open}{}{close}", parts.join(", "))
}

/// A row under its columns' names: name, value, name, value, …
pub(super) fn row(info: &Surroundings, values: &[ValueRef<'_>], types: &[DataType]) -> Result<Value> {
    let mut out = String::from("{");
    for (at, (name, value)) in pairs(info, values, types, false)?.into_iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let _ = write!(out, "{comma}{}:{value}", Json::String(name));
    }
    out.push('}');
    Ok(Value::Text(out))
}

/// Text as jsonb.
fn as_jsonb(text: &str) -> Result<Value> {
    parse(text).map(|json| Value::Text(canonical(&json)))
}

fn build_jsonb(info: &Surroundings, values: &[ValueRef<'_>], types: &[DataType]) -> Result<Value> {
    as_jsonb(&object(&pairs(info, values, types, true)?, "{", "}"))
}

fn build_json(info: &Surroundings, values: &[ValueRef<'_>], types: &[DataType]) -> Result<Value> {
    Ok(Value::Text(object(&pairs(info, values, types, false)?, "{", "}")))
}

fn listed(info: &Surroundings, values: &[ValueRef<'_>], types: &[DataType], spaced: bool) -> Result<String> {
    let parts = values
        .iter()
        .zip(types)
        .map(|(value, data_type)| written(info, *value, data_type, spaced))
        .collect::<Result<Vec<_>>>()?;
    Ok(format!("[{}]", parts.join(", ")))
}

/// What a document looks like over several lines.
fn pretty(json: &Json, depth: usize, out: &mut String) {
    let indent = |depth: usize| "    ".repeat(depth);
    match json {
        Json::Array(items) if !items.is_empty() => {
            out.push_str("[\n");
            for (at, item) in items.iter().enumerate() {
                out.push_str(&indent(depth + 1));
                pretty(item, depth + 1, out);
                out.push_str(if at + 1 < items.len() { ",\n" } else { "\n" });
            }
            out.push_str(&indent(depth));
            out.push(']');
        }
        Json::Object(fields) if !fields.is_empty() => {
            out.push_str("{\n");
            let members = sorted(fields);
            for (at, (name, value)) in members.iter().enumerate() {
                let _ = write!(out, "{}{}: ", indent(depth + 1), Json::String((*name).clone()));
                pretty(value, depth + 1, out);
                out.push_str(if at + 1 < members.len() { ",\n" } else { "\n" });
            }
            out.push_str(&indent(depth));
            out.push('}');
        }
        Json::Array(_) | Json::Object(_) => {
            let (open, close) = if json.is_array() { ('[', ']') } else { ('{', '}') };
            let _ = write!(out, "{open}\n{}{close}", indent(depth));
        }
        other => out.push_str(&other.to_string()),
    }
}

/// Names and values of an object given as one or two arrays of text.
fn from_texts(values: &[ValueRef<'_>]) -> Result<Vec<(String, String)>> {
    let quoted = |text: &String| Json::String(text.clone()).to_string();
    let list = |value: Option<&ValueRef<'_>>| match value {
        Some(ValueRef::Array(array)) => texts(*array),
        _ => Vec::new(),
    };
    let one = list(values.first());
    if values.len() == 1 {
        if one.len() % 2 == 1 {
            return Err(Error::new(ErrorKind::ArraySubscript, "array must have even number of elements"));
        }
        return Ok(one.chunks_exact(2).map(|pair| (pair[0].clone(), quoted(&pair[1]))).collect());
    }
    let other = list(values.get(1));
    if one.len() != other.len() {
        return Err(Error::new(ErrorKind::ArraySubscript, "mismatched array dimensions"));
    }
    Ok(one.into_iter().zip(other.iter().map(quoted)).collect())
}

/// Functions that make documents.
pub(crate) static FUNCTIONS: &[&Function] = &[
    &Function::new(
        "jsonb_build_object",
        &[
            Overload::new(&[], Jsonb, build_jsonb),
            Overload::new(&[Any], Jsonb, build_jsonb).variadic().takes_null(),
        ],
    ),
    &Function::new(
        "json_build_object",
        &[
            Overload::new(&[], JsonText, build_json),
            Overload::new(&[Any], JsonText, build_json).variadic().takes_null(),
        ],
    ),
    &Function::new(
        "jsonb_build_array",
        &[Overload::new(&[Any], Jsonb, |info, values, types| as_jsonb(&listed(info, values, types, true)?))
            .variadic()
            .takes_null()],
    ),
    &Function::new(
        "json_build_array",
        &[Overload::new(&[Any], JsonText, |info, values, types| {
            listed(info, values, types, false).map(Value::Text)
        })
        .variadic()
        .takes_null()],
    ),
    &Function::new(
        "to_jsonb",
        &[Overload::new(&[Any], Jsonb, |info, values, types| {
            as_jsonb(&written(info, values[0], &types[0], true)?)
        })],
    ),
    &Function::new(
        "to_json",
        &[Overload::new(&[Any], JsonText, |info, values, types| {
            written(info, values[0], &types[0], false).map(Value::Text)
        })],
    ),
    &Function::new(
        "jsonb_pretty",
        &[Overload::new(&[Jsonb], Text, |_, values, _| {
            let mut out = String::new();
            pretty(&json(values[0])?, 0, &mut out);
            Ok(Value::Text(out))
        })],
    ),
    &Function::new(
        "jsonb_object",
        &[
            Overload::new(&[TextArray], Jsonb, |_, values, _| {
                as_jsonb(&object(&from_texts(values)?, "{", "}"))
            }),
            Overload::new(&[TextArray, TextArray], Jsonb, |_, values, _| {
                as_jsonb(&object(&from_texts(values)?, "{", "}"))
            }),
        ],
    ),
    &Function::new(
        "json_object",
        &[
            Overload::new(&[TextArray], JsonText, |_, values, _| {
                Ok(Value::Text(object(&from_texts(values)?, "{", "}")))
            }),
            Overload::new(&[TextArray, TextArray], JsonText, |_, values, _| {
                Ok(Value::Text(object(&from_texts(values)?, "{", "}")))
            }),
        ],
    ),
    // The halves of json_agg and its kin: a value's text, and texts put together.
    &Function::new(
        "luma_json_text",
        &[Overload::new(&[Any], Text, |info, values, types| {
            written(info, values[0], &types[0], false).map(Value::Text)
        })
        .takes_null()],
    ),
    &Function::new(
        "luma_json_pair",
        &[Overload::new(&[Any, Any], Text, |info, values, types| {
            let pairs = pairs(info, values, types, false)?;
            Ok(Value::Text(object(&pairs, "", "")))
        })
        .takes_null()],
    ),
    &Function::new(
        "luma_json_list",
        &[Overload::new(&[TextArray], JsonText, |_, values, _| {
            Ok(Value::Text(joined(values, "[", ", ", "]")))
        })],
    ),
    &Function::new(
        "luma_json_rows",
        &[Overload::new(&[TextArray], JsonText, |_, values, _| {
            Ok(Value::Text(joined(values, "[", ", \n ", "]")))
        })],
    ),
    // What it is given is an object by then.
    &Function::new(
        "row_to_json",
        &[Overload::new(&[JsonText], JsonText, |_, values, _| Ok(values[0].to_owned()))],
    ),
    &Function::new(
        "luma_jsonb_list",
        &[Overload::new(&[TextArray], Jsonb, |_, values, _| as_jsonb(&joined(values, "[", ", ", "]")))],
    ),
    &Function::new(
        "luma_json_members",
        &[Overload::new(&[TextArray], JsonText, |_, values, _| {
            Ok(Value::Text(joined(values, "{ ", ", ", " }")))
        })],
    ),
    &Function::new(
        "luma_jsonb_members",
        &[Overload::new(&[TextArray], Jsonb, |_, values, _| as_jsonb(&joined(values, "{", ", ", "}")))],
    ),
];

fn joined(values: &[ValueRef<'_>], open: &str, between: &str, close: &str) -> String {
    let parts = match values[0] {
        ValueRef::Array(array) => texts(array),
        _ => Vec::new(),
    };
    format!("{open}{}{close}", parts.join(between))
}
