//! What a serializable transaction has read, to tell at its commit whether others changed any of it.
//!
//! Keys that were read, there or not, and the parts of ranges that were walked over. A range that is still
//! open counts up to its limit, one that is dropped only as far as it was read. Past [`BYTES_MAX`] a
//! keyspace counts as read altogether, so memory is bounded and some commits fail that need not.

use std::collections::{HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use luma_sync::Mutex;

use crate::batch::Operations;
use crate::key_range::{KeyRange, KeyRanges, successor};
use crate::keyspace::KeyspaceInner;
use crate::view::KeyspaceId;

/// What one transaction's reads may take.
const BYTES_MAX: usize = 16 << 20;
/// What a key or a bound takes besides its bytes.
const OVERHEAD_BYTES: usize = 48;

type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// The part of a range that was read so far.
pub(crate) struct ReadRange(Mutex<Option<Bounds>>);

impl ReadRange {
    /// Sets what was read in the end; `None` for nothing.
    pub(crate) fn narrow(&self, read: Option<Bounds>) {
        *self.0.lock() = read;
    }
}

#[derive(Default)]
struct KeyspaceReads {
    keys: HashSet<Box<[u8]>>,
    ranges: Vec<Arc<ReadRange>>,
    all: bool,
}

#[derive(Default)]
struct Reads {
    keyspaces: HashMap<KeyspaceId, KeyspaceReads>,
    bytes: usize,
}

/// The reads of a transaction.
#[derive(Default)]
pub(crate) struct ReadSet(Mutex<Reads>);

impl Reads {
    /// The reads of a keyspace, unless all of it counts as read.
    fn keyspace(&mut self, id: KeyspaceId, bytes: usize) -> Option<&mut KeyspaceReads> {
        self.bytes += bytes + OVERHEAD_BYTES;
        let full = self.bytes > BYTES_MAX;
        let reads = self.keyspaces.entry(id).or_default();
        if full && !reads.all {
            *reads = KeyspaceReads { all: true, ..KeyspaceReads::default() };
        }
        (!reads.all).then_some(reads)
    }
}

impl ReadSet {
    /// Notes that a key was looked for.
    pub(crate) fn add_key(&self, keyspace: KeyspaceId, key: &[u8]) {
        let mut reads = self.0.lock();
        if reads.keyspaces.get(&keyspace).is_some_and(|reads| reads.all || reads.keys.contains(key)) {
            return;
        }
        if let Some(reads) = reads.keyspace(keyspace, key.len()) {
            reads.keys.insert(key.into());
        }
    }

    /// Notes that a range is being read; all of it, unless what this gives is told otherwise.
    pub(crate) fn add_range(
        &self,
        keyspace: KeyspaceId,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
    ) -> Arc<ReadRange> {
        let bounds = (start.map(<[u8]>::to_vec), end.map(<[u8]>::to_vec));
        let length = |bound: &Bound<Vec<u8>>| match bound {
            Bound::Included(key) | Bound::Excluded(key) => key.len(),
            Bound::Unbounded => 0,
        };
        let bytes = length(&bounds.0) + length(&bounds.1) + OVERHEAD_BYTES;
        let range = Arc::new(ReadRange(Mutex::new(Some(bounds))));
        if let Some(reads) = self.0.lock().keyspace(keyspace, bytes) {
            reads.ranges.push(Arc::clone(&range));
        }
        range
    }

    /// What was read, ready to be compared with.
    pub(crate) fn finish(&self) -> FinishedReads {
        let reads = self.0.lock();
        let keyspaces = reads.keyspaces.iter().map(|(id, reads)| {
            let mut ranges: Vec<Bounds> =
                reads.ranges.iter().filter_map(|range| range.0.lock().clone()).collect();
            if reads.all {
                ranges = vec![(Bound::Unbounded, Bound::Unbounded)];
            }
            (*id, FinishedKeyspace { keys: reads.keys.clone(), ranges: merged(ranges) })
        });
        FinishedReads(keyspaces.collect())
    }
}

struct FinishedKeyspace {
    keys: HashSet<Box<[u8]>>,
    /// Ascending and apart.
    ranges: Vec<Bounds>,
}

/// The reads of a transaction that commits.
pub(crate) struct FinishedReads(HashMap<KeyspaceId, FinishedKeyspace>);

impl FinishedReads {
    /// Whether something of a keyspace was read.
    pub(crate) fn touch(&self, keyspace: KeyspaceId) -> bool {
        self.0.contains_key(&keyspace)
    }

    /// The first key that was read and that these operations change, with its keyspace.
    pub(crate) fn changed_by(&self, operations: &Operations) -> Option<(KeyspaceId, Vec<u8>)> {
        if operations.keyspaces.iter().all(|keyspace| !self.touch(keyspace.id)) {
            return None;
        }
        operations.iter().find_map(|operation| {
            let reads = self.0.get(&operation.keyspace)?;
            let key = match operation.range() {
                Some(range) => reads.some_of(&range),
                None => reads.has(operation.key).then(|| operation.key.to_vec()),
            };
            Some((operation.keyspace, key?))
        })
    }

    /// As if these ranges had been read.
    pub(crate) fn of_ranges<'a>(ranges: impl Iterator<Item = (&'a Arc<KeyspaceInner>, KeyRanges)>) -> Self {
        let keyspaces = ranges.map(|(keyspace, ranges)| {
            let bounds = |range: &KeyRange| {
                let end = range.end.clone().map_or(Bound::Unbounded, Bound::Excluded);
                (Bound::Included(range.start.clone()), end)
            };
            let ranges = ranges.iter().map(bounds).collect();
            (keyspace.id, FinishedKeyspace { keys: HashSet::new(), ranges })
        });
        Self(keyspaces.collect())
    }
}

impl FinishedKeyspace {
    /// A key of a range that was read, if there is one.
    fn some_of(&self, range: &KeyRange) -> Option<Vec<u8>> {
        let in_range = |read: &Bounds| {
            // The first key that could be in both.
            let start = match &read.0 {
                Bound::Included(start) if *start > range.start => start.clone(),
                Bound::Excluded(start) if *start >= range.start => successor(start),
                _ => range.start.clone(),
            };
            (ends_at_or_after(&read.1, &start) && range.contains(&start)).then_some(start)
        };
        let key = || self.keys.iter().find(|key| range.contains(key)).map(|key| key.to_vec());
        self.ranges.iter().find_map(in_range).or_else(key)
    }

    fn has(&self, key: &[u8]) -> bool {
        let after = self.ranges.partition_point(|(start, _)| begins_at_or_before(start, key));
        let range = after.checked_sub(1).and_then(|at| self.ranges.get(at));
        range.is_some_and(|(_, end)| ends_at_or_after(end, key)) || self.keys.contains(key)
    }
}

fn begins_at_or_before(start: &Bound<Vec<u8>>, key: &[u8]) -> bool {
    match start {
        Bound::Unbounded => true,
        Bound::Included(start) => start.as_slice() <= key,
        Bound::Excluded(start) => start.as_slice() < key,
    }
}

fn ends_at_or_after(end: &Bound<Vec<u8>>, key: &[u8]) -> bool {
    match end {
        Bound::Unbounded => true,
        Bound::Included(end) => end.as_slice() >= key,
        Bound::Excluded(end) => end.as_slice() > key,
    }
}

/// Orders starts: the key, then whether it is in.
fn start_order(bound: &Bound<Vec<u8>>) -> (Option<&[u8]>, bool) {
    match bound {
        Bound::Unbounded => (None, false),
        Bound::Included(key) => (Some(key), false),
        Bound::Excluded(key) => (Some(key), true),
    }
}

/// Orders ends: unbounded last, then the key, then whether it is in.
fn end_order(bound: &Bound<Vec<u8>>) -> (bool, &[u8], bool) {
    match bound {
        Bound::Unbounded => (true, &[], false),
        Bound::Included(key) => (false, key, true),
        Bound::Excluded(key) => (false, key, false),
    }
}

/// The same keys in ranges that ascend and do not overlap.
fn merged(mut ranges: Vec<Bounds>) -> Vec<Bounds> {
    ranges.sort_by(|left, right| start_order(&left.0).cmp(&start_order(&right.0)));
    let mut merged: Vec<Bounds> = Vec::new();
    for (start, end) in ranges {
        let joins = merged.last().is_some_and(|(_, last)| match &start {
            Bound::Unbounded => true,
            Bound::Included(key) | Bound::Excluded(key) => ends_at_or_after(last, key),
        });
        match merged.last_mut() {
            Some((_, last)) if joins => {
                if end_order(&end) > end_order(last) {
                    *last = end;
                }
            }
            _ => merged.push((start, end)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
        (0u8..12, 0u8..3).prop_map(|(key, kind)| match kind {
            0 => Bound::Included(vec![key]),
            1 => Bound::Excluded(vec![key]),
            _ => Bound::Unbounded,
        })
    }

    proptest! {
        #[test]
        fn a_key_is_read_if_it_was_looked_for_or_lies_in_a_range(
            keys in proptest::collection::vec(0u8..12, 0..4),
            ranges in proptest::collection::vec((bound(), bound()), 0..6),
        ) {
            let reads = ReadSet::default();
            for key in &keys {
                reads.add_key(1, &[*key]);
            }
            for (start, end) in &ranges {
                reads.add_range(1, start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
            }
            let finished = reads.finish();
            for key in 0..12u8 {
                let mut operations = Operations::default();
                let keyspace = Arc::new(KeyspaceInner::new(1, 0, "k", crate::KeyspaceOptions::default()));
                operations.push(&keyspace, &[key], None);
                let inside = |(start, end): &Bounds| begins_at_or_before(start, &[key]) && ends_at_or_after(end, &[key]);
                let read = keys.contains(&key) || ranges.iter().any(inside);
                prop_assert_eq!(finished.changed_by(&operations).is_some(), read, "key {}", key);
            }
            let keyspace = Arc::new(KeyspaceInner::new(1, 0, "k", crate::KeyspaceOptions::default()));
            let probes = || (0u8..13).flat_map(|key| [vec![key], vec![key, 0], vec![key, 9]]);
            for start in 0..12u8 {
                for end in start + 1..13 {
                    let mut operations = Operations::default();
                    let range = KeyRange { start: vec![start], end: Some(vec![end]) };
                    operations.push_range(&keyspace, &range);
                    let read = probes().filter(|key| range.contains(key)).any(|key| {
                        let inside = |(start, end): &Bounds| begins_at_or_before(start, &key) && ends_at_or_after(end, &key);
                        keys.iter().any(|read| key == [*read]) || ranges.iter().any(inside)
                    });
                    prop_assert_eq!(finished.changed_by(&operations).is_some(), read, "{:?}", range);
                }
            }
        }
    }

    #[test]
    fn a_dropped_range_counts_as_far_as_it_was_read_and_other_keyspaces_do_not() {
        let reads = ReadSet::default();
        reads.add_range(1, Bound::Unbounded, Bound::Unbounded).narrow(None);
        let range = reads.add_range(1, Bound::Unbounded, Bound::Unbounded);
        range.narrow(Some((Bound::Unbounded, Bound::Included(vec![5]))));
        let changed = |id, key: u8| {
            let mut operations = Operations::default();
            operations.push(
                &Arc::new(KeyspaceInner::new(id, 0, "k", crate::KeyspaceOptions::default())),
                &[key],
                None,
            );
            reads.finish().changed_by(&operations).is_some()
        };
        assert_eq!([changed(1, 5), changed(1, 6), changed(2, 5)], [true, false, false]);
    }

    #[test]
    fn past_the_bound_everything_of_the_keyspace_counts_as_read() {
        let reads = ReadSet::default();
        for number in 0..BYTES_MAX as u64 / 60 {
            reads.add_key(1, &[&number.to_be_bytes()[..], &[0; 40]].concat());
        }
        assert!(reads.0.lock().keyspaces[&1].keys.is_empty());
        let mut operations = Operations::default();
        operations.push(
            &Arc::new(KeyspaceInner::new(1, 0, "k", crate::KeyspaceOptions::default())),
            b"other",
            None,
        );
        assert!(reads.finish().changed_by(&operations).is_some());
    }
}
