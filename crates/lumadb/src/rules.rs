//! Rules of `prometheus.config_file`: evaluated from the start on, and read again when that is asked for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use luma_door_prometheus::Reload;
use luma_promql::Options;
use luma_rules::{Configuration, Context, Counted, Manager, Notifier, Settings};
use luma_telemetry::Metrics;
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::Failure;
use crate::config::Config;

/// The rules that run; clones share them.
#[derive(Clone)]
pub(crate) struct Rules {
    manager: Arc<Manager>,
    path: PathBuf,
    context: Context,
}

/// Starts the rules, if there is a file of them.
pub(crate) async fn start(
    config: &Config,
    address: SocketAddr,
    store: &Arc<Metrics>,
    counted: Arc<Counted>,
    stop: &CancellationToken,
) -> Result<Option<Rules>, Failure> {
    let path = PathBuf::from(config.text("prometheus", "config_file"));
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let given = config.text("prometheus", "external_url").trim_end_matches('/').to_owned();
    let context = Context {
        options: Options {
            lookback_ms: config.duration("prometheus", "lookback").as_millis() as i64,
            max_samples: config.count("prometheus", "query_max_samples") as usize,
            ..Options::default()
        },
        timeout: config.duration("prometheus", "query_timeout"),
        external_url: if given.is_empty() { format!("http://{address}") } else { given },
        ..Context::new(Arc::clone(store))
    };
    let notifier = Arc::new(Notifier::new(counted));
    let manager = Manager::new(tokio::runtime::Handle::current(), notifier, stop.clone());
    let rules = Rules { manager: Arc::new(manager), path, context };
    rules.load().await.map_err(|what| Failure::new(format!("prometheus.config_file: {what}")))?;
    Ok(Some(rules))
}

impl Rules {
    pub(crate) fn manager(&self) -> Arc<Manager> {
        Arc::clone(&self.manager)
    }

    async fn load(&self) -> Result<(), String> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || Settings::read(&path)).await;
        let settings = read.map_err(|_| "reading it ended by a defect".to_owned())??;
        let configuration = Configuration {
            groups: settings.groups,
            interval: settings.interval,
            query_offset: settings.query_offset,
            context: Context { external_labels: settings.external_labels, ..self.context.clone() },
            alertmanagers: settings.alertmanagers,
            alertmanager_timeout: settings.alertmanager_timeout,
        };
        self.manager.load(configuration).await;
        info!(file = %self.path.display(), "the rules are read");
        Ok(())
    }

    /// Reads the files again; what is wrong with them changes nothing.
    pub(crate) fn reload(&self) -> Reload {
        let rules = self.clone();
        Arc::new(move || {
            let rules = rules.clone();
            Box::pin(async move { rules.load().await })
        })
    }

    /// Reads the files again on each signal, until the shutdown.
    pub(crate) async fn reload_on(&self, mut signal: Signal, stop: CancellationToken) {
        loop {
            tokio::select! {
                _ = signal.recv() => {}
                () = stop.cancelled() => return,
            }
            if let Err(what) = self.load().await {
                error!(what, "the rules could not be read again; those of before go on");
            }
        }
    }
}
