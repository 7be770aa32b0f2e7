//! IN and NOT IN of subqueries in conditions, where NULL is neither true nor false.
//!
//! DataFusion joins with what the subquery gives and marks the rows that found a partner: nothing tells "no" from "nobody knows" then.
//! That is enough for IN under AND and OR, where both leave a row out, and for NOT IN of a subquery that names nothing outside, which has
//! a join of its own. `x NOT IN (SELECT e … WHERE e.a = t.a)` becomes NOT EXISTS with `(e = x) IS NOT FALSE`; anything else is asked row by
//! row, with the subquery run once for all rows that it does not differ for.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::{BinaryExpr, Exists, InSubquery};
use datafusion::logical_expr::{
    Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, binary_expr,
};

use crate::plan::apply::{call, free_references};

/// Where in a condition an expression stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// One of the conditions that all have to be true.
    Conjunct,
    /// Under AND and OR only: false and NULL come to the same.
    Condition,
    /// Elsewhere: NULL is something of its own.
    Value,
}

/// Settles the subqueries of a filter.
pub(super) fn rewrite(plan: LogicalPlan) -> PlanResult<Transformed<LogicalPlan>> {
    let LogicalPlan::Filter(filter) = &plan else { return Ok(Transformed::no(plan)) };
    if !filter.predicate.exists(|expr| Ok(matches!(expr, Expr::InSubquery(_))))? {
        return Ok(Transformed::no(plan));
    }
    let predicate = settled(filter.predicate.clone(), Place::Conjunct, &plan)?;
    Filter::try_new(predicate, Arc::clone(&filter.input))
        .map(|filter| Transformed::yes(LogicalPlan::Filter(filter)))
}

fn settled(expr: Expr, place: Place, outer: &LogicalPlan) -> PlanResult<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right })
            if place != Place::Value =>
        {
            let inner = if op == Operator::And { place } else { Place::Condition };
            Ok(binary_expr(settled(*left, inner, outer)?, op, settled(*right, inner, outer)?))
        }
        Expr::Not(inner) => match *inner {
            Expr::InSubquery(list) => member(InSubquery { negated: !list.negated, ..list }, place, outer),
            inner => Ok(Expr::Not(Box::new(settled(inner, Place::Value, outer)?))),
        },
        Expr::InSubquery(list) => member(list, place, outer),
        other => other
            .map_children(|child| settled(child, Place::Value, outer).map(Transformed::yes))
            .map(|done| done.data),
    }
}

fn member(list: InSubquery, place: Place, outer: &LogicalPlan) -> PlanResult<Expr> {
    let correlated = !free_references(&list.subquery.subquery)?.is_empty();
    // A tested value that no row has a part in would be compared inside of the subquery, where NULLs of its rows get lost.
    let constant = list.expr.column_refs().is_empty();
    let joined = match place {
        Place::Conjunct => !list.negated || !correlated && !constant,
        Place::Condition => !list.negated,
        Place::Value => false,
    };
    if joined {
        return Ok(Expr::InSubquery(list));
    }
    if place != Place::Value
        && (correlated || constant)
        && let Some(exists) = absent(&list, outer)?
    {
        return Ok(exists);
    }
    call(outer, Expr::InSubquery(list))
}

/// NOT IN as NOT EXISTS, which is true for the same rows; `None` where the tested value is more than columns and functions of them.
fn absent(list: &InSubquery, outer: &LogicalPlan) -> PlanResult<Option<Expr>> {
    let is_plain = |expr: &Expr| {
        !matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
        )
    };
    if list.expr.is_volatile() || list.expr.exists(|part| Ok(!is_plain(part)))? {
        return Ok(None);
    }
    let inputs = outer.inputs();
    let Some(schema) = inputs.first().map(|input| input.schema()) else { return Ok(None) };
    let tested = list.expr.as_ref().clone().transform_down(|part| match part {
        Expr::Column(column) => {
            let field = Expr::Column(column.clone()).to_field(schema.as_ref())?.1;
            let reference = Expr::OuterReferenceColumn(field, column);
            Ok(Transformed::new(reference, true, TreeNodeRecursion::Jump))
        }
        part => Ok(Transformed::no(part)),
    })?;
    let subquery = &list.subquery;
    let Some(given) = subquery.subquery.schema().columns().into_iter().next() else { return Ok(None) };
    let equal = binary_expr(Expr::Column(given), Operator::Eq, tested.data);
    let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone())
        .filter(Expr::IsNotFalse(Box::new(equal)))?
        .build()?;
    let outer_ref_columns = plan.all_out_ref_exprs();
    let subquery = Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: subquery.spans.clone() };
    Ok(Some(Expr::Exists(Exists { subquery, negated: true })))
}
