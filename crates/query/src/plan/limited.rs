//! LIMITs that DataFusion does not know: FETCH FIRST … WITH TIES, and counts that are subqueries.
//!
//! The rows are numbered in their order, and a condition takes the place of the LIMIT:
//!
//! ```text
//! Limit with_ties(n)        Sort k
//!   Sort k             →      Filter number > skip AND rank <= skip + n
//!     …                         Window row_number(), rank() OVER (ORDER BY k)
//! ```

use datafusion::arrow::datatypes::DataType as ArrowType;
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as PlanResult;
use datafusion::functions_window::expr_fn::{rank, row_number};
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, Limit, LogicalPlan, LogicalPlanBuilder, Projection, cast, lit,
};
use datafusion::prelude::coalesce;

/// The function that stands around the count of FETCH FIRST … WITH TIES.
pub(crate) const WITH_TIES: &str = "luma_with_ties";
const NUMBER: &str = "luma_number";
const RANK: &str = "luma_rank";

/// Applies this to a plan and all of its subqueries.
pub(crate) fn rewrite(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Limit(limit) => numbered(limit),
        other => Ok(Transformed::no(other)),
    })
    .map(|done| done.data)
}

/// The count that WITH TIES stands beside.
fn tied(fetch: Option<&Expr>) -> Option<&Expr> {
    match fetch? {
        Expr::ScalarFunction(function) if function.func.name() == WITH_TIES => function.args.first(),
        Expr::Cast(cast) => tied(Some(&cast.expr)),
        _ => None,
    }
}

fn is_subquery(count: Option<&Expr>) -> PlanResult<bool> {
    count.map_or(Ok(false), |count| count.exists(|part| Ok(matches!(part, Expr::ScalarSubquery(_)))))
}

fn numbered(limit: Limit) -> PlanResult<Transformed<LogicalPlan>> {
    let ties = tied(limit.fetch.as_deref()).cloned();
    let skip = limit.skip.as_deref().cloned();
    let fetch = ties.clone().or(limit.fetch.as_deref().cloned());
    if ties.is_none() && !is_subquery(fetch.as_ref())? && !is_subquery(skip.as_ref())? {
        return Ok(Transformed::no(LogicalPlan::Limit(limit)));
    }
    let plan = below(limit.input.as_ref().clone(), &|input, keys| {
        counted(input, keys, skip.as_ref(), fetch.as_ref(), ties.is_some())
    })?;
    Ok(Transformed::yes(plan))
}

/// Puts the condition under the sort, which may be behind projections that take its own columns away.
fn below(
    plan: LogicalPlan,
    place: &dyn Fn(LogicalPlan, &[Sort]) -> PlanResult<LogicalPlan>,
) -> PlanResult<LogicalPlan> {
    match plan {
        LogicalPlan::Projection(projection) if sorted(&projection.input) => {
            let input = below(projection.input.as_ref().clone(), place)?;
            Projection::try_new(projection.expr, input.into()).map(LogicalPlan::Projection)
        }
        LogicalPlan::Sort(sort) => {
            let input = place(sort.input.as_ref().clone(), &sort.expr)?;
            LogicalPlanBuilder::from(input).sort(sort.expr)?.build()
        }
        other => place(other, &[]),
    }
}

fn sorted(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(projection) => sorted(&projection.input),
        _ => false,
    }
}

/// The rows of `input` between the counts.
fn counted(
    input: LogicalPlan,
    keys: &[Sort],
    skip: Option<&Expr>,
    fetch: Option<&Expr>,
    ties: bool,
) -> PlanResult<LogicalPlan> {
    let own: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    let over = |function: Expr, name: &str| -> PlanResult<Expr> {
        let function = if keys.is_empty() { function } else { function.order_by(keys.to_vec()).build()? };
        Ok(function.alias(name))
    };
    let mut windows = vec![over(row_number(), NUMBER)?];
    if ties {
        windows.push(over(rank(), RANK)?);
    }
    let count = |expr: &Expr, none: i64| coalesce(vec![cast(expr.clone(), ArrowType::Int64), lit(none)]);
    let column = |name: &str| cast(Expr::Column(Column::new_unqualified(name)), ArrowType::Int64);
    let skip = skip.map_or_else(|| lit(0i64), |skip| count(skip, 0));
    let mut condition = column(NUMBER).gt(skip.clone());
    if let Some(fetch) = fetch {
        // NULL is no limit; half of the numbers leaves room for what is skipped.
        let fetch = count(fetch, i64::MAX / 2);
        let last = if ties { RANK } else { NUMBER };
        condition = condition.and(fetch.clone().gt(lit(0i64))).and(column(last).lt_eq(skip + fetch));
    }
    LogicalPlanBuilder::from(input).window(windows)?.filter(condition)?.project(own)?.build()
}
