//! What the door counts, in plain atomics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the door counts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Clients connected now.
    pub active_connections: Arc<AtomicU64>,
    /// Queries answered, instant and range.
    pub queries: AtomicU64,
    /// Queries that failed.
    pub failed_queries: AtomicU64,
    /// Queries whose client went away before the answer.
    pub abandoned_queries: AtomicU64,
    /// Range queries answered wholly or partly by what was answered before.
    pub cached_queries: AtomicU64,
    /// Bytes of the answers that are kept.
    pub query_cache_bytes: AtomicU64,
    /// Requests to write.
    pub writes: AtomicU64,
    /// Requests to write that could not be read or stored.
    pub failed_writes: AtomicU64,
    /// Samples stored.
    pub samples: AtomicU64,
    /// Samples refused, whatever the reason.
    pub refused_samples: AtomicU64,
    /// Clients whose password was wrong.
    pub authentication_failures: AtomicU64,
}

impl Metrics {
    /// Name, type, explanation and value of each.
    pub fn all(&self) -> [(&'static str, &'static str, &'static str, u64); 11] {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            (
                "lumadb_prometheus_active_connections",
                "gauge",
                "Clients of the Prometheus door connected now.",
                load(&self.active_connections),
            ),
            ("lumadb_prometheus_queries_total", "counter", "PromQL queries.", load(&self.queries)),
            (
                "lumadb_prometheus_failed_queries_total",
                "counter",
                "PromQL queries that failed.",
                load(&self.failed_queries),
            ),
            (
                "lumadb_prometheus_abandoned_queries_total",
                "counter",
                "PromQL queries whose client went away.",
                load(&self.abandoned_queries),
            ),
            (
                "lumadb_prometheus_cached_queries_total",
                "counter",
                "Range queries answered wholly or partly by answers before.",
                load(&self.cached_queries),
            ),
            (
                "lumadb_prometheus_query_cache_bytes",
                "gauge",
                "Bytes of answers to range queries that are kept.",
                load(&self.query_cache_bytes),
            ),
            ("lumadb_remote_writes_total", "counter", "Requests to write samples.", load(&self.writes)),
            (
                "lumadb_remote_failed_writes_total",
                "counter",
                "Requests to write samples that could not be read or stored.",
                load(&self.failed_writes),
            ),
            ("lumadb_remote_samples_total", "counter", "Samples stored.", load(&self.samples)),
            (
                "lumadb_remote_refused_samples_total",
                "counter",
                "Samples refused.",
                load(&self.refused_samples),
            ),
            (
                "lumadb_prometheus_authentication_failures_total",
                "counter",
                "Clients of the Prometheus door whose password was wrong.",
                load(&self.authentication_failures),
            ),
        ]
    }

    pub(crate) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
}
