//! The door: its bounds, its addresses, and how what arrives gets into the store.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use luma_intake::lines::{Lines, graphite, opentsdb as telnet};
use luma_intake::{Outcome, WriteRequest};
use luma_telemetry::Error;
use luma_web::{Memory, Rejected, UNPACKED_FACTOR, body, compression};
use tracing::{debug, error};

use crate::metrics::Metrics;
use crate::{influx, opentsdb};

/// How many bodies of the longest kind may be there at a time.
const BODIES: usize = 4;

/// Bounds of the door.
#[derive(Debug, Clone)]
pub struct DoorOptions {
    /// Most clients at a time at each port.
    pub max_connections: usize,
    /// How long the body of a request may be.
    pub request_bytes_max: usize,
    /// How far in the future a sample may be.
    pub future_max: Duration,
    /// How long a connection may be silent.
    pub idle: Duration,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Default for DoorOptions {
    fn default() -> Self {
        Self {
            max_connections: 512,
            request_bytes_max: 32 << 20,
            future_max: Duration::from_mins(10),
            idle: Duration::from_mins(5),
            metrics: Arc::default(),
        }
    }
}

/// What lines that come without HTTP say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `name;tag=value 1.5 1700000000`
    Graphite,
    /// `put name 1700000000 1.5 tag=value`
    OpenTsdb,
}

impl Protocol {
    fn read(self, text: &[u8], now: i64, request: &mut WriteRequest) -> Lines {
        match self {
            Self::Graphite => graphite::read(text, now, request),
            Self::OpenTsdb => telnet::read(text, now, request),
        }
    }
}

/// A door to a store of metrics; clones share it.
#[derive(Debug, Clone)]
pub struct Door(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Arc<luma_telemetry::Metrics>,
    options: DoorOptions,
    memory: Memory,
}

/// What became of lines: why samples were refused, of those that are stored as far as they could be.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub refused: usize,
    /// Why the store refused the first.
    pub why: Option<String>,
}

impl Door {
    /// A door to a store.
    pub fn new(store: Arc<luma_telemetry::Metrics>, options: DoorOptions) -> Self {
        let body = options.request_bytes_max;
        let memory = Memory::new(body.saturating_mul(BODIES), body.saturating_mul(UNPACKED_FACTOR));
        Self(Arc::new(Shared { store, options, memory }))
    }

    pub(crate) fn options(&self) -> &DoorOptions {
        &self.0.options
    }

    /// The addresses of InfluxDB and OpenTSDB, for a server that decides who may ask.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/write", post(influx::write_1))
            .route("/api/v2/write", post(influx::write_2))
            .route("/ping", get(influx::ping).head(influx::ping))
            .route("/query", get(influx::query).post(influx::query))
            .route("/api/put", post(opentsdb::put))
            .with_state(self.clone())
    }

    /// Milliseconds since the epoch.
    pub(crate) fn now_ms() -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
    }

    fn request(&self, now: i64) -> WriteRequest {
        let future = i64::try_from(self.0.options.future_max.as_millis()).unwrap_or(i64::MAX);
        WriteRequest::new(now.saturating_add(future))
    }

    /// Reads a body and stores what `read` makes of it; returns when that is durable.
    pub(crate) async fn take<T: Send + 'static>(
        &self,
        headers: &HeaderMap,
        sent: Body,
        read: impl FnOnce(&[u8], i64, &mut WriteRequest) -> Result<T, Rejected> + Send + 'static,
    ) -> Result<(T, Taken), Rejected> {
        let options = self.options();
        Metrics::add(&options.metrics.requests, 1);
        let limit = options.request_bytes_max;
        let mut room = self.0.memory.room();
        let whole = body::whole(headers, sent, limit, &mut room).await.map_err(Rejected::from);
        let taken = match whole {
            Ok(packed) => {
                let (door, headers) = (self.clone(), headers.clone());
                let most = most_unpacked(&headers, &packed, limit);
                let work = move || {
                    let text = compression::unpack(&headers, &packed, limit.saturating_mul(UNPACKED_FACTOR))?;
                    drop((packed, room));
                    let now = Self::now_ms();
                    let mut request = door.request(now);
                    let found = read(&text, now, &mut request)?;
                    drop(text);
                    let taken = door.counted(request.store(&door.0.store)).map_err(rejected)?;
                    Ok((found, taken))
                };
                self.0.memory.work(most, work).await
            }
            Err(rejected) => Err(rejected),
        };
        if let Err(rejected) = &taken {
            Metrics::add(&options.metrics.failed, 1);
            if rejected.status.is_server_error() {
                error!(error = rejected.what, "samples could not be stored");
            }
        }
        taken
    }

    /// The form in a body; empty if there is none.
    pub(crate) async fn form(&self, headers: &HeaderMap, sent: Body) -> Result<Bytes, Rejected> {
        let mut room = self.0.memory.room();
        body::form(headers, sent, &mut room).await.map_err(Rejected::from)
    }

    /// Stores lines that came without HTTP; returns when they are durable. What was wrong with lines, or with all of them.
    pub(crate) async fn take_lines(&self, protocol: Protocol, text: Vec<u8>) -> Result<Vec<String>, String> {
        Metrics::add(&self.options().metrics.requests, 1);
        let door = self.clone();
        let work = move || {
            let now = Self::now_ms();
            let mut request = door.request(now);
            let found = protocol.read(&text, now, &mut request);
            door.refused(found.wrong);
            let taken = door.counted(request.store(&door.0.store)).map_err(rejected)?;
            Ok(found.errors.into_iter().chain(taken.why).collect())
        };
        self.0.memory.work(0, work).await.map_err(|rejected: Rejected| {
            Metrics::add(&self.options().metrics.failed, 1);
            error!(error = rejected.what, "lines could not be stored");
            rejected.what
        })
    }

    /// Counts lines that are none.
    pub(crate) fn refused(&self, count: usize) {
        Metrics::add(&self.options().metrics.refused, count);
    }

    fn counted(&self, outcome: Outcome) -> Result<Taken, Error> {
        let (appended, why) = outcome?;
        Metrics::add(&self.options().metrics.samples, appended.stored);
        self.refused(appended.refused);
        if let Some(what) = &why {
            debug!(refused = appended.refused, what, "samples were refused");
        }
        Ok(Taken { refused: appended.refused, why })
    }
}

/// How many bytes a body may take once it is unpacked.
fn most_unpacked(headers: &HeaderMap, packed: &Bytes, limit: usize) -> usize {
    if headers.contains_key("content-encoding") {
        limit.saturating_mul(UNPACKED_FACTOR).min(packed.len().saturating_mul(1024))
    } else {
        packed.len()
    }
}

fn rejected(error: Error) -> Rejected {
    let status = match error {
        Error::BatchTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Rejected { status, what: error.to_string() }
}
