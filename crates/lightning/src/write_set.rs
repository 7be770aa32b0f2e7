//! What a transaction wrote and has not committed.
//!
//! Each write has a number. A view of the write set is a number and what was undone, so taking one
//! copies nothing, and later writes do not show in it. Rolling back to a savepoint marks a range of
//! numbers as undone; the bytes stay until the transaction ends.

use std::sync::Arc;

use crate::Result;
use crate::batch::Operations;
use crate::key_range::{KeyRange, KeyRanges};
use crate::keyspace::KeyspaceInner;
use crate::memtable::{Memtable, MemtableCursor, Undone, Version, is_undone};
use crate::merge::{Merge, Source};
use crate::options::Direction;
use crate::view::KeyspaceId;

const FIRST_CHUNK_BYTES: usize = 256;

type Tables = Vec<(Arc<KeyspaceInner>, Arc<Memtable>)>;

/// The writes of a transaction as of a moment.
#[derive(Clone)]
pub(crate) struct WriteView {
    tables: Arc<Tables>,
    last: u64,
    undone: Arc<Undone>,
}

impl WriteView {
    fn table(&self, keyspace: KeyspaceId) -> Option<&Arc<Memtable>> {
        self.tables.iter().find(|(known, _)| known.id == keyspace).map(|(_, table)| table)
    }

    /// Whether anything of a keyspace was written.
    pub(crate) fn has(&self, keyspace: KeyspaceId) -> bool {
        self.table(keyspace).is_some()
    }

    /// What was written last to a key.
    #[inline]
    pub(crate) fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Option<Version<'_>> {
        self.table(keyspace)?.get_done(key, self.last, &self.undone)
    }

    pub(crate) fn cursor(&self, keyspace: KeyspaceId, direction: Direction) -> Option<MemtableCursor> {
        let table = Arc::clone(self.table(keyspace)?);
        Some(MemtableCursor::new(table, self.last, Some(Arc::clone(&self.undone)), direction))
    }
}

/// The writes of a transaction.
pub(crate) struct WriteSet {
    view: WriteView,
}

impl WriteSet {
    pub(crate) fn new() -> Self {
        Self { view: WriteView { tables: Arc::new(Vec::new()), last: 0, undone: Arc::from([]) } }
    }

    /// The number of the newest write that counts, or a later one that says the same: where to return to.
    pub(crate) fn place(&self) -> u64 {
        // What was undone just now does not count, and the state is that of before it.
        match self.view.undone.last() {
            Some((from, to)) if *to == self.view.last => *from,
            _ => self.view.last,
        }
    }

    pub(crate) fn view(&self) -> &WriteView {
        &self.view
    }

    pub(crate) fn put(&mut self, keyspace: &Arc<KeyspaceInner>, key: &[u8], value: Option<&[u8]>) {
        self.write(keyspace, |table, number| table.insert(key, number, value));
    }

    pub(crate) fn erase(&mut self, keyspace: &Arc<KeyspaceInner>, range: &KeyRange) {
        self.write(keyspace, |table, number| table.erase(range, number));
    }

    fn write(&mut self, keyspace: &Arc<KeyspaceInner>, write: impl FnOnce(&Memtable, u64)) {
        self.view.last += 1;
        if self.view.table(keyspace.id).is_none() {
            let table = Arc::new(Memtable::unindexed(FIRST_CHUNK_BYTES));
            Arc::make_mut(&mut self.view.tables).push((Arc::clone(keyspace), table));
        }
        if let Some(table) = self.view.table(keyspace.id) {
            write(table, self.view.last);
        }
    }

    /// The ranges that are deleted, by keyspace.
    pub(crate) fn erased(&self) -> impl Iterator<Item = (&Arc<KeyspaceInner>, KeyRanges)> {
        let tables = self.view.tables.iter().filter(|(_, table)| table.has_erased());
        tables.map(|(keyspace, table)| (keyspace, table.erased(self.view.last, &self.view.undone)))
    }

    /// Whether the state after a write can be returned to.
    pub(crate) fn reaches(&self, number: u64) -> bool {
        number <= self.view.last && !is_undone(&self.view.undone, number)
    }

    /// Undoes all writes after a number.
    pub(crate) fn undo_after(&mut self, number: u64) {
        if number == self.view.last {
            return;
        }
        let mut undone = self.view.undone.to_vec();
        undone.retain(|(from, _)| *from < number);
        undone.push((number, self.view.last));
        self.view.undone = undone.into();
    }

    /// Bytes in memory, of undone writes too.
    pub(crate) fn bytes(&self) -> usize {
        self.view.tables.iter().map(|(_, table)| table.bytes()).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.view.undone.last().map_or(self.view.last == 0, |(from, to)| *from == 0 && *to == self.view.last)
    }

    /// The ranges that are deleted, and then the last write of each key.
    pub(crate) fn operations(&self) -> Result<Operations> {
        // Large transactions would copy themselves again and again while the buffer grows.
        let mut operations = Operations { bytes: Vec::with_capacity(self.bytes()), ..Operations::default() };
        for (keyspace, table) in self.view.tables.iter() {
            for range in table.erased(self.view.last, &self.view.undone).iter() {
                operations.push_range(keyspace, range);
            }
            let undone = Some(Arc::clone(&self.view.undone));
            let mut cursor =
                MemtableCursor::new(Arc::clone(table), self.view.last, undone, Direction::Forward);
            if !table.has_erased() && keyspace.merges.is_none() {
                cursor.seek_first();
                while let Some(entry) = cursor.entry() {
                    operations.push(keyspace, entry.key, entry.value);
                    cursor.advance();
                }
                continue;
            }
            // Without what ranges deleted afterwards, and what was merged into a key as one.
            let merges = keyspace.merges.is_some();
            let mut last = Merge::gathering(merges, vec![Source::Memory(cursor)], Direction::Forward, None)?;
            while let Some(key) = last.key() {
                operations.push(keyspace, key, last.value());
                last.advance()?;
            }
        }
        Ok(operations)
    }
}
