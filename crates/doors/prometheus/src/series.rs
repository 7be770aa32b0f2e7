//! What there is: series, label names and values, metadata, exemplars.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use luma_promql::answer::{write_labels, write_list, write_text, write_time};
use luma_promql::{Matcher, parse};

use crate::params::Params;
use crate::query::number;
use crate::reply::{Failure, Success};
use crate::server::Door;

/// What a label name begins with that is written in letters, digits and underscores only.
const ESCAPED: &str = "U__";

pub(crate) async fn series(door: Door, params: Params) -> Result<Success, Failure> {
    let limit = params.limit("limit")?;
    if params.all("match[]").next().is_none() {
        return Err(Failure::bad_data("no match[] parameter provided"));
    }
    let (start, end) = params.period()?;
    let selectors = params.selectors()?;
    let runner = door.clone();
    let work = move |_| {
        let mut found = BTreeSet::new();
        for matchers in &selectors {
            found.extend(door.store().series(matchers, start, end).map_err(Failure::of_store)?);
        }
        let truncated = found.len() > limit;
        while found.len() > limit {
            found.pop_last();
        }
        let mut data = String::new();
        write_list(&Vec::from_iter(found), &mut data, write_labels);
        Ok(Success::of(data).truncated(truncated))
    };
    runner.run(runner.deadline(), work).await
}

pub(crate) async fn label_names(door: Door, params: Params) -> Result<Success, Failure> {
    texts(door, params, |door, matchers, (from, to)| door.store().label_names(matchers, from, to)).await
}

pub(crate) async fn label_values(door: Door, name: String, params: Params) -> Result<Success, Failure> {
    let name = unescaped(&name);
    if name.is_empty() {
        return Err(Failure::bad_data("invalid label name: \"\""));
    }
    let values = move |door: &Door, matchers: &[Matcher], (from, to): (i64, i64)| {
        door.store().label_values(&name, matchers, from, to)
    };
    texts(door, params, values).await
}

/// Names or values of labels of the series that some selectors choose, or of all.
async fn texts(
    door: Door,
    params: Params,
    of: impl Fn(&Door, &[Matcher], (i64, i64)) -> luma_telemetry::Result<BTreeSet<Arc<str>>> + Send + 'static,
) -> Result<Success, Failure> {
    let limit = params.limit("limit")?;
    let (start, end) = params.period()?;
    let selectors = params.selectors()?;
    let runner = door.clone();
    let work = move |_| {
        let mut found = BTreeSet::new();
        if selectors.is_empty() {
            found = of(&door, &[], (start, end)).map_err(Failure::of_store)?;
        }
        for matchers in &selectors {
            found.append(&mut of(&door, matchers, (start, end)).map_err(Failure::of_store)?);
        }
        let truncated = found.len() > limit;
        let found: Vec<Arc<str>> = found.into_iter().take(limit).collect();
        let mut data = String::new();
        write_list(&found, &mut data, |text, out| write_text(text, out));
        Ok(Success::of(data).truncated(truncated))
    };
    runner.run(runner.deadline(), work).await
}

pub(crate) async fn metadata(door: Door, params: Params) -> Result<Success, Failure> {
    let (limit, per_metric) = (params.limit("limit")?, params.limit("limit_per_metric")?);
    let wanted = params.get("metric");
    let all = door.store().metadata();
    let chosen = all.iter().filter(|(name, _)| wanted.is_empty() || ***name == *wanted);
    let mut data = String::from("{");
    for (at, (name, metadata)) in chosen.take(limit).enumerate() {
        if at > 0 {
            data.push(',');
        }
        write_text(name, &mut data);
        data.push_str(":[");
        if per_metric > 0 {
            for (before, text) in [
                ("{\"type\":", &metadata.kind),
                (",\"help\":", &metadata.help),
                (",\"unit\":", &metadata.unit),
            ] {
                data.push_str(before);
                write_text(text, &mut data);
            }
            data.push('}');
        }
        data.push(']');
    }
    data.push('}');
    Ok(Success::of(data))
}

pub(crate) async fn exemplars(door: Door, params: Params) -> Result<Success, Failure> {
    let (start, end) = params.period()?;
    if end < start {
        return Err(Failure::bad_data("end timestamp must not be before start timestamp"));
    }
    let expr = parse(params.get("query")).map_err(Failure::from_parse)?;
    let selectors = expr.selectors();
    let mut found = BTreeMap::new();
    for selector in selectors {
        let of_selector = door.store().exemplars(&selector.matchers, start, end);
        found.extend(of_selector.map_err(Failure::of_store)?);
    }
    let mut data = String::new();
    write_list(&Vec::from_iter(found), &mut data, |(labels, exemplars), out| {
        out.push_str("{\"seriesLabels\":");
        write_labels(labels, out);
        out.push_str(",\"exemplars\":");
        write_list(exemplars, out, |exemplar, out| {
            out.push_str("{\"labels\":");
            write_labels(&exemplar.labels, out);
            let _ = write!(out, ",\"value\":\"{}\",\"timestamp\":", number(exemplar.value));
            write_time(exemplar.t, out);
            out.push('}');
        });
        out.push('}');
    });
    Ok(Success::of(data))
}

/// A label name as it is, of one that may be escaped: `U__`, then `__` for an underscore and `_hex_` for any
/// other character that is no letter or digit.
fn unescaped(name: &str) -> String {
    let Some(escaped) = name.strip_prefix(ESCAPED) else { return name.to_owned() };
    decoded(escaped).unwrap_or_else(|| name.to_owned())
}

fn decoded(escaped: &str) -> Option<String> {
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let (digits, after) = rest.split_once('_')?;
        if digits.is_empty() || digits.len() > 6 {
            return None;
        }
        out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_label_names_are_read_as_what_they_stand_for() {
        assert_eq!(unescaped("job"), "job");
        assert_eq!(unescaped("U__http_2e_status__code"), "http.status_code");
        assert_eq!(unescaped("U__a_1f600_"), "a\u{1f600}");
        // What is not escaped well is itself.
        for other in ["U__a_", "U__a_zz_", "U__a_d800_", "U__a_1234567_", "U_a"] {
            assert_eq!(unescaped(other), other);
        }
    }
}
