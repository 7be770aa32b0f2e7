//! Functions of histograms, native ones and classic ones in series with an `le` label.

use std::collections::HashMap;

use crate::annotation::Forced;
use crate::ast::{Call, Span};
use crate::classic::{self, ClassicBucket};
use crate::error::{Result, failed};
use crate::histogram::{FloatHistogram, QuantileNote, fraction, quantile};
use crate::labels::{BUCKET_LABEL, Labels};
use crate::number::{format_open_metrics, parse_float};
use crate::summation::add_compensated;
use crate::value::{FloatPoint, Sample, Series};

use super::calls::{argument, text_argument, value_at};
use super::{Assembly, Context, Grid, points};

impl Context<'_> {
    pub(super) fn histogram_call(&self, grid: Grid, call: &Call) -> Result<Vec<Series>> {
        match call.function.name {
            "histogram_count" => self.statistic(grid, call, |h| h.count),
            "histogram_sum" => self.statistic(grid, call, |h| h.sum),
            "histogram_avg" => self.statistic(grid, call, |h| h.sum / h.count),
            "histogram_stdvar" => self.with_buckets(|| self.of_histograms(grid, call, variance)),
            "histogram_stddev" => {
                self.with_buckets(|| self.of_histograms(grid, call, |h| variance(h).sqrt()))
            }
            "histogram_quantile" => {
                let q = self.scalar(grid, argument(call, 0)?)?;
                self.note_quantiles(&q, argument(call, 0)?.span());
                let input = self.histograms(grid, call, 1)?;
                input.quantiles(self, grid, &[(q, None)])
            }
            "histogram_quantiles" => {
                let label = text_argument(call, 1)?;
                let mut quantiles = Vec::new();
                for arg in call.args.iter().skip(2) {
                    let q = self.scalar(grid, arg)?;
                    self.note_quantiles(&q, arg.span());
                    quantiles.push((q, Some(label)));
                }
                let input = self.histograms(grid, call, 0)?;
                input.quantiles(self, grid, &quantiles)
            }
            "histogram_fraction" => {
                let lower = self.scalar(grid, argument(call, 0)?)?;
                let upper = self.scalar(grid, argument(call, 1)?)?;
                let input = self.histograms(grid, call, 2)?;
                input.fractions(self, grid, &lower, &upper)
            }
            other => failed(format!("unknown function {other}")),
        }
    }

    fn statistic(&self, grid: Grid, call: &Call, f: impl Fn(&FloatHistogram) -> f64) -> Result<Vec<Series>> {
        self.with_statistics(|| self.of_histograms(grid, call, f))
    }

    /// A number for every histogram; other samples are left out.
    fn of_histograms(
        &self,
        grid: Grid,
        call: &Call,
        f: impl Fn(&FloatHistogram) -> f64,
    ) -> Result<Vec<Series>> {
        let series = self.series(grid, argument(call, 0)?.without_parens())?;
        self.release(points(&series));
        let mut out = Vec::with_capacity(series.len());
        for s in series {
            let floats: Vec<FloatPoint> =
                s.histograms.iter().map(|p| FloatPoint { t: p.t, v: f(&p.h) }).collect();
            if !floats.is_empty() {
                self.charge(floats.len())?;
                out.push(Series { labels: s.labels, floats, drop_name: true, ..Series::default() });
            }
        }
        Ok(out)
    }

    fn note_quantiles(&self, quantiles: &[f64], span: Span) {
        for q in quantiles.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
            self.note(|notes| notes.invalid_quantile(*q, span));
        }
    }

    fn histograms(&self, grid: Grid, call: &Call, at: usize) -> Result<Histograms> {
        let arg = argument(call, at)?.without_parens();
        let series = self.with_buckets(|| self.series(grid, arg))?;
        self.release(points(&series));
        Ok(Histograms::new(self, series, arg.span()))
    }
}

fn variance(h: &FloatHistogram) -> f64 {
    let mean = h.sum / h.count;
    let (mut sum, mut lost) = (0.0, 0.0);
    for bucket in h.all_buckets().iter().filter(|b| b.count != 0.0) {
        let value = if h.uses_custom_buckets() {
            f64::midpoint(bucket.upper, bucket.lower)
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper)
        };
        let delta = value - mean;
        (sum, lost) = add_compensated(bucket.count * delta * delta, sum, lost);
    }
    (sum + lost) / h.count
}

/// The histograms of a vector: series with native ones, and groups of series with buckets.
struct Histograms {
    native: Vec<Series>,
    groups: Vec<Group>,
    places: HashMap<Labels, usize>,
    span: Span,
}

/// The buckets of one classic histogram.
struct Group {
    labels: Labels,
    buckets: Vec<(f64, Vec<FloatPoint>)>,
}

impl Histograms {
    fn new(context: &Context<'_>, series: Vec<Series>, span: Span) -> Self {
        let mut out = Self { native: Vec::new(), groups: Vec::new(), places: HashMap::new(), span };
        for mut s in series {
            if !s.floats.is_empty() {
                let bound = s.labels.get(BUCKET_LABEL);
                match parse_float(bound) {
                    None => {
                        let metric = s.labels.metric_name();
                        context.note(|notes| notes.bad_bucket_label(metric, bound, span));
                    }
                    Some(upper) => {
                        let labels = s.labels.filtered(|name| name != BUCKET_LABEL);
                        let groups = &mut out.groups;
                        let at = *out.places.entry(labels.clone()).or_insert_with(|| {
                            groups.push(Group { labels, buckets: Vec::new() });
                            groups.len() - 1
                        });
                        out.groups[at].buckets.push((upper, std::mem::take(&mut s.floats)));
                    }
                }
            }
            if !s.histograms.is_empty() {
                out.native.push(s);
            }
        }
        out
    }

    /// Calls `native` and `classic` for every histogram at every step, but for those that are
    /// there in both forms.
    fn for_each(
        &self,
        context: &Context<'_>,
        grid: Grid,
        mut native: impl FnMut(i64, &Labels, &FloatHistogram) -> Result<()>,
        mut classic: impl FnMut(i64, &Labels, Vec<ClassicBucket>) -> Result<()>,
    ) -> Result<()> {
        let twin: Vec<Option<usize>> =
            self.native.iter().map(|s| self.places.get(&s.labels).copied()).collect();
        let mut at_native = vec![0; self.native.len()];
        let mut at_bucket: Vec<Vec<usize>> = self.groups.iter().map(|g| vec![0; g.buckets.len()]).collect();
        for t in grid.times() {
            let mut buckets: Vec<Vec<ClassicBucket>> = Vec::with_capacity(self.groups.len());
            for (group, positions) in self.groups.iter().zip(&mut at_bucket) {
                let mut there = Vec::new();
                for ((upper, floats), at) in group.buckets.iter().zip(positions) {
                    if let Some(point) = floats.get(*at).filter(|p| p.t == t) {
                        there.push(ClassicBucket { upper: *upper, count: point.v });
                        *at += 1;
                    }
                }
                buckets.push(there);
            }
            for ((series, at), twin) in self.native.iter().zip(&mut at_native).zip(&twin) {
                let Some(point) = series.histograms.get(*at).filter(|p| p.t == t) else { continue };
                *at += 1;
                if let Some(classic) = twin.and_then(|twin| buckets.get_mut(twin)).filter(|b| !b.is_empty()) {
                    let metric = series.labels.metric_name();
                    context.note(|notes| notes.mixed_classic_and_native(metric, self.span));
                    classic.clear();
                    continue;
                }
                native(t, &series.labels, &point.h)?;
            }
            for (group, buckets) in self.groups.iter().zip(buckets) {
                if !buckets.is_empty() {
                    classic(t, &group.labels, buckets)?;
                }
            }
        }
        Ok(())
    }

    fn quantiles(
        &self,
        context: &Context<'_>,
        grid: Grid,
        quantiles: &[(Vec<f64>, Option<&str>)],
    ) -> Result<Vec<Series>> {
        let assembly = std::cell::RefCell::new(Assembly::new(grid));
        let push = |t: i64, labels: &Labels, (qs, label): &(Vec<f64>, Option<&str>), value: f64| {
            let q = value_at(qs, grid, t);
            let mut assembly = assembly.borrow_mut();
            let place = match label {
                Some(label) => assembly.place(&labels.with(label, &format_open_metrics(q)), true),
                None => assembly.place(labels, true),
            };
            assembly.push(place, t, Sample::Float(value))
        };
        self.for_each(
            context,
            grid,
            |t, labels, h| {
                for wanted in quantiles {
                    let (value, note) = quantile(value_at(&wanted.0, grid, t), h);
                    let metric = labels.metric_name();
                    context.note(|notes| match note {
                        Some(QuantileNote::NanResult) => notes.quantile_is_nan(metric, self.span),
                        Some(QuantileNote::NanSkew) => notes.quantile_is_skewed(metric, self.span),
                        None => {}
                    });
                    push(t, labels, wanted, value)?;
                }
                Ok(())
            },
            |t, labels, mut buckets| {
                for wanted in quantiles {
                    let (value, correction) = classic::quantile(value_at(&wanted.0, grid, t), &mut buckets);
                    if let Some(c) = correction {
                        let forced = Forced {
                            from: c.from,
                            to: c.to,
                            max_difference: c.max_difference,
                            first: t,
                            last: t,
                            times: 1,
                        };
                        let metric = labels.metric_name();
                        context.note(|notes| notes.forced_monotonicity(metric, forced, self.span));
                    }
                    push(t, labels, wanted, value)?;
                }
                Ok(())
            },
        )?;
        assembly.into_inner().finish(context)
    }

    fn fractions(
        &self,
        context: &Context<'_>,
        grid: Grid,
        lower: &[f64],
        upper: &[f64],
    ) -> Result<Vec<Series>> {
        let assembly = std::cell::RefCell::new(Assembly::new(grid));
        let push = |t: i64, labels: &Labels, value: f64| {
            let mut assembly = assembly.borrow_mut();
            let place = assembly.place(labels, true);
            assembly.push(place, t, Sample::Float(value))
        };
        let bounds = |t: i64| (value_at(lower, grid, t), value_at(upper, grid, t));
        self.for_each(
            context,
            grid,
            |t, labels, h| {
                let (lower, upper) = bounds(t);
                let (value, note) = fraction(lower, upper, h);
                if note.is_some() {
                    context.note(|notes| notes.fraction_without_nan(labels.metric_name(), self.span));
                }
                push(t, labels, value)
            },
            |t, labels, mut buckets| {
                let (lower, upper) = bounds(t);
                push(t, labels, classic::fraction(lower, upper, &mut buckets))
            },
        )?;
        assembly.into_inner().finish(context)
    }
}
