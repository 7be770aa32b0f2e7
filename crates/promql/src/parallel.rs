//! What is done with each series of a selector, on as many threads as it pays.
//!
//! Series are taken from the source in batches, by whoever is free; reading the samples and computing go on side by
//! side. Results are delivered in the order of the source, whatever the threads did, and as soon as all before them are.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::source::{SeriesData, SeriesSet, Unread};

/// Samples of a batch, about: some tens of microseconds of work.
const BATCH_SAMPLES: usize = 8192;
/// Series of a batch, at most.
const BATCH_SERIES_MAX: usize = 256;
/// Batches that are done before other threads are asked, which costs about as much.
const ALONE: usize = 2;
/// Threads of a query, at most.
const THREADS_MAX: usize = 8;

/// Series that nobody has taken yet.
struct Queue<'a> {
    set: SeriesSet<'a>,
    batch_series: usize,
    taken: usize,
    failed: bool,
}

impl<'a> Queue<'a> {
    /// The next batch and its number.
    fn take(&mut self) -> Option<(usize, Vec<Unread<'a>>)> {
        if self.failed {
            return None;
        }
        let batch: Vec<_> = std::iter::from_fn(|| self.set.next_unread()).take(self.batch_series).collect();
        self.taken += 1;
        (!batch.is_empty()).then_some((self.taken, batch))
    }
}

/// Batches that are done, and who gets them.
struct Delivery<T, S> {
    /// The number of the batch that comes next.
    next: usize,
    /// Those that were done before their turn.
    early: BTreeMap<usize, Result<Vec<T>>>,
    sink: S,
    outcome: Result<()>,
}

impl<T, S: FnMut(T) -> Result<()>> Delivery<T, S> {
    /// Takes a batch, and delivers those whose turn it is. Nothing is delivered after a failure.
    fn take(&mut self, number: usize, made: Result<Vec<T>>) -> bool {
        self.early.insert(number, made);
        while let Some(made) = self.early.remove(&self.next) {
            self.next += 1;
            if self.outcome.is_ok() {
                self.outcome = made.and_then(|made| made.into_iter().try_for_each(&mut self.sink));
            }
        }
        self.outcome.is_ok()
    }
}

/// Calls `f` with every series of a set; gives what it makes of them, in their order. Each thread has a context of its own:
/// the caller's is `own`, those of others are made by `fork` and handed to `join` when they are done.
///
/// # Errors
/// The first failure of the source or of `f`, in the order of series as far as they were reached.
pub fn each_series<C: Send, T: Send>(
    set: SeriesSet<'_>,
    own: &C,
    fork: impl Fn() -> C,
    join: impl FnMut(C),
    f: impl Fn(&C, SeriesData) -> Result<Option<T>> + Sync,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    each_series_into(set, own, fork, join, f, |made| {
        all.push(made);
        Ok(())
    })?;
    Ok(all)
}

/// The same, and hands what `f` makes to `sink`, one after another in the order of the series and on any thread. So no more
/// of it is held than threads are ahead of each other.
///
/// # Errors
/// The first failure of the source, of `f` or of `sink`, in the order of series as far as they were reached.
pub(crate) fn each_series_into<C: Send, T: Send>(
    set: SeriesSet<'_>,
    own: &C,
    fork: impl Fn() -> C,
    mut join: impl FnMut(C),
    f: impl Fn(&C, SeriesData) -> Result<Option<T>> + Sync,
    mut sink: impl FnMut(T) -> Result<()> + Send,
) -> Result<()> {
    // How many samples a series has is seen from the first.
    let mut queue = Queue { set, batch_series: 1, taken: 0, failed: false };
    let mut largest = 0;
    let measured = |context: &C, data: SeriesData| {
        let histograms = data.histograms.iter().map(|point| point.h.samples()).sum::<usize>();
        largest = largest.max(data.floats.len() + histograms);
        f(context, data)
    };
    let Some((_, first)) = queue.take() else { return Ok(()) };
    batch(first, own, measured)?.into_iter().try_for_each(&mut sink)?;
    queue.batch_series = (BATCH_SAMPLES / largest.max(1)).clamp(1, BATCH_SERIES_MAX);
    for _ in 0..ALONE {
        let Some((_, next)) = queue.take() else { return Ok(()) };
        batch(next, own, &f)?.into_iter().try_for_each(&mut sink)?;
    }
    let others = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX) - 1;
    let delivery = Delivery { next: queue.taken + 1, early: BTreeMap::new(), sink, outcome: Ok(()) };
    let (queue, delivery) = (Mutex::new(queue), Mutex::new(delivery));
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (0..others)
            .filter_map(|_| {
                let (queue, delivery, f, context) = (&queue, &delivery, &f, fork());
                let help = move || {
                    all_batches(queue, delivery, &context, f);
                    context
                };
                // Without another thread it takes longer.
                std::thread::Builder::new().name("promql".into()).spawn_scoped(scope, help).ok()
            })
            .collect();
        all_batches(&queue, &delivery, own, &f);
        for helper in helpers {
            match helper.join() {
                Ok(context) => join(context),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    delivery.into_inner().unwrap_or_else(PoisonError::into_inner).outcome
}

/// Does batches until there are no more.
fn all_batches<C, T>(
    queue: &Mutex<Queue<'_>>,
    delivery: &Mutex<Delivery<T, impl FnMut(T) -> Result<()>>>,
    context: &C,
    f: impl Fn(&C, SeriesData) -> Result<Option<T>>,
) {
    loop {
        let taken = locked(queue).take();
        let Some((number, next)) = taken else { return };
        let made = batch(next, context, &f);
        let failed = made.is_err();
        if !locked(delivery).take(number, made) || failed {
            locked(queue).failed = true;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn batch<C, T>(
    batch: Vec<Unread<'_>>,
    context: &C,
    mut f: impl FnMut(&C, SeriesData) -> Result<Option<T>>,
) -> Result<Vec<T>> {
    let mut done = Vec::with_capacity(batch.len());
    for unread in batch {
        done.extend(f(context, unread.read().map_err(Error::Source)?)?);
    }
    Ok(done)
}
