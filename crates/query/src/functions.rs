//! SQL functions and operators beside DataFusion's own.

use std::sync::Arc;

use datafusion::error::Result as PlanResult;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::ScalarUDF;
use datafusion::logical_expr::planner::ExprPlanner;

pub(crate) mod cast;
mod json;
pub(crate) mod reg;
mod row;
mod scalar;
mod sequence;
mod system;

use row::RowFunction;

/// Planners of our operators.
pub(crate) fn expr_planners() -> Vec<Arc<dyn ExprPlanner>> {
    vec![Arc::new(json::JsonOperators)]
}

/// Adds our functions.
pub(crate) fn register(state: &mut SessionState) -> PlanResult<()> {
    let all = system::FUNCTIONS
        .iter()
        .chain(sequence::FUNCTIONS)
        .chain(json::FUNCTIONS)
        .chain(scalar::FUNCTIONS)
        .chain(reg::FUNCTIONS.as_flattened());
    for function in all {
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(RowFunction::new(function))))?;
    }
    Ok(())
}
