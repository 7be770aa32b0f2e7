//! `otlp/v1/metrics`: OpenTelemetry's metrics as series, named and labelled as Prometheus does it.
//!
//! What can't be stored is counted in the answer's `partial_success`, with the reason of the first.

mod message;
mod names;
mod points;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::body;
use crate::compression::unpack;
use crate::metrics::Metrics;
use crate::server::Door;
use crate::wire::Writer;
use crate::write::{Rejected, UNPACKED_FACTOR, WriteRequest, count};

const MEDIA_TYPE: &str = "application/x-protobuf";

pub(crate) async fn metrics(State(door): State<Door>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    Metrics::add(&door.options().metrics.writes, 1);
    match stored(&door, &parts.headers, body).await {
        Ok(response) => ([(header::CONTENT_TYPE, MEDIA_TYPE)], response.0).into_response(),
        Err(Rejected { status, what }) => {
            // A status as gRPC has it: its text is field 2.
            let mut message = Writer::default();
            message.text(2, &what);
            (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], message.0).into_response()
        }
    }
}

async fn stored(door: &Door, headers: &HeaderMap, body: axum::body::Body) -> Result<Writer, Rejected> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().unwrap_or_default().trim() != MEDIA_TYPE {
        let what = format!("unsupported content type: {kind}, supported: [{MEDIA_TYPE}]");
        return Err(Rejected { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, what });
    }
    let limit = door.options().request_bytes_max;
    let mut room = door.room();
    let body = body::whole(headers, body, limit, &mut room).await?;
    let headers = headers.clone();
    let unpacked_max = limit.saturating_mul(UNPACKED_FACTOR);
    // How long it is unpacked only Snappy says.
    let outcome = door
        .work(body.len().saturating_mul(UNPACKED_FACTOR), move |door| {
            let message = unpack(&headers, &body, unpacked_max)?;
            drop((body, room));
            let mut request = WriteRequest::new(door.latest_time());
            points::read(&message, &mut request).map_err(|error| Rejected {
                status: StatusCode::BAD_REQUEST,
                what: format!("the request's body is no ExportMetricsServiceRequest message: {error}"),
            })?;
            drop(message);
            request.store(door.store())
        })
        .await;
    count(door, &outcome);
    let (appended, refusal) = outcome?;
    let mut response = Writer::default();
    if let Some(what) = refusal {
        response.message(1, |partial| {
            partial.signed(1, appended.refused as i64);
            partial.text(2, &what);
        });
    }
    Ok(response)
}
