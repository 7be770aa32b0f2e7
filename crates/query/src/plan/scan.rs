//! The physical scan of a row table.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
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
use crate::plan::access::Chosen;

/// Rows from which a full scan is worth splitting between threads.
const SPLIT_ROWS: f64 = 50_000.0;

/// Reads a table's rows by the chosen way.
#[derive(Clone)]
pub(crate) struct RowScanExec {
    table: Arc<OpenTable>,
    reader: TransactionReader,
    description: String,
    expected_rows: f64,
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
        chosen: Chosen,
        columns: Vec<ScanColumn>,
        schema: SchemaRef,
        limit: Option<usize>,
        target_partitions: usize,
    ) -> Self {
        let partitions = split(&table, &chosen, target_partitions, limit);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            table,
            reader,
            description: chosen.description,
            expected_rows: chosen.rows,
            partitions,
            columns,
            schema,
            limit,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

/// Cuts a full scan of a large table into parts of about equal size.
fn split(table: &OpenTable, chosen: &Chosen, parts: usize, limit: Option<usize>) -> Vec<Access> {
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
            Direction::Forward,
            self.columns.clone(),
            Arc::clone(&self.schema),
            self.limit,
        );
        let rows = context.session_config().batch_size();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = std::iter::from_fn(move || {
            let timer = metrics.elapsed_compute().timer();
            let batch = scan.next_batch(rows).transpose();
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
