//! The log-structured layout: tables in levels.
//!
//! Level 0 holds flushed memtables, newest first, and they may overlap. Levels 1 to 6 are runs: in
//! key order, not overlapping. For any key a smaller level, and in level 0 a newer table, has the
//! newer version. Levels are immutable; a change makes new ones that share the tables.

mod compaction;

use std::sync::Arc;

pub(crate) use compaction::{Compaction, CompactionPlan};

use crate::Result;
use crate::merge::Source;
use crate::options::Direction;
use crate::table::{RunCursor, Table};

/// Levels below level 0.
pub(crate) const RUNS: usize = 6;

type Run = Arc<[Arc<Table>]>;

/// The tables of a keyspace.
#[derive(Clone)]
pub(crate) struct Levels {
    level0: Vec<Arc<Table>>,
    runs: [Run; RUNS],
}

impl Default for Levels {
    fn default() -> Self {
        Self { level0: Vec::new(), runs: std::array::from_fn(|_| Arc::from([])) }
    }
}

impl Levels {
    /// These levels without some tables and with others.
    pub(crate) fn changed(&self, added: &[(usize, Arc<Table>)], removed: &[u64]) -> Self {
        let mut next = self.clone();
        next.level0.retain(|table| !removed.contains(&table.meta.id));
        next.level0.extend(added.iter().filter(|(level, _)| *level == 0).map(|(_, table)| Arc::clone(table)));
        // Flushes of a keyspace take their numbers one after the other.
        next.level0.sort_by_key(|table| std::cmp::Reverse(table.meta.id));
        for (index, run) in next.runs.iter_mut().enumerate() {
            let here = |level: usize| level == index + 1;
            let changes = added.iter().any(|(level, _)| here(*level))
                || run.iter().any(|table| removed.contains(&table.meta.id));
            if !changes {
                continue;
            }
            let kept = run.iter().filter(|table| !removed.contains(&table.meta.id));
            let new = added.iter().filter(|(level, _)| here(*level)).map(|(_, table)| table);
            let mut tables: Vec<Arc<Table>> = kept.chain(new).map(Arc::clone).collect();
            tables.sort_by(|left, right| left.meta.smallest.cmp(&right.meta.smallest));
            debug_assert!(tables.windows(2).all(|pair| pair[0].meta.largest < pair[1].meta.smallest));
            *run = tables.into();
        }
        next
    }

    /// Every table with its level.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (usize, &Arc<Table>)> {
        let runs = self.runs.iter().enumerate();
        let deeper = runs.flat_map(|(index, run)| run.iter().map(move |table| (index + 1, table)));
        self.level0.iter().map(|table| (0, table)).chain(deeper)
    }

    pub(crate) fn level0_tables(&self) -> usize {
        self.level0.len()
    }

    /// Hands the newest value of a key to `use_value`; gives the function back when no table has it.
    #[inline]
    pub(crate) fn get<R, F: FnOnce(Option<&[u8]>) -> R>(
        &self,
        key: &[u8],
        hash: u64,
        mut use_value: F,
    ) -> Result<std::result::Result<R, F>> {
        for table in &self.level0 {
            match table.get(key, hash, use_value)? {
                Ok(found) => return Ok(Ok(found)),
                Err(unused) => use_value = unused,
            }
        }
        for run in &self.runs {
            let table = match run.len() {
                0 => continue,
                1 => &run[0],
                _ => {
                    let at = run.partition_point(|table| table.meta.largest.as_slice() < key);
                    let Some(table) = run.get(at) else { continue };
                    table
                }
            };
            match table.get(key, hash, use_value)? {
                Ok(found) => return Ok(Ok(found)),
                Err(unused) => use_value = unused,
            }
        }
        Ok(Err(use_value))
    }

    /// Adds a source for each table or run that has keys between the bounds, newest first.
    pub(crate) fn add_sources(
        &self,
        first: Option<&[u8]>,
        last: Option<&[u8]>,
        direction: Direction,
        sources: &mut Vec<Source>,
    ) {
        let wanted = |table: &Table| {
            last.is_none_or(|last| table.meta.smallest.as_slice() <= last)
                && first.is_none_or(|first| table.meta.largest.as_slice() >= first)
        };
        for table in self.level0.iter().filter(|table| wanted(table)) {
            let run = Arc::from([Arc::clone(table)]);
            sources.push(Source::Run(RunCursor::new(run, direction, true)));
        }
        for run in &self.runs {
            let from =
                first.map_or(0, |first| run.partition_point(|table| table.meta.largest.as_slice() < first));
            if run.get(from).is_some_and(|table| wanted(table)) {
                sources.push(Source::Run(RunCursor::new(Arc::clone(run), direction, true)));
            }
        }
    }

    /// Whether a table's range has keys between two keys, both included.
    pub(crate) fn overlaps(&self, first: &[u8], last: &[u8]) -> bool {
        self.level0.iter().any(|table| table.meta.overlaps(first, last))
            || self.runs.iter().any(|run| run_overlaps(run, first, last))
    }
}

fn run_overlaps(run: &[Arc<Table>], first: &[u8], last: &[u8]) -> bool {
    let at = run.partition_point(|table| table.meta.largest.as_slice() < first);
    run.get(at).is_some_and(|table| table.meta.overlaps(first, last))
}
