//! COPY of many rows into an empty table.
//!
//! A transaction's changes are in memory until it commits, with a lock for each key. That is what a few rows want. Once
//! there are megabytes of them, and the table had none before, it gets new keyspaces that nobody sees yet, as TRUNCATE
//! gives it, and the rows go there from another thread: unlocked, unlogged, with memory that does not grow. The
//! transaction's catalog names them in the end, so they are there when it commits and gone when it does not.

use std::ops::Bound;
use std::sync::Arc;

use lightning::{Direction, LockAttempt, LockMode, Readable, Savepoint};
use luma_catalog::{Object, Table, engine_error};
use luma_model::{Error, ErrorKind, Result, Value, ValueRef};
use luma_rows::{EncodedRows, Isolation, Load, LoadKind, LockSpace, OpenTable, RowEncoder, Store};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::ddl;
use crate::dml::target::Target;
use crate::expression::Evaluator;
use crate::session::Session;

/// Bytes of changes from which on rows are loaded.
const LOAD_BYTES: usize = 2 << 20;
/// Bytes of rows that are handed over at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that wait to be taken in.
const CHUNKS_MAX: usize = 4;

/// A COPY that may become a load.
pub(super) struct Candidate {
    /// Where its rows begin among the transaction's changes.
    begin: Savepoint,
    bytes: usize,
}

impl Candidate {
    /// `None` if the table has rows, or something that wants each row looked at when it comes.
    pub(super) fn new(session: &mut Session, target: &Target) -> Result<Option<Self>> {
        let transaction = session.active()?;
        let table = &target.table;
        let plain = table.files.is_none()
            && table.definition.foreign_keys.is_empty()
            && !table.indexes.iter().any(|index| index.definition.is_deferrable())
            // A snapshot that is kept would have to see what is not logged.
            && transaction.isolation == Isolation::ReadCommitted;
        if !plain || has_rows(&transaction.engine.latest_reader(), table)? {
            return Ok(None);
        }
        let bytes = transaction.engine.write_set_bytes();
        Ok(Some(Self { begin: transaction.engine.savepoint(), bytes }))
    }

    /// Whether there are so many rows by now that loading them pays.
    pub(super) fn is_due(&self, session: &mut Session) -> Result<bool> {
        Ok(session.active()?.engine.write_set_bytes() >= self.bytes + LOAD_BYTES)
    }

    /// Goes on as a load; `None` if others write to the table.
    pub(super) fn begin(self, session: &mut Session, target: &Target) -> Result<Option<TableLoad>> {
        let table = &target.table;
        let transaction = session.active()?;
        let (space, key) = (LockSpace::Tables.number(), Store::object_key(table.definition.oid));
        let attempt = transaction.engine.try_lock(space, &key, LockMode::Exclusive);
        if !matches!(attempt, Ok(LockAttempt::Granted)) {
            return Ok(None);
        }
        let written = transaction.engine.latest_reader();
        if has_rows(written.snapshot(), table)? {
            return Ok(None);
        }
        let mut loaded = table.definition.as_ref().clone();
        loaded.storage = ddl::create_storage(session)?;
        for index in &mut loaded.indexes {
            index.storage = ddl::create_storage(session)?;
        }
        let mut load = TableLoad::new(session, loaded)?;
        let mut chunks = Vec::new();
        table.for_each_row(&written, 1, &mut |values| {
            load.add(&values, &target.evaluator)?;
            if load.is_full() {
                chunks.push(std::mem::take(&mut load.encoded));
            }
            Ok(())
        })?;
        load.before = chunks;
        drop(written);
        session.active()?.engine.rollback_to(&self.begin).map_err(engine_error)?;
        Ok(Some(load))
    }
}

fn has_rows(reader: &impl Readable, table: &OpenTable) -> Result<bool> {
    let mut rows = reader
        .range(&table.rows, Bound::Unbounded, Bound::Unbounded, Direction::Forward)
        .map_err(engine_error)?;
    Ok(rows.next().map_err(engine_error)?.is_some())
}

/// Rows on their way into a table's new keyspaces.
pub(super) struct TableLoad {
    table: Arc<OpenTable>,
    encoder: RowEncoder,
    encoded: EncodedRows,
    /// What was there when it began, to be handed over first.
    before: Vec<EncodedRows>,
    chunks: mpsc::Sender<EncodedRows>,
    /// Takes chunks until there are no more.
    loading: JoinHandle<Result<Load>>,
}

impl TableLoad {
    fn new(session: &mut Session, loaded: Table) -> Result<Self> {
        let shared = Arc::clone(&session.shared);
        let table = Arc::new(shared.rows.table(&Arc::new(loaded))?);
        let mut load = Load::new(&shared.rows, &table, shared.options.build_memory_bytes, LoadKind::Insert);
        let (chunks, mut taken) = mpsc::channel::<EncodedRows>(CHUNKS_MAX);
        let loading = shared.runtime()?.spawn_blocking(move || {
            while let Some(mut chunk) = taken.blocking_recv() {
                load.take(&mut chunk)?;
            }
            Ok(load)
        });
        let (encoder, encoded, before) = (RowEncoder::new(&table), EncodedRows::default(), Vec::new());
        Ok(Self { table, encoder, encoded, before, chunks, loading })
    }

    /// Adds a complete row.
    ///
    /// # Errors
    /// Of constraints that concern the row alone.
    pub(super) fn add(&mut self, values: &[Value], evaluator: &Evaluator) -> Result<()> {
        let refs: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
        luma_rows::check_values(&self.table, &refs, evaluator)?;
        self.encoder.add(&refs, evaluator, &mut self.encoded)
    }

    /// Whether there is enough to hand over.
    pub(super) fn is_full(&self) -> bool {
        self.encoded.bytes() >= CHUNK_BYTES
    }

    /// Hands over what was added.
    ///
    /// # Errors
    /// What was wrong with rows before: 23505, a full disk.
    pub(super) async fn hand_over(&mut self) -> Result<()> {
        let mut chunks = std::mem::take(&mut self.before);
        chunks.push(std::mem::take(&mut self.encoded));
        for chunk in chunks {
            if self.chunks.send(chunk).await.is_err() {
                // It has ended, so with an error.
                let ended = (&mut self.loading).await.map_err(stopped)?;
                return Err(ended.err().unwrap_or_else(|| Error::internal("a load ended early")));
            }
        }
        Ok(())
    }

    /// Makes all rows durable and the table's own.
    ///
    /// # Errors
    /// As [`TableLoad::hand_over`].
    pub(super) async fn finish(mut self, session: &mut Session) -> Result<()> {
        self.hand_over().await?;
        let Self { table, chunks, loading, .. } = self;
        drop(chunks);
        let load = loading.await.map_err(stopped)??;
        let finishing = session.shared.runtime()?.spawn_blocking(move || load.finish());
        finishing.await.map_err(stopped)??;
        ddl::lock_catalog(session).await?;
        let definition = &table.definition;
        let current = session.catalog().table(definition.oid).map(Arc::clone);
        let current =
            current.ok_or_else(|| Error::internal("a table went while rows were loaded into it"))?;
        for storage in current.storages() {
            ddl::drop_storage(session, storage)?;
        }
        // Nobody could write to it meanwhile or change its columns, but describe it or count its values.
        let mut loaded = current.as_ref().clone();
        loaded.storage = definition.storage;
        for index in &mut loaded.indexes {
            let filled = definition.indexes.iter().find(|filled| filled.oid == index.oid);
            index.storage =
                filled.ok_or_else(|| Error::internal("an index came while rows were loaded"))?.storage;
        }
        ddl::put(session, Object::Table(loaded))?;
        // What was loaded is newer than the transaction's snapshot.
        session.active()?.engine.refresh();
        Ok(())
    }
}

fn stopped(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Internal, format!("COPY: {error}"))
}
