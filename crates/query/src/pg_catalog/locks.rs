//! `pg_locks` and `pg_blocking_pids`, from the lock table and the advisory locks.
//!
//! As PostgreSQL does, a lock on a row is not listed: who waits for one is shown to wait for the
//! transaction that has it. Readers hold no locks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lightning::{LockInfo, LockMode};
use luma_model::{DataType, Result, Value, ValueRef};
use luma_rows::LockSpace;

use crate::activity::Activity;
use crate::database::{DATABASE_OID, Shared};
use crate::functions::row::{Definition, integer};
use crate::pg_catalog::{Rows, oid, text};
use crate::plan::context::Names;
use crate::session::SessionInfo;

/// `pg_class`, which stands for the catalog.
const CATALOG_RELATION: u32 = 1259;

/// The number of a transaction as `xid` shows it; NULL without one.
pub(crate) fn transaction_number(owner: u64) -> Value {
    if owner == 0 { Value::Null } else { Value::Oid(owner as u32) }
}

/// The lock table at one moment, and which session each transaction belongs to.
pub(crate) struct Waits {
    locks: Vec<LockInfo>,
    sessions: HashMap<u64, u64>,
    advisory: Vec<crate::advisory::Shown>,
}

/// The table that a lock is about; `None` for a lock on a row.
fn relation(lock: &LockInfo) -> Option<u32> {
    if lock.space == LockSpace::Tables.number() {
        return lock.key.as_ref().try_into().ok().map(u32::from_be_bytes);
    }
    (lock.space == LockSpace::Catalog.number()).then_some(CATALOG_RELATION)
}

impl Waits {
    pub(crate) fn new(shared: &Shared) -> Self {
        let whole = [LockSpace::Tables.number(), LockSpace::Catalog.number()];
        let sessions = shared.activities.all().into_iter().map(|activity| {
            let owner = activity.transaction.load(Ordering::Acquire);
            (owner, activity.number)
        });
        Self {
            locks: shared.engine.locks(|space| whole.contains(&space)),
            sessions: sessions.filter(|(owner, _)| *owner != 0).collect(),
            advisory: shared.advisory.list(),
        }
    }

    /// What a session waits for, as `wait_event` calls it; `None` when it does not wait.
    pub(crate) fn event(&self, session: &Activity) -> Option<&'static str> {
        let owner = session.transaction.load(Ordering::Acquire);
        if let Some(lock) = self.locks.iter().find(|lock| lock.owner == owner && lock.waits_for.is_some()) {
            return Some(if relation(lock).is_some() { "relation" } else { "transactionid" });
        }
        let waits = |lock: &crate::advisory::Shown| lock.session == session.number && !lock.granted;
        self.advisory.iter().any(waits).then_some("advisory")
    }
}

/// `pg_locks`.
pub(super) fn table(names: &Names<'_>) -> Rows {
    use DataType::{Bool, Int2, Int4, Oid, Text, TimestampTz, Xid};
    let mut rows = Rows::new(vec![
        ("locktype", Text),
        ("database", Oid),
        ("relation", Oid),
        ("page", Int4),
        ("tuple", Int2),
        ("virtualxid", Text),
        ("transactionid", Xid),
        ("classid", Oid),
        ("objid", Oid),
        ("objsubid", Int2),
        ("virtualtransaction", Text),
        ("pid", Int4),
        ("mode", Text),
        ("granted", Bool),
        ("fastpath", Bool),
        ("waitstart", TimestampTz),
    ]);
    let waits = Waits::new(names.shared);
    // What a lock is about: a relation, a transaction's virtual number, its number, or an advisory lock.
    enum About {
        Relation(u32),
        Virtual,
        Transaction(u64),
        Advisory((u32, u32, i16)),
    }
    let mut add = |session: u64, owner: u64, about: About, mode: &str, granted: bool| {
        let virtual_number = format!("{session}/{owner}");
        let nothing = || Value::Null;
        let mut row = vec![nothing(), nothing(), nothing(), nothing(), nothing(), nothing(), nothing()];
        row.extend([nothing(), nothing(), nothing()]);
        let mut set = |place: usize, value: Value| {
            if let Some(cell) = row.get_mut(place) {
                *cell = value;
            }
        };
        set(
            0,
            text(match about {
                About::Relation(_) => "relation",
                About::Virtual => "virtualxid",
                About::Transaction(_) => "transactionid",
                About::Advisory(_) => "advisory",
            }),
        );
        match about {
            About::Relation(relation) => {
                set(1, oid(DATABASE_OID));
                set(2, oid(relation));
            }
            About::Virtual => set(5, text(virtual_number.as_str())),
            About::Transaction(number) => set(6, transaction_number(number)),
            About::Advisory((class, object, part)) => {
                set(1, oid(DATABASE_OID));
                set(7, oid(class));
                set(8, oid(object));
                set(9, Value::Int2(part));
            }
        }
        row.extend([
            text(virtual_number),
            Value::Int4(session as i32),
            text(mode),
            Value::Bool(granted),
            Value::Bool(matches!(about, About::Virtual)),
            Value::Null,
        ]);
        rows.add(row);
    };
    for (owner, session) in &waits.sessions {
        add(*session, *owner, About::Virtual, "ExclusiveLock", true);
        add(*session, *owner, About::Transaction(*owner), "ExclusiveLock", true);
    }
    for lock in &waits.locks {
        let Some(session) = waits.sessions.get(&lock.owner) else { continue };
        let granted = lock.waits_for.is_none();
        match relation(lock) {
            Some(relation) => {
                let shared = lock.mode == LockMode::Shared;
                let mode = if shared { "RowExclusiveLock" } else { "AccessExclusiveLock" };
                add(*session, lock.owner, About::Relation(relation), mode, granted);
            }
            None => {
                let holder = lock.waits_for.iter().flatten().next().copied().unwrap_or_default();
                add(*session, lock.owner, About::Transaction(holder), "ShareLock", granted);
            }
        }
    }
    for lock in &waits.advisory {
        let owner = waits.sessions.iter().find(|(_, session)| **session == lock.session);
        let owner = owner.map_or(0, |(owner, _)| *owner);
        let mode = if lock.shared { "ShareLock" } else { "ExclusiveLock" };
        add(lock.session, owner, About::Advisory(lock.name), mode, lock.granted);
    }
    rows
}

fn blocking(info: &Arc<SessionInfo>, values: &[ValueRef<'_>]) -> Result<Value> {
    let Some(process) = integer(values[0]) else { return Ok(Value::Null) };
    let Some(session) = info.shared.activities.find(process) else { return Ok(text("{}")) };
    let waits = Waits::new(&info.shared);
    let owner = session.transaction.load(Ordering::Acquire);
    let waiting = waits.locks.iter().filter(|lock| lock.owner == owner);
    let holders = waiting.flat_map(|lock| lock.waits_for.iter().flatten());
    let mut blockers: Vec<u64> = holders.filter_map(|owner| waits.sessions.get(owner).copied()).collect();
    blockers.extend(info.shared.advisory.blockers(session.number));
    blockers.sort_unstable();
    blockers.dedup();
    let numbers: Vec<String> = blockers.iter().map(u64::to_string).collect();
    Ok(text(format!("{{{}}}", numbers.join(","))))
}

/// The function, whose result a cast makes the array that `pg_blocking_pids` gives.
pub(crate) static FUNCTIONS: &[Definition] =
    &[Definition::new("luma_blocking_pids", (1, 1), DataType::Text, |info, values, _| {
        blocking(info, values)
    })
    .volatile()];
