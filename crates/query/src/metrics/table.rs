//! A metric as a table.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{
    ArrayRef, Float64Array, RecordBatch, RecordBatchOptions, StringViewArray, TimestampMicrosecondArray,
    UInt32Array,
};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use luma_model::arrow::{arrow_type, field};
use luma_model::{Error, ErrorKind};
use luma_promql::{Labels, Select, SeriesData, SeriesSet, answer, is_stale};
use luma_telemetry::Metrics;

use crate::error::to_datafusion;
use crate::metrics::filters::Wanted;
use crate::metrics::{MetricColumn, jsonb, micros};
use crate::plan::leaf::{Batches, LeafExec, Source};

/// Fewest rows of a batch but the last.
const BATCH_ROWS: usize = 8192;

/// The table of a metric.
pub(super) struct MetricTable {
    store: Arc<Metrics>,
    metric: Arc<str>,
    columns: Vec<(String, MetricColumn)>,
    schema: SchemaRef,
}

impl std::fmt::Debug for MetricTable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "MetricTable({})", self.metric)
    }
}

impl MetricTable {
    pub(super) fn new(store: Arc<Metrics>, metric: Arc<str>, columns: Vec<(String, MetricColumn)>) -> Self {
        let fields =
            columns.iter().map(|(name, column)| field(name, &column.data_type(), !column.not_null()));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self { store, metric, columns, schema }
    }
}

#[async_trait]
impl TableProvider for MetricTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let projection = projection.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(projection)?);
        let columns =
            projection.iter().filter_map(|at| self.columns.get(*at)).map(|(_, column)| column.clone());
        let scan = MetricScan {
            store: Arc::clone(&self.store),
            metric: Arc::clone(&self.metric),
            wanted: Wanted::of(&self.metric, &self.columns, filters),
            columns: columns.collect(),
            schema: Arc::clone(&schema),
        };
        // A limit counts rows that pass the filters.
        let limit = limit.filter(|_| filters.is_empty());
        Ok(Arc::new(LeafExec::new("MetricScan", schema, Arc::new(scan), limit)))
    }
}

#[derive(Clone)]
struct MetricScan {
    store: Arc<Metrics>,
    metric: Arc<str>,
    wanted: Wanted,
    columns: Vec<MetricColumn>,
    schema: SchemaRef,
}

impl Source for MetricScan {
    fn describe(&self) -> String {
        let mut text = format!("metric={}", self.metric);
        let matchers: Vec<String> = self.wanted.matchers.iter().skip(1).map(ToString::to_string).collect();
        if !matchers.is_empty() {
            text.push_str(&format!(", series={{{}}}", matchers.join(",")));
        }
        let time = [(">=", self.wanted.start, i64::MIN), ("<=", self.wanted.end, i64::MAX)];
        for (op, millis, open) in time {
            if millis != open {
                text.push_str(&format!(", ts{op}{millis} ms"));
            }
        }
        text
    }

    fn open(&self, _partition: usize) -> PlanResult<Batches> {
        let Wanted { matchers, start, end } = &self.wanted;
        let select = Select { matchers, start: *start, end: *end };
        let series = self.store.select_owned(&select).map_err(failed)?;
        Ok(Box::new(Reading { scan: self.clone(), series }))
    }
}

fn failed(error: luma_promql::SourceError) -> datafusion::error::DataFusionError {
    to_datafusion(Error::new(ErrorKind::IoError, format!("reading metrics: {error}")))
}

struct Reading {
    scan: MetricScan,
    series: SeriesSet<'static>,
}

/// Rows that are not a batch yet.
#[derive(Default)]
struct Rows {
    series: Vec<Labels>,
    /// Of each row its place among the series.
    of: Vec<u32>,
    times: Vec<i64>,
    values: Vec<Option<f64>>,
    histograms: Vec<Option<String>>,
}

impl Rows {
    /// Adds the samples of a series that were asked for; where one ends there is a marker, which is none.
    fn add(&mut self, data: SeriesData, wanted: &Wanted) -> PlanResult<()> {
        let place = self.series.len() as u32;
        let within = |t: i64| t >= wanted.start && t <= wanted.end;
        let floats = data.floats.iter().filter(|point| within(point.t) && !is_stale(point.v));
        let histograms = data.histograms.iter().filter(|point| within(point.t) && !is_stale(point.h.sum));
        let rows = floats.map(|point| (point.t, Some(point.v), None)).chain(
            histograms
                .map(|point| (point.t, None, Some(jsonb(|out| answer::write_histogram(&point.h, out))))),
        );
        for (t, value, histogram) in rows {
            self.times.push(micros(t).map_err(to_datafusion)?);
            self.values.push(value);
            self.histograms.push(histogram.transpose().map_err(to_datafusion)?);
            self.of.push(place);
        }
        self.series.push(data.labels);
        Ok(())
    }

    fn batch(self, columns: &[MetricColumn], schema: &SchemaRef) -> PlanResult<RecordBatch> {
        let rows = self.of.len();
        let of = UInt32Array::from(self.of);
        let (mut times, mut values, mut histograms) =
            (Some(self.times), Some(self.values), Some(self.histograms));
        let arrays: PlanResult<Vec<ArrayRef>> = columns
            .iter()
            .map(|column| -> PlanResult<ArrayRef> {
                Ok(match column {
                    MetricColumn::Time => {
                        let times = TimestampMicrosecondArray::from(times.take().unwrap_or_default());
                        Arc::new(times.with_data_type(arrow_type(&column.data_type())))
                    }
                    MetricColumn::Value => Arc::new(Float64Array::from(values.take().unwrap_or_default())),
                    MetricColumn::Histogram => {
                        Arc::new(StringViewArray::from_iter(histograms.take().unwrap_or_default()))
                    }
                    MetricColumn::Label(label) => {
                        let each: StringViewArray =
                            self.series.iter().map(|labels| labels.find(label)).collect();
                        take(&each, &of, None)?
                    }
                })
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays?, &options)?)
    }
}

impl Iterator for Reading {
    type Item = PlanResult<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rows = Rows::default();
        while rows.of.len() < BATCH_ROWS {
            let added = match self.series.next() {
                Some(data) => data.map_err(failed).and_then(|data| rows.add(data, &self.scan.wanted)),
                None => break,
            };
            if let Err(error) = added {
                return Some(Err(error));
            }
        }
        if rows.of.is_empty() {
            return None;
        }
        Some(rows.batch(&self.scan.columns, &self.scan.schema))
    }
}
