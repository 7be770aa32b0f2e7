//! Opening: the manifest says which tables there are, the log brings back what was not in them.
//!
//! A record's operation counts for a keyspace only if its sequence is newer than what the keyspace's
//! tables hold. Files no manifest names are what a crash left, and go.

use luma_sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use luma_log::{Flusher, Log, LogOptions};
use luma_sync::Mutex;
use luma_vfs::{Counted, FileLock, LockError, Vfs};

use super::background::Background;
use super::limiter::{Limiter, Urgency, limited};
use super::pressure::Pressure;
use super::recent::{Recent, SerializableSnapshots};
use super::replay::Replay;
use super::{CommitState, Done, Engine, LOCK_FILE, LOG_DIRECTORY, TABLES_DIRECTORY};
use crate::btree::{self, TreeFile};
use crate::cache::Cache;
use crate::keyspace::KeyspaceInner;
use crate::layout::Tree;
use crate::locks::LockTable;
use crate::lsm::Levels;
use crate::manifest::{Manifest, ManifestState, check_ours, has_current};
use crate::options::{Layout, Options};
use crate::publisher::Publisher;
use crate::table::{self, Table};
use crate::view::{HeldView, KeyspaceId, KeyspaceView, View};
use crate::{Error, Result};

fn open_trees(
    vfs: &Arc<dyn Vfs>,
    directory: &Path,
    state: &ManifestState,
    cache: &Arc<Cache>,
) -> Result<HashMap<KeyspaceId, KeyspaceView>> {
    let io = |error| Error::io(directory, error);
    let known = |id| state.keyspaces.values().any(|keyspace| keyspace.tables.contains_key(&id));
    let is_tree = |number| {
        let mut keyspaces = state.keyspaces.values();
        keyspaces.any(|keyspace| keyspace.options.layout == Layout::BTree && keyspace.tree == number)
    };
    let metas = state.keyspaces.values().flat_map(|keyspace| keyspace.tables.values());
    let used: HashSet<u64> = metas.flat_map(|(_, meta)| meta.blobs.keys().copied()).collect();
    for name in vfs.read_dir(directory).map_err(io)? {
        let left_over = table::id_of(&name).is_some_and(|id| !known(id))
            || table::blob_id_of(&name).is_some_and(|id| !used.contains(&id))
            || btree::id_of(&name).is_some_and(|id| !is_tree(id));
        if left_over {
            vfs.remove_file(&directory.join(&name)).map_err(io)?;
        }
    }
    let mut keyspaces = HashMap::new();
    for (id, keyspace) in &state.keyspaces {
        let mut tables = Vec::with_capacity(keyspace.tables.len());
        for (level, meta) in keyspace.tables.values() {
            tables.push((*level, Arc::new(Table::open(vfs, directory, meta.clone(), cache)?)));
        }
        let tree = match keyspace.options.layout {
            Layout::Lsm => {
                let holes = keyspace.holes.iter().map(|(table, holes)| (*table, holes.clone()));
                Tree::Lsm(Levels::default().changed(&tables, &[]).with_holes(holes))
            }
            Layout::BTree => {
                Tree::BTree(TreeFile::open(vfs, directory, keyspace.tree, keyspace.generation, cache)?)
            }
        };
        tree.check_order()?;
        let view = KeyspaceView::new(*id, Arc::new(tree), keyspace.flushed);
        keyspaces.insert(*id, view);
    }
    Ok(keyspaces)
}

/// What the log may keep in memory: a quarter of the write buffer, and of what it may have on disk, since what is
/// not written yet does not count there.
const LOG_BUFFER_MIN: usize = 64 << 10;
const LOG_BUFFER_MAX: usize = 16 << 20;

fn replay_log(
    vfs: &Arc<dyn Vfs>,
    directory: &Path,
    options: &Options,
    publisher: &Arc<Publisher>,
    replay: &mut Replay,
) -> Result<Log> {
    let flusher = if options.background_threads == 0 { Flusher::Inline } else { Flusher::Thread };
    let wal_bytes = usize::try_from(options.max_wal_bytes).unwrap_or(usize::MAX);
    let buffer = options.write_buffer_bytes.min(wal_bytes) / 4;
    let log_options = LogOptions {
        segment_bytes: options.wal_segment_bytes,
        sync: options.sync,
        flusher,
        observer: Some(Arc::clone(publisher) as Arc<dyn luma_log::LogObserver>),
        buffer_bytes: buffer.clamp(LOG_BUFFER_MIN, LOG_BUFFER_MAX),
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

/// Makes the directory if there is none and locks it. A directory of something else stays as it is.
fn claim(vfs: &dyn Vfs, path: &Path, create: bool) -> Result<Box<dyn FileLock>> {
    let lock_path = path.join(LOCK_FILE);
    let refused = |at: &Path, error: io::Error| match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            Error::ReadOnly { path: path.to_owned(), source: Arc::new(error) }
        }
        _ => Error::io(at, error),
    };
    let there = vfs.exists(path);
    if there {
        check_ours(vfs, path)?;
    }
    if !create && !has_current(vfs, path) {
        return Err(Error::DatabaseNotFound { path: path.to_owned() });
    }
    if !there {
        vfs.create_dir_all(path).map_err(|error| refused(path, error))?;
    }
    vfs.lock(&lock_path).map_err(|error| match error {
        LockError::Held { pid } => Error::Locked { path: path.to_owned(), pid },
        LockError::Io(error) => refused(&lock_path, error),
    })
}

impl Engine {
    /// Opens the database in a directory, or makes one.
    pub(crate) fn open(vfs: Arc<dyn Vfs>, path: &Path, options: Options) -> Result<Arc<Self>> {
        let options = options.shared_out();
        let counted = Arc::new(Counted::new(vfs));
        let vfs = Arc::clone(&counted) as Arc<dyn Vfs>;
        let file_lock = claim(vfs.as_ref(), path, options.create)?;
        let manifest = Manifest::open(&vfs, path)?;
        let state = manifest.state();
        let tables = path.join(TABLES_DIRECTORY);
        vfs.create_dir_all(&tables).map_err(|error| Error::io(&tables, error))?;
        let cache = Arc::new(Cache::new(options.cache_policy, options.cache_bytes, options.max_open_files));
        let limiter = Some(options.background_bytes_per_second).filter(|bytes| *bytes > 0);
        let limiter = limiter.map(|bytes| Arc::new(Limiter::new(bytes)));
        let flush_vfs = limited(&vfs, limiter.as_ref(), Urgency::Flush);
        let merge_vfs = limited(&vfs, limiter.as_ref(), Urgency::Merge);
        let trees = open_trees(&flush_vfs, &tables, state, &cache)?;
        let threads = options.background_threads > 0;
        let merges =
            |id| state.keyspaces.get(&id).is_some_and(|keyspace| keyspace.options.merge_operator.is_some());
        let (known, memtable_bytes) = (state.next_keyspace, options.memtable_bytes);
        let mut replay = Replay::new(trees, known, memtable_bytes, threads, state.sequence, &merges);
        let publisher = Arc::new(Publisher::new(options.version_retention));
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
        let log_end = log.end().0;
        let sequence = replay.sequence;
        publisher.start_at(sequence);
        let mut keyspaces = replay.finish();

        let mut view = View::new(sequence);
        let mut names = HashMap::new();
        let mut memory = 0;
        let mut waiting = Vec::new();
        for (id, keyspace) in &state.keyspaces {
            let Some(found) = keyspaces.remove(id) else { continue };
            memory += found.memtables().map(|table| table.written_bytes()).sum::<usize>();
            waiting.push((*id, !found.frozen.is_empty()));
            let slot = view.add(found);
            let inner = KeyspaceInner::new(*id, slot, &keyspace.name, keyspace.options.clone());
            let inner = Arc::new(inner.with(&options));
            names.insert(Arc::clone(&inner.name), inner);
        }
        let (next_table, applied) = (Arc::new(AtomicU64::new(state.next_table)), state.applied);
        let engine = Arc::new(Self {
            options,
            vfs,
            flush_vfs,
            merge_vfs,
            limiter,
            counted,
            path: path.to_owned(),
            cache,
            locks: LockTable::new(),
            current: ArcSwap::from_pointee(HeldView::new(view)),
            spilling: Mutex::default(),
            next_spilled: Arc::new(AtomicU64::new(super::spill::FIRST_FILE + log_end)),
            view_change: Mutex::default(),
            publisher,
            commit: Mutex::new(CommitState {
                next_sequence: sequence + 1,
                last_millis: 0,
                log_checked: log.begin().0,
                recent: Recent::default(),
            }),
            serializable: SerializableSnapshots::default(),
            log,
            manifest: Mutex::new(manifest),
            applied: AtomicU64::new(applied),
            together: Mutex::new(()),
            converting: Mutex::new(()),
            names: Mutex::new(names),
            next_table,
            memory: AtomicUsize::new(memory),
            held: AtomicUsize::new(0),
            log_is_long: AtomicBool::new(false),
            pressure: Pressure::default(),
            background: Background::default(),
            first_logged: log_end,
            done: Done::default(),
            closed: AtomicBool::new(false),
            file_lock: Mutex::new(Some(file_lock)),
        });
        engine.look_at_debt();
        engine.start_threads()?;
        for (id, frozen) in waiting {
            if frozen {
                engine.schedule_flush(id);
            }
            engine.schedule_merge(id);
        }
        // Nothing was written yet that the failure could have stopped: its cause is what there is to say.
        engine.run_inline_work().map_err(Error::into_cause)?;
        Ok(engine)
    }
}
