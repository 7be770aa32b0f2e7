//! Which table's column a column of a result is, for clients that show or change rows by it.
//!
//! Only a column that comes through unchanged has an origin; what is computed, and what several rows or
//! queries were put together for, has none.

use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan};
use luma_catalog::Oid;

use crate::plan::columnar::ColumnTable;
use crate::plan::provider::RowTable;

/// The table and column number behind the plan's column at `place`.
pub(crate) fn of_column(plan: &LogicalPlan, place: usize) -> Option<(Oid, i16)> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let mut expr = projection.expr.get(place)?;
            while let Expr::Alias(alias) = expr {
                expr = &alias.expr;
            }
            of_expression(expr, &projection.input)
        }
        LogicalPlan::Sort(sort) => of_column(&sort.input, place),
        LogicalPlan::Limit(limit) => of_column(&limit.input, place),
        LogicalPlan::Filter(filter) => of_column(&filter.input, place),
        LogicalPlan::SubqueryAlias(alias) => of_column(&alias.input, place),
        LogicalPlan::Distinct(Distinct::All(input)) => of_column(input, place),
        LogicalPlan::Window(window) if place < window.input.schema().fields().len() => {
            of_column(&window.input, place)
        }
        LogicalPlan::Aggregate(aggregate) => {
            of_expression(aggregate.group_expr.get(place)?, &aggregate.input)
        }
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            match join.join_type {
                JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full if place >= left => {
                    of_column(&join.right, place - left)
                }
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                    of_column(&join.right, place)
                }
                _ if place < left => of_column(&join.left, place),
                _ => None,
            }
        }
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source).ok()?;
            let place = scan.projection.as_ref().map_or(Some(place), |kept| kept.get(place).copied())?;
            match provider.downcast_ref::<RowTable>() {
                Some(table) => table.origin(place),
                None => provider.downcast_ref::<ColumnTable>()?.origin(place),
            }
        }
        _ => None,
    }
}

fn of_expression(expr: &Expr, input: &LogicalPlan) -> Option<(Oid, i16)> {
    let Expr::Column(column) = expr else { return None };
    of_column(input, input.schema().maybe_index_of_column(column)?)
}
