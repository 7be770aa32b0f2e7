//! Aggregations of series at each step.

use std::collections::HashMap;

use luma_promql::{Grid, Labels, METRIC_NAME, Result};

use super::histogram::with_bounds;
use super::numbers::{folded, mean, mode, quantile, variance};
use super::ranges::{Counts, RANGE_LABEL};
use super::top::{Ranking, ranking};
use super::{Context, Row, failed, text};
use crate::ast::{Aggregate, Grouping};

/// What is made of the values of a group at a step.
type Compute = fn(&[f64]) -> f64;

fn plain(name: &str) -> Option<Compute> {
    Some(match name {
        "sum" => |values| folded(there(values), |a, b| a + b),
        "sum2" => |values| folded(there(values).map(|v| v * v), |a, b| a + b),
        "avg" => |values| mean(there(values)),
        "min" => |values| folded(there(values), f64::min),
        "max" => |values| folded(there(values), f64::max),
        "count" => |values| match there(values).count() {
            0 => f64::NAN,
            count => count as f64,
        },
        "group" => |values| folded(there(values).map(|_| 1.0), |a, _| a),
        "geomean" => |values| {
            let count = there(values).count() as f64;
            folded(there(values), |a, b| a * b).powf(1.0 / count)
        },
        "stddev" => |values| variance(there(values)).sqrt(),
        "stdvar" => |values| variance(there(values)),
        "median" => |values| quantile(0.5, there(values)),
        "mode" => |values| mode(f64::NAN, there(values)),
        "mad" => |values| {
            let median = quantile(0.5, there(values));
            quantile(0.5, there(values).map(|v| (v - median).abs()))
        },
        "distinct" => |values| {
            let mut sorted: Vec<f64> = there(values).collect();
            sorted.sort_unstable_by(f64::total_cmp);
            match sorted.chunk_by(|a, b| a == b).count() {
                0 => f64::NAN,
                count => count as f64,
            }
        },
        _ => return None,
    })
}

fn there(values: &[f64]) -> impl Iterator<Item = f64> {
    values.iter().copied().filter(|value| !value.is_nan())
}

pub(crate) fn is_aggregate(name: &str) -> bool {
    let others = [
        "any",
        "count_values",
        "histogram",
        "limitk",
        "outliers_mad",
        "quantile",
        "quantiles",
        "share",
        "zscore",
    ];
    plain(name).is_some() || others.contains(&name) || ranking(name).is_some()
}

/// Groups of rows by what is left of their labels, in the order in which these came.
pub(super) type Groups = Vec<(Labels, Vec<Row>)>;

fn grouped(rows: Vec<Row>, grouping: &Grouping, limit: usize) -> Groups {
    let mut groups: Groups = Vec::new();
    let mut places: HashMap<Labels, usize> = HashMap::new();
    for row in rows {
        let is_named = |name: &str| grouping.labels.iter().any(|own| own == name);
        let key = if grouping.without {
            row.labels.filtered(|name| name != METRIC_NAME && !is_named(name))
        } else {
            row.labels.filtered(is_named)
        };
        match places.get(&key) {
            Some(at) => groups.get_mut(*at).into_iter().for_each(|(_, rows)| rows.push(row.clone())),
            None if limit > 0 && groups.len() >= limit => {}
            None => {
                places.insert(key.clone(), groups.len());
                groups.push((key, vec![row]));
            }
        }
    }
    groups
}

impl Context<'_> {
    pub(super) fn aggregate(&self, grid: Grid, aggregate: &Aggregate) -> Result<Vec<Row>> {
        let (name, args) = (aggregate.name.as_str(), aggregate.args.as_slice());
        // Which of the arguments are series.
        let from = match name {
            "count_values" | "limitk" | "outliers_mad" | "quantile" => 1,
            "quantiles" => args.len().saturating_sub(1).max(1),
            _ => usize::from(ranking(name).is_some()),
        };
        let to = if ranking(name).is_some() { args.len().min(2) } else { args.len() };
        let Some(of_series) = args.get(from..to).filter(|args| !args.is_empty()) else {
            return failed(format!("{name} needs {} arguments or more", from + 1));
        };
        let mut rows = Vec::new();
        for arg in of_series {
            rows.append(&mut self.eval(grid, arg)?);
        }
        rows.retain(|row| !row.is_empty());
        let groups = grouped(rows, &aggregate.grouping, aggregate.limit);
        if let Some(compute) = plain(name) {
            return Ok(each(grid, groups, compute));
        }
        match name {
            "any" => Ok(groups.into_iter().filter_map(|(_, rows)| rows.into_iter().next()).collect()),
            "limitk" => {
                let k = count(&self.scalar(grid, &args[0])?, 0);
                Ok(groups.into_iter().flat_map(|(_, rows)| rows.into_iter().take(k)).collect())
            }
            "outliers_mad" => {
                let tolerance = self.scalar(grid, &args[0])?;
                Ok(groups.into_iter().flat_map(|(_, rows)| super::top::far_away(rows, &tolerance)).collect())
            }
            "quantile" => {
                let phi = self.scalar(grid, &args[0])?;
                let rows = groups.into_iter().map(|(labels, rows)| {
                    let of_step = |at: usize| quantile(at_step(&phi, at), column(&rows, at));
                    Row { labels, values: (0..grid.len()).map(of_step).collect() }
                });
                Ok(rows.collect())
            }
            "quantiles" => {
                let label = text(args, 0, name)?;
                let mut out = Vec::new();
                for phi in args.get(1..from).unwrap_or_default() {
                    let phi = at_step(&self.scalar(grid, phi)?, 0);
                    let value = luma_promql::format_general(phi);
                    out.extend(groups.iter().map(|(labels, rows)| Row {
                        labels: labels.with(label, &value),
                        values: (0..grid.len()).map(|at| quantile(phi, column(rows, at))).collect(),
                    }));
                }
                Ok(out)
            }
            "histogram" => {
                let ranges = groups.into_iter().flat_map(|(labels, rows)| {
                    let mut counts = Counts::new(grid.len(), 0.0);
                    for row in rows {
                        row.values.iter().enumerate().for_each(|(at, value)| counts.add(at, *value));
                    }
                    let of_range = move |(range, values): (String, _)| Row {
                        labels: labels.with(RANGE_LABEL, &range),
                        values,
                    };
                    counts.finish().map(of_range).collect::<Vec<_>>()
                });
                Ok(with_bounds(ranges.collect()))
            }
            "count_values" => Ok(count_values(grid, text(args, 0, name)?, groups)),
            "share" | "zscore" => Ok(relative(name, groups)),
            _ => self.top(grid, aggregate, groups),
        }
    }

    fn top(&self, grid: Grid, aggregate: &Aggregate, groups: Groups) -> Result<Vec<Row>> {
        let name = aggregate.name.as_str();
        let Some(ranking) = ranking(name) else { return failed(format!("{name} is no aggregation")) };
        let k = match aggregate.args.first() {
            Some(k) => self.scalar(grid, k)?,
            None => return failed(format!("{name} needs 2 arguments or more")),
        };
        let rest = match aggregate.args.get(2) {
            Some(_) => Some(text(&aggregate.args, 2, name)?),
            None => None,
        };
        let of_group = |(labels, rows)| match ranking {
            Ranking::AtStep { largest } => super::top::at_each_step(rows, &k, largest),
            Ranking::ByRow { compute, largest } => {
                super::top::by_row(labels, rows, &k, largest, compute, rest)
            }
            Ranking::Outliers => super::top::outliers(rows, &k),
        };
        Ok(groups.into_iter().flat_map(of_group).collect())
    }
}

/// A number of series.
fn count(values: &[f64], at: usize) -> usize {
    let k = at_step(values, at);
    if k.is_nan() || k < 0.0 { 0 } else { k as usize }
}

pub(super) fn at_step(values: &[f64], at: usize) -> f64 {
    values.get(at).copied().unwrap_or(f64::NAN)
}

/// The values of rows at a step.
pub(super) fn column(rows: &[Row], at: usize) -> impl Iterator<Item = f64> {
    rows.iter().map(move |row| at_step(&row.values, at))
}

fn each(grid: Grid, groups: Groups, compute: Compute) -> Vec<Row> {
    let mut values = Vec::new();
    let row = |(labels, rows): (Labels, Vec<Row>)| {
        let of_step = |at| {
            values.clear();
            values.extend(column(&rows, at));
            compute(&values)
        };
        Row { labels, values: (0..grid.len()).map(of_step).collect() }
    };
    groups.into_iter().map(row).collect()
}

fn count_values(grid: Grid, label: &str, groups: Groups) -> Vec<Row> {
    let mut out = Vec::new();
    for (labels, rows) in groups {
        let mut distinct: Vec<f64> = rows.iter().flat_map(|row| there(&row.values)).collect();
        distinct.sort_unstable_by(f64::total_cmp);
        distinct.dedup();
        for value in distinct {
            let of_step = |at| match column(&rows, at).filter(|own| *own == value).count() {
                0 => f64::NAN,
                count => count as f64,
            };
            let labels = labels.with(label, &luma_promql::format_general(value));
            out.push(Row { labels, values: (0..grid.len()).map(of_step).collect() });
        }
    }
    out
}

/// Each value by those of its group.
fn relative(name: &str, groups: Groups) -> Vec<Row> {
    let mut out = Vec::new();
    for (_, mut rows) in groups {
        let steps = rows.first().map_or(0, |row| row.values.len());
        for at in 0..steps {
            let values: Vec<f64> = column(&rows, at).collect();
            let (mean, deviation) = (mean(there(&values)), variance(there(&values)).sqrt());
            let sum: f64 = there(&values).filter(|value| *value >= 0.0).sum();
            for value in rows.iter_mut().filter_map(|row| row.values.get_mut(at)) {
                *value = match name {
                    "zscore" => (*value - mean) / deviation,
                    _ if *value < 0.0 => f64::NAN,
                    _ => *value / sum,
                };
            }
        }
        rows.iter_mut().for_each(Row::unnamed);
        out.append(&mut rows);
    }
    out
}
