//! What is done with each series of a selector, on as many threads as it pays.
//!
//! Series are taken from the source in batches, by whoever is free; reading the samples and computing go on side by
//! side. Results come in the order of the source, whatever the threads did.

use std::sync::Mutex;

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

/// Results by the number of their batch.
type Batches<T> = Vec<(usize, Result<Vec<T>>)>;

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

/// Calls `f` with every series of a set; gives what it makes of them, in their order. Each thread has a context of its own:
/// the caller's is `own`, those of others are made by `fork` and handed to `join` when they are done.
///
/// # Errors
/// The first failure of the source or of `f`, in the order of series as far as they were reached.
pub fn each_series<C: Send, T: Send>(
    set: SeriesSet<'_>,
    own: &C,
    fork: impl Fn() -> C,
    mut join: impl FnMut(C),
    f: impl Fn(&C, SeriesData) -> Result<Option<T>> + Sync,
) -> Result<Vec<T>> {
    // How many samples a series has is seen from the first.
    let mut queue = Queue { set, batch_series: 1, taken: 0, failed: false };
    let mut largest = 0;
    let measured = |context: &C, data: SeriesData| {
        let histograms = data.histograms.iter().map(|point| point.h.samples()).sum::<usize>();
        largest = largest.max(data.floats.len() + histograms);
        f(context, data)
    };
    let Some((_, first)) = queue.take() else { return Ok(Vec::new()) };
    let mut done = batch(first, own, measured)?;
    queue.batch_series = (BATCH_SAMPLES / largest.max(1)).clamp(1, BATCH_SERIES_MAX);
    for _ in 0..ALONE {
        let Some((_, next)) = queue.take() else { return Ok(done) };
        done.append(&mut batch(next, own, &f)?);
    }
    let others = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX) - 1;
    let queue = Mutex::new(queue);
    let mut batches = std::thread::scope(|scope| {
        let helpers: Vec<_> = (0..others)
            .filter_map(|_| {
                let (queue, f, context) = (&queue, &f, fork());
                let help = move || (all_batches(queue, &context, f), context);
                // Without another thread it takes longer.
                std::thread::Builder::new().name("promql".into()).spawn_scoped(scope, help).ok()
            })
            .collect();
        let mut batches = all_batches(&queue, own, &f);
        for helper in helpers {
            match helper.join() {
                Ok((mut others, context)) => {
                    batches.append(&mut others);
                    join(context);
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        batches
    });
    batches.sort_unstable_by_key(|(number, _)| *number);
    for (_, made) in batches {
        done.append(&mut made?);
    }
    Ok(done)
}

/// Does batches until there are no more.
fn all_batches<C, T>(
    queue: &Mutex<Queue<'_>>,
    context: &C,
    f: impl Fn(&C, SeriesData) -> Result<Option<T>>,
) -> Batches<T> {
    let queue = || queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut done = Vec::new();
    loop {
        let taken = queue().take();
        let Some((number, next)) = taken else { return done };
        let made = batch(next, context, &f);
        if made.is_err() {
            queue().failed = true;
        }
        done.push((number, made));
    }
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
