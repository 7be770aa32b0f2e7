//! Table files: sorted, immutable, one version per key.
//!
//! ```text
//! (data block*, part)*, parts, properties, footer
//! ```
//! A part is the index and the filter of the blocks before it. In memory stays where the parts are and
//! which keys they have; a table of one part keeps that, too,
//! as long as those of all tables take no more than a quarter of the cache. Others come and go with it.
//!
//! Each section but the footer ends in a trailer: a byte that names its compression and a CRC-32C of
//! content and that byte, checked whenever the section is read from the file. `FORMAT.md` has the rest.

mod batch;
mod blob;
mod block;
mod bloom;
mod cursor;
mod filter;
mod index;
mod part;
mod ribbon;
mod section;
mod writer;

use luma_sync::atomic::{AtomicBool, Ordering};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use luma_vfs::Vfs;

use crate::cache::{BlockSlots, Cache, Cached};
use crate::codec::{Reader, put_bytes, put_varint};
use crate::{Error, Result};

pub(crate) use batch::{Looked, Missing, Probe, read_missing};
pub(crate) use blob::Blob;
pub(crate) use blob::{
    BlobFile, BlobFiles, BlobPointer, BlobSource, BlobUse, BlobUses, FOOTER_BYTES as BLOB_FOOTER_BYTES,
    file_name as blob_file_name, id_of as blob_id_of,
};
pub(crate) use block::{Block, Stored};
pub(crate) use bloom::hash;
pub(crate) use cursor::RunCursor;
pub(crate) use filter::FilterOptions;
use index::{BlockPlace, Index};
pub(crate) use part::Part;
pub(crate) use section::shrinks;
use section::{FOOTER_BYTES, Footer};
pub(crate) use writer::{TableOptions, TableWriter};

/// The filters of more parts are not asked for a prefix.
const PREFIX_PARTS_MAX: usize = 4;

/// What is known of a table without opening it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TableMeta {
    /// Names the file.
    pub(crate) id: u64,
    /// Length of the file.
    pub(crate) bytes: u64,
    /// Keys, tombstones among them.
    pub(crate) entries: u64,
    pub(crate) tombstones: u64,
    pub(crate) smallest: Vec<u8>,
    pub(crate) largest: Vec<u8>,
    /// What it has in blob files.
    pub(crate) blobs: BlobUses,
}

impl TableMeta {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.id, self.bytes, self.entries, self.tombstones] {
            put_varint(out, number);
        }
        put_bytes(out, &self.smallest);
        put_bytes(out, &self.largest);
        put_varint(out, self.blobs.len() as u64);
        for (file, uses) in &self.blobs {
            for number in [*file, uses.file.encode(), uses.values, uses.bytes] {
                put_varint(out, number);
            }
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            id: reader.varint()?,
            bytes: reader.varint()?,
            entries: reader.varint()?,
            tombstones: reader.varint()?,
            smallest: reader.bytes()?.to_vec(),
            largest: reader.bytes()?.to_vec(),
            blobs: Self::decode_blobs(reader)?,
        })
    }

    fn decode_blobs(reader: &mut Reader<'_>) -> Option<BlobUses> {
        let mut blobs = BlobUses::new();
        for _ in 0..reader.varint()? {
            let file = reader.varint()?;
            let source = BlobSource::decode(reader.varint()?);
            blobs.insert(file, BlobUse { file: source, values: reader.varint()?, bytes: reader.varint()? });
        }
        Some(blobs)
    }

    /// Bytes of the files that were made with it.
    pub(crate) fn written_bytes(&self) -> u64 {
        let made = self.blobs.values().filter(|uses| !uses.file.is_segment);
        self.bytes + made.map(|uses| uses.file.bytes).sum::<u64>()
    }

    /// Bytes of the table, and of its values in blob files.
    pub(crate) fn bytes_with_blobs(&self) -> u64 {
        self.bytes + self.blobs.values().map(|uses| uses.bytes).sum::<u64>()
    }

    /// Whether any of the table's keys could lie between two keys, both included.
    pub(crate) fn overlaps(&self, first: &[u8], last: &[u8]) -> bool {
        self.smallest.as_slice() <= last && self.largest.as_slice() >= first
    }
}

/// The name of a table's file.
pub(crate) fn file_name(id: u64) -> String {
    format!("{id:010}.table")
}

/// The number in a table's file name.
pub(crate) fn id_of(name: &str) -> Option<u64> {
    name.strip_suffix(".table")?.parse().ok()
}

/// A value that was in a blob file.
pub(crate) enum Loaded {
    Shared(Arc<Blob>),
    Own(Box<[u8]>),
}

impl Loaded {
    pub(crate) fn value(&self) -> &[u8] {
        match self {
            Self::Shared(blob) => blob.value(),
            Self::Own(value) => value,
        }
    }
}

/// An open table. Its file goes with it once the table is obsolete and nobody reads it.
pub(crate) struct Table {
    pub(crate) meta: TableMeta,
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    /// Which keys are in which part, and where it is.
    parts: Index,
    /// The only part, where there is but one and the cache has room for such.
    only: Option<Arc<Part>>,
    cached: Arc<BlockSlots<Part>>,
    cache: Arc<Cache>,
    blobs: Vec<(u64, Arc<BlobFile>)>,
    obsolete: AtomicBool,
}

impl Table {
    /// Opens a table.
    pub(crate) fn open(
        vfs: &Arc<dyn Vfs>,
        directory: &Path,
        meta: TableMeta,
        cache: &Arc<Cache>,
    ) -> Result<Self> {
        let path = directory.join(file_name(meta.id));
        let io = |error| Error::io(&path, error);
        let file = cache.files.get(meta.id, || vfs.open(&path)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::corruption(&path, 0, "this table is missing"),
            _ => Error::io(&path, error),
        })?;
        let length = file.len().map_err(io)?;
        if length != meta.bytes || length < FOOTER_BYTES as u64 {
            let what = format!("the table has {length} bytes and should have {}", meta.bytes);
            return Err(Error::corruption(&path, length, what));
        }
        let footer_at = length - FOOTER_BYTES as u64;
        let mut bytes = [0; FOOTER_BYTES];
        file.read_at(&mut bytes, footer_at).map_err(io)?;
        let footer = Footer::decode(&bytes, &path, footer_at)?;
        let parts = section::read(file.as_ref(), &path, footer.parts)?;
        let parts = Index::decode(&parts)
            .ok_or_else(|| Error::corruption(&path, footer.parts.offset, "the list of parts is malformed"))?;
        let cached = Arc::new(BlockSlots::new(Arc::clone(cache), parts.len(), parts.bytes()));
        let mut blobs = Vec::with_capacity(meta.blobs.len());
        for (file, uses) in &meta.blobs {
            blobs.push((*file, cache.blobs.get(cache, vfs, directory, (*file, uses.file))?));
        }
        let (vfs, cache) = (Arc::clone(vfs), Arc::clone(cache));
        let obsolete = AtomicBool::new(false);
        let mut table = Self { meta, vfs, path, parts, only: None, cached, cache, blobs, obsolete };
        if table.parts.len() == 1 {
            let only = table.read_part(0)?;
            table.only = Some(only).filter(|only| table.cache.pin(only.bytes()));
        }
        Ok(table)
    }

    /// The error for a table that is not as it should be.
    pub(crate) fn corruption(&self, what: &str) -> Error {
        Error::corruption(&self.path, 0, what)
    }

    /// Lets the file be removed when the last reader is done.
    pub(crate) fn set_obsolete(&self) {
        if !self.obsolete.swap(true, Ordering::AcqRel) {
            self.blobs.iter().for_each(|(_, file)| file.discount_table());
        }
    }

    /// Takes that back.
    pub(crate) fn keep(&self) {
        if self.obsolete.swap(false, Ordering::AcqRel) {
            self.blobs.iter().for_each(|(_, file)| file.count_table());
        }
    }

    /// A blob file that it points into.
    pub(crate) fn blob_of(&self, id: u64) -> Option<&Arc<BlobFile>> {
        self.blobs.iter().find(|(known, _)| *known == id).map(|(_, file)| file)
    }

    /// The blob file where a value is.
    #[inline]
    fn blob_file(&self, pointer: &[u8]) -> Result<(&Arc<BlobFile>, BlobPointer)> {
        let pointer = BlobPointer::decode(pointer);
        let found = pointer.and_then(|pointer| Some((self.blob_of(pointer.file)?, pointer)));
        let what = "a value is in a blob file that the table does not know";
        found.ok_or_else(|| Error::corruption(&self.path, 0, what))
    }

    /// A value in a blob file, from the cache if it is there; `keep` puts it there if it is not.
    pub(crate) fn blob(&self, pointer: &[u8], keep: bool) -> Result<Loaded> {
        let (file, pointer) = self.blob_file(pointer)?;
        if let Some(cached) = file.cached(pointer).as_ref() {
            return Ok(Loaded::Shared(Arc::clone(cached)));
        }
        let read = file.read(pointer)?;
        Ok(if keep { Loaded::Shared(file.hold(pointer, read)) } else { Loaded::Own(read) })
    }

    /// How much the cache of this table may hold for all tables.
    pub(crate) fn cache_bytes(&self) -> usize {
        self.cache.capacity()
    }

    /// How many parts it has.
    pub(crate) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Whether there may be keys with a prefix, by its hash, between two, both included, which have it.
    pub(crate) fn may_have(&self, prefix: u64, first: &[u8], last: &[u8]) -> Result<bool> {
        let (from, to) = (self.parts.find(first), self.parts.find(last));
        if to >= self.parts.len() || to - from.min(to) > PREFIX_PARTS_MAX {
            return Ok(true);
        }
        for part in from..=to {
            if self.part(part, true)?.filter.may_contain(prefix) {
                return Ok(true);
            }
        }
        self.cache.count_filter_negative();
        Ok(false)
    }

    /// How many parts end before `key`.
    pub(crate) fn parts_before(&self, key: &[u8]) -> usize {
        self.parts.find(key)
    }

    /// Hands the value of a key to `use_value`, `None` for a tombstone. `Err(use_value)` gives the
    /// function back when the key is not here.
    #[inline]
    pub(crate) fn get<R, F: FnOnce(Option<&[u8]>) -> R>(
        &self,
        key: &[u8],
        hash: u64,
        use_value: F,
    ) -> Result<std::result::Result<R, F>> {
        if key < self.meta.smallest.as_slice() || key > self.meta.largest.as_slice() {
            return Ok(Err(use_value));
        }
        if let Some(only) = &self.only {
            return self.get_in_part(only, key, hash, use_value);
        }
        let at = self.parts.find(key);
        if let Some(part) = self.cached.find(at).as_ref() {
            return self.get_in_part(part, key, hash, use_value);
        }
        if at == self.parts.len() {
            return Ok(Err(use_value));
        }
        let part = self.load_part(at, true)?;
        self.get_in_part(&part, key, hash, use_value)
    }

    #[inline]
    fn get_in_part<R, F: FnOnce(Option<&[u8]>) -> R>(
        &self,
        part: &Arc<Part>,
        key: &[u8],
        hash: u64,
        use_value: F,
    ) -> Result<std::result::Result<R, F>> {
        if !part.filter.may_contain(hash) {
            self.cache.count_filter_negative();
            return Ok(Err(use_value));
        }
        let block = part.index.find(key);
        if let Some(cached) = part.blocks.get(block).as_ref() {
            return self.get_in_block(part, cached, key, use_value);
        }
        if block == part.len() {
            return Ok(Err(use_value));
        }
        let loaded = self.load(part, block, true)?;
        self.get_in_block(part, &loaded, key, use_value)
    }

    #[inline]
    fn get_in_block<R, F: FnOnce(Option<&[u8]>) -> R>(
        &self,
        part: &Part,
        block: &Block,
        key: &[u8],
        use_value: F,
    ) -> Result<std::result::Result<R, F>> {
        match block.get(key) {
            Some(Stored::Value(value)) => return Ok(Ok(use_value(Some(value)))),
            Some(Stored::Tombstone) => return Ok(Ok(use_value(None))),
            Some(Stored::Pointer(pointer)) => {
                let (file, pointer) = self.blob_file(pointer)?;
                if let Some(cached) = file.cached(pointer).as_ref() {
                    return Ok(Ok(use_value(Some(cached.value()))));
                }
                let read = file.hold(pointer, file.read(pointer)?);
                return Ok(Ok(use_value(Some(read.value()))));
            }
            None => {}
        }
        if !part.filter.is_none() {
            self.cache.count_filter_false_positive();
        }
        Ok(Err(use_value))
    }

    /// A part, from the cache if it is there; `keep` puts it there if it is not.
    pub(crate) fn part(&self, part: usize, keep: bool) -> Result<Arc<Part>> {
        if let Some(only) = self.only.as_ref().filter(|_| part == 0) {
            return Ok(Arc::clone(only));
        }
        if let Some(cached) = self.cached.find(part).as_ref() {
            return Ok(Arc::clone(cached));
        }
        self.load_part(part, keep)
    }

    fn load_part(&self, at: usize, keep: bool) -> Result<Arc<Part>> {
        let part = self.read_part(at)?;
        if keep {
            self.keep_part(at, &part);
        }
        Ok(part)
    }

    fn keep_part(&self, at: usize, part: &Arc<Part>) {
        self.cache.count_index_miss();
        self.cached.keep(&self.cached, at, part);
    }

    fn read_part(&self, at: usize) -> Result<Arc<Part>> {
        let (place, bytes) = self.read(self.parts.place(at), "part", at)?;
        self.part_of(&bytes, place)
    }

    fn part_of(&self, bytes: &[u8], place: BlockPlace) -> Result<Arc<Part>> {
        Part::decode(bytes, &self.cache)
            .map(Arc::new)
            .ok_or_else(|| Error::corruption(&self.path, place.offset, "the index is malformed"))
    }

    /// A block of a part, from the cache if it is there; `keep` puts it there if it is not.
    pub(crate) fn block(&self, part: &Arc<Part>, block: usize, keep: bool) -> Result<Arc<Block>> {
        if let Some(cached) = part.blocks.get(block).as_ref() {
            return Ok(Arc::clone(cached));
        }
        self.load(part, block, keep)
    }

    fn load(&self, part: &Arc<Part>, index: usize, keep: bool) -> Result<Arc<Block>> {
        let (place, bytes) = self.read(part.index.place(index), "block", index)?;
        let block = self.block_of(bytes, place)?;
        if keep {
            part.blocks.put(part, index, &block);
        }
        Ok(block)
    }

    fn block_of(&self, bytes: Box<[u8]>, place: BlockPlace) -> Result<Arc<Block>> {
        Block::new(bytes)
            .map(Arc::new)
            .ok_or_else(|| Error::corruption(&self.path, place.offset, "the block is malformed"))
    }

    fn read(&self, place: Option<BlockPlace>, what: &str, number: usize) -> Result<(BlockPlace, Box<[u8]>)> {
        let place =
            place.ok_or_else(|| Error::corruption(&self.path, 0, format!("there is no {what} {number}")))?;
        let file = self.cache.files.get(self.meta.id, || self.vfs.open(&self.path));
        let file = file.map_err(|error| Error::io(&self.path, error))?;
        Ok((place, section::read(file.as_ref(), &self.path, place)?))
    }

    /// Which share of the table lies between two keys, about. A part that is not cached is read.
    pub(crate) fn share_between(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> Result<f64> {
        let Some(last) = self.parts.len().checked_sub(1) else { return Ok(0.0) };
        let outside = start.is_some_and(|start| start > self.meta.largest.as_slice())
            || end.is_some_and(|end| end < self.meta.smallest.as_slice());
        if outside {
            return Ok(0.0);
        }
        let bytes = self.parts.place(last).unwrap_or_default().offset.max(1);
        let place_of = |key: &[u8]| -> Result<BlockPlace> {
            Ok(self.part(self.parts.find(key).min(last), true)?.place_of(key).unwrap_or_default())
        };
        let from = start.map_or(Ok(0), |key| place_of(key).map(|place| place.offset))?;
        let (to, ends_at) = match end {
            Some(key) => place_of(key).map(|place| (place.end(), place.offset))?,
            None => (bytes, bytes),
        };
        let share = to.saturating_sub(from) as f64 / bytes as f64;
        // Inside one block, a part of it is as good a guess as any.
        let in_one_block = start.is_some() && from == ends_at;
        Ok((if in_one_block { share / 2.0 } else { share }).min(1.0))
    }

    /// About so many keys, spread evenly. Where there are fewer parts than that, the parts are read.
    pub(crate) fn sample(&self, wanted: usize) -> Result<Vec<Vec<u8>>> {
        let wanted = wanted.max(1);
        if self.parts.len() >= wanted {
            let step = self.parts.len() / wanted;
            return Ok((step - 1..self.parts.len()).step_by(step).map(|part| self.parts.key(part)).collect());
        }
        let of_each = wanted.div_ceil(self.parts.len().max(1));
        let mut keys = Vec::new();
        for part in 0..self.parts.len() {
            let part = self.part(part, true)?;
            let step = (part.len() / of_each).max(1);
            keys.extend((step - 1..part.len()).step_by(step).map(|block| part.index.key(block)));
        }
        Ok(keys)
    }

    /// Reads every part and block from the file and checks checksums, order and counts; calls `progress`
    /// with the bytes of each block and value.
    pub(crate) fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<()> {
        let damaged = |offset, what: &str| Error::corruption(&self.path, offset, what);
        let mut last: Option<Vec<u8>> = None;
        let (mut entries, mut tombstones, mut blobs) = (0, 0, BlobUses::new());
        for at in 0..self.parts.len() {
            let part = self.read_part(at)?;
            let last_of_part = self.parts.key(at);
            for index in 0..part.len() {
                let block = self.load(&part, index, false)?;
                let place = part.index.place(index).unwrap_or_default();
                let last_of_block = part.index.key(index);
                let mut cursor = block::BlockCursor::new(block, crate::Direction::Forward);
                cursor.seek_first();
                while cursor.is_valid() {
                    let key = cursor.key();
                    if last.as_deref().is_some_and(|last| last >= key) {
                        return Err(damaged(place.offset, "keys do not ascend"));
                    }
                    if key > last_of_block.as_slice() || key > last_of_part.as_slice() {
                        let what = "a key comes after what the index says of its block";
                        return Err(damaged(place.offset, what));
                    }
                    if !part.filter.may_contain(hash(key)) {
                        return Err(damaged(place.offset, "the filter misses a key"));
                    }
                    entries += 1;
                    match cursor.stored() {
                        Stored::Value(_) => {}
                        Stored::Tombstone => tombstones += 1,
                        Stored::Pointer(pointer) => {
                            let (file, pointer) = self.blob_file(pointer)?;
                            file.read(pointer)?;
                            let uses = blobs.entry(pointer.file).or_default();
                            uses.values += 1;
                            uses.bytes += pointer.place.length;
                            progress(pointer.place.length);
                        }
                    }
                    last = Some(key.to_vec());
                    cursor.advance();
                }
                progress(place.length);
            }
        }
        if entries != self.meta.entries || tombstones != self.meta.tombstones {
            return Err(damaged(
                0,
                &format!("there are {entries} keys, there should be {}", self.meta.entries),
            ));
        }
        let same_use = |(left, right): ((&u64, &BlobUse), (&u64, &BlobUse))| {
            left.0 == right.0 && (left.1.values, left.1.bytes) == (right.1.values, right.1.bytes)
        };
        if blobs.len() != self.meta.blobs.len() || !blobs.iter().zip(&self.meta.blobs).all(same_use) {
            return Err(damaged(0, "it does not point to as many values in blob files as recorded"));
        }
        if last.is_some_and(|last| last != self.meta.largest) {
            return Err(damaged(0, "the last key is not the largest one recorded"));
        }
        Ok(())
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if let Some(only) = &self.only {
            self.cache.unpin(only.bytes());
        }
        self.cache.files.close(self.meta.id);
        if self.obsolete.load(Ordering::Acquire) {
            // A file that stays is removed at the next start.
            let _ = self.vfs.remove_file(&self.path);
        }
    }
}
