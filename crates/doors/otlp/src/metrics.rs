//! What the door counts, in plain atomics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the door counts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Clients connected now.
    pub active_connections: Arc<AtomicU64>,
    /// Requests whose body was read.
    pub requests: AtomicU64,
    /// Requests that could not be read or stored.
    pub failed_requests: AtomicU64,
    /// Samples stored.
    pub samples: AtomicU64,
    /// Samples refused, whatever the reason.
    pub refused_samples: AtomicU64,
    /// Clients whose password was wrong.
    pub authentication_failures: AtomicU64,
}

impl Metrics {
    /// Name, type, explanation and value of each.
    pub fn all(&self) -> [(&'static str, &'static str, &'static str, u64); 6] {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            (
                "lumadb_otlp_active_connections",
                "gauge",
                "Clients of the OpenTelemetry door connected now.",
                load(&self.active_connections),
            ),
            (
                "lumadb_otlp_requests_total",
                "counter",
                "Requests with OpenTelemetry's metrics.",
                load(&self.requests),
            ),
            (
                "lumadb_otlp_failed_requests_total",
                "counter",
                "Requests with OpenTelemetry's metrics that could not be read or stored.",
                load(&self.failed_requests),
            ),
            (
                "lumadb_otlp_samples_total",
                "counter",
                "Samples stored of OpenTelemetry's metrics.",
                load(&self.samples),
            ),
            (
                "lumadb_otlp_refused_samples_total",
                "counter",
                "Samples refused of OpenTelemetry's metrics.",
                load(&self.refused_samples),
            ),
            (
                "lumadb_otlp_authentication_failures_total",
                "counter",
                "Clients of the OpenTelemetry door whose password was wrong.",
                load(&self.authentication_failures),
            ),
        ]
    }

    pub(crate) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
}
