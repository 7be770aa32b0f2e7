//! Who is connected and what each session does: `pg_stat_activity`, `pg_prepared_statements`,
//! `pg_cancel_backend` and `pg_terminate_backend`.
//!
//! A session enters when it begins and leaves when it is dropped. Each statement notes itself under the
//! session's own lock: no allocation, one look at the clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use luma_model::{DataType, Error, ErrorKind, ObjectKind, Result, Value, ValueRef};
use parking_lot::Mutex;

use crate::functions::row::{Definition, integer};
use crate::outcome::TransactionStatus;
use crate::pg_catalog::{Rows, locks, oid, text};
use crate::plan::context::Names;
use crate::prepared::Prepared;
use crate::session::{CancelHandle, SessionInfo};
use crate::transaction::now_micros;

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Active,
    Rests(TransactionStatus),
}

#[derive(Debug)]
struct Now {
    application_name: String,
    state: State,
    /// The statement that runs, or ran last.
    statement: Option<Arc<Prepared>>,
    /// Microseconds since 1970.
    statement_start: i64,
    transaction_start: Option<i64>,
    state_change: i64,
}

/// A statement with a name; without a [`Prepared`] it is the empty one.
#[derive(Clone, Debug)]
pub(crate) struct NamedStatement {
    pub(crate) prepared: Option<Arc<Prepared>>,
    /// Made by `PREPARE`, not by the protocol.
    pub(crate) from_sql: bool,
    made_micros: i64,
}

impl NamedStatement {
    pub(crate) fn new(prepared: Option<Arc<Prepared>>, from_sql: bool) -> Self {
        Self { prepared, from_sql, made_micros: now_micros() }
    }
}

/// One session as others see it.
#[derive(Debug)]
pub(crate) struct Activity {
    pub(crate) number: u64,
    user: String,
    client_address: Option<String>,
    start_micros: i64,
    cancel: CancelHandle,
    /// The open transaction as the lock table knows it; 0 without one.
    pub(crate) transaction: AtomicU64,
    now: Mutex<Now>,
    pub(crate) statements: Mutex<BTreeMap<String, NamedStatement>>,
}

impl Activity {
    /// A statement begins, in a transaction since `transaction_start` or in one of its own.
    pub(crate) fn begins(&self, statement: &Arc<Prepared>, transaction_start: Option<i64>) {
        let micros = now_micros();
        let mut now = self.now.lock();
        now.statement = Some(Arc::clone(statement));
        now.statement_start = micros;
        now.state_change = micros;
        now.transaction_start = Some(transaction_start.unwrap_or(micros));
        now.state = State::Active;
    }

    /// The session waits for its client.
    pub(crate) fn rests(&self, status: TransactionStatus) {
        let mut now = self.now.lock();
        if now.state != State::Rests(status) {
            now.state = State::Rests(status);
            now.state_change = now_micros();
            if status == TransactionStatus::Idle {
                now.transaction_start = None;
            }
        }
    }

    pub(crate) fn calls_itself(&self, application_name: &str) {
        let mut now = self.now.lock();
        if now.application_name != application_name {
            application_name.clone_into(&mut now.application_name);
        }
    }
}

/// All sessions, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Activities(Mutex<BTreeMap<u64, Arc<Activity>>>);

impl Activities {
    pub(crate) fn enter(
        &self,
        number: u64,
        user: &str,
        client_address: Option<&str>,
        cancel: CancelHandle,
    ) -> Arc<Activity> {
        let micros = now_micros();
        let activity = Arc::new(Activity {
            number,
            user: user.to_owned(),
            client_address: client_address.map(str::to_owned),
            start_micros: micros,
            cancel,
            transaction: AtomicU64::new(0),
            now: Mutex::new(Now {
                application_name: String::new(),
                state: State::Rests(TransactionStatus::Idle),
                statement: None,
                statement_start: micros,
                transaction_start: None,
                state_change: micros,
            }),
            statements: Mutex::default(),
        });
        self.0.lock().insert(number, Arc::clone(&activity));
        activity
    }

    pub(crate) fn leave(&self, number: u64) {
        self.0.lock().remove(&number);
    }

    pub(crate) fn all(&self) -> Vec<Arc<Activity>> {
        self.0.lock().values().cloned().collect()
    }

    pub(crate) fn find(&self, process: i64) -> Option<Arc<Activity>> {
        self.0.lock().get(&u64::try_from(process).ok()?).cloned()
    }
}

/// `pg_stat_activity`.
pub(crate) fn table(names: &Names<'_>) -> Rows {
    use DataType::{Int4, Int8, Name, Oid, Text, TimestampTz, Xid};
    let mut rows = Rows::new(vec![
        ("datid", Oid),
        ("datname", Name),
        ("pid", Int4),
        ("leader_pid", Int4),
        ("usesysid", Oid),
        ("usename", Name),
        ("application_name", Text),
        ("client_addr", Text),
        ("client_hostname", Text),
        ("client_port", Int4),
        ("backend_start", TimestampTz),
        ("xact_start", TimestampTz),
        ("query_start", TimestampTz),
        ("state_change", TimestampTz),
        ("wait_event_type", Text),
        ("wait_event", Text),
        ("state", Text),
        ("backend_xid", Xid),
        ("backend_xmin", Xid),
        ("query_id", Int8),
        ("query", Text),
        ("backend_type", Text),
    ]);
    let waits = locks::Waits::new(names.shared);
    for session in names.shared.activities.all() {
        let now = session.now.lock();
        let waits_for = waits.event(&session);
        let (host, port) = match session.client_address.as_deref().and_then(|all| all.rsplit_once(':')) {
            Some((host, port)) => (text(host.trim_matches(['[', ']'])), port.parse().unwrap_or(-1)),
            None => (Value::Null, -1),
        };
        let (state, rests) = match now.state {
            State::Active => ("active", false),
            State::Rests(TransactionStatus::Idle) => ("idle", true),
            State::Rests(TransactionStatus::InTransaction) => ("idle in transaction", true),
            State::Rests(TransactionStatus::Failed) => ("idle in transaction (aborted)", true),
        };
        let role = names.catalog.role(&session.user).map_or(0, |role| role.oid);
        rows.add(vec![
            oid(crate::database::DATABASE_OID),
            text(crate::database::DATABASE_NAME),
            Value::Int4(session.number as i32),
            Value::Null,
            oid(role),
            text(session.user.as_str()),
            text(now.application_name.as_str()),
            host,
            Value::Null,
            Value::Int4(port),
            Value::TimestampTz(session.start_micros),
            now.transaction_start.map_or(Value::Null, Value::TimestampTz),
            Value::TimestampTz(now.statement_start),
            Value::TimestampTz(now.state_change),
            match (rests, waits_for) {
                (true, _) => text("Client"),
                (false, Some(_)) => text("Lock"),
                (false, None) => Value::Null,
            },
            match (rests, waits_for) {
                (true, _) => text("ClientRead"),
                (false, Some(event)) => text(event),
                (false, None) => Value::Null,
            },
            text(state),
            locks::transaction_number(session.transaction.load(Ordering::Acquire)),
            Value::Null,
            Value::Null,
            text(now.statement.as_ref().map_or("", |statement| statement.text())),
            text("client backend"),
        ]);
    }
    rows
}

/// `pg_prepared_statements`.
pub(crate) fn prepared_statements(names: &Names<'_>) -> Rows {
    let mut rows = Rows::new(vec![
        ("name", DataType::Text),
        ("statement", DataType::Text),
        ("prepare_time", DataType::TimestampTz),
        ("parameter_types", DataType::Reg(ObjectKind::Type).array_of()),
        ("from_sql", DataType::Bool),
        ("generic_plans", DataType::Int8),
        ("custom_plans", DataType::Int8),
    ]);
    let Some(session) = names.shared.activities.find(names.info.number as i64) else { return rows };
    for (name, statement) in &*session.statements.lock() {
        let Some(prepared) = &statement.prepared else { continue };
        let types = prepared.parameter_types().iter().map(|known| oid(known.oid())).collect();
        rows.add(vec![
            text(name.as_str()),
            text(prepared.text()),
            Value::TimestampTz(statement.made_micros),
            Value::Array(luma_model::ArrayValue::new(types)),
            Value::Bool(statement.from_sql),
            Value::Int8(0),
            Value::Int8(0),
        ]);
    }
    rows
}

fn ending(info: &Arc<SessionInfo>, process: ValueRef<'_>, end: impl Fn(&CancelHandle)) -> Result<Value> {
    let Some(process) = integer(process) else { return Ok(Value::Null) };
    let found = info.shared.activities.find(process);
    if let Some(session) = &found {
        end(&session.cancel);
    }
    Ok(Value::Bool(found.is_some()))
}

pub(crate) static FUNCTIONS: &[Definition] = &[
    Definition::new("pg_cancel_backend", (1, 1), DataType::Bool, |info, values, _| {
        ending(info, values[0], CancelHandle::cancel)
    }),
    Definition::new("pg_terminate_backend", (1, 2), DataType::Bool, |info, values, _| {
        if values.get(1).and_then(|limit| integer(*limit)).is_some_and(|limit| limit < 0) {
            let message = "\"timeout\" must not be negative";
            return Err(Error::new(ErrorKind::OutOfRange, message));
        }
        ending(info, values[0], CancelHandle::terminate)
    }),
];
