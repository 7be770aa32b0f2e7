//! Aggregations that choose series: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use std::collections::HashMap;

use crate::ast::{Aggregate, AggregateOp, Expr};
use crate::error::{Result, failed};
use crate::labels::Labels;
use crate::number::format_general;
use crate::value::{FloatPoint, HistogramPoint, Series};

use super::aggregate::group_labels;
use super::sorting::by_value;
use super::{Context, Grid};

/// The first number that no longer fits a 64-bit count.
const COUNT_MAX: f64 = 9_223_372_036_854_774_784.0;
const COUNT_MIN: f64 = -9_223_372_036_854_775_808.0;

impl Context<'_> {
    pub(super) fn choose(
        &self,
        grid: Grid,
        aggregate: &Aggregate,
        params: &[f64],
        series: Vec<Series>,
    ) -> Result<Vec<Series>> {
        if !self.check_params(aggregate, params)? {
            return Ok(Vec::new());
        }
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut groups: Vec<Vec<Series>> = Vec::new();
        for s in series {
            let at = *places.entry(group_labels(aggregate, &s.labels, None)).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[at].push(s);
        }
        let mut out = Vec::new();
        for group in groups {
            let chosen = match aggregate.op {
                AggregateOp::LimitRatio => by_ratio(grid, params, group),
                AggregateOp::Limitk => first_k(grid, params, group),
                _ => self.extreme_k(grid, aggregate, params, group),
            };
            for s in chosen.into_iter().filter(|s| !s.is_empty()) {
                self.charge(s.samples())?;
                out.push(s);
            }
        }
        Ok(out)
    }

    /// Whether the parameters choose anything.
    fn check_params(&self, aggregate: &Aggregate, params: &[f64]) -> Result<bool> {
        let most = params.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = params.iter().copied().fold(f64::INFINITY, f64::min);
        let any_nan = params.iter().any(|p| p.is_nan());
        if aggregate.op == AggregateOp::LimitRatio {
            if most == 0.0 && least == 0.0 && !any_nan {
                return Ok(false);
            }
            if any_nan {
                return failed("Ratio value is NaN");
            }
            let span = aggregate.param.as_ref().map_or(aggregate.span, Expr::span);
            if most > 1.0 {
                self.note(|notes| notes.invalid_ratio(most, 1.0, span));
            }
            if least < -1.0 {
                self.note(|notes| notes.invalid_ratio(least, -1.0, span));
            }
            return Ok(true);
        }
        if any_nan {
            return failed("Parameter value is NaN");
        }
        if most < 1.0 {
            return Ok(false);
        }
        if least <= COUNT_MIN {
            return failed(format!("Scalar value {} underflows int64", format_general(least)));
        }
        if most >= COUNT_MAX {
            return failed(format!("Scalar value {} overflows int64", format_general(most)));
        }
        Ok(true)
    }

    fn extreme_k(
        &self,
        grid: Grid,
        aggregate: &Aggregate,
        params: &[f64],
        group: Vec<Series>,
    ) -> Vec<Series> {
        let descending = aggregate.op == AggregateOp::Topk;
        if group.iter().any(|s| !s.histograms.is_empty()) {
            self.note(|notes| notes.ignored_in_aggregation(aggregate.op.name(), aggregate.span));
        }
        let mut at_step: Vec<Vec<(usize, f64)>> = vec![Vec::new(); grid.len()];
        for (at, s) in group.iter().enumerate() {
            for point in &s.floats {
                if let Some(step) = at_step.get_mut(grid.index(point.t)) {
                    step.push((at, point.v));
                }
            }
        }
        let mut chosen: Vec<Series> = group.into_iter().map(without_points).collect();
        let mut order = Vec::new();
        for ((step, t), mut values) in grid.times().enumerate().zip(at_step) {
            values.sort_by(|a, b| by_value(a.1, b.1, descending));
            values.truncate(count(params, step));
            for (at, v) in values {
                chosen[at].floats.push(FloatPoint { t, v });
                order.push(at);
            }
        }
        if grid.len() == 1 {
            // An instant answer has the order of the values.
            return order.into_iter().map(|at| std::mem::take(&mut chosen[at])).collect();
        }
        chosen
    }
}

fn without_points(s: Series) -> Series {
    Series { labels: s.labels, drop_name: s.drop_name, ..Series::default() }
}

fn count(params: &[f64], step: usize) -> usize {
    params.get(step).map_or(0, |k| *k as usize)
}

fn first_k(grid: Grid, params: &[f64], group: Vec<Series>) -> Vec<Series> {
    let mut left: Vec<usize> = (0..grid.len()).map(|step| count(params, step)).collect();
    let mut take = |t: i64| match left.get_mut(grid.index(t)) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    };
    let mut chosen = Vec::with_capacity(group.len());
    for mut s in group {
        s.floats.retain(|p: &FloatPoint| take(p.t));
        s.histograms.retain(|p: &HistogramPoint| take(p.t));
        chosen.push(s);
    }
    chosen
}

/// A series is in a share if its place between 0 and 1, which follows from its labels, is: a ratio
/// of 0.2 takes the places below 0.2, one of -0.8 exactly the others.
fn by_ratio(grid: Grid, params: &[f64], group: Vec<Series>) -> Vec<Series> {
    let mut chosen = Vec::with_capacity(group.len());
    for mut s in group {
        let place = s.labels.stable_hash() as f64 / u64::MAX as f64;
        let taken = |t: i64| {
            let ratio = params.get(grid.index(t)).map_or(0.0, |r| r.clamp(-1.0, 1.0));
            // A share of all takes all, also the series at the very end.
            ratio == 1.0 || (ratio >= 0.0 && place < ratio) || (ratio < 0.0 && place >= 1.0 + ratio)
        };
        s.floats.retain(|p| taken(p.t));
        s.histograms.retain(|p| taken(p.t));
        chosen.push(s);
    }
    chosen
}
