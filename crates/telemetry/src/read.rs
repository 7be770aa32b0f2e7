//! Reading: what queries select, and which labels there are.
//!
//! A select holds all shards for reading while it notes which chunks it needs; they are decoded one series
//! at a time afterwards. So it sees whole batches, and what it holds is a reference per chunk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use luma_promql::{Labels, Matcher, Select, SeriesSet, Source, SourceError};
use parking_lot::RwLockReadGuard;

use crate::exemplars::Exemplar;
use crate::head::HeadSnapshot;
use crate::metadata::Metadata;
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

    /// The times of the oldest and the newest sample that there ever were.
    pub fn period(&self) -> Option<(i64, i64)> {
        self.period.get()
    }

    /// What metrics say of themselves, by the name of their family.
    pub fn metadata(&self) -> BTreeMap<Arc<str>, Arc<Metadata>> {
        self.metadata.all()
    }

    /// Examples from `from` to `to` of the series that fulfil all matchers, in the order of time for each.
    pub fn exemplars(&self, matchers: &[Matcher], from: i64, to: i64) -> Vec<(Labels, Vec<Exemplar>)> {
        let mut chosen = HashMap::new();
        for state in self.states() {
            for id in state.index.select(matchers) {
                if let (Some(labels), Some((reference, _))) =
                    (state.index.labels(id), state.series.get(id as usize))
                {
                    chosen.insert(*reference, labels.clone());
                }
            }
        }
        let found = self.exemplars.select(&chosen, from, to);
        found.into_iter().filter_map(|(reference, of)| Some((chosen.remove(&reference)?, of))).collect()
    }

    /// The labels of the series that fulfil all matchers and may have samples from `from` to `to`, in the
    /// order in which the series came.
    pub fn series(&self, matchers: &[Matcher], from: i64, to: i64) -> Vec<Labels> {
        let mut found = Vec::new();
        for state in self.states() {
            for id in state.index.select(matchers) {
                if let (Some(labels), Some((reference, head))) =
                    (state.index.labels(id), state.series.get(id as usize))
                    && head.overlaps(from, to)
                {
                    found.push((*reference, labels.clone()));
                }
            }
        }
        found.sort_unstable_by_key(|(reference, _)| *reference);
        found.into_iter().map(|(_, labels)| labels).collect()
    }

    pub(crate) fn states(&self) -> Vec<RwLockReadGuard<'_, State>> {
        self.shards.iter().map(|shard| shard.state.read()).collect()
    }
}

impl Metrics {
    /// What [`Source::select`] gives, in the order of labels.
    ///
    /// # Errors
    /// When a chunk is damaged.
    pub fn select_sorted(&self, request: &Select<'_>) -> Result<SeriesSet<'static>, SourceError> {
        let mut found = self.snapshots(request);
        found.sort_unstable_by(|(_, a, _), (_, b, _)| a.cmp(b));
        Ok(decoded(found, request))
    }

    /// The chunks that a request needs, as they are now.
    fn snapshots(&self, request: &Select<'_>) -> Vec<Snapshot> {
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
        found
    }
}

/// A series by what the log calls it, its labels and its chunks.
type Snapshot = (u32, Labels, HeadSnapshot);

/// Decodes one series after another.
fn decoded(found: Vec<Snapshot>, request: &Select<'_>) -> SeriesSet<'static> {
    let (from, to) = (request.start, request.end);
    let read =
        move |(_, labels, snapshot): Snapshot| snapshot.read(labels, from, to).map_err(SourceError::from);
    Box::new(found.into_iter().map(read))
}

impl Source for Metrics {
    /// Series come in the order in which they came to the store.
    fn select(&self, request: &Select<'_>) -> Result<SeriesSet<'_>, SourceError> {
        let mut found = self.snapshots(request);
        found.sort_unstable_by_key(|(reference, ..)| *reference);
        Ok(decoded(found, request))
    }
}
