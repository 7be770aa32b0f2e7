//! Waiting for a lock: as a future, or blocking the thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use luma_sync::{Condvar, Mutex};

use super::{LockKey, LockTable};
use crate::{Error, Result};

#[derive(Default)]
struct Outcome {
    result: Option<Result<()>>,
    waker: Option<Waker>,
}

/// Where a waiter learns its outcome.
#[derive(Default)]
pub(crate) struct WaitCell {
    outcome: Mutex<Outcome>,
    changed: Condvar,
}

impl WaitCell {
    pub(crate) fn complete(&self, result: Result<()>) {
        let waker = {
            let mut outcome = self.outcome.lock();
            outcome.result.get_or_insert(result);
            outcome.waker.take()
        };
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A place in a lock's queue. Await it, or block on it with [`LockWaiter::wait`]; dropping it gives
/// the place up.
pub struct LockWaiter {
    table: Arc<LockTable>,
    key: LockKey,
    cell: Arc<WaitCell>,
}

impl std::fmt::Debug for LockWaiter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LockWaiter").field("key", &self.key).finish_non_exhaustive()
    }
}

impl LockWaiter {
    pub(super) fn new(table: Arc<LockTable>, key: LockKey, cell: Arc<WaitCell>) -> Self {
        Self { table, key, cell }
    }

    /// Whether the wait is over.
    pub fn is_done(&self) -> bool {
        self.cell.outcome.lock().result.is_some()
    }

    /// Makes the wait fail with [`Error::LockTimeout`] at this time.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.table.timer.add(&self.table, deadline, &self.key, &self.cell);
    }

    /// Blocks the thread until the lock is granted or the time is over.
    ///
    /// # Errors
    /// [`Error::LockTimeout`].
    pub fn wait(self, timeout: Option<Duration>) -> Result<()> {
        let deadline = timeout.map(|timeout| luma_sync::now() + timeout);
        let mut outcome = self.cell.outcome.lock();
        loop {
            if let Some(result) = &outcome.result {
                return result.clone();
            }
            match deadline {
                None => self.cell.changed.wait(&mut outcome),
                Some(deadline) => {
                    if self.cell.changed.wait_until(&mut outcome, deadline).timed_out() {
                        drop(outcome);
                        self.table.give_up(&self.key, &self.cell, Err(Error::LockTimeout));
                        outcome = self.cell.outcome.lock();
                    }
                }
            }
        }
    }
}

impl Future for LockWaiter {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let mut outcome = self.cell.outcome.lock();
        if let Some(result) = &outcome.result {
            return Poll::Ready(result.clone());
        }
        outcome.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for LockWaiter {
    fn drop(&mut self) {
        // One that was granted stays granted until its owner goes.
        self.table.give_up(&self.key, &self.cell, Err(Error::LockTimeout));
    }
}

/// Runs a future on this thread.
#[cfg(test)]
pub(crate) fn block_on<T>(mut future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::park();
    }
}
