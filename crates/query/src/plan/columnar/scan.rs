//! The physical scan of a columnar table.
//!
//! Each partition reads some row groups, one after another, and one of them also the rows that are not in files.
//! Rows are passed by the filter while a row group is read, so that the other columns are unpacked only where
//! it passes; where most rows pass, that costs more than it saves, and the filter is applied to whole batches.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, BooleanArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{filter_record_batch, prep_null_mask_filter};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::Statistics;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_expr_common::physical_expr::snapshot_physical_expr;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use lightning::{Direction, TransactionReader};
use luma_columns::{FileView, Predicate};
use luma_model::{Error, Result};
use luma_rows::{Access, FileScan, OpenTable, RowScan, ScanColumn};

use crate::error::{from_datafusion, to_datafusion};
use crate::plan::columnar::provider::statistics;
use crate::plan::columnar::prune::Groups;

/// The share of rows that pass from which a filter is applied to whole batches.
const MANY_PASS: f64 = 0.3;

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
    columns: Vec<ScanColumn>,
    schema: SchemaRef,
    predicate: Arc<dyn PhysicalExpr>,
}

impl Filter {
    /// A predicate over these columns.
    pub fn new(columns: Vec<ScanColumn>, schema: SchemaRef, predicate: Arc<dyn PhysicalExpr>) -> Self {
        Self { columns, schema, predicate }
    }

    fn pruning(&self) -> Option<Arc<PruningPredicate>> {
        pruning(Arc::clone(&self.predicate), &self.schema)
    }
}

/// What a predicate says of minima and maxima; nothing where they do not matter.
fn pruning(predicate: Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Option<Arc<PruningPredicate>> {
    PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema)).build(predicate)
}

/// Which rows of a batch satisfy a predicate; NULL is no.
fn passes(predicate: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> PlanResult<BooleanArray> {
    let given = predicate.evaluate(batch)?.into_array(batch.num_rows())?;
    let mask = as_boolean_array(&given)?;
    Ok(if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() })
}

/// A part of the work.
#[derive(Clone, Copy)]
enum Unit {
    /// A row group of one of the views.
    Group(usize, usize),
    /// The rows that are not in files.
    Loose,
}

/// Reads a columnar table.
#[derive(Clone)]
pub(crate) struct ColumnScanExec {
    source: Arc<Source>,
    columns: Vec<ScanColumn>,
    schema: SchemaRef,
    filter: Option<Filter>,
    /// Filters that become known while the query runs, over what is given; they only leave out row groups.
    dynamic: Vec<Arc<dyn PhysicalExpr>>,
    limit: Option<usize>,
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
        filter: Option<Filter>,
        limit: Option<usize>,
        target_partitions: usize,
    ) -> Result<Self> {
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
        Ok(found.to_inexact())
    }
}

fn named(schema: &Schema, columns: &[ScanColumn]) -> Vec<(String, ScanColumn)> {
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
        let mut run = Run {
            scan: self.clone(),
            units: units.into_iter(),
            current: None,
            remaining: self.limit.unwrap_or(usize::MAX),
            seen: 0,
            passed: Arc::default(),
            skipped: MetricBuilder::new(&self.metrics).counter("row_groups_skipped", partition),
        };
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

/// What is read now.
enum Reading {
    File(Box<FileScan>),
    Loose(Box<RowScan>),
}

/// A partition on its way.
struct Run {
    scan: ColumnScanExec,
    units: std::vec::IntoIter<Unit>,
    /// What is read, and whether the filter is still to be applied.
    current: Option<(Reading, bool)>,
    remaining: usize,
    /// Rows that the filter looked at while row groups were read, and those of them that passed.
    seen: u64,
    passed: Arc<std::sync::atomic::AtomicU64>,
    skipped: Count,
}

impl Run {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        while self.remaining > 0 {
            let Some((reading, whole)) = &mut self.current else {
                let Some(unit) = self.units.next() else { return Ok(None) };
                self.begin(unit)?;
                continue;
            };
            let batch = match reading {
                Reading::File(scan) => scan.next_batch()?,
                Reading::Loose(scan) => scan.next_batch(8192)?,
            };
            let Some(batch) = batch else {
                self.current = None;
                continue;
            };
            let batch = if *whole { self.filtered(&batch).map_err(from_datafusion)? } else { batch };
            if batch.num_rows() == 0 {
                continue;
            }
            let batch =
                if batch.num_rows() > self.remaining { batch.slice(0, self.remaining) } else { batch };
            self.remaining -= batch.num_rows();
            return Ok(Some(batch));
        }
        Ok(None)
    }

    /// The columns wanted, then those that only the filter looks at.
    fn with_filter_columns(&self, filter: &Filter) -> (Vec<ScanColumn>, SchemaRef) {
        let mut columns = self.scan.columns.clone();
        let mut fields: Vec<_> = self.scan.schema.fields().iter().cloned().collect();
        for (column, field) in filter.columns.iter().zip(filter.schema.fields()) {
            if !columns.contains(column) {
                columns.push(*column);
                fields.push(Arc::clone(field));
            }
        }
        (columns, Arc::new(Schema::new(fields)))
    }

    /// The rows of a batch that pass, without the columns that only the filter looks at.
    fn filtered(&self, batch: &RecordBatch) -> PlanResult<RecordBatch> {
        let Some(filter) = &self.scan.filter else { return Ok(batch.clone()) };
        let looked_at = filter
            .schema
            .fields()
            .iter()
            .map(|field| {
                let found = batch.column_by_name(field.name()).map(Arc::clone);
                found.ok_or_else(|| DataFusionError::Internal("a filter's column was not read".into()))
            })
            .collect::<PlanResult<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let looked_at = RecordBatch::try_new_with_options(Arc::clone(&filter.schema), looked_at, &options)?;
        let mask = passes(&filter.predicate, &looked_at)?;
        let wanted: Vec<usize> = (0..self.scan.columns.len()).collect();
        Ok(filter_record_batch(&batch.project(&wanted)?, &mask)?)
    }

    fn begin(&mut self, unit: Unit) -> Result<()> {
        let scan = &self.scan;
        let table = Arc::clone(&scan.source.table);
        let Unit::Group(place, group) = unit else {
            let (columns, schema) = match &scan.filter {
                Some(filter) => self.with_filter_columns(filter),
                None => (scan.columns.clone(), Arc::clone(&scan.schema)),
            };
            let reader = scan.source.reader.clone();
            let rows = RowScan::new(table, reader, Access::all(), Direction::Forward, columns, schema, None);
            self.current = Some((Reading::Loose(Box::new(rows)), scan.filter.is_some()));
            return Ok(());
        };
        let Some(view) = scan.source.views.get(place) else {
            return Err(Error::internal("a scan's file is not there"));
        };
        if self.is_ruled_out(view, group) {
            self.skipped.add(1);
            return Ok(());
        }
        let (mut columns, mut schema) = (scan.columns.clone(), Arc::clone(&scan.schema));
        let mut whole = false;
        let mut predicate = None;
        if let Some(filter) = &scan.filter {
            let wanted: Vec<_> = filter
                .columns
                .iter()
                .filter_map(|column| match column {
                    ScanColumn::Value(ordinal) => Some(table.wanted(*ordinal)),
                    _ => None,
                })
                .collect();
            let more = columns.iter().any(|column| !filter.columns.contains(column));
            let passed = self.passed.load(std::sync::atomic::Ordering::Relaxed);
            let many = self.seen > 0 && passed as f64 >= self.seen as f64 * MANY_PASS;
            whole = many || !more || !view.has_any(&wanted)?;
            if whole {
                (columns, schema) = self.with_filter_columns(filter);
            } else {
                let filter = filter.clone();
                let passed = Arc::clone(&self.passed);
                let evaluate = move |columns, rows| {
                    let options = RecordBatchOptions::new().with_row_count(Some(rows));
                    let batch =
                        RecordBatch::try_new_with_options(Arc::clone(&filter.schema), columns, &options)
                            .map_err(|error| Error::internal(format!("a filter's columns: {error}")))?;
                    let mask = passes(&filter.predicate, &batch).map_err(from_datafusion)?;
                    passed.fetch_add(mask.true_count() as u64, std::sync::atomic::Ordering::Relaxed);
                    Ok(mask)
                };
                predicate = Some(Predicate { columns: wanted, evaluate: Box::new(evaluate) });
            }
        }
        if predicate.is_some() {
            self.seen += view.group_rows(group)?;
        }
        let file = FileScan::open(table, view, group, columns, schema, None, predicate)?;
        self.current = Some((Reading::File(Box::new(file)), whole));
        Ok(())
    }

    /// Whether what became known while the query runs says that nothing in the row group is wanted.
    fn is_ruled_out(&self, view: &FileView, group: usize) -> bool {
        self.scan.dynamic.iter().any(|filter| {
            let Ok(now) = snapshot_physical_expr(Arc::clone(filter)) else { return false };
            let Some(pruning) = pruning(now, &self.scan.schema) else { return false };
            let columns = named(&self.scan.schema, &self.scan.columns);
            Groups { view, columns: &columns, chosen: &[group] }.keep(&pruning).is_empty()
        })
    }
}
