//! The seam between the engine and the layouts: all that the engine asks of stored, sorted data.
//!
//! A tree is immutable; changes make a new one. A second layout is a second variant here.

use std::sync::Arc;

use crate::Result;
use crate::lsm::Levels;
use crate::merge::Source;
use crate::options::{Direction, Layout};
use crate::table::Table;

/// The stored data of a keyspace.
#[derive(Clone)]
pub(crate) enum Tree {
    Lsm(Levels),
}

impl Tree {
    pub(crate) fn new(layout: Layout) -> Self {
        match layout {
            Layout::Lsm => Self::Lsm(Levels::default()),
        }
    }

    /// This tree without some tables and with others.
    pub(crate) fn changed(&self, added: &[(usize, Arc<Table>)], removed: &[u64]) -> Self {
        match self {
            Self::Lsm(levels) => Self::Lsm(levels.changed(added, removed)),
        }
    }

    /// Every table with its level.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (usize, &Arc<Table>)> {
        match self {
            Self::Lsm(levels) => levels.tables(),
        }
    }

    /// Where tables go whose keys lie apart from all others.
    pub(crate) fn ingest_level(&self) -> usize {
        match self {
            Self::Lsm(_) => crate::lsm::RUNS,
        }
    }

    /// How many tables wait to be merged, which is what makes writers wait.
    pub(crate) fn unmerged_tables(&self) -> usize {
        match self {
            Self::Lsm(levels) => levels.level0_tables(),
        }
    }

    /// Hands the value of a key to `use_value`, `None` for a tombstone; gives the function back when
    /// the key is not here.
    #[inline]
    pub(crate) fn get<R, F: FnOnce(Option<&[u8]>) -> R>(
        &self,
        key: &[u8],
        use_value: F,
    ) -> Result<std::result::Result<R, F>> {
        match self {
            Self::Lsm(levels) => levels.get(key, use_value),
        }
    }

    /// Adds sources for what lies between the bounds, newest first.
    pub(crate) fn add_sources(
        &self,
        first: Option<&[u8]>,
        last: Option<&[u8]>,
        direction: Direction,
        sources: &mut Vec<Source>,
    ) {
        match self {
            Self::Lsm(levels) => levels.add_sources(first, last, direction, sources),
        }
    }

    /// Whether there may be keys between two keys, both included.
    pub(crate) fn overlaps(&self, first: &[u8], last: &[u8]) -> bool {
        match self {
            Self::Lsm(levels) => levels.overlaps(first, last),
        }
    }
}
