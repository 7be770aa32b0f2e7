//! Functions over ranges: each series is walked once, a window for every step.

use std::cell::RefCell;

use crate::annotation::Annotations;
use crate::ast::{Boundary, Call, Expr, Span};
use crate::error::{Result, failed};
use crate::labels::Labels;
use crate::matcher::{MatchOp, Matcher};
use crate::source::SeriesData;
use crate::value::{FloatPoint, Series};

use super::change::Change;
use super::each::{Sink, collected};
use super::extreme::MovingExtreme;
use super::window::{Placement, for_each_window};
use super::{Context, Grid, over_time};

/// A call while one of its series is walked.
pub(super) struct RangeCall<'c> {
    pub context: &'c Context<'c>,
    pub name: &'static str,
    /// Where the call's first argument stands: what annotations point at.
    pub span: Span,
    pub labels: &'c Labels,
    /// The numbers among the arguments at the current step.
    pub args: &'c [f64],
    /// The largest or smallest so far, for functions that ask.
    pub extreme: &'c RefCell<MovingExtreme>,
}

impl RangeCall<'_> {
    /// Notes something about the metric.
    pub fn note(&self, f: impl FnOnce(&mut Annotations, &str, Span)) {
        self.context.note(|notes| f(notes, self.labels.metric_name(), self.span));
    }
}

/// The functions that know what to do with samples beyond a range's ends.
const ANCHORED: &str = "changes, delta, increase, rate, resets";
const SMOOTHED: &str = "delta, increase, rate";

impl Context<'_> {
    /// Hands the series of a call with a range among its arguments to `sink`.
    pub(super) fn range_each(&self, grid: Grid, call: &Call, sink: Sink<'_>) -> Result<()> {
        if call.function.name == "absent_over_time" {
            let present = collected(|sink| self.walked(grid, call, sink))?;
            let selector = call.args.iter().find_map(|arg| match arg.without_parens() {
                Expr::Matrix(matrix) => Some(&matrix.selector),
                _ => None,
            });
            let labels = selector.map_or_else(Labels::default, |selector| exact_labels(&selector.matchers));
            return absent(grid, &present, labels).into_iter().try_for_each(sink);
        }
        self.walked(grid, call, sink)
    }

    fn walked(&self, grid: Grid, call: &Call, sink: Sink<'_>) -> Result<()> {
        let name = call.function.name;
        let mut scalars = Vec::new();
        let mut range = None;
        for arg in &call.args {
            match arg.without_parens() {
                arg @ (Expr::Matrix(_) | Expr::Subquery(_)) => range = Some(arg),
                arg => scalars.push(self.scalar(grid, arg)?),
            }
        }
        let (Some(range), Some(first)) = (range, call.args.first()) else {
            return failed(format!("{name} needs a range vector"));
        };
        let span = first.without_parens().span();
        let walk = Walk { grid, name, span, scalars };
        match range {
            Expr::Matrix(selector) => {
                let placement = self.placement(selector)?;
                let (allowed, modifier) = match placement.boundary {
                    Boundary::Plain => (name, ""),
                    Boundary::Anchored => (ANCHORED, "anchored"),
                    Boundary::Smoothed => (SMOOTHED, "smoothed"),
                };
                if !allowed.split(", ").any(|a| a == name) {
                    return failed(format!(
                        "{modifier} modifier can only be used with: {allowed} - not with {name}"
                    ));
                }
                let f = |context: &Context<'_>, data: SeriesData| {
                    walk.series(context, data.without_stale(), false, placement)
                };
                self.each_series(&selector.selector, placement.span(grid), f, sink)
            }
            Expr::Subquery(subquery) => {
                let (fixed, offset) = self.shift(&subquery.shift)?;
                let range = self.duration(&subquery.range, true)?;
                let boundary = Boundary::Plain;
                let placement = Placement { fixed, offset, range, boundary, lookback: 0 };
                self.subqueries.set(self.subqueries.get() + 1);
                let series = self.subquery(grid, subquery);
                self.subqueries.set(self.subqueries.get() - 1);
                for (data, drop_name) in series? {
                    if let Some(series) = walk.series(self, data, drop_name, placement)? {
                        sink(series)?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// A function on its way along series.
struct Walk {
    grid: Grid,
    name: &'static str,
    span: Span,
    scalars: Vec<Vec<f64>>,
}

impl Walk {
    /// The function's values for a series; `None` if it has none.
    fn series(
        &self,
        context: &Context<'_>,
        data: SeriesData,
        drop_name: bool,
        placement: Placement,
    ) -> Result<Option<Series>> {
        // A sample of the range is the metric's own; anything computed from it is not.
        let keeps_name = matches!(self.name, "last_over_time" | "first_over_time");
        let mut out = Series { drop_name: drop_name || !keeps_name, ..Series::default() };
        let plain_numbers = placement.boundary == Boundary::Plain && data.histograms.is_empty();
        match Change::of(self.name).filter(|_| plain_numbers) {
            Some(change) => self.changes(context, &data, placement, change, &mut out)?,
            None => self.windows(context, &data, placement, &mut out)?,
        }
        if matches!(self.name, "rate" | "increase") && !out.floats.is_empty() {
            let metric = data.labels.metric_name();
            let counter = ["_total", "_sum", "_count", "_bucket"].iter().any(|s| metric.ends_with(s));
            if !metric.is_empty() && !counter {
                context.note(|notes| notes.possible_non_counter(metric, self.span));
            }
        }
        if out.is_empty() {
            return Ok(None);
        }
        context.charge(out.samples())?;
        out.labels = data.labels;
        Ok(Some(out))
    }

    /// The values of a function of any kind, window by window.
    fn windows(
        &self,
        context: &Context<'_>,
        data: &SeriesData,
        placement: Placement,
        out: &mut Series,
    ) -> Result<()> {
        let mut args = vec![0.0; self.scalars.len()];
        let extreme = RefCell::default();
        let (mut largest, mut used) = (0, 0);
        for_each_window(data, placement, self.grid, |step, window| {
            for (arg, values) in args.iter_mut().zip(&self.scalars) {
                *arg = values.get(step).copied().unwrap_or(f64::NAN);
            }
            if placement.boundary != Boundary::Plain && !window.histograms.is_empty() {
                return failed("smoothed and anchored modifiers do not work with native histograms");
            }
            let size = window.floats.len() + window.histograms.iter().map(|p| p.h.samples()).sum::<usize>();
            used += size;
            context.used_at(step, size);
            if size > largest {
                context.charge(size - largest)?;
                largest = size;
            }
            let (name, span, labels) = (self.name, self.span, &data.labels);
            let call = RangeCall { context, name, span, labels, args: &args, extreme: &extreme };
            if let Some(sample) = over_time::apply(&call, &window)? {
                out.push(window.t, sample);
            }
            Ok(())
        })?;
        context.release(largest);
        context.used(used);
        Ok(())
    }

    /// The values of `rate`, `increase` or `delta` for numbers, which most windows of most queries are for.
    fn changes(
        &self,
        context: &Context<'_>,
        data: &SeriesData,
        placement: Placement,
        change: Change,
        out: &mut Series,
    ) -> Result<()> {
        let (mut largest, mut used) = (0, 0);
        out.floats = change.along(data, placement, self.grid, |step, size| {
            largest = largest.max(size);
            used += size;
            context.used_at(step, size);
        });
        context.charge(largest)?;
        context.release(largest);
        context.used(used);
        Ok(())
    }
}

/// A one at every step at which no series has a value.
pub(super) fn absent(grid: Grid, series: &[Series], labels: Labels) -> Vec<Series> {
    let mut present = vec![false; grid.len()];
    for s in series {
        let times = s.floats.iter().map(|p| p.t).chain(s.histograms.iter().map(|p| p.t));
        for t in times {
            if let Some(there) = present.get_mut(grid.index(t)) {
                *there = true;
            }
        }
    }
    let floats: Vec<FloatPoint> = grid
        .times()
        .zip(present)
        .filter(|(_, present)| !present)
        .map(|(t, _)| FloatPoint { t, v: 1.0 })
        .collect();
    if floats.is_empty() {
        return Vec::new();
    }
    vec![Series { labels, floats, drop_name: true, ..Series::default() }]
}

/// The labels that matchers leave no choice about: what an absent series would have had.
pub(super) fn exact_labels(matchers: &[Matcher]) -> Labels {
    let mut labels = Labels::default();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in matchers.iter().filter(|m| m.name() != crate::labels::METRIC_NAME) {
        if matcher.op() == MatchOp::Equal && !seen.contains(&matcher.name()) {
            labels = labels.with(matcher.name(), matcher.value());
            seen.push(matcher.name());
        } else {
            labels = labels.with(matcher.name(), "");
        }
    }
    labels
}
