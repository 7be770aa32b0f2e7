//! `write`: remote write 1.0 and 2.0 into batches of the store.
//!
//! What can be stored is stored, durably, before the answer. If anything was refused the answer is 400 and
//! names the first of it, so that a client does not send the rest again; 500 means that nothing of the request
//! is acknowledged and it may be sent again.

mod histogram;
mod v1;
mod v2;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use luma_intake::WriteRequest;
use luma_telemetry::{Appended, Error};
use luma_web::{Rejected, UNPACKED_FACTOR};
use tracing::{debug, error};

pub(crate) use histogram::histogram;

use crate::body;
use crate::compression::{unpack_snappy, unpacked_len};
use crate::metrics::Metrics;
use crate::reply::text;
use crate::server::Door;

const MEDIA_TYPE: &str = "application/x-protobuf";
const MESSAGE_1: &str = "prometheus.WriteRequest";
const MESSAGE_2: &str = "io.prometheus.write.v2.Request";

/// How often series of a request are looked up by name when some go meanwhile, which happens every few seconds at most.
const LOOKED_UP_MAX: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

pub(crate) async fn write(State(door): State<Door>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    Metrics::add(&door.options().metrics.writes, 1);
    let version = match version(&parts.headers) {
        Ok(version) => version,
        Err(what) => return refused(&door, StatusCode::UNSUPPORTED_MEDIA_TYPE, what),
    };
    let limit = door.options().request_bytes_max;
    let mut room = door.room();
    let body = match body::whole(&parts.headers, body, limit, &mut room).await {
        Ok(body) => body,
        Err((status, what)) => return refused(&door, status, what),
    };
    let store = door.clone();
    let outcome = store
        .work(unpacked_len(&body), move |door| {
            let message = unpack_snappy(&body, limit.saturating_mul(UNPACKED_FACTOR))?;
            drop((body, room));
            for _ in 0..LOOKED_UP_MAX {
                match read(&message, version, door)?.store(door.store()) {
                    Err(Error::Outdated) => {}
                    outcome => return outcome.map_err(rejected),
                }
            }
            Err(rejected(Error::Outdated))
        })
        .await;
    let mut response = match outcome {
        Ok((_, None)) => StatusCode::NO_CONTENT.into_response(),
        Ok((_, Some(ref what))) => text(StatusCode::BAD_REQUEST, what.clone()),
        Err(ref rejected) => text(rejected.status, rejected.what.clone()),
    };
    let stored = count(&door, &outcome);
    if version == Version::Two {
        for (name, count) in [
            ("x-prometheus-remote-write-samples-written", stored.floats),
            ("x-prometheus-remote-write-histograms-written", stored.histograms),
            ("x-prometheus-remote-write-exemplars-written", stored.exemplars),
        ] {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(count));
        }
    }
    response
}

/// Reads a message.
fn read(message: &[u8], version: Version, door: &Door) -> Result<WriteRequest, Rejected> {
    let mut request = WriteRequest::new(door.latest_time());
    match version {
        Version::One => v1::read(message, &mut request, &door.store().known_names()),
        Version::Two => v2::read(message, &mut request),
    }
    .map_err(|error| Rejected {
        status: StatusCode::BAD_REQUEST,
        what: format!(
            "the request's body is no {} message: {error}",
            match version {
                Version::One => MESSAGE_1,
                Version::Two => MESSAGE_2,
            }
        ),
    })?;
    Ok(request)
}

fn rejected(error: Error) -> Rejected {
    let status = match error {
        Error::BatchTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Rejected { status, what: error.to_string() }
}

/// What of a request is in the store.
#[derive(Debug, Clone, Copy, Default)]
struct Stored {
    floats: usize,
    histograms: usize,
    exemplars: usize,
}

/// Counts and logs what became of a request.
type Outcome = Result<(Appended, Option<String>), Rejected>;

fn count(door: &Door, outcome: &Outcome) -> Stored {
    let metrics = &door.options().metrics;
    match outcome {
        Ok((appended, refusal)) => {
            Metrics::add(&metrics.samples, appended.stored);
            Metrics::add(&metrics.refused_samples, appended.refused);
            if let Some(what) = refusal {
                debug!(refused = appended.refused, what, "samples were refused");
            }
            let there = appended.stored + appended.duplicates;
            Stored {
                floats: there - appended.histograms,
                histograms: appended.histograms,
                exemplars: appended.exemplars,
            }
        }
        Err(rejected) => {
            Metrics::add(&metrics.failed_writes, 1);
            if rejected.status.is_server_error() {
                error!(error = rejected.what, "samples could not be stored");
            }
            Stored::default()
        }
    }
}

fn refused(door: &Door, status: StatusCode, what: String) -> Response {
    Metrics::add(&door.options().metrics.failed_writes, 1);
    text(status, what)
}

/// Which message a request has.
fn version(headers: &HeaderMap) -> Result<Version, String> {
    let of = |name: HeaderName| {
        headers.get(&name).map_or(Ok(""), |value: &HeaderValue| {
            value.to_str().map_err(|_| format!("the header {name} is no text"))
        })
    };
    let encoding = of(header::CONTENT_ENCODING)?;
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("snappy") {
        return Err(format!(
            "{encoding} encoding (compression) is not accepted by this server; only snappy is acceptable"
        ));
    }
    let kind = of(header::CONTENT_TYPE)?.trim();
    // The oldest clients say nothing.
    if kind.is_empty() {
        return Ok(Version::One);
    }
    let mut parts = kind.split(';').map(str::trim);
    if parts.next() != Some(MEDIA_TYPE) {
        return Err(format!("expected {MEDIA_TYPE} as the first (media) part, got {kind} content-type"));
    }
    for part in parts {
        match part.split_once('=') {
            Some(("proto", MESSAGE_1)) => return Ok(Version::One),
            Some(("proto", MESSAGE_2)) => return Ok(Version::Two),
            Some(("proto", other)) => {
                return Err(format!(
                    "got {kind} content type; unknown type for remote write protobuf message {other}"
                ));
            }
            Some(_) => {}
            None => {
                return Err(format!(
                    "expected parameters to be key-values, got {part} in {kind} content-type"
                ));
            }
        }
    }
    Ok(Version::One)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_header_says_which_message_it_is() {
        let of = |kind: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            version(&headers)
        };
        assert_eq!(version(&HeaderMap::new()), Ok(Version::One));
        assert_eq!(of("application/x-protobuf"), Ok(Version::One));
        assert_eq!(of("application/x-protobuf;proto=prometheus.WriteRequest"), Ok(Version::One));
        assert_eq!(of("application/x-protobuf; proto=io.prometheus.write.v2.Request"), Ok(Version::Two));
        assert!(of("application/json").is_err());
        assert!(of("application/x-protobuf;proto=x.Y").is_err());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("zstd"));
        assert!(version(&headers).unwrap_err().contains("zstd"));
    }
}
