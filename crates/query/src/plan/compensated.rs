//! Types of what stands in for subqueries that find no row.
//!
//! Where DataFusion makes a join of a correlated subquery with an aggregate, an outer row without a partner gets what the
//! aggregate gives for no rows:
//!
//! ```text
//! CASE WHEN __always_true IS NULL THEN coalesce(NULL, '[]') ELSE column END
//! ```
//!
//! CASE has Arrow's type only, so that a `json` would be text for those above. Here it gets the column's type again.

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use crate::plan::typing::logical_type;
use crate::plan::unify::{is_label, labelled};

/// DataFusion's name of the column that is NULL where a subquery found nothing.
const FOUND: &str = "__always_true";

/// The rule; it comes after those that make joins of subqueries.
#[derive(Debug)]
pub(crate) struct CompensatedTypes;

impl OptimizerRule for CompensatedTypes {
    fn name(&self) -> &'static str {
        "compensated_types"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> PlanResult<Transformed<LogicalPlan>> {
        let mut schema = DFSchema::empty();
        for input in plan.inputs() {
            schema.merge(input.schema());
        }
        let names = NamePreserver::new(&plan);
        let typed = plan.map_expressions(|expr| {
            let saved = names.save(&expr);
            let typed = expr.transform_down(|expr| type_part(expr, &schema))?;
            Ok(typed.update_data(|expr| saved.restore(expr)))
        })?;
        if typed.transformed { typed.map_data(LogicalPlan::recompute_schema) } else { Ok(typed) }
    }
}

fn type_part(expr: Expr, schema: &DFSchema) -> PlanResult<Transformed<Expr>> {
    if is_label(&expr) {
        return Ok(Transformed::new(expr, false, TreeNodeRecursion::Jump));
    }
    let value = match &expr {
        Expr::Case(case) => value_of(case),
        _ => None,
    };
    let Some(known) = value.and_then(|value| logical_type(value, schema)) else {
        return Ok(Transformed::no(expr));
    };
    let typed = labelled(expr.clone(), &known);
    let changed = typed != expr;
    Ok(Transformed::new(typed, changed, TreeNodeRecursion::Jump))
}

/// The column whose missing values a CASE makes up for.
fn value_of(case: &Case) -> Option<&Expr> {
    let rest = case.else_expr.as_deref()?;
    if let Expr::Case(inner) = rest {
        return value_of(inner);
    }
    let found = |when: &Expr| matches!(when, Expr::IsNull(tested) if matches!(tested.as_ref(), Expr::Column(column) if column.name == FOUND));
    case.when_then_expr.iter().any(|(when, _)| found(when)).then_some(rest)
}
