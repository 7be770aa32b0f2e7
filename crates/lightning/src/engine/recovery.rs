//! Opening: the manifest says which tables there are, the log brings back what was not in them.
//!
//! A record's operation counts for a keyspace only if its sequence is newer than what the keyspace's
//! tables hold. Files no manifest names are what a crash left, and go.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use arc_swap::ArcSwap;
use luma_log::{Flusher, Log, LogOptions, Lsn};
use luma_vfs::{LockError, Vfs};
use parking_lot::Mutex;

use super::background::Background;
use super::{CommitState, Engine, LOCK_FILE, LOG_DIRECTORY, TABLES_DIRECTORY, new_memtable};
use crate::batch::decode_record;
use crate::cache::Cache;
use crate::keyspace::KeyspaceInner;
use crate::layout::Tree;
use crate::locks::LockTable;
use crate::manifest::{Manifest, ManifestState};
use crate::options::Options;
use crate::publisher::Publisher;
use crate::table::{self, Table};
use crate::view::{KeyspaceId, KeyspaceView, View};
use crate::{Error, Result};

/// What replaying the log builds.
struct Replay {
    keyspaces: HashMap<KeyspaceId, KeyspaceView>,
    next_keyspace: KeyspaceId,
    memtable_bytes: usize,
    sequence: u64,
    /// The end of the record before.
    position: Lsn,
}

impl Replay {
    fn record(&mut self, end: Lsn, record: &[u8]) -> std::result::Result<(), String> {
        let start = Lsn(end.0 - 4 - record.len() as u64);
        self.position = end;
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
            if sequence <= keyspace.flushed {
                continue;
            }
            // A commit is never split between memtables.
            if keyspace.active.bytes() >= self.memtable_bytes && keyspace.active.max_sequence() < sequence {
                let full = std::mem::replace(&mut keyspace.active, new_memtable());
                keyspace.frozen.insert(0, full);
            }
            keyspace.active.note_logged(start, end);
            keyspace.active.insert(operation.key, sequence, operation.value);
        }
        if operations.is_at_end() { Ok(()) } else { Err("an operation is malformed".to_owned()) }
    }
}

fn open_trees(
    vfs: &Arc<dyn Vfs>,
    directory: &Path,
    state: &ManifestState,
    cache: &Arc<Cache>,
) -> Result<HashMap<KeyspaceId, KeyspaceView>> {
    let io = |error| Error::io(directory, error);
    let known = |id| state.keyspaces.values().any(|keyspace| keyspace.tables.contains_key(&id));
    for name in vfs.read_dir(directory).map_err(io)? {
        if table::id_of(&name).is_some_and(|id| !known(id)) {
            vfs.remove_file(&directory.join(&name)).map_err(io)?;
        }
    }
    let mut keyspaces = HashMap::new();
    for (id, keyspace) in &state.keyspaces {
        let mut tables = Vec::with_capacity(keyspace.tables.len());
        for (level, meta) in keyspace.tables.values() {
            tables.push((*level, Arc::new(Table::open(vfs, directory, meta.clone(), cache)?)));
        }
        let tree = Tree::new(keyspace.options.layout).changed(&tables, &[]);
        let view = KeyspaceView {
            id: *id,
            active: new_memtable(),
            frozen: Vec::new(),
            tree: Arc::new(tree),
            flushed: keyspace.flushed,
            changed_aside: 0,
        };
        keyspaces.insert(*id, view);
    }
    Ok(keyspaces)
}

fn replay_log(
    vfs: &Arc<dyn Vfs>,
    directory: &Path,
    options: &Options,
    publisher: &Arc<Publisher>,
    replay: &mut Replay,
) -> Result<Log> {
    let flusher = if options.background_threads == 0 { Flusher::Inline } else { Flusher::Thread };
    let log_options = LogOptions {
        segment_bytes: options.wal_segment_bytes,
        sync: options.sync,
        flusher,
        observer: Some(Arc::clone(publisher) as Arc<dyn luma_log::LogObserver>),
        ..LogOptions::default()
    };
    let mut damage = None;
    let log = Log::open(Arc::clone(vfs), directory, log_options, &mut |end, record| {
        replay.record(end, record).map_err(|what| {
            damage = Some(Error::corruption(directory, end.0, format!("the record that ends here: {what}")));
            luma_log::Error::Replay(what)
        })
    });
    log.map_err(|error| damage.unwrap_or_else(|| error.into()))
}

impl Engine {
    /// Opens the database in a directory, or makes one.
    pub(crate) fn open(vfs: Arc<dyn Vfs>, path: &Path, options: Options) -> Result<Arc<Self>> {
        vfs.create_dir_all(path).map_err(|error| Error::io(path, error))?;
        let lock_path = path.join(LOCK_FILE);
        let file_lock = vfs.lock(&lock_path).map_err(|error| match error {
            LockError::Held { pid } => Error::Locked { path: path.to_owned(), pid },
            LockError::Io(error) => Error::io(&lock_path, error),
        })?;
        let manifest = Manifest::open(&vfs, path)?;
        let state = manifest.state();
        let tables = path.join(TABLES_DIRECTORY);
        vfs.create_dir_all(&tables).map_err(|error| Error::io(&tables, error))?;
        let cache = Arc::new(Cache::new(options.cache_bytes));
        let mut replay = Replay {
            keyspaces: open_trees(&vfs, &tables, state, &cache)?,
            next_keyspace: state.next_keyspace,
            memtable_bytes: options.memtable_bytes,
            sequence: state.sequence,
            position: Lsn(0),
        };
        let publisher = Arc::new(Publisher::new());
        let log_directory = path.join(LOG_DIRECTORY);
        let log = replay_log(&vfs, &log_directory, &options, &publisher, &mut replay)?;
        if log.begin().0 > state.log_released || log.end().0 < state.log_released {
            let what = format!(
                "the log goes from {} to {}, and the manifest says that it is needed from {}",
                log.begin().0,
                log.end().0,
                state.log_released
            );
            return Err(Error::corruption(&log_directory, 0, what));
        }
        publisher.start_at(replay.sequence);

        let mut view = View::default();
        let mut names = HashMap::new();
        let mut memory = 0;
        let mut waiting = Vec::new();
        for (id, keyspace) in &state.keyspaces {
            let Some(found) = replay.keyspaces.remove(id) else { continue };
            memory += found.memtables().map(|table| table.bytes()).sum::<usize>();
            waiting.push((*id, !found.frozen.is_empty()));
            let slot = view.add(found);
            let inner = Arc::new(KeyspaceInner::new(*id, slot, &keyspace.name, keyspace.options));
            names.insert(Arc::clone(&inner.name), inner);
        }
        let next_table = AtomicU64::new(state.next_table);
        let engine = Arc::new(Self {
            options,
            vfs,
            path: path.to_owned(),
            cache,
            locks: LockTable::new(),
            view: ArcSwap::from_pointee(view),
            view_change: Mutex::new(()),
            publisher,
            commit: Mutex::new(CommitState {
                next_sequence: replay.sequence + 1,
                log_checked: log.begin().0,
            }),
            log,
            manifest: Mutex::new(manifest),
            names: Mutex::new(names),
            next_table,
            memory: AtomicUsize::new(memory),
            background: Background::default(),
            flushes: AtomicU64::new(0),
            compactions: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            file_lock: Mutex::new(Some(file_lock)),
        });
        engine.start_threads()?;
        for (id, frozen) in waiting {
            if frozen {
                engine.schedule_flush(id);
            }
            engine.schedule_merge(id);
        }
        engine.run_inline_work()?;
        Ok(engine)
    }
}
