//! A leaf of a plan that is read from one end to the other: where rows come from that nothing else is planned for.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
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

/// What a leaf reads: batches one after another, on the thread that asks.
pub(crate) type Batches = Box<dyn Iterator<Item = PlanResult<RecordBatch>> + Send>;

/// Where a leaf's rows come from.
pub(crate) trait Source: Send + Sync {
    /// For EXPLAIN: what is read, and how.
    fn describe(&self) -> String;

    /// In how many parts, side by side.
    fn partitions(&self) -> usize {
        1
    }

    /// How many rows all parts have, if that is known.
    fn rows(&self) -> Option<usize> {
        None
    }

    /// Begins to read a part.
    ///
    /// # Errors
    /// When there is nothing that could be read.
    fn open(&self, partition: usize) -> PlanResult<Batches>;
}

/// The leaf.
pub(crate) struct LeafExec {
    name: &'static str,
    source: Arc<dyn Source>,
    schema: SchemaRef,
    /// How many rows of a part are wanted.
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl LeafExec {
    pub(crate) fn new(
        name: &'static str,
        schema: SchemaRef,
        source: Arc<dyn Source>,
        limit: Option<usize>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(source.partitions()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        Self { name, source, schema, limit, properties: Arc::new(properties), metrics }
    }
}

impl fmt::Debug for LeafExec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}({})", self.name, self.source.describe())
    }
}

impl DisplayAs for LeafExec {
    fn fmt_as(&self, _form: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.name, self.source.describe())?;
        self.limit.map_or(Ok(()), |limit| write!(formatter, ", limit={limit}"))
    }
}

impl ExecutionPlan for LeafExec {
    fn name(&self) -> &'static str {
        self.name
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

    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> PlanResult<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let mut batches = self.source.open(partition)?;
        let mut left = self.limit.unwrap_or(usize::MAX);
        let timed = std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let timer = metrics.elapsed_compute().timer();
            let batch = batches.next();
            timer.done();
            let batch = batch?.map(|batch| batch.slice(0, batch.num_rows().min(left)));
            if let Ok(batch) = &batch {
                left -= batch.num_rows();
                metrics.record_output(batch.num_rows());
            }
            Some(batch)
        });
        let stream = RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::iter(timed));
        Ok(make_cooperative(Box::pin(stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, partition: Option<usize>) -> PlanResult<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        if let (Some(rows), None) = (self.source.rows(), partition) {
            statistics.num_rows = Precision::Exact(rows);
        }
        Ok(Arc::new(statistics.with_fetch(self.limit, 0, 1)?))
    }

    fn fetch(&self) -> Option<usize> {
        self.limit
    }
}
