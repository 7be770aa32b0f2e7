//! Native histograms of remote write, which are the same in both versions.

use luma_intake::histogram::{Number, Side, span, whole};
use luma_promql::{FloatHistogram, ResetHint};

use crate::wire::{Reader, WireError, unzigzag};

/// A histogram, its time, and when its counter started (0 if that is unknown).
pub(crate) struct Read {
    pub t: i64,
    pub start: i64,
    /// The histogram, or why it is none.
    pub value: Result<FloatHistogram, String>,
}

/// Reads a histogram.
pub(crate) fn histogram(message: &[u8]) -> Result<Read, WireError> {
    let mut h = FloatHistogram::default();
    let (mut t, mut start) = (0, 0);
    let (mut count, mut zero) = (Number::Int(0), Number::Int(0));
    let (mut positive, mut negative) = (Side::default(), Side::default());
    let mut bounds: Vec<f64> = Vec::new();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => count = Number::Int(field.unsigned()?),
            2 => count = Number::Float(field.double()?),
            3 => h.sum = field.double()?,
            4 => h.schema = field.zigzag()? as i32,
            5 => h.zero_threshold = field.double()?,
            6 => zero = Number::Int(field.unsigned()?),
            7 => zero = Number::Float(field.double()?),
            8 => negative.spans.push(span(field.bytes()?)?),
            9 => field.each_varint(|value| negative.deltas.push(unzigzag(value)))?,
            10 => field.each_fixed64(|bits| negative.counts.push(f64::from_bits(bits)))?,
            11 => positive.spans.push(span(field.bytes()?)?),
            12 => field.each_varint(|value| positive.deltas.push(unzigzag(value)))?,
            13 => field.each_fixed64(|bits| positive.counts.push(f64::from_bits(bits)))?,
            14 => {
                h.hint = match field.unsigned()? {
                    1 => ResetHint::Reset,
                    2 => ResetHint::NotReset,
                    3 => ResetHint::Gauge,
                    _ => ResetHint::Unknown,
                }
            }
            15 => t = field.signed()?,
            16 => field.each_fixed64(|bits| bounds.push(f64::from_bits(bits)))?,
            17 => start = field.signed()?,
            _ => {}
        }
    }
    h.custom_bounds = bounds.into();
    let value = whole(h, count, zero, &positive, &negative);
    Ok(Read { t, start, value })
}
