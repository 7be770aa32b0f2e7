//! OpenTelemetry's metrics as series, named and labelled as Prometheus does it.

mod json;
mod message;
mod names;
mod point;
mod points;
mod schema;
mod series;
mod sums;

use luma_promql::SourceError;
use luma_telemetry::{Appended, Metrics};

use crate::request::WriteRequest;
use crate::wire::WireError;
use sums::{Known, Sums};

/// How metrics are labelled.
#[derive(Debug, Clone)]
pub struct OtlpOptions {
    /// Whether series have what names the instrumentation scope (`otel_scope_name` and others).
    pub scope_labels: bool,
    /// Attributes of resources that series have as labels, besides `job` and `instance`; all others are in
    /// `target_info` only.
    pub promoted: Vec<String>,
}

impl Default for OtlpOptions {
    fn default() -> Self {
        Self { scope_labels: true, promoted: Vec::new() }
    }
}

/// Bytes that are no metrics, or metrics that could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The bytes are no message.
    #[error("the request's body is no ExportMetricsServiceRequest message: {0}")]
    Message(#[from] WireError),
    /// The text is no message as JSON.
    #[error("the request's body is no ExportMetricsServiceRequest as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The store could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] luma_telemetry::Error),
}

/// The way of OpenTelemetry's metrics into a store: one for each store, as it remembers sums of changes.
#[derive(Debug, Default)]
pub struct Otlp {
    options: OtlpOptions,
    known: Known,
}

impl Otlp {
    /// With these options.
    pub fn new(options: OtlpOptions) -> Self {
        Self { options, known: Known::default() }
    }

    /// Stores the metrics of an `ExportMetricsServiceRequest`, whose samples may be as late as `latest` (in
    /// milliseconds); returns when they are durable.
    ///
    /// # Errors
    /// When the bytes are no such message, or nothing could be stored.
    pub fn store(
        &self,
        store: &Metrics,
        message: &[u8],
        latest: i64,
    ) -> Result<(Appended, Option<String>), OtlpError> {
        let mut request = WriteRequest::new(latest);
        let mut sums = Sums::new(&self.known, store);
        points::read(message, &self.options, &mut sums, &mut request)?;
        let pending = request.begin(store)?;
        sums.remember(request.is_whole() && pending.appended().refused == 0);
        Ok(request.finish(pending)?)
    }

    /// The same message out of its JSON form.
    ///
    /// # Errors
    /// When the text is none.
    pub fn of_json(text: &[u8]) -> Result<Vec<u8>, OtlpError> {
        Ok(json::message(text, &schema::REQUEST)?)
    }
}
