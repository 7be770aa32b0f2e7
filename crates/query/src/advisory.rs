//! Advisory locks: locks on numbers whose meaning is the clients' own.
//!
//! A lock belongs to a session and is held until it is given back as often as it was taken, or until
//! the transaction ends if it was taken for that. Functions can only try: a thread of the query
//! runtime may not sleep on another session. A SELECT whose function found a lock taken is undone
//! (what it had taken itself is given back), waits until some lock is free, and runs again. Who would
//! wait for himself in a circle gets 40P01 at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use luma_model::{DataType, Error, ErrorKind, Result, Value, ValueRef};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::functions::row::{Definition, integer};
use crate::session::SessionInfo;

/// Most locks that all sessions hold together, as PostgreSQL bounds its lock table.
const LOCKS_MAX: usize = 1 << 16;

/// What is locked: one large number, or two small ones; the two spaces are apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Large(i64),
    Pair(i32, i32),
}

/// How long a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Session,
    Transaction,
}

/// One lock that a session holds, and how often.
#[derive(Clone, Debug)]
struct Held {
    session: u64,
    shared: bool,
    scope: Scope,
    count: usize,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<Key, Vec<Held>>,
    /// Which lock a session waits for, and whether it wants to share it.
    waiting: HashMap<u64, (Key, bool)>,
}

impl State {
    /// Sessions that keep another from taking a lock.
    fn holders(&self, key: Key, session: u64, shared: bool) -> impl Iterator<Item = u64> + '_ {
        let held = self.held.get(&key).into_iter().flatten();
        held.filter(move |held| held.session != session && !(shared && held.shared)).map(|held| held.session)
    }

    /// Whether a session would wait for itself.
    fn circular(&self, session: u64, key: Key, shared: bool) -> bool {
        let mut seen = vec![session];
        let mut open: Vec<u64> = self.holders(key, session, shared).collect();
        while let Some(holder) = open.pop() {
            if holder == session {
                return true;
            }
            if seen.contains(&holder) {
                continue;
            }
            seen.push(holder);
            if let Some((wanted, share)) = self.waiting.get(&holder) {
                open.extend(self.holders(*wanted, holder, *share));
            }
        }
        false
    }

    fn release(&mut self, mut lets_go: impl FnMut(&Held) -> bool) -> usize {
        let mut released = 0;
        self.held.retain(|_, held| {
            held.retain(|held| {
                let goes = lets_go(held);
                released += usize::from(goes);
                !goes
            });
            !held.is_empty()
        });
        released
    }
}

/// The advisory locks of all sessions.
#[derive(Debug, Default)]
pub(crate) struct AdvisoryLocks {
    state: Mutex<State>,
    /// Locks held, so that a transaction without any ends without looking.
    count: AtomicUsize,
    freed: Notify,
}

/// One lock of a session, held or waited for, as `pg_locks` shows it.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) session: u64,
    /// The halves of the large number or the two small ones, and how many numbers the key has.
    pub(crate) name: (u32, u32, i16),
    pub(crate) shared: bool,
    pub(crate) granted: bool,
}

impl Key {
    fn parts(self) -> (u32, u32, i16) {
        match self {
            Self::Large(number) => ((number >> 32) as u32, number as u32, 1),
            Self::Pair(one, other) => (one as u32, other as u32, 2),
        }
    }
}

impl AdvisoryLocks {
    /// All locks that are held or waited for.
    pub(crate) fn list(&self) -> Vec<Shown> {
        let state = self.state.lock();
        let show = |key: Key, session, shared, granted| Shown { session, name: key.parts(), shared, granted };
        let held = state.held.iter().flat_map(|(key, all)| all.iter().map(|held| (*key, held)));
        let held = held.map(|(key, held)| show(key, held.session, held.shared, true));
        let waits = state.waiting.iter().map(|(session, (key, shared))| show(*key, *session, *shared, false));
        held.chain(waits).collect()
    }

    /// The sessions that a session waits for.
    pub(crate) fn blockers(&self, session: u64) -> Vec<u64> {
        let state = self.state.lock();
        let Some((key, shared)) = state.waiting.get(&session) else { return Vec::new() };
        state.holders(*key, session, *shared).collect()
    }

    fn try_lock(&self, key: Key, session: u64, shared: bool, scope: Scope) -> Result<bool> {
        let mut state = self.state.lock();
        if state.holders(key, session, shared).next().is_some() {
            return Ok(false);
        }
        let held = state.held.entry(key).or_default();
        let own = held
            .iter_mut()
            .find(|held| held.session == session && held.shared == shared && held.scope == scope);
        if let Some(own) = own {
            own.count += 1;
            return Ok(true);
        }
        if self.count.load(Ordering::Relaxed) >= LOCKS_MAX {
            return Err(Error::new(ErrorKind::OutOfMemory, "out of shared memory")
                .hint(format!("At most {LOCKS_MAX} advisory locks can be held at a time.")));
        }
        held.push(Held { session, shared, scope, count: 1 });
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    /// Gives a lock back once; whether it was held.
    fn unlock(&self, key: Key, session: u64, shared: bool, scope: Scope) -> bool {
        let mut state = self.state.lock();
        let Some(held) = state.held.get_mut(&key) else { return false };
        let own = held
            .iter()
            .position(|held| held.session == session && held.shared == shared && held.scope == scope);
        let Some(own) = own else { return false };
        held[own].count -= 1;
        if held[own].count == 0 {
            held.swap_remove(own);
            if held.is_empty() {
                state.held.remove(&key);
            }
            self.released(1);
        }
        true
    }

    fn released(&self, count: usize) {
        if count > 0 {
            self.count.fetch_sub(count, Ordering::Relaxed);
            self.freed.notify_waiters();
        }
    }

    fn unlock_all(&self, session: u64) {
        let released =
            self.state.lock().release(|held| held.session == session && held.scope == Scope::Session);
        self.released(released);
    }

    /// Lets go of what was locked for a transaction.
    pub(crate) fn end_transaction(&self, session: u64) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let released =
            self.state.lock().release(|held| held.session == session && held.scope == Scope::Transaction);
        self.released(released);
    }

    /// Lets go of everything: the session ends.
    pub(crate) fn end_session(&self, session: u64) {
        let mut state = self.state.lock();
        state.waiting.remove(&session);
        let released = state.release(|held| held.session == session);
        drop(state);
        self.released(released);
    }

    /// Waits until a lock that an attempt did not get may be free.
    ///
    /// # Errors
    /// 40P01 when its holders wait for this session.
    pub(crate) async fn wait(&self, session: u64, attempt: &Attempt) -> Result<()> {
        let Some((key, shared)) = attempt.blocked() else { return Ok(()) };
        let freed = self.freed.notified();
        tokio::pin!(freed);
        freed.as_mut().enable();
        {
            let mut state = self.state.lock();
            if state.holders(key, session, shared).next().is_none() {
                return Ok(());
            }
            if state.circular(session, key, shared) {
                return Err(Error::new(ErrorKind::DeadlockDetected, "deadlock detected")
                    .hint("Take advisory locks in the same order everywhere."));
            }
            state.waiting.insert(session, (key, shared));
        }
        let _waiting = Waiting { locks: self, session };
        freed.await;
        Ok(())
    }
}

/// Says that a session waits, for as long as it does.
struct Waiting<'a> {
    locks: &'a AdvisoryLocks,
    session: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.locks.state.lock().waiting.remove(&self.session);
    }
}

/// What one attempt at a statement took, and what it could not take.
#[derive(Debug, Default)]
pub(crate) struct Attempt {
    taken: Mutex<Vec<(Key, bool, Scope)>>,
    blocked: Mutex<Option<(Key, bool)>>,
}

impl Attempt {
    fn blocked(&self) -> Option<(Key, bool)> {
        *self.blocked.lock()
    }

    /// Whether the attempt ended because a lock was taken; then what it took is given back.
    pub(crate) fn undo(&self, locks: &AdvisoryLocks, session: u64) -> bool {
        if self.blocked().is_none() {
            return false;
        }
        for (key, shared, scope) in self.taken.lock().drain(..) {
            locks.unlock(key, session, shared, scope);
        }
        true
    }
}

fn key(values: &[ValueRef<'_>]) -> Result<Key> {
    let number = |value: ValueRef<'_>| {
        integer(value)
            .ok_or_else(|| Error::new(ErrorKind::InvalidParameterValue, "a lock is named by integers"))
    };
    let small = |value: ValueRef<'_>| {
        i32::try_from(number(value)?).map_err(|_| Error::new(ErrorKind::OutOfRange, "integer out of range"))
    };
    match values {
        [first, second] => Ok(Key::Pair(small(*first)?, small(*second)?)),
        [first] => Ok(Key::Large(number(*first)?)),
        _ => Err(Error::new(ErrorKind::UndefinedFunction, "a lock is named by one or two integers")),
    }
}

fn lock(info: &SessionInfo, values: &[ValueRef<'_>], shared: bool, scope: Scope) -> Result<Value> {
    let key = key(values)?;
    if info.shared.advisory.try_lock(key, info.number, shared, scope)? {
        info.advisory.taken.lock().push((key, shared, scope));
        return Ok(Value::Text(String::new()));
    }
    *info.advisory.blocked.lock() = Some((key, shared));
    Err(Error::new(ErrorKind::LockNotAvailable, "the advisory lock is held by another session")
        .hint("Only a SELECT waits for it; take it in a SELECT of its own."))
}

fn try_lock(info: &SessionInfo, values: &[ValueRef<'_>], shared: bool, scope: Scope) -> Result<Value> {
    let key = key(values)?;
    let got = info.shared.advisory.try_lock(key, info.number, shared, scope)?;
    if got {
        info.advisory.taken.lock().push((key, shared, scope));
    }
    Ok(Value::Bool(got))
}

fn unlock(info: &SessionInfo, values: &[ValueRef<'_>], shared: bool) -> Result<Value> {
    Ok(Value::Bool(info.shared.advisory.unlock(key(values)?, info.number, shared, Scope::Session)))
}

/// Whether a statement takes locks, so that it must be ready to wait.
pub(crate) fn mentioned(text: &str) -> bool {
    const WORD: &[u8] = b"pg_advisory_";
    text.as_bytes().windows(WORD.len()).any(|part| part.eq_ignore_ascii_case(WORD))
}

macro_rules! definition {
    ($name:literal, $returns:expr, |$info:ident, $values:ident| $compute:expr) => {
        Definition::new($name, (1, 2), $returns, |$info: &Arc<SessionInfo>, $values, _| $compute).volatile()
    };
}

pub(crate) static FUNCTIONS: &[Definition] = &[
    definition!("pg_advisory_lock", DataType::Void, |info, values| lock(info, values, false, Scope::Session)),
    definition!("pg_advisory_lock_shared", DataType::Void, |info, values| lock(
        info,
        values,
        true,
        Scope::Session
    )),
    definition!("pg_advisory_xact_lock", DataType::Void, |info, values| lock(
        info,
        values,
        false,
        Scope::Transaction
    )),
    definition!("pg_advisory_xact_lock_shared", DataType::Void, |info, values| lock(
        info,
        values,
        true,
        Scope::Transaction
    )),
    definition!("pg_try_advisory_lock", DataType::Bool, |info, values| try_lock(
        info,
        values,
        false,
        Scope::Session
    )),
    definition!("pg_try_advisory_lock_shared", DataType::Bool, |info, values| try_lock(
        info,
        values,
        true,
        Scope::Session
    )),
    definition!("pg_try_advisory_xact_lock", DataType::Bool, |info, values| try_lock(
        info,
        values,
        false,
        Scope::Transaction
    )),
    definition!("pg_try_advisory_xact_lock_shared", DataType::Bool, |info, values| try_lock(
        info,
        values,
        true,
        Scope::Transaction
    )),
    definition!("pg_advisory_unlock", DataType::Bool, |info, values| unlock(info, values, false)),
    definition!("pg_advisory_unlock_shared", DataType::Bool, |info, values| unlock(info, values, true)),
    Definition::new("pg_advisory_unlock_all", (0, 0), DataType::Void, |info, _, _| {
        info.shared.advisory.unlock_all(info.number);
        Ok(Value::Text(String::new()))
    })
    .volatile(),
];

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    const KEY: Key = Key::Large(1);

    #[test]
    fn an_exclusive_lock_keeps_others_out_until_given_back_as_often_as_taken() {
        let locks = AdvisoryLocks::default();
        assert!(locks.try_lock(KEY, 1, false, Scope::Session).unwrap());
        assert!(locks.try_lock(KEY, 1, false, Scope::Session).unwrap());
        assert!(!locks.try_lock(KEY, 2, true, Scope::Session).unwrap());
        assert!(locks.try_lock(Key::Pair(0, 1), 2, false, Scope::Session).unwrap());
        assert!(locks.unlock(KEY, 1, false, Scope::Session));
        assert!(!locks.try_lock(KEY, 2, false, Scope::Session).unwrap());
        assert!(locks.unlock(KEY, 1, false, Scope::Session));
        assert!(!locks.unlock(KEY, 1, false, Scope::Session));
        assert!(locks.try_lock(KEY, 2, false, Scope::Session).unwrap());
    }

    #[test]
    fn shared_locks_go_together_and_end_with_what_they_were_taken_for() {
        let locks = AdvisoryLocks::default();
        assert!(locks.try_lock(KEY, 1, true, Scope::Transaction).unwrap());
        assert!(locks.try_lock(KEY, 2, true, Scope::Session).unwrap());
        assert!(!locks.try_lock(KEY, 2, false, Scope::Session).unwrap());
        locks.unlock_all(1);
        assert!(!locks.try_lock(KEY, 2, false, Scope::Session).unwrap());
        locks.end_transaction(1);
        assert!(locks.try_lock(KEY, 2, false, Scope::Session).unwrap());
        locks.end_session(2);
        assert_eq!(locks.count.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn who_would_wait_in_a_circle_is_told_at_once() {
        let locks = AdvisoryLocks::default();
        let other = Key::Large(2);
        assert!(locks.try_lock(KEY, 1, false, Scope::Session).unwrap());
        assert!(locks.try_lock(other, 2, false, Scope::Session).unwrap());
        let first = Attempt::default();
        *first.blocked.lock() = Some((other, false));
        let second = Attempt::default();
        *second.blocked.lock() = Some((KEY, false));
        let waits = locks.wait(1, &first);
        tokio::pin!(waits);
        assert!(futures::poll!(waits.as_mut()).is_pending());
        assert_eq!(locks.wait(2, &second).await.unwrap_err().sqlstate(), "40P01");
        locks.end_session(2);
        waits.await.unwrap();
        assert!(locks.state.lock().waiting.is_empty());
    }
}
