//! Bodies of requests, as far as they are not too long.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::BytesMut;
use http_body_util::BodyExt;

use crate::Room;

/// The longest form.
const FORM_BYTES_MAX: usize = 10 << 20;

/// A body that could not be read, and the status its client gets.
pub type Unread = (StatusCode, String);

/// All of a body.
///
/// # Errors
/// When it is longer than the limit in bytes, finds no room, or breaks off.
pub async fn whole(
    headers: &HeaderMap,
    mut body: Body,
    limit: usize,
    room: &mut Room,
) -> Result<Bytes, Unread> {
    let too_long = || {
        let what = format!("the request's body is over the limit of {limit} bytes; send it in parts");
        (StatusCode::PAYLOAD_TOO_LARGE, what)
    };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit as u64) {
        drain(body, limit).await;
        return Err(too_long());
    }
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            (StatusCode::BAD_REQUEST, format!("the request's body could not be read: {error}"))
        })?;
        let Ok(part) = frame.into_data() else { continue };
        if collected.len() + part.len() > limit {
            drain(body, limit).await;
            return Err(too_long());
        }
        if !room.grow(part.len()) {
            let what = "the server holds as many bytes of requests as it may; try again later";
            return Err((StatusCode::SERVICE_UNAVAILABLE, what.to_owned()));
        }
        collected.extend_from_slice(&part);
    }
    Ok(collected.freeze())
}

/// Reads on for a while: a client that is still sending when the connection ends may never see the answer.
async fn drain(mut body: Body, limit: usize) {
    let mut left = limit;
    while let Some(Ok(frame)) = body.frame().await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// The form in a body; empty if there is none.
///
/// # Errors
/// As [`whole`].
pub async fn form(headers: &HeaderMap, body: Body, room: &mut Room) -> Result<Bytes, Unread> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(Bytes::new());
    }
    whole(headers, body, FORM_BYTES_MAX, room).await
}
