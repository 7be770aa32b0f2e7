//! A row table as DataFusion sees it.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Constraint, Constraints, Statistics};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use lightning::TransactionReader;
use luma_catalog::Oid;
use luma_model::{Error, ErrorKind};
use luma_rows::{OpenTable, ScanColumn};

use crate::error::to_datafusion;
use crate::expression::TableExpressions;
use crate::functions::collation::column_field;
use crate::plan::access;
use crate::plan::estimate::share;
use crate::plan::scan::RowScanExec;
use crate::session::SessionInfo;

/// The hidden column with the row's key.
pub(crate) const KEY_COLUMN: &str = "__luma_key";
/// The hidden column with the stored row.
pub(crate) const IMAGE_COLUMN: &str = "__luma_image";

/// A row table bound to what one statement sees of it.
pub(crate) struct RowTable {
    pub(crate) table: Arc<OpenTable>,
    reader: TransactionReader,
    schema: SchemaRef,
    columns: Vec<ScanColumn>,
    rows: u64,
    constraints: Constraints,
    /// Where it has indexes that are not plain.
    expressions: Option<Arc<TableExpressions>>,
}

impl std::fmt::Debug for RowTable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "RowTable({})", self.table.definition.name)
    }
}

/// The Arrow schema of a table's visible columns.
pub(crate) fn schema(table: &OpenTable) -> Schema {
    let fields: Vec<Field> =
        table.definition.live_columns().map(|column| column_field(column, !column.not_null)).collect();
    Schema::new(fields)
}

/// The primary key, by which the other columns are known in a GROUP BY.
fn primary_key(table: &OpenTable) -> Constraints {
    let places: Option<Vec<usize>> = table
        .definition
        .primary_key
        .iter()
        .flat_map(|key| &key.columns)
        .map(|number| table.definition.live_columns().position(|column| column.number == *number))
        .collect();
    match places {
        Some(places) if !places.is_empty() => {
            Constraints::new_unverified(vec![Constraint::PrimaryKey(places)])
        }
        _ => Constraints::default(),
    }
}

/// What scans of a table give; `with_system` also each row's key and all of its bytes.
pub(crate) fn scanned(table: &OpenTable, with_system: bool) -> (SchemaRef, Vec<ScanColumn>) {
    let mut fields: Vec<Field> = schema(table).fields().iter().map(|field| field.as_ref().clone()).collect();
    let live = table.definition.live_columns();
    let mut columns: Vec<ScanColumn> =
        live.map(|column| ScanColumn::Value(usize::from(column.number) - 1)).collect();
    if with_system {
        fields.push(Field::new(KEY_COLUMN, ArrowType::Binary, false));
        fields.push(Field::new(IMAGE_COLUMN, ArrowType::Binary, false));
        columns.extend([ScanColumn::Key, ScanColumn::Image]);
    }
    (Arc::new(Schema::new(fields)), columns)
}

impl RowTable {
    pub(crate) fn new(
        table: Arc<OpenTable>,
        reader: TransactionReader,
        info: &Arc<SessionInfo>,
        with_system: bool,
    ) -> Self {
        let shared = &info.shared;
        let (schema, columns) = scanned(&table, with_system);
        let rows = match &table.definition.statistics {
            // The engine's count follows the writes since ANALYZE.
            Some(statistics) => shared.rows.approximate_rows(&table).max(statistics.row_count.min(1)),
            None => shared.rows.approximate_rows(&table),
        };
        let constraints = primary_key(&table);
        let plain = table.indexes.iter().all(|index| index.definition.is_plain());
        // Without them the table's other ways serve.
        let expressions = if plain { None } else { shared.expressions(&table.definition, info).ok() };
        Self { table, reader, schema, columns, rows, constraints, expressions }
    }

    /// The table, and the number of the column at `place`.
    pub(crate) fn origin(&self, place: usize) -> Option<(Oid, i16)> {
        match self.columns.get(place)? {
            ScanColumn::Value(ordinal) => Some((self.table.definition.oid, *ordinal as i16 + 1)),
            _ => None,
        }
    }

    /// About how many rows it has.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    fn planned(&self) -> &[(Oid, access::PlannedIndex)] {
        self.expressions.as_ref().map_or(&[], |expressions| expressions.planned_indexes())
    }

    fn column_statistics(&self) -> Vec<ColumnStatistics> {
        let known = self.table.definition.statistics.as_ref();
        self.columns
            .iter()
            .map(|column| {
                let ScanColumn::Value(ordinal) = column else { return ColumnStatistics::new_unknown() };
                let found = known.and_then(|known| {
                    known.columns.iter().find(|statistics| usize::from(statistics.column) == ordinal + 1)
                });
                match found {
                    None => ColumnStatistics::new_unknown(),
                    Some(found) => ColumnStatistics {
                        null_count: Precision::Inexact((found.null_fraction * self.rows as f64) as usize),
                        distinct_count: Precision::Inexact(found.distinct as usize),
                        ..ColumnStatistics::new_unknown()
                    },
                }
            })
            .collect()
    }
}

#[async_trait]
impl TableProvider for RowTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        // Ranges of keys only narrow the scan; the filter itself stays above it.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    fn constraints(&self) -> Option<&Constraints> {
        Some(&self.constraints)
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(Statistics {
            num_rows: Precision::Inexact(self.rows as usize),
            total_byte_size: Precision::Absent,
            column_statistics: self.column_statistics(),
        })
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        if !self.table.definition.is_populated() {
            let message =
                format!("materialized view \"{}\" has not been populated", self.table.definition.name);
            let error = Error::new(ErrorKind::ObjectNotInPrerequisiteState, message);
            return Err(to_datafusion(error.hint("Use the REFRESH MATERIALIZED VIEW command.")));
        }
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let projection = projection.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(projection)?);
        let columns: Vec<ScanColumn> = projection.iter().map(|at| self.columns[*at]).collect();
        let passing = match (filters, self.statistics()) {
            ([_, ..], Some(statistics)) => share(filters, &self.schema, &statistics, Some(&self.table)),
            _ => 1.0,
        };
        let ways = access::choose(&self.table, self.planned(), &columns, filters, (self.rows, passing));
        // A limit counts rows that pass the filters, which stay above the scan.
        let limit = if filters.is_empty() { limit } else { None };
        let partitions = state.config().target_partitions();
        Ok(Arc::new(RowScanExec::new(
            Arc::clone(&self.table),
            self.reader.clone(),
            ways,
            columns,
            schema,
            limit,
            partitions,
        )))
    }
}
