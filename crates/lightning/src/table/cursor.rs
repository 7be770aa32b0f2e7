//! Walking a run: tables in key order whose ranges don't overlap.

use std::sync::Arc;

use super::block::{Block, BlockCursor};
use super::{Loaded, Part, Stored, Table};
use crate::cache::Cached;
use crate::options::Direction;
use crate::{Error, Result};

/// A walk over a run that is too large for the cache anyway puts one of so many parts of it there.
const CACHE_SHARE: usize = 8;
/// A walk reads up to so many blocks ahead.
const AHEAD_MAX: usize = 64;

/// A place in a run. It keeps the tables and the block it reads alive.
pub(crate) struct RunCursor {
    tables: Arc<[Arc<Table>]>,
    direction: Direction,
    /// Whether blocks read from files go to the cache.
    keep: bool,
    /// Bytes of the blocks it went through.
    passed: usize,
    table: usize,
    part: usize,
    block: usize,
    open: Option<Arc<Part>>,
    /// Blocks of the open part that were read together with one before, and not gone through.
    ahead: Vec<(usize, Arc<Block>)>,
    /// For how many blocks the last such read was: each that follows is for twice as many.
    window: usize,
    /// A value from a blob file, once it was asked for.
    loaded: Option<Loaded>,
    cursor: Option<BlockCursor>,
}

impl RunCursor {
    pub(crate) fn new(tables: Arc<[Arc<Table>]>, direction: Direction, keep: bool) -> Self {
        let (table, part, block) = (0, 0, 0);
        let (ahead, open, cursor) = (Vec::new(), None, None);
        // What nothing is kept of, a merge for one, goes through all.
        let window = if keep { 0 } else { AHEAD_MAX };
        let loaded = None;
        Self { tables, direction, keep, passed: 0, table, part, block, open, ahead, window, loaded, cursor }
    }

    #[inline]
    fn placed(&self) -> Option<&BlockCursor> {
        self.cursor.as_ref().filter(|cursor| cursor.is_valid())
    }

    #[inline]
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.placed().map(BlockCursor::key)
    }

    /// What is here.
    #[inline]
    pub(crate) fn stored(&self) -> Option<Stored<'_>> {
        self.placed().map(BlockCursor::stored)
    }

    /// The value here; `None` is a tombstone, or no place. One in a blob file must be loaded first.
    #[inline]
    pub(crate) fn value(&self) -> Option<&[u8]> {
        let here = self.placed()?;
        if here.is_pointer() { self.loaded.as_ref().map(Loaded::value) } else { here.value() }
    }

    /// Whether the value here is in a blob file.
    #[inline]
    pub(crate) fn is_pointer(&self) -> bool {
        self.placed().is_some_and(BlockCursor::is_pointer)
    }

    /// Reads the value here if it is in a blob file.
    pub(crate) fn load(&mut self) -> Result<()> {
        if let (Some(Stored::Pointer(pointer)), Some(table)) = (self.stored(), self.tables.get(self.table)) {
            let loaded = table.blob(pointer, self.keep)?;
            let bytes = loaded.value().len();
            self.loaded = Some(loaded);
            self.pass(bytes);
        }
        Ok(())
    }

    /// Opens a part; `None` when there is none at the place, which ends the walk.
    fn enter_part(&mut self, table: usize, part: usize) -> Result<Option<Arc<Part>>> {
        let Some(found) = self.tables.get(table).filter(|table| part < table.parts()) else {
            (self.open, self.cursor) = (None, None);
            return Ok(None);
        };
        let opened = found.part(part, self.keep)?;
        (self.table, self.part) = (table, part);
        self.ahead.clear();
        Ok(Some(Arc::clone(self.open.insert(opened))))
    }

    /// Opens a block of the open part, unplaced; `false` when there is none at the place.
    fn enter(&mut self, block: usize) -> Result<bool> {
        let (Some(table), Some(part)) = (self.tables.get(self.table), &self.open) else { return Ok(false) };
        if block >= part.len() {
            self.cursor = None;
            return Ok(false);
        }
        let read = self.ahead.iter().position(|(read, _)| *read == block);
        let opened = match read {
            Some(read) => self.ahead.swap_remove(read).1,
            None => match part.blocks.get(block).as_ref() {
                Some(cached) => Arc::clone(cached),
                None if self.window < 2 => {
                    self.window += 1;
                    table.block(part, block, self.keep)?
                }
                None => {
                    let from_end = self.direction == Direction::Reverse;
                    let row = match self.direction {
                        Direction::Forward => (block, part.len().min(block + self.window)),
                        Direction::Reverse => ((block + 1).saturating_sub(self.window), block + 1),
                    };
                    self.window = (self.window * 2).min(AHEAD_MAX);
                    self.ahead = table.row(part, row, from_end, self.keep)?;
                    self.ahead.swap_remove(0).1
                }
            },
        };
        self.pass(opened.bytes());
        self.block = block;
        match &mut self.cursor {
            Some(cursor) => cursor.reset(opened),
            None => self.cursor = Some(BlockCursor::new(opened, self.direction)),
        }
        Ok(true)
    }

    /// Notes that it went through so many bytes.
    fn pass(&mut self, bytes: usize) {
        self.passed += bytes;
        let Some(capacity) = self.tables.first().map(|table| table.cache_bytes()) else { return };
        if self.keep && self.passed > capacity / CACHE_SHARE {
            // What a long walk reads is of use to the next one only if the cache can hold all of it.
            let run: u64 = self.tables.iter().map(|table| table.meta.bytes_with_blobs()).sum();
            self.keep = run < capacity as u64 / 2;
        }
    }

    /// To the first entry in the cursor's direction.
    pub(crate) fn seek_first(&mut self) -> Result<()> {
        let (table, part) = match self.direction {
            Direction::Forward => (0, 0),
            Direction::Reverse => self.last_part_before(self.tables.len()),
        };
        self.enter_first_block(table, part)
    }

    /// The last part of the tables before one.
    fn last_part_before(&self, table: usize) -> (usize, usize) {
        let table = table.wrapping_sub(1);
        (table, self.tables.get(table).map_or(0, |table| table.parts().saturating_sub(1)))
    }

    /// To the first entry of a part or of those after it, in the cursor's direction.
    fn enter_first_block(&mut self, table: usize, part: usize) -> Result<()> {
        let Some(open) = self.enter_part(table, part)? else { return Ok(()) };
        let first = match self.direction {
            Direction::Forward => 0,
            Direction::Reverse => open.len().saturating_sub(1),
        };
        if self.enter(first)? {
            if let Some(cursor) = &mut self.cursor {
                cursor.seek_first();
            }
            self.skip_exhausted()?;
        }
        Ok(())
    }

    /// Forward: to the first key at or after `key`. Reverse: to the last at or before it.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<()> {
        if self.keep {
            self.window = 0;
        }
        let table = match self.direction {
            Direction::Forward => self.tables.partition_point(|table| table.meta.largest.as_slice() < key),
            Direction::Reverse => {
                self.tables.partition_point(|table| table.meta.smallest.as_slice() <= key).wrapping_sub(1)
            }
        };
        // A key after all of a table, or of a part, is sought at its end.
        let part = self
            .tables
            .get(table)
            .map_or(0, |table| table.parts_before(key).min(table.parts().saturating_sub(1)));
        let Some(open) = self.enter_part(table, part)? else { return Ok(()) };
        if self.enter(open.blocks_before(key).min(open.len().saturating_sub(1)))? {
            if let Some(cursor) = &mut self.cursor {
                cursor.seek(key);
            }
            self.skip_exhausted()?;
        }
        Ok(())
    }

    /// Like `seek`, from an entry before `key`. What it finds comes after that entry, or a damaged table whose
    /// checksums match could send a walk around in circles.
    pub(crate) fn seek_on(&mut self, key: &[u8]) -> Result<()> {
        let before = (self.table, self.part, self.block);
        self.seek(key)?;
        let after = (self.table, self.part, self.block);
        let (Some(here), Some(table)) = (self.key(), self.table()) else { return Ok(()) };
        let goes_on = match self.direction {
            Direction::Forward => after >= before && here >= key,
            Direction::Reverse => after <= before && here <= key,
        };
        if goes_on { Ok(()) } else { Err(Error::corruption(&table.path, 0, "keys are not in order")) }
    }

    /// To no entry.
    pub(crate) fn finish(&mut self) {
        self.cursor = None;
    }

    /// The table of the entry here.
    pub(crate) fn table(&self) -> Option<&Arc<Table>> {
        self.tables.get(self.table)
    }

    #[inline]
    pub(crate) fn advance(&mut self) -> Result<()> {
        if self.loaded.is_some() {
            self.loaded = None;
        }
        if let Some(cursor) = &mut self.cursor {
            cursor.advance();
            if !cursor.is_valid() {
                self.skip_exhausted()?;
            }
        }
        Ok(())
    }

    /// Goes on to the next block, in the cursor's direction, until there is an entry.
    fn skip_exhausted(&mut self) -> Result<()> {
        while self.cursor.as_ref().is_some_and(|cursor| !cursor.is_valid()) {
            let blocks = self.open.as_ref().map_or(0, |part| part.len());
            let next = match self.direction {
                Direction::Forward => Some(self.block + 1).filter(|next| *next < blocks),
                Direction::Reverse => self.block.checked_sub(1),
            };
            let block = match next {
                Some(next) => next,
                None => {
                    let parts = self.tables.get(self.table).map_or(0, |table| table.parts());
                    let (table, part) = match self.direction {
                        Direction::Forward if self.part + 1 < parts => (self.table, self.part + 1),
                        Direction::Forward => (self.table + 1, 0),
                        Direction::Reverse if self.part > 0 => (self.table, self.part - 1),
                        Direction::Reverse => self.last_part_before(self.table),
                    };
                    let Some(open) = self.enter_part(table, part)? else { return Ok(()) };
                    match self.direction {
                        Direction::Forward => 0,
                        Direction::Reverse => open.len().saturating_sub(1),
                    }
                }
            };
            if !self.enter(block)? {
                return Ok(());
            }
            if let Some(cursor) = &mut self.cursor {
                cursor.seek_first();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{TableOptions, TableWriter, hash};
    use super::*;
    use crate::cache::Cache;
    use crate::options::Compression;
    use luma_sync::atomic::AtomicU64;
    use luma_vfs::{SimDisk, Vfs};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::path::Path;

    type Map = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

    type Pair<'a> = (&'a Vec<u8>, &'a Option<Vec<u8>>);

    fn run_of(map: &Map, tables: usize, options: TableOptions) -> Vec<Arc<Table>> {
        cached_run(map, tables, options, &Arc::new(Cache::new(crate::CachePolicy::default(), 1 << 20, 2)))
    }

    fn cached_run(map: &Map, tables: usize, options: TableOptions, cache: &Arc<Cache>) -> Vec<Arc<Table>> {
        let vfs: Arc<dyn Vfs> = Arc::new(SimDisk::new());
        vfs.create_dir_all(Path::new("/t")).unwrap();
        let entries: Vec<_> = map.iter().collect();
        let size = entries.len().div_ceil(tables).max(1);
        let next_id = Arc::new(AtomicU64::new(1));
        let write = |entries: &[Pair<'_>]| {
            let mut writer = TableWriter::create(&vfs, Path::new("/t"), &next_id, options).unwrap();
            for (key, value) in entries {
                writer.add(key, value.as_deref()).unwrap();
            }
            let meta = writer.finish().unwrap();
            Arc::new(Table::open(&vfs, Path::new("/t"), meta, cache).unwrap())
        };
        entries.chunks(size).map(write).collect()
    }

    #[test]
    fn a_walk_fills_the_cache_only_with_what_the_cache_can_hold() {
        let map: Map = (0..20_000u32).map(|key| (key.to_be_bytes().to_vec(), Some(vec![7; 100]))).collect();
        let options = TableOptions {
            block_bytes: 4096,
            compression: Compression::None,
            filter: crate::table::FilterOptions { bits_per_key: 10, small: false },
            part_bytes: 1 << 20,
            blob_threshold: usize::MAX,
            merges: false,
            prefix: None,
        };
        let after_two_walks = |capacity: usize| {
            let cache = Arc::new(Cache::new(crate::CachePolicy::default(), capacity, 2));
            let tables: Arc<[Arc<Table>]> = cached_run(&map, 3, options, &cache).into();
            for _ in 0..2 {
                let mut cursor = RunCursor::new(Arc::clone(&tables), Direction::Forward, true);
                cursor.seek_first().unwrap();
                while cursor.key().is_some() {
                    cursor.advance().unwrap();
                }
            }
            let blocks: usize = tables
                .iter()
                .map(|table| (0..table.parts()).map(|at| table.part(at, true).unwrap().len()).sum::<usize>())
                .sum();
            (cache.stats(), blocks as u64)
        };
        // Two megabytes of data: the second walk finds them where there is room for them.
        let (large, blocks) = after_two_walks(8 << 20);
        assert_eq!(large.misses, blocks);
        let (small, _) = after_two_walks(1 << 20);
        assert!(small.used_bytes < small.capacity_bytes / 2, "{small:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_run_of_tables_reads_as_a_map(
            map in proptest::collection::btree_map(
                proptest::collection::vec(0u8..4, 0..8),
                proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)), 0..200),
            tables in 1usize..4,
            block_bytes in 20usize..400,
            compression in prop_oneof![Just(Compression::None), Just(Compression::Lz4), Just(Compression::Zstd)],
            bits_per_key in 0u32..12,
            small: bool,
            part_bytes in prop_oneof![Just(0usize), 20usize..200, Just(1 << 20)],
            blob_threshold in prop_oneof![Just(usize::MAX), 0usize..40],
            probe in proptest::collection::vec(0u8..4, 0..8),
        ) {
            let options = TableOptions {
                block_bytes,
                compression,
                filter: crate::table::FilterOptions { bits_per_key, small },
                part_bytes,
                blob_threshold,
                merges: false,
                prefix: None,
            };
            let tables = run_of(&map, tables, options);
            for key in map.keys().chain([&probe]) {
                let mut found = None;
                for table in &tables {
                    if let Ok(value) = table.get(key, hash(key), |value| value.map(<[u8]>::to_vec)).unwrap() {
                        found = Some(value);
                    }
                }
                prop_assert_eq!(found, map.get(key).cloned());
            }
            for table in &tables {
                table.verify(&mut |_| {}).unwrap();
            }
            for direction in [Direction::Forward, Direction::Reverse] {
                let mut cursor = RunCursor::new(tables.clone().into(), direction, true);
                let mut collect = |start: Option<&[u8]>| {
                    match start {
                        Some(key) => cursor.seek(key).unwrap(),
                        None => cursor.seek_first().unwrap(),
                    }
                    let mut found = Vec::new();
                    while cursor.key().is_some() {
                        cursor.load().unwrap();
                        let key = cursor.key().unwrap();
                        found.push((key.to_vec(), cursor.value().map(<[u8]>::to_vec)));
                        cursor.advance().unwrap();
                    }
                    found
                };
                let own = |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| (key.clone(), value.clone());
                let mut all: Vec<_> = map.iter().map(own).collect();
                let mut from: Vec<_> = match direction {
                    Direction::Forward => map.range(probe.clone()..),
                    Direction::Reverse => map.range(..=probe.clone()),
                }.map(own).collect();
                if direction == Direction::Reverse {
                    all.reverse();
                    from.reverse();
                }
                prop_assert_eq!(collect(None), all);
                prop_assert_eq!(collect(Some(&probe)), from);
            }
        }
    }
}
