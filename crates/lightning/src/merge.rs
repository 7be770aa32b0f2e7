//! Merging sorted sources: one entry per key, from the newest source that has it.
//!
//! Invariants: sources are given newest first; `order` lists the sources that have an entry, sorted
//! by their key in the merge's direction and then newest first, so its head is the answer.
//! Cost: an advance compares the moved source with its successors until it finds its place, which is
//! one comparison as long as one source supplies the keys.

use std::cmp::Ordering;

use crate::Result;
use crate::btree::TreeCursor;
use crate::memtable::MemtableCursor;
use crate::options::Direction;
use crate::table::{BlobPointer, RunCursor, Stored};

/// Anything that shows sorted keys, one entry each.
pub(crate) enum Source {
    Memory(MemtableCursor),
    Run(RunCursor),
    Tree(TreeCursor),
}

impl Source {
    #[inline]
    fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Memory(cursor) => cursor.entry().map(|entry| entry.key),
            Self::Run(cursor) => cursor.key(),
            Self::Tree(cursor) => cursor.key(),
        }
    }

    #[inline]
    fn value(&self) -> Option<&[u8]> {
        match self {
            Self::Memory(cursor) => cursor.entry().and_then(|entry| entry.value),
            Self::Run(cursor) => cursor.value(),
            Self::Tree(cursor) => cursor.value(),
        }
    }

    #[inline]
    fn load(&mut self) -> Result<()> {
        match self {
            Self::Run(cursor) => cursor.load(),
            Self::Memory(_) | Self::Tree(_) => Ok(()),
        }
    }

    #[inline]
    fn advance(&mut self) -> Result<()> {
        match self {
            Self::Memory(cursor) => cursor.advance(),
            Self::Run(cursor) => cursor.advance()?,
            Self::Tree(cursor) => cursor.advance()?,
        }
        Ok(())
    }

    fn seek(&mut self, key: Option<&[u8]>) -> Result<()> {
        match (self, key) {
            (Self::Memory(cursor), Some(key)) => cursor.seek(key),
            (Self::Memory(cursor), None) => cursor.seek_first(),
            (Self::Run(cursor), Some(key)) => cursor.seek(key)?,
            (Self::Run(cursor), None) => cursor.seek_first()?,
            (Self::Tree(cursor), Some(key)) => cursor.seek(key)?,
            (Self::Tree(cursor), None) => cursor.seek_first()?,
        }
        Ok(())
    }
}

/// The merged view of sources.
pub(crate) struct Merge {
    sources: Vec<Source>,
    order: Vec<usize>,
    direction: Direction,
}

impl Merge {
    /// Merges sources (newest first), placed at `start` or the first key in the direction.
    pub(crate) fn new(sources: Vec<Source>, direction: Direction, start: Option<&[u8]>) -> Result<Self> {
        let mut merge = Self { order: Vec::with_capacity(sources.len()), sources, direction };
        for source in &mut merge.sources {
            source.seek(start)?;
        }
        merge.order.extend((0..merge.sources.len()).filter(|at| merge.sources[*at].key().is_some()));
        let mut order = std::mem::take(&mut merge.order);
        order.sort_by(|left, right| merge.compare(*left, *right));
        merge.order = order;
        merge.skip_older()?;
        Ok(merge)
    }

    #[inline]
    fn compare(&self, left: usize, right: usize) -> Ordering {
        let keys = match (self.sources[left].key(), self.sources[right].key()) {
            (Some(left), Some(right)) if self.direction == Direction::Forward => left.cmp(right),
            (Some(left), Some(right)) => right.cmp(left),
            (None, _) | (_, None) => Ordering::Equal,
        };
        keys.then(left.cmp(&right))
    }

    /// Moves the source at a place of `order` on and gives it its new place.
    #[inline]
    fn advance_at(&mut self, place: usize) -> Result<()> {
        let source = self.order[place];
        self.sources[source].advance()?;
        if self.sources[source].key().is_none() {
            self.order.remove(place);
            return Ok(());
        }
        let mut place = place;
        while place + 1 < self.order.len() && self.compare(self.order[place + 1], source) == Ordering::Less {
            self.order.swap(place, place + 1);
            place += 1;
        }
        Ok(())
    }

    /// Moves past older entries of the current key.
    #[inline]
    fn skip_older(&mut self) -> Result<()> {
        while self.order.len() > 1 {
            let same = self.sources[self.order[0]].key() == self.sources[self.order[1]].key();
            if !same {
                break;
            }
            self.advance_at(1)?;
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.sources[*self.order.first()?].key()
    }

    /// Reads the value here if it is in a blob file.
    #[inline]
    pub(crate) fn load(&mut self) -> Result<()> {
        match self.order.first() {
            Some(source) => self.sources[*source].load(),
            None => Ok(()),
        }
    }

    /// Where the value here is, if it is in a blob file.
    pub(crate) fn pointer(&self) -> Option<BlobPointer> {
        match &self.sources[*self.order.first()?] {
            Source::Run(cursor) => match cursor.stored()? {
                Stored::Pointer(pointer) => BlobPointer::decode(pointer),
                Stored::Value(_) | Stored::Tombstone => None,
            },
            Source::Memory(_) | Source::Tree(_) => None,
        }
    }

    /// The value here; `None` is a tombstone. One in a blob file must be loaded first.
    #[inline]
    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.sources[*self.order.first()?].value()
    }

    #[inline]
    pub(crate) fn advance(&mut self) -> Result<()> {
        if !self.order.is_empty() {
            self.advance_at(0)?;
            self.skip_older()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::memtable::Memtable;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    type Layer = BTreeMap<u8, Option<u8>>;

    proptest! {
        #[test]
        fn the_newest_source_wins_in_both_directions(
            layers in proptest::collection::vec(
                proptest::collection::btree_map(0u8..20, proptest::option::of(any::<u8>()), 0..20), 0..5),
        ) {
            let layers: Vec<Layer> = layers;
            let mut model = Layer::new();
            for layer in layers.iter().rev() {
                model.extend(layer);
            }
            for direction in [Direction::Forward, Direction::Reverse] {
                let sources = layers.iter().map(|layer| {
                    let table = Arc::new(Memtable::new(64));
                    for (key, value) in layer {
                        table.insert(&[*key], 1, value.as_ref().map(std::slice::from_ref));
                    }
                    Source::Memory(MemtableCursor::new(table, 1, Arc::from([]), direction))
                });
                let mut merge = Merge::new(sources.collect(), direction, None).unwrap();
                let mut found = Vec::new();
                while let Some(key) = merge.key() {
                    found.push((key[0], merge.value().map(|value| value[0])));
                    merge.advance().unwrap();
                }
                let mut expected: Vec<_> = model.clone().into_iter().collect();
                if direction == Direction::Reverse {
                    expected.reverse();
                }
                prop_assert_eq!(found, expected);
            }
        }
    }
}
