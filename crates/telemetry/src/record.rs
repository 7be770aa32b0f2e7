//! A batch as one record of the log (`FORMAT.md`): new series, and samples in the order they are stored.
//!
//! A record has just what was accepted, so replaying it decides nothing anew.

use std::sync::Arc;

use luma_codec::varint;
use luma_promql::{Bucket, FloatHistogram, Labels, ResetHint, Sample};

use crate::batch::Point;
use crate::exemplars::Exemplar;
use crate::metadata::Metadata;

const VERSION: u8 = 1;

const SERIES: u8 = 1;
const FLOAT: u8 = 2;
const FLOAT_WITH_START: u8 = 3;
const HISTOGRAM: u8 = 4;
const HISTOGRAM_WITH_START: u8 = 5;
const METADATA: u8 = 6;
const EXEMPLAR: u8 = 7;
const FORGET_EXEMPLARS: u8 = 8;
const DELETED: u8 = 9;

const HINTS: [ResetHint; 4] = [ResetHint::Unknown, ResetHint::Reset, ResetHint::NotReset, ResetHint::Gauge];

/// Something a record says.
#[derive(Debug)]
pub(crate) enum Entry<'a> {
    /// There is a series with this key.
    Series { reference: u32, key: &'a [u8] },
    /// A series has a sample.
    Sample { reference: u32, point: Point },
    /// The newest sample of a series was of this time and was deleted.
    Deleted { reference: u32, t: i64 },
    /// A family of metrics has metadata.
    Metadata { family: &'a str, metadata: Metadata },
    /// A series has an exemplar.
    Exemplar { reference: u32, exemplar: Exemplar },
    /// What exemplars there were before this is said again, or gone.
    ForgetExemplars,
}

/// Makes a record.
pub(crate) struct RecordWriter {
    bytes: Vec<u8>,
    reference: u32,
    t: i64,
}

impl RecordWriter {
    pub fn with_capacity(bytes: usize) -> Self {
        let mut writer = Self { bytes: Vec::with_capacity(bytes), reference: 0, t: 0 };
        writer.bytes.push(VERSION);
        writer
    }

    pub fn series(&mut self, reference: u32, key: &[u8]) {
        self.bytes.push(SERIES);
        varint::write(u64::from(reference), &mut self.bytes);
        varint::write(key.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(key);
    }

    pub fn sample(&mut self, reference: u32, point: &Point) {
        self.bytes.push(match (&point.sample, point.start) {
            (Sample::Float(_), 0) => FLOAT,
            (Sample::Float(_), _) => FLOAT_WITH_START,
            (Sample::Histogram(_), 0) => HISTOGRAM,
            (Sample::Histogram(_), _) => HISTOGRAM_WITH_START,
        });
        self.signed(i64::from(reference) - i64::from(self.reference));
        self.signed(point.t.wrapping_sub(self.t));
        (self.reference, self.t) = (reference, point.t);
        if point.start != 0 {
            self.signed(point.t.wrapping_sub(point.start));
        }
        match &point.sample {
            Sample::Float(v) => self.float(*v),
            Sample::Histogram(h) => self.histogram(h),
        }
    }

    /// Says that the newest sample of a series was deleted; there is none of the series in the record then.
    pub fn deleted(&mut self, reference: u32, t: i64) {
        self.bytes.push(DELETED);
        varint::write(u64::from(reference), &mut self.bytes);
        self.signed(t);
    }

    /// How many bytes there are so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn metadata(&mut self, family: &str, metadata: &Metadata) {
        self.bytes.push(METADATA);
        for text in [family, &metadata.kind, &metadata.help, &metadata.unit] {
            self.text(text);
        }
    }

    pub fn forget_exemplars(&mut self) {
        self.bytes.push(FORGET_EXEMPLARS);
    }

    pub fn exemplar(&mut self, reference: u32, exemplar: &Exemplar) {
        self.bytes.push(EXEMPLAR);
        varint::write(u64::from(reference), &mut self.bytes);
        self.signed(exemplar.t);
        self.float(exemplar.value);
        varint::write(exemplar.labels.len() as u64, &mut self.bytes);
        for (name, value) in exemplar.labels.iter() {
            self.text(name);
            self.text(value);
        }
    }

    fn text(&mut self, text: &str) {
        varint::write(text.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// The record, unless it says nothing.
    pub fn finish(self) -> Option<Vec<u8>> {
        (self.bytes.len() > 1).then_some(self.bytes)
    }

    fn histogram(&mut self, h: &FloatHistogram) {
        let hint = HINTS.iter().position(|hint| *hint == h.hint).unwrap_or(0);
        self.bytes.push(hint as u8);
        self.signed(i64::from(h.schema));
        for number in [h.count, h.sum, h.zero_threshold, h.zero_count] {
            self.float(number);
        }
        for side in [&h.positive, &h.negative] {
            varint::write(side.len() as u64, &mut self.bytes);
            let mut before = 0;
            for bucket in side {
                self.signed(i64::from(bucket.index) - before);
                before = i64::from(bucket.index);
                self.float(bucket.count);
            }
        }
        varint::write(h.custom_bounds.len() as u64, &mut self.bytes);
        for bound in h.custom_bounds.iter() {
            self.float(*bound);
        }
    }

    fn signed(&mut self, value: i64) {
        varint::write((value << 1 ^ value >> 63) as u64, &mut self.bytes);
    }

    fn float(&mut self, value: f64) {
        self.bytes.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}

/// A histogram alone, as records have it.
pub(crate) fn histogram_to_bytes(h: &FloatHistogram) -> Vec<u8> {
    let mut writer = RecordWriter { bytes: Vec::new(), reference: 0, t: 0 };
    writer.histogram(h);
    writer.bytes
}

/// The histogram of such bytes; `None` if they are damaged.
pub(crate) fn histogram_of_bytes(bytes: &[u8]) -> Option<FloatHistogram> {
    let mut reader = RecordReader { rest: bytes, reference: 0, t: 0 };
    reader.histogram().filter(|_| reader.rest.is_empty())
}

/// Reads a record.
pub(crate) struct RecordReader<'a> {
    rest: &'a [u8],
    reference: i64,
    t: i64,
}

impl<'a> RecordReader<'a> {
    /// # Errors
    /// When another release wrote the record.
    pub fn new(record: &'a [u8]) -> Result<Self, String> {
        match record.split_first() {
            Some((&VERSION, rest)) => Ok(Self { rest, reference: 0, t: 0 }),
            Some((version, _)) => {
                Err(format!("it has version {version}, this release reads {VERSION}; use a newer release"))
            }
            None => Err("it is empty".to_owned()),
        }
    }

    /// The next entry, `None` at the end.
    ///
    /// # Errors
    /// When the bytes are none that a writer makes.
    pub fn next(&mut self) -> Result<Option<Entry<'a>>, String> {
        let Some((tag, rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        match self.entry(*tag) {
            Some(entry) => Ok(Some(entry)),
            None => Err(format!("its entry with tag {tag} is damaged")),
        }
    }

    fn entry(&mut self, tag: u8) -> Option<Entry<'a>> {
        if tag == SERIES {
            let reference = u32::try_from(self.varint()?).ok()?;
            let length = usize::try_from(self.varint()?).ok()?;
            return Some(Entry::Series { reference, key: self.take(length)? });
        }
        if tag == METADATA {
            let family = self.text()?;
            let [kind, help, unit] = [self.text()?, self.text()?, self.text()?].map(str::to_owned);
            return Some(Entry::Metadata { family, metadata: Metadata { kind, help, unit } });
        }
        if tag == EXEMPLAR {
            let reference = u32::try_from(self.varint()?).ok()?;
            let (t, value) = (self.signed()?, self.float()?);
            let count = self.length(2)?;
            let pairs = (0..count).map(|_| Some((self.text()?, self.text()?))).collect::<Option<Vec<_>>>()?;
            return Some(Entry::Exemplar {
                reference,
                exemplar: Exemplar { labels: Labels::new(pairs), value, t },
            });
        }
        if tag == FORGET_EXEMPLARS {
            return Some(Entry::ForgetExemplars);
        }
        if tag == DELETED {
            let reference = u32::try_from(self.varint()?).ok()?;
            return Some(Entry::Deleted { reference, t: self.signed()? });
        }
        self.reference = self.reference.checked_add(self.signed()?)?;
        self.t = self.t.wrapping_add(self.signed()?);
        let t = self.t;
        let start = match tag {
            FLOAT_WITH_START | HISTOGRAM_WITH_START => t.wrapping_sub(self.signed()?),
            _ => 0,
        };
        let sample = match tag {
            FLOAT | FLOAT_WITH_START => Sample::Float(self.float()?),
            HISTOGRAM | HISTOGRAM_WITH_START => Sample::Histogram(Arc::new(self.histogram()?)),
            _ => return None,
        };
        let reference = u32::try_from(self.reference).ok()?;
        Some(Entry::Sample { reference, point: Point { t, start, sample } })
    }

    fn histogram(&mut self) -> Option<FloatHistogram> {
        let (hint, rest) = self.rest.split_first()?;
        self.rest = rest;
        let hint = *HINTS.get(usize::from(*hint))?;
        let schema = i32::try_from(self.signed()?).ok()?;
        let (count, sum) = (self.float()?, self.float()?);
        let (zero_threshold, zero_count) = (self.float()?, self.float()?);
        let (positive, negative) = (self.buckets()?, self.buckets()?);
        let bounds = self.length(8)?;
        let custom_bounds = (0..bounds).map(|_| self.float()).collect::<Option<Vec<f64>>>()?.into();
        Some(FloatHistogram {
            hint,
            schema,
            zero_threshold,
            zero_count,
            count,
            sum,
            positive,
            negative,
            custom_bounds,
        })
    }

    fn buckets(&mut self) -> Option<Vec<Bucket>> {
        let length = self.length(9)?;
        let mut buckets = Vec::with_capacity(length);
        let mut before = 0i64;
        for _ in 0..length {
            before = before.checked_add(self.signed()?)?;
            buckets.push(Bucket { index: i32::try_from(before).ok()?, count: self.float()? });
        }
        Some(buckets)
    }

    /// A number of things of at least so many bytes each, for which there are bytes.
    fn length(&mut self, bytes_each: usize) -> Option<usize> {
        let length = usize::try_from(self.varint()?).ok()?;
        (length <= self.rest.len() / bytes_each).then_some(length)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.length(1)?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let (value, rest) = varint::read(self.rest).ok()?;
        self.rest = rest;
        Some(value)
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn float(&mut self) -> Option<f64> {
        let (bytes, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some(f64::from_bits(u64::from_le_bytes(*bytes)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn histogram() -> impl Strategy<Value = FloatHistogram> {
        let number = || any::<u64>().prop_map(f64::from_bits);
        let side = || {
            proptest::collection::vec((any::<i32>(), any::<f64>()), 0..6)
                .prop_map(|b| b.into_iter().map(|(index, count)| Bucket { index, count }).collect::<Vec<_>>())
        };
        let bounds = proptest::collection::vec(any::<f64>(), 0..4);
        ((0usize..4, any::<i32>()), (number(), number(), number(), number()), side(), side(), bounds)
            .prop_map(
                |((hint, schema), (count, sum, zero_threshold, zero_count), positive, negative, bounds)| {
                    FloatHistogram {
                        hint: HINTS[hint],
                        schema,
                        zero_threshold,
                        zero_count,
                        count,
                        sum,
                        positive,
                        negative,
                        custom_bounds: bounds.into(),
                    }
                },
            )
    }

    fn point() -> impl Strategy<Value = (u32, Point)> {
        let sample = prop_oneof![
            any::<u64>().prop_map(|bits| Sample::Float(f64::from_bits(bits))),
            histogram().prop_map(|h| Sample::Histogram(Arc::new(h))),
        ];
        let start = prop_oneof![Just(0), any::<i64>()];
        (any::<u32>(), any::<i64>(), start, sample)
            .prop_map(|(reference, t, start, sample)| (reference, Point { t, start, sample }))
    }

    /// Written differently for every difference of bits.
    fn shown(reference: u32, point: &Point) -> String {
        let value = match &point.sample {
            Sample::Float(v) => format!("{:x}", v.to_bits()),
            Sample::Histogram(h) => {
                let bits: Vec<u64> =
                    [h.count, h.sum, h.zero_count, h.zero_threshold].map(f64::to_bits).into();
                format!(
                    "{bits:?} {:?} {} {:?} {:?} {:?}",
                    h.hint, h.schema, h.positive, h.negative, h.custom_bounds
                )
            }
        };
        format!("{reference} {} {} {value}", point.t, point.start)
    }

    fn exemplar_shown(reference: u32, exemplar: &Exemplar) -> String {
        format!("{reference} {exemplar:?}")
    }

    fn read(record: &[u8]) -> Result<Vec<String>, String> {
        let mut reader = RecordReader::new(record)?;
        let mut entries = Vec::new();
        while let Some(entry) = reader.next()? {
            entries.push(match entry {
                Entry::Series { reference, key } => format!("{reference} {key:?}"),
                Entry::Sample { reference, point } => shown(reference, &point),
                Entry::ForgetExemplars => "no exemplars".to_owned(),
                Entry::Deleted { reference, t } => format!("deleted {reference} {t}"),
                Entry::Metadata { family, metadata } => format!("{family} {metadata:?}"),
                Entry::Exemplar { reference, exemplar } => exemplar_shown(reference, &exemplar),
            });
        }
        Ok(entries)
    }

    proptest! {
        #[test]
        fn a_record_says_what_was_written(points in proptest::collection::vec(point(), 0..20), key: Vec<u8>, help: String, t: i64) {
            let mut writer = RecordWriter::with_capacity(0);
            writer.series(7, &key);
            let metadata = Metadata { kind: "gauge".to_owned(), help, unit: String::new() };
            writer.metadata("m", &metadata);
            let exemplar = Exemplar { labels: Labels::new([("trace", "1"), ("span", "2")]), value: 0.5, t };
            writer.deleted(8, t);
            writer.forget_exemplars();
            writer.exemplar(7, &exemplar);
            for (reference, point) in &points {
                writer.sample(*reference, point);
            }
            let mut expected =
                vec![format!("7 {key:?}"), format!("m {metadata:?}"), format!("deleted 8 {t}"), "no exemplars".to_owned(), exemplar_shown(7, &exemplar)];
            expected.extend(points.iter().map(|(reference, point)| shown(*reference, point)));
            prop_assert_eq!(read(&writer.finish().unwrap()), Ok(expected));
        }

        #[test]
        fn damaged_bytes_are_read_or_refused(points in proptest::collection::vec(point(), 1..8), at: prop::sample::Index, flip in 1u8..) {
            let mut writer = RecordWriter::with_capacity(0);
            for (reference, point) in &points {
                writer.sample(*reference, point);
            }
            let mut record = writer.finish().unwrap();
            let at = at.index(record.len());
            let _ = read(&record[..at]);
            record[at] ^= flip;
            let _ = read(&record);
        }
    }
}
