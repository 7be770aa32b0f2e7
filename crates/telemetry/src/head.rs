//! The samples of one series in memory.
//!
//! What comes in the order of time goes into an open chunk and, when that is full, into closed ones. What
//! comes late is kept apart and merged when it is read. Of two samples of one time the one that came in
//! order counts, or of late ones that which came first.
//!
//! Invariants: closed chunks are in the order of time and do not overlap; the open chunk is behind them.
//! Late samples are all before the newest one in order.

use std::sync::Arc;

use luma_codec::Error;
use luma_promql::{FloatPoint, HistogramPoint};
use luma_promql::{Labels, Sample, SeriesData, is_stale, mark_counter_resets};

use crate::batch::Point;
use crate::chunk::{Chunk, Open};

/// How many late samples are kept unpacked.
const LATE_OPEN_MAX: usize = 32;

/// Samples that came late: the newest of them by time, the others packed.
#[derive(Debug, Clone, Default)]
struct Late {
    open: Arc<Vec<Point>>,
    closed: Vec<Arc<Chunk>>,
}

/// The samples of one series.
#[derive(Debug, Default)]
pub(crate) struct Head {
    open: Open,
    closed: Vec<Arc<Chunk>>,
    late: Option<Box<Late>>,
}

impl Head {
    /// Adds a sample that is newer than all in order.
    pub fn push(&mut self, point: Point) {
        self.closed.extend(self.open.push(point));
    }

    /// Adds a sample that is not newer.
    pub fn push_late(&mut self, point: Point) {
        let late = self.late.get_or_insert_default();
        let open = Arc::make_mut(&mut late.open);
        let Err(at) = open.binary_search_by_key(&point.t, |other| other.t) else { return };
        open.insert(at, point);
        if open.len() >= LATE_OPEN_MAX {
            late.closed.extend(Chunk::of_points(open));
            *open = Vec::new();
        }
    }

    /// Whether it may have samples from `from` to `to`.
    pub fn overlaps(&self, from: i64, to: i64) -> bool {
        let any = |chunks: &[Arc<Chunk>]| chunks.iter().any(|chunk| chunk.overlaps(from, to));
        let late =
            |late: &Late| any(&late.closed) || late.open.iter().any(|point| (from..=to).contains(&point.t));
        self.open.overlaps(from, to) || any(&self.closed) || self.late.as_deref().is_some_and(late)
    }

    /// Takes out the samples from `from` to `to`.
    pub fn delete(&mut self, from: i64, to: i64) -> Result<(), Error> {
        let stays = |point: &Point| !(from..=to).contains(&point.t);
        self.closed = without(&self.closed, from, to)?;
        if self.open.overlaps(from, to) {
            let mut points = Vec::new();
            self.open.for_each(|point| points.push(point))?;
            self.open = Open::Empty;
            for point in points.into_iter().filter(stays) {
                self.closed.extend(self.open.push(point));
            }
        }
        if let Some(late) = self.late.as_deref_mut() {
            late.closed = without(&late.closed, from, to)?;
            Arc::make_mut(&mut late.open).retain(stays);
        }
        Ok(())
    }

    /// How many chunks there are.
    pub fn chunks(&self) -> usize {
        let late =
            self.late.as_ref().map_or(0, |late| late.closed.len() + usize::from(!late.open.is_empty()));
        self.closed.len() + usize::from(!matches!(self.open, Open::Empty)) + late
    }

    /// What there is now of samples from `from` to `to`, in whole chunks; `None` if there is nothing.
    pub fn snapshot(&self, from: i64, to: i64) -> Option<HeadSnapshot> {
        let chosen = |chunks: &[Arc<Chunk>]| -> Vec<Arc<Chunk>> {
            chunks.iter().filter(|chunk| chunk.overlaps(from, to)).map(Arc::clone).collect()
        };
        let late = self
            .late
            .as_ref()
            .map(|late| Late { open: Arc::clone(&late.open), closed: chosen(&late.closed) });
        let open = if self.open.overlaps(from, to) { self.open.clone() } else { Open::Empty };
        let snapshot = HeadSnapshot { closed: chosen(&self.closed), open, late };
        let nothing = snapshot.closed.is_empty()
            && matches!(snapshot.open, Open::Empty)
            && snapshot.late.as_ref().is_none_or(|late| late.open.is_empty() && late.closed.is_empty());
        (!nothing).then_some(snapshot)
    }
}

/// Chunks without their samples from `from` to `to`.
fn without(chunks: &[Arc<Chunk>], from: i64, to: i64) -> Result<Vec<Arc<Chunk>>, Error> {
    let mut kept = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        if !chunk.overlaps(from, to) {
            kept.push(Arc::clone(chunk));
            continue;
        }
        let mut points = Vec::new();
        chunk.for_each(|point| points.push(point))?;
        points.retain(|point| !(from..=to).contains(&point.t));
        kept.extend(Chunk::of_points(&points));
    }
    Ok(kept)
}

/// The samples of a series at a moment.
#[derive(Debug)]
pub(crate) struct HeadSnapshot {
    closed: Vec<Arc<Chunk>>,
    open: Open,
    late: Option<Late>,
}

impl HeadSnapshot {
    /// The samples from `from` to `to`.
    pub fn read(&self, labels: Labels, from: i64, to: i64) -> Result<SeriesData, Error> {
        let mut reading = Reading::new(labels, from, to);
        let Some(late) = &self.late else {
            self.in_order(|point| reading.add(point))?;
            return Ok(reading.finish());
        };
        let mut points = Vec::new();
        self.in_order(|point| points.push(point))?;
        for chunk in &late.closed {
            chunk.for_each(|point| points.push(point))?;
        }
        points.extend(late.open.iter().cloned());
        // Stable, so that what came first stays first.
        points.sort_by_key(|point| point.t);
        points.dedup_by_key(|point| point.t);
        for point in points {
            reading.add(point);
        }
        Ok(reading.finish())
    }

    fn in_order(&self, mut f: impl FnMut(Point)) -> Result<(), Error> {
        for chunk in &self.closed {
            chunk.for_each(&mut f)?;
        }
        self.open.for_each(f)
    }
}

/// Builds what a query gets of a series.
struct Reading {
    data: SeriesData,
    from: i64,
    to: i64,
    /// Histograms since the last number or marker: resets are seen between these.
    run: Vec<Arc<luma_promql::FloatHistogram>>,
    run_times: Vec<(i64, i64)>,
}

impl Reading {
    fn new(labels: Labels, from: i64, to: i64) -> Self {
        let data = SeriesData { labels, ..SeriesData::default() };
        Self { data, from, to, run: Vec::new(), run_times: Vec::new() }
    }

    #[inline]
    fn add(&mut self, point: Point) {
        match point.sample {
            Sample::Float(v) => {
                if !self.run.is_empty() {
                    self.end_run();
                }
                if (self.from..=self.to).contains(&point.t) {
                    self.data.floats.push(FloatPoint { t: point.t, v });
                    note(&mut self.data.float_starts, self.data.floats.len(), point.start);
                }
            }
            Sample::Histogram(h) => {
                let ends = is_stale(h.sum);
                if ends {
                    self.end_run();
                }
                self.run.push(h);
                self.run_times.push((point.t, point.start));
                if ends {
                    self.end_run();
                }
            }
        }
    }

    fn end_run(&mut self) {
        mark_counter_resets(&mut self.run);
        for (h, (t, start)) in self.run.drain(..).zip(self.run_times.drain(..)) {
            if (self.from..=self.to).contains(&t) {
                self.data.histograms.push(HistogramPoint { t, h });
                note(&mut self.data.histogram_starts, self.data.histograms.len(), start);
            }
        }
    }

    fn finish(mut self) -> SeriesData {
        self.end_run();
        self.data
    }
}

/// Notes the start of the newest of `len` samples; nothing is kept until one is known.
fn note(starts: &mut Vec<i64>, len: usize, start: i64) {
    if start != 0 && starts.is_empty() {
        starts.resize(len - 1, 0);
    }
    if start != 0 || !starts.is_empty() {
        starts.push(start);
    }
}
