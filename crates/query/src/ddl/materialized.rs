//! Materialized views: tables that a query fills.
//!
//! One is a table in the catalog, with the query beside it, so that it is read, indexed, analysed and
//! dumped as a table is. REFRESH puts new keyspaces in the place of the old ones in one transaction:
//! readers see the rows of before or of after, and never wait, with CONCURRENTLY or without.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use luma_catalog::{FilledBy, Object, Table};
use luma_model::{Error, ErrorKind, Result};

use crate::ddl::{create_storage, done, drop_storage, lock_catalog, lock_definition, put, table};
use crate::execute;
use crate::names::{QualifiedName, Scope, identifier, qualified};
use crate::outcome::{CommandTag, Outcome};
use crate::plan::context::{Names, parse_query};
use crate::session::Session;
use crate::statement::materialized::MaterializedStatement;

/// Runs CREATE or REFRESH.
pub(super) async fn statement(session: &mut Session, statement: &MaterializedStatement) -> Result<Outcome> {
    match statement {
        MaterializedStatement::Create { name, if_not_exists, columns, query, with_data } => {
            let name = qualified(name)?;
            create(session, name, *if_not_exists, columns, query, *with_data).await
        }
        MaterializedStatement::Refresh { name, concurrently, with_data } => {
            refresh(session, &qualified(name)?, *concurrently, *with_data).await
        }
    }
}

async fn create(
    session: &mut Session,
    name: QualifiedName,
    if_not_exists: bool,
    names: &[ast::Ident],
    query: &ast::Query,
    with_data: bool,
) -> Result<Outcome> {
    const TAG: &str = "CREATE MATERIALIZED VIEW";
    lock_catalog(session).await?;
    let Some(schema) = table::free(session, &name, if_not_exists)? else { return Ok(done(TAG)) };
    let info = session.new_info();
    let state = execute::state_for(&info.shared, &info);
    let reader = session.active()?.engine.reader();
    let context = Names::new(&info.shared, &state, &info, &info.catalog, &info.search_path, reader);
    let plan = context.plan(query.clone())?;
    super::view::check_lasting(&context, query)?;
    let depends_on = context.used.lock().clone();
    crate::temporary::refuse_permanent(&info.catalog, schema, &depends_on)?;
    let planned = execute::output_columns(&state, &plan)?;
    if names.len() > planned.len() {
        return Err(Error::new(ErrorKind::Syntax, "too many column names were specified"));
    }
    let columns = planned
        .into_iter()
        .enumerate()
        .map(|(place, column)| {
            let name = names.get(place).map_or(column.name, identifier);
            table::plain_column(place, name, column.data_type)
        })
        .collect::<Result<Vec<_>>>()?;
    let storage = create_storage(session)?;
    let oid = session.shared.catalog.allocate_oid();
    let filled_by = Some(FilledBy { query: query.to_string(), depends_on, populated: with_data });
    let made = Table { filled_by, ..Table::new(oid, schema, name.name, storage, columns) };
    table::refuse_repeated(&made)?;
    put(session, Object::Table(made.clone()))?;
    if !with_data {
        return Ok(done(TAG));
    }
    let count = fill(session, &Arc::new(made), query).await?;
    Ok(Outcome::Complete(CommandTag::Select(count)))
}

/// Puts the query's rows into the table. Its names mean what they mean in views: the own schema first.
async fn fill(session: &mut Session, target: &Arc<Table>, query: &ast::Query) -> Result<u64> {
    let mut search_path = session.search_path().to_vec();
    if let Some(schema) = session.catalog().schema_by_oid(target.schema) {
        search_path.insert(0, schema.name.clone());
    }
    let info = session.info_with_path(search_path);
    let (_, mut batches) = execute::run_query(session, query, &[], &[], &info).await?;
    table::fill(session, target, &mut batches).await
}

async fn refresh(
    session: &mut Session,
    name: &QualifiedName,
    concurrently: bool,
    with_data: bool,
) -> Result<Outcome> {
    if concurrently && !with_data {
        return Err(Error::new(
            ErrorKind::Syntax,
            "CONCURRENTLY and WITH NO DATA options cannot be used together",
        ));
    }
    lock_catalog(session).await?;
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let not_materialized = || {
        let message = format!("\"{}\" is not a materialized view", name.name);
        Error::new(ErrorKind::FeatureNotSupported, message)
    };
    let luma_catalog::Relation::Table(found) = scope.relation(name)? else { return Err(not_materialized()) };
    let Some(filled) = &found.filled_by else { return Err(not_materialized()) };
    if concurrently {
        if !filled.populated {
            return Err(Error::new(
                ErrorKind::FeatureNotSupported,
                "CONCURRENTLY cannot be used when the materialized view is not populated",
            ));
        }
        // Nothing here needs it, but a script that lacks it would fail elsewhere.
        let tells_rows_apart = |index: &luma_catalog::Index| {
            index.unique && index.predicate.is_none() && index.expressions.is_empty()
        };
        if !found.indexes.iter().any(tells_rows_apart) {
            let schema = catalog.schema_by_oid(found.schema).map_or("", |schema| schema.name.as_str());
            return Err(Error::new(
                ErrorKind::ObjectNotInPrerequisiteState,
                format!("cannot refresh materialized view \"{schema}.{}\" concurrently", found.name),
            )
            .hint(
                "Create a unique index with no WHERE clause on one or more columns of the materialized view.",
            ));
        }
    }
    let (found, filled) = (Arc::clone(found), filled.clone());
    lock_definition(session, &found).await?;
    let query = parse_query(&filled.query)?;
    for storage in found.storages() {
        drop_storage(session, storage)?;
    }
    let mut renewed = found.as_ref().clone();
    renewed.storage = create_storage(session)?;
    for index in &mut renewed.indexes {
        index.storage = create_storage(session)?;
    }
    renewed.filled_by = Some(FilledBy { populated: with_data, ..filled });
    put(session, Object::Table(renewed.clone()))?;
    if with_data {
        fill(session, &Arc::new(renewed), &query).await?;
    }
    Ok(done("REFRESH MATERIALIZED VIEW"))
}
