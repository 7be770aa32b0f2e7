//! The files of all columnar tables.
//!
//! Invariants: a file is durable with its name before a manifest has it, and the manifest changes in one
//! transaction with everything else; so a crash leaves orphans, which opening removes, and never holes. The
//! number of a file is not given again while the database is open.

use std::collections::{HashMap, HashSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use lightning::{Database, Direction, Keyspace, Readable};
use luma_catalog::{StorageId, engine_error};
use luma_model::{Error, ErrorKind, Result};
use luma_strata::Place;
use luma_strata::blocks::Output;
use luma_strata::open_file::OpenFiles;
use luma_vfs::Vfs;
use parking_lot::Mutex;
use roaring::RoaringBitmap;

use crate::address::{DELETIONS, FILES, RowAddress};
use crate::cache::ColumnCache;
use crate::entry::FileEntry;
use crate::file::{ColumnFile, FileView};
use crate::file_error;
use crate::pin::{Pin, Pins};

/// The directory with all files, inside of the database's.
const DIRECTORY: &str = "columns";
/// Bytes of footers and page indexes that are kept in memory.
const FOOTER_BYTES: usize = 64 << 20;

/// The files of all columnar tables of a database.
#[derive(Debug)]
pub struct ColumnStore {
    vfs: Arc<dyn Vfs>,
    directory: PathBuf,
    open_files: Arc<OpenFiles>,
    cache: Arc<ColumnCache>,
    known: Mutex<HashMap<(StorageId, u64), Weak<ColumnFile>>>,
    next_number: AtomicU64,
    pins: Pins,
}

impl ColumnStore {
    /// Opens the store and removes files that none of the manifests has; `live` are the storages with theirs. Unpacked columns
    /// may take `cache_bytes`.
    ///
    /// # Errors
    /// When a manifest or the directory cannot be read.
    pub fn open(engine: &Database, live: &[(StorageId, Keyspace)], cache_bytes: usize) -> Result<Self> {
        let store = Self {
            vfs: engine.vfs(),
            directory: engine.path().join(DIRECTORY),
            open_files: Arc::new(OpenFiles::new(FOOTER_BYTES)),
            cache: Arc::new(ColumnCache::new(cache_bytes)),
            known: Mutex::default(),
            next_number: AtomicU64::new(1),
            pins: Pins::default(),
        };
        if !store.vfs.exists(&store.directory) {
            return Ok(store);
        }
        let snapshot = engine.snapshot();
        let mut owned: HashSet<(StorageId, u64)> = HashSet::new();
        let mut largest = 0;
        for (storage, manifest) in live {
            for entry in entries(&snapshot, manifest)? {
                largest = largest.max(entry.number);
                owned.insert((*storage, entry.number));
            }
        }
        store.next_number.store(largest + 1, Ordering::Relaxed);
        for name in store.names()? {
            if number_of(&name).is_some_and(|file| !owned.contains(&file)) {
                let path = store.directory.join(&name);
                store.vfs.remove_file(&path).map_err(|error| failed(&path, error))?;
            }
        }
        Ok(store)
    }

    fn names(&self) -> Result<Vec<String>> {
        self.vfs.read_dir(&self.directory).map_err(|error| failed(&self.directory, error))
    }

    /// Keeps the files there are until it is dropped, also those that are given up meanwhile.
    pub fn pin(&self) -> Pin {
        self.pins.pin()
    }

    fn path(&self, storage: StorageId, number: u64) -> PathBuf {
        self.directory.join(file_name(storage, number))
    }

    /// Begins a file: its number, its place, and where its bytes go.
    pub(crate) fn create(&self, storage: StorageId) -> Result<(u64, Place, Output)> {
        if !self.vfs.exists(&self.directory) {
            self.vfs.create_dir_all(&self.directory).map_err(|error| failed(&self.directory, error))?;
        }
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        if u32::try_from(number).is_err() {
            return Err(Error::new(ErrorKind::ProgramLimit, "columnar tables have had 4294967295 files")
                .hint("Restart the server: numbers of files that are gone are given again."));
        }
        let path = self.path(storage, number);
        let file = self.vfs.create(&path).map_err(|error| failed(&path, error))?;
        Ok((number, Place::new(Arc::clone(&self.vfs), path), Output::new(file)))
    }

    /// Makes the names of new files durable.
    pub(crate) fn sync_names(&self) -> Result<()> {
        self.vfs.sync_dir(&self.directory).map_err(|error| failed(&self.directory, error))
    }

    /// The file with that entry.
    pub fn file(&self, storage: StorageId, entry: FileEntry) -> Arc<ColumnFile> {
        let mut known = self.known.lock();
        let key = (storage, entry.number);
        if let Some(file) = known.get(&key).and_then(Weak::upgrade) {
            return file;
        }
        known.retain(|_, file| file.strong_count() > 0);
        let path = self.path(storage, entry.number);
        let (vfs, files) = (Arc::clone(&self.vfs), Arc::clone(&self.open_files));
        let cache = Arc::clone(&self.cache);
        let file = Arc::new(ColumnFile::new(path, storage, entry, vfs, files, cache));
        known.insert(key, Arc::downgrade(&file));
        file
    }

    /// A table's files as `reader` sees them, in the order they were made.
    ///
    /// # Errors
    /// XX001 when the manifest is damaged.
    pub fn files<R: Readable>(
        &self,
        storage: StorageId,
        manifest: &Keyspace,
        reader: &R,
    ) -> Result<Vec<FileView>> {
        let mut deleted = deletions(reader, manifest)?;
        Ok(entries(reader, manifest)?
            .into_iter()
            .map(|entry| {
                let deleted = deleted.remove(&entry.number).map(Arc::new);
                FileView { file: self.file(storage, entry), deleted }
            })
            .collect())
    }

    /// Bytes of unpacked columns that are kept.
    pub fn cached_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Lets files that the manifest has no more go when nobody can need them.
    pub fn give_up(&self, files: Vec<Arc<ColumnFile>>) {
        self.pins.give_up(files);
    }

    /// Lets all files of a storage go, whose manifest is about to.
    ///
    /// # Errors
    /// XX001 when the manifest is damaged; its files go at the next start then.
    pub fn give_up_all(&self, storage: StorageId, manifest: &Keyspace, engine: &Database) -> Result<()> {
        let entries = entries(&engine.snapshot(), manifest)?;
        self.give_up(entries.into_iter().map(|entry| self.file(storage, entry)).collect());
        Ok(())
    }
}

/// The name of a table's file.
fn file_name(storage: StorageId, number: u64) -> String {
    format!("{storage}-{number:010}.parquet")
}

/// The table and the number in the name of a file.
fn number_of(name: &str) -> Option<(StorageId, u64)> {
    let (storage, number) = name.strip_suffix(".parquet")?.split_once('-')?;
    Some((storage.parse().ok()?, number.parse().ok()?))
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    file_error(luma_strata::Error::io(path, error))
}

/// A manifest's entries, by number.
fn entries<R: Readable>(reader: &R, manifest: &Keyspace) -> Result<Vec<FileEntry>> {
    let (from, to) = FILES;
    let mut range = reader
        .range(manifest, Bound::Included(&from), Bound::Excluded(&to), Direction::Forward)
        .map_err(engine_error)?;
    let mut entries = Vec::new();
    while let Some((key, value)) = range.next().map_err(engine_error)? {
        entries.push(FileEntry::decode(key, value).ok_or_else(|| damaged(key))?);
    }
    Ok(entries)
}

/// The deleted rows of each file.
fn deletions<R: Readable>(reader: &R, manifest: &Keyspace) -> Result<HashMap<u64, RoaringBitmap>> {
    let (from, to) = DELETIONS;
    let mut range = reader
        .range(manifest, Bound::Included(&from), Bound::Excluded(&to), Direction::Forward)
        .map_err(engine_error)?;
    let mut all: HashMap<u64, RoaringBitmap> = HashMap::new();
    let mut last: Option<(u64, RoaringBitmap)> = None;
    while let Some((key, _)) = range.next().map_err(engine_error)? {
        let address = RowAddress::from_key(key).ok_or_else(|| damaged(key))?;
        match &mut last {
            Some((file, rows)) if *file == address.file => {
                rows.insert(address.row);
            }
            _ => all.extend(last.replace((address.file, RoaringBitmap::from([address.row])))),
        }
    }
    all.extend(last);
    Ok(all)
}

fn damaged(key: &[u8]) -> Error {
    Error::corrupted(format!("the list of a columnar table's files has a damaged entry {key:02x?}"))
        .hint("Restore it from a backup.")
}
