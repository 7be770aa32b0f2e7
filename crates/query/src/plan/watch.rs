//! An end to planning: a canceled statement, or one whose time is over, stops between the rules of the optimizer.

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use crate::error::to_datafusion;
use crate::session::SessionExtension;

/// The rules that take most of the time of large plans.
const SLOW: [&str; 5] = [
    "simplify_expressions",
    "push_down_filter",
    "extract_equijoin_predicate",
    "common_sub_expression_eliminate",
    "optimize_projections",
];

/// The rules, with a look at the clock before the slow ones.
pub(super) fn with_watches(
    rules: Vec<std::sync::Arc<dyn OptimizerRule + Send + Sync>>,
) -> Vec<std::sync::Arc<dyn OptimizerRule + Send + Sync>> {
    let mut watched = Vec::with_capacity(rules.len() + 2 * SLOW.len());
    for rule in rules {
        if SLOW.contains(&rule.name()) {
            watched.push(std::sync::Arc::new(Watch) as _);
        }
        watched.push(rule);
    }
    watched
}

#[derive(Debug)]
struct Watch;

impl OptimizerRule for Watch {
    fn name(&self) -> &'static str {
        "watch"
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> PlanResult<Transformed<LogicalPlan>> {
        if let Some(session) = config.options().extensions.get::<SessionExtension>() {
            session.info.check_time().map_err(to_datafusion)?;
        }
        Ok(Transformed::no(plan))
    }
}
