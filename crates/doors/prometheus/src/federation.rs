//! `/federate`: the current values of chosen series, in Prometheus' text form.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use luma_promql::{Labels, METRIC_NAME, Matcher, Select, Source, format_general, is_stale, parse_selector};

use crate::params::Params;
use crate::reply::{Failure, packed, text};
use crate::server::Door;

const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) async fn federate(State(door): State<Door>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let params = Params::new(&Bytes::new(), parts.uri.query().unwrap_or_default());
    let mut selectors = Vec::new();
    for selector in params.all("match[]") {
        match parse_selector(selector) {
            Ok(matchers) => selectors.push(matchers),
            Err(error) => return text(StatusCode::BAD_REQUEST, error.to_string()),
        }
    }
    let runner = door.clone();
    match runner.run(runner.deadline(), move |_| exposition(&door, &selectors)).await {
        Ok(body) => packed(&parts.headers, StatusCode::OK, KIND, body.into_bytes()),
        Err(failure) => {
            let status = StatusCode::from_u16(failure.kind.status());
            text(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), failure.message)
        }
    }
}

fn exposition(door: &Door, selectors: &[Vec<Matcher>]) -> Result<String, Failure> {
    let end = Door::now_ms();
    let start = end - door.options().lookback.as_millis() as i64;
    let mut current: BTreeMap<Labels, (i64, f64)> = BTreeMap::new();
    for matchers in selectors {
        let request = Select { matchers, start, end };
        let failed = |error| Failure::from(luma_promql::Error::Source(error));
        for data in door.store().select(&request).map_err(failed)? {
            let data = data.map_err(failed)?;
            // Neither markers nor native histograms can be written in this form.
            let newest_histogram = data.histograms.last().map_or(i64::MIN, |point| point.t);
            if let Some(point) = data.floats.last().filter(|p| !is_stale(p.v) && p.t > newest_histogram) {
                current.insert(data.labels, (point.t, point.v));
            }
        }
    }
    let mut by_name: Vec<_> = current.iter().filter(|(labels, _)| !labels.metric_name().is_empty()).collect();
    by_name.sort_by_key(|(labels, _)| labels.metric_name().to_owned());
    let mut out = String::new();
    let mut before = "";
    for (labels, (t, value)) in by_name {
        let name = labels.metric_name();
        if name != before {
            let _ = writeln!(out, "# TYPE {} untyped", family(name));
            before = name;
        }
        line(labels, *t, *value, &mut out);
    }
    Ok(out)
}

fn line(labels: &Labels, t: i64, value: f64, out: &mut String) {
    let name = labels.metric_name();
    let plain = is_plain(name, true);
    if plain {
        out.push_str(name);
    }
    out.push('{');
    if !plain {
        let _ = write!(out, "\"{}\",", escaped(name));
    }
    let mut first = true;
    // Whoever federates sets an instance of its own unless there is one.
    let instance = labels.find("instance").is_none().then_some(("instance", ""));
    for (label, value) in labels.iter().filter(|(label, _)| *label != METRIC_NAME).chain(instance) {
        if !first {
            out.push(',');
        }
        first = false;
        if is_plain(label, false) {
            out.push_str(label);
        } else {
            let _ = write!(out, "\"{}\"", escaped(label));
        }
        let _ = write!(out, "=\"{}\"", escaped(value));
    }
    let _ = writeln!(out, "}} {} {t}", format_general(value));
}

fn family(name: &str) -> String {
    if is_plain(name, true) { name.to_owned() } else { format!("\"{}\"", escaped(name)) }
}

/// Whether a name can stand without quotes.
fn is_plain(name: &str, metric: bool) -> bool {
    let may = |c: char| c == '_' || c.is_ascii_alphabetic() || (metric && c == ':');
    name.chars().next().is_some_and(may) && name.chars().all(|c| may(c) || c.is_ascii_digit())
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_and_values_that_need_it_are_quoted() {
        let mut out = String::new();
        line(&Labels::new([("__name__", "up"), ("a", "x\"y\n"), ("instance", "h")]), 5, 1.0, &mut out);
        line(&Labels::new([("__name__", "a.b"), ("c.d", "e")]), -7, 1e7, &mut out);
        assert_eq!(
            out,
            "up{a=\"x\\\"y\\n\",instance=\"h\"} 1 5\n{\"a.b\",\"c.d\"=\"e\",instance=\"\"} 1e+07 -7\n"
        );
    }
}
