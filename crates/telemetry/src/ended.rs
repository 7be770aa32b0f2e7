//! Series that ended: those of which no sample is left, neither in memory nor in files, go from memory and from the
//! registry. One that comes back is a new series.
//!
//! Invariants: no batch is stored while series go, and what a batch knows of series by name from before is refused. A
//! reference is never given again. Memory goes before the registry: after a crash in between, series without samples come back, and of
//! two with the same labels the later one counts. What the log still has of series that went was gone before.

use std::sync::atomic::Ordering;

use roaring::RoaringBitmap;

use crate::error::Result;
use crate::shard::{Series, Writer};
use crate::store::Metrics;
use crate::tier::{BLOCK_SERIES, Saved};

/// How many series go at a time, while no batch is stored.
pub(crate) const PORTION: usize = 20_000;

impl Metrics {
    /// Lets series go of which no sample is left, if samples were deleted or files removed since the last time; how many went.
    ///
    /// # Errors
    /// When the registry cannot be changed. The series went from memory then, and may be back after a restart.
    pub fn forget_ended(&self) -> Result<usize> {
        if !self.maybe_ended.swap(false, Ordering::AcqRel) {
            return Ok(0);
        }
        let mut saved = self.moving.lock();
        let mut gone = RoaringBitmap::new();
        for (shard, ended) in self.ended().into_iter().enumerate() {
            let ids: Vec<u32> = ended.into_iter().collect();
            for portion in ids.chunks(PORTION) {
                gone |= self.remove_from_memory(shard, portion, |_, _, _| true);
            }
            if let Some(shard) = self.shards.get(shard) {
                shard.writer.lock().forget_texts();
            }
        }
        let done = self.remove_from_registry(&mut saved, &gone).and_then(|()| self.forget_asleep());
        match done {
            Ok(asleep) => Ok(gone.len() as usize + asleep),
            Err(error) => {
                self.maybe_ended.store(true, Ordering::Release);
                Err(error)
            }
        }
    }

    /// Removes series that went from memory.
    pub(crate) fn remove_from_registry(&self, saved: &mut Saved, gone: &RoaringBitmap) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        // Even if that fails: whoever wakes is put there once more, which does no harm.
        saved.registered -= gone;
        self.series.fetch_sub(gone.len() as usize, Ordering::Relaxed);
        self.strip_registry(gone)
    }

    /// Removes series that memory does not have from the registry.
    pub(crate) fn strip_registry(&self, gone: &RoaringBitmap) -> Result<()> {
        let next = self.references.end();
        let places = self.places();
        let blocks: RoaringBitmap = gone.iter().map(|reference| reference / BLOCK_SERIES).collect();
        let newest = self.durable_newest(&places, &blocks)?;
        self.tier.remove_series(gone, next, &newest)
    }

    /// Lets those go that sleep and have no samples any more; how many went.
    fn forget_asleep(&self) -> Result<usize> {
        if !self.lost_samples.swap(false, Ordering::AcqRel) {
            return Ok(0);
        }
        let files = self.tier.table.snapshot();
        let graves = files.tombstones();
        let went = self.dormant.retain(
            |series| files.span(series.reference, series.times.0, series.times.1).is_some(),
            |series| graves.iter().any(|grave| grave.hides(series.reference, series.times.1)),
        );
        if went.is_err() {
            self.lost_samples.store(true, Ordering::Release);
        }
        went
    }

    /// The series of each shard of which no sample is left; of others is noted from when on they may have some.
    fn ended(&self) -> Vec<RoaringBitmap> {
        let files = self.tier.table.snapshot();
        let mut of_shards = Vec::with_capacity(self.shards.len());
        for shard in &self.shards {
            let (mut ended, mut spans) = (RoaringBitmap::new(), Vec::new());
            for (id, series) in shard.state.read().iter().filter(|(_, series)| series.head.is_empty()) {
                match files.span(series.reference, series.times.0, series.times.1) {
                    Some(span) if span != series.times => spans.push((id, span)),
                    Some(_) => {}
                    None => {
                        ended.insert(id);
                    }
                }
            }
            let mut state = shard.state.write();
            for (id, span) in spans {
                // What came meanwhile may be of any time.
                if let Some(series) = state.get_mut(id).filter(|series| series.head.is_empty()) {
                    series.times = span;
                }
            }
            of_shards.push(ended);
        }
        of_shards
    }

    /// Removes series that still have no sample in memory and of which `goes` says so; gives their references. Nobody
    /// sees the shard meanwhile.
    pub(crate) fn remove_from_memory(
        &self,
        shard: usize,
        ids: &[u32],
        mut goes: impl FnMut(&Writer, u32, &Series) -> bool,
    ) -> RoaringBitmap {
        let mut round = self.round.write();
        let Some(of_shard) = self.shards.get(shard) else { return RoaringBitmap::new() };
        let (mut writer, mut state) = (of_shard.writer.lock(), of_shard.state.write());
        let is_empty = |series: &&Series| series.head.is_empty();
        let (mut going, mut references) = (RoaringBitmap::new(), RoaringBitmap::new());
        for id in ids {
            if let Some(series) = state.get(*id).filter(is_empty)
                && goes(&writer, *id, series)
            {
                references.insert(series.reference);
                going.insert(*id);
            }
        }
        writer.remove(&going);
        going.iter().for_each(|id| state.remove(id));
        *round += 1;
        let mut of_shards = vec![RoaringBitmap::new(); self.shards.len()];
        if let Some(of_shard) = of_shards.get_mut(shard) {
            *of_shard = going;
        }
        self.names.forget(&of_shards, *round);
        references
    }
}
