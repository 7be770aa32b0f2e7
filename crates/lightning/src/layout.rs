//! The seam between the engine and the layouts: all that the engine asks of stored, sorted data.
//!
//! A tree is immutable; changes make a new one. How changes are written is the layout's own business,
//! which `engine/flush.rs`, `engine/compact.rs` and `engine/adopt.rs` see through.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::Result;
use crate::btree::{BTree, TreeCursor};
use crate::key_range::KeyRanges;
use crate::lsm::{Levels, Search};
use crate::merge::Source;
use crate::options::{CompactionStrategy, Direction, Layout, Options};
use crate::table::Table;

/// The stored data of a keyspace.
#[derive(Clone)]
pub(crate) enum Tree {
    Lsm(Levels),
    BTree(Arc<BTree>),
}

/// Keys that were looked for together.
pub(crate) enum Searched<'a> {
    Lsm(&'a Levels, SmallVec<[Search<'a>; 64]>),
    BTree(&'a BTree),
}

impl Searched<'_> {
    /// Hands the value of the key at a place among those that were looked for to `use_value`, as [`Tree::get`] does.
    #[inline]
    pub(crate) fn get<R, F: FnOnce(Option<&[u8]>) -> R>(
        &self,
        at: usize,
        (key, hash): (&[u8], u64),
        use_value: F,
    ) -> Result<std::result::Result<R, F>> {
        match self {
            Self::Lsm(levels, searches) => match searches.get(at) {
                Some(search) => levels.get_found(search, key, hash, use_value),
                None => levels.get(key, hash, use_value),
            },
            Self::BTree(tree) => tree.get(key, use_value),
        }
    }
}

impl Tree {
    /// This tree without some tables and with others, where there are tables.
    pub(crate) fn changed(&self, added: &[(usize, Arc<Table>)], removed: &[u64]) -> Self {
        match self {
            Self::Lsm(levels) => Self::Lsm(levels.changed(added, removed)),
            Self::BTree(tree) => Self::BTree(Arc::clone(tree)),
        }
    }

    /// This tree without the keys of some ranges, and the tables of which nothing is left. Only of tables: a
    /// checkpoint of a B+Tree has done it.
    pub(crate) fn erased(&self, ranges: &KeyRanges) -> (Self, Vec<Arc<Table>>) {
        match self {
            Self::Lsm(levels) => {
                let (levels, gone) = levels.erased(ranges);
                (Self::Lsm(levels), gone)
            }
            Self::BTree(tree) => (Self::BTree(Arc::clone(tree)), Vec::new()),
        }
    }

    /// This tree with other holes in some tables, where there are tables.
    pub(crate) fn with_holes(&self, holes: &[(u64, KeyRanges)]) -> Self {
        match self {
            Self::Lsm(levels) => Self::Lsm(levels.with_holes(holes.iter().cloned())),
            Self::BTree(tree) => Self::BTree(Arc::clone(tree)),
        }
    }

    /// Fails if its tables can't be.
    pub(crate) fn check_order(&self) -> Result<()> {
        match self {
            Self::Lsm(levels) => levels.check_order(),
            Self::BTree(_) => Ok(()),
        }
    }

    /// Every table with its level, where there are tables.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (usize, &Arc<Table>)> {
        let levels = match self {
            Self::Lsm(levels) => Some(levels),
            Self::BTree(_) => None,
        };
        levels.into_iter().flat_map(Levels::tables)
    }

    /// Every blob file, where there are such: bytes of its values, and of those in use.
    pub(crate) fn blobs(&self) -> BTreeMap<u64, (u64, u64)> {
        match self {
            Self::Lsm(levels) => levels.blobs(),
            Self::BTree(_) => BTreeMap::new(),
        }
    }

    /// Which layout it is.
    pub(crate) fn layout(&self) -> Layout {
        match self {
            Self::Lsm(_) => Layout::Lsm,
            Self::BTree(_) => Layout::BTree,
        }
    }

    /// The B+Tree, where it is one.
    pub(crate) fn btree(&self) -> Option<&Arc<BTree>> {
        match self {
            Self::Lsm(_) => None,
            Self::BTree(tree) => Some(tree),
        }
    }

    /// Lets the files go when nobody reads them any more.
    pub(crate) fn set_obsolete(&self) {
        match self {
            Self::Lsm(levels) => levels.tables().for_each(|(_, table)| table.set_obsolete()),
            Self::BTree(tree) => tree.file.set_obsolete(),
        }
    }

    /// Bytes of the merges that are due, about.
    pub(crate) fn debt_bytes(&self, options: &Options, strategy: CompactionStrategy) -> u64 {
        match self {
            Self::Lsm(levels) => levels.debt_bytes(options, strategy),
            Self::BTree(_) => 0,
        }
    }

    /// How many tables wait to be merged, which makes reads slow.
    pub(crate) fn unmerged_tables(&self, strategy: CompactionStrategy) -> usize {
        match (self, strategy) {
            (Self::BTree(_), _) | (_, CompactionStrategy::Fifo { .. }) => 0,
            (Self::Lsm(levels), _) => levels.level0_tables(),
        }
    }

    /// Hands the value of a key to `use_value`, `None` for a tombstone; gives the function back when
    /// the key is not here. `hash` is the key's.
    #[inline]
    pub(crate) fn get<R, F: FnOnce(Option<&[u8]>) -> R>(
        &self,
        key: &[u8],
        hash: u64,
        use_value: F,
    ) -> Result<std::result::Result<R, F>> {
        match self {
            Self::Lsm(levels) => levels.get(key, hash, use_value),
            Self::BTree(tree) => tree.get(key, use_value),
        }
    }

    /// Looks for keys, each with its hash; reads what they need from the disk together, as much as the cache can well
    /// take.
    pub(crate) fn search<'a>(&'a self, keys: &[(&[u8], u64)]) -> Result<Searched<'a>> {
        match self {
            Self::Lsm(levels) => Ok(Searched::Lsm(levels, levels.search(keys)?)),
            Self::BTree(tree) => {
                tree.prefetch(keys.iter().map(|(key, _)| *key)).map(|()| Searched::BTree(tree))
            }
        }
    }

    /// Adds sources for what lies between the bounds, newest first; all keys there have the prefix with this hash,
    /// if there is one.
    pub(crate) fn add_sources(
        &self,
        first: Option<&[u8]>,
        last: Option<&[u8]>,
        prefix: Option<u64>,
        direction: Direction,
        sources: &mut Vec<Source>,
    ) -> Result<()> {
        match self {
            Self::Lsm(levels) => levels.add_sources(first, last, prefix, direction, sources),
            Self::BTree(tree) => {
                sources.push(Source::Tree(TreeCursor::new(Arc::clone(tree), direction, true)));
                Ok(())
            }
        }
    }

    /// The level for tables with keys between two, both included, of which there are none yet.
    pub(crate) fn level_with_room(&self, first: &[u8], last: &[u8]) -> usize {
        match self {
            Self::Lsm(levels) => levels.level_with_room(first, last),
            Self::BTree(_) => 0,
        }
    }

    /// Whether there are keys between two, both included; deleted ones may count.
    pub(crate) fn overlaps(&self, first: &[u8], last: &[u8]) -> Result<bool> {
        match self {
            Self::Lsm(levels) => levels.has_some_of(first, last),
            Self::BTree(tree) => tree.overlaps(first, last),
        }
    }
}
