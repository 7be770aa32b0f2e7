//! Versions in memory: what was committed and is not in a table yet, and what a transaction wrote.
//!
//! Invariants: entries are only added, and only by the thread that holds the commit lock (or owns
//! the transaction). `max_sequence` is that of the newest entry; `logged_from` is where in the log
//! the first logged entry begins, so the log is kept from there until the memtable is flushed. One that
//! was read back from the log is an array of places in the log's own buffers and takes no insertions.
//!
//! A range tombstone hides the older versions of its keys in this memtable and everything in older ones;
//! versions of the same sequence are newer than it.

mod cursor;
mod entries;
mod erased;
mod hash_index;
mod logged;
mod replayed;
mod skiplist;

use luma_sync::atomic::{AtomicU64, Ordering};
use std::ops::Bound;
use std::sync::Arc;

use luma_log::Lsn;

use crate::key_range::{KeyRange, KeyRanges, is_before};

pub(crate) use cursor::MemtableCursor;
use entries::{Entries, Place};
use erased::Erased;
pub(crate) use erased::{Edge, Tiers, Veil};
use logged::LoggedValues;
pub(crate) use logged::{LOGGED_VALUE_MIN, LoggedValue};
pub(crate) use replayed::{Gathered, Replayed};
pub(crate) use skiplist::Entry;
use skiplist::SkipList;

/// Sequence numbers that don't count: what a transaction rolled back to a savepoint. Ascending,
/// disjoint, each from (exclusive) to (inclusive).
pub(crate) type Undone = [(u64, u64)];

/// Whether a version counts.
#[inline]
pub(crate) fn is_undone(undone: &Undone, sequence: u64) -> bool {
    if undone.is_empty() {
        return false;
    }
    let after = undone.partition_point(|(from, _)| *from < sequence);
    after.checked_sub(1).and_then(|at| undone.get(at)).is_some_and(|(_, to)| sequence <= *to)
}

/// What a key was at some sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version<'a> {
    pub(crate) sequence: u64,
    /// `None` if it was deleted, alone or with others.
    pub(crate) value: Option<&'a [u8]>,
}

/// Sorted versions in memory.
pub(crate) struct Memtable {
    list: Entries,
    erased: Erased,
    max_sequence: AtomicU64,
    logged_from: AtomicU64,
    logged_to: AtomicU64,
    logged_values: LoggedValues,
}

impl Memtable {
    pub(crate) fn new(first_chunk: usize) -> Self {
        Self::of(Entries::List(SkipList::new(first_chunk)))
    }

    /// One whose keys are rarely looked up one by one.
    pub(crate) fn unindexed(first_chunk: usize) -> Self {
        Self::of(Entries::List(SkipList::unindexed(first_chunk)))
    }

    /// What was read back from the log.
    pub(crate) fn replayed(entries: Replayed) -> Self {
        let (sequence, erased) = (entries.sequence(), entries.erased().clone());
        let memtable = Self::of(Entries::Replayed(entries));
        memtable.note_sequence(sequence);
        erased.iter().for_each(|range| memtable.erase(range, sequence));
        memtable
    }

    fn of(list: Entries) -> Self {
        Self {
            list,
            erased: Erased::default(),
            max_sequence: AtomicU64::new(0),
            logged_from: AtomicU64::new(u64::MAX),
            logged_to: AtomicU64::new(0),
            logged_values: LoggedValues::default(),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.erased.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.list.bytes() + self.erased.bytes()
    }

    /// What counts against the write buffer: what writers put here, not what was read back from the log.
    pub(crate) fn written_bytes(&self) -> usize {
        match &self.list {
            Entries::List(_) => self.bytes(),
            Entries::Replayed(_) => 0,
        }
    }

    pub(crate) fn entries(&self) -> usize {
        self.list.entries()
    }

    pub(crate) fn max_sequence(&self) -> u64 {
        self.max_sequence.load(Ordering::Acquire)
    }

    /// Where in the log the first entry begins; `None` when none is logged.
    pub(crate) fn logged_from(&self) -> Option<Lsn> {
        Some(self.logged_from.load(Ordering::Acquire)).filter(|from| *from != u64::MAX).map(Lsn)
    }

    /// Where in the log the last entry ends.
    pub(crate) fn logged_to(&self) -> Lsn {
        Lsn(self.logged_to.load(Ordering::Acquire))
    }

    /// Notes that entries of the log record between these places are here.
    pub(crate) fn note_logged(&self, from: Lsn, to: Lsn) {
        self.logged_from.fetch_min(from.0, Ordering::AcqRel);
        self.logged_to.fetch_max(to.0, Ordering::AcqRel);
    }

    /// Notes that everything up to a sequence is here, or was overwritten here.
    pub(crate) fn note_sequence(&self, sequence: u64) {
        self.max_sequence.fetch_max(sequence, Ordering::AcqRel);
    }

    /// Adds a version; `None` is a tombstone.
    pub(crate) fn insert(&self, key: &[u8], sequence: u64, value: Option<&[u8]>) {
        self.note_sequence(sequence);
        self.list.insert(key, sequence, value);
    }

    /// Adds a value whose bytes begin at a place of the log.
    pub(crate) fn insert_logged(&self, key: &[u8], sequence: u64, value: &[u8], at: Lsn) {
        self.note_sequence(sequence);
        let address = self.list.insert(key, sequence, Some(value));
        if value.len() >= LOGGED_VALUE_MIN {
            self.logged_values.note(LoggedValue { address, length: value.len(), at });
        }
    }

    /// The large values of which is known where in the log they are.
    pub(crate) fn logged_values(&self) -> Vec<LoggedValue> {
        self.logged_values.all()
    }

    /// Deletes the keys of a range. Nothing older may be added afterwards.
    pub(crate) fn erase(&self, range: &KeyRange, sequence: u64) {
        self.note_sequence(sequence);
        self.erased.add(range, sequence);
    }

    /// Whether there are range tombstones.
    pub(crate) fn has_erased(&self) -> bool {
        !self.erased.is_empty()
    }

    /// The keys that range tombstones delete which count.
    pub(crate) fn erased(&self, sequence: u64, undone: &Undone) -> KeyRanges {
        self.erased.tiers().map_or_else(KeyRanges::default, |tiers| tiers.ranges(sequence, undone))
    }

    /// The newest version of a key that is not newer than `sequence`; `hash` is the key's.
    #[inline]
    pub(crate) fn get(&self, key: &[u8], hash: u64, sequence: u64) -> Option<Version<'_>> {
        let found = if self.list.is_empty() { None } else { self.list.get(key, hash, sequence) };
        let found = found.map(|entry| Version { sequence: entry.sequence, value: entry.value });
        if self.erased.is_empty() { found } else { self.unless_erased(found, key, sequence, &[]) }
    }

    /// The first step of [`Memtable::get`] for many keys: has fetched what tells where the key with this hash is.
    #[inline]
    pub(crate) fn fetch_place(&self, hash: u64) {
        if let Entries::List(list) = &self.list {
            list.fetch_place(hash);
        }
    }

    /// The second: has the entry fetched.
    #[inline]
    pub(crate) fn fetch_entry(&self, hash: u64) {
        if let Entries::List(list) = &self.list {
            list.fetch_entry(hash);
        }
    }

    /// Like [`Memtable::get`], passing over what was undone.
    pub(crate) fn get_done(&self, key: &[u8], sequence: u64, undone: &Undone) -> Option<Version<'_>> {
        let mut at = self.list.seek(key, sequence);
        let mut found = None;
        while let Some(position) = at {
            let entry = self.list.entry(position);
            if entry.key != key {
                break;
            }
            if !is_undone(undone, entry.sequence) {
                found = Some(Version { sequence: entry.sequence, value: entry.value });
                break;
            }
            at = self.list.next(position);
        }
        self.unless_erased(found, key, sequence, undone)
    }

    /// A version of a key, or the tombstone over it that is newer.
    fn unless_erased<'a>(
        &self,
        found: Option<Version<'a>>,
        key: &[u8],
        sequence: u64,
        undone: &Undone,
    ) -> Option<Version<'a>> {
        match self.erased.newest_over(key, sequence, undone) {
            Some(erased) if found.is_none_or(|found| found.sequence < erased) => {
                Some(Version { sequence: erased, value: None })
            }
            _ => found,
        }
    }

    /// A key of a range that was changed after one sequence and not after another, if there is one.
    pub(crate) fn changed_in(&self, range: &KeyRange, after: u64, until: u64) -> Option<Vec<u8>> {
        let mut at = self.list.seek(&range.start, u64::MAX);
        while let Some(position) = at {
            let entry = self.list.entry(position);
            if !is_before(entry.key, range.end.as_deref()) {
                break;
            }
            if (after + 1..=until).contains(&entry.sequence) {
                return Some(entry.key.to_vec());
            }
            at = self.list.next(position);
        }
        self.erased.tiers()?.first_between(range, after, until)
    }

    /// Whether any key, or a range tombstone, lies between two keys.
    pub(crate) fn overlaps(&self, first: &[u8], last: &[u8]) -> bool {
        self.list.seek(first, u64::MAX).is_some_and(|position| self.list.entry(position).key <= last)
            || self.erases(first, last)
    }

    /// Whether a range tombstone lies between two keys, both included.
    pub(crate) fn erases(&self, first: &[u8], last: &[u8]) -> bool {
        let range = KeyRange::from_bounds(Bound::Included(first), Bound::Included(last));
        self.erased.tiers().is_some_and(|tiers| tiers.first_between(&range, 0, u64::MAX).is_some())
    }

    /// All versions: by key, of one key the newest first.
    pub(crate) fn versions(&self) -> impl Iterator<Item = Entry<'_>> {
        let places = std::iter::successors(self.list.first(), |place| self.list.next(*place));
        places.map(|place| self.list.entry(place))
    }

    /// The range tombstones, if there are some.
    pub(crate) fn tiers(&self) -> Option<Arc<Tiers>> {
        self.erased.tiers()
    }

    /// Keys spread evenly, and how many versions each stands for.
    pub(crate) fn sample(&self, wanted: usize) -> (Vec<&[u8]>, usize) {
        self.list.sample(wanted)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::table::hash;

    #[test]
    fn a_read_finds_the_newest_version_it_may_see() {
        let table = Memtable::new(64);
        table.insert(b"k", 5, Some(b"five"));
        table.insert(b"k", 9, None);
        table.insert(b"k", 12, Some(b"twelve"));
        let read =
            |sequence| table.get(b"k", hash(b"k"), sequence).map(|entry| entry.value.map(<[u8]>::to_vec));
        assert_eq!(read(4), None);
        assert_eq!(read(5), Some(Some(b"five".to_vec())));
        assert_eq!(read(10), Some(None));
        assert_eq!(read(u64::MAX), Some(Some(b"twelve".to_vec())));
        assert_eq!(table.get_done(b"k", 100, &[(8, 20)]).unwrap().sequence, 5);
        assert_eq!(table.max_sequence(), 12);
    }

    #[test]
    fn undone_ranges_exclude_their_start_and_include_their_end() {
        let undone = [(2, 4), (7, 8)];
        let hits: Vec<u64> = (0..10).filter(|sequence| is_undone(&undone, *sequence)).collect();
        assert_eq!(hits, [3, 4, 8]);
    }
}
