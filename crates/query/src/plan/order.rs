//! Subqueries in ORDER BY, in aggregates and in windows.
//!
//! DataFusion takes subqueries in a projection and not in these, so such a subquery becomes a column below them. For a
//! sort a projection above it takes the column away again.

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use luma_model::arrow::data_type;
use luma_model::{DataType, Error, ErrorKind};

use crate::error::to_datafusion;

/// Applies this to a plan and all of its subqueries.
pub(crate) fn rewrite(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    plan.transform_up_with_subqueries(lift).map(|done| done.data)
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
        LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) => lift_arguments(plan),
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
    let given = plan.expressions().into_iter().map(|expr| {
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
        Ok(lifted.update_data(|expr| name.restore(expr)).data)
    });
    let given = given.collect::<PlanResult<Vec<_>>>()?;
    if below.len() == own {
        return Ok(Transformed::no(plan));
    }
    let input = LogicalPlanBuilder::from(input).project(below)?.build()?;
    let lifted = plan.with_new_exprs(given, vec![input])?;
    if matches!(lifted, LogicalPlan::Aggregate(_)) {
        return Ok(Transformed::yes(lifted));
    }
    // A window keeps the columns of what is below it.
    let kept: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    LogicalPlanBuilder::from(lifted).project(kept)?.build().map(Transformed::yes)
}
