//! The transaction of a session.
//!
//! A transaction block is one Lightning transaction. It carries the catalog as its statements see
//! it, the keyspaces its definitions made (removed if it rolls back) and those it replaced (removed
//! once it commits). Outside of a block, the statements up to the next Sync are one implicit block.

use std::sync::Arc;

use lightning::{Savepoint, Transaction};
use luma_catalog::{Oid, Snapshot, StorageId, engine_error};
use luma_columns::Pin;
use luma_model::{Error, ErrorKind, Result};
use luma_rows::{DeferredKeys, Isolation, NewFiles};

use crate::database::Shared;
use crate::session::KeptSettings;

/// A named place to roll back to.
struct NamedSavepoint {
    name: String,
    place: Savepoint,
    catalog: Option<Arc<Snapshot>>,
    dropped: usize,
    /// How much was to be told by then.
    news: usize,
}

/// An isolation level as SQL names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Level {
    /// The level of that name; `read uncommitted` is one that reads nothing uncommitted.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name.to_lowercase().as_str() {
            "read committed" | "read uncommitted" => Self::ReadCommitted,
            "repeatable read" => Self::RepeatableRead,
            "serializable" => Self::Serializable,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read committed",
            Self::RepeatableRead => "repeatable read",
            Self::Serializable => "serializable",
        }
    }

    /// What statements see and whom writers give way to.
    fn isolation(self) -> Isolation {
        match self {
            Self::ReadCommitted => Isolation::ReadCommitted,
            Self::RepeatableRead | Self::Serializable => Isolation::RepeatableRead,
        }
    }

    /// What the engine has to do for it.
    pub(crate) fn of_engine(self) -> lightning::Isolation {
        match self {
            Self::Serializable => lightning::Isolation::Serializable,
            Self::ReadCommitted | Self::RepeatableRead => lightning::Isolation::Snapshot,
        }
    }
}

/// What a session's transaction holds.
pub(crate) struct ActiveTransaction {
    pub(crate) engine: Transaction,
    /// Begun by a statement outside of a block; ends at Sync.
    pub(crate) implicit: bool,
    /// An error ended it; only its end is accepted.
    pub(crate) failed: bool,
    pub(crate) isolation: Isolation,
    /// Whether what it reads counts at its commit, too.
    pub(crate) serializable: bool,
    pub(crate) read_only: bool,
    /// Microseconds since 1970; what now() says.
    pub(crate) started_micros: i64,
    /// The catalog as changed by this transaction.
    pub(crate) catalog: Option<Arc<Snapshot>>,
    /// Statements that began; after the first one the isolation can't change.
    pub(crate) statements: u32,
    /// Keyspaces made here; nobody else has seen them.
    pub(crate) created: Vec<StorageId>,
    /// Keyspaces nobody needs once this commits.
    pub(crate) dropped: Vec<StorageId>,
    /// Settings to go back to at the end.
    pub(crate) settings: Option<Box<KeptSettings>>,
    /// Foreign keys to check at the end.
    pub(crate) deferred: DeferredKeys,
    /// Tables that go when this commits.
    pub(crate) short_lived: Vec<Oid>,
    /// Files of columnar tables written here.
    pub(crate) new_files: NewFiles,
    /// Keeps the files that the transaction may see.
    _pin: Pin,
    savepoints: Vec<NamedSavepoint>,
}

impl ActiveTransaction {
    /// A transaction; `pin` is from before it began.
    pub(crate) fn new(engine: Transaction, pin: Pin, implicit: bool, level: Level, read_only: bool) -> Self {
        Self {
            engine,
            implicit,
            failed: false,
            isolation: level.isolation(),
            serializable: level == Level::Serializable,
            read_only,
            started_micros: now_micros(),
            catalog: None,
            statements: 0,
            created: Vec::new(),
            dropped: Vec::new(),
            settings: None,
            deferred: DeferredKeys::default(),
            short_lived: Vec::new(),
            new_files: NewFiles::default(),
            _pin: pin,
            savepoints: Vec::new(),
        }
    }

    pub(crate) fn level(&self) -> Level {
        match (self.serializable, self.isolation) {
            (true, _) => Level::Serializable,
            (false, Isolation::RepeatableRead) => Level::RepeatableRead,
            (false, Isolation::ReadCommitted) => Level::ReadCommitted,
        }
    }

    /// Gives a transaction that has done nothing yet another level.
    pub(crate) fn change_level(&mut self, level: Level, engine: &lightning::Database) {
        if (level == Level::Serializable) != self.serializable {
            let options =
                lightning::TransactionOptions { isolation: level.of_engine(), ..self.engine.options() };
            self.engine = engine.begin(options);
        }
        self.isolation = level.isolation();
        self.serializable = level == Level::Serializable;
    }

    /// Readies the transaction for its next statement: under read committed it sees what was
    /// committed until now.
    pub(crate) fn begin_statement(&mut self) {
        if self.statements > 0 && self.isolation == Isolation::ReadCommitted {
            self.engine.refresh();
        }
        self.statements = self.statements.saturating_add(1);
    }

    pub(crate) fn savepoint(&mut self, name: &str, news: usize) {
        self.savepoints.push(NamedSavepoint {
            name: name.to_owned(),
            place: self.engine.savepoint(),
            catalog: self.catalog.clone(),
            dropped: self.dropped.len(),
            news,
        });
    }

    /// Undoes everything since the savepoint, which stays; how much was to be told by then.
    pub(crate) fn rollback_to(&mut self, name: &str) -> Result<usize> {
        let at = self.find_savepoint(name)?;
        self.savepoints.truncate(at + 1);
        let savepoint = &self.savepoints[at];
        self.engine.rollback_to(&savepoint.place).map_err(engine_error)?;
        self.catalog.clone_from(&savepoint.catalog);
        let news = savepoint.news;
        self.dropped.truncate(savepoint.dropped);
        self.failed = false;
        Ok(news)
    }

    /// Forgets the savepoint and those after it.
    pub(crate) fn release(&mut self, name: &str) -> Result<()> {
        let at = self.find_savepoint(name)?;
        self.savepoints.truncate(at);
        Ok(())
    }

    fn find_savepoint(&self, name: &str) -> Result<usize> {
        self.savepoints.iter().rposition(|savepoint| savepoint.name == name).ok_or_else(|| {
            Error::new(ErrorKind::InvalidSavepoint, format!("savepoint \"{name}\" does not exist"))
        })
    }

    /// Commits, and waits until the commit is as durable as was asked.
    pub(crate) async fn commit(self, shared: &Arc<Shared>) -> Result<()> {
        let Self { mut engine, catalog, created, dropped, new_files, _pin, .. } = self;
        if let Err(error) = new_files.settle(&engine) {
            engine.rollback();
            remove(shared, created.into_iter());
            return Err(error);
        }
        let live = catalog.clone();
        if let Some(catalog) = catalog {
            // Before the locks go: whoever waits for a table must find its new definition.
            let shared = Arc::clone(shared);
            engine.on_publish(move || shared.catalog.publish(catalog));
        }
        match engine.commit_async().await {
            Ok(_) => {
                let unused = created.into_iter().filter(|storage| {
                    live.as_ref().is_none_or(|catalog| {
                        !catalog.tables().any(|table| table.storages().any(|used| used == *storage))
                    })
                });
                remove(shared, dropped.into_iter().chain(unused));
                Ok(())
            }
            Err(error) => {
                remove(shared, created.into_iter());
                Err(engine_error(error))
            }
        }
    }

    /// Undoes everything.
    pub(crate) fn rollback(self, shared: &Shared) {
        self.engine.rollback();
        remove(shared, self.created.into_iter());
    }
}

/// Removes keyspaces; one that can't be removed now goes at the next start.
fn remove(shared: &Shared, storages: impl Iterator<Item = StorageId>) {
    for storage in storages {
        if let Err(error) = shared.rows.drop_storage(storage) {
            tracing::warn!(storage, %error, "an unused keyspace could not be removed");
        }
    }
}

/// Microseconds since 1970.
pub(crate) fn now_micros() -> i64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
}
