//! The door: its options, its addresses, and serving until the shutdown.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};

use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use luma_web::{Admission, Gate, Limited, Memory, Rejected, Room, UNPACKED_FACTOR, is_strange_page};

use crate::answers::Answers;
use crate::metrics::Metrics;
use crate::params::Params;
use crate::read::read;
use crate::reply::{Failure, Success, respond, text};
use crate::runner::Runner;
use crate::write::write;
use crate::{admin, body, federation, query, series, status, syntax, targets};

/// How long a connection may be silent at least.
const IDLE_MIN: Duration = Duration::from_mins(5);

/// How many bodies of the longest kind may be there at a time.
const BODIES: usize = 4;

/// Reads a configuration again, or says what is wrong with it.
pub type Reload = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Bounds and rules of the door.
#[derive(Clone)]
pub struct DoorOptions {
    /// Who may use it; everyone if there is none.
    pub gate: Option<Arc<dyn Gate>>,
    /// Most clients at a time.
    pub max_connections: usize,
    /// How long a query may take.
    pub query_timeout: Duration,
    /// How many queries run at a time.
    pub query_concurrency: usize,
    /// How many samples a query may have in memory at once.
    pub query_max_samples: usize,
    /// How many bytes of answers to range queries are kept; 0 keeps none.
    pub query_cache_bytes: usize,
    /// How long a sample counts as a series' current value.
    pub lookback: Duration,
    /// How long the body of a request to write or read may be.
    pub request_bytes_max: usize,
    /// How far in the future a sample may be.
    pub future_max: Duration,
    /// Whether series may be deleted and copies of the store be made.
    pub admin: bool,
    /// Where copies of the store go, if they may be made.
    pub snapshots: Option<PathBuf>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The server's own metrics in Prometheus' text form.
    pub exposition: Option<Arc<dyn Fn() -> String + Send + Sync>>,
    /// The rules that are evaluated, if there are.
    pub rules: Option<Arc<luma_rules::Manager>>,
    /// What targets are scraped, if any may be.
    pub scraper: Option<Arc<luma_scrape::Manager>>,
    /// Reads the configuration of rules and targets again.
    pub reload: Option<Reload>,
    /// Further addresses, such as those of other protocols' metrics; who may ask is decided for them too.
    pub routes: Router,
    /// The configuration in effect, as text.
    pub configuration: String,
    /// Settings as pairs of names and values.
    pub flags: Vec<(String, String)>,
    /// Whether the server is ready to serve.
    pub ready: Arc<AtomicBool>,
}

impl Default for DoorOptions {
    fn default() -> Self {
        Self {
            gate: None,
            max_connections: 512,
            query_timeout: Duration::from_mins(2),
            query_concurrency: 20,
            query_max_samples: 50_000_000,
            query_cache_bytes: 64 << 20,
            lookback: Duration::from_mins(5),
            request_bytes_max: 32 << 20,
            future_max: Duration::from_mins(10),
            admin: true,
            snapshots: None,
            metrics: Arc::default(),
            exposition: None,
            rules: None,
            scraper: None,
            reload: None,
            routes: Router::new(),
            configuration: String::new(),
            flags: Vec::new(),
            ready: Arc::new(AtomicBool::new(true)),
        }
    }
}

impl std::fmt::Debug for DoorOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("DoorOptions")
            .field("gate", &self.gate.is_some())
            .field("max_connections", &self.max_connections)
            .field("query_timeout", &self.query_timeout)
            .field("query_concurrency", &self.query_concurrency)
            .field("query_max_samples", &self.query_max_samples)
            .field("request_bytes_max", &self.request_bytes_max)
            .finish_non_exhaustive()
    }
}

/// A door to a store of metrics; clones share it.
#[derive(Clone)]
pub struct Door(Arc<Shared>);

struct Shared {
    store: Arc<luma_telemetry::Metrics>,
    options: DoorOptions,
    runner: Runner,
    answers: Answers,
    memory: Memory,
    admission: Admission,
    started: SystemTime,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.options.fmt(formatter)
    }
}

impl Door {
    /// A door to a store.
    pub fn new(store: Arc<luma_telemetry::Metrics>, options: DoorOptions) -> Self {
        let runner = Runner::new(options.query_concurrency);
        let body = options.request_bytes_max;
        let memory = Memory::new(body.saturating_mul(BODIES), body.saturating_mul(UNPACKED_FACTOR));
        let started = SystemTime::now();
        let answers = Answers::new(options.query_cache_bytes);
        let admission = Admission::new(options.gate.clone());
        Self(Arc::new(Shared { store, options, runner, answers, memory, admission, started }))
    }

    pub(crate) fn store(&self) -> &luma_telemetry::Metrics {
        &self.0.store
    }

    pub(crate) fn answers(&self) -> &Answers {
        &self.0.answers
    }

    pub(crate) fn options(&self) -> &DoorOptions {
        &self.0.options
    }

    pub(crate) fn started(&self) -> SystemTime {
        self.0.started
    }

    /// Milliseconds since the epoch.
    pub(crate) fn now_ms() -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
    }

    /// Runs work that computes, apart from the threads that serve.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce(Arc<AtomicBool>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.0.runner.run(deadline, work).await
    }

    /// Room for the body of a request.
    pub(crate) fn room(&self) -> Room {
        self.0.memory.room()
    }

    /// Runs work on a request that takes so many bytes once it is unpacked.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&Self) -> Result<T, Rejected> + Send + 'static,
    ) -> Result<T, Rejected> {
        let door = self.clone();
        self.0.memory.work(bytes, move || work(&door)).await
    }

    /// The latest time that a sample may have now.
    pub(crate) fn latest_time(&self) -> i64 {
        Self::now_ms()
            .saturating_add(i64::try_from(self.0.options.future_max.as_millis()).unwrap_or(i64::MAX))
    }

    /// When work that begins now has to be done.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.0.options.query_timeout
    }

    /// All addresses, for a server of one's own.
    pub fn router(&self) -> Router {
        let api = Router::new()
            .route("/query", both(query::at_a_time))
            .route("/query_range", both(query::over_a_range))
            .route("/query_exemplars", both(series::exemplars))
            .route("/format_query", both(syntax::formatted))
            .route("/parse_query", both(syntax::parsed))
            .route("/series", both(series::series))
            .route("/labels", both(series::label_names))
            .route("/label/{name}/values", get(label_values))
            .route("/write", post(write))
            .route("/read", post(read))
            .route("/metadata", only_get(series::metadata))
            .route("/targets", only_get(targets::targets))
            .route("/targets/metadata", only_get(targets::metadata))
            .route("/scrape_pools", only_get(targets::scrape_pools))
            .route("/alertmanagers", only_get(status::alertmanagers))
            .route("/rules", only_get(status::rules))
            .route("/alerts", only_get(status::alerts))
            .route("/features", only_get(status::features))
            .route("/status/buildinfo", only_get(status::build))
            .route("/status/runtimeinfo", only_get(status::runtime))
            .route("/status/config", only_get(status::configuration))
            .route("/status/flags", only_get(status::flags))
            .route("/status/tsdb", only_get(status::store))
            .route("/status/walreplay", only_get(status::replay))
            .route("/admin/tsdb/delete_series", only_post(admin::delete_series))
            .route("/admin/tsdb/clean_tombstones", only_post(admin::clean_tombstones))
            .route("/admin/tsdb/snapshot", only_post(admin::snapshot));
        let more = self.options().routes.clone();
        Router::new()
            .nest("/api/v1", api)
            .route("/federate", get(federation::federate))
            .route("/metrics", get(exposition))
            .route("/-/reload", post(reload).put(reload))
            .with_state(self.clone())
            .merge(more)
            .layer(middleware::from_fn_with_state(self.clone(), admit))
            .route("/-/healthy", get(async || text(StatusCode::OK, "LumaDB is Healthy.")))
            .route("/-/ready", get(ready).with_state(self.clone()))
            .fallback(any(async || text(StatusCode::NOT_FOUND, "404 page not found")))
    }

    /// Serves until the shutdown.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn listen(&self, listener: TcpListener, shutdown: CancellationToken) -> io::Result<()> {
        let options = self.options();
        let listener = Limited {
            listener,
            permits: Arc::new(Semaphore::new(options.max_connections.max(1))),
            idle: IDLE_MIN.max(options.query_timeout * 2),
            active: Arc::clone(&options.metrics.active_connections),
        };
        axum::serve(listener, self.router()).with_graceful_shutdown(shutdown.cancelled_owned()).await
    }
}

/// What a request of the query interface does.
async fn answered<F>(door: Door, request: Request, handler: impl FnOnce(Door, Params) -> F) -> Response
where
    F: Future<Output = Result<Success, Failure>>,
{
    let (parts, body) = request.into_parts();
    let form = match body::form(&parts.headers, body, &mut door.room()).await {
        Ok(form) => form,
        Err((status, what)) => return text(status, what),
    };
    let params = Params::new(&form, parts.uri.query().unwrap_or_default());
    let outcome = handler(door, params).await;
    respond(&parts.headers, outcome)
}

type Routes = axum::routing::MethodRouter<Door>;

fn only_get<F>(handler: fn(Door, Params) -> F) -> Routes
where
    F: Future<Output = Result<Success, Failure>> + Send + 'static,
{
    get(async move |State(door): State<Door>, request: Request| answered(door, request, handler).await)
}

/// Changes are asked for by POST or PUT.
fn only_post<F>(handler: fn(Door, Params) -> F) -> Routes
where
    F: Future<Output = Result<Success, Failure>> + Send + 'static,
{
    let also = async move |State(door): State<Door>, request: Request| answered(door, request, handler).await;
    post(async move |State(door): State<Door>, request: Request| answered(door, request, handler).await)
        .put(also)
}

fn both<F>(handler: fn(Door, Params) -> F) -> Routes
where
    F: Future<Output = Result<Success, Failure>> + Send + 'static,
{
    let also = async move |State(door): State<Door>, request: Request| answered(door, request, handler).await;
    only_get(handler).post(also)
}

async fn label_values(State(door): State<Door>, Path(name): Path<String>, request: Request) -> Response {
    answered(door, request, |door, params| series::label_values(door, name, params)).await
}

async fn ready(State(door): State<Door>) -> Response {
    if door.options().ready.load(Ordering::Acquire) {
        text(StatusCode::OK, "LumaDB is Ready.")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
    }
}

async fn reload(State(door): State<Door>) -> Response {
    let Some(reload) = door.options().reload.clone().filter(|_| door.options().admin) else {
        return text(
            StatusCode::FORBIDDEN,
            "there is no configuration file of rules and targets, or admin APIs are disabled",
        );
    };
    match reload().await {
        Ok(()) => text(StatusCode::OK, "reloaded"),
        Err(what) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {what}")),
    }
}

async fn exposition(State(door): State<Door>, headers: HeaderMap) -> Response {
    match &door.options().exposition {
        Some(own) => {
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            crate::reply::packed(&headers, StatusCode::OK, kind, own().into_bytes())
        }
        None => text(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

/// Lets requests in that may come.
async fn admit(State(door): State<Door>, request: Request<Body>, next: Next) -> Response {
    if is_strange_page(request.method(), request.headers()) {
        return text(StatusCode::FORBIDDEN, "requests of web pages of other servers are not accepted");
    }
    if door.0.admission.admits(request.headers(), request.uri()).await {
        return next.run(request).await;
    }
    Metrics::add(&door.options().metrics.authentication_failures, 1);
    let challenge = [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"LumaDB\""))];
    (challenge, text(StatusCode::UNAUTHORIZED, "Unauthorized")).into_response()
}
