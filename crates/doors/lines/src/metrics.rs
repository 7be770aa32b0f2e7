//! What the door counts, in plain atomics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the door counts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Clients of TCP connected now.
    pub active_connections: Arc<AtomicU64>,
    /// Requests and parts of streams that were read.
    pub requests: AtomicU64,
    /// Samples stored.
    pub samples: AtomicU64,
    /// Lines that were none, and samples refused, whatever the reason.
    pub refused: AtomicU64,
    /// Requests of which nothing was stored.
    pub failed: AtomicU64,
}

impl Metrics {
    /// Name, type, explanation and value of each.
    pub fn all(&self) -> [(&'static str, &'static str, &'static str, u64); 5] {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            (
                "lumadb_lines_active_connections",
                "gauge",
                "Clients that send lines connected now.",
                load(&self.active_connections),
            ),
            (
                "lumadb_lines_requests_total",
                "counter",
                "Requests and parts of streams of lines.",
                load(&self.requests),
            ),
            ("lumadb_lines_samples_total", "counter", "Samples of lines stored.", load(&self.samples)),
            (
                "lumadb_lines_refused_total",
                "counter",
                "Lines and their samples that were refused.",
                load(&self.refused),
            ),
            (
                "lumadb_lines_failed_requests_total",
                "counter",
                "Requests of lines of which nothing could be stored.",
                load(&self.failed),
            ),
        ]
    }

    pub(crate) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
}
