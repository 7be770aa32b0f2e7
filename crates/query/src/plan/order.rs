//! ORDER BY with subqueries inside of an expression.
//!
//! DataFusion takes subqueries in a projection and not in a sort, so such an expression becomes a column
//! below the sort, which a projection above it takes away again.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

/// Applies this to a plan and all of its subqueries.
pub(crate) fn rewrite(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    plan.transform_up_with_subqueries(lift).map(|done| done.data)
}

fn has_subquery(expr: &Expr) -> PlanResult<bool> {
    expr.exists(|part| {
        Ok(matches!(
            part,
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_)
        ))
    })
}

fn lift(plan: LogicalPlan) -> PlanResult<Transformed<LogicalPlan>> {
    let LogicalPlan::Sort(mut sort) = plan else { return Ok(Transformed::no(plan)) };
    let own: Vec<Expr> = sort.input.schema().columns().into_iter().map(Expr::Column).collect();
    let mut below = own.clone();
    for (place, part) in sort.expr.iter_mut().enumerate() {
        if has_subquery(&part.expr)? {
            let name = format!("luma_order_{place}");
            let column = Expr::Column(datafusion::common::Column::new_unqualified(&name));
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
