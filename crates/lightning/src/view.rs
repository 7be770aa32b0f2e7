//! What readers pin: the memtables and the tables of every keyspace at one moment.
//!
//! A view is immutable and shared; a change (a full memtable, a flush, a compaction, a new keyspace)
//! makes the next one. Everything committed up to a sequence number that was visible while a view
//! was the current one is in that view, so a view and such a number make a snapshot.

use std::sync::Arc;

use crate::key_range::KeyRange;
use crate::layout::Tree;
use crate::memtable::Memtable;
use crate::table::hash;
use crate::{Error, Result};

/// Names a keyspace forever.
pub(crate) type KeyspaceId = u64;

/// A keyspace nobody writes to takes no more memory than this.
const FIRST_CHUNK_BYTES: usize = 1 << 10;

/// A keyspace at one moment.
#[derive(Clone)]
pub(crate) struct KeyspaceView {
    pub(crate) id: KeyspaceId,
    /// Takes the commits.
    pub(crate) active: Arc<Memtable>,
    /// Full ones that wait to be flushed, newest first.
    pub(crate) frozen: Vec<Arc<Memtable>>,
    pub(crate) tree: Arc<Tree>,
    /// The newest sequence in the tree.
    pub(crate) flushed: u64,
    /// Flushed ones that running transactions may need to tell conflicts, newest first.
    pub(crate) remembered: Vec<Arc<Memtable>>,
    /// Which keys were changed up to this sequence is known no more.
    pub(crate) forgotten: u64,
    /// The sequence of the newest bulk load.
    pub(crate) changed_aside: u64,
}

/// An empty memtable for commits.
pub(crate) fn new_memtable() -> Arc<Memtable> {
    Arc::new(Memtable::new(FIRST_CHUNK_BYTES))
}

impl KeyspaceView {
    /// A keyspace with stored data up to a sequence, and nothing in memory.
    pub(crate) fn new(id: KeyspaceId, tree: Arc<Tree>, flushed: u64) -> Self {
        let (active, frozen, remembered) = (new_memtable(), Vec::new(), Vec::new());
        Self { id, active, frozen, tree, flushed, remembered, forgotten: flushed, changed_aside: 0 }
    }

    /// The memtables, newest first.
    #[inline]
    pub(crate) fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        std::iter::once(&self.active).chain(&self.frozen)
    }

    /// A key of a range that was changed after one sequence and not after another, if there is one. Bulk loads
    /// don't count.
    ///
    /// # Errors
    /// [`Error::TransactionTooOld`] when that is not remembered.
    pub(crate) fn changed_in(&self, range: &KeyRange, after: u64, until: u64) -> Result<Option<Vec<u8>>> {
        let all = self.memtables().chain(&self.remembered);
        let mut newer = all.filter(|table| !table.is_empty() && table.max_sequence() > after);
        let changed = newer.find_map(|table| table.changed_in(range, after, until));
        if changed.is_none() && self.forgotten > after { Err(Error::TransactionTooOld) } else { Ok(changed) }
    }

    /// Whether a key was written after one sequence and not after another. Bulk loads don't count.
    ///
    /// # Errors
    /// [`Error::TransactionTooOld`] when that is not remembered.
    pub(crate) fn changed(&self, key: &[u8], after: u64, until: u64) -> Result<bool> {
        let hash = hash(key);
        let newest_first = self.memtables().chain(&self.remembered);
        let mut newer = newest_first.take_while(|table| table.is_empty() || table.max_sequence() > after);
        if let Some(entry) = newer.find_map(|table| table.get(key, hash, until)) {
            return Ok(entry.sequence > after);
        }
        if self.forgotten > after { Err(Error::TransactionTooOld) } else { Ok(false) }
    }
}

/// All keyspaces at one moment, by slot.
#[derive(Clone)]
pub(crate) struct View {
    slots: Vec<Option<Arc<KeyspaceView>>>,
    /// What was visible when it was made; no snapshot of it shows less.
    pub(crate) born: u64,
}

impl View {
    /// A view without keyspaces that is made when `born` is visible.
    pub(crate) fn new(born: u64) -> Self {
        Self { slots: Vec::new(), born }
    }

    /// A keyspace, if it exists in this view.
    #[inline]
    pub(crate) fn get(&self, slot: usize, id: KeyspaceId) -> Option<&Arc<KeyspaceView>> {
        self.slots.get(slot)?.as_ref().filter(|keyspace| keyspace.id == id)
    }

    /// Every keyspace with its slot.
    pub(crate) fn keyspaces(&self) -> impl Iterator<Item = (usize, &Arc<KeyspaceView>)> {
        self.slots.iter().enumerate().filter_map(|(slot, keyspace)| Some((slot, keyspace.as_ref()?)))
    }

    /// Puts a keyspace in a free slot and returns it.
    pub(crate) fn add(&mut self, keyspace: KeyspaceView) -> usize {
        let keyspace = Some(Arc::new(keyspace));
        if let Some(free) = self.slots.iter().position(Option::is_none) {
            self.slots[free] = keyspace;
            return free;
        }
        self.slots.push(keyspace);
        self.slots.len() - 1
    }

    pub(crate) fn remove(&mut self, slot: usize, id: KeyspaceId) {
        if self.get(slot, id).is_some() {
            self.slots[slot] = None;
        }
    }

    /// Changes a keyspace that exists; `false` when it does not.
    pub(crate) fn change(
        &mut self,
        slot: usize,
        id: KeyspaceId,
        change: impl FnOnce(&mut KeyspaceView),
    ) -> bool {
        let Some(keyspace) = self.slots.get_mut(slot).and_then(Option::as_mut) else { return false };
        if keyspace.id != id {
            return false;
        }
        change(Arc::make_mut(keyspace));
        true
    }
}
