//! TRUNCATE, ANALYZE, VACUUM, CHECKPOINT and COMMENT.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, Statement as Sql};
use luma_catalog::{Object, Oid, Relation, Table, engine_error};
use luma_model::{Error, ErrorKind, Result};

use crate::analyze::describe;
use crate::ddl::{create_storage, done, drop_storage, lock_catalog, lock_definition, put};
use crate::dml::target::refuse_pending;
use crate::execute;
use crate::names::{Scope, qualified};
use crate::outcome::Outcome;
use crate::session::Session;

/// Runs TRUNCATE: each table gets new, empty keyspaces.
pub(crate) async fn truncate(session: &mut Session, truncate: &ast::Truncate) -> Result<Outcome> {
    lock_catalog(session).await?;
    let cascade = matches!(truncate.cascade, Some(ast::CascadeOption::Cascade));
    let restart = matches!(truncate.identity, Some(ast::TruncateIdentityOption::Restart));
    let catalog = session.catalog();
    let mut emptied: BTreeSet<Oid> = BTreeSet::new();
    for target in &truncate.table_names {
        let scope = Scope { catalog: &catalog, search_path: session.search_path() };
        emptied.insert(scope.written_table(&qualified(&target.name)?)?.oid);
    }
    loop {
        let referencing: Vec<&Arc<Table>> = emptied
            .iter()
            .flat_map(|oid| catalog.referencing_tables(*oid))
            .filter(|other| !emptied.contains(&other.oid))
            .collect();
        let Some(other) = referencing.first() else { break };
        if !cascade {
            return Err(Error::new(
                ErrorKind::FeatureNotSupported,
                "cannot truncate a table referenced in a foreign key constraint",
            )
            .detail(format!("Table \"{}\" references it.", other.name))
            .hint(format!(
                "Truncate table \"{}\" at the same time, or use TRUNCATE ... CASCADE.",
                other.name
            )));
        }
        emptied.extend(referencing.iter().map(|other| other.oid).collect::<Vec<_>>());
    }
    for oid in emptied {
        let Some(table) = catalog.table(oid) else { continue };
        lock_definition(session, table).await?;
        refuse_pending(session, table, "TRUNCATE").await?;
        let current = session.catalog().table(oid).map_or_else(|| Arc::clone(table), Arc::clone);
        for storage in current.storages() {
            drop_storage(session, storage)?;
        }
        let mut empty = current.as_ref().clone();
        empty.storage = create_storage(session)?;
        if let Some(columnar) = &mut empty.columnar {
            columnar.files = create_storage(session)?;
        }
        for index in &mut empty.indexes {
            index.storage = create_storage(session)?;
        }
        if restart {
            for sequence in empty.columns.iter().filter_map(|column| column.sequence) {
                if let Some(sequence) = catalog.sequence(sequence) {
                    session.shared.rows.sequences().set(sequence, sequence.start, false)?;
                }
            }
        }
        put(session, Object::Table(empty))?;
    }
    Ok(done("TRUNCATE TABLE"))
}

/// The tables a maintenance statement is about: those that it names, or all.
fn tables(session: &Session, names: &[ast::ObjectName]) -> Result<Vec<Arc<Table>>> {
    let catalog = session.catalog();
    if names.is_empty() {
        return Ok(catalog.tables().cloned().collect());
    }
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    names.iter().map(|name| Ok(Arc::clone(scope.table(&qualified(name)?)?))).collect()
}

/// Runs ANALYZE.
pub(crate) async fn analyze(session: &mut Session, names: &[ast::ObjectName]) -> Result<Outcome> {
    let reader = session.active()?.engine.reader();
    let mut found = Vec::new();
    for table in tables(session, names)? {
        let open = session.shared.open_table(&table)?;
        let rows = session.shared.rows.approximate_rows(&open);
        // Reading a large table takes long; it must not hold up this thread's other connections.
        let reader = reader.clone();
        let task = session.shared.runtime()?.spawn_blocking(move || describe(&open, &reader, rows, &|| true));
        let described =
            task.await.map_err(|error| Error::new(ErrorKind::Internal, format!("ANALYZE: {error}")))??;
        found.push(described);
    }
    lock_catalog(session).await?;
    for described in found {
        if let Some(table) = described.apply(&session.catalog()) {
            put(session, table)?;
            described.kept(false);
        }
    }
    Ok(done("ANALYZE"))
}

/// Runs VACUUM: compacts, so that space of deleted rows is given back at once rather than later; makes statistics anew
/// if that is asked for.
pub(crate) async fn vacuum(
    session: &mut Session,
    names: &[ast::ObjectName],
    with_statistics: bool,
) -> Result<Outcome> {
    if session.transaction.as_ref().is_some_and(|transaction| !transaction.implicit) {
        return Err(Error::new(ErrorKind::ActiveTransaction, "VACUUM cannot run inside a transaction block"));
    }
    // Without a name every table would be rewritten; compaction does that by itself as it pays.
    if !names.is_empty() {
        for table in tables(session, names)? {
            let open = session.shared.open_table(&table)?;
            if open.files.is_some() {
                // Its transaction would keep what it read, and the table is to be changed by another one.
                let shared = Arc::clone(&session.shared);
                let task = session.shared.runtime()?.spawn_blocking(move || {
                    crate::upkeep::maintain(&shared, open.definition.oid, crate::upkeep::Effort::All)
                });
                task.await.map_err(|error| Error::new(ErrorKind::Internal, format!("VACUUM: {error}")))??;
                continue;
            }
            let task = session.shared.runtime()?.spawn_blocking(move || {
                open.rows.compact()?;
                open.indexes.iter().try_for_each(|index| index.entries.compact())
            });
            task.await
                .map_err(|error| Error::new(ErrorKind::Internal, format!("VACUUM: {error}")))?
                .map_err(engine_error)?;
        }
    }
    if with_statistics {
        analyze(session, names).await?;
    }
    Ok(done("VACUUM"))
}

/// Runs CHECKPOINT: everything committed is in table files when it returns.
pub(crate) async fn checkpoint(session: &mut Session) -> Result<Outcome> {
    let engine = session.shared.engine.clone();
    let task = session.shared.runtime()?.spawn_blocking(move || engine.flush());
    task.await
        .map_err(|error| Error::new(ErrorKind::Internal, format!("CHECKPOINT: {error}")))?
        .map_err(engine_error)?;
    Ok(done("CHECKPOINT"))
}

/// Runs COMMENT ON TABLE, VIEW or COLUMN.
pub(crate) async fn comment(session: &mut Session, body: &Sql) -> Result<Outcome> {
    let Sql::Comment { object_type, object_name, comment, .. } = body else {
        return Err(execute::unsupported(body));
    };
    lock_catalog(session).await?;
    let catalog = session.catalog();
    if let ast::CommentObject::Type | ast::CommentObject::Domain = object_type {
        let scope = Scope { catalog: &catalog, search_path: session.search_path() };
        let mut commented = scope.user_type(&qualified(object_name)?)?.as_ref().clone();
        commented.comment.clone_from(comment);
        put(session, Object::Type(commented))?;
        return Ok(done("COMMENT"));
    }
    if let ast::CommentObject::Collation = object_type {
        let scope = Scope { catalog: &catalog, search_path: session.search_path() };
        let found = scope.collation(&qualified(object_name)?)?;
        let Some(made) = catalog.collations().find(|made| made.collation.oid == found.oid) else {
            return Err(execute::unsupported(body));
        };
        let mut commented = made.as_ref().clone();
        commented.comment.clone_from(comment);
        put(session, Object::Collation(commented))?;
        return Ok(done("COMMENT"));
    }
    let (relation, column) = match object_type {
        ast::CommentObject::Table | ast::CommentObject::View | ast::CommentObject::MaterializedView => {
            (object_name.clone(), None)
        }
        ast::CommentObject::Column => {
            let mut parts = object_name.0.clone();
            let column = parts.pop().and_then(|part| part.as_ident().map(crate::names::identifier));
            (ast::ObjectName(parts), column)
        }
        _ => return Err(execute::unsupported(body)),
    };
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    match (scope.relation(&qualified(&relation)?)?, column) {
        (Relation::Table(table), None) => {
            let mut commented = table.as_ref().clone();
            commented.comment.clone_from(comment);
            put(session, Object::Table(commented))?;
        }
        (Relation::Table(table), Some(column)) => {
            let ordinal = crate::dml::insert::ordinal(table, &column)?;
            let mut commented = table.as_ref().clone();
            commented.columns[ordinal].comment.clone_from(comment);
            put(session, Object::Table(commented))?;
        }
        (Relation::View(view), None) => {
            let mut commented = view.as_ref().clone();
            commented.comment.clone_from(comment);
            put(session, Object::View(commented))?;
        }
        _ => return Err(execute::unsupported(body)),
    }
    Ok(done("COMMENT"))
}
