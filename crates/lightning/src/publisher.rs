//! Publishing: commits become visible in order, each once it is as durable as was asked.
//!
//! Invariants: the queue is in sequence order; `visible` only grows; a commit is visible only when
//! all before it are. What a commit's transaction asked for at publication (its callbacks, then the
//! release of the locks it still has, then the wake-up of its waiters) happens right after, in the same order.
//! Once failed, nothing more is published: the queue is told the cause and emptied.
//!
//! `accepted` is ahead of `visible` by the commits that wait for the disk. Only transactions that hold locks read so far,
//! since a commit gives its exclusive locks back as soon as it has its place in the log (early lock release, as in Johnson
//! et al., "Aether: a scalable approach to logging", VLDB 2010): rows that everybody wants are not kept for the length of
//! a sync. Whoever read such a commit is behind it in the log, and what did not write waits for it to be published.

use luma_sync::atomic::{AtomicU64, Ordering};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use luma_log::{LogObserver, Lsn};
use luma_sync::{Condvar, Mutex};

use crate::locks::LockOwner;
use crate::moments::Moments;
use crate::{Error, Result};

/// Runs when a commit is published, before its locks are released.
pub(crate) type OnPublish = Box<dyn FnOnce() + Send>;

/// A commit on its way.
pub(crate) struct Pending {
    pub(crate) sequence: u64,
    /// How far the log must be durable first.
    pub(crate) needs: Lsn,
    pub(crate) callbacks: Vec<OnPublish>,
    pub(crate) locks: Option<LockOwner>,
    pub(crate) ticket: Arc<Ticket>,
    /// Of transactions that read it before it was published and wrote nothing.
    pub(crate) readers: Vec<Arc<Ticket>>,
}

impl Pending {
    fn complete(self, result: &Result<()>) {
        let Self { locks, ticket, readers, .. } = self;
        drop(locks);
        for ticket in readers.into_iter().chain([ticket]) {
            ticket.complete(result.clone());
        }
    }
}

#[derive(Default)]
struct Outcome {
    result: Option<Result<()>>,
    waker: Option<Waker>,
}

/// Where a committer learns that its commit is published.
#[derive(Default)]
pub(crate) struct Ticket {
    outcome: Mutex<Outcome>,
    changed: Condvar,
}

impl Ticket {
    fn complete(&self, result: Result<()>) {
        let waker = {
            let mut outcome = self.outcome.lock();
            outcome.result = Some(result);
            outcome.waker.take()
        };
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn result(&self) -> Option<Result<()>> {
        self.outcome.lock().result.clone()
    }

    /// Blocks until the commit is published or failed.
    pub(crate) fn wait(&self) -> Result<()> {
        let mut outcome = self.outcome.lock();
        loop {
            if let Some(result) = &outcome.result {
                return result.clone();
            }
            self.changed.wait(&mut outcome);
        }
    }
}

/// Completes with the ticket.
pub(crate) struct TicketFuture(pub(crate) Arc<Ticket>);

impl Future for TicketFuture {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let mut outcome = self.0.outcome.lock();
        if let Some(result) = &outcome.result {
            return Poll::Ready(result.clone());
        }
        outcome.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

#[derive(Default)]
struct Queue {
    pending: VecDeque<Pending>,
    failure: Option<Error>,
}

/// The publisher.
pub(crate) struct Publisher {
    pub(crate) moments: Moments,
    visible: AtomicU64,
    accepted: AtomicU64,
    durable: AtomicU64,
    queue: Mutex<Queue>,
    /// Held while publishing, so that it happens in order whoever does it.
    turn: Mutex<()>,
    published: Condvar,
}

impl Publisher {
    /// One that remembers for so long when commits became visible.
    pub(crate) fn new(retention: Duration) -> Self {
        Self {
            moments: Moments::new(retention),
            visible: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            queue: Mutex::default(),
            turn: Mutex::new(()),
            published: Condvar::new(),
        }
    }

    /// The sequence of the newest commit that readers see.
    #[inline]
    pub(crate) fn visible(&self) -> u64 {
        self.visible.load(Ordering::Acquire)
    }

    /// The sequence of the newest commit that has its place: readers will see it, unless the log fails.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Acquire)
    }

    /// Starts after recovery.
    pub(crate) fn start_at(&self, sequence: u64) {
        self.visible.store(sequence, Ordering::Release);
        self.accepted.store(sequence, Ordering::Release);
        self.moments.note(sequence);
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        self.queue.lock().failure.clone()
    }

    /// Adds a commit, whose versions are in place, after all before it. The caller holds the commit lock.
    pub(crate) fn enqueue(&self, pending: Pending) {
        let mut queue = self.queue.lock();
        if let Some(failure) = &queue.failure {
            let failure = failure.clone();
            drop(queue);
            pending.complete(&Err(failure));
        } else {
            self.accepted.store(pending.sequence, Ordering::Release);
            queue.pending.push_back(pending);
        }
    }

    /// Completes when everything up to a sequence that was accepted is published; `None` if it is.
    pub(crate) fn when_published(&self, sequence: u64) -> Option<Arc<Ticket>> {
        // What is taken from the queue is visible, or whoever publishes it has the turn.
        let _turn = self.turn.lock();
        let mut queue = self.queue.lock();
        if self.visible() >= sequence {
            return None;
        }
        let ticket = Arc::new(Ticket::default());
        let at = queue.pending.partition_point(|pending| pending.sequence < sequence);
        match queue.pending.get_mut(at) {
            Some(pending) => pending.readers.push(Arc::clone(&ticket)),
            None => ticket.complete(queue.failure.clone().map_or(Ok(()), Err)),
        }
        Some(ticket)
    }

    /// Publishes what can be.
    pub(crate) fn publish(&self) {
        let mut any = false;
        {
            let _turn = self.turn.lock();
            while let Some(mut next) = self.take_ready() {
                any = true;
                self.visible.store(next.sequence, Ordering::Release);
                self.moments.note(next.sequence);
                for callback in std::mem::take(&mut next.callbacks) {
                    callback();
                }
                next.complete(&Ok(()));
            }
        }
        if any {
            // Whoever checked before sleeps now, and hears this.
            drop(self.queue.lock());
            self.published.notify_all();
        }
    }

    fn take_ready(&self) -> Option<Pending> {
        let mut queue = self.queue.lock();
        let ready = queue.pending.front()?.needs.0 <= self.durable.load(Ordering::Acquire);
        if ready { queue.pending.pop_front() } else { None }
    }

    /// Blocks until everything up to a sequence is published.
    pub(crate) fn wait_published(&self, sequence: u64) -> Result<()> {
        let mut queue = self.queue.lock();
        while self.visible() < sequence {
            if let Some(failure) = &queue.failure {
                return Err(failure.clone());
            }
            self.published.wait(&mut queue);
        }
        Ok(())
    }

    /// Stops for good. The first cause stays.
    pub(crate) fn fail(&self, cause: Error) {
        let (failure, pending) = {
            let mut queue = self.queue.lock();
            let failure = queue.failure.get_or_insert_with(|| cause.poison()).clone();
            (failure, std::mem::take(&mut queue.pending))
        };
        self.published.notify_all();
        for commit in pending {
            commit.complete(&Err(failure.clone()));
        }
    }
}

impl LogObserver for Publisher {
    fn durable(&self, lsn: Lsn) {
        self.durable.fetch_max(lsn.0, Ordering::AcqRel);
        self.publish();
    }

    fn poisoned(&self, cause: &luma_log::Error) {
        self.fail(cause.clone().into());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn enqueue(publisher: &Publisher, sequence: u64, needs: u64) -> Arc<Ticket> {
        let ticket = Arc::new(Ticket::default());
        let pending = Pending {
            sequence,
            needs: Lsn(needs),
            callbacks: Vec::new(),
            locks: None,
            ticket: Arc::clone(&ticket),
            readers: Vec::new(),
        };
        publisher.enqueue(pending);
        publisher.publish();
        ticket
    }

    #[test]
    fn commits_become_visible_in_order_and_none_before_the_log_is_durable() {
        let publisher = Publisher::new(Duration::ZERO);
        let first = enqueue(&publisher, 1, 10);
        let second = enqueue(&publisher, 2, 0);
        assert!(first.result().is_none() && second.result().is_none());
        assert_eq!(publisher.visible(), 0);
        publisher.durable(Lsn(10));
        assert_eq!(publisher.visible(), 2);
        second.wait().unwrap();
        publisher.wait_published(2).unwrap();
    }

    #[test]
    fn who_read_what_was_accepted_hears_when_it_is_published_or_fails() {
        let publisher = Publisher::new(Duration::ZERO);
        let _first = enqueue(&publisher, 1, 10);
        let _second = enqueue(&publisher, 2, 20);
        assert_eq!((publisher.visible(), publisher.accepted()), (0, 2));
        assert!(publisher.when_published(0).is_none());
        let (one, two) = (publisher.when_published(1).unwrap(), publisher.when_published(2).unwrap());
        publisher.durable(Lsn(10));
        one.wait().unwrap();
        assert!(two.result().is_none());
        assert!(publisher.when_published(1).is_none());
        publisher.fail(Error::LockTimeout);
        assert!(two.wait().is_err());
        assert!(publisher.when_published(2).unwrap().wait().is_err());
    }

    #[test]
    fn after_a_failure_nothing_is_published_and_everybody_hears_the_first_cause() {
        let publisher = Publisher::new(Duration::ZERO);
        let waiting = enqueue(&publisher, 1, 10);
        publisher.fail(Error::LockTimeout);
        publisher.fail(Error::Deadlock);
        let cause = waiting.wait().unwrap_err().to_string();
        assert!(cause.contains("not granted in time"), "{cause}");
        assert_eq!(enqueue(&publisher, 2, 0).wait().unwrap_err().to_string(), cause);
        assert_eq!(publisher.wait_published(1).unwrap_err().to_string(), cause);
        assert_eq!(publisher.visible(), 0);
    }
}
