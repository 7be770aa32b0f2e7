//! Subqueries in the ON of joins, where nothing can join with them or wait for them.
//!
//! They become a filter above an inner join, or columns of a projection on the side whose columns they name, where the rules for
//! subqueries find them. Where such a one of an outer join names both sides, the other side is read for each row.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, JoinType};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, Join, LogicalPlan, LogicalPlanBuilder};

use crate::plan::apply::{free_references, subquery_of};
use crate::plan::lateral_rows;

/// A join with such subqueries elsewhere, and those that are below as `settle` makes them; other plans stay.
pub(super) fn rewrite(
    plan: LogicalPlan,
    settle: &dyn Fn(LogicalPlan) -> PlanResult<LogicalPlan>,
) -> PlanResult<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Join(join) => joined(join, settle),
        other => Ok(Transformed::no(other)),
    }
}

/// Whether an expression is a subquery that has to be elsewhere: one value that depends on nothing is computed ahead.
fn is_bound(expr: &Expr) -> PlanResult<bool> {
    match (expr, subquery_of(expr)) {
        (Expr::ScalarSubquery(_), Some(subquery)) => Ok(!free_references(&subquery.subquery)?.is_empty()),
        (_, found) => Ok(found.is_some()),
    }
}

fn has_bound(expr: &Expr) -> PlanResult<bool> {
    expr.exists(is_bound)
}

fn name(place: usize) -> String {
    format!("luma_lifted_{place}")
}

fn own_columns(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().columns().into_iter().map(Expr::Column).collect()
}

/// Where a condition's columns are, those that its subqueries name among them.
#[derive(Clone, Copy, Default)]
struct Sides {
    left: bool,
    right: bool,
}

impl Sides {
    fn of(condition: &Expr, left: &DFSchema, right: &DFSchema) -> PlanResult<Self> {
        let mut sides = Self::default();
        let mut add = |column: &Column| {
            sides.left |= left.has_column(column);
            sides.right |= right.has_column(column);
        };
        condition.column_refs().into_iter().for_each(&mut add);
        condition.apply(|part| {
            if let Some(subquery) = subquery_of(part) {
                for (column, _) in free_references(&subquery.subquery)? {
                    add(&column);
                }
            }
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        })?;
        Ok(sides)
    }
}

/// The optimised plan with calls that wait above the inner joins into whose conditions they were pushed.
pub(super) fn out_of_joins(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    let waits = |expr: &Expr| match expr {
        Expr::ScalarFunction(call) => Ok(call.func.as_async().is_some()),
        _ => Ok(false),
    };
    plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Join(mut join) if join.join_type == JoinType::Inner => {
            let conditions = join.filter.take().map(split_conjunction_owned).unwrap_or_default();
            let (mut waiting, mut others) = (Vec::new(), Vec::new());
            for condition in conditions {
                if condition.exists(waits)? { waiting.push(condition) } else { others.push(condition) }
            }
            join.filter = conjunction(others);
            match conjunction(waiting) {
                Some(condition) => {
                    let filter = Filter::try_new(condition, Arc::new(LogicalPlan::Join(join)))?;
                    Ok(Transformed::yes(LogicalPlan::Filter(filter)))
                }
                None => Ok(Transformed::no(LogicalPlan::Join(join))),
            }
        }
        other => Ok(Transformed::no(other)),
    })
    .map(|done| done.data)
}

/// An outer join whose condition has a subquery that names both sides: for each row that stays, the rows of the other side are a query.
fn for_each_row(join: Join) -> PlanResult<Transformed<LogicalPlan>> {
    match join.join_type {
        JoinType::Left => lateral_rows::apply(&join, &join.right, None).map(Transformed::yes),
        JoinType::Right => {
            let columns = join.schema.columns().into_iter().map(Expr::Column);
            let on = join.on.into_iter().map(|(left, right)| (right, left)).collect();
            let turned = Join::try_new(
                join.right,
                join.left,
                on,
                join.filter,
                JoinType::Left,
                join.join_constraint,
                join.null_equality,
                join.null_aware,
            )?;
            let rows = lateral_rows::apply(&turned, &turned.right, None)?;
            LogicalPlanBuilder::from(rows).project(columns)?.build().map(Transformed::yes)
        }
        _ => Ok(Transformed::no(LogicalPlan::Join(join))),
    }
}

fn joined(
    join: Join,
    settle: &dyn Fn(LogicalPlan) -> PlanResult<LogicalPlan>,
) -> PlanResult<Transformed<LogicalPlan>> {
    let mut conditions = join.filter.clone().map(split_conjunction_owned).unwrap_or_default();
    let mut on = Vec::with_capacity(join.on.len());
    for (left, right) in &join.on {
        if has_bound(left)? || has_bound(right)? {
            conditions.push(left.clone().eq(right.clone()));
        } else {
            on.push((left.clone(), right.clone()));
        }
    }
    let (mut bound, mut others) = (Vec::new(), Vec::new());
    for condition in conditions {
        if has_bound(&condition)? {
            bound.push(condition);
        } else {
            others.push(condition);
        }
    }
    if bound.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    let schema = Arc::clone(&join.schema);
    let with = |left, right, on, filter| {
        Join::try_new(
            left,
            right,
            on,
            filter,
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )
    };
    if join.join_type == JoinType::Inner {
        let plain = with(Arc::clone(&join.left), Arc::clone(&join.right), on, conjunction(others))?;
        let Some(condition) = conjunction(bound) else {
            return Ok(Transformed::no(LogicalPlan::Join(plain)));
        };
        let filter = Filter::try_new(condition, Arc::new(LogicalPlan::Join(plain)))?;
        return Ok(Transformed::yes(LogicalPlan::Filter(filter)));
    }
    let (mut left, mut right) = (own_columns(&join.left), own_columns(&join.right));
    for (place, condition) in bound.into_iter().enumerate() {
        let sides = Sides::of(&condition, join.left.schema(), join.right.schema())?;
        if sides.left && sides.right {
            return for_each_row(join);
        }
        let side = if sides.right { &mut right } else { &mut left };
        side.push(condition.alias(name(place)));
        others.push(Expr::Column(Column::new_unqualified(name(place))));
    }
    let below = |plan: &Arc<LogicalPlan>, columns: Vec<Expr>| -> PlanResult<Arc<LogicalPlan>> {
        if columns.len() == plan.schema().fields().len() {
            return Ok(Arc::clone(plan));
        }
        settle(LogicalPlanBuilder::from(Arc::clone(plan)).project(columns)?.build()?).map(Arc::new)
    };
    let joined = with(below(&join.left, left)?, below(&join.right, right)?, on, conjunction(others))?;
    let columns = schema.columns().into_iter().map(Expr::Column);
    LogicalPlanBuilder::from(LogicalPlan::Join(joined)).project(columns)?.build().map(Transformed::yes)
}
