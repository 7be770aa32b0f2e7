//! What is unnested has no keys any more.
//!
//! DataFusion carries the keys of a table through the unnesting of its arrays, where one row of the table becomes several.
//! It then takes `ORDER BY id, element` for `ORDER BY id` and `GROUP BY id, element` for `GROUP BY id`. A node that has the
//! rows of its input and says nothing of keys stands below each unnesting while plans are optimised, and goes before they
//! become physical.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchemaRef, FunctionalDependencies, plan_datafusion_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

/// A plan without its keys, also those that it does not have yet: DISTINCT and subqueries become groups while a plan is optimised.
pub(super) fn without_keys(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    let is_one_row = !plan
        .exists(|node| Ok(!matches!(node, LogicalPlan::Projection(_) | LogicalPlan::EmptyRelation(_))))?;
    if is_one_row {
        return Ok(plan);
    }
    let node = Keyless::new(plan)?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

/// An unnesting of a plan without keys; other plans stay.
pub(super) fn unnesting(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    let LogicalPlan::Unnest(mut unnest) = plan else { return Ok(plan) };
    unnest.input = Arc::new(without_keys(Arc::unwrap_or_clone(unnest.input))?);
    LogicalPlan::Unnest(unnest).recompute_schema()
}

/// The plan without such nodes.
pub(super) fn removed(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| match &plan {
        LogicalPlan::Extension(extension) => match extension.node.as_any().downcast_ref::<Keyless>() {
            Some(keyless) => Ok(Transformed::yes(keyless.input.clone())),
            None => Ok(Transformed::no(plan)),
        },
        _ => Ok(Transformed::no(plan)),
    })
    .map(|done| done.data)
}

/// The node; see the module.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Keyless {
    input: LogicalPlan,
    schema: DFSchemaRef,
}

impl Keyless {
    fn new(input: LogicalPlan) -> PlanResult<Self> {
        let schema = input.schema().as_ref().clone();
        let schema = schema.with_functional_dependencies(FunctionalDependencies::empty())?;
        Ok(Self { input, schema: Arc::new(schema) })
    }
}

impl PartialOrd for Keyless {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl UserDefinedLogicalNodeCore for Keyless {
    fn name(&self) -> &'static str {
        "Keyless"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::new()
    }

    fn fmt_for_explain(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Keyless")
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> PlanResult<Self> {
        Self::new(inputs.pop().ok_or_else(|| plan_datafusion_err!("a plan without keys has no input"))?)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }
}
