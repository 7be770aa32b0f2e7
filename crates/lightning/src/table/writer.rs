//! Writing a table: one pass, keys ascending, durable when finished.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use luma_vfs::{Vfs, VfsFile};

use super::block::BlockBuilder;
use super::index::{BlockPlace, IndexBuilder, separator};
use super::section::{self, Footer};
use super::{FilterOptions, TableMeta, bloom, file_name, part};
use crate::options::Compression;
use crate::{Error, Result};

const WRITE_BYTES: usize = 256 << 10;

/// How tables are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableOptions {
    pub(crate) block_bytes: usize,
    pub(crate) compression: Compression,
    pub(crate) filter: FilterOptions,
    /// Bytes of index and filter after which a part ends.
    pub(crate) part_bytes: usize,
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
    parts: IndexBuilder,
    /// A block that waits for the key after it, to find a short separator.
    finished_block: Option<BlockPlace>,
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
        id: u64,
        options: TableOptions,
    ) -> Result<Self> {
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
            parts: IndexBuilder::default(),
            finished_block: None,
            content: Vec::new(),
            out: Vec::new(),
            offset: 0,
            done: false,
        })
    }

    /// Adds a key after all before it; `None` is a tombstone.
    pub(crate) fn add(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
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
        }
        self.meta.largest.clear();
        self.meta.largest.extend_from_slice(key);
        self.meta.entries += 1;
        self.meta.tombstones += u64::from(value.is_none());
        if self.options.filter.bits_per_key > 0 {
            self.hashes.push(bloom::hash(key));
        }
        self.block.add(key, value);
        if self.block.bytes() >= self.options.block_bytes {
            self.finish_block()?;
        }
        Ok(())
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
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
        self.write_out()?;
        self.file.sync_all().map_err(|error| Error::io(&self.path, error))?;
        self.meta.bytes = self.offset;
        self.done = true;
        Ok(std::mem::take(&mut self.meta))
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
