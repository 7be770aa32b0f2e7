//! Memtables on disk: all versions that somebody may still read, for readers from before their flush.
//!
//! Such a file is a table whose keys end in a sequence. It belongs to the views that read it and goes with
//! the last of them; nothing of it has to survive a crash, and what a crash leaves is removed at the next start.
//!
//! ```text
//! key = (byte, or 0x00 0xff for a zero)*, 0x00 0x00, big-endian u64 of the bits of the sequence turned over, rank?
//! ```
//! The rank is a big-endian u32 from 1 on, of what the same commit merged into the same key before; the newest has none.
//! So the keys of a file are in the order of a memtable: by key, and of one key the newest version first.
//! Range tombstones stay in memory.

use std::path::Path;
use std::sync::Arc;

use luma_sync::atomic::AtomicU64;
use luma_vfs::Vfs;

use crate::cache::Cache;
use crate::memtable::{Entry, Memtable, Tiers, Veil};
use crate::options::Direction;
use crate::table::{RunCursor, Table, TableOptions, TableWriter};
use crate::{Error, Result};

/// Versions of one key that are walked over before the next key is sought instead.
const STEPS_MAX: usize = 8;

/// What all stored versions of a key begin with, and nothing else; less than all of them.
fn put_key(key: &[u8], out: &mut Vec<u8>) {
    out.clear();
    for byte in key {
        out.push(*byte);
        if *byte == 0 {
            out.push(u8::MAX);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// What is more than all stored versions of a key and less than those of the next.
fn put_end(key: &[u8], out: &mut Vec<u8>) {
    put_key(key, out);
    out.pop();
    out.push(1);
}

/// The stored key of the newest version that is not newer than `sequence`, or what comes before it.
fn put_version(key: &[u8], sequence: u64, out: &mut Vec<u8>) {
    put_key(key, out);
    out.extend_from_slice(&(!sequence).to_be_bytes());
}

/// Takes a stored key apart: the key goes to `out`, the sequence is returned.
fn take_version(stored: &[u8], out: &mut Vec<u8>) -> Option<u64> {
    out.clear();
    let mut rest = stored;
    loop {
        let zero = rest.iter().position(|byte| *byte == 0)?;
        let (part, after) = rest.split_at(zero);
        out.extend_from_slice(part);
        rest = after.get(2..)?;
        if after[1] == 0 {
            return Some(!u64::from_be_bytes(*rest.first_chunk()?));
        }
        out.push(0);
    }
}

/// A memtable that was written to a file.
pub(crate) struct Spilled {
    /// One table, or none if there is nothing but range tombstones.
    run: Arc<[Arc<Table>]>,
    erased: Option<Arc<Tiers>>,
}

impl Spilled {
    /// Writes the versions of a memtable that is read at any of some intervals of sequences, both ends included
    /// and in any order; all versions without those.
    pub(crate) fn write(
        memtable: &Memtable,
        read_at: Option<&[(u64, u64)]>,
        options: TableOptions,
        (vfs, directory, next_id): (&Arc<dyn Vfs>, &Path, &Arc<AtomicU64>),
        cache: &Arc<Cache>,
    ) -> Result<Self> {
        let mut writer = TableWriter::create(vfs, directory, next_id, options)?;
        let (mut stored, mut newer, mut rank): (Vec<u8>, Option<Entry<'_>>, u32) = Default::default();
        for version in memtable.versions() {
            // It is read from its own sequence on, and up to that of the next version. Of two in one commit the
            // newer one comes first.
            let above = newer.replace(version).filter(|newer| newer.key == version.key);
            let until = above.map_or(u64::MAX, |newer| newer.sequence);
            rank = if version.sequence == until { rank + 1 } else { 0 };
            let is_read = |(from, to): &(u64, u64)| *from < until && version.sequence <= *to;
            if read_at.is_some_and(|read_at| rank > 0 || !read_at.iter().any(is_read)) {
                continue;
            }
            put_version(version.key, version.sequence, &mut stored);
            if rank > 0 {
                stored.extend_from_slice(&rank.to_be_bytes());
            }
            writer.add(&stored, version.value)?;
        }
        let erased = memtable.tiers();
        if writer.is_empty() {
            return Ok(Self { run: Arc::new([]), erased });
        }
        let table = Table::open(vfs, directory, writer.finish_volatile()?, cache)?;
        table.set_obsolete();
        Ok(Self { run: Arc::new([Arc::new(table)]), erased })
    }

    /// Bytes of its file.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.run.iter().map(|table| table.meta.bytes).sum()
    }

    fn malformed(&self) -> Error {
        self.run.first().map_or(Error::Closed, |table| table.corruption("a key has no sequence"))
    }

    /// Hands the newest version of a key that is not newer than `sequence` to `use_value`, `None` for a
    /// tombstone; gives the function back when there is none here.
    pub(crate) fn get<R, F: FnOnce(Option<&[u8]>) -> R>(
        &self,
        key: &[u8],
        sequence: u64,
        use_value: F,
    ) -> Result<std::result::Result<R, F>> {
        let erased = self.erased.as_ref().and_then(|tiers| tiers.newest_over(key, sequence, &[]));
        let mut versions = RunCursor::new(Arc::clone(&self.run), Direction::Forward, true);
        let mut scratch = Vec::new();
        put_version(key, sequence, &mut scratch);
        versions.seek(&scratch)?;
        let found = versions.key().map(|stored| take_version(stored, &mut scratch));
        let found = found.map(|sequence| sequence.ok_or_else(|| self.malformed())).transpose()?;
        let found = found.filter(|_| scratch == key);
        Ok(match (found, erased) {
            (Some(found), erased) if erased.is_none_or(|erased| found >= erased) => {
                Ok(use_value(versions.value()))
            }
            (_, Some(_)) => Ok(use_value(None)),
            (_, None) => Err(use_value),
        })
    }
}

/// A walk over the newest version of each key that is not newer than a sequence.
pub(crate) struct SpilledCursor {
    spilled: Arc<Spilled>,
    sequence: u64,
    direction: Direction,
    /// In a walk forward at the version here, in one backward at the oldest of its key.
    versions: RunCursor,
    /// In a walk backward at the version here.
    newest: Option<RunCursor>,
    key: Vec<u8>,
    /// The sequence of the version here.
    here: Option<u64>,
    scratch: Vec<u8>,
}

impl SpilledCursor {
    /// A cursor that is not placed yet.
    pub(crate) fn new(spilled: Arc<Spilled>, sequence: u64, direction: Direction) -> Self {
        let walk = |direction| RunCursor::new(Arc::clone(&spilled.run), direction, true);
        let versions = walk(direction);
        let newest = (direction == Direction::Reverse).then(|| walk(Direction::Forward));
        let (key, here, scratch) = (Vec::new(), None, Vec::new());
        Self { spilled, sequence, direction, versions, newest, key, here, scratch }
    }

    /// What this walk sees of the range tombstones. The walk itself shows what they hide.
    pub(crate) fn veil(&self) -> Option<Veil> {
        let tiers = self.spilled.erased.as_ref()?;
        Some(Veil::new(Arc::clone(tiers), self.sequence, None))
    }

    #[inline]
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.here.map(|_| self.key.as_slice())
    }

    /// The value here; `None` is a tombstone, or no place.
    #[inline]
    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.here?;
        self.newest.as_ref().unwrap_or(&self.versions).value()
    }

    /// The sequence of the version here.
    pub(crate) fn sequence(&self) -> Option<u64> {
        self.here
    }

    /// Hands this version of the key and older ones to `take`, newest first, until it returns something.
    pub(crate) fn find_version<R>(
        &self,
        mut take: impl FnMut(u64, Option<&[u8]>) -> Option<R>,
    ) -> Result<Option<R>> {
        let Some(here) = self.here else { return Ok(None) };
        let mut versions = RunCursor::new(Arc::clone(&self.spilled.run), Direction::Forward, true);
        let (mut stored, mut key) = (Vec::new(), Vec::new());
        put_version(&self.key, here, &mut stored);
        versions.seek(&stored)?;
        while let Some(stored) = versions.key() {
            let sequence = take_version(stored, &mut key).ok_or_else(|| self.spilled.malformed())?;
            if key != self.key {
                break;
            }
            if let Some(done) = take(sequence, versions.value()) {
                return Ok(Some(done));
            }
            versions.advance()?;
        }
        Ok(None)
    }

    /// To no entry.
    pub(crate) fn finish(&mut self) {
        self.here = None;
    }

    /// To the first entry in the cursor's direction.
    pub(crate) fn seek_first(&mut self) -> Result<()> {
        self.versions.seek_first()?;
        self.settle()
    }

    /// Forward: to the first key at or after `key`. Reverse: to the last key at or before it.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<()> {
        match self.direction {
            Direction::Forward => put_key(key, &mut self.scratch),
            Direction::Reverse => put_end(key, &mut self.scratch),
        }
        self.versions.seek(&self.scratch)?;
        self.settle()
    }

    pub(crate) fn advance(&mut self) -> Result<()> {
        if self.here.is_none() {
            return Ok(());
        }
        put_key(&self.key, &mut self.scratch);
        for _ in 0..STEPS_MAX {
            self.versions.advance()?;
            if self.versions.key().is_none_or(|stored| !stored.starts_with(&self.scratch)) {
                return self.settle();
            }
        }
        if self.direction == Direction::Forward {
            put_end(&self.key, &mut self.scratch);
        }
        self.versions.seek_on(&self.scratch)?;
        self.settle()
    }

    /// From the first version of a key in the cursor's direction to the one that counts, or on to the next key
    /// that has one.
    fn settle(&mut self) -> Result<()> {
        loop {
            self.here = None;
            let Some(stored) = self.versions.key() else { return Ok(()) };
            let found = take_version(stored, &mut self.key).ok_or_else(|| self.spilled.malformed())?;
            match (&mut self.newest, found <= self.sequence) {
                (None, true) => {
                    self.here = Some(found);
                    return Ok(());
                }
                (None, false) => {
                    put_version(&self.key, self.sequence, &mut self.scratch);
                    self.versions.seek_on(&self.scratch)?;
                }
                (Some(newest), true) => {
                    put_version(&self.key, self.sequence, &mut self.scratch);
                    newest.seek(&self.scratch)?;
                    let stored = newest.key().unwrap_or_default();
                    let found = take_version(stored, &mut self.scratch);
                    self.here = Some(found.ok_or_else(|| self.spilled.malformed())?);
                    return Ok(());
                }
                (Some(_), false) => {
                    put_key(&self.key, &mut self.scratch);
                    self.versions.seek_on(&self.scratch)?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::key_range::KeyRange;
    use crate::memtable::MemtableCursor;
    use crate::merge::{Merge, Source};
    use crate::options::Compression;
    use crate::table::{FilterOptions, hash};
    use luma_vfs::SimDisk;
    use proptest::prelude::*;

    fn any_key() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(proptest::sample::select(vec![0, 1, 7, 254, 255]), 0..4)
    }

    fn spilled(memtable: &Memtable, read_at: Option<&[(u64, u64)]>) -> Arc<Spilled> {
        let vfs: Arc<dyn Vfs> = Arc::new(SimDisk::new());
        vfs.create_dir_all(Path::new("/t")).unwrap();
        let options = TableOptions {
            block_bytes: 40,
            part_bytes: 100,
            compression: Compression::None,
            filter: FilterOptions { bits_per_key: 0, small: false },
            blob_threshold: usize::MAX,
            merges: false,
            prefix: None,
        };
        let cache = Arc::new(Cache::new(crate::CachePolicy::default(), 1 << 20, 2));
        let place = (&vfs, Path::new("/t"), &Arc::new(AtomicU64::new(1)));
        Arc::new(Spilled::write(memtable, read_at, options, place, &cache).unwrap())
    }

    fn walk(source: Source, direction: Direction, from: Option<&[u8]>) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut merge = Merge::new(vec![source], direction, from).unwrap();
        let mut found = Vec::new();
        while let Some(key) = merge.key() {
            found.push((key.to_vec(), merge.value().map(<[u8]>::to_vec)));
            merge.advance().unwrap();
        }
        found
    }

    proptest! {
        #[test]
        fn stored_keys_sort_as_versions_do_and_come_apart_again(
            left in (any_key(), any::<u64>()), right in (any_key(), any::<u64>()),
        ) {
            let stored = |(key, sequence): &(Vec<u8>, u64)| {
                let mut out = Vec::new();
                put_version(key, *sequence, &mut out);
                out
            };
            let order = left.0.cmp(&right.0).then(right.1.cmp(&left.1));
            prop_assert_eq!(stored(&left).cmp(&stored(&right)), order);
            let mut key = Vec::new();
            prop_assert_eq!(take_version(&stored(&left), &mut key), Some(left.1));
            prop_assert_eq!(key, left.0);
        }

        #[test]
        fn a_reader_sees_the_same_in_the_file_as_in_memory(
            // A value, a tombstone, or a range tombstone up to a key.
            writes in proptest::collection::vec((any_key(), 0u8..8, any_key()), 0..80),
            views in proptest::collection::vec((0u64..90, 0u64..20), 1..3),
            at in (0usize..3, 0u64..20),
            all in any::<bool>(),
            probe in any_key(),
        ) {
            let memtable = Arc::new(Memtable::new(64));
            for (index, (key, kind, end)) in writes.into_iter().enumerate() {
                let sequence = index as u64 + 1;
                match kind {
                    0 if key < end => memtable.erase(&KeyRange { start: key, end: Some(end) }, sequence),
                    0 | 1 => memtable.insert(&key, sequence, None),
                    _ => memtable.insert(&key, sequence, Some(&[index as u8; 9])),
                }
            }
            let read_at: Vec<(u64, u64)> = views.iter().map(|(from, more)| (*from, from + more)).collect();
            let (from, to) = read_at[at.0 % read_at.len()];
            let sequence = to.min(from + at.1);
            let spilled = spilled(&memtable, Some(&read_at[..]).filter(|_| !all));
            for direction in [Direction::Forward, Direction::Reverse] {
                for from in [None, Some(probe.as_slice())] {
                    let memory = MemtableCursor::new(Arc::clone(&memtable), sequence, None, direction);
                    let file = SpilledCursor::new(Arc::clone(&spilled), sequence, direction);
                    prop_assert_eq!(
                        walk(Source::Spilled(file), direction, from),
                        walk(Source::Memory(memory), direction, from)
                    );
                }
            }
            let in_memory = memtable.get(&probe, hash(&probe), sequence);
            let in_file = spilled.get(&probe, sequence, |value| value.map(<[u8]>::to_vec)).unwrap().ok();
            prop_assert_eq!(in_file, in_memory.map(|version| version.value.map(<[u8]>::to_vec)));
        }
    }

    #[test]
    fn versions_that_no_view_can_read_are_left_out() {
        let memtable = Memtable::new(64);
        (1..=1000).for_each(|sequence| memtable.insert(b"counter", sequence, Some(&[1; 100])));
        let one = spilled(&memtable, Some(&[(500, 500)]));
        assert_eq!(one.run[0].meta.entries, 1);
        assert_eq!(spilled(&memtable, Some(&[(10, 19), (700, 701)])).run[0].meta.entries, 12);
        assert!(spilled(&memtable, Some(&[])).run.is_empty());
        assert_eq!(spilled(&memtable, None).run[0].meta.entries, 1000);
    }

    #[test]
    fn what_one_commit_merged_into_a_key_stays_apart_and_in_order() {
        let memtable = Memtable::new(64);
        for (sequence, operand) in [(1, b"a"), (2, b"b"), (2, b"c"), (2, b"d"), (3, b"e")] {
            memtable.insert(b"k", sequence, Some(operand));
        }
        let spilled = spilled(&memtable, None);
        let mut cursor = SpilledCursor::new(Arc::clone(&spilled), 2, Direction::Forward);
        cursor.seek_first().unwrap();
        let mut found = Vec::new();
        cursor
            .find_version(|sequence, value| {
                found.push((sequence, value.unwrap()[0]));
                None::<()>
            })
            .unwrap();
        assert_eq!(found, [(2, b'd'), (2, b'c'), (2, b'b'), (1, b'a')]);
        cursor.advance().unwrap();
        assert_eq!(cursor.key(), None);
    }
}
