//! JSON: what operators and functions read from it, make of it and change in it.
//!
//! `jsonb` is text in canonical form, `json` the text as it was written; both are parsed when they
//! are looked into.

use datafusion::common::DFSchema;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use luma_model::{DataType, Error, ErrorKind, Result, Value, ValueRef};
use serde_json::Value as Json;

use crate::functions::arrays::texts;
use crate::functions::numbers::int;
use crate::functions::overload::Kind::{Any, Bool, Int4, Json as JsonText, Jsonb, Record, Text, TextArray};
use crate::functions::overload::Surroundings;
use crate::functions::overload::{Function, Overload};
use crate::functions::row::text;
use crate::plan::operator::call;
use crate::plan::typing::logical_type;

pub(crate) mod build;
pub(crate) mod order;
pub(crate) mod path;

/// Plans the operators as calls of the functions below.
#[derive(Debug)]
pub(crate) struct JsonOperators;

impl ExprPlanner for JsonOperators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> PlanResult<PlannerResult<RawBinaryExpr>> {
        let is_json = |side: &Expr| logical_type(side, schema).is_some_and(|found| found.is_json());
        let function = match &expr.op {
            BinaryOperator::Arrow => &GET,
            BinaryOperator::LongArrow => &GET_TEXT,
            BinaryOperator::HashArrow => &GET_PATH,
            BinaryOperator::HashLongArrow => &GET_PATH_TEXT,
            BinaryOperator::Question => &EXISTS,
            BinaryOperator::AtQuestion => &path::EXISTS,
            BinaryOperator::AtAt if is_json(&expr.left) => &path::HOLDS,
            BinaryOperator::AtArrow if is_json(&expr.left) || is_json(&expr.right) => &CONTAINS,
            BinaryOperator::ArrowAt if is_json(&expr.left) || is_json(&expr.right) => &CONTAINED,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let right = match (&expr.op, &expr.right) {
            (BinaryOperator::AtArrow | BinaryOperator::ArrowAt, Expr::Placeholder(_)) => {
                crate::plan::operator::convert(
                    expr.right,
                    &crate::plan::operator::Operand::Unknown,
                    &DataType::Jsonb,
                )
            }
            _ => expr.right,
        };
        Ok(PlannerResult::Planned(call(function, vec![expr.left, right])))
    }
}

pub(super) fn parse(text: &str) -> Result<Json> {
    serde_json::from_str(text).map_err(|_| {
        Error::new(ErrorKind::InvalidText, "invalid input syntax for type json")
            .detail(format!("The text is not JSON: {}", text.chars().take(80).collect::<String>()))
    })
}

pub(super) fn json(value: ValueRef<'_>) -> Result<Json> {
    match value {
        ValueRef::Text(text) => parse(text),
        _ => Ok(Json::Null),
    }
}

/// The element that a key or position names.
fn element<'j>(json: &'j Json, key: &str, position: Option<i64>) -> Option<&'j Json> {
    match json {
        Json::Object(fields) => fields.get(key),
        Json::Array(items) => items.get(place(items.len(), position?)?),
        _ => None,
    }
}

/// A position counted from the start, or from the end when it is negative.
fn place(length: usize, position: i64) -> Option<usize> {
    usize::try_from(if position < 0 { length as i64 + position } else { position }).ok()
}

fn walk<'j>(json: &'j Json, steps: &[String]) -> Option<&'j Json> {
    steps.iter().try_fold(json, |json, step| element(json, step, step.parse().ok()))
}

fn as_text(found: Option<&Json>) -> Value {
    match found {
        None | Some(Json::Null) => Value::Null,
        Some(Json::String(text)) => Value::Text(text.clone()),
        Some(other) => Value::Text(canonical(other)),
    }
}

/// The text form of jsonb.
pub(crate) fn canonical(json: &Json) -> String {
    match json {
        Json::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(", ")),
        Json::Object(fields) => {
            let parts: Vec<String> = sorted(fields)
                .into_iter()
                .map(|(name, value)| format!("{}: {}", Json::String(name.clone()), canonical(value)))
                .collect();
            format!("{{{}}}", parts.join(", "))
        }
        other => other.to_string(),
    }
}

/// Members as jsonb keeps them: short names first.
pub(super) fn sorted(fields: &serde_json::Map<String, Json>) -> Vec<(&String, &Json)> {
    let mut sorted: Vec<(&String, &Json)> = fields.iter().collect();
    sorted.sort_by(|(one, _), (other, _)| one.len().cmp(&other.len()).then_with(|| one.cmp(other)));
    sorted
}

/// What was found, as the type that was looked into: `json` keeps its spelling where it can.
fn found(found: Option<&Json>, source: ValueRef<'_>, kind: &DataType) -> Value {
    let Some(json) = found else { return Value::Null };
    if *kind == DataType::Json
        && let ValueRef::Text(text) = source
        && let Some(raw) = build::raw(text, json)
    {
        return Value::Text(raw);
    }
    Value::Text(canonical(json))
}

/// Whether one document contains another, as `@>` has it.
fn contains(outer: &Json, inner: &Json) -> bool {
    match (outer, inner) {
        (Json::Object(outer), Json::Object(inner)) => {
            inner.iter().all(|(name, value)| outer.get(name).is_some_and(|found| contains(found, value)))
        }
        (Json::Array(outer), Json::Array(inner)) => {
            inner.iter().all(|value| outer.iter().any(|found| contains(found, value)))
        }
        (Json::Array(outer), scalar) if !scalar.is_object() => outer.iter().any(|found| found == scalar),
        (Json::Number(one), Json::Number(other)) => one.as_f64() == other.as_f64(),
        (one, other) => one == other,
    }
}

fn has_key(json: &Json, key: &str) -> bool {
    match json {
        Json::Object(fields) => fields.contains_key(key),
        Json::Array(items) => items.iter().any(|item| item.as_str() == Some(key)),
        Json::String(text) => text == key,
        _ => false,
    }
}

fn path(value: ValueRef<'_>) -> Vec<String> {
    match value {
        ValueRef::Array(steps) => texts(steps),
        _ => Vec::new(),
    }
}

fn get_by_key<'j>(json: &'j Json, key: ValueRef<'_>) -> Option<&'j Json> {
    match (json, key) {
        (Json::Object(fields), ValueRef::Text(key)) => fields.get(key),
        (Json::Array(items), ValueRef::Int4(position)) => items.get(place(items.len(), position.into())?),
        // A scalar is an array of itself.
        (Json::Object(_) | Json::Array(_), _) => None,
        (scalar, ValueRef::Int4(0 | -1)) => Some(scalar),
        _ => None,
    }
}

pub(super) fn get(_: &Surroundings, values: &[ValueRef<'_>], types: &[DataType]) -> Result<Value> {
    Ok(found(get_by_key(&json(values[0])?, values[1]), values[0], &types[0]))
}

fn get_text(_: &Surroundings, values: &[ValueRef<'_>], types: &[DataType]) -> Result<Value> {
    let json = json(values[0])?;
    let element = get_by_key(&json, values[1]);
    Ok(match element {
        Some(Json::Array(_) | Json::Object(_)) => found(element, values[0], &types[0]),
        element => as_text(element),
    })
}

fn get_path(_: &Surroundings, values: &[ValueRef<'_>], types: &[DataType]) -> Result<Value> {
    Ok(found(walk(&json(values[0])?, &path(values[1])), values[0], &types[0]))
}

fn get_path_text(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    Ok(as_text(walk(&json(values[0])?, &path(values[1]))))
}

fn extract_path(_: &Surroundings, values: &[ValueRef<'_>], types: &[DataType]) -> Result<Value> {
    let steps: Vec<String> = values[1..].iter().map(|step| text(*step, &DataType::Text)).collect();
    Ok(found(walk(&json(values[0])?, &steps), values[0], &types[0]))
}

fn extract_path_text(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    let steps: Vec<String> = values[1..].iter().map(|step| text(*step, &DataType::Text)).collect();
    Ok(as_text(walk(&json(values[0])?, &steps)))
}

static GET: Function = Function::new(
    "json_get",
    &[
        Overload::new(&[Jsonb, Text], Jsonb, get),
        Overload::new(&[Jsonb, Int4], Jsonb, get),
        Overload::new(&[JsonText, Text], JsonText, get),
        Overload::new(&[JsonText, Int4], JsonText, get),
    ],
);

static GET_TEXT: Function = Function::new(
    "json_get_text",
    &[
        Overload::new(&[Jsonb, Text], Text, get_text),
        Overload::new(&[Jsonb, Int4], Text, get_text),
        Overload::new(&[JsonText, Text], Text, get_text),
        Overload::new(&[JsonText, Int4], Text, get_text),
    ],
);

static GET_PATH: Function = Function::new(
    "json_get_path",
    &[
        Overload::new(&[Jsonb, TextArray], Jsonb, get_path),
        Overload::new(&[JsonText, TextArray], JsonText, get_path),
    ],
);

static GET_PATH_TEXT: Function = Function::new(
    "json_get_path_text",
    &[
        Overload::new(&[Jsonb, TextArray], Text, get_path_text),
        Overload::new(&[JsonText, TextArray], Text, get_path_text),
    ],
);

static EXISTS: Function = Function::new(
    "jsonb_exists",
    &[Overload::new(&[Jsonb, Text], Bool, |_, values, _| {
        Ok(Value::Bool(has_key(&json(values[0])?, &text(values[1], &DataType::Text))))
    })],
);

pub(crate) static EXISTS_ANY: Function = Function::new(
    "jsonb_exists_any",
    &[Overload::new(&[Jsonb, TextArray], Bool, |_, values, _| {
        let json = json(values[0])?;
        Ok(Value::Bool(path(values[1]).iter().any(|key| has_key(&json, key))))
    })],
);

pub(crate) static EXISTS_ALL: Function = Function::new(
    "jsonb_exists_all",
    &[Overload::new(&[Jsonb, TextArray], Bool, |_, values, _| {
        let json = json(values[0])?;
        Ok(Value::Bool(path(values[1]).iter().all(|key| has_key(&json, key))))
    })],
);

static CONTAINS: Function = Function::new(
    "jsonb_contains",
    &[Overload::new(&[Jsonb, Jsonb], Bool, |_, values, _| {
        Ok(Value::Bool(contains(&json(values[0])?, &json(values[1])?)))
    })],
);

static CONTAINED: Function = Function::new(
    "jsonb_contained",
    &[Overload::new(&[Jsonb, Jsonb], Bool, |_, values, _| {
        Ok(Value::Bool(contains(&json(values[1])?, &json(values[0])?)))
    })],
);

/// `||`.
pub(crate) static CONCATENATE: Function = Function::new(
    "jsonb_concat",
    &[Overload::new(&[Jsonb, Jsonb], Jsonb, |_, values, _| {
        let joined = match (json(values[0])?, json(values[1])?) {
            (Json::Object(mut one), Json::Object(other)) => {
                one.extend(other);
                Json::Object(one)
            }
            (one, other) => {
                let items = |json| match json {
                    Json::Array(items) => items,
                    other => vec![other],
                };
                let mut all = items(one);
                all.extend(items(other));
                Json::Array(all)
            }
        };
        Ok(Value::Text(canonical(&joined)))
    })],
);

fn remove_keys(mut json: Json, keys: &[String]) -> Result<Value> {
    match &mut json {
        Json::Object(fields) => fields.retain(|name, _| !keys.contains(name)),
        Json::Array(items) => {
            items.retain(|item| item.as_str().is_none_or(|text| !keys.iter().any(|key| key == text)));
        }
        _ => return Err(Error::new(ErrorKind::InvalidParameterValue, "cannot delete from scalar")),
    }
    Ok(Value::Text(canonical(&json)))
}

/// `-`.
pub(crate) static REMOVE: Function = Function::new(
    "jsonb_delete",
    &[
        Overload::new(&[Jsonb, Text], Jsonb, |_, values, _| {
            remove_keys(json(values[0])?, &[text(values[1], &DataType::Text)])
        }),
        Overload::new(&[Jsonb, TextArray], Jsonb, |_, values, _| {
            remove_keys(json(values[0])?, &path(values[1]))
        }),
        Overload::new(&[Jsonb, Int4], Jsonb, |_, values, _| match json(values[0])? {
            Json::Array(mut items) => {
                if let Some(at) = place(items.len(), int(values[1])).filter(|at| *at < items.len()) {
                    items.remove(at);
                }
                Ok(Value::Text(canonical(&Json::Array(items))))
            }
            Json::Object(_) => Err(Error::new(
                ErrorKind::InvalidParameterValue,
                "cannot delete from object using integer index",
            )),
            _ => Err(Error::new(ErrorKind::InvalidParameterValue, "cannot delete from scalar")),
        }),
    ],
);

/// Changes the place that a path names, if what is above it is there.
fn edit(json: &mut Json, steps: &[String], change: &mut dyn FnMut(&mut Json, &str)) {
    match steps {
        [] => {}
        [last] => change(json, last),
        [first, rest @ ..] => {
            let inner = match json {
                Json::Object(fields) => fields.get_mut(first),
                Json::Array(items) => {
                    let at = first.parse().ok().and_then(|position| place(items.len(), position));
                    at.and_then(|at| items.get_mut(at))
                }
                _ => None,
            };
            if let Some(inner) = inner {
                edit(inner, rest, change);
            }
        }
    }
}

/// `#-`.
pub(crate) static REMOVE_PATH: Function = Function::new(
    "jsonb_delete_path",
    &[Overload::new(&[Jsonb, TextArray], Jsonb, |_, values, _| {
        let mut json = json(values[0])?;
        edit(&mut json, &path(values[1]), &mut |json, key| match json {
            Json::Object(fields) => {
                fields.shift_remove(key);
            }
            Json::Array(items) => {
                let at = key.parse().ok().and_then(|position| place(items.len(), position));
                if let Some(at) = at.filter(|at| *at < items.len()) {
                    items.remove(at);
                }
            }
            _ => {}
        });
        Ok(Value::Text(canonical(&json)))
    })],
);

fn set(values: &[ValueRef<'_>]) -> Result<Value> {
    let (mut json, new) = (json(values[0])?, json(values[2])?);
    let create = !matches!(values.get(3), Some(ValueRef::Bool(false)));
    edit(&mut json, &path(values[1]), &mut |json, key| match json {
        Json::Object(fields) if create || fields.contains_key(key) => {
            fields.insert(key.to_owned(), new.clone());
        }
        Json::Array(items) => {
            let Ok(position) = key.parse::<i64>() else { return };
            match place(items.len(), position).and_then(|at| items.get_mut(at)) {
                Some(item) => *item = new.clone(),
                None if create && position < 0 => items.insert(0, new.clone()),
                None if create => items.push(new.clone()),
                None => {}
            }
        }
        _ => {}
    });
    Ok(Value::Text(canonical(&json)))
}

fn insert(values: &[ValueRef<'_>]) -> Result<Value> {
    let (mut json, new) = (json(values[0])?, json(values[2])?);
    let after = matches!(values.get(3), Some(ValueRef::Bool(true)));
    edit(&mut json, &path(values[1]), &mut |json, key| match json {
        Json::Object(fields) => {
            fields.entry(key.to_owned()).or_insert_with(|| new.clone());
        }
        Json::Array(items) => {
            let Ok(position) = key.parse::<i64>() else { return };
            let at = place(items.len(), position).unwrap_or(0) + usize::from(after);
            items.insert(at.min(items.len()), new.clone());
        }
        _ => {}
    });
    Ok(Value::Text(canonical(&json)))
}

fn strip(json: Json) -> Json {
    match json {
        Json::Object(fields) => Json::Object(
            fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name, strip(value)))
                .collect(),
        ),
        Json::Array(items) => Json::Array(items.into_iter().map(strip).collect()),
        other => other,
    }
}

fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

fn type_of(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    Ok(Value::Text(kind(&json(values[0])?).into()))
}

fn array_length(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    match json(values[0])? {
        Json::Array(items) => Ok(Value::Int4(items.len() as i32)),
        Json::Object(_) => {
            Err(Error::new(ErrorKind::InvalidParameterValue, "cannot get array length of a non-array"))
        }
        _ => Err(Error::new(ErrorKind::InvalidParameterValue, "cannot get array length of a scalar")),
    }
}

pub(crate) use build::written;

/// The longest list or array that an assignment to an element makes.
pub(super) const ELEMENTS_MAX: usize = 1 << 20;

/// A document with a member or element set; what is not there is made, and a gap in a list filled with nulls.
pub(super) fn assigned(document: ValueRef<'_>, key: ValueRef<'_>, new: ValueRef<'_>) -> Result<Value> {
    let (document, new) = (json(document)?, json(new)?);
    let changed = match (document, key) {
        (Json::Null, ValueRef::Text(key)) => Json::Object([(key.to_owned(), new)].into_iter().collect()),
        (Json::Object(mut fields), ValueRef::Text(key)) => {
            fields.insert(key.to_owned(), new);
            Json::Object(fields)
        }
        (list @ (Json::Null | Json::Array(_)), ValueRef::Int4(position)) => {
            let mut items = match list {
                Json::Array(items) => items,
                _ => Vec::new(),
            };
            let at = place(items.len(), position.into()).filter(|at| *at < ELEMENTS_MAX);
            let at = at.ok_or_else(|| {
                let message = format!("path element at position 1 is out of range: {position}");
                Error::new(ErrorKind::InvalidParameterValue, message)
            })?;
            while items.len() <= at {
                items.push(Json::Null);
            }
            items[at] = new;
            Json::Array(items)
        }
        _ => return Err(Error::new(ErrorKind::InvalidParameterValue, "cannot replace existing key")),
    };
    Ok(Value::Text(canonical(&changed)))
}

/// A JSON array in the text form of an array.
fn array_text(json: &Json) -> Result<String> {
    let Json::Array(items) = json else {
        let message = "expected JSON array";
        return Err(Error::new(ErrorKind::InvalidText, message));
    };
    let parts = items.iter().map(|item| match item {
        Json::Null => Ok("NULL".to_owned()),
        Json::Array(_) => array_text(item),
        Json::String(text) => Ok(Json::String(text.clone()).to_string()),
        Json::Object(_) => Ok(Json::String(canonical(item)).to_string()),
        other => Ok(other.to_string()),
    });
    Ok(format!("{{{}}}", parts.collect::<Result<Vec<_>>>()?.join(",")))
}

/// Functions that read and change documents.
pub(crate) static FUNCTIONS: &[&Function] = &[
    &EXISTS,
    &CONTAINS,
    &Function::new(
        "luma_json_array_text",
        &[Overload::new(&[Text], Text, |_, values, _| match values[0] {
            ValueRef::Text(text) => array_text(&parse(text)?).map(Value::Text),
            _ => Ok(Value::Null),
        })],
    ),
    &Function::new("jsonb_typeof", &[Overload::new(&[Jsonb], Text, type_of)]),
    &Function::new("json_typeof", &[Overload::new(&[JsonText], Text, type_of)]),
    &Function::new("jsonb_array_length", &[Overload::new(&[Jsonb], Int4, array_length)]),
    &Function::new("json_array_length", &[Overload::new(&[JsonText], Int4, array_length)]),
    &Function::new("jsonb_extract_path", &[Overload::new(&[Jsonb, Text], Jsonb, extract_path).variadic()]),
    &Function::new(
        "json_extract_path",
        &[Overload::new(&[JsonText, Text], JsonText, extract_path).variadic()],
    ),
    &Function::new(
        "jsonb_extract_path_text",
        &[Overload::new(&[Jsonb, Text], Text, extract_path_text).variadic()],
    ),
    &Function::new(
        "json_extract_path_text",
        &[Overload::new(&[JsonText, Text], Text, extract_path_text).variadic()],
    ),
    &Function::new(
        "jsonb_set",
        &[Overload::new(&[Jsonb, TextArray, Jsonb, Bool], Jsonb, |_, values, _| set(values)).optional(1)],
    ),
    &Function::new(
        "jsonb_insert",
        &[Overload::new(&[Jsonb, TextArray, Jsonb, Bool], Jsonb, |_, values, _| insert(values)).optional(1)],
    ),
    &Function::new(
        "jsonb_strip_nulls",
        &[Overload::new(&[Jsonb], Jsonb, |_, values, _| {
            Ok(Value::Text(canonical(&strip(json(values[0])?))))
        })],
    ),
    &Function::new(
        "json_strip_nulls",
        &[Overload::new(&[JsonText], JsonText, |_, values, _| {
            Ok(Value::Text(strip(json(values[0])?).to_string()))
        })],
    ),
    &Function::new(
        "luma_json_items",
        &[
            Overload::new(&[Jsonb], TextArray, |_, values, _| items(values, canonical_item)),
            Overload::new(&[JsonText], TextArray, |_, values, _| items(values, canonical_item)),
        ],
    ),
    &Function::new(
        "luma_json_items_text",
        &[
            Overload::new(&[Jsonb], TextArray, |_, values, _| items(values, |item| as_text(Some(item)))),
            Overload::new(&[JsonText], TextArray, |_, values, _| items(values, |item| as_text(Some(item)))),
        ],
    ),
    &Function::new(
        "luma_json_keys",
        &[
            Overload::new(&[Jsonb], TextArray, |_, values, _| members(values, member_name)),
            Overload::new(&[JsonText], TextArray, |_, values, _| members(values, member_name)),
        ],
    ),
    &Function::new(
        "luma_json_values",
        &[
            Overload::new(&[Jsonb], TextArray, |_, values, _| members(values, member_value)),
            Overload::new(&[JsonText], TextArray, |_, values, _| members(values, member_value)),
        ],
    ),
    &Function::new(
        "luma_json_values_text",
        &[
            Overload::new(&[Jsonb], TextArray, |_, values, _| members(values, member_text)),
            Overload::new(&[JsonText], TextArray, |_, values, _| members(values, member_text)),
        ],
    ),
    &Function::new(
        "row",
        &[Overload::new(&[Any], Record, |_, values, types| {
            luma_model::encode_record(values, types).map(Value::Bytea)
        })
        .variadic()
        .takes_null()],
    ),
    &Function::new("luma_row_json", &[Overload::new(&[Any], JsonText, build::row).variadic().takes_null()]),
];

fn member_name(name: &str, _: &Json) -> Value {
    Value::Text(name.into())
}

fn member_value(_: &str, value: &Json) -> Value {
    canonical_item(value)
}

fn member_text(_: &str, value: &Json) -> Value {
    as_text(Some(value))
}

fn canonical_item(item: &Json) -> Value {
    Value::Text(canonical(item))
}

fn items(values: &[ValueRef<'_>], of: fn(&Json) -> Value) -> Result<Value> {
    match json(values[0])? {
        Json::Array(items) => {
            Ok(Value::Array(luma_model::ArrayValue { elements: items.iter().map(of).collect() }))
        }
        Json::Object(_) => {
            Err(Error::new(ErrorKind::InvalidParameterValue, "cannot extract elements from an object"))
        }
        _ => Err(Error::new(ErrorKind::InvalidParameterValue, "cannot extract elements from a scalar")),
    }
}

fn members(values: &[ValueRef<'_>], of: fn(&str, &Json) -> Value) -> Result<Value> {
    match json(values[0])? {
        Json::Object(fields) => {
            let elements = sorted(&fields).into_iter().map(|(name, value)| of(name, value)).collect();
            Ok(Value::Array(luma_model::ArrayValue { elements }))
        }
        Json::Array(_) => {
            Err(Error::new(ErrorKind::InvalidParameterValue, "cannot call jsonb_each on a non-object"))
        }
        _ => Err(Error::new(ErrorKind::InvalidParameterValue, "cannot call jsonb_object_keys on a scalar")),
    }
}
