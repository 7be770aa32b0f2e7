//! Committing: validate, number, log, apply, publish.
//!
//! Under the commit lock only memory changes: the record goes to the log's buffer and the versions to
//! the memtables. Waiting for the disk comes after, so commits share a sync. Exclusive locks are given back before it; those
//! of a commit that has callbacks, which change what the locks guard, with the callbacks.

use luma_sync::atomic::Ordering;
use std::sync::Arc;

use luma_log::Lsn;

use super::{CommitState, Engine, Registered};
use crate::batch::{Change, Operations, RECORD_HEADER, record_header};
use crate::keep::now_millis;
use crate::keyspace::KeyspaceInner;
use crate::locks::LockOwner;
use crate::memtable::Memtable;
use crate::merge_operator::is_open;
use crate::options::{Durability, Options, SyncMode};
use crate::publisher::{OnPublish, Pending, Ticket, TicketFuture};
use crate::read_set::FinishedReads;
use crate::readable::Snapshot;
use crate::view::{KeyspaceView, View, new_memtable};
use crate::{Error, Result};

/// How often validation starts over because bulk loads overtook it.
const ROUNDS_MAX: usize = 8;
/// Bytes of commits that are not published yet which are kept for transactions that may begin meanwhile.
const RECENT_BYTES: usize = 1 << 20;
/// A durable commit of so many bytes is written and synced while it goes into the memtables; a smaller one is written by
/// the thread that waits for it, which takes less than waking another.
const PIPELINED_BYTES: usize = 32 << 10;
/// The cache makes way for memtables each time they have grown by so much.
const MAKE_WAY_BYTES: usize = 1 << 20;

/// What is committed.
pub(crate) struct Commit {
    pub(crate) operations: Operations,
    pub(crate) durability: Durability,
    /// Its place in the external log, if there is one.
    pub(crate) index: Option<u64>,
    /// Fails the commit if one of its keys was changed since.
    pub(crate) unchanged_since: Option<Snapshot>,
    /// Fails the commit if something of these was changed since each was registered.
    pub(crate) reads: Vec<(FinishedReads, Registered)>,
    pub(crate) callbacks: Vec<OnPublish>,
    pub(crate) locks: Option<LockOwner>,
}

/// A commit that was accepted: it will be published, unless the log fails.
pub(crate) struct Accepted {
    sequence: u64,
    /// How far the log must be durable first.
    needs: Lsn,
    ticket: Arc<Ticket>,
}

impl Engine {
    /// Commits and blocks until it is published; returns its sequence.
    pub(crate) fn commit_blocking(&self, commit: Commit) -> Result<u64> {
        let accepted = match self.accept(commit) {
            Err(error @ Error::Conflict { .. }) if !self.is_inline() => {
                // Until the other is published, another try would fail as well.
                let accepted = self.commit.lock().next_sequence - 1;
                self.publisher.wait_published(accepted)?;
                return Err(error);
            }
            accepted => accepted?,
        };
        if self.is_inline() {
            self.drive(&accepted);
        } else if accepted.needs > Lsn(0) {
            self.log.sync_in_turn(accepted.needs);
        }
        accepted.ticket.wait()?;
        self.run_inline_work()?;
        Ok(accepted.sequence)
    }

    /// Commits; the future completes when it is published.
    pub(crate) async fn commit_waiting(self: Arc<Self>, commit: Commit) -> Result<u64> {
        let accepted = self.accept(commit)?;
        self.drive_or_request(&accepted);
        TicketFuture(Arc::clone(&accepted.ticket)).await?;
        self.run_inline_work()?;
        Ok(accepted.sequence)
    }

    /// Completes when everything up to a sequence that was accepted is published.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when it never will be.
    pub(crate) async fn settled(self: Arc<Self>, sequence: u64) -> Result<()> {
        let Some(ticket) = self.when_settled(sequence) else { return Ok(()) };
        TicketFuture(ticket).await
    }

    /// The same, blocking the thread.
    pub(crate) fn settle(&self, sequence: u64) -> Result<()> {
        self.when_settled(sequence).map_or(Ok(()), |ticket| ticket.wait())
    }

    fn when_settled(&self, sequence: u64) -> Option<Arc<Ticket>> {
        if sequence <= self.publisher.visible() {
            return None;
        }
        let ticket = self.publisher.when_published(sequence)?;
        if self.is_inline() {
            // Whoever committed may wait for somebody to do the work, too.
            let _ = self.log.wait_durable(self.log.end());
        }
        Some(ticket)
    }

    /// Commits without waiting for the publication.
    pub(crate) fn commit_behind(&self, commit: Commit) -> Result<()> {
        let accepted = self.accept(commit)?;
        self.drive_or_request(&accepted);
        self.run_inline_work()
    }

    fn drive_or_request(&self, accepted: &Accepted) {
        if self.is_inline() {
            self.drive(accepted);
        } else if accepted.needs > Lsn(0) {
            self.log.request_sync(accepted.needs);
        }
    }

    /// Without threads, whoever waits does the work.
    fn drive(&self, accepted: &Accepted) {
        if accepted.ticket.result().is_none() {
            // It may wait for one before it, too. A failure reaches the ticket through the publisher.
            let _ = self.log.wait_durable(self.log.end());
        }
    }

    fn accept(&self, commit: Commit) -> Result<Accepted> {
        let Commit { mut operations, durability, index, unchanged_since, reads, callbacks, locks } = commit;
        self.throttle(&operations.keyspaces, operations.bytes.len())?;
        let mut reads_checked = Vec::new();
        for (reads, registered) in &reads {
            // Most of it outside the lock.
            let since = self.commit.lock().recent.after(registered.sequence())?;
            reads_checked.push(check_reads(reads, &since, registered.sequence())?);
        }
        let mut loads_known = unchanged_since.as_ref().map_or(0, Snapshot::sequence);
        let mut rounds = 0;
        let mut state = loop {
            let state = self.commit.lock();
            let Some(snapshot) = &unchanged_since else { break state };
            if self.check_unchanged(&operations, snapshot, loads_known)? {
                break state;
            }
            // Tables were brought in since: they are read outside the lock.
            drop(state);
            rounds += 1;
            if rounds > ROUNDS_MAX {
                return Err(Error::TransactionTooOld);
            }
            let now = self.snapshot();
            check_not_loaded(&operations, snapshot, &now)?;
            loads_known = now.sequence();
        };
        self.check_writable()?;
        let view = self.view();
        for ((reads, registered), checked) in reads.iter().zip(reads_checked) {
            check_reads(reads, &state.recent.after(checked)?, checked)?;
            check_loads(reads, registered, &view)?;
        }
        for keyspace in &operations.keyspaces {
            keyspace.check()?;
            view.get(keyspace.slot, keyspace.id).ok_or_else(|| keyspace.not_found())?;
        }
        self.take_index(index)?;
        if operations.keyspaces.iter().any(|keyspace| keyspace.options.ttl.is_some()) {
            // Later commits are not older, whatever the clock says.
            state.last_millis = state.last_millis.max(now_millis());
            operations.stamp(state.last_millis);
        }
        let sequence = state.next_sequence;
        let logged = if durability == Durability::Unlogged || self.options.external_log {
            None
        } else {
            let end = self.log.append_quietly(&[&record_header(sequence), &operations.bytes])?;
            let start = end.0 - (4 + RECORD_HEADER + operations.bytes.len()) as u64;
            Some((Lsn(start), end))
        };
        state.next_sequence += 1;
        let waits = durability == Durability::Sync && self.options.sync == SyncMode::Sync;
        let needs = logged.filter(|_| waits).map_or(Lsn(0), |(_, end)| end);
        if needs > Lsn(0) && operations.bytes.len() >= PIPELINED_BYTES && !self.is_inline() {
            self.log.request_sync(needs);
        }
        self.apply(&view, &operations, sequence, logged);
        let ticket = Arc::new(Ticket::default());
        let early = locks.as_ref().filter(|locks| locks.is_used() && callbacks.is_empty()).map(LockOwner::id);
        let readers = Vec::new();
        let pending = Pending { sequence, needs, callbacks, locks, ticket: Arc::clone(&ticket), readers };
        self.publisher.enqueue(pending);
        self.freeze_full(&mut state, &view, &operations);
        drop(reads);
        let (needless, needed) = self.needless_commits();
        state.recent.push(
            sequence,
            operations,
            needless,
            if needed { self.options.history_bytes } else { RECENT_BYTES },
        );
        drop(state);
        if let Some(owner) = early {
            self.locks.release_exclusive(owner);
        }
        if needs == Lsn(0) && logged.is_some() {
            self.log.nudge();
        }
        self.publisher.publish();
        Ok(Accepted { sequence, needs, ticket })
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
            readers: Vec::new(),
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
        let mut all = operations.iter();
        while let Some(operation) = all.next() {
            if tables.get(last).is_none_or(|(id, ..)| *id != operation.keyspace) {
                last = tables.iter().position(|(id, ..)| *id == operation.keyspace).unwrap_or(0);
            }
            if let Some((_, table, _)) = tables.get(last) {
                match (operation.change, logged) {
                    // A record ends with its operations, and an operation with its value.
                    (Change::Put(value), Some((_, end))) => {
                        let at = end.0 - (all.left() + value.len()) as u64;
                        table.insert_logged(operation.key, sequence, value, Lsn(at));
                    }
                    (Change::Put(_) | Change::Delete, _) => {
                        table.insert(operation.key, sequence, operation.value());
                    }
                    (Change::DeleteRange(_), _) => {
                        operation.range().iter().for_each(|range| table.erase(range, sequence));
                    }
                }
            }
        }
        let grown: usize = tables.iter().map(|(_, table, before)| table.bytes() - before).sum();
        let before = self.memory.fetch_add(grown, Ordering::Relaxed);
        if before / MAKE_WAY_BYTES != (before + grown) / MAKE_WAY_BYTES {
            self.make_way();
        }
    }

    /// Checks that no written key was changed since a snapshot; `false` when bulk loads newer than
    /// `loads_known` may have. The caller holds the commit lock.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::TransactionTooOld`].
    fn check_unchanged(&self, operations: &Operations, since: &Snapshot, loads_known: u64) -> Result<bool> {
        let view = self.view();
        let mut current: Option<(&Arc<KeyspaceInner>, &Arc<KeyspaceView>)> = None;
        for operation in operations.iter() {
            if current.is_none_or(|(keyspace, _)| keyspace.id != operation.keyspace) {
                let keyspace = operations.keyspaces.iter().find(|keyspace| keyspace.id == operation.keyspace);
                let Some(keyspace) = keyspace else { continue };
                let found = view.get(keyspace.slot, keyspace.id).ok_or_else(|| keyspace.not_found())?;
                current = Some((keyspace, found));
            }
            let Some((keyspace, found)) = current else { continue };
            if matches!(operation.change, Change::DeleteRange(_)) {
                // Ranges are compared with the commits since, as what was read.
                continue;
            }
            if keyspace.merges.is_some() && operation.value().is_some_and(is_open) {
                // It takes nothing away from what others wrote, and looks at nothing.
                continue;
            }
            if found.changed(operation.key, since.sequence(), u64::MAX)? {
                return Err(conflict(keyspace, operation.key));
            }
        }
        let found = operations.keyspaces.iter().filter_map(|keyspace| view.get(keyspace.slot, keyspace.id));
        Ok(found.map(|keyspace| keyspace.changed_aside).max().is_none_or(|loaded| loaded <= loads_known))
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
        if self.options.external_log {
            // They are frozen together, when they are flushed.
            return self.schedule_flush(id);
        }
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
            self.look_at_debt();
            self.schedule_flush(id);
        }
    }

    /// Past the write buffer, the largest active memtable goes, if the frozen ones don't suffice.
    fn freeze_for_memory(&self) {
        if self.memory.load(Ordering::Relaxed) <= self.options.write_buffer_bytes {
            return;
        }
        let view = self.view();
        let active: usize = view.keyspaces().map(|(_, keyspace)| keyspace.active.bytes()).sum();
        if active <= self.options.write_buffer_bytes / 2 {
            return;
        }
        let largest = view.keyspaces().max_by_key(|(_, keyspace)| keyspace.active.bytes());
        if let Some((slot, keyspace)) = largest {
            self.freeze(slot, keyspace.id);
        }
    }

    /// Notes whether the log is so long that writers must wait. What was there at the start does not count:
    /// it is flushed while they go on.
    pub(super) fn look_at_log(&self) {
        let Options { max_wal_bytes, wal_segment_bytes, .. } = self.options;
        let bound = max_wal_bytes.saturating_mul(2).max(max_wal_bytes.saturating_add(2 * wal_segment_bytes));
        let written = self.log.end().0 - self.log.begin().0.max(self.first_logged);
        self.log_is_long.store(written > bound, Ordering::Relaxed);
    }

    /// Past the log's bound, the keyspaces whose versions are in the oldest segment go.
    fn freeze_for_log(&self, state: &mut CommitState) {
        let end = self.log.end().0;
        if end - state.log_checked < self.options.wal_segment_bytes / 4 {
            return;
        }
        state.log_checked = end;
        self.look_at_log();
        if self.log.live_bytes() <= self.options.max_wal_bytes {
            return;
        }
        let Some(oldest) = self.log.oldest_segment_end() else { return };
        let view = self.view();
        for (slot, keyspace) in view.keyspaces() {
            if keyspace.active.logged_from().is_some_and(|from| from < oldest) {
                self.freeze(slot, keyspace.id);
            }
        }
    }
}

/// Checks that none of some commits changed what was read; returns the last one's sequence.
///
/// # Errors
/// [`Error::Conflict`].
fn check_reads(reads: &FinishedReads, commits: &[(u64, Arc<Operations>)], before: u64) -> Result<u64> {
    for (_, operations) in commits {
        if let Some((id, key)) = reads.changed_by(operations) {
            let keyspace = operations.keyspaces.iter().find(|keyspace| keyspace.id == id);
            let name = keyspace.map_or_else(String::new, |keyspace| keyspace.name.to_string());
            return Err(Error::Conflict { keyspace: name, key });
        }
    }
    Ok(commits.last().map_or(before, |(sequence, _)| *sequence))
}

/// Fails if a bulk load brought keys to a keyspace of which something was read, whichever keys.
fn check_loads(reads: &FinishedReads, registered: &Registered, view: &View) -> Result<()> {
    let mut loaded = view.keyspaces().map(|(_, keyspace)| keyspace);
    let since = registered.sequence();
    match loaded.find(|keyspace| keyspace.changed_aside > since && reads.touch(keyspace.id)) {
        Some(_) => Err(Error::TransactionTooOld),
        None => Ok(()),
    }
}

fn conflict(keyspace: &KeyspaceInner, key: &[u8]) -> Error {
    Error::Conflict { keyspace: keyspace.name.to_string(), key: key.to_vec() }
}

/// Fails if a written key was brought by a bulk load. Those bring only keys that there are not, so a key
/// that is there now, was not before, and was not written meanwhile, is one.
fn check_not_loaded(operations: &Operations, before: &Snapshot, now: &Snapshot) -> Result<()> {
    for operation in operations.iter() {
        let keyspace = operations.keyspaces.iter().find(|keyspace| keyspace.id == operation.keyspace);
        let is_merge =
            |keyspace: &KeyspaceInner| keyspace.merges.is_some() && operation.value().is_some_and(is_open);
        let Some(keyspace) = keyspace.filter(|keyspace| operation.range().is_none() && !is_merge(keyspace))
        else {
            continue;
        };
        if now.has(keyspace, operation.key)? && !before.has(keyspace, operation.key)? {
            return Err(conflict(keyspace, operation.key));
        }
    }
    Ok(())
}
