//! Rules and targets of `prometheus.config_file`: evaluated and asked from the start on, and read again when that is
//! asked for.

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

/// The rules and targets there are; clones share them.
#[derive(Clone)]
pub(crate) struct Configured {
    rules: Arc<Manager>,
    scraper: Arc<luma_scrape::Manager>,
    path: PathBuf,
    context: Context,
}

/// Starts what the file says, if there is one.
pub(crate) async fn start(
    config: &Config,
    address: SocketAddr,
    store: &Arc<Metrics>,
    counted: Arc<Counted>,
    scraper: Arc<luma_scrape::Manager>,
    stop: &CancellationToken,
) -> Result<Option<Configured>, Failure> {
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
    let configured = Configured { rules: Arc::new(manager), scraper, path, context };
    configured.load().await.map_err(|what| Failure::new(format!("prometheus.config_file: {what}")))?;
    Ok(Some(configured))
}

impl Configured {
    pub(crate) fn rules(&self) -> Arc<Manager> {
        Arc::clone(&self.rules)
    }

    async fn load(&self) -> Result<(), String> {
        let path = self.path.clone();
        let both = move || Ok::<_, String>((Settings::read(&path)?, luma_scrape::Settings::read(&path)?));
        let read = tokio::task::spawn_blocking(both).await;
        let (settings, targets) = read.map_err(|_| "reading it ended by a defect".to_owned())??;
        let configuration = Configuration {
            groups: settings.groups,
            interval: settings.interval,
            query_offset: settings.query_offset,
            context: Context { external_labels: settings.external_labels, ..self.context.clone() },
            alertmanagers: settings.alertmanagers,
        };
        self.rules.load(configuration).await;
        self.scraper.load(targets).await;
        info!(file = %self.path.display(), "the rules and targets are read");
        Ok(())
    }

    /// Reads the files again; what is wrong with them changes nothing.
    pub(crate) fn reload(&self) -> Reload {
        let configured = self.clone();
        Arc::new(move || {
            let configured = configured.clone();
            Box::pin(async move { configured.load().await })
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
                error!(what, "the rules and targets could not be read again; those of before go on");
            }
        }
    }
}
