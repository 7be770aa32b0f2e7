//! The handle of an open database.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use luma_vfs::{RealDisk, Vfs};

use crate::Result;
use crate::batch::WriteBatch;
use crate::engine::{Commit, Engine};
use crate::ingest::Ingestion;
use crate::keyspace::Keyspace;
use crate::locks::LockInfo;
use crate::options::{Durability, KeyspaceOptions, Options, TransactionOptions};
use crate::readable::Snapshot;
use crate::stats::Stats;
use crate::transaction::Transaction;
use crate::verify::{self, VerifyProgress, VerifyReport};

/// A moment of a database's past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Right after a commit; see [`CommitInfo`](crate::CommitInfo).
    Sequence(u64),
    /// What was visible at a time.
    Time(SystemTime),
}

impl From<u64> for Moment {
    fn from(sequence: u64) -> Self {
        Self::Sequence(sequence)
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        Self::Time(time)
    }
}

struct Handle {
    engine: Arc<Engine>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Nobody is left to hear of an error; committers heard of theirs.
        let _ = self.engine.shut_down();
    }
}

/// An open database. Clones share it; when the last one goes, it is closed: what was logged is
/// durable then, unlogged writes that were not flushed are lost.
#[derive(Clone)]
pub struct Database {
    handle: Arc<Handle>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Database").field("path", &self.engine().path).finish_non_exhaustive()
    }
}

impl Database {
    fn engine(&self) -> &Arc<Engine> {
        &self.handle.engine
    }

    fn handle_of(&self, inner: Arc<crate::keyspace::KeyspaceInner>) -> Keyspace {
        Keyspace { inner, engine: Arc::clone(self.engine()) }
    }

    /// Opens the database in a directory, or makes one there.
    ///
    /// # Errors
    /// [`Error::Locked`](crate::Error::Locked), [`Error::NotADatabase`](crate::Error::NotADatabase),
    /// [`Error::Corruption`](crate::Error::Corruption),
    /// [`Error::UnsupportedVersion`](crate::Error::UnsupportedVersion), or what the file system says.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        #[cfg(target_os = "linux")]
        if options.direct_io {
            return Self::open_with_vfs(Arc::new(luma_vfs::DirectDisk), path, options);
        }
        Self::open_with_vfs(Arc::new(RealDisk), path, options)
    }

    /// Opens a database whose files are behind `vfs`.
    pub fn open_with_vfs(vfs: Arc<dyn Vfs>, path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let engine = Engine::open(vfs, path.as_ref(), options)?;
        Ok(Self { handle: Arc::new(Handle { engine }) })
    }

    /// The directory it lies in.
    pub fn path(&self) -> &Path {
        &self.engine().path
    }

    /// The file system it lies on, for files that belong to it without being its own.
    pub fn vfs(&self) -> Arc<dyn Vfs> {
        Arc::clone(&self.engine().vfs)
    }

    /// Makes a keyspace; durable on return.
    ///
    /// # Errors
    /// [`Error::KeyspaceExists`](crate::Error::KeyspaceExists).
    pub fn create_keyspace(&self, name: &str, options: KeyspaceOptions) -> Result<Keyspace> {
        self.engine().create_keyspace(name, options).map(|inner| self.handle_of(inner))
    }

    /// The keyspace with this name.
    pub fn keyspace(&self, name: &str) -> Option<Keyspace> {
        self.engine().keyspace(name).map(|inner| self.handle_of(inner))
    }

    /// The names of all keyspaces, sorted.
    pub fn keyspace_names(&self) -> Vec<String> {
        self.engine().keyspace_names()
    }

    /// Drops a keyspace, durably. Snapshots and ranges that have it go on; its files go with the last.
    ///
    /// # Errors
    /// [`Error::KeyspaceNotFound`](crate::Error::KeyspaceNotFound).
    pub fn drop_keyspace(&self, name: &str) -> Result<()> {
        self.engine().drop_keyspace(name)
    }

    /// What is published now. Takes no lock and costs about as much as cloning an `Arc`.
    #[inline]
    pub fn snapshot(&self) -> Snapshot {
        self.engine().snapshot()
    }

    /// What was published at a past moment, as long as
    /// [`Options::version_retention`](crate::Options::version_retention) keeps it. A moment that is still to
    /// come shows what is published now.
    ///
    /// # Errors
    /// [`Error::SnapshotTooOld`](crate::Error::SnapshotTooOld).
    pub fn snapshot_at(&self, moment: impl Into<Moment>) -> Result<Snapshot> {
        self.engine().snapshot_at(moment.into())
    }

    /// Begins a transaction.
    pub fn begin(&self, options: TransactionOptions) -> Transaction {
        Transaction::new(Arc::clone(self.engine()), options)
    }

    /// Makes the changes of a batch together, unconditionally. They are visible on return, and as
    /// durable as asked.
    pub fn write(&self, batch: WriteBatch, durability: Durability) -> Result<()> {
        if batch.error.is_none() && batch.operations.is_empty() {
            return self.engine().check_writable();
        }
        self.engine().commit_blocking(unconditional(batch, durability)?).map(drop)
    }

    /// Like [`Database::write`] with [`Durability::Buffered`], but does not wait: the batch takes its
    /// place in the log and becomes visible after what was committed before it, which may still wait
    /// for the disk. Whatever is committed later is durable only together with it.
    ///
    /// Costs no wait for the disk, so it may be called where nothing may block. Should the log fail
    /// after the return, the batch is lost, and so is every later commit.
    pub fn write_behind(&self, batch: WriteBatch) -> Result<()> {
        if batch.error.is_none() && batch.operations.is_empty() {
            return self.engine().check_writable();
        }
        self.engine().commit_behind(unconditional(batch, Durability::Buffered)?)
    }

    /// Makes the changes of a batch together, as the entry of an external log at an index
    /// ([`Options::external_log`]). They are visible on return, and durable once everything was flushed. A batch
    /// without changes takes its place, too.
    ///
    /// # Errors
    /// [`Error::OutOfTurn`](crate::Error::OutOfTurn) when this index or a later one was applied already.
    pub fn write_at(&self, batch: WriteBatch, index: u64) -> Result<()> {
        let commit = Commit { index: Some(index), ..unconditional(batch, Durability::Unlogged)? };
        self.engine().commit_blocking(commit).map(drop)
    }

    /// The index of the newest entry of the external log that is durable with all before it; 0 for none.
    /// After a start the database is exactly as that entry left it, in all keyspaces: entries after it are to
    /// be written again, and the external log is not needed up to it.
    pub fn applied_index(&self) -> u64 {
        self.engine().applied_index()
    }

    /// Starts a bulk load of ascending keys that lie among no others of the keyspace.
    pub fn ingest(&self, keyspace: &Keyspace) -> Result<Ingestion> {
        Ingestion::new(Arc::clone(self.engine()), Arc::clone(&keyspace.inner))
    }

    /// Makes everything logged so far durable, as a commit with [`Durability::Sync`] would. Unlogged writes
    /// need [`Database::flush`].
    pub fn sync(&self) -> Result<()> {
        self.engine().check_writable()?;
        self.engine().sync_log()
    }

    /// Makes everything written so far durable in tables, unlogged writes too.
    pub fn flush(&self) -> Result<()> {
        for keyspace in self.engine().keyspaces() {
            match self.engine().flush_keyspace(&keyspace) {
                Ok(()) | Err(crate::Error::KeyspaceNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.engine().sync_log()
    }

    /// Reads every table from the disk and checks checksums, order, filters and counts.
    pub fn verify(&self, progress: &mut dyn FnMut(VerifyProgress)) -> Result<VerifyReport> {
        verify::verify(self.engine(), u64::MAX, progress)
    }

    /// Like [`Database::verify`], but ends with the file in which that many checksums were reached.
    pub fn verify_some(
        &self,
        checksums: u64,
        progress: &mut dyn FnMut(VerifyProgress),
    ) -> Result<VerifyReport> {
        verify::verify(self.engine(), checksums, progress)
    }

    /// The locks that transactions wait for, and those that they hold in the spaces that are wanted. It looks at
    /// every lock there is, so that it is for people and not for programs that ask all the time.
    pub fn locks(&self, wanted: impl Fn(u64) -> bool) -> Vec<LockInfo> {
        self.engine().locks.list(wanted)
    }

    /// Figures about the database.
    pub fn stats(&self) -> Stats {
        self.engine().stats()
    }

    /// Flushes and closes it for all clones; their writes fail from now on.
    pub fn close(self) -> Result<()> {
        self.engine().stop_limiting();
        let flushed = match self.engine().check_writable() {
            Ok(()) => self.flush(),
            Err(error) => Err(error),
        };
        flushed.and(self.engine().shut_down())
    }
}

/// The commit of a batch; fails for one that was given what can't be written.
fn unconditional(batch: WriteBatch, durability: Durability) -> Result<Commit> {
    Ok(Commit {
        operations: batch.into_operations()?,
        durability,
        index: None,
        unchanged_since: None,
        reads: Vec::new(),
        callbacks: Vec::new(),
        locks: None,
    })
}
