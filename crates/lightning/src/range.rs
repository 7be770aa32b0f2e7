//! Ranges: entries of a keyspace in order, between two keys, in one state.

use std::ops::Bound;
use std::sync::Arc;

use crate::Result;
use crate::keep::Expiry;
use crate::keyspace::KeyspaceInner;
use crate::memtable::MemtableCursor;
use crate::merge::{Merge, Source};
use crate::merge_operator::Merges;
use crate::options::Direction;
use crate::read_set::{ReadRange, ReadSet};
use crate::readable::Snapshot;
use crate::spilled::SpilledCursor;
use crate::write_set::WriteView;

/// Entries in order. What it reads from stays alive with it.
pub struct Range {
    merge: Merge,
    /// Where it ends in its direction.
    limit: Bound<Vec<u8>>,
    direction: Direction,
    /// Whether the entry at the merge's place was given out.
    given: bool,
    ended: bool,
    tracked: Option<Tracked>,
    /// What tells which values had expired when it began.
    expiry: Option<Expiry>,
    merges: Option<Merges>,
    /// What was made of operands here.
    merged: Option<Vec<u8>>,
}

/// Tells a serializable transaction how far the range was read.
struct Tracked {
    range: Arc<ReadRange>,
    /// Where it begins in its direction.
    first: Bound<Vec<u8>>,
}

impl Drop for Range {
    fn drop(&mut self) {
        let Some(tracked) = &mut self.tracked else { return };
        if self.ended {
            // All of it was read, as was noted at the start.
            return;
        }
        let first = std::mem::replace(&mut tracked.first, Bound::Unbounded);
        let last = self.merge.key().filter(|_| self.given);
        tracked.range.narrow(last.map(|last| match self.direction {
            Direction::Forward => (first, Bound::Included(last.to_vec())),
            Direction::Reverse => (Bound::Included(last.to_vec()), first),
        }));
    }
}

impl std::fmt::Debug for Range {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Range")
            .field("direction", &self.direction)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// The first key after all that begin with `prefix`; `None` when there is none.
pub(crate) fn prefix_bounds(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

fn key_of<'a>(bound: &Bound<&'a [u8]>) -> Option<&'a [u8]> {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => Some(key),
        Bound::Unbounded => None,
    }
}

impl Range {
    pub(crate) fn new(
        snapshot: &Snapshot,
        writes: Option<&WriteView>,
        reads: Option<&ReadSet>,
        keyspace: &KeyspaceInner,
        (start, end): (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
    ) -> Result<Self> {
        keyspace.check_merges()?;
        let tracked = reads.map(|reads| {
            let first = if direction == Direction::Forward { start } else { end };
            Tracked { range: reads.add_range(keyspace.id, start, end), first: first.map(<[u8]>::to_vec) }
        });
        let mut sources = Vec::new();
        if let Some(cursor) = writes.and_then(|writes| writes.cursor(keyspace.id, direction)) {
            sources.push(Source::Memory(cursor));
        }
        if let Some(found) = snapshot.view().find(keyspace)? {
            for table in found.memtables().filter(|table| !table.is_empty()) {
                let cursor = MemtableCursor::new(Arc::clone(table), snapshot.sequence(), None, direction);
                sources.push(Source::Memory(cursor));
            }
            for spilled in &found.spilled {
                let cursor = SpilledCursor::new(Arc::clone(spilled), snapshot.sequence(), direction);
                sources.push(Source::Spilled(cursor));
            }
            let prefix = keyspace.options.prefix.and_then(|prefix| prefix.hash_of_all(start, end));
            found.tree.add_sources(key_of(&start), key_of(&end), prefix, direction, &mut sources)?;
        }
        let (first, limit) = match direction {
            Direction::Forward => (start, end),
            Direction::Reverse => (end, start),
        };
        let merges = keyspace.merges.clone();
        let mut merge = Merge::gathering(merges.is_some(), sources, direction, key_of(&first))?;
        if let Bound::Excluded(excluded) = first
            && merge.key() == Some(excluded)
        {
            merge.advance()?;
        }
        let limit = match limit {
            Bound::Included(key) => Bound::Included(key.to_vec()),
            Bound::Excluded(key) => Bound::Excluded(key.to_vec()),
            Bound::Unbounded => Bound::Unbounded,
        };
        let expiry = keyspace.expiry();
        Ok(Self {
            merge,
            limit,
            direction,
            given: false,
            ended: false,
            tracked,
            expiry,
            merges,
            merged: None,
        })
    }

    #[inline]
    fn is_past_limit(&self, key: &[u8]) -> bool {
        match (&self.limit, self.direction) {
            (Bound::Unbounded, _) => false,
            (Bound::Included(limit), Direction::Forward) => key > limit.as_slice(),
            (Bound::Excluded(limit), Direction::Forward) => key >= limit.as_slice(),
            (Bound::Included(limit), Direction::Reverse) => key < limit.as_slice(),
            (Bound::Excluded(limit), Direction::Reverse) => key <= limit.as_slice(),
        }
    }

    /// The next key and value; `None` at the end.
    #[allow(clippy::should_implement_trait)]
    #[inline]
    pub fn next(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        if self.ended {
            return Ok(None);
        }
        if self.given {
            self.merge.advance()?;
        }
        self.given = true;
        loop {
            match self.merge.key() {
                Some(key) if !self.is_past_limit(key) => {}
                _ => {
                    self.ended = true;
                    return Ok(None);
                }
            }
            self.merge.load()?;
            if self.merges.is_some() {
                self.make_value()?;
            }
            if self.shown().is_some() {
                break;
            }
            self.merge.advance()?;
        }
        Ok(self.merge.key().zip(self.shown()))
    }

    /// Makes a value of operands at the merge's place.
    fn make_value(&mut self) -> Result<()> {
        let Some(merges) = &self.merges else { return Ok(()) };
        let here = self.merge.key().zip(self.merge.value());
        self.merged = here.map_or(Ok(None), |(key, stored)| merges.shown(key, stored))?;
        Ok(())
    }

    /// The value at the merge's place, unless it is a tombstone or has expired.
    #[inline]
    fn shown(&self) -> Option<&[u8]> {
        match &self.expiry {
            None if self.merges.is_some() => match &self.merged {
                Some(merged) => Some(merged),
                None => self.merge.value()?.get(1..),
            },
            None => self.merge.value(),
            Some(expiry) => expiry.live(self.merge.value()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_one_of_its_length() {
        assert_eq!(prefix_bounds(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(prefix_bounds(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(prefix_bounds(b"\xff"), None);
        assert_eq!(prefix_bounds(b""), None);
    }
}
