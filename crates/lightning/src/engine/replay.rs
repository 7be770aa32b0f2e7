//! Building memtables from the log, on other threads while it is read.
//!
//! Operations of a keyspace are gathered as they are until they would fill a memtable. Then they are
//! sorted, of each key the newest is kept (after a start nobody reads older ones), and put into a
//! memtable in order, which is much faster than as they came.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use luma_log::Lsn;

use super::new_memtable;
use crate::batch::decode_record;
use crate::codec::{Reader, put_bytes, put_varint};
use crate::memtable::Memtable;
use crate::view::{KeyspaceId, KeyspaceView};

/// Memtables that are built at the same time.
const BUILDING_MAX: usize = 2;

/// Operations of one keyspace that will be a memtable.
#[derive(Default)]
struct Gathered {
    /// Per operation: varint sequence, 0 or 1 for a tombstone, key, value.
    bytes: Vec<u8>,
    operations: usize,
    logged: Option<(Lsn, Lsn)>,
    max_sequence: u64,
}

enum Building {
    Done(Arc<Memtable>),
    Thread(JoinHandle<Arc<Memtable>>),
}

/// A keyspace during replay.
struct Replayed {
    view: KeyspaceView,
    gathered: Gathered,
    /// Oldest first.
    full: Vec<Building>,
}

/// What replaying the log builds.
pub(super) struct Replay {
    keyspaces: HashMap<KeyspaceId, Replayed>,
    next_keyspace: KeyspaceId,
    memtable_bytes: usize,
    threads: bool,
    /// The newest sequence seen.
    pub(super) sequence: u64,
}

struct Found<'a> {
    head: u64,
    sequence: u64,
    /// Of operations with one sequence the last counts.
    order: usize,
    key: &'a [u8],
    value: Option<&'a [u8]>,
}

impl Gathered {
    fn push(&mut self, sequence: u64, key: &[u8], value: Option<&[u8]>, logged: (Lsn, Lsn)) {
        put_varint(&mut self.bytes, sequence);
        self.bytes.push(u8::from(value.is_none()));
        put_bytes(&mut self.bytes, key);
        put_bytes(&mut self.bytes, value.unwrap_or_default());
        self.operations += 1;
        self.max_sequence = self.max_sequence.max(sequence);
        self.logged = Some((self.logged.map_or(logged.0, |(from, _)| from), logged.1));
    }

    fn read(&self) -> Vec<Found<'_>> {
        let mut found = Vec::with_capacity(self.operations);
        let mut reader = Reader::new(&self.bytes);
        let mut next = || {
            let sequence = reader.varint()?;
            let tombstone = reader.u8()? == 1;
            let (key, value) = (reader.bytes()?, reader.bytes()?);
            Some((sequence, key, (!tombstone).then_some(value)))
        };
        while let Some((sequence, key, value)) = next() {
            let mut head = [0; 8];
            let length = key.len().min(8);
            head[..length].copy_from_slice(&key[..length]);
            let order = found.len();
            found.push(Found { head: u64::from_be_bytes(head), sequence, order, key, value });
        }
        found
    }

    /// The memtable of the newest operation of each key.
    fn build(&self) -> Arc<Memtable> {
        let memtable = new_memtable();
        let mut found = self.read();
        found.sort_unstable_by(|left, right| {
            let keys = left.head.cmp(&right.head).then_with(|| left.key.cmp(right.key));
            keys.then(right.sequence.cmp(&left.sequence)).then(right.order.cmp(&left.order))
        });
        let mut last: Option<&[u8]> = None;
        for operation in &found {
            if last != Some(operation.key) {
                memtable.insert(operation.key, operation.sequence, operation.value);
                last = Some(operation.key);
            }
        }
        memtable.note_sequence(self.max_sequence);
        if let Some((from, to)) = self.logged {
            memtable.note_logged(from, to);
        }
        memtable
    }
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

impl Replayed {
    /// Has what was gathered made into a memtable.
    fn cut(&mut self, threads: bool) {
        let gathered = std::mem::take(&mut self.gathered);
        let thread = threads.then(|| std::thread::Builder::new().name("lightning-replay".into()));
        let gathered = Arc::new(gathered);
        let for_thread = Arc::clone(&gathered);
        let spawned = thread.and_then(|builder| builder.spawn(move || for_thread.build()).ok());
        // Without a thread it is done here.
        self.full.push(spawned.map_or_else(|| Building::Done(gathered.build()), Building::Thread));
        if self.full.len() > BUILDING_MAX {
            let at = self.full.len() - 1 - BUILDING_MAX;
            if matches!(self.full[at], Building::Thread(_)) {
                let finished = self.full.remove(at).finish();
                self.full.insert(at, Building::Done(finished));
            }
        }
    }
}

impl Replay {
    pub(super) fn new(
        keyspaces: HashMap<KeyspaceId, KeyspaceView>,
        next_keyspace: KeyspaceId,
        memtable_bytes: usize,
        threads: bool,
        sequence: u64,
    ) -> Self {
        let replayed = |(id, view)| (id, Replayed { view, gathered: Gathered::default(), full: Vec::new() });
        Self {
            keyspaces: keyspaces.into_iter().map(replayed).collect(),
            next_keyspace,
            memtable_bytes,
            threads,
            sequence,
        }
    }

    /// Takes in a record that ends at `end`; says what is wrong with it, if something is.
    pub(super) fn record(&mut self, end: Lsn, record: &[u8]) -> Result<(), String> {
        let logged = (Lsn(end.0 - 4 - record.len() as u64), end);
        let Some((sequence, mut operations)) = decode_record(record) else {
            return Err("it is no commit".to_owned());
        };
        self.sequence = self.sequence.max(sequence);
        for operation in operations.by_ref() {
            let Some(keyspace) = self.keyspaces.get_mut(&operation.keyspace) else {
                if operation.keyspace < self.next_keyspace {
                    // Dropped since.
                    continue;
                }
                return Err(format!("the manifest does not know keyspace {}", operation.keyspace));
            };
            if sequence <= keyspace.view.flushed {
                continue;
            }
            // A commit is never split between memtables.
            if keyspace.gathered.bytes.len() >= self.memtable_bytes
                && keyspace.gathered.max_sequence < sequence
            {
                keyspace.cut(self.threads);
            }
            keyspace.gathered.push(sequence, operation.key, operation.value, logged);
        }
        if operations.is_at_end() { Ok(()) } else { Err("an operation is malformed".to_owned()) }
    }

    /// The keyspaces with all that was replayed.
    pub(super) fn finish(mut self) -> HashMap<KeyspaceId, KeyspaceView> {
        for keyspace in self.keyspaces.values_mut() {
            if keyspace.gathered.operations > 0 {
                keyspace.cut(self.threads);
            }
        }
        let finished = self.keyspaces.into_iter().map(|(id, replayed)| {
            let mut view = replayed.view;
            let mut memtables: Vec<Arc<Memtable>> = replayed.full.into_iter().map(Building::finish).collect();
            // The newest takes the next commits.
            if let Some(newest) = memtables.pop() {
                view.active = newest;
            }
            memtables.reverse();
            view.frozen = memtables;
            (id, view)
        });
        finished.collect()
    }
}
