//! Temporary tables: tables in a schema of the session's own.
//!
//! The schema `pg_temp_<session>` is made with the first of them and comes first in the session's
//! search path; nobody else looks there. What it holds goes when the session ends; what a server that
//! was killed left behind goes at its next start. Their rows are stored as those of any other table.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use luma_catalog::{Catalog, Object, Oid, Relation, Schema, Snapshot, StorageId, engine_error};
use luma_model::{Error, ErrorKind, Result};

use crate::database::{Shared, change_catalog};
use crate::ddl;
use crate::session::Session;

const PREFIX: &str = "pg_temp_";

/// The name that stands for a session's own schema.
pub(crate) const OWN: &str = "pg_temp";

/// Whether a schema is a session's own.
pub(crate) fn is_temporary(schema: &str) -> bool {
    schema.starts_with(PREFIX)
}

/// The schema of a session.
pub(crate) fn schema_name(session: u64) -> String {
    format!("{PREFIX}{session}")
}

/// Makes the session's schema if there is none yet; its name.
pub(crate) fn schema(session: &mut Session) -> Result<String> {
    let name = schema_name(session.number);
    if session.catalog().schema(&name).is_none() {
        let oid = session.shared.catalog.allocate_oid();
        ddl::put(session, Object::Schema(Schema { oid, name: name.clone(), owner: 10 }))?;
    }
    session.look_at_temporary();
    Ok(name)
}

/// Refuses a permanent object that needs a temporary one.
pub(crate) fn refuse_permanent(catalog: &Snapshot, schema: Oid, used: &[Oid]) -> Result<()> {
    let temporary = |schema| catalog.schema_by_oid(schema).is_some_and(|schema| is_temporary(&schema.name));
    let uses = |oid: &Oid| catalog.table(*oid).is_some_and(|table| temporary(table.schema));
    if temporary(schema) || !used.iter().any(uses) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::FeatureNotSupported, "a permanent object can't use a temporary table"))
}

/// Drops the tables of the session's schema.
pub(crate) async fn drop_all(session: &mut Session) -> Result<()> {
    let name = schema_name(session.number);
    let catalog = session.catalog();
    let Some(schema) = catalog.schema(&name) else { return Ok(()) };
    let tables: Vec<_> = catalog.tables().filter(|table| table.schema == schema.oid).cloned().collect();
    drop_tables(session, &tables.iter().map(|table| table.oid).collect::<Vec<_>>()).await
}

/// Drops those of the tables that are still there.
pub(crate) async fn drop_tables(session: &mut Session, tables: &[Oid]) -> Result<()> {
    if tables.is_empty() {
        return Ok(());
    }
    ddl::lock_catalog(session).await?;
    let together: BTreeSet<Oid> = tables.iter().copied().collect();
    for oid in tables {
        let found = session.catalog().table(*oid).map(Arc::clone);
        if let Some(table) = found {
            ddl::drop::drop_table(session, &table, true, &together).await?;
        }
    }
    Ok(())
}

/// Deletes the rows of the tables that a transaction's end empties. Nobody else writes to them.
pub(crate) fn empty_tables(session: &mut Session) -> Result<()> {
    let catalog = session.catalog();
    let Some(schema) = catalog.schema(&schema_name(session.number)) else { return Ok(()) };
    let shared = Arc::clone(&session.shared);
    for (_, relation) in catalog.relations(schema.oid) {
        let Relation::Table(table) = relation else { continue };
        let Some(transaction) = &mut session.transaction else { return Ok(()) };
        if !table.emptied_at_commit || transaction.failed {
            continue;
        }
        let open = shared.open_table(table)?;
        if open.is_empty(&transaction.engine.latest_reader())? {
            continue;
        }
        let indexes = open.indexes.iter().map(|index| &index.entries);
        for keyspace in std::iter::once(&open.rows).chain(indexes) {
            let engine = &mut transaction.engine;
            engine.delete_range(keyspace, Bound::Unbounded, Bound::Unbounded).map_err(engine_error)?;
        }
    }
    Ok(())
}

/// Removes the schemas that `ended` picks from the catalog; the storages that nobody needs then.
pub(crate) fn remove(
    engine: &lightning::Database,
    catalog: &Arc<Catalog>,
    ended: impl Fn(&str) -> bool,
) -> Result<Vec<(Oid, Vec<StorageId>)>> {
    let gone = |name: &str| is_temporary(name) && ended(name);
    if !catalog.current().schemas().any(|schema| gone(&schema.name)) {
        return Ok(Vec::new());
    }
    let mut unused = Vec::new();
    change_catalog(engine, catalog, None, |base, edit| {
        for schema in base.schemas().filter(|schema| gone(&schema.name)) {
            for (_, relation) in base.relations(schema.oid) {
                match relation {
                    Relation::Table(table) => {
                        unused.push((table.oid, table.storages().collect()));
                        edit.remove(table.oid)?;
                    }
                    Relation::View(_) | Relation::Sequence(_) => edit.remove(relation.oid())?,
                    Relation::Index(..) => {}
                }
            }
            edit.remove(schema.oid)?;
        }
        Ok(())
    })?;
    Ok(unused)
}

/// Removes what a session that ended has left, in the background.
pub(crate) fn clean_up(shared: &Arc<Shared>, session: u64) {
    let name = schema_name(session);
    if shared.catalog.current().schema(&name).is_none() {
        return;
    }
    let Ok(runtime) = shared.runtime() else { return };
    let shared = Arc::clone(shared);
    runtime.spawn_blocking(move || {
        let removed = remove(&shared.engine, &shared.catalog, |schema| schema == name).and_then(|unused| {
            for (table, storages) in unused {
                shared.forget_table(table);
                storages.into_iter().try_for_each(|storage| shared.rows.drop_storage(storage))?;
            }
            Ok(())
        });
        if let Err(error) = removed {
            tracing::warn!(%error, "temporary tables of a session that ended could not be removed");
        }
    });
}
