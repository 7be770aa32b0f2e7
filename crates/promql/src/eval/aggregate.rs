//! Aggregations: many series to one per group.
//!
//! Series are added one after another as they are computed, each over all steps; a group has a state per step.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::annotation::Annotations;
use crate::ast::{Aggregate, AggregateOp, Expr, Span};
use crate::error::{Error, Result, failed};
use crate::histogram::{CompensatedSum, FloatHistogram, ResetHint, RunningMean};
use crate::labels::{Labels, METRIC_NAME};
use crate::number::{format_plain, quoted};
use crate::summation::add_compensated;
use crate::value::{FloatPoint, Sample, Series};

use super::average::{FloatMean, quantile};
use super::{Context, Grid, points};

impl Context<'_> {
    pub(super) fn aggregate(&self, grid: Grid, aggregate: &Aggregate) -> Result<Vec<Series>> {
        use AggregateOp::{Bottomk, CountValues, LimitRatio, Limitk, Topk};
        if aggregate.op == CountValues {
            return self.count_values(grid, aggregate);
        }
        let params = match &aggregate.param {
            Some(param) => self.scalar(grid, param.without_parens())?,
            None => Vec::new(),
        };
        let operand = aggregate.operand.without_parens();
        if matches!(aggregate.op, Topk | Bottomk | Limitk | LimitRatio) {
            let series = self.series(grid, operand)?;
            self.release(points(&series));
            return self.choose(grid, aggregate, &params, series);
        }
        if aggregate.op == AggregateOp::Quantile {
            let span = aggregate.param.as_ref().map_or(aggregate.span, Expr::span);
            // Of parameters that change over time the worst ones stand for all.
            let most = params.iter().copied().fold(0.0, f64::max);
            let least = params.iter().copied().fold(1.0, f64::min);
            let nan = params.iter().copied().find(|q| q.is_nan());
            let invalid = [Some(most).filter(|q| *q > 1.0), Some(least).filter(|q| *q < 0.0), nan];
            for q in invalid.into_iter().flatten() {
                self.note(|notes| notes.invalid_quantile(q, span));
            }
        }
        let mut groups = Groups::default();
        let mut notes = Annotations::default();
        // A state counts as a sample.
        let (mut states, counted, max_samples) = (0, Arc::clone(&self.samples), self.options.max_samples);
        self.drained(grid, operand, |s| {
            let group = groups.of(aggregate, &s.labels, Group::default);
            group.drop_name |= s.drop_name;
            let more = group.make_room(grid, &s);
            states += more;
            if counted.fetch_add(more, Relaxed).saturating_add(more) > max_samples {
                return Err(Error::TooManySamples);
            }
            group.add_floats(grid, aggregate.op, &s.floats);
            for point in &s.histograms {
                let mut fault = None;
                group.add(grid, aggregate.op, point.t, |state| {
                    fault = state.add_histogram(aggregate.op, &point.h);
                });
                note_fault(&mut notes, fault, aggregate, &s.labels);
            }
            Ok(())
        })?;
        self.note(|own| own.merge(notes));
        self.release(states);
        let mut out = Vec::with_capacity(groups.items.len());
        for (labels, group) in groups.items {
            let mut series = Series { labels, drop_name: group.drop_name, ..Series::default() };
            let steps = group.first..grid.len();
            for ((step, t), state) in steps.zip(grid.times_from(group.first)).zip(group.states) {
                let Some(state) = state else { continue };
                let param = params.get(step).copied().unwrap_or(f64::NAN);
                if let Some(sample) = self.finished(state, aggregate, param) {
                    series.push(t, sample);
                }
            }
            if !series.is_empty() {
                self.charge(series.samples())?;
                out.push(series);
            }
        }
        Ok(out)
    }

    /// The value of a group at a step, if it has one.
    fn finished(&self, state: State, aggregate: &Aggregate, param: f64) -> Option<Sample> {
        let span = operand_span(aggregate);
        let collision = state.reset_seen && state.not_reset_seen;
        let value = match state.value {
            Running::Nothing => return None,
            Running::Number(v) => v,
            Running::Sum(sum, lost) => {
                if sum.is_infinite() {
                    sum
                } else {
                    sum + lost
                }
            }
            Running::Mean(mean) => mean.finish(),
            Running::Variance { count, squares, .. } => {
                let variance = squares / count;
                if aggregate.op == AggregateOp::Stddev { variance.sqrt() } else { variance }
            }
            Running::Values(mut values) => quantile(param, &mut values),
            Running::Mixed => {
                self.note(|notes| notes.mixed_aggregation(span));
                return None;
            }
            Running::Incompatible => return None,
            Running::HistogramSum(sum) => return self.histogram(sum.finish(), collision, span),
            Running::HistogramMean(mean) => return self.histogram(mean.finish(), collision, span),
        };
        Some(Sample::Float(value))
    }

    fn histogram(&self, h: FloatHistogram, collision: bool, span: Span) -> Option<Sample> {
        if collision {
            self.note(|notes| notes.reset_collision("aggregation", span));
        }
        Some(Sample::Histogram(Arc::new(h.compacted())))
    }

    fn count_values(&self, grid: Grid, aggregate: &Aggregate) -> Result<Vec<Series>> {
        let Some(Expr::String(label, _)) = aggregate.param.as_ref().map(Expr::without_parens) else {
            return failed("count_values needs a string literal");
        };
        if label.is_empty() {
            return failed(format!("invalid label name {}", quoted(label)));
        }
        let series = self.series(grid, aggregate.operand.without_parens())?;
        self.release(points(&series));
        let mut groups: Groups<Vec<f64>> = Groups::default();
        for s in series {
            let floats = s.floats.iter().map(|p| (p.t, format_plain(p.v)));
            let histograms = s.histograms.iter().map(|p| (p.t, p.h.to_string()));
            for (t, value) in floats.chain(histograms) {
                let labels = s.labels.with(label, &value);
                let key = group_labels(aggregate, &labels, Some(label));
                let counts = groups.entry(key, || vec![0.0; grid.len()]);
                if let Some(count) = counts.get_mut(grid.index(t)) {
                    *count += 1.0;
                }
            }
        }
        let mut out = Vec::with_capacity(groups.items.len());
        for (labels, counts) in groups.items {
            let counted = grid.times().zip(counts).filter(|(_, count)| *count > 0.0);
            let floats: Vec<FloatPoint> = counted.map(|(t, v)| FloatPoint { t, v }).collect();
            self.charge(floats.len())?;
            out.push(Series { labels, floats, ..Series::default() });
        }
        Ok(out)
    }
}

fn note_fault(notes: &mut Annotations, fault: Option<Fault>, aggregate: &Aggregate, labels: &Labels) {
    let span = operand_span(aggregate);
    match fault {
        Some(Fault::Ignored) => notes.ignored_in_aggregation(aggregate.op.name(), span),
        Some(Fault::MixedSchemas) => notes.mixed_schemas(labels.metric_name(), span),
        Some(Fault::BoundsReconciled) => notes.bounds_reconciled("aggregation", span),
        None => {}
    }
}

/// Where the operand stands: what annotations point at.
fn operand_span(aggregate: &Aggregate) -> Span {
    aggregate.operand.without_parens().span()
}

/// The labels of the group that a series belongs to.
pub(super) fn group_labels(aggregate: &Aggregate, labels: &Labels, also: Option<&str>) -> Labels {
    let named = |name: &str| aggregate.grouping.iter().any(|g| g == name);
    if aggregate.without {
        labels.filtered(|name| name != METRIC_NAME && !named(name))
    } else {
        labels.filtered(|name| named(name) || also == Some(name))
    }
}

/// Groups in the order of their first series.
struct Groups<G> {
    items: Vec<(Labels, G)>,
    places: HashMap<Labels, usize>,
}

impl<G> Default for Groups<G> {
    fn default() -> Self {
        Self { items: Vec::new(), places: HashMap::new() }
    }
}

impl<G> Groups<G> {
    fn of(&mut self, aggregate: &Aggregate, labels: &Labels, new: impl FnOnce() -> G) -> &mut G {
        self.entry(group_labels(aggregate, labels, None), new)
    }

    fn entry(&mut self, key: Labels, new: impl FnOnce() -> G) -> &mut G {
        let items = &mut self.items;
        let at = *self.places.entry(key).or_insert_with_key(|key| {
            items.push((key.clone(), new()));
            items.len() - 1
        });
        &mut self.items[at].1
    }
}

/// A state for each step from the first to the last at which a series of the group has a point.
#[derive(Default)]
struct Group {
    first: usize,
    states: Vec<Option<State>>,
    drop_name: bool,
}

impl Group {
    /// Makes room for the points of a series; for how many steps more.
    fn make_room(&mut self, grid: Grid, series: &Series) -> usize {
        let (floats, histograms) = (&series.floats, &series.histograms);
        let ends = [floats.first(), floats.last()].into_iter().flatten().map(|p| p.t);
        let ends = ends.chain([histograms.first(), histograms.last()].into_iter().flatten().map(|p| p.t));
        let (Some(first), Some(last)) = (ends.clone().min(), ends.max()) else { return 0 };
        let (first, end) = (grid.index(first), (grid.index(last) + 1).min(grid.len()));
        let before = self.states.len();
        let none = || std::iter::repeat_with(|| None);
        if self.states.is_empty() {
            self.first = first;
        }
        if first < self.first {
            self.states.splice(..0, none().take(self.first - first));
            self.first = first;
        }
        let more = end.saturating_sub(self.first + self.states.len());
        self.states.extend(none().take(more));
        self.states.len() - before
    }

    fn add_floats(&mut self, grid: Grid, op: AggregateOp, points: &[FloatPoint]) {
        let Some(first) = points.first() else { return };
        let first = grid.index(first.t).saturating_sub(self.first);
        let states = self.states.get_mut(first..).unwrap_or_default();
        let whole =
            points.last().is_some_and(|last| grid.index(last.t) + 1 == self.first + first + points.len());
        if whole {
            // A point at every step between.
            for (state, point) in states.iter_mut().zip(points) {
                state.get_or_insert_with(|| State::new(op)).add_float(op, point.v);
            }
            return;
        }
        for point in points {
            self.add(grid, op, point.t, |state| state.add_float(op, point.v));
        }
    }

    fn add(&mut self, grid: Grid, op: AggregateOp, t: i64, f: impl FnOnce(&mut State)) {
        if let Some(state) = self.states.get_mut(grid.index(t).saturating_sub(self.first)) {
            f(state.get_or_insert_with(|| State::new(op)));
        }
    }
}

/// What has been seen of a group at a step.
struct State {
    value: Running,
    reset_seen: bool,
    not_reset_seen: bool,
}

enum Running {
    Nothing,
    Number(f64),
    Sum(f64, f64),
    Mean(FloatMean),
    Variance {
        count: f64,
        mean: f64,
        squares: f64,
    },
    Values(Vec<f64>),
    HistogramSum(Box<CompensatedSum>),
    HistogramMean(Box<RunningMean>),
    /// Numbers and histograms.
    Mixed,
    /// Histograms of exponential and of custom buckets.
    Incompatible,
}

/// What is to be said about a sample of a group.
enum Fault {
    Ignored,
    MixedSchemas,
    BoundsReconciled,
}

impl State {
    fn new(op: AggregateOp) -> Self {
        let value = match op {
            AggregateOp::Count => Running::Number(0.0),
            AggregateOp::Group => Running::Number(1.0),
            _ => Running::Nothing,
        };
        Self { value, reset_seen: false, not_reset_seen: false }
    }

    fn add_float(&mut self, op: AggregateOp, v: f64) {
        use AggregateOp::{Avg, Count, Max, Min, Quantile, Stddev, Stdvar, Sum};
        match (&mut self.value, op) {
            (Running::Number(count), Count) => *count += 1.0,
            (value @ Running::Nothing, Sum) => *value = Running::Sum(v, 0.0),
            (value @ Running::Nothing, Avg) => *value = Running::Mean(FloatMean::new(v)),
            (value @ Running::Nothing, Min | Max) => *value = Running::Number(v),
            (value @ Running::Nothing, Quantile) => *value = Running::Values(vec![v]),
            (value @ Running::Nothing, Stddev | Stdvar) => {
                let squares = if v.is_finite() { 0.0 } else { f64::NAN };
                *value = Running::Variance { count: 1.0, mean: v, squares };
            }
            (Running::Sum(sum, lost), _) => (*sum, *lost) = add_compensated(v, *sum, *lost),
            (Running::Mean(mean), _) => mean.add(v),
            (Running::Number(least), Min) if v < *least || least.is_nan() => *least = v,
            (Running::Number(most), Max) if v > *most || most.is_nan() => *most = v,
            (Running::Values(values), _) => values.push(v),
            (Running::Variance { count, mean, squares }, _) => {
                *count += 1.0;
                let delta = v - *mean;
                *mean += delta / *count;
                *squares += delta * (v - *mean);
            }
            (value @ (Running::HistogramSum(_) | Running::HistogramMean(_)), _) => *value = Running::Mixed,
            _ => {}
        }
    }

    fn add_histogram(&mut self, op: AggregateOp, h: &FloatHistogram) -> Option<Fault> {
        use AggregateOp::{Avg, Count, Group, Sum};
        match op {
            Sum | Avg => {}
            Count => {
                self.add_float(op, 1.0);
                return None;
            }
            Group => return None,
            _ => return Some(Fault::Ignored),
        }
        self.reset_seen |= h.hint == ResetHint::Reset;
        self.not_reset_seen |= h.hint == ResetHint::NotReset;
        let combined = match &mut self.value {
            value @ Running::Nothing => {
                *value = if op == Sum {
                    Running::HistogramSum(Box::new(CompensatedSum::new(h)))
                } else {
                    Running::HistogramMean(Box::new(RunningMean::new(h)))
                };
                return None;
            }
            Running::HistogramSum(sum) => sum.add(h),
            Running::HistogramMean(mean) => mean.add(h),
            Running::Incompatible => return None,
            value => {
                *value = Running::Mixed;
                return None;
            }
        };
        match combined {
            Err(_) => {
                self.value = Running::Incompatible;
                Some(Fault::MixedSchemas)
            }
            Ok(noticed) => noticed.bounds_reconciled.then_some(Fault::BoundsReconciled),
        }
    }
}
