//! What is done with each series of a selector, on as many threads as it pays.
//!
//! Series are taken from the source in batches, by whoever is free; reading the samples and computing go on side by
//! side. Results come in the order of the source, whatever the threads did.

use std::sync::Mutex;

use crate::ast::VectorSelector;
use crate::error::{Error, Result};
use crate::source::{Select, SeriesData, SeriesSet, Unread};
use crate::value::{Series, Statistics};

use super::Context;

/// Samples of a batch, about: some tens of microseconds of work.
const BATCH_SAMPLES: usize = 8192;
/// Series of a batch, at most.
const BATCH_SERIES_MAX: usize = 256;
/// Batches that are done before other threads are asked, which costs about as much.
const ALONE: usize = 2;
/// Threads of a query, at most.
const THREADS_MAX: usize = 8;

/// Results by the number of their batch.
type Batches = Vec<(usize, Result<Vec<Series>>)>;

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

impl Context<'_> {
    /// Calls `f` with every series that matches; gives what it makes of them.
    pub(super) fn each_series(
        &self,
        selector: &VectorSelector,
        (start, end): (i64, i64),
        f: impl Fn(&Context<'_>, SeriesData) -> Result<Option<Series>> + Sync,
    ) -> Result<Vec<Series>> {
        let request = Select { matchers: &selector.matchers, start, end };
        let set = self.source.select(&request).map_err(Error::Source)?;
        // How many samples a series has is seen from the first.
        let mut queue = Queue { set, batch_series: 1, taken: 0, failed: false };
        let mut done = Vec::new();
        let mut largest = 0;
        let measured = |context: &Context<'_>, data: SeriesData| {
            let histograms = data.histograms.iter().map(|point| point.h.samples()).sum::<usize>();
            largest = largest.max(data.floats.len() + histograms);
            f(context, data)
        };
        let Some((_, first)) = queue.take() else { return Ok(done) };
        done.append(&mut self.batch(first, measured)?);
        queue.batch_series = (BATCH_SAMPLES / largest.max(1)).clamp(1, BATCH_SERIES_MAX);
        for _ in 0..ALONE {
            let Some((_, batch)) = queue.take() else { return Ok(done) };
            done.append(&mut self.batch(batch, &f)?);
        }
        let others = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX) - 1;
        let queue = Mutex::new(queue);
        let mut batches = std::thread::scope(|scope| {
            let helpers: Vec<_> = (0..others)
                .filter_map(|_| {
                    let (queue, f) = (&queue, &f);
                    let context = self.fork();
                    let help = move || {
                        let batches = context.batches(queue, f);
                        (
                            batches,
                            context.counted.get(),
                            context.of_steps.into_inner(),
                            context.notes.into_inner(),
                        )
                    };
                    // Without another thread it takes longer.
                    std::thread::Builder::new().name("promql".into()).spawn_scoped(scope, help).ok()
                })
                .collect();
            let mut batches = self.batches(&queue, &f);
            for helper in helpers {
                let (mut others, counted, of_steps, notes) = match helper.join() {
                    Ok(helped) => helped,
                    Err(panic) => std::panic::resume_unwind(panic),
                };
                batches.append(&mut others);
                self.note(|own| own.merge(notes));
                of_steps.into_iter().enumerate().for_each(|(step, samples)| self.used_at(step, samples));
                let own = self.counted.get();
                self.counted.set(Statistics {
                    peak_samples: own.peak_samples.max(counted.peak_samples),
                    read_samples: own.read_samples.saturating_add(counted.read_samples),
                });
            }
            batches
        });
        batches.sort_unstable_by_key(|(number, _)| *number);
        for (_, series) in batches {
            done.append(&mut series?);
        }
        Ok(done)
    }

    /// A context of the same query for another thread.
    fn fork(&self) -> Self {
        let forked = Self::new(self.source, self.options, self.query, self.step, self.is_range);
        forked.statistics.set(self.statistics.get());
        forked.subqueries.set(self.subqueries.get());
        Self { samples: self.samples.clone(), ..forked }
    }

    /// Does batches until there are no more.
    fn batches(
        &self,
        queue: &Mutex<Queue<'_>>,
        f: impl Fn(&Context<'_>, SeriesData) -> Result<Option<Series>>,
    ) -> Batches {
        let queue = || queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut done = Vec::new();
        loop {
            let taken = queue().take();
            let Some((number, batch)) = taken else { return done };
            let series = self.batch(batch, &f);
            if series.is_err() {
                queue().failed = true;
            }
            done.push((number, series));
        }
    }

    fn batch(
        &self,
        batch: Vec<Unread<'_>>,
        mut f: impl FnMut(&Context<'_>, SeriesData) -> Result<Option<Series>>,
    ) -> Result<Vec<Series>> {
        let mut done = Vec::with_capacity(batch.len());
        for unread in batch {
            self.check()?;
            let data = unread.read().map_err(Error::Source)?;
            let data = if self.only_statistics() { data.into_statistics() } else { data };
            done.extend(f(self, data)?);
        }
        Ok(done)
    }
}
