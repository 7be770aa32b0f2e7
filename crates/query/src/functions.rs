//! SQL functions and operators beside DataFusion's own.

use std::sync::{Arc, LazyLock};

use datafusion::error::Result as PlanResult;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

pub(crate) mod arithmetic;
pub(crate) mod arrays;
pub(crate) mod calendar;
pub(crate) mod cast;
pub(crate) mod chain;
pub(crate) mod collation;
pub(crate) mod domain;
mod enums;
mod extremes;
mod growing;
pub(crate) mod json;
pub(crate) mod keeping;
pub(crate) mod missing;
pub(crate) mod number_key;
pub(crate) mod numbers;
pub(crate) mod operators;
pub(crate) mod overload;
mod pattern;
pub(crate) mod procedure;
pub(crate) mod reg;
pub(crate) mod regex;
pub(crate) mod row;
mod scalar;
mod sequence;
mod series;
mod single;
mod sleep;
pub(crate) mod statistics;
mod sum;
pub(crate) mod system;
pub(crate) mod text;
pub(crate) mod wide_sum;

use overload::OverloadedFunction;
use row::RowFunction;

use crate::plan::deferred::Deferred;
use crate::plan::operator::PostgresOperators;
use crate::plan::unify::Unified;

/// Planners of our operators.
pub(crate) fn expr_planners() -> Vec<Arc<dyn ExprPlanner>> {
    vec![Arc::new(json::JsonOperators), Arc::new(PostgresOperators)]
}

/// Our `sum`.
pub(crate) fn sum_function() -> Arc<AggregateUDF> {
    static SUM: LazyLock<Arc<AggregateUDF>> =
        LazyLock::new(|| Arc::new(AggregateUDF::new_from_impl(sum::PostgresSum::new())));
    Arc::clone(&SUM)
}

/// Adds our functions.
pub(crate) fn register(state: &mut SessionState) -> PlanResult<()> {
    let all = system::FUNCTIONS
        .iter()
        .chain(crate::advisory::FUNCTIONS)
        .chain(crate::activity::FUNCTIONS)
        .chain(crate::pg_catalog::locks::FUNCTIONS)
        .chain(crate::statements::FUNCTIONS)
        .chain(sequence::FUNCTIONS)
        .chain(scalar::FUNCTIONS)
        .chain(reg::FUNCTIONS);
    for function in all {
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(RowFunction::new(function))))?;
    }
    for function in sleep::functions().chain(crate::metrics::function::functions()) {
        state.register_udf(Arc::new(function))?;
    }
    for function in crate::metrics::rates::functions() {
        state.register_udaf(Arc::new(function))?;
    }
    for function in overloaded() {
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(OverloadedFunction::new(function))))?;
    }
    for name in Deferred::NAMES {
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(Deferred::new(name))))?;
    }
    for name in Unified::NAMES {
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(Unified::new(name))))?;
    }
    for name in enums::EnumFunction::NAMES {
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(enums::EnumFunction::new(name))))?;
    }
    state.register_udf(Arc::new(ScalarUDF::new_from_impl(domain::DomainCheck::new())))?;
    state.register_udf(Arc::new(ScalarUDF::new_from_impl(collation::Collate::new())))?;
    for name in keeping::Keeping::NAMES {
        let inner = state.udaf(name)?;
        state.register_udaf(Arc::new(AggregateUDF::new_from_impl(keeping::Keeping::new(inner))))?;
    }
    state.register_udaf(sum_function())?;
    for name in statistics::Statistics::NAMES {
        state.register_udaf(Arc::new(AggregateUDF::new_from_impl(statistics::Statistics::new(name))))?;
    }
    state.register_udaf(Arc::new(AggregateUDF::new_from_impl(single::Single::new())))?;
    Ok(())
}

/// All functions with overloads.
fn overloaded() -> impl Iterator<Item = &'static overload::Function> {
    numbers::FUNCTIONS
        .iter()
        .chain(operators::FUNCTIONS)
        .chain(calendar::FUNCTIONS)
        .chain(arrays::FUNCTIONS)
        .chain(series::FUNCTIONS)
        .chain(text::FUNCTIONS)
        .chain(growing::FUNCTIONS)
        .chain(pattern::FUNCTIONS)
        .chain(regex::FUNCTIONS)
        .chain(json::FUNCTIONS)
        .chain(json::build::FUNCTIONS)
        .chain(json::path::FUNCTIONS)
        .chain(crate::pg_catalog::foreign::FUNCTIONS)
        .copied()
}
