//! A part of the series: those whose labels' hash falls on it.
//!
//! Whoever adds samples holds `writer`, decides what is taken, and holds `state` for writing only while it
//! puts in what was decided. Readers never wait for a decision or for the log.
//!
//! Invariants: `writer` and `state` number series alike; a series is in both once its batch is done.

use std::collections::HashSet;
use std::sync::Arc;

use hashbrown::HashTable;
use luma_codec::varint;
use luma_promql::{FloatHistogram, Labels, STALE_MARKER, Sample, is_stale};
use parking_lot::{Mutex, RwLock};

use crate::batch::{Named, Point, labels_of_key};
use crate::error::Refusal;
use crate::head::Head;
use crate::index::SeriesIndex;

#[derive(Debug, Default)]
pub(crate) struct Shard {
    pub writer: Mutex<Writer>,
    pub state: RwLock<State>,
}

/// What readers see.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub index: SeriesIndex,
    /// By number: what the log calls the series, and its samples.
    pub series: Vec<(u32, Head)>,
}

impl State {
    /// Adds a series under the next number.
    pub fn add_series(&mut self, reference: u32, labels: Labels) {
        self.index.insert(labels);
        self.series.push((reference, Head::default()));
    }

    /// Puts a sample where it was decided to go.
    pub fn put(&mut self, id: u32, point: Point, late: bool) {
        let Some((_, head)) = self.series.get_mut(id as usize) else { return };
        if late { head.push_late(point) } else { head.push(point) }
    }
}

/// The value of a series' newest sample.
#[derive(Debug)]
enum Newest {
    None,
    /// It was deleted.
    Deleted,
    Float(u64),
    Histogram(Arc<FloatHistogram>),
}

#[derive(Debug)]
struct Placed {
    labels: Labels,
    reference: u32,
    t: i64,
    newest: Newest,
}

/// What is decided about a sample.
#[derive(Debug)]
pub(crate) enum Decision {
    /// It is the newest.
    InOrder(Point),
    /// It is older but taken.
    Late(Point),
    /// It is there.
    Duplicate,
    Refused(Refusal),
}

/// What deciding about samples needs.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    by_hash: HashTable<(u64, u32)>,
    placed: Vec<Placed>,
    texts: HashSet<Arc<str>>,
}

impl Writer {
    /// The number of a series.
    pub fn find(&self, named: Named<'_>) -> Option<u32> {
        let (hash, key) = match named {
            Named::Known(series) => return Some(series.id),
            Named::Key(hash, key) => (hash, key),
        };
        let same = |(other, id): &(u64, u32)| {
            *other == hash && self.placed.get(*id as usize).is_some_and(|placed| is_key(&placed.labels, key))
        };
        self.by_hash.find(hash, same).map(|(_, id)| *id)
    }

    /// Adds a series that is not there and gives its number and labels.
    pub fn add_series(&mut self, hash: u64, key: &[u8], reference: u32) -> (u32, Labels) {
        let pairs: Vec<_> =
            labels_of_key(key).map(|(name, value)| (self.text(name), self.text(value))).collect();
        let labels = Labels::of_shared(pairs);
        let id = self.placed.len() as u32;
        self.placed.push(Placed { labels: labels.clone(), reference, t: i64::MIN, newest: Newest::None });
        self.by_hash.insert_unique(hash, (hash, id), |(hash, _)| *hash);
        (id, labels)
    }

    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }

    /// What the log calls a series.
    pub fn reference(&self, id: u32) -> u32 {
        self.placed.get(id as usize).map_or(0, |placed| placed.reference)
    }

    /// Decides where a sample goes, as if all that were decided before were there.
    pub fn decide(&mut self, id: u32, point: &Point, window_ms: i64) -> Decision {
        let Some(placed) = self.placed.get_mut(id as usize) else { return Decision::Duplicate };
        let mut point = point.clone();
        // The marker of a series of histograms is one of them.
        if let (Sample::Float(v), Newest::Histogram(_)) = (&point.sample, &placed.newest)
            && is_stale(*v)
        {
            let marker = FloatHistogram { sum: STALE_MARKER, ..FloatHistogram::default() };
            point.sample = Sample::Histogram(Arc::new(marker));
        }
        let (t, newest) = (point.t, placed.t);
        if t > newest || matches!(placed.newest, Newest::None) {
            placed.take(&point);
            Decision::InOrder(point)
        } else if t == newest && !matches!(placed.newest, Newest::Deleted) {
            if placed.is_newest(&point.sample) {
                Decision::Duplicate
            } else {
                Decision::Refused(Refusal::Conflicting { t })
            }
        } else if t >= newest.saturating_sub(window_ms) {
            Decision::Late(point)
        } else if window_ms == 0 {
            Decision::Refused(Refusal::OutOfOrder { t, newest })
        } else {
            Decision::Refused(Refusal::TooOld { t, newest, window_ms })
        }
    }

    /// The newest sample of a series, if there is one.
    pub fn newest(&self, id: u32) -> Option<(u32, Point)> {
        let placed = self.placed.get(id as usize)?;
        let sample = match &placed.newest {
            Newest::None | Newest::Deleted => return None,
            Newest::Float(bits) => Sample::Float(f64::from_bits(*bits)),
            Newest::Histogram(h) => Sample::Histogram(Arc::clone(h)),
        };
        Some((placed.reference, Point { t: placed.t, start: 0, sample }))
    }

    /// Notes that samples were deleted: one of the newest one's time is no duplicate any more.
    pub fn deleted(&mut self, id: u32, from: i64, to: i64) {
        if let Some(placed) = self.placed.get_mut(id as usize)
            && (from..=to).contains(&placed.t)
            && !matches!(placed.newest, Newest::None)
        {
            placed.newest = Newest::Deleted;
        }
    }

    /// Notes a sample that was accepted once; whether it came late.
    pub fn accept(&mut self, id: u32, point: &Point) -> bool {
        let Some(placed) = self.placed.get_mut(id as usize) else { return false };
        let late = point.t <= placed.t && !matches!(placed.newest, Newest::None);
        if !late {
            placed.take(point);
        }
        late
    }
}

impl Placed {
    fn take(&mut self, point: &Point) {
        self.t = point.t;
        self.newest = match &point.sample {
            Sample::Float(v) => Newest::Float(v.to_bits()),
            Sample::Histogram(h) => Newest::Histogram(Arc::clone(h)),
        };
    }

    fn is_newest(&self, sample: &Sample) -> bool {
        match (sample, &self.newest) {
            (Sample::Float(v), Newest::Float(newest)) => v.to_bits() == *newest,
            (Sample::Histogram(h), Newest::Histogram(newest)) => h.same_data(newest),
            _ => false,
        }
    }
}

/// Whether a key is that of some labels.
fn is_key(labels: &Labels, mut key: &[u8]) -> bool {
    let mut takes = |text: &str| {
        let Ok((length, rest)) = varint::read(key) else { return false };
        match rest.split_at_checked(text.len()) {
            Some((found, rest)) if length == text.len() as u64 && found == text.as_bytes() => {
                key = rest;
                true
            }
            _ => false,
        }
    };
    labels.iter().all(|(name, value)| takes(name) && takes(value)) && key.is_empty()
}
