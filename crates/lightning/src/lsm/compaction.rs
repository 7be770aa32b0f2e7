//! Merging tables, and leveled compaction's choice of them; that of the other strategies is in `strategies`.
//!
//! Level 0 is merged into level 1 when it has too many tables; a deeper level gives a table to the
//! next one when it is larger than its share, which grows tenfold per level. A table that overlaps
//! nothing below moves without being read. Tombstones go when no deeper level could have the key. A table
//! that is mostly holes, or has too many, is written anew, and so is one that points into a blob file that is
//! mostly garbage, with those values. A table that is half tombstones is merged down before its turn.

use luma_sync::atomic::AtomicU64;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use luma_vfs::Vfs;

use super::{Levels, RUNS, Run};
use crate::Result;
use crate::estimate::cut;
use crate::keep::Keep;
use crate::key_range::{KeyRange, is_before};
use crate::merge::Merge;
use crate::merge_operator::Below;
use crate::options::{CompactionStrategy, Direction, Options};
use crate::table::{BLOB_FOOTER_BYTES, BlobPointer, BlobSource, Table, TableMeta, TableOptions, TableWriter};

const GROWTH: u64 = 10;
/// A blob file is emptied when less than one part in so many is in use.
const GARBAGE_SHARE: u64 = 2;
/// A table of which half are tombstones, and not fewer than this, is merged into the next level soon, so that
/// walks don't pass over them for long.
const TOMBSTONES_MIN: u64 = 64;
/// Unless that would write so many times as many keys.
const KEYS_PER_TOMBSTONE_MAX: u64 = 16;
/// A merge is only done in parts if each fills so many tables.
const TABLES_PER_PART_MIN: u64 = 2;
/// A table with more holes is written anew.
const HOLES_MAX: usize = 256;

/// What to merge.
pub(crate) struct Compaction {
    /// Newest first: level-0 tables each, or one level's tables.
    upper: Vec<Run>,
    lower: Run,
    /// Where the result goes.
    pub(crate) level: usize,
    /// Runs deeper than that.
    deeper: Vec<Run>,
    /// Blob files from which the values that are left are moved.
    emptied: HashSet<u64>,
    /// What all of this is part of.
    levels: Levels,
    /// What stays; everything unless it is set.
    pub(crate) keep: Keep,
}

/// Where and how a merge writes tables.
pub(crate) struct Output<'a> {
    pub(crate) vfs: &'a Arc<dyn Vfs>,
    pub(crate) directory: &'a Path,
    pub(crate) options: TableOptions,
    /// A table of so many bytes is full.
    pub(crate) table_bytes: u64,
    pub(crate) next_id: &'a Arc<AtomicU64>,
}

impl Output<'_> {
    fn create(&self) -> Result<TableWriter> {
        TableWriter::create(self.vfs, self.directory, self.next_id, self.options)
    }
}

/// What a look at the levels gave.
pub(crate) enum CompactionPlan {
    /// Nothing to do.
    None,
    /// A table sinks a level as it is.
    Move(Arc<Table>, usize),
    Merge(Compaction),
    /// Tables go, whole.
    Drop(Vec<Arc<Table>>),
}

pub(super) fn bytes(run: &[Arc<Table>]) -> u64 {
    run.iter().map(|table| table.meta.bytes).sum()
}

/// The tables of a run that overlap any of the given ones.
fn overlapping(run: &[Arc<Table>], tables: &[Arc<Table>]) -> Vec<Arc<Table>> {
    let Some(first) = tables.iter().map(|table| table.meta.smallest.as_slice()).min() else {
        return Vec::new();
    };
    let last = tables.iter().map(|table| table.meta.largest.as_slice()).max().unwrap_or(first);
    run.iter().filter(|table| table.meta.overlaps(first, last)).map(Arc::clone).collect()
}

impl Levels {
    /// What should be merged next.
    pub(crate) fn plan(
        &self,
        options: &Options,
        strategy: CompactionStrategy,
        cursors: &mut [Vec<u8>; RUNS],
    ) -> CompactionPlan {
        match strategy {
            CompactionStrategy::Leveled => self.plan_leveled(options, cursors),
            CompactionStrategy::Universal { size_ratio_percent, space_amplification_percent_max } => {
                match self.pick_universal(options, size_ratio_percent, space_amplification_percent_max) {
                    Some(picked) => self.merge_newest(picked),
                    None => self.mend(),
                }
            }
            CompactionStrategy::Fifo { bytes_max } => self.plan_fifo(bytes_max),
        }
    }

    /// What should be merged next in levels. `cursors` remembers per level where the last choice ended, so that
    /// all of a level gets its turn.
    fn plan_leveled(&self, options: &Options, cursors: &mut [Vec<u8>; RUNS]) -> CompactionPlan {
        let level0 = self.level0.len() as f64 / options.level0_tables.max(1) as f64;
        let mut best = (if self.level0.len() >= options.level0_tables.max(1) { level0 } else { 0.0 }, 0);
        let mut share = options.level_bytes.max(1);
        // The last level takes everything.
        for (index, run) in self.runs.iter().take(RUNS - 1).enumerate() {
            let score = bytes(run) as f64 / share as f64;
            if score > 1.0 && score > best.0 {
                best = (score, index + 1);
            }
            share = share.saturating_mul(GROWTH);
        }
        match best {
            (score, _) if score <= 0.0 => self.mend(),
            (_, 0) => self.merge_level0(),
            (_, level) => self.sink(level, &mut cursors[level - 1]),
        }
    }

    /// Bytes of the merges that are due, about.
    pub(crate) fn debt_bytes(&self, options: &Options, strategy: CompactionStrategy) -> u64 {
        match strategy {
            CompactionStrategy::Leveled => self.leveled_debt(options),
            CompactionStrategy::Universal { size_ratio_percent, space_amplification_percent_max } => {
                let picked =
                    self.pick_universal(options, size_ratio_percent, space_amplification_percent_max);
                picked.map_or(0, |picked| {
                    bytes(&self.level0)
                        + self.runs[..picked.deepest].iter().map(|run| bytes(run)).sum::<u64>()
                })
            }
            CompactionStrategy::Fifo { .. } => 0,
        }
    }

    /// Bytes that merges will read until each level has its share, about: what is too much in a level, with what
    /// it overlaps in the next, all the way down.
    fn leveled_debt(&self, options: &Options) -> u64 {
        let mut sinks =
            if self.level0.len() >= options.level0_tables.max(1) { bytes(&self.level0) } else { 0 };
        let mut share = options.level_bytes.max(1);
        let mut debt = 0;
        for (index, run) in self.runs.iter().enumerate() {
            let held = bytes(run);
            // Tables of level 0 have all keys; one of a deeper level overlaps some ten of the next.
            let met = if index == 0 { held } else { held.min(sinks.saturating_mul(GROWTH)) };
            if sinks > 0 {
                debt += sinks + met;
            }
            sinks = (held + sinks).saturating_sub(share);
            share = share.saturating_mul(GROWTH);
        }
        debt
    }

    /// Everything into the deepest level that has tables, or level 1; `anyway` also if all of it is there and
    /// clean.
    pub(crate) fn plan_all(&self, strategy: CompactionStrategy, anyway: bool) -> CompactionPlan {
        if let CompactionStrategy::Fifo { bytes_max } = strategy {
            return self.plan_fifo(bytes_max);
        }
        let deepest = (1..=RUNS).rev().find(|level| !self.runs[level - 1].is_empty()).unwrap_or(1);
        let upper: Vec<Run> = self.level0.iter().map(|table| Arc::from([Arc::clone(table)])).collect();
        let between = self.runs[..deepest - 1].iter().filter(|run| !run.is_empty()).map(Arc::clone);
        let upper: Vec<Run> = upper.into_iter().chain(between).collect();
        let lower = Arc::clone(&self.runs[deepest - 1]);
        let is_clean =
            |table: &Arc<Table>| table.meta.tombstones == 0 && self.holes_of(table.meta.id).is_none();
        if upper.is_empty() && (lower.is_empty() || !anyway && lower.iter().all(is_clean)) {
            return CompactionPlan::None;
        }
        self.merge(upper, lower, deepest, Vec::new())
    }

    fn merge_level0(&self) -> CompactionPlan {
        let lower = overlapping(&self.runs[0], &self.level0);
        let upper = self.level0.iter().map(|table| Arc::from([Arc::clone(table)])).collect();
        self.merge(upper, lower.into(), 1, self.runs[1..].to_vec())
    }

    pub(super) fn merge(
        &self,
        upper: Vec<Run>,
        lower: Run,
        level: usize,
        deeper: Vec<Run>,
    ) -> CompactionPlan {
        CompactionPlan::Merge(Compaction {
            upper,
            lower,
            level,
            deeper,
            emptied: self.wasted_blobs(),
            levels: self.clone(),
            keep: Keep::default(),
        })
    }

    /// Every blob file: bytes of its values, and of those that tables point to.
    pub(crate) fn blobs(&self) -> BTreeMap<u64, (u64, u64)> {
        let mut blobs: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        for (file, uses) in self.tables().flat_map(|(_, table)| &table.meta.blobs) {
            let known = blobs.entry(*file).or_default();
            let values = uses.file.bytes.saturating_sub(BLOB_FOOTER_BYTES as u64);
            *known = (values, known.1 + uses.bytes);
        }
        blobs
    }

    /// The blob files of which more is garbage than not.
    fn wasted_blobs(&self) -> HashSet<u64> {
        let blobs = self.blobs().into_iter();
        blobs.filter(|(_, (bytes, used))| used * GARBAGE_SHARE < *bytes).map(|(file, _)| file).collect()
    }

    /// Writes a table anew that is mostly holes, or points into a blob file that is mostly garbage.
    fn mend(&self) -> CompactionPlan {
        let wasted = self.wasted_blobs();
        let is_to_mend = |table: &Arc<Table>| {
            let points = || table.meta.blobs.keys().any(|file| wasted.contains(file));
            let is_holed = self.holes_of(table.meta.id).is_some_and(|holes| {
                // What can't be read is merged: that tells of it.
                let share = |hole: &KeyRange| {
                    table.share_between(Some(&hole.start), hole.end.as_deref()).unwrap_or(1.0)
                };
                holes.len() > HOLES_MAX || holes.iter().map(share).sum::<f64>() > 0.5
            });
            is_holed || points()
        };
        if self.level0.iter().any(is_to_mend) {
            return self.merge_level0();
        }
        if let Some((level, table)) = self.tables().find(|(_, table)| is_to_mend(table)) {
            let table = Arc::from([Arc::clone(table)]);
            return self.merge(Vec::new(), table, level, self.runs[level..].to_vec());
        }
        let found = self.tables().find(|(level, table)| self.is_worth_deleting(*level, table));
        match found {
            None => CompactionPlan::None,
            Some((0, _)) => self.merge_level0(),
            Some((level, table)) => {
                let (smallest, largest) = (&table.meta.smallest, &table.meta.largest);
                if self.runs[level..].iter().any(|run| self.run_overlaps(run, smallest, largest)) {
                    return self.sink_table(level, table);
                }
                // Here there is nothing that its tombstones could delete.
                self.merge(Vec::new(), Arc::from([Arc::clone(table)]), level, Vec::new())
            }
        }
    }

    /// Whether merging a table into the next level takes many keys away for what it writes.
    fn is_worth_deleting(&self, level: usize, table: &Arc<Table>) -> bool {
        let tombstones = table.meta.tombstones;
        if tombstones < TOMBSTONES_MIN || tombstones * 2 < table.meta.entries {
            return false;
        }
        // The last level has none but where something was brought in above what a merge still read.
        let Some(below) = self.runs.get(level) else { return false };
        let written = overlapping(below, std::slice::from_ref(table));
        let keys = written.iter().map(|table| table.meta.entries).sum::<u64>();
        keys <= tombstones * KEYS_PER_TOMBSTONE_MAX
    }

    fn sink(&self, level: usize, cursor: &mut Vec<u8>) -> CompactionPlan {
        let run = &self.runs[level - 1];
        let next = run.iter().find(|table| table.meta.smallest.as_slice() > cursor.as_slice());
        let Some(table) = next.or_else(|| run.first()) else { return CompactionPlan::None };
        cursor.clone_from(&table.meta.largest);
        self.sink_table(level, table)
    }

    /// A table into the next level.
    fn sink_table(&self, level: usize, table: &Arc<Table>) -> CompactionPlan {
        let lower = overlapping(&self.runs[level], std::slice::from_ref(table));
        if lower.is_empty() {
            return CompactionPlan::Move(Arc::clone(table), level + 1);
        }
        let upper = vec![Arc::from([Arc::clone(table)])];
        self.merge(upper, lower.into(), level + 1, self.runs[level + 1..].to_vec())
    }
}

impl Compaction {
    /// The tables that the result replaces.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.upper.iter().flat_map(|run| run.iter()).chain(self.lower.iter())
    }

    /// Whether nothing lies below the result.
    pub(crate) fn is_at_the_bottom(&self) -> bool {
        self.deeper.iter().all(|run| run.is_empty())
    }

    /// Ranges of keys that together are all, so many and of about the same size, to merge at the same time. Fewer
    /// where a part would not fill a few tables.
    pub(crate) fn ranges(&self, parts: usize, table_bytes: u64) -> Vec<KeyRange> {
        let bytes = self.inputs().map(|table| table.meta.bytes).sum::<u64>();
        let useful = bytes / table_bytes.saturating_mul(TABLES_PER_PART_MIN).max(1);
        let parts = parts.min(usize::try_from(useful).unwrap_or(usize::MAX)).max(1);
        let mut keys = Vec::new();
        if parts > 1 {
            for table in self.inputs() {
                // What can't be read is told of by the merge.
                let sample = table.sample(parts * 8).unwrap_or_default();
                let bytes = table.meta.bytes / sample.len().max(1) as u64;
                keys.extend(sample.into_iter().map(|key| (key, bytes)));
            }
        }
        let points = cut(keys.iter().map(|(key, bytes)| (key.as_slice(), *bytes)).collect(), parts);
        let starts = std::iter::once(Vec::new()).chain(points.iter().cloned());
        let ends = points.iter().cloned().map(Some).chain([None]);
        starts.zip(ends).map(|(start, end)| KeyRange { start, end }).collect()
    }

    /// Merges what lies in a range into new tables, which are durable but for their names.
    pub(crate) fn run(
        &self,
        range: &KeyRange,
        output: &Output<'_>,
        keep_going: &(dyn Fn() -> Result<()> + Sync),
    ) -> Result<Vec<TableMeta>> {
        let runs = self.upper.iter().chain(std::iter::once(&self.lower)).filter(|run| !run.is_empty());
        let sources = runs.map(|run| self.levels.source(Arc::clone(run), Direction::Forward, false));
        let start = Some(range.start.as_slice()).filter(|start| !start.is_empty());
        let mut merge = Merge::gathering(self.keep.merges(), sources.collect(), Direction::Forward, start)?;
        let mut tables = Vec::new();
        let mut writer: Option<TableWriter> = None;
        let blobs = self.inputs().flat_map(|table| &table.meta.blobs);
        let sources: HashMap<u64, BlobSource> = blobs.map(|(file, uses)| (*file, uses.file)).collect();
        while merge.key().is_some_and(|key| is_before(key, range.end.as_deref())) {
            // What is judged is read.
            let stays = |pointer: &BlobPointer| !self.keep.judges() && !self.emptied.contains(&pointer.file);
            let pointer = merge.pointer().filter(stays);
            if pointer.is_none() {
                merge.load()?;
            }
            let Some(key) = merge.key() else { break };
            let has_older = || self.deeper.iter().any(|run| self.levels.run_overlaps(run, key, key));
            let below = || if has_older() { Below::Older } else { Below::Nothing };
            let value = merge.value().and_then(|stored| self.keep.value(key, stored, below));
            let is_value = pointer.is_some() || value.is_some();
            if is_value || has_older() {
                let open = match &mut writer {
                    Some(open) => open,
                    None => {
                        keep_going()?;
                        writer.insert(output.create()?)
                    }
                };
                match pointer {
                    Some(pointer) => {
                        let file = sources.get(&pointer.file).copied().unwrap_or_default();
                        open.add_pointer(key, pointer, file)?;
                    }
                    None => open.add(key, value.as_deref())?,
                }
                if open.is_full(output.table_bytes)
                    && let Some(full) = writer.take()
                {
                    tables.push(full.finish()?);
                }
            }
            merge.advance()?;
        }
        if let Some(last) = writer {
            tables.push(last.finish()?);
        }
        Ok(tables)
    }
}
