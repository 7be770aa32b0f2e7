//! Changes over HTTP.
//!
//! A body is an entry or an array of entries as JSON, or lines of either entries or operations
//! (`{"op":"remove","url":…}`) as NDJSON. Lines are applied while they arrive, so a body of lines has no
//! limit and needs no memory; the answer tells how many went in and why others did not.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::Value;

use super::{Answer, Ctx, Refusal, Shared, access, blocking, json_answer};
use crate::engine::{Change, Outcome, RedirectPolicy, Summary};
use crate::error::Error;
use crate::import::json::{each_element, line};
use crate::record::Scratch;

/// Bytes of a body that is not lines.
const BODY_BYTES_MAX: usize = 64 << 20;
/// Bytes of a line.
const LINE_BYTES_MAX: usize = 16 << 20;
/// Changes of one commit.
const BATCH: usize = 1024;

/// Changes that were read and not applied yet.
struct Taking<'a> {
    shared: &'a Shared,
    pending: Vec<Change>,
    scratch: Scratch,
    summary: Summary,
}

impl<'a> Taking<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self { shared, pending: Vec::new(), scratch: Scratch::default(), summary: Summary::default() }
    }

    fn take(&mut self, at: u64, change: Result<Option<Change>, String>) {
        match change {
            Ok(None) => {}
            Ok(Some(change)) => self.pending.push(change),
            Err(reason) => self.summary.reject(at, reason),
        }
    }

    fn entry(&mut self, at: u64, json: &[u8]) {
        let change = line(self.shared.engine.site(), json, &mut self.scratch);
        self.take(at, change);
    }

    async fn apply(&mut self) -> Result<(), Refusal> {
        let changes = std::mem::take(&mut self.pending);
        let mut told = Vec::new();
        if self.shared.tell.is_some() {
            for change in &changes {
                told.push(self.shared.engine.site().parts(change.key()?).concat());
            }
        }
        let outcomes = self.shared.inbox.apply(changes).await?;
        for (number, outcome) in outcomes.into_iter().enumerate() {
            self.summary.count(outcome);
            if let (Some(tell), Outcome::Added | Outcome::Updated | Outcome::Removed) =
                (&self.shared.tell, outcome)
            {
                told.get(number).into_iter().for_each(|url| tell.changed(url));
            }
        }
        Ok(())
    }

    async fn finish(mut self) -> Answer {
        self.apply().await?;
        let (summary, metrics) = (&self.summary, &self.shared.metrics);
        for (counter, count) in [
            (&metrics.added, summary.added),
            (&metrics.updated, summary.updated),
            (&metrics.unchanged, summary.unchanged),
            (&metrics.removed, summary.removed),
            (&metrics.rejected, summary.rejected),
        ] {
            counter.add(count);
        }
        let taken = summary.added + summary.updated + summary.unchanged + summary.removed + summary.absent;
        let mut answer = json_answer(summary)?;
        if taken == 0 && summary.rejected > 0 {
            *answer.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        }
        Ok(answer)
    }
}

fn is_lines(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(
        kind.as_str(),
        "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines"
            | "application/json-lines"
    )
}

fn cut_off(error: axum::Error) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, format!("the body can't be read: {error}"))
}

async fn whole(body: Body) -> Result<Bytes, Refusal> {
    let mut stream = body.into_data_stream();
    let Some(first) = stream.next().await else { return Ok(Bytes::new()) };
    let first = first.map_err(cut_off)?;
    let mut all: Option<BytesMut> = None;
    while let Some(next) = stream.next().await {
        let all = all.get_or_insert_with(|| BytesMut::from(&first[..]));
        all.extend_from_slice(&next.map_err(cut_off)?);
        if all.len() > BODY_BYTES_MAX {
            return Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!(
                    "more than {BODY_BYTES_MAX} bytes; send lines (application/x-ndjson), which have no limit"
                ),
            ));
        }
    }
    Ok(all.map_or(first, BytesMut::freeze))
}

async fn lines(taking: &mut Taking<'_>, body: Body) -> Result<(), Refusal> {
    let mut stream = body.into_data_stream();
    let (mut begun, mut number, mut skipping) = (BytesMut::new(), 0, false);
    loop {
        let next = stream.next().await;
        let ended = next.is_none();
        if let Some(next) = next {
            begun.extend_from_slice(&next.map_err(cut_off)?);
        } else if !begun.is_empty() {
            begun.extend_from_slice(b"\n");
        }
        while let Some(end) = memchr::memchr(b'\n', &begun) {
            let one = begun.split_to(end + 1);
            number += 1;
            if std::mem::take(&mut skipping) {
                taking.take(number, Err(format!("the line is longer than {LINE_BYTES_MAX} bytes")));
            } else {
                taking.entry(number, &one);
            }
            if taking.pending.len() >= BATCH {
                taking.apply().await?;
            }
        }
        if begun.len() > LINE_BYTES_MAX {
            skipping = true;
            begun.clear();
        }
        if ended {
            return Ok(());
        }
    }
}

/// Whether these are lines of JSON, though nobody said so.
fn is_lines_anyway(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii();
    let first = memchr::memchr(b'\n', bytes).map(|end| &bytes[..end]);
    first.is_some_and(|first| serde_json::from_slice::<serde::de::IgnoredAny>(first).is_ok())
}

fn json(taking: &mut Taking<'_>, bytes: &[u8]) -> Result<(), Refusal> {
    match bytes.trim_ascii().first() {
        Some(b'[') => {
            each_element(bytes, |at, element| match element {
                Ok(json) => taking.entry(at, json),
                Err(reason) => taking.take(at, Err(reason)),
            });
        }
        Some(_) if is_lines_anyway(bytes) => {
            for (number, one) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
                taking.entry(number, one);
            }
        }
        Some(_) => taking.entry(1, bytes),
        None => {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "the body is empty; send an entry, an array or lines",
            ));
        }
    }
    Ok(())
}

pub(super) async fn add(State(shared): Ctx, headers: HeaderMap, body: Body) -> Answer {
    access::writer(&shared, &headers)?;
    let mut taking = Taking::new(&shared);
    if is_lines(&headers) {
        lines(&mut taking, body).await?;
    } else {
        json(&mut taking, &whole(body).await?)?;
    }
    taking.finish().await
}

pub(super) async fn webhook(State(shared): Ctx, headers: HeaderMap, body: Body) -> Answer {
    let bytes = whole(body).await?;
    access::webhook(&shared, &headers, &bytes, chrono::Utc::now().timestamp())?;
    let mut taking = Taking::new(&shared);
    if is_lines(&headers) {
        lines(&mut taking, Body::from(bytes)).await?;
    } else {
        json(&mut taking, &bytes)?;
    }
    taking.finish().await
}

/// URLs of a query such as `url=…&url=…`.
fn queried(query: Option<&str>) -> Vec<String> {
    let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.filter(|(name, _)| name == "url").map(|(_, url)| url.into_owned()).collect()
}

/// URLs of a body: a text, an object with `url`, or an array of either.
fn named(value: &Value) -> Result<Vec<String>, Refusal> {
    let one = |value: &Value| match value {
        Value::String(url) => Some(url.clone()),
        Value::Object(map) => map.get("url").or_else(|| map.get("loc"))?.as_str().map(str::to_owned),
        _ => None,
    };
    let list = match value {
        Value::Array(list) => list.iter().map(one).collect(),
        other => one(other).map(|url| vec![url]),
    };
    list.ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "the body must name URLs: [\"https://…\", …]"))
}

pub(super) async fn remove(
    State(shared): Ctx,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    access::writer(&shared, &headers)?;
    let mut urls = queried(query.as_deref());
    let bytes = whole(body).await?;
    if !bytes.trim_ascii().is_empty() {
        let values = serde_json::Deserializer::from_slice(&bytes).into_iter::<Value>();
        for value in values {
            let value = value.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
            urls.extend(named(&value)?);
        }
    }
    if urls.is_empty() {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "name what is to be removed: DELETE /urls?url=https://…",
        ));
    }
    let mut taking = Taking::new(&shared);
    for (number, url) in urls.iter().enumerate() {
        let key =
            shared.engine.key(url).map(|key| Some(Change::Remove(key))).map_err(|reason| reason.to_string());
        taking.take(number as u64 + 1, key);
        if taking.pending.len() >= BATCH {
            taking.apply().await?;
        }
    }
    taking.finish().await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Moved {
    from: String,
    to: String,
    #[serde(default = "moved_permanently")]
    status: u16,
    #[serde(default = "policy")]
    policy: RedirectPolicy,
}

fn moved_permanently() -> u16 {
    301
}

fn policy() -> RedirectPolicy {
    RedirectPolicy::Remove
}

pub(super) async fn redirect(State(shared): Ctx, headers: HeaderMap, body: Body) -> Answer {
    access::writer(&shared, &headers)?;
    let bytes = whole(body).await?;
    let moved: Moved = serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let engine = shared.engine.clone();
    blocking(move || engine.redirect(&moved.from, &moved.to, moved.status, moved.policy)).await?;
    json_answer(&serde_json::json!({ "redirected": true }))
}

/// One entry, or all of them as lines.
pub(super) async fn read(State(shared): Ctx, RawQuery(query): RawQuery, headers: HeaderMap) -> Answer {
    // What is not listed is nobody else's business.
    access::writer(&shared, &headers)?;
    if let Some(url) = queried(query.as_deref()).first() {
        return match shared.engine.get(url)? {
            Some(entry) => json_answer(&entry),
            None => Err(Refusal::new(StatusCode::NOT_FOUND, "this URL is not known")),
        };
    }
    Ok(all(&shared)?)
}

fn all(shared: &Arc<Shared>) -> Result<Response, Error> {
    let entries = shared.engine.entries_by_url()?;
    let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(4);
    tokio::task::spawn_blocking(move || {
        let mut text = Vec::with_capacity(64 << 10);
        for entry in entries {
            let written = entry
                .map_err(std::io::Error::other)
                .and_then(|entry| serde_json::to_writer(&mut text, &entry).map_err(std::io::Error::from));
            if let Err(error) = written {
                // Who went away is not told.
                let _ = sender.blocking_send(Err(error));
                return;
            }
            text.push(b'\n');
            if text.len() > 60 << 10 && sender.blocking_send(Ok(std::mem::take(&mut text).into())).is_err() {
                return;
            }
        }
        let _ = sender.blocking_send(Ok(text.into()));
    });
    let stream = futures::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|part| (part, receiver))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(stream)).into_response())
}
