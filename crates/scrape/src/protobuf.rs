//! Prometheus' messages of Protocol Buffers: families of metrics, each after its length.

use std::borrow::Cow;

use luma_intake::histogram::{Number, Side, span, whole};
use luma_intake::wire::{Field, Reader, WireError, unzigzag};
use luma_promql::{FloatHistogram, Labels, ResetHint, Sample, format_open_metrics};
use luma_telemetry::Exemplar;

use crate::exposition::{About, Example, Histograms, Scraped, Sink};
use crate::line::Pairs;

/// The type of a family, by its number.
const KINDS: [&str; 6] = ["counter", "gauge", "summary", "unknown", "histogram", "gaugehistogram"];

pub(crate) fn parse(mut body: &[u8], histograms: Histograms, sink: &mut dyn Sink) -> Result<(), String> {
    let mut writer = Output { key: Vec::new(), histograms, sink };
    let mut number = 0;
    while !body.is_empty() {
        number += 1;
        let at = |what: String| format!("message {number}: {what}");
        let (length, rest) = length(body).ok_or_else(|| at("its length is cut off".to_owned()))?;
        let (message, rest) = rest.split_at_checked(length).ok_or_else(|| at("it is cut off".to_owned()))?;
        family(message, &mut writer).map_err(at)?;
        body = rest;
    }
    Ok(())
}

fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            return Some((usize::try_from(value).ok()?, bytes.get(at + 1..)?));
        }
    }
    None
}

fn wire(error: WireError) -> String {
    format!("it is no message: {error}")
}

/// Calls `f` with each field of a message.
fn each<'a>(
    message: &'a [u8],
    mut f: impl FnMut(Field<'a>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        f(field)?;
    }
    Ok(())
}

fn family(message: &[u8], output: &mut Output<'_>) -> Result<(), String> {
    let (mut name, mut help, mut unit, mut kind) = ("", "", "", 0);
    let mut metrics = Vec::new();
    each(message, |field| {
        match field.number {
            1 => name = field.text()?,
            2 => help = field.text()?,
            3 => kind = field.unsigned()?,
            4 => metrics.push(field.bytes()?),
            5 => unit = field.text()?,
            _ => {}
        }
        Ok(())
    })
    .map_err(wire)?;
    if name.is_empty() {
        return Err("a family of metrics has no name".to_owned());
    }
    let of = usize::try_from(kind).ok().and_then(|kind| KINDS.get(kind));
    let of = of.ok_or_else(|| format!("unknown metric type {kind} of {name:?}"))?;
    output.sink.about(name, About::Kind(of));
    output.sink.about(name, About::Help(help));
    if !unit.is_empty() {
        output.sink.about(name, About::Unit(unit));
    }
    for metric in metrics {
        read_metric(name, of, metric, output)?;
    }
    Ok(())
}

/// What is the same for all samples of a metric.
struct Metric<'a> {
    family: &'a str,
    labels: Pairs<'a>,
    t: Option<i64>,
}

struct Output<'s> {
    key: Vec<u8>,
    histograms: Histograms,
    sink: &'s mut dyn Sink,
}

impl Output<'_> {
    /// A sample of the family's name with an ending, and perhaps a bound.
    fn put(
        &mut self,
        metric: &mut Metric<'_>,
        ending: &str,
        bound: Option<(&'static str, f64)>,
        (start, value): (i64, Sample),
        exemplars: &[Example],
    ) -> Result<(), String> {
        let name = format!("{}{ending}", metric.family);
        if let Some((_, first)) = metric.labels.first_mut() {
            *first = Cow::Owned(name);
        }
        let count = metric.labels.len();
        if let Some((name, bound)) = bound {
            metric.labels.push((Cow::Borrowed(name), Cow::Owned(format_open_metrics(bound))));
        }
        self.key.clear();
        for (name, value) in &metric.labels {
            for text in [name, value] {
                self.key.extend_from_slice(text.as_bytes());
                self.key.push(0xff);
            }
        }
        let outcome = self.sink.sample(&Scraped {
            key: &self.key,
            labels: &metric.labels,
            t: metric.t,
            start,
            value,
            exemplars,
        });
        metric.labels.truncate(count);
        outcome
    }
}

fn read_metric(family: &str, kind: &str, message: &[u8], output: &mut Output<'_>) -> Result<(), String> {
    let mut metric =
        Metric { family, labels: vec![(Cow::Borrowed("__name__"), Cow::Borrowed(family))], t: None };
    let mut value = None;
    each(message, |field| {
        match field.number {
            1 => metric.labels.push(label(field.bytes()?)?),
            2..=5 | 7 => value = Some((field.number, field.bytes()?)),
            6 => metric.t = Some(field.signed()?).filter(|t| *t != 0),
            _ => {}
        }
        Ok(())
    })
    .map_err(wire)?;
    // Which field it is follows from the type; a field of another type says nothing.
    match (kind, value) {
        ("gauge", Some((2, message))) | ("counter", Some((3, message))) | ("unknown", Some((5, message))) => {
            let one = single(message).map_err(wire)?;
            output.put(&mut metric, "", None, (one.start, Sample::Float(one.value)), &one.exemplars)
        }
        ("summary", Some((4, message))) => summary(message, &mut metric, output),
        ("histogram" | "gaugehistogram", Some((7, message))) => {
            histogram(message, kind == "gaugehistogram", &mut metric, output)
        }
        _ => Err(format!("a metric of {family:?} has no value of the type {kind}")),
    }
}

fn label(message: &[u8]) -> Result<(Cow<'_, str>, Cow<'_, str>), WireError> {
    let (mut name, mut value) = ("", "");
    each(message, |field| {
        match field.number {
            1 => name = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((Cow::Borrowed(name), Cow::Borrowed(value)))
}

/// Milliseconds of a time.
fn time(message: &[u8]) -> Result<i64, WireError> {
    let (mut seconds, mut nanoseconds) = (0i64, 0i64);
    each(message, |field| {
        match field.number {
            1 => seconds = field.signed()?,
            2 => nanoseconds = field.signed()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000))
}

fn exemplar(message: &[u8]) -> Result<Example, WireError> {
    let (mut labels, mut value, mut t) = (Pairs::new(), 0.0, None);
    each(message, |field| {
        match field.number {
            1 => labels.push(label(field.bytes()?)?),
            2 => value = field.double()?,
            3 => t = Some(time(field.bytes()?)?),
            _ => {}
        }
        Ok(())
    })?;
    let exemplar = Exemplar { labels: Labels::new(labels), value, t: t.unwrap_or_default() };
    Ok(Example { exemplar, timed: t.is_some() })
}

#[derive(Default)]
struct Single {
    value: f64,
    start: i64,
    exemplars: Vec<Example>,
}

/// A counter, a gauge, or what says no type.
fn single(message: &[u8]) -> Result<Single, WireError> {
    let mut out = Single::default();
    each(message, |field| {
        match field.number {
            1 => out.value = field.double()?,
            2 => out.exemplars.push(exemplar(field.bytes()?)?),
            3 => out.start = time(field.bytes()?)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn summary(message: &[u8], metric: &mut Metric<'_>, output: &mut Output<'_>) -> Result<(), String> {
    let (mut count, mut sum, mut start, mut quantiles) = (0, 0.0, 0, Vec::new());
    each(message, |field| {
        match field.number {
            1 => count = field.unsigned()?,
            2 => sum = field.double()?,
            3 => {
                let (mut quantile, mut value) = (0.0, 0.0);
                each(field.bytes()?, |field| {
                    match field.number {
                        1 => quantile = field.double()?,
                        2 => value = field.double()?,
                        _ => {}
                    }
                    Ok(())
                })?;
                quantiles.push((quantile, value));
            }
            4 => start = time(field.bytes()?)?,
            _ => {}
        }
        Ok(())
    })
    .map_err(wire)?;
    output.put(metric, "_count", None, (start, Sample::Float(count as f64)), &[])?;
    output.put(metric, "_sum", None, (start, Sample::Float(sum)), &[])?;
    for (quantile, value) in quantiles {
        output.put(metric, "", Some(("quantile", quantile)), (start, Sample::Float(value)), &[])?;
    }
    Ok(())
}

struct Bucket {
    bound: f64,
    count: Number,
    exemplars: Vec<Example>,
}

fn bucket(message: &[u8]) -> Result<Bucket, WireError> {
    let mut out = Bucket { bound: 0.0, count: Number::Int(0), exemplars: Vec::new() };
    each(message, |field| {
        match field.number {
            1 => out.count = Number::Int(field.unsigned()?),
            2 => out.bound = field.double()?,
            3 => out.exemplars.push(exemplar(field.bytes()?)?),
            4 if field.double()? > 0.0 => out.count = Number::Float(field.double()?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn histogram(
    message: &[u8],
    gauge: bool,
    metric: &mut Metric<'_>,
    output: &mut Output<'_>,
) -> Result<(), String> {
    let mut h = FloatHistogram::default();
    let (mut count, mut zero, mut start) = (Number::Int(0), Number::Int(0), 0);
    let (mut positive, mut negative) = (Side::default(), Side::default());
    let (mut buckets, mut exemplars) = (Vec::new(), Vec::new());
    each(message, |field| {
        match field.number {
            1 => count = Number::Int(field.unsigned()?),
            2 => h.sum = field.double()?,
            3 => buckets.push(bucket(field.bytes()?)?),
            // Counts that may be fractions are meant if there are any.
            4 if field.double()? > 0.0 => count = Number::Float(field.double()?),
            5 => h.schema = field.zigzag()? as i32,
            6 => h.zero_threshold = field.double()?,
            7 => zero = Number::Int(field.unsigned()?),
            8 if field.double()? > 0.0 => zero = Number::Float(field.double()?),
            9 => negative.spans.push(span(field.bytes()?)?),
            10 => field.each_varint(|value| negative.deltas.push(unzigzag(value)))?,
            11 => field.each_fixed64(|bits| negative.counts.push(f64::from_bits(bits)))?,
            12 => positive.spans.push(span(field.bytes()?)?),
            13 => field.each_varint(|value| positive.deltas.push(unzigzag(value)))?,
            14 => field.each_fixed64(|bits| positive.counts.push(f64::from_bits(bits)))?,
            15 => start = time(field.bytes()?)?,
            16 => exemplars.push(exemplar(field.bytes()?)?),
            _ => {}
        }
        Ok(())
    })
    .map_err(wire)?;
    let (sum, total) = (h.sum, count.value());
    let is_native = !positive.spans.is_empty()
        || !negative.spans.is_empty()
        || h.zero_threshold > 0.0
        || zero.value() > 0.0;
    let native = is_native && output.histograms.native;
    if native {
        // An example without a time can't be told from the same one of the scrape before.
        if exemplars.is_empty() {
            exemplars = buckets.iter().flat_map(|bucket| bucket.exemplars.iter().cloned()).collect();
        }
        exemplars.retain(|example| example.timed);
        h.hint = if gauge { ResetHint::Gauge } else { ResetHint::Unknown };
        let h = whole(h, count, zero, &positive, &negative)
            .map_err(|what| format!("invalid histogram of {:?}: {what}", metric.family))?;
        output.put(metric, "", None, (start, Sample::Histogram(h.into())), &exemplars)?;
    }
    if native && !output.histograms.classic {
        return Ok(());
    }
    output.put(metric, "_count", None, (start, Sample::Float(total)), &[])?;
    output.put(metric, "_sum", None, (start, Sample::Float(sum)), &[])?;
    let mut to_infinity = false;
    for Bucket { bound, count, exemplars } in &buckets {
        to_infinity |= *bound == f64::INFINITY;
        let sample = (start, Sample::Float(count.value()));
        output.put(metric, "_bucket", Some(("le", *bound)), sample, exemplars)?;
    }
    if !to_infinity {
        let all = (start, Sample::Float(total));
        output.put(metric, "_bucket", Some(("le", f64::INFINITY)), all, &[])?;
    }
    Ok(())
}
