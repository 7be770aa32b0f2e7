//! `query` and `query_range`.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use luma_promql::answer::{write_number, write_value};
use luma_promql::{Answer, Options, Source, Value, instant, range};

use crate::answers::RangeQuery;
use crate::metrics::Metrics;
use crate::params::{Params, duration};
use crate::reply::{Failure, Success};
use crate::server::Door;

/// The most points a series may have in the answer to a range query.
const STEPS_MAX: i64 = 11_000;

/// The languages of queries, by the parameter `dialect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Dialect {
    PromQl,
    MetricsQl,
}

impl Dialect {
    fn named(name: &str) -> Result<Self, Failure> {
        match name {
            "" | "promql" => Ok(Self::PromQl),
            "metricsql" => Ok(Self::MetricsQl),
            other => {
                let what = format!("unknown dialect {other:?}; promql and metricsql are known");
                Err(Failure::parameter("dialect", what))
            }
        }
    }

    /// Evaluates a query at one time; the step is that of MetricsQL.
    fn instant(
        self,
        store: &dyn Source,
        query: &str,
        t: i64,
        step: Option<i64>,
        options: &Options,
    ) -> luma_promql::Result<Answer> {
        match self {
            Self::PromQl => instant(store, query, t, options),
            Self::MetricsQl => luma_metricsql::instant(store, query, t, step, options),
        }
    }

    /// How far behind a step's time its value may depend on samples, if steps stand for themselves. A window of MetricsQL depends
    /// on how far samples are apart that come first in the range.
    pub(crate) fn ahead_of_step(self, query: &str, step: i64, options: &Options) -> Option<i64> {
        match self {
            Self::PromQl => luma_promql::ahead_of_step(query, step, options),
            Self::MetricsQl => None,
        }
    }

    /// Whether the answer to a query follows from samples alone.
    pub(crate) fn is_repeatable(self, query: &str) -> bool {
        self == Self::PromQl || luma_metricsql::is_repeatable(query)
    }

    /// Evaluates a query at every step of a range.
    pub(crate) fn range(
        self,
        store: &dyn Source,
        query: &str,
        start: i64,
        end: i64,
        step: i64,
        options: &Options,
    ) -> luma_promql::Result<Answer> {
        match self {
            Self::PromQl => range(store, query, start, end, step, options),
            Self::MetricsQl => luma_metricsql::range(store, query, start, end, step, options),
        }
    }
}

/// What an answer is asked for and how it is to be cut.
struct Asked {
    query: String,
    dialect: Dialect,
    when: When,
    limit: usize,
    /// Whether statistics are wanted, of each step too.
    statistics: bool,
    step_statistics: bool,
    /// Whether it may be made of what was answered before.
    may_keep: bool,
    lookback_ms: Option<i64>,
    timeout: Duration,
}

#[derive(Clone, Copy)]
enum When {
    /// The step is that of MetricsQL: what functions look back by that name no window.
    At {
        t: i64,
        step: Option<i64>,
    },
    Range {
        start: i64,
        end: i64,
        step: i64,
    },
}

pub(crate) async fn at_a_time(door: Door, params: Params) -> Result<Success, Failure> {
    let limit = params.limit("limit")?;
    let t = params.time_or("time", Door::now_ms())?;
    // Prometheus takes no notice of it here, so what is wrong with it is no error of PromQL.
    let step = match (Dialect::named(params.get("dialect"))?, params.get("step")) {
        (Dialect::MetricsQl, text) if !text.is_empty() => Some(params.duration("step")?),
        _ => None,
    };
    answer(door, &params, limit, When::At { t, step }).await
}

pub(crate) async fn over_a_range(door: Door, params: Params) -> Result<Success, Failure> {
    let limit = params.limit("limit")?;
    let (start, end) = (params.time("start")?, params.time("end")?);
    if end < start {
        return Err(Failure::parameter("end", "end timestamp must not be before start time"));
    }
    let step = params.duration("step")?;
    if step <= 0 {
        let what = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(Failure::parameter("step", what));
    }
    if end.saturating_sub(start) / step > STEPS_MAX {
        return Err(Failure::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution \
             (?step=XX)",
        ));
    }
    answer(door, &params, limit, When::Range { start, end, step }).await
}

async fn answer(door: Door, params: &Params, limit: usize, when: When) -> Result<Success, Failure> {
    let timeout = match params.get("timeout") {
        "" => door.options().query_timeout,
        _ => {
            Duration::from_millis(params.duration("timeout")?.max(0) as u64).min(door.options().query_timeout)
        }
    };
    let lookback_ms =
        match params.get("lookback_delta") {
            "" => None,
            text => Some(duration(text).map_err(|what| {
                Failure::bad_data(format!("error parsing lookback delta duration: {what}"))
            })?),
        };
    let asked = Asked {
        query: params.get("query").to_owned(),
        dialect: Dialect::named(params.get("dialect"))?,
        when,
        limit,
        statistics: !params.get("stats").is_empty(),
        step_statistics: params.get("stats") == "all",
        may_keep: matches!(params.get("nocache"), "" | "0" | "false"),
        lookback_ms: lookback_ms.filter(|lookback| *lookback > 0),
        timeout,
    };
    let counted = Abandoned(door.clone());
    let outcome = run(door.clone(), asked).await;
    std::mem::forget(counted);
    let metrics = &door.options().metrics;
    Metrics::add(&metrics.queries, 1);
    Metrics::add(&metrics.failed_queries, usize::from(outcome.is_err()));
    outcome
}

/// Counts a query if it is dropped before its answer.
struct Abandoned(Door);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.options().metrics.abandoned_queries.fetch_add(1, Ordering::Relaxed);
    }
}

async fn run(door: Door, asked: Asked) -> Result<Success, Failure> {
    let came = Instant::now();
    let deadline = came + asked.timeout;
    let runner = door.clone();
    let work = move |cancel| {
        let began = Instant::now();
        let options = Options {
            lookback_ms: asked.lookback_ms.unwrap_or(door.options().lookback.as_millis() as i64),
            max_samples: door.options().query_max_samples,
            deadline: Some(deadline),
            cancel: Some(cancel),
            count_steps: asked.step_statistics,
            ..Options::default()
        };
        let mut answer = evaluated(&door, &asked, &options)?;
        let truncated = truncate(&mut answer.value, asked.limit);
        let mut data = String::new();
        write_value(&answer.value, &mut data);
        if asked.statistics {
            write_statistics(&answer, began - came, began.elapsed(), &mut data);
        }
        let (warnings, infos) =
            (answer.annotations.warnings(&asked.query), answer.annotations.infos(&asked.query));
        Ok(Success { data, warnings, infos }.truncated(truncated))
    };
    runner.run(deadline, work).await
}

fn evaluated(door: &Door, asked: &Asked, options: &Options) -> luma_promql::Result<Answer> {
    let (store, dialect, query) = (door.store(), asked.dialect, asked.query.as_str());
    match asked.when {
        When::At { t, step } => dialect.instant(store, query, t, step, options),
        // Statistics are of what it takes to compute all of it.
        When::Range { start, end, step } if asked.statistics || !asked.may_keep => {
            dialect.range(store, query, start, end, step, options)
        }
        When::Range { start, end, step } => {
            let asked = RangeQuery { dialect, query, start, end, step };
            let found = door.answers().range(store, asked, options)?;
            let metrics = &door.options().metrics;
            Metrics::add(&metrics.cached_queries, usize::from(found.kept_steps > 0));
            metrics.query_cache_bytes.store(door.answers().bytes() as u64, Ordering::Relaxed);
            Ok(found.answer)
        }
    }
}

/// Leaves at most so many series; whether there were more.
fn truncate(value: &mut Value, limit: usize) -> bool {
    let shorten = |len: usize| len > limit;
    match value {
        Value::Vector(_, samples) if shorten(samples.len()) => samples.truncate(limit),
        Value::Matrix(series) if shorten(series.len()) => series.truncate(limit),
        _ => return false,
    }
    true
}

/// Adds statistics to the `data` of an answer.
fn write_statistics(answer: &Answer, queued: Duration, ran: Duration, data: &mut String) {
    data.truncate(data.len().saturating_sub(1));
    let (queued, ran) = (queued.as_secs_f64(), ran.as_secs_f64());
    let of_step = |(t, samples): &(i64, usize)| format!("[{},{samples}]", *t as f64 / 1000.0);
    let of_steps: Vec<String> = answer.step_samples.iter().map(of_step).collect();
    let of_steps = if of_steps.is_empty() {
        String::new()
    } else {
        format!(r#""totalQueryableSamplesPerStep":[{}],"#, of_steps.join(","))
    };
    let _ = write!(
        data,
        r#","stats":{{"timings":{{"evalTotalTime":{ran:.9},"resultSortTime":0,"queryPreparationTime":0,"innerEvalTime":{ran:.9},"execQueueTime":{queued:.9},"execTotalTime":{:.9}}},"samples":{{{of_steps}"totalQueryableSamples":{},"peakSamples":{}}}}}}}"#,
        queued + ran,
        answer.statistics.read_samples,
        answer.statistics.peak_samples,
    );
}

/// A number as answers have it, without its quotes.
pub(crate) fn number(value: f64) -> String {
    let mut text = String::new();
    write_number(value, &mut text);
    text.trim_matches('"').to_owned()
}
