//! Draining: what a B+Tree's memtable holds goes into the tree when nobody has written for a moment.
//!
//! Reads of a tree are as fast as its memtable is empty, so one that rests is not left to fill up. Tables
//! have no such need: a small one more would slow reads down. What holds little is left alone; looking
//! into it costs little, and a checkpoint for it would cost more.

use std::collections::HashMap;
use std::time::Duration;

use super::Engine;
use crate::view::KeyspaceId;

/// How long nobody must have written.
pub(super) const REST: Duration = Duration::from_millis(200);
/// A smaller memtable may stay.
const DRAINED_BYTES_MIN: usize = 64 << 10;

/// What the memtables of B+Trees had when they were last looked at: their newest sequences.
#[derive(Default)]
pub(super) struct Rested(HashMap<KeyspaceId, u64>);

impl Engine {
    /// Freezes the memtables that had the same newest sequence at the last look, [`REST`] ago.
    pub(super) fn drain_rested(&self, rested: &mut Rested) {
        let before = std::mem::take(&mut rested.0);
        let view = self.view();
        for (slot, keyspace) in view.keyspaces() {
            let active = &keyspace.active;
            let small = active.bytes() < DRAINED_BYTES_MIN && !active.has_erased();
            if keyspace.tree.btree().is_none() || small {
                continue;
            }
            let newest = active.max_sequence();
            if before.get(&keyspace.id) == Some(&newest) {
                let _commit = self.commit.lock();
                self.freeze(slot, keyspace.id);
            } else {
                rested.0.insert(keyspace.id, newest);
            }
        }
    }
}
