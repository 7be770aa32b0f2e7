//! Which columns of a result have a length or a precision.
//!
//! A query engine needs one for every decimal number. PostgreSQL has one only where a column or a cast
//! gives it and nothing is computed with the value; what is computed is `numeric` or `varchar` without
//! bounds, and so are columns of tables that are made of it.

use datafusion::datasource::{MemTable, source_as_provider};
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan};
use luma_model::DataType;
use luma_model::arrow::data_type;

use crate::plan::columnar::ColumnTable;
use crate::plan::deferred;
use crate::plan::provider::RowTable;

/// The type of the plan's column at `place` as PostgreSQL has it. The plan's casts are those of the statement.
pub(crate) fn declared(known: DataType, plan: &LogicalPlan, place: usize) -> DataType {
    let unbound = match &known {
        DataType::Numeric(Some(_)) => DataType::Numeric(None),
        DataType::Varchar(Some(_)) => DataType::Varchar(None),
        _ => return known,
    };
    match of_column(plan, place) {
        Some(declared) if declared.oid() == known.oid() => declared,
        _ => unbound,
    }
}

/// The type with its bounds, if the column has some.
fn of_column(plan: &LogicalPlan, place: usize) -> Option<DataType> {
    match plan {
        LogicalPlan::Projection(projection) => of_expression(projection.expr.get(place)?, &projection.input),
        LogicalPlan::Sort(sort) => of_column(&sort.input, place),
        LogicalPlan::Limit(limit) => of_column(&limit.input, place),
        LogicalPlan::Filter(filter) => of_column(&filter.input, place),
        LogicalPlan::SubqueryAlias(alias) => of_column(&alias.input, place),
        LogicalPlan::Distinct(Distinct::All(input)) => of_column(input, place),
        LogicalPlan::Distinct(Distinct::On(on)) => of_expression(on.select_expr.get(place)?, &on.input),
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
        LogicalPlan::Union(union) => common(union.inputs.iter().map(|input| of_column(input, place))),
        LogicalPlan::RecursiveQuery(query) => of_column(&query.static_term, place),
        LogicalPlan::Values(values) => {
            common(values.values.iter().map(|row| of_expression(row.get(place)?, plan)))
        }
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source).ok()?;
            let is_table = provider.downcast_ref::<RowTable>().is_some()
                || provider.downcast_ref::<ColumnTable>().is_some()
                // The system's own tables, and rows that a part of the statement gave.
                || provider.downcast_ref::<MemTable>().is_some();
            is_table.then(|| data_type(scan.projected_schema.field(place)).ok()).flatten()
        }
        _ => None,
    }
}

/// The type that all of them are.
fn common(mut types: impl Iterator<Item = Option<DataType>>) -> Option<DataType> {
    let first = types.next()??;
    types.all(|other| other.as_ref() == Some(&first)).then_some(first)
}

fn of_expression(expr: &Expr, input: &LogicalPlan) -> Option<DataType> {
    match expr {
        Expr::Alias(alias) => of_expression(&alias.expr, input),
        Expr::Column(column) => of_column(input, input.schema().maybe_index_of_column(column)?),
        Expr::Cast(cast) => data_type(&cast.field).ok(),
        Expr::Case(case) => {
            let branches = case.when_then_expr.iter().map(|(_, value)| value);
            let all = branches.chain(case.else_expr.as_ref());
            common(all.map(|value| of_expression(value, input)))
        }
        Expr::ScalarFunction(function) if let Some(values) = deferred::values(function) => {
            common(values.into_iter().map(|value| of_expression(value, input)))
        }
        Expr::ScalarFunction(function) => match function.name() {
            "coalesce" | "greatest" | "least" => {
                common(function.args.iter().map(|argument| of_expression(argument, input)))
            }
            "nullif" => of_expression(function.args.first()?, input),
            _ => None,
        },
        Expr::ScalarSubquery(subquery) => of_column(&subquery.subquery, 0),
        _ => None,
    }
}
