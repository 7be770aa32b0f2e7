//! What filters say of a table's columns, and of the expressions that it has indexes on: which values these may have.

use std::cmp::Ordering;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::Like;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use luma_model::arrow::{CellReader, data_type};
use luma_model::{CastKind, DataType, KeyOrder, TextContext, Value, ValueRef, cast, encode_key};
use luma_rows::{Distribution, OpenTable};

use crate::functions::collation::{Purpose, sort_key};
use crate::plan::prefix::prefix;

/// Longest IN list that becomes ranges.
pub(super) const LIST_MAX: usize = 1000;

/// What filters speak of: the table's columns by ordinal, after them the sort keys of those that have some, and then
/// the expressions of an index.
pub(super) struct Subjects<'a> {
    pub table: &'a OpenTable,
    pub expressions: &'a [(Expr, DataType)],
    /// Ordinals of the columns whose sort keys the first expressions are.
    pub collated: &'a [usize],
}

/// The columns that keys have the sort keys of, and these as filters have them.
pub(super) fn sort_keys(table: &OpenTable) -> (Vec<usize>, Vec<(Expr, DataType)>) {
    let columns = table.columns().iter().enumerate();
    columns
        .filter(|(ordinal, _)| table.collator(*ordinal).is_some())
        .filter_map(|(ordinal, column)| {
            let name = Expr::Column(Column::new_unqualified(&column.name));
            let key = sort_key(name, &column.collation.as_ref()?.collation, Purpose::Compared).ok()?;
            Some((ordinal, (key, DataType::Bytea)))
        })
        .unzip()
}

impl Subjects<'_> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.table.columns().len() + self.expressions.len()
    }

    pub fn find(&self, expr: &Expr) -> Option<usize> {
        if let Expr::Column(column) = expr {
            return ordinal(self.table, &column.name);
        }
        if self.expressions.is_empty() {
            return None;
        }
        let plain = unqualified(expr.clone());
        let place = self.expressions.iter().position(|(known, _)| *known == plain)?;
        Some(self.table.columns().len() + place)
    }

    /// What keys have of the column at that ordinal.
    pub fn part(&self, ordinal: usize) -> usize {
        let collated = self.collated.iter().position(|known| *known == ordinal);
        collated.map_or(ordinal, |place| self.table.columns().len() + place)
    }

    /// The column that the subject is, or is the sort key of.
    pub fn column(&self, subject: usize) -> Option<&luma_catalog::Column> {
        let columns = self.table.columns();
        let ordinal = match subject.checked_sub(columns.len()) {
            Some(place) => *self.collated.get(place)?,
            None => subject,
        };
        columns.get(ordinal)
    }

    pub fn data_type(&self, subject: usize) -> &DataType {
        match subject.checked_sub(self.table.columns().len()) {
            None => self.table.data_type(subject),
            Some(place) => &self.expressions[place].1,
        }
    }

    /// How the values of the column that the subject is are spread, if ANALYZE looked at them.
    pub fn distribution(&self, subject: usize) -> Option<&Distribution> {
        let number = self.column(subject)?.number;
        self.table.distribution(usize::from(number).checked_sub(1)?)
    }

    /// A value of a subject as a part of a key in ascending order.
    pub fn key(&self, subject: usize, value: &Value) -> Option<Vec<u8>> {
        let mut key = Vec::new();
        if subject < self.table.columns().len() {
            self.table.encode_part(subject, value.as_ref(), KeyOrder::default(), &mut key).ok()?;
        } else {
            encode_key(value.as_ref(), self.data_type(subject), KeyOrder::default(), &mut key).ok()?;
        }
        Some(key)
    }

    pub fn name(&self, subject: usize) -> &str {
        self.column(subject).map_or("expression", |column| column.name.as_str())
    }

    /// What the filters say of each.
    pub fn constraints<'f>(&self, filters: impl IntoIterator<Item = &'f Expr>) -> Vec<Constraint> {
        let mut constraints: Vec<Constraint> = Vec::new();
        constraints.resize_with(self.count(), Constraint::default);
        for filter in filters {
            collect(self, filter, &mut constraints);
        }
        for ordinal in self.collated {
            self.keys_of_equal_text(*ordinal, &mut constraints);
        }
        constraints
    }

    /// Text that is equal to a constant byte by byte has its sort key, too.
    fn keys_of_equal_text(&self, ordinal: usize, constraints: &mut [Constraint]) {
        let Some(collator) = self.table.collator(ordinal).filter(|known| known.is_deterministic()) else {
            return;
        };
        let (Some(texts), None) = (&constraints[ordinal].equal, &constraints[self.part(ordinal)].equal)
        else {
            return;
        };
        let key = |text: &Value| match text {
            Value::Text(text) => {
                let mut key = Vec::new();
                collator.key(text, &mut key);
                Some(Value::Bytea(key))
            }
            _ => None,
        };
        let keys: Option<Vec<Value>> = texts.iter().map(key).collect();
        constraints[self.part(ordinal)].equal = keys;
    }
}

/// The expression with its columns' names alone.
pub(crate) fn unqualified(expr: Expr) -> Expr {
    let renamed = expr.clone().transform(|part| match part {
        Expr::Column(column) if column.relation.is_some() => {
            Ok(Transformed::yes(Expr::Column(Column::new_unqualified(column.name))))
        }
        other => Ok(Transformed::no(other)),
    });
    renamed.map_or(expr, |renamed| renamed.data)
}

/// The conditions that a filter asks for together.
pub(crate) fn conjuncts(filter: &Expr, into: &mut Vec<Expr>) {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            conjuncts(left, into);
            conjuncts(right, into);
        }
        other => into.push(unqualified(other.clone())),
    }
}

/// What the filters say of one column.
#[derive(Default)]
pub(crate) struct Constraint {
    /// Values it may have.
    pub(crate) equal: Option<Vec<Value>>,
    /// The least value and whether it is one of them.
    pub(crate) lower: Option<(Value, bool)>,
    /// The largest one.
    pub(crate) upper: Option<(Value, bool)>,
}

impl Constraint {
    pub fn says_nothing(&self) -> bool {
        self.equal.is_none() && self.lower.is_none() && self.upper.is_none()
    }

    /// Whether a value that satisfies `self` satisfies `other` too.
    fn implies(&self, other: &Constraint, data_type: &DataType) -> bool {
        let key = |value: &Value| {
            let mut key = Vec::new();
            encode_key(value.as_ref(), data_type, KeyOrder::default(), &mut key).ok().map(|()| key)
        };
        let compare = |one: &Value, other: &Value| Some(key(one)?.cmp(&key(other)?));
        let above = |value: &Value, included: bool, lower: &(Value, bool)| match compare(value, &lower.0) {
            Some(Ordering::Greater) => true,
            Some(Ordering::Equal) => lower.1 || !included,
            _ => false,
        };
        let below = |value: &Value, included: bool, upper: &(Value, bool)| match compare(value, &upper.0) {
            Some(Ordering::Less) => true,
            Some(Ordering::Equal) => upper.1 || !included,
            _ => false,
        };
        if let Some(values) = &self.equal {
            return values.iter().all(|value| {
                other.equal.as_ref().is_none_or(|allowed| {
                    allowed.iter().any(|allowed| compare(value, allowed) == Some(Ordering::Equal))
                }) && other.lower.as_ref().is_none_or(|lower| above(value, true, lower))
                    && other.upper.as_ref().is_none_or(|upper| below(value, true, upper))
            });
        }
        let lower = |lower: &(Value, bool)| {
            self.lower.as_ref().is_some_and(|(value, included)| above(value, *included, lower))
        };
        let upper = |upper: &(Value, bool)| {
            self.upper.as_ref().is_some_and(|(value, included)| below(value, *included, upper))
        };
        other.equal.is_none()
            && other.lower.as_ref().is_none_or(lower)
            && other.upper.as_ref().is_none_or(upper)
    }
}

/// Whether rows that pass the filters satisfy one condition of an index's predicate.
pub(super) fn implied(
    condition: &Expr,
    filters: &[Expr],
    subjects: &Subjects<'_>,
    said: &[Constraint],
) -> bool {
    if filters.contains(condition) {
        return true;
    }
    if let Expr::IsNotNull(inner) = condition {
        // A comparison is not true of NULL.
        return subjects.find(inner).is_some_and(|subject| !said[subject].says_nothing());
    }
    let mut asked: Vec<Constraint> = Vec::new();
    asked.resize_with(said.len(), Constraint::default);
    collect(subjects, condition, &mut asked)
        && asked.iter().enumerate().all(|(subject, asked)| {
            asked.says_nothing() || said[subject].implies(asked, subjects.data_type(subject))
        })
}

/// Takes what a filter says of single subjects, and says whether that is all of it; the rest is left to the
/// filter itself.
fn collect(subjects: &Subjects<'_>, filter: &Expr, constraints: &mut [Constraint]) -> bool {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            let left = collect(subjects, left, constraints);
            collect(subjects, right, constraints) && left
        }
        Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => {
            let Some((subject, values)) = alternatives(subjects, filter) else { return false };
            constraints[subject].equal = Some(values);
            true
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (side, literal, op) = match (left.as_ref(), right.as_ref()) {
                (side, Expr::Literal(literal, _)) => (side, literal, *op),
                (Expr::Literal(literal, _), side) => match op.swap() {
                    Some(op) => (side, literal, op),
                    None => return false,
                },
                _ => return false,
            };
            let Some(subject) = subjects.find(side) else { return false };
            let Some(value) = key_value(literal, subjects.data_type(subject)) else { return false };
            let constraint = &mut constraints[subject];
            match op {
                Operator::Eq => constraint.equal = Some(vec![value]),
                Operator::Gt => constraint.lower = Some((value, false)),
                Operator::GtEq => constraint.lower = Some((value, true)),
                Operator::Lt => constraint.upper = Some((value, false)),
                Operator::LtEq => constraint.upper = Some((value, true)),
                _ => return false,
            }
            true
        }
        Expr::Column(_) => is_bool(subjects, filter, true, constraints),
        Expr::Not(inner) => is_bool(subjects, inner, false, constraints),
        Expr::Between(between) if !between.negated => {
            let (Expr::Literal(low, _), Expr::Literal(high, _)) =
                (between.low.as_ref(), between.high.as_ref())
            else {
                return false;
            };
            let Some(subject) = subjects.find(&between.expr) else { return false };
            let data_type = subjects.data_type(subject);
            let (Some(low), Some(high)) = (key_value(low, data_type), key_value(high, data_type)) else {
                return false;
            };
            constraints[subject].lower = Some((low, true));
            constraints[subject].upper = Some((high, true));
            true
        }
        Expr::Like(like) => begins_with(subjects, like, constraints).unwrap_or(false),
        Expr::InList(list) if !list.negated && list.list.len() <= LIST_MAX => {
            let Some(subject) = subjects.find(&list.expr) else { return false };
            let values: Option<Vec<Value>> = list
                .list
                .iter()
                .map(|item| match item {
                    Expr::Literal(literal, _) => key_value(literal, subjects.data_type(subject)),
                    _ => None,
                })
                .collect();
            let found = values.is_some();
            if found {
                constraints[subject].equal = values;
            }
            found
        }
        _ => false,
    }
}

/// Takes what a pattern says of the beginning of a text, and says whether that is all of it.
fn begins_with(subjects: &Subjects<'_>, like: &Like, constraints: &mut [Constraint]) -> Option<bool> {
    let subject = subjects.find(&like.expr)?;
    if !matches!(subjects.data_type(subject), DataType::Text | DataType::Varchar(_) | DataType::Name) {
        return None;
    }
    let prefix = prefix(like)?;
    constraints[subject].lower = Some((Value::Text(prefix.text), true));
    constraints[subject].upper = prefix.end.map(|end| (Value::Text(end), false));
    Some(prefix.is_all)
}

/// Takes that a subject that is true or false has this value; `b = true` arrives as `b`.
fn is_bool(subjects: &Subjects<'_>, expr: &Expr, value: bool, constraints: &mut [Constraint]) -> bool {
    let found = subjects.find(expr).filter(|subject| *subjects.data_type(*subject) == DataType::Bool);
    let Some(subject) = found else { return false };
    constraints[subject].equal = Some(vec![Value::Bool(value)]);
    true
}

/// The one subject that a filter of equalities, one of which has to be true, speaks of, and the values. Short IN lists
/// arrive as such.
fn alternatives(subjects: &Subjects<'_>, filter: &Expr) -> Option<(usize, Vec<Value>)> {
    if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) = filter {
        let (subject, mut values) = alternatives(subjects, left)?;
        let (other, more) = alternatives(subjects, right)?;
        values.extend(more);
        return (subject == other && values.len() <= LIST_MAX).then_some((subject, values));
    }
    if !matches!(filter, Expr::BinaryExpr(BinaryExpr { op: Operator::Eq, .. }) | Expr::InList(_)) {
        return None;
    }
    let mut said: Vec<Constraint> = Vec::new();
    said.resize_with(subjects.count(), Constraint::default);
    if !collect(subjects, filter, &mut said) {
        return None;
    }
    let mut said = said.into_iter().enumerate();
    said.find_map(|(subject, constraint)| Some((subject, constraint.equal?)))
}

fn ordinal(table: &OpenTable, name: &str) -> Option<usize> {
    table.definition.column(name).map(|column| usize::from(column.number) - 1)
}

/// A constant as a key of that type; `None` when it has no exact counterpart, or when keys of the
/// type do not order as the comparison does.
pub(super) fn key_value(literal: &ScalarValue, wanted: &DataType) -> Option<Value> {
    if literal.is_null() || matches!(wanted, DataType::Json | DataType::Jsonb | DataType::Char(_)) {
        return None;
    }
    let array = literal.to_array().ok()?;
    let field = datafusion::arrow::datatypes::Field::new("literal", literal.data_type(), true);
    let given = data_type(&field).ok()?;
    let reader = CellReader::new(array.as_ref(), &given).ok()?;
    let value = reader.get(0).ok()?;
    if let (DataType::Enum(_), ValueRef::Int8(place)) = (wanted, value) {
        // Labels are their places by now.
        return Some(Value::Int8(place));
    }
    let context = TextContext::default();
    let converted = cast(value, &given, wanted, CastKind::Explicit, &context).ok()?;
    // Only an exact conversion keeps the comparison's meaning: 1.5 is no key of an integer column.
    let back = cast(converted.as_ref(), wanted, &given, CastKind::Explicit, &context).ok()?;
    (back.as_ref() == value).then_some(converted)
}
