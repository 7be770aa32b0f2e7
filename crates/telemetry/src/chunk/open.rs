//! The chunk that a series' newest samples go into.
//!
//! A reader takes a reference; while one is held the next sample goes into a copy, so what a reader has
//! does not change and nobody waits.

use std::sync::Arc;

use luma_codec::{Error, OpenSamples, SampleColumns, encode_decimals};
use luma_promql::{HistogramPoint, Sample};

use super::histograms::{HistogramColumns, same_layout};
use super::{Chunk, Content, SAMPLES_MAX, Starts, floats, note_start, start_at};
use crate::batch::Point;

#[derive(Debug, Clone)]
pub(crate) struct OpenFloats {
    first: i64,
    samples: OpenSamples,
    starts: Option<Box<Starts>>,
}

#[derive(Debug, Clone)]
pub(crate) struct OpenHistograms {
    points: Vec<HistogramPoint>,
    starts: Option<Box<Starts>>,
}

/// A chunk that grows. A clone costs a reference.
#[derive(Debug, Clone, Default)]
pub(crate) enum Open {
    #[default]
    Empty,
    Floats(Arc<OpenFloats>),
    Histograms(Arc<OpenHistograms>),
}

/// A block of samples: of the two forms the one that is read faster, unless it is much larger.
fn packed(samples: &OpenSamples) -> Box<[u8]> {
    let (mut bytes, mut decimals) = (Vec::new(), Vec::new());
    samples.write_to(&mut bytes);
    let decimal = samples.columns().is_ok_and(|columns| encode_decimals(&columns, &mut decimals));
    if decimal && decimals.len() <= bytes.len() + bytes.len() / 4 { decimals } else { bytes }
        .into_boxed_slice()
}

impl Open {
    /// Adds a sample that is newer than all others. What was there before comes back packed if it is full
    /// or of another kind or layout.
    pub fn push(&mut self, point: Point) -> Option<Arc<Chunk>> {
        match (&mut *self, &point.sample) {
            (Self::Floats(open), Sample::Float(v)) if open.samples.len() < SAMPLES_MAX => {
                let open = Arc::make_mut(open);
                note_start(&mut open.starts, open.samples.len(), point.start);
                open.samples.push(point.t, *v);
                None
            }
            (Self::Histograms(open), Sample::Histogram(h))
                if open.points.len() < SAMPLES_MAX
                    && open.points.last().is_some_and(|last| same_layout(&last.h, h)) =>
            {
                let open = Arc::make_mut(open);
                note_start(&mut open.starts, open.points.len(), point.start);
                open.points.push(HistogramPoint { t: point.t, h: Arc::clone(h) });
                None
            }
            _ => {
                let full = self.pack();
                let mut starts = None;
                note_start(&mut starts, 0, point.start);
                *self = match point.sample {
                    Sample::Float(v) => {
                        let mut samples = OpenSamples::default();
                        samples.push(point.t, v);
                        Self::Floats(Arc::new(OpenFloats { first: point.t, samples, starts }))
                    }
                    Sample::Histogram(h) => {
                        let points = vec![HistogramPoint { t: point.t, h }];
                        Self::Histograms(Arc::new(OpenHistograms { points, starts }))
                    }
                };
                full
            }
        }
    }

    /// The same samples in a chunk that changes no more.
    pub fn pack(&self) -> Option<Arc<Chunk>> {
        match self {
            Self::Empty => None,
            Self::Floats(open) => {
                let (last, _) = open.samples.last()?;
                let content = Content::Floats(packed(&open.samples));
                Some(Arc::new(Chunk { first: open.first, last, starts: open.starts.clone(), content }))
            }
            Self::Histograms(open) => {
                let (first, last) = (open.points.first()?.t, open.points.last()?.t);
                let content = Content::Histograms(Box::new(HistogramColumns::packed(&open.points)?));
                Some(Arc::new(Chunk { first, last, starts: open.starts.clone(), content }))
            }
        }
    }

    /// The time of its oldest sample.
    pub fn first(&self) -> Option<i64> {
        match self {
            Self::Empty => None,
            Self::Floats(open) => Some(open.first),
            Self::Histograms(open) => open.points.first().map(|point| point.t),
        }
    }

    /// The time of its newest sample.
    pub fn last(&self) -> Option<i64> {
        match self {
            Self::Empty => None,
            Self::Floats(open) => open.samples.last().map(|(last, _)| last),
            Self::Histograms(open) => open.points.last().map(|point| point.t),
        }
    }

    /// Whether it may have samples from `from` to `to`.
    pub fn overlaps(&self, from: i64, to: i64) -> bool {
        match self {
            Self::Empty => false,
            Self::Floats(open) => open.first <= to && self.last().is_some_and(|last| last >= from),
            Self::Histograms(open) => {
                open.points.first().is_some_and(|first| first.t <= to)
                    && self.last().is_some_and(|last| last >= from)
            }
        }
    }

    /// Its columns, if it has numbers and nothing is known of when counters started.
    pub fn numbers(&self) -> Result<Option<SampleColumns>, Error> {
        match self {
            Self::Floats(open) if open.starts.is_none() => open.samples.columns().map(Some),
            _ => Ok(None),
        }
    }

    /// Gives its samples in the order of time.
    pub fn for_each(&self, mut f: impl FnMut(Point)) -> Result<(), Error> {
        match self {
            Self::Empty => {}
            Self::Floats(open) => floats(&open.samples.columns()?, open.starts.as_deref(), f),
            Self::Histograms(open) => {
                for (at, HistogramPoint { t, h }) in open.points.iter().enumerate() {
                    let start = start_at(open.starts.as_deref(), at);
                    f(Point { t: *t, start, sample: Sample::Histogram(Arc::clone(h)) });
                }
            }
        }
        Ok(())
    }
}
