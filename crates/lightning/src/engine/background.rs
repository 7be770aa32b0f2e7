//! Background work: flushes before merges, on threads or, without any, inside the calls that cause it.
//!
//! Invariants: a keyspace is queued once per kind of work; merges never take all threads if there are
//! two, so flushes, which writers wait for, get one. A failure stops writes for good.

use luma_sync::atomic::Ordering;
use luma_sync::thread::JoinHandle;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use luma_sync::{Condvar, Mutex, MutexGuard};

use super::Engine;
use super::drain::{REST, Rested};
use crate::keyspace::KeyspaceInner;
use crate::{Error, Result};

/// Writers that only wait for merges go on after this.
const MERGE_WAIT_MAX: Duration = Duration::from_secs(1);
/// Waiting writers look again at least this often.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// So many times the tables that start a merge make writers wait.
const UNMERGED_FACTOR: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Flush(u64),
    Compact(u64),
}

#[derive(Default)]
struct Work {
    flushes: VecDeque<u64>,
    merges: VecDeque<u64>,
    merging: usize,
    stopping: bool,
    working_inline: bool,
}

/// The queue and the threads.
#[derive(Default)]
pub(super) struct Background {
    work: Mutex<Work>,
    wake: Condvar,
    progress: Condvar,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Background {
    fn next(work: &mut Work, merges_max: usize) -> Option<Task> {
        if let Some(keyspace) = work.flushes.pop_front() {
            return Some(Task::Flush(keyspace));
        }
        if work.merging < merges_max
            && let Some(keyspace) = work.merges.pop_front()
        {
            work.merging += 1;
            return Some(Task::Compact(keyspace));
        }
        None
    }

    /// Wakes everybody who waits for progress.
    pub(super) fn notify(&self) {
        drop(self.work.lock());
        self.progress.notify_all();
    }

    /// Ends the threads once they have finished what they are at.
    pub(super) fn stop(&self) {
        self.work.lock().stopping = true;
        self.wake.notify_all();
        self.progress.notify_all();
        for thread in self.threads.lock().drain(..) {
            // A thread reports its failures through the engine.
            let _ = thread.join();
        }
    }
}

impl Engine {
    pub(crate) fn start_threads(self: &Arc<Self>) -> Result<()> {
        for number in 0..self.options.background_threads {
            let engine = Arc::clone(self);
            let builder = luma_sync::thread::Builder::new().name(format!("lightning-{number}"));
            let thread = builder
                .spawn(move || engine.work(number == 0))
                .map_err(|error| Error::io(&self.path, error))?;
            self.background.threads.lock().push(thread);
        }
        Ok(())
    }

    pub(super) fn schedule_flush(&self, id: u64) {
        let mut work = self.background.work.lock();
        if !work.flushes.contains(&id) {
            work.flushes.push_back(id);
            self.background.wake.notify_one();
        }
    }

    pub(super) fn schedule_merge(&self, id: u64) {
        let mut work = self.background.work.lock();
        if !work.merges.contains(&id) {
            work.merges.push_back(id);
            self.background.wake.notify_one();
        }
    }

    /// A background thread; one of them drains memtables that rest.
    fn work(&self, drains: bool) {
        let merges_max = (self.options.background_threads - 1).max(1);
        let (mut rested, mut looked) = (Rested::default(), luma_sync::now());
        loop {
            let task = {
                let mut work = self.background.work.lock();
                loop {
                    if work.stopping {
                        return;
                    }
                    if let Some(task) = Background::next(&mut work, merges_max) {
                        break task;
                    }
                    if !drains {
                        self.background.wake.wait(&mut work);
                    } else if luma_sync::since(looked) < REST {
                        self.background
                            .wake
                            .wait_for(&mut work, REST.saturating_sub(luma_sync::since(looked)));
                    } else {
                        looked = luma_sync::now();
                        MutexGuard::unlocked(&mut work, || {
                            self.drain_rested(&mut rested);
                            self.let_go_of_the_past();
                        });
                    }
                }
            };
            // A failure was recorded; waiting writers learn of it.
            let _ = self.run(task);
        }
    }

    fn run(&self, task: Task) -> Result<()> {
        let result = match task {
            Task::Flush(id) => self.by_id(id).map_or(Ok(()), |keyspace| self.flush_frozen(&keyspace)),
            Task::Compact(id) => self.by_id(id).map_or(Ok(()), |keyspace| self.compact_step(&keyspace)),
        };
        if matches!(task, Task::Compact(_)) {
            self.background.work.lock().merging -= 1;
            // One that waited for its turn may go now.
            self.background.wake.notify_one();
        }
        self.background.notify();
        match result {
            Ok(()) | Err(Error::KeyspaceNotFound { .. } | Error::Closed) => Ok(()),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Without threads: does what is queued.
    pub(crate) fn run_inline_work(&self) -> Result<()> {
        if !self.is_inline() {
            return Ok(());
        }
        {
            let mut work = self.background.work.lock();
            if work.working_inline {
                return Ok(());
            }
            work.working_inline = true;
        }
        let mut result = Ok(());
        while result.is_ok() {
            let task = Background::next(&mut self.background.work.lock(), 1);
            let Some(task) = task else { break };
            result = self.run(task);
        }
        self.background.work.lock().working_inline = false;
        result
    }

    /// Makes a writer wait while too much waits to be flushed or merged. Flushes always end or fail, so
    /// the waits for memory and for a shorter log do; the wait for merges has a bound.
    pub(super) fn throttle(&self, keyspaces: &[Arc<KeyspaceInner>]) -> Result<()> {
        let memory_max = self.options.write_buffer_bytes.saturating_mul(2);
        let unmerged_max = self.options.level0_tables.max(1) * UNMERGED_FACTOR;
        let over_memory = || self.memory.load(Ordering::Relaxed) > memory_max;
        let unmerged = || {
            let view = self.view();
            let found = keyspaces.iter().filter_map(|keyspace| view.get(keyspace.slot, keyspace.id));
            found.map(|keyspace| keyspace.tree.unmerged_tables()).max().unwrap_or(0) >= unmerged_max
        };
        // Only flushes make the log shorter, so without one there is nothing to wait for.
        let over_log = || {
            self.log_is_long.load(Ordering::Relaxed)
                && self.view().keyspaces().any(|(_, keyspace)| !keyspace.frozen.is_empty())
        };
        if !over_memory() && !over_log() && !unmerged() {
            return Ok(());
        }
        if self.is_inline() {
            return self.run_inline_work();
        }
        let give_up = luma_sync::now() + MERGE_WAIT_MAX;
        while over_memory() || over_log() || (unmerged() && luma_sync::now() < give_up) {
            self.check_writable()?;
            let mut work = self.background.work.lock();
            self.background.progress.wait_for(&mut work, LOOK_AGAIN);
        }
        Ok(())
    }
}
