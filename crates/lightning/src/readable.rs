//! Reading: snapshots, and the trait they share with transactions.

use std::ops::Bound;
use std::sync::Arc;

use arc_swap::Guard;

use crate::key_range::KeyRanges;
use crate::keyspace::{Keyspace, KeyspaceInner};
use crate::merge_operator::is_value;
use crate::options::Direction;
use crate::range::{Range, prefix_bounds};
use crate::table::hash;
use crate::view::{HeldView, View};
use crate::write_set::WriteView;
use crate::{Error, Result};

/// Whatever shows a fixed state of the database.
pub trait Readable {
    /// Hands the value of a key to `use_value`, without copying it; `None` when the key has none.
    fn get_with<R>(
        &self,
        keyspace: &Keyspace,
        key: &[u8],
        use_value: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>>;

    /// The entries between two keys, in order. The range keeps its state alive and can be moved to
    /// another thread.
    fn range(
        &self,
        keyspace: &Keyspace,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
        direction: Direction,
    ) -> Result<Range>;

    /// The value of a key.
    fn get(&self, keyspace: &Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.get_with(keyspace, key, <[u8]>::to_vec)
    }

    /// Hands the place of each key among these, and its value, to `use_value`, in the order of the keys. What they need
    /// is fetched together, from memory, which makes this several times as fast as gets one after another, and
    /// from the disk, where all takes hardly longer than one read.
    fn get_each(
        &self,
        keyspace: &Keyspace,
        keys: &[&[u8]],
        use_value: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<()>;

    /// The values of keys, in the order of the keys, as [`Readable::get_each`] gets them.
    fn multi_get(&self, keyspace: &Keyspace, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut values = Vec::with_capacity(keys.len());
        self.get_each(keyspace, keys, |_, value| values.push(value.map(<[u8]>::to_vec)))?;
        Ok(values)
    }

    /// Reads what gets of these keys will need into the cache, together. Tells nothing, and changes no answer.
    fn prefetch(&self, keyspace: &Keyspace, keys: &[&[u8]]) -> Result<()>;

    /// The entries whose keys begin with `prefix`.
    fn prefix(&self, keyspace: &Keyspace, prefix: &[u8], direction: Direction) -> Result<Range> {
        let end = prefix_bounds(prefix);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.range(keyspace, Bound::Included(prefix), end, direction)
    }
}

/// What was committed and published at one moment. Clones are cheap.
///
/// A snapshot keeps the files of its time. The memtables of its time, too, which are written to files of their own
/// when old snapshots would take too much memory; ranges that were begun before keep theirs.
#[derive(Clone)]
pub struct Snapshot {
    held: Arc<HeldView>,
    sequence: u64,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Snapshot").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl Snapshot {
    pub(crate) fn new(held: Arc<HeldView>, sequence: u64) -> Self {
        Self { held, sequence }
    }

    /// The sequence of the newest commit it shows.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What it reads from.
    #[inline]
    pub(crate) fn view(&self) -> Guard<Arc<View>> {
        self.held.view()
    }

    #[inline]
    pub(crate) fn get_with_in<R>(
        &self,
        keyspace: &KeyspaceInner,
        key: &[u8],
        use_value: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>> {
        match keyspace.expiry() {
            None if keyspace.merges.is_some() => self.get_merged(keyspace, key, use_value),
            None => self.get_stored(keyspace, key, use_value),
            Some(expiry) => {
                let found = self.get_stored(keyspace, key, |stored| expiry.live(stored).map(use_value))?;
                Ok(found.flatten())
            }
        }
    }

    /// The value of a key into which something may have been merged.
    fn get_merged<R>(
        &self,
        keyspace: &KeyspaceInner,
        key: &[u8],
        use_value: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>> {
        keyspace.check_merges()?;
        let whole = |stored: &[u8]| match stored.get(1..) {
            Some(value) if is_value(stored) => Ok(use_value(value)),
            _ => Err(use_value),
        };
        match self.get_stored(keyspace, key, whole)? {
            None => Ok(None),
            Some(Ok(used)) => Ok(Some(used)),
            Some(Err(use_value)) => self.gathered(keyspace, None, key, use_value),
        }
    }

    /// The same, with the operands of all versions; below what was written, if something was.
    pub(crate) fn gathered<R>(
        &self,
        keyspace: &KeyspaceInner,
        writes: Option<&WriteView>,
        key: &[u8],
        use_value: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>> {
        let bounds = (Bound::Included(key), Bound::Included(key));
        let mut here = Range::new(self, writes, None, keyspace, bounds, Direction::Forward)?;
        Ok(here.next()?.map(|(_, value)| use_value(value)))
    }

    #[inline]
    fn get_stored<R>(
        &self,
        keyspace: &KeyspaceInner,
        key: &[u8],
        use_value: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>> {
        let view = self.view();
        let Some(found) = view.find(keyspace)? else { return Ok(None) };
        let hash = hash(key);
        if let Some(entry) = found.active.get(key, hash, self.sequence) {
            return Ok(entry.value.map(use_value));
        }
        for table in &found.frozen {
            if let Some(entry) = table.get(key, hash, self.sequence) {
                return Ok(entry.value.map(use_value));
            }
        }
        let mut use_value = |value: Option<&[u8]>| value.map(use_value);
        for spilled in &found.spilled {
            match spilled.get(key, self.sequence, use_value)? {
                Ok(used) => return Ok(used),
                Err(unused) => use_value = unused,
            }
        }
        let found = found.tree.get(key, hash, use_value)?;
        Ok(found.ok().flatten())
    }

    /// Checks that no key of some ranges was changed between a sequence and this snapshot.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::TransactionTooOld`].
    pub(crate) fn check_ranges(
        &self,
        keyspace: &KeyspaceInner,
        ranges: &KeyRanges,
        after: u64,
    ) -> Result<()> {
        if after >= self.sequence {
            return Ok(());
        }
        let view = self.view();
        let Some(found) = view.find(keyspace)? else { return Ok(()) };
        if found.changed_aside > after {
            return Err(Error::TransactionTooOld);
        }
        for range in ranges.iter() {
            if let Some(key) = found.changed_in(range, after, self.sequence)? {
                return Err(Error::Conflict { keyspace: keyspace.name.to_string(), key });
            }
        }
        Ok(())
    }

    pub(crate) fn has(&self, keyspace: &KeyspaceInner, key: &[u8]) -> Result<bool> {
        Ok(self.get_with_in(keyspace, key, |_| ())?.is_some())
    }
}

impl Readable for Snapshot {
    #[inline]
    fn get_with<R>(
        &self,
        keyspace: &Keyspace,
        key: &[u8],
        use_value: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>> {
        self.get_with_in(&keyspace.inner, key, use_value)
    }

    fn get_each(
        &self,
        keyspace: &Keyspace,
        keys: &[&[u8]],
        use_value: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        self.get_each_in(&keyspace.inner, keys, use_value)
    }

    fn prefetch(&self, keyspace: &Keyspace, keys: &[&[u8]]) -> Result<()> {
        self.prefetch_in(&keyspace.inner, keys)
    }

    fn range(
        &self,
        keyspace: &Keyspace,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
        direction: Direction,
    ) -> Result<Range> {
        Range::new(self, None, None, &keyspace.inner, (start, end), direction)
    }
}
