//! What was read back from the log: an array of places in the log's own buffers.
//!
//! Operations are gathered as they come, a few words each, and sorted when there are enough: of each
//! key the last one counts, since after a start nobody reads older versions. Keys and values are not
//! copied; the buffers go with the memtable.
//!
//! Invariants: slots ascend by key, each key once; each slot is where an operation begins that was
//! decoded once already. All entries bear the newest sequence gathered: no snapshot is older. So do the
//! ranges that were deleted; what they hide here is left out.
//! Cost: 16 bytes per operation, and its part of a buffer.

use std::sync::Arc;

use super::erased::Erased;
use super::skiplist::Entry;
use crate::batch::{Change, Operation, decode_operation};
use crate::key_range::{KeyRange, KeyRanges};

/// Where an operation is, and what most comparisons need of its key.
#[derive(Clone, Copy)]
struct Slot {
    /// Eight key bytes after those that all keys share, zeros where there are fewer.
    head: u64,
    /// Buffers are numbered in the order of the log.
    buffer: u32,
    offset: u32,
}

/// Operations of one keyspace in the order of the log.
#[derive(Default)]
pub(crate) struct Gathered {
    slots: Vec<Slot>,
    /// What was deleted together, each with the number of its place in the log.
    erased: Erased,
    buffers: Vec<Arc<Vec<u8>>>,
    /// What all keys so far share.
    prefix: Vec<u8>,
    /// Slots before this one have the heads of a longer prefix.
    stale: usize,
    bytes: usize,
    max_sequence: u64,
}

/// The newest operation of each key.
pub(crate) struct Replayed {
    slots: Vec<Slot>,
    erased: KeyRanges,
    buffers: Vec<Arc<Vec<u8>>>,
    prefix: Vec<u8>,
    bytes: usize,
    sequence: u64,
}

fn head_of(key: &[u8]) -> u64 {
    match key.first_chunk::<8>() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            key.iter().fold((0, 56), |(head, shift), byte| (head | u64::from(*byte) << shift, shift - 8)).0
        }
    }
}

impl Slot {
    /// Grows along the log.
    fn number(&self) -> u64 {
        u64::from(self.buffer) << 32 | u64::from(self.offset)
    }

    #[inline]
    fn operation<'a>(&self, buffers: &'a [Arc<Vec<u8>>]) -> Operation<'a> {
        let bytes = buffers.get(self.buffer as usize).and_then(|buffer| buffer.get(self.offset as usize..));
        // It was decoded when it was gathered, and buffers do not change.
        bytes.and_then(decode_operation).unwrap_or(Operation {
            keyspace: 0,
            key: &[],
            change: Change::Delete,
        })
    }
}

impl Gathered {
    /// Adds the operation at an offset of a buffer that lies in the log after all before it.
    pub(crate) fn push(&mut self, sequence: u64, buffer: &Arc<Vec<u8>>, offset: usize, key: &[u8]) {
        if self.slots.is_empty() {
            self.prefix = key.to_vec();
        } else if !key.starts_with(&self.prefix) {
            let shared = self.prefix.iter().zip(key).take_while(|(left, right)| left == right).count();
            self.prefix.truncate(shared);
            self.stale = self.slots.len();
        }
        let head = head_of(key.get(self.prefix.len()..).unwrap_or_default());
        let slot = self.slot(head, buffer, offset);
        self.slots.push(slot);
        self.max_sequence = self.max_sequence.max(sequence);
    }

    /// Adds the deletion of a range, which is at an offset of a buffer as with `push`.
    pub(crate) fn erase(&mut self, sequence: u64, buffer: &Arc<Vec<u8>>, offset: usize, range: &KeyRange) {
        let number = self.slot(0, buffer, offset).number();
        self.erased.add(range, number);
        self.max_sequence = self.max_sequence.max(sequence);
    }

    fn slot(&mut self, head: u64, buffer: &Arc<Vec<u8>>, offset: usize) -> Slot {
        let mut offset = offset;
        if self.buffers.last().is_none_or(|last| !Arc::ptr_eq(last, buffer)) {
            self.buffers.push(Arc::clone(buffer));
        }
        if u32::try_from(offset).is_err() {
            // Only in a segment of more than 4 GiB: the rest of it gets a copy to be found in.
            self.buffers.push(Arc::new(buffer.get(offset..).unwrap_or_default().to_vec()));
            offset = 0;
        }
        Slot { head, buffer: self.buffers.len() as u32 - 1, offset: offset as u32 }
    }

    /// Notes how long the operation was that was pushed last.
    pub(crate) fn grow(&mut self, bytes: usize) {
        self.bytes += bytes + size_of::<Slot>();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.erased.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.erased.bytes()
    }

    pub(crate) fn max_sequence(&self) -> u64 {
        self.max_sequence
    }

    /// Sorts what was gathered and keeps the newest operation of each key.
    pub(crate) fn sort(self) -> Replayed {
        let bytes = self.bytes();
        let Self { mut slots, erased, buffers, prefix, stale, max_sequence: sequence, .. } = self;
        for slot in slots.iter_mut().take(stale) {
            slot.head = head_of(slot.operation(&buffers).key.get(prefix.len()..).unwrap_or_default());
        }
        // Heads alone are sorted much faster, and decide almost everywhere.
        slots.sort_unstable_by_key(|slot| slot.head);
        let key = |slot: &Slot| slot.operation(&buffers).key;
        for same in slots.chunk_by_mut(|left, right| left.head == right.head) {
            same.sort_unstable_by(|left, right| {
                let places = (right.buffer, right.offset).cmp(&(left.buffer, left.offset));
                key(left).cmp(key(right)).then(places)
            });
        }
        slots.dedup_by(|later, first| later.head == first.head && key(later) == key(first));
        let tiers = erased.tiers();
        if let Some(tiers) = &tiers {
            let hiding = |slot: &Slot| tiers.newest_over(key(slot), u64::MAX, &[]);
            slots.retain(|slot| hiding(slot).is_none_or(|erased| erased < slot.number()));
        }
        let erased = tiers.map_or_else(KeyRanges::default, |tiers| tiers.ranges(u64::MAX, &[]));
        Replayed { slots, erased, buffers, prefix, bytes, sequence }
    }
}

impl Replayed {
    pub(crate) fn entries(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What was deleted together.
    pub(crate) fn erased(&self) -> &KeyRanges {
        &self.erased
    }

    #[inline]
    fn key(&self, slot: usize) -> &[u8] {
        self.slots.get(slot).map_or(&[], |slot| slot.operation(&self.buffers).key)
    }

    #[inline]
    pub(crate) fn entry(&self, slot: usize) -> Entry<'_> {
        let operation = self.slots.get(slot).map(|slot| slot.operation(&self.buffers));
        let (key, value) = operation.map_or((&[][..], None), |operation| (operation.key, operation.value()));
        Entry { key, sequence: self.sequence, value }
    }

    /// How many keys are below `key`.
    #[inline]
    fn below(&self, key: &[u8]) -> usize {
        let Some(rest) = key.strip_prefix(self.prefix.as_slice()) else {
            return if key < self.prefix.as_slice() { 0 } else { self.slots.len() };
        };
        let head = head_of(rest);
        let from = self.slots.partition_point(|slot| slot.head < head);
        let equal = self.slots.get(from..).unwrap_or_default();
        from + equal.partition_point(|slot| slot.head == head && slot.operation(&self.buffers).key < key)
    }

    /// The first entry at or after (`key`, `sequence`).
    #[inline]
    pub(crate) fn seek(&self, key: &[u8], sequence: u64) -> Option<usize> {
        let mut at = self.below(key);
        if sequence < self.sequence && at < self.slots.len() && self.key(at) == key {
            at += 1;
        }
        (at < self.slots.len()).then_some(at)
    }

    /// The largest key below `key`.
    pub(crate) fn seek_before(&self, key: &[u8]) -> Option<usize> {
        self.below(key).checked_sub(1)
    }

    /// Keys spread evenly, and how many entries each stands for.
    pub(crate) fn sample(&self, wanted: usize) -> (Vec<&[u8]>, usize) {
        let step = (self.slots.len() / wanted.max(1)).max(1);
        ((0..self.slots.len()).step_by(step).map(|slot| self.key(slot)).collect(), step)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::codec::{put_bytes, put_varint};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_last_operation_of_each_key_is_found_in_order(
            prefix in proptest::collection::vec(any::<u8>(), 0..10),
            operations in proptest::collection::vec(
                (proptest::collection::vec(0u8..3, 0..12), proptest::option::of(any::<u8>()), any::<bool>(), 0u8..20), 0..80),
            probe in proptest::collection::vec(0u8..3, 0..12),
            with_prefix: bool,
        ) {
            let mut gathered = Gathered::default();
            let mut model = BTreeMap::<Vec<u8>, Option<Vec<u8>>>::new();
            let mut erased = KeyRanges::default();
            let mut buffers = vec![Vec::new()];
            let mut places = Vec::new();
            for (rest, value, next_buffer, range_end) in &operations {
                let key = [prefix.as_slice(), rest].concat();
                if *next_buffer {
                    buffers.push(Vec::new());
                }
                // A few of them delete a range.
                let range = (*range_end < 3).then(|| KeyRange {
                    start: key.clone(),
                    end: (*range_end < 2).then(|| [prefix.as_slice(), &[*range_end]].concat()),
                });
                places.push((buffers.len() - 1, buffers.last().unwrap().len(), key.clone(), range.clone()));
                if let Some(range) = range {
                    erased.add(range.clone());
                    model.retain(|key, _| !range.contains(key));
                    buffers.last_mut().unwrap().push(0);
                    continue;
                }
                let buffer = buffers.last_mut().unwrap();
                put_varint(buffer, 7);
                buffer.push(u8::from(value.is_none()));
                put_bytes(buffer, &key);
                if let Some(value) = value {
                    put_bytes(buffer, &[*value]);
                }
                model.insert(key, value.map(|value| vec![value]));
            }
            let buffers: Vec<Arc<Vec<u8>>> = buffers.into_iter().map(Arc::new).collect();
            for (number, (buffer, offset, key, range)) in places.iter().enumerate() {
                match range {
                    Some(range) => gathered.erase(number as u64 + 1, &buffers[*buffer], *offset, range),
                    None => gathered.push(number as u64 + 1, &buffers[*buffer], *offset, key),
                }
            }
            let last = operations.len() as u64;
            let replayed = gathered.sort();
            let all: Vec<_> = (0..replayed.entries()).map(|slot| replayed.entry(slot)).collect();
            let found: Vec<_> = all.iter().map(|entry| (entry.key.to_vec(), entry.value.map(<[u8]>::to_vec))).collect();
            prop_assert!(all.iter().all(|entry| entry.sequence == last));
            prop_assert_eq!(found, model.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(replayed.erased(), &erased);
            let probe = if with_prefix { [prefix, probe].concat() } else { probe };
            let sought = replayed.seek(&probe, u64::MAX).map(|slot| replayed.entry(slot).key.to_vec());
            prop_assert_eq!(sought, model.range(probe.clone()..).next().map(|(key, _)| key.clone()));
            let sought = replayed.seek_before(&probe).map(|slot| replayed.entry(slot).key.to_vec());
            prop_assert_eq!(sought, model.range(..probe).next_back().map(|(key, _)| key.clone()));
        }
    }
}
