//! Answers: the envelope of Prometheus' interface, its failures, and gzip for clients that take it.

use std::io::Write as _;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use luma_promql::answer::{self, ErrorKind};

/// Shorter answers are not worth packing.
const GZIP_BYTES_MIN: usize = 1 << 10;

/// A request that fails, and what its client is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub kind: ErrorKind,
    pub message: String,
}

impl Failure {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The request is wrong.
    pub fn bad_data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadData, message)
    }

    /// One of the request's parameters is wrong.
    pub fn parameter(name: &str, what: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter \"{name}\": {what}"))
    }

    /// The store cannot say.
    pub fn of_store(error: luma_telemetry::Error) -> Self {
        Self::new(ErrorKind::Internal, error.to_string())
    }

    /// A query does not parse.
    pub fn from_parse(error: luma_promql::ParseError) -> Self {
        Self::bad_data(error.to_string())
    }
}

impl From<luma_promql::Error> for Failure {
    fn from(error: luma_promql::Error) -> Self {
        Self::new(error.kind(), error.message())
    }
}

/// A `data`, which is JSON (or empty if there is none), and what is to be said about it.
#[derive(Debug, Default)]
pub(crate) struct Success {
    pub data: String,
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
}

impl Success {
    pub fn of(data: impl Into<String>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// There is nothing to say.
    pub fn none() -> Self {
        Self::default()
    }

    /// Says that a limit cut the result off.
    pub fn truncated(mut self, truncated: bool) -> Self {
        if truncated {
            self.warnings.push("results truncated due to limit".to_owned());
        }
        self
    }
}

/// The outcome of a request as its client gets it.
pub(crate) fn respond(headers: &HeaderMap, outcome: Result<Success, Failure>) -> Response {
    let (status, body) = match outcome {
        Ok(success) if success.data.is_empty() => return StatusCode::NO_CONTENT.into_response(),
        Ok(success) => (200, answer::success(&success.data, &success.warnings, &success.infos)),
        Err(failure) => (failure.kind.status(), answer::failure(failure.kind, &failure.message)),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    packed(headers, status, "application/json", body.into_bytes())
}

/// A body, packed if the client takes that and it pays.
pub(crate) fn packed(headers: &HeaderMap, status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response {
    let mut response = match gzip(headers, &body) {
        Some(packed) => {
            let mut response = Response::new(Body::from(packed));
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response
        }
        None => Response::new(Body::from(body)),
    };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

/// A plain text, as answers outside of the query interface are.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Response {
    let mut text = text.into();
    text.push('\n');
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

fn gzip(headers: &HeaderMap, body: &[u8]) -> Option<Vec<u8>> {
    if body.len() < GZIP_BYTES_MIN || !takes_gzip(headers) {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

/// Whether a client lists gzip and does not rule it out by a weight of zero.
fn takes_gzip(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|item| {
            let mut parts = item.split(';').map(str::trim);
            let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            let zero = |part: &str| {
                part.strip_prefix("q=").is_some_and(|weight| weight.parse::<f64>().is_ok_and(|q| q == 0.0))
            };
            named && !parts.any(zero)
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn gzip_is_for_those_who_ask_for_it() {
        let takes = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            takes_gzip(&headers)
        };
        assert!(takes("gzip"));
        assert!(takes("deflate, GZIP;q=0.5"));
        assert!(!takes("deflate"));
        assert!(!takes("gzip;q=0"));
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
