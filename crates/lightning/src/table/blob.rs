//! Blob files: large values, written once beside the table that a flush makes, and only pointed to by tables.
//!
//! Or not written at all: where the log has little else than large values of a keyspace, the file of a log segment gets
//! a second name as a blob file (`engine/logged_values.rs`), and stays when the log lets go of it.
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
//!      | a log segment
//! ```

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use luma_sync::Mutex;
use luma_sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use luma_vfs::{BatchRead, Vfs, VfsFile};

use super::index::BlockPlace;
use super::section;
use crate::cache::{BlockSlots, Cache, Cached};
use crate::codec::{Reader, put_varint};
use crate::files::OpenFiles;
use crate::memtable::LOGGED_VALUE_MIN;
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
pub(crate) fn file_name(id: u64) -> String {
    format!("{id:010}.blob")
}

/// The number in a blob file's name.
pub(crate) fn id_of(name: &str) -> Option<u64> {
    name.strip_suffix(".blob")?.parse().ok()
}

/// What a blob file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlobSource {
    /// Length of the file; of a log segment, as long as it may become.
    pub(crate) bytes: u64,
    /// Whether it is a log segment.
    pub(crate) is_segment: bool,
}

impl BlobSource {
    /// As one number.
    pub(crate) fn encode(self) -> u64 {
        self.bytes << 1 | u64::from(self.is_segment)
    }

    pub(crate) fn decode(number: u64) -> Self {
        Self { bytes: number >> 1, is_segment: number & 1 == 1 }
    }
}

/// What a table has in a blob file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlobUse {
    pub(crate) file: BlobSource,
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
    /// How many values come before it in the file; in a log segment, in how many there could be.
    pub(crate) number: u64,
    pub(crate) place: BlockPlace,
    /// If the file is a log segment.
    pub(crate) logged: Option<Logged>,
}

/// What a value in a log segment needs to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Logged {
    /// Bytes before the first header of a frame.
    pub(crate) first: u64,
    /// Checksum of the value.
    pub(crate) crc: u32,
}

impl BlobPointer {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        for number in [self.file, self.number, self.place.offset, self.place.length] {
            put_varint(&mut out, number);
        }
        if let Some(logged) = self.logged {
            put_varint(&mut out, logged.first);
            out.extend_from_slice(&logged.crc.to_le_bytes());
        }
        out
    }

    /// One to a value that is in a log segment.
    pub(crate) fn into_log(file: u64, place: luma_log::Place, value: &[u8]) -> Self {
        let logged = Logged { first: place.first, crc: crc32c::crc32c(value) };
        let number = place.offset / LOGGED_VALUE_MIN as u64;
        let place = BlockPlace { offset: place.offset, length: place.length };
        Self { file, number, place, logged: Some(logged) }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (file, number) = (reader.varint()?, reader.varint()?);
        let place = BlockPlace { offset: reader.varint()?, length: reader.varint()? };
        let logged = if reader.rest.is_empty() {
            None
        } else {
            Some(Logged { first: reader.varint()?, crc: reader.u32()? })
        };
        reader.rest.is_empty().then_some(Self { file, number, place, logged })
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
        let place = BlockPlace { offset, length };
        Ok(BlobPointer { file: self.id, number: self.values - 1, place, logged: None })
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
        let mut read = self.request(pointer)?;
        read.read();
        self.open(pointer, read.into_bytes().map_err(|error| Error::io(&self.path, error))?)
    }

    /// A read of a value's bytes.
    pub(super) fn request(&self, pointer: BlobPointer) -> Result<BatchRead> {
        section::request(self.handle()?, &self.path, pointer.place)
    }

    /// Checks the bytes that were read of a value, and makes it of them.
    pub(super) fn open(&self, pointer: BlobPointer, bytes: Vec<u8>) -> Result<Box<[u8]>> {
        let Some(Logged { first, crc }) = pointer.logged else {
            return section::open(bytes, &self.path, pointer.place);
        };
        let value = luma_log::without_headers(bytes, first).filter(|value| crc32c::crc32c(value) == crc);
        let what = "the value in this log segment does not match its checksum";
        let value = value.ok_or_else(|| Error::corruption(&self.path, pointer.place.offset, what))?;
        Ok(value.into())
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
        (id, source): (u64, BlobSource),
    ) -> Result<Arc<BlobFile>> {
        let known = self.0.files.lock().get(&id).and_then(Weak::upgrade);
        if let Some(known) = known {
            known.count_table();
            return Ok(known);
        }
        let path = directory.join(file_name(id));
        let handle = self.0.handle(vfs, &path, id)?;
        let values = if source.is_segment {
            // It may grow, as long as the log writes to it.
            source.bytes / LOGGED_VALUE_MIN as u64 + 1
        } else {
            check(handle.as_ref(), &path, source.bytes)?
        };
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
