//! Merging sorted sources: one entry per key, from the newest source that has it.
//!
//! Invariants: sources are given newest first; `order` lists the sources that have an entry, sorted
//! by their key in the merge's direction and then newest first, so its head is the answer. No entry is
//! shown that a range tombstone of its own memtable or of a newer one hides; older sources are moved
//! past what a tombstone covers by seeking, not step by step.
//! Cost: an advance compares the moved source with its successors until it finds its place, which is
//! one comparison as long as one source supplies the keys.

use std::cmp::Ordering;

use smallvec::SmallVec;

use crate::Result;
use crate::btree::TreeCursor;
use crate::key_range::is_before;
use crate::lsm::HoledRun;
use crate::memtable::{Edge, MemtableCursor, Veil};
use crate::merge_operator::{Below, Operands, is_open};
use crate::options::Direction;
use crate::spilled::SpilledCursor;
use crate::table::{BlobPointer, Stored};

/// Anything that shows sorted keys, one entry each.
pub(crate) enum Source {
    Memory(MemtableCursor),
    Spilled(SpilledCursor),
    Run(HoledRun),
    Tree(TreeCursor),
}

impl Source {
    #[inline]
    fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Memory(cursor) => cursor.entry().map(|entry| entry.key),
            Self::Spilled(cursor) => cursor.key(),
            Self::Run(cursor) => cursor.key(),
            Self::Tree(cursor) => cursor.key(),
        }
    }

    #[inline]
    fn value(&self) -> Option<&[u8]> {
        match self {
            Self::Memory(cursor) => cursor.entry().and_then(|entry| entry.value),
            Self::Spilled(cursor) => cursor.value(),
            Self::Run(cursor) => cursor.value(),
            Self::Tree(cursor) => cursor.value(),
        }
    }

    /// Whether what is here waits for something older. What is in a blob file does not.
    fn is_open(&self) -> bool {
        self.value().is_some_and(is_open)
    }

    /// Adds the operands here; what is stored of them once it is known what they lie on. `erased` is the
    /// newest range tombstone over the key.
    fn gather(&self, erased: Option<u64>, operands: &mut Operands) -> Result<Option<Vec<u8>>> {
        let mut take = |value: Option<&[u8]>| match value {
            None => Some(operands.over(Below::Nothing)),
            Some(stored) if is_open(stored) => {
                operands.push(stored);
                None
            }
            Some(stored) => Some(operands.over(Below::Stored(stored))),
        };
        let visible = |sequence: u64| erased.is_none_or(|erased| sequence >= erased);
        let mut take_visible =
            |sequence: u64, value: Option<&[u8]>| take(value.filter(|_| visible(sequence)));
        let done = match self {
            Self::Memory(cursor) => {
                cursor.versions().find_map(|version| take_visible(version.sequence, version.value))
            }
            Self::Spilled(cursor) => cursor.find_version(take_visible)?,
            Self::Run(_) | Self::Tree(_) => return Ok(take(self.value())),
        };
        Ok(done.or_else(|| erased.map(|_| operands.over(Below::Nothing))))
    }

    #[inline]
    fn is_pointer(&self) -> bool {
        match self {
            Self::Run(cursor) => cursor.is_pointer(),
            Self::Memory(_) | Self::Spilled(_) | Self::Tree(_) => false,
        }
    }

    fn load(&mut self) -> Result<()> {
        match self {
            Self::Run(cursor) => cursor.load(),
            Self::Memory(_) | Self::Spilled(_) | Self::Tree(_) => Ok(()),
        }
    }

    #[inline]
    fn advance(&mut self) -> Result<()> {
        match self {
            Self::Memory(cursor) => cursor.advance(),
            Self::Spilled(cursor) => cursor.advance()?,
            Self::Run(cursor) => cursor.advance()?,
            Self::Tree(cursor) => cursor.advance()?,
        }
        Ok(())
    }

    fn seek(&mut self, key: Option<&[u8]>) -> Result<()> {
        match (self, key) {
            (Self::Memory(cursor), Some(key)) => cursor.seek(key),
            (Self::Memory(cursor), None) => cursor.seek_first(),
            (Self::Spilled(cursor), Some(key)) => cursor.seek(key)?,
            (Self::Spilled(cursor), None) => cursor.seek_first()?,
            (Self::Run(cursor), Some(key)) => cursor.seek(key)?,
            (Self::Run(cursor), None) => cursor.seek_first()?,
            (Self::Tree(cursor), Some(key)) => cursor.seek(key)?,
            (Self::Tree(cursor), None) => cursor.seek_first()?,
        }
        Ok(())
    }

    /// Like `seek`, from an entry before `key` in the walk's direction.
    fn seek_on(&mut self, key: &[u8]) -> Result<()> {
        match self {
            Self::Memory(cursor) => cursor.seek(key),
            Self::Spilled(cursor) => cursor.seek(key)?,
            Self::Run(cursor) => cursor.seek_on(key)?,
            Self::Tree(cursor) => cursor.seek_on(key)?,
        }
        Ok(())
    }

    /// To no entry.
    fn finish(&mut self) {
        match self {
            Self::Memory(cursor) => cursor.finish(),
            Self::Spilled(cursor) => cursor.finish(),
            Self::Run(cursor) => cursor.finish(),
            Self::Tree(cursor) => cursor.finish(),
        }
    }

    /// The sequence of the entry here, where entries have one.
    fn sequence(&self) -> u64 {
        match self {
            Self::Memory(cursor) => cursor.entry().map_or(0, |entry| entry.sequence),
            Self::Spilled(cursor) => cursor.sequence().unwrap_or_default(),
            Self::Run(_) | Self::Tree(_) => 0,
        }
    }
}

/// The merged view of sources.
pub(crate) struct Merge {
    sources: Vec<Source>,
    order: SmallVec<[usize; 8]>,
    direction: Direction,
    /// The range tombstones of sources that have some, newest first.
    veils: Vec<(usize, Veil)>,
    /// Whether operands of merges are gathered from all sources.
    gathers: bool,
    /// Whether every entry of a source counts that no newer source has.
    is_plain: bool,
    /// What is here when it is operands.
    gathered: Option<Vec<u8>>,
}

impl Merge {
    /// Merges sources (newest first), placed at `start` or the first key in the direction.
    pub(crate) fn new(sources: Vec<Source>, direction: Direction, start: Option<&[u8]>) -> Result<Self> {
        Self::gathering(false, sources, direction, start)
    }

    /// The same; of a keyspace with a merge operator, what is merged into a key is shown as one.
    pub(crate) fn gathering(
        gathers: bool,
        sources: Vec<Source>,
        direction: Direction,
        start: Option<&[u8]>,
    ) -> Result<Self> {
        let veiled = |(at, source): (usize, &Source)| match source {
            Source::Memory(cursor) => cursor.veil().map(|veil| (at, veil)),
            Source::Spilled(cursor) => cursor.veil().map(|veil| (at, veil)),
            Source::Run(_) | Source::Tree(_) => None,
        };
        let veils: Vec<_> = sources.iter().enumerate().filter_map(veiled).collect();
        let is_plain = veils.is_empty() && !gathers;
        let mut merge =
            Self { order: SmallVec::new(), sources, direction, veils, gathers, is_plain, gathered: None };
        for source in &mut merge.sources {
            source.seek(start)?;
        }
        merge.sort();
        merge.settle()?;
        Ok(merge)
    }

    /// Gives every source its place.
    fn sort(&mut self) {
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend((0..self.sources.len()).filter(|at| self.sources[*at].key().is_some()));
        order.sort_by(|left, right| self.compare(*left, *right));
        self.order = order;
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
        self.sources[self.order[place]].advance()?;
        self.sink(place);
        Ok(())
    }

    /// Gives the source at a place of `order`, which was moved on, its new place.
    #[inline]
    fn sink(&mut self, mut place: usize) {
        let source = self.order[place];
        if self.sources[source].key().is_none() {
            self.order.remove(place);
            return;
        }
        while place + 1 < self.order.len() && self.compare(self.order[place + 1], source) == Ordering::Less {
            self.order.swap(place, place + 1);
            place += 1;
        }
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

    /// From any entry of a key to the one that counts, or on to the next key that has one.
    #[inline]
    fn settle(&mut self) -> Result<()> {
        if self.gathers {
            self.pass_hidden()?;
            self.gather()?;
            return self.skip_older();
        }
        self.skip_older()?;
        if self.is_plain { Ok(()) } else { self.pass_hidden() }
    }

    /// Moves on as long as the entry here is hidden by a range tombstone.
    fn pass_hidden(&mut self) -> Result<()> {
        while let Some(head) = self.order.first().copied() {
            let source = &self.sources[head];
            let Some(key) = source.key() else { return Ok(()) };
            // What is newer than the source hides all of it; its own tombstones only what is older.
            let hiding = self.veils.iter_mut().take_while(|(at, _)| *at <= head).find_map(|(at, veil)| {
                let erased = veil.newest_over(key)?;
                (*at < head || erased > source.sequence()).then(|| (*at, veil.bounds()))
            });
            let Some((hiding, (from, to))) = hiding else { return Ok(()) };
            if self.leap(hiding, &from, &to)? {
                if hiding == head {
                    self.sources[head].advance()?;
                }
                self.sort();
            } else {
                self.advance_at(0)?;
            }
            if !self.gathers {
                self.skip_older()?;
            }
        }
        Ok(())
    }

    /// Gathers the operands here and what they lie on, as far as it is in these sources.
    fn gather(&mut self) -> Result<()> {
        self.gathered = None;
        let Some(head) = self.order.first().copied() else { return Ok(()) };
        let source = &self.sources[head];
        let (Some(key), true) = (source.key(), source.is_open()) else { return Ok(()) };
        let (key, mut operands) = (key.to_vec(), Operands::default());
        for at in self.order.clone() {
            if self.sources[at].key() != Some(key.as_slice()) {
                break;
            }
            let (mut newer, mut own) = (None, None);
            for (veil_at, veil) in &mut self.veils {
                match (*veil_at).cmp(&at) {
                    Ordering::Less => newer = newer.or_else(|| veil.newest_over(&key)),
                    Ordering::Equal => own = veil.newest_over(&key),
                    Ordering::Greater => {}
                }
            }
            if newer.is_some() {
                self.gathered = Some(operands.over(Below::Nothing));
                return Ok(());
            }
            self.sources[at].load()?;
            if let Some(gathered) = self.sources[at].gather(own, &mut operands)? {
                self.gathered = Some(gathered);
                return Ok(());
            }
        }
        self.gathered = Some(operands.over(Below::Older));
        Ok(())
    }

    /// Moves the sources older than one past a place, as far as they are between two.
    fn leap(&mut self, newer: usize, from: &Edge, to: &Edge) -> Result<bool> {
        let mut moved = false;
        for source in self.sources.iter_mut().skip(newer + 1) {
            let Some(key) = source.key() else { continue };
            if from.as_ref().is_some_and(|from| key < from) || !is_before(key, to.as_deref()) {
                continue;
            }
            moved = true;
            match (self.direction, from, to) {
                (Direction::Forward, _, Some(to)) => source.seek_on(to)?,
                (Direction::Reverse, Some(from), _) => {
                    source.seek_on(from)?;
                    if source.key() == Some(from) {
                        source.advance()?;
                    }
                }
                _ => source.finish(),
            }
        }
        Ok(moved)
    }

    #[inline]
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.sources[*self.order.first()?].key()
    }

    #[inline(never)]
    fn load_pointer(&mut self, source: usize) -> Result<()> {
        if self.gathered.is_some() { Ok(()) } else { self.sources[source].load() }
    }

    /// Reads the value here if it is in a blob file.
    #[inline]
    pub(crate) fn load(&mut self) -> Result<()> {
        match self.order.first() {
            Some(source) if self.sources[*source].is_pointer() => self.load_pointer(*source),
            _ => Ok(()),
        }
    }

    /// Where the value here is, if it is in a blob file.
    pub(crate) fn pointer(&self) -> Option<BlobPointer> {
        if self.gathered.is_some() {
            return None;
        }
        match &self.sources[*self.order.first()?] {
            Source::Run(cursor) => match cursor.stored()? {
                Stored::Pointer(pointer) => BlobPointer::decode(pointer),
                Stored::Value(_) | Stored::Tombstone => None,
            },
            Source::Memory(_) | Source::Spilled(_) | Source::Tree(_) => None,
        }
    }

    /// The value here; `None` is a tombstone. One in a blob file must be loaded first.
    #[inline]
    pub(crate) fn value(&self) -> Option<&[u8]> {
        match &self.gathered {
            None => self.sources[*self.order.first()?].value(),
            Some(gathered) => Some(gathered),
        }
    }

    #[inline]
    pub(crate) fn advance(&mut self) -> Result<()> {
        let Some(head) = self.order.first().copied() else { return Ok(()) };
        if !self.is_plain {
            self.advance_at(0)?;
            return self.settle();
        }
        self.sources[head].advance()?;
        if self.leads(head) {
            return Ok(());
        }
        self.sink(0);
        self.skip_older()
    }

    /// Whether the source at the head of `order` has a key that is before those of all others.
    #[inline]
    fn leads(&self, head: usize) -> bool {
        let Some(key) = self.sources[head].key() else { return false };
        let next = self.order.get(1).and_then(|next| self.sources[*next].key());
        next.is_none_or(|next| if self.direction == Direction::Forward { key < next } else { key > next })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::key_range::KeyRange;
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
                    Source::Memory(MemtableCursor::new(table, 1, None, direction))
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

        #[test]
        fn range_tombstones_hide_what_is_older_in_both_directions(
            // Oldest first; a value, a tombstone, or a range tombstone that ends before a key.
            writes in proptest::collection::vec((0usize..4, 0u8..20, 0u8..4, 0u8..24), 0..60),
            start in proptest::option::of(0u8..20),
        ) {
            let mut layers: Vec<Arc<Memtable>> = (0..4).map(|_| Arc::new(Memtable::new(64))).collect();
            let mut model = Layer::new();
            let mut writes = writes;
            writes.sort_by_key(|(layer, ..)| *layer);
            for (at, (layer, key, kind, end)) in writes.into_iter().enumerate() {
                let sequence = at as u64 + 1;
                match kind {
                    0 => {
                        let range = KeyRange { start: vec![key], end: (end < 22).then(|| vec![end]) };
                        model.retain(|key, _| !range.contains(&[*key]));
                        layers[layer].erase(&range, sequence);
                    }
                    1 => {
                        model.insert(key, None);
                        layers[layer].insert(&[key], sequence, None);
                    }
                    _ => {
                        model.insert(key, Some(end));
                        layers[layer].insert(&[key], sequence, Some(&[end]));
                    }
                }
            }
            layers.reverse();
            for direction in [Direction::Forward, Direction::Reverse] {
                let cursor = |table: &Arc<Memtable>| MemtableCursor::new(Arc::clone(table), u64::MAX, None, direction);
                let sources = layers.iter().map(|table| Source::Memory(cursor(table)));
                let start = start.map(|key| [key]);
                let mut merge = Merge::new(sources.collect(), direction, start.as_ref().map(<[u8; 1]>::as_slice)).unwrap();
                let mut found = Vec::new();
                while let Some(key) = merge.key() {
                    found.push((key[0], merge.value().map(|value| value[0])));
                    merge.advance().unwrap();
                }
                let after = |key: u8| start.is_none_or(|start| match direction {
                    Direction::Forward => key >= start[0],
                    Direction::Reverse => key <= start[0],
                });
                let mut expected: Vec<_> = model.clone().into_iter().filter(|(key, _)| after(*key)).collect();
                if direction == Direction::Reverse {
                    expected.reverse();
                }
                prop_assert_eq!(found, expected);
            }
        }
    }
}
