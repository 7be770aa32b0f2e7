//! Background work: flushes before merges, on threads or, without any, inside the calls that cause it.
//!
//! Invariants: a keyspace is queued once per kind of work, and one thread flushes it at a time. If there are two
//! threads, merges never take all, so flushes, which writers wait for, get one; nor do flushes while a merge
//! waits, or writers would wait for that. A failure stops writes for good.

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

/// Waiting writers look again at least this often.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Flush(u64),
    Compact(u64),
}

#[derive(Default)]
struct Work {
    flushes: VecDeque<u64>,
    merges: VecDeque<u64>,
    flushing: Vec<u64>,
    merging: Vec<u64>,
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
    /// The most urgent thing to do, given how many threads may merge while others flush, and the reverse.
    fn next(work: &mut Work, each_max: usize) -> Option<Task> {
        let may_flush = work.flushing.len() < each_max || work.merges.is_empty();
        let free = |busy: &[u64], queue: &VecDeque<u64>| queue.iter().position(|id| !busy.contains(id));
        if let Some(at) = free(&work.flushing, &work.flushes).filter(|_| may_flush)
            && let Some(keyspace) = work.flushes.remove(at)
        {
            work.flushing.push(keyspace);
            return Some(Task::Flush(keyspace));
        }
        if work.merging.len() < each_max
            && let Some(at) = free(&work.merging, &work.merges)
            && let Some(keyspace) = work.merges.remove(at)
        {
            work.merging.push(keyspace);
            return Some(Task::Compact(keyspace));
        }
        None
    }

    /// Takes the places of merges that nobody else asks for, for a merge that can be done in parts; says how many.
    pub(super) fn take_free(&self, keyspace: u64, each_max: usize) -> usize {
        let mut work = self.work.lock();
        let taken = each_max.saturating_sub(work.merging.len().max(1) + work.merges.len());
        work.merging.extend(std::iter::repeat_n(keyspace, taken));
        taken
    }

    /// Gives back places that were taken.
    pub(super) fn give_back(&self, keyspace: u64, taken: usize) {
        let mut work = self.work.lock();
        for _ in 0..taken {
            if let Some(at) = work.merging.iter().rposition(|other| *other == keyspace) {
                work.merging.remove(at);
            }
        }
        self.wake.notify_all();
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

    /// How many threads may merge at once, or flush while something waits to be merged.
    pub(super) fn merges_max(&self) -> usize {
        self.options.background_threads.saturating_sub(1).max(1)
    }

    /// A background thread; one of them drains memtables that rest.
    fn work(&self, drains: bool) {
        let each_max = self.merges_max();
        let (mut rested, mut looked) = (Rested::default(), luma_sync::now());
        loop {
            let task = {
                let mut work = self.background.work.lock();
                loop {
                    if work.stopping {
                        return;
                    }
                    if let Some(task) = Background::next(&mut work, each_max) {
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
        {
            let mut work = self.background.work.lock();
            match task {
                Task::Flush(id) => work.flushing.retain(|other| *other != id),
                Task::Compact(id) => work.merging.retain(|other| *other != id),
            }
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

    /// Makes a writer wait for its share while too much waits to be flushed or merged, and for flushes while
    /// memtables or the log are twice what they may be. Flushes always end or fail, and the shares are never
    /// nothing, so waits end.
    pub(super) fn throttle(&self, keyspaces: &[Arc<KeyspaceInner>], bytes: usize) -> Result<()> {
        let memory_max = self.options.write_buffer_bytes.saturating_mul(2);
        let over_memory = || self.memory.load(Ordering::Relaxed) > memory_max;
        // Only flushes make the log shorter, so without one there is nothing to wait for.
        let over_log = || {
            self.log_is_long.load(Ordering::Relaxed)
                && self.view().keyspaces().any(|(_, keyspace)| !keyspace.frozen.is_empty())
        };
        let indebted = || {
            self.pressure.is_on()
                && keyspaces.iter().any(|keyspace| keyspace.indebted.load(Ordering::Relaxed))
        };
        if !over_memory() && !over_log() && !indebted() {
            return Ok(());
        }
        if self.is_inline() {
            return self.run_inline_work();
        }
        let began = luma_sync::now();
        let place = indebted().then(|| self.pressure.ask(bytes));
        let mut waited = false;
        loop {
            let share = place.and_then(|place| self.pressure.wait(place));
            let wait = if over_memory() || over_log() { Some(LOOK_AGAIN) } else { share };
            let Some(wait) = wait else { break };
            waited = true;
            self.check_writable()?;
            let mut work = self.background.work.lock();
            self.background.progress.wait_for(&mut work, wait.min(LOOK_AGAIN));
        }
        if waited {
            self.pressure.count_wait(began);
        }
        Ok(())
    }
}
