//! A source that notes what is read through it.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use crate::error::SourceError;
use crate::source::{Select, SeriesSet, Source};

/// Reads another source, and notes up to which time, and whether there were native histograms.
pub struct Watched<'a> {
    source: &'a dyn Source,
    until: AtomicI64,
    histograms: AtomicBool,
}

impl<'a> Watched<'a> {
    /// Watches a source.
    pub fn new(source: &'a dyn Source) -> Self {
        Self { source, until: AtomicI64::new(i64::MIN), histograms: AtomicBool::new(false) }
    }

    /// The latest time that was asked for, in milliseconds; the lowest there is if nothing was.
    pub fn until(&self) -> i64 {
        self.until.load(Ordering::Relaxed)
    }

    /// Whether there were histograms among the samples.
    pub fn saw_histograms(&self) -> bool {
        self.histograms.load(Ordering::Relaxed)
    }
}

impl Source for Watched<'_> {
    fn select(&self, request: &Select<'_>) -> Result<SeriesSet<'_>, SourceError> {
        self.until.fetch_max(request.end, Ordering::Relaxed);
        let set = self.source.select(request)?;
        Ok(set.inspected(|data| {
            if !data.histograms.is_empty() {
                self.histograms.store(true, Ordering::Relaxed);
            }
        }))
    }
}
