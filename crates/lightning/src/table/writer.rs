//! Writing a table: one pass, keys ascending, durable when finished.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use luma_sync::atomic::{AtomicU64, Ordering};
use luma_vfs::{Vfs, VfsFile};

use super::blob::{BlobPointer, BlobSource, BlobWriter};
use super::block::{BlockBuilder, Stored};
use super::index::{BlockPlace, IndexBuilder, separator};
use super::section::{self, Footer};
use super::{FilterOptions, TableMeta, bloom, file_name, part};
use crate::merge_operator::is_value;
use crate::options::Compression;
use crate::prefix::Prefix;
use crate::{Error, Result};

/// The blob file of a table may be so many times as long.
const BLOB_SHARE: u64 = 8;
const WRITE_BYTES: usize = 256 << 10;

/// How tables are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableOptions {
    pub(crate) block_bytes: usize,
    pub(crate) compression: Compression,
    pub(crate) filter: FilterOptions,
    /// Bytes of index and filter after which a part ends.
    pub(crate) part_bytes: usize,
    /// Values of so many bytes go to a blob file.
    pub(crate) blob_threshold: usize,
    /// Whether values tell by their first byte what they are; what is merged stays in the table.
    pub(crate) merges: bool,
    /// How the prefixes are cut that filters have.
    pub(crate) prefix: Option<Prefix>,
}

/// A table in the making. Dropped unfinished, its file is removed.
pub(crate) struct TableWriter {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    file: Arc<dyn VfsFile>,
    options: TableOptions,
    meta: TableMeta,
    block: BlockBuilder,
    /// Of the blocks of the part in the making.
    index: IndexBuilder,
    hashes: Vec<u64>,
    /// The last prefix among those.
    prefix: Option<Vec<u8>>,
    parts: IndexBuilder,
    /// A block that waits for the key after it, to find a short separator.
    finished_block: Option<BlockPlace>,
    /// The blob file that goes with this table, once there is one.
    blobs: Option<BlobWriter>,
    next_id: Arc<AtomicU64>,
    content: Vec<u8>,
    out: Vec<u8>,
    /// Where `out` goes in the file.
    offset: u64,
    done: bool,
}

impl TableWriter {
    pub(crate) fn create(
        vfs: &Arc<dyn Vfs>,
        directory: &Path,
        next_id: &Arc<AtomicU64>,
        options: TableOptions,
    ) -> Result<Self> {
        let id = next_id.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(file_name(id));
        let file = vfs.create(&path).map_err(|error| Error::io(&path, error))?;
        Ok(Self {
            vfs: Arc::clone(vfs),
            path,
            file,
            options,
            meta: TableMeta { id, ..TableMeta::default() },
            block: BlockBuilder::default(),
            index: IndexBuilder::default(),
            hashes: Vec::new(),
            prefix: None,
            parts: IndexBuilder::default(),
            finished_block: None,
            blobs: None,
            next_id: Arc::clone(next_id),
            content: Vec::new(),
            out: Vec::new(),
            offset: 0,
            done: false,
        })
    }

    /// Adds a key after all before it; `None` is a tombstone. A large value goes to the blob file.
    pub(crate) fn add(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        match value {
            None => self.store(key, Stored::Tombstone),
            Some(value)
                if value.len() < self.options.blob_threshold || self.options.merges && !is_value(value) =>
            {
                self.store(key, Stored::Value(value))
            }
            Some(value) => {
                let blobs = match &mut self.blobs {
                    Some(blobs) => blobs,
                    None => {
                        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
                        let directory = self.path.parent().unwrap_or(Path::new(""));
                        self.blobs.insert(BlobWriter::create(&self.vfs, directory, id)?)
                    }
                };
                let pointer = blobs.put(value, self.options.compression)?;
                // How long it becomes is known at the end.
                self.add_pointer(key, pointer, BlobSource::default())
            }
        }
    }

    /// Adds a key, after all before it, whose value is in a blob file.
    pub(crate) fn add_pointer(&mut self, key: &[u8], pointer: BlobPointer, file: BlobSource) -> Result<()> {
        let uses = self.meta.blobs.entry(pointer.file).or_default();
        uses.file = file;
        uses.values += 1;
        uses.bytes += pointer.place.length;
        self.store(key, Stored::Pointer(&pointer.encode()))
    }

    fn store(&mut self, key: &[u8], stored: Stored<'_>) -> Result<()> {
        if let Some(place) = self.finished_block.take() {
            let separator = separator(&self.meta.largest, key).to_vec();
            self.index.add(&separator, place);
            let filter = self.options.filter.bytes_for(self.hashes.len());
            if self.index.bytes() + filter >= self.options.part_bytes {
                self.finish_part(&separator)?;
            }
        }
        if self.meta.entries == 0 {
            self.meta.smallest = key.to_vec();
        } else if key <= self.meta.largest.as_slice() {
            // Only what was damaged so that its checksum matches gives such keys.
            return Err(Error::corruption(
                &self.path,
                0,
                "what is merged into it is damaged: keys do not ascend",
            ));
        }
        self.meta.largest.clear();
        self.meta.largest.extend_from_slice(key);
        self.meta.entries += 1;
        self.meta.tombstones += u64::from(stored == Stored::Tombstone);
        if self.options.filter.bits_per_key > 0 {
            self.hashes.push(bloom::hash(key));
            if let Some(prefix) = self.options.prefix.and_then(|prefix| prefix.of(key))
                && self.prefix.as_deref() != Some(prefix)
            {
                self.hashes.push(bloom::hash(prefix));
                self.prefix = Some(prefix.to_vec());
            }
        }
        self.block.add(key, stored);
        if self.block.bytes() >= self.options.block_bytes {
            self.finish_block()?;
        }
        Ok(())
    }

    /// Whether another table should be begun, for tables of so many bytes.
    pub(crate) fn is_full(&self, table_bytes: u64) -> bool {
        let blobs = self.blobs.as_ref().map_or(0, BlobWriter::bytes);
        self.bytes() >= table_bytes || blobs >= table_bytes.saturating_mul(BLOB_SHARE)
    }

    /// Bytes so far, without those in the blob file.
    fn bytes(&self) -> u64 {
        let index = self.index.bytes() + self.parts.bytes();
        self.offset + (self.out.len() + self.block.bytes() + index) as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.meta.entries == 0
    }

    fn finish_block(&mut self) -> Result<()> {
        self.block.finish(&mut self.content);
        let offset = self.offset + self.out.len() as u64;
        let length = section::append(&mut self.out, &self.content, self.options.compression);
        self.finished_block = Some(BlockPlace { offset, length });
        if self.out.len() >= WRITE_BYTES { self.write_out() } else { Ok(()) }
    }

    /// Ends a part; `separator` is that of its last block.
    fn finish_part(&mut self, separator: &[u8]) -> Result<()> {
        let filter = self.options.filter.build(&self.hashes);
        self.hashes.clear();
        self.prefix = None;
        let part = part::encode(&self.index.finish(), &filter);
        let place = self.append_section(&part, self.options.compression);
        self.parts.add(separator, place);
        if self.out.len() >= WRITE_BYTES { self.write_out() } else { Ok(()) }
    }

    fn write_out(&mut self) -> Result<()> {
        self.file.write_at(&self.out, self.offset).map_err(|error| Error::io(&self.path, error))?;
        self.offset += self.out.len() as u64;
        self.out.clear();
        Ok(())
    }

    fn append_section(&mut self, content: &[u8], compression: Compression) -> BlockPlace {
        let offset = self.offset + self.out.len() as u64;
        BlockPlace { offset, length: section::append(&mut self.out, content, compression) }
    }

    /// Writes the rest and makes the content durable; the name is durable once the caller has synced
    /// the directory.
    pub(crate) fn finish(mut self) -> Result<TableMeta> {
        self.write_rest()?;
        self.file.sync_all().map_err(|error| Error::io(&self.path, error))?;
        Ok(self.done())
    }

    /// Writes the rest of a table that a crash may take.
    pub(crate) fn finish_volatile(mut self) -> Result<TableMeta> {
        self.write_rest()?;
        Ok(self.done())
    }

    fn done(mut self) -> TableMeta {
        self.meta.bytes = self.offset;
        self.done = true;
        std::mem::take(&mut self.meta)
    }

    fn write_rest(&mut self) -> Result<()> {
        if let Some(blobs) = self.blobs.take() {
            let id = blobs.id();
            let bytes = blobs.finish()?;
            if let Some(uses) = self.meta.blobs.get_mut(&id) {
                uses.file.bytes = bytes;
            }
        }
        if !self.block.is_empty() {
            self.finish_block()?;
        }
        if let Some(place) = self.finished_block.take() {
            let largest = self.meta.largest.clone();
            self.index.add(&largest, place);
            self.finish_part(&largest)?;
        }
        let parts = self.parts.finish();
        let parts = self.append_section(&parts, self.options.compression);
        let mut properties = Vec::new();
        self.meta.encode(&mut properties);
        let properties = self.append_section(&properties, Compression::None);
        self.out.extend_from_slice(&Footer { parts, properties }.encode());
        self.write_out()
    }
}

impl Drop for TableWriter {
    fn drop(&mut self) {
        if !self.done {
            // A file that stays is removed at the next start.
            let _ = self.vfs.remove_file(&self.path);
        }
    }
}
