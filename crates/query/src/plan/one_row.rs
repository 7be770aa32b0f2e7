//! An aggregate of all rows gives one row, whatever is tested above it.
//!
//! DataFusion takes a condition below an aggregate where all of its columns are groups, and so one that has no columns
//! (`WHERE (SELECT …) > 100`, or what is NULL for each row): then nothing is counted, where no row should come. Nothing goes below a
//! limit, so where there is such a condition, aggregates of all rows get one.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// The rule; see the module. It comes right before that for filters.
#[derive(Debug)]
pub(crate) struct OneRowStays;

impl OptimizerRule for OneRowStays {
    fn name(&self) -> &'static str {
        "one_row_stays"
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> PlanResult<Transformed<LogicalPlan>> {
        if !plan.exists(|node| Ok(tests_no_column(node)))? {
            return Ok(Transformed::no(plan));
        }
        plan.transform_up(|node| {
            // One that has its limit is the child of a limit; what is above it is looked at as a whole.
            if matches!(node, LogicalPlan::Limit(_))
                || !node.inputs().iter().any(|input| is_of_all_rows(input))
            {
                return Ok(Transformed::no(node));
            }
            node.map_children(|child| {
                if is_of_all_rows(&child) {
                    LogicalPlanBuilder::from(child).limit(0, Some(1))?.build().map(Transformed::yes)
                } else {
                    Ok(Transformed::no(child))
                }
            })
        })
    }
}

fn is_of_all_rows(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty())
}

fn tests_no_column(node: &LogicalPlan) -> bool {
    let condition = match node {
        LogicalPlan::Filter(filter) => Some(&filter.predicate),
        LogicalPlan::Join(join) => join.filter.as_ref(),
        _ => None,
    };
    let free = |part: &&Expr| part.column_refs().is_empty() && !part.is_volatile();
    condition.is_some_and(|condition| split_conjunction(condition).iter().any(free))
}
