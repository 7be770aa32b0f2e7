//! Rows in the order of an index instead of sorted.
//!
//! A sort whose rows come straight from a table asks the table's scan for a key that has the order. The sort
//! goes where the scan finds one that is cheaper; with a LIMIT the scan then stops as soon as it is full. The
//! order stays a requirement of the plan, so that a later rule that loses it has to bring the sort back.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result as PlanResult;
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};

use crate::plan::scan::RowScanExec;

/// The rule; see the module.
#[derive(Debug)]
pub(crate) struct OrderFromIndex;

impl PhysicalOptimizerRule for OrderFromIndex {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let Some(sort) = node.downcast_ref::<SortExec>() else { return Ok(Transformed::no(node)) };
            let order: Vec<PhysicalSortExpr> = sort.expr().iter().cloned().collect();
            let Some(ordered) = in_order(sort.input(), &order, sort.fetch())? else {
                return Ok(Transformed::no(node));
            };
            let limit = sort.fetch();
            Ok(Transformed::yes(match limit {
                Some(limit) => Arc::new(GlobalLimitExec::new(ordered, 0, Some(limit))),
                None => ordered,
            }))
        })
        .map(|done| done.data)
    }

    fn name(&self) -> &'static str {
        "order_from_index"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Keeps the few rows that a LIMIT wants of an ordered scan on one thread: a second one would read ahead.
#[derive(Debug)]
pub(crate) struct FewRowsOnOneThread;

impl PhysicalOptimizerRule for FewRowsOnOneThread {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let input = node.downcast_ref::<RepartitionExec>().map(RepartitionExec::input);
            let few = input.filter(|input| {
                input.downcast_ref::<RowScanExec>().is_some_and(RowScanExec::gives_first_rows)
            });
            Ok(match few.map(Arc::clone) {
                Some(scan) => Transformed::yes(scan),
                None => Transformed::no(node),
            })
        })
        .map(|done| done.data)
    }

    fn name(&self) -> &'static str {
        "few_rows_on_one_thread"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The plan with its rows in that order, if they come from one table that has a key for it.
fn in_order(
    plan: &Arc<dyn ExecutionPlan>,
    order: &[PhysicalSortExpr],
    first: Option<usize>,
) -> PlanResult<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(scan) = plan.downcast_ref::<RowScanExec>() {
        return Ok(scan.in_order(order, first).map(|scan| Arc::new(scan) as Arc<dyn ExecutionPlan>));
    }
    let below = if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        renamed(order, |place| {
            let column = projection.expr().get(place)?.expr.downcast_ref::<Column>()?;
            Some(column.clone())
        })
    } else if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        match filter.projection() {
            None => Some(order.to_vec()),
            Some(kept) => renamed(order, |place| {
                let place = *kept.get(place)?;
                Some(Column::new(filter.input().schema().fields().get(place)?.name(), place))
            }),
        }
    } else if plan.downcast_ref::<CooperativeExec>().is_some() {
        Some(order.to_vec())
    } else {
        None
    };
    let children = plan.children();
    let (Some(below), [input]) = (below, children.as_slice()) else { return Ok(None) };
    let Some(input) = in_order(input, &below, first)? else { return Ok(None) };
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(plan).replace_children(vec![input], options).map(Some)
}

/// The order in the columns of the input; `None` if it is by something that is computed.
fn renamed(
    order: &[PhysicalSortExpr],
    below: impl Fn(usize) -> Option<Column>,
) -> Option<Vec<PhysicalSortExpr>> {
    order
        .iter()
        .map(|part| {
            let column = below(part.expr.downcast_ref::<Column>()?.index())?;
            Some(PhysicalSortExpr { expr: Arc::new(column), options: part.options })
        })
        .collect()
}
