//! Files of others as DataFusion sees them.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use luma_model::Result;
use luma_model::arrow::field;

use crate::error::to_datafusion;
use crate::external::Format;
use crate::external::read::{Batches, Part, group_rows};
use crate::external::source::Source;
use crate::plan::leaf::{self, LeafExec};

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
        let source = Arc::clone(&self.source);
        let scan =
            ExternalScan::new(source, places, Arc::clone(&schema), partitions).map_err(to_datafusion)?;
        Ok(Arc::new(LeafExec::new("ExternalScan", schema, Arc::new(scan), limit)))
    }
}

/// Reads files side by side.
struct ExternalScan {
    source: Arc<Source>,
    places: Vec<usize>,
    schema: SchemaRef,
    partitions: Vec<Vec<Part>>,
    /// How many rows there are, where footers say it.
    rows: Option<usize>,
}

impl ExternalScan {
    fn new(
        source: Arc<Source>,
        places: Vec<usize>,
        schema: SchemaRef,
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
            rows = Some(rows.unwrap_or(0) + groups.iter().sum::<u64>() as usize);
            parts.extend((0..groups.len()).map(|group| Part { file, group: Some(group) }));
        }
        let count = target_partitions.min(parts.len()).max(1);
        let mut partitions = vec![Vec::new(); count];
        for (place, part) in parts.into_iter().enumerate() {
            if let Some(partition) = partitions.get_mut(place % count) {
                partition.push(part);
            }
        }
        Ok(Self { source, places, schema, partitions, rows })
    }
}

impl leaf::Source for ExternalScan {
    fn describe(&self) -> String {
        let columns: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        let (format, files) = (self.source.format, self.source.files.len());
        format!("format={format:?}, files={files}, columns=[{}]", columns.join(", "))
    }

    fn partitions(&self) -> usize {
        self.partitions.len()
    }

    fn rows(&self) -> Option<usize> {
        self.rows
    }

    fn open(&self, partition: usize) -> PlanResult<leaf::Batches> {
        let mut run = Run {
            source: Arc::clone(&self.source),
            places: self.places.clone(),
            schema: Arc::clone(&self.schema),
            parts: self.partitions.get(partition).cloned().unwrap_or_default().into_iter(),
            current: None,
        };
        let next = move || run.next().transpose().map(|batch| batch.map_err(to_datafusion));
        Ok(Box::new(std::iter::from_fn(next)))
    }
}

/// A partition on its way.
struct Run {
    source: Arc<Source>,
    places: Vec<usize>,
    schema: SchemaRef,
    parts: std::vec::IntoIter<Part>,
    current: Option<Batches>,
}

impl Run {
    fn next(&mut self) -> Result<Option<datafusion::arrow::array::RecordBatch>> {
        loop {
            let Some(batches) = &mut self.current else {
                let Some(part) = self.parts.next() else { return Ok(None) };
                self.current = Some(Batches::open(&self.source, part, &self.places)?);
                continue;
            };
            let Some(batch) = batches.next(&self.schema)? else {
                self.current = None;
                continue;
            };
            return Ok(Some(batch));
        }
    }
}
