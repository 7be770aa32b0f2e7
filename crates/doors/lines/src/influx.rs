//! InfluxDB's addresses: writing as its versions 1 and 2 have it, and what clients ask before they write.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use luma_intake::lines::influx::{Precision, Reading, read};
use luma_web::Rejected;
use serde_json::json;

use crate::server::Door;

/// What InfluxDB says that it is.
const VERSION: &str = "1.8.10";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

pub(crate) async fn write_1(State(door): State<Door>, request: Request) -> Response {
    write(&door, request, Version::One).await
}

pub(crate) async fn write_2(State(door): State<Door>, request: Request) -> Response {
    write(&door, request, Version::Two).await
}

async fn write(door: &Door, request: Request, version: Version) -> Response {
    let (parts, body) = request.into_parts();
    let parameter = |name: &str| {
        let pairs = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let found = pairs.into_iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let (given, database) = (parameter("precision"), parameter("db"));
    let Some(precision) = Precision::of(&given) else {
        let what = format!("invalid precision {given:?} (use n, u, ms, s, m or h)");
        return failed(version, StatusCode::BAD_REQUEST, &what);
    };
    let taken = door.take(&parts.headers, body, move |text, now, request| {
        Ok::<_, Rejected>(read(text, Reading { precision, now, database: &database }, request))
    });
    match taken.await {
        Ok((lines, taken)) => {
            door.refused(lines.wrong);
            let mut what = lines.errors;
            what.extend(taken.why);
            if what.is_empty() {
                return StatusCode::NO_CONTENT.into_response();
            }
            let what = format!("partial write: {} dropped={}", what.join("\n"), lines.wrong + taken.refused);
            failed(version, StatusCode::BAD_REQUEST, &what)
        }
        Err(rejected) => failed(version, rejected.status, &rejected.what),
    }
}

fn failed(version: Version, status: StatusCode, what: &str) -> Response {
    let body = match version {
        Version::One => json!({ "error": what }),
        Version::Two => {
            let code = match status {
                StatusCode::BAD_REQUEST => "invalid",
                StatusCode::PAYLOAD_TOO_LARGE => "request too large",
                StatusCode::SERVICE_UNAVAILABLE => "unavailable",
                _ => "internal error",
            };
            json!({ "code": code, "message": what })
        }
    };
    let mut response = json_response(status, &body);
    if let (Version::One, Ok(what)) = (version, HeaderValue::from_str(&what.replace(['\n', '\r'], " "))) {
        response.headers_mut().insert("x-influxdb-error", what);
    }
    response
}

fn json_response(status: StatusCode, body: &serde_json::Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, body.to_string()).into_response()
}

/// Says that somebody is there.
pub(crate) async fn ping() -> Response {
    let mut headers = HeaderMap::new();
    headers.insert("x-influxdb-version", HeaderValue::from_static(VERSION));
    headers.insert("x-influxdb-build", HeaderValue::from_static("LumaDB"));
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Answers what clients ask before they write: that there is the database they want. Its name becomes a label.
pub(crate) async fn query(State(door): State<Door>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let form = match door.form(&parts.headers, body).await {
        Ok(form) => form,
        Err(rejected) => return failed(Version::One, rejected.status, &rejected.what),
    };
    let address = parts.uri.query().unwrap_or_default().as_bytes();
    let asked =
        form_urlencoded::parse(&form).chain(form_urlencoded::parse(address)).find(|(name, _)| name == "q");
    let asked = asked.map(|(_, value)| value.into_owned()).unwrap_or_default();
    let words: Vec<String> = asked.split_whitespace().take(2).map(str::to_ascii_uppercase).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["CREATE", "DATABASE"] => {
            json_response(StatusCode::OK, &json!({ "results": [{ "statement_id": 0 }] }))
        }
        _ => {
            let what = "only CREATE DATABASE is answered here; ask in PromQL at /api/v1/query";
            failed(Version::One, StatusCode::BAD_REQUEST, what)
        }
    }
}
