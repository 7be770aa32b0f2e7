//! Subqueries in ORDER BY, in DISTINCT ON, in aggregates and in windows; and orders of aggregates as they run.
//!
//! DataFusion takes subqueries in a projection and not in these, so such a subquery becomes a column below them. For a
//! sort a projection above it takes the column away again.

use std::collections::HashSet;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Distinct, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use luma_model::arrow::data_type;
use luma_model::{DataType, Error, ErrorKind};

use crate::error::to_datafusion;

/// Applies this to a plan and all of its subqueries.
pub(crate) fn rewrite(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    plan.transform_up_with_subqueries(lift).map(|done| done.data)
}

/// The optimised plan with each expression once in the order of an aggregate: the engine leaves out what comes again, and then
/// misses it.
pub(super) fn once_each(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| {
        if !matches!(plan, LogicalPlan::Aggregate(_)) {
            return Ok(Transformed::no(plan));
        }
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let once = expr.transform_up(|mut part| {
                let Expr::AggregateFunction(function) = &mut part else { return Ok(Transformed::no(part)) };
                let before = function.params.order_by.len();
                let mut seen = HashSet::new();
                function.params.order_by.retain(|item| seen.insert(item.expr.clone().unalias_nested().data));
                let shorter = function.params.order_by.len() < before;
                Ok(if shorter { Transformed::yes(part) } else { Transformed::no(part) })
            })?;
            Ok(once.update_data(|expr| name.restore(expr)))
        })
    })
    .map(|done| done.data)
}

fn is_subquery(part: &Expr) -> bool {
    matches!(part, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_))
}

fn has_subquery(expr: &Expr) -> PlanResult<bool> {
    expr.exists(|part| Ok(is_subquery(part)))
}

fn lift(plan: LogicalPlan) -> PlanResult<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Sort(_) => lift_keys(plan),
        LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) | LogicalPlan::Distinct(Distinct::On(_)) => {
            lift_arguments(plan)
        }
        other => Ok(Transformed::no(other)),
    }
}

fn lift_keys(plan: LogicalPlan) -> PlanResult<Transformed<LogicalPlan>> {
    let LogicalPlan::Sort(mut sort) = plan else { return Ok(Transformed::no(plan)) };
    let own: Vec<Expr> = sort.input.schema().columns().into_iter().map(Expr::Column).collect();
    let mut below = own.clone();
    for (place, part) in sort.expr.iter_mut().enumerate() {
        let key = part.expr.to_field(sort.input.schema())?.1;
        if data_type(&key).is_ok_and(|known| known == DataType::Record) {
            let message = "could not identify an ordering operator for type record";
            let hint = "Name the row's columns instead.";
            return Err(to_datafusion(Error::new(ErrorKind::UndefinedFunction, message).hint(hint)));
        }
        if has_subquery(&part.expr)? {
            let name = format!("luma_order_{place}");
            let column = Expr::Column(Column::new_unqualified(&name));
            below.push(std::mem::replace(&mut part.expr, column).alias(name));
        }
    }
    if below.len() == own.len() {
        return Ok(Transformed::no(LogicalPlan::Sort(sort)));
    }
    let input = sort.input.as_ref().clone();
    let sorted = LogicalPlanBuilder::from(input).project(below)?.sort_with_limit(sort.expr, sort.fetch)?;
    Ok(Transformed::yes(sorted.project(own)?.build()?))
}

/// The subqueries of an aggregate's or a window's expressions as columns below it.
fn lift_arguments(plan: LogicalPlan) -> PlanResult<Transformed<LogicalPlan>> {
    let inputs = plan.inputs();
    let [input] = inputs.as_slice() else { return Ok(Transformed::no(plan)) };
    let mut below: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    let own = below.len();
    let input = (*input).clone();
    let names = NamePreserver::new(&plan);
    let kept: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let lifted = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let lifted = expr.transform_down(|part| {
            if !is_subquery(&part) {
                return Ok(Transformed::no(part));
            }
            let column = format!("luma_argument_{}", below.len());
            below.push(part.alias(&column));
            let column = Expr::Column(Column::new_unqualified(column));
            Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
        })?;
        Ok(lifted.update_data(|expr| name.restore(expr)))
    })?;
    if below.len() == own {
        return Ok(lifted);
    }
    let input = LogicalPlanBuilder::from(input).project(below)?.build()?;
    let lifted =
        lifted.data.map_children(|_| Ok(Transformed::yes(input.clone())))?.data.recompute_schema()?;
    if !matches!(lifted, LogicalPlan::Window(_)) {
        return Ok(Transformed::yes(lifted));
    }
    // It keeps the columns of what is below it.
    LogicalPlanBuilder::from(lifted).project(kept)?.build().map(Transformed::yes)
}
