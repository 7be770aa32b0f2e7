//! A part of the series: those whose labels' hash falls on it.
//!
//! Whoever adds samples holds `writer`, decides what is taken, and holds `state` for writing only while it
//! puts in what was decided. Readers never wait for a decision or for the log.
//!
//! Invariants: `writer` and `state` number series alike; a series is in both once its batch is done. The number of a series
//! that went is given again.

use std::collections::HashSet;
use std::sync::Arc;

use hashbrown::HashTable;
use luma_codec::varint;
use luma_promql::{FloatHistogram, Labels, Matcher, STALE_MARKER, Sample, is_stale};
use luma_strata::Snapshot;
use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;

use crate::batch::{Named, Point, labels_of_key};
use crate::dormant::Sleeper;
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
    /// By number.
    series: Vec<Option<Series>>,
}

/// What readers see of a series.
#[derive(Debug)]
pub(crate) struct Series {
    /// What the log calls it.
    pub reference: u32,
    /// All its samples are between these times; it may have none any more at either.
    pub times: (i64, i64),
    /// Its samples in memory.
    pub head: Head,
}

impl State {
    /// Adds a series under a number that no other has.
    pub fn add_series(&mut self, id: u32, reference: u32, labels: Labels) {
        self.index.insert(id, labels);
        let at = id as usize;
        if self.series.len() <= at {
            self.series.resize_with(at + 1, || None);
        }
        if let Some(place) = self.series.get_mut(at) {
            *place = Some(Series { reference, times: (i64::MAX, i64::MIN), head: Head::default() });
        }
    }

    /// Removes a series.
    pub fn remove(&mut self, id: u32) {
        self.index.remove(id);
        if let Some(place) = self.series.get_mut(id as usize) {
            *place = None;
        }
    }

    /// A series by its number.
    pub fn get(&self, id: u32) -> Option<&Series> {
        self.series.get(id as usize)?.as_ref()
    }

    /// A series by its number.
    pub fn get_mut(&mut self, id: u32) -> Option<&mut Series> {
        self.series.get_mut(id as usize)?.as_mut()
    }

    /// All series with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Series)> {
        self.series.iter().zip(0..).filter_map(|(series, id)| Some((id, series.as_ref()?)))
    }

    /// All series with their numbers.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Series)> {
        self.series.iter_mut().zip(0..).filter_map(|(series, id)| Some((id, series.as_mut()?)))
    }

    /// Puts a sample where it was decided to go.
    pub fn put(&mut self, id: u32, point: Point, late: bool) {
        let Some(series) = self.get_mut(id) else { return };
        series.extend((point.t, point.t));
        if late { series.head.push_late(point) } else { series.head.push(point) }
    }

    /// The series that fulfil all matchers and may have samples from `from` to `to`, with their numbers and labels.
    pub fn chosen<'a>(
        &'a self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = (u32, &'a Series, &'a Labels)> {
        let chosen = self.index.select(matchers).into_iter();
        chosen.filter_map(move |id| {
            let series = self.get(id).filter(|series| series.overlaps(from, to))?;
            Some((id, series, self.index.labels(id)?))
        })
    }

    /// The numbers of these.
    pub fn select(&self, matchers: &[Matcher], from: i64, to: i64) -> RoaringBitmap {
        self.chosen(matchers, from, to).map(|(id, ..)| id).collect()
    }
}

impl Series {
    /// Notes that it has samples between two times.
    pub fn extend(&mut self, (first, last): (i64, i64)) {
        self.times = (self.times.0.min(first), self.times.1.max(last));
    }

    /// Whether memory or files may have samples from `from` to `to`.
    pub fn has(&self, files: &Snapshot, from: i64, to: i64) -> bool {
        self.head.overlaps(from, to) || files.span(self.reference, from, to).is_some()
    }

    /// Whether it may have samples from `from` to `to`, as far as times alone tell.
    pub fn overlaps(&self, from: i64, to: i64) -> bool {
        self.times.0 <= to && self.times.1 >= from
    }
}

/// The time of the newest sample there ever was of a series, and the sample unless it was deleted.
pub(crate) type Last = (i64, Option<Point>);

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
    hash: u64,
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
    placed: Vec<Option<Placed>>,
    /// Numbers of series that went.
    free: Vec<u32>,
    texts: HashSet<Arc<str>>,
}

impl Writer {
    /// The number of a series.
    pub fn find(&self, named: Named<'_>) -> Option<u32> {
        let (hash, key) = match named {
            Named::Known(place) => return Some(place.id),
            Named::Key(hash, key) => (hash, key),
        };
        let same = |(other, id): &(u64, u32)| {
            *other == hash && self.get(*id).is_some_and(|placed| is_key(&placed.labels, key))
        };
        self.by_hash.find(hash, same).map(|(_, id)| *id)
    }

    /// Adds a series that is not there and gives its number and labels.
    pub fn add_series(&mut self, hash: u64, key: &[u8], reference: u32) -> (u32, Labels) {
        let pairs: Vec<_> =
            labels_of_key(key).map(|(name, value)| (self.text(name), self.text(value))).collect();
        let labels = Labels::of_shared(pairs);
        let placed = Placed { labels: labels.clone(), reference, hash, t: i64::MIN, newest: Newest::None };
        let id = self.free.pop().unwrap_or(self.placed.len() as u32);
        match self.placed.get_mut(id as usize) {
            Some(place) => *place = Some(placed),
            None => self.placed.push(Some(placed)),
        }
        self.by_hash.insert_unique(hash, (hash, id), |(hash, _)| *hash);
        (id, labels)
    }

    /// Adds a series that slept and gives its number and labels.
    pub fn wake(&mut self, hash: u64, key: &[u8], sleeper: &Sleeper) -> (u32, Labels) {
        let (id, labels) = self.add_series(hash, key, sleeper.reference);
        self.set_last(id, &(sleeper.times.1, sleeper.newest.clone()));
        (id, labels)
    }

    /// What is known of the newest sample of a series.
    pub fn last(&self, id: u32) -> Option<Last> {
        let placed = self.get(id)?;
        let sample = match &placed.newest {
            Newest::None => return None,
            Newest::Deleted => None,
            Newest::Float(bits) => Some(Sample::Float(f64::from_bits(*bits))),
            Newest::Histogram(h) => Some(Sample::Histogram(Arc::clone(h))),
        };
        Some((placed.t, sample.map(|sample| Point { t: placed.t, start: 0, sample })))
    }

    /// Notes what was the newest sample of a series when it was last known.
    pub fn set_last(&mut self, id: u32, (t, sample): &Last) {
        if let Some(placed) = self.get_mut(id) {
            match sample {
                Some(newest) => placed.take(newest),
                None => (placed.t, placed.newest) = (*t, Newest::Deleted),
            }
        }
    }

    /// Removes series.
    pub fn remove(&mut self, series: &RoaringBitmap) {
        for id in series {
            let Some(placed) = self.placed.get_mut(id as usize).and_then(Option::take) else { continue };
            if let Ok(entry) = self.by_hash.find_entry(placed.hash, |(_, other)| *other == id) {
                entry.remove();
            }
            self.free.push(id);
        }
    }

    /// Gives the memory of texts back that no series has any more.
    pub fn forget_texts(&mut self) {
        self.texts.retain(|text| Arc::strong_count(text) > 1);
        self.texts.shrink_to_fit();
        self.by_hash.shrink_to_fit(|(hash, _)| *hash);
    }

    fn get(&self, id: u32) -> Option<&Placed> {
        self.placed.get(id as usize)?.as_ref()
    }

    fn get_mut(&mut self, id: u32) -> Option<&mut Placed> {
        self.placed.get_mut(id as usize)?.as_mut()
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
        self.get(id).map_or(0, |placed| placed.reference)
    }

    /// Decides where a sample goes, as if all that were decided before were there.
    pub fn decide(&mut self, id: u32, point: &Point, window_ms: i64) -> Decision {
        let Some(placed) = self.get_mut(id) else { return Decision::Duplicate };
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

    /// Notes that samples were deleted: one of the newest one's time is no duplicate any more.
    pub fn deleted(&mut self, id: u32, from: i64, to: i64) {
        if let Some(placed) = self.get_mut(id)
            && (from..=to).contains(&placed.t)
            && !matches!(placed.newest, Newest::None)
        {
            placed.newest = Newest::Deleted;
        }
    }

    /// Notes a sample that was accepted once; whether it came late.
    pub fn accept(&mut self, id: u32, point: &Point) -> bool {
        let Some(placed) = self.get_mut(id) else { return false };
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
