//! `pg_catalog` and `information_schema`: the catalog as PostgreSQL's clients ask for it.
//!
//! Every table is made from the session's catalog snapshot when a statement names it.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::Schema;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use luma_catalog::{Oid, Sequence, Snapshot};
use luma_model::arrow::{ColumnBuilder, field};
use luma_model::{DataType, Result, Value};

use crate::error::from_datafusion;
use crate::names::QualifiedName;
use crate::plan::context::Names;

mod absent;
pub(crate) mod definition;
mod depend;
pub(crate) mod foreign;
mod information_schema;
pub(crate) mod locks;
pub(crate) mod relations;
mod rewrite;
mod system;
pub(crate) mod types;

pub(crate) use rewrite::{class_of, rewrite_expression};

/// The schema's identifier in PostgreSQL.
pub(crate) const PG_CATALOG_OID: Oid = 11;
/// The schema's identifier; any number below the first user object's will do.
pub(crate) const INFORMATION_SCHEMA_OID: Oid = 13000;

/// PostgreSQL's role `pg_database_owner`, to whom its schema public belongs.
const DATABASE_OWNER_OID: Oid = 6171;

/// Rows of a system table under their columns.
pub(crate) struct Rows {
    columns: Vec<(&'static str, DataType)>,
    rows: Vec<Vec<Value>>,
}

impl Rows {
    pub(crate) fn new(columns: Vec<(&'static str, DataType)>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, row: Vec<Value>) {
        debug_assert_eq!(row.len(), self.columns.len(), "{:?}", self.columns);
        self.rows.push(row);
    }

    fn provider(self) -> Result<Arc<dyn TableProvider>> {
        let fields: Vec<_> =
            self.columns.iter().map(|(name, data_type)| field(name, data_type, true)).collect();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for (place, (_, data_type)) in self.columns.iter().enumerate() {
            let mut builder = ColumnBuilder::new(data_type, self.rows.len());
            for row in &self.rows {
                match &row[place] {
                    Value::Null => builder.append_null(),
                    value => builder.append(value.as_ref())?,
                }
            }
            arrays.push(builder.finish());
        }
        let schema = Arc::new(Schema::new(fields));
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)
            .map_err(|error| from_datafusion(error.into()))?;
        Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]]).map_err(from_datafusion)?))
    }
}

/// The system table of that name, if it is one.
pub(crate) fn table(name: &QualifiedName, names: &Names<'_>) -> Option<Result<Arc<dyn TableProvider>>> {
    let rows = match name.schema.as_deref() {
        Some("information_schema") => information_schema::table(&name.name, names),
        Some("pg_catalog") => pg_table(&name.name, names),
        None if name.name.starts_with("pg_") => pg_table(&name.name, names),
        _ => None,
    };
    rows.map(Rows::provider)
}

fn pg_table(name: &str, names: &Names<'_>) -> Option<Rows> {
    relations::table(name, names)
        .or_else(|| types::table(name, names))
        .or_else(|| foreign::table(name, names.catalog))
        .or_else(|| system::table(name, names))
}

/// Schemas with the system's.
pub(crate) fn schemas(catalog: &Snapshot) -> Vec<(Oid, String, Oid)> {
    let mut all = vec![
        (PG_CATALOG_OID, "pg_catalog".to_owned(), 10),
        (INFORMATION_SCHEMA_OID, "information_schema".to_owned(), 10),
    ];
    all.extend(catalog.schemas().map(|schema| {
        let public = schema.name == luma_catalog::PUBLIC;
        (schema.oid, schema.name.clone(), if public { DATABASE_OWNER_OID } else { schema.owner })
    }));
    all
}

/// A sequence read as a table: `last_value`, `log_cnt`, `is_called`.
pub(crate) fn sequence(sequence: &Sequence, names: &Names<'_>) -> Result<Arc<dyn TableProvider>> {
    let (last, called) = names.shared.rows.sequences().last(sequence)?;
    let mut rows = Rows::new(vec![
        ("last_value", DataType::Int8),
        ("log_cnt", DataType::Int8),
        ("is_called", DataType::Bool),
    ]);
    rows.add(vec![Value::Int8(last), Value::Int8(0), Value::Bool(called)]);
    rows.provider()
}

pub(crate) fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}

pub(crate) fn oid(value: Oid) -> Value {
    Value::Oid(value)
}
