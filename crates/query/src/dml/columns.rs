//! `INSERT … SELECT` into a columnar table, column by column.
//!
//! A batch of the query becomes a batch of the table: columns that have the table's type stay as they are, others
//! are converted, and no row is ever put together.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use futures::StreamExt;
use futures::stream::BoxStream;
use luma_model::arrow::{CellReader, ColumnBuilder, arrow_type, data_type};
use luma_model::{DataType, Error, Result, Value, ValueRef};
use luma_rows::{OpenTable, Writer};

use crate::dml::insert::assigned;
use crate::dml::target::Target;
use crate::expression::TableExpressions;
use crate::session::SessionInfo;

/// How rows of a query go into a columnar table.
pub(crate) struct ColumnInsert<'a> {
    table: &'a OpenTable,
    /// For each live column of the table the column of the query.
    places: Vec<Option<usize>>,
    /// Which columns of the query are literals without a type.
    unknown: &'a [bool],
    info: &'a Arc<SessionInfo>,
}

impl<'a> ColumnInsert<'a> {
    /// `None` where a row has to be looked at as a whole: for a table of rows, for defaults, and for conditions.
    pub(crate) fn new(
        table: &'a OpenTable,
        expressions: &TableExpressions,
        given: &[usize],
        unknown: &'a [bool],
        info: &'a Arc<SessionInfo>,
    ) -> Option<Self> {
        if table.files.is_none() || table.is_collection() || expressions.looks_at_rows() {
            return None;
        }
        let mut places = Vec::new();
        for column in table.definition.live_columns() {
            let ordinal = usize::from(column.number) - 1;
            let place = given.iter().position(|given| *given == ordinal);
            let has_default = expressions.defaults.get(ordinal).is_some_and(Option::is_some);
            if place.is_none() && (has_default || column.identity.is_some()) {
                return None;
            }
            places.push(place);
        }
        Some(Self { table, places, unknown, info })
    }

    /// Inserts all rows of a query and says how many there were.
    ///
    /// # Errors
    /// Of conversions; 23502 for a NULL where there must be none; when a file cannot be written.
    pub(crate) async fn run(
        &self,
        target: &Target,
        writer: &mut Writer<'_>,
        batches: &mut BoxStream<'static, Result<RecordBatch>>,
    ) -> Result<u64> {
        let mut rows = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let columns = self.columns(&batch)?;
            self.check_nulls(writer, &columns, batch.num_rows())?;
            writer.insert_columns(self.table, columns)?;
            rows += batch.num_rows() as u64;
            target.check_size(writer)?;
        }
        Ok(rows)
    }

    fn columns(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let schema = batch.schema();
        let live = self.table.definition.live_columns();
        live.zip(&self.places)
            .map(|(column, place)| {
                let wanted = &column.data_type;
                let Some(place) = *place else {
                    return Ok(new_null_array(&arrow_type(wanted), batch.num_rows()));
                };
                let array = batch.columns().get(place);
                let array = array.ok_or_else(|| Error::internal("a query gave too few columns"))?;
                let found = data_type(schema.field(place))?;
                // A number of any scale is looked at, as tables do not store all of them.
                let same = found == *wanted && *wanted != DataType::Numeric(None);
                if same && *array.data_type() == arrow_type(wanted) {
                    return Ok(Arc::clone(array));
                }
                let unknown = self.unknown.get(place).copied().unwrap_or(false);
                self.converted(array, &column.name, &found, wanted, unknown)
            })
            .collect()
    }

    fn converted(
        &self,
        array: &ArrayRef,
        name: &str,
        found: &DataType,
        wanted: &DataType,
        unknown: bool,
    ) -> Result<ArrayRef> {
        let context = self.info.text_context();
        let reader = CellReader::new(array.as_ref(), found)?;
        let mut builder = ColumnBuilder::new(wanted, array.len());
        for row in 0..array.len() {
            match assigned(reader.get(row)?, name, found, wanted, unknown, &context)?.as_ref() {
                ValueRef::Null => builder.append_null(),
                value => builder.append(value)?,
            }
        }
        Ok(builder.finish())
    }

    /// Refuses NULLs where there must be none, with the error of the first row that has one.
    fn check_nulls(&self, writer: &Writer<'_>, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let definition = &self.table.definition;
        let refused =
            |(column, array): (&luma_catalog::Column, &ArrayRef)| column.not_null && array.null_count() > 0;
        if !definition.live_columns().zip(columns).any(refused) {
            return Ok(());
        }
        let readers = definition
            .live_columns()
            .zip(columns)
            .map(|(column, array)| {
                let reader = CellReader::new(array.as_ref(), &column.data_type)?;
                Ok((usize::from(column.number) - 1, reader))
            })
            .collect::<Result<Vec<_>>>()?;
        for row in 0..rows {
            let mut values = vec![Value::Null; definition.columns.len()];
            for (ordinal, reader) in &readers {
                if let Some(value) = values.get_mut(*ordinal) {
                    *value = reader.get(row)?.to_owned();
                }
            }
            let refs: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
            writer.check_values(self.table, &refs)?;
        }
        Ok(())
    }
}
