//! Reading: what queries select, and which labels there are.
//!
//! A select holds all shards for reading while it notes which chunks it needs; they are decoded one series
//! at a time afterwards. So it sees whole batches, and what it holds is a reference per chunk. If it asks for what
//! memory may not have, files are read along, as far as memory is not complete; by whoever decodes the series.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;
use luma_promql::{Labels, Matcher, Select, SeriesData, SeriesSet, Source, SourceError};
use luma_strata::{Scan, Series, Snapshot, Unread};
use parking_lot::RwLockReadGuard;

use crate::batch::labels_of_key;
use crate::error::Result;
use crate::exemplars::Exemplar;
use crate::head::{HeadSnapshot, read_points};
use crate::metadata::Metadata;
use crate::shard::State;
use crate::store::Metrics;
use crate::tier::points_of;

impl Metrics {
    /// The names of labels of the series that fulfil all matchers and may have samples from `from` to `to`, in order.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub fn label_names(&self, matchers: &[Matcher], from: i64, to: i64) -> Result<BTreeSet<Arc<str>>> {
        let mut names = BTreeSet::new();
        let all = !self.is_choice(matchers, from, to);
        let states = self.states();
        for state in &states {
            if all {
                names.extend(state.index.all_names().cloned());
            } else {
                names.extend(state.index.names_of(&state.select(matchers, from, to)).cloned());
            }
        }
        let asleep = self.dormant.view(matchers, from, to);
        drop(states);
        asleep.each(|member| {
            if member.is_chosen(matchers, from, to) {
                for (name, _) in labels_of_key(member.key) {
                    add_text(&mut names, name);
                }
            }
        })?;
        Ok(names)
    }

    /// The values of a label of the series that fulfil all matchers and may have samples from `from` to `to`, in order.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        from: i64,
        to: i64,
    ) -> Result<BTreeSet<Arc<str>>> {
        let mut values = BTreeSet::new();
        let all = !self.is_choice(matchers, from, to);
        let states = self.states();
        for state in &states {
            if all {
                values.extend(state.index.all_values(name).cloned());
            } else {
                values.extend(state.index.values_of(name, &state.select(matchers, from, to)).cloned());
            }
        }
        let asleep = self.dormant.view(matchers, from, to);
        drop(states);
        asleep.each(|member| {
            if member.is_chosen(matchers, from, to) {
                for (_, value) in labels_of_key(member.key).filter(|(of, _)| *of == name) {
                    add_text(&mut values, value);
                }
            }
        })?;
        Ok(values)
    }

    /// Whether there may be series that do not fulfil all matchers or have no samples from `from` to `to`.
    fn is_choice(&self, matchers: &[Matcher], from: i64, to: i64) -> bool {
        !matchers.is_empty() || self.period().is_none_or(|(first, last)| first < from || to < last)
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
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub fn exemplars(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>> {
        let mut chosen = HashMap::new();
        let states = self.states();
        for state in &states {
            // Exemplars may be of times at which there are no samples.
            for (_, series, labels) in state.chosen(matchers, i64::MIN, i64::MAX) {
                chosen.insert(series.reference, labels.clone());
            }
        }
        let asleep = self.dormant.view(matchers, i64::MIN, i64::MAX);
        drop(states);
        asleep.each(|member| {
            if member.is_chosen(matchers, i64::MIN, i64::MAX) {
                chosen.insert(member.reference, Labels::new(labels_of_key(member.key)));
            }
        })?;
        let found = self.exemplars.select(&chosen, from, to);
        Ok(found.into_iter().filter_map(|(reference, of)| Some((chosen.remove(&reference)?, of))).collect())
    }

    /// The labels of the series that fulfil all matchers and may have samples from `from` to `to`; those of a metric are
    /// neighbours, in the order in which they came.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub fn series(&self, matchers: &[Matcher], from: i64, to: i64) -> Result<Vec<Labels>> {
        let files = self.tier.table.snapshot();
        let mut found = Vec::new();
        let states = self.states();
        for state in &states {
            let of_state = state.chosen(matchers, from, to);
            let of_state = of_state.filter(|(_, series, _)| series.has(&files, from, to));
            found.extend(of_state.map(|(_, series, labels)| (series.reference, labels.clone())));
        }
        let asleep = self.dormant.view(matchers, from, to);
        drop(states);
        asleep.each(|member| {
            let has_samples = || files.span(member.reference, from, to).is_some();
            if member.is_chosen(matchers, from, to) && has_samples() {
                found.push((member.reference, Labels::new(labels_of_key(member.key))));
            }
        })?;
        found.sort_unstable_by_key(|(reference, _)| *reference);
        Ok(found.into_iter().map(|(_, labels)| labels).collect())
    }

    /// How many series that ended memory has let go of; files have their samples.
    pub fn dormant_len(&self) -> usize {
        self.dormant.len()
    }

    pub(crate) fn states(&self) -> Vec<RwLockReadGuard<'_, State>> {
        self.shards.iter().map(|shard| shard.state.read()).collect()
    }
}

fn add_text(texts: &mut BTreeSet<Arc<str>>, text: &str) {
    if !texts.contains(text) {
        texts.insert(text.into());
    }
}

/// A series that a query wants, and what memory has of it.
struct Chosen {
    reference: u32,
    labels: Labels,
    hot: Option<HeadSnapshot>,
}

/// Where memory is not complete: the files, and up to when they are read.
struct Warm {
    files: Snapshot,
    to: i64,
}

impl Metrics {
    /// What [`Source::select`] gives, in the order of labels. If files are needed, each series looks into them anew.
    ///
    /// # Errors
    /// When a chunk is damaged.
    pub fn select_sorted(&self, request: &Select<'_>) -> Result<SeriesSet<'static>, SourceError> {
        let (mut chosen, warm) = self.choose(request).map_err(SourceError::from)?;
        chosen.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        let (from, to) = (request.start, request.end);
        let found = move |series: Chosen| {
            let files = warm.as_ref().map(|warm| warm.scan([series.reference], from)).transpose();
            let found = files.map(|mut files| Found::of(series, files.as_mut(), from, to)).transpose()?;
            Some(move || found.and_then(Found::read).map_err(SourceError::from))
        };
        Ok(SeriesSet::reading(chosen.into_iter().filter_map(found)))
    }

    /// What [`Source::select`] gives, for whoever reads on after the store was let go.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn select_owned<'a>(&self, request: &Select<'_>) -> Result<SeriesSet<'a>, SourceError> {
        let (mut chosen, warm) = self.choose(request).map_err(SourceError::from)?;
        let (from, to) = (request.start, request.end);
        let references = chosen.iter().map(|series| series.reference);
        let mut warm = warm.map(|warm| warm.scan(references, from)).transpose().map_err(SourceError::from)?;
        chosen.sort_unstable_by_key(|series| series.reference);
        let found = chosen.into_iter().filter_map(move |series| Found::of(series, warm.as_mut(), from, to));
        Ok(SeriesSet::reading(found.map(|found| move || found.read().map_err(SourceError::from))))
    }

    /// The series that a request is for with their chunks as they are now, and the files if memory may not have all.
    fn choose(&self, request: &Select<'_>) -> Result<(Vec<Chosen>, Option<Warm>)> {
        let (from, to) = (request.start, request.end);
        let mut chosen = Vec::new();
        let states = self.states();
        for state in &states {
            for (_, series, labels) in state.chosen(request.matchers, from, to) {
                let hot = series.head.snapshot(from, to);
                chosen.push(Chosen { reference: series.reference, labels: labels.clone(), hot });
            }
        }
        let asleep = self.dormant.view(request.matchers, from, to);
        drop(states);
        // Read after memory was: what left memory before is in files by now.
        let hot_from = self.hot_from.load(Ordering::Acquire);
        if from >= hot_from && from < i64::MAX {
            chosen.retain(|series| series.hot.is_some());
            return Ok((chosen, None));
        }
        asleep.each(|member| {
            if member.is_chosen(request.matchers, from, to) {
                let labels = Labels::new(labels_of_key(member.key));
                chosen.push(Chosen { reference: member.reference, labels, hot: None });
            }
        })?;
        let to = if hot_from == i64::MAX { to } else { to.min(hot_from - 1) };
        Ok((chosen, Some(Warm { files: self.tier.table.snapshot(), to })))
    }
}

impl Warm {
    /// The samples in files of some series from a time on.
    fn scan(&self, series: impl IntoIterator<Item = u32>, from: i64) -> Result<Series> {
        let series = Arc::new(series.into_iter().collect());
        Ok(self.files.scan(&Scan { series, from, to: self.to, previous: true })?)
    }
}

impl Source for Metrics {
    /// Series come in the order of their numbers, which is that of the files as well.
    fn select(&self, request: &Select<'_>) -> Result<SeriesSet<'_>, SourceError> {
        self.select_owned(request)
    }
}

/// A series, and where its samples are.
struct Found {
    series: Chosen,
    warm: Option<Unread>,
    from: i64,
    to: i64,
}

impl Found {
    /// Where the samples of a series are; `None` if there are none.
    fn of(series: Chosen, files: Option<&mut Series>, from: i64, to: i64) -> Option<Self> {
        let warm = files.and_then(|files| files.find(series.reference));
        (warm.is_some() || series.hot.is_some()).then_some(Self { series, warm, from, to })
    }

    fn read(self) -> Result<SeriesData> {
        let (from, to) = (self.from, self.to);
        let Chosen { labels, hot, .. } = self.series;
        let warm = self.warm.map(Unread::read).transpose()?.filter(|run| !run.is_empty());
        let Some(warm) = warm else {
            return match hot {
                Some(hot) => Ok(hot.read(labels, from, to)?),
                None => Ok(SeriesData { labels, ..SeriesData::default() }),
            };
        };
        // What is in files came first; mostly it is also older.
        if warm.payloads.is_empty() {
            return Ok(HeadSnapshot::read_with(hot.as_ref(), &warm, labels, from, to)?);
        }
        let mut points = points_of(&warm)?;
        if let Some(hot) = hot {
            hot.add_to(&mut points)?;
        }
        Ok(read_points(labels, from, to, points))
    }
}
