//! Statements that change definitions.
//!
//! A change locks the catalog (one change at a time) and the tables it is about (no writer meets
//! half of it), edits the transaction's own catalog, and is published when the transaction commits.
//! Keyspaces made on the way belong to the transaction until then.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::Statement as Sql;
use lightning::LockMode;
use luma_catalog::{Edit, Object, Oid, Snapshot, StorageId, Table, engine_error};
use luma_model::{Error, ErrorKind, Result, Value};
use luma_rows::LockSpace;

use crate::dml::target::{lock_table, refuse_read_only};
use crate::execute;
use crate::expression::Evaluator;
use crate::outcome::{CommandTag, Outcome};
use crate::session::Session;
use crate::statement::Body;

mod alter;
mod collation;
mod columnar;
mod constraint;
pub(crate) mod drop;
mod extension;
mod external;
mod follow;
mod index;
mod like;
mod lock;
mod maintenance;
mod materialized;
mod privilege;
mod relation;
mod role;
mod schema;
mod sequence;
mod table;
mod timing;
pub(crate) use table::quoted;
mod user_type;
mod view;

/// Runs a definition statement of sqlparser's grammar.
pub(crate) async fn statement(session: &mut Session, body: &Sql) -> Result<Outcome> {
    if let Sql::Lock(lock) = body {
        return lock::tables(session, lock).await;
    }
    refuse_read_only(session)?;
    match body {
        Sql::CreateTable(create) => table::create(session, create).await,
        Sql::CreateIndex(create) => index::create(session, create).await,
        Sql::CreateView(create) => view::create(session, create).await,
        Sql::AlterSchema(alter) => schema::alter(session, alter).await,
        Sql::CreateCollation(create) => collation::create(session, create).await,
        Sql::AlterCollation(alter) => collation::alter(session, alter).await,
        Sql::CreateSchema { schema_name, if_not_exists, .. } => {
            schema::create(session, schema_name, *if_not_exists).await
        }
        Sql::Drop { .. } => drop::statement(session, body).await,
        Sql::AlterTable(alter) => alter::statement(session, alter).await,
        Sql::Truncate(truncate) => maintenance::truncate(session, truncate).await,
        Sql::Comment { .. } => maintenance::comment(session, body).await,
        Sql::Grant(grant) => privilege::grant(session, grant),
        Sql::Revoke(revoke) => privilege::revoke(session, revoke),
        Sql::CreateExtension(create) => extension::create(session, create),
        _ => Err(execute::unsupported(body)),
    }
}

/// Runs a statement of our own grammar.
pub(crate) async fn own_statement(session: &mut Session, body: &Body) -> Result<Outcome> {
    match body {
        Body::CreateCollection { name, if_not_exists } => {
            refuse_read_only(session)?;
            table::create_collection(session, name, *if_not_exists).await
        }
        Body::DropCollection { names, if_exists } => {
            refuse_read_only(session)?;
            drop::tables(session, names, *if_exists, false, "DROP COLLECTION").await
        }
        Body::DiscardAll => {
            crate::temporary::drop_all(session).await?;
            session.discard();
            Ok(done("DISCARD ALL"))
        }
        Body::Discard(tag) => {
            if *tag == "DISCARD TEMP" {
                crate::temporary::drop_all(session).await?;
            }
            Ok(done(tag))
        }
        Body::Relation(statement) => {
            refuse_read_only(session)?;
            relation::statement(session, statement).await
        }
        Body::Analyze(tables) => maintenance::analyze(session, tables).await,
        Body::Vacuum { tables, analyze } => maintenance::vacuum(session, tables, *analyze).await,
        Body::Checkpoint => maintenance::checkpoint(session).await,
        Body::Constraint(statement) => timing::statement(session, statement).await,
        Body::Role(statement) => {
            refuse_read_only(session)?;
            role::statement(session, statement).await
        }
        Body::Type(statement) => {
            refuse_read_only(session)?;
            user_type::statement(session, statement).await
        }
        Body::Refused { message, hint } => {
            Err(Error::new(ErrorKind::FeatureNotSupported, *message).hint(*hint))
        }
        Body::Materialized(statement) => {
            refuse_read_only(session)?;
            materialized::statement(session, statement).await
        }
        Body::External(statement) => {
            refuse_read_only(session)?;
            external::statement(session, statement).await
        }
        Body::Sequence(statement) => {
            refuse_read_only(session)?;
            sequence::statement(session, statement).await
        }
        Body::Move { name, direction } => {
            crate::cursor::pass(session, &crate::names::identifier(name), direction).await
        }
        Body::Sql(_) | Body::With(_) => Ok(done("")),
    }
}

/// A statement that counts nothing.
pub(crate) fn done(tag: &'static str) -> Outcome {
    Outcome::Complete(CommandTag::Other(tag))
}

/// Locks the catalog for a change; until the transaction ends nobody else changes it.
pub(crate) async fn lock_catalog(session: &mut Session) -> Result<()> {
    let timeout = session.settings.lock_timeout();
    session
        .active()?
        .engine
        .lock(LockSpace::Catalog.number(), b"", LockMode::Exclusive, timeout)
        .await
        .map_err(engine_error)
}

/// Keeps everyone from writing to a table until the transaction ends.
pub(crate) async fn lock_definition(session: &mut Session, table: &Table) -> Result<()> {
    lock_table(session, table, LockMode::Exclusive).await
}

/// Changes the transaction's catalog.
pub(crate) fn edit<T>(
    session: &mut Session,
    change: impl FnOnce(&mut Edit<'_>, &dyn Fn() -> Oid) -> Result<T>,
) -> Result<T> {
    let base: Arc<Snapshot> = session.catalog();
    let shared = Arc::clone(&session.shared);
    let transaction = session.active()?;
    let mut edit = shared.catalog.edit(&base, &mut transaction.engine);
    let result = change(&mut edit, &|| shared.catalog.allocate_oid())?;
    transaction.catalog = Some(edit.finish());
    session.forget_info();
    Ok(result)
}

/// Stores one object.
pub(crate) fn put(session: &mut Session, object: Object) -> Result<()> {
    edit(session, |edit, _| edit.put(object))
}

/// A new keyspace, owned by the transaction until it commits.
pub(crate) fn create_storage(session: &mut Session) -> Result<StorageId> {
    let storage = session.shared.catalog.allocate_oid();
    session.shared.rows.create_storage(storage)?;
    session.active()?.created.push(storage);
    Ok(storage)
}

/// Marks a keyspace as unneeded once the transaction commits.
pub(crate) fn drop_storage(session: &mut Session, storage: StorageId) -> Result<()> {
    session.active()?.dropped.push(storage);
    Ok(())
}

/// The reader of a change that must see everything committed until now.
pub(crate) fn latest_reader(session: &mut Session) -> Result<lightning::TransactionReader> {
    Ok(session.active()?.engine.latest_reader())
}

/// Moves a table's rows to new keyspaces under a new definition (`new.storage` and its indexes'
/// are made here) and drops the old ones with the commit.
pub(crate) fn rewrite_table(
    session: &mut Session,
    old: &Arc<Table>,
    mut new: Table,
    convert: &mut dyn FnMut(Vec<Value>) -> Result<Vec<Value>>,
) -> Result<Table> {
    for storage in old.storages() {
        drop_storage(session, storage)?;
    }
    new.storage = create_storage(session)?;
    if let Some(columnar) = &mut new.columnar {
        columnar.files = create_storage(session)?;
    }
    for index in &mut new.indexes {
        index.storage = create_storage(session)?;
    }
    let reader = latest_reader(session)?;
    let old_open = session.shared.open_table(old)?;
    let new_open = Arc::new(session.shared.rows.table(&Arc::new(new.clone()))?);
    let budget = session.shared.options.build_memory_bytes;
    let evaluator = Evaluator { info: session.new_info() };
    luma_rows::rewrite(&session.shared.rows, &old_open, &new_open, &reader, budget, &evaluator, convert)?;
    // What was ingested just now is newer than the transaction's snapshot.
    session.active()?.engine.refresh();
    Ok(new)
}

/// Gives a collection columns for the fields its new documents have.
pub(crate) async fn learn_fields(
    session: &mut Session,
    table: &Arc<Table>,
    seen: &crate::collection::SeenFields,
) -> Result<()> {
    let known = |session: &Session| session.catalog().table(table.oid).map(Arc::clone);
    if known(session).is_none_or(|current| seen.extend(&current).is_none()) {
        return Ok(());
    }
    lock_catalog(session).await?;
    // Another session may have added fields before the lock was ours.
    if let Some(current) = known(session)
        && let Some(extended) = seen.extend(&current)
    {
        put(session, Object::Table(extended))?;
    }
    Ok(())
}
