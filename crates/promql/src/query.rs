//! Running a query: at one time, or at every step of a range.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Instant;

use crate::ast::{Expr, ValueType};
use crate::error::{Error, Result, failed};
use crate::eval::{Context, Evaluated, finish};
use crate::grid::Grid;
use crate::memory::MemorySource;
use crate::parser::parse;
use crate::source::Source;
use crate::value::{Answer, FloatPoint, Sample, Series, Statistics, Value, VectorSample};

/// The limits and defaults of a query.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a sample counts as a series' current value, in milliseconds.
    pub lookback_ms: i64,
    /// The step of subqueries that name none, in milliseconds.
    pub subquery_step_ms: i64,
    /// How many samples may be in memory at once; a histogram counts as many as its size.
    pub max_samples: usize,
    /// When to give up.
    pub deadline: Option<Instant>,
    /// Set by someone who wants the query to stop.
    pub cancel: Option<Arc<AtomicBool>>,
    /// Whether to count the samples that each step uses.
    pub count_steps: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            subquery_step_ms: 60_000,
            max_samples: 50_000_000,
            deadline: None,
            cancel: None,
            count_steps: false,
        }
    }
}

/// Evaluates a query at one time (milliseconds since the epoch).
///
/// # Errors
///
/// When the text is no query, the data does not allow it, a limit is reached or the source fails.
pub fn instant(source: &dyn Source, query: &str, t: i64, options: &Options) -> Result<Answer> {
    let expr = parse(query)?;
    let grid = Grid { start: t, end: t, step: 1 };
    let context = Context::new(source, options, grid, 0, false);
    let value = match expr.without_parens() {
        Expr::Matrix(selector) => Value::Matrix(sorted(context.range_vector(grid, selector)?)),
        Expr::Subquery(subquery) => {
            let series = context.subquery(grid, subquery)?;
            // Its steps are not the query's.
            context.of_steps.borrow_mut().fill(context.counted.get().read_samples);
            let series = series.into_iter().map(|(data, drop_name)| Series {
                labels: data.labels,
                floats: data.floats,
                histograms: data.histograms,
                drop_name,
            });
            Value::Matrix(sorted(finish(series.collect())?))
        }
        expr => match context.eval(grid, expr)? {
            Evaluated::Scalar(values) => {
                Value::Scalar(FloatPoint { t, v: values.first().copied().unwrap_or(f64::NAN) })
            }
            Evaluated::Text(text) => Value::String(t, text),
            Evaluated::Series(series) => Value::Vector(t, vector(finish(series)?)),
        },
    };
    Ok(context.answer(value))
}

/// Evaluates a query at every step from `start` to `end` (both in milliseconds since the epoch, the
/// end included).
///
/// # Errors
///
/// When the text is no query or yields no numbers, the step is not positive, the data does not allow
/// it, a limit is reached or the source fails.
pub fn range(
    source: &dyn Source,
    query: &str,
    start: i64,
    end: i64,
    step: i64,
    options: &Options,
) -> Result<Answer> {
    let expr = parse(query)?;
    let value_type = expr.value_type();
    if !matches!(value_type, ValueType::Scalar | ValueType::Vector) {
        let name = crate::number::quoted(value_type.documented());
        return Err(Error::Type(format!(
            "invalid expression type {name} for range query, must be Scalar or instant Vector"
        )));
    }
    if step <= 0 {
        return failed(
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        );
    }
    let grid = Grid { start, end, step };
    let context = Context::new(source, options, grid, step, true);
    let series = match context.eval(grid, &expr)? {
        Evaluated::Scalar(values) => {
            let floats = grid.times().zip(values).map(|(t, v)| FloatPoint { t, v }).collect();
            vec![Series { floats, ..Series::default() }]
        }
        Evaluated::Text(_) => Vec::new(),
        Evaluated::Series(series) => finish(series)?,
    };
    Ok(context.answer(Value::Matrix(sorted(series))))
}

/// How far behind a step's time the latest sample lies that the step's value in a range query may depend on, in milliseconds:
/// below 0 if it lies before, the lowest number if the value depends on no sample. `None` if the value may be another, or the
/// query fail, when it is asked over a longer or shorter range, and if the text is no query.
///
/// It says so of queries without native histograms that give no annotations.
pub fn ahead_of_step(query: &str, step: i64, options: &Options) -> Option<i64> {
    let expr = parse(query).ok()?;
    let (nothing, grid) = (MemorySource::default(), Grid { start: 0, end: 0, step });
    Context::new(&nothing, options, grid, step, true).ahead(&expr, false)
}

fn sorted(mut series: Vec<Series>) -> Vec<Series> {
    series.retain(|s| !s.is_empty());
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    series
}

fn vector(series: Vec<Series>) -> Vec<VectorSample> {
    let sample = |s: Series| {
        let value = match (s.floats.first(), s.histograms.into_iter().next()) {
            (Some(point), _) => Sample::Float(point.v),
            (None, Some(point)) => Sample::Histogram(point.h),
            (None, None) => return None,
        };
        Some(VectorSample { labels: s.labels, value })
    };
    series.into_iter().filter_map(sample).collect()
}

impl Context<'_> {
    /// Counts samples against the limit.
    pub(crate) fn charge(&self, samples: usize) -> Result<()> {
        let total = self.samples.fetch_add(samples, Relaxed).saturating_add(samples);
        let counted = self.counted.get();
        self.counted.set(Statistics { peak_samples: counted.peak_samples.max(total), ..counted });
        if total > self.options.max_samples { Err(Error::TooManySamples) } else { Ok(()) }
    }

    /// Notes that steps used samples of a selector. What subqueries use is not counted: their values are.
    pub(crate) fn used(&self, samples: usize) {
        if self.subqueries.get() > 0 {
            return;
        }
        let counted = self.counted.get();
        let read_samples = counted.read_samples.saturating_add(samples);
        self.counted.set(Statistics { read_samples, ..counted });
    }

    /// Notes that one step did.
    pub(crate) fn used_at(&self, step: usize, samples: usize) {
        if self.options.count_steps
            && self.subqueries.get() == 0
            && let Some(of_step) = self.of_steps.borrow_mut().get_mut(step)
        {
            *of_step = of_step.saturating_add(samples);
        }
    }

    /// Notes that every step used what was used once since `before`, and the first one did already.
    pub(crate) fn used_by_all(&self, before: usize, steps: usize) {
        let once = self.counted.get().read_samples.saturating_sub(before);
        self.used(once.saturating_mul(steps.saturating_sub(1)));
        (1..steps).for_each(|step| self.used_at(step, once));
    }

    /// Takes back what was counted.
    pub(crate) fn release(&self, samples: usize) {
        release(&self.samples, samples);
    }

    /// Stops a query that took too long or that nobody wants any more.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(cancel) = &self.options.cancel
            && cancel.load(Relaxed)
        {
            return Err(Error::Canceled);
        }
        if let Some(deadline) = self.options.deadline
            && Instant::now() >= deadline
        {
            return Err(Error::Timeout);
        }
        Ok(())
    }
}

/// Takes back what was counted.
pub(crate) fn release(counted: &AtomicUsize, samples: usize) {
    // What takes no memory of its own was not counted, so there may be less.
    let less = |total: usize| Some(total.saturating_sub(samples));
    let _ = counted.fetch_update(Relaxed, Relaxed, less);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::labels::Labels;
    use crate::memory::MemorySource;

    fn hundred_series() -> MemorySource {
        let mut source = MemorySource::default();
        for series in 0..100 {
            let labels = Labels::new([("__name__", "m"), ("i", &series.to_string())]);
            for minute in 0..10 {
                source.insert(&labels, minute * 60_000, 0, Sample::Float(1.0));
            }
        }
        source
    }

    fn limited(max_samples: usize) -> Options {
        Options { max_samples, ..Options::default() }
    }

    #[test]
    fn a_query_over_the_limit_of_samples_fails_and_one_at_it_does_not() {
        let source = hundred_series();
        let over = |query: &str, max: usize| {
            matches!(range(&source, query, 0, 540_000, 60_000, &limited(max)), Err(Error::TooManySamples))
        };
        assert!(over("m", 999));
        assert!(!over("m", 1000));
        // What is aggregated is not in memory as a whole, groups are.
        assert!(over("sum(m)", 9));
        assert!(!over("sum(m)", 1000));
        assert!(over("sum by (i) (m)", 999));
        assert!(over("topk(1, m) + topk(1, m)", 999));
        assert!(!over("topk(1, m) + topk(1, m)", 1050));
        // A window is held for one series at a time.
        assert!(!over("sum(sum_over_time(m[10m]))", 1050));
    }

    #[test]
    fn an_answer_says_how_many_samples_it_took() {
        let source = hundred_series();
        let of = |query: &str| instant(&source, query, 540_000, &Options::default()).unwrap().statistics;
        assert_eq!(of("m"), Statistics { read_samples: 100, peak_samples: 100 });
        assert_eq!(of("sum(m)").read_samples, 100);
        assert_eq!(of("sum_over_time(m[4m])").read_samples, 400);
        assert_eq!(of("m[4m]").read_samples, 400);
        let answer = range(&source, "m", 0, 540_000, 60_000, &Options::default()).unwrap();
        assert_eq!(answer.statistics.read_samples, 1000);
    }

    #[test]
    fn a_grid_of_more_steps_than_samples_are_allowed_is_refused_before_memory_is_taken() {
        let source = MemorySource::default();
        let long = range(&source, "1 + time()", 0, i64::MAX / 2, 1, &Options::default());
        assert!(matches!(long, Err(Error::TooManySamples)));
        let subquery = instant(&source, "sum_over_time(vector(1)[100y:1ms])", 0, &Options::default());
        assert!(matches!(subquery, Err(Error::TooManySamples)));
    }

    #[test]
    fn times_at_the_ends_of_the_range_do_not_overflow() {
        let source = hundred_series();
        for t in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
            for query in [
                "m",
                "m offset 1h",
                "m offset -1h",
                "rate(m[5m])",
                "rate(m[5m] offset -1h)",
                "sum_over_time(m[5m:1m])",
                "m smoothed",
                "rate(m[5m] smoothed)",
                "timestamp(m)",
                "minute()",
                "info(m)",
                "m @ 9000000000000000",
                "range() + end() - start()",
                "m[2m]",
                "m[2m:1m]",
                "delta(m[10m] anchored)",
            ] {
                let _ = instant(&source, query, t, &Options::default());
                let _ = range(&source, query, t, t.saturating_add(120_000), 60_000, &Options::default());
                let _ = range(&source, query, t.saturating_sub(120_000), t, i64::MAX, &Options::default());
            }
        }
    }

    #[test]
    fn a_cancelled_query_and_one_past_its_deadline_stop() {
        let source = hundred_series();
        let cancel = Some(Arc::new(AtomicBool::new(true)));
        let cancelled = instant(&source, "m", 0, &Options { cancel, ..Options::default() });
        assert_eq!(cancelled.unwrap_err().to_string(), "query was canceled in expression evaluation");
        let deadline = Some(Instant::now());
        let late = instant(&source, "m", 0, &Options { deadline, ..Options::default() });
        assert_eq!(late.unwrap_err().to_string(), "query timed out in expression evaluation");
    }

    #[test]
    fn a_source_that_fails_fails_the_query() {
        struct Broken;
        impl Source for Broken {
            fn select(
                &self,
                _: &crate::source::Select<'_>,
            ) -> std::result::Result<crate::source::SeriesSet<'_>, crate::error::SourceError> {
                Ok(crate::source::SeriesSet::of(std::iter::once(Err("disk on fire".into()))))
            }
        }
        let error = instant(&Broken, "sum(rate(m[5m]))", 0, &Options::default()).unwrap_err();
        assert_eq!(error.to_string(), "expanding series: disk on fire");
    }
}
