//! Targets as Prometheus' HTTP interface tells them.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use luma_promql::answer::{write_labels, write_list, write_text};
use luma_promql::{Matcher, matches_all};
use luma_targets::LabelSet;

use crate::manager::{Manager, Seen};
use crate::pool::Shown;

/// What a time before the first scrape is shown as.
const NEVER: &str = "0001-01-01T00:00:00Z";

impl Manager {
    /// The `data` of `/api/v1/targets`: those that are asked, those that are not, of one job or all.
    pub fn targets(&self, active: bool, dropped: bool, job: Option<&str>) -> String {
        let mut seen: Vec<Seen> =
            self.seen().into_iter().filter(|seen| job.is_none_or(|job| job == seen.job)).collect();
        seen.sort_by(|a, b| a.job.cmp(&b.job));
        let mut out = String::from("{\"activeTargets\":[");
        let mut first = true;
        for Seen { job, view } in seen.iter().filter(|_| active) {
            for shown in &view.lock().active {
                separate(&mut first, &mut out);
                write_active(job, shown, &mut out);
            }
        }
        out.push_str("],\"droppedTargets\":[");
        first = true;
        for Seen { job, view } in seen.iter().filter(|_| dropped) {
            for labels in &view.lock().dropped {
                separate(&mut first, &mut out);
                out.push_str("{\"discoveredLabels\":");
                write_set(labels, &mut out);
                out.push_str(",\"scrapePool\":");
                write_text(job, &mut out);
                out.push('}');
            }
        }
        out.push_str("],\"droppedTargetCounts\":{");
        first = true;
        for Seen { job, view } in &seen {
            separate(&mut first, &mut out);
            write_text(job, &mut out);
            let _ = write!(out, ":{}", if dropped { view.lock().dropped_count } else { 0 });
        }
        out.push_str("}}");
        out
    }

    /// The `data` of `/api/v1/targets/metadata`, of targets whose labels fulfil some matchers; `None` if there is nothing.
    pub fn metadata(&self, matchers: &[Matcher], metric: &str, limit: usize) -> Option<String> {
        let mut out = String::from("[");
        let mut first = true;
        let mut left = limit;
        for Seen { view, .. } in self.seen() {
            for Shown { target, state } in &view.lock().active {
                if !matches_all(matchers, &target.labels) {
                    continue;
                }
                let metadata = std::sync::Arc::clone(&state.lock().metadata);
                for (family, about) in metadata.iter().filter(|(own, _)| metric.is_empty() || *own == metric)
                {
                    left = match left.checked_sub(1) {
                        Some(left) => left,
                        None => break,
                    };
                    separate(&mut first, &mut out);
                    out.push_str("{\"target\":");
                    write_labels(&target.labels, &mut out);
                    if metric.is_empty() {
                        out.push_str(",\"metric\":");
                        write_text(family, &mut out);
                    }
                    for (name, text) in [("type", &about.kind), ("help", &about.help), ("unit", &about.unit)]
                    {
                        let _ = write!(out, ",\"{name}\":");
                        write_text(text, &mut out);
                    }
                    out.push('}');
                }
            }
        }
        out.push(']');
        (!first).then_some(out)
    }

    /// The `data` of `/api/v1/scrape_pools`.
    pub fn pools(&self) -> String {
        let mut names: Vec<String> = self.seen().into_iter().map(|seen| seen.job).collect();
        names.sort();
        let mut out = String::from("{\"scrapePools\":");
        write_list(&names, &mut out, |name, out| write_text(name, out));
        out.push('}');
        out
    }
}

fn separate(first: &mut bool, out: &mut String) {
    if !std::mem::take(first) {
        out.push(',');
    }
}

fn write_set(labels: &LabelSet, out: &mut String) {
    out.push('{');
    let mut first = true;
    for (name, value) in labels.iter() {
        separate(&mut first, out);
        write_text(name, out);
        out.push(':');
        write_text(value, out);
    }
    out.push('}');
}

fn write_active(job: &str, shown: &Shown, out: &mut String) {
    let Shown { target, state } = shown;
    let state = state.lock().clone();
    out.push_str("{\"discoveredLabels\":");
    write_set(&target.discovered, out);
    out.push_str(",\"labels\":");
    write_labels(&target.labels, out);
    let (health, error) = match &state.health {
        None => ("unknown", ""),
        Some(Ok(())) => ("up", ""),
        Some(Err(what)) => ("down", what.as_str()),
    };
    for (name, text) in [
        ("scrapePool", job),
        ("scrapeUrl", target.url.as_str()),
        ("globalUrl", target.url.as_str()),
        ("lastError", error),
    ] {
        let _ = write!(out, ",\"{name}\":");
        write_text(text, out);
    }
    let at = state.at.and_then(DateTime::<Utc>::from_timestamp_millis);
    let at = at.map_or_else(|| NEVER.to_owned(), |at| at.to_rfc3339_opts(SecondsFormat::Millis, true));
    let _ = write!(
        out,
        ",\"lastScrape\":\"{at}\",\"lastScrapeDuration\":{},\"health\":\"{health}\",\"scrapeInterval\":",
        state.took.as_secs_f64()
    );
    write_text(&target.interval.1, out);
    out.push_str(",\"scrapeTimeout\":");
    write_text(&target.timeout.1, out);
    out.push('}');
}
