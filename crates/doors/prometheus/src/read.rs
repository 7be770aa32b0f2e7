//! `read`: remote read, as whole series or as a stream of chunks.
//!
//! Series come in the order of their labels, samples as they were stored, markers of the end included. A
//! stream holds one series at a time and stops when its client goes away.

mod bits;
mod chunk;
mod message;

use std::sync::atomic::Ordering;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use luma_promql::answer::ErrorKind;
use luma_promql::{Select, SeriesData};
use tokio::sync::mpsc;
use tracing::warn;

use crate::body;
use crate::compression::{pack_snappy, unpack_snappy};
use crate::reply::{Failure, text};
use crate::server::Door;
use crate::wire::Writer;
use luma_web::UNPACKED_FACTOR;
use message::{ReadQuery, ReadRequest};

/// How many bytes of chunks a frame has at least, unless its series ends.
const FRAME_BYTES: usize = 1 << 20;
/// How many frames may wait for the client.
const FRAMES_AHEAD: usize = 2;

pub(crate) async fn read(State(door): State<Door>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let limit = door.options().request_bytes_max;
    let unpacked = match body::whole(&parts.headers, body, limit, &mut door.room()).await {
        Ok(body) => unpack_snappy(&body, limit.saturating_mul(UNPACKED_FACTOR)),
        Err(unread) => Err(unread),
    };
    let message = match unpacked {
        Ok(message) => message,
        Err((status, what)) => return text(status, what),
    };
    let request = match message::read(&message) {
        Ok(request) => request,
        Err(what) => return text(StatusCode::BAD_REQUEST, what),
    };
    if request.takes_chunks { stream(door, request) } else { whole(door, request).await }
}

/// Answers with all samples in one message.
async fn whole(door: Door, request: ReadRequest) -> Response {
    let runner = door.clone();
    let work = move |_| {
        let mut left = door.options().query_max_samples;
        let mut response = Writer::default();
        for query in &request.queries {
            let mut result = Writer::default();
            for data in selected(&door, query)? {
                let data = data?;
                let samples = data.floats.len() + data.histograms.len();
                left = left.checked_sub(samples).ok_or_else(|| {
                    let limit = door.options().query_max_samples;
                    Failure::bad_data(format!("exceeded sample limit ({limit})"))
                })?;
                if samples > 0 {
                    result.message(1, |series| message::write_series(&data, series));
                }
            }
            response.bytes(1, &result.0);
        }
        pack_snappy(&response.0).map_err(|error| Failure::new(ErrorKind::Internal, error.to_string()))
    };
    match runner.run(runner.deadline(), work).await {
        Ok(packed) => {
            let headers =
                [(header::CONTENT_TYPE, "application/x-protobuf"), (header::CONTENT_ENCODING, "snappy")];
            (headers, packed).into_response()
        }
        Err(failure) => {
            let status = StatusCode::from_u16(failure.kind.status());
            text(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), failure.message)
        }
    }
}

/// Answers with frames of chunks as they are made. A failure on the way cuts the answer off, which its client
/// notices.
fn stream(door: Door, request: ReadRequest) -> Response {
    let (sender, mut frames) = mpsc::channel::<Result<Bytes, std::io::Error>>(FRAMES_AHEAD);
    let runner = door.clone();
    tokio::spawn(async move {
        let failed = sender.clone();
        let work = move |cancel: std::sync::Arc<std::sync::atomic::AtomicBool>| {
            for (index, query) in request.queries.iter().enumerate() {
                for data in selected(&door, query)? {
                    if cancel.load(Ordering::Relaxed) || !send(&sender, index, &data?) {
                        return Ok(());
                    }
                }
            }
            Ok(())
        };
        let closed = failed.clone();
        let done = runner.run(runner.deadline(), work);
        tokio::select! {
            outcome = done => if let Err(failure) = outcome {
                warn!(%failure, "a stream of chunks was cut off");
                let _ = failed.send(Err(std::io::Error::other(failure.message))).await;
            },
            () = closed.closed() => {}
        }
    });
    let body = Body::from_stream(futures::stream::poll_fn(move |cx| frames.poll_recv(cx)));
    let mut response = Response::new(body);
    let kind =
        HeaderValue::from_static("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Sends a series in frames; whether someone still takes them.
fn send(sender: &mpsc::Sender<Result<Bytes, std::io::Error>>, query: usize, data: &SeriesData) -> bool {
    let mut chunks = chunk::of_series(data).peekable();
    while chunks.peek().is_some() {
        let mut series = Writer::default();
        message::write_labels(&data.labels, &mut series);
        let mut bytes = 0;
        while bytes < FRAME_BYTES
            && let Some(chunk) = chunks.next()
        {
            bytes += chunk.data.len();
            series.message(2, |writer| message::write_chunk(&chunk, writer));
        }
        let mut frame = Writer::default();
        frame.bytes(1, &series.0);
        frame.signed(2, query as i64);
        let mut framed = Writer::default();
        framed.varint(frame.0.len() as u64);
        framed.0.extend_from_slice(&crc32c::crc32c(&frame.0).to_be_bytes());
        framed.0.extend_from_slice(&frame.0);
        if sender.blocking_send(Ok(framed.0.into())).is_err() {
            return false;
        }
    }
    true
}

fn selected<'d>(
    door: &'d Door,
    query: &ReadQuery,
) -> Result<impl Iterator<Item = Result<SeriesData, Failure>> + 'd, Failure> {
    let failed = |error| Failure::from(luma_promql::Error::Source(error));
    let request = Select { matchers: &query.matchers, start: query.start, end: query.end };
    let series = door.store().select_sorted(&request).map_err(failed)?;
    let has_samples = |data: &SeriesData| !data.floats.is_empty() || !data.histograms.is_empty();
    let series = series.filter(move |data| data.as_ref().map_or(true, has_samples));
    Ok(series.map(move |data| data.map_err(failed)))
}
