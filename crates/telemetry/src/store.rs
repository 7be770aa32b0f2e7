//! The store: batches in, durably and as a whole.
//!
//! A batch locks the writers of the shards it touches in their order, decides about its samples, appends
//! one record to the log, and then puts the samples in. Shards are let go one by one as they are done, so
//! the next batch follows behind. Readers lock in the same order, so they see all of a batch or nothing.
//!
//! Invariants: the log's order is that in which each shard changed. What the log refused is not put in, and
//! then the log takes nothing more.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicUsize, Ordering};

use hashbrown::HashMap;
use luma_log::{Log, LogOptions, Lsn};
use luma_promql::{Labels, Sample};
use luma_vfs::{FileLock, Vfs};

use crate::batch::{Batch, Point, hash_of};
use crate::error::{Error, Refusal, Result};
use crate::exemplars::{Exemplar, Exemplars};
use crate::metadata::MetadataTable;
use crate::record::{Entry, RecordReader, RecordWriter};
use crate::shard::{Decision, Shard};

/// The longest record that a batch may make.
const RECORD_BYTES_MAX: usize = 256 << 20;
const SHARDS_MAX: usize = 64;

/// Options of a store.
#[derive(Debug, Clone)]
pub struct MetricsOptions {
    /// Into how many parts series are divided, each changed by one thread at a time; at most 64.
    pub shards: usize,
    /// How many series there may be.
    pub series_max: usize,
    /// How far behind its series' newest sample a sample may be, in milliseconds.
    pub out_of_order_window_ms: i64,
    /// How many exemplars are kept, the newest ones.
    pub exemplars_max: usize,
    /// The log.
    pub log: LogOptions,
}

impl Default for MetricsOptions {
    fn default() -> Self {
        Self {
            shards: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            series_max: 5_000_000,
            out_of_order_window_ms: 3_600_000,
            exemplars_max: 100_000,
            log: LogOptions::default(),
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
}

impl Pending<'_> {
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

/// A store of metrics in memory behind a log.
pub struct Metrics {
    pub(crate) shards: Box<[Shard]>,
    pub(crate) log: Log,
    series: AtomicUsize,
    next_reference: AtomicU32,
    series_max: usize,
    out_of_order_window_ms: i64,
    pub(crate) metadata: MetadataTable,
    pub(crate) exemplars: Exemplars,
    pub(crate) period: Period,
    _lock: Box<dyn FileLock>,
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
    new_series: Vec<(u32, Labels)>,
    points: Vec<(u32, Point, bool)>,
}

impl Metrics {
    /// Opens the store in a directory, which is made if it does not exist, with all that is in its log.
    ///
    /// # Errors
    /// When another process has the directory, or the log is damaged.
    pub fn open(vfs: Arc<dyn Vfs>, directory: &Path, options: MetricsOptions) -> Result<Self> {
        vfs.create_dir_all(directory).map_err(|error| Error::of_lock(directory, error.into()))?;
        let lock = vfs.lock(&directory.join("LOCK")).map_err(|error| Error::of_lock(directory, error))?;
        let mut shards: Box<[Shard]> =
            (0..options.shards.clamp(1, SHARDS_MAX)).map(|_| Shard::default()).collect();
        let mut known: HashMap<u32, (usize, u32)> = HashMap::new();
        let mut next_reference = 0;
        let mut replayed = Replayed {
            metadata: MetadataTable::default(),
            exemplars: Exemplars::new(options.exemplars_max),
            period: Period::default(),
        };
        let log = Log::open(vfs, &directory.join("log"), options.log, &mut |lsn, record| {
            replay(&mut shards, &mut known, &mut next_reference, &mut replayed, &record).map_err(|what| {
                luma_log::Error::Replay(format!("the batch that ends at {} is damaged: {what}", lsn.0))
            })
        })?;
        Ok(Self {
            shards,
            log,
            series: AtomicUsize::new(known.len()),
            next_reference: AtomicU32::new(next_reference),
            series_max: options.series_max,
            out_of_order_window_ms: options.out_of_order_window_ms.max(0),
            metadata: replayed.metadata,
            exemplars: replayed.exemplars,
            period: replayed.period,
            _lock: lock,
        })
    }

    /// How many series there are.
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
    /// When the batch is too large, or the log failed: then nothing is stored.
    pub fn begin_append(&self, batch: &Batch) -> Result<Pending<'_>> {
        let bytes = batch.record_bytes_max();
        if bytes > RECORD_BYTES_MAX {
            return Err(Error::BatchTooLarge { bytes, limit: RECORD_BYTES_MAX });
        }
        // Otherwise what a failed batch decided could make the same batch, sent again, look like duplicates.
        if let Some(cause) = self.log.failure() {
            return Err(luma_log::Error::Poisoned(cause).into());
        }
        let mut appended = Appended::default();
        let mut by_shard: Vec<Vec<u32>> = vec![Vec::new(); self.shards.len()];
        for (at, (series, _)) in batch.points().iter().enumerate() {
            match batch.key(*series) {
                Some((hash, _)) => by_shard[shard_of(hash, self.shards.len())].push(at as u32),
                None => appended.refuse(at, Refusal::UnknownSeries),
            }
        }
        let mut exemplars_by_shard: Vec<Vec<u32>> = vec![Vec::new(); self.shards.len()];
        for (at, (series, _)) in batch.exemplars_given().iter().enumerate() {
            if let Some((hash, _)) = batch.key(*series) {
                exemplars_by_shard[shard_of(hash, self.shards.len())].push(at as u32);
            }
        }
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
                let Some((hash, key)) = batch.key(*series) else { continue };
                let id = match ids[*series as usize].or_else(|| writer.find(hash, key)) {
                    Some(id) => id,
                    None => {
                        let Some(reference) = self.admit_series() else {
                            appended.refuse(at, Refusal::SeriesLimit { limit: self.series_max });
                            continue;
                        };
                        record.series(reference, key);
                        let (id, labels) = writer.add_series(hash, key, reference);
                        changes.new_series.push((reference, labels));
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
                let Some((hash, key)) = batch.key(*series) else { continue };
                if let Some(id) = ids[*series as usize].or_else(|| writer.find(hash, key)) {
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
        for ((_, writer, changes), mut state) in held.into_iter().zip(states) {
            for (reference, labels) in changes.new_series {
                state.add_series(reference, labels);
            }
            for (id, point, late) in changes.points {
                state.put(id, point, late);
            }
            drop(state);
            drop(writer);
        }
        Ok(Pending { log: &self.log, lsn, appended })
    }

    /// The name of one more series, if there may be one.
    fn admit_series(&self) -> Option<u32> {
        let one_more = |count: usize| (count < self.series_max).then_some(count + 1);
        self.series.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(self.next_reference.fetch_add(1, Ordering::Relaxed))
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

fn shard_of(hash: u64, shards: usize) -> usize {
    // The lowest and the highest bits find the series within the shard.
    (hash >> 16) as u32 as usize % shards
}

/// What the log says beside series and samples.
struct Replayed {
    metadata: MetadataTable,
    exemplars: Exemplars,
    period: Period,
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
    fn extend(&self, (first, last): (i64, i64)) {
        self.first.fetch_min(first, Ordering::Relaxed);
        self.last.fetch_max(last, Ordering::Relaxed);
    }

    /// Both, if there is a sample.
    pub fn get(&self) -> Option<(i64, i64)> {
        let (first, last) = (self.first.load(Ordering::Relaxed), self.last.load(Ordering::Relaxed));
        (first <= last).then_some((first, last))
    }
}

fn replay(
    shards: &mut [Shard],
    known: &mut HashMap<u32, (usize, u32)>,
    next_reference: &mut u32,
    replayed: &mut Replayed,
    record: &[u8],
) -> Result<(), String> {
    let mut reader = RecordReader::new(record)?;
    while let Some(entry) = reader.next()? {
        match entry {
            Entry::Series { reference, key } => {
                let hash = hash_of(key);
                let at = shard_of(hash, shards.len());
                let shard = &mut shards[at];
                let (id, labels) = shard.writer.get_mut().add_series(hash, key, reference);
                shard.state.get_mut().add_series(reference, labels);
                if known.insert(reference, (at, id)).is_some() {
                    return Err(format!("it defines series {reference} again"));
                }
                *next_reference = reference
                    .checked_add(1)
                    .ok_or("its series has the last number there is")?
                    .max(*next_reference);
            }
            Entry::Sample { reference, point } => {
                let (at, id) = known.get(&reference).ok_or_else(|| {
                    format!("it has a sample of series {reference}, which no batch defined")
                })?;
                replayed.period.extend((point.t, point.t));
                let shard = &mut shards[*at];
                let late = shard.writer.get_mut().accept(*id, &point);
                shard.state.get_mut().put(*id, point, late);
            }
            Entry::Delete { reference, from, to } => {
                let (at, id) = known.get(&reference).ok_or_else(|| {
                    format!("it deletes samples of series {reference}, which no batch defined")
                })?;
                let shard = &mut shards[*at];
                shard.writer.get_mut().deleted(*id, from, to);
                if let Some((_, head)) = shard.state.get_mut().series.get_mut(*id as usize) {
                    head.delete(from, to).map_err(|error| error.to_string())?;
                }
            }
            Entry::Metadata { family, metadata } => replayed.metadata.replay(family, metadata),
            Entry::Exemplar { reference, exemplar } => replayed.exemplars.replay(reference, exemplar),
        }
    }
    Ok(())
}
