//! What scraping counts, in plain atomics.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Debug, Default)]
pub struct Counted {
    /// Times that targets were asked.
    pub scrapes: AtomicU64,
    /// Times that they gave no answer that could be stored.
    pub failed: AtomicU64,
    /// Samples stored, without those about scraping itself.
    pub samples: AtomicU64,
    /// Samples that were not stored, of answers that were.
    pub refused: AtomicU64,
}

impl Counted {
    /// Name, type, explanation and value of each.
    pub fn all(&self) -> [(&'static str, &'static str, &'static str, u64); 4] {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("lumadb_scrapes_total", "counter", "Times that targets were asked.", load(&self.scrapes)),
            (
                "lumadb_scrapes_failed_total",
                "counter",
                "Times that targets gave no answer that could be stored.",
                load(&self.failed),
            ),
            ("lumadb_scrape_samples_total", "counter", "Samples of targets stored.", load(&self.samples)),
            (
                "lumadb_scrape_refused_samples_total",
                "counter",
                "Samples of targets that were not stored.",
                load(&self.refused),
            ),
        ]
    }

    pub(crate) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
}
