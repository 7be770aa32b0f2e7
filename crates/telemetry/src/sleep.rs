//! Series that ended fall asleep: memory and the lists of series that it holds let go of them, files keep their samples.
//!
//! Invariants: what sleeps is on disk first, then it leaves memory, then the registry of those that are awake. After a crash in
//! between, what the registry has is awake.

use luma_strata::Snapshot;
use roaring::RoaringBitmap;

use crate::dormant::Tired;
use crate::ended::PORTION;
use crate::error::Result;
use crate::shard::Shard;
use crate::store::Metrics;
use crate::tier::key_of;

impl Metrics {
    /// Lets series sleep of which memory has no samples, files do, and whose newest sample is from before a time (in
    /// milliseconds); how many fell asleep. They wake when a sample of theirs comes.
    ///
    /// # Errors
    /// When the registry cannot be written. Series that left memory sleep then, and may be awake after a restart.
    pub fn put_to_sleep(&self, before: i64) -> Result<usize> {
        let mut saved = self.moving.lock();
        let files = self.tier.table.snapshot();
        let mut gone = RoaringBitmap::new();
        for (at, shard) in self.shards.iter().enumerate() {
            let ids = shard
                .state
                .read()
                .iter()
                .filter(|(_, series)| series.head.is_empty() && series.times.1 < before)
                .map(|(id, _)| id)
                .collect::<Vec<u32>>();
            for portion in ids.chunks(PORTION) {
                gone |= self.put_portion_to_sleep(at, shard, portion, &files)?;
            }
            if !ids.is_empty() {
                shard.writer.lock().forget_texts();
            }
        }
        self.remove_from_registry(&mut saved, &gone)?;
        Ok(gone.len() as usize)
    }

    fn put_portion_to_sleep(
        &self,
        at: usize,
        shard: &Shard,
        ids: &[u32],
        files: &Snapshot,
    ) -> Result<RoaringBitmap> {
        let mut tired = Vec::new();
        {
            let (writer, state) = (shard.writer.lock(), shard.state.read());
            for id in ids {
                let Some((series, labels)) = state.get(*id).zip(state.index.labels(*id)) else { continue };
                let Some((last, newest)) = writer.last(*id) else { continue };
                if self.dormant.is_pending(series.reference) {
                    continue;
                }
                let times = (series.times.0, series.times.1.max(last));
                // Of those that have no samples anywhere nothing is to be kept.
                if series.head.is_empty() && files.span(series.reference, times.0, times.1).is_some() {
                    let tired_one = Tired { reference: series.reference, key: key_of(labels), times, newest };
                    tired.push((tired_one, *id));
                }
            }
        }
        if tired.is_empty() {
            return Ok(RoaringBitmap::new());
        }
        let mut ids: Vec<(u32, u32)> = tired.iter().map(|(tired, id)| (tired.reference, *id)).collect();
        ids.sort_unstable();
        let mut beds = self.dormant.make_beds(tired.into_iter().map(|(tired, _)| tired).collect())?;
        beds.sort_unstable_by_key(|(tired, _)| tired.reference);
        let ids: Vec<u32> = ids.into_iter().map(|(_, id)| id).collect();
        let fell = self.remove_from_memory(at, &ids, |writer, id, series| {
            let bed = beds.binary_search_by_key(&series.reference, |(tired, _)| tired.reference);
            let Some((tired, group)) = bed.ok().and_then(|at| beds.get(at)) else { return false };
            // A sample may have come and gone to files meanwhile, or been deleted.
            let same = writer.last(id).is_some_and(|(last, newest)| {
                tired.times == (series.times.0, series.times.1.max(last))
                    && newest.is_some() == tired.newest.is_some()
            });
            let falls = same && !self.dormant.is_pending(series.reference);
            if falls {
                self.dormant.fall_asleep(series.reference, *group);
            }
            falls
        });
        let awake = beds.iter().filter(|(tired, _)| !fell.contains(tired.reference));
        let left: RoaringBitmap = awake.map(|(_, group)| *group).collect();
        self.dormant.strip_beds(&left)?;
        Ok(fell)
    }
}
