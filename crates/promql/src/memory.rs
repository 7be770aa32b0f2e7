//! Series in memory: for tests, and for results that are queried again.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::SourceError;
use crate::histogram::{FloatHistogram, mark_counter_resets};
use crate::labels::Labels;
use crate::matcher::matches_all;
use crate::source::{Select, SeriesData, SeriesSet, Source};
use crate::value::{FloatPoint, HistogramPoint, Sample};

/// A store of series in memory. A select walks all of them.
#[derive(Debug, Clone, Default)]
pub struct MemorySource {
    series: BTreeMap<Labels, BTreeMap<i64, (Sample, i64)>>,
}

impl MemorySource {
    /// Adds a sample; one of the same time is replaced. `start` is when the counter behind it
    /// started, 0 if that is unknown.
    pub fn insert(&mut self, labels: &Labels, t: i64, start: i64, sample: Sample) {
        self.series.entry(labels.clone()).or_default().insert(t, (sample, start));
    }

    fn data(labels: &Labels, samples: &BTreeMap<i64, (Sample, i64)>, from: i64, to: i64) -> SeriesData {
        let mut data = SeriesData { labels: labels.clone(), ..SeriesData::default() };
        let mut run: Vec<Arc<FloatHistogram>> = Vec::new();
        let mut marked: Vec<Arc<FloatHistogram>> = Vec::new();
        let mut end_run = |run: &mut Vec<Arc<FloatHistogram>>| {
            mark_counter_resets(run);
            marked.append(run);
        };
        // A number between histograms ends the run in which resets can be seen.
        for (sample, _) in samples.values() {
            match sample {
                Sample::Histogram(h) => run.push(h.clone()),
                Sample::Float(_) => end_run(&mut run),
            }
        }
        end_run(&mut run);
        let mut marked = marked.into_iter();
        for (t, (sample, start)) in samples {
            let inside = (from..=to).contains(t);
            match sample {
                Sample::Float(v) if inside => {
                    data.floats.push(FloatPoint { t: *t, v: *v });
                    data.float_starts.push(*start);
                }
                Sample::Histogram(_) => {
                    let Some(h) = marked.next() else { continue };
                    if inside {
                        data.histograms.push(HistogramPoint { t: *t, h });
                        data.histogram_starts.push(*start);
                    }
                }
                Sample::Float(_) => {}
            }
        }
        data
    }
}

impl Source for MemorySource {
    fn select(&self, request: &Select<'_>) -> Result<SeriesSet<'_>, SourceError> {
        let (from, to) = (request.start, request.end);
        let chosen: Vec<_> =
            self.series.iter().filter(|(labels, _)| matches_all(request.matchers, labels)).collect();
        let read = move |(labels, samples)| move || Ok(Self::data(labels, samples, from, to));
        Ok(SeriesSet::reading(chosen.into_iter().map(read)))
    }
}
