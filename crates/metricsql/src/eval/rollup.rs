//! Functions over time: which samples they get, and what they are called with.

mod functions;

use luma_promql::{Error, Grid, Labels, Matcher, Result, Select, SeriesData, each_series, is_stale};

use super::ranges::{Counts, RANGE_LABEL};
use super::window::{SILENCE_MS, Shape, rolled};
use super::{Context, Row, failed, text};
use crate::ast::{Call, Expr, Rollup};
use functions::{Function, Prepare, find};

pub(crate) use functions::is_rollup;
pub(super) use functions::without_resets;

/// The label that tells rows of one function apart.
const ROLLUP: &str = "rollup";

/// The function whose rows are counts of ranges.
const RANGES: &str = "histogram_over_time";

/// The samples of a series.
struct Samples {
    labels: Labels,
    times: Vec<i64>,
    values: Vec<f64>,
}

impl Context<'_> {
    pub(super) fn rollup_call(&self, grid: Grid, call: &Call) -> Result<Vec<Row>> {
        let at = match call.name.as_str() {
            "quantile_over_time" | "aggr_over_time" | "hoeffding_bound_lower" | "hoeffding_bound_upper" => 1,
            "quantiles_over_time" => call.args.len().saturating_sub(1),
            _ => 0,
        };
        let Some(arg) = call.args.get(at) else {
            return failed(format!("{} needs {} arguments or more", call.name, at + 1));
        };
        let rollup = match arg {
            Expr::Rollup(rollup) => match &rollup.expr {
                // Samples on a grid, as any other expression has them.
                Expr::Selector(_) if rollup.is_subquery => {
                    let inner = Expr::Rollup(Box::new(Rollup::of(rollup.expr.clone())));
                    Rollup { expr: inner, ..(**rollup).clone() }
                }
                _ => (**rollup).clone(),
            },
            other => Rollup::of(other.clone()),
        };
        let others: Vec<&Expr> =
            call.args.iter().enumerate().filter(|(own, _)| *own != at).map(|(_, arg)| arg).collect();
        self.rollup(grid, &call.name, &rollup, &others, call.keep_names)
    }

    pub(super) fn rollup(
        &self,
        grid: Grid,
        name: &str,
        rollup: &Rollup,
        args: &[&Expr],
        keep_names: bool,
    ) -> Result<Vec<Row>> {
        let Some(at) = &rollup.at else { return self.rollup_of(grid, name, rollup, args, keep_names) };
        let t = self.scalar(grid, at)?.first().copied().unwrap_or(f64::NAN);
        if t.is_nan() {
            return failed("the time behind @ must be a number");
        }
        let t = (t * 1000.0) as i64;
        let mut rows = self.rollup_of(Grid { start: t, end: t, ..grid }, name, rollup, args, keep_names)?;
        for row in &mut rows {
            self.charge(grid.len())?;
            row.values = vec![row.values.first().copied().unwrap_or(f64::NAN); grid.len()];
        }
        Ok(rows)
    }

    fn rollup_of(
        &self,
        grid: Grid,
        name: &str,
        rollup: &Rollup,
        args: &[&Expr],
        keep_names: bool,
    ) -> Result<Vec<Row>> {
        let mut moved = grid.before(rollup.offset.map_or(0, |offset| offset.at(grid.step)));
        if name == "rollup_candlestick" {
            moved = moved.before(-grid.step);
        }
        let window = rollup.window.map_or(0, |window| window.at(grid.step));
        let scalars = match name {
            "aggr_over_time" | "quantiles_over_time" => Vec::new(),
            _ => args.iter().map(|arg| self.scalar(moved, arg)).collect::<Result<Vec<_>>>()?,
        };
        let functions = self.functions_of(moved, name, args)?;
        // What one function of a call needs, all of them get.
        let needed = functions.iter().map(|(_, function)| function.prepare);
        let prepare = needed.into_iter().find(|prepare| *prepare != Prepare::Nothing);
        let prepare = prepare.unwrap_or(Prepare::Nothing);
        let rows_of = |mut series: Samples| -> Result<Vec<Row>> {
            self.check()?;
            if name == RANGES {
                self.charge(moved.len())?;
                return Ok(ranges(moved, window, &series, keep_names));
            }
            let mut rows = Vec::with_capacity(functions.len());
            prepare.apply(&series.times, &mut series.values);
            for (label, function) in &functions {
                self.charge(moved.len())?;
                let shape = Shape { length: window, may_grow: function.may_grow };
                let values = rolled(moved, shape, &series.times, &series.values, |window| {
                    (function.compute)(window, &scalars)
                });
                let mut labels = series.labels.clone();
                if let Some((name, value)) = label {
                    labels = labels.with(name, value);
                }
                let mut row = Row { labels, values };
                if !keep_names && !function.keeps_name {
                    row.unnamed();
                }
                rows.push(row);
            }
            Ok(rows)
        };
        let rows: Vec<Row> = match &rollup.expr {
            Expr::Selector(lists) => self.of_selected(moved, name, lists, window, rows_of)?,
            _ => {
                let samples = self.subquery(moved, rollup, window)?;
                samples.into_iter().map(rows_of).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect()
            }
        };
        if name == "absent_over_time" {
            return Ok(absent(grid, &rollup.expr, rows));
        }
        Ok(rows)
    }

    /// The functions of a call, each with the label of its rows if there are several.
    #[allow(clippy::type_complexity)]
    fn functions_of(
        &self,
        grid: Grid,
        name: &str,
        args: &[&Expr],
    ) -> Result<Vec<(Option<(String, String)>, Function)>> {
        let rollups = |of: &[(&str, &str)], prepare: Prepare| -> Result<Vec<_>> {
            of.iter()
                .map(|(label, inner)| {
                    let function = Function {
                        prepare,
                        may_grow: !matches!(name, "rollup_increase" | "rollup_delta"),
                        keeps_name: matches!(name, "rollup" | "rollup_candlestick"),
                        ..known(inner)?
                    };
                    Ok((Some((ROLLUP.to_owned(), (*label).to_owned())), function))
                })
                .collect()
        };
        const MIN_MAX_AVG: [(&str, &str); 3] =
            [("min", "min_over_time"), ("max", "max_over_time"), ("avg", "avg_over_time")];
        match name {
            RANGES if args.is_empty() => Ok(Vec::new()),
            "rollup" => rollups(&MIN_MAX_AVG, Prepare::Nothing),
            "rollup_rate" => rollups(&MIN_MAX_AVG, Prepare::Rates),
            "rollup_deriv" => rollups(&MIN_MAX_AVG, Prepare::Derivatives),
            "rollup_increase" => rollups(&MIN_MAX_AVG, Prepare::Increases),
            "rollup_delta" => rollups(&MIN_MAX_AVG, Prepare::Deltas),
            "rollup_scrape_interval" => rollups(&MIN_MAX_AVG, Prepare::Intervals),
            "rollup_candlestick" => {
                let of = [("open", "open"), ("close", "close"), ("low", "low"), ("high", "high")];
                rollups(&of, Prepare::Nothing)
            }
            "aggr_over_time" => {
                let names: &[Expr] = match args.first() {
                    Some(Expr::Union(names)) => names,
                    Some(one) => std::slice::from_ref(*one),
                    None => &[],
                };
                (0..names.len())
                    .map(|at| {
                        let inner = text(names, at, name)?;
                        let function = Function { keeps_name: false, may_grow: false, ..known(inner)? };
                        Ok((Some((ROLLUP.to_owned(), inner.to_owned())), function))
                    })
                    .collect()
            }
            "quantiles_over_time" => {
                let Some(Expr::Text(label)) = args.first() else {
                    return failed("the first argument of quantiles_over_time must be a text");
                };
                let mut functions = Vec::new();
                for phi in args.iter().skip(1) {
                    let phi = self.scalar(grid, phi)?.first().copied().unwrap_or(f64::NAN);
                    let label = (label.clone(), luma_promql::format_general(phi));
                    functions.push((Some(label), functions::quantile_of(phi)));
                }
                Ok(functions)
            }
            _ => {
                let function = known(name)?;
                if args.len() != function.scalars {
                    let (wanted, given) = (function.scalars + 1, args.len() + 1);
                    return failed(format!("{name} needs {wanted} arguments, got {given}"));
                }
                Ok(vec![(None, function)])
            }
        }
    }

    /// The rows of the series that fulfil one of the lists, computed on as many threads as it pays.
    fn of_selected(
        &self,
        grid: Grid,
        name: &str,
        lists: &[Vec<Matcher>],
        window: i64,
        rows_of: impl Fn(Samples) -> Result<Vec<Row>> + Sync,
    ) -> Result<Vec<Row>> {
        let reach = if window > grid.step { window } else { grid.step };
        let start = grid.start.saturating_sub(SILENCE_MS).saturating_sub(reach);
        let keeps_markers = matches!(name, "default_rollup" | "stale_samples_over_time");
        let mut all: Vec<Row> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for matchers in lists {
            if matchers.iter().all(|matcher| matcher.matches("")) {
                return failed("a selector must have a matcher that no empty label fulfils");
            }
            let set =
                self.source.select(&Select { matchers, start, end: grid.end }).map_err(Error::Source)?;
            let of_series = |context: &&Self, data: SeriesData| {
                context.charge(data.floats.len())?;
                let points = data.floats.iter().filter(|point| keeps_markers || !is_stale(point.v));
                let (times, values): (Vec<i64>, Vec<f64>) = points.map(|point| (point.t, point.v)).unzip();
                if times.is_empty() {
                    return Ok(None);
                }
                let labels = data.labels.clone();
                Ok(Some((labels, rows_of(Samples { labels: data.labels, times, values })?)))
            };
            for (labels, rows) in each_series(set, &self, || self, drop, of_series)? {
                if lists.len() == 1 || seen.insert(labels) {
                    all.extend(rows);
                }
            }
        }
        Ok(all)
    }

    /// The values of an expression as samples.
    fn subquery(&self, grid: Grid, rollup: &Rollup, window: i64) -> Result<Vec<Samples>> {
        let step = rollup.step.map_or(0, |step| step.at(grid.step));
        let step = if step > 0 { step } else { grid.step };
        let start = grid.start.saturating_sub(window).saturating_sub(SILENCE_MS).saturating_sub(step);
        let end = grid.end.saturating_add(step);
        let start = start.saturating_sub(start.rem_euclid(step));
        let end = end.saturating_add((step - end.rem_euclid(step)).rem_euclid(step));
        let inner = Grid { start, end, step };
        if inner.len() > self.options.max_samples {
            return Err(Error::TooManySamples);
        }
        let rows = self.eval(inner, &rollup.expr)?;
        let samples = rows.into_iter().map(|row| {
            let points = inner.times().zip(row.values).filter(|(_, v)| !v.is_nan());
            let (times, values) = points.unzip();
            Samples { labels: row.labels, times, values }
        });
        Ok(samples.collect())
    }
}

/// How many samples of each window are in which range.
fn ranges(grid: Grid, window: i64, series: &Samples, keep_names: bool) -> Vec<Row> {
    let mut counts = Counts::new(grid.len(), f64::NAN);
    let shape = Shape { length: window, may_grow: false };
    rolled(grid, shape, &series.times, &series.values, |window| {
        window.values.iter().for_each(|value| counts.add(window.index, *value));
        f64::NAN
    });
    let of_range = |(range, values): (String, Vec<f64>)| {
        let mut row = Row { labels: series.labels.with(RANGE_LABEL, &range), values };
        if !keep_names {
            row.unnamed();
        }
        row
    };
    counts.finish().map(of_range).collect()
}

fn known(name: &str) -> Result<Function> {
    find(name).map_or_else(|| failed(format!("{name} is no function over time")), Ok)
}

/// One row that is there where no series has samples.
fn absent(grid: Grid, expr: &Expr, rows: Vec<Row>) -> Vec<Row> {
    let mut values = vec![1.0; grid.len()];
    for (at, value) in values.iter_mut().enumerate() {
        if rows.iter().any(|row| row.values.get(at).is_some_and(|value| value.is_nan())) {
            *value = f64::NAN;
        }
    }
    vec![Row { labels: labels_of(expr), values }]
}

/// The labels that a selector's matchers give for certain.
pub(super) fn labels_of(expr: &Expr) -> Labels {
    let selector = match expr {
        Expr::Rollup(rollup) => &rollup.expr,
        other => other,
    };
    let Expr::Selector(lists) = selector else { return Labels::default() };
    let [matchers] = lists.as_slice() else { return Labels::default() };
    let equal = matchers.iter().filter(|matcher| {
        matcher.op() == luma_promql::MatchOp::Equal && matcher.name() != luma_promql::METRIC_NAME
    });
    Labels::new(equal.map(|matcher| (matcher.name(), matcher.value())))
}
