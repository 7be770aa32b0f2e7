//! Taking samples out, durably.
//!
//! A deletion is one record of the log that names its series, so that replaying it takes out just what was
//! there then: what is added afterwards stays. Series stay, without samples.

use luma_promql::Matcher;

use crate::error::Result;
use crate::record::RecordWriter;
use crate::store::Metrics;

impl Metrics {
    /// Takes out the samples from `from` to `to` of the series that fulfil all matchers, and waits until that is
    /// durable; how many series had such samples. Writers wait until it is done.
    ///
    /// # Errors
    /// When the log failed, or samples in memory are damaged: then nothing is acknowledged.
    pub fn delete(&self, matchers: &[Matcher], from: i64, to: i64) -> Result<usize> {
        let mut record = RecordWriter::with_capacity(0);
        // All writers, so that the log's order is that of what happens to each series.
        let mut writers: Vec<_> = self.shards.iter().map(|shard| shard.writer.lock()).collect();
        let mut chosen = Vec::with_capacity(self.shards.len());
        for shard in &self.shards {
            let state = shard.state.read();
            let mut ids = Vec::new();
            for id in state.index.select(matchers) {
                if let Some((reference, head)) = state.series.get(id as usize)
                    && head.overlaps(from, to)
                {
                    record.delete(*reference, from, to);
                    ids.push(id);
                }
            }
            chosen.push(ids);
        }
        let Some(record) = record.finish() else { return Ok(0) };
        let lsn = self.log.append(&[&record])?;
        for ((shard, writer), ids) in self.shards.iter().zip(&mut writers).zip(&chosen) {
            let mut state = shard.state.write();
            for id in ids {
                writer.deleted(*id, from, to);
                if let Some((_, head)) = state.series.get_mut(*id as usize) {
                    head.delete(from, to)?;
                }
            }
        }
        drop(writers);
        self.log.sync_in_turn(lsn);
        self.log.wait_durable(lsn)?;
        Ok(chosen.iter().map(Vec::len).sum())
    }
}
