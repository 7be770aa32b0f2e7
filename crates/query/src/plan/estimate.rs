//! How many rows a plan gives, about: from what tables say of their rows and columns.
//!
//! Estimates decide orders of joins and which side a join keeps in memory, never an answer. Columns are taken to be
//! independent of each other, and values of a column to be equally frequent.

use std::collections::HashMap;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::{Column, ColumnStatistics, ScalarValue, Statistics};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::expr::{Alias, Cast, InList};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr, FetchType, Join, JoinType, LogicalPlan, Operator, TableScan,
};

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

    fn distinct(&self, column: &Column) -> Option<f64> {
        let found = self.column(column)?.distinct_count.get_value()?;
        Some((*found as f64).max(1.0))
    }
}

struct OfTable<'a>(&'a Schema, &'a Statistics);

impl Known for OfTable<'_> {
    fn column(&self, column: &Column) -> Option<&ColumnStatistics> {
        self.1.column_statistics.get(self.0.index_of(&column.name).ok()?)
    }
}

/// What conditions on a plan's columns know: how many different values these have, and no bounds.
struct OfPlan<'a>(&'a LogicalPlan, &'a Estimate);

impl Known for OfPlan<'_> {
    fn column(&self, _: &Column) -> Option<&ColumnStatistics> {
        None
    }

    fn distinct(&self, column: &Column) -> Option<f64> {
        let place = self.0.schema().index_of_column(column).ok()?;
        *self.1.distinct.get(place)?
    }
}

/// The share of a table's rows that these conditions let pass.
pub(crate) fn share(filters: &[Expr], schema: &Schema, statistics: &Statistics) -> f64 {
    share_of(filters.iter().flat_map(split_conjunction), &OfTable(schema, statistics))
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
    let ranges: f64 = cut.values().map(|(below, above)| (1.0 - below - above).max(RANGE_MIN)).product();
    share * ranges
}

/// For a column compared with a constant between its bounds: the share that is cut off below, and above.
fn ends<'a>(condition: &'a Expr, known: &dyn Known) -> Option<(&'a Column, f64, f64)> {
    if let Expr::Between(Between { expr, negated: false, low, high }) = condition {
        let column = bare(expr)?;
        let below = place(known.column(column)?, literal(low)?)?;
        let above = 1.0 - place(known.column(column)?, literal(high)?)?;
        return Some((column, below, above));
    }
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    let (column, value, op) = match (bare(left), literal(right)) {
        (Some(column), Some(value)) => (column, value, *op),
        _ => (bare(right)?, literal(left)?, op.swap()?),
    };
    let place = || place(known.column(column)?, value);
    match op {
        Operator::Lt | Operator::LtEq => Some((column, 0.0, 1.0 - place()?)),
        Operator::Gt | Operator::GtEq => Some((column, place()?, 0.0)),
        _ => None,
    }
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
    let one_of = |expr: &Expr, many: f64| match bare(expr).and_then(|column| known.distinct(column)) {
        Some(distinct) => (many / distinct).min(1.0),
        None => (many * UNKNOWN_EQUAL).min(1.0),
    };
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::Eq if bare(left).is_some() => one_of(left, 1.0),
            Operator::Eq => one_of(right, 1.0),
            Operator::NotEq => {
                1.0 - passing(
                    &Expr::BinaryExpr(BinaryExpr::new(left.clone(), Operator::Eq, right.clone())),
                    known,
                )
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
            let share = one_of(expr, list.len() as f64);
            if *negated { 1.0 - share } else { share }
        }
        Expr::Like(like) if like.negated => 1.0 - PATTERN,
        Expr::Like(_) => PATTERN,
        Expr::Not(inner) => 1.0 - passing(inner, known),
        Expr::IsNotNull(_) => 1.0,
        Expr::IsNull(_) => UNKNOWN_EQUAL,
        Expr::Literal(ScalarValue::Boolean(Some(true)), _) => 1.0,
        _ => UNKNOWN,
    }
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
    let known = OfTable(&schema, &statistics);
    let fields = scan.projected_schema.fields().iter();
    let distinct = fields.map(|field| known.distinct(&Column::new_unqualified(field.name()))).collect();
    let passing = rows * share(&scan.filters, &schema, &statistics);
    Some(Estimate { rows: passing.max(1.0), before: rows, distinct })
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
        share(&[filter], &schema, &statistics)
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
