//! Walking a memtable: one entry per key, the newest version that counts.
//!
//! The cursor keeps the memtable alive, so what it returns stays valid until it moves.

use std::sync::Arc;

use super::{Entry, Memtable, Place, Undone, Veil, is_undone};
use crate::options::Direction;

/// Versions of one key that are walked over before searching for the next key instead.
const STEPS_MAX: usize = 8;

/// A place in a memtable.
pub(crate) struct MemtableCursor {
    table: Arc<Memtable>,
    sequence: u64,
    /// What does not count, if anything.
    undone: Option<Arc<Undone>>,
    direction: Direction,
    at: Option<Place>,
}

impl MemtableCursor {
    /// A cursor over what is not newer than `sequence` and not undone; not placed yet.
    pub(crate) fn new(
        table: Arc<Memtable>,
        sequence: u64,
        undone: Option<Arc<Undone>>,
        direction: Direction,
    ) -> Self {
        Self { table, sequence, undone, direction, at: None }
    }

    /// A forward cursor over the newest version of each key; not placed yet.
    pub(crate) fn over_all(table: Arc<Memtable>) -> Self {
        Self::new(table, u64::MAX, None, Direction::Forward)
    }

    /// What this walk sees of the memtable's range tombstones. The walk itself shows what they hide.
    pub(crate) fn veil(&self) -> Option<Veil> {
        let tiers = self.table.erased.tiers()?;
        Some(Veil::new(tiers, self.sequence, self.undone.clone()))
    }

    /// To no entry.
    pub(crate) fn finish(&mut self) {
        self.at = None;
    }

    #[inline]
    pub(crate) fn entry(&self) -> Option<Entry<'_>> {
        self.at.map(|position| self.table.list.entry(position))
    }

    /// The versions of the key here that count, the newest first.
    pub(crate) fn versions(&self) -> impl Iterator<Item = Entry<'_>> {
        let list = &self.table.list;
        let key = self.entry().map(|entry| entry.key);
        let mut at = self.at;
        std::iter::from_fn(move || {
            loop {
                let position = at?;
                let entry = list.entry(position);
                if Some(entry.key) != key {
                    return None;
                }
                at = list.next(position);
                if self.counts(&entry) {
                    return Some(entry);
                }
            }
        })
    }

    /// To the first entry in the cursor's direction.
    pub(crate) fn seek_first(&mut self) {
        match self.direction {
            Direction::Forward => {
                self.at = self.table.list.first();
                self.settle_forward();
            }
            Direction::Reverse => {
                self.at = self.table.list.last();
                self.settle_reverse();
            }
        }
    }

    /// Forward: to the first key at or after `key`. Reverse: to the last key at or before it.
    pub(crate) fn seek(&mut self, key: &[u8]) {
        match self.direction {
            Direction::Forward => {
                self.at = self.table.list.seek(key, u64::MAX);
                self.settle_forward();
            }
            Direction::Reverse => {
                let found = self.table.list.seek(key, u64::MAX);
                let here = found.filter(|position| self.table.list.entry(*position).key == key);
                self.at = here.and_then(|newest| self.counting_version(newest));
                if self.at.is_none() {
                    self.at = self.table.list.seek_before(key);
                    self.settle_reverse();
                }
            }
        }
    }

    pub(crate) fn advance(&mut self) {
        let Some(position) = self.at else { return };
        match self.direction {
            Direction::Forward => {
                self.at = self.next_key(position);
                self.settle_forward();
            }
            Direction::Reverse => {
                self.at = self.key_before(position);
                self.settle_reverse();
            }
        }
    }

    fn counts(&self, entry: &Entry<'_>) -> bool {
        entry.sequence <= self.sequence
            && self.undone.as_ref().is_none_or(|undone| !is_undone(undone, entry.sequence))
    }

    /// The first version of the next key.
    fn next_key(&self, position: Place) -> Option<Place> {
        let list = &self.table.list;
        let key = list.entry(position).key;
        let mut at = list.next(position);
        for _ in 0..STEPS_MAX {
            match at {
                Some(position) if list.entry(position).key == key => at = list.next(position),
                _ => return at,
            }
        }
        // Past every version of the key but perhaps some of sequence 0.
        let mut at = list.seek(key, 0);
        while let Some(position) = at.filter(|position| list.entry(*position).key == key) {
            at = list.next(position);
        }
        at
    }

    /// The oldest version of the key before.
    fn key_before(&self, position: Place) -> Option<Place> {
        let list = &self.table.list;
        let key = list.entry(position).key;
        let mut at = list.previous(position);
        for _ in 0..STEPS_MAX {
            match at {
                Some(position) if list.entry(position).key == key => at = list.previous(position),
                _ => return at,
            }
        }
        list.seek_before(key)
    }

    /// From the first version of a key to the one that counts, or on to the next key that has one.
    fn settle_forward(&mut self) {
        while let Some(position) = self.at {
            if let Some(counting) = self.counting_version(position) {
                self.table.list.fetch_next(counting);
                self.at = Some(counting);
                return;
            }
            self.at = self.next_key(position);
        }
    }

    /// From the oldest version of a key to the one that counts, or on to the key before that has one.
    fn settle_reverse(&mut self) {
        while let Some(oldest) = self.at {
            if let Some(counting) = self.counting_version_back(oldest) {
                self.at = Some(counting);
                return;
            }
            self.at = self.key_before(oldest);
        }
    }

    /// The newest version that counts of the key whose oldest version is here.
    fn counting_version_back(&self, oldest: Place) -> Option<Place> {
        let list = &self.table.list;
        let key = list.entry(oldest).key;
        let (mut at, mut counting) = (Some(oldest), None);
        for _ in 0..STEPS_MAX {
            let Some(here) = at else { return counting };
            let entry = list.entry(here);
            if entry.key != key || entry.sequence > self.sequence {
                return counting;
            }
            if self.counts(&entry) {
                counting = Some(here);
            }
            at = list.previous(here);
        }
        let newest = list.seek(key, self.sequence)?;
        if list.entry(newest).key == key { self.counting_version(newest) } else { None }
    }

    /// The newest version that counts, from `position` on, of the same key.
    fn counting_version(&self, position: Place) -> Option<Place> {
        let list = &self.table.list;
        let first = list.entry(position);
        if self.counts(&first) {
            return Some(position);
        }
        let mut at = if first.sequence > self.sequence {
            list.seek(first.key, self.sequence)
        } else {
            list.next(position)
        };
        while let Some(position) = at {
            let entry = list.entry(position);
            if entry.key != first.key {
                return None;
            }
            if self.counts(&entry) {
                return Some(position);
            }
            at = list.next(position);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn both_directions_show_the_counting_version_of_each_key(
            operations in proptest::collection::vec((0u8..12, proptest::option::of(any::<u8>())), 0..120),
            limit in 0u64..120,
            undone in (0u64..100, 0u64..30),
            probe in 0u8..13,
        ) {
            let table = Arc::new(Memtable::new(64));
            let undone: Arc<Undone> = Arc::from([(undone.0, undone.0 + undone.1)]);
            let mut model = BTreeMap::new();
            for (index, (key, value)) in operations.into_iter().enumerate() {
                let sequence = index as u64 + 1;
                table.insert(&[key], sequence, value.as_ref().map(std::slice::from_ref));
                if sequence <= limit && !is_undone(&undone, sequence) {
                    model.insert(key, value);
                }
            }
            for direction in [Direction::Forward, Direction::Reverse] {
                let mut cursor = MemtableCursor::new(Arc::clone(&table), limit, Some(Arc::clone(&undone)), direction);
                let mut collect = |start: Option<u8>| {
                    match start {
                        Some(key) => cursor.seek(&[key]),
                        None => cursor.seek_first(),
                    }
                    let mut found = Vec::new();
                    while let Some(entry) = cursor.entry() {
                        found.push((entry.key[0], entry.value.map(|value| value[0])));
                        cursor.advance();
                    }
                    found
                };
                let mut all: Vec<_> = model.clone().into_iter().collect();
                let mut from: Vec<_> = match direction {
                    Direction::Forward => model.range(probe..),
                    Direction::Reverse => model.range(..=probe),
                }.map(|(key, value)| (*key, *value)).collect();
                if direction == Direction::Reverse {
                    all.reverse();
                    from.reverse();
                }
                prop_assert_eq!(collect(None), all);
                prop_assert_eq!(collect(Some(probe)), from);
            }
        }
    }
}
