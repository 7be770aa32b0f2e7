//! Choosing how to reach a table's rows: by row keys, by an index, or all of them.
//!
//! A filter that compares a column with a constant narrows the keys that start with that column.
//! Of the primary key and the indexes the cheapest by estimated rows wins; an index pays for each
//! row with a look-up of its own.

use std::ops::Bound;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use luma_catalog::TableStatistics;
use luma_model::arrow::{CellReader, data_type};
use luma_model::{
    CastKind, DataType, KeyOrder, TextContext, Value, ValueRef, cast, encode_key, prefix_successor,
};
use luma_rows::{Access, KeyRange, OpenTable};

/// What a row reached through an index costs, in rows of a plain scan.
const INDEX_ROW_COST: f64 = 4.0;
/// Longest IN list that becomes ranges.
const LIST_MAX: usize = 1000;
/// Assumed share of rows that an equality keeps without statistics.
const EQUAL_FRACTION: f64 = 0.005;
/// Assumed share of rows that an inequality keeps.
const RANGE_FRACTION: f64 = 0.33;

/// The way chosen, with the rows it is expected to give.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) access: Access,
    pub(crate) rows: f64,
    /// For EXPLAIN.
    pub(crate) description: String,
}

/// What the filters say of one column.
#[derive(Default)]
struct Constraint {
    /// Values it may have.
    equal: Option<Vec<Value>>,
    lower: Option<(Value, bool)>,
    upper: Option<(Value, bool)>,
}

/// Chooses the way to the rows that may pass all `filters`.
pub(crate) fn choose(table: &OpenTable, filters: &[Expr], rows: u64) -> Chosen {
    let rows = rows.max(1) as f64;
    let all = Chosen { access: Access::all(), rows, description: "full scan".into() };
    let mut constraints: Vec<Constraint> = Vec::new();
    constraints.resize_with(table.columns().len(), Constraint::default);
    for filter in filters {
        collect(table, filter, &mut constraints);
    }
    let statistics = table.definition.statistics.as_ref();
    let mut best = all;
    let mut best_cost = rows;
    if let Some(key) = &table.definition.primary_key {
        let parts: Vec<(usize, KeyOrder)> =
            table.key_ordinals().iter().map(|ordinal| (*ordinal, KeyOrder::default())).collect();
        if let Some(found) = narrow(table, &parts, &constraints, statistics, true, rows) {
            let cost = found.rows;
            if cost < best_cost {
                best_cost = cost;
                best = Chosen {
                    access: Access::Rows(found.ranges),
                    rows: found.rows,
                    description: format!("primary key {} ({})", key.name, found.description),
                };
            }
        }
    }
    let whole = table.indexes.iter().enumerate().filter(|(_, index)| index.definition.is_plain());
    for (place, index) in whole {
        let parts: Vec<(usize, KeyOrder)> = index
            .definition
            .columns
            .iter()
            .map(|part| {
                let order = KeyOrder { descending: part.descending, nulls_first: part.nulls_first };
                (usize::from(part.column) - 1, order)
            })
            .collect();
        let Some(found) = narrow(table, &parts, &constraints, statistics, index.definition.unique, rows)
        else {
            continue;
        };
        let cost = found.rows * INDEX_ROW_COST;
        if cost < best_cost {
            best_cost = cost;
            best = Chosen {
                access: Access::Index(place, found.ranges),
                rows: found.rows,
                description: format!("index {} ({})", index.definition.name, found.description),
            };
        }
    }
    best
}

struct Narrowed {
    ranges: Vec<KeyRange>,
    rows: f64,
    description: String,
}

/// The ranges of a key whose parts are these columns; `None` when the first is unconstrained.
fn narrow(
    table: &OpenTable,
    parts: &[(usize, KeyOrder)],
    constraints: &[Constraint],
    statistics: Option<&TableStatistics>,
    unique: bool,
    rows: f64,
) -> Option<Narrowed> {
    let mut prefixes: Vec<Vec<u8>> = vec![Vec::new()];
    let mut used = Vec::new();
    let mut fraction = 1.0f64;
    let mut exact = 0;
    let mut ranges: Option<Vec<KeyRange>> = None;
    for (ordinal, order) in parts {
        let constraint = &constraints[*ordinal];
        let column = &table.columns()[*ordinal];
        if let Some(values) = &constraint.equal
            && values.len().saturating_mul(prefixes.len()) <= LIST_MAX
        {
            let mut longer = Vec::with_capacity(values.len() * prefixes.len());
            for prefix in &prefixes {
                for value in values {
                    let mut key = prefix.clone();
                    encode_key(value.as_ref(), &column.data_type, *order, &mut key).ok()?;
                    longer.push(key);
                }
            }
            longer.sort_unstable();
            longer.dedup();
            prefixes = longer;
            exact += 1;
            let known = statistics
                .and_then(|known| known.columns.iter().find(|known| known.column == column.number))
                .map(|known| 1.0 / known.distinct.max(1) as f64);
            fraction *= (known.unwrap_or(EQUAL_FRACTION) * values.len() as f64).min(1.0);
            used.push(if values.len() == 1 {
                format!("{} = constant", column.name)
            } else {
                format!("{} in {} values", column.name, values.len())
            });
            continue;
        }
        if constraint.lower.is_none() && constraint.upper.is_none() {
            break;
        }
        ranges = Some(
            prefixes
                .iter()
                .map(|prefix| bounded(prefix, &column.data_type, *order, constraint))
                .collect::<Option<Vec<_>>>()?,
        );
        let sides = usize::from(constraint.lower.is_some()) + usize::from(constraint.upper.is_some());
        fraction *= RANGE_FRACTION.powi(sides as i32);
        used.push(format!("{} range", column.name));
        break;
    }
    if used.is_empty() {
        return None;
    }
    let count = prefixes.len() as f64;
    let expected = if unique && exact == parts.len() { count } else { (rows * fraction).max(count) };
    let ranges = ranges.unwrap_or_else(|| prefixes.into_iter().map(KeyRange::prefix).collect());
    Some(Narrowed { ranges, rows: expected.min(rows), description: used.join(", ") })
}

/// The keys after `prefix` whose next part lies within the constraint. NULL lies in no range.
fn bounded(
    prefix: &[u8],
    data_type: &DataType,
    order: KeyOrder,
    constraint: &Constraint,
) -> Option<KeyRange> {
    let encoded = |value: &Value| {
        let mut key = prefix.to_vec();
        encode_key(value.as_ref(), data_type, order, &mut key).ok()?;
        Some(key)
    };
    let (low, high) = if order.descending {
        (&constraint.upper, &constraint.lower)
    } else {
        (&constraint.lower, &constraint.upper)
    };
    let mut null = prefix.to_vec();
    encode_key(ValueRef::Null, data_type, order, &mut null).ok()?;
    let start = match low {
        Some((value, true)) => Bound::Included(encoded(value)?),
        Some((value, false)) => prefix_successor(&encoded(value)?).map_or(Bound::Unbounded, Bound::Included),
        None if order.nulls_first => prefix_successor(&null).map_or(Bound::Unbounded, Bound::Included),
        None => Bound::Included(prefix.to_vec()),
    };
    let end = match high {
        Some((value, true)) => prefix_successor(&encoded(value)?).map_or(Bound::Unbounded, Bound::Excluded),
        Some((value, false)) => Bound::Excluded(encoded(value)?),
        None if order.nulls_first => prefix_successor(prefix).map_or(Bound::Unbounded, Bound::Excluded),
        None => Bound::Excluded(null),
    };
    Some(KeyRange { start, end })
}

/// Takes what a filter says of single columns; the rest of it is left to the filter itself.
fn collect(table: &OpenTable, filter: &Expr, constraints: &mut [Constraint]) {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            collect(table, left, constraints);
            collect(table, right, constraints);
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (column, literal, op) = match (left.as_ref(), right.as_ref()) {
                (Expr::Column(column), Expr::Literal(literal, _)) => (column, literal, *op),
                (Expr::Literal(literal, _), Expr::Column(column)) => match op.swap() {
                    Some(op) => (column, literal, op),
                    None => return,
                },
                _ => return,
            };
            let Some(ordinal) = ordinal(table, &column.name) else { return };
            let Some(value) = key_value(literal, table.data_type(ordinal)) else { return };
            let constraint = &mut constraints[ordinal];
            match op {
                Operator::Eq => constraint.equal = Some(vec![value]),
                Operator::Gt => constraint.lower = Some((value, false)),
                Operator::GtEq => constraint.lower = Some((value, true)),
                Operator::Lt => constraint.upper = Some((value, false)),
                Operator::LtEq => constraint.upper = Some((value, true)),
                _ => {}
            }
        }
        Expr::Between(between) if !between.negated => {
            let (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _)) =
                (between.expr.as_ref(), between.low.as_ref(), between.high.as_ref())
            else {
                return;
            };
            let Some(ordinal) = ordinal(table, &column.name) else { return };
            let data_type = table.data_type(ordinal);
            if let (Some(low), Some(high)) = (key_value(low, data_type), key_value(high, data_type)) {
                constraints[ordinal].lower = Some((low, true));
                constraints[ordinal].upper = Some((high, true));
            }
        }
        Expr::InList(list) if !list.negated && list.list.len() <= LIST_MAX => {
            let Expr::Column(column) = list.expr.as_ref() else { return };
            let Some(ordinal) = ordinal(table, &column.name) else { return };
            let values: Option<Vec<Value>> = list
                .list
                .iter()
                .map(|item| match item {
                    Expr::Literal(literal, _) => key_value(literal, table.data_type(ordinal)),
                    _ => None,
                })
                .collect();
            if let Some(values) = values {
                constraints[ordinal].equal = Some(values);
            }
        }
        _ => {}
    }
}

fn ordinal(table: &OpenTable, name: &str) -> Option<usize> {
    table.definition.column(name).map(|column| usize::from(column.number) - 1)
}

/// A constant as a key of that type; `None` when it has no exact counterpart, or when keys of the
/// type do not order as the comparison does.
fn key_value(literal: &ScalarValue, wanted: &DataType) -> Option<Value> {
    if literal.is_null() || matches!(wanted, DataType::Json | DataType::Jsonb | DataType::Char(_)) {
        return None;
    }
    let array = literal.to_array().ok()?;
    let field = datafusion::arrow::datatypes::Field::new("literal", literal.data_type(), true);
    let given = data_type(&field).ok()?;
    let reader = CellReader::new(array.as_ref(), &given).ok()?;
    let value = reader.get(0).ok()?;
    let context = TextContext::default();
    let converted = cast(value, &given, wanted, CastKind::Explicit, &context).ok()?;
    // Only an exact conversion keeps the comparison's meaning: 1.5 is no key of an integer column.
    let back = cast(converted.as_ref(), wanted, &given, CastKind::Explicit, &context).ok()?;
    (back.as_ref() == value).then_some(converted)
}
