//! Following paths through documents.

use std::cmp::Ordering;

use luma_model::{Error, ErrorKind, Numeric, NumericRef, Result};
use serde_json::Value as Json;

use super::{Comparison, Condition, Method, Node, Operator, Path, Step, number, numeric};
use crate::functions::json::kind;

/// Most values that a path may find.
const FOUND_MAX: usize = 10_000_000;

/// What a path finds in a document until it ends or fails, and how it failed.
pub(super) fn run(path: &Path, document: &Json, variables: &Json) -> (Vec<Json>, Option<Error>) {
    let walk = Walk { lax: !path.strict, root: document, variables };
    let mut found = Vec::new();
    let error =
        walk.node(&path.root, &Place { current: document, last: 0, lenient: false }, &mut found).err();
    (found, error)
}

/// Whether an error is one of the document, which a silent call takes for nothing found.
pub(super) fn can_be_silent(error: &Error) -> bool {
    matches!(
        error.kind,
        ErrorKind::InvalidJsonSubscript
            | ErrorKind::SingletonJsonItemRequired
            | ErrorKind::JsonMemberNotFound
            | ErrorKind::JsonNumberNotFound
            | ErrorKind::JsonObjectNotFound
            | ErrorKind::JsonArrayNotFound
            | ErrorKind::NonNumericJsonItem
            | ErrorKind::DivisionByZero
            | ErrorKind::OutOfRange
    )
}

struct Walk<'a> {
    lax: bool,
    root: &'a Json,
    variables: &'a Json,
}

/// Where a part of the path stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    current: &'a Json,
    /// What `last` is.
    last: i64,
    /// Whether what is missing is nothing in strict mode, too: so it is after `.**`.
    lenient: bool,
}

type Found = Vec<Json>;

fn give(value: Json, found: &mut Found) -> Result<()> {
    if found.len() == FOUND_MAX {
        return Err(Error::new(ErrorKind::ProgramLimit, "a path finds at most 10000000 values"));
    }
    found.push(value);
    Ok(())
}

impl Walk<'_> {
    fn node(&self, node: &Node, place: &Place<'_>, found: &mut Found) -> Result<()> {
        match node {
            Node::Root => give(self.root.clone(), found),
            Node::Current => give(place.current.clone(), found),
            Node::Last => give(Json::from(place.last), found),
            Node::Literal(value) => give(value.clone(), found),
            Node::Variable(name) => match self.variables.get(name) {
                Some(value) => give(value.clone(), found),
                None => Err(Error::new(
                    ErrorKind::UndefinedObject,
                    format!("could not find jsonpath variable \"{name}\""),
                )),
            },
            Node::Condition(condition) => {
                let truth = self.condition(condition, place)?;
                give(truth.map_or(Json::Null, Json::Bool), found)
            }
            Node::Steps(from, steps) => match from.as_ref() {
                Node::Root => self.steps(self.root, steps, place, found),
                Node::Current => self.steps(place.current, steps, place, found),
                other => {
                    let mut values = Vec::new();
                    self.node(other, place, &mut values)?;
                    values.iter().try_for_each(|value| self.steps(value, steps, place, found))
                }
            },
            Node::Sign(negative, operand) => {
                for value in self.opened(operand, place)? {
                    let Json::Number(given) = &value else {
                        let sign = if *negative { '-' } else { '+' };
                        return Err(Error::new(
                            ErrorKind::JsonNumberNotFound,
                            format!("operand of unary jsonpath operator {sign} is not a numeric value"),
                        ));
                    };
                    let value = if *negative { number(&numeric(given)?.as_ref().neg()) } else { value };
                    give(value, found)?;
                }
                Ok(())
            }
            Node::Arithmetic(operator, left, right) => {
                let symbol = symbol(*operator);
                let left = self.single_number(left, place, "left", symbol)?;
                let right = self.single_number(right, place, "right", symbol)?;
                let (left, right) = (left.as_ref(), right.as_ref());
                let result = match operator {
                    Operator::Add => left.add(right),
                    Operator::Subtract => left.sub(right),
                    Operator::Multiply => left.mul(right),
                    Operator::Divide => left.div(right),
                    Operator::Remainder => left.rem(right),
                }?;
                give(number(&result), found)
            }
        }
    }

    /// The values of a node, arrays opened in lax mode.
    fn opened(&self, node: &Node, place: &Place<'_>) -> Result<Found> {
        let mut found = Vec::new();
        self.node(node, place, &mut found)?;
        if !self.lax {
            return Ok(found);
        }
        let mut opened = Vec::with_capacity(found.len());
        for value in found {
            match value {
                Json::Array(items) => opened.extend(items),
                other => opened.push(other),
            }
        }
        Ok(opened)
    }

    fn single_number(&self, node: &Node, place: &Place<'_>, side: &str, symbol: &str) -> Result<Numeric> {
        match self.opened(node, place)?.as_slice() {
            [Json::Number(value)] => numeric(value),
            _ => Err(Error::new(
                ErrorKind::SingletonJsonItemRequired,
                format!("{side} operand of jsonpath operator {symbol} is not a single numeric value"),
            )),
        }
    }

    fn steps(&self, value: &Json, steps: &[Step], place: &Place<'_>, found: &mut Found) -> Result<()> {
        match steps.split_first() {
            None => give(value.clone(), found),
            Some((step, rest)) => self.step(value, step, rest, place, found, self.lax),
        }
    }

    /// One step from a value, and the others from what it gives. An array is opened when `open` says so and
    /// the step is not for arrays.
    fn step(
        &self,
        value: &Json,
        step: &Step,
        rest: &[Step],
        place: &Place<'_>,
        found: &mut Found,
        open: bool,
    ) -> Result<()> {
        let for_elements = !matches!(
            step,
            Step::AllElements
                | Step::Elements(_)
                | Step::Levels(..)
                | Step::Method(Method::Type | Method::Size)
        );
        if let (true, true, Json::Array(items)) = (open, for_elements, value) {
            return items.iter().try_for_each(|item| self.step(item, step, rest, place, found, false));
        }
        match step {
            Step::Member(name) => match value {
                Json::Object(members) => match members.get(name) {
                    Some(member) => self.steps(member, rest, place, found),
                    None if self.lax || place.lenient => Ok(()),
                    None => Err(Error::new(
                        ErrorKind::JsonMemberNotFound,
                        format!("JSON object does not contain key \"{name}\""),
                    )),
                },
                _ => self.missing(
                    place,
                    ErrorKind::JsonMemberNotFound,
                    "jsonpath member accessor can only be applied to an object",
                ),
            },
            Step::AllMembers => match value {
                Json::Object(members) => super::super::sorted(members)
                    .into_iter()
                    .try_for_each(|(_, member)| self.steps(member, rest, place, found)),
                _ => self.missing(
                    place,
                    ErrorKind::JsonObjectNotFound,
                    "jsonpath wildcard member accessor can only be applied to an object",
                ),
            },
            Step::AllElements => match value {
                Json::Array(items) => items.iter().try_for_each(|item| self.steps(item, rest, place, found)),
                other if self.lax => self.steps(other, rest, place, found),
                _ => self.missing(
                    place,
                    ErrorKind::JsonArrayNotFound,
                    "jsonpath wildcard array accessor can only be applied to an array",
                ),
            },
            Step::Elements(subscripts) => self.elements(value, subscripts, rest, place, found),
            Step::Levels(first, last) => {
                let lenient = Place { lenient: true, ..*place };
                if *first == 0 {
                    self.steps(value, rest, &lenient, found)?;
                }
                self.levels(value, 1, (*first, *last), rest, &lenient, found)
            }
            Step::Filter(condition) => {
                if self.condition(condition, &Place { current: value, ..*place })? == Some(true) {
                    self.steps(value, rest, place, found)?;
                }
                Ok(())
            }
            Step::Method(method) => self.method(value, *method, rest, place, found),
        }
    }

    /// What is not there is nothing in lax mode.
    fn missing(&self, place: &Place<'_>, kind: ErrorKind, message: &str) -> Result<()> {
        if self.lax || place.lenient { Ok(()) } else { Err(Error::new(kind, message)) }
    }

    fn elements(
        &self,
        value: &Json,
        subscripts: &[(Node, Option<Node>)],
        rest: &[Step],
        place: &Place<'_>,
        found: &mut Found,
    ) -> Result<()> {
        let items = match value {
            Json::Array(items) => items.as_slice(),
            other if self.lax => std::slice::from_ref(other),
            _ => {
                return self.missing(
                    place,
                    ErrorKind::JsonArrayNotFound,
                    "jsonpath array accessor can only be applied to an array",
                );
            }
        };
        let count = items.len() as i64;
        let here = Place { last: count - 1, ..*place };
        for (first, last) in subscripts {
            let first = self.subscript(first, &here)?;
            let last = last.as_ref().map_or(Ok(first), |last| self.subscript(last, &here))?;
            if !self.lax && !place.lenient && (first < 0 || first > last || last >= count) {
                return Err(Error::new(
                    ErrorKind::InvalidJsonSubscript,
                    "jsonpath array subscript is out of bounds",
                ));
            }
            for at in first.max(0)..=last.min(count - 1) {
                if let Some(item) = usize::try_from(at).ok().and_then(|at| items.get(at)) {
                    self.steps(item, rest, place, found)?;
                }
            }
        }
        Ok(())
    }

    fn subscript(&self, node: &Node, place: &Place<'_>) -> Result<i64> {
        let mut values = Vec::new();
        self.node(node, place, &mut values)?;
        let [Json::Number(value)] = values.as_slice() else {
            return Err(Error::new(
                ErrorKind::InvalidJsonSubscript,
                "jsonpath array subscript is not a single numeric value",
            ));
        };
        let whole = numeric(value)?.as_ref().trunc(0)?.as_ref().to_i64("integer").ok();
        whole.filter(|whole| i32::try_from(*whole).is_ok()).ok_or_else(|| {
            Error::new(ErrorKind::InvalidJsonSubscript, "jsonpath array subscript is out of integer range")
        })
    }

    /// All values inside of a value, from one level down to another.
    fn levels(
        &self,
        value: &Json,
        level: u32,
        (first, last): (u32, u32),
        rest: &[Step],
        place: &Place<'_>,
        found: &mut Found,
    ) -> Result<()> {
        let inner: Vec<&Json> = match value {
            Json::Array(items) => items.iter().collect(),
            Json::Object(members) => super::super::sorted(members).into_iter().map(|(_, it)| it).collect(),
            _ => return Ok(()),
        };
        for item in inner {
            let leaf = !item.is_array() && !item.is_object();
            // Both ends `last`: the leaves.
            if (level >= first && level <= last) || (first == u32::MAX && last == u32::MAX && leaf) {
                self.steps(item, rest, place, found)?;
            }
            if level < last {
                self.levels(item, level + 1, (first, last), rest, place, found)?;
            }
        }
        Ok(())
    }

    fn method(
        &self,
        value: &Json,
        method: Method,
        rest: &[Step],
        place: &Place<'_>,
        found: &mut Found,
    ) -> Result<()> {
        let refused = |kind: ErrorKind, what: &str| {
            let name = method.name();
            Err(Error::new(kind, format!("jsonpath item method .{name}() can only be applied to {what}")))
        };
        let result = match (method, value) {
            (Method::Type, value) => Json::String(kind(value).into()),
            (Method::Size, Json::Array(items)) => Json::from(items.len()),
            (Method::Size, _) if self.lax => Json::from(1),
            (Method::Size, _) => return refused(ErrorKind::JsonArrayNotFound, "an array"),
            (Method::Double, Json::Number(given)) => double(&given.to_string())?,
            (Method::Double, Json::String(given)) => double(given)?,
            (Method::Double, _) => {
                return refused(ErrorKind::NonNumericJsonItem, "a string or numeric value");
            }
            (Method::KeyValue, Json::Object(members)) => {
                return super::super::sorted(members).into_iter().try_for_each(|(name, member)| {
                    let mut pair = serde_json::Map::new();
                    pair.insert("key".into(), Json::String(name.clone()));
                    pair.insert("value".into(), member.clone());
                    pair.insert("id".into(), Json::from(0));
                    self.steps(&Json::Object(pair), rest, place, found)
                });
            }
            (Method::KeyValue, _) => return refused(ErrorKind::JsonObjectNotFound, "an object"),
            (_, Json::Number(given)) => {
                let given = numeric(given)?;
                let given = given.as_ref();
                number(&match method {
                    Method::Abs => given.abs(),
                    Method::Floor => given.floor()?,
                    _ => given.ceil()?,
                })
            }
            _ => return refused(ErrorKind::NonNumericJsonItem, "a numeric value"),
        };
        self.steps(&result, rest, place, found)
    }

    /// Whether a condition holds; `None` when that is not known.
    fn condition(&self, condition: &Condition, place: &Place<'_>) -> Result<Option<bool>> {
        Ok(match condition {
            Condition::And(one, other) => match self.condition(one, place)? {
                Some(false) => Some(false),
                one => match self.condition(other, place)? {
                    Some(true) => one,
                    other => other.filter(|_| one.is_some() || other == Some(false)),
                },
            },
            Condition::Or(one, other) => match self.condition(one, place)? {
                Some(true) => Some(true),
                one => match self.condition(other, place)? {
                    Some(false) => one,
                    other => other.filter(|_| one.is_some() || other == Some(true)),
                },
            },
            Condition::Not(inner) => self.condition(inner, place)?.map(|holds| !holds),
            Condition::IsUnknown(inner) => Some(self.condition(inner, place)?.is_none()),
            Condition::Exists(node) => {
                let mut found = Vec::new();
                match self.node(node, place, &mut found) {
                    Ok(()) => Some(!found.is_empty()),
                    Err(error) if !can_be_silent(&error) => return Err(error),
                    Err(_) if self.lax && !found.is_empty() => Some(true),
                    Err(_) => None,
                }
            }
            Condition::Compare(comparison, left, right) => {
                let right = self.quietly(right, place, true)?;
                self.any(left, right, place, |one, other| compare(*comparison, one, other))?
            }
            Condition::StartsWith(text, prefix) => {
                let prefix = self.quietly(prefix, place, false)?;
                self.any(text, prefix, place, |one, other| match (one, other) {
                    (Json::String(text), Json::String(prefix)) => Some(text.starts_with(prefix.as_str())),
                    _ => None,
                })?
            }
            Condition::Matches(text, pattern) => {
                self.any(text, Some(vec![Json::Null]), place, |one, _| match one {
                    Json::String(text) => Some(pattern.is_match(text)),
                    _ => None,
                })?
            }
        })
    }

    /// The values of an operand of a condition; `None` when it fails.
    fn quietly(&self, node: &Node, place: &Place<'_>, open: bool) -> Result<Option<Found>> {
        let mut found = Vec::new();
        let result =
            if open { self.opened(node, place) } else { self.node(node, place, &mut found).map(|()| found) };
        match result {
            Ok(found) => Ok(Some(found)),
            Err(error) if can_be_silent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a test holds for some pair of values. In strict mode all pairs have to be known.
    fn any(
        &self,
        left: &Node,
        right: Option<Found>,
        place: &Place<'_>,
        test: impl Fn(&Json, &Json) -> Option<bool>,
    ) -> Result<Option<bool>> {
        let (Some(left), Some(right)) = (self.quietly(left, place, true)?, right) else { return Ok(None) };
        let (mut holds, mut unknown) = (false, false);
        for (one, other) in left.iter().flat_map(|one| right.iter().map(move |other| (one, other))) {
            match test(one, other) {
                Some(true) if self.lax => return Ok(Some(true)),
                Some(true) => holds = true,
                Some(false) => {}
                None if !self.lax => return Ok(None),
                None => unknown = true,
            }
        }
        Ok(if holds {
            Some(true)
        } else if unknown {
            None
        } else {
            Some(false)
        })
    }
}

fn symbol(operator: Operator) -> &'static str {
    match operator {
        Operator::Add => "+",
        Operator::Subtract => "-",
        Operator::Multiply => "*",
        Operator::Divide => "/",
        Operator::Remainder => "%",
    }
}

/// The double that a text is, as the number it is shown as.
fn double(text: &str) -> Result<Json> {
    let parsed = text.trim().parse::<f64>().ok().filter(|value| value.is_finite());
    let Some(value) = parsed else {
        return Err(Error::new(
            ErrorKind::NonNumericJsonItem,
            "string argument of jsonpath item method .double() is not a valid representation of a double precision number",
        ));
    };
    Ok(number(&Numeric::from_f64(value)))
}

fn compare(comparison: Comparison, one: &Json, other: &Json) -> Option<bool> {
    let order = match (one, other) {
        (Json::Null, Json::Null) => Ordering::Equal,
        // Something is different from nothing, and neither larger nor smaller.
        (Json::Null, _) | (_, Json::Null) => return Some(comparison == Comparison::Unequal),
        (Json::Bool(one), Json::Bool(other)) => one.cmp(other),
        (Json::Number(one), Json::Number(other)) => {
            let (one, other) = (numeric(one).ok()?, numeric(other).ok()?);
            NumericRef::cmp(&one.as_ref(), &other.as_ref())
        }
        (Json::String(one), Json::String(other)) => one.cmp(other),
        _ => return None,
    };
    Some(match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::Unequal => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    })
}
