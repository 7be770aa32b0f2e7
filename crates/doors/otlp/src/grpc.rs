//! gRPC as far as a call with one message and one answer needs it: five bytes before each message, and the status
//! behind the answer.
//!
//! The bytes of a request are read as those of the HTTP interface are, under the same bounds, and become series
//! without a tree of messages between.

use std::fmt::Write as _;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use http_body_util::{BodyExt, Full};
use luma_web::compression::unpack_as;
use luma_web::{Rejected, UNPACKED_FACTOR, body};

use crate::server::{Door, Form, Partial, response};

/// The address of the call.
pub(crate) const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

const OK: u16 = 0;
const INVALID_ARGUMENT: u16 = 3;
const RESOURCE_EXHAUSTED: u16 = 8;
pub(crate) const UNIMPLEMENTED: u16 = 12;
const INTERNAL: u16 = 13;
const UNAVAILABLE: u16 = 14;
pub(crate) const UNAUTHENTICATED: u16 = 16;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPTED: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// Bytes before a message: whether it is packed, and how long it is.
const PREFIX: usize = 5;

/// Whether a request is a call.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/grpc"))
}

/// The status that says what one of HTTP does.
pub(crate) fn code(status: StatusCode) -> u16 {
    match status {
        StatusCode::BAD_REQUEST => INVALID_ARGUMENT,
        StatusCode::PAYLOAD_TOO_LARGE => RESOURCE_EXHAUSTED,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => UNIMPLEMENTED,
        StatusCode::SERVICE_UNAVAILABLE => UNAVAILABLE,
        _ => INTERNAL,
    }
}

pub(crate) async fn metrics(State(door): State<Door>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match stored(&door, &parts.headers, body).await {
        Ok(partial) => answer(&response(partial.as_ref())),
        Err(rejected) => {
            door.failed();
            failure(code(rejected.status), &rejected.what)
        }
    }
}

async fn stored(door: &Door, headers: &HeaderMap, body: Body) -> Result<Option<Partial>, Rejected> {
    if !is_grpc(headers) {
        let what = "the content type of a call is application/grpc".to_owned();
        return Err(Rejected { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, what });
    }
    let encoding = headers.get(ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("identity");
    let encoding = encoding.to_owned();
    let mut room = door.room();
    let limit = door.options().request_bytes_max.saturating_add(PREFIX);
    let body = body::whole(headers, body, limit, &mut room).await?;
    let (packed, message) = message(&body)?;
    let bytes = if packed { message.len().saturating_mul(UNPACKED_FACTOR) } else { message.len() };
    let unpacked = move |limit| {
        let encoding = if packed { encoding.as_str() } else { "identity" };
        let message = match encoding {
            "identity" | "gzip" | "zstd" => unpack_as(encoding, &message, limit),
            other => {
                let what = format!("{other} compression is not accepted by this server; gzip and zstd are");
                Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, what))
            }
        };
        drop((body, room));
        message
    };
    door.store(Form::ProtocolBuffers, bytes, unpacked).await
}

/// The message of a call, and whether it is packed.
fn message(body: &Bytes) -> Result<(bool, Bytes), (StatusCode, String)> {
    let bad = |what: &str| (StatusCode::BAD_REQUEST, format!("the call is damaged: {what}"));
    let Some(([packed, length @ ..], rest)) = body.split_first_chunk::<PREFIX>() else {
        return Err(bad("it has no message"));
    };
    if u32::from_be_bytes(*length) as usize != rest.len() {
        return Err(bad("its message is shorter or longer than it says"));
    }
    match packed {
        0 | 1 => Ok((*packed == 1, body.slice(PREFIX..))),
        _ => Err(bad("its message is neither packed nor plain")),
    }
}

fn answer(message: &[u8]) -> Response {
    let mut frame = Vec::with_capacity(PREFIX + message.len());
    frame.push(0);
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend_from_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from(OK));
    let body = Full::new(Bytes::from(frame)).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    describe(response.headers_mut());
    response
}

/// An answer that is a status only.
pub(crate) fn failure(status: u16, what: &str) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    describe(headers);
    headers.insert(STATUS, HeaderValue::from(status));
    if let Ok(what) = HeaderValue::try_from(escaped(what)) {
        headers.insert(MESSAGE, what);
    }
    response
}

fn describe(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(ACCEPTED, HeaderValue::from_static("identity,gzip,zstd"));
}

/// A text as headers have it: what is not printable, and the percent sign, as hexadecimal digits.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_call_has_one_message_of_the_length_it_says() {
        let of = |bytes: &'static [u8]| message(&Bytes::from_static(bytes));
        assert_eq!(of(b"\0\0\0\0\x02ab").unwrap(), (false, Bytes::from_static(b"ab")));
        assert!(of(b"\x01\0\0\0\0").unwrap().0);
        for damaged in [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x03ab", b"\0\0\0\0\x01ab", b"\x02\0\0\0\0"] {
            assert_eq!(of(damaged).unwrap_err().0, StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn any_text_fits_a_header() {
        assert_eq!(escaped("100 % of \u{e4}\n"), "100 %25 of %C3%A4%0A");
    }
}
