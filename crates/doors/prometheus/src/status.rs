//! What the server says of itself, and its rules.

use std::fmt::Write as _;
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use luma_promql::FUNCTIONS;
use luma_promql::answer::{write_list, write_text};
use luma_promql::ast::AggregateOp;
use luma_rules::Filter;

use crate::params::Params;
use crate::reply::{Failure, Success};
use crate::server::Door;

type Outcome = Result<Success, Failure>;

/// The release of Prometheus whose interface this is: clients choose what they ask for by it.
const PROMETHEUS: &str = "3.7.0";

pub(crate) async fn alertmanagers(door: Door, _: Params) -> Outcome {
    if let Some(rules) = &door.options().rules {
        return Ok(Success::of(rules.alertmanagers()));
    }
    Ok(Success::of(r#"{"activeAlertmanagers":[],"droppedAlertmanagers":[]}"#))
}

pub(crate) async fn rules(door: Door, params: Params) -> Outcome {
    let all = |name| params.all(name).map(str::to_owned).collect();
    let (group_limit, next) = page(&params)?;
    match params.get("type") {
        kind @ ("" | "alert" | "record") => {
            let filter = Filter {
                kind: kind.to_owned(),
                rules: all("rule_name[]"),
                groups: all("rule_group[]"),
                files: all("file[]"),
                exclude_alerts: params.get("exclude_alerts") == "true",
                group_limit,
                group_next_token: next.to_owned(),
            };
            let Some(rules) = &door.options().rules else { return Ok(Success::of(r#"{"groups":[]}"#)) };
            rules.rules(&filter).map(Success::of).ok_or_else(|| {
                let what = format!("invalid group_next_token '{next}'. were rule groups changed?");
                Failure::parameter("group_next_token", what)
            })
        }
        other => Err(Failure::parameter("type", format!("not supported value \"{other}\""))),
    }
}

/// How many groups a page has (0 for all), and where it begins.
fn page(params: &Params) -> Result<(usize, &str), Failure> {
    let (limit, next) = (params.get("group_limit"), params.get("group_next_token"));
    let wrong = |name: &str, what: &str| Err(Failure::parameter(name, what));
    match limit.parse::<usize>() {
        _ if limit.is_empty() && next.is_empty() => Ok((0, next)),
        _ if limit.is_empty() => {
            wrong("group_limit", "group_limit needs to be present in order to paginate over the groups")
        }
        Ok(0) => wrong("group_limit", "group_limit needs to be greater than 0"),
        Ok(limit) => Ok((limit, next)),
        Err(_) => wrong("group_limit", "group_limit needs to be a valid number"),
    }
}

pub(crate) async fn alerts(door: Door, _: Params) -> Outcome {
    if let Some(rules) = &door.options().rules {
        return Ok(Success::of(rules.alerts()));
    }
    Ok(Success::of(r#"{"alerts":[]}"#))
}

/// What can be asked for, by part and name.
pub(crate) async fn features(_: Door, _: Params) -> Outcome {
    let mut data = String::from("{");
    let mut part = |name: &str, features: &mut dyn Iterator<Item = &'static str>| {
        if data.len() > 1 {
            data.push(',');
        }
        let _ = write!(data, "\"{name}\":{{");
        for (at, feature) in features.enumerate() {
            let _ = write!(data, "{}\"{feature}\":true", if at > 0 { "," } else { "" });
        }
        data.push('}');
    };
    let api = ["admin", "exclude_alerts", "label_values_match", "query_stats", "remote_write_receiver"];
    part("api", &mut api.into_iter());
    let language = [
        "anchored",
        "at_modifier",
        "bool",
        "by",
        "delayed_name_removal",
        "duration_expr",
        "fill",
        "group_left",
        "group_right",
        "ignoring",
        "negative_offset",
        "offset",
        "on",
        "per_query_lookback_delta",
        "smoothed",
        "subqueries",
        "without",
    ];
    part("promql", &mut language.into_iter());
    part("promql_functions", &mut FUNCTIONS.iter().map(|function| function.name));
    let aggregations = [
        AggregateOp::Sum,
        AggregateOp::Avg,
        AggregateOp::Count,
        AggregateOp::Min,
        AggregateOp::Max,
        AggregateOp::Group,
        AggregateOp::Stddev,
        AggregateOp::Stdvar,
        AggregateOp::Topk,
        AggregateOp::Bottomk,
        AggregateOp::CountValues,
        AggregateOp::Quantile,
        AggregateOp::Limitk,
        AggregateOp::LimitRatio,
    ];
    part("promql_operators", &mut aggregations.into_iter().map(AggregateOp::name));
    part("tsdb", &mut ["exemplars", "native_histograms", "out_of_order"].into_iter());
    data.push('}');
    Ok(Success::of(data))
}

pub(crate) async fn build(_: Door, _: Params) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    Ok(Success::of(format!(
        r#"{{"version":"{PROMETHEUS}","revision":"lumadb-{version}","branch":"main","buildUser":"lumadb","buildDate":"","goVersion":""}}"#
    )))
}

pub(crate) async fn runtime(door: Door, _: Params) -> Outcome {
    let started = date(door.started());
    let directory = std::env::current_dir().unwrap_or_default().display().to_string();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut data = format!(r#"{{"startTime":"{started}","CWD":"#);
    write_text(&directory, &mut data);
    data.push_str(",\"hostname\":");
    write_text(host.trim(), &mut data);
    let now = date(SystemTime::now());
    let _ = write!(
        data,
        r#","serverTime":"{now}","reloadConfigSuccess":true,"lastConfigTime":"{started}","corruptionCount":0,"goroutineCount":{threads},"GOMAXPROCS":{threads},"GOMEMLIMIT":0,"GOGC":"","GODEBUG":"","storageRetention":""}}"#
    );
    Ok(Success::of(data))
}

fn date(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Nanos, true)
}

pub(crate) async fn configuration(door: Door, _: Params) -> Outcome {
    let mut data = String::from("{\"yaml\":");
    write_text(&door.options().configuration, &mut data);
    data.push('}');
    Ok(Success::of(data))
}

pub(crate) async fn flags(door: Door, _: Params) -> Outcome {
    let mut data = String::from("{");
    for (at, (name, value)) in door.options().flags.iter().enumerate() {
        if at > 0 {
            data.push(',');
        }
        write_text(name, &mut data);
        data.push(':');
        write_text(value, &mut data);
    }
    data.push('}');
    Ok(Success::of(data))
}

pub(crate) async fn replay(_: Door, _: Params) -> Outcome {
    Ok(Success::of(r#"{"min":0,"max":0,"current":0}"#))
}

/// How many items each list of the answer has unless told.
const TOP: usize = 10;
/// And at most.
const TOP_MAX: usize = 10_000;

pub(crate) async fn store(door: Door, params: Params) -> Outcome {
    let limit = match params.get("limit") {
        "" => TOP,
        text => match text.parse::<usize>() {
            Ok(limit) if (1..=TOP_MAX).contains(&limit) => limit,
            Ok(0) => return Err(Failure::bad_data("limit must be a positive number")),
            Ok(_) => return Err(Failure::bad_data(format!("limit must not exceed {TOP_MAX}"))),
            Err(_) => return Err(Failure::bad_data("limit must be a positive number")),
        },
    };
    let runner = door.clone();
    let work = move |_| {
        let cardinality = door.store().cardinality(limit);
        let (first, last) = door.store().period().unwrap_or((i64::MAX, i64::MIN));
        let mut data = format!(
            r#"{{"headStats":{{"numSeries":{},"numLabelPairs":{},"chunkCount":{},"minTime":{first},"maxTime":{last}}}"#,
            cardinality.series, cardinality.pairs, cardinality.chunks,
        );
        for (name, list) in [
            ("seriesCountByMetricName", &cardinality.series_by_metric),
            ("labelValueCountByLabelName", &cardinality.values_by_label),
            ("memoryInBytesByLabelName", &cardinality.bytes_by_label),
            ("seriesCountByLabelValuePair", &cardinality.series_by_pair),
        ] {
            let _ = write!(data, ",\"{name}\":");
            write_list(list, &mut data, |(name, count), out| {
                out.push_str("{\"name\":");
                write_text(name, out);
                let _ = write!(out, ",\"value\":{count}}}");
            });
        }
        data.push('}');
        Ok(Success::of(data))
    };
    runner.run(runner.deadline(), work).await
}
