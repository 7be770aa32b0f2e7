//! What queries compute with and answer.

use std::sync::Arc;

use crate::annotation::Annotations;
use crate::histogram::FloatHistogram;
use crate::labels::Labels;

/// The value that marks the end of a series: a NaN with bits of its own.
pub const STALE_MARKER: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether a value marks the end of a series.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_MARKER.to_bits()
}

/// A number at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FloatPoint {
    /// Milliseconds since the epoch.
    pub t: i64,
    /// The value.
    pub v: f64,
}

/// A histogram at a time.
#[derive(Debug, Clone)]
pub struct HistogramPoint {
    /// Milliseconds since the epoch.
    pub t: i64,
    /// The value.
    pub h: Arc<FloatHistogram>,
}

/// A series of an answer: points in the order of time, numbers and histograms apart.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Its labels.
    pub labels: Labels,
    /// Its numbers.
    pub floats: Vec<FloatPoint>,
    /// Its histograms.
    pub histograms: Vec<HistogramPoint>,
    /// Whether the metric's name goes when the query is done. Until then it stays, so that
    /// regular expressions over names do not make series collide on the way.
    pub(crate) drop_name: bool,
}

impl Series {
    pub(crate) fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
    }

    /// What the points count against the limit of samples.
    pub(crate) fn samples(&self) -> usize {
        self.floats.len() + self.histograms.iter().map(|p| p.h.samples()).sum::<usize>()
    }

    pub(crate) fn push(&mut self, t: i64, sample: Sample) {
        match sample {
            Sample::Float(v) => self.floats.push(FloatPoint { t, v }),
            Sample::Histogram(h) => self.histograms.push(HistogramPoint { t, h }),
        }
    }
}

/// One value of either kind.
#[derive(Debug, Clone)]
pub enum Sample {
    /// A number.
    Float(f64),
    /// A histogram.
    Histogram(Arc<FloatHistogram>),
}

/// A series' value in an answer at one time.
#[derive(Debug, Clone)]
pub struct VectorSample {
    /// The series.
    pub labels: Labels,
    /// Its value.
    pub value: Sample,
}

/// The value of an answer.
#[derive(Debug, Clone)]
pub enum Value {
    /// A number at a time.
    Scalar(FloatPoint),
    /// A text at a time.
    String(i64, String),
    /// Series with one value each, all at one time.
    Vector(i64, Vec<VectorSample>),
    /// Series with points over time, sorted by labels.
    Matrix(Vec<Series>),
}

/// How much a query looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Samples that selectors gave, each as often as a step used it.
    pub read_samples: usize,
    /// The most samples that were in memory at once.
    pub peak_samples: usize,
}

/// What a query answers.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The result.
    pub value: Value,
    /// What is to be said about it.
    pub annotations: Annotations,
    /// How much it looked at.
    pub statistics: Statistics,
    /// Each step's time and how many samples selectors gave it, if that was asked for.
    pub step_samples: Vec<(i64, usize)>,
}
