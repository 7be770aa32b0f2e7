//! `/health`, `/health/live`, `/health/ready` and `/metrics`.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use luma_door_postgres::{DURATION_BOUNDS_SECONDS, Metrics, StatementKind};
use luma_query::Database;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What is asked after.
#[derive(Clone)]
pub(crate) struct Status {
    database: Database,
    postgres: Arc<Metrics>,
    prometheus: Option<Prometheus>,
    ready: Arc<AtomicBool>,
}

/// The store of metrics, and what its doors count.
#[derive(Clone)]
pub(crate) struct Prometheus {
    pub store: Arc<luma_telemetry::Metrics>,
    pub counted: Arc<luma_door_prometheus::Metrics>,
    pub otlp: Arc<luma_door_otlp::Metrics>,
    pub alerts: Arc<luma_rules::Counted>,
    pub scraped: Arc<luma_scrape::Counted>,
    pub lines: Arc<luma_door_lines::Metrics>,
}

impl Status {
    pub(crate) fn new(
        database: Database,
        postgres: Arc<Metrics>,
        prometheus: Option<Prometheus>,
        ready: Arc<AtomicBool>,
    ) -> Self {
        Self { database, postgres, prometheus, ready }
    }
}

/// Serves until the shutdown.
pub(crate) async fn serve(
    listener: TcpListener,
    status: Status,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/health", get(health))
        .route("/health/live", get(async || Json(json!({ "status": "alive" }))))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(status);
    axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

async fn health(State(status): State<Status>) -> Response {
    let stats = status.database.engine().stats();
    let (code, word) = match &stats.failure {
        None => (StatusCode::OK, "healthy"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
    };
    let body = json!({ "status": word, "version": env!("CARGO_PKG_VERSION"), "failure": stats.failure });
    (code, Json(body)).into_response()
}

async fn ready(State(status): State<Status>) -> Response {
    let stopped = !status.ready.load(Ordering::Acquire);
    let failure = status.database.engine().stats().failure;
    match (stopped, failure) {
        (false, None) => Json(json!({ "status": "ready" })).into_response(),
        (_, failure) => {
            let body = json!({ "status": "not ready", "failure": failure });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

async fn metrics(State(status): State<Status>) -> Response {
    let text = render(&status);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// Metrics in Prometheus's text form.
pub(crate) fn render(status: &Status) -> String {
    let mut text = String::new();
    let door = &status.postgres;
    let counters = status.database.counters();
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let stats = status.database.engine().stats();
    let stored = stats.keyspaces.iter().map(|keyspace| keyspace.disk_bytes).sum::<u64>() + stats.wal_bytes;
    for figure in [
        ("lumadb_active_connections", "gauge", "Clients connected now.", load(&door.active_connections)),
        ("lumadb_connections_total", "counter", "Clients that connected.", load(&door.connections)),
        (
            "lumadb_connections_rejected_total",
            "counter",
            "Clients turned away because there were too many.",
            load(&door.rejected_connections),
        ),
        (
            "lumadb_authentication_failures_total",
            "counter",
            "Clients whose password was wrong.",
            load(&door.authentication_failures),
        ),
        ("lumadb_errors_total", "counter", "Statements that failed.", load(&door.errors)),
        ("lumadb_statements_total", "counter", "Statements executed.", load(&counters.statements)),
        (
            "lumadb_fast_statements_total",
            "counter",
            "Statements answered without planning.",
            load(&counters.fast_statements),
        ),
        ("lumadb_commits_total", "counter", "Transactions committed.", load(&counters.commits)),
        ("lumadb_rollbacks_total", "counter", "Transactions rolled back.", load(&counters.rollbacks)),
        (
            "lumadb_cache_bytes",
            "gauge",
            "Memory of stored blocks that were read.",
            stats.cache.used_bytes as u64,
        ),
        ("lumadb_cache_hits_total", "counter", "Stored blocks found in the cache.", stats.cache.hits),
        ("lumadb_cache_misses_total", "counter", "Stored blocks read from disk.", stats.cache.misses),
        ("lumadb_memtable_bytes", "gauge", "Memory of the newest rows.", stats.memtable_bytes),
        ("lumadb_history_bytes", "gauge", "Memory of old rows kept for long readers.", stats.history_bytes),
        ("lumadb_open_files", "gauge", "Table files that are open.", stats.open_files as u64),
        ("lumadb_wal_bytes", "gauge", "Bytes of log kept.", stats.wal_bytes),
        ("lumadb_written_bytes_total", "counter", "Bytes written to files.", stats.written.total_bytes),
        ("lumadb_log_bytes_total", "counter", "Bytes of commits put into the log.", stats.written.log_bytes),
        ("lumadb_syncs_total", "counter", "Syncs of files and directories.", stats.written.syncs),
        ("lumadb_flushes_total", "counter", "Memtables written out.", stats.flushes),
        ("lumadb_compactions_total", "counter", "Merges of stored files.", stats.compactions),
    ] {
        put_figure(&mut text, figure);
    }
    let _ = writeln!(text, "# HELP lumadb_storage_bytes Bytes on disk.\n# TYPE lumadb_storage_bytes gauge");
    let _ = writeln!(text, "lumadb_storage_bytes{{tier=\"hot\"}} {stored}");
    if let Some(resident) = resident_bytes() {
        let _ = writeln!(
            text,
            "# HELP process_resident_memory_bytes Resident memory.\n\
             # TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes {resident}"
        );
    }
    durations(&mut text, door);
    if let Some(Prometheus { store, counted, otlp, alerts, scraped, lines }) = &status.prometheus {
        let series = ("lumadb_metrics_series", "gauge", "Series of metrics.", store.series_len() as u64);
        let figures = counted.all().into_iter().chain(otlp.all()).chain(alerts.all()).chain(scraped.all());
        let figures = figures.chain(lines.all()).chain([series]);
        figures.for_each(|figure| put_figure(&mut text, figure));
    }
    text
}

/// A figure without labels: its name, type, help and value.
fn put_figure(text: &mut String, (name, kind, help, value): (&str, &str, &str, u64)) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
}

fn durations(text: &mut String, metrics: &Metrics) {
    let name = "lumadb_query_duration_seconds";
    let _ = writeln!(text, "# HELP {name} How long statements took.\n# TYPE {name} histogram");
    for kind in StatementKind::ALL {
        let histogram = metrics.durations(kind);
        let label = kind.name();
        let mut total = 0;
        let bounds = DURATION_BOUNDS_SECONDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (count, bound) in histogram.counts().into_iter().zip(bounds) {
            total += count;
            let _ = writeln!(text, "{name}_bucket{{type=\"{label}\",le=\"{bound}\"}} {total}");
        }
        let _ = writeln!(text, "{name}_sum{{type=\"{label}\"}} {}", histogram.sum_seconds());
        let _ = writeln!(text, "{name}_count{{type=\"{label}\"}} {total}");
    }
}

/// Memory of this process, where the system tells.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}
