//! Batches of a program as relations that its session may name.
//!
//! They stand before the tables of the catalog, for as long as the session or until they are taken back; other sessions
//! do not see them.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, Schema};
use datafusion::datasource::{MemTable, provider_as_source};
use luma_model::arrow::{arrow_type, data_type, field};
use luma_model::{Error, ErrorKind, Result};

use crate::dml::with::Relations;
use crate::error::from_datafusion;
use crate::external::as_type;
use crate::session::Session;

impl Session {
    /// Lets statements read batches under a name, in which case counts; what had it before goes.
    ///
    /// # Errors
    /// 42P07 if a relation has the name, 42701 if two columns have one name, 0A000 for a type that SQL does not have,
    /// 22003 and its kin for a value that its type in SQL does not have.
    pub fn register(&mut self, name: &str, schema: &Schema, batches: &[RecordBatch]) -> Result<()> {
        if self.catalog_has(name) {
            let message = format!("relation \"{name}\" already exists");
            return Err(
                Error::new(ErrorKind::DuplicateTable, message).hint("Register it under another name.")
            );
        }
        let mut fields: Vec<Field> = Vec::with_capacity(schema.fields().len());
        for given in schema.fields() {
            if fields.iter().any(|known| known.name() == given.name()) {
                let message = format!("column \"{}\" specified more than once", given.name());
                return Err(Error::new(ErrorKind::DuplicateColumn, message));
            }
            fields.push(field(given.name(), &data_type(&plain(given))?, true));
        }
        let inner = Arc::new(Schema::new(fields));
        let converted = batches.iter().map(|batch| {
            let arrays =
                schema.fields().iter().zip(batch.columns()).map(|(field, array)| column(field, array));
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            RecordBatch::try_new_with_options(Arc::clone(&inner), arrays.collect::<Result<_>>()?, &options)
                .map_err(|error| from_datafusion(error.into()))
        });
        let table = MemTable::try_new(Arc::clone(&inner), vec![converted.collect::<Result<_>>()?]);
        let mut relations = Relations::clone(&self.registered);
        relations.insert(name.to_owned(), provider_as_source(Arc::new(table.map_err(from_datafusion)?)));
        self.registered = Arc::new(relations);
        self.forget_parts();
        Ok(())
    }

    /// Takes a name back; `false` if nothing was registered under it.
    pub fn unregister(&mut self, name: &str) -> bool {
        let mut relations = Relations::clone(&self.registered);
        let had = relations.remove(name).is_some();
        self.registered = Arc::new(relations);
        self.forget_parts();
        had
    }
}

/// Bytes of others under the type that is bytes here: what is `LargeBinary` inside is a number.
fn plain(field: &Field) -> Field {
    match field.data_type() {
        ArrowType::LargeBinary => field.clone().with_data_type(ArrowType::BinaryView),
        _ => field.clone(),
    }
}

/// A column as queries have it.
fn column(given: &Field, array: &ArrayRef) -> Result<ArrayRef> {
    let field = plain(given);
    let wanted = data_type(&field)?;
    let inner = arrow_type(&wanted);
    // Of texts and bytes only the form differs.
    if matches!(inner, ArrowType::Utf8View | ArrowType::BinaryView)
        && (array.data_type().is_string() || array.data_type().is_binary())
    {
        return cast(array, &inner).map_err(|error| from_datafusion(error.into()));
    }
    as_type(array, &field, &wanted)
}
