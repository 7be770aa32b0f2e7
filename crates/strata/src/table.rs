//! A table: files in a directory, and the manifest that says which of them count.
//!
//! Invariants: a file is durable with its name before the manifest has it; the manifest changes in one
//! transaction, and what readers get is what it had at a moment. A file that the manifest has no more is
//! removed when the last snapshot that has it goes. So a crash leaves orphans, which opening removes, and never
//! holes.

use std::collections::HashSet;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lightning::{
    Database, Direction, Keyspace, KeyspaceOptions, Readable, Transaction, TransactionMode,
    TransactionOptions,
};
use luma_vfs::Vfs;
use parking_lot::{Mutex, RwLock};

use crate::blocks::Output;
use crate::error::{Error, Result};
use crate::file_writer::{Finished, NewFile};
use crate::manifest::{Entry, FileEntry};
use crate::open_file::{OpenFiles, TableFile, file_name, number_of};
use crate::place::Place;
use crate::rows::DecodedRows;
use crate::tombstone::{Hidden, Tombstone};

/// Options of a table.
#[derive(Debug, Clone)]
pub struct TableOptions {
    /// How much time a file has at most as it is first written, in milliseconds. Days are made of these.
    pub window_ms: i64,
    /// How much time the files have that older ones are merged into; a multiple of `window_ms`.
    pub day_ms: i64,
    /// How many files one window may have before they are merged.
    pub files_per_window: usize,
    /// How large merged files get, about.
    pub file_bytes: u64,
    /// How many bytes of footers and page indexes are kept in memory.
    pub index_bytes: usize,
    /// How many bytes of decoded samples are kept in memory.
    pub decoded_bytes: usize,
    /// How many samples of one series a reader may hold.
    pub rows_max: usize,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            window_ms: 2 * 3_600_000,
            day_ms: 24 * 3_600_000,
            files_per_window: 4,
            file_bytes: 512 << 20,
            index_bytes: 64 << 20,
            decoded_bytes: 64 << 20,
            rows_max: 50_000_000,
        }
    }
}

/// What there is at a moment.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub files: Vec<Arc<TableFile>>,
    pub tombstones: Vec<Arc<Tombstone>>,
}

/// A change of the manifest.
#[derive(Debug, Default)]
pub struct Change {
    /// Files that count from now on.
    pub add: Vec<Finished>,
    /// The numbers of those that do not any more.
    pub remove: Vec<u64>,
    /// What is deleted of the files that are there, `add` not included.
    pub tombstones: Vec<Tombstone>,
}

/// What only the table itself asks of a change.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    /// Tombstones that hide nothing any more.
    pub forget: Vec<u64>,
    /// What the change was made from; if tombstones came since, it is refused.
    pub made_from: Option<Arc<State>>,
}

/// Figures of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableStats {
    /// How many files there are.
    pub files: usize,
    /// Their samples, also those that are deleted but still there.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many tombstones there are.
    pub tombstones: usize,
}

/// Files with one manifest.
#[derive(Debug)]
pub struct Table {
    name: String,
    directory: PathBuf,
    vfs: Arc<dyn Vfs>,
    database: Database,
    manifest: Keyspace,
    open_files: Arc<OpenFiles>,
    decoded: Arc<DecodedRows>,
    pub(crate) options: TableOptions,
    state: RwLock<Arc<State>>,
    changing: Mutex<()>,
    next_number: AtomicU64,
}

/// The files of a table at a moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    state: Arc<State>,
    rows_max: usize,
}

impl Table {
    /// Opens the table with a name, or makes it: its manifest in `database`, its files in `directory`, where
    /// it removes those that the manifest does not have.
    ///
    /// # Errors
    /// When the manifest cannot be read, or the directory.
    pub fn open(
        vfs: Arc<dyn Vfs>,
        directory: &Path,
        database: &Database,
        name: &str,
        options: TableOptions,
    ) -> Result<Self> {
        let of_manifest = |source| Error::Manifest { table: name.to_owned(), source };
        vfs.create_dir_all(directory).map_err(|error| Error::io(directory, error))?;
        let keyspace = format!("strata.{name}");
        let manifest = match database.keyspace(&keyspace) {
            Some(manifest) => manifest,
            None => database.create_keyspace(&keyspace, KeyspaceOptions::default()).map_err(of_manifest)?,
        };
        let open_files = Arc::new(OpenFiles::new(options.index_bytes));
        let decoded = Arc::new(DecodedRows::new(options.decoded_bytes));
        let mut state = State::default();
        let mut next_number = 1;
        let mut range = database
            .snapshot()
            .range(&manifest, Bound::Unbounded, Bound::Unbounded, Direction::Forward)
            .map_err(of_manifest)?;
        while let Some((key, value)) = range.next().map_err(of_manifest)? {
            let Some(entry) = Entry::decode(key, value) else {
                let what = format!("key {key:02x?}; restore it from a backup");
                return Err(Error::DamagedManifest { table: name.to_owned(), what });
            };
            match entry {
                Entry::File(entry) => {
                    next_number = next_number.max(entry.number + 1);
                    let (vfs, open_files) = (Arc::clone(&vfs), Arc::clone(&open_files));
                    let file = TableFile::new(entry, directory, vfs, open_files, Arc::clone(&decoded));
                    state.files.push(Arc::new(file));
                }
                Entry::Tombstone(tombstone) => {
                    next_number = next_number.max(tombstone.before).max(tombstone.number + 1);
                    state.tombstones.push(Arc::new(tombstone));
                }
            }
        }
        state.files.sort_by_key(|file| file.entry.order);
        remove_orphans(&vfs, directory, &state)?;
        Ok(Self {
            name: name.to_owned(),
            directory: directory.to_owned(),
            vfs,
            database: database.clone(),
            manifest,
            open_files,
            decoded,
            options,
            state: RwLock::new(Arc::new(state)),
            changing: Mutex::new(()),
            next_number: AtomicU64::new(next_number),
        })
    }

    /// Its options.
    pub fn options(&self) -> &TableOptions {
        &self.options
    }

    /// Begins a file.
    pub fn new_file(&self) -> Result<NewFile> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.join(file_name(number));
        let file = self.vfs.create(&path).map_err(|error| Error::io(&path, error))?;
        Ok(NewFile::new(number, Place::new(Arc::clone(&self.vfs), path), Output::new(file)))
    }

    /// Changes which files count, in one transaction with what `also` does in it. When this returns the
    /// change is durable and visible.
    ///
    /// # Errors
    /// When a file to be removed is not there ([`Error::Outdated`]), or the manifest cannot be changed.
    pub fn commit(
        &self,
        change: Change,
        also: impl FnOnce(&mut Transaction) -> lightning::Result<()>,
    ) -> Result<()> {
        self.commit_with(change, &Upkeep::default(), also)
    }

    pub(crate) fn commit_with(
        &self,
        mut change: Change,
        upkeep: &Upkeep,
        also: impl FnOnce(&mut Transaction) -> lightning::Result<()>,
    ) -> Result<()> {
        let of_manifest = |source| Error::Manifest { table: self.name.clone(), source };
        let _changing = self.changing.lock();
        let before = self.state();
        let has = |number: &u64| before.files.iter().any(|file| file.entry.number == *number);
        let same_tombstones = |from: &Arc<State>| {
            from.tombstones.iter().map(|t| t.number).eq(before.tombstones.iter().map(|t| t.number))
        };
        if !change.remove.iter().all(has) || !upkeep.made_from.as_ref().is_none_or(same_tombstones) {
            return Err(Error::Outdated { table: self.name.clone() });
        }
        if !change.add.is_empty() {
            self.vfs.sync_dir(&self.directory).map_err(|error| Error::io(&self.directory, error))?;
        }
        for tombstone in &mut change.tombstones {
            tombstone.number = self.next_number.fetch_add(1, Ordering::Relaxed);
            tombstone.before = tombstone.number;
        }
        // `changing` keeps others away, so there is nothing to check, however much `also` writes.
        let options =
            TransactionOptions { mode: TransactionMode::Pessimistic, ..TransactionOptions::default() };
        let mut transaction = self.database.begin(options);
        let write = || {
            for finished in &change.add {
                transaction.put(
                    &self.manifest,
                    &FileEntry::key(finished.entry.number),
                    &finished.entry.encode(),
                )?;
            }
            for number in &change.remove {
                transaction.delete(&self.manifest, &FileEntry::key(*number))?;
            }
            for tombstone in &change.tombstones {
                transaction.put(&self.manifest, &Tombstone::key(tombstone.number), &tombstone.encode())?;
            }
            for number in &upkeep.forget {
                transaction.delete(&self.manifest, &Tombstone::key(*number))?;
            }
            also(&mut transaction)
        };
        write().map_err(of_manifest)?;
        // From here on nobody knows whether the manifest has them until the commit returns.
        let added: Vec<FileEntry> = change
            .add
            .into_iter()
            .map(|finished| {
                finished.place.keep();
                finished.entry
            })
            .collect();
        transaction.commit().map_err(of_manifest)?;
        let mut state = State::default();
        for file in &before.files {
            if change.remove.contains(&file.entry.number) {
                file.make_obsolete();
            } else {
                state.files.push(Arc::clone(file));
            }
        }
        state.files.extend(added.into_iter().map(|entry| {
            Arc::new(TableFile::new(
                entry,
                &self.directory,
                Arc::clone(&self.vfs),
                Arc::clone(&self.open_files),
                Arc::clone(&self.decoded),
            ))
        }));
        state.files.sort_by_key(|file| file.entry.order);
        let kept = before.tombstones.iter().filter(|t| !upkeep.forget.contains(&t.number));
        state.tombstones = kept.map(Arc::clone).collect();
        state.tombstones.extend(change.tombstones.into_iter().map(Arc::new));
        *self.state.write() = Arc::new(state);
        Ok(())
    }

    /// What the table has now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { state: self.state(), rows_max: self.options.rows_max }
    }

    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read())
    }

    /// Removes files that are past keeping: those that end before a time, and the oldest while all of them
    /// have more than so many bytes. Gives what it removed.
    pub fn retain(&self, from: Option<i64>, bytes_max: Option<u64>) -> Result<Vec<FileEntry>> {
        let state = self.state();
        let mut files: Vec<&FileEntry> = state.files.iter().map(|file| &file.entry).collect();
        files.sort_by_key(|entry| entry.times.1);
        let mut bytes: u64 = files.iter().map(|entry| entry.bytes).sum();
        let mut removed = Vec::new();
        for entry in files {
            let too_old = from.is_some_and(|from| entry.times.1 < from);
            if !too_old && bytes_max.is_none_or(|bytes_max| bytes <= bytes_max) {
                break;
            }
            bytes -= entry.bytes;
            removed.push(entry.clone());
        }
        if !removed.is_empty() {
            let remove = removed.iter().map(|entry| entry.number).collect();
            self.commit(Change { remove, ..Change::default() }, |_| Ok(()))?;
        }
        Ok(removed)
    }

    /// Forgets tombstones that hide nothing any more: no file is left that they concern, and the caller
    /// reads nothing of its log before their marks any more.
    pub fn forget_tombstones(&self, log_from: u64) -> Result<usize> {
        let state = self.state();
        let hides = |tombstone: &&Arc<Tombstone>| {
            let one = std::slice::from_ref(*tombstone);
            state.files.iter().any(|file| !Hidden::of(one, &file.entry).is_empty())
        };
        let gone = state.tombstones.iter().filter(|t| t.mark <= log_from && !hides(t));
        let forget: Vec<u64> = gone.map(|tombstone| tombstone.number).collect();
        let count = forget.len();
        if count > 0 {
            let upkeep = Upkeep { forget, ..Upkeep::default() };
            self.commit_with(Change::default(), &upkeep, |_| Ok(()))?;
        }
        Ok(count)
    }
}

impl Snapshot {
    pub(crate) fn of(state: Arc<State>, rows_max: usize) -> Self {
        Self { state, rows_max }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &Arc<TableFile>> {
        self.state.files.iter()
    }

    /// What is deleted.
    pub fn tombstones(&self) -> &[Arc<Tombstone>] {
        &self.state.tombstones
    }

    pub(crate) fn rows_max(&self) -> usize {
        self.rows_max
    }

    /// What the manifest says about each file.
    pub fn entries(&self) -> impl Iterator<Item = &FileEntry> {
        self.files().map(|file| &file.entry)
    }

    /// Where the files are.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files().map(|file| file.path())
    }

    /// Figures.
    pub fn stats(&self) -> TableStats {
        let mut stats = TableStats { tombstones: self.tombstones().len(), ..TableStats::default() };
        for entry in self.entries() {
            stats.files += 1;
            stats.rows += entry.rows;
            stats.bytes += entry.bytes;
        }
        stats
    }

    /// Reads all files and compares them with their checksums.
    ///
    /// # Errors
    /// The first file that is missing or damaged.
    pub fn verify(&self) -> Result<()> {
        self.files().try_for_each(|file| file.verify())
    }
}

fn remove_orphans(vfs: &Arc<dyn Vfs>, directory: &Path, state: &State) -> Result<()> {
    let known: HashSet<u64> = state.files.iter().map(|file| file.entry.number).collect();
    let names = vfs.read_dir(directory).map_err(|error| Error::io(directory, error))?;
    for name in names {
        if number_of(&name).is_some_and(|number| !known.contains(&number)) {
            let path = directory.join(&name);
            vfs.remove_file(&path).map_err(|error| Error::io(&path, error))?;
        }
    }
    Ok(())
}
