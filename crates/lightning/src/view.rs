//! What readers pin: the memtables and the tables of every keyspace at one moment.
//!
//! A view is immutable and shared; a change (a full memtable, a flush, a compaction, a new keyspace)
//! makes the next one. Everything committed up to a sequence number that was visible while a view
//! was the current one is in that view, so a view and such a number make a snapshot.
//!
//! Snapshots hold a view through a place where it can be replaced by one that shows the same and takes less memory.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use luma_sync::atomic::{AtomicU64, Ordering};

use crate::key_range::KeyRange;
use crate::keyspace::KeyspaceInner;
use crate::layout::Tree;
use crate::memtable::Memtable;
use crate::spilled::Spilled;
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
    /// Those that were written to files since, newest first: never in the current view.
    pub(crate) spilled: Vec<Arc<Spilled>>,
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
        let (spilled, forgotten) = (Vec::new(), flushed);
        Self { id, active, frozen, spilled, tree, flushed, remembered, forgotten, changed_aside: 0 }
    }

    /// The same for readers only: without what tells which keys were changed.
    fn for_readers(&self) -> Self {
        Self { remembered: Vec::new(), forgotten: self.flushed, ..self.clone() }
    }

    /// The same for readers only, with files in place of memtables; `None` if it has none of those.
    fn with_spilled(&self, files: &SpilledOf) -> Option<Self> {
        let file = |memtable: &Arc<Memtable>| files.get(&Arc::as_ptr(memtable));
        if !self.memtables().chain(&self.remembered).any(|memtable| file(memtable).is_some()) {
            return None;
        }
        // Memtables are flushed in order, so what is spilled is older than what is not.
        let spilled = self.memtables().filter_map(file).chain(&self.spilled).cloned().collect();
        let left = |memtable: &&Arc<Memtable>| file(memtable).is_none();
        let active = Some(&self.active).filter(left).map_or_else(new_memtable, Arc::clone);
        let frozen = self.frozen.iter().filter(left).cloned().collect();
        Some(Self { active, frozen, spilled, ..self.for_readers() })
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

    /// The keyspace in this view. One made later is empty here; one that was dropped is an error.
    #[inline]
    pub(crate) fn find(&self, keyspace: &KeyspaceInner) -> Result<Option<&Arc<KeyspaceView>>> {
        match self.get(keyspace.slot, keyspace.id) {
            Some(found) => Ok(Some(found)),
            None => keyspace.check().map(|()| None),
        }
    }

    /// The same for readers only: without what tells which keys were changed.
    pub(crate) fn for_readers(&self) -> Self {
        self.with(|keyspace| (!keyspace.remembered.is_empty()).then(|| keyspace.for_readers())).0
    }

    /// The same with other keyspaces where the function gives one, and whether it did.
    fn with(&self, change: impl Fn(&KeyspaceView) -> Option<KeyspaceView>) -> (Self, bool) {
        let mut any = false;
        let mut changed = |keyspace: &Arc<KeyspaceView>| match change(keyspace) {
            Some(other) => {
                any = true;
                Arc::new(other)
            }
            None => Arc::clone(keyspace),
        };
        let slots = self.slots.iter().map(|slot| slot.as_ref().map(&mut changed)).collect();
        (Self { slots, born: self.born }, any)
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

/// The files that memtables were written to.
pub(crate) type SpilledOf = HashMap<*const Memtable, Arc<Spilled>>;

/// A view as snapshots hold it.
pub(crate) struct HeldView {
    view: ArcSwap<View>,
    /// No snapshot of it shows more.
    until: AtomicU64,
}

impl HeldView {
    pub(crate) fn new(view: View) -> Self {
        Self { view: ArcSwap::from_pointee(view), until: AtomicU64::new(u64::MAX) }
    }

    /// What it shows. Takes no lock; who keeps this for long keeps what could have been given up.
    #[inline]
    pub(crate) fn view(&self) -> Guard<Arc<View>> {
        luma_sync::schedule_point();
        self.view.load()
    }

    /// What was visible when it was made.
    pub(crate) fn born(&self) -> u64 {
        self.view().born
    }

    /// Notes that no snapshot to come shows more than this.
    pub(crate) fn end(&self, accepted: u64) {
        self.until.store(accepted, Ordering::Release);
    }

    /// The sequences that snapshots of it may have, both included.
    pub(crate) fn sequences(&self) -> (u64, u64) {
        (self.born(), self.until.load(Ordering::Acquire))
    }

    /// The same for what is kept to read in the past.
    pub(crate) fn for_readers(&self) -> Self {
        let until = AtomicU64::new(self.until.load(Ordering::Acquire));
        Self { view: ArcSwap::from_pointee(self.view().for_readers()), until }
    }

    /// Has it read files in place of memtables. The caller holds the lock for changes of the view.
    pub(crate) fn spill(&self, files: &SpilledOf) {
        let (spilled, changed) = self.view().with(|keyspace| keyspace.with_spilled(files));
        if changed {
            luma_sync::schedule_point();
            self.view.store(Arc::new(spilled));
        }
    }
}
