//! The store of metrics and what its doors are told by the configuration.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use luma_door_prometheus::DoorOptions;
use luma_intake::{Otlp, OtlpOptions};
use luma_query::{Database, password};
use luma_telemetry::{Maintenance, MaintenanceOptions, Metrics, MetricsOptions};
use luma_vfs::RealDisk;
use luma_web::Gate;
use tokio_util::sync::CancellationToken;

use crate::Failure;
use crate::config::{Config, show};

/// Where in the database's directory metrics are.
const DIRECTORY: &str = "metrics";
/// Where copies of that go.
const SNAPSHOTS: &str = "snapshots";

/// The label `job` of the server's own metrics.
const OWN_JOB: &str = "lumadb";

/// However often samples are to be written to files, the thread that does it rests for so long.
const TURN_MIN: Duration = Duration::from_millis(10);

/// Whether a database has a store of metrics.
pub(crate) fn exist(directory: &Path) -> bool {
    directory.join(DIRECTORY).is_dir()
}

/// Opens the store; it is made if it does not exist.
pub(crate) fn open(config: &Config, directory: &Path) -> Result<Metrics, Failure> {
    let options = MetricsOptions {
        series_max: config.count("prometheus", "max_series") as usize,
        out_of_order_window_ms: config.duration("prometheus", "out_of_order_window").as_millis() as i64,
        ..MetricsOptions::default()
    };
    let directory = directory.join(DIRECTORY);
    Metrics::open(Arc::new(RealDisk), &directory, options)
        .map_err(|error| Failure::new(format!("cannot open the metrics in {}: {error}", directory.display())))
}

/// Starts the thread that writes samples to files, merges those and removes what is past keeping.
pub(crate) fn maintain(config: &Config, metrics: &Arc<Metrics>) -> Result<Maintenance, Failure> {
    let retention = config.duration("prometheus", "retention");
    let bytes_max = config.count("prometheus", "retention_size");
    let flush_interval = config.duration("prometheus", "flush_interval");
    let options = MaintenanceOptions {
        flush_interval,
        turn: flush_interval.clamp(TURN_MIN, MaintenanceOptions::default().turn),
        hot: config.duration("prometheus", "hot"),
        retention: Some(retention).filter(|retention| !retention.is_zero()),
        bytes_max: Some(bytes_max).filter(|bytes| *bytes > 0),
        ..MaintenanceOptions::default()
    };
    Maintenance::start(Arc::clone(metrics), options)
        .map_err(|error| Failure::new(format!("cannot start the thread that keeps metrics small: {error}")))
}

/// What the door is told by the configuration.
pub(crate) fn door_options(
    config: &Config,
    database: &Database,
    ready: Arc<AtomicBool>,
    counted: Arc<luma_door_prometheus::Metrics>,
) -> DoorOptions {
    let count = |name| config.count("prometheus", name) as usize;
    let duration = |name| config.duration("prometheus", name);
    DoorOptions {
        gate: gate(config, database),
        max_connections: count("max_connections"),
        query_timeout: duration("query_timeout"),
        query_concurrency: count("query_concurrency"),
        query_max_samples: count("query_max_samples"),
        query_cache_bytes: count("query_cache_size"),
        lookback: duration("lookback"),
        request_bytes_max: count("max_request_size"),
        future_max: duration("max_future"),
        admin: config.flag("prometheus", "admin_api"),
        snapshots: Some(config.data_dir().join(SNAPSHOTS)),
        metrics: counted,
        exposition: None,
        rules: None,
        scraper: None,
        reload: None,
        routes: axum::Router::new(),
        configuration: show(config),
        flags: config.settings().map(|setting| (setting.key.path(), setting.text.clone())).collect(),
        ready,
    }
}

/// The door of OpenTelemetry's metrics. How long requests are and how far ahead samples may be is said for all
/// metrics in one place.
pub(crate) fn otlp_door(
    config: &Config,
    database: &Database,
    store: Arc<Metrics>,
    counted: Arc<luma_door_otlp::Metrics>,
) -> luma_door_otlp::Door {
    let promoted = config.text("otlp", "promote_resource_attributes");
    let otlp = OtlpOptions {
        scope_labels: config.flag("otlp", "scope_labels"),
        promoted: promoted
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
    };
    let options = luma_door_otlp::DoorOptions {
        gate: gate(config, database),
        max_connections: config.count("otlp", "max_connections") as usize,
        request_bytes_max: config.count("prometheus", "max_request_size") as usize,
        future_max: config.duration("prometheus", "max_future"),
        metrics: counted,
    };
    luma_door_otlp::Door::new(store, Otlp::new(otlp), options)
}

/// The server's own metrics in Prometheus' text form.
pub(crate) type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// What asks targets, which the configuration file names; it stores the server's own metrics if that is wanted.
pub(crate) fn scraper(
    config: &Config,
    store: &Arc<Metrics>,
    counted: Arc<luma_scrape::Counted>,
    (address, render): (SocketAddr, Render),
    stop: &CancellationToken,
) -> Result<Arc<luma_scrape::Manager>, Failure> {
    let runtime = tokio::runtime::Handle::current();
    let future = config.duration("prometheus", "max_future");
    let manager = luma_scrape::Manager::new(runtime, Arc::clone(store), future, counted, stop.clone());
    let interval = config.duration("prometheus", "own_metrics_interval");
    if !interval.is_zero() {
        let own =
            luma_scrape::Own { job: OWN_JOB.to_owned(), instance: address.to_string(), interval, render };
        manager.store_own(own).map_err(Failure::new)?;
    }
    Ok(Arc::new(manager))
}

/// The door of protocols of lines; `section` says how many clients its port has.
pub(crate) fn lines_door(
    config: &Config,
    section: &str,
    store: &Arc<Metrics>,
    counted: &Arc<luma_door_lines::Metrics>,
) -> luma_door_lines::Door {
    let options = luma_door_lines::DoorOptions {
        max_connections: config.count(section, "max_connections") as usize,
        request_bytes_max: config.count("prometheus", "max_request_size") as usize,
        future_max: config.duration("prometheus", "max_future"),
        metrics: Arc::clone(counted),
        ..luma_door_lines::DoorOptions::default()
    };
    luma_door_lines::Door::new(Arc::clone(store), options)
}

fn gate(config: &Config, database: &Database) -> Option<Arc<dyn Gate>> {
    if config.flag("security", "require_auth") { Some(Arc::new(Roles(database.clone()))) } else { None }
}

/// Lets roles in that may log in.
struct Roles(Database);

impl Gate for Roles {
    fn admits(&self, user: &str, given: &str) -> bool {
        let Some(role) = self.0.role(user).filter(|role| role.can_login) else { return false };
        role.password.as_ref().is_some_and(|verifier| password::is_password(verifier, given))
    }
}
