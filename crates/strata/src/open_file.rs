//! A file that a manifest has: opened when it is first read, removed when nobody reads it any more.
//!
//! Opening reads the footer and the page index. These stay in a cache that all files of a table share, up to a
//! number of bytes and of files.

use std::collections::HashMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use luma_vfs::Vfs;
use parking_lot::Mutex;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use crate::blocks::Input;
use crate::error::{Error, Result};
use crate::manifest::FileEntry;
use crate::rows::DecodedRows;

/// How many files are open besides those being read.
const OPEN_MAX: usize = 256;

/// A file's bytes and what its footer says.
#[derive(Debug)]
pub struct Opened {
    /// The bytes.
    pub input: Arc<Input>,
    /// The footer with the page indexes.
    pub metadata: Arc<ParquetMetaData>,
}

#[derive(Debug, Default)]
struct Kept {
    files: HashMap<u64, (Arc<Opened>, u64)>,
    bytes: usize,
    turn: u64,
}

/// Opened files, those last that were not used for longest.
#[derive(Debug)]
pub struct OpenFiles {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

impl OpenFiles {
    /// A cache of that many bytes of footers.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::default() }
    }

    fn get(&self, number: u64) -> Option<Arc<Opened>> {
        let mut kept = self.kept.lock();
        kept.turn += 1;
        let turn = kept.turn;
        let (opened, used) = kept.files.get_mut(&number)?;
        *used = turn;
        Some(Arc::clone(opened))
    }

    fn put(&self, number: u64, opened: &Arc<Opened>) {
        let mut kept = self.kept.lock();
        kept.turn += 1;
        let turn = kept.turn;
        kept.bytes += opened.metadata.memory_size();
        if let Some((before, _)) = kept.files.insert(number, (Arc::clone(opened), turn)) {
            kept.bytes -= before.metadata.memory_size();
        }
        while kept.files.len() > 1 && (kept.bytes > self.bytes_max || kept.files.len() > OPEN_MAX) {
            let Some(oldest) =
                kept.files.iter().min_by_key(|(_, (_, used))| *used).map(|(number, _)| *number)
            else {
                break;
            };
            Self::take(&mut kept, oldest);
        }
    }

    fn take(kept: &mut Kept, number: u64) {
        if let Some((opened, _)) = kept.files.remove(&number) {
            kept.bytes -= opened.metadata.memory_size();
        }
    }
}

/// A file whose length and checksums are known, removed when nobody has it any more and no manifest does.
#[derive(Debug)]
pub struct StoredFile {
    path: PathBuf,
    key: u64,
    bytes: u64,
    sums: Arc<[u32]>,
    vfs: Arc<dyn Vfs>,
    files: Arc<OpenFiles>,
    obsolete: AtomicBool,
}

impl StoredFile {
    /// A file of so many bytes with the CRC-32C of each 32 KiB; `key` is its own among those that share `files`.
    pub fn new(
        path: PathBuf,
        key: u64,
        (bytes, sums): (u64, Arc<[u32]>),
        vfs: Arc<dyn Vfs>,
        files: Arc<OpenFiles>,
    ) -> Self {
        Self { path, key, bytes, sums, vfs, files, obsolete: AtomicBool::new(false) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes that no manifest has it any more.
    pub fn make_obsolete(&self) {
        self.obsolete.store(true, Ordering::Release);
    }

    fn input(&self) -> Result<Input> {
        let file = self.vfs.open(&self.path).map_err(|error| Error::io(&self.path, error))?;
        Input::new(&self.path, file, self.bytes, Arc::clone(&self.sums))
    }

    /// Opens it, or gives what was opened before.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn open(&self) -> Result<Arc<Opened>> {
        if let Some(opened) = self.files.get(self.key) {
            return Ok(opened);
        }
        let input = self.input()?;
        let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
        let metadata = reader.parse_and_finish(&input).map_err(|error| Error::parquet(&self.path, error))?;
        let opened = Arc::new(Opened { input: Arc::new(input), metadata: Arc::new(metadata) });
        self.files.put(self.key, &opened);
        Ok(opened)
    }

    /// Compares all bytes with their checksums.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn verify(&self) -> Result<()> {
        self.input()?.verify()
    }
}

impl Drop for StoredFile {
    fn drop(&mut self) {
        OpenFiles::take(&mut self.files.kept.lock(), self.key);
        if *self.obsolete.get_mut() {
            // What cannot be removed now is an orphan, which the next start removes.
            let _ = self.vfs.remove_file(&self.path);
        }
    }
}

/// A file that the manifest of samples has, or had while somebody reads it.
#[derive(Debug)]
pub(crate) struct TableFile {
    pub entry: FileEntry,
    /// Rows of all files of the table.
    pub decoded: Arc<DecodedRows>,
    stored: StoredFile,
}

impl TableFile {
    pub fn new(
        entry: FileEntry,
        directory: &Path,
        vfs: Arc<dyn Vfs>,
        files: Arc<OpenFiles>,
        decoded: Arc<DecodedRows>,
    ) -> Self {
        let path = directory.join(file_name(entry.number));
        let content = (entry.bytes, Arc::clone(&entry.sums));
        Self { stored: StoredFile::new(path, entry.number, content, vfs, files), decoded, entry }
    }
}

impl Drop for TableFile {
    fn drop(&mut self) {
        self.decoded.forget(self.entry.number);
    }
}

impl Deref for TableFile {
    type Target = StoredFile;

    fn deref(&self) -> &StoredFile {
        &self.stored
    }
}

/// The name of the file with a number.
pub fn file_name(number: u64) -> String {
    format!("{number:012}.parquet")
}

/// Whether a name is that of a file of a table, and which.
pub fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(".parquet")?.parse().ok()
}
