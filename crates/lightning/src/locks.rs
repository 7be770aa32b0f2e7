//! Row locks: shared and exclusive, fair, with deadlocks found when they arise.
//!
//! A lock is a number (a space) and key bytes; the engine gives them no meaning. Waiters of one lock
//! are served in the order they came, but a holder that wants more goes first. Whoever would close a
//! cycle of waiting is told so at once and does not wait.
//!
//! Invariants, all under one mutex: two holders of a lock are both shared or the same owner; the
//! first waiter of a lock conflicts with its holders; nobody waits in a cycle. Critical sections are
//! a few map operations long.

mod timer;
mod wait;

use luma_sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use luma_sync::Mutex;

use crate::options::LockMode;
use crate::{Error, Result};
use timer::Timer;
pub use wait::LockWaiter;
use wait::WaitCell;

/// What a try to lock gave.
#[derive(Debug)]
pub enum LockAttempt {
    /// The lock is held now.
    Granted,
    /// Others hold it. Await this, or drop it to give up.
    Waiting(LockWaiter),
}

/// A lock that a transaction holds or waits for, at the moment it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockInfo {
    /// The space of the lock's name.
    pub space: u64,
    /// The key in the space.
    pub key: Arc<[u8]>,
    /// The transaction, by its [`lock_owner`](crate::Transaction::lock_owner).
    pub owner: u64,
    /// How it holds the lock, or wants it.
    pub mode: LockMode,
    /// The transactions it waits for, those that hold the lock first; `None` when it has the lock.
    pub waits_for: Option<Vec<u64>>,
}

pub(crate) type OwnerId = u64;

/// What is locked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LockKey {
    space: u64,
    key: Arc<[u8]>,
}

struct Waiter {
    owner: OwnerId,
    mode: LockMode,
    cell: Arc<WaitCell>,
}

#[derive(Default)]
struct Lock {
    holders: Vec<(OwnerId, LockMode)>,
    queue: VecDeque<Waiter>,
}

impl Lock {
    fn allows(&self, owner: OwnerId, mode: LockMode) -> bool {
        self.holders
            .iter()
            .all(|(holder, held)| *holder == owner || (mode == LockMode::Shared && *held == LockMode::Shared))
    }

    fn held_by(&self, owner: OwnerId) -> Option<LockMode> {
        self.holders.iter().find(|(holder, _)| *holder == owner).map(|(_, mode)| *mode)
    }

    fn grant(&mut self, owner: OwnerId, mode: LockMode) {
        match self.holders.iter_mut().find(|(holder, _)| *holder == owner) {
            Some((_, held)) => *held = (*held).max(mode),
            None => self.holders.push((owner, mode)),
        }
    }
}

#[derive(Default)]
struct State {
    locks: HashMap<LockKey, Lock>,
    held: HashMap<OwnerId, Vec<LockKey>>,
    waiting: HashMap<OwnerId, Vec<LockKey>>,
}

impl State {
    /// Serves waiters from the front as long as they can be; returns whom to wake.
    fn serve(&mut self, key: &LockKey) -> Vec<Arc<WaitCell>> {
        let mut granted = Vec::new();
        let Some(lock) = self.locks.get_mut(key) else { return granted };
        while let Some(first) = lock.queue.front() {
            if !lock.allows(first.owner, first.mode) {
                break;
            }
            let Some(waiter) = lock.queue.pop_front() else { break };
            let held_before = lock.held_by(waiter.owner).is_some();
            lock.grant(waiter.owner, waiter.mode);
            if !held_before {
                self.held.entry(waiter.owner).or_default().push(key.clone());
            }
            if let Some(waits) = self.waiting.get_mut(&waiter.owner) {
                if let Some(at) = waits.iter().position(|wait| wait == key) {
                    waits.swap_remove(at);
                }
                if waits.is_empty() {
                    self.waiting.remove(&waiter.owner);
                }
            }
            granted.push(waiter.cell);
        }
        if lock.holders.is_empty() && lock.queue.is_empty() {
            self.locks.remove(key);
        }
        granted
    }

    /// Whom a waiter of `key` at a place in its queue waits for.
    fn blockers(&self, key: &LockKey, owner: OwnerId, mode: LockMode, place: usize) -> Vec<OwnerId> {
        let Some(lock) = self.locks.get(key) else { return Vec::new() };
        let conflicts = |held: LockMode| mode == LockMode::Exclusive || held == LockMode::Exclusive;
        let holders = lock.holders.iter().filter(|(_, held)| conflicts(*held)).map(|(holder, _)| *holder);
        let ahead = lock.queue.iter().take(place).map(|waiter| waiter.owner);
        holders.chain(ahead).filter(|other| *other != owner).collect()
    }

    /// Whether waiting at a place in the queue of `key` would make `owner` wait for itself.
    fn closes_cycle(&self, key: &LockKey, owner: OwnerId, mode: LockMode, place: usize) -> bool {
        let mut seen = HashSet::new();
        let mut stack = self.blockers(key, owner, mode, place);
        while let Some(other) = stack.pop() {
            if other == owner {
                return true;
            }
            if !seen.insert(other) {
                continue;
            }
            for waited in self.waiting.get(&other).into_iter().flatten() {
                let Some(lock) = self.locks.get(waited) else { continue };
                for (place, waiter) in
                    lock.queue.iter().enumerate().filter(|(_, waiter)| waiter.owner == other)
                {
                    stack.extend(self.blockers(waited, other, waiter.mode, place));
                    // Waiting in a queue whose place `owner` is about to take is covered by its holders.
                }
            }
        }
        false
    }
}

/// All locks of a database.
pub(crate) struct LockTable {
    state: Mutex<State>,
    next_owner: AtomicU64,
    timer: Timer,
}

/// A transaction as the lock table knows it. Dropping it releases all its locks.
pub(crate) struct LockOwner {
    id: OwnerId,
    used: AtomicBool,
    table: Arc<LockTable>,
}

impl LockTable {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), next_owner: AtomicU64::new(1), timer: Timer::default() })
    }

    pub(crate) fn owner(self: &Arc<Self>) -> LockOwner {
        let id = self.next_owner.fetch_add(1, Ordering::Relaxed);
        LockOwner { id, used: AtomicBool::new(false), table: Arc::clone(self) }
    }

    /// Locks that are held or waited for.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().locks.len()
    }

    /// Every wait, and the held locks of the spaces that are wanted. It looks at every lock.
    pub(crate) fn list(&self, wanted: impl Fn(u64) -> bool) -> Vec<LockInfo> {
        let state = self.state.lock();
        let mut all = Vec::new();
        for (name, lock) in &state.locks {
            let info = |owner, mode, waits_for| LockInfo {
                space: name.space,
                key: Arc::clone(&name.key),
                owner,
                mode,
                waits_for,
            };
            if wanted(name.space) {
                all.extend(lock.holders.iter().map(|(owner, mode)| info(*owner, *mode, None)));
            }
            for (place, waiter) in lock.queue.iter().enumerate() {
                let blockers = state.blockers(name, waiter.owner, waiter.mode, place);
                all.push(info(waiter.owner, waiter.mode, Some(blockers)));
            }
        }
        all
    }

    fn acquire(self: &Arc<Self>, owner: OwnerId, key: LockKey, mode: LockMode) -> Result<LockAttempt> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let lock = state.locks.entry(key.clone()).or_default();
        let held = lock.held_by(owner);
        if held.is_some_and(|held| held >= mode) {
            return Ok(LockAttempt::Granted);
        }
        // One that wants more than it has goes before those that have nothing, or it would wait for
        // waiters that wait for it.
        let place = if held.is_some() {
            lock.queue.iter().take_while(|waiter| lock.held_by(waiter.owner).is_some()).count()
        } else {
            lock.queue.len()
        };
        if place == 0 && lock.allows(owner, mode) {
            lock.grant(owner, mode);
            if held.is_none() {
                state.held.entry(owner).or_default().push(key);
            }
            return Ok(LockAttempt::Granted);
        }
        if state.closes_cycle(&key, owner, mode, place) {
            return Err(Error::Deadlock);
        }
        let cell = Arc::new(WaitCell::default());
        let Some(lock) = state.locks.get_mut(&key) else { return Ok(LockAttempt::Granted) };
        lock.queue.insert(place, Waiter { owner, mode, cell: Arc::clone(&cell) });
        state.waiting.entry(owner).or_default().push(key.clone());
        Ok(LockAttempt::Waiting(LockWaiter::new(Arc::clone(self), key, cell)))
    }

    /// Ends a wait that was not granted yet with an outcome; `false` when it was over already.
    fn give_up(&self, key: &LockKey, cell: &Arc<WaitCell>, outcome: Result<()>) -> bool {
        let granted = {
            let mut state = self.state.lock();
            let Some(lock) = state.locks.get_mut(key) else { return false };
            let Some(at) = lock.queue.iter().position(|waiter| Arc::ptr_eq(&waiter.cell, cell)) else {
                return false;
            };
            let owner = lock.queue.remove(at).map(|waiter| waiter.owner);
            if let Some(owner) = owner
                && let Some(waits) = state.waiting.get_mut(&owner)
            {
                if let Some(at) = waits.iter().position(|wait| wait == key) {
                    waits.swap_remove(at);
                }
                if waits.is_empty() {
                    state.waiting.remove(&owner);
                }
            }
            state.serve(key)
        };
        cell.complete(outcome);
        for cell in &granted {
            cell.complete(Ok(()));
        }
        true
    }

    /// Releases the locks that an owner has for itself.
    pub(crate) fn release_exclusive(&self, owner: OwnerId) {
        let mut granted = Vec::new();
        {
            let mut state = self.state.lock();
            let Some(mut held) = state.held.remove(&owner) else { return };
            held.retain(|key| {
                let Some(lock) = state.locks.get_mut(key) else { return false };
                if lock.held_by(owner) == Some(LockMode::Shared) {
                    return true;
                }
                lock.holders.retain(|(holder, _)| *holder != owner);
                granted.extend(state.serve(key));
                false
            });
            if !held.is_empty() {
                state.held.insert(owner, held);
            }
        }
        for cell in &granted {
            cell.complete(Ok(()));
        }
    }

    /// Releases what an owner holds and ends its waits.
    fn release_all(&self, owner: OwnerId) {
        let (granted, ended) = {
            let mut state = self.state.lock();
            let (mut granted, mut ended) = (Vec::new(), Vec::new());
            for key in state.waiting.remove(&owner).unwrap_or_default() {
                if let Some(lock) = state.locks.get_mut(&key) {
                    let gone = lock.queue.iter().filter(|waiter| waiter.owner == owner);
                    ended.extend(gone.map(|waiter| Arc::clone(&waiter.cell)));
                    lock.queue.retain(|waiter| waiter.owner != owner);
                    granted.extend(state.serve(&key));
                }
            }
            for key in state.held.remove(&owner).unwrap_or_default() {
                if let Some(lock) = state.locks.get_mut(&key) {
                    lock.holders.retain(|(holder, _)| *holder != owner);
                    granted.extend(state.serve(&key));
                }
            }
            (granted, ended)
        };
        for cell in &granted {
            cell.complete(Ok(()));
        }
        for cell in &ended {
            cell.complete(Err(Error::LockTimeout));
        }
    }
}

impl LockOwner {
    pub(crate) fn id(&self) -> OwnerId {
        self.id
    }

    /// Whether it ever took a lock, or asked for one.
    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes a lock, or a place in its queue.
    ///
    /// # Errors
    /// [`Error::Deadlock`] when its holders wait for this owner.
    pub(crate) fn try_lock(&self, space: u64, key: &[u8], mode: LockMode) -> Result<LockAttempt> {
        self.used.store(true, Ordering::Relaxed);
        self.table.acquire(self.id, LockKey { space, key: key.into() }, mode)
    }

    /// Takes a lock; the future waits for it. With a timeout it fails in time.
    pub(crate) fn lock(
        &self,
        space: u64,
        key: &[u8],
        mode: LockMode,
        timeout: Option<Duration>,
    ) -> impl Future<Output = Result<()>> + Send + use<> {
        let attempt = self.try_lock(space, key, mode);
        async move {
            match attempt? {
                LockAttempt::Granted => Ok(()),
                LockAttempt::Waiting(mut waiter) => {
                    if let Some(timeout) = timeout {
                        waiter.set_deadline(luma_sync::now() + timeout);
                    }
                    waiter.await
                }
            }
        }
    }

    /// Takes a lock, blocking the thread while others hold it.
    pub(crate) fn lock_blocking(
        &self,
        space: u64,
        key: &[u8],
        mode: LockMode,
        timeout: Option<Duration>,
    ) -> Result<()> {
        match self.try_lock(space, key, mode)? {
            LockAttempt::Granted => Ok(()),
            LockAttempt::Waiting(waiter) => waiter.wait(timeout),
        }
    }
}

impl Drop for LockOwner {
    fn drop(&mut self) {
        if *self.used.get_mut() {
            self.table.release_all(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::sync::atomic::AtomicUsize;

    use LockMode::{Exclusive, Shared};

    fn granted(attempt: Result<LockAttempt>) -> bool {
        matches!(attempt.unwrap(), LockAttempt::Granted)
    }

    fn waiter(attempt: Result<LockAttempt>) -> LockWaiter {
        match attempt.unwrap() {
            LockAttempt::Waiting(waiter) => waiter,
            LockAttempt::Granted => panic!("the lock was granted"),
        }
    }

    #[test]
    fn shared_locks_share_and_an_exclusive_one_waits_and_is_reentrant() {
        let table = LockTable::new();
        let (one, two, three) = (table.owner(), table.owner(), table.owner());
        assert!(granted(one.try_lock(1, b"k", Shared)));
        assert!(granted(two.try_lock(1, b"k", Shared)));
        let waiting = waiter(three.try_lock(1, b"k", Exclusive));
        assert!(granted(three.try_lock(2, b"k", Exclusive)), "another space is another lock");
        drop(one);
        assert!(!waiting.is_done());
        drop(two);
        waiting.wait(None).unwrap();
        assert!(granted(three.try_lock(1, b"k", Exclusive)));
        assert!(granted(three.try_lock(1, b"k", Shared)));
        drop(three);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn waiters_are_served_in_order_and_a_late_reader_does_not_overtake_a_writer() {
        let table = LockTable::new();
        let (holder, writer, reader) = (table.owner(), table.owner(), table.owner());
        assert!(granted(holder.try_lock(1, b"k", Shared)));
        let writer_waits = waiter(writer.try_lock(1, b"k", Exclusive));
        let reader_waits = waiter(reader.try_lock(1, b"k", Shared));
        drop(holder);
        writer_waits.wait(None).unwrap();
        assert!(!reader_waits.is_done());
        drop(writer);
        reader_waits.wait(None).unwrap();
    }

    #[test]
    fn the_list_says_who_waits_for_whom() {
        let table = LockTable::new();
        let (holder, first, second) = (table.owner(), table.owner(), table.owner());
        assert!(granted(holder.try_lock(1, b"k", Exclusive)));
        assert!(granted(holder.try_lock(2, b"k", Shared)));
        let _first = waiter(first.try_lock(1, b"k", Shared));
        let _second = waiter(second.try_lock(1, b"k", Exclusive));
        let of = |owner: &LockOwner, space| {
            let all = table.list(|space| space == 2);
            all.into_iter().find(|lock| lock.owner == owner.id() && lock.space == space)
        };
        assert!(of(&holder, 1).is_none(), "held, and in a space that is not wanted");
        assert_eq!(of(&holder, 2).unwrap().waits_for, None);
        assert_eq!(of(&first, 1).unwrap().waits_for, Some(vec![holder.id()]));
        let second = of(&second, 1).unwrap();
        assert_eq!((second.mode, second.waits_for), (Exclusive, Some(vec![holder.id(), first.id()])));
    }

    #[test]
    fn the_one_that_closes_a_cycle_is_told_and_the_other_goes_on() {
        let table = LockTable::new();
        let (one, two) = (table.owner(), table.owner());
        assert!(granted(one.try_lock(1, b"a", Exclusive)));
        assert!(granted(two.try_lock(1, b"b", Exclusive)));
        let one_waits = waiter(one.try_lock(1, b"b", Exclusive));
        assert!(matches!(two.try_lock(1, b"a", Shared), Err(Error::Deadlock)));
        drop(two);
        one_waits.wait(None).unwrap();
    }

    #[test]
    fn a_cycle_of_three_and_one_through_a_queue_are_found() {
        let table = LockTable::new();
        let owners: Vec<LockOwner> = (0..3).map(|_| table.owner()).collect();
        for (number, owner) in owners.iter().enumerate() {
            assert!(granted(owner.try_lock(1, &[number as u8], Exclusive)));
        }
        let _first = waiter(owners[0].try_lock(1, &[1], Exclusive));
        let _second = waiter(owners[1].try_lock(1, &[2], Exclusive));
        assert!(matches!(owners[2].try_lock(1, &[0], Exclusive), Err(Error::Deadlock)));

        // Two waits behind one in a queue, and one would wait for two.
        let table = LockTable::new();
        let (holder, one, two) = (table.owner(), table.owner(), table.owner());
        assert!(granted(holder.try_lock(1, b"q", Exclusive)));
        assert!(granted(two.try_lock(1, b"t", Exclusive)));
        let _one = waiter(one.try_lock(1, b"q", Exclusive));
        let _two = waiter(two.try_lock(1, b"q", Exclusive));
        assert!(matches!(one.try_lock(1, b"t", Exclusive), Err(Error::Deadlock)));
    }

    #[test]
    fn two_that_share_and_both_want_more_are_a_deadlock_and_one_alone_is_not() {
        let table = LockTable::new();
        let (one, two, three) = (table.owner(), table.owner(), table.owner());
        assert!(granted(one.try_lock(1, b"k", Shared)));
        assert!(granted(one.try_lock(1, b"k", Exclusive)));
        drop(one);
        let one = table.owner();
        assert!(granted(one.try_lock(1, b"k", Shared)));
        assert!(granted(two.try_lock(1, b"k", Shared)));
        let third = waiter(three.try_lock(1, b"k", Exclusive));
        let upgrade = waiter(one.try_lock(1, b"k", Exclusive));
        assert!(matches!(two.try_lock(1, b"k", Exclusive), Err(Error::Deadlock)));
        drop(two);
        upgrade.wait(None).unwrap();
        assert!(!third.is_done(), "the upgrade goes first");
        drop(one);
        third.wait(None).unwrap();
    }

    #[test]
    fn a_dropped_waiter_leaves_the_queue_and_a_late_one_times_out() {
        let table = LockTable::new();
        let (one, two, three) = (table.owner(), table.owner(), table.owner());
        assert!(granted(one.try_lock(1, b"k", Shared)));
        let gives_up = waiter(two.try_lock(1, b"k", Exclusive));
        let reader = waiter(three.try_lock(1, b"k", Shared));
        drop(gives_up);
        reader.wait(None).unwrap();
        let error = two.lock_blocking(1, b"k", Exclusive, Some(Duration::from_millis(5)));
        assert!(matches!(error, Err(Error::LockTimeout)));
        let mut timed = Box::pin(two.lock(1, b"k", Exclusive, Some(Duration::from_millis(5))));
        assert!(matches!(wait::block_on(timed.as_mut()), Err(Error::LockTimeout)));
        drop((one, three));
        two.lock_blocking(1, b"k", Exclusive, None).unwrap();
    }

    #[test]
    fn threads_that_lock_in_any_order_exclude_each_other_and_always_finish() {
        let table = LockTable::new();
        let inside: Vec<AtomicUsize> = (0..4).map(|_| AtomicUsize::new(0)).collect();
        std::thread::scope(|scope| {
            for thread in 0..4usize {
                let (table, inside) = (&table, &inside);
                scope.spawn(move || {
                    let mut done = 0;
                    let mut seed = thread;
                    while done < 300 {
                        seed = seed
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1_442_695_040_888_963_407);
                        let (first, second) = ((seed >> 33) % 4, (seed >> 40) % 4);
                        let owner = table.owner();
                        let locked = owner
                            .lock_blocking(0, &[first as u8], Exclusive, None)
                            .and_then(|()| owner.lock_blocking(0, &[second as u8], Exclusive, None));
                        match locked {
                            Ok(()) => {
                                for at in [first, second] {
                                    assert_eq!(
                                        inside[at].fetch_add(1, Ordering::SeqCst),
                                        usize::from(
                                            at == second
                                                && first == second
                                                && inside[at].load(Ordering::SeqCst) == 2
                                        )
                                    );
                                }
                                for at in [first, second] {
                                    inside[at].fetch_sub(1, Ordering::SeqCst);
                                }
                                done += 1;
                            }
                            Err(error) => assert!(matches!(error, Error::Deadlock)),
                        }
                    }
                });
            }
        });
        assert_eq!(table.len(), 0);
    }
}
