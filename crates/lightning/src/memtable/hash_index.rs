//! Finds the newest version of a key without descending the list, and most absent keys without a look at
//! any entry.
//!
//! An open-addressed table of pointers, and beside it one of 16-bit tags: a key that is not there costs
//! its hash and, as a rule, one cache line of tags. When a table is full the next one, four times as
//! large, takes over; old ones stay until all go, since somebody may be reading them.
//!
//! Invariants: one writer at a time. A pointer is stored before its tag, an entry before the sequence
//! that makes it readable is published, a full table before `current` names it; so whoever may read an
//! entry finds it, or a newer version of its key. Pointers are only handed out, never followed here.
//! Cost: 10 bytes per slot, of which between a sixth and two thirds are used.

use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU16, AtomicUsize, Ordering};

use crate::ahead;

/// Slots of the first table.
const SLOTS_MIN: usize = 1 << 10;
/// Enough for 2^34 slots.
const TABLES_MAX: usize = 13;

struct Table<T> {
    /// 0 where there is nothing.
    tags: Box<[AtomicU16]>,
    entries: Box<[AtomicPtr<T>]>,
    used: AtomicUsize,
}

/// The index of one list.
pub(super) struct HashIndex<T> {
    tables: [OnceLock<Table<T>>; TABLES_MAX],
    /// The number of the table in use and one; 0 for none.
    current: AtomicUsize,
}

fn tag_of(hash: u64) -> u16 {
    (hash >> 48) as u16 | 1
}

impl<T> Table<T> {
    fn new(slots: usize) -> Self {
        Self {
            tags: (0..slots).map(|_| AtomicU16::new(0)).collect(),
            entries: (0..slots).map(|_| AtomicPtr::new(ptr::null_mut())).collect(),
            used: AtomicUsize::new(0),
        }
    }

    /// The slot of a key, or the free one where it would be.
    #[inline]
    fn find(&self, hash: u64, is_key: impl Fn(*mut T) -> bool) -> Option<(usize, *mut T)> {
        let (mask, tag) = (self.tags.len() - 1, tag_of(hash));
        // There is always a free slot, so this ends.
        for step in 0..self.tags.len() {
            let slot = (hash as usize).wrapping_add(step) & mask;
            match self.tags[slot].load(Ordering::Acquire) {
                0 => return Some((slot, ptr::null_mut())),
                found if found == tag => {
                    let entry = self.entries[slot].load(Ordering::Acquire);
                    if is_key(entry) {
                        return Some((slot, entry));
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn put(&self, hash: u64, entry: *mut T, is_key: impl Fn(*mut T) -> bool, stays: impl Fn(*mut T) -> bool) {
        let Some((slot, found)) = self.find(hash, is_key) else { return };
        if !found.is_null() && stays(found) {
            return;
        }
        self.entries[slot].store(entry, Ordering::Release);
        if found.is_null() {
            self.tags[slot].store(tag_of(hash), Ordering::Release);
            self.used.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_full(&self) -> bool {
        self.used.load(Ordering::Relaxed) * 3 >= self.tags.len() * 2
    }
}

impl<T> HashIndex<T> {
    pub(super) const fn new() -> Self {
        Self { tables: [const { OnceLock::new() }; TABLES_MAX], current: AtomicUsize::new(0) }
    }

    #[inline]
    fn table(&self) -> Option<&Table<T>> {
        self.tables.get(self.current.load(Ordering::Acquire).wrapping_sub(1))?.get()
    }

    pub(super) fn is_used(&self) -> bool {
        self.table().is_some()
    }

    /// The entry for which `is_key` holds, null if there is none; `None` when there is no index yet.
    #[inline]
    pub(super) fn get(&self, hash: u64, is_key: impl Fn(*mut T) -> bool) -> Option<*mut T> {
        Some(self.table()?.find(hash, is_key).map_or(ptr::null_mut(), |(_, entry)| entry))
    }

    /// Has fetched what [`HashIndex::get`] and [`HashIndex::put`] will look at, which is rarely in the processor's caches.
    #[inline]
    pub(super) fn fetch_slot(&self, hash: u64) {
        if let Some(table) = self.table() {
            let slot = hash as usize & (table.tags.len() - 1);
            ahead::fetch(&raw const table.tags[slot], 1);
            ahead::fetch(&raw const table.entries[slot], 1);
        }
    }

    /// Puts an entry in the place of the one for which `is_key` holds, unless that `stays`, or in a new one.
    pub(super) fn put(
        &self,
        hash: u64,
        entry: *mut T,
        is_key: impl Fn(*mut T) -> bool,
        stays: impl Fn(*mut T) -> bool,
    ) {
        if let Some(table) = self.table() {
            table.put(hash, entry, is_key, stays);
        }
    }

    /// Makes the first table, or a larger one if this is full, with what `entries` gives if it is the
    /// first. Returns the bytes it takes.
    pub(super) fn grow(
        &self,
        entries: impl Iterator<Item = *mut T>,
        hash_of: impl Fn(*mut T) -> u64,
    ) -> usize {
        let current = self.current.load(Ordering::Relaxed);
        let table = self.table();
        if table.is_some_and(|table| !table.is_full()) {
            return 0;
        }
        let Some(place) = self.tables.get(current) else { return 0 };
        let slots = SLOTS_MIN << (2 * current);
        let next = Table::new(slots);
        match table {
            Some(table) => {
                for entry in table.entries.iter().map(|entry| entry.load(Ordering::Relaxed)) {
                    if !entry.is_null() {
                        next.put(hash_of(entry), entry, |_| false, |_| false);
                    }
                }
            }
            None => entries.for_each(|entry| next.put(hash_of(entry), entry, |_| false, |_| false)),
        }
        if place.set(next).is_ok() {
            self.current.store(current + 1, Ordering::Release);
        }
        slots * (size_of::<AtomicU16>() + size_of::<AtomicPtr<T>>())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// An entry stands for itself: its pointer is a number, its key the number without the last bit.
    fn key_of(entry: *mut u8) -> usize {
        entry.addr() >> 1
    }

    proptest! {
        #[test]
        fn it_finds_what_was_put_last_for_a_key_and_nothing_else(
            puts in proptest::collection::vec((1usize..3000, any::<bool>()), 0..4000),
            narrow: bool,
        ) {
            // Few hashes: tags and places collide all the time.
            let hash = |key: usize| crate::table::hash(&key.to_le_bytes()) & if narrow { 0xff } else { u64::MAX };
            let (index, mut model) = (HashIndex::<u8>::new(), HashMap::new());
            index.grow(std::iter::empty(), |_| 0);
            for (key, bit) in puts.iter().take(if narrow { 300 } else { usize::MAX }) {
                let entry = ptr::without_provenance_mut(key << 1 | usize::from(*bit));
                index.put(hash(*key), entry, |other| key_of(other) == *key, |_| false);
                model.insert(*key, entry);
                index.grow(std::iter::empty(), |entry| hash(key_of(entry)));
            }
            for key in 1..3000 {
                let found = index.get(hash(key), |other| key_of(other) == key).unwrap();
                prop_assert_eq!(found, model.get(&key).copied().unwrap_or(ptr::null_mut()));
            }
        }
    }
}
