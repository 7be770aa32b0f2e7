//! Building memtables from the log, on other threads while it is read.
//!
//! Operations of a keyspace are gathered, by reference to the log's buffers, until they would fill a
//! memtable. Then they are sorted aside into one that is frozen, for the background to flush after the
//! start; a small rest becomes the active memtable, so that a start does not always make a table.
//!
//! Of a keyspace with a merge operator every operation counts, not only the newest of a key: they go into
//! memtables as commits put them there.

use luma_sync::thread::JoinHandle;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use luma_log::{Lsn, Record};
use luma_sync::Mutex;

use crate::batch::{Operation, decode_record};
use crate::memtable::{Gathered, Memtable, MemtableCursor};
use crate::view::{KeyspaceId, KeyspaceView, new_memtable};

/// Memtables that are built at the same time.
const BUILDING_MAX: usize = 2;
/// A rest smaller than this part of a memtable takes the next commits.
const REST_PART: usize = 8;

enum Building {
    Done(Arc<Memtable>),
    Thread(JoinHandle<Arc<Memtable>>),
}

impl Building {
    fn finish(self) -> Arc<Memtable> {
        match self {
            Self::Done(memtable) => memtable,
            Self::Thread(thread) => match thread.join() {
                Ok(memtable) => memtable,
                Err(panic) => std::panic::resume_unwind(panic),
            },
        }
    }
}

fn build(gathered: Gathered, (from, to): (Lsn, Lsn)) -> Arc<Memtable> {
    let memtable = Memtable::replayed(gathered.sort());
    memtable.note_logged(from, to);
    Arc::new(memtable)
}

/// A keyspace during replay.
struct Replaying {
    view: KeyspaceView,
    gathered: Gathered,
    /// From where to where in the log what was gathered lies.
    logged: (Lsn, Lsn),
    /// Oldest first.
    full: Vec<Building>,
    /// What takes its operations, if all of them count.
    listed: Option<Arc<Memtable>>,
}

impl Replaying {
    fn take(&mut self) -> (Gathered, (Lsn, Lsn)) {
        (std::mem::take(&mut self.gathered), std::mem::take(&mut self.logged))
    }

    /// Puts an operation, which is in the log between these places, into the memtable that takes them.
    fn list(
        &mut self,
        (from, end): (Lsn, Lsn),
        sequence: u64,
        operation: &Operation<'_>,
        memtable_bytes: usize,
    ) {
        let Some(listed) = &mut self.listed else { return };
        // A commit is never split between memtables.
        if listed.bytes() >= memtable_bytes && listed.max_sequence() < sequence {
            self.full.push(Building::Done(std::mem::replace(listed, new_memtable())));
        }
        listed.note_logged(from, end);
        match operation.range() {
            Some(range) => listed.erase(&range, sequence),
            None => listed.insert(operation.key, sequence, operation.value()),
        }
    }

    /// Has what was gathered made into a memtable.
    fn cut(&mut self, threads: bool) {
        let (gathered, logged) = self.take();
        // Who builds takes it out: without a thread that is done here.
        let gathered = Arc::new(Mutex::new(gathered));
        let for_thread = Arc::clone(&gathered);
        let taken = |from: &Mutex<Gathered>| std::mem::take(&mut *from.lock());
        let thread = threads.then(|| luma_sync::thread::Builder::new().name("lightning-replay".into()));
        let spawned =
            thread.and_then(|builder| builder.spawn(move || build(taken(&for_thread), logged)).ok());
        self.full
            .push(spawned.map_or_else(|| Building::Done(build(taken(&gathered), logged)), Building::Thread));
        if let Some(at) = self.full.len().checked_sub(1 + BUILDING_MAX)
            && matches!(self.full[at], Building::Thread(_))
        {
            let finished = self.full.remove(at).finish();
            self.full.insert(at, Building::Done(finished));
        }
    }

    /// The view with everything that was gathered.
    fn finish(mut self, memtable_bytes: usize, threads: bool) -> KeyspaceView {
        let rest = self.gathered.bytes() < memtable_bytes / REST_PART;
        if !rest && !self.gathered.is_empty() {
            self.cut(threads);
        }
        if rest && !self.gathered.is_empty() {
            let (gathered, (from, to)) = self.take();
            let sorted = Arc::new(Memtable::replayed(gathered.sort()));
            let active = new_memtable();
            active.note_logged(from, to);
            sorted.erased(u64::MAX, &[]).iter().for_each(|range| active.erase(range, sorted.max_sequence()));
            let mut cursor = MemtableCursor::over_all(Arc::clone(&sorted));
            cursor.seek_first();
            while let Some(entry) = cursor.entry() {
                active.insert(entry.key, entry.sequence, entry.value);
                cursor.advance();
            }
            self.view.active = active;
        }
        if let Some(listed) = self.listed {
            self.view.active = listed;
        }
        let mut memtables: Vec<Arc<Memtable>> = self.full.into_iter().map(Building::finish).collect();
        memtables.reverse();
        self.view.frozen = memtables;
        self.view
    }
}

/// What replaying the log builds.
pub(super) struct Replay {
    keyspaces: Vec<Replaying>,
    places: BTreeMap<KeyspaceId, usize>,
    next_keyspace: KeyspaceId,
    memtable_bytes: usize,
    threads: bool,
    /// The newest sequence seen.
    pub(super) sequence: u64,
}

impl Replay {
    pub(super) fn new(
        keyspaces: HashMap<KeyspaceId, KeyspaceView>,
        next_keyspace: KeyspaceId,
        memtable_bytes: usize,
        threads: bool,
        sequence: u64,
        merges: &dyn Fn(KeyspaceId) -> bool,
    ) -> Self {
        let keyspaces: Vec<Replaying> = keyspaces
            .into_values()
            .map(|view| Replaying {
                listed: merges(view.id).then(new_memtable),
                view,
                gathered: Gathered::default(),
                logged: <(Lsn, Lsn)>::default(),
                full: Vec::new(),
            })
            .collect();
        let places = keyspaces.iter().enumerate().map(|(at, keyspace)| (keyspace.view.id, at)).collect();
        Self { keyspaces, places, next_keyspace, memtable_bytes, threads, sequence }
    }

    /// Takes in a record that ends at `end`; says what is wrong with it, if something is.
    pub(super) fn record(&mut self, end: Lsn, record: Record<'_>) -> Result<(), String> {
        let from = Lsn(end.0 - 4 - record.len() as u64);
        let Some((sequence, mut operations)) = decode_record(&record) else {
            return Err("it is no commit".to_owned());
        };
        self.sequence = self.sequence.max(sequence);
        let record_end = record.range().end;
        loop {
            let left = operations.left();
            let Some(operation) = operations.next() else { break };
            let Some(at) = self.places.get(&operation.keyspace) else {
                if operation.keyspace < self.next_keyspace {
                    // Dropped since.
                    continue;
                }
                return Err(format!("the manifest does not know keyspace {}", operation.keyspace));
            };
            let keyspace = &mut self.keyspaces[*at];
            if sequence <= keyspace.view.flushed {
                continue;
            }
            if keyspace.listed.is_some() {
                keyspace.list((from, end), sequence, &operation, self.memtable_bytes);
                continue;
            }
            // A commit is never split between memtables.
            if keyspace.gathered.bytes() >= self.memtable_bytes && keyspace.gathered.max_sequence() < sequence
            {
                keyspace.cut(self.threads);
            }
            if keyspace.gathered.is_empty() {
                keyspace.logged.0 = from;
            }
            keyspace.logged.1 = end;
            let (buffer, offset) = (record.buffer(), record_end - left);
            match operation.range() {
                Some(range) => keyspace.gathered.erase(sequence, buffer, offset, &range),
                None => keyspace.gathered.push(sequence, buffer, offset, operation.key),
            }
            keyspace.gathered.grow(left - operations.left());
        }
        if operations.is_at_end() { Ok(()) } else { Err("an operation is malformed".to_owned()) }
    }

    /// The keyspaces with all that was replayed.
    pub(super) fn finish(self) -> HashMap<KeyspaceId, KeyspaceView> {
        let (memtable_bytes, threads) = (self.memtable_bytes, self.threads);
        let finished = self.keyspaces.into_iter().map(|keyspace| {
            let view = keyspace.finish(memtable_bytes, threads);
            (view.id, view)
        });
        finished.collect()
    }
}
