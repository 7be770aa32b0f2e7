//! How many rows a plan gives, about: from what tables say of their rows and columns.
//!
//! Estimates decide orders of joins and which side a join keeps in memory, never an answer. Columns are taken to be
//! independent of each other, and values of a column to be equally frequent where ANALYZE did not look at them.

use std::collections::HashMap;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::{Column, ColumnStatistics, ScalarValue, Statistics};
use datafusion::datasource::{TableProvider, source_as_provider};
use datafusion::logical_expr::expr::{Alias, Cast, InList};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr, FetchType, Join, JoinType, LogicalPlan, Operator, TableScan,
};
use luma_model::{KeyOrder, Value};
use luma_rows::{Distribution, OpenTable};

use crate::plan::columnar::ColumnTable;
use crate::plan::prefix::prefix;
use crate::plan::provider::RowTable;
use crate::plan::subject::key_value;

/// The share that passes a condition of which nothing is known.
const UNKNOWN: f64 = 1.0 / 3.0;
/// The share that passes a comparison for equality with something of which nothing is known.
const UNKNOWN_EQUAL: f64 = 0.1;
/// The share of texts that match a pattern.
const PATTERN: f64 = 0.1;
/// The least share that a range is taken to have.
const RANGE_MIN: f64 = 0.0005;

/// What is known of a plan's rows.
#[derive(Clone, Debug)]
pub(crate) struct Estimate {
    /// How many there are.
    pub rows: f64,
    /// How many there would be without conditions on a table of its own.
    pub before: f64,
    /// For each column how many different values it has, before conditions on other columns.
    distinct: Vec<Option<f64>>,
}

impl Estimate {
    fn of(rows: f64, distinct: Vec<Option<f64>>) -> Self {
        Self { rows, before: rows, distinct }
    }

    /// How many different values an expression over the plan's columns has.
    pub fn distinct(&self, plan: &LogicalPlan, expr: &Expr) -> Option<f64> {
        let column = bare(expr)?;
        let place = plan.schema().index_of_column(column).ok()?;
        *self.distinct.get(place)?
    }
}

/// The column that an expression has the values of, but for their type.
fn bare(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Cast(Cast { expr, .. }) | Expr::Alias(Alias { expr, .. }) => bare(expr),
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        Expr::Cast(Cast { expr, .. }) => literal(expr),
        _ => None,
    }
}

/// What is known of the columns that conditions name.
trait Known {
    fn column(&self, column: &Column) -> Option<&ColumnStatistics>;

    /// How the column's values are spread, if ANALYZE looked at them.
    fn spread(&self, column: &Column) -> Option<Spread<'_>>;

    fn distinct(&self, column: &Column) -> Option<f64> {
        let found = self.column(column)?.distinct_count.get_value()?;
        Some((*found as f64).max(1.0))
    }
}

/// How the values of a table's column are spread.
struct Spread<'a> {
    table: &'a OpenTable,
    ordinal: usize,
    values: &'a Distribution,
}

impl Spread<'_> {
    fn key(&self, literal: &ScalarValue) -> Option<Vec<u8>> {
        self.key_of(&key_value(literal, self.table.data_type(self.ordinal))?)
    }

    fn key_of(&self, value: &Value) -> Option<Vec<u8>> {
        let mut key = Vec::new();
        self.table.encode_part(self.ordinal, value.as_ref(), KeyOrder::default(), &mut key).ok()?;
        Some(key)
    }

    fn equal(&self, literal: &ScalarValue) -> Option<f64> {
        Some(self.values.equal(&self.key(literal)?))
    }
}

struct OfTable<'a> {
    schema: &'a Schema,
    statistics: &'a Statistics,
    table: Option<&'a OpenTable>,
}

impl Known for OfTable<'_> {
    fn column(&self, column: &Column) -> Option<&ColumnStatistics> {
        self.statistics.column_statistics.get(self.schema.index_of(&column.name).ok()?)
    }

    fn spread(&self, column: &Column) -> Option<Spread<'_>> {
        let table = self.table?;
        let ordinal = usize::from(table.definition.column(&column.name)?.number).checked_sub(1)?;
        Some(Spread { table, ordinal, values: table.distribution(ordinal)? })
    }
}

/// What conditions on a plan's columns know: how many different values these have, and no bounds.
struct OfPlan<'a>(&'a LogicalPlan, &'a Estimate);

impl Known for OfPlan<'_> {
    fn column(&self, _: &Column) -> Option<&ColumnStatistics> {
        None
    }

    fn spread(&self, _: &Column) -> Option<Spread<'_>> {
        None
    }

    fn distinct(&self, column: &Column) -> Option<f64> {
        let place = self.0.schema().index_of_column(column).ok()?;
        *self.1.distinct.get(place)?
    }
}

/// The share of a table's rows that these conditions let pass; `table` knows what ANALYZE found.
pub(crate) fn share(
    filters: &[Expr],
    schema: &Schema,
    statistics: &Statistics,
    table: Option<&OpenTable>,
) -> f64 {
    share_of(filters.iter().flat_map(split_conjunction), &OfTable { schema, statistics, table })
}

fn share_of<'a>(conditions: impl Iterator<Item = &'a Expr>, known: &dyn Known) -> f64 {
    let mut share = 1.0;
    // What a column's conditions cut off below and above: two ends of a range are not independent.
    let mut cut: HashMap<&Column, (f64, f64)> = HashMap::new();
    for condition in conditions {
        match ends(condition, known) {
            Some((column, below, above)) => {
                let known = cut.entry(column).or_default();
                *known = (known.0.max(below), known.1.max(above));
            }
            None => share *= passing(condition, known),
        }
    }
    for (column, (below, above)) in cut {
        let nulls = known.spread(column).map_or(0.0, |spread| spread.values.nulls());
        share *= (1.0 - nulls - below - above).max(RANGE_MIN);
    }
    share
}

/// For a column compared with a constant: the share of rows that is cut off below, and above.
fn ends<'a>(condition: &'a Expr, known: &dyn Known) -> Option<(&'a Column, f64, f64)> {
    if let Expr::Between(Between { expr, negated: false, low, high }) = condition {
        let column = bare(expr)?;
        let below = below(column, literal(low)?, false, known)?;
        return Some((column, below, above(column, literal(high)?, true, known)?));
    }
    if let Expr::Like(like) = condition {
        let column = bare(&like.expr)?;
        let (spread, prefix) = (known.spread(column)?, prefix(like)?);
        if !prefix.is_all || spread.table.collator(spread.ordinal).is_some() {
            return None;
        }
        let below = spread.values.below(&spread.key_of(&Value::Text(prefix.text))?)?;
        let end = prefix.end.and_then(|end| spread.values.below(&spread.key_of(&Value::Text(end))?));
        return Some((column, below, end.map_or(0.0, |end| 1.0 - spread.values.nulls() - end)));
    }
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    let (column, value, op) = match (bare(left), literal(right)) {
        (Some(column), Some(value)) => (column, value, *op),
        _ => (bare(right)?, literal(left)?, op.swap()?),
    };
    match op {
        Operator::Lt | Operator::LtEq => {
            Some((column, 0.0, above(column, value, op == Operator::LtEq, known)?))
        }
        Operator::Gt | Operator::GtEq => {
            Some((column, below(column, value, op == Operator::Gt, known)?, 0.0))
        }
        _ => None,
    }
}

/// The share of rows with a value below that one, or equal to it.
fn below(column: &Column, value: &ScalarValue, or_equal: bool, known: &dyn Known) -> Option<f64> {
    let spread = known.spread(column).and_then(|spread| {
        let key = spread.key(value)?;
        let equal = if or_equal { spread.values.equal(&key) } else { 0.0 };
        Some(spread.values.below(&key)? + equal)
    });
    spread.or_else(|| place(known.column(column)?, value))
}

/// The share of rows with a value above that one, but for those equal to it if these are kept.
fn above(column: &Column, value: &ScalarValue, kept: bool, known: &dyn Known) -> Option<f64> {
    let nulls = known.spread(column).map_or(0.0, |spread| spread.values.nulls());
    Some((1.0 - nulls - below(column, value, kept, known)?).max(0.0))
}

/// Where a value is between a column's bounds, 0 to 1.
fn place(column: &ColumnStatistics, value: &ScalarValue) -> Option<f64> {
    let (low, high) = (number(column.min_value.get_value()?)?, number(column.max_value.get_value()?)?);
    let value = match (value, column.min_value.get_value()?) {
        // A moment beside days.
        (ScalarValue::TimestampMicrosecond(Some(micros), _), ScalarValue::Date32(_)) => {
            *micros as f64 / luma_model::MICROS_PER_DAY as f64
        }
        _ => number(value)?,
    };
    Some(if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 })
}

fn number(value: &ScalarValue) -> Option<f64> {
    Some(match value {
        ScalarValue::Int8(Some(value)) => f64::from(*value),
        ScalarValue::Int16(Some(value)) => f64::from(*value),
        ScalarValue::Int32(Some(value)) | ScalarValue::Date32(Some(value)) => f64::from(*value),
        ScalarValue::Int64(Some(value)) | ScalarValue::TimestampMicrosecond(Some(value), _) => *value as f64,
        ScalarValue::Float64(Some(value)) => *value,
        ScalarValue::Float32(Some(value)) => f64::from(*value),
        ScalarValue::Decimal128(Some(value), _, scale) => *value as f64 / 10f64.powi(i32::from(*scale)),
        _ => return None,
    })
}

/// The share that one condition lets pass.
fn passing(condition: &Expr, known: &dyn Known) -> f64 {
    let nulls = |expr: &Expr| Some(known.spread(bare(expr)?)?.values.nulls());
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::Eq if bare(left).is_some() => one_of(left, [right.as_ref()], known),
            Operator::Eq => one_of(right, [left.as_ref()], known),
            Operator::NotEq => {
                let (side, other) = if bare(left).is_some() { (left, right) } else { (right, left) };
                (1.0 - nulls(side).unwrap_or_default() - one_of(side, [other.as_ref()], known)).max(0.0)
            }
            Operator::And => share_of(split_conjunction(condition).into_iter(), known),
            Operator::Or => {
                let (one, other) = (
                    share_of(split_conjunction(left).into_iter(), known),
                    share_of(split_conjunction(right).into_iter(), known),
                );
                one + other - one * other
            }
            _ => UNKNOWN,
        },
        Expr::InList(InList { expr, list, negated }) => {
            let share = one_of(expr, list, known);
            if *negated { (1.0 - nulls(expr).unwrap_or_default() - share).max(0.0) } else { share }
        }
        Expr::Like(like) if like.negated => 1.0 - PATTERN,
        Expr::Like(_) => PATTERN,
        Expr::Not(inner) => 1.0 - passing(inner, known),
        Expr::IsNotNull(inner) => 1.0 - nulls(inner).unwrap_or_default(),
        Expr::IsNull(inner) => nulls(inner).unwrap_or(UNKNOWN_EQUAL),
        Expr::Literal(ScalarValue::Boolean(Some(true)), _) => 1.0,
        Expr::Column(column) => {
            let spread = known.spread(column);
            spread.and_then(|spread| spread.equal(&ScalarValue::Boolean(Some(true)))).unwrap_or(UNKNOWN)
        }
        _ => UNKNOWN,
    }
}

/// The share of rows in which an expression is one of others.
fn one_of<'a>(expr: &Expr, others: impl IntoIterator<Item = &'a Expr>, known: &dyn Known) -> f64 {
    let column = bare(expr);
    let spread = column.and_then(|column| known.spread(column));
    let usual = column.and_then(|column| known.distinct(column)).map_or(UNKNOWN_EQUAL, |many| 1.0 / many);
    let each = |other: &Expr| {
        let found = spread.as_ref().zip(literal(other)).and_then(|(spread, value)| spread.equal(value));
        found.unwrap_or(usual)
    };
    others.into_iter().map(each).sum::<f64>().min(1.0)
}

/// What is known of a plan's rows; `None` where a table in it says nothing.
pub(crate) fn estimate(plan: &LogicalPlan) -> Option<Estimate> {
    let width = plan.schema().fields().len();
    let of_input = |input: &LogicalPlan| estimate(input);
    Some(match plan {
        LogicalPlan::TableScan(scan) => of_scan(scan)?,
        LogicalPlan::Filter(filter) => {
            let mut found = of_input(&filter.input)?;
            // What a scan did not promise to apply is above it once more.
            let below: &[Expr] = match filter.input.as_ref() {
                LogicalPlan::TableScan(scan) => &scan.filters,
                _ => &[],
            };
            let conditions = split_conjunction(&filter.predicate).into_iter();
            let new = conditions.filter(|condition| !below.contains(condition));
            found.rows *= share_of(new, &OfPlan(&filter.input, &found));
            found
        }
        LogicalPlan::Projection(projection) => {
            let found = of_input(&projection.input)?;
            let distinct = projection.expr.iter().map(|expr| found.distinct(&projection.input, expr));
            Estimate { distinct: distinct.collect(), ..found }
        }
        LogicalPlan::SubqueryAlias(alias) => of_input(&alias.input)?,
        LogicalPlan::Sort(sort) => {
            let found = of_input(&sort.input)?;
            Estimate { rows: sort.fetch.map_or(found.rows, |fetch| found.rows.min(fetch as f64)), ..found }
        }
        LogicalPlan::Limit(limit) => {
            let found = of_input(&limit.input)?;
            match limit.get_fetch_type().ok()? {
                FetchType::Literal(Some(fetch)) => Estimate { rows: found.rows.min(fetch as f64), ..found },
                _ => found,
            }
        }
        LogicalPlan::Aggregate(aggregate) => {
            let found = of_input(&aggregate.input)?;
            let keys: Vec<Option<f64>> =
                aggregate.group_expr.iter().map(|key| found.distinct(&aggregate.input, key)).collect();
            let groups: f64 = keys.iter().map(|key| key.unwrap_or(found.rows)).product();
            let mut distinct = keys;
            distinct.resize(width, None);
            Estimate::of(groups.min(found.rows).max(1.0), distinct)
        }
        LogicalPlan::Distinct(distinct) => of_input(distinct.input())?,
        LogicalPlan::Join(join) => of_join(join)?,
        LogicalPlan::Values(values) => Estimate::of(values.values.len() as f64, vec![None; width]),
        _ => return None,
    })
}

fn of_scan(scan: &TableScan) -> Option<Estimate> {
    let provider = source_as_provider(&scan.source).ok()?;
    let statistics = provider.statistics()?;
    let rows = (*statistics.num_rows.get_value()? as f64).max(1.0);
    let schema = scan.source.schema();
    let table = open_table(provider.as_ref());
    let known = OfTable { schema: &schema, statistics: &statistics, table };
    let fields = scan.projected_schema.fields().iter();
    let distinct = fields.map(|field| known.distinct(&Column::new_unqualified(field.name()))).collect();
    let passing = rows * share(&scan.filters, &schema, &statistics, table);
    Some(Estimate { rows: passing.max(1.0), before: rows, distinct })
}

/// The table that a provider reads, if it is one of ours.
fn open_table(provider: &dyn TableProvider) -> Option<&OpenTable> {
    let any: &dyn std::any::Any = provider;
    let of_rows = any.downcast_ref::<RowTable>().map(|table| table.table.as_ref());
    of_rows.or_else(|| any.downcast_ref::<ColumnTable>().map(ColumnTable::table))
}

fn of_join(join: &Join) -> Option<Estimate> {
    let (left, right) = (estimate(&join.left)?, estimate(&join.right)?);
    let mut rows = left.rows * right.rows;
    for (one, other) in &join.on {
        let one = left.distinct(&join.left, one).unwrap_or(left.rows);
        let other = right.distinct(&join.right, other).unwrap_or(right.rows);
        rows /= one.max(other).max(1.0);
    }
    let both = || left.distinct.iter().chain(&right.distinct).copied().collect();
    Some(match join.join_type {
        JoinType::Inner => Estimate::of(rows, both()),
        JoinType::Left => Estimate::of(rows.max(left.rows), both()),
        JoinType::Right => Estimate::of(rows.max(right.rows), both()),
        JoinType::Full => Estimate::of(rows.max(left.rows + right.rows), both()),
        JoinType::LeftSemi => Estimate::of(rows.min(left.rows), left.distinct),
        JoinType::RightSemi => Estimate::of(rows.min(right.rows), right.distinct),
        JoinType::LeftAnti => Estimate::of(left.rows * UNKNOWN, left.distinct),
        JoinType::RightAnti => Estimate::of(right.rows * UNKNOWN, right.distinct),
        JoinType::LeftMark | JoinType::RightMark => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{DataType, Field};
    use datafusion::common::stats::Precision;
    use datafusion::logical_expr::{col, lit};

    /// Of a table with whole numbers from 0 to 100, 50 different ones, and texts of which nothing is known.
    fn share_of(filter: Expr) -> f64 {
        let schema = Schema::new(vec![
            Field::new("a", DataType::Int32, false),
            Field::new("b", DataType::Int32, false),
            Field::new("t", DataType::Utf8, true),
        ]);
        let whole = ColumnStatistics {
            distinct_count: Precision::Inexact(50),
            min_value: Precision::Exact(ScalarValue::Int32(Some(0))),
            max_value: Precision::Exact(ScalarValue::Int32(Some(100))),
            ..ColumnStatistics::new_unknown()
        };
        let statistics = Statistics {
            num_rows: Precision::Exact(1000),
            total_byte_size: Precision::Absent,
            column_statistics: vec![whole.clone(), whole, ColumnStatistics::new_unknown()],
        };
        share(&[filter], &schema, &statistics, None)
    }

    #[test]
    fn the_two_ends_of_a_range_are_one_condition() {
        let close = |filter: Expr, expected: f64| {
            let found = share_of(filter);
            assert!((found - expected).abs() < 1e-9, "{found} instead of {expected}");
        };
        close(col("a").gt_eq(lit(40)).and(col("a").lt(lit(60))), 0.2);
        close(lit(40).lt_eq(col("a")).and(col("a").between(lit(0), lit(60))), 0.2);
        close(col("a").gt(lit(90)).and(col("b").lt(lit(50))), 0.05);
        close(col("a").gt(lit(60)).and(col("a").lt(lit(40))), RANGE_MIN);
        close(col("a").gt(lit(1000)), RANGE_MIN);
        close(col("a").eq(lit(7)), 0.02);
        close(col("a").not_eq(lit(7)), 0.98);
        close(col("a").in_list(vec![lit(1), lit(2), lit(3)], false), 0.06);
        close(col("a").eq(lit(7)).or(col("b").eq(lit(7))), 0.0396);
        close(col("t").eq(lit("x")), UNKNOWN_EQUAL);
        close(col("t").gt(lit("x")), UNKNOWN);
    }
}
