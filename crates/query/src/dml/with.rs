//! WITH queries that change rows, and queries inside of a statement that lock rows.
//!
//! What locks rows runs first, and the statement sees the data as it is once they are locked. Then the
//! other parts run in the order they are written, then the statement itself. All of them see the data
//! as it was before the first of them; what a part did is seen only in the rows that its RETURNING gives,
//! which stand under its name for the parts after it and for the statement.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::Schema;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::TableSource;
use datafusion::sql::sqlparser::ast;
use luma_model::arrow::field;
use luma_model::{DataType, Error, ErrorKind, Result, Value};

use crate::error::from_datafusion;
use crate::execute;
use crate::outcome::{Column, Outcome};
use crate::session::Session;
use crate::statement::form::{Part, With};

/// Relations that stand for the length of a statement.
pub(crate) type Relations = HashMap<String, Arc<dyn TableSource>>;

/// Runs the parts and the statement.
pub(crate) async fn run(
    session: &mut Session,
    with: &With,
    types: &[DataType],
    parameters: &[Value],
) -> Result<Outcome> {
    for part in &with.parts {
        if session.frozen.is_none() && !locks(&part.statement) {
            freeze(session)?;
        }
        let outcome = Box::pin(execute::execute_body(session, &part.statement, types, parameters)).await?;
        let Outcome::Rows(mut stream) = outcome else { continue };
        let mut rows = Vec::new();
        while let Some(batch) = stream.next_batch().await? {
            rows.push(batch);
        }
        let columns = Arc::clone(&stream.columns);
        name(session, part, &columns, rows)?;
    }
    if session.frozen.is_none() {
        freeze(session)?;
    }
    let outcome = Box::pin(execute::execute_body(session, &with.main, types, parameters)).await;
    session.forget_parts();
    outcome
}

/// From now on the statement sees the data as it is now. A statement that is dropped halfway leaves this
/// behind; the next one begins without it.
fn freeze(session: &mut Session) -> Result<()> {
    session.frozen = Some(session.active()?.engine.reader());
    Ok(())
}

fn locks(statement: &ast::Statement) -> bool {
    matches!(statement, ast::Statement::Query(query) if !query.locks.is_empty())
}

/// The columns of the statement; learns parameter types on the way.
pub(crate) fn describe(
    session: &mut Session,
    with: &With,
    parameters: &mut Vec<Option<DataType>>,
) -> Result<Option<Arc<[Column]>>> {
    let described = describe_parts(session, with, parameters);
    session.forget_parts();
    described
}

fn describe_parts(
    session: &mut Session,
    with: &With,
    parameters: &mut Vec<Option<DataType>>,
) -> Result<Option<Arc<[Column]>>> {
    for part in &with.parts {
        if let Some(columns) = execute::describe_body(session, &part.statement, parameters)? {
            name(session, part, &columns, Vec::new())?;
        }
    }
    execute::describe_body(session, &with.main, parameters)
}

/// Lets a part's rows stand under its name.
fn name(session: &mut Session, part: &Part, columns: &[Column], rows: Vec<RecordBatch>) -> Result<()> {
    if part.columns.len() > columns.len() {
        return Err(Error::new(
            ErrorKind::InvalidColumnReference,
            format!(
                "WITH query \"{}\" has {} columns available but {} columns specified",
                part.name,
                columns.len(),
                part.columns.len()
            ),
        ));
    }
    let fields: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(place, column)| {
            field(part.columns.get(place).unwrap_or(&column.name), &column.data_type, true)
        })
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let renamed = rows
        .into_iter()
        .map(|batch| {
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            RecordBatch::try_new_with_options(Arc::clone(&schema), batch.columns().to_vec(), &options)
                .map_err(|error| from_datafusion(error.into()))
        })
        .collect::<Result<Vec<_>>>()?;
    let table = MemTable::try_new(schema, vec![renamed]).map_err(from_datafusion)?;
    let mut relations = Relations::clone(&session.relations);
    relations.insert(part.name.clone(), provider_as_source(Arc::new(table)));
    session.relations = Arc::new(relations);
    session.forget_info();
    Ok(())
}
