//! What all sessions share.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use datafusion::execution::SessionState;
use luma_catalog::{Catalog, Edit, Object, Oid, Role, Snapshot, Table, Verifier, engine_error};
use luma_model::{Error, ErrorKind, Result};
use luma_rows::{OpenTable, Store};
use luma_telemetry::Metrics;
use parking_lot::RwLock;

use crate::analyze::Analyzing;
use crate::expression::TableExpressions;
use crate::plan::context::Names;
use crate::plan::state;
use crate::session::{Session, SessionInfo};

/// The one database there is.
pub const DATABASE_NAME: &str = "lumadb";
/// Its identifier.
pub(crate) const DATABASE_OID: Oid = 5;
/// The first administrator.
pub const ADMINISTRATOR: &str = "lumadb";
/// PostgreSQL's number for the first administrator.
const ADMINISTRATOR_OID: Oid = 10;

/// Bounds and places.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// Memory for running statements (sorts, joins, aggregates), shared by all.
    pub statement_memory_bytes: usize,
    /// Where sorts and joins spill to past that; none means they fail instead.
    pub spill_dir: Option<PathBuf>,
    /// Bytes of changes a transaction may hold in memory.
    pub max_transaction_bytes: usize,
    /// Memory for building an index or rewriting a table before its parts go to disk.
    pub build_memory_bytes: usize,
    /// Memory for unpacked columns of columnar tables.
    pub column_cache_bytes: usize,
    /// Threads for statements that DataFusion runs.
    pub query_threads: usize,
    /// Whether statistics make themselves.
    pub auto_analyze: bool,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        Self {
            statement_memory_bytes: 512 << 20,
            spill_dir: None,
            max_transaction_bytes: 512 << 20,
            build_memory_bytes: 64 << 20,
            column_cache_bytes: 128 << 20,
            query_threads: std::thread::available_parallelism().map_or(2, usize::from),
            auto_analyze: true,
        }
    }
}

/// Who connects and how.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// The role.
    pub user: String,
    /// The database; empty means the user's name, as PostgreSQL has it.
    pub database: String,
    /// What the client calls itself.
    pub application_name: String,
    /// Where it connects from.
    pub client_address: Option<String>,
    /// Settings to start with.
    pub parameters: Vec<(String, String)>,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Statements executed.
    pub statements: AtomicU64,
    /// Statements that the fast path answered.
    pub fast_statements: AtomicU64,
    /// Transactions committed.
    pub commits: AtomicU64,
    /// Transactions rolled back.
    pub rollbacks: AtomicU64,
}

impl Counters {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Something derived from a table's definition, good while the definition is the same.
type PerDefinition<T> = RwLock<HashMap<Oid, (Arc<Table>, Arc<T>)>>;

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) engine: lightning::Database,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) rows: Arc<Store>,
    pub(crate) options: DatabaseOptions,
    pub(crate) counters: Counters,
    /// Functions, rules and memory of DataFusion; sessions copy it per statement.
    pub(crate) state: SessionState,
    /// Where DataFusion's work runs, so that it never delays a connection's short statements.
    runtime: Option<tokio::runtime::Runtime>,
    tables: PerDefinition<OpenTable>,
    expressions: PerDefinition<TableExpressions>,
    pub(crate) advisory: crate::advisory::AdvisoryLocks,
    pub(crate) channels: Arc<crate::news::Channels>,
    pub(crate) activities: crate::activity::Activities,
    pub(crate) statements: crate::statements::Statements,
    next_session: AtomicU64,
    metrics: OnceLock<Arc<Metrics>>,
    pub(crate) analyzing: Analyzing,
}

impl Shared {
    /// The table, opened once per definition.
    pub(crate) fn open_table(&self, definition: &Arc<Table>) -> Result<Arc<OpenTable>> {
        if let Some((known, open)) = self.tables.read().get(&definition.oid)
            && Arc::ptr_eq(known, definition)
        {
            return Ok(Arc::clone(open));
        }
        let open = Arc::new(self.rows.table(definition)?);
        self.tables.write().insert(definition.oid, (Arc::clone(definition), Arc::clone(&open)));
        Ok(open)
    }

    /// Defaults and CHECK conditions of a table, compiled once per definition.
    pub(crate) fn expressions(
        &self,
        definition: &Arc<Table>,
        info: &Arc<SessionInfo>,
    ) -> Result<Arc<TableExpressions>> {
        if let Some((known, compiled)) = self.expressions.read().get(&definition.oid)
            && Arc::ptr_eq(known, definition)
        {
            return Ok(Arc::clone(compiled));
        }
        let state = crate::execute::state_for(self, info);
        let reader = self.engine.begin(lightning::TransactionOptions::default()).reader();
        let names = Names::new(&info.shared, &state, info, &info.catalog, &info.search_path, reader);
        let compiled = Arc::new(TableExpressions::compile(definition, &names)?);
        let entry = (Arc::clone(definition), Arc::clone(&compiled));
        self.expressions.write().insert(definition.oid, entry);
        Ok(compiled)
    }

    /// Forgets a dropped table.
    pub(crate) fn forget_table(&self, oid: Oid) {
        self.tables.write().remove(&oid);
        self.rows.forget_changes(oid);
        self.expressions.write().remove(&oid);
    }

    /// The store of metrics, if there is one.
    pub(crate) fn metrics(&self) -> Option<&Arc<Metrics>> {
        self.metrics.get()
    }

    pub(crate) fn runtime(&self) -> Result<&tokio::runtime::Handle> {
        self.runtime
            .as_ref()
            .map(tokio::runtime::Runtime::handle)
            .ok_or_else(|| Error::new(ErrorKind::AdminShutdown, "the database is shutting down"))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A reader of tables would keep the engine open.
        drop(self.analyzing.lock());
        // A runtime may not be dropped where it could block another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Changes the catalog in a transaction of its own, durable on return; `wait` bounds how long others who change it are
/// waited for.
///
/// # Errors
/// Those of `change`, and 55P03 when the wait was too long; nothing is changed then.
pub(crate) fn change_catalog(
    engine: &lightning::Database,
    catalog: &Arc<Catalog>,
    wait: Option<Duration>,
    change: impl FnOnce(&Snapshot, &mut Edit<'_>) -> Result<()>,
) -> Result<()> {
    let options = lightning::TransactionOptions {
        mode: lightning::TransactionMode::Pessimistic,
        ..lightning::TransactionOptions::default()
    };
    let mut transaction = engine.begin(options);
    let space = luma_rows::LockSpace::Catalog.number();
    transaction.lock_blocking(space, b"", lightning::LockMode::Exclusive, wait).map_err(engine_error)?;
    let base = catalog.current();
    let mut edit = catalog.edit(&base, &mut transaction);
    change(&base, &mut edit)?;
    let snapshot = edit.finish();
    let published = Arc::clone(catalog);
    transaction.on_publish(move || published.publish(snapshot));
    transaction.commit().map(|_| ()).map_err(engine_error)
}

/// A database; clones share it.
#[derive(Clone)]
pub struct Database {
    pub(crate) shared: Arc<Shared>,
}

impl Database {
    /// Opens the database that lies in `engine`.
    ///
    /// # Errors
    /// When the catalog can't be read or the query threads can't be started.
    pub fn open(engine: lightning::Database, options: DatabaseOptions) -> Result<Self> {
        let catalog = Arc::new(Catalog::open(&engine)?);
        // What sessions of the last run left; the row store then removes their rows.
        crate::temporary::remove(&engine, &catalog, |_| true)?;
        let rows = Store::open(engine.clone(), &catalog.current(), options.column_cache_bytes)?;
        let state = state::build(&options)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(options.query_threads.max(1))
            .thread_name("luma-query")
            .thread_stack_size(crate::STACK_BYTES)
            .enable_time()
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::IoError, format!("cannot start query threads: {error}"))
            })?;
        let shared = Shared {
            engine,
            catalog,
            rows: Arc::new(rows),
            options,
            counters: Counters::default(),
            state,
            runtime: Some(runtime),
            tables: RwLock::default(),
            expressions: RwLock::default(),
            advisory: crate::advisory::AdvisoryLocks::default(),
            channels: Arc::default(),
            activities: crate::activity::Activities::default(),
            statements: crate::statements::Statements::default(),
            next_session: AtomicU64::new(1),
            metrics: OnceLock::new(),
            analyzing: Analyzing::default(),
        };
        let shared = Arc::new(shared);
        crate::upkeep::start(&shared)?;
        if shared.options.auto_analyze {
            crate::analyze::start(&shared)?;
        }
        Ok(Self { shared })
    }

    /// Makes metrics readable by SQL: tables of the schema `metrics`, and `promql(…)`. The first store stays.
    pub fn read_metrics(&self, store: Arc<Metrics>) {
        let _ = self.shared.metrics.set(store);
    }

    /// A session for a client that was authenticated already.
    ///
    /// # Errors
    /// 3D000 when there is no such database; of the parameters as `SET`.
    pub fn session(&self, options: SessionOptions) -> Result<Session> {
        let database = if options.database.is_empty() { &options.user } else { &options.database };
        if database != DATABASE_NAME {
            let message = format!("database \"{database}\" does not exist");
            return Err(Error::new(ErrorKind::InvalidCatalogName, message)
                .hint(format!("The database is called \"{DATABASE_NAME}\".")));
        }
        let number = self.shared.next_session.fetch_add(1, Ordering::Relaxed);
        Session::new(Arc::clone(&self.shared), number, options)
    }

    /// The role of that name.
    pub fn role(&self, name: &str) -> Option<Arc<Role>> {
        self.shared.catalog.current().role(name).cloned()
    }

    /// All roles.
    pub fn roles(&self) -> Vec<Arc<Role>> {
        self.shared.catalog.current().roles().cloned().collect()
    }

    /// Whether someone may administer the database; not so on its first start.
    pub fn has_administrator(&self) -> bool {
        self.shared.catalog.current().roles().any(|role| role.superuser)
    }

    /// Makes a role or replaces its password; durable on return. The first administrator gets
    /// PostgreSQL's number for it.
    pub fn put_role(&self, name: &str, superuser: bool, password: Option<Verifier>) -> Result<()> {
        self.change_roles(|current, allocate| {
            let known = current.role(name);
            let oid = match known {
                Some(role) => role.oid,
                None if name == ADMINISTRATOR => ADMINISTRATOR_OID,
                None => allocate(),
            };
            let superuser = superuser || known.is_some_and(|role| role.superuser);
            Ok((oid, Some(Role { oid, name: name.to_owned(), superuser, can_login: true, password })))
        })
    }

    /// Removes a role; durable on return.
    ///
    /// # Errors
    /// 42704 when there is none, 2BP01 for the last administrator.
    pub fn drop_role(&self, name: &str) -> Result<()> {
        self.change_roles(|current, _| {
            let role = current.role(name).ok_or_else(|| {
                Error::new(ErrorKind::UndefinedObject, format!("role \"{name}\" does not exist"))
            })?;
            if role.superuser && current.roles().filter(|role| role.superuser).count() == 1 {
                return Err(Error::new(
                    ErrorKind::DependentObjects,
                    format!("role \"{name}\" cannot be dropped because it is the last administrator"),
                ));
            }
            Ok((role.oid, None))
        })
    }

    fn change_roles(
        &self,
        change: impl FnOnce(&Snapshot, &dyn Fn() -> Oid) -> Result<(Oid, Option<Role>)>,
    ) -> Result<()> {
        change_catalog(&self.shared.engine, &self.shared.catalog, None, |base, edit| {
            let (oid, role) = change(base, &|| self.shared.catalog.allocate_oid())?;
            match role {
                Some(role) => edit.put(Object::Role(role)),
                None => edit.remove(oid),
            }
        })
    }

    /// The engine below.
    pub fn engine(&self) -> &lightning::Database {
        &self.shared.engine
    }

    /// The newest durable catalog.
    pub fn catalog(&self) -> Arc<Snapshot> {
        self.shared.catalog.current()
    }

    /// About how many rows a table has.
    pub fn approximate_rows(&self, table: &Arc<Table>) -> Result<u64> {
        Ok(self.shared.rows.approximate_rows(&*self.shared.open_table(table)?))
    }

    /// Counts since the start.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }
}
