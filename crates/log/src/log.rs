//! The log itself: appending, waiting, and the flusher that shares one sync among all who wait.
//!
//! Invariants: `buffer` holds the stream from `taken` to `end`; `durable <= written <= end`; the
//! buffer is cut only between records, so a flush always takes whole records. Whoever flushes holds
//! `writer`, so progress is announced in order. `state` is never held during a file operation.

use luma_sync::thread::JoinHandle;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use luma_sync::{Condvar, Mutex, MutexGuard};
use luma_vfs::Vfs;

use crate::recovery::{Record, recover};
use crate::segment::{RESERVED_MIN, Segments};
use crate::waiters::Waiters;
use crate::writer::Writer;
use crate::{Error, Flusher, LogOptions, Lsn, Place, Result, SyncMode};

/// The longest record.
const RECORD_BYTES_MAX: u64 = u32::MAX as u64 - 16;
/// Records nobody waits for are written once so many bytes (or half of what may wait) or so much time has
/// gathered.
const GATHER_BYTES: usize = 1 << 20;
const GATHER_TIME: Duration = Duration::from_millis(10);
/// In [`SyncMode::Sync`], records nobody waits for are synced this soon.
const LAZY_SYNC: Duration = Duration::from_millis(200);
/// A buffer that grew beyond this is not kept for the next batch.
const BUFFER_KEPT_BYTES: usize = 8 << 20;

struct State {
    buffer: Vec<u8>,
    spare: Vec<u8>,
    end: u64,
    /// Records in the buffer, and those that the last flush took.
    gathered: usize,
    gathered_before: usize,
    written: u64,
    durable: u64,
    sync_wanted: u64,
    /// When the oldest byte came that is not written, or not synced.
    unwritten_since: Option<Instant>,
    unsynced_since: Option<Instant>,
    flusher_sleeps: bool,
    closing: bool,
    failure: Option<Arc<Error>>,
    waiters: Waiters,
}

impl State {
    fn check(&self) -> Result<()> {
        match &self.failure {
            Some(cause) => Err(Error::Poisoned(Arc::clone(cause))),
            None if self.closing => Err(Error::Closed),
            None => Ok(()),
        }
    }

    fn durable(&self, lsn: Lsn) -> Option<Result<()>> {
        if self.durable >= lsn.0 { Some(Ok(())) } else { self.check().err().map(Err) }
    }
}

struct Shared {
    options: LogOptions,
    state: Mutex<State>,
    /// The flusher waits here.
    work: Condvar,
    /// Those who wait for durability, or for room in the buffer, wait here.
    progress: Condvar,
    writer: Mutex<Writer>,
    segments: Mutex<Segments>,
}

/// An open log. Dropping it writes and syncs what is left.
pub struct Log {
    shared: Arc<Shared>,
    flusher: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.shared.state.lock();
        formatter
            .debug_struct("Log")
            .field("end", &state.end)
            .field("durable", &state.durable)
            .finish_non_exhaustive()
    }
}

impl Log {
    /// Opens the log in a directory, which is made if it does not exist, and hands every whole record
    /// to `replay` in order, with the place where it ends.
    ///
    /// # Errors
    /// [`Error::Corruption`] when bytes that were durable are damaged; what `replay` returns.
    pub fn open(
        vfs: Arc<dyn Vfs>,
        directory: &Path,
        options: LogOptions,
        replay: &mut dyn FnMut(Lsn, Record<'_>) -> Result<()>,
    ) -> Result<Self> {
        vfs.create_dir_all(directory).map_err(|error| Error::io(directory, error))?;
        let options = LogOptions { segment_bytes: options.segment_bytes.max(4096), ..options };
        let mut segments = Segments::new(Arc::clone(&vfs), directory.to_owned(), options.segment_bytes);
        let threads = options.flusher == Flusher::Thread;
        let recovered = recover(&vfs, &mut segments, threads, replay)?;
        let segment = segments.create(recovered.next_sequence, recovered.end, RESERVED_MIN)?;
        let flusher = options.flusher;
        let shared = Arc::new(Shared {
            options,
            state: Mutex::new(State {
                buffer: Vec::new(),
                spare: Vec::new(),
                end: recovered.end,
                gathered: 0,
                gathered_before: 0,
                written: recovered.end,
                durable: recovered.end,
                sync_wanted: 0,
                unwritten_since: None,
                unsynced_since: None,
                flusher_sleeps: false,
                closing: false,
                failure: None,
                waiters: Waiters::default(),
            }),
            work: Condvar::new(),
            progress: Condvar::new(),
            writer: Mutex::new(Writer::new(segment, recovered.end)),
            segments: Mutex::new(segments),
        });
        let thread = match flusher {
            Flusher::Inline => None,
            Flusher::Thread => {
                let shared = Arc::clone(&shared);
                let builder = luma_sync::thread::Builder::new().name("luma-log".into());
                let spawned = builder.spawn(move || shared.run());
                Some(spawned.map_err(|error| Error::io(directory, error))?)
            }
        };
        Ok(Self { shared, flusher: Mutex::new(thread) })
    }

    /// Adds a record made of `parts`, in memory, and returns where it ends. It reaches the disk soon, or
    /// when somebody waits for it.
    ///
    /// # Errors
    /// [`Error::Poisoned`] after a failure, [`Error::TooLarge`].
    pub fn append(&self, parts: &[&[u8]]) -> Result<Lsn> {
        let lsn = self.append_quietly(parts)?;
        self.nudge();
        Ok(lsn)
    }

    /// Like [`Log::append`], for a caller that will soon call [`Log::request_sync`] or [`Log::nudge`]:
    /// the flusher is not woken.
    pub fn append_quietly(&self, parts: &[&[u8]]) -> Result<Lsn> {
        let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
        if bytes > RECORD_BYTES_MAX {
            return Err(Error::TooLarge { bytes, limit: RECORD_BYTES_MAX });
        }
        let mut state = self.shared.state.lock();
        state.check()?;
        while !state.buffer.is_empty()
            && state.buffer.len() as u64 + bytes > self.shared.options.buffer_bytes as u64
        {
            state = self.shared.wait_for_room(state)?;
        }
        state.buffer.extend_from_slice(&(bytes as u32).to_le_bytes());
        for part in parts {
            state.buffer.extend_from_slice(part);
        }
        state.end += 4 + bytes;
        state.gathered += 1;
        if state.unwritten_since.is_none() && self.shared.options.flusher == Flusher::Thread {
            state.unwritten_since = Some(luma_sync::now());
        }
        Ok(Lsn(state.end))
    }

    /// Sees to it that what was appended is written soon.
    pub fn nudge(&self) {
        let state = self.shared.state.lock();
        if self.shared.options.flusher == Flusher::Inline {
            if state.buffer.len() >= self.shared.gather_bytes() {
                drop(state);
                // A failure is kept and reported to the next caller.
                let _ = self.shared.flush(false);
            }
        } else if state.flusher_sleeps {
            self.shared.work.notify_one();
        }
    }

    /// Sees to it that everything up to a place becomes durable soon.
    pub fn request_sync(&self, lsn: Lsn) {
        let mut state = self.shared.state.lock();
        if state.durable < lsn.0 && state.sync_wanted < lsn.0 {
            state.sync_wanted = lsn.0;
            self.shared.work.notify_one();
        }
    }

    /// Like [`Log::request_sync`], for a caller that will wait: when nobody else commits it does the work
    /// itself, which spares two changes of threads. Where many commit, the flusher's delay makes them share.
    pub fn sync_in_turn(&self, lsn: Lsn) {
        let alone = {
            let state = self.shared.state.lock();
            state.gathered <= 1 && state.gathered_before <= 1 && !state.closing && state.durable < lsn.0
        };
        if alone
            && self.shared.options.flusher == Flusher::Thread
            && let Some(writer) = self.shared.writer.try_lock()
        {
            // A failure is kept and reported to whoever waits.
            let _ = self.shared.flush_as(writer, true);
        }
        self.request_sync(lsn);
    }

    /// Blocks until everything up to a place is durable.
    pub fn wait_durable(&self, lsn: Lsn) -> Result<()> {
        if self.shared.options.flusher == Flusher::Inline {
            if let Some(known) = self.shared.state.lock().durable(lsn) {
                return known;
            }
            return self.shared.flush(true);
        }
        self.request_sync(lsn);
        let mut state = self.shared.state.lock();
        loop {
            if let Some(known) = state.durable(lsn) {
                return known;
            }
            self.shared.progress.wait(&mut state);
        }
    }

    /// Completes when everything up to a place is durable.
    pub fn durable(&self, lsn: Lsn) -> Durable {
        let ticket = self.shared.state.lock().waiters.ticket();
        self.request_sync(lsn);
        Durable { shared: Arc::clone(&self.shared), lsn, ticket }
    }

    /// Where the oldest kept segment begins.
    pub fn begin(&self) -> Lsn {
        self.shared.segments.lock().begin()
    }

    /// Where the next record begins.
    pub fn end(&self) -> Lsn {
        Lsn(self.shared.state.lock().end)
    }

    /// How far the log is durable.
    pub fn durable_end(&self) -> Lsn {
        Lsn(self.shared.state.lock().durable)
    }

    /// The failure that stopped the log.
    pub fn failure(&self) -> Option<Arc<Error>> {
        self.shared.state.lock().failure.clone()
    }

    /// Lets go of the segments in which every record ends at or before `lsn`; their files are used again.
    pub fn truncate_before(&self, lsn: Lsn) -> Result<()> {
        self.shared.segments.lock().release_before(lsn)
    }

    /// Where bytes of records lie in the file of a segment; `None` if they are not written yet, were there at the start,
    /// are cut by the end of a segment, or lie between small records.
    pub fn place(&self, at: Lsn, bytes: u64) -> Option<Place> {
        self.shared.segments.lock().place(at, bytes)
    }

    /// Gives the file of a segment that is kept for replay one more name, in a directory which the caller syncs. The
    /// bytes that are durable there stay as they are for as long as that name exists.
    ///
    /// # Errors
    /// That the segment is not kept any more, or the file system's: the log itself goes on.
    pub fn share(&self, segment: u64, name: &Path) -> Result<()> {
        self.shared.segments.lock().share(segment, name)
    }

    /// The number of the oldest segment that is kept for replay.
    pub fn oldest_segment(&self) -> u64 {
        self.shared.segments.lock().oldest()
    }

    /// Bytes of the segments that are kept for replay.
    pub fn live_bytes(&self) -> u64 {
        self.shared.segments.lock().live_bytes()
    }

    /// Where the oldest segment ends, unless it is the one being written.
    pub fn oldest_segment_end(&self) -> Option<Lsn> {
        self.shared.segments.lock().oldest_end()
    }

    /// Writes and syncs what is left and takes nothing more.
    pub fn close(&self) -> Result<()> {
        {
            let mut state = self.shared.state.lock();
            if state.closing {
                return state
                    .failure
                    .as_ref()
                    .map_or(Ok(()), |cause| Err(Error::Poisoned(Arc::clone(cause))));
            }
            state.closing = true;
            self.shared.work.notify_one();
        }
        if let Some(thread) = self.flusher.lock().take() {
            // The thread only ends early by a failure, which `flush` reports.
            let _ = thread.join();
        }
        let result = self.shared.flush(true).and_then(|()| self.shared.seal());
        self.shared.progress.notify_all();
        result
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Nobody is left to hear of an error; waiters heard of theirs.
        let _ = self.close();
    }
}

impl Shared {
    /// Waits until the buffer has been taken; the lock is given up meanwhile.
    fn wait_for_room<'a>(&'a self, mut state: MutexGuard<'a, State>) -> Result<MutexGuard<'a, State>> {
        if self.options.flusher == Flusher::Inline {
            drop(state);
            self.flush(false)?;
            return Ok(self.state.lock());
        }
        self.work.notify_one();
        self.progress.wait(&mut state);
        state.check()?;
        Ok(state)
    }

    fn gather_bytes(&self) -> usize {
        GATHER_BYTES.min(self.options.buffer_bytes / 2)
    }

    /// The flusher thread.
    fn run(&self) {
        while let Some(sync) = self.next_task() {
            if self.flush(sync).is_err() {
                return;
            }
        }
    }

    /// Sleeps until there is something to do; says whether it includes a sync. `None` ends the thread.
    fn next_task(&self) -> Option<bool> {
        let mut state = self.state.lock();
        loop {
            if state.closing || state.failure.is_some() {
                return None;
            }
            if state.sync_wanted > state.durable {
                return Some(true);
            }
            let sync_at = match self.options.sync {
                SyncMode::Sync => Some(LAZY_SYNC),
                SyncMode::Periodic(interval) => Some(interval),
                SyncMode::Async => None,
            };
            let sync_at = sync_at.and_then(|after| Some(state.unsynced_since? + after));
            let write_at = state.unwritten_since.map(|since| since + GATHER_TIME);
            let now = luma_sync::now();
            if sync_at.is_some_and(|at| at <= now) {
                return Some(true);
            }
            if state.buffer.len() >= self.gather_bytes() || write_at.is_some_and(|at| at <= now) {
                return Some(false);
            }
            let deadline = [sync_at, write_at].into_iter().flatten().min();
            if let Some(deadline) = deadline {
                self.work.wait_until(&mut state, deadline);
            } else {
                state.flusher_sleeps = true;
                self.work.wait(&mut state);
                state.flusher_sleeps = false;
            }
        }
    }

    /// Writes what has gathered and, if asked, syncs; then tells everybody.
    fn flush(&self, sync: bool) -> Result<()> {
        self.flush_as(self.writer.lock(), sync)
    }

    fn flush_as(&self, mut writer: MutexGuard<'_, Writer>, sync: bool) -> Result<()> {
        let batch = {
            let mut state = self.state.lock();
            if let Some(cause) = &state.failure {
                return Err(Error::Poisoned(Arc::clone(cause)));
            }
            let spare = std::mem::take(&mut state.spare);
            let since = state.unwritten_since.take();
            state.unsynced_since = state.unsynced_since.or(since);
            state.gathered_before = std::mem::take(&mut state.gathered);
            std::mem::replace(&mut state.buffer, spare)
        };
        let result = writer
            .write(&batch, &self.segments)
            .and_then(|()| if sync { writer.sync().map(Some) } else { Ok(None) });
        match result {
            Ok(durable) => self.announce(&writer, batch, durable),
            Err(cause) => return Err(self.fail(cause)),
        }
        Ok(())
    }

    fn seal(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        writer.seal().map_err(|cause| self.fail(cause))
    }

    fn announce(&self, writer: &Writer, mut batch: Vec<u8>, durable: Option<Lsn>) {
        let wakers = {
            let mut state = self.state.lock();
            state.written = writer.position().0;
            if batch.capacity() <= BUFFER_KEPT_BYTES {
                batch.clear();
                state.spare = batch;
            }
            durable.map_or_else(Vec::new, |durable| {
                state.durable = durable.0;
                state.unsynced_since = None;
                state.waiters.take_until(durable)
            })
        };
        if let (Some(durable), Some(observer)) = (durable, &self.options.observer) {
            observer.durable(durable);
        }
        self.progress.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn fail(&self, cause: Error) -> Error {
        let cause = Arc::new(cause);
        let wakers = {
            let mut state = self.state.lock();
            state.failure = Some(Arc::clone(&cause));
            state.waiters.take_until(Lsn(u64::MAX))
        };
        if let Some(observer) = &self.options.observer {
            observer.poisoned(&cause);
        }
        self.progress.notify_all();
        wakers.into_iter().for_each(Waker::wake);
        Error::Poisoned(cause)
    }
}

/// Completes when a place in the log is durable; made by [`Log::durable`].
pub struct Durable {
    shared: Arc<Shared>,
    lsn: Lsn,
    ticket: u64,
}

impl std::fmt::Debug for Durable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Durable").field("lsn", &self.lsn).finish_non_exhaustive()
    }
}

impl Future for Durable {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let mut state = self.shared.state.lock();
        if let Some(known) = state.durable(self.lsn) {
            return Poll::Ready(known);
        }
        if self.shared.options.flusher == Flusher::Inline {
            drop(state);
            return Poll::Ready(self.shared.flush(true));
        }
        state.waiters.register(self.ticket, self.lsn, context.waker());
        Poll::Pending
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        self.shared.state.lock().waiters.forget(self.ticket);
    }
}
