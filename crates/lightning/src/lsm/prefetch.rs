//! Reading what many gets will need, together.

use super::Levels;
use crate::Result;
use crate::table::{Known, Missing, read_missing};

/// One of so many parts of the cache is filled with one batch.
const CACHE_SHARE: u64 = 8;
/// A key takes two rounds per table that seems to have it, one for the part and one for the block, and one for
/// a value in a blob file.
const ROUNDS_MAX: usize = 8;

impl Levels {
    /// Reads the parts, blocks and large values of keys, each with its hash, that are not in the cache, as much as it can
    /// well take.
    pub(crate) fn prefetch(&self, keys: &[(&[u8], u64)]) -> Result<()> {
        let mut waiting = keys.to_vec();
        for _ in 0..ROUNDS_MAX {
            let mut missing: Vec<Missing> = Vec::new();
            waiting.retain(|(key, hash)| {
                let found = self.first_unknown(key, *hash);
                let waits = found.is_some();
                missing.extend(found);
                waits
            });
            missing.sort_unstable_by_key(Missing::number);
            missing.dedup_by_key(|missing| missing.number());
            let Some(room) = self.tables().next().map(|(_, table)| table.cache_bytes() as u64 / CACHE_SHARE)
            else {
                return Ok(());
            };
            let mut bytes = 0;
            let fitting = missing.iter().take_while(|missing| {
                bytes += missing.bytes();
                bytes <= room
            });
            let fitting = fitting.count();
            if fitting < 2 {
                // One by itself is read as well when it is asked for.
                return Ok(());
            }
            missing.truncate(fitting);
            read_missing(&missing)?;
        }
        Ok(())
    }

    /// What has to be read next to find a key; `None` if nothing.
    fn first_unknown(&self, key: &[u8], hash: u64) -> Option<Missing> {
        let in_runs = self
            .runs
            .iter()
            .filter_map(|run| run.get(run.partition_point(|table| table.meta.largest.as_slice() < key)));
        for table in self.level0.iter().chain(in_runs) {
            if self.is_in_hole(table, key) {
                continue;
            }
            match table.known(key, hash) {
                Known::Here => return None,
                Known::Absent => {}
                Known::Unknown(missing) => return Some(missing),
            }
        }
        None
    }
}
