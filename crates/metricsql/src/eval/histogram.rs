//! Functions of classic histograms: rows with `le`, or with the ranges that VictoriaMetrics counts in (`vmrange`).

use std::collections::HashMap;

use luma_promql::{BUCKET_LABEL, Grid, Labels, METRIC_NAME, Result};

use super::aggregate::at_step;
use super::ranges::RANGE_LABEL;
use super::{Context, Row, failed, text};
use crate::ast::Call;

pub(super) const NAMES: [&str; 8] = [
    "buckets_limit",
    "histogram_avg",
    "histogram_quantile",
    "histogram_quantiles",
    "histogram_share",
    "histogram_stddev",
    "histogram_stdvar",
    "prometheus_buckets",
];

/// The buckets of one histogram in the order of their bounds.
struct Buckets {
    labels: Labels,
    bounds: Vec<f64>,
    rows: Vec<Row>,
}

impl Context<'_> {
    /// A call of one of them; `None` if it is another.
    pub(super) fn histogram_call(&self, grid: Grid, call: &Call) -> Result<Option<Vec<Row>>> {
        let name = call.name.as_str();
        if !NAMES.contains(&name) {
            return Ok(None);
        }
        let at = match name {
            "histogram_quantile" | "histogram_share" | "buckets_limit" => 1,
            "histogram_quantiles" => call.args.len().saturating_sub(1),
            _ => 0,
        };
        let Some(of_series) = call.args.get(at) else {
            return failed(format!("{name} needs {} arguments or more", at + 1));
        };
        let rows = with_bounds(self.eval(grid, of_series)?);
        if name == "prometheus_buckets" {
            return Ok(Some(rows));
        }
        let keeps_names = name == "buckets_limit";
        let histograms = histograms(rows, keeps_names);
        let first = |at: usize| call.args.get(at).map_or(Ok(Vec::new()), |arg| self.scalar(grid, arg));
        if name == "buckets_limit" {
            let limit = at_step(&first(0)?, 0);
            let limit = if limit.is_nan() || limit <= 0.0 { 0 } else { (limit as usize).max(3) };
            return Ok(Some(histograms.into_iter().flat_map(|buckets| buckets.limited(limit)).collect()));
        }
        if name == "histogram_quantiles" {
            let label = text(&call.args, 0, name)?;
            let mut out = Vec::new();
            for arg in 1..at {
                let phi = first(arg)?;
                let value = luma_promql::format_general(at_step(&phi, 0));
                out.extend(histograms.iter().map(|buckets| {
                    let row =
                        buckets.computed(grid, |column, at| buckets.quantile(column, at_step(&phi, at)));
                    Row { labels: row.labels.with(label, &value), ..row }
                }));
            }
            return Ok(Some(out));
        }
        let arg = if at == 1 { first(0)? } else { Vec::new() };
        let row = |buckets: &Buckets| {
            buckets.computed(grid, |column, at| match name {
                "histogram_quantile" => buckets.quantile(column, at_step(&arg, at)),
                "histogram_share" => buckets.share(column, at_step(&arg, at)),
                "histogram_avg" => buckets.moments(column).0,
                "histogram_stdvar" => buckets.moments(column).1,
                _ => buckets.moments(column).1.sqrt(),
            })
        };
        Ok(Some(histograms.iter().map(row).collect()))
    }
}

fn bound(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" | "inf" => Some(f64::INFINITY),
        _ => text.parse().ok(),
    }
}

fn histograms(rows: Vec<Row>, keep_names: bool) -> Vec<Buckets> {
    let mut all: Vec<(Labels, Vec<(f64, Row)>)> = Vec::new();
    let mut places: HashMap<Labels, usize> = HashMap::new();
    for row in rows {
        let Some(le) = bound(row.labels.get(BUCKET_LABEL)) else { continue };
        let labels = row.labels.filtered(|name| name != BUCKET_LABEL && (keep_names || name != METRIC_NAME));
        let at = *places.entry(labels.clone()).or_insert_with(|| {
            all.push((labels, Vec::new()));
            all.len() - 1
        });
        all.get_mut(at).into_iter().for_each(|(_, buckets)| buckets.push((le, row.clone())));
    }
    all.into_iter()
        .map(|(labels, mut buckets)| {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (bounds, rows) = buckets.into_iter().unzip();
            Buckets { labels, bounds, rows }
        })
        .collect()
}

impl Buckets {
    fn computed(&self, grid: Grid, f: impl Fn(&[f64], usize) -> f64) -> Row {
        let of_step = |at| {
            let column: Vec<f64> = self.rows.iter().map(|row| at_step(&row.values, at)).collect();
            f(&column, at)
        };
        Row { labels: self.labels.clone(), values: (0..grid.len()).map(of_step).collect() }
    }

    /// The quantile of counts, each of which includes those before it.
    fn quantile(&self, counts: &[f64], phi: f64) -> f64 {
        let counts = mended(counts);
        let all = counts.last().copied().unwrap_or(f64::NAN);
        if all == 0.0 || phi.is_nan() {
            return f64::NAN;
        }
        if phi < 0.0 {
            return f64::NEG_INFINITY;
        }
        if phi > 1.0 {
            return f64::INFINITY;
        }
        if all.is_nan() {
            return f64::NAN;
        }
        let wanted = all * phi;
        let (mut below, mut from) = (0.0, 0.0);
        for (count, bound) in counts.iter().zip(&self.bounds) {
            if *count <= 0.0 {
                from = *bound;
                continue;
            }
            if *count < wanted {
                (below, from) = (*count, *bound);
                continue;
            }
            if bound.is_infinite() {
                break;
            }
            if *count == below {
                return from;
            }
            return from + (bound - from) * (wanted - below) / (count - below);
        }
        from
    }

    /// Which share is below a value.
    fn share(&self, counts: &[f64], value: f64) -> f64 {
        let counts = mended(counts);
        let all = counts.last().copied().unwrap_or(f64::NAN);
        if value.is_nan() || counts.is_empty() {
            return f64::NAN;
        }
        if value < 0.0 {
            return 0.0;
        }
        if value == f64::INFINITY {
            return 1.0;
        }
        let (mut below, mut from) = (0.0, 0.0);
        for (count, bound) in counts.iter().zip(&self.bounds) {
            if value >= *bound {
                (below, from) = (*count, *bound);
                continue;
            }
            let lower = below / all;
            if bound.is_infinite() || from == value {
                return lower;
            }
            return lower + (count - below) / all * (value - from) / (bound - from);
        }
        1.0
    }

    /// The mean and the variance, taking each bucket as a value in its middle.
    fn moments(&self, counts: &[f64]) -> (f64, f64) {
        let (mut from, mut below, mut sum, mut sum2, mut weights) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (count, bound) in counts.iter().zip(&self.bounds).filter(|(_, bound)| bound.is_finite()) {
            let (middle, weight) = ((bound + from) / 2.0, count - below);
            sum += middle * weight;
            sum2 += middle * middle * weight;
            weights += weight;
            (from, below) = (*bound, *count);
        }
        if weights == 0.0 {
            return (f64::NAN, f64::NAN);
        }
        let mean = sum / weights;
        let variance = sum2 / weights - mean * mean;
        (mean, if variance < 0.0 { 0.0 } else { variance })
    }

    /// At most so many buckets: those with the fewest hits are merged with the next.
    fn limited(mut self, limit: usize) -> Vec<Row> {
        if limit == 0 {
            return Vec::new();
        }
        let mut hits: Vec<f64> = vec![0.0; self.rows.len()];
        let steps = self.rows.first().map_or(0, |row| row.values.len());
        for at in 0..steps {
            let mut before = 0.0;
            for (hits, row) in hits.iter_mut().zip(&self.rows) {
                let value = at_step(&row.values, at);
                *hits += value - before;
                before = value;
            }
        }
        while self.rows.len() > limit {
            let merged = |at: usize| at_step(&hits, at) + at_step(&hits, at + 1);
            let mut least = 1;
            for at in 1..self.rows.len() - 2 {
                if merged(at) < merged(least) {
                    least = at;
                }
            }
            let gone = hits.remove(least);
            hits.get_mut(least).into_iter().for_each(|hits| *hits += gone);
            self.rows.remove(least);
        }
        self.rows
    }
}

/// Counts that do not fall from one bucket to the next, without gaps.
fn mended(counts: &[f64]) -> Vec<f64> {
    let mut counts = counts.to_vec();
    if let Some(last) = counts.iter().rposition(|count| !count.is_nan()) {
        let value = counts.get(last).copied().unwrap_or(f64::NAN);
        counts.iter_mut().skip(last + 1).for_each(|count| *count = value);
    }
    let mut next = counts.last().copied().unwrap_or(f64::NAN);
    for count in counts.iter_mut().rev().skip(1) {
        if count.is_nan() || *count > next {
            *count = next;
        }
        next = *count;
    }
    counts
}

/// A row with the texts of its range.
type Range = (String, String, Row);

/// Rows with ranges as rows with bounds; others stay.
pub(super) fn with_bounds(rows: Vec<Row>) -> Vec<Row> {
    let mut out = Vec::new();
    let mut groups: Vec<(Labels, Vec<Range>)> = Vec::new();
    for row in rows {
        let Some((from, to)) = row.labels.find(RANGE_LABEL).and_then(|range| range.split_once("...")) else {
            if row.labels.find(BUCKET_LABEL).is_some() {
                out.push(row);
            }
            continue;
        };
        let (from, to) = (from.to_owned(), to.to_owned());
        let labels = row.labels.filtered(|name| name != RANGE_LABEL && name != BUCKET_LABEL);
        match groups.iter_mut().find(|(own, _)| *own == labels) {
            Some((_, of)) => of.push((from, to, row)),
            None => groups.push((labels, vec![(from, to, row)])),
        }
    }
    for (labels, mut ranges) in groups {
        ranges.sort_by(|a, b| bound(&a.1).unwrap_or(f64::NAN).total_cmp(&bound(&b.1).unwrap_or(f64::NAN)));
        let steps = ranges.first().map_or(0, |(.., row)| row.values.len());
        let mut sums = vec![0.0; steps];
        let row =
            |le: &str, values: &[f64]| Row { labels: labels.with(BUCKET_LABEL, le), values: values.to_vec() };
        let mut last = String::new();
        for (from, to, range) in &ranges {
            if *from != last && bound(from) != Some(0.0) {
                out.push(row(from, &sums));
            }
            for (sum, value) in sums.iter_mut().zip(&range.values).filter(|(_, value)| **value > 0.0) {
                *sum += value;
            }
            out.push(row(to, &sums));
            last.clone_from(to);
        }
        if bound(&last) != Some(f64::INFINITY) {
            out.push(row("+Inf", &sums));
        }
    }
    out
}
