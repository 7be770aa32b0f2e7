//! The store: batches in, durably and as a whole.
//!
//! A batch locks the writers of the shards it touches in their order, decides about its samples, appends
//! one record to the log, and then puts the samples in. Shards are let go one by one as they are done, so
//! the next batch follows behind. Readers lock in the same order, so they see all of a batch or nothing.
//!
//! Invariants: the log's order is that in which each shard changed. What the log refused is not put in, and
//! then the log takes nothing more.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use hashbrown::HashMap;
use luma_log::{Log, LogOptions, Lsn};
use luma_promql::{Labels, Sample};
use luma_strata::{Snapshot, TableOptions};
use luma_vfs::FileLock;
use parking_lot::{Mutex, RwLock};

use crate::batch::{Batch, Named, Point, labels_of_key, metric_of};
use crate::dormant::{Dormant, Sleeper};
use crate::error::{Error, Refusal, Result};
use crate::exemplars::{Exemplar, Exemplars};
use crate::known::{Names, SeriesPlace};
use crate::metadata::MetadataTable;
use crate::record::RecordWriter;
use crate::references::References;
use crate::shard::{Decision, Shard};
use crate::tier::{Saved, Tier};
use crate::versions::Versions;

/// The longest record that a batch may make.
const RECORD_BYTES_MAX: usize = 256 << 20;
pub(crate) const SHARDS_MAX: usize = 64;

/// Options of a store.
#[derive(Debug, Clone)]
pub struct MetricsOptions {
    /// Into how many parts series are divided, each changed by one thread at a time; at most 64.
    pub shards: usize,
    /// How many series there may be in memory.
    pub series_max: usize,
    /// How far behind its series' newest sample a sample may be, in milliseconds.
    pub out_of_order_window_ms: i64,
    /// How many exemplars are kept, the newest ones.
    pub exemplars_max: usize,
    /// The log.
    pub log: LogOptions,
    /// The files that samples go to from memory.
    pub warm: TableOptions,
}

impl Default for MetricsOptions {
    fn default() -> Self {
        Self {
            shards: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            series_max: 5_000_000,
            out_of_order_window_ms: 3_600_000,
            exemplars_max: 100_000,
            log: LogOptions::default(),
            warm: TableOptions::default(),
        }
    }
}

/// What became of the samples of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Appended {
    /// How many were stored.
    pub stored: usize,
    /// How many were there already, with the same value.
    pub duplicates: usize,
    /// How many of those stored or there already are histograms.
    pub histograms: usize,
    /// How many exemplars were stored or there already.
    pub exemplars: usize,
    /// How many were refused.
    pub refused: usize,
    /// Why the first one was, and which one of the batch that is.
    pub first_refusal: Option<(usize, Refusal)>,
}

/// A batch that is in the store but may not be on disk yet.
#[derive(Debug)]
#[must_use = "a batch is acknowledged by waiting for it"]
pub struct Pending<'a> {
    log: &'a Log,
    lsn: Lsn,
    appended: Appended,
    refused: Option<Labels>,
}

impl Pending<'_> {
    /// The series of the first sample that was refused.
    pub fn refused_series(&self) -> Option<&Labels> {
        self.refused.as_ref()
    }

    /// What became of the samples, which may not be on disk yet.
    pub fn appended(&self) -> &Appended {
        &self.appended
    }

    /// Blocks until the batch is durable.
    ///
    /// # Errors
    /// When the log failed: the batch may be gone after a restart.
    pub fn wait(self) -> Result<Appended> {
        self.log.sync_in_turn(self.lsn);
        self.log.wait_durable(self.lsn)?;
        Ok(self.appended)
    }

    /// Completes when the batch is durable.
    ///
    /// # Errors
    /// When the log failed: the batch may be gone after a restart.
    pub async fn durable(self) -> Result<Appended> {
        self.log.durable(self.lsn).await?;
        Ok(self.appended)
    }
}

/// A store of metrics: in memory behind a log, and in files.
pub struct Metrics {
    pub(crate) shards: Box<[Shard]>,
    pub(crate) log: Log,
    pub(crate) tier: Tier,
    /// All samples from this time on are in memory; it only grows.
    pub(crate) hot_from: AtomicI64,
    /// Held by whatever moves samples to files or deletes them.
    pub(crate) moving: Mutex<Saved>,
    pub(crate) series: AtomicUsize,
    pub(crate) references: References,
    /// How often series went; held for reading while a batch is stored, so that they stay.
    pub(crate) round: RwLock<u64>,
    /// Whether samples were deleted or files removed, so that series may have none any more.
    pub(crate) maybe_ended: AtomicBool,
    /// Whether those that sleep were not looked at since samples were deleted or files removed.
    pub(crate) lost_samples: AtomicBool,
    pub(crate) series_max: usize,
    pub(crate) out_of_order_window_ms: i64,
    pub(crate) metadata: MetadataTable,
    pub(crate) exemplars: Exemplars,
    pub(crate) dormant: Dormant,
    pub(crate) names: Names,
    pub(crate) period: Period,
    pub(crate) versions: Versions,
    pub(crate) _lock: Box<dyn FileLock>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Metrics")
            .field("shards", &self.shards.len())
            .field("series", &self.series)
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

/// What a batch does to a shard.
#[derive(Default)]
struct Changes {
    new_series: Vec<(u32, u32, Labels)>,
    woken: Vec<(u32, Sleeper)>,
    points: Vec<(u32, Point, bool)>,
}

impl Metrics {
    /// How many series there are in memory; those that sleep are not among them.
    pub fn series_len(&self) -> usize {
        self.series.load(Ordering::Relaxed)
    }

    /// Adds the samples of a batch and waits until they are durable. Samples that cannot be taken are
    /// counted and left out, the others stored.
    ///
    /// # Errors
    /// When the batch is too large, or the log failed: then nothing is acknowledged.
    pub fn append(&self, batch: &Batch) -> Result<Appended> {
        self.begin_append(batch)?.wait()
    }

    /// Adds the samples of a batch. They are visible when this returns, all at once, and acknowledged when
    /// the outcome has been waited for.
    ///
    /// # Errors
    /// When the batch is too large, the log failed, or series went since the batch looked them up
    /// ([`Error::Outdated`]): then nothing is stored.
    pub fn begin_append(&self, batch: &Batch) -> Result<Pending<'_>> {
        let bytes = batch.record_bytes_max();
        if bytes > RECORD_BYTES_MAX {
            return Err(Error::BatchTooLarge { bytes, limit: RECORD_BYTES_MAX });
        }
        // Otherwise what a failed batch decided could make the same batch, sent again, look like duplicates.
        if let Some(cause) = self.log.failure() {
            return Err(luma_log::Error::Poisoned(cause).into());
        }
        let round = self.round.read();
        if batch.round().is_some_and(|looked_up| looked_up != *round) {
            return Err(Error::Outdated);
        }
        let mut sleepers = self.sleepers(batch)?;
        let mut appended = Appended::default();
        let mut by_shard: Vec<Vec<u32>> = vec![Vec::new(); self.shards.len()];
        let shard_of = |series| batch.named(series).map(|named| named.shard(self.shards.len()));
        for (at, (series, _)) in batch.points().iter().enumerate() {
            match shard_of(*series).and_then(|shard| by_shard.get_mut(shard)) {
                Some(points) => points.push(at as u32),
                None => appended.refuse(at, Refusal::UnknownSeries),
            }
        }
        let mut exemplars_by_shard: Vec<Vec<u32>> = vec![Vec::new(); self.shards.len()];
        for (at, (series, _)) in batch.exemplars_given().iter().enumerate() {
            if let Some(examples) = shard_of(*series).and_then(|shard| exemplars_by_shard.get_mut(shard)) {
                examples.push(at as u32);
            }
        }
        let graves = (!sleepers.is_empty()).then(|| self.tier.table.snapshot());
        let mut record = RecordWriter::with_capacity(bytes / 2);
        let mut ids = vec![None; batch.series_len()];
        let mut held = Vec::with_capacity(self.shards.len());
        let mut exemplars: Vec<(u32, &Exemplar)> = Vec::new();
        let mut period = (i64::MAX, i64::MIN);
        let touched = self.shards.iter().zip(by_shard.iter().zip(&exemplars_by_shard));
        for (shard, (points, examples)) in
            touched.filter(|(_, (points, examples))| !points.is_empty() || !examples.is_empty())
        {
            let mut writer = shard.writer.lock();
            let mut changes = Changes { points: Vec::with_capacity(points.len()), ..Changes::default() };
            for at in points.iter().map(|at| *at as usize) {
                let Some((series, point)) = batch.points().get(at) else { continue };
                let Some(named) = batch.named(*series) else { continue };
                let id = match ids[*series as usize].or_else(|| writer.find(named)) {
                    Some(id) => id,
                    None => {
                        // Known ones were found.
                        let Named::Key(hash, key) = named else { continue };
                        if !self.admit_series() {
                            appended.refuse(at, Refusal::SeriesLimit { limit: self.series_max });
                            continue;
                        }
                        let (reference, (id, labels)) = match sleepers.remove(series) {
                            None => {
                                let Some(reference) = self.references.give(metric_of(key)) else {
                                    self.series.fetch_sub(1, Ordering::Relaxed);
                                    appended.refuse(at, Refusal::NumbersUsedUp);
                                    continue;
                                };
                                (reference, writer.add_series(hash, key, reference))
                            }
                            Some(sleeper) => {
                                let (id, labels) = writer.wake(hash, key, &sleeper);
                                for grave in graves.iter().flat_map(Snapshot::tombstones) {
                                    if grave.series.contains(sleeper.reference) {
                                        writer.deleted(id, grave.from, grave.to);
                                    }
                                }
                                let reference = sleeper.reference;
                                changes.woken.push((id, sleeper));
                                (reference, (id, labels))
                            }
                        };
                        record.series(reference, key);
                        changes.new_series.push((id, reference, labels));
                        id
                    }
                };
                ids[*series as usize] = Some(id);
                let is_histogram = matches!(point.sample, Sample::Histogram(_));
                let (point, late) = match writer.decide(id, point, self.out_of_order_window_ms) {
                    Decision::InOrder(point) => (point, false),
                    Decision::Late(point) => (point, true),
                    Decision::Duplicate => {
                        appended.duplicates += 1;
                        appended.histograms += usize::from(is_histogram);
                        continue;
                    }
                    Decision::Refused(refusal) => {
                        appended.refuse(at, refusal);
                        continue;
                    }
                };
                appended.stored += 1;
                appended.histograms += usize::from(is_histogram);
                period = (period.0.min(point.t), period.1.max(point.t));
                record.sample(writer.reference(id), &point);
                changes.points.push((id, point, late));
            }
            for (series, exemplar) in
                examples.iter().filter_map(|at| batch.exemplars_given().get(*at as usize))
            {
                let Some(named) = batch.named(*series) else { continue };
                if let Some(id) = ids[*series as usize].or_else(|| writer.find(named)) {
                    exemplars.push((writer.reference(id), exemplar));
                }
            }
            held.push((shard, writer, changes));
        }
        let metadata = self.metadata.change(batch.metadata_given(), &mut record);
        let adding = (!exemplars.is_empty()).then(|| {
            let mut adding = self.exemplars.begin();
            for (reference, exemplar) in exemplars {
                appended.exemplars += usize::from(adding.add(reference, exemplar, &mut record));
            }
            adding
        });
        let lsn = match record.finish() {
            Some(record) => self.log.append(&[&record])?,
            // Duplicates are acknowledged when what they duplicate is durable.
            None => self.log.end(),
        };
        if let Some(changed) = metadata {
            changed.put();
        }
        drop(adding);
        self.period.extend(period);
        let states: Vec<_> = held.iter().map(|(shard, ..)| shard.state.write()).collect();
        if appended.stored > 0 {
            self.versions.note(period.0);
        }
        for ((_, writer, changes), mut state) in held.into_iter().zip(states) {
            for (id, reference, labels) in changes.new_series {
                state.add_series(id, reference, labels);
            }
            for (id, sleeper) in changes.woken {
                if let Some(series) = state.get_mut(id) {
                    series.extend(sleeper.times);
                }
                self.dormant.wake(sleeper);
            }
            for (id, point, late) in changes.points {
                state.put(id, point, late);
            }
            drop(state);
            drop(writer);
        }
        let names = batch.fingerprints().iter().filter_map(|(series, name)| {
            let (shard, id) = (shard_of(*series)?, *ids.get(*series as usize)?);
            Some((*name, SeriesPlace { shard: shard as u32, id: id? }))
        });
        self.names.put(names, self.series_len());
        let refused = appended.first_refusal.as_ref().and_then(|(at, _)| self.labels_of(batch, *at));
        drop(round);
        Ok(Pending { log: &self.log, lsn, appended, refused })
    }

    /// The labels of the series of a sample.
    fn labels_of(&self, batch: &Batch, at: usize) -> Option<Labels> {
        let (series, _) = batch.points().get(at)?;
        match batch.named(*series)? {
            Named::Key(_, key) => Some(Labels::new(labels_of_key(key))),
            Named::Known(SeriesPlace { shard, id }) => {
                let state = self.shards.get(shard as usize)?.state.read();
                state.index.labels(id).cloned()
            }
        }
    }

    /// Those of a batch's series that sleep, by their numbers in the batch. None falls asleep while the batch is stored.
    fn sleepers(&self, batch: &Batch) -> Result<HashMap<u32, Sleeper>> {
        let mut sleepers = HashMap::new();
        if self.dormant.len() == 0 {
            return Ok(sleepers);
        }
        for series in 0..batch.series_len() as u32 {
            let Some(named @ Named::Key(_, key)) = batch.named(series) else { continue };
            let shard = self.shards.get(named.shard(self.shards.len()));
            if shard.is_some_and(|shard| shard.writer.lock().find(named).is_none())
                && let Some(sleeper) = self.dormant.find(key)?
            {
                sleepers.insert(series, sleeper);
            }
        }
        Ok(sleepers)
    }

    /// Counts one more series, if there may be one.
    fn admit_series(&self) -> bool {
        let one_more = |count: usize| (count < self.series_max).then_some(count + 1);
        self.series.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }
}

impl Appended {
    fn refuse(&mut self, at: usize, refusal: Refusal) {
        self.refused += 1;
        if self.first_refusal.as_ref().is_none_or(|(first, _)| at < *first) {
            self.first_refusal = Some((at, refusal));
        }
    }
}

/// The times of the oldest and the newest sample that there ever were.
#[derive(Debug)]
pub(crate) struct Period {
    first: AtomicI64,
    last: AtomicI64,
}

impl Default for Period {
    fn default() -> Self {
        Self { first: AtomicI64::new(i64::MAX), last: AtomicI64::new(i64::MIN) }
    }
}

impl Period {
    pub fn extend(&self, (first, last): (i64, i64)) {
        self.first.fetch_min(first, Ordering::Relaxed);
        self.last.fetch_max(last, Ordering::Relaxed);
    }

    /// Both, if there is a sample.
    pub fn get(&self) -> Option<(i64, i64)> {
        let (first, last) = (self.first.load(Ordering::Relaxed), self.last.load(Ordering::Relaxed));
        (first <= last).then_some((first, last))
    }
}
