//! CREATE INDEX.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, Expr};
use luma_catalog::{Index, IndexColumn, Object, Table};
use luma_model::{Error, ErrorKind, Result};

use crate::ddl::{create_storage, done, latest_reader, lock_catalog, lock_definition, put};
use crate::names::{Scope, identifier, qualified};
use crate::outcome::{Outcome, Severity};
use crate::session::Session;

/// Most columns of an index.
const COLUMNS_MAX: usize = 32;

/// Runs CREATE INDEX.
pub(crate) async fn create(session: &mut Session, create: &ast::CreateIndex) -> Result<Outcome> {
    refuse_unknown(create)?;
    lock_catalog(session).await?;
    let table_name = qualified(&create.table_name)?;
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let table = Arc::clone(scope.table(&table_name)?);
    let columns = columns(&table, &create.columns)?;
    let name = match &create.name {
        Some(name) => qualified(name)?.name,
        None => {
            let numbers: Vec<u16> = columns.iter().map(|part| part.column).collect();
            let stem = format!("{}_{}_idx", table.name, table.column_names(&numbers).join("_"));
            (0..u16::MAX)
                .map(|count| if count == 0 { stem.clone() } else { format!("{stem}{count}") })
                .find(|name| catalog.relation(table.schema, name).is_none())
                .unwrap_or(stem)
        }
    };
    if catalog.relation(table.schema, &name).is_some() {
        let message = format!("relation \"{name}\" already exists");
        if !create.if_not_exists {
            return Err(Error::new(ErrorKind::DuplicateTable, message));
        }
        session
            .notice(Severity::Notice, Error::new(ErrorKind::DuplicateTable, format!("{message}, skipping")));
        return Ok(done("CREATE INDEX"));
    }
    lock_definition(session, &table).await?;
    let storage = create_storage(session)?;
    let oid = session.shared.catalog.allocate_oid();
    let index = Index { oid, name, storage, columns, unique: create.unique, constraint: false };
    let extended = with_index(session, &table, index)?;
    put(session, Object::Table(extended))?;
    Ok(done("CREATE INDEX"))
}

/// The table with one more index, its keyspace filled from the rows there are.
pub(crate) fn with_index(session: &mut Session, table: &Arc<Table>, index: Index) -> Result<Table> {
    let mut extended = table.as_ref().clone();
    extended.indexes.push(index);
    let reader = latest_reader(session)?;
    let open = session.shared.rows.table(&Arc::new(extended.clone()))?;
    if let Some(index) = open.indexes.last() {
        let budget = session.shared.options.build_memory_bytes;
        luma_rows::build_index(&session.shared.rows, &open, index, &reader, budget)?;
    }
    session.active()?.engine.refresh();
    Ok(extended)
}

fn refuse_unknown(create: &ast::CreateIndex) -> Result<()> {
    let refused = if create.predicate.is_some() {
        Some("partial indexes are not supported")
    } else if !create.include.is_empty() {
        Some("INCLUDE columns are not supported")
    } else if create.nulls_distinct == Some(false) {
        Some("NULLS NOT DISTINCT is not supported")
    } else {
        None
    };
    if let Some(message) = refused {
        return Err(Error::new(ErrorKind::FeatureNotSupported, message));
    }
    match &create.using {
        None | Some(ast::IndexType::BTree | ast::IndexType::Hash) => Ok(()),
        Some(other) => Err(Error::new(
            ErrorKind::UndefinedObject,
            format!("access method \"{}\" is not supported", other.to_string().to_lowercase()),
        )
        .hint("Use btree, or leave USING away.")),
    }
}

fn columns(table: &Table, given: &[ast::IndexColumn]) -> Result<Vec<IndexColumn>> {
    if given.len() > COLUMNS_MAX {
        return Err(Error::new(
            ErrorKind::ProgramLimit,
            format!("cannot use more than {COLUMNS_MAX} columns in an index"),
        ));
    }
    given
        .iter()
        .map(|part| {
            let Expr::Identifier(name) = &part.column.expr else {
                return Err(Error::new(
                    ErrorKind::FeatureNotSupported,
                    "expression indexes are not supported",
                ));
            };
            let name = identifier(name);
            let column = table.column(&name).ok_or_else(|| {
                Error::new(ErrorKind::UndefinedColumn, format!("column \"{name}\" does not exist"))
            })?;
            crate::ddl::constraint::refuse_unordered(&column.data_type, &name)?;
            let descending = part.column.options.asc == Some(false);
            let nulls_first = part.column.options.nulls_first.unwrap_or(descending);
            Ok(IndexColumn { column: column.number, descending, nulls_first })
        })
        .collect()
}
