//! What every statement that writes to a table needs: the table locked against redefinition, and a
//! writer on the session's transaction.

use std::sync::Arc;

use lightning::LockMode;
use luma_catalog::{Snapshot, Table, engine_error};
use luma_model::{Error, ErrorKind, Result};
use luma_rows::{LockSpace, OpenTable, Store, Writer};

use crate::expression::Evaluator;
use crate::session::{Session, SessionInfo};

/// A table that may be written to by the running statement.
pub(crate) struct Target {
    pub(crate) table: Arc<OpenTable>,
    pub(crate) catalog: Arc<Snapshot>,
    pub(crate) info: Arc<SessionInfo>,
    pub(crate) evaluator: Evaluator,
}

impl Target {
    /// Locks the table (shared: writers don't exclude each other) until the transaction ends, and
    /// opens it as it is defined then.
    ///
    /// # Errors
    /// 25006 in a read-only transaction, 42809 for a materialized view, 42P01 when the table went meanwhile.
    pub(crate) async fn open(session: &mut Session, table: &Arc<Table>) -> Result<Self> {
        if table.filled_by.is_some() {
            return Err(Error::new(
                ErrorKind::WrongObjectType,
                format!("cannot change materialized view \"{}\"", table.name),
            )
            .hint("Change what its query reads, then run REFRESH MATERIALIZED VIEW."));
        }
        Self::open_to_fill(session, table).await
    }

    /// As [`open`](Self::open), for materialized views too: by the statement that fills them.
    pub(crate) async fn open_to_fill(session: &mut Session, table: &Arc<Table>) -> Result<Self> {
        refuse_read_only(session)?;
        lock_table(session, table, LockMode::Shared).await?;
        let catalog = session.catalog();
        let current = catalog.table(table.oid).ok_or_else(|| {
            Error::new(ErrorKind::UndefinedTable, format!("relation \"{}\" does not exist", table.name))
        })?;
        if !Arc::ptr_eq(current, table) && current.columns != table.columns {
            return Err(Error::new(
                ErrorKind::SerializationFailure,
                format!("the definition of table \"{}\" changed while the statement began", table.name),
            )
            .hint("Run the statement again."));
        }
        let open = session.shared.open_table(current)?;
        let info = session.new_info();
        Ok(Self { table: open, catalog, evaluator: Evaluator { info: Arc::clone(&info) }, info })
    }

    /// A writer for the statement.
    pub(crate) fn writer<'a>(&'a self, session: &'a mut Session) -> Result<Writer<'a>> {
        writer(session, &self.catalog, &self.evaluator)
    }

    /// Refuses a transaction that holds more than it may.
    pub(crate) fn check_size(&self, writer: &Writer<'_>) -> Result<()> {
        let limit = self.info.shared.options.max_transaction_bytes;
        if writer.transaction_bytes() <= limit {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::ConfigurationLimit,
            format!("the transaction changes more than {} MB", limit >> 20),
        )
        .hint(
            "Change fewer rows at a time, load with `lumadb import`, or raise [memory] max_transaction_size.",
        ))
    }
}

/// A writer on the session's transaction.
fn writer<'a>(
    session: &'a mut Session,
    catalog: &'a Snapshot,
    evaluator: &'a Evaluator,
) -> Result<Writer<'a>> {
    let lock_timeout = session.settings.lock_timeout();
    let shared: &'a crate::database::Shared = &evaluator.info.shared;
    let transaction = session.active()?;
    let isolation = transaction.isolation;
    let kept = (transaction.deferred.clone(), transaction.new_files.clone());
    let engine = &mut transaction.engine;
    Ok(Writer::new(&shared.rows, catalog, engine, evaluator, isolation, lock_timeout, kept))
}

/// Checks the foreign keys that wait: at the end of the transaction all, before it those that
/// `SET CONSTRAINTS` made immediate.
///
/// # Errors
/// 23503 when a reference dangles.
pub(crate) async fn check_deferred(session: &mut Session, end: bool) -> Result<()> {
    let waits =
        session.transaction.as_ref().is_some_and(|active| !active.failed && !active.deferred.is_empty());
    if !waits {
        return Ok(());
    }
    let catalog = session.catalog();
    let evaluator = Evaluator { info: session.new_info() };
    writer(session, &catalog, &evaluator)?.check_deferred(end).await
}

/// Refuses to change the definition of a table of which the transaction has keys to check yet.
///
/// # Errors
/// 55006 when it has.
pub(crate) async fn refuse_pending(session: &mut Session, table: &Table, statement: &str) -> Result<()> {
    if session.active()?.deferred.is_empty() {
        return Ok(());
    }
    let catalog = session.catalog();
    let evaluator = Evaluator { info: session.new_info() };
    if !writer(session, &catalog, &evaluator)?.has_pending(table.oid).await? {
        return Ok(());
    }
    let message = format!("cannot {statement} \"{}\" because it has pending trigger events", table.name);
    Err(Error::new(ErrorKind::ObjectInUse, message)
        .hint("Run SET CONSTRAINTS ALL IMMEDIATE before, or commit."))
}

/// Refuses writes in a read-only transaction.
pub(crate) fn refuse_read_only(session: &mut Session) -> Result<()> {
    if session.active()?.read_only {
        return Err(Error::new(
            ErrorKind::ReadOnlyTransaction,
            "cannot change data in a read-only transaction",
        ));
    }
    Ok(())
}

/// Locks a table's definition: shared to write rows, exclusive to change it.
pub(crate) async fn lock_table(session: &mut Session, table: &Table, mode: LockMode) -> Result<()> {
    let timeout = session.settings.lock_timeout();
    let transaction = session.active()?;
    transaction
        .engine
        .lock(LockSpace::Tables.number(), &Store::object_key(table.oid), mode, timeout)
        .await
        .map_err(engine_error)
}
