//! What readers pin: the memtables and the tables of every keyspace at one moment.
//!
//! A view is immutable and shared; a change (a full memtable, a flush, a compaction, a new keyspace)
//! makes the next one. Everything committed up to a sequence number that was visible while a view
//! was the current one is in that view, so a view and such a number make a snapshot.

use std::sync::Arc;

use crate::layout::Tree;
use crate::memtable::Memtable;

/// Names a keyspace forever.
pub(crate) type KeyspaceId = u64;

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
    /// The sequence of the newest bulk load.
    pub(crate) changed_aside: u64,
}

impl KeyspaceView {
    /// The memtables, newest first.
    #[inline]
    pub(crate) fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        std::iter::once(&self.active).chain(&self.frozen)
    }

    /// Whether everything that changed after `sequence` is in memory.
    pub(crate) fn remembers(&self, sequence: u64) -> bool {
        self.flushed <= sequence && self.changed_aside <= sequence
    }

    /// The sequence of the newest version of a key in memory that is not newer than `sequence`.
    pub(crate) fn newest_in_memory(&self, key: &[u8], sequence: u64) -> Option<u64> {
        self.memtables().find_map(|table| table.get(key, sequence)).map(|entry| entry.sequence)
    }
}

/// All keyspaces at one moment, by slot.
#[derive(Clone, Default)]
pub(crate) struct View {
    slots: Vec<Option<Arc<KeyspaceView>>>,
}

impl View {
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
