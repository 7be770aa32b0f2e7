//! Transactions: a snapshot, a write set, locks.

use std::future::Future;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use luma_sync::Mutex;
use luma_sync::atomic::{AtomicU64, Ordering};

use crate::batch::{check_bounds, check_sizes};
use crate::engine::{Commit, Engine, Registered};
use crate::keyspace::Keyspace;
use crate::locks::{LockAttempt, LockOwner};
use crate::options::{Direction, Isolation, LockMode, TransactionMode, TransactionOptions};
use crate::publisher::OnPublish;
use crate::range::Range;
use crate::read_set::{FinishedReads, ReadSet};
use crate::readable::{Readable, Snapshot};
use crate::write_set::{WriteSet, WriteView};
use crate::{Error, Result};

/// A place in a transaction to roll back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Savepoint {
    write: u64,
}

/// What a commit gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitInfo {
    /// The commit's number: snapshots with this sequence or a later one show it. For a transaction that
    /// wrote nothing, its snapshot's.
    pub sequence: u64,
}

/// Reads what a transaction sees at one moment: its snapshot and its own writes so far.
#[derive(Clone)]
pub struct TransactionReader {
    snapshot: Snapshot,
    writes: WriteView,
    reads: Option<Arc<ReadSet>>,
}

impl std::fmt::Debug for TransactionReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TransactionReader").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}

impl Readable for TransactionReader {
    #[inline]
    fn get_with<R>(
        &self,
        keyspace: &Keyspace,
        key: &[u8],
        use_value: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>> {
        if let Some(entry) = self.writes.get(keyspace.inner.id, key) {
            if keyspace.inner.merges.is_some() {
                if let Some(reads) = &self.reads {
                    reads.add_key(keyspace.inner.id, key);
                }
                return self.snapshot.gathered(&keyspace.inner, Some(&self.writes), key, use_value);
            }
            return Ok(entry.value.and_then(|stored| keyspace.inner.shown(stored)).map(use_value));
        }
        if let Some(reads) = &self.reads {
            reads.add_key(keyspace.inner.id, key);
        }
        self.snapshot.get_with(keyspace, key, use_value)
    }

    fn get_each(
        &self,
        keyspace: &Keyspace,
        keys: &[&[u8]],
        mut use_value: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        if !self.writes.has(keyspace.inner.id) {
            if let Some(reads) = &self.reads {
                for key in keys {
                    reads.add_key(keyspace.inner.id, key);
                }
            }
            return self.snapshot.get_each(keyspace, keys, use_value);
        }
        self.prefetch(keyspace, keys)?;
        for (at, key) in keys.iter().enumerate() {
            if self.get_with(keyspace, key, |value| use_value(at, Some(value)))?.is_none() {
                use_value(at, None);
            }
        }
        Ok(())
    }

    fn prefetch(&self, keyspace: &Keyspace, keys: &[&[u8]]) -> Result<()> {
        self.snapshot.prefetch(keyspace, keys)
    }

    fn range(
        &self,
        keyspace: &Keyspace,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
        direction: Direction,
    ) -> Result<Range> {
        let reads = self.reads.as_deref();
        Range::new(&self.snapshot, Some(&self.writes), reads, &keyspace.inner, (start, end), direction)
    }
}

impl TransactionReader {
    /// The snapshot below the transaction's own writes. What is read through it is not remembered.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}

/// Reads and writes that take effect together, or not at all. Dropping it rolls back.
pub struct Transaction {
    engine: Arc<Engine>,
    options: TransactionOptions,
    snapshot: Snapshot,
    writes: WriteSet,
    /// What it read, if it is serializable, and since when commits are kept to compare with.
    reads: Option<(Arc<ReadSet>, Registered)>,
    /// If it is optimistic and deletes ranges: since when commits are kept to compare them with, and what was
    /// published then.
    ranges: Option<(Snapshot, Registered)>,
    owner: LockOwner,
    /// How far it read: with locks, what is not published yet, too.
    read_to: AtomicU64,
    callbacks: Mutex<Vec<OnPublish>>,
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Transaction")
            .field("options", &self.options)
            .field("snapshot", &self.snapshot)
            .field("write_set_bytes", &self.write_set_bytes())
            .finish_non_exhaustive()
    }
}

impl Readable for Transaction {
    fn get_with<R>(
        &self,
        keyspace: &Keyspace,
        key: &[u8],
        use_value: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>> {
        if let Some(entry) = self.writes.view().get(keyspace.inner.id, key) {
            if keyspace.inner.merges.is_some() {
                self.note_read(keyspace, key);
                let (seen, writes) = (self.seen(), Some(self.writes.view()));
                return seen.gathered(&keyspace.inner, writes, key, use_value);
            }
            return Ok(entry.value.and_then(|stored| keyspace.inner.shown(stored)).map(use_value));
        }
        if self.options.isolation == Isolation::ReadCommitted {
            return self.newest().get_with(keyspace, key, use_value);
        }
        self.note_read(keyspace, key);
        self.snapshot.get_with(keyspace, key, use_value)
    }

    fn get_each(
        &self,
        keyspace: &Keyspace,
        keys: &[&[u8]],
        use_value: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        self.reader().get_each(keyspace, keys, use_value)
    }

    fn prefetch(&self, keyspace: &Keyspace, keys: &[&[u8]]) -> Result<()> {
        self.snapshot.prefetch(keyspace, keys)
    }

    fn range(
        &self,
        keyspace: &Keyspace,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
        direction: Direction,
    ) -> Result<Range> {
        let (writes, reads) = (Some(self.writes.view()), self.read_set().map(|reads| &**reads));
        Range::new(&self.seen(), writes, reads, &keyspace.inner, (start, end), direction)
    }
}

impl Transaction {
    pub(crate) fn new(engine: Arc<Engine>, options: TransactionOptions) -> Self {
        let (snapshot, reads) = match options.isolation {
            Isolation::Snapshot | Isolation::ReadCommitted => (engine.snapshot(), None),
            Isolation::Serializable => {
                let (snapshot, registered) = engine.registered_snapshot();
                (snapshot, Some((Arc::default(), registered)))
            }
        };
        let (writes, owner, callbacks) = (WriteSet::new(), engine.locks.owner(), Mutex::default());
        let read_to = AtomicU64::new(0);
        Self { engine, options, snapshot, writes, reads, ranges: None, owner, read_to, callbacks }
    }

    /// What is published now; with locks, also what was accepted before, as exclusive locks are released by then.
    fn newest(&self) -> Snapshot {
        if !self.owner.is_used() {
            return self.engine.snapshot();
        }
        let newest = self.engine.accepted_snapshot();
        self.read_to.fetch_max(newest.sequence(), Ordering::Relaxed);
        newest
    }

    /// What the next read sees.
    fn seen(&self) -> Snapshot {
        match self.options.isolation {
            Isolation::ReadCommitted => self.newest(),
            Isolation::Snapshot | Isolation::Serializable => self.snapshot.clone(),
        }
    }

    /// Whether its commit fails if others changed what it writes.
    fn is_checked(&self) -> bool {
        self.options.mode == TransactionMode::Optimistic && self.options.isolation != Isolation::ReadCommitted
    }

    fn read_set(&self) -> Option<&Arc<ReadSet>> {
        self.reads.as_ref().map(|(reads, _)| reads)
    }

    fn note_read(&self, keyspace: &Keyspace, key: &[u8]) {
        if let Some(reads) = self.read_set() {
            reads.add_key(keyspace.inner.id, key);
        }
    }

    /// Writes a key.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn put(&mut self, keyspace: &Keyspace, key: &[u8], value: &[u8]) -> Result<()> {
        check_sizes(key, Some(value))?;
        keyspace.inner.check_merges()?;
        self.writes.put(&keyspace.inner, key, Some(&keyspace.inner.stored(value)));
        Ok(())
    }

    /// Merges an operand into a key without reading it: the keyspace's merge operator makes one value of it and of
    /// what was there, when it is read and when files are written. Merges take effect in the order of their
    /// commits. One never conflicts with what others wrote to the key, in no isolation: it takes nothing away
    /// from that, and depends on it no more than if its transaction had begun when it committed. Others may
    /// conflict with it: a put of the key is refused if there was a merge since its snapshot. A merge on top of
    /// the transaction's own put or delete is part of that.
    ///
    /// # Errors
    /// [`Error::NoMergeOperator`], [`Error::MergeOperatorMissing`], [`Error::TooLarge`].
    pub fn merge(&mut self, keyspace: &Keyspace, key: &[u8], operand: &[u8]) -> Result<()> {
        check_sizes(key, Some(operand))?;
        let stored = keyspace.inner.stored_merge(operand)?;
        self.writes.put(&keyspace.inner, key, Some(&stored));
        Ok(())
    }

    /// Deletes a key, whether it exists or not.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn delete(&mut self, keyspace: &Keyspace, key: &[u8]) -> Result<()> {
        check_sizes(key, None)?;
        keyspace.inner.check_merges()?;
        self.writes.put(&keyspace.inner, key, None);
        Ok(())
    }

    /// Deletes all keys between two, at a cost that does not depend on how many there are. In optimistic mode
    /// the commit fails if any key of the range was changed since the snapshot, and so does one of a
    /// transaction that began before this commit and writes to the range. It takes no locks; in pessimistic
    /// mode the caller locks what stands for the whole range.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn delete_range(
        &mut self,
        keyspace: &Keyspace,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
    ) -> Result<()> {
        let range = check_bounds(start, end)?;
        keyspace.inner.check_merges()?;
        if range.is_empty() {
            return Ok(());
        }
        if self.is_checked() && self.ranges.is_none() {
            self.ranges = Some(self.engine.registered_snapshot());
        }
        self.writes.erase(&keyspace.inner, &range);
        Ok(())
    }

    /// A reader of what this transaction sees now; later writes and refreshes don't show in it.
    pub fn reader(&self) -> TransactionReader {
        self.reader_of(self.seen())
    }

    /// A reader of what is published now, with this transaction's writes on top; see [`Transaction::try_lock`] for what
    /// one with locks sees.
    pub fn latest_reader(&self) -> TransactionReader {
        self.reader_of(self.newest())
    }

    fn reader_of(&self, snapshot: Snapshot) -> TransactionReader {
        TransactionReader { snapshot, writes: self.writes.view().clone(), reads: self.read_set().cloned() }
    }

    /// Moves the snapshot to what is published now; see [`Transaction::try_lock`] for what one with locks sees.
    pub fn refresh(&mut self) {
        if self.ranges.is_some() {
            let (snapshot, registered) = self.engine.registered(|| self.newest());
            self.snapshot = snapshot.clone();
            self.ranges = Some((snapshot, registered));
        } else {
            self.snapshot = self.newest();
        }
    }

    /// What it reads from, without its own writes; what was there when it began or was refreshed, if it sees
    /// what is committed meanwhile. What is read through it is not remembered, whatever the
    /// isolation.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Its options.
    pub fn options(&self) -> TransactionOptions {
        self.options
    }

    /// The transaction's own write of a key, or else the newest published value, newer than the
    /// snapshot perhaps; see [`Transaction::try_lock`] for what one with locks sees.
    pub fn get_latest(&self, keyspace: &Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.writes.view().get(keyspace.inner.id, key) {
            Some(_) if keyspace.inner.merges.is_some() => {
                self.note_read(keyspace, key);
                let (now, writes) = (self.newest(), Some(self.writes.view()));
                now.gathered(&keyspace.inner, writes, key, <[u8]>::to_vec)
            }
            Some(entry) => {
                Ok(entry.value.and_then(|stored| keyspace.inner.shown(stored)).map(<[u8]>::to_vec))
            }
            None => {
                self.note_read(keyspace, key);
                self.newest().get(keyspace, key)
            }
        }
    }

    /// Whether somebody published a change of a key after the snapshot, if only to what it was.
    ///
    /// # Errors
    /// [`Error::TransactionTooOld`] when that is not remembered; see
    /// [`Options::history_bytes`](crate::Options::history_bytes).
    pub fn changed_since_snapshot(&self, keyspace: &Keyspace, key: &[u8]) -> Result<bool> {
        let now = self.newest();
        let view = now.view();
        let Some(found) = view.find(&keyspace.inner)? else { return Ok(false) };
        let since = self.snapshot.sequence();
        if found.changed(key, since, now.sequence())? {
            return Ok(true);
        }
        let loaded = found.changed_aside > since;
        Ok(loaded && now.has(&keyspace.inner, key)? && !self.snapshot.has(&keyspace.inner, key)?)
    }

    /// Takes a lock, or a place in its queue. A lock is named by a number and bytes that mean what the
    /// caller wants.
    ///
    /// Shared locks are released when the commit is published, or when the transaction ends otherwise. Exclusive ones go
    /// as soon as the commit has its place in the log, if it has no [`on_publish`](Transaction::on_publish): whoever gets
    /// them next does not wait for the disk. What they protect is therefore read through the transaction that has them, by
    /// [`get_latest`](Transaction::get_latest), [`latest_reader`](Transaction::latest_reader), or after
    /// [`refresh`](Transaction::refresh): a transaction with locks sees what was accepted, which others don't see before it
    /// is published. Its own commit comes after that in the log; if it writes nothing, its commit waits for what it read,
    /// and before a rollback [`settled`](Transaction::settled) does.
    ///
    /// # Errors
    /// [`Error::Deadlock`] when its holders wait for this transaction.
    pub fn try_lock(&self, space: u64, key: &[u8], mode: LockMode) -> Result<LockAttempt> {
        self.owner.try_lock(space, key, mode)
    }

    /// Takes a lock. The place in the queue is taken at once; awaiting waits for it.
    ///
    /// # Errors
    /// [`Error::Deadlock`], [`Error::LockTimeout`].
    pub fn lock(
        &self,
        space: u64,
        key: &[u8],
        mode: LockMode,
        timeout: Option<Duration>,
    ) -> impl Future<Output = Result<()>> + Send + use<> {
        self.owner.lock(space, key, mode, timeout)
    }

    /// Takes a lock, blocking the thread while others hold it.
    ///
    /// # Errors
    /// [`Error::Deadlock`], [`Error::LockTimeout`].
    pub fn lock_blocking(
        &self,
        space: u64,
        key: &[u8],
        mode: LockMode,
        timeout: Option<Duration>,
    ) -> Result<()> {
        self.owner.lock_blocking(space, key, mode, timeout)
    }

    /// A place to roll back to.
    pub fn savepoint(&mut self) -> Savepoint {
        Savepoint { write: self.writes.place() }
    }

    /// Undoes every write since a savepoint, which stays; later ones end. Locks stay too.
    ///
    /// # Errors
    /// [`Error::SavepointNotFound`] when an earlier rollback went past it.
    pub fn rollback_to(&mut self, savepoint: &Savepoint) -> Result<()> {
        if !self.writes.reaches(savepoint.write) {
            return Err(Error::SavepointNotFound);
        }
        self.writes.undo_after(savepoint.write);
        Ok(())
    }

    /// Bytes of memory the writes take.
    pub fn write_set_bytes(&self) -> usize {
        self.writes.bytes()
    }

    /// Whether nothing was written.
    pub fn is_read_only(&self) -> bool {
        self.writes.is_empty()
    }

    /// What [`Database::locks`](crate::Database::locks) calls this transaction.
    pub fn lock_owner(&self) -> u64 {
        self.owner.id()
    }

    /// Runs `callback` when the commit is published, before its locks are released; in the order of
    /// commits. It must be short and not write to the database. If the transaction does not commit, it
    /// does not run.
    pub fn on_publish(&mut self, callback: impl FnOnce() + Send + 'static) {
        self.callbacks.get_mut().push(Box::new(callback));
    }

    /// Splits into what is committed; `Err` when there is nothing to log.
    fn into_commit(self) -> Result<std::result::Result<(Arc<Engine>, Commit), CommitInfo>> {
        if self.writes.is_empty() {
            self.callbacks.into_inner().into_iter().for_each(|callback| callback());
            return Ok(Err(CommitInfo { sequence: self.snapshot.sequence() }));
        }
        self.into_changes().map(Ok)
    }

    fn into_changes(self) -> Result<(Arc<Engine>, Commit)> {
        let is_checked = self.is_checked();
        let Self { engine, options, snapshot, writes, reads, ranges, owner, callbacks, .. } = self;
        let mut compared = Vec::new();
        if let Some((published, registered)) = ranges {
            // Commits since it was registered are compared while this one commits, those before now.
            for (keyspace, ranges) in writes.erased() {
                published.check_ranges(keyspace, &ranges, snapshot.sequence())?;
            }
            compared.push((FinishedReads::of_ranges(writes.erased()), registered));
        }
        compared.extend(reads.map(|(reads, registered)| (reads.finish(), registered)));
        let operations = writes.operations()?;
        let unchanged_since = is_checked.then_some(snapshot);
        let commit = Commit {
            operations,
            durability: options.durability,
            index: None,
            unchanged_since,
            reads: compared,
            callbacks: callbacks.into_inner(),
            locks: Some(owner),
        };
        Ok((engine, commit))
    }

    /// Like [`Transaction::commit`], as the entry of an external log at an index, whether it wrote or not; see
    /// [`Database::write_at`](crate::Database::write_at).
    pub fn commit_at(self, index: u64) -> Result<CommitInfo> {
        let (engine, commit) = self.into_changes()?;
        let sequence = engine.commit_blocking(Commit { index: Some(index), ..commit })?;
        Ok(CommitInfo { sequence })
    }

    /// Makes the writes durable and visible, blocking the thread until they are.
    ///
    /// # Errors
    /// [`Error::Conflict`] in optimistic mode and of a serializable one; [`Error::TransactionTooOld`] when
    /// that can't be told any more; [`Error::Poisoned`] after a failure.
    pub fn commit(self) -> Result<CommitInfo> {
        if self.writes.is_empty() {
            self.engine.settle(self.read_to.load(Ordering::Relaxed))?;
        }
        match self.into_commit()? {
            Err(nothing) => Ok(nothing),
            Ok((engine, commit)) => Ok(CommitInfo { sequence: engine.commit_blocking(commit)? }),
        }
    }

    /// Like [`Transaction::commit`], without blocking while the log is synced.
    // An `async fn` could not promise `Send + 'static`.
    #[allow(clippy::manual_async_fn)]
    pub fn commit_async(self) -> impl Future<Output = Result<CommitInfo>> + Send + 'static {
        async move {
            if self.writes.is_empty() {
                self.settled().await?;
            }
            match self.into_commit()? {
                Err(nothing) => Ok(nothing),
                Ok((engine, commit)) => Ok(CommitInfo { sequence: engine.commit_waiting(commit).await? }),
            }
        }
    }

    /// Waits until all that it read is published, as it is for those who hold no locks. For what is told somebody before
    /// the commit, or without one.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when it never will be.
    pub fn settled(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        Arc::clone(&self.engine).settled(self.read_to.load(Ordering::Relaxed))
    }

    /// Forgets the writes and releases the locks, as dropping does.
    pub fn rollback(self) {
        drop(self);
    }
}
