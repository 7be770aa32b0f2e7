//! SQL/JSON paths: `$.items[*] ? (@.price > $limit).name`.
//!
//! [`parse`] reads a path, [`run`] follows it through a document. In lax mode (the default) arrays are opened
//! and single values taken for arrays where a step wants that, and what is missing is nothing; in strict mode
//! each of these is an error.

mod parse;
mod run;

use luma_model::{DataType, Error, ErrorKind, Numeric, Result, Value, ValueRef};
use serde_json::Value as Json;

use super::{canonical, json};
use crate::functions::overload::Kind::{Bool, Jsonb, Text, TextArray};
use crate::functions::overload::{Function, Overload, Surroundings};
use crate::functions::text::string;

/// A path as it was read.
#[derive(Debug)]
struct Path {
    strict: bool,
    root: Node,
}

/// What gives a sequence of values.
#[derive(Debug)]
enum Node {
    /// `$`
    Root,
    /// `@`
    Current,
    /// `last`: the last place of the array whose subscript this is.
    Last,
    /// `$name`
    Variable(String),
    Literal(Json),
    /// A value and the steps from it.
    Steps(Box<Node>, Vec<Step>),
    /// `-x` and `+x`
    Sign(bool, Box<Node>),
    Arithmetic(Operator, Box<Node>, Box<Node>),
    /// A condition, whose value is true, false or null.
    Condition(Box<Condition>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// One step into a value.
#[derive(Debug)]
enum Step {
    /// `.name`
    Member(String),
    /// `.*`
    AllMembers,
    /// `[*]`
    AllElements,
    /// `[1, 3 to last]`
    Elements(Vec<(Node, Option<Node>)>),
    /// `.**{first to last}`
    Levels(u32, u32),
    /// `? (condition)`
    Filter(Condition),
    /// `.size()`
    Method(Method),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Method {
    Type,
    Size,
    Abs,
    Floor,
    Ceiling,
    Double,
    KeyValue,
}

impl Method {
    const ALL: [(&'static str, Self); 7] = [
        ("type", Self::Type),
        ("size", Self::Size),
        ("abs", Self::Abs),
        ("floor", Self::Floor),
        ("ceiling", Self::Ceiling),
        ("double", Self::Double),
        ("keyvalue", Self::KeyValue),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, method)| *method == self).map_or("", |(name, _)| name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What is true, false or unknown.
#[derive(Debug)]
enum Condition {
    Compare(Comparison, Node, Node),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    IsUnknown(Box<Condition>),
    Exists(Node),
    StartsWith(Node, Node),
    Matches(Node, regex::Regex),
}

/// The number that a JSON number is.
fn numeric(number: &serde_json::Number) -> Result<Numeric> {
    Numeric::parse(&number.to_string())
        .map_err(|_| Error::new(ErrorKind::OutOfRange, "value overflows numeric format"))
}

/// A number as JSON, with all of its digits.
fn number(value: &Numeric) -> Json {
    serde_json::from_str(&value.to_string()).unwrap_or_else(|_| Json::String(value.to_string()))
}

/// What the functions are called with.
struct Call {
    path: Path,
    document: Json,
    variables: Json,
    silent: bool,
}

impl Call {
    fn new(values: &[ValueRef<'_>]) -> Result<Self> {
        let variables =
            values.get(2).map_or_else(|| Ok(Json::Object(serde_json::Map::new())), |given| json(*given))?;
        if !variables.is_object() {
            return Err(Error::new(ErrorKind::InvalidParameterValue, "\"vars\" argument is not an object")
                .detail("Jsonpath parameters should be encoded as key-value pairs of \"vars\" object."));
        }
        Ok(Self {
            path: parse::parse(string(values[1]))?,
            document: json(values[0])?,
            variables,
            silent: matches!(values.get(3), Some(ValueRef::Bool(true))),
        })
    }

    /// What the path finds; `None` for an error that is kept silent.
    fn found(&self) -> Result<Option<Vec<Json>>> {
        let (found, error) = run::run(&self.path, &self.document, &self.variables);
        match error {
            None => Ok(Some(found)),
            Some(error) if self.silent && run::can_be_silent(&error) => Ok(None),
            Some(error) => Err(error),
        }
    }

    /// Whether the path finds something; in lax mode what comes after that does not matter.
    fn exists(&self) -> Result<Value> {
        let (found, error) = run::run(&self.path, &self.document, &self.variables);
        if !self.path.strict && !found.is_empty() {
            return Ok(Value::Bool(true));
        }
        match error {
            None => Ok(Value::Bool(!found.is_empty())),
            Some(error) if self.silent && run::can_be_silent(&error) => Ok(Value::Null),
            Some(error) => Err(error),
        }
    }

    /// The truth of the path's one value.
    fn holds(&self) -> Result<Value> {
        match self.found()?.as_deref() {
            Some([Json::Bool(value)]) => Ok(Value::Bool(*value)),
            Some([Json::Null]) => Ok(Value::Null),
            _ if self.silent => Ok(Value::Null),
            _ => Err(Error::new(ErrorKind::SingletonJsonItemRequired, "single boolean result is expected")),
        }
    }
}

fn exists(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    Call::new(values)?.exists()
}

fn holds(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    Call::new(values)?.holds()
}

/// All that is found, as texts of documents.
fn query(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    let call = Call::new(values)?;
    let (found, error) = run::run(&call.path, &call.document, &call.variables);
    match error {
        Some(error) if !(call.silent && run::can_be_silent(&error)) => Err(error),
        _ => {
            let elements = found.iter().map(|item| Value::Text(canonical(item))).collect();
            Ok(Value::Array(luma_model::ArrayValue { elements }))
        }
    }
}

fn query_array(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    let found = Call::new(values)?.found()?;
    Ok(Value::Text(canonical(&Json::Array(found.unwrap_or_default()))))
}

fn query_first(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    let found = Call::new(values)?.found()?.unwrap_or_default();
    Ok(found.first().map_or(Value::Null, |item| Value::Text(canonical(item))))
}

/// `document @? path`
pub(super) static EXISTS: Function = Function::new(
    "jsonb_path_exists_opr",
    &[Overload::new(&[Jsonb, Text], Bool, |_, values, _| {
        Call { silent: true, ..Call::new(values)? }.exists()
    })],
);

/// `document @@ path`
pub(super) static HOLDS: Function = Function::new(
    "jsonb_path_match_opr",
    &[Overload::new(&[Jsonb, Text], Bool, |_, values, _| {
        Call { silent: true, ..Call::new(values)? }.holds()
    })],
);

/// Functions that follow paths.
pub(crate) static FUNCTIONS: &[&Function] = &[
    &EXISTS,
    &HOLDS,
    &Function::new(
        "jsonb_path_exists",
        &[Overload::new(&[Jsonb, Text, Jsonb, Bool], Bool, exists).optional(2)],
    ),
    &Function::new(
        "jsonb_path_match",
        &[Overload::new(&[Jsonb, Text, Jsonb, Bool], Bool, holds).optional(2)],
    ),
    &Function::new(
        "luma_json_path_items",
        &[Overload::new(&[Jsonb, Text, Jsonb, Bool], TextArray, query).optional(2)],
    ),
    &Function::new(
        "jsonb_path_query_array",
        &[Overload::new(&[Jsonb, Text, Jsonb, Bool], Jsonb, query_array).optional(2)],
    ),
    &Function::new(
        "jsonb_path_query_first",
        &[Overload::new(&[Jsonb, Text, Jsonb, Bool], Jsonb, query_first).optional(2)],
    ),
];
