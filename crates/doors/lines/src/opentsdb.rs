//! OpenTSDB's `/api/put`.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use luma_intake::lines::opentsdb::read_json;
use luma_web::Rejected;
use serde_json::{Value, json};

use crate::server::Door;

/// How many points that are no good are told one by one.
const DETAILS_MAX: usize = 1000;

pub(crate) async fn put(State(door): State<Door>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let asked = |name: &str| {
        let mut pairs = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        pairs.any(|(own, value)| own == name && value != "false")
    };
    let (details, summary) = (asked("details"), asked("summary"));
    let taken = door.take(&parts.headers, body, |text, now, request| {
        read_json(text, now, request).map_err(|error| Rejected {
            status: StatusCode::BAD_REQUEST,
            what: format!("Unable to parse the given JSON: {error}"),
        })
    });
    let (points, taken) = match taken.await {
        Ok(taken) => taken,
        Err(rejected) => return failed(rejected.status, &rejected.what, ""),
    };
    door.refused(points.wrong.len());
    let wrong = points.wrong.len() + taken.refused;
    if wrong == 0 && !details && !summary {
        return StatusCode::NO_CONTENT.into_response();
    }
    let status = if wrong == 0 { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    if !details && !summary {
        let what = "One or more data points had errors";
        let more = taken.why.or_else(|| points.wrong.first().map(|(_, what)| what.clone()));
        return failed(status, what, &more.unwrap_or_default());
    }
    let mut answer = json!({ "success": points.count.saturating_sub(wrong), "failed": wrong });
    if details && let Some(answer) = answer.as_object_mut() {
        let told = points.wrong.into_iter().take(DETAILS_MAX);
        let told = told.map(|(point, what)| json!({ "datapoint": point, "error": what }));
        // Which point the store refused is in its text.
        let store = taken.why.map(|what| json!({ "datapoint": Value::Null, "error": what }));
        answer.insert("errors".to_owned(), told.chain(store).collect());
    }
    answered(status, &answer)
}

fn answered(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json; charset=UTF-8")], body.to_string()).into_response()
}

fn failed(status: StatusCode, what: &str, more: &str) -> Response {
    let answer = json!({ "error": { "code": status.as_u16(), "message": what, "details": more } });
    answered(status, &answer)
}
