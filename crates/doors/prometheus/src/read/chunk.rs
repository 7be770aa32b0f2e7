//! Samples in chunks of Prometheus' formats: XOR for numbers, and histograms of fractional counts.
//!
//! A histogram has a chunk of its own, which needs no changes between samples to be written.

use luma_promql::{Bucket, FloatHistogram, FloatPoint, HistogramPoint, ResetHint, SeriesData};

use super::bits::BitWriter;
use super::message::spans;

/// How many numbers a chunk has.
const SAMPLES_MAX: usize = 120;

/// How the bytes of a chunk are to be read, as it is called in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Xor = 1,
    FloatHistogram = 3,
}

/// Samples of one kind, packed.
#[derive(Debug)]
pub(super) struct Chunk {
    pub first: i64,
    pub last: i64,
    pub encoding: Encoding,
    pub data: Vec<u8>,
}

/// The chunks of a series in the order of time.
pub(super) fn of_series(data: &SeriesData) -> impl Iterator<Item = Chunk> + '_ {
    let (mut floats, mut histograms) = (&data.floats[..], &data.histograms[..]);
    std::iter::from_fn(move || {
        let first_histogram = histograms.first().map_or(i64::MAX, |point| point.t);
        let before = floats.iter().take(SAMPLES_MAX).take_while(|point| point.t < first_histogram).count();
        if before > 0 {
            let (chunk, rest) = floats.split_at(before);
            floats = rest;
            return Some(xor(chunk));
        }
        let (point, rest) = histograms.split_first()?;
        histograms = rest;
        Some(histogram(point))
    })
}

/// Numbers: times by the change of their distance, values by the bits that differ from the one before.
fn xor(points: &[FloatPoint]) -> Chunk {
    let mut out = BitWriter::behind((points.len() as u16).to_be_bytes().to_vec());
    let (mut t, mut distance, mut value) = (0i64, 0i64, 0u64);
    // How many bits are zero before and behind those that differed last.
    let mut window: Option<(u32, u32)> = None;
    for (at, point) in points.iter().enumerate() {
        let bits = point.v.to_bits();
        match at {
            0 => {
                out.signed_varint(point.t);
                out.bits(bits, 64);
            }
            _ => {
                let next = point.t.wrapping_sub(t);
                if at == 1 {
                    out.varint(next as u64);
                } else {
                    time(next.wrapping_sub(distance), &mut out);
                }
                distance = next;
                window = difference(bits ^ value, window, &mut out);
            }
        }
        (t, value) = (point.t, bits);
    }
    let first = points.first().map_or(0, |point| point.t);
    Chunk { first, last: t, encoding: Encoding::Xor, data: out.bytes }
}

fn time(change: i64, out: &mut BitWriter) {
    let fits = |bits: u8| -((1i64 << (bits - 1)) - 1) <= change && change <= 1i64 << (bits - 1);
    match change {
        0 => out.bits(0, 1),
        _ if fits(14) => {
            out.bits(0b10, 2);
            out.bits(change as u64, 14);
        }
        _ if fits(17) => {
            out.bits(0b110, 3);
            out.bits(change as u64, 17);
        }
        _ if fits(20) => {
            out.bits(0b1110, 4);
            out.bits(change as u64, 20);
        }
        _ => {
            out.bits(0b1111, 4);
            out.bits(change as u64, 64);
        }
    }
}

fn difference(bits: u64, window: Option<(u32, u32)>, out: &mut BitWriter) -> Option<(u32, u32)> {
    if bits == 0 {
        out.bits(0, 1);
        return window;
    }
    // Five bits say how many zeros are in front.
    let (leading, trailing) = (bits.leading_zeros().min(31), bits.trailing_zeros());
    if let Some((before, behind)) = window
        && leading >= before
        && trailing >= behind
    {
        out.bits(0b10, 2);
        out.bits(bits >> behind, (64 - before - behind) as u8);
        return window;
    }
    let significant = 64 - leading - trailing;
    out.bits(0b11, 2);
    out.bits(u64::from(leading), 5);
    // Six bits: 64 is written as 0, which nothing else is.
    out.bits(u64::from(significant & 63), 6);
    out.bits(bits >> trailing, significant as u8);
    Some((leading, trailing))
}

fn histogram(point: &HistogramPoint) -> Chunk {
    let h = &*point.h;
    let header = match h.hint {
        ResetHint::Unknown => 0b0000_0000,
        ResetHint::NotReset => 0b0100_0000,
        ResetHint::Reset => 0b1000_0000,
        ResetHint::Gauge => 0b1100_0000,
    };
    let mut out = BitWriter::behind(vec![0, 1, header]);
    layout(h, &mut out);
    out.varbit(point.t);
    for value in [h.count, h.zero_count, h.sum] {
        out.float(value);
    }
    for bucket in h.positive.iter().chain(&h.negative) {
        out.float(bucket.count);
    }
    Chunk { first: point.t, last: point.t, encoding: Encoding::FloatHistogram, data: out.bytes }
}

fn layout(h: &FloatHistogram, out: &mut BitWriter) {
    // A byte of 255 says that the threshold follows as it is.
    if h.zero_threshold == 0.0 {
        out.bits(0, 8);
    } else {
        out.bits(255, 8);
        out.float(h.zero_threshold);
    }
    out.varbit(i64::from(h.schema));
    for side in [&h.positive, &h.negative] {
        side_layout(side, out);
    }
    if h.uses_custom_buckets() {
        out.unsigned_varbit(h.custom_bounds.len() as u64);
        for bound in h.custom_bounds.iter() {
            // A zero says that the bound follows as it is.
            out.bits(0, 1);
            out.float(*bound);
        }
    }
}

fn side_layout(buckets: &[Bucket], out: &mut BitWriter) {
    let spans = spans(buckets);
    out.unsigned_varbit(spans.len() as u64);
    for (offset, length) in spans {
        out.unsigned_varbit(length);
        out.varbit(offset);
    }
}
