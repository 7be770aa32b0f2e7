//! Files of others as DataFusion sees them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use luma_model::Result;
use luma_model::arrow::field;

use crate::error::to_datafusion;
use crate::external::Format;
use crate::external::read::{Batches, Part, group_rows};
use crate::external::source::Source;

/// Files as a table.
#[derive(Debug)]
pub(super) struct ExternalTable {
    source: Arc<Source>,
    schema: SchemaRef,
}

impl ExternalTable {
    pub(super) fn new(source: Source) -> Self {
        let fields: Vec<_> =
            source.columns.iter().map(|(name, data_type)| field(name, data_type, true)).collect();
        Self { source: Arc::new(source), schema: Arc::new(Schema::new(fields)) }
    }
}

#[async_trait]
impl TableProvider for ExternalTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let places = projection.unwrap_or(&all).clone();
        let schema = Arc::new(self.schema.project(&places)?);
        let partitions = state.config().target_partitions();
        let scan = ExternalScan::new(Arc::clone(&self.source), places, schema, limit, partitions);
        Ok(Arc::new(scan.map_err(to_datafusion)?))
    }
}

/// Reads files side by side.
struct ExternalScan {
    source: Arc<Source>,
    places: Vec<usize>,
    schema: SchemaRef,
    limit: Option<usize>,
    partitions: Vec<Vec<Part>>,
    /// How many rows there are, where footers say it.
    rows: Option<u64>,
    properties: Arc<PlanProperties>,
}

impl ExternalScan {
    fn new(
        source: Arc<Source>,
        places: Vec<usize>,
        schema: SchemaRef,
        limit: Option<usize>,
        target_partitions: usize,
    ) -> Result<Self> {
        let mut parts = Vec::new();
        let mut rows = None;
        for (file, path) in source.files.iter().enumerate() {
            if source.format != Format::Parquet {
                parts.push(Part { file, group: None });
                continue;
            }
            let groups = group_rows(source.vfs.as_ref(), path)?;
            rows = Some(rows.unwrap_or(0) + groups.iter().sum::<u64>());
            parts.extend((0..groups.len()).map(|group| Part { file, group: Some(group) }));
        }
        let count = target_partitions.min(parts.len()).max(1);
        let mut partitions = vec![Vec::new(); count];
        for (place, part) in parts.into_iter().enumerate() {
            if let Some(partition) = partitions.get_mut(place % count) {
                partition.push(part);
            }
        }
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(count),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self { source, places, schema, limit, partitions, rows, properties: Arc::new(properties) })
    }
}

impl fmt::Debug for ExternalScan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ExternalScan({:?})", self.source.files)
    }
}

impl DisplayAs for ExternalScan {
    fn fmt_as(&self, _form: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(
            formatter,
            "ExternalScan: format={:?}, files={}, columns=[{}]",
            self.source.format,
            self.source.files.len(),
            columns.join(", ")
        )?;
        if let Some(limit) = self.limit {
            write!(formatter, ", limit={limit}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for ExternalScan {
    fn name(&self) -> &'static str {
        "ExternalScan"
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
        let mut run = Run {
            source: Arc::clone(&self.source),
            places: self.places.clone(),
            schema: Arc::clone(&self.schema),
            parts: self.partitions.get(partition).cloned().unwrap_or_default().into_iter(),
            current: None,
            remaining: self.limit.unwrap_or(usize::MAX),
        };
        let batches =
            std::iter::from_fn(move || run.next().transpose().map(|batch| batch.map_err(to_datafusion)));
        let stream = RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::iter(batches));
        Ok(make_cooperative(Box::pin(stream)))
    }

    fn partition_statistics(&self, partition: Option<usize>) -> PlanResult<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        if let (Some(rows), None) = (self.rows, partition) {
            statistics.num_rows = Precision::Exact(rows as usize);
        }
        Ok(Arc::new(statistics.with_fetch(self.limit, 0, 1)?))
    }

    fn fetch(&self) -> Option<usize> {
        self.limit
    }
}

/// A partition on its way.
struct Run {
    source: Arc<Source>,
    places: Vec<usize>,
    schema: SchemaRef,
    parts: std::vec::IntoIter<Part>,
    current: Option<Batches>,
    remaining: usize,
}

impl Run {
    fn next(&mut self) -> Result<Option<datafusion::arrow::array::RecordBatch>> {
        while self.remaining > 0 {
            let Some(batches) = &mut self.current else {
                let Some(part) = self.parts.next() else { return Ok(None) };
                self.current = Some(Batches::open(&self.source, part, &self.places)?);
                continue;
            };
            let Some(batch) = batches.next(&self.schema)? else {
                self.current = None;
                continue;
            };
            let rows = batch.num_rows().min(self.remaining);
            self.remaining -= rows;
            return Ok(Some(batch.slice(0, rows)));
        }
        Ok(None)
    }
}
