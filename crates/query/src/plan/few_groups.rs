//! The first groups in an order (`GROUP BY … ORDER BY max(x) LIMIT 10`) without all the others, where they are few.
//!
//! DataFusion's aggregation for that makes room for ten times as many groups as the limit asks for, before it has seen one: a limit of
//! a thousand million ends the process.

use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::error::Result as PlanResult;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

/// The most groups that room is made for.
const GROUPS_MAX: usize = 10_000;

/// DataFusion's rule, kept to plans without larger limits.
#[derive(Debug)]
pub(crate) struct FewGroups(Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl FewGroups {
    /// What DataFusion calls the rule.
    const NAME: &'static str = "LimitAggregation";

    /// The rules with that one kept to such plans.
    pub(crate) fn within(rules: &mut [Arc<dyn PhysicalOptimizerRule + Send + Sync>]) {
        for rule in rules.iter_mut().filter(|rule| rule.name() == Self::NAME) {
            *rule = Arc::new(Self(Arc::clone(rule)));
        }
    }
}

fn has_large_limit(plan: &dyn ExecutionPlan) -> bool {
    plan.fetch().is_some_and(|limit| limit > GROUPS_MAX)
        || plan.children().into_iter().any(|child| has_large_limit(child.as_ref()))
}

impl PhysicalOptimizerRule for FewGroups {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        if has_large_limit(plan.as_ref()) { Ok(plan) } else { self.0.optimize(plan, config) }
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}
