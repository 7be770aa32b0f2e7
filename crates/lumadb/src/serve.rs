//! `lumadb serve`: opens the database and its doors, tells where they are, and stops in order.
//!
//! Standard output carries one line per door (`postgres 127.0.0.1:5432`), before them on the first
//! start the administrator's password, and last `ready`. The log goes to standard error.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use luma_door_lines::Protocol;
use luma_door_postgres::{Door, DoorOptions, Metrics, Tls};
use luma_query::{ADMINISTRATOR, Database};
use tokio::net::{TcpListener, UdpSocket};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::{Failure, configured, database, http, metrics};

/// Runs the server until it is told to stop.
pub(crate) fn run(config: &Config) -> Result<(), Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    match config.count("server", "worker_threads") {
        0 => {}
        threads => drop(builder.worker_threads(threads as usize)),
    }
    builder.enable_all().thread_name("luma-serve").thread_stack_size(luma_query::STACK_BYTES);
    let runtime = builder.build()?;
    let directory = config.data_dir();
    let database = database::open(config, &directory)?;
    let password = database::ensure_administrator(&database, config.flag("security", "require_auth"))?;
    if let Some(password) = password {
        say(&format!("password for {ADMINISTRATOR}: {password}"))?;
    }
    info!(directory = %directory.display(), version = env!("CARGO_PKG_VERSION"), "the database is open");
    let enabled =
        ["prometheus", "otlp", "graphite", "opentsdb"].into_iter().any(|door| config.flag(door, "enabled"));
    let metrics = enabled.then(|| metrics::open(config, &directory)).transpose()?.map(Arc::new);
    if let Some(store) = &metrics {
        database.read_metrics(Arc::clone(store));
    }
    let maintenance = metrics.as_ref().map(|store| metrics::maintain(config, store)).transpose()?;
    let served = runtime.block_on(serve(config, &database, metrics));
    drop(maintenance);
    // Whatever a door left running must let go of the database before it is closed.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    let engine = database.engine().clone();
    drop(database);
    let closed = engine.close();
    served?;
    closed?;
    info!("the database is closed");
    Ok(())
}

async fn serve(
    config: &Config,
    database: &Database,
    store: Option<Arc<luma_telemetry::Metrics>>,
) -> Result<(), Failure> {
    // Before anything is printed, so that whoever waits for `ready` may stop us.
    let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let ready = Arc::new(AtomicBool::new(false));
    let counted: Arc<Metrics> = Arc::default();
    let prometheus = store.map(|store| http::Prometheus {
        store,
        counted: Arc::default(),
        otlp: Arc::default(),
        alerts: Arc::default(),
        scraped: Arc::default(),
        lines: Arc::default(),
    });
    let status =
        http::Status::new(database.clone(), Arc::clone(&counted), prometheus.clone(), Arc::clone(&ready));
    let mut doors = JoinSet::new();
    if config.flag("postgres", "enabled") {
        let (listener, address) = listen(config, "postgres", "port").await?;
        let options = DoorOptions {
            require_auth: config.flag("security", "require_auth"),
            max_connections: config.count("postgres", "max_connections") as usize,
            auth_timeout: config.duration("security", "auth_timeout"),
            shutdown_grace: config.duration("server", "shutdown_grace"),
            metrics: counted,
            tls: tls(config)?,
        };
        let door = Door::new(database.clone(), options, stop.clone())?;
        doors.spawn(async move { door.listen(listener).await });
        say(&format!("postgres {address}"))?;
    }
    if config.flag("http", "enabled") {
        let (listener, address) = listen(config, "http", "port").await?;
        let (stop, status) = (stop.clone(), status.clone());
        doors.spawn(async move {
            if let Err(error) = http::serve(listener, status, stop).await {
                error!(%error, "the HTTP door failed");
            }
        });
        say(&format!("http {address}"))?;
    }
    if let Some(http::Prometheus { store, counted, otlp, alerts, scraped, lines }) = prometheus {
        let collector = metrics::otlp_door(config, database, Arc::clone(&store), otlp);
        if config.flag("prometheus", "enabled")
            && let Some((listener, address)) = listen_unless_taken(config, "prometheus", "port").await?
        {
            let mut options = metrics::door_options(config, database, Arc::clone(&ready), counted);
            let render: metrics::Render = Arc::new(move || http::render(&status));
            options.exposition = Some(Arc::clone(&render));
            options.routes = axum::Router::new().nest("/api/v1/otlp", collector.routes());
            let of_lines = metrics::lines_door(config, "prometheus", &store, &lines).routes();
            options.routes = std::mem::take(&mut options.routes).merge(of_lines);
            let scraper = metrics::scraper(config, &store, scraped, (address, render), &stop)?;
            options.scraper = Some(Arc::clone(&scraper));
            let configured = configured::start(config, address, &store, alerts, scraper, &stop).await?;
            if let Some(configured) = configured {
                options.rules = Some(configured.rules());
                options.reload = Some(configured.reload());
                let (hangup, stop) = (signal(SignalKind::hangup())?, stop.clone());
                doors.spawn(async move { configured.reload_on(hangup, stop).await });
            }
            let door = luma_door_prometheus::Door::new(Arc::clone(&store), options);
            let stop = stop.clone();
            doors.spawn(async move {
                if let Err(error) = door.listen(listener, stop).await {
                    error!(%error, "the Prometheus door failed");
                }
            });
            say(&format!("prometheus {address}"))?;
        }
        for (section, protocol) in [("graphite", Protocol::Graphite), ("opentsdb", Protocol::OpenTsdb)] {
            if config.flag(section, "enabled") {
                let (listener, address) = listen(config, section, "port").await?;
                let door = metrics::lines_door(config, section, &store, &lines);
                if protocol == Protocol::Graphite {
                    let socket = UdpSocket::bind(address).await.map_err(|error| {
                        Failure::new(format!(
                            "cannot receive datagrams at {address} ({section}.port): {error}"
                        ))
                    })?;
                    let (door, stop) = (door.clone(), stop.clone());
                    doors.spawn(async move { door.listen_datagrams(socket, protocol, stop).await });
                }
                let stop = stop.clone();
                doors.spawn(async move { door.listen(listener, protocol, stop).await });
                say(&format!("{section} {address}"))?;
            }
        }
        for (name, port) in [("otlp", "port"), ("otlp-http", "http_port")] {
            if config.flag("otlp", "enabled")
                && let Some((listener, address)) = listen_unless_taken(config, "otlp", port).await?
            {
                let (door, stop) = (collector.clone(), stop.clone());
                doors.spawn(async move {
                    if let Err(error) = door.listen(listener, stop).await {
                        error!(%error, "the OpenTelemetry door failed");
                    }
                });
                say(&format!("{name} {address}"))?;
            }
        }
    }
    if doors.is_empty() {
        let doors = "postgres.enabled, http.enabled, prometheus.enabled or otlp.enabled";
        return Err(Failure::new(format!("no door is enabled: set {doors}")));
    }
    ready.store(true, Ordering::Release);
    say("ready")?;
    tokio::spawn(stop_on_signal(signals, stop, ready));
    while let Some(ended) = doors.join_next().await {
        if let Err(error) = ended {
            error!(%error, "a door ended by a defect");
        }
    }
    Ok(())
}

/// What the PostgreSQL door encrypts with, if it does.
fn tls(config: &Config) -> Result<Option<Tls>, Failure> {
    let [certificate, key] = ["tls_certificate", "tls_key"].map(|name| config.text("postgres", name));
    if certificate.is_empty() {
        return Ok(None);
    }
    Ok(Some(Tls::read(certificate.as_ref(), key.as_ref())?))
}

async fn listen(config: &Config, door: &str, key: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let host = config.host(door);
    let port = config.count(door, key) as u16;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let listener = TcpListener::bind((bare, port)).await.map_err(|error| {
        Failure::new(format!("cannot listen on {host} port {port} ({door}.{key}): {error}"))
    })?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// The same, but a port that nobody asked for may be taken: Prometheus itself may be at its own.
async fn listen_unless_taken(
    config: &Config,
    door: &str,
    key: &str,
) -> Result<Option<(TcpListener, SocketAddr)>, Failure> {
    match listen(config, door, key).await {
        Ok(listening) => Ok(Some(listening)),
        Err(failure) if config.is_default(door, key) => {
            warn!(%failure, "the door stays closed; {door}.{key} may name another port");
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// The first signal stops in order, the second at once.
async fn stop_on_signal(
    (mut terminate, mut interrupt): (Signal, Signal),
    stop: CancellationToken,
    ready: Arc<AtomicBool>,
) {
    let mut wait = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    wait().await;
    info!("stopping; a second signal stops at once");
    ready.store(false, Ordering::Release);
    stop.cancel();
    wait().await;
    // What was acknowledged is durable already; recovery takes care of the rest.
    std::process::exit(130);
}

/// A line for whoever started the server.
fn say(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
