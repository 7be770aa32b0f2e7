//! The door: its options, its addresses, and what requests of both kinds have in common.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use luma_intake::wire::Writer;
use luma_intake::{Otlp, OtlpError};
use luma_telemetry::Error;
use luma_web::{Admission, Gate, Limited, Memory, Rejected, Room, UNPACKED_FACTOR, is_strange_page};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::metrics::Metrics;
use crate::{grpc, http};

/// How long a connection may be silent.
const IDLE: Duration = Duration::from_mins(5);

/// How many bodies of the longest kind may be there at a time.
const BODIES: usize = 4;

/// Bounds and rules of the door.
#[derive(Clone)]
pub struct DoorOptions {
    /// Who may use it; everyone if there is none.
    pub gate: Option<Arc<dyn Gate>>,
    /// Most clients at a time, for each listener.
    pub max_connections: usize,
    /// How long the body of a request may be.
    pub request_bytes_max: usize,
    /// How far in the future a sample may be.
    pub future_max: Duration,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Default for DoorOptions {
    fn default() -> Self {
        Self {
            gate: None,
            max_connections: 512,
            request_bytes_max: 32 << 20,
            future_max: Duration::from_mins(10),
            metrics: Arc::default(),
        }
    }
}

impl std::fmt::Debug for DoorOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("DoorOptions")
            .field("gate", &self.gate.is_some())
            .field("max_connections", &self.max_connections)
            .field("request_bytes_max", &self.request_bytes_max)
            .finish_non_exhaustive()
    }
}

/// The form of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    ProtocolBuffers,
    Json,
}

/// What was not stored of a request that was taken.
#[derive(Debug)]
pub(crate) struct Partial {
    pub refused: usize,
    pub what: String,
}

/// A door to a store of metrics; clones share it.
#[derive(Debug, Clone)]
pub struct Door(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Arc<luma_telemetry::Metrics>,
    otlp: Otlp,
    options: DoorOptions,
    memory: Memory,
    admission: Admission,
}

impl Door {
    /// A door to a store. There is one for each store: it adds up changes.
    pub fn new(store: Arc<luma_telemetry::Metrics>, otlp: Otlp, options: DoorOptions) -> Self {
        let body = options.request_bytes_max;
        let memory = Memory::new(body.saturating_mul(BODIES), body.saturating_mul(UNPACKED_FACTOR));
        let admission = Admission::new(options.gate.clone());
        Self(Arc::new(Shared { store, otlp, options, memory, admission }))
    }

    pub(crate) fn options(&self) -> &DoorOptions {
        &self.0.options
    }

    /// Room for the body of a request.
    pub(crate) fn room(&self) -> Room {
        self.0.memory.room()
    }

    /// The address of metrics over HTTP, without asking who comes: for a server that does so itself.
    pub fn routes(&self) -> Router {
        Router::new().route("/v1/metrics", post(http::metrics)).with_state(self.clone())
    }

    /// All addresses.
    pub fn router(&self) -> Router {
        self.routes()
            .route(grpc::EXPORT, post(grpc::metrics).with_state(self.clone()))
            .fallback(any(unknown))
            .layer(middleware::from_fn_with_state(self.clone(), admit))
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
            idle: IDLE,
            active: Arc::clone(&options.metrics.active_connections),
        };
        axum::serve(listener, self.router()).with_graceful_shutdown(shutdown.cancelled_owned()).await
    }

    /// Stores a message that `unpack` makes of a body, which takes so many bytes; what was left out of it.
    pub(crate) async fn store(
        &self,
        form: Form,
        bytes: usize,
        unpack: impl FnOnce(usize) -> Result<Vec<u8>, (StatusCode, String)> + Send + 'static,
    ) -> Result<Option<Partial>, Rejected> {
        let door = self.clone();
        let work = move || {
            let options = door.options();
            let mut message = unpack(options.request_bytes_max.saturating_mul(UNPACKED_FACTOR))?;
            if form == Form::Json {
                message = Otlp::of_json(&message).map_err(rejected)?;
            }
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let latest = now.saturating_add(options.future_max).as_millis();
            let latest = i64::try_from(latest).unwrap_or(i64::MAX);
            door.0.otlp.store(&door.0.store, &message, latest).map_err(rejected)
        };
        let outcome = self.0.memory.work(bytes, work).await;
        let metrics = &self.options().metrics;
        Metrics::add(&metrics.requests, 1);
        match outcome {
            Ok((appended, refusal)) => {
                Metrics::add(&metrics.samples, appended.stored);
                Metrics::add(&metrics.refused_samples, appended.refused);
                Ok(refusal.map(|what| {
                    debug!(refused = appended.refused, what, "samples were refused");
                    Partial { refused: appended.refused, what }
                }))
            }
            Err(rejected) => {
                if rejected.status.is_server_error() {
                    error!(error = rejected.what, "metrics could not be stored");
                }
                Err(rejected)
            }
        }
    }

    /// Counts what became of a request that was refused as a whole.
    pub(crate) fn failed(&self) {
        Metrics::add(&self.options().metrics.failed_requests, 1);
    }
}

fn rejected(error: OtlpError) -> Rejected {
    let status = match &error {
        OtlpError::Message(_) | OtlpError::Json(_) => StatusCode::BAD_REQUEST,
        OtlpError::Store(Error::BatchTooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        // Clients send again what was unavailable, and nothing else.
        OtlpError::Source(_) | OtlpError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    Rejected { status, what: error.to_string() }
}

/// What was left out, as a message: its only field is `partial_success`.
pub(crate) fn response(partial: Option<&Partial>) -> Vec<u8> {
    let mut response = Writer::default();
    if let Some(Partial { refused, what }) = partial {
        response.message(1, |message| {
            message.signed(1, *refused as i64);
            message.text(2, what);
        });
    }
    response.0
}

async fn unknown(request: Request) -> Response {
    let what = format!("{} is not served here; metrics are, at /v1/metrics or by gRPC", request.uri().path());
    if grpc::is_grpc(request.headers()) {
        return grpc::failure(grpc::UNIMPLEMENTED, &what);
    }
    (StatusCode::NOT_FOUND, what + "\n").into_response()
}

/// Lets requests in that may come.
async fn admit(State(door): State<Door>, request: Request<Body>, next: Next) -> Response {
    if is_strange_page(request.method(), request.headers()) {
        let what = "requests of web pages of other servers are not accepted\n";
        return (StatusCode::FORBIDDEN, what).into_response();
    }
    if door.0.admission.admits(request.headers(), request.uri()).await {
        return next.run(request).await;
    }
    Metrics::add(&door.options().metrics.authentication_failures, 1);
    if grpc::is_grpc(request.headers()) {
        return grpc::failure(grpc::UNAUTHENTICATED, "name and password (HTTP Basic) are missing or wrong");
    }
    let challenge = [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"LumaDB\""))];
    (StatusCode::UNAUTHORIZED, challenge, "Unauthorized\n").into_response()
}
