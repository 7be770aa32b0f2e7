//! The HTTP service: sitemaps out, changes in.
//!
//! Invariants: an answer to a change is sent once it is durable, and the next request sees it; a slow reader
//! holds no lock; whatever many ask for at once is made once.
//!
//! Cost: a fragment that did not change is served from memory; of one that changed, only the blocks of 512
//! entries that did are made anew.

mod access;
mod answer;
mod fresh;
mod ingest;
mod metrics;
mod once;
mod sitemaps;
mod tell;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::inbox::Inbox;
use fresh::Fresh;
use metrics::Metrics;
use once::Once;
use sitemaps::Gzip;
use tell::Tell;

/// Tables that wait to be merged before the service merges them by itself.
const UNMERGED_TABLES: u64 = 24;
/// How long requests may take to end when the service stops.
const GRACE: Duration = Duration::from_secs(5);
/// How often it is looked whether there is too much log.
const LOOK: Duration = Duration::from_secs(10);

pub(crate) struct Shared {
    engine: Engine,
    inbox: Inbox,
    config: Config,
    robots: String,
    /// Whether changes without a token are taken.
    open: bool,
    gzip: Once<(u32, String), Gzip>,
    fresh: Fresh,
    tell: Option<Tell>,
    metrics: Metrics,
    started: Instant,
}

type Ctx = State<Arc<Shared>>;

/// The service, before or while it runs.
pub struct Service {
    shared: Arc<Shared>,
    writer: std::thread::JoinHandle<()>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Service").field("engine", &self.shared.engine).finish_non_exhaustive()
    }
}

impl Service {
    /// Makes a service of an engine; must be called on a tokio runtime. Without a token, changes are taken
    /// only if `open`.
    ///
    /// # Errors
    /// When the configuration can't be used.
    pub fn new(engine: Engine, config: Config, open: bool) -> Result<Self> {
        let name = &config.output.filename;
        if name.strip_suffix(".xml").is_none_or(str::is_empty) || name.contains('/') {
            return Err(Error::Settings(format!(
                "\"{name}\" is no name for a sitemap; use one like sitemap.xml"
            )));
        }
        if let Some(index_now) = &config.index_now {
            index_now.check()?;
        }
        let robots = config.robots_txt(engine.site())?;
        let (inbox, writer) = Inbox::start(engine.clone())?;
        let tell = Tell::start(&engine, &config)?;
        let fresh = Fresh::new(&engine, &config, tell.clone());
        let shared = Shared {
            engine,
            inbox,
            config,
            robots,
            open,
            gzip: Once::default(),
            fresh,
            tell,
            metrics: Metrics::default(),
            started: Instant::now(),
        };
        Ok(Self { shared: Arc::new(shared), writer })
    }

    /// Its routes, to be served or nested elsewhere.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/urls", get(ingest::read).post(ingest::add).delete(ingest::remove))
            .route("/redirects", post(ingest::redirect))
            .route("/webhook", post(ingest::webhook))
            .route("/compact", post(compact))
            .route("/warm", post(warm))
            .route("/refresh", post(refresh))
            .route("/status", get(status))
            .route("/metrics", get(metrics))
            .fallback(sitemaps::serve)
            .with_state(Arc::clone(&self.shared))
    }

    /// Serves until `stop` completes; then everything that was taken is durable.
    ///
    /// # Errors
    /// What the listener says.
    pub async fn run(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<()> {
        let compacting = tokio::spawn(compact_when_due(Arc::clone(&self.shared)));
        // Answers are small and waited for; where that can't be said, they come a little later.
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true)));
        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        let served = axum::serve(listener, self.router()).with_graceful_shutdown(async move {
            stop.await;
            drop(stopping);
        });
        let cut_off = async {
            let _ = stopped.await;
            tokio::time::sleep(GRACE).await;
        };
        let served = tokio::select! {
            served = async { served.await } => served,
            () = cut_off => Ok(()),
        };
        compacting.abort();
        let Self { shared, writer } = self;
        drop(shared);
        // A connection that was cut off may still hold the service.
        let _ = tokio::time::timeout(GRACE, tokio::task::spawn_blocking(move || writer.join())).await;
        served.map_err(|error| Error::io("the listener".as_ref(), error))
    }
}

async fn compact_when_due(shared: Arc<Shared>) {
    let every = shared.config.incremental.compact_interval;
    if every == 0 {
        return;
    }
    let mut look = tokio::time::interval(LOOK.min(Duration::from_millis(every.max(100))));
    let (mut last, mut version) = (Instant::now(), 0);
    loop {
        look.tick().await;
        let engine = shared.engine.clone();
        let Ok(Ok(stats)) = tokio::task::spawn_blocking(move || engine.stats()).await else { continue };
        let changed = shared.inbox.commits();
        let large = stats.log_bytes > shared.config.incremental.max_log_size
            || stats.unmerged_tables > UNMERGED_TABLES;
        // Without a change since the last time, merging would leave everything as it is.
        if changed != version && (large || last.elapsed() >= Duration::from_millis(every)) {
            (last, version) = (Instant::now(), changed);
            let engine = shared.engine.clone();
            if let Ok(Ok(())) = tokio::task::spawn_blocking(move || engine.compact()).await {
                shared.metrics.compactions.add(1);
            }
        }
    }
}

/// An error as an answer.
pub(crate) struct Refusal(StatusCode, String);

impl Refusal {
    fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self(status, reason.into())
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Source { .. } => StatusCode::BAD_GATEWAY,
            Error::Closed => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let kind = [(header::CONTENT_TYPE, "application/json")];
        let mut response = (self.0, kind, json!({ "error": self.1 }).to_string()).into_response();
        if self.0 == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        if self.0 == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
        }
        response
    }
}

type Answer = Result<Response, Refusal>;

fn json_answer(value: &impl serde::Serialize) -> Answer {
    let body = serde_json::to_string(value).map_err(|error| Error::Settings(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// Runs what blocks.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Closed))
}

async fn compact(State(shared): Ctx, headers: HeaderMap) -> Answer {
    access::writer(&shared, &headers)?;
    let engine = shared.engine.clone();
    blocking(move || engine.compact()).await?;
    shared.metrics.compactions.add(1);
    json_answer(&json!({ "compacted": true }))
}

async fn warm(State(shared): Ctx, headers: HeaderMap) -> Answer {
    access::writer(&shared, &headers)?;
    let engine = shared.engine.clone();
    let ready = blocking(move || engine.warm()).await?;
    json_answer(&json!({ "fragments": ready }))
}

async fn refresh(State(shared): Ctx, headers: HeaderMap) -> Answer {
    access::writer(&shared, &headers)?;
    let refreshed = shared.fresh.now().await?;
    json_answer(&*refreshed)
}

async fn status(State(shared): Ctx) -> Answer {
    let engine = shared.engine.clone();
    let stats = blocking(move || engine.stats()).await?;
    json_answer(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "site": shared.engine.site().origin(),
        "mode": shared.config.mode,
        "uptime_seconds": shared.started.elapsed().as_secs(),
        "stats": stats,
        "commits": shared.inbox.commits(),
        "sources": shared.fresh.report(),
        "notified": shared.tell.as_ref().map(Tell::report),
    }))
}

async fn metrics(State(shared): Ctx) -> Answer {
    let engine = shared.engine.clone();
    let stats = blocking(move || engine.stats()).await?;
    let text = shared.metrics.render(&stats, &shared);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
