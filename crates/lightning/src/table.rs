//! Table files: sorted, immutable, one version per key.
//!
//! ```text
//! data block*, filter, index, properties, footer
//! ```
//! Each section but the footer ends in a trailer: a byte that names its compression and a CRC-32C of
//! content and that byte, checked whenever the section is read from the file. `FORMAT.md` has the rest.

mod block;
mod bloom;
mod cursor;
mod index;
mod section;
mod writer;

use luma_sync::atomic::{AtomicBool, Ordering};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use luma_vfs::Vfs;

use crate::cache::{BlockSlots, Cache};
use crate::codec::{Reader, put_bytes, put_varint};
use crate::{Error, Result};

pub(crate) use block::Block;
pub(crate) use bloom::hash;
pub(crate) use cursor::RunCursor;
use index::Index;
use section::{FOOTER_BYTES, Footer};
pub(crate) use writer::{TableOptions, TableWriter};

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
}

impl TableMeta {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.id, self.bytes, self.entries, self.tombstones] {
            put_varint(out, number);
        }
        put_bytes(out, &self.smallest);
        put_bytes(out, &self.largest);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            id: reader.varint()?,
            bytes: reader.varint()?,
            entries: reader.varint()?,
            tombstones: reader.varint()?,
            smallest: reader.bytes()?.to_vec(),
            largest: reader.bytes()?.to_vec(),
        })
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

/// An open table. Its file goes with it once the table is obsolete and nobody reads it.
pub(crate) struct Table {
    pub(crate) meta: TableMeta,
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    index: Index,
    filter: Vec<u8>,
    slots: Arc<BlockSlots<Block>>,
    obsolete: AtomicBool,
}

impl Table {
    /// Opens a table: its index and filter stay in memory.
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
        let index = section::read(file.as_ref(), &path, footer.index)?;
        let index = Index::decode(&index)
            .ok_or_else(|| Error::corruption(&path, footer.index.offset, "the block index is malformed"))?;
        let filter = section::read(file.as_ref(), &path, footer.filter)?.into_vec();
        let charged = index.bytes() + filter.len();
        let slots = Arc::new(BlockSlots::new(Arc::clone(cache), index.len(), charged));
        let vfs = Arc::clone(vfs);
        Ok(Self { meta, vfs, path, index, filter, slots, obsolete: AtomicBool::new(false) })
    }

    /// Lets the file be removed when the last reader is done.
    pub(crate) fn set_obsolete(&self) {
        self.obsolete.store(true, Ordering::Release);
    }

    /// Takes that back.
    pub(crate) fn keep(&self) {
        self.obsolete.store(false, Ordering::Release);
    }

    /// How much the cache of this table may hold for all tables.
    pub(crate) fn cache_bytes(&self) -> usize {
        self.slots.cache_bytes()
    }

    pub(crate) fn blocks(&self) -> usize {
        self.index.len()
    }

    /// A key at the end of a block.
    pub(crate) fn block_key(&self, block: usize) -> &[u8] {
        self.index.key(block)
    }

    /// How many blocks end before `key`.
    pub(crate) fn blocks_before(&self, key: &[u8]) -> usize {
        self.index.find(key)
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
        if !bloom::may_contain(&self.filter, hash) {
            self.slots.count_filter_negative();
            return Ok(Err(use_value));
        }
        let block = self.index.find(key);
        if let Some(cached) = self.slots.get(block).as_ref() {
            return Ok(self.get_in_block(cached, key, use_value));
        }
        if block == self.index.len() {
            return Ok(Err(use_value));
        }
        let loaded = self.load(block, true)?;
        Ok(self.get_in_block(&loaded, key, use_value))
    }

    #[inline]
    fn get_in_block<R, F: FnOnce(Option<&[u8]>) -> R>(
        &self,
        block: &Block,
        key: &[u8],
        use_value: F,
    ) -> std::result::Result<R, F> {
        if let Some(value) = block.get(key) {
            return Ok(use_value(value));
        }
        if !self.filter.is_empty() {
            self.slots.count_filter_false_positive();
        }
        Err(use_value)
    }

    /// A block, from the cache if it is there; `keep` puts it there if it is not.
    pub(crate) fn block(&self, block: usize, keep: bool) -> Result<Arc<Block>> {
        if let Some(cached) = self.slots.get(block).as_ref() {
            return Ok(Arc::clone(cached));
        }
        self.load(block, keep)
    }

    fn load(&self, index: usize, keep: bool) -> Result<Arc<Block>> {
        let place = self
            .index
            .place(index)
            .ok_or_else(|| Error::corruption(&self.path, 0, format!("there is no block {index}")))?;
        let files = self.slots.files();
        let file = files.get(self.meta.id, || self.vfs.open(&self.path));
        let file = file.map_err(|error| Error::io(&self.path, error))?;
        let bytes = section::read(file.as_ref(), &self.path, place)?;
        let block = Block::new(bytes)
            .ok_or_else(|| Error::corruption(&self.path, place.offset, "the block is malformed"))?;
        let block = Arc::new(block);
        if keep {
            self.slots.put(index, &block);
        }
        Ok(block)
    }

    /// Reads every block from the file and checks checksums, order and counts; calls `progress` with
    /// the bytes of each block.
    pub(crate) fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<()> {
        let damaged = |offset, what: &str| Error::corruption(&self.path, offset, what);
        let mut last: Option<Vec<u8>> = None;
        let (mut entries, mut tombstones) = (0, 0);
        for index in 0..self.index.len() {
            let block = self.load(index, false)?;
            let place = self.index.place(index).unwrap_or(index::BlockPlace { offset: 0, length: 0 });
            let mut cursor = block::BlockCursor::new(block, crate::Direction::Forward);
            cursor.seek_first();
            while cursor.is_valid() {
                let key = cursor.key();
                if last.as_deref().is_some_and(|last| last >= key) {
                    return Err(damaged(place.offset, "keys do not ascend"));
                }
                if key > self.index.key(index) {
                    return Err(damaged(place.offset, "a key comes after what the index says of its block"));
                }
                if !bloom::may_contain(&self.filter, hash(key)) {
                    return Err(damaged(place.offset, "the filter misses a key"));
                }
                entries += 1;
                tombstones += u64::from(cursor.value().is_none());
                last = Some(key.to_vec());
                cursor.advance();
            }
            progress(place.length);
        }
        if entries != self.meta.entries || tombstones != self.meta.tombstones {
            return Err(damaged(
                0,
                &format!("there are {entries} keys, there should be {}", self.meta.entries),
            ));
        }
        if last.is_some_and(|last| last != self.meta.largest) {
            return Err(damaged(0, "the last key is not the largest one recorded"));
        }
        Ok(())
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.slots.files().close(self.meta.id);
        if self.obsolete.load(Ordering::Acquire) {
            // A file that stays is removed at the next start.
            let _ = self.vfs.remove_file(&self.path);
        }
    }
}
