//! A columnar table bound to what one statement sees of it.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType as ArrowType, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{ColumnStatistics, DFSchema, ScalarValue, Statistics};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use lightning::TransactionReader;
use luma_catalog::Oid;
use luma_columns::FileView;
use luma_model::{DataType, Result};
use luma_rows::{OpenTable, ScanColumn};

use crate::error::to_datafusion;
use crate::plan::columnar::days;
use crate::plan::columnar::scan::{ColumnScanExec, Filter, Source};
use crate::plan::estimate::share;
use crate::plan::provider::{IMAGE_COLUMN, KEY_COLUMN, scanned};

/// A columnar table bound to what one statement sees of it.
pub(crate) struct ColumnTable {
    source: Arc<Source>,
    schema: SchemaRef,
    columns: Vec<ScanColumn>,
}

impl std::fmt::Debug for ColumnTable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "ColumnTable({})", self.source.table.definition.name)
    }
}

impl ColumnTable {
    pub(crate) fn new(
        table: Arc<OpenTable>,
        reader: TransactionReader,
        views: Vec<FileView>,
        with_system: bool,
    ) -> Result<Self> {
        let (schema, columns) = scanned(&table, with_system);
        let source = Source::new(table, reader, views)?;
        Ok(Self { source: Arc::new(source), schema, columns })
    }

    pub(crate) fn table(&self) -> &OpenTable {
        &self.source.table
    }

    /// The table.
    pub(crate) fn oid(&self) -> Oid {
        self.source.table.definition.oid
    }

    /// The table, and the number of the column at `place`.
    pub(crate) fn origin(&self, place: usize) -> Option<(Oid, i16)> {
        match self.columns.get(place)? {
            ScanColumn::Value(ordinal) => Some((self.source.table.definition.oid, *ordinal as i16 + 1)),
            _ => None,
        }
    }

    /// What scans look at to pass rows by these filters.
    fn filter(&self, state: &dyn Session, filters: &[Expr]) -> PlanResult<Option<Filter>> {
        let Some(expr) = conjunction(filters.to_vec()) else { return Ok(None) };
        let mut places: Vec<usize> =
            expr.column_refs().iter().filter_map(|column| self.schema.index_of(&column.name).ok()).collect();
        places.sort_unstable();
        let schema = Arc::new(self.schema.project(&places)?);
        let expr = expr
            .transform(|part| {
                Ok(match part {
                    Expr::Column(column) => {
                        let bare = datafusion::common::Column::new_unqualified(column.name);
                        datafusion::common::tree_node::Transformed::yes(Expr::Column(bare))
                    }
                    other => datafusion::common::tree_node::Transformed::no(other),
                })
            })?
            .data
            .transform_up(|part| Ok(days::compared(part, &schema)))?
            .data;
        let predicate = state.create_physical_expr(expr, &DFSchema::try_from(Arc::clone(&schema))?)?;
        let columns = places.iter().filter_map(|place| self.columns.get(*place).copied()).collect();
        Ok(Some(Filter::new(columns, schema, predicate)))
    }
}

/// Statistics of the columns at hand, from footers where every row is in a file, and from ANALYZE.
pub(super) fn statistics(source: &Source, columns: &[ScanColumn]) -> Statistics {
    let rows = source.rows() as usize;
    let analyzed = source.table.definition.statistics.as_ref();
    let column_statistics = columns
        .iter()
        .map(|column| {
            let ScanColumn::Value(ordinal) = column else { return ColumnStatistics::new_unknown() };
            let mut found = from_footers(source, *ordinal).unwrap_or_else(ColumnStatistics::new_unknown);
            let known = analyzed.and_then(|known| {
                known.columns.iter().find(|statistics| usize::from(statistics.column) == ordinal + 1)
            });
            if let Some(known) = known {
                found.distinct_count = Precision::Inexact(known.distinct as usize);
                if found.null_count == Precision::Absent {
                    found.null_count = Precision::Inexact((known.null_fraction * rows as f64) as usize);
                }
            }
            found
        })
        .collect();
    let num_rows = if source.is_exact() { Precision::Exact(rows) } else { Precision::Inexact(rows) };
    Statistics { num_rows, total_byte_size: Precision::Absent, column_statistics }
}

/// What the footers say about a column; `None` where one of them says nothing.
fn from_footers(source: &Source, ordinal: usize) -> Option<ColumnStatistics> {
    let data_type = source.table.data_type(ordinal);
    let (mut nulls, mut min, mut max): (u64, Option<ScalarValue>, Option<ScalarValue>) = (0, None, None);
    for view in &source.views {
        let summary = view.summary(ordinal as u16 + 1).ok()??;
        nulls += summary.nulls.iter().flatten().sum::<u64>();
        for group in 0..summary.minima.len() {
            let value = |values| ScalarValue::try_from_array(values, group).ok();
            let (low, high) = (value(&summary.minima)?, value(&summary.maxima)?);
            if low.is_null() && high.is_null() && summary.nulls.value(group) > 0 {
                continue;
            }
            min = smaller(min, low, std::cmp::Ordering::Less);
            max = smaller(max, high, std::cmp::Ordering::Greater);
        }
    }
    // Texts are cut where they are long, and deleted rows are counted.
    let cut = matches!(data_type, DataType::Bytea | DataType::Interval | DataType::Array(_))
        || data_type.is_wide_numeric()
        || luma_model::arrow::arrow_type(data_type) == ArrowType::Utf8View;
    let exact = source.is_exact() && source.views.iter().all(|view| view.deleted.is_none());
    let bound = |value: Option<ScalarValue>| match value {
        Some(value) if value.is_null() => Precision::Absent,
        Some(value) if exact && !cut => Precision::Exact(value),
        Some(value) => Precision::Inexact(value),
        None => Precision::Absent,
    };
    let null_count =
        if exact { Precision::Exact(nulls as usize) } else { Precision::Inexact(nulls as usize) };
    Some(ColumnStatistics {
        null_count,
        min_value: bound(min),
        max_value: bound(max),
        ..ColumnStatistics::new_unknown()
    })
}

/// The one of two values that comes first in the order wanted; an unknown one makes both unknown.
fn smaller(one: Option<ScalarValue>, other: ScalarValue, wanted: std::cmp::Ordering) -> Option<ScalarValue> {
    let Some(one) = one else { return Some(other) };
    if one.is_null() || (!other.is_null() && one.partial_cmp(&other) == Some(wanted)) {
        return Some(one);
    }
    Some(other)
}

#[async_trait]
impl TableProvider for ColumnTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        filters
            .iter()
            .map(|filter| {
                let subquery = filter.exists(|part| {
                    Ok(matches!(
                        part,
                        Expr::ScalarSubquery(_)
                            | Expr::InSubquery(_)
                            | Expr::Exists(_)
                            | Expr::SetComparison(_)
                            | Expr::OuterReferenceColumn(..)
                            | Expr::Placeholder(_)
                    ))
                })?;
                let hidden = |name: &str| matches!(name, KEY_COLUMN | IMAGE_COLUMN);
                let system = filter.column_refs().iter().any(|column| hidden(&column.name));
                Ok(if subquery || system {
                    TableProviderFilterPushDown::Unsupported
                } else {
                    TableProviderFilterPushDown::Exact
                })
            })
            .collect()
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(statistics(&self.source, &self.columns))
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let projection = projection.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(projection)?);
        let columns = projection.iter().filter_map(|at| self.columns.get(*at).copied()).collect();
        let filter = self.filter(state, filters)?;
        let partitions = state.config().target_partitions();
        let table = self.table();
        let share = || share(filters, &self.schema, &statistics(&self.source, &self.columns), Some(table));
        let filter = filter.map(|filter| (filter, share()));
        let scan = ColumnScanExec::new(Arc::clone(&self.source), columns, schema, filter, limit, partitions);
        Ok(Arc::new(scan.map_err(to_datafusion)?))
    }
}
