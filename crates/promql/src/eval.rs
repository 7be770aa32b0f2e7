//! Evaluation: one pass over each series for all steps.
//!
//! A node yields the values of all its steps at once: numbers for scalars, series with a point per
//! step for vectors. Selectors and functions over ranges take one series after another from the
//! source and move a window along it; functions of single samples map each series in place. Only
//! what compares series at a step, such as matching two sides, walks step by step.
//!
//! Invariants: the points of a result lie on the grid. A metric's name stays on a series until the
//! query is done ([`finish`]), marked to go if the value is no longer the metric's.

mod aggregate;
mod average;
mod binary;
mod calls;
mod change;
mod dates;
mod each;
mod extreme;
mod histogram_calls;
mod info;
mod join;
mod label_calls;
mod math;
mod over_time;
mod range_calls;
mod rate;
mod selector;
mod sorting;
mod steps;
mod top;
mod window;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::annotation::Annotations;
use crate::ast::{At, BinaryOp, Call, DurationExpr, Expr, Shift, Subquery};
use crate::error::{Error, Result, failed, same_labelset};
use crate::grid::Grid;
use crate::labels::Labels;
use crate::query::Options;
use crate::source::{SeriesData, Source};
use crate::value::{Answer, FloatPoint, HistogramPoint, Series, Statistics, Value};

/// The values of an expression at all steps.
pub(crate) enum Evaluated {
    Scalar(Vec<f64>),
    Series(Vec<Series>),
    Text(String),
}

/// What is the same for all of a query.
pub(crate) struct Context<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) options: &'a Options,
    query: Grid,
    step: i64,
    is_range: bool,
    /// Samples in memory; counted for all threads of the query.
    pub(crate) samples: Arc<AtomicUsize>,
    pub(crate) counted: Cell<Statistics>,
    /// By step of the query, if steps are to be counted.
    pub(crate) of_steps: RefCell<Vec<usize>>,
    /// How many subqueries are around the current node.
    pub(crate) subqueries: Cell<u32>,
    notes: RefCell<Annotations>,
    /// How many calls around the current node need only counts and sums of histograms, and how
    /// many need the buckets.
    statistics: Cell<(u32, u32)>,
}

impl<'a> Context<'a> {
    pub fn new(source: &'a dyn Source, options: &'a Options, query: Grid, step: i64, is_range: bool) -> Self {
        Self {
            source,
            options,
            query,
            step,
            is_range,
            samples: Arc::default(),
            counted: Cell::default(),
            of_steps: RefCell::new(if options.count_steps {
                vec![0; query.len().min(options.max_samples)]
            } else {
                Vec::new()
            }),
            subqueries: Cell::new(0),
            notes: RefCell::new(Annotations::default()),
            statistics: Cell::new((0, 0)),
        }
    }

    /// The answer with a value, and what was noted on the way.
    pub fn answer(self, value: Value) -> Answer {
        let step_samples = self.query.times().zip(self.of_steps.into_inner()).collect();
        Answer { value, annotations: self.notes.into_inner(), statistics: self.counted.get(), step_samples }
    }

    fn note(&self, f: impl FnOnce(&mut Annotations)) {
        f(&mut self.notes.borrow_mut());
    }

    pub fn eval(&self, grid: Grid, expr: &Expr) -> Result<Evaluated> {
        self.check()?;
        if grid.len() > self.options.max_samples {
            return Err(Error::TooManySamples);
        }
        let literal = matches!(expr, Expr::Number(..) | Expr::String(..));
        if grid.len() > 1 && !literal && is_fixed(expr) {
            let once = Grid { end: grid.start, ..grid };
            let before = self.counted.get().read_samples;
            let value = self.eval_at(once, expr)?;
            self.used_by_all(before, grid.len());
            return self.repeated(grid, value);
        }
        self.eval_at(grid, expr)
    }

    fn eval_at(&self, grid: Grid, expr: &Expr) -> Result<Evaluated> {
        let value = self.eval_any(grid, expr)?;
        Ok(if self.is_range { steps::arranged(expr, value) } else { value })
    }

    fn eval_any(&self, grid: Grid, expr: &Expr) -> Result<Evaluated> {
        match expr {
            Expr::Aggregate(aggregate) => self.aggregate(grid, aggregate).map(Evaluated::Series),
            Expr::Binary(binary) => self.binary(grid, binary),
            Expr::Call(call) => self.call(grid, call),
            Expr::Number(value, _) => Ok(Evaluated::Scalar(vec![*value; grid.len()])),
            Expr::Paren(inner, _) => self.eval(grid, inner),
            Expr::String(text, _) => Ok(Evaluated::Text(text.clone())),
            Expr::Unary(unary) => {
                let value = self.eval(grid, &unary.operand)?;
                Ok(if unary.negative { negated(value) } else { value })
            }
            Expr::Vector(selector) => self.instant_vector(grid, selector).map(Evaluated::Series),
            Expr::Matrix(_) | Expr::Subquery(_) => failed("a range vector stands where none is allowed"),
        }
    }

    /// The series of an expression that yields series.
    fn series(&self, grid: Grid, expr: &Expr) -> Result<Vec<Series>> {
        match self.eval(grid, expr)? {
            Evaluated::Series(series) => Ok(series),
            Evaluated::Scalar(_) | Evaluated::Text(_) => failed("expected an instant vector"),
        }
    }

    /// The numbers of an expression that yields one per step.
    fn scalar(&self, grid: Grid, expr: &Expr) -> Result<Vec<f64>> {
        match self.eval(grid, expr)? {
            Evaluated::Scalar(values) => Ok(values),
            Evaluated::Series(_) | Evaluated::Text(_) => failed("expected a scalar"),
        }
    }

    /// A value of one step at all steps.
    fn repeated(&self, grid: Grid, value: Evaluated) -> Result<Evaluated> {
        Ok(match value {
            Evaluated::Scalar(values) => {
                Evaluated::Scalar(vec![values.first().copied().unwrap_or(f64::NAN); grid.len()])
            }
            Evaluated::Text(text) => Evaluated::Text(text),
            Evaluated::Series(mut series) => {
                for s in &mut series {
                    self.charge(s.samples().saturating_mul(grid.len() - 1))?;
                    if let [point] = s.floats[..] {
                        s.floats = grid.times().map(|t| FloatPoint { t, ..point }).collect();
                    } else if let [point] = &s.histograms[..] {
                        let h = point.h.clone();
                        s.histograms = grid.times().map(|t| HistogramPoint { t, h: h.clone() }).collect();
                    }
                }
                Evaluated::Series(series)
            }
        })
    }

    /// The series of a subquery over the window that a grid needs, and whether their names go.
    pub fn subquery(&self, grid: Grid, subquery: &Subquery) -> Result<Vec<(SeriesData, bool)>> {
        let range = self.duration(&subquery.range, true)?;
        let step = match &subquery.step {
            Some(step) => self.duration(step, true)?,
            None => self.options.subquery_step_ms,
        };
        let (fixed, offset) = self.shift(&subquery.shift)?;
        let first = fixed.unwrap_or(grid.start) - offset;
        let last = fixed.unwrap_or(grid.end) - offset;
        // The first time of the step's grid behind the window's open start.
        let lower = first.saturating_sub(range);
        let start = lower.div_euclid(step).saturating_add(1).saturating_mul(step);
        let inner = Grid { start, end: last, step };
        let series = self.with_buckets(|| self.series(inner, &subquery.operand))?;
        self.release(points(&series));
        Ok(series
            .into_iter()
            .map(|s| {
                let mut histograms = s.histograms;
                for point in &mut histograms {
                    forget_reset(point);
                }
                let data =
                    SeriesData { labels: s.labels, floats: s.floats, histograms, ..SeriesData::default() };
                (data, s.drop_name)
            })
            .collect())
    }

    /// Milliseconds of a duration.
    fn duration(&self, duration: &DurationExpr, positive: bool) -> Result<i64> {
        let seconds = self.seconds(duration)?;
        if positive && (seconds <= 0.0 || seconds.is_nan()) {
            return failed("duration must be greater than 0");
        }
        if seconds.abs() >= 9_223_372_036.0 || seconds.is_nan() {
            return failed("duration is out of range");
        }
        Ok((seconds * 1e9).round() as i64 / 1_000_000)
    }

    fn seconds(&self, duration: &DurationExpr) -> Result<f64> {
        Ok(match duration {
            DurationExpr::Literal(seconds) => *seconds,
            DurationExpr::Step => self.step as f64 / 1000.0,
            DurationExpr::Range => self.query.end.saturating_sub(self.query.start) as f64 / 1000.0,
            DurationExpr::Negative(inner) => -self.seconds(inner)?,
            DurationExpr::Min(a, b) => self.seconds(a)?.min(self.seconds(b)?),
            DurationExpr::Max(a, b) => self.seconds(a)?.max(self.seconds(b)?),
            DurationExpr::Arithmetic(op, a, b) => {
                let (a, b) = (self.seconds(a)?, self.seconds(b)?);
                match op {
                    BinaryOp::Add => a + b,
                    BinaryOp::Sub => a - b,
                    BinaryOp::Mul => a * b,
                    BinaryOp::Div if b == 0.0 => return failed("division by zero"),
                    BinaryOp::Div => a / b,
                    BinaryOp::Mod if b == 0.0 => return failed("modulo by zero"),
                    BinaryOp::Mod => a % b,
                    _ => a.powf(b),
                }
            }
        })
    }

    /// The time that `@` names, and how far back.
    fn shift(&self, shift: &Shift) -> Result<(Option<i64>, i64)> {
        let at = shift.at.map(|at| match at {
            At::Timestamp(t) => t,
            At::Start => self.query.start,
            At::End => self.query.end,
        });
        let offset = shift.offset.as_ref().map_or(Ok(0), |offset| self.duration(offset, false))?;
        Ok((at, offset))
    }

    /// Runs `f` for a call that needs counts and sums only.
    fn with_statistics<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<T> {
        let (wanted, blocked) = self.statistics.get();
        self.statistics.set((wanted + 1, blocked));
        let result = f();
        self.statistics.set((wanted, blocked));
        result
    }

    /// Runs `f` for something that needs buckets, whatever is around it.
    fn with_buckets<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<T> {
        let (wanted, blocked) = self.statistics.get();
        self.statistics.set((wanted, blocked + 1));
        let result = f();
        self.statistics.set((wanted, blocked));
        result
    }

    fn only_statistics(&self) -> bool {
        matches!(self.statistics.get(), (1.., 0))
    }
}

/// A subquery's samples are not the series' samples, so what was known about resets is not.
fn forget_reset(point: &mut HistogramPoint) {
    use crate::histogram::ResetHint::{NotReset, Reset, Unknown};
    if matches!(point.h.hint, Reset | NotReset) {
        Arc::make_mut(&mut point.h).hint = Unknown;
    }
}

/// Whether an expression has the same value at every time.
fn is_fixed(expr: &Expr) -> bool {
    match expr {
        Expr::Aggregate(a) => is_fixed(&a.operand) && a.param.as_ref().is_none_or(is_fixed),
        Expr::Binary(b) => is_fixed(&b.left) && is_fixed(&b.right),
        Expr::Call(call) => !depends_on_time(call) && call.args.iter().all(is_fixed),
        Expr::Matrix(m) => m.selector.shift.at.is_some(),
        Expr::Number(..) | Expr::String(..) => true,
        Expr::Paren(inner, _) => is_fixed(inner),
        Expr::Subquery(s) => s.shift.at.is_some(),
        Expr::Unary(u) => is_fixed(&u.operand),
        Expr::Vector(v) => v.shift.at.is_some(),
    }
}

fn depends_on_time(call: &Call) -> bool {
    matches!(
        call.function.name,
        "days_in_month"
            | "day_of_month"
            | "day_of_week"
            | "day_of_year"
            | "hour"
            | "minute"
            | "month"
            | "year"
            | "predict_linear"
            | "time"
            | "timestamp"
            | "start_timestamp"
            | "sort"
            | "sort_desc"
            | "sort_by_label"
            | "sort_by_label_desc"
    )
}

fn negated(value: Evaluated) -> Evaluated {
    match value {
        Evaluated::Scalar(values) => Evaluated::Scalar(values.into_iter().map(|v| -v).collect()),
        Evaluated::Text(text) => Evaluated::Text(text),
        Evaluated::Series(mut series) => {
            for s in &mut series {
                s.drop_name = true;
                for point in &mut s.floats {
                    point.v = -point.v;
                }
                for point in &mut s.histograms {
                    Arc::make_mut(&mut point.h).scale(-1.0);
                }
            }
            Evaluated::Series(series)
        }
    }
}

/// What series count against the limit of samples.
fn points(series: &[Series]) -> usize {
    series.iter().map(Series::samples).sum()
}

/// Takes the names that go off a query's result.
pub(crate) fn finish(mut series: Vec<Series>) -> Result<Vec<Series>> {
    for s in &mut series {
        if s.drop_name {
            s.labels = s.labels.without_metadata();
            s.drop_name = false;
        }
    }
    merged(series)
}

/// Joins series that have the same labels, if they have no time in common.
fn merged(series: Vec<Series>) -> Result<Vec<Series>> {
    let mut places: HashMap<Labels, usize> = HashMap::with_capacity(series.len());
    let mut out: Vec<Series> = Vec::with_capacity(series.len());
    let mut joined = Vec::new();
    for s in series {
        match places.get(&s.labels) {
            None => {
                places.insert(s.labels.clone(), out.len());
                out.push(s);
            }
            Some(&at) => {
                out[at].floats.extend(s.floats);
                out[at].histograms.extend(s.histograms);
                joined.push(at);
            }
        }
    }
    for at in joined {
        let s = &mut out[at];
        s.floats.sort_by_key(|p| p.t);
        s.histograms.sort_by_key(|p| p.t);
        let twice = s.floats.windows(2).any(|w| w[0].t == w[1].t)
            || s.histograms.windows(2).any(|w| w[0].t == w[1].t)
            || s.floats.iter().any(|p| s.histograms.binary_search_by_key(&p.t, |h| h.t).is_ok());
        if twice {
            return same_labelset();
        }
    }
    Ok(out)
}

/// Results that come step by step, put together by labels.
struct Assembly {
    series: Vec<Series>,
    /// By labels and whether their name goes: of two series that differ in that only one keeps it.
    places: HashMap<(Labels, bool), usize>,
    last: Vec<i64>,
    single: bool,
}

impl Assembly {
    fn new(grid: Grid) -> Self {
        Self { series: Vec::new(), places: HashMap::new(), last: Vec::new(), single: grid.len() == 1 }
    }

    /// The place of a series. At a single time every sample has its own, as in a vector.
    fn place(&mut self, labels: &Labels, drop_name: bool) -> usize {
        let next = self.series.len();
        let at = *self.places.entry((labels.clone(), drop_name)).or_insert(next);
        if at == next {
            self.series.push(Series { labels: labels.clone(), drop_name, ..Series::default() });
            self.last.push(i64::MIN);
        }
        at
    }

    fn push(&mut self, at: usize, t: i64, sample: crate::value::Sample) -> Result<()> {
        let Some(last) = self.last.get_mut(at) else { return Ok(()) };
        if *last == t {
            if !self.single {
                return same_labelset();
            }
            // Whether the doubled labels matter shows when the query is done.
            let Series { labels, drop_name, .. } = &self.series[at];
            let mut twin = Series { labels: labels.clone(), drop_name: *drop_name, ..Series::default() };
            twin.push(t, sample);
            self.series.push(twin);
            self.last.push(t);
            return Ok(());
        }
        *last = t;
        self.series[at].push(t, sample);
        Ok(())
    }

    fn finish(self, context: &Context<'_>) -> Result<Vec<Series>> {
        let mut series = self.series;
        series.retain(|s| !s.is_empty());
        context.charge(points(&series))?;
        Ok(series)
    }
}
