//! Committing: validate, number, log, apply, publish.
//!
//! Under the commit lock only memory changes: the record goes to the log's buffer and the versions to
//! the memtables. Waiting for the disk comes after, so commits share a sync.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use luma_log::Lsn;

use super::{CommitState, Engine, new_memtable};
use crate::batch::{Operations, RECORD_HEADER, record_header};
use crate::keyspace::KeyspaceInner;
use crate::locks::LockOwner;
use crate::memtable::Memtable;
use crate::options::{Durability, SyncMode};
use crate::publisher::{OnPublish, Pending, Ticket, TicketFuture};
use crate::readable::Snapshot;
use crate::view::View;
use crate::{Error, Result};

/// How often validation starts over because flushes overtook it.
const ROUNDS_MAX: usize = 8;

/// What is committed.
pub(crate) struct Commit {
    pub(crate) operations: Operations,
    pub(crate) durability: Durability,
    /// Fails the commit if one of its keys was changed since.
    pub(crate) unchanged_since: Option<Snapshot>,
    pub(crate) callbacks: Vec<OnPublish>,
    pub(crate) locks: Option<LockOwner>,
}

/// A commit that was accepted: it will be published, unless the log fails.
pub(crate) struct Accepted {
    sequence: u64,
    ticket: Arc<Ticket>,
}

impl Engine {
    /// Commits and blocks until it is published; returns its sequence.
    pub(crate) fn commit_blocking(&self, commit: Commit) -> Result<u64> {
        let accepted = self.accept(commit)?;
        self.drive(&accepted);
        accepted.ticket.wait()?;
        self.run_inline_work()?;
        Ok(accepted.sequence)
    }

    /// Commits; the future completes when it is published.
    pub(crate) async fn commit_waiting(self: Arc<Self>, commit: Commit) -> Result<u64> {
        let accepted = self.accept(commit)?;
        self.drive(&accepted);
        TicketFuture(Arc::clone(&accepted.ticket)).await?;
        self.run_inline_work()?;
        Ok(accepted.sequence)
    }

    /// Commits without waiting for the publication.
    pub(crate) fn commit_behind(&self, commit: Commit) -> Result<()> {
        let accepted = self.accept(commit)?;
        self.drive(&accepted);
        self.run_inline_work()
    }

    /// Without threads, whoever waits does the work.
    fn drive(&self, accepted: &Accepted) {
        if self.is_inline() && accepted.ticket.result().is_none() {
            // It may wait for one before it, too. A failure reaches the ticket through the publisher.
            let _ = self.log.wait_durable(self.log.end());
        }
    }

    fn accept(&self, commit: Commit) -> Result<Accepted> {
        let Commit { operations, durability, unchanged_since, callbacks, locks } = commit;
        self.throttle(&operations.keyspaces)?;
        let mut base = unchanged_since.clone();
        let mut rounds = 0;
        let mut state = loop {
            let state = self.commit.lock();
            let (Some(snapshot), Some(known)) = (&unchanged_since, &mut base) else { break state };
            if self.unchanged_in_memory(&operations, known)? {
                break state;
            }
            // Memtables newer than the snapshot were flushed: values are compared, outside the lock.
            drop(state);
            rounds += 1;
            if rounds > ROUNDS_MAX {
                return Err(Error::TransactionTooOld);
            }
            *known = self.snapshot();
            compare_values(&operations, snapshot, known)?;
        };
        self.check_writable()?;
        let view = self.view.load();
        for keyspace in &operations.keyspaces {
            keyspace.check()?;
            view.get(keyspace.slot, keyspace.id).ok_or_else(|| keyspace.not_found())?;
        }
        let sequence = state.next_sequence;
        let logged = if durability == Durability::Unlogged {
            None
        } else {
            let end = self.log.append_quietly(&[&record_header(sequence), &operations.bytes])?;
            let start = end.0 - (4 + RECORD_HEADER + operations.bytes.len()) as u64;
            Some((Lsn(start), end))
        };
        state.next_sequence += 1;
        self.apply(&view, &operations, sequence, logged);
        let waits = durability == Durability::Sync && self.options.sync == SyncMode::Sync;
        let needs = logged.filter(|_| waits).map_or(Lsn(0), |(_, end)| end);
        let ticket = Arc::new(Ticket::default());
        let pending = Pending { sequence, needs, callbacks, locks, ticket: Arc::clone(&ticket) };
        self.publisher.enqueue(pending);
        self.freeze_full(&mut state, &view, &operations);
        drop(state);
        if needs > Lsn(0) {
            if !self.is_inline() {
                self.log.request_sync(needs);
            }
        } else if logged.is_some() {
            self.log.nudge();
        }
        self.publisher.publish();
        Ok(Accepted { sequence, ticket })
    }

    /// Takes the turn of a sequence that has no versions. The caller holds the commit lock.
    pub(super) fn enqueue_empty(&self, sequence: u64) {
        let ticket = Arc::new(Ticket::default());
        self.publisher.enqueue(Pending {
            sequence,
            needs: Lsn(0),
            callbacks: Vec::new(),
            locks: None,
            ticket,
        });
    }

    /// Puts the versions into the memtables. The caller holds the commit lock.
    fn apply(&self, view: &View, operations: &Operations, sequence: u64, logged: Option<(Lsn, Lsn)>) {
        let mut tables: Vec<(u64, &Arc<Memtable>, usize)> = Vec::with_capacity(operations.keyspaces.len());
        for keyspace in &operations.keyspaces {
            if let Some(found) = view.get(keyspace.slot, keyspace.id) {
                if let Some((start, end)) = logged {
                    found.active.note_logged(start, end);
                }
                tables.push((keyspace.id, &found.active, found.active.bytes()));
            }
        }
        let mut last = 0;
        for operation in operations.iter() {
            if tables.get(last).is_none_or(|(id, ..)| *id != operation.keyspace) {
                last = tables.iter().position(|(id, ..)| *id == operation.keyspace).unwrap_or(0);
            }
            if let Some((_, table, _)) = tables.get(last) {
                table.insert(operation.key, sequence, operation.value);
            }
        }
        let grown: usize = tables.iter().map(|(_, table, before)| table.bytes() - before).sum();
        self.memory.fetch_add(grown, Ordering::Relaxed);
    }

    /// Whether memtables alone prove that no written key was changed since `known`.
    ///
    /// # Errors
    /// [`Error::Conflict`] when they prove that one was.
    fn unchanged_in_memory(&self, operations: &Operations, known: &Snapshot) -> Result<bool> {
        let view = self.view.load();
        for keyspace in &operations.keyspaces {
            let found = view.get(keyspace.slot, keyspace.id).ok_or_else(|| keyspace.not_found())?;
            if !found.remembers(known.sequence()) {
                return Ok(false);
            }
        }
        let mut current: Option<&Arc<KeyspaceInner>> = None;
        for operation in operations.iter() {
            if current.is_none_or(|keyspace| keyspace.id != operation.keyspace) {
                current = operations.keyspaces.iter().find(|keyspace| keyspace.id == operation.keyspace);
            }
            let Some(keyspace) = current else { continue };
            let Some(found) = view.get(keyspace.slot, keyspace.id) else { continue };
            if found.newest_in_memory(operation.key, u64::MAX).is_some_and(|newest| newest > known.sequence())
            {
                return Err(conflict(keyspace, operation.key));
            }
        }
        Ok(true)
    }

    /// Freezes memtables that are full, or in the way of the whole. The caller holds the commit lock.
    fn freeze_full(&self, state: &mut CommitState, view: &View, operations: &Operations) {
        for keyspace in &operations.keyspaces {
            let full = view
                .get(keyspace.slot, keyspace.id)
                .is_some_and(|found| found.active.bytes() >= self.options.memtable_bytes);
            if full {
                self.freeze(keyspace.slot, keyspace.id);
            }
        }
        self.freeze_for_memory();
        self.freeze_for_log(state);
    }

    /// Makes the active memtable of a keyspace immutable, unless it is empty, and has it flushed. The
    /// caller holds the commit lock.
    pub(super) fn freeze(&self, slot: usize, id: u64) {
        let mut frozen = false;
        self.change_view(|view| {
            view.change(slot, id, |keyspace| {
                if !keyspace.active.is_empty() {
                    let full = std::mem::replace(&mut keyspace.active, new_memtable());
                    keyspace.frozen.insert(0, full);
                    frozen = true;
                }
            });
        });
        if frozen {
            self.schedule_flush(id);
        }
    }

    /// Past the write buffer, the largest active memtable goes, if the frozen ones don't suffice.
    fn freeze_for_memory(&self) {
        if self.memory.load(Ordering::Relaxed) <= self.options.write_buffer_bytes {
            return;
        }
        let view = self.view.load();
        let active: usize = view.keyspaces().map(|(_, keyspace)| keyspace.active.bytes()).sum();
        if active <= self.options.write_buffer_bytes / 2 {
            return;
        }
        let largest = view.keyspaces().max_by_key(|(_, keyspace)| keyspace.active.bytes());
        if let Some((slot, keyspace)) = largest {
            self.freeze(slot, keyspace.id);
        }
    }

    /// Past the log's bound, the keyspaces whose versions are in the oldest segment go.
    fn freeze_for_log(&self, state: &mut CommitState) {
        let end = self.log.end().0;
        if end - state.log_checked < self.options.wal_segment_bytes / 4 {
            return;
        }
        state.log_checked = end;
        if self.log.live_bytes() <= self.options.max_wal_bytes {
            return;
        }
        let Some(oldest) = self.log.oldest_segment_end() else { return };
        let view = self.view.load();
        for (slot, keyspace) in view.keyspaces() {
            if keyspace.active.logged_from().is_some_and(|from| from < oldest) {
                self.freeze(slot, keyspace.id);
            }
        }
    }
}

fn conflict(keyspace: &KeyspaceInner, key: &[u8]) -> Error {
    Error::Conflict { keyspace: keyspace.name.to_string(), key: key.to_vec() }
}

/// Fails if a written key has another value now than in the transaction's snapshot. A key that was
/// changed and changed back is as good as unchanged.
fn compare_values(operations: &Operations, snapshot: &Snapshot, now: &Snapshot) -> Result<()> {
    for operation in operations.iter() {
        let keyspace = operations.keyspaces.iter().find(|keyspace| keyspace.id == operation.keyspace);
        let Some(keyspace) = keyspace else { continue };
        if snapshot.get_in(keyspace, operation.key)? != now.get_in(keyspace, operation.key)? {
            return Err(conflict(keyspace, operation.key));
        }
    }
    Ok(())
}
