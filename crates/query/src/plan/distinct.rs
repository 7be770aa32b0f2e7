//! Aggregates of different values in two steps.
//!
//! `count(DISTINCT a) … GROUP BY k` keeps a set of values for each group in memory, one value after another. Grouped by
//! `k` and `a` first, and then by `k`, the same is two plain aggregations, which work on columns and spill. Aggregates
//! beside it whose parts can be put together are computed in both steps. All DISTINCT ones must be of one expression.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType as ArrowType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result as PlanResult;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, Expr, ExprSchemable, LogicalPlan, Projection, cast, lit,
};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use crate::functions::{sum_function, wide_sum};

/// The name of the different values between the steps.
const VALUE: &str = "__luma_value";

/// The rule; see the module.
#[derive(Debug)]
pub(crate) struct DistinctInTwoSteps;

impl OptimizerRule for DistinctInTwoSteps {
    fn name(&self) -> &'static str {
        "distinct_in_two_steps"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> PlanResult<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        // `GROUP BY a, a` gives one column; what goes by the places of groups has to see one group, too.
        let mut groups: Vec<Expr> = Vec::with_capacity(aggregate.group_expr.len());
        for group in &aggregate.group_expr {
            if !groups.contains(group) {
                groups.push(group.clone());
            }
        }
        if groups.len() == aggregate.group_expr.len() {
            let steps = in_two_steps(aggregate)?;
            return Ok(steps.map_or_else(|| Transformed::no(plan), Transformed::yes));
        }
        let once = Aggregate::try_new(Arc::clone(&aggregate.input), groups, aggregate.aggr_expr.clone())?;
        let steps = in_two_steps(&once)?;
        Ok(Transformed::yes(steps.unwrap_or(LogicalPlan::Aggregate(once))))
    }
}

/// What puts the parts of an aggregate together.
enum Together {
    /// The aggregate itself.
    Same(Arc<AggregateUDF>),
    /// The sum of the parts, 0 of none.
    Count,
}

impl Together {
    fn of(function: &Arc<AggregateUDF>) -> Option<Self> {
        match function.name() {
            "min" | "max" | "bool_and" | "bool_or" | "bit_and" | "bit_or" => {
                Some(Self::Same(Arc::clone(function)))
            }
            "count" => Some(Self::Count),
            "sum" => Some(Self::Same(sum_function())),
            _ if wide_sum::is(function) => Some(Self::Same(sum_function())),
            _ => None,
        }
    }

    fn expr(self, part: Expr) -> Expr {
        let call = |function| {
            let arguments = vec![part];
            Expr::AggregateFunction(AggregateFunction::new_udf(
                function,
                arguments,
                false,
                None,
                Vec::new(),
                None,
            ))
        };
        match self {
            Self::Same(function) => call(function),
            Self::Count => call(sum_udaf()),
        }
    }
}

/// The expression that all DISTINCT aggregates are of; `None` where there is none, or several.
fn distinct_value<'a>(aggregates: &[&'a AggregateFunctionParams]) -> Option<&'a Expr> {
    let mut found = None;
    for params in aggregates.iter().filter(|params| params.distinct) {
        let [value] = params.args.as_slice() else { return None };
        if params.filter.is_some() || found.is_some_and(|known| known != value) {
            return None;
        }
        found = Some(value);
    }
    found
}

fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

fn in_two_steps(aggregate: &Aggregate) -> PlanResult<Option<LogicalPlan>> {
    let sets = matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_), ..]);
    let calls: Option<Vec<&AggregateFunction>> = aggregate
        .aggr_expr
        .iter()
        .map(|expr| match expr {
            Expr::AggregateFunction(function) if function.params.order_by.is_empty() => Some(function),
            _ => None,
        })
        .collect();
    let Some(calls) = calls.filter(|_| !sets) else { return Ok(None) };
    let params: Vec<&AggregateFunctionParams> = calls.iter().map(|call| &call.params).collect();
    let Some(value) = distinct_value(&params) else { return Ok(None) };
    let input = aggregate.input.schema();
    // Numbers of any scale are equal in several forms, which groups keep apart.
    let apart = |data_type: &ArrowType| *data_type == ArrowType::LargeBinary || data_type.is_nested();
    if value.is_volatile() || apart(&value.get_type(input)?) {
        return Ok(None);
    }

    let keys = aggregate.group_expr.iter().enumerate();
    let mut groups: Vec<Expr> =
        keys.map(|(place, key)| key.clone().alias(format!("__luma_key_{place}"))).collect();
    groups.push(value.clone().alias(VALUE));
    let (mut parts, mut wholes) = (Vec::new(), Vec::new());
    for (place, call) in calls.iter().enumerate() {
        let AggregateFunction { func, params } = call;
        if params.distinct {
            let arguments = vec![column(VALUE)];
            let nulls = params.null_treatment;
            let plain =
                AggregateFunction::new_udf(Arc::clone(func), arguments, false, None, Vec::new(), nulls);
            wholes.push((Expr::AggregateFunction(plain), false));
            continue;
        }
        let Some(together) = Together::of(func) else { return Ok(None) };
        let part = format!("__luma_part_{place}");
        let counts = matches!(together, Together::Count);
        parts.push(Expr::AggregateFunction((*call).clone()).alias(&part));
        wholes.push((together.expr(column(&part)), counts));
    }
    let first = LogicalPlan::Aggregate(Aggregate::try_new(Arc::clone(&aggregate.input), groups, parts)?);
    let keys: Vec<Expr> =
        (0..aggregate.group_expr.len()).map(|place| column(&format!("__luma_key_{place}"))).collect();
    let whole: Vec<Expr> = wholes.iter().map(|(expr, _)| expr.clone()).collect();
    let second = Aggregate::try_new(Arc::new(first), keys.clone(), whole)?;
    let columns = named(aggregate, &second.schema, keys.into_iter().map(|key| (key, false)).chain(wholes))?;
    Ok(Some(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(LogicalPlan::Aggregate(second)))?)))
}

/// What the second step gives under the names and with the types that the aggregate has.
fn named(
    aggregate: &Aggregate,
    given: &DFSchema,
    wholes: impl Iterator<Item = (Expr, bool)>,
) -> PlanResult<Vec<Expr>> {
    wholes
        .zip(aggregate.schema.iter())
        .zip(given.columns())
        .map(|(((_, counts), (qualifier, field)), column)| {
            let mut expr = Expr::Column(column);
            if counts {
                expr = coalesce(vec![expr, lit(0i64)]);
            }
            if expr.get_type(given)? != *field.data_type() {
                expr = cast(expr, field.data_type().clone());
            }
            Ok(expr.alias_qualified(qualifier.cloned(), field.name()))
        })
        .collect()
}
