//! Conditions on the first columns of a key, as ranges of keys.

use std::ops::Bound;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr};
use luma_model::{DataType, KeyOrder, Result, Value, encode_key};
use luma_rows::{KeyRange, OpenTable};

use crate::fast::compile::constant;
use crate::fast::scalar::{Compiler, Environment, Typed};
use crate::plan::narrow::bounded;
use crate::plan::subject::Constraint;

/// Most values of a list.
const LIST_MAX: usize = 10_000;

/// A condition on one column.
pub(crate) struct Condition<'e> {
    ordinal: usize,
    says: Says<'e>,
}

/// What a condition says of its column.
enum Says<'e> {
    Equal(&'e Expr),
    /// Bounds and whether they are included; one of them at least.
    Within(Option<(&'e Expr, bool)>, Option<(&'e Expr, bool)>),
    In(&'e [Expr]),
    /// Equal to an element of an array.
    Any(&'e Expr),
}

/// Reads a condition on a column; `None` when it is none.
pub(crate) fn condition<'e>(
    expr: &'e Expr,
    column: &dyn Fn(&Expr) -> Option<usize>,
) -> Option<Condition<'e>> {
    let (ordinal, says) = match expr {
        Expr::Between { expr, negated: false, low, high } => {
            (column(expr)?, Says::Within(Some((low, true)), Some((high, true))))
        }
        Expr::InList { expr, list, negated: false } if list.len() <= LIST_MAX => {
            (column(expr)?, Says::In(list))
        }
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => (column(left)?, Says::Any(right)),
        Expr::BinaryOp { left, op, right } => {
            let (ordinal, value, turned) = match (column(left), column(right)) {
                (Some(ordinal), None) => (ordinal, right.as_ref(), false),
                (None, Some(ordinal)) => (ordinal, left.as_ref(), true),
                _ => return None,
            };
            let from = |included| Says::Within(Some((value, included)), None);
            let to = |included| Says::Within(None, Some((value, included)));
            let says = match (op, turned) {
                (BinaryOperator::Eq, _) => Says::Equal(value),
                (BinaryOperator::Gt, false) | (BinaryOperator::Lt, true) => from(false),
                (BinaryOperator::GtEq, false) | (BinaryOperator::LtEq, true) => from(true),
                (BinaryOperator::Lt, false) | (BinaryOperator::Gt, true) => to(false),
                (BinaryOperator::LtEq, false) | (BinaryOperator::GtEq, true) => to(true),
                _ => return None,
            };
            (ordinal, says)
        }
        _ => return None,
    };
    Some(Condition { ordinal, says })
}

/// Conditions on the first columns of a key, compiled.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Values of the first columns.
    pub(crate) equal: Vec<Typed>,
    /// What is said of the column after them.
    pub(crate) last: Last,
}

/// What is said of the last column that has a condition.
#[derive(Clone, Debug)]
pub(crate) enum Last {
    Nothing,
    /// Bounds and whether they are included; one of them at least.
    Within(Option<(Typed, bool)>, Option<(Typed, bool)>),
    In(Vec<Typed>),
    Any(Typed, DataType),
}

/// Whether keys of the type are in the order of comparisons.
fn has_ranges(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int2
            | DataType::Int4
            | DataType::Int8
            | DataType::Date
            | DataType::Timestamp
            | DataType::TimestampTz
            | DataType::Uuid
    )
}

impl Bounds {
    /// The conditions as bounds of a key of these columns; `None` where they are not all of its first ones.
    pub(crate) fn compile(
        table: &OpenTable,
        ordinals: &[usize],
        conditions: &[Condition<'_>],
        compiler: &mut Compiler<'_>,
    ) -> Result<Option<Self>> {
        let mut equal = Vec::new();
        for ordinal in ordinals {
            let mut own = conditions.iter().filter(|condition| condition.ordinal == *ordinal);
            let data_type = table.data_type(*ordinal);
            let (Some(first), second, None) = (own.next(), own.next(), own.next()) else { break };
            let (last, taken) = match (&first.says, second.map(|second| &second.says)) {
                (Says::Equal(value), None) => {
                    let Some(value) = constant(compiler, value, data_type)? else { return Ok(None) };
                    equal.push(value);
                    continue;
                }
                (Says::In(list), None) => {
                    let values = list.iter().map(|value| constant(compiler, value, data_type));
                    let Some(values) = values.collect::<Result<Option<_>>>()? else { return Ok(None) };
                    (Last::In(values), 1)
                }
                (Says::Any(array), None) => {
                    let Some(array) = elements(compiler, array, data_type)? else { return Ok(None) };
                    (Last::Any(array, data_type.clone()), 1)
                }
                (Says::Within(low, high), second) if has_ranges(data_type) => {
                    let (low, high) = match second {
                        None => (*low, *high),
                        Some(Says::Within(other_low, other_high))
                            if low.and(*other_low).is_none() && high.and(*other_high).is_none() =>
                        {
                            (low.or(*other_low), high.or(*other_high))
                        }
                        Some(_) => return Ok(None),
                    };
                    let mut bound = |side: Option<(&Expr, bool)>| -> Result<Option<Option<(Typed, bool)>>> {
                        let Some((value, included)) = side else { return Ok(Some(None)) };
                        Ok(constant(compiler, value, data_type)?.map(|value| Some((value, included))))
                    };
                    let (Some(low), Some(high)) = (bound(low)?, bound(high)?) else { return Ok(None) };
                    (Last::Within(low, high), 1 + usize::from(second.is_some()))
                }
                _ => return Ok(None),
            };
            let all = equal.len() + taken == conditions.len();
            return Ok(all.then_some(Self { equal, last }));
        }
        Ok((equal.len() == conditions.len()).then_some(Self { equal, last: Last::Nothing }))
    }

    /// The ranges of keys, ascending and apart; none where no row can be in them.
    pub(crate) fn ranges(
        &self,
        order: impl Fn(usize) -> KeyOrder,
        environment: &Environment<'_>,
    ) -> Result<Vec<KeyRange>> {
        let mut prefix = Vec::new();
        for (place, part) in self.equal.iter().enumerate() {
            let value = part.evaluate(environment)?;
            if value == Value::Null {
                return Ok(Vec::new());
            }
            encode_key(value.as_ref(), &part.data_type, order(place), &mut prefix)?;
        }
        let order = order(self.equal.len());
        let listed = |values: Vec<Value>, data_type: &DataType| {
            let mut keys = Vec::with_capacity(values.len());
            for value in values.iter().filter(|value| **value != Value::Null) {
                let mut key = prefix.clone();
                encode_key(value.as_ref(), data_type, order, &mut key)?;
                keys.push(key);
            }
            keys.sort_unstable();
            keys.dedup();
            Ok(keys.into_iter().map(KeyRange::prefix).collect())
        };
        match &self.last {
            Last::Nothing => Ok(vec![KeyRange::prefix(prefix)]),
            Last::In(values) => {
                let Some(first) = values.first() else { return Ok(Vec::new()) };
                let values = values.iter().map(|value| value.evaluate(environment));
                listed(values.collect::<Result<_>>()?, &first.data_type)
            }
            Last::Any(array, data_type) => match array.evaluate(environment)? {
                Value::Array(array) => listed(array.elements, data_type),
                _ => Ok(Vec::new()),
            },
            Last::Within(low, high) => {
                let Some((bound, _)) = low.as_ref().or(high.as_ref()) else { return Ok(Vec::new()) };
                let evaluated = |side: &Option<(Typed, bool)>| {
                    let value = side.as_ref();
                    value.map(|(value, included)| Ok((value.evaluate(environment)?, *included))).transpose()
                };
                let constraint = Constraint { equal: None, lower: evaluated(low)?, upper: evaluated(high)? };
                let sides = [&constraint.lower, &constraint.upper];
                if sides.into_iter().flatten().any(|(value, _)| *value == Value::Null) {
                    return Ok(Vec::new());
                }
                let range = bounded(&prefix, &bound.data_type, order, &constraint);
                Ok(range.filter(|range| !is_empty(range)).into_iter().collect())
            }
        }
    }
}

/// An array of values of that type, without columns.
fn elements(compiler: &mut Compiler<'_>, array: &Expr, element: &DataType) -> Result<Option<Typed>> {
    if element.object_kind().is_some()
        || matches!(element, DataType::Json | DataType::Jsonb | DataType::Char(_) | DataType::Array(_))
    {
        return Ok(None);
    }
    let nothing = |_: Option<&str>, _: &str| None;
    let mut alone = Compiler { resolve: &nothing, parameters: compiler.parameters };
    let Some(typed) = alone.compile(array)? else { return Ok(None) };
    let wanted = element.array_of();
    if typed.unknown || typed.data_type == wanted { alone.as_type(typed, &wanted) } else { Ok(None) }
}

/// Whether a range ends before it begins.
fn is_empty(range: &KeyRange) -> bool {
    match (&range.start, &range.end) {
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
        | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
        _ => false,
    }
}
