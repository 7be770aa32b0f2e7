//! The samples of one series in memory.
//!
//! What comes in the order of time goes into an open chunk and, when that is full, into closed ones. What
//! comes late is kept apart and merged when it is read. Of two samples of one time the one that came in
//! order counts, or of late ones that which came first.
//!
//! Invariants: closed chunks are in the order of time and do not overlap; the open chunk is behind them.
//! Late samples are all before the newest one in order.

use std::ops::Range;
use std::sync::Arc;

use luma_codec::Error;
use luma_promql::{FloatPoint, HistogramPoint};
use luma_promql::{Labels, Sample, SeriesData, is_stale, mark_counter_resets};
use luma_strata::Run;

use crate::batch::Point;
use crate::chunk::{Chunk, Open};

/// How many late samples are kept unpacked.
const LATE_OPEN_MAX: usize = 32;

/// Samples that came late: the newest of them by time, the others packed.
#[derive(Debug, Clone, Default)]
struct Late {
    open: Arc<Vec<Point>>,
    closed: Vec<Arc<Chunk>>,
    /// How many of the closed ones are in files.
    in_files: usize,
}

/// The samples of one series.
#[derive(Debug, Default)]
pub(crate) struct Head {
    open: Open,
    closed: Vec<Arc<Chunk>>,
    late: Option<Box<Late>>,
    /// Samples in order up to this time are in files.
    in_files_to: Option<i64>,
}

/// How far a flush goes: up to this time of samples in order, and so many chunks of late ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlushMark {
    to: Option<i64>,
    late: usize,
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

    /// Marks all samples that are not in files yet; `None` if there is none.
    pub fn mark(&mut self) -> Option<FlushMark> {
        if let Some(late) = &mut self.late
            && !late.open.is_empty()
        {
            late.closed.extend(Chunk::of_points(&late.open));
            late.open = Arc::default();
        }
        let to = self.open.last().or_else(|| self.closed.last().map(|chunk| chunk.last()));
        let late = self.late.as_ref().map_or((0, 0), |late| (late.closed.len(), late.in_files));
        (to > self.in_files_to || late.0 > late.1)
            .then_some(FlushMark { to: to.max(self.in_files_to), late: late.0 })
    }

    /// The samples that a mark has and files have not.
    pub fn unflushed(&self, mark: FlushMark) -> UnflushedSamples {
        let late =
            self.late.as_ref().and_then(|late| late.closed.get(late.in_files..mark.late)).unwrap_or_default();
        let new = |last: Option<i64>| last > self.in_files_to;
        UnflushedSamples {
            closed: self.closed.iter().filter(|chunk| new(Some(chunk.last()))).map(Arc::clone).collect(),
            open: if new(self.open.last()) { self.open.clone() } else { Open::Empty },
            after: self.in_files_to,
            to: mark.to,
            late: late.to_vec(),
        }
    }

    /// Notes that what a mark has is in files, and gives the memory of what is older than `hot_from` back.
    pub fn flushed(&mut self, mark: FlushMark, hot_from: i64) {
        self.in_files_to = self.in_files_to.max(mark.to);
        let in_files_to = self.in_files_to;
        let goes = |last: i64| last < hot_from && Some(last) <= in_files_to;
        let gone = self.closed.partition_point(|chunk| goes(chunk.last()));
        self.closed.drain(..gone);
        if self.open.last().is_some_and(goes) {
            self.open = Open::Empty;
        }
        if self.closed.is_empty() {
            self.closed = Vec::new();
        }
        let Some(late) = &mut self.late else { return };
        let mut at = 0;
        late.closed.retain(|chunk| {
            at += 1;
            at > mark.late || chunk.last() >= hot_from
        });
        late.in_files = late.closed.len() - (at - mark.late.min(at));
        if late.closed.is_empty() && late.open.is_empty() {
            self.late = None;
        }
    }

    /// Gives the memory of what is in files and older than `hot_from` back.
    pub fn give_back(&mut self, hot_from: i64) {
        let late = self.late.as_ref().map_or(0, |late| late.in_files);
        self.flushed(FlushMark { to: None, late }, hot_from);
    }

    /// Forgets the samples from `from` to `to`.
    pub fn delete(&mut self, from: i64, to: i64) -> Result<(), Error> {
        let stays = |point: &Point| !(from..=to).contains(&point.t);
        let mut closed = Vec::with_capacity(self.closed.len());
        for chunk in &self.closed {
            closed.extend(without(chunk, from, to)?);
        }
        self.closed = closed;
        if self.open.overlaps(from, to) {
            let mut points = Vec::new();
            self.open.for_each(|point| points.push(point))?;
            self.open = Open::Empty;
            for point in points.into_iter().filter(stays) {
                self.closed.extend(self.open.push(point));
            }
        }
        let Some(late) = self.late.as_deref_mut() else { return Ok(()) };
        let (mut closed, mut in_files) = (Vec::with_capacity(late.closed.len()), 0);
        for (at, chunk) in late.closed.iter().enumerate() {
            closed.extend(without(chunk, from, to)?);
            if at < late.in_files {
                in_files = closed.len();
            }
        }
        (late.closed, late.in_files) = (closed, in_files);
        Arc::make_mut(&mut late.open).retain(stays);
        Ok(())
    }

    /// Whether it may have samples from `from` to `to`.
    pub fn overlaps(&self, from: i64, to: i64) -> bool {
        let any = |chunks: &[Arc<Chunk>]| chunks.iter().any(|chunk| chunk.overlaps(from, to));
        let late =
            |late: &Late| any(&late.closed) || late.open.iter().any(|point| (from..=to).contains(&point.t));
        self.open.overlaps(from, to) || any(&self.closed) || self.late.as_deref().is_some_and(late)
    }

    /// Whether it has no sample.
    pub fn is_empty(&self) -> bool {
        self.chunks() == 0
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
        let late = self.late.as_ref().map(|late| Late {
            open: Arc::clone(&late.open),
            closed: chosen(&late.closed),
            in_files: 0,
        });
        let open = if self.open.overlaps(from, to) { self.open.clone() } else { Open::Empty };
        let snapshot = HeadSnapshot { closed: chosen(&self.closed), open, late };
        let nothing = snapshot.closed.is_empty()
            && matches!(snapshot.open, Open::Empty)
            && snapshot.late.as_ref().is_none_or(|late| late.open.is_empty() && late.closed.is_empty());
        (!nothing).then_some(snapshot)
    }
}

/// A chunk without its samples from `from` to `to`.
fn without(chunk: &Arc<Chunk>, from: i64, to: i64) -> Result<Vec<Arc<Chunk>>, Error> {
    if !chunk.overlaps(from, to) {
        return Ok(vec![Arc::clone(chunk)]);
    }
    let mut points = Vec::new();
    chunk.for_each(|point| points.push(point))?;
    points.retain(|point| !(from..=to).contains(&point.t));
    Ok(Chunk::of_points(&points))
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
        if self.late.is_none() {
            let mut reading = Reading::new(labels, from, to);
            reading.add_in_order(self)?;
            return Ok(reading.finish());
        }
        let mut points = Vec::new();
        self.add_to(&mut points)?;
        Ok(read_points(labels, from, to, points))
    }

    /// The numbers of a file from `from` to `to`, and what there is in memory, which mostly is behind them. Where both have a
    /// time, the file counts.
    pub fn read_with(
        hot: Option<&Self>,
        run: &Run,
        labels: Labels,
        from: i64,
        to: i64,
    ) -> Result<SeriesData, Error> {
        let mut reading = Reading::new(labels, from, to);
        let behind = hot
            .and_then(Self::first)
            .map_or(run.times.len(), |first| run.times.partition_point(|t| *t < first));
        let numbers = |rows: Range<usize>| {
            let starts = run.starts.get(rows.clone()).unwrap_or_default();
            (&run.times[rows.clone()], &run.values[rows], starts)
        };
        let (times, values, starts) = numbers(0..behind);
        reading.add_numbers(times, values, starts);
        match hot {
            Some(hot) if behind == run.times.len() && hot.late.is_none() => reading.add_in_order(hot)?,
            Some(hot) => {
                let (times, values, starts) = numbers(behind..run.times.len());
                let both = times.iter().zip(values).enumerate().map(|(at, (t, v))| Point {
                    t: *t,
                    start: starts.get(at).copied().unwrap_or(0),
                    sample: Sample::Float(*v),
                });
                let mut points = both.collect();
                hot.add_to(&mut points)?;
                for point in in_order(points) {
                    reading.add(point);
                }
            }
            None => {}
        }
        Ok(reading.finish())
    }

    /// No sample is older than this.
    fn first(&self) -> Option<i64> {
        let late = self.late.iter().flat_map(|late| {
            late.open.iter().map(|point| point.t).chain(late.closed.iter().map(|chunk| chunk.first()))
        });
        self.closed.first().map(|chunk| chunk.first()).into_iter().chain(self.open.first()).chain(late).min()
    }

    /// Adds its samples behind others, those that count before those that do not.
    pub fn add_to(&self, points: &mut Vec<Point>) -> Result<(), Error> {
        self.in_order(|point| points.push(point))?;
        let Some(late) = &self.late else { return Ok(()) };
        for chunk in &late.closed {
            chunk.for_each(|point| points.push(point))?;
        }
        points.extend(late.open.iter().cloned());
        Ok(())
    }

    fn in_order(&self, mut f: impl FnMut(Point)) -> Result<(), Error> {
        for chunk in &self.closed {
            chunk.for_each(&mut f)?;
        }
        self.open.for_each(f)
    }
}

/// What a query gets of samples in any order; of those of one time the first counts.
pub(crate) fn read_points(labels: Labels, from: i64, to: i64, points: Vec<Point>) -> SeriesData {
    let mut reading = Reading::new(labels, from, to);
    for point in in_order(points) {
        reading.add(point);
    }
    reading.finish()
}

/// Samples in the order of time; of those of one time the first counts.
fn in_order(mut points: Vec<Point>) -> Vec<Point> {
    if !points.is_sorted_by(|a, b| a.t < b.t) {
        // Stable, so that what came first stays first.
        points.sort_by_key(|point| point.t);
        points.dedup_by_key(|point| point.t);
    }
    points
}

/// Samples that go to files.
pub(crate) struct UnflushedSamples {
    closed: Vec<Arc<Chunk>>,
    open: Open,
    /// Of samples in order those after one time and up to another.
    after: Option<i64>,
    to: Option<i64>,
    late: Vec<Arc<Chunk>>,
}

impl UnflushedSamples {
    /// No sample from `from` on is before this; `None` if none is. Nothing is decoded for it.
    pub fn first_from(&self, from: i64) -> Option<i64> {
        let chunks = self.closed.iter().chain(&self.late).map(|chunk| (chunk.first(), chunk.last()));
        let open = self.open.first().zip(self.open.last());
        let behind = chunks.chain(open).filter(|(_, last)| *last >= from);
        behind.map(|(first, _)| first.max(from)).min()
    }

    /// The samples in the order of time.
    pub fn points(&self) -> Result<Vec<Point>, Error> {
        let mut points = Vec::new();
        let mut add = |point: Point| {
            if Some(point.t) > self.after && Some(point.t) <= self.to {
                points.push(point);
            }
        };
        for chunk in &self.closed {
            chunk.for_each(&mut add)?;
        }
        self.open.for_each(&mut add)?;
        for chunk in &self.late {
            chunk.for_each(|point| points.push(point))?;
        }
        Ok(in_order(points))
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

    /// Adds numbers in the order of time; no starts if none is known.
    fn add_numbers(&mut self, times: &[i64], values: &[f64], starts: &[i64]) {
        if !self.run.is_empty() {
            self.end_run();
        }
        let begin = times.partition_point(|t| *t < self.from);
        let end = times.partition_point(|t| *t <= self.to).max(begin);
        let (floats, float_starts) = (&mut self.data.floats, &mut self.data.float_starts);
        let before = floats.len();
        floats.extend(
            times[begin..end].iter().zip(&values[begin..end]).map(|(t, v)| FloatPoint { t: *t, v: *v }),
        );
        let starts = starts.get(begin..end).unwrap_or_default();
        if !float_starts.is_empty() || starts.iter().any(|start| *start != 0) {
            float_starts.resize(before, 0);
            float_starts.extend_from_slice(starts);
            float_starts.resize(floats.len(), 0);
        }
    }

    /// Adds what there is in the order of time; what came late is not among it.
    fn add_in_order(&mut self, head: &HeadSnapshot) -> Result<(), Error> {
        for chunk in &head.closed {
            match chunk.numbers()? {
                Some(columns) => self.add_numbers(&columns.timestamps, &columns.values, &[]),
                None => chunk.for_each(|point| self.add(point))?,
            }
        }
        match head.open.numbers()? {
            Some(columns) => self.add_numbers(&columns.timestamps, &columns.values, &[]),
            None => head.open.for_each(|point| self.add(point))?,
        }
        Ok(())
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
