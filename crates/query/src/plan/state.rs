//! DataFusion's state: functions, rules, memory, spilling. Built once; statements copy it.

use std::sync::Arc;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::optimizer::{Analyzer, Optimizer, OptimizerRule};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;
use luma_model::Result;

use crate::database::DatabaseOptions;
use crate::error::from_datafusion;
use crate::functions;
use crate::plan::apply::{ApplyLeft, ApplyRefused};
use crate::plan::compensated::CompensatedTypes;
use crate::plan::cooperative::YieldInJoins;
use crate::plan::distinct::DistinctInTwoSteps;
use crate::plan::extreme::ExtremesFromKeys;
use crate::plan::few_groups::FewGroups;
use crate::plan::index_order::{FewRowsOnOneThread, OrderFromIndex};
use crate::plan::join_order::JoinOrder;
use crate::plan::lateral_rows::ApplyLeftLateral;
use crate::plan::one_name::OneName;
use crate::plan::one_row::OneRowStays;
use crate::plan::typing::{PostgresTypePlanner, PostgresTypes};
use crate::plan::{passing, watch};

/// Consumers named in an out-of-memory error.
const NAMED_CONSUMERS: usize = 3;

/// Builds the state that sessions copy.
pub(crate) fn build(options: &DatabaseOptions) -> Result<SessionState> {
    let pool = TrackConsumersPool::new(
        FairSpillPool::new(options.statement_memory_bytes),
        std::num::NonZeroUsize::new(NAMED_CONSUMERS).unwrap_or(std::num::NonZeroUsize::MIN),
    );
    let disk = match &options.spill_dir {
        Some(directory) => DiskManagerMode::Directories(vec![directory.clone()]),
        None => DiskManagerMode::Disabled,
    };
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(disk))
        .build_arc()
        .map_err(from_datafusion)?;
    let mut config = SessionConfig::new()
        .with_target_partitions(options.query_threads.max(1))
        .with_information_schema(false)
        .with_create_default_catalog_and_schema(false);
    let parser = &mut config.options_mut().sql_parser;
    parser.parse_float_as_decimal = true;
    parser.enable_ident_normalization = true;
    parser.default_null_ordering = "nulls_max".into();
    // Rows come in the order of a subquery where nothing else orders them.
    parser.enable_subquery_sort_elimination = false;
    config.options_mut().execution.time_zone = Some("+00:00".into());
    let mut analyzer = Analyzer::new();
    analyzer.rules.insert(0, Arc::new(PostgresTypes));
    analyzer.rules.push(Arc::new(ApplyRefused));
    let mut optimizer = Optimizer::new();
    // It takes the key of one table for that of a join: `ORDER BY a.id, b.name` became `ORDER BY a.id` over groups by both.
    // The other one puts what is left of a UNION or an outer join under names that are others' there, and NULLs that are no `jsonb` any more.
    let unsound = ["eliminate_duplicated_expr", "propagate_empty_relation"];
    optimizer.rules.retain(|rule| !unsound.contains(&rule.name()));
    let subqueries =
        |name: &str| matches!(name, "decorrelate_predicate_subquery" | "scalar_subquery_to_join");
    let after = optimizer.rules.iter().rposition(|rule| subqueries(rule.name())).map_or(0, |place| place + 1);
    optimizer.rules.insert(after, Arc::new(ApplyLeft));
    let place = |rules: &[Arc<dyn OptimizerRule + Send + Sync>], name: &str| {
        rules.iter().position(|rule| rule.name() == name).unwrap_or(rules.len())
    };
    let lateral = place(&optimizer.rules, "decorrelate_lateral_join");
    let behind = (lateral + 1).min(optimizer.rules.len());
    optimizer
        .rules
        .splice(behind..behind, [Arc::new(ApplyLeftLateral) as _, Arc::new(CompensatedTypes) as _]);
    let single = place(&optimizer.rules, "single_distinct_aggregation_to_group_by");
    optimizer
        .rules
        .splice(single..(single + 1).min(optimizer.rules.len()), [Arc::new(DistinctInTwoSteps) as _]);
    // Before conditions are at their tables, where the one that is added belongs, too.
    let pushed = place(&optimizer.rules, "push_down_filter");
    optimizer.rules.splice(pushed..pushed, [Arc::new(ExtremesFromKeys) as _, Arc::new(OneRowStays) as _]);
    // Conditions are at their tables by then, and no projections between joins.
    let pushed = place(&optimizer.rules, "push_down_filter");
    optimizer.rules.insert((pushed + 1).min(optimizer.rules.len()), Arc::new(JoinOrder));
    let mut physical = OneName::within(PhysicalOptimizer::new().rules);
    FewGroups::within(&mut physical);
    let required = physical.iter().position(|rule| rule.name() == "OutputRequirements");
    physical.insert(required.map_or(0, |place| place + 1), Arc::new(OrderFromIndex));
    let distributed = physical.iter().position(|rule| rule.name() == "EnsureRequirements");
    physical.insert(distributed.map_or(physical.len(), |place| place + 1), Arc::new(FewRowsOnOneThread));
    physical.push(Arc::new(YieldInJoins));
    // Rows that have their order keep it rather than being sorted again on more threads.
    config.options_mut().optimizer.prefer_existing_sort = true;
    // What it leaves out for `min(a), max(b)` is decided by those bounds that are known: rows that the others would
    // have needed are gone.
    config.options_mut().optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    config.options_mut().optimizer.use_statistics_registry = true;
    let mut builder = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_type_planner(Arc::new(PostgresTypePlanner))
        .with_analyzer_rules(analyzer.rules)
        .with_optimizer_rules(watch::with_watches(optimizer.rules))
        .with_physical_optimizer_rules(physical)
        .with_statistics_registry(passing::registry());
    // Our operators come first, so that they win over DataFusion's.
    if let Some(planners) = builder.expr_planners() {
        planners.splice(0..0, functions::expr_planners());
    }
    let mut state = builder.build();
    functions::register(&mut state).map_err(from_datafusion)?;
    Ok(state)
}
