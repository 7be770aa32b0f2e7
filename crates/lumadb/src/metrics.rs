//! The store of metrics and the door of Prometheus' interface to it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use luma_door_prometheus::{DoorOptions, Gate};
use luma_query::{Database, password};
use luma_telemetry::{Maintenance, MaintenanceOptions, Metrics, MetricsOptions};
use luma_vfs::RealDisk;

use crate::Failure;
use crate::config::{Config, show};

/// Where in the database's directory metrics are.
const DIRECTORY: &str = "metrics";

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
    let gate: Option<Arc<dyn Gate>> =
        if config.flag("security", "require_auth") { Some(Arc::new(Roles(database.clone()))) } else { None };
    let count = |name| config.count("prometheus", name) as usize;
    let duration = |name| config.duration("prometheus", name);
    DoorOptions {
        gate,
        max_connections: count("max_connections"),
        query_timeout: duration("query_timeout"),
        query_concurrency: count("query_concurrency"),
        query_max_samples: count("query_max_samples"),
        lookback: duration("lookback"),
        request_bytes_max: count("max_request_size"),
        future_max: duration("max_future"),
        admin: config.flag("prometheus", "admin_api"),
        metrics: counted,
        exposition: None,
        configuration: show(config),
        flags: config.settings().map(|setting| (setting.key.path(), setting.text.clone())).collect(),
        ready,
    }
}

/// Lets roles in that may log in.
struct Roles(Database);

impl Gate for Roles {
    fn admits(&self, user: &str, given: &str) -> bool {
        let Some(role) = self.0.role(user).filter(|role| role.can_login) else { return false };
        role.password.as_ref().is_some_and(|verifier| password::is_password(verifier, given))
    }
}
