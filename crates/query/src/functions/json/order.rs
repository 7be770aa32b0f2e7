//! The order of `jsonb` values as bytes: null, text, numbers, booleans, arrays, objects.
//!
//! Arrays and objects compare by how many members they have, then member by member; an object's members
//! stand in the order of their keys' lengths, as PostgreSQL stores them. An empty array is less than
//! everything else when it stands alone.

use std::fmt::Write as _;

use luma_model::{DataType, Error, ErrorKind, KeyOrder, Result, TextContext, Value, ValueRef, encode_key};
use serde_json::Value as Json;

use crate::functions::json::json;
use crate::functions::overload::Kind::{Bytea, Jsonb, Text};
use crate::functions::overload::{Function, Overload};

const EMPTY: u8 = 0;
const NULL: u8 = 1;
const TEXT: u8 = 2;
const NUMBER: u8 = 3;
const BOOLEAN: u8 = 4;
const ARRAY: u8 = 5;
const OBJECT: u8 = 6;

/// The bytes by which a value compares with others.
pub(crate) static ORDER: Function = Function::new(
    "luma_jsonb_order",
    &[Overload::new(&[Jsonb], Bytea, |_, values, _| key(values[0]).map(Value::Bytea))],
);

/// The same as text, which may be what a window's rows are ordered by.
pub(crate) static PEER: Function = Function::new(
    "luma_jsonb_peer",
    &[Overload::new(&[Jsonb], Text, |_, values, _| {
        let key = key(values[0])?;
        Ok(Value::Text(key.iter().fold(String::with_capacity(key.len() * 2), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })))
    })],
);

/// One of the texts of equal values, as the value that is shown of them.
pub(crate) static SHOWN: Function = Function::new(
    "luma_jsonb_shown",
    &[Overload::new(&[Text], Jsonb, |_, values, _| Ok(values[0].to_owned()))],
);

fn key(value: ValueRef<'_>) -> Result<Vec<u8>> {
    let mut key = Vec::new();
    match json(value)? {
        Json::Array(items) if items.is_empty() => key.push(EMPTY),
        value => encode(&value, &mut key)?,
    }
    Ok(key)
}

fn text(text: &str, key: &mut Vec<u8>) -> Result<()> {
    encode_key(ValueRef::Text(text), &DataType::Text, KeyOrder::default(), key)
}

fn count(members: usize, key: &mut Vec<u8>) -> Result<()> {
    let members = u32::try_from(members)
        .map_err(|_| Error::new(ErrorKind::ProgramLimit, "a JSON value has too many members to compare"))?;
    key.extend_from_slice(&members.to_be_bytes());
    Ok(())
}

fn encode(value: &Json, key: &mut Vec<u8>) -> Result<()> {
    match value {
        Json::Null => key.push(NULL),
        Json::Bool(value) => key.extend_from_slice(&[BOOLEAN, u8::from(*value)]),
        Json::String(value) => {
            key.push(TEXT);
            text(value, key)?;
        }
        Json::Number(number) => {
            key.push(NUMBER);
            let numeric = DataType::Numeric(None);
            let value = luma_model::parse_text(&numeric, &number.to_string(), &TextContext::default())?;
            encode_key(value.as_ref(), &numeric, KeyOrder::default(), key)?;
        }
        Json::Array(items) => {
            key.push(ARRAY);
            count(items.len(), key)?;
            for item in items {
                encode(item, key)?;
            }
        }
        Json::Object(members) => {
            key.push(OBJECT);
            count(members.len(), key)?;
            let mut members: Vec<(&String, &Json)> = members.iter().collect();
            members.sort_by_key(|(name, _)| (name.len(), *name));
            for (name, member) in members {
                text(name, key)?;
                encode(member, key)?;
            }
        }
    }
    Ok(())
}
