//! Histograms of one layout as columns: what they have in common once, then times, sums, counts, and a
//! column for each bucket.

use std::sync::Arc;

use luma_codec::{Block, Error, encode_floats, encode_timestamps};
use luma_promql::{Bucket, FloatHistogram, HistogramPoint};

use super::LIMITS;

/// Histograms of one layout.
#[derive(Debug)]
pub(super) struct HistogramColumns {
    /// The first one; only its layout counts.
    layout: Arc<FloatHistogram>,
    /// Blocks: times, count, sum, zero count, positive buckets, negative buckets.
    bytes: Box<[u8]>,
}

/// Whether two histograms differ in numbers alone.
pub(super) fn same_layout(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    let side =
        |a: &[Bucket], b: &[Bucket]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.index == b.index);
    a.hint == b.hint
        && a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && side(&a.positive, &b.positive)
        && side(&a.negative, &b.negative)
        && a.custom_bounds.len() == b.custom_bounds.len()
        && a.custom_bounds.iter().zip(b.custom_bounds.iter()).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// The numbers of a histogram in the order of the columns.
fn numbers(h: &FloatHistogram) -> impl Iterator<Item = f64> {
    let buckets = h.positive.iter().chain(&h.negative).map(|bucket| bucket.count);
    [h.count, h.sum, h.zero_count].into_iter().chain(buckets)
}

impl HistogramColumns {
    /// Packs histograms of one layout; `None` if there is none.
    pub fn packed(points: &[HistogramPoint]) -> Option<Self> {
        let layout = Arc::clone(&points.first()?.h);
        let mut columns =
            vec![Vec::with_capacity(points.len()); 3 + layout.positive.len() + layout.negative.len()];
        for point in points {
            for (column, number) in columns.iter_mut().zip(numbers(&point.h)) {
                column.push(number);
            }
        }
        let times: Vec<i64> = points.iter().map(|point| point.t).collect();
        let mut bytes = Vec::new();
        encode_timestamps(&times, &mut bytes);
        for column in &columns {
            encode_floats(column, &mut bytes);
        }
        Some(Self { layout, bytes: bytes.into_boxed_slice() })
    }

    /// The histograms with their times.
    pub fn unpacked(&self) -> Result<Vec<(i64, Arc<FloatHistogram>)>, Error> {
        let (block, mut rest) = Block::open(&self.bytes, LIMITS)?;
        let times = block.timestamps()?;
        let mut histograms = vec![FloatHistogram::clone(&self.layout); times.len()];
        let (positive, negative) = (self.layout.positive.len(), self.layout.negative.len());
        for column in 0..3 + positive + negative {
            let block;
            (block, rest) = Block::open(rest, LIMITS)?;
            let bucket = column.saturating_sub(3);
            for (h, number) in histograms.iter_mut().zip(block.floats()?) {
                let place = match column {
                    0 => Some(&mut h.count),
                    1 => Some(&mut h.sum),
                    2 => Some(&mut h.zero_count),
                    _ if bucket < positive => h.positive.get_mut(bucket).map(|b| &mut b.count),
                    _ => h.negative.get_mut(bucket - positive).map(|b| &mut b.count),
                };
                if let Some(place) = place {
                    *place = number;
                }
            }
        }
        Ok(times.into_iter().zip(histograms.into_iter().map(Arc::new)).collect())
    }
}
