//! The physical scan of a row table.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use lightning::{Direction, TransactionReader};
use luma_rows::{Access, KeyRange, OpenTable, RowScan, ScanColumn};

use crate::error::to_datafusion;
use crate::plan::access::{Wanted, Way, Ways};

/// Rows from which a full scan is worth splitting between threads.
const SPLIT_ROWS: f64 = 50_000.0;
/// Fewest rows of a first batch; each further one is twice as large.
const FIRST_ROWS: usize = 64;

/// Reads a table's rows by the chosen way.
#[derive(Clone)]
pub(crate) struct RowScanExec {
    table: Arc<OpenTable>,
    reader: TransactionReader,
    ways: Arc<Ways>,
    description: String,
    expected_rows: f64,
    direction: Direction,
    /// Rows of the first batch, where not many are expected to be wanted.
    first_rows: Option<usize>,
    /// One way per partition.
    partitions: Vec<Access>,
    columns: Vec<ScanColumn>,
    schema: SchemaRef,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl RowScanExec {
    pub(crate) fn new(
        table: Arc<OpenTable>,
        reader: TransactionReader,
        ways: Ways,
        columns: Vec<ScanColumn>,
        schema: SchemaRef,
        limit: Option<usize>,
        target_partitions: usize,
    ) -> Self {
        let chosen = ways.best();
        let partitions = split(&table, chosen, target_partitions, limit);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            table,
            reader,
            description: chosen.description.clone(),
            expected_rows: chosen.rows,
            direction: Direction::Forward,
            first_rows: None,
            ways: Arc::new(ways),
            partitions,
            columns,
            schema,
            limit,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The same rows in that order, read along a key that has it, where that is cheaper than to sort them.
    /// With `first`, no more than that many rows that pass the filters are wanted.
    pub(crate) fn in_order(&self, order: &[PhysicalSortExpr], first: Option<usize>) -> Option<Self> {
        let wanted: Option<Vec<Wanted>> = order.iter().map(|part| self.wanted(part)).collect();
        let (way, direction, read) = self.ways.ordered(&self.table, &wanted?, first)?;
        let ordering = EquivalenceProperties::new_with_orderings(Arc::clone(&self.schema), [order.to_vec()]);
        let properties = PlanProperties::new(
            ordering,
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let backward = if direction == Direction::Reverse { ", backward" } else { "" };
        Some(Self {
            description: format!("{}, in order{backward}", way.description),
            expected_rows: read,
            direction,
            first_rows: first.map(|first| first.saturating_mul(2).max(FIRST_ROWS)),
            partitions: vec![way.access.clone()],
            properties: Arc::new(properties),
            ..self.clone()
        })
    }

    /// How many rows are expected to pass the filters above it.
    pub(crate) fn passing(&self) -> f64 {
        self.ways.passing()
    }

    /// Whether it is expected to be left after its first rows.
    pub(crate) fn gives_first_rows(&self) -> bool {
        self.first_rows.is_some()
    }

    fn wanted(&self, part: &PhysicalSortExpr) -> Option<Wanted> {
        let column = part.expr.downcast_ref::<Column>()?;
        let ScanColumn::Value(ordinal) = self.columns.get(column.index())? else { return None };
        Some(Wanted {
            ordinal: *ordinal,
            descending: part.options.descending,
            nulls_first: part.options.nulls_first,
        })
    }
}

/// Cuts a full scan of a large table into parts of about equal size.
fn split(table: &OpenTable, chosen: &Way, parts: usize, limit: Option<usize>) -> Vec<Access> {
    if chosen.access != Access::all() || chosen.rows < SPLIT_ROWS || parts < 2 || limit.is_some() {
        return vec![chosen.access.clone()];
    }
    let mut start = std::ops::Bound::Unbounded;
    let mut accesses = Vec::new();
    for point in table.rows.split_points(parts) {
        let range = KeyRange { start, end: std::ops::Bound::Excluded(point.clone()) };
        accesses.push(Access::Rows(vec![range]));
        start = std::ops::Bound::Included(point);
    }
    accesses.push(Access::Rows(vec![KeyRange { start, end: std::ops::Bound::Unbounded }]));
    accesses
}

impl fmt::Debug for RowScanExec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RowScanExec({})", self.table.definition.name)
    }
}

impl DisplayAs for RowScanExec {
    fn fmt_as(&self, _form: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "RowScan: table={}, access={}, rows~{:.0}",
            self.table.definition.name, self.description, self.expected_rows
        )?;
        if let Some(limit) = self.limit {
            write!(formatter, ", limit={limit}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for RowScanExec {
    fn name(&self) -> &'static str {
        "RowScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> PlanResult<TreeNodeRecursion>,
    ) -> PlanResult<TreeNodeRecursion> {
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

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> PlanResult<SendableRecordBatchStream> {
        let mut scan = RowScan::new(
            Arc::clone(&self.table),
            self.reader.clone(),
            self.partitions[partition].clone(),
            self.direction,
            self.columns.clone(),
            Arc::clone(&self.schema),
            self.limit,
        );
        let most = context.session_config().batch_size();
        let mut rows = self.first_rows.map_or(most, |first| first.min(most));
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = std::iter::from_fn(move || {
            let timer = metrics.elapsed_compute().timer();
            let batch = scan.next_batch(rows).transpose();
            rows = rows.saturating_mul(2).min(most);
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

    fn partition_statistics(&self, _partition: Option<usize>) -> PlanResult<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Inexact(self.expected_rows as usize);
        Ok(Arc::new(statistics))
    }

    fn fetch(&self) -> Option<usize> {
        self.limit
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(Self { limit, ..self.clone() }))
    }
}
