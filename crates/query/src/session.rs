//! A session: one client's settings, transaction, cursors and prepared statements.
//!
//! ```text
//! parse_script ─▶ Statement ─ prepare ─▶ Prepared ─ execute ─▶ Outcome      … sync
//! ```
//!
//! Outside of a transaction block, the statements up to the next [`Session::sync`] are one implicit
//! transaction, as in PostgreSQL; what was executed is durable when `sync` returns, not before.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use lightning::{Durability, TransactionMode, TransactionOptions};
use luma_catalog::{Oid, Relation, Snapshot};
use luma_model::{DataType, Error, ErrorKind, ObjectNames, Result, TextContext, Value};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::activity::{Activity, NamedStatement};
use crate::advisory::Attempt;
use crate::cursor::Cursor;
use crate::database::{Counters, SessionOptions, Shared};
use crate::dml::with::Relations;
use crate::names::{QualifiedName, Scope};
use crate::news::{Intent, News, Notification};
use crate::outcome::{
    Column, CommandTag, Notice, Outcome, RowSink, Severity, TransactionStatus, statement_timeout,
};
use crate::prepared::{Plan, Prepared};
use crate::roomy;
use crate::settings::Settings;
use crate::statement::{self, Statement};
use crate::statements::Run;
use crate::transaction::{ActiveTransaction, Level, now_micros};

/// What functions may ask about the session that runs them; made for each statement.
pub(crate) struct SessionInfo {
    pub(crate) shared: Arc<Shared>,
    pub(crate) number: u64,
    pub(crate) user: String,
    pub(crate) client_address: Option<String>,
    pub(crate) settings: Settings,
    pub(crate) search_path: Vec<String>,
    pub(crate) catalog: Arc<Snapshot>,
    /// Microseconds since 1970: what now() says.
    pub(crate) transaction_micros: i64,
    /// Microseconds since 1970: when the statement began.
    pub(crate) statement_micros: i64,
    pub(crate) sequences: Arc<Mutex<SequenceValues>>,
    pub(crate) wanted: Arc<WantedSettings>,
    /// What the statement did with advisory locks.
    pub(crate) advisory: Attempt,
    /// What `pg_notify` says.
    pub(crate) intents: Arc<Mutex<Vec<Intent>>>,
    /// Relations that stand for the length of the statement.
    pub(crate) relations: Arc<Relations>,
    cancel: CancelHandle,
}

/// Settings that `set_config` gave while a statement ran; the session takes them over.
#[derive(Debug, Default)]
pub(crate) struct WantedSettings {
    any: AtomicBool,
    list: Mutex<Vec<WantedSetting>>,
}

/// A setting, its value, and whether only for the transaction.
type WantedSetting = (String, String, bool);

impl WantedSettings {
    pub(crate) fn add(&self, name: String, value: String, local: bool) {
        self.list.lock().push((name, value, local));
        self.any.store(true, Ordering::Release);
    }

    fn take(&self) -> Vec<WantedSetting> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut list = self.list.lock();
        self.any.store(false, Ordering::Release);
        std::mem::take(&mut *list)
    }
}

/// What `currval` and `lastval` say.
#[derive(Debug, Default)]
pub(crate) struct SequenceValues {
    pub(crate) current: HashMap<Oid, i64>,
    pub(crate) last: Option<Oid>,
}

impl std::fmt::Debug for SessionInfo {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SessionInfo({})", self.number)
    }
}

impl SessionInfo {
    /// Zone, clock and names for text forms.
    pub(crate) fn text_context(self: &Arc<Self>) -> TextContext {
        let objects: Arc<dyn ObjectNames> = Arc::clone(self) as _;
        TextContext { objects: Some(objects), ..self.settings.text_context(self.transaction_micros) }
    }

    /// Whether the statement was canceled or its time is over: asked while it is planned, when nothing else can end it.
    ///
    /// # Errors
    /// The error that it ends with.
    pub(crate) fn check_time(&self) -> Result<()> {
        self.cancel.check()?;
        let taken = u64::try_from(now_micros() - self.statement_micros).unwrap_or(0);
        match self.settings.statement_timeout() {
            Some(limit) if u128::from(taken) > limit.as_micros() => Err(statement_timeout()),
            _ => Ok(()),
        }
    }

    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope { catalog: &self.catalog, search_path: &self.search_path }
    }

    /// The sequence that a text names, as `nextval` takes it.
    pub(crate) fn sequence(&self, text: &str) -> Result<Arc<luma_catalog::Sequence>> {
        let name = parse_qualified(text)?;
        match self.scope().relation(&name)? {
            Relation::Sequence(sequence) => Ok(Arc::clone(sequence)),
            _ => Err(Error::new(ErrorKind::WrongObjectType, format!("\"{text}\" is not a sequence"))),
        }
    }

    /// `nextval`.
    pub(crate) fn next_value(&self, text: &str) -> Result<i64> {
        let sequence = self.sequence(text)?;
        self.next_of(&sequence)
    }

    pub(crate) fn next_of(&self, sequence: &luma_catalog::Sequence) -> Result<i64> {
        let value = self.shared.rows.sequences().next(sequence)?;
        let mut values = self.sequences.lock();
        values.current.insert(sequence.oid, value);
        values.last = Some(sequence.oid);
        Ok(value)
    }
}

/// `schema.name` or `"Quoted"` as text.
pub(crate) fn parse_qualified(text: &str) -> Result<QualifiedName> {
    let parts = crate::names::parse_name(text)?;
    match parts.as_slice() {
        [name] => Ok(QualifiedName { schema: None, name: name.clone() }),
        [schema, name] => Ok(QualifiedName { schema: Some(schema.clone()), name: name.clone() }),
        _ => Err(Error::new(ErrorKind::Syntax, format!("invalid name syntax: \"{text}\""))),
    }
}

/// Carries the session through DataFusion to our functions.
#[derive(Clone, Debug)]
pub(crate) struct SessionExtension {
    pub(crate) info: Arc<SessionInfo>,
}

impl datafusion::config::ConfigExtension for SessionExtension {
    const PREFIX: &'static str = "lumadb";
}

impl datafusion::config::ExtensionOptions for SessionExtension {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn std::any::Any {
        self
    }

    fn cloned(&self) -> Box<dyn datafusion::config::ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _value: &str) -> datafusion::error::Result<()> {
        Err(datafusion::error::DataFusionError::Configuration(format!("lumadb.{key} can't be set")))
    }

    fn entries(&self) -> Vec<datafusion::config::ConfigEntry> {
        Vec::new()
    }
}

const RUNNING: u8 = 0;
const CANCELED: u8 = 1;
const TERMINATED: u8 = 2;

/// Ends what a session is running, from outside.
#[derive(Clone, Debug)]
pub struct CancelHandle {
    state: Arc<CancelState>,
}

#[derive(Debug)]
struct CancelState {
    state: AtomicU8,
    notify: Notify,
}

impl CancelHandle {
    fn new() -> Self {
        Self { state: Arc::new(CancelState { state: AtomicU8::new(RUNNING), notify: Notify::new() }) }
    }

    /// Ends the running statement with 57014; without one it does nothing.
    pub fn cancel(&self) {
        let _ = self.state.state.compare_exchange(RUNNING, CANCELED, Ordering::AcqRel, Ordering::Acquire);
        self.state.notify.notify_waiters();
    }

    /// Ends the running statement, and all later ones, with 57P01.
    pub fn terminate(&self) {
        self.state.state.store(TERMINATED, Ordering::Release);
        self.state.notify.notify_waiters();
    }

    /// Forgets a cancel that came before the statement that begins now.
    fn arm(&self) {
        let _ = self.state.state.compare_exchange(CANCELED, RUNNING, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The error to end with, if one was asked for.
    pub fn check(&self) -> Result<()> {
        match self.state.state.load(Ordering::Acquire) {
            CANCELED => Err(Error::new(ErrorKind::QueryCanceled, "canceling statement due to user request")),
            TERMINATED => Err(Error::new(
                ErrorKind::AdminShutdown,
                "terminating connection due to administrator command",
            )),
            _ => Ok(()),
        }
    }

    /// Waits until the session is to end for good.
    pub async fn terminated(&self) -> Error {
        loop {
            let notified = self.state.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.state.state.load(Ordering::Acquire) == TERMINATED
                && let Err(error) = self.check()
            {
                return error;
            }
            notified.await;
        }
    }

    /// Waits until an end is asked for.
    pub async fn canceled(&self) -> Error {
        loop {
            let notified = self.state.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if let Err(error) = self.check() {
                return error;
            }
            notified.await;
        }
    }
}

/// One client's session.
pub struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) number: u64,
    pub(crate) user: String,
    client_address: Option<String>,
    pub(crate) settings: Settings,
    pub(crate) transaction: Option<Box<ActiveTransaction>>,
    /// What others see of it, and its named statements.
    activity: Arc<Activity>,
    pub(crate) cursors: HashMap<String, Cursor>,
    notices: Vec<Notice>,
    changes: Vec<(String, String)>,
    cancel: CancelHandle,
    sequences: Arc<Mutex<SequenceValues>>,
    wanted: Arc<WantedSettings>,
    search_path: Vec<String>,
    /// Whether there may be temporary tables.
    has_temporary: bool,
    pub(crate) news: News,
    /// What the parts of a statement read while they run: the data as it was before the first.
    pub(crate) frozen: Option<lightning::TransactionReader>,
    /// Rows of the parts that ran already.
    pub(crate) relations: Arc<Relations>,
    /// Relations of the program behind the session.
    pub(crate) registered: Arc<Relations>,
    /// The info of the statement that ran last; good for a fast statement in the same state.
    info: Option<Arc<SessionInfo>>,
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>, number: u64, options: SessionOptions) -> Result<Self> {
        let settings = Settings::for_session(&options.user, &options.application_name, &options.parameters)?;
        let search_path = settings.search_path();
        let news = News::new(Arc::clone(&shared.channels), number);
        let cancel = CancelHandle::new();
        let address = options.client_address.as_deref();
        let activity = shared.activities.enter(number, &options.user, address, cancel.clone());
        activity.calls_itself(&options.application_name);
        Ok(Self {
            shared,
            number,
            user: options.user,
            client_address: options.client_address,
            settings,
            transaction: None,
            activity,
            cursors: HashMap::new(),
            notices: Vec::new(),
            changes: Vec::new(),
            cancel,
            sequences: Arc::default(),
            wanted: Arc::default(),
            search_path,
            has_temporary: false,
            news,
            frozen: None,
            relations: Arc::default(),
            registered: Arc::default(),
            info: None,
        })
    }

    /// Splits and parses a script; an empty one has no statements.
    ///
    /// # Errors
    /// 42601 with the position.
    pub fn parse_script(&self, sql: &str) -> Result<Vec<Statement>> {
        statement::parse(sql)
    }

    /// The type with that number, the system's or one that a user made; `None` if there is none.
    pub fn type_by_oid(&self, oid: u32) -> Option<DataType> {
        DataType::from_oid(oid, -1).or_else(|| {
            let catalog = self.catalog();
            let mut made = catalog.types();
            made.find_map(|made| match oid {
                oid if oid == made.oid => Some(made.data_type().clone()),
                oid if oid == made.array_oid => Some(made.data_type().array_of()),
                _ => None,
            })
        })
    }

    /// Analyses a statement; `$n` parameters without a type get the one their place wants.
    ///
    /// # Errors
    /// What PostgreSQL finds wrong before it runs a statement.
    #[allow(clippy::unused_async, reason = "analysing may come to read statistics from disk")]
    pub async fn prepare(
        &mut self,
        statement: Statement,
        parameter_types: &[Option<DataType>],
    ) -> Result<Arc<Prepared>> {
        self.take_over_settings();
        roomy::call(statement.heavy, || crate::prepared::prepare(self, statement, parameter_types))
            .map(Arc::new)
            .inspect_err(|_| self.fail())
    }

    /// Runs a prepared statement. Rows that are in memory go into `sink` when there is one; all
    /// others come as a stream.
    ///
    /// # Errors
    /// Of the statement; the transaction is then failed.
    pub async fn execute(
        &mut self,
        prepared: &Arc<Prepared>,
        parameters: &[Value],
        sink: Option<&mut dyn RowSink>,
    ) -> Result<Outcome> {
        Counters::count(&self.shared.counters.statements);
        self.take_over_settings();
        self.cancel.arm();
        self.activity.begins(prepared, self.transaction.as_ref().map(|active| active.started_micros));
        let Some(sink) = sink else { return self.execute_guarded(prepared, parameters, None).await };
        if self.transaction.is_none() {
            // The shortest way: a read of one row outside of a transaction needs none.
            if let Plan::PointSelect(plan) = &*prepared.plan()
                && prepared.is_current(self)
            {
                Counters::count(&self.shared.counters.fast_statements);
                let mut run = Run::begin(&prepared.statistics);
                let snapshot = self.shared.engine.snapshot();
                let info = self.fast_info();
                let environment = crate::fast::scalar::Environment {
                    parameters,
                    columns: &crate::fast::scalar::NoColumns,
                    info: &info,
                };
                let rows = crate::fast::point::select(plan, &snapshot, &environment, sink)
                    .inspect_err(|_| run.failed())?;
                run.rows(rows);
                return Ok(Outcome::Complete(CommandTag::Select(rows)));
            }
        }
        self.execute_guarded(prepared, parameters, Some(sink)).await
    }

    async fn execute_guarded(
        &mut self,
        prepared: &Arc<Prepared>,
        parameters: &[Value],
        sink: Option<&mut dyn RowSink>,
    ) -> Result<Outcome> {
        let cancel = self.cancel.clone();
        let timeout = self.settings.statement_timeout().map(|limit| (limit, Instant::now()));
        let mut run = Run::begin(&prepared.statistics);
        let mut outcome = {
            let execution = roomy::future(
                prepared.statement.heavy,
                crate::execute::execute(self, prepared, parameters, sink),
            );
            let limit = async {
                match timeout {
                    Some((limit, started)) => tokio::time::sleep_until(started + limit).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                outcome = execution => outcome,
                error = cancel.canceled() => Err(error),
                () = limit => Err(statement_timeout()),
            }
        };
        if let Ok(Outcome::Rows(stream)) = &mut outcome {
            stream.comes_from(Arc::clone(prepared));
            if let Some((limit, started)) = timeout {
                stream.limit_time(limit, started);
            }
        }
        if let (Ok(Outcome::CopyOut(copy)), Some((limit, started))) = (&mut outcome, timeout) {
            copy.limit_time(limit, started);
        }
        match &mut outcome {
            Ok(outcome) => run.outcome(outcome),
            Err(_) => {
                run.failed();
                self.settled().await;
            }
        }
        outcome.map_err(|error| {
            self.fail();
            statement::locate(self.with_schema(error), &prepared.statement)
        })
    }

    /// Ends the implicit transaction: commits it, or rolls it back after an error.
    ///
    /// # Errors
    /// When the commit fails; nothing of the transaction is kept then.
    pub async fn sync(&mut self) -> Result<()> {
        let ended = match &self.transaction {
            Some(transaction) if transaction.implicit && transaction.failed => {
                self.settled().await;
                self.rollback();
                Ok(())
            }
            Some(transaction) if transaction.implicit => {
                self.commit().await.map_err(|error| self.with_schema(error))
            }
            _ => Ok(()),
        };
        self.activity.rests(self.status());
        ended
    }

    /// Adds the schema of the table that an error is about.
    fn with_schema(&self, error: Error) -> Error {
        let (Some(name), None) = (&error.table, &error.schema) else { return error };
        let catalog = self.catalog();
        let mut found = catalog.tables().filter(|table| table.name == *name);
        // Of several tables with one name it could be any.
        let schema = match (found.next(), found.next()) {
            (Some(table), None) => catalog.schema_by_oid(table.schema).map(|schema| schema.name.clone()),
            _ => None,
        };
        match schema {
            Some(schema) => error.schema(schema),
            None => error,
        }
    }

    /// How long the client may stay silent now, and the error that its session then ends with.
    pub fn patience(&self) -> Option<(std::time::Duration, Error)> {
        let (outside, inside) = self.settings.idle_timeouts();
        if self.status() == TransactionStatus::Idle {
            let limit = outside?;
            let message = "terminating connection due to idle-session timeout";
            return Some((limit, Error::new(ErrorKind::IdleSessionTimeout, message)));
        }
        let limit = inside?;
        let message = "terminating connection due to idle-in-transaction timeout";
        Some((limit, Error::new(ErrorKind::IdleTransactionTimeout, message)))
    }

    /// A statement that has a name; the empty statement is `Some(None)`.
    pub fn named_statement(&self, name: &str) -> Option<Option<Arc<Prepared>>> {
        self.activity.statements.lock().get(name).map(|named| named.prepared.clone())
    }

    /// Gives a statement a name; the empty statement is `None`.
    ///
    /// # Errors
    /// 42P05 when the name is taken.
    pub fn name_statement(&self, name: &str, prepared: Option<Arc<Prepared>>) -> Result<()> {
        self.keep_statement(name, prepared, false)
    }

    pub(crate) fn keep_statement(
        &self,
        name: &str,
        prepared: Option<Arc<Prepared>>,
        from_sql: bool,
    ) -> Result<()> {
        let mut statements = self.activity.statements.lock();
        if statements.contains_key(name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(Error::new(ErrorKind::DuplicatePreparedStatement, message));
        }
        statements.insert(name.to_owned(), NamedStatement::new(prepared, from_sql));
        Ok(())
    }

    /// Forgets a named statement; whether there was one.
    pub fn forget_statement(&self, name: &str) -> bool {
        self.activity.statements.lock().remove(name).is_some()
    }

    /// Forgets all named statements.
    pub(crate) fn forget_statements(&self) {
        self.activity.statements.lock().clear();
    }

    /// Marks the transaction failed, if there is one.
    pub fn fail(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.failed = true;
        }
    }

    /// The columns of a cursor that SQL declared.
    pub fn cursor_columns(&self, name: &str) -> Option<Arc<[Column]>> {
        self.cursors.get(name).map(|cursor| Arc::clone(&cursor.stream.columns))
    }

    /// Closes a cursor that SQL declared, if there is one.
    pub fn close_cursor(&mut self, name: &str) {
        self.cursors.remove(name);
    }

    /// Where the session stands.
    pub fn status(&self) -> TransactionStatus {
        match &self.transaction {
            Some(transaction) if !transaction.implicit && transaction.failed => TransactionStatus::Failed,
            Some(transaction) if !transaction.implicit => TransactionStatus::InTransaction,
            _ => TransactionStatus::Idle,
        }
    }

    /// What the text forms of these types depend on: zone and clock, and names where a type has any.
    pub fn text_context<'t>(&self, types: impl IntoIterator<Item = &'t DataType>) -> TextContext {
        if types.into_iter().any(|data_type| data_type.object_kind().is_some()) {
            return self.make_info().text_context();
        }
        self.settings
            .text_context(self.transaction.as_ref().map_or_else(now_micros, |active| active.started_micros))
    }

    /// Settings that clients are told at the start.
    pub fn reported_parameters(&self) -> Vec<(String, String)> {
        self.settings.reported()
    }

    /// Settings that changed since the last call, of those that clients are told.
    pub fn take_parameter_changes(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.changes)
    }

    /// Notices since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// What others said to this session since the last call; nothing while a transaction is open.
    pub fn take_notifications(&mut self) -> Vec<Notification> {
        if self.transaction.is_some() { Vec::new() } else { self.news.take() }
    }

    /// Waits until someone says something to this session; for ever while a transaction is open.
    pub fn notified(&self) -> impl Future<Output = ()> + Send + use<> {
        let open = self.transaction.is_some();
        let arrived = self.news.arrived();
        async move {
            if open {
                std::future::pending::<()>().await;
            }
            arrived.await;
        }
    }

    /// Ends what this session runs, from outside.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }

    /// The session's number, which clients see as its process id.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Ends the session; an open transaction is rolled back.
    pub fn close(mut self) {
        self.rollback();
    }

    pub(crate) fn notice(&mut self, severity: Severity, error: Error) {
        self.notices.push(Notice { severity, error });
    }

    /// The catalog as the next statement sees it.
    pub(crate) fn catalog(&self) -> Arc<Snapshot> {
        match self.transaction.as_ref().and_then(|transaction| transaction.catalog.as_ref()) {
            Some(catalog) => Arc::clone(catalog),
            None => self.shared.catalog.current(),
        }
    }

    pub(crate) fn catalog_version(&self) -> u64 {
        match self.transaction.as_ref().and_then(|transaction| transaction.catalog.as_ref()) {
            Some(catalog) => catalog.version(),
            None => self.shared.catalog.version(),
        }
    }

    pub(crate) fn search_path(&self) -> &[String] {
        &self.search_path
    }

    /// What functions may ask, for a statement that begins now.
    pub(crate) fn new_info(&mut self) -> Arc<SessionInfo> {
        let info = self.make_info();
        self.info = Some(Arc::clone(&info));
        info
    }

    /// As `make_info`, for a query whose names mean what they mean elsewhere.
    pub(crate) fn info_with_path(&self, search_path: Vec<String>) -> Arc<SessionInfo> {
        let mut info = self.make_info();
        if let Some(info) = Arc::get_mut(&mut info) {
            info.search_path = search_path;
        }
        info
    }

    fn make_info(&self) -> Arc<SessionInfo> {
        let statement_micros = now_micros();
        let transaction_micros =
            self.transaction.as_ref().map_or(statement_micros, |transaction| transaction.started_micros);
        Arc::new(SessionInfo {
            shared: Arc::clone(&self.shared),
            number: self.number,
            user: self.user.clone(),
            client_address: self.client_address.clone(),
            settings: self.settings.clone(),
            search_path: self.search_path.clone(),
            catalog: self.catalog(),
            transaction_micros,
            statement_micros,
            sequences: Arc::clone(&self.sequences),
            wanted: Arc::clone(&self.wanted),
            advisory: Attempt::default(),
            intents: self.news.intents(),
            relations: Arc::clone(&self.relations),
            cancel: self.cancel.clone(),
        })
    }

    /// As `new_info`, but the one made last serves a statement that asks for nothing but the zone.
    fn fast_info(&mut self) -> Arc<SessionInfo> {
        match &self.info {
            Some(info) => Arc::clone(info),
            None => self.new_info(),
        }
    }

    /// Forgets the parts of the statement before.
    pub(crate) fn forget_parts(&mut self) {
        if self.frozen.take().is_some() || !Arc::ptr_eq(&self.relations, &self.registered) {
            self.relations = Arc::clone(&self.registered);
            self.forget_info();
        }
    }

    /// Whether a name without a schema means a relation of the catalog.
    pub(crate) fn catalog_has(&self, name: &str) -> bool {
        let catalog = self.catalog();
        let scope = Scope { catalog: &catalog, search_path: &self.search_path };
        scope.find(&QualifiedName { schema: None, name: name.to_owned() }).is_some()
    }

    /// What a query reads: the transaction's snapshot, or what was frozen for a statement of parts.
    pub(crate) fn reader(&mut self) -> Result<lightning::TransactionReader> {
        match &self.frozen {
            Some(frozen) => Ok(frozen.clone()),
            None => Ok(self.active()?.engine.reader()),
        }
    }

    /// Forgets what was derived from settings or transaction.
    pub(crate) fn forget_info(&mut self) {
        self.info = None;
    }

    /// Begins a transaction if there is none and readies it for a statement.
    ///
    /// # Errors
    /// 25P02 in a failed block.
    pub(crate) fn begin_statement(&mut self) -> Result<()> {
        self.forget_parts();
        if self.transaction.is_none() {
            self.begin(true);
        }
        if let Some(transaction) = &mut self.transaction {
            if transaction.failed {
                return Err(failed_transaction());
            }
            transaction.begin_statement();
        }
        Ok(())
    }

    pub(crate) fn begin(&mut self, implicit: bool) {
        let durability = if self.settings.get("synchronous_commit") == Some("off") {
            Durability::Buffered
        } else {
            Durability::Sync
        };
        let level = self.settings.get("default_transaction_isolation").and_then(Level::named);
        let level = level.unwrap_or(Level::ReadCommitted);
        let mode = TransactionMode::Pessimistic;
        let options = TransactionOptions { mode, durability, isolation: level.of_engine() };
        let read_only = self.settings.is_on("default_transaction_read_only");
        let pin = self.shared.rows.columns().pin();
        let engine = self.shared.engine.begin(options);
        self.activity.transaction.store(engine.lock_owner(), Ordering::Release);
        self.transaction = Some(Box::new(ActiveTransaction::new(engine, pin, implicit, level, read_only)));
        self.forget_info();
    }

    /// Commits the transaction.
    pub(crate) async fn commit(&mut self) -> Result<()> {
        self.take_over_settings();
        if let Err(error) = self.before_commit().await {
            self.rollback();
            return Err(error);
        }
        if let Err(full) = self.news.check() {
            self.rollback();
            return Err(full);
        }
        self.cursors.retain(|_, cursor| cursor.hold);
        self.forget_info();
        let Some(mut transaction) = self.transaction.take() else { return Ok(()) };
        let kept = transaction.settings.take();
        let committed = transaction.commit(&self.shared).await;
        self.activity.transaction.store(0, Ordering::Release);
        self.shared.advisory.end_transaction(self.number);
        match committed {
            Ok(()) => self.news.committed(),
            Err(_) => self.news.take_back(0),
        }
        self.restore_settings(kept, committed.is_ok());
        Counters::count(match committed {
            Ok(()) => &self.shared.counters.commits,
            Err(_) => &self.shared.counters.rollbacks,
        });
        committed
    }

    /// What has to hold, and has to go, before the transaction commits.
    async fn before_commit(&mut self) -> Result<()> {
        crate::dml::target::check_deferred(self, true).await?;
        let short_lived = match &mut self.transaction {
            Some(transaction) => std::mem::take(&mut transaction.short_lived),
            None => Vec::new(),
        };
        crate::temporary::drop_tables(self, &short_lived).await?;
        if self.has_temporary { crate::temporary::empty_tables(self) } else { Ok(()) }
    }

    /// Waits until what the transaction read under its locks is as durable as its writers asked. What it says
    /// of that without committing, an error for one, could otherwise be about a row that a power loss takes back.
    pub(crate) fn settled(&self) -> impl Future<Output = ()> + Send + use<> {
        let settled = self.transaction.as_ref().map(|transaction| transaction.engine.settled());
        async move {
            if let Some(settled) = settled {
                // If it never will be, the database takes no more commits and says so.
                let _ = settled.await;
            }
        }
    }

    /// Undoes the transaction.
    pub(crate) fn rollback(&mut self) {
        drop(self.wanted.take());
        self.news.take_back(0);
        self.shared.advisory.end_transaction(self.number);
        self.cursors.retain(|_, cursor| cursor.hold);
        self.forget_info();
        let Some(mut transaction) = self.transaction.take() else { return };
        self.activity.transaction.store(0, Ordering::Release);
        self.restore_settings(transaction.settings.take(), false);
        Counters::count(&self.shared.counters.rollbacks);
        transaction.rollback(&self.shared);
    }

    /// Gives a transaction that has done nothing yet another level.
    pub(crate) fn change_level(&mut self, level: Level) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let active = self.active()?;
        active.change_level(level, &shared.engine);
        let owner = active.engine.lock_owner();
        self.activity.transaction.store(owner, Ordering::Release);
        Ok(())
    }

    /// The open transaction.
    pub(crate) fn active(&mut self) -> Result<&mut ActiveTransaction> {
        self.transaction
            .as_deref_mut()
            .ok_or_else(|| Error::new(ErrorKind::NoActiveTransaction, "there is no transaction in progress"))
    }

    /// Makes what `set_config` gave the session's settings.
    fn take_over_settings(&mut self) {
        for (name, value, local) in self.wanted.take() {
            // The function has checked the value.
            let _ = self.set(&name, Some(&value), local);
        }
    }

    /// Sets a setting (resets it when there is no value), until the transaction ends when `local`.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>, local: bool) -> Result<()> {
        let set = |settings: &mut Settings| match value {
            Some(value) => settings.set(name, value),
            None => settings.reset(name),
        };
        let before = self.settings.clone();
        let reported = set(&mut self.settings)?;
        if let Some(transaction) = &mut self.transaction {
            let kept = transaction.settings.get_or_insert_with(|| {
                Box::new(KeptSettings { rolled_back: before.clone(), committed: before })
            });
            if !local {
                set(&mut kept.committed)?;
            }
        }
        self.settings_changed(reported);
        Ok(())
    }

    /// `DISCARD ALL`: the session as it began.
    pub(crate) fn discard(&mut self) {
        self.forget_statements();
        self.cursors.clear();
        self.news.silence();
        self.shared.advisory.end_session(self.number);
        *self.sequences.lock() = SequenceValues::default();
        self.reset_all();
    }

    /// `RESET ALL`.
    pub(crate) fn reset_all(&mut self) {
        self.settings.reset_all();
        for (name, _, _) in self.settings.clone().all() {
            if self.settings.reported().iter().any(|(reported, _)| reported == name) {
                self.settings_changed(Some(name));
            }
        }
        self.settings_changed(None);
    }

    /// Looks for tables in the session's own schema from now on.
    pub(crate) fn look_at_temporary(&mut self) {
        if !self.has_temporary {
            self.has_temporary = true;
            self.look_at_settings();
            self.forget_info();
        }
    }

    fn look_at_settings(&mut self) {
        self.search_path = self.settings.search_path();
        self.activity.calls_itself(self.settings.get("application_name").unwrap_or_default());
        if self.has_temporary {
            self.search_path.insert(0, crate::temporary::schema_name(self.number));
        }
    }

    fn settings_changed(&mut self, reported: Option<&'static str>) {
        if let Some(name) = reported {
            let value = self.settings.get(name).unwrap_or_default().to_owned();
            self.changes.push((name.to_owned(), value));
        }
        self.look_at_settings();
        self.forget_info();
    }

    /// At the end of a transaction: what `SET LOCAL` changed goes back, after a rollback the rest too.
    fn restore_settings(&mut self, kept: Option<Box<KeptSettings>>, committed: bool) {
        let Some(kept) = kept else { return };
        let wanted = if committed { kept.committed } else { kept.rolled_back };
        let now = std::mem::replace(&mut self.settings, wanted);
        let before = now.reported();
        for (name, value) in self.settings.reported() {
            if !before.contains(&(name.clone(), value.clone())) {
                self.changes.push((name, value));
            }
        }
        self.look_at_settings();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.advisory.end_session(self.number);
        self.shared.activities.leave(self.number);
        if self.has_temporary {
            // Its locks first: a table that is still locked could not go.
            self.rollback();
            crate::temporary::clean_up(&self.shared, self.number);
        }
    }
}

/// Settings to go back to when a transaction ends.
#[derive(Debug)]
pub(crate) struct KeptSettings {
    rolled_back: Settings,
    committed: Settings,
}

/// The error of a statement in a failed block.
pub(crate) fn failed_transaction() -> Error {
    Error::new(
        ErrorKind::InFailedTransaction,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}
