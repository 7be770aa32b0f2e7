//! Figures for Prometheus.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Shared;
use crate::engine::EngineStats;

/// A number that grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted while the service runs.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    pub(super) requests: Counter,
    pub(super) serve_micros: Counter,
    pub(super) blocks_made: Counter,
    pub(super) added: Counter,
    pub(super) updated: Counter,
    pub(super) unchanged: Counter,
    pub(super) removed: Counter,
    pub(super) rejected: Counter,
    pub(super) compactions: Counter,
}

impl Metrics {
    pub(super) fn render(&self, stats: &EngineStats, shared: &Shared) -> String {
        let mut out = String::with_capacity(2048);
        let mut put = |name: &str, kind: &str, help: &str, value: String| {
            // Writing to a text does not fail.
            let _ = write!(
                out,
                "# HELP luminosity_{name} {help}\n# TYPE luminosity_{name} {kind}\nluminosity_{name} {value}\n"
            );
        };
        for (name, help, counter) in [
            ("requests_total", "Requests for sitemaps and robots.txt.", &self.requests),
            (
                "blocks_made_total",
                "Blocks of 512 entries that were rendered and compressed.",
                &self.blocks_made,
            ),
            ("urls_added_total", "URLs that were new.", &self.added),
            ("urls_updated_total", "URLs of which something changed.", &self.updated),
            ("urls_unchanged_total", "URLs that were told again as they were.", &self.unchanged),
            ("urls_removed_total", "URLs that were removed.", &self.removed),
            ("urls_rejected_total", "URLs that were not taken.", &self.rejected),
            ("compactions_total", "Merges of all tables.", &self.compactions),
        ] {
            put(name, "counter", help, counter.get().to_string());
        }
        let seconds = self.serve_micros.get() as f64 / 1e6;
        put("serve_seconds_total", "counter", "Time spent until answers began.", seconds.to_string());
        put(
            "commits_total",
            "counter",
            "Durable commits of single changes.",
            shared.inbox.commits().to_string(),
        );
        for (name, help, value) in [
            ("urls", "URLs that are kept.", stats.urls),
            ("urls_listed", "URLs that appear in the sitemap.", stats.listed),
            ("fragments", "Files of the sitemap.", stats.fragments),
            ("xml_bytes", "Bytes of all fragments, uncompressed.", stats.xml_bytes),
            ("disk_bytes", "Bytes of tables on disk.", stats.disk_bytes),
            ("log_bytes", "Bytes of log on disk.", stats.log_bytes),
            ("cached_bytes", "Bytes of compressed fragments in memory.", stats.cached_bytes),
            ("uptime_seconds", "Seconds since the start.", shared.started.elapsed().as_secs()),
        ] {
            put(name, "gauge", help, value.to_string());
        }
        out
    }
}
