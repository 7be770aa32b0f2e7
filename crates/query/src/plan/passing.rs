//! How many rows a physical plan gives, where that decides which side of a join is kept in memory.
//!
//! DataFusion takes a fifth of the rows to pass a filter it cannot reason about. Of a row table more is known: see
//! `plan/estimate`. Everything above is computed from that as operators do.

use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::error::Result as PlanResult;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::operator_statistics::{
    ExtendedStatistics, StatisticsProvider, StatisticsRegistry, StatisticsResult,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};

use crate::plan::scan::RowScanExec;

/// What optimizer rules ask about plans.
pub(super) fn registry() -> StatisticsRegistry {
    StatisticsRegistry::with_providers(vec![Arc::new(RowsThatPass)])
}

#[derive(Debug)]
struct RowsThatPass;

impl StatisticsProvider for RowsThatPass {
    fn compute_statistics(
        &self,
        plan: &dyn ExecutionPlan,
        below: &[ExtendedStatistics],
    ) -> PlanResult<StatisticsResult> {
        let args = StatisticsArgs::new();
        let asked = plan.child_stats_requests(args.partition());
        let inputs: Vec<Arc<Statistics>> = plan
            .children()
            .iter()
            .zip(below)
            .zip(asked)
            .map(|((child, known), asked)| match asked {
                ChildStats::Skip => Arc::new(Statistics::new_unknown(&child.schema())),
                ChildStats::At(_) => Arc::clone(known.base_arc()),
            })
            .collect();
        let found = plan.statistics_from_inputs(&inputs, &args)?;
        let scan = plan.downcast_ref::<FilterExec>().and_then(|filter| filter.input().downcast_ref());
        Ok(StatisticsResult::Computed(match scan.map(RowScanExec::passing) {
            Some(rows) => Statistics {
                num_rows: Precision::Inexact(rows as usize),
                total_byte_size: Precision::Absent,
                column_statistics: vec![ColumnStatistics::new_unknown(); found.column_statistics.len()],
            }
            .into(),
            None => found.into(),
        }))
    }
}
