//! Walking a run: tables in key order whose ranges don't overlap.

use std::sync::Arc;

use super::Table;
use super::block::BlockCursor;
use crate::Result;
use crate::cache::Cached;
use crate::options::Direction;

/// A walk over a run that is too large for the cache anyway puts one of so many parts of it there.
const CACHE_SHARE: usize = 8;

/// A place in a run. It keeps the tables and the block it reads alive.
pub(crate) struct RunCursor {
    tables: Arc<[Arc<Table>]>,
    direction: Direction,
    /// Whether blocks read from files go to the cache.
    keep: bool,
    /// Bytes of the blocks it went through.
    passed: usize,
    table: usize,
    block: usize,
    cursor: Option<BlockCursor>,
}

impl RunCursor {
    pub(crate) fn new(tables: Arc<[Arc<Table>]>, direction: Direction, keep: bool) -> Self {
        Self { tables, direction, keep, passed: 0, table: 0, block: 0, cursor: None }
    }

    #[inline]
    fn placed(&self) -> Option<&BlockCursor> {
        self.cursor.as_ref().filter(|cursor| cursor.is_valid())
    }

    #[inline]
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.placed().map(BlockCursor::key)
    }

    /// The value here; `None` is a tombstone, or no place.
    #[inline]
    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.placed().and_then(BlockCursor::value)
    }

    /// Opens a block, unplaced; `false` when there is none at the place.
    fn enter(&mut self, table: usize, block: usize) -> Result<bool> {
        let Some(found) = self.tables.get(table).filter(|table| block < table.blocks()) else {
            self.cursor = None;
            return Ok(false);
        };
        let opened = found.block(block, self.keep)?;
        self.passed += opened.bytes();
        if self.keep && self.passed > found.cache_bytes() / CACHE_SHARE {
            // What a long walk reads is of use to the next one only if the cache can hold all of it.
            let run: u64 = self.tables.iter().map(|table| table.meta.bytes).sum();
            self.keep = run < found.cache_bytes() as u64 / 2;
        }
        (self.table, self.block) = (table, block);
        match &mut self.cursor {
            Some(cursor) => cursor.reset(opened),
            None => self.cursor = Some(BlockCursor::new(opened, self.direction)),
        }
        Ok(true)
    }

    /// To the first entry in the cursor's direction.
    pub(crate) fn seek_first(&mut self) -> Result<()> {
        let found = match self.direction {
            Direction::Forward => self.enter(0, 0)?,
            Direction::Reverse => {
                let table = self.tables.len().wrapping_sub(1);
                let blocks = self.tables.last().map_or(0, |table| table.blocks());
                self.enter(table, blocks.wrapping_sub(1))?
            }
        };
        if found {
            if let Some(cursor) = &mut self.cursor {
                cursor.seek_first();
            }
            self.skip_exhausted()?;
        }
        Ok(())
    }

    /// Forward: to the first key at or after `key`. Reverse: to the last at or before it.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<()> {
        let found = match self.direction {
            Direction::Forward => {
                let table = self.tables.partition_point(|table| table.meta.largest.as_slice() < key);
                let block = self.tables.get(table).map_or(0, |table| table.blocks_before(key));
                self.enter(table, block)?
            }
            Direction::Reverse => {
                let after = self.tables.partition_point(|table| table.meta.smallest.as_slice() <= key);
                let table = after.wrapping_sub(1);
                let block = self
                    .tables
                    .get(table)
                    .map_or(0, |table| table.blocks_before(key).min(table.blocks().saturating_sub(1)));
                self.enter(table, block)?
            }
        };
        if found {
            if let Some(cursor) = &mut self.cursor {
                cursor.seek(key);
            }
            self.skip_exhausted()?;
        }
        Ok(())
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
            let (table, block) = match self.direction {
                Direction::Forward => {
                    let last =
                        self.tables.get(self.table).is_none_or(|table| self.block + 1 >= table.blocks());
                    if last { (self.table + 1, 0) } else { (self.table, self.block + 1) }
                }
                Direction::Reverse if self.block > 0 => (self.table, self.block - 1),
                Direction::Reverse => {
                    let table = self.table.wrapping_sub(1);
                    let blocks = self.tables.get(table).map_or(0, |table| table.blocks());
                    (table, blocks.wrapping_sub(1))
                }
            };
            if !self.enter(table, block)? {
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
    use luma_vfs::{SimDisk, Vfs};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::path::Path;

    type Map = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

    type Pair<'a> = (&'a Vec<u8>, &'a Option<Vec<u8>>);

    fn run_of(map: &Map, tables: usize, options: TableOptions) -> Vec<Arc<Table>> {
        cached_run(map, tables, options, &Arc::new(Cache::new(1 << 20, 2)))
    }

    fn cached_run(map: &Map, tables: usize, options: TableOptions, cache: &Arc<Cache>) -> Vec<Arc<Table>> {
        let vfs: Arc<dyn Vfs> = Arc::new(SimDisk::new());
        vfs.create_dir_all(Path::new("/t")).unwrap();
        let entries: Vec<_> = map.iter().collect();
        let size = entries.len().div_ceil(tables).max(1);
        let write = |(id, entries): (usize, &[Pair<'_>])| {
            let mut writer = TableWriter::create(&vfs, Path::new("/t"), id as u64, options).unwrap();
            for (key, value) in entries {
                writer.add(key, value.as_deref()).unwrap();
            }
            let meta = writer.finish().unwrap();
            Arc::new(Table::open(&vfs, Path::new("/t"), meta, cache).unwrap())
        };
        entries.chunks(size).enumerate().map(write).collect()
    }

    #[test]
    fn a_walk_fills_the_cache_only_with_what_the_cache_can_hold() {
        let map: Map = (0..20_000u32).map(|key| (key.to_be_bytes().to_vec(), Some(vec![7; 100]))).collect();
        let options =
            TableOptions { block_bytes: 4096, compression: Compression::None, bloom_bits_per_key: 10 };
        let after_two_walks = |capacity: usize| {
            let cache = Arc::new(Cache::new(capacity, 2));
            let tables: Arc<[Arc<Table>]> = cached_run(&map, 3, options, &cache).into();
            for _ in 0..2 {
                let mut cursor = RunCursor::new(Arc::clone(&tables), Direction::Forward, true);
                cursor.seek_first().unwrap();
                while cursor.key().is_some() {
                    cursor.advance().unwrap();
                }
            }
            let blocks: usize = tables.iter().map(|table| table.blocks()).sum();
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
            bloom_bits_per_key in 0u32..12,
            probe in proptest::collection::vec(0u8..4, 0..8),
        ) {
            let options = TableOptions { block_bytes, compression, bloom_bits_per_key };
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
                    while let Some(key) = cursor.key() {
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
