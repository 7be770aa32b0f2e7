//! The log-structured layout: tables in levels.
//!
//! Level 0 holds flushed memtables, newest first, and they may overlap. Levels 1 to 6 are runs: in
//! key order, not overlapping. For any key a smaller level, and in level 0 a newer table, has the
//! newer version. Levels are immutable; a change makes new ones that share the tables.

mod compaction;
mod holes;
mod search;
mod strategies;

use std::sync::Arc;

pub(crate) use compaction::{Compaction, CompactionPlan, Output};
pub(crate) use holes::{HoledRun, Holes, Left, left_of};
pub(crate) use search::Search;

use crate::Result;
use crate::key_range::KeyRanges;
use crate::merge::{Merge, Source};
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
    holes: Arc<Holes>,
}

impl Default for Levels {
    fn default() -> Self {
        Self { level0: Vec::new(), runs: std::array::from_fn(|_| Arc::from([])), holes: Arc::default() }
    }
}

impl Levels {
    /// These levels without some tables and with others.
    pub(crate) fn changed(&self, added: &[(usize, Arc<Table>)], removed: &[u64]) -> Self {
        let mut next = self.clone();
        let stays = |id: &u64| added.iter().any(|(_, table)| table.meta.id == *id);
        if self.holes.keys().any(|id| removed.contains(id) && !stays(id)) {
            Arc::make_mut(&mut next.holes).retain(|id, _| !removed.contains(id) || stays(id));
        }
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
            *run = tables.into();
        }
        next
    }

    /// Fails if tables of a run overlap: what merged or recorded them read a damaged file.
    pub(crate) fn check_order(&self) -> Result<()> {
        let mut neighbours = self.runs.iter().flat_map(|run| run.windows(2));
        match neighbours.find(|pair| pair[0].meta.largest >= pair[1].meta.smallest) {
            Some(pair) => Err(pair[0].corruption("its keys overlap those of the next table of its level")),
            None => Ok(()),
        }
    }

    /// These levels with other holes in some tables.
    pub(crate) fn with_holes(&self, holes: impl IntoIterator<Item = (u64, KeyRanges)>) -> Self {
        let mut next = self.clone();
        let mut holes = holes.into_iter().peekable();
        if holes.peek().is_some() {
            Arc::make_mut(&mut next.holes).extend(holes.map(|(id, holes)| (id, Arc::new(holes))));
        }
        next
    }

    /// These levels without the keys of some ranges, and the tables of which nothing is left.
    pub(crate) fn erased(&self, ranges: &KeyRanges) -> (Self, Vec<Arc<Table>>) {
        let (mut holed, mut gone) = (Vec::new(), Vec::new());
        for (_, table) in self.tables() {
            match left_of(&table.meta, self.holes_of(table.meta.id), ranges) {
                Left::All => {}
                Left::Part(holes) => holed.push((table.meta.id, holes)),
                Left::Nothing => gone.push(Arc::clone(table)),
            }
        }
        let removed: Vec<u64> = gone.iter().map(|table| table.meta.id).collect();
        (self.with_holes(holed).changed(&[], &removed), gone)
    }

    pub(crate) fn holes_of(&self, table: u64) -> Option<&KeyRanges> {
        self.holes.get(&table).map(AsRef::as_ref)
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
        let is_whole = self.holes.is_empty();
        for table in &self.level0 {
            if !is_whole && self.is_in_hole(table, key) {
                continue;
            }
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
            if !is_whole && self.is_in_hole(table, key) {
                continue;
            }
            match table.get(key, hash, use_value)? {
                Ok(found) => return Ok(Ok(found)),
                Err(unused) => use_value = unused,
            }
        }
        Ok(Err(use_value))
    }

    fn is_in_hole(&self, table: &Table, key: &[u8]) -> bool {
        self.holes_of(table.meta.id).is_some_and(|holes| holes.contains(key))
    }

    fn source(&self, run: Run, direction: Direction, keep: bool) -> Source {
        let run = RunCursor::new(run, direction, keep);
        Source::Run(HoledRun::new(run, Arc::clone(&self.holes), direction))
    }

    /// Adds a source for each table or run that has keys between the bounds, newest first; if all keys between
    /// them have the prefix with this hash, only for those that may have some.
    pub(crate) fn add_sources(
        &self,
        first: Option<&[u8]>,
        last: Option<&[u8]>,
        prefix: Option<u64>,
        direction: Direction,
        sources: &mut Vec<Source>,
    ) -> Result<()> {
        let is_between = |table: &Table| {
            last.is_none_or(|last| table.meta.smallest.as_slice() <= last)
                && first.is_none_or(|first| table.meta.largest.as_slice() >= first)
        };
        let may_have = |table: &Table| match (prefix, first, last) {
            (Some(prefix), Some(first), Some(last)) => table.may_have(prefix, first, last),
            _ => Ok(true),
        };
        for table in self.level0.iter().filter(|table| is_between(table)) {
            if may_have(table)? {
                sources.push(self.source(Arc::from([Arc::clone(table)]), direction, true));
            }
        }
        for run in &self.runs {
            let from =
                first.map_or(0, |first| run.partition_point(|table| table.meta.largest.as_slice() < first));
            for table in run[from..].iter().take_while(|table| is_between(table)) {
                if may_have(table)? {
                    sources.push(self.source(Arc::clone(run), direction, true));
                    break;
                }
            }
        }
        Ok(())
    }

    /// The deepest level whose tables, holes or not, leave room for tables with keys between two, both
    /// included.
    pub(crate) fn level_with_room(&self, first: &[u8], last: &[u8]) -> usize {
        let has_room = |level: &usize| {
            let run = &self.runs[level - 1];
            let at = run.partition_point(|table| table.meta.largest.as_slice() < first);
            run.get(at).is_none_or(|table| !table.meta.overlaps(first, last))
        };
        (1..=RUNS).rev().find(has_room).unwrap_or(0)
    }

    /// Whether there are keys between two, both included; deleted ones may count.
    pub(crate) fn has_some_of(&self, first: &[u8], last: &[u8]) -> Result<bool> {
        let mut sources = Vec::new();
        self.add_sources(Some(first), Some(last), None, Direction::Forward, &mut sources)?;
        let all = Merge::new(sources, Direction::Forward, Some(first))?;
        Ok(all.key().is_some_and(|key| key <= last))
    }

    /// Whether a table may have keys between two, both included, as far as is known without reading it.
    pub(crate) fn overlaps(&self, first: &[u8], last: &[u8]) -> bool {
        self.level0.iter().any(|table| self.may_have_some_of(table, first, last))
            || self.runs.iter().any(|run| self.run_overlaps(run, first, last))
    }

    fn run_overlaps(&self, run: &[Arc<Table>], first: &[u8], last: &[u8]) -> bool {
        let at = run.partition_point(|table| table.meta.largest.as_slice() < first);
        run.get(at).is_some_and(|table| self.may_have_some_of(table, first, last))
    }

    fn may_have_some_of(&self, table: &Table, first: &[u8], last: &[u8]) -> bool {
        let erased = || self.holes_of(table.meta.id).is_some_and(|holes| holes.cover(first, last));
        table.meta.overlaps(first, last) && !erased()
    }
}
