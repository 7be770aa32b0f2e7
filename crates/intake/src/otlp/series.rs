//! Points as samples of series.
//!
//! Histograms with bounds become classic ones, exponential ones native ones, of at most 2^8 buckets per power of
//! two. Changes are added up (`sums`).

use std::sync::Arc;

use luma_promql::{
    Bucket, FloatHistogram, METRIC_NAME, ResetHint, STALE_MARKER, Sample, SourceError, format_plain,
};
use luma_telemetry::{Exemplar, Metadata};

use super::message::labels;
use super::point::Point;
use super::sums::Sums;
use crate::request::WriteRequest;

/// What a point says whose series has ended.
const NO_VALUE: u64 = 1;
/// The finest resolution of native histograms.
const SCHEMA_MAX: i32 = 8;
const SCHEMA_MIN: i32 = -4;
/// Half the width of a zero bucket that says nothing of it.
const ZERO_THRESHOLD: f64 = 1e-128;

type Named = Vec<(String, String)>;

/// Where points go, with what all of a resource, a scope or a metric have in common.
pub(super) struct Output<'o, 'k> {
    sums: &'o mut Sums<'k>,
    request: &'o mut WriteRequest,
    /// `job` and `instance`.
    identity: Named,
    promoted: Named,
    scope: Named,
    /// The newest time of the resource's points.
    latest: Option<i64>,
    /// Whether the metric's points are changes.
    changes: bool,
}

/// A part of a point: a series with one sample.
struct Part<'p> {
    name: &'p str,
    own: &'p Named,
    more: Option<(&'p str, &'p str)>,
    exemplars: &'p [&'p Exemplar],
}

impl<'o, 'k> Output<'o, 'k> {
    pub fn new(sums: &'o mut Sums<'k>, request: &'o mut WriteRequest) -> Self {
        Self {
            sums,
            request,
            identity: Named::new(),
            promoted: Named::new(),
            scope: Named::new(),
            latest: None,
            changes: false,
        }
    }

    pub fn begin_resource(&mut self, identity: Named, promoted: Named) {
        (self.identity, self.promoted, self.latest) = (identity, promoted, None);
    }

    pub fn begin_scope(&mut self, scope: Named) {
        self.scope = scope;
    }

    pub fn begin_metric(&mut self, changes: bool) {
        self.changes = changes;
    }

    pub fn refuse(&mut self, points: usize, what: String) {
        self.request.refuse(points, what);
    }

    pub fn metadata(&mut self, family: &str, metadata: Metadata) {
        self.request.metadata(family, metadata);
    }

    /// What the resource says of itself, at the time of its newest point.
    pub fn target_info(&mut self, own: &Named) {
        let Some(latest) = self.latest.filter(|_| !self.identity.is_empty()) else { return };
        let identity = pairs("target_info", [&self.identity, own], None);
        if let Some(series) = self.request.series(identity.into_iter(), 1) {
            self.request.float(series, latest, 0, 1.0);
        }
    }

    fn put(
        &mut self,
        part: Part<'_>,
        point: &Point,
        sample: Result<Sample, String>,
    ) -> Result<(), SourceError> {
        self.latest = self.latest.max(Some(point.t));
        // What the resource and the scope say of themselves comes first, promoted attributes last.
        let labels = pairs(part.name, [&self.identity, &self.scope, part.own, &self.promoted], part.more);
        let request = &mut *self.request;
        let Some(series) = request.series(labels.iter().copied(), 1) else { return Ok(()) };
        let mut start = point.start;
        let ended = point.flags & NO_VALUE != 0;
        let sample = match sample {
            Ok(sample) if self.changes && ended => {
                self.sums.end(&labels);
                Ok(sample)
            }
            Ok(sample) if self.changes => {
                if !request.is_in_time(point.t) {
                    return Ok(());
                }
                let sum = self.sums.add(&labels, point.t, point.start, sample)?;
                sum.map(|(sum, begin)| {
                    start = begin;
                    sum
                })
            }
            other => other,
        };
        match sample {
            Ok(Sample::Float(value)) => request.float(series, point.t, start, value),
            Ok(Sample::Histogram(histogram)) => request.histogram(series, point.t, start, Ok(histogram)),
            Err(what) => request.refuse(1, what),
        }
        for exemplar in part.exemplars {
            request.exemplar(series, Exemplar::clone(exemplar));
        }
        Ok(())
    }

    pub fn number(&mut self, family: &str, point: &Point) -> Result<(), SourceError> {
        let own = labels(&point.attributes);
        let exemplars: Vec<&Exemplar> = point.exemplars.iter().collect();
        let part = Part { name: family, own: &own, more: None, exemplars: &exemplars };
        self.put(part, point, Ok(point.or_stale(point.value)))
    }

    pub fn classic(&mut self, family: &str, point: &Point) -> Result<(), SourceError> {
        let own = labels(&point.attributes);
        if point.buckets.len() > 1 && point.buckets.len() != point.bounds.len() + 1 {
            let (buckets, bounds) = (point.buckets.len(), point.bounds.len());
            self.refuse(1, format!("a histogram {family:?} has {buckets} buckets for {bounds} bounds"));
            return Ok(());
        }
        let mut put = |ending: &str, bound: Option<&str>, value: f64, exemplar: Option<&Exemplar>| {
            let name = format!("{family}{ending}");
            let exemplars: Vec<&Exemplar> = exemplar.into_iter().collect();
            let more = bound.map(|bound| ("le", bound));
            let part = Part { name: &name, own: &own, more, exemplars: &exemplars };
            self.put(part, point, Ok(point.or_stale(value)))
        };
        let mut total = 0u64;
        let mut below = f64::NEG_INFINITY;
        for (at, bound) in point.bounds.iter().enumerate() {
            total = total.saturating_add(point.buckets.get(at).copied().unwrap_or(0));
            let newest = point.newest_exemplar(below, *bound);
            put("_bucket", Some(&format_plain(*bound)), total as f64, newest)?;
            below = *bound;
        }
        let newest = point.newest_exemplar(below, f64::INFINITY);
        put("_bucket", Some("+Inf"), point.count as f64, newest)?;
        put("_count", None, point.count as f64, None)?;
        point.sum.map_or(Ok(()), |sum| put("_sum", None, sum, None))
    }

    pub fn native(&mut self, family: &str, point: &Point) -> Result<(), SourceError> {
        let own = labels(&point.attributes);
        let exemplars: Vec<&Exemplar> = point.exemplars.iter().collect();
        let part = Part { name: family, own: &own, more: None, exemplars: &exemplars };
        let histogram = point.native_histogram().map_err(|what| format!("{family}: {what}"));
        self.put(part, point, histogram.map(|histogram| Sample::Histogram(Arc::new(histogram))))
    }

    pub fn summary(&mut self, family: &str, point: &Point) -> Result<(), SourceError> {
        let own = labels(&point.attributes);
        let mut put = |ending: &str, quantile: Option<&str>, value: f64| {
            let name = format!("{family}{ending}");
            let more = quantile.map(|quantile| ("quantile", quantile));
            let part = Part { name: &name, own: &own, more, exemplars: &[] };
            self.put(part, point, Ok(point.or_stale(value)))
        };
        put("_sum", None, point.sum.unwrap_or(0.0))?;
        put("_count", None, point.count as f64)?;
        for (quantile, value) in &point.quantiles {
            put("", Some(&format_plain(*quantile)), *value)?;
        }
        Ok(())
    }
}

/// The labels of a series, sorted by name; of two with one name the first one counts, and `more` before all.
fn pairs<'p, const N: usize>(
    name: &'p str,
    of: [&'p Named; N],
    more: Option<(&'p str, &'p str)>,
) -> Vec<(&'p str, &'p str)> {
    let rest = of.into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()));
    let all = std::iter::once((METRIC_NAME, name)).chain(more).chain(rest);
    let mut pairs: Vec<_> = all.filter(|(_, value)| !value.is_empty()).collect();
    pairs.sort_by_key(|(name, _)| *name);
    pairs.dedup_by_key(|(name, _)| *name);
    pairs
}

impl Point {
    /// A value, or that its series has ended.
    fn or_stale(&self, value: f64) -> Sample {
        Sample::Float(if self.flags & NO_VALUE == 0 { value } else { STALE_MARKER })
    }

    /// The newest example of a bucket.
    fn newest_exemplar(&self, below: f64, bound: f64) -> Option<&Exemplar> {
        let of_bucket =
            self.exemplars.iter().filter(|exemplar| exemplar.value > below && exemplar.value <= bound);
        of_bucket.max_by_key(|exemplar| exemplar.t)
    }

    fn native_histogram(&self) -> Result<FloatHistogram, String> {
        if self.flags & NO_VALUE != 0 {
            return Ok(FloatHistogram { sum: STALE_MARKER, ..FloatHistogram::default() });
        }
        let coarser = (self.scale - i64::from(SCHEMA_MAX)).max(0);
        let schema = i32::try_from(self.scale - coarser).unwrap_or(i32::MIN);
        if schema < SCHEMA_MIN || coarser > 62 {
            return Err(format!("a scale of {} is not from {SCHEMA_MIN} to 70", self.scale));
        }
        let [positive, negative] = &self.sides;
        let side = |(offset, counts): &(i64, Vec<u64>)| -> Result<Vec<Bucket>, String> {
            let mut buckets: Vec<Bucket> = Vec::new();
            for (at, count) in (0i64..).zip(counts).filter(|(_, count)| **count > 0) {
                // The bucket that ends at the next power, of those as coarse as they have to be.
                let index = ((offset.saturating_add(at)) >> coarser).saturating_add(1);
                let index =
                    i32::try_from(index).map_err(|_| "a bucket's index is over 32 bits".to_owned())?;
                match buckets.last_mut() {
                    Some(last) if last.index == index => last.count += *count as f64,
                    _ => buckets.push(Bucket { index, count: *count as f64 }),
                }
            }
            Ok(buckets)
        };
        Ok(FloatHistogram {
            hint: ResetHint::Unknown,
            schema,
            zero_threshold: if self.zero_threshold > 0.0 { self.zero_threshold } else { ZERO_THRESHOLD },
            zero_count: self.zero as f64,
            count: self.count as f64,
            sum: self.sum.unwrap_or(0.0),
            positive: side(positive)?,
            negative: side(negative)?,
            ..FloatHistogram::default()
        })
    }
}
