//! Function calls that take no range.

use crate::ast::{Call, Expr};
use crate::error::{Result, failed};
use crate::labels::Labels;
use crate::value::{FloatPoint, Series};

use super::each::collected;
use super::range_calls::{absent, exact_labels};
use super::selector::{Aspect, step_times};
use super::{Context, Evaluated, Grid, dates, math};

impl Context<'_> {
    pub(super) fn call(&self, grid: Grid, call: &Call) -> Result<Evaluated> {
        if call.takes_range() {
            return collected(|sink| self.range_each(grid, call, sink)).map(Evaluated::Series);
        }
        if let Some(scalar) = self.scalar_call(grid, call)? {
            return Ok(Evaluated::Scalar(scalar));
        }
        self.vector_call(grid, call).map(Evaluated::Series)
    }

    /// Calls that yield a number per step.
    fn scalar_call(&self, grid: Grid, call: &Call) -> Result<Option<Vec<f64>>> {
        let constant = |value: f64| Ok(Some(vec![value; grid.len()]));
        let seconds = |millis: i64| millis as f64 / 1000.0;
        match call.function.name {
            "time" => Ok(Some(grid.times().map(seconds).collect())),
            "pi" => constant(std::f64::consts::PI),
            "start" => constant(seconds(self.query.start)),
            "end" => constant(seconds(self.query.end)),
            "range" => constant(seconds(self.query.end.saturating_sub(self.query.start))),
            "step" => constant(seconds(self.step)),
            "min_of" | "max_of" => {
                let f = if call.function.name == "min_of" { math::min } else { math::max };
                let [a, b] = &call.args[..] else { return failed("expected two scalars") };
                let (a, b) = (self.scalar(grid, a)?, self.scalar(grid, b)?);
                Ok(Some(a.into_iter().zip(b).map(|(a, b)| f(a, b)).collect()))
            }
            "scalar" => {
                let series = self.series(grid, argument(call, 0)?)?;
                self.release(super::points(&series));
                Ok(Some(only_number(grid, &series)))
            }
            _ => Ok(None),
        }
    }

    fn vector_call(&self, grid: Grid, call: &Call) -> Result<Vec<Series>> {
        let name = call.function.name;
        if let Some(f) = math::function(name) {
            return Ok(mapped(self.series(grid, argument(call, 0)?)?, |_, v| f(v)));
        }
        if let Some(f) = dates::function(name) {
            let series = match call.args.first() {
                Some(arg) => self.series(grid, arg)?,
                None => vec![numbers(grid, grid.times().map(|t| (t.div_euclid(1000)) as f64))],
            };
            return Ok(mapped(series, |_, v| dates::at(f, v)));
        }
        match name {
            "absent" => {
                let arg = argument(call, 0)?.without_parens();
                let labels = match arg {
                    Expr::Vector(selector) => exact_labels(&selector.matchers),
                    _ => Labels::default(),
                };
                let series = self.series(grid, arg)?;
                self.release(super::points(&series));
                Ok(absent(grid, &series, labels))
            }
            "clamp" | "clamp_min" | "clamp_max" => self.clamp(grid, call),
            "round" => {
                let series = self.series(grid, argument(call, 0)?)?;
                let nearest = match call.args.get(1) {
                    Some(arg) => self.scalar(grid, arg)?,
                    None => vec![1.0; grid.len()],
                };
                Ok(mapped(series, |t, v| math::round(v, value_at(&nearest, grid, t))))
            }
            "timestamp" | "start_timestamp" => self.timestamp(grid, call),
            "vector" => {
                let values = self.scalar(grid, argument(call, 0)?)?;
                self.charge(values.len())?;
                Ok(vec![numbers(grid, values)])
            }
            "label_replace" => self.label_replace(grid, call),
            "label_join" => self.label_join(grid, call),
            "sort" | "sort_desc" => self.sort_by_value(grid, call),
            "sort_by_label" | "sort_by_label_desc" => self.sort_by_label(grid, call),
            "info" => self.info(grid, call),
            _ => self.histogram_call(grid, call),
        }
    }

    fn clamp(&self, grid: Grid, call: &Call) -> Result<Vec<Series>> {
        let series = self.series(grid, argument(call, 0)?)?;
        let endless = |value: f64| vec![value; grid.len()];
        let first = self.scalar(grid, argument(call, 1)?)?;
        let (lower, upper) = match call.function.name {
            "clamp_min" => (first, endless(f64::INFINITY)),
            "clamp_max" => (endless(f64::NEG_INFINITY), first),
            _ => (first, self.scalar(grid, argument(call, 2)?)?),
        };
        let clamped = mapped(series, |t, v| {
            let (lower, upper) = (value_at(&lower, grid, t), value_at(&upper, grid, t));
            math::max(lower, math::min(upper, v))
        });
        // Nothing lies between limits that have changed places.
        let crossed = |t: i64| value_at(&upper, grid, t) < value_at(&lower, grid, t);
        let kept = clamped.into_iter().map(|mut s| {
            s.floats.retain(|p| !crossed(p.t));
            s
        });
        Ok(kept.filter(|s| !s.is_empty()).collect())
    }

    fn timestamp(&self, grid: Grid, call: &Call) -> Result<Vec<Series>> {
        let arg = argument(call, 0)?.without_parens();
        let started = call.function.name == "start_timestamp";
        if let Expr::Vector(selector) = arg {
            let aspect = if started { Aspect::Start } else { Aspect::Time };
            let mut series = self.instant_aspect(grid, selector, aspect)?;
            for s in &mut series {
                s.drop_name = true;
            }
            return Ok(series);
        }
        let series = self.series(grid, arg)?;
        Ok(if started { Vec::new() } else { step_times(series) })
    }
}

/// An argument that the types say is there.
pub(super) fn argument(call: &Call, at: usize) -> Result<&Expr> {
    match call.args.get(at) {
        Some(arg) => Ok(arg),
        None => failed(format!("argument {} of {} is missing", at + 1, call.function.name)),
    }
}

/// A text among the arguments.
pub(super) fn text_argument(call: &Call, at: usize) -> Result<&str> {
    match argument(call, at)?.without_parens() {
        Expr::String(text, _) => Ok(text),
        _ => failed(format!("argument {} of {} must be a string literal", at + 1, call.function.name)),
    }
}

/// A series without labels of numbers, one per step.
pub(super) fn numbers(grid: Grid, values: impl IntoIterator<Item = f64>) -> Series {
    let floats = grid.times().zip(values).map(|(t, v)| FloatPoint { t, v }).collect();
    Series { floats, ..Series::default() }
}

/// Every number replaced; histograms are left out.
pub(super) fn mapped(series: Vec<Series>, f: impl Fn(i64, f64) -> f64) -> Vec<Series> {
    let map = |mut s: Series| {
        s.histograms.clear();
        for point in &mut s.floats {
            point.v = f(point.t, point.v);
        }
        s.drop_name = true;
        s
    };
    series.into_iter().map(map).filter(|s| !s.is_empty()).collect()
}

pub(super) fn value_at(values: &[f64], grid: Grid, t: i64) -> f64 {
    values.get(grid.index(t)).copied().unwrap_or(f64::NAN)
}

/// The number of every step at which there is exactly one.
fn only_number(grid: Grid, series: &[Series]) -> Vec<f64> {
    let mut found: Vec<Option<Option<f64>>> = vec![None; grid.len()];
    for point in series.iter().flat_map(|s| &s.floats) {
        if let Some(value) = found.get_mut(grid.index(point.t)) {
            *value = Some(if value.is_none() { Some(point.v) } else { None });
        }
    }
    found.into_iter().map(|value| value.flatten().unwrap_or(f64::NAN)).collect()
}
