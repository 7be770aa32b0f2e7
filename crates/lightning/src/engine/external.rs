//! An external log: the program that embeds the engine logs, and nothing is logged here.
//!
//! Each commit is an entry of that log and says its index. All keyspaces are flushed together, at a moment
//! between two commits, and one edit of the manifest names what was flushed and the index. So a start finds
//! exactly the state after that entry, whichever keyspaces it and those before it changed, and the program
//! writes the entries after it again. A B+Tree's root counts only once that edit names it.
//!
//! Invariant: `applied` is the newest index in the memtables; it changes with the commit lock, under which
//! they are frozen. Keyspaces are made, dropped and converted aside from the log, durably at once.

use luma_sync::atomic::Ordering;
use std::sync::Arc;

use super::Engine;
use super::flush::HowMany;
use crate::view::{KeyspaceView, new_memtable};
use crate::{Error, Result};

impl Engine {
    /// Takes the place of a commit in the external log, if there is one. The caller holds the commit lock.
    pub(super) fn take_index(&self, index: Option<u64>) -> Result<()> {
        match (self.options.external_log, index) {
            (false, None) => Ok(()),
            (true, Some(index)) => {
                let applied = self.applied.load(Ordering::Relaxed);
                if index <= applied {
                    return Err(Error::OutOfTurn { index, applied });
                }
                self.applied.store(index, Ordering::Relaxed);
                Ok(())
            }
            (true, None) => Err(Error::ExternalLog(
                "with an external log each commit needs its index there: use write_at or commit_at",
            )),
            (false, Some(_)) => {
                Err(Error::ExternalLog("commits have an index only if Options::external_log was set"))
            }
        }
    }

    /// The newest index whose entry is durable with all before it.
    pub(crate) fn applied_index(&self) -> u64 {
        self.manifest.lock().state().applied
    }

    /// Flushes everything that is in memory, durably all of it or nothing.
    pub(super) fn flush_together(&self) -> Result<()> {
        let _together = self.together.lock();
        let (applied, sequence) = {
            let commit = self.commit.lock();
            self.change_view(|view| {
                let active = |(slot, keyspace): (usize, &Arc<KeyspaceView>)| {
                    (!keyspace.active.is_empty()).then_some((slot, keyspace.id))
                };
                let full: Vec<(usize, u64)> = view.keyspaces().filter_map(active).collect();
                for (slot, id) in full {
                    view.change(slot, id, |keyspace| {
                        let full = std::mem::replace(&mut keyspace.active, new_memtable());
                        keyspace.frozen.insert(0, full);
                    });
                }
            });
            (self.applied.load(Ordering::Relaxed), commit.next_sequence - 1)
        };
        self.publisher.wait_published(sequence)?;
        let keyspaces = self.keyspaces();
        // One of those that wait for a conversion's end here does not hold what that waits for.
        let mut turns = Vec::with_capacity(keyspaces.len());
        let mut flushed = Vec::new();
        for keyspace in &keyspaces {
            turns.push(keyspace.flushing.lock());
            flushed.extend(self.write_frozen(keyspace, HowMany::All)?);
        }
        if flushed.is_empty() && applied == self.applied_index() {
            return Ok(());
        }
        self.install_flushed(flushed, Some(applied))?;
        drop(turns);
        self.spill();
        Ok(())
    }
}
