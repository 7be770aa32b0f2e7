//! Filters go down a physical plan only where names say which column is meant.
//!
//! DataFusion's rules for filters, those of a WHERE and those that joins and sorts make while they run, find a filter's columns below
//! by their names. Below a join both sides may have an `id`: the filter then looks at the wrong one, and rows are lost or come that
//! should not. So the rules see the parts of a plan below whose top all names differ.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::error::Result as PlanResult;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::ChildrenPropertiesMode;
use datafusion::physical_plan::{ExecutionPlan, ReplaceChildrenOptions};

/// One of DataFusion's rules, kept to such parts.
#[derive(Debug)]
pub(crate) struct OneName(Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl OneName {
    /// What DataFusion calls its rules for filters.
    const NAMES: [&'static str; 2] = ["FilterPushdown", "FilterPushdown(Post)"];

    /// The rules with those for filters kept to such parts.
    pub(crate) fn within(
        rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>,
    ) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
        let kept = |rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>| {
            if Self::NAMES.contains(&rule.name()) { Arc::new(Self(rule)) as _ } else { rule }
        };
        rules.into_iter().map(kept).collect()
    }

    fn parts(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        if plan.children().into_iter().all(names_differ) {
            return self.0.optimize(plan, config);
        }
        let children = plan.children().into_iter().map(Arc::clone).collect::<Vec<_>>();
        let children =
            children.into_iter().map(|child| self.parts(child, config)).collect::<PlanResult<Vec<_>>>()?;
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        plan.replace_children(children, options)
    }
}

/// Whether the columns of this node, and of each one below, have different names.
fn names_differ(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let schema = plan.schema();
    let mut seen = HashSet::new();
    schema.fields().iter().all(|field| seen.insert(field.name()))
        && plan.children().into_iter().all(names_differ)
}

impl PhysicalOptimizerRule for OneName {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        self.parts(plan, config)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}
