//! The physical scan of a columnar table.
//!
//! Each partition reads some row groups, one after another, and one of them also the rows that are not in files;
//! `run` says how.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::config::ConfigOptions;
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, split_conjunction};
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use lightning::{Direction, TransactionReader};
use luma_columns::FileView;
use luma_model::Result;
use luma_rows::{OpenTable, ScanColumn};

use crate::error::to_datafusion;
use crate::plan::columnar::provider::statistics;
use crate::plan::columnar::prune::Groups;
use crate::plan::columnar::run::Run;

/// A table with what one statement sees of it.
pub(super) struct Source {
    pub table: Arc<OpenTable>,
    pub reader: TransactionReader,
    pub views: Vec<FileView>,
    /// Rows that are not in files, about; 0 only if there is none.
    loose_rows: u64,
}

impl Source {
    pub fn new(table: Arc<OpenTable>, reader: TransactionReader, views: Vec<FileView>) -> Result<Self> {
        use lightning::Readable;
        let all = std::ops::Bound::Unbounded;
        let mut loose =
            reader.range(&table.rows, all, all, Direction::Forward).map_err(luma_catalog::engine_error)?;
        let any = loose.next().map_err(luma_catalog::engine_error)?.is_some();
        drop(loose);
        let loose_rows = if any { table.rows.stats().approximate_entries.max(1) } else { 0 };
        Ok(Self { table, reader, views, loose_rows })
    }

    /// About how many rows there are.
    pub fn rows(&self) -> u64 {
        self.views.iter().map(FileView::live_rows).sum::<u64>() + self.loose_rows
    }

    /// Whether [`Source::rows`] is exact.
    pub fn is_exact(&self) -> bool {
        self.loose_rows == 0
    }
}

/// What rows must satisfy to be given.
#[derive(Clone)]
pub(super) struct Filter {
    pub columns: Vec<ScanColumn>,
    pub schema: SchemaRef,
    pub predicate: Arc<dyn PhysicalExpr>,
}

impl Filter {
    /// A predicate over these columns.
    pub fn new(columns: Vec<ScanColumn>, schema: SchemaRef, predicate: Arc<dyn PhysicalExpr>) -> Self {
        Self { columns, schema, predicate }
    }

    /// Its conditions that all have to be true, those on the same columns together: one after another, each unpacks its
    /// columns only where those before let something through.
    pub fn parts(&self) -> PlanResult<Vec<Self>> {
        let mut parts: Vec<(Vec<usize>, Arc<dyn PhysicalExpr>)> = Vec::new();
        for condition in split_conjunction(&self.predicate) {
            let mut places: Vec<usize> = collect_columns(condition).iter().map(Column::index).collect();
            places.sort_unstable();
            match parts.iter_mut().find(|(known, _)| *known == places) {
                Some((_, part)) => {
                    let (left, right) = (Arc::clone(part), Arc::clone(condition));
                    *part = Arc::new(BinaryExpr::new(left, Operator::And, right));
                }
                None => parts.push((places, Arc::clone(condition))),
            }
        }
        // A condition on no column at all needs one to be counted by.
        if parts.len() < 2 || parts.iter().any(|(places, _)| places.is_empty()) {
            return Ok(vec![self.clone()]);
        }
        let narrowed = parts.into_iter().map(|(places, predicate)| {
            let columns = places.iter().filter_map(|place| self.columns.get(*place).copied()).collect();
            let schema = Arc::new(self.schema.project(&places)?);
            let predicate = reassign_expr_columns(predicate, &schema)?;
            Ok(Self::new(columns, schema, predicate))
        });
        narrowed.collect()
    }

    fn pruning(&self) -> Option<Arc<PruningPredicate>> {
        pruning(Arc::clone(&self.predicate), &self.schema)
    }
}

/// What a predicate says of minima and maxima; nothing where they do not matter.
pub(super) fn pruning(predicate: Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Option<Arc<PruningPredicate>> {
    PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema)).build(predicate)
}

/// A part of the work.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    /// A row group of one of the views.
    Group(usize, usize),
    /// The rows that are not in files.
    Loose,
}

/// Reads a columnar table.
#[derive(Clone)]
pub(crate) struct ColumnScanExec {
    pub(super) source: Arc<Source>,
    pub(super) columns: Vec<ScanColumn>,
    pub(super) schema: SchemaRef,
    pub(super) filter: Option<Filter>,
    /// The share of rows that pass it, about.
    share: f64,
    /// Filters that become known while the query runs, over what is given; who made them applies them again.
    pub(super) dynamic: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) limit: Option<usize>,
    partitions: Vec<Vec<Unit>>,
    groups: usize,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ColumnScanExec {
    pub(super) fn new(
        source: Arc<Source>,
        columns: Vec<ScanColumn>,
        schema: SchemaRef,
        filter: Option<(Filter, f64)>,
        limit: Option<usize>,
        target_partitions: usize,
    ) -> Result<Self> {
        let (filter, share) = filter.map_or((None, 1.0), |(filter, share)| (Some(filter), share));
        let pruning = filter.as_ref().and_then(Filter::pruning);
        let mut units = Vec::new();
        for (place, view) in source.views.iter().enumerate() {
            let all: Vec<usize> = (0..view.groups()?).collect();
            let kept = match (&pruning, &filter) {
                (Some(pruning), Some(filter)) => {
                    let columns = named(&filter.schema, &filter.columns);
                    Groups { view, columns: &columns, chosen: &all }.keep(pruning)
                }
                _ => all,
            };
            units.extend(kept.into_iter().map(|group| Unit::Group(place, group)));
        }
        let groups = units.len();
        if source.loose_rows > 0 {
            units.push(Unit::Loose);
        }
        let count =
            if limit.is_some() && filter.is_none() { 1 } else { target_partitions.min(units.len()).max(1) };
        let mut partitions = vec![Vec::new(); count];
        for (place, unit) in units.into_iter().enumerate() {
            if let Some(partition) = partitions.get_mut(place % count) {
                partition.push(unit);
            }
        }
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(count),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            source,
            columns,
            schema,
            filter,
            share,
            dynamic: Vec::new(),
            limit,
            partitions,
            groups,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// Statistics of what passes, estimated as a filter above the whole table would.
    fn filtered_statistics(&self, filter: &Filter) -> PlanResult<Statistics> {
        // The columns wanted, then those that only the filter looks at.
        let mut columns = self.columns.clone();
        let mut fields: Vec<_> = self.schema.fields().iter().cloned().collect();
        let mut places = Vec::new();
        for (column, field) in filter.columns.iter().zip(filter.schema.fields()) {
            let place = columns.iter().position(|known| known == column).unwrap_or_else(|| {
                columns.push(*column);
                fields.push(Arc::clone(field));
                columns.len() - 1
            });
            places.push(place);
        }
        let schema = Arc::new(Schema::new(fields));
        let whole = Self {
            filter: None,
            columns,
            schema: Arc::clone(&schema),
            properties: Arc::new(PlanProperties::new(
                EquivalenceProperties::new(Arc::clone(&schema)),
                Partitioning::UnknownPartitioning(1),
                EmissionType::Incremental,
                Boundedness::Bounded,
            )),
            ..self.clone()
        };
        let predicate =
            datafusion::physical_expr::utils::reassign_expr_columns(Arc::clone(&filter.predicate), &schema)?;
        let filtered: Arc<dyn ExecutionPlan> = Arc::new(FilterExec::try_new(predicate, Arc::new(whole))?);
        let found = StatisticsContext::new().compute(filtered.as_ref(), &StatisticsArgs::new())?;
        let mut found = found.as_ref().clone();
        found.column_statistics.truncate(self.columns.len());
        // Numbers of different values say more than bounds do, which is all that the filter above goes by.
        found.num_rows = Precision::Inexact((self.source.rows() as f64 * self.share).ceil() as usize);
        Ok(found.to_inexact())
    }
}

/// Columns with their names.
pub(super) fn named(schema: &Schema, columns: &[ScanColumn]) -> Vec<(String, ScanColumn)> {
    schema.fields().iter().zip(columns).map(|(field, column)| (field.name().clone(), *column)).collect()
}

impl fmt::Debug for ColumnScanExec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ColumnScanExec({})", self.source.table.definition.name)
    }
}

impl DisplayAs for ColumnScanExec {
    fn fmt_as(&self, _form: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "ColumnScan: table={}, files={}, row_groups={}, loose_rows~{}",
            self.source.table.definition.name,
            self.source.views.len(),
            self.groups,
            self.source.loose_rows
        )?;
        if let Some(filter) = &self.filter {
            write!(formatter, ", filter={}", filter.predicate)?;
        }
        if !self.dynamic.is_empty() {
            let shown: Vec<String> = self.dynamic.iter().map(ToString::to_string).collect();
            write!(formatter, ", dynamic=[{}]", shown.join(", "))?;
        }
        if let Some(limit) = self.limit {
            write!(formatter, ", limit={limit}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for ColumnScanExec {
    fn name(&self) -> &'static str {
        "ColumnScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> PlanResult<TreeNodeRecursion>,
    ) -> PlanResult<TreeNodeRecursion> {
        for expr in self.filter.iter().map(|filter| &filter.predicate).chain(&self.dynamic) {
            if visit(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        given: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> PlanResult<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let filters: Vec<_> = given.parent_filters.into_iter().map(|filter| filter.filter).collect();
        let answer =
            FilterPushdownPropagation::with_parent_pushdown_result(vec![PushedDown::No; filters.len()]);
        if !matches!(phase, FilterPushdownPhase::Post) || filters.is_empty() {
            return Ok(answer);
        }
        let dynamic = self.dynamic.iter().cloned().chain(filters).collect();
        Ok(answer.with_updated_node(Arc::new(Self { dynamic, ..self.clone() })))
    }

    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> PlanResult<SendableRecordBatchStream> {
        let units = self.partitions.get(partition).cloned().unwrap_or_default();
        let skipped = MetricBuilder::new(&self.metrics).counter("row_groups_skipped", partition);
        let left_out = MetricBuilder::new(&self.metrics).counter("rows_left_out", partition);
        let mut run = Run::new(self.clone(), units, skipped, left_out)?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = std::iter::from_fn(move || {
            let timer = metrics.elapsed_compute().timer();
            let batch = run.next().transpose();
            timer.done();
            if let Some(Ok(batch)) = &batch {
                metrics.record_output(batch.num_rows());
            }
            batch.map(|batch| batch.map_err(to_datafusion))
        });
        let stream = RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::iter(batches));
        Ok(make_cooperative(Box::pin(stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, partition: Option<usize>) -> PlanResult<Arc<Statistics>> {
        if partition.is_some() && self.partitions.len() > 1 {
            return Ok(Arc::new(Statistics::new_unknown(&self.schema)));
        }
        Ok(Arc::new(match &self.filter {
            Some(filter) => self.filtered_statistics(filter)?,
            None => statistics(&self.source, &self.columns).with_fetch(self.limit, 0, 1)?,
        }))
    }

    fn fetch(&self) -> Option<usize> {
        self.limit
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(Self { limit, ..self.clone() }))
    }
}
