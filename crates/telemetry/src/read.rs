//! Reading: what queries select, and which labels there are.
//!
//! A select holds all shards for reading while it notes which chunks it needs; they are decoded one series
//! at a time afterwards. So it sees whole batches, and what it holds is a reference per chunk. If it asks for what
//! memory may not have, files are read along, as far as memory is not complete.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use luma_promql::{Labels, Matcher, Select, SeriesData, SeriesSet, Source, SourceError};
use luma_strata::{Merged, Run, Scan};
use parking_lot::RwLockReadGuard;

use crate::error::{Error, Result};
use crate::head::{HeadSnapshot, read_points};
use crate::shard::State;
use crate::store::Metrics;
use crate::tier::points_of;

impl Metrics {
    /// The names of labels, of all series or of those that fulfil some matchers, in order.
    pub fn label_names(&self, matchers: &[Matcher]) -> BTreeSet<Arc<str>> {
        let states = self.states();
        states.iter().flat_map(|state| state.index.label_names(matchers)).collect()
    }

    /// The values of a label, of all series or of those that fulfil some matchers, in order.
    pub fn label_values(&self, name: &str, matchers: &[Matcher]) -> BTreeSet<Arc<str>> {
        let states = self.states();
        states.iter().flat_map(|state| state.index.label_values(name, matchers)).collect()
    }

    /// The labels of the series that fulfil all matchers, in the order in which the series came.
    pub fn series(&self, matchers: &[Matcher]) -> Vec<Labels> {
        let mut found = Vec::new();
        for state in self.states() {
            for id in state.index.select(matchers) {
                if let (Some(labels), Some((reference, _))) =
                    (state.index.labels(id), state.series.get(id as usize))
                {
                    found.push((*reference, labels.clone()));
                }
            }
        }
        found.sort_unstable_by_key(|(reference, _)| *reference);
        found.into_iter().map(|(_, labels)| labels).collect()
    }

    fn states(&self) -> Vec<RwLockReadGuard<'_, State>> {
        self.shards.iter().map(|shard| shard.state.read()).collect()
    }
}

/// A series that a query wants, and what memory has of it.
struct Chosen {
    reference: u32,
    labels: Labels,
    hot: Option<HeadSnapshot>,
}

impl Source for Metrics {
    /// Series come in the order in which they came to the store, which is that of the files as well.
    fn select(&self, request: &Select<'_>) -> Result<SeriesSet<'_>, SourceError> {
        let (from, to) = (request.start, request.end);
        let mut chosen = Vec::new();
        let states = self.states();
        for state in &states {
            for id in state.index.select(request.matchers) {
                if let (Some(labels), Some((reference, head))) =
                    (state.index.labels(id), state.series.get(id as usize))
                {
                    let hot = head.snapshot(from, to);
                    chosen.push(Chosen { reference: *reference, labels: labels.clone(), hot });
                }
            }
        }
        drop(states);
        // Read after memory was: what left memory before is in files by now.
        let hot_from = self.hot_from.load(Ordering::Acquire);
        let warm = if from >= hot_from && from < i64::MAX {
            chosen.retain(|series| series.hot.is_some());
            None
        } else {
            let series = chosen.iter().map(|series| series.reference).collect();
            let to = if hot_from == i64::MAX { to } else { to.min(hot_from - 1) };
            let scan = Scan { series: Some(Arc::new(series)), from, to, previous: true };
            let merged = self.tier.table.snapshot().scan(&scan).map_err(Error::from)?;
            Some(merged.peekable())
        };
        chosen.sort_unstable_by_key(|series| series.reference);
        let mut reading = Reading { warm, from, to };
        Ok(Box::new(
            chosen
                .into_iter()
                .filter_map(move |series| reading.next(series).map_err(SourceError::from).transpose()),
        ))
    }
}

struct Reading {
    warm: Option<Peekable<Merged>>,
    from: i64,
    to: i64,
}

impl Reading {
    /// The samples of a series from files and memory; `None` if there is none.
    fn next(&mut self, Chosen { reference, labels, hot }: Chosen) -> Result<Option<SeriesData>> {
        let of_series = |run: &Result<Run, _>| run.as_ref().map_or(true, |run| run.series == reference);
        let warm = self.warm.as_mut().and_then(|warm| warm.next_if(of_series)).transpose()?;
        let data = match (warm, hot) {
            (None, None) => return Ok(None),
            (None, Some(hot)) => hot.read(labels, self.from, self.to)?,
            (Some(warm), hot) => {
                // What is in files came first.
                let mut points = points_of(&warm)?;
                if let Some(hot) = hot {
                    hot.add_to(&mut points)?;
                }
                read_points(labels, self.from, self.to, points)
            }
        };
        Ok(Some(data))
    }
}
