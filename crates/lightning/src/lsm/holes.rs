//! Holes: what was deleted from a table as a range after it was written.
//!
//! A flushed range tombstone changes what is known of the tables that are there: those it covers go, unread,
//! and the others get a hole. So nothing has to sink through the levels, no read looks for tombstones in
//! newer tables, and a hole ends with its table, whose keys a merge leaves out.
//!
//! Invariants: a hole lies between the smallest and the largest key of its table. Tables are immutable; views
//! from before the deletion have the same tables without the hole.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Result;
use crate::key_range::KeyRanges;
use crate::options::Direction;
use crate::table::{RunCursor, Stored, TableMeta};

/// The holes of tables that have some, by the number of the table.
pub(crate) type Holes = BTreeMap<u64, Arc<KeyRanges>>;

/// What a deletion of ranges leaves of a table.
pub(crate) enum Left {
    All,
    /// All but this.
    Part(KeyRanges),
    Nothing,
}

/// What is left of a table with these holes.
pub(crate) fn left_of(meta: &TableMeta, known: Option<&KeyRanges>, erased: &KeyRanges) -> Left {
    let new = erased.within(&meta.smallest, &meta.largest);
    if new.is_empty() {
        return Left::All;
    }
    let mut all = known.cloned().unwrap_or_default();
    all.extend(&new);
    if all.cover(&meta.smallest, &meta.largest) { Left::Nothing } else { Left::Part(all) }
}

/// A walk over a run that passes over the holes of its tables.
pub(crate) struct HoledRun {
    run: RunCursor,
    holes: Arc<Holes>,
    direction: Direction,
    /// Those of the table with this number.
    current: Option<(u64, Arc<KeyRanges>)>,
}

impl HoledRun {
    pub(crate) fn new(run: RunCursor, holes: Arc<Holes>, direction: Direction) -> Self {
        Self { run, holes, direction, current: None }
    }

    #[inline]
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.run.key()
    }

    /// What is here.
    #[inline]
    pub(crate) fn stored(&self) -> Option<Stored<'_>> {
        self.run.stored()
    }

    /// Whether the value here is in a blob file.
    #[inline]
    pub(crate) fn is_pointer(&self) -> bool {
        self.run.is_pointer()
    }

    /// Reads the value here if it is in a blob file.
    pub(crate) fn load(&mut self) -> Result<()> {
        self.run.load()
    }

    /// The value here; `None` is a tombstone, or no place. One in a blob file must be loaded first.
    #[inline]
    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.run.value()
    }

    pub(crate) fn seek_first(&mut self) -> Result<()> {
        self.run.seek_first()?;
        self.settle()
    }

    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.run.seek(key)?;
        self.settle()
    }

    /// Like `seek`, from an entry before `key` in the walk's direction.
    pub(crate) fn seek_on(&mut self, key: &[u8]) -> Result<()> {
        self.run.seek_on(key)?;
        self.settle()
    }

    #[inline]
    pub(crate) fn advance(&mut self) -> Result<()> {
        self.run.advance()?;
        self.settle()
    }

    pub(crate) fn finish(&mut self) {
        self.run.finish();
    }

    #[inline]
    fn settle(&mut self) -> Result<()> {
        if self.holes.is_empty() { Ok(()) } else { self.leave_holes() }
    }

    fn leave_holes(&mut self) -> Result<()> {
        loop {
            let Some(table) = self.run.key().and_then(|_| self.run.table()).map(|table| table.meta.id) else {
                return Ok(());
            };
            if self.current.as_ref().is_none_or(|(known, _)| *known != table) {
                let holes = self.holes.get(&table).cloned().unwrap_or_default();
                self.current = Some((table, holes));
            }
            let key = self.run.key().unwrap_or_default();
            let Some(hole) = self.current.as_ref().and_then(|(_, holes)| holes.around(key)) else {
                return Ok(());
            };
            match (self.direction, &hole.end) {
                (Direction::Forward, Some(end)) => self.run.seek_on(end)?,
                (Direction::Forward, None) => self.run.finish(),
                (Direction::Reverse, _) => {
                    self.run.seek_on(&hole.start)?;
                    if self.run.key() == Some(hole.start.as_slice()) {
                        self.run.advance()?;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::cache::Cache;
    use crate::key_range::KeyRange;
    use crate::key_range::tests::any_range;
    use crate::lsm::Levels;
    use crate::merge::{Merge, Source};
    use crate::options::Compression;
    use crate::table::{Table, TableOptions, TableWriter, hash};
    use luma_sync::atomic::AtomicU64;
    use luma_vfs::{SimDisk, Vfs};
    use proptest::prelude::*;
    use std::path::Path;

    fn table(vfs: &Arc<dyn Vfs>, cache: &Arc<Cache>, id: u64, keys: &[u8]) -> Arc<Table> {
        let options = TableOptions {
            block_bytes: 24,
            part_bytes: 64,
            compression: Compression::None,
            filter: crate::table::FilterOptions { bits_per_key: 10, small: false },
            blob_threshold: usize::MAX,
            merges: false,
            prefix: None,
        };
        let next_id = Arc::new(AtomicU64::new(id));
        let mut writer = TableWriter::create(vfs, Path::new("/t"), &next_id, options).unwrap();
        for key in keys {
            writer.add(&[*key], Some(&[id as u8])).unwrap();
        }
        Arc::new(Table::open(vfs, Path::new("/t"), writer.finish().unwrap(), cache).unwrap())
    }

    proptest! {
        #[test]
        fn erased_keys_are_gone_from_all_levels_and_come_back_only_with_new_tables(
            erased in proptest::collection::vec((any_range(), any::<bool>()), 0..6),
            start in proptest::option::of(0u8..26),
        ) {
            let vfs: Arc<dyn Vfs> = Arc::new(SimDisk::new());
            vfs.create_dir_all(Path::new("/t")).unwrap();
            let cache = Arc::new(Cache::new(crate::CachePolicy::default(), 1 << 20, 4));
            let all: Vec<u8> = (0..24).collect();
            let deep: Vec<(usize, Arc<Table>)> =
                all.chunks(5).enumerate().map(|(at, keys)| (2, table(&vfs, &cache, at as u64 + 1, keys))).collect();
            let mut levels = Levels::default().changed(&deep, &[]);
            let mut model: BTreeMap<u8, u8> =
                all.chunks(5).enumerate().flat_map(|(at, keys)| keys.iter().map(move |key| (*key, at as u8 + 1))).collect();
            let mut next = 10u8;
            for (range, refill) in erased {
                let before = levels.tables().count();
                let (after, gone) = levels.erased(&KeyRanges::from_iter([range.clone()]));
                levels = after;
                model.retain(|key, _| !range.contains(&[*key]));
                prop_assert_eq!(levels.tables().count() + gone.len(), before);
                prop_assert!(gone.iter().all(|table| !model.keys().any(|key| table.meta.overlaps(&[*key], &[*key]) && model[key] == table.meta.id as u8)));
                if refill {
                    let keys: Vec<u8> = (3..20).step_by(4).collect();
                    levels = levels.changed(&[(0, table(&vfs, &cache, u64::from(next), &keys))], &[]);
                    model.extend(keys.iter().map(|key| (*key, next)));
                    next += 1;
                }
            }
            for key in 0..26 {
                let found = levels.get(&[key], hash(&[key]), |value| value.unwrap()[0]).unwrap().ok();
                prop_assert_eq!(found, model.get(&key).copied(), "key {}", key);
            }
            for direction in [Direction::Forward, Direction::Reverse] {
                let mut sources: Vec<Source> = Vec::new();
                levels.add_sources(None, None, None, direction, &mut sources).unwrap();
                let start = start.map(|key| [key]);
                let mut merge = Merge::new(sources, direction, start.as_ref().map(<[u8; 1]>::as_slice)).unwrap();
                let mut found = Vec::new();
                while let Some(key) = merge.key() {
                    found.push((key[0], merge.value().unwrap()[0]));
                    merge.advance().unwrap();
                }
                let mut expected: Vec<(u8, u8)> = model.clone().into_iter().collect();
                expected.retain(|(key, _)| start.is_none_or(|start| match direction {
                    Direction::Forward => *key >= start[0],
                    Direction::Reverse => *key <= start[0],
                }));
                if direction == Direction::Reverse {
                    expected.reverse();
                }
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn a_hole_does_not_reach_beyond_its_table() {
        let meta = TableMeta { id: 1, smallest: vec![5], largest: vec![9], ..TableMeta::default() };
        let erased = KeyRanges::from_iter([KeyRange { start: vec![7], end: None }]);
        let Left::Part(holes) = left_of(&meta, None, &erased) else { panic!("a part is left") };
        assert!(holes.contains(&[9]) && !holes.contains(&[9, 1]) && !holes.contains(&[10]));
        let rest = KeyRanges::from_iter([KeyRange { start: vec![0], end: Some(vec![7]) }]);
        assert!(matches!(left_of(&meta, Some(&holes), &rest), Left::Nothing));
        let apart = KeyRanges::from_iter([KeyRange { start: vec![10], end: None }]);
        assert!(matches!(left_of(&meta, None, &apart), Left::All));
    }
}
