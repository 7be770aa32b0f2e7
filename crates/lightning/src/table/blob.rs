//! Blob files: large values, written once beside the table that a flush makes, and only pointed to by tables.
//!
//! Merging tables copies the pointers. A blob file that is mostly garbage is emptied by merges: they write the
//! values they still find in it to a blob file of the new table.
//!
//! A value that was read is held by the cache like a block: in the slot that its number in the file gives it.
//! One that would take too much of the cache is read each time.
//!
//! Invariants: a blob file is durable before the table that is written with it; its file goes when no table
//! that counts points to it and nobody reads it.
//!
//! ```text
//! file = section*, footer
//! ```

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use luma_sync::Mutex;
use luma_sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use luma_vfs::{Vfs, VfsFile};

use super::index::BlockPlace;
use super::section;
use crate::cache::{BlockSlots, Cache, Cached};
use crate::codec::{Reader, put_varint};
use crate::files::OpenFiles;
use crate::options::Compression;
use crate::{Error, Result};

/// What is in a blob file besides values.
pub(crate) const FOOTER_BYTES: usize = 32;
const MAGIC: [u8; 8] = *b"LIGHTBLB";
const VERSION: u32 = 1;
/// Values are gathered until there is so much to write.
const WRITE_BYTES: usize = 256 << 10;
/// A value that would take more than one part in so many of the cache is not held there.
const CACHE_SHARE: usize = 32;

/// The name of a blob file.
fn file_name(id: u64) -> String {
    format!("{id:010}.blob")
}

/// The number in a blob file's name.
pub(crate) fn id_of(name: &str) -> Option<u64> {
    name.strip_suffix(".blob")?.parse().ok()
}

/// What a table has in a blob file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlobUse {
    /// Length of the blob file.
    pub(crate) file_bytes: u64,
    /// Values of it that the table points to, and their bytes in the file.
    pub(crate) values: u64,
    pub(crate) bytes: u64,
}

/// Blob files by number.
pub(crate) type BlobUses = BTreeMap<u64, BlobUse>;

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlobPointer {
    pub(crate) file: u64,
    /// How many values come before it in the file.
    pub(crate) number: u64,
    pub(crate) place: BlockPlace,
}

impl BlobPointer {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        for number in [self.file, self.number, self.place.offset, self.place.length] {
            put_varint(&mut out, number);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (file, number) = (reader.varint()?, reader.varint()?);
        let place = BlockPlace { offset: reader.varint()?, length: reader.varint()? };
        reader.rest.is_empty().then_some(Self { file, number, place })
    }
}

/// A value in memory.
pub(crate) struct Blob {
    uses: AtomicU8,
    bytes: Box<[u8]>,
}

impl Blob {
    pub(crate) fn value(&self) -> &[u8] {
        &self.bytes
    }
}

impl Cached for Blob {
    fn bytes(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }

    fn uses(&self) -> &AtomicU8 {
        &self.uses
    }
}

/// A blob file in the making. Dropped unfinished, it is removed.
pub(super) struct BlobWriter {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    file: Arc<dyn VfsFile>,
    id: u64,
    out: Vec<u8>,
    /// Where `out` goes in the file.
    offset: u64,
    values: u64,
    done: bool,
}

impl BlobWriter {
    pub(super) fn create(vfs: &Arc<dyn Vfs>, directory: &Path, id: u64) -> Result<Self> {
        let path = directory.join(file_name(id));
        let file = vfs.create(&path).map_err(|error| Error::io(&path, error))?;
        let vfs = Arc::clone(vfs);
        Ok(Self { vfs, path, file, id, out: Vec::new(), offset: 0, values: 0, done: false })
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.offset + self.out.len() as u64
    }

    pub(super) fn put(&mut self, value: &[u8], compression: Compression) -> Result<BlobPointer> {
        let offset = self.offset + self.out.len() as u64;
        let length = if value.len() >= WRITE_BYTES && compression == Compression::None {
            // One this large is not copied.
            self.write_out()?;
            let io = |error| Error::io(&self.path, error);
            self.file.write_at(value, self.offset).map_err(io)?;
            self.offset += value.len() as u64;
            section::append_trailer(&mut self.out, value)
        } else {
            section::append(&mut self.out, value, compression)
        };
        if self.out.len() >= WRITE_BYTES {
            self.write_out()?;
        }
        self.values += 1;
        Ok(BlobPointer { file: self.id, number: self.values - 1, place: BlockPlace { offset, length } })
    }

    fn write_out(&mut self) -> Result<()> {
        self.file.write_at(&self.out, self.offset).map_err(|error| Error::io(&self.path, error))?;
        self.offset += self.out.len() as u64;
        self.out.clear();
        Ok(())
    }

    /// Makes the content durable; returns the length of the file.
    pub(super) fn finish(mut self) -> Result<u64> {
        let mut footer = [0; FOOTER_BYTES];
        footer[..8].copy_from_slice(&self.values.to_le_bytes());
        footer[8..16].copy_from_slice(&(self.offset + self.out.len() as u64).to_le_bytes());
        footer[16..20].copy_from_slice(&VERSION.to_le_bytes());
        let crc = crc32c::crc32c(&footer[..20]);
        footer[20..24].copy_from_slice(&crc.to_le_bytes());
        footer[24..].copy_from_slice(&MAGIC);
        self.out.extend_from_slice(&footer);
        self.write_out()?;
        self.file.sync_all().map_err(|error| Error::io(&self.path, error))?;
        self.done = true;
        Ok(self.offset)
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.done {
            // A file that stays is removed at the next start.
            let _ = self.vfs.remove_file(&self.path);
        }
    }
}

/// An open blob file.
pub(crate) struct BlobFile {
    id: u64,
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    /// Tables that count and point to it.
    tables: AtomicUsize,
    shared: Arc<Shared>,
    /// Those of its values that are in memory.
    cached: Arc<BlockSlots<Blob>>,
    /// The longest value that the cache takes.
    cached_max: usize,
}

/// Checks the footer of a blob file; returns how many values it has.
fn check(file: &dyn VfsFile, path: &Path, length: u64) -> Result<u64> {
    let io = |error| Error::io(path, error);
    let found = file.len().map_err(io)?;
    if found != length || found < FOOTER_BYTES as u64 {
        let what = format!("the blob file has {found} bytes and should have {length}");
        return Err(Error::corruption(path, found, what));
    }
    let mut footer = [0; FOOTER_BYTES];
    let at = length - FOOTER_BYTES as u64;
    file.read_at(&mut footer, at).map_err(io)?;
    let field =
        |at: usize| footer[at..at + 8].iter().rfold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let values = field(0);
    if footer[24..] != MAGIC
        || footer[20..24] != crc32c::crc32c(&footer[..20]).to_le_bytes()
        || field(8) != at
        || values > at
    {
        return Err(Error::corruption(path, at, "the blob file's footer does not match its checksum"));
    }
    let version = u32::from_le_bytes([footer[16], footer[17], footer[18], footer[19]]);
    if version != VERSION {
        return Err(Error::UnsupportedVersion { file: path.to_owned(), version, supported: VERSION });
    }
    Ok(values)
}

impl BlobFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn handle(&self) -> Result<Arc<dyn VfsFile>> {
        self.shared.handle(&self.vfs, &self.path, self.id)
    }

    /// A value that is in memory.
    #[inline]
    pub(super) fn cached(&self, pointer: BlobPointer) -> arc_swap::Guard<Option<Arc<Blob>>> {
        self.cached.get(pointer.number as usize)
    }

    /// Whether a value is not in memory and may be held there.
    pub(super) fn is_to_be_read(&self, pointer: BlobPointer) -> bool {
        // As far as its length in the file tells.
        pointer.place.length <= self.cached_max as u64 && self.cached.find(pointer.number as usize).is_none()
    }

    /// Reads and checks a value.
    pub(super) fn read(&self, pointer: BlobPointer) -> Result<Box<[u8]>> {
        section::read(self.handle()?.as_ref(), &self.path, pointer.place)
    }

    /// Holds a value that was just read in memory, unless it is too long.
    pub(super) fn hold(&self, pointer: BlobPointer, bytes: Box<[u8]>) -> Arc<Blob> {
        let blob = Arc::new(Blob { uses: AtomicU8::new(0), bytes });
        if blob.bytes.len() <= self.cached_max {
            self.cached.put(&self.cached, pointer.number as usize, &blob);
        }
        blob
    }

    /// Another table that counts points to it.
    pub(super) fn count_table(&self) {
        self.tables.fetch_add(1, Ordering::AcqRel);
    }

    /// One less.
    pub(super) fn discount_table(&self) {
        self.tables.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for BlobFile {
    fn drop(&mut self) {
        self.shared.forget(self.id);
        self.shared.open.close(self.id);
        if self.tables.load(Ordering::Acquire) == 0 {
            // A file that stays is removed at the next start.
            let _ = self.vfs.remove_file(&self.path);
        }
    }
}

/// What all blob files share.
struct Shared {
    files: Mutex<HashMap<u64, Weak<BlobFile>>>,
    open: Arc<OpenFiles>,
}

impl Shared {
    fn handle(&self, vfs: &Arc<dyn Vfs>, path: &Path, id: u64) -> Result<Arc<dyn VfsFile>> {
        self.open.get(id, || vfs.open(path)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::corruption(path, 0, "this blob file is missing"),
            _ => Error::io(path, error),
        })
    }

    /// Forgets a file that is gone.
    fn forget(&self, id: u64) {
        let mut files = self.files.lock();
        if files.get(&id).is_some_and(|file| file.strong_count() == 0) {
            files.remove(&id);
        }
    }
}

/// The blob files that tables point to.
pub(crate) struct BlobFiles(Arc<Shared>);

impl BlobFiles {
    pub(crate) fn new(open: Arc<OpenFiles>) -> Self {
        Self(Arc::new(Shared { files: Mutex::default(), open }))
    }

    /// A blob file for one more table that counts; it is opened if it is not. After a failure it stays.
    pub(super) fn get(
        &self,
        cache: &Arc<Cache>,
        vfs: &Arc<dyn Vfs>,
        directory: &Path,
        (id, length): (u64, u64),
    ) -> Result<Arc<BlobFile>> {
        let known = self.0.files.lock().get(&id).and_then(Weak::upgrade);
        if let Some(known) = known {
            known.count_table();
            return Ok(known);
        }
        let path = directory.join(file_name(id));
        let values = check(self.0.handle(vfs, &path, id)?.as_ref(), &path, length)?;
        let file = Arc::new(BlobFile {
            id,
            vfs: Arc::clone(vfs),
            path,
            tables: AtomicUsize::new(1),
            shared: Arc::clone(&self.0),
            cached: Arc::new(BlockSlots::new(Arc::clone(cache), values as usize, 0)),
            cached_max: cache.capacity() / CACHE_SHARE,
        });
        let mut files = self.0.files.lock();
        if let Some(known) = files.get(&id).and_then(Weak::upgrade) {
            known.count_table();
            return Ok(known);
        }
        files.insert(id, Arc::downgrade(&file));
        Ok(file)
    }
}
