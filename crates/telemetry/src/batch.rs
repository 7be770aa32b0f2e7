//! The samples of one request, with the labels of their series.
//!
//! Invariants: a series' key is its labels in the order of names, no name twice, no value empty. Keys lie
//! one behind another in one buffer, so a batch costs no allocation per label, and looking a known series
//! up costs none either.

use std::sync::Arc;

use luma_codec::varint;
use luma_promql::{FloatHistogram, Labels, METRIC_NAME, Sample};

use crate::error::LabelError;
use crate::exemplars::Exemplar;
use crate::known::{Fingerprint, KnownSeries, SeriesPlace};
use crate::metadata::Metadata;

/// How many labels a series may have.
pub const LABELS_MAX: usize = 128;
/// How many bytes the names and values of a series' labels may have.
pub const LABEL_BYTES_MAX: usize = 64 << 10;

/// A series of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSeries(u32);

/// A sample, its time, and when the counter behind it started (0 if that is unknown).
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub t: i64,
    pub start: i64,
    pub sample: Sample,
}

#[derive(Debug, Clone, Copy)]
struct Key {
    hash: u64,
    end: usize,
    known: Option<SeriesPlace>,
}

/// What a batch says about which series it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named<'b> {
    /// Its labels as a key, and their hash.
    Key(u64, &'b [u8]),
    Known(SeriesPlace),
}

/// The samples of one request.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    keys: Vec<Key>,
    bytes: Vec<u8>,
    points: Vec<(u32, Point)>,
    histogram_bytes: usize,
    metadata: Vec<(String, Metadata)>,
    exemplars: Vec<(u32, Exemplar)>,
    fingerprints: Vec<(u32, Fingerprint)>,
    /// The round of the known series that was looked up first.
    round: Option<u64>,
}

impl Batch {
    /// Names the series of some samples: pairs of label names and values in any order. A label with an empty
    /// value is an absent one.
    ///
    /// # Errors
    /// When the labels name no series.
    pub fn series<'a>(
        &mut self,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<BatchSeries, LabelError> {
        let mut pairs: smallvec::SmallVec<[(&str, &str); 24]> =
            labels.into_iter().filter(|(_, value)| !value.is_empty()).take(LABELS_MAX + 1).collect();
        if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
            pairs.sort_unstable_by_key(|pair| pair.0);
            if let Some(twice) = pairs.windows(2).find(|two| two[0].0 == two[1].0) {
                return Err(LabelError::Duplicate(twice[0].0.to_owned()));
            }
        }
        let bytes = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
        match pairs.first() {
            None => return Err(LabelError::Empty),
            Some(("", _)) => return Err(LabelError::Unnamed),
            Some(_) if pairs.len() > LABELS_MAX => {
                return Err(LabelError::TooMany { limit: LABELS_MAX });
            }
            Some(_) if bytes > LABEL_BYTES_MAX => {
                return Err(LabelError::TooLong { bytes, limit: LABEL_BYTES_MAX });
            }
            Some(_) => {}
        }
        let start = self.bytes.len();
        for (name, value) in pairs {
            for text in [name, value] {
                varint::write(text.len() as u64, &mut self.bytes);
                self.bytes.extend_from_slice(text.as_bytes());
            }
        }
        let hash = hash_of(&self.bytes[start..]);
        self.keys.push(Key { hash, end: self.bytes.len(), known: None });
        Ok(BatchSeries(self.keys.len() as u32 - 1))
    }

    /// Names a series of the store that the batch is for.
    pub fn known(&mut self, series: KnownSeries) -> BatchSeries {
        self.round = Some(self.round.map_or(series.round, |round| round.min(series.round)));
        self.keys.push(Key { hash: 0, end: self.bytes.len(), known: Some(series.place) });
        BatchSeries(self.keys.len() as u32 - 1)
    }

    /// Has the store know the series by a name from now on, if it takes it.
    pub fn name(&mut self, series: BatchSeries, name: Fingerprint) {
        self.fingerprints.push((series.0, name));
    }

    /// Adds a number: its time in milliseconds, and when its counter started (0 if that is unknown).
    pub fn float(&mut self, series: BatchSeries, t: i64, start: i64, value: f64) {
        self.points.push((series.0, Point { t, start, sample: Sample::Float(value) }));
    }

    /// Adds a histogram.
    pub fn histogram(&mut self, series: BatchSeries, t: i64, start: i64, value: Arc<FloatHistogram>) {
        let buckets = value.positive.len() + value.negative.len() + value.custom_bounds.len();
        self.histogram_bytes += 64 + 14 * buckets;
        self.points.push((series.0, Point { t, start, sample: Sample::Histogram(value) }));
    }

    /// Adds what a family of metrics says of itself.
    pub fn metadata(&mut self, family: &str, metadata: Metadata) {
        self.metadata.push((family.to_owned(), metadata));
    }

    /// Adds an example of what a series measured. It is kept if it is newer than the series' others and its
    /// labels have at most 128 characters.
    pub fn exemplar(&mut self, series: BatchSeries, exemplar: Exemplar) {
        self.exemplars.push((series.0, exemplar));
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there is no sample; there may be metadata.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Takes everything out; memory is kept for the next request.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.bytes.clear();
        self.points.clear();
        self.histogram_bytes = 0;
        self.metadata.clear();
        self.exemplars.clear();
        self.fingerprints.clear();
        self.round = None;
    }

    /// At least as many bytes as the batch takes in the log.
    pub(crate) fn record_bytes_max(&self) -> usize {
        let metadata = self
            .metadata
            .iter()
            .map(|(family, m)| family.len() + m.kind.len() + m.help.len() + m.unit.len() + 48);
        let of_labels =
            |labels: &Labels| labels.iter().map(|(name, value)| name.len() + value.len() + 20).sum::<usize>();
        let exemplars = self.exemplars.iter().map(|(_, exemplar)| of_labels(&exemplar.labels) + 48);
        self.bytes.len()
            + self.keys.len() * 16
            + self.points.len() * 40
            + self.histogram_bytes
            + metadata.chain(exemplars).sum::<usize>()
    }

    pub(crate) fn metadata_given(&self) -> &[(String, Metadata)] {
        &self.metadata
    }

    pub(crate) fn exemplars_given(&self) -> &[(u32, Exemplar)] {
        &self.exemplars
    }

    pub(crate) fn points(&self) -> &[(u32, Point)] {
        &self.points
    }

    pub(crate) fn series_len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn round(&self) -> Option<u64> {
        self.round
    }

    pub(crate) fn fingerprints(&self) -> &[(u32, Fingerprint)] {
        &self.fingerprints
    }

    /// Which series one of the batch is.
    pub(crate) fn named(&self, series: u32) -> Option<Named<'_>> {
        let at = series as usize;
        let key = self.keys.get(at)?;
        if let Some(known) = key.known {
            return Some(Named::Known(known));
        }
        let start = at.checked_sub(1).and_then(|before| self.keys.get(before)).map_or(0, |key| key.end);
        Some(Named::Key(key.hash, self.bytes.get(start..key.end)?))
    }
}

impl Named<'_> {
    /// Which of so many shards it belongs to.
    pub fn shard(self, shards: usize) -> usize {
        match self {
            // The lowest and the highest bits find the series within the shard.
            Self::Key(hash, _) => (hash >> 16) as u32 as usize % shards,
            Self::Known(series) => series.shard as usize,
        }
    }
}

/// The hash that finds a series, and its shard.
pub(crate) fn hash_of(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}

/// The labels of a key; ends at whatever is no label.
pub(crate) fn labels_of_key(mut key: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    std::iter::from_fn(move || {
        let mut text = || {
            let (length, rest) = varint::read(key).ok()?;
            let (text, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            key = rest;
            std::str::from_utf8(text).ok()
        };
        Some((text()?, text()?))
    })
}

/// The metric of a key, empty if it names none.
pub(crate) fn metric_of(key: &[u8]) -> &str {
    labels_of_key(key).find(|(name, _)| *name == METRIC_NAME).map_or("", |(_, value)| value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn labels_in_any_order_make_one_key_and_empty_ones_are_absent() {
        let mut batch = Batch::default();
        let one = batch.series([("b", "2"), ("a", "1"), ("c", "")]).unwrap();
        let two = batch.series([("a", "1"), ("b", "2")]).unwrap();
        assert_ne!(one, two);
        assert_eq!(batch.named(0), batch.named(1));
        let Some(Named::Key(_, key)) = batch.named(1) else { unreachable!("it was named by labels") };
        assert_eq!(labels_of_key(key).collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
    }

    #[test]
    fn labels_that_name_no_series_are_refused_with_the_reason() {
        let mut batch = Batch::default();
        assert_eq!(batch.series([("a", "")]), Err(LabelError::Empty));
        assert_eq!(batch.series([("", "x")]), Err(LabelError::Unnamed));
        assert_eq!(batch.series([("a", "1"), ("a", "2")]), Err(LabelError::Duplicate("a".into())));
        let names: Vec<String> = (0..1000).map(|n| format!("l{n:04}")).collect();
        let many = batch.series(names.iter().map(|name| (name.as_str(), "v")));
        assert!(matches!(many, Err(LabelError::TooMany { .. })));
        let long = "x".repeat(LABEL_BYTES_MAX);
        assert!(matches!(batch.series([("a", long.as_str())]), Err(LabelError::TooLong { .. })));
        assert_eq!(batch.series_len(), 0);
    }
}
