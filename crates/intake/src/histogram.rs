//! Native histograms out of the parts that messages have: spans of buckets with counts, whole or as differences.

use luma_promql::{CUSTOM_BUCKETS, FloatHistogram, is_stale};

use crate::wire::{Reader, WireError};

/// The buckets of a side as they are sent.
#[derive(Debug, Default)]
pub struct Side {
    /// The gap before each run of buckets, and its length.
    pub spans: Vec<(i32, u32)>,
    /// Whole counts, each as the difference to the one before.
    pub deltas: Vec<i64>,
    /// Counts that may be fractions.
    pub counts: Vec<f64>,
}

/// A count.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    /// A whole one.
    Int(u64),
    /// One that may be a fraction.
    Float(f64),
}

impl Number {
    /// The same, as a number.
    pub fn value(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

/// A span of buckets: the gap before it and its length.
///
/// # Errors
/// When the bytes are none.
pub fn span(message: &[u8]) -> Result<(i32, u32), WireError> {
    let (mut offset, mut length) = (0, 0);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => offset = field.zigzag()? as i32,
            2 => length = field.unsigned()? as u32,
            _ => {}
        }
    }
    Ok((offset, length))
}

/// A histogram whose other parts are there already, or why it is none.
///
/// # Errors
/// What is wrong with it.
pub fn whole(
    mut h: FloatHistogram,
    count: Number,
    zero: Number,
    positive: &Side,
    negative: &Side,
) -> Result<FloatHistogram, String> {
    h.count = count.value();
    h.zero_count = zero.value();
    // The end of a series has nothing but its sum.
    if is_stale(h.sum) {
        return Ok(FloatHistogram { sum: h.sum, ..FloatHistogram::default() });
    }
    let integers = matches!(count, Number::Int(_));
    let sides =
        [buckets(&mut h.positive, positive, integers)?, buckets(&mut h.negative, negative, integers)?];
    layout(&h)?;
    let observed = h.zero_count + sides[0] + sides[1];
    let is_nan = h.sum.is_nan();
    if [h.count, h.zero_count].into_iter().any(|count| count.is_nan() || count < 0.0) {
        return Err("a count is negative".to_owned());
    }
    // Values that are no number are in the count and in no bucket.
    let wrong = match integers {
        true if is_nan => observed > h.count,
        true => observed != h.count,
        // Sums of fractions are not exact.
        false => false,
    };
    if wrong {
        return Err(format!("{observed} observations found in buckets, but the Count field is {}", h.count));
    }
    Ok(h)
}

/// The buckets of a side, and how many observations are in them.
fn buckets(out: &mut Vec<luma_promql::Bucket>, side: &Side, integers: bool) -> Result<f64, String> {
    if side.spans.iter().skip(1).any(|(offset, _)| *offset < 0) {
        return Err("a span of buckets lies before the one before it".to_owned());
    }
    let mut counts = Vec::new();
    if integers {
        let mut count = 0i64;
        for delta in &side.deltas {
            count = count.checked_add(*delta).ok_or("a bucket's count is over 64 bits")?;
            counts.push(count as f64);
        }
    } else {
        counts.clone_from(&side.counts);
    }
    if let Some(count) = counts.iter().find(|count| count.is_nan() || **count < 0.0) {
        return Err(format!("a bucket's count is {count}"));
    }
    let spanned: u64 = side.spans.iter().map(|(_, length)| u64::from(*length)).sum();
    if spanned != counts.len() as u64 {
        return Err(format!("spans need {spanned} buckets, have {} buckets", counts.len()));
    }
    let last: i64 = side.spans.iter().map(|(offset, length)| i64::from(*offset) + i64::from(*length)).sum();
    if i32::try_from(last).is_err() {
        return Err("a bucket's index is over 32 bits".to_owned());
    }
    *out = FloatHistogram::buckets_of_spans(&side.spans, &counts);
    Ok(counts.iter().sum())
}

/// Checks what buckets may be of the schema.
fn layout(h: &FloatHistogram) -> Result<(), String> {
    if h.schema != CUSTOM_BUCKETS {
        if !(-4..=8).contains(&h.schema) {
            return Err(format!("invalid schema {}; it is from -4 to 8 or {CUSTOM_BUCKETS}", h.schema));
        }
        if !h.custom_bounds.is_empty() {
            return Err("histogram with exponential schema must not have custom bounds".to_owned());
        }
        return Ok(());
    }
    if h.zero_count != 0.0 || h.zero_threshold != 0.0 || !h.negative.is_empty() {
        return Err("a histogram with custom bounds has no zero bucket and no negative buckets".to_owned());
    }
    if !h.custom_bounds.is_sorted_by(|a, b| a < b) || h.custom_bounds.iter().any(|bound| !bound.is_finite()) {
        return Err("custom bounds must be finite and ascending".to_owned());
    }
    let last = h.positive.last().map_or(0, |bucket| i64::from(bucket.index));
    let first = h.positive.first().map_or(0, |bucket| bucket.index);
    if first < 0 || last > h.custom_bounds.len() as i64 {
        return Err(format!("{} custom bounds are too few for the spans", h.custom_bounds.len()));
    }
    Ok(())
}
