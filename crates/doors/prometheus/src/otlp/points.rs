//! Points of OpenTelemetry's metrics as samples.
//!
//! Sums and histograms must be cumulative: changes alone are no series that PromQL knows. Histograms with
//! bounds become classic ones, exponential ones native ones, of at most 2^8 buckets per power of two.

use luma_promql::{Bucket, FloatHistogram, METRIC_NAME, ResetHint, STALE_MARKER, format_plain};
use luma_telemetry::{BatchSeries, Exemplar, Metadata};

use super::message::{Attributes, attribute, exemplar, labels, milliseconds};
use super::names::{Ending, metric};
use crate::wire::{Field, Reader, WireError};
use crate::write::WriteRequest;

const CUMULATIVE: u64 = 2;
/// What a point says whose series has ended.
const NO_VALUE: u64 = 1;
/// The finest resolution of native histograms.
const SCHEMA_MAX: i32 = 8;
const SCHEMA_MIN: i32 = -4;
/// Half the width of a zero bucket that says nothing of it.
const ZERO_THRESHOLD: f64 = 1e-128;

/// Reads a message into a request.
pub(super) fn read(message: &[u8], request: &mut WriteRequest) -> Result<(), WireError> {
    each(message, 1, |resource| of_resource(resource, request))
}

/// Calls `f` with each message in a field.
fn each<'a>(
    message: &'a [u8],
    number: u32,
    mut f: impl FnMut(&'a [u8]) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        if field.number == number {
            f(field.bytes()?)?;
        }
    }
    Ok(())
}

/// What all points of a resource have.
#[derive(Default)]
struct Resource {
    /// `job` and `instance`.
    identity: Vec<(String, String)>,
    latest: i64,
}

fn of_resource(message: &[u8], request: &mut WriteRequest) -> Result<(), WireError> {
    let mut attributes = Attributes::new();
    each(message, 1, |resource| each(resource, 1, |pair| attribute(pair, &mut attributes)))?;
    let find = |name: &str| attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
    let mut resource = Resource { latest: i64::MIN, ..Resource::default() };
    if let Some(service) = find("service.name") {
        let job =
            find("service.namespace").map_or_else(|| service.clone(), |space| format!("{space}/{service}"));
        resource.identity.push(("job".to_owned(), job));
    }
    if let Some(instance) = find("service.instance.id") {
        resource.identity.push(("instance".to_owned(), instance));
    }
    each(message, 2, |scope| each(scope, 2, |metric| of_metric(metric, &mut resource, request)))?;
    attributes.retain(|(name, _)| {
        !matches!(name.as_str(), "service.name" | "service.namespace" | "service.instance.id")
    });
    if attributes.is_empty() || resource.identity.is_empty() || resource.latest == i64::MIN {
        return Ok(());
    }
    if let Some(series) = named(request, "target_info", &resource, &labels(&attributes), None, 1) {
        request.float(series, resource.latest, 0, 1.0);
    }
    Ok(())
}

/// Names a series.
fn named(
    request: &mut WriteRequest,
    name: &str,
    resource: &Resource,
    labels: &[(String, String)],
    more: Option<(&str, &str)>,
    samples: usize,
) -> Option<BatchSeries> {
    // What the resource says of itself comes first.
    let own = |name: &str| resource.identity.iter().any(|(own, _)| own == name);
    let rest = labels.iter().filter(|(name, _)| !own(name) && more.is_none_or(|(taken, _)| taken != name));
    let pairs: Vec<(&str, &str)> = std::iter::once((METRIC_NAME, name))
        .chain(resource.identity.iter().chain(rest).map(|(name, value)| (name.as_str(), value.as_str())))
        .chain(more)
        .collect();
    request.series(pairs.into_iter(), samples)
}

fn of_metric(message: &[u8], resource: &mut Resource, request: &mut WriteRequest) -> Result<(), WireError> {
    let (mut name, mut help, mut unit) = ("", "", "");
    let mut data = None;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => name = field.text()?,
            2 => help = field.text()?,
            3 => unit = field.text()?,
            number @ (5 | 7 | 9 | 10 | 11) => data = Some((number, field.bytes()?)),
            _ => {}
        }
    }
    let Some((kind, data)) = data else { return Ok(()) };
    let (mut points, mut temporality, mut monotonic) = (Vec::new(), CUMULATIVE, false);
    let mut reader = Reader::new(data);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => points.push(field.bytes()?),
            2 => temporality = field.unsigned()?,
            3 => monotonic = field.unsigned()? != 0,
            _ => {}
        }
    }
    if temporality != CUMULATIVE {
        let what = format!(
            "metric {name:?} has a temporality other than cumulative; have it exported as cumulative"
        );
        request.refuse(points.len(), what);
        return Ok(());
    }
    let (ending, word) = match kind {
        5 => (Ending::Gauge, "gauge"),
        7 if monotonic => (Ending::Total, "counter"),
        7 => (Ending::None, "gauge"),
        9 | 10 => (Ending::None, "histogram"),
        _ => (Ending::None, "summary"),
    };
    let family = metric(name, unit, ending);
    request
        .metadata(&family, Metadata { kind: word.to_owned(), help: help.to_owned(), unit: unit.to_owned() });
    for message in points {
        let point = Point::read(message, kind)?;
        resource.latest = resource.latest.max(point.t);
        match kind {
            5 | 7 => point.number(&family, resource, request),
            9 => point.classic(&family, resource, request),
            10 => point.native(&family, resource, request),
            _ => point.summary(&family, resource, request),
        }
    }
    Ok(())
}

/// A point of any kind.
#[derive(Default)]
struct Point {
    attributes: Attributes,
    start: i64,
    t: i64,
    flags: u64,
    value: f64,
    count: u64,
    sum: Option<f64>,
    buckets: Vec<u64>,
    bounds: Vec<f64>,
    scale: i64,
    zero: u64,
    zero_threshold: f64,
    sides: [(i64, Vec<u64>); 2],
    quantiles: Vec<(f64, f64)>,
    exemplars: Vec<Exemplar>,
}

impl Point {
    fn read(message: &[u8], kind: u32) -> Result<Self, WireError> {
        let mut point = Self::default();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            match (kind, field.number) {
                (_, 2) => point.start = milliseconds(field)?,
                (_, 3) => point.t = milliseconds(field)?,
                (5 | 7, _) => point.number_field(field)?,
                (9, _) => point.classic_field(field)?,
                (10, _) => point.native_field(field)?,
                _ => point.summary_field(field)?,
            }
        }
        Ok(point)
    }

    fn number_field(&mut self, field: Field<'_>) -> Result<(), WireError> {
        match field.number {
            4 => self.value = field.double()?,
            5 => self.exemplars.push(exemplar(field.bytes()?)?),
            6 => self.value = field.fixed64()? as i64 as f64,
            7 => attribute(field.bytes()?, &mut self.attributes)?,
            8 => self.flags = field.unsigned()?,
            _ => {}
        }
        Ok(())
    }

    fn classic_field(&mut self, field: Field<'_>) -> Result<(), WireError> {
        match field.number {
            4 => self.count = field.fixed64()?,
            5 => self.sum = Some(field.double()?),
            6 => field.each_fixed64(|count| self.buckets.push(count))?,
            7 => field.each_fixed64(|bits| self.bounds.push(f64::from_bits(bits)))?,
            8 => self.exemplars.push(exemplar(field.bytes()?)?),
            9 => attribute(field.bytes()?, &mut self.attributes)?,
            10 => self.flags = field.unsigned()?,
            _ => {}
        }
        Ok(())
    }

    fn native_field(&mut self, field: Field<'_>) -> Result<(), WireError> {
        match field.number {
            1 => attribute(field.bytes()?, &mut self.attributes)?,
            4 => self.count = field.fixed64()?,
            5 => self.sum = Some(field.double()?),
            6 => self.scale = field.zigzag()?,
            7 => self.zero = field.fixed64()?,
            number @ (8 | 9) => {
                let (offset, counts) = &mut self.sides[number as usize - 8];
                let mut reader = Reader::new(field.bytes()?);
                while let Some(field) = reader.next()? {
                    match field.number {
                        1 => *offset = field.zigzag()?,
                        2 => field.each_varint(|count| counts.push(count))?,
                        _ => {}
                    }
                }
            }
            10 => self.flags = field.unsigned()?,
            11 => self.exemplars.push(exemplar(field.bytes()?)?),
            14 => self.zero_threshold = field.double()?,
            _ => {}
        }
        Ok(())
    }

    fn summary_field(&mut self, field: Field<'_>) -> Result<(), WireError> {
        match field.number {
            4 => self.count = field.fixed64()?,
            5 => self.sum = Some(field.double()?),
            6 => {
                let mut quantile = (0.0, 0.0);
                let mut reader = Reader::new(field.bytes()?);
                while let Some(field) = reader.next()? {
                    match field.number {
                        1 => quantile.0 = field.double()?,
                        2 => quantile.1 = field.double()?,
                        _ => {}
                    }
                }
                self.quantiles.push(quantile);
            }
            7 => attribute(field.bytes()?, &mut self.attributes)?,
            8 => self.flags = field.unsigned()?,
            _ => {}
        }
        Ok(())
    }

    /// A value, or that its series has ended.
    fn or_stale(&self, value: f64) -> f64 {
        if self.flags & NO_VALUE == 0 { value } else { STALE_MARKER }
    }

    fn number(self, family: &str, resource: &Resource, request: &mut WriteRequest) {
        let Some(series) = named(request, family, resource, &labels(&self.attributes), None, 1) else {
            return;
        };
        request.float(series, self.t, self.start, self.or_stale(self.value));
        for exemplar in self.exemplars {
            request.exemplar(series, exemplar);
        }
    }

    fn classic(self, family: &str, resource: &Resource, request: &mut WriteRequest) {
        let own = labels(&self.attributes);
        if self.buckets.len() > 1 && self.buckets.len() != self.bounds.len() + 1 {
            let (buckets, bounds) = (self.buckets.len(), self.bounds.len());
            request.refuse(1, format!("a histogram {family:?} has {buckets} buckets for {bounds} bounds"));
            return;
        }
        let (t, start) = (self.t, self.start);
        let mut put = |ending: &str, more: Option<(&str, &str)>, value: f64, exemplar: Option<&Exemplar>| {
            let name = format!("{family}{ending}");
            if let Some(series) = named(request, &name, resource, &own, more, 1) {
                request.float(series, t, start, self.or_stale(value));
                if let Some(exemplar) = exemplar {
                    request.exemplar(series, exemplar.clone());
                }
            }
        };
        let mut total = 0u64;
        let mut below = f64::NEG_INFINITY;
        for (at, bound) in self.bounds.iter().enumerate() {
            total = total.saturating_add(self.buckets.get(at).copied().unwrap_or(0));
            let newest = self.newest_exemplar(below, *bound);
            put("_bucket", Some(("le", &format_plain(*bound))), total as f64, newest);
            below = *bound;
        }
        let newest = self.newest_exemplar(below, f64::INFINITY);
        put("_bucket", Some(("le", "+Inf")), self.count as f64, newest);
        put("_count", None, self.count as f64, None);
        if let Some(sum) = self.sum {
            put("_sum", None, sum, None);
        }
    }

    /// The newest example of a bucket.
    fn newest_exemplar(&self, below: f64, bound: f64) -> Option<&Exemplar> {
        let of_bucket =
            self.exemplars.iter().filter(|exemplar| exemplar.value > below && exemplar.value <= bound);
        of_bucket.max_by_key(|exemplar| exemplar.t)
    }

    fn native(self, family: &str, resource: &Resource, request: &mut WriteRequest) {
        let Some(series) = named(request, family, resource, &labels(&self.attributes), None, 1) else {
            return;
        };
        request.histogram(series, self.t, self.start, self.native_histogram());
        for exemplar in self.exemplars {
            request.exemplar(series, exemplar);
        }
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

    fn summary(self, family: &str, resource: &Resource, request: &mut WriteRequest) {
        let own = labels(&self.attributes);
        let (t, start) = (self.t, self.start);
        let mut put = |ending: &str, more: Option<(&str, &str)>, value: f64| {
            let name = format!("{family}{ending}");
            if let Some(series) = named(request, &name, resource, &own, more, 1) {
                request.float(series, t, start, self.or_stale(value));
            }
        };
        put("_sum", None, self.sum.unwrap_or(0.0));
        put("_count", None, self.count as f64);
        for (quantile, value) in &self.quantiles {
            put("", Some(("quantile", &format_plain(*quantile))), *value);
        }
    }
}
