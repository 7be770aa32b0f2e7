//! Reading: what queries select, and which labels there are.
//!
//! A select holds all shards for reading while it notes which chunks it needs; they are decoded one series
//! at a time afterwards. So it sees whole batches, and what it holds is a reference per chunk.

use std::collections::BTreeSet;
use std::sync::Arc;

use luma_promql::{Labels, Matcher, Select, SeriesSet, Source, SourceError};
use parking_lot::RwLockReadGuard;

use crate::shard::State;
use crate::store::Metrics;

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

impl Source for Metrics {
    /// Series come in the order in which they came to the store.
    fn select(&self, request: &Select<'_>) -> Result<SeriesSet<'_>, SourceError> {
        let (from, to) = (request.start, request.end);
        let mut found = Vec::new();
        let states = self.states();
        for state in &states {
            for id in state.index.select(request.matchers) {
                if let (Some(labels), Some((reference, head))) =
                    (state.index.labels(id), state.series.get(id as usize))
                    && let Some(snapshot) = head.snapshot(from, to)
                {
                    found.push((*reference, labels.clone(), snapshot));
                }
            }
        }
        drop(states);
        found.sort_unstable_by_key(|(reference, ..)| *reference);
        Ok(Box::new(
            found
                .into_iter()
                .map(move |(_, labels, snapshot)| snapshot.read(labels, from, to).map_err(SourceError::from)),
        ))
    }
}
