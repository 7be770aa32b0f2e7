//! What keeps a store small: flushes, merging of files, deletes, and retention.

use std::sync::atomic::Ordering;

use luma_promql::Matcher;
use luma_strata::{Change, Compacted, FileEntry, TableStats, Tombstone};
use roaring::RoaringBitmap;

use crate::error::Result;
use crate::store::Metrics;

impl Metrics {
    /// Deletes the samples from `from` to `to` (in milliseconds, both included) of all series that fulfil all
    /// matchers, and gives the number of those that may have some. What comes later with such a time is taken as ever.
    ///
    /// # Errors
    /// When the log or the manifest fails: then nothing is deleted.
    pub fn delete(&self, matchers: &[Matcher], from: i64, to: i64) -> Result<usize> {
        let _moving = self.moving.lock();
        // Nobody appends meanwhile, so the place in the log says what is older.
        let mut writers: Vec<_> = self.shards.iter().map(|shard| shard.writer.lock()).collect();
        let end = self.log.end();
        self.log.wait_durable(end)?;
        let mut states: Vec<_> = self.shards.iter().map(|shard| shard.state.write()).collect();
        let mut series = RoaringBitmap::new();
        let files = self.tier.table.snapshot();
        let chosen: Vec<RoaringBitmap> = states
            .iter()
            .map(|state| {
                let of_state = state.chosen(matchers, from, to);
                let there = of_state.filter(|(_, series, _)| series.has(&files, from, to));
                there.map(|(id, ..)| id).collect()
            })
            .collect();
        for (state, chosen) in states.iter().zip(&chosen) {
            series.extend(chosen.iter().filter_map(|id| Some(state.get(id)?.reference)));
        }
        self.dormant.view(matchers, from, to).each(|member| {
            let is_there = || files.span(member.reference, from, to).is_some();
            if member.is_chosen(matchers, from, to) && is_there() {
                series.insert(member.reference);
            }
        })?;
        let count = series.len() as usize;
        if count == 0 {
            return Ok(0);
        }
        // Readers wait until it is done.
        self.versions.note(from);
        let tombstones = vec![Tombstone::new(series, from, to, end.0)];
        self.tier.table.commit(Change { tombstones, ..Change::default() }, |_| Ok(()))?;
        for ((state, writer), chosen) in states.iter_mut().zip(&mut writers).zip(&chosen) {
            for id in chosen {
                writer.deleted(id, from, to);
                if let Some(series) = state.get_mut(id) {
                    series.head.delete(from, to)?;
                }
            }
        }
        self.note_lost_samples();
        Ok(count)
    }

    /// Notes that samples were deleted or files removed, so that series may have none any more, those that sleep too.
    fn note_lost_samples(&self) {
        self.lost_samples.store(true, Ordering::Release);
        self.maybe_ended.store(true, Ordering::Release);
    }

    /// Merges files, if there are some that are worth it; what it did. `now` is the time by which days are over,
    /// in milliseconds.
    ///
    /// # Errors
    /// When a file is missing or damaged or cannot be written. What was there stays.
    pub fn compact(&self, now: i64) -> Result<Option<Compacted>> {
        let done = self.tier.table.compact(now)?;
        // What the log has before that place is never put in again.
        let saved = self.moving.lock().to;
        // Those that sleep learn first what was deleted of them.
        if !self.lost_samples.load(Ordering::Acquire) || self.dormant.len() == 0 {
            self.tier.table.forget_tombstones(saved.0)?;
        }
        Ok(done)
    }

    /// Removes files whose samples are all from before `from`, and the oldest while all have more than `bytes_max`
    /// bytes; gives what it removed.
    ///
    /// # Errors
    /// When the manifest fails.
    pub fn retain(&self, from: Option<i64>, bytes_max: Option<u64>) -> Result<Vec<FileEntry>> {
        let removed = self.tier.table.retain(from, bytes_max)?;
        if !removed.is_empty() {
            let first = removed.iter().map(|file| file.times.0).min();
            self.versions.note(first.unwrap_or(i64::MIN));
            self.note_lost_samples();
        }
        Ok(removed)
    }

    /// Reads all files and the registry and compares them with their checksums; gives figures of the files.
    ///
    /// # Errors
    /// The first file that is missing or damaged.
    pub fn verify(&self) -> Result<TableStats> {
        self.tier.verify()?;
        Ok(self.files())
    }

    /// Figures of the files.
    pub fn files(&self) -> TableStats {
        self.tier.table.snapshot().stats()
    }

    /// Bytes of the log that a start would read.
    pub fn log_bytes(&self) -> u64 {
        self.log.live_bytes()
    }

    /// From which time on memory has all samples, in milliseconds.
    pub fn hot_from(&self) -> i64 {
        self.hot_from.load(Ordering::Acquire)
    }
}
