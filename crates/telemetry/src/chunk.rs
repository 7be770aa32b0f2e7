//! A run of a series' samples that changes no more.
//!
//! Invariants: samples are in the order of time, of one kind, at most [`SAMPLES_MAX`]; all histograms of a
//! chunk have the same layout. When counters started is kept as runs of the same start, as it changes
//! rarely; nothing if no start is known.

mod histograms;
mod open;

use std::sync::Arc;

use luma_codec::{Block, Error, Limits, SampleColumns};
use luma_promql::Sample;

use crate::batch::Point;

use histograms::HistogramColumns;
pub(crate) use open::Open;

/// How many samples a chunk has.
pub(crate) const SAMPLES_MAX: usize = 120;

const LIMITS: Limits = Limits { values: SAMPLES_MAX, bytes: 1 << 20 };

/// From which sample on (by number) the counter had started when.
type Starts = Vec<(u32, i64)>;

#[derive(Debug)]
enum Content {
    Floats(Box<[u8]>),
    Histograms(Box<HistogramColumns>),
}

/// A run of samples, packed.
#[derive(Debug)]
pub(crate) struct Chunk {
    first: i64,
    last: i64,
    starts: Option<Box<Starts>>,
    content: Content,
}

impl Chunk {
    /// Whether it may have samples from `from` to `to`.
    pub fn overlaps(&self, from: i64, to: i64) -> bool {
        self.first <= to && self.last >= from
    }

    /// The time of its oldest sample.
    pub fn first(&self) -> i64 {
        self.first
    }

    /// The time of its newest sample.
    pub fn last(&self) -> i64 {
        self.last
    }

    /// Its columns, if it has numbers and nothing is known of when counters started.
    pub fn numbers(&self) -> Result<Option<SampleColumns>, Error> {
        match &self.content {
            Content::Floats(bytes) if self.starts.is_none() => {
                Block::open(bytes, LIMITS).and_then(|(block, _)| block.samples()).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Gives its samples in the order of time.
    pub fn for_each(&self, mut f: impl FnMut(Point)) -> Result<(), Error> {
        match &self.content {
            Content::Floats(bytes) => {
                let (block, _) = Block::open(bytes, LIMITS)?;
                floats(&block.samples()?, self.starts.as_deref(), f);
            }
            Content::Histograms(columns) => {
                for (at, (t, h)) in columns.unpacked()?.into_iter().enumerate() {
                    let start = start_at(self.starts.as_deref(), at);
                    f(Point { t, start, sample: Sample::Histogram(h) });
                }
            }
        }
        Ok(())
    }

    /// Packs samples, which are in the order of time, into as many chunks as their kinds and layouts need.
    pub fn of_points(points: &[Point]) -> Vec<Arc<Self>> {
        let mut chunks = Vec::new();
        let mut open = Open::Empty;
        for point in points {
            chunks.extend(open.push(point.clone()));
        }
        chunks.extend(open.pack());
        chunks
    }
}

fn floats(columns: &SampleColumns, starts: Option<&Starts>, mut f: impl FnMut(Point)) {
    for (at, (t, v)) in columns.timestamps.iter().zip(&columns.values).enumerate() {
        f(Point { t: *t, start: start_at(starts, at), sample: Sample::Float(*v) });
    }
}

fn start_at(starts: Option<&Starts>, at: usize) -> i64 {
    let Some(starts) = starts else { return 0 };
    let behind = starts.partition_point(|(from, _)| *from as usize <= at);
    behind.checked_sub(1).and_then(|run| starts.get(run)).map_or(0, |(_, start)| *start)
}

/// Notes when the counter of the sample with number `at` started.
fn note_start(starts: &mut Option<Box<Starts>>, at: usize, start: i64) {
    if start_at(starts.as_deref(), at) != start {
        starts.get_or_insert_default().push((at as u32, start));
    }
}
