//! JSON functions and operators: `->`, `->>`, `#>`, `#>>`, `@>`, `?` and what belongs to them.

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ScalarUDF};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use luma_model::{DataType, Error, ErrorKind, Result, Value, ValueRef};
use serde_json::Value as Json;

use crate::functions::row::{Definition, RowFunction, text};
use crate::plan::typing::logical_type;

/// Plans the operators as calls of the functions below.
#[derive(Debug)]
pub(crate) struct JsonOperators;

impl ExprPlanner for JsonOperators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> PlanResult<PlannerResult<RawBinaryExpr>> {
        let name = match &expr.op {
            BinaryOperator::Arrow => "json_get",
            BinaryOperator::LongArrow => "json_get_text",
            BinaryOperator::HashArrow => "json_get_path",
            BinaryOperator::HashLongArrow => "json_get_path_text",
            BinaryOperator::Question => "jsonb_exists",
            BinaryOperator::AtArrow | BinaryOperator::ArrowAt => {
                let json = |side: &Expr| {
                    matches!(logical_type(side, schema), Some(DataType::Jsonb | DataType::Json))
                };
                if !json(&expr.left) && !json(&expr.right) {
                    return Ok(PlannerResult::Original(expr));
                }
                "jsonb_contains"
            }
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let Some(definition) = FUNCTIONS.iter().find(|function| function.name == name) else {
            return Ok(PlannerResult::Original(expr));
        };
        let arguments = if expr.op == BinaryOperator::ArrowAt {
            vec![expr.right, expr.left]
        } else {
            vec![expr.left, expr.right]
        };
        let function = Arc::new(ScalarUDF::new_from_impl(RowFunction::new(definition)));
        Ok(PlannerResult::Planned(Expr::ScalarFunction(ScalarFunction::new_udf(function, arguments))))
    }
}

fn parse(text: &str) -> Result<Json> {
    serde_json::from_str(text).map_err(|error| {
        Error::new(ErrorKind::InvalidText, format!("invalid input syntax for type json: {error}"))
    })
}

fn json(value: ValueRef<'_>, data_type: &DataType) -> Result<Json> {
    parse(&text(value, data_type))
}

/// The element that a key or position names.
fn element<'j>(json: &'j Json, key: &str, position: Option<i64>) -> Option<&'j Json> {
    match json {
        Json::Object(fields) => fields.get(key),
        Json::Array(items) => {
            let position = position?;
            let place = if position < 0 { items.len() as i64 + position } else { position };
            items.get(usize::try_from(place).ok()?)
        }
        _ => None,
    }
}

fn get<'j>(json: &'j Json, key: ValueRef<'_>, data_type: &DataType) -> Option<&'j Json> {
    match (json, key) {
        (Json::Object(_), ValueRef::Text(_)) => element(json, &text(key, data_type), None),
        (Json::Array(_), ValueRef::Int2(_) | ValueRef::Int4(_) | ValueRef::Int8(_)) => {
            element(json, "", crate::functions::row::integer(key))
        }
        _ => None,
    }
}

/// `{a,0,b}` or an array of text as steps.
fn path(value: ValueRef<'_>, data_type: &DataType) -> Vec<String> {
    if let ValueRef::Array(steps) = value {
        return steps.iter().map(|step| text(step, &DataType::Text)).collect();
    }
    let text = text(value, data_type);
    text.trim_start_matches('{')
        .trim_end_matches('}')
        .split(',')
        .map(|step| step.trim().trim_matches('"').to_owned())
        .filter(|step| !step.is_empty())
        .collect()
}

fn walk<'j>(json: &'j Json, steps: &[String]) -> Option<&'j Json> {
    steps.iter().try_fold(json, |json, step| element(json, step, step.parse().ok()))
}

fn as_json(found: Option<&Json>) -> Value {
    found.map_or(Value::Null, |json| Value::Text(canonical(json)))
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
            let mut sorted: Vec<(&String, &Json)> = fields.iter().collect();
            sorted.sort_by(|(one, _), (other, _)| one.len().cmp(&other.len()).then_with(|| one.cmp(other)));
            let parts: Vec<String> = sorted
                .into_iter()
                .map(|(name, value)| format!("{}: {}", Json::String(name.clone()), canonical(value)))
                .collect();
            format!("{{{}}}", parts.join(", "))
        }
        other => other.to_string(),
    }
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

fn to_json(value: ValueRef<'_>, data_type: &DataType) -> Result<Json> {
    Ok(match value {
        ValueRef::Null => Json::Null,
        ValueRef::Bool(value) => Json::Bool(value),
        ValueRef::Text(text) if data_type.is_json() => parse(text)?,
        ValueRef::Text(text) => Json::String(text.to_owned()),
        ValueRef::Array(items) => {
            let element = data_type.element().cloned().unwrap_or(DataType::Text);
            Json::Array(items.iter().map(|item| to_json(item, &element)).collect::<Result<_>>()?)
        }
        other => {
            let text = text(other, data_type);
            if data_type.is_numeric() {
                serde_json::from_str(&text).unwrap_or(Json::String(text))
            } else {
                Json::String(text)
            }
        }
    })
}

fn build_object(values: &[ValueRef<'_>], types: &[DataType]) -> Result<Value> {
    if values.len() % 2 == 1 {
        return Err(Error::new(
            ErrorKind::InvalidParameterValue,
            "argument list must have even number of elements",
        ));
    }
    let mut fields = serde_json::Map::new();
    for (pair, types) in values.chunks_exact(2).zip(types.chunks_exact(2)) {
        if matches!(pair[0], ValueRef::Null) {
            return Err(Error::new(ErrorKind::InvalidParameterValue, "a key must not be null"));
        }
        fields.insert(text(pair[0], &types[0]), to_json(pair[1], &types[1])?);
    }
    Ok(Value::Text(canonical(&Json::Object(fields))))
}

fn build_array(values: &[ValueRef<'_>], types: &[DataType]) -> Result<Value> {
    let items = values.iter().zip(types).map(|(value, data_type)| to_json(*value, data_type));
    Ok(Value::Text(canonical(&Json::Array(items.collect::<Result<_>>()?))))
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

const MANY: usize = 64;

pub(crate) static FUNCTIONS: &[Definition] = &[
    Definition::new("json_get", (2, 2), DataType::Jsonb, |_, values, types| {
        Ok(as_json(get(&json(values[0], &types[0])?, values[1], &types[1])))
    }),
    Definition::new("json_get_text", (2, 2), DataType::Text, |_, values, types| {
        Ok(as_text(get(&json(values[0], &types[0])?, values[1], &types[1])))
    }),
    Definition::new("json_get_path", (2, 2), DataType::Jsonb, |_, values, types| {
        Ok(as_json(walk(&json(values[0], &types[0])?, &path(values[1], &types[1]))))
    }),
    Definition::new("json_get_path_text", (2, 2), DataType::Text, |_, values, types| {
        Ok(as_text(walk(&json(values[0], &types[0])?, &path(values[1], &types[1]))))
    }),
    Definition::new("jsonb_exists", (2, 2), DataType::Bool, |_, values, types| {
        let key = text(values[1], &types[1]);
        Ok(Value::Bool(match json(values[0], &types[0])? {
            Json::Object(fields) => fields.contains_key(&key),
            Json::Array(items) => items.iter().any(|item| item.as_str() == Some(&key)),
            Json::String(text) => text == key,
            _ => false,
        }))
    }),
    Definition::new("jsonb_contains", (2, 2), DataType::Bool, |_, values, types| {
        Ok(Value::Bool(contains(&json(values[0], &types[0])?, &json(values[1], &types[1])?)))
    }),
    Definition::new("jsonb_typeof", (1, 1), DataType::Text, |_, values, types| {
        Ok(Value::Text(kind(&json(values[0], &types[0])?).into()))
    }),
    Definition::new("json_typeof", (1, 1), DataType::Text, |_, values, types| {
        Ok(Value::Text(kind(&json(values[0], &types[0])?).into()))
    }),
    Definition::new("jsonb_array_length", (1, 1), DataType::Int4, array_length),
    Definition::new("json_array_length", (1, 1), DataType::Int4, array_length),
    Definition::new("jsonb_extract_path_text", (2, MANY), DataType::Text, |_, values, types| {
        let steps: Vec<String> =
            values[1..].iter().zip(&types[1..]).map(|(step, data_type)| text(*step, data_type)).collect();
        Ok(as_text(walk(&json(values[0], &types[0])?, &steps)))
    }),
    Definition::new("jsonb_extract_path", (2, MANY), DataType::Jsonb, |_, values, types| {
        let steps: Vec<String> =
            values[1..].iter().zip(&types[1..]).map(|(step, data_type)| text(*step, data_type)).collect();
        Ok(as_json(walk(&json(values[0], &types[0])?, &steps)))
    }),
    Definition::new("jsonb_build_object", (0, MANY), DataType::Jsonb, |_, values, types| {
        build_object(values, types)
    })
    .takes_null(),
    Definition::new("json_build_object", (0, MANY), DataType::Json, |_, values, types| {
        build_object(values, types)
    })
    .takes_null(),
    Definition::new("jsonb_build_array", (0, MANY), DataType::Jsonb, |_, values, types| {
        build_array(values, types)
    })
    .takes_null(),
    Definition::new("json_build_array", (0, MANY), DataType::Json, |_, values, types| {
        build_array(values, types)
    })
    .takes_null(),
    Definition::new("to_jsonb", (1, 1), DataType::Jsonb, |_, values, types| {
        Ok(Value::Text(canonical(&to_json(values[0], &types[0])?)))
    }),
    Definition::new("to_json", (1, 1), DataType::Json, |_, values, types| {
        Ok(Value::Text(canonical(&to_json(values[0], &types[0])?)))
    }),
];

fn array_length(
    _: &Arc<crate::session::SessionInfo>,
    values: &[ValueRef<'_>],
    types: &[DataType],
) -> Result<Value> {
    match json(values[0], &types[0])? {
        Json::Array(items) => Ok(Value::Int4(items.len() as i32)),
        other => Err(Error::new(
            ErrorKind::InvalidParameterValue,
            format!(
                "cannot get array length of {} {}",
                if other.is_object() { "an" } else { "a" },
                kind(&other)
            ),
        )),
    }
}
