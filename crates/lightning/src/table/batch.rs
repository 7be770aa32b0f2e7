//! Reading several parts, blocks and large values at the same time: those of many keys, and those that follow
//! each other.

use std::sync::Arc;

use luma_vfs::{BatchRead, VfsFile};

use super::blob::{BlobFile, BlobPointer};
use super::index::BlockPlace;
use super::{Block, Part, Stored, Table, section};
use crate::{Error, Result};

/// Bytes that are read together ahead of a walk.
const ROW_BYTES: u64 = 256 << 10;

enum Piece {
    Part(usize),
    Block(Arc<Part>, usize),
    Value(Arc<BlobFile>, BlobPointer),
}

/// What has to be read to tell whether a table has a key, or with which value.
pub(crate) struct Missing {
    table: Arc<Table>,
    piece: Piece,
    place: BlockPlace,
}

impl Missing {
    /// What makes it different from others.
    pub(crate) fn number(&self) -> (u64, u64) {
        let file = match &self.piece {
            Piece::Part(_) | Piece::Block(..) => self.table.meta.id,
            Piece::Value(_, pointer) => pointer.file,
        };
        (file, self.place.offset)
    }

    fn request(&self) -> Result<BatchRead> {
        match &self.piece {
            Piece::Part(_) | Piece::Block(..) => {
                section::request(self.table.file()?, &self.table.path, self.place)
            }
            Piece::Value(file, pointer) => file.request(*pointer),
        }
    }

    /// Puts what was read into the cache.
    fn keep(&self, read: BatchRead) -> Result<()> {
        let Self { table, piece, place } = self;
        let path = match piece {
            Piece::Part(_) | Piece::Block(..) => &table.path,
            Piece::Value(file, _) => file.path(),
        };
        let bytes = read.into_bytes().map_err(|error| Error::io(path, error))?;
        match piece {
            Piece::Part(part) => {
                let bytes = section::open(bytes, path, *place)?;
                table.keep_part(*part, &table.part_of(&bytes, *place)?);
            }
            Piece::Block(part, index) => {
                let bytes = section::open(bytes, path, *place)?;
                part.blocks.put(part, *index, &table.block_of(bytes, *place)?);
            }
            Piece::Value(file, pointer) => drop(file.hold(*pointer, file.open(*pointer, bytes)?)),
        }
        Ok(())
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.place.length
    }
}

/// What is known of a key in a table without reading.
pub(crate) enum Known {
    Here,
    Absent,
    Unknown(Missing),
}

/// Reads what is missing, of any tables, and puts it into the cache.
pub(crate) fn read_missing(missing: &[Missing]) -> Result<()> {
    let Some(first) = missing.first() else { return Ok(()) };
    let mut reads = Vec::with_capacity(missing.len());
    for missing in missing {
        reads.push(missing.request()?);
    }
    first.table.vfs.read_batch(&mut reads);
    missing.iter().zip(reads).try_for_each(|(missing, read)| missing.keep(read))
}

impl Table {
    fn file(&self) -> Result<Arc<dyn VfsFile>> {
        let file = self.cache.files.get(self.meta.id, || self.vfs.open(&self.path));
        file.map_err(|error| Error::io(&self.path, error))
    }

    /// Looks for a key in what is in memory.
    pub(crate) fn known(self: &Arc<Self>, key: &[u8], hash: u64) -> Known {
        if key < self.meta.smallest.as_slice() || key > self.meta.largest.as_slice() {
            return Known::Absent;
        }
        let at = self.parts.find(key);
        let found = match self.only.as_ref() {
            Some(only) => Some(Arc::clone(only)),
            None => self.cached.find(at).as_ref().map(Arc::clone),
        };
        let missing = |piece, place| Known::Unknown(Missing { table: Arc::clone(self), piece, place });
        let Some(part) = found else {
            return self.parts.place(at).map_or(Known::Absent, |place| missing(Piece::Part(at), place));
        };
        if !part.filter.may_contain(hash) {
            return Known::Absent;
        }
        let index = part.index.find(key);
        if let Some(block) = part.blocks.find(index).as_ref() {
            return match block.get(key) {
                None => Known::Absent,
                Some(Stored::Value(_) | Stored::Tombstone) => Known::Here,
                // A pointer to nowhere is told of by the get.
                Some(Stored::Pointer(pointer)) => match self.blob_file(pointer) {
                    Ok((file, pointer)) if file.is_to_be_read(pointer) => {
                        missing(Piece::Value(Arc::clone(file), pointer), pointer.place)
                    }
                    _ => Known::Here,
                },
            };
        }
        let place = part.index.place(index);
        place.map_or(Known::Absent, |place| missing(Piece::Block(part, index), place))
    }

    /// Reads blocks of a part that follow each other, of `first..last` as many as may be read at once: from
    /// the first of them on, or from the last on back if `from_end`. `keep` puts them into the cache.
    pub(super) fn row(
        &self,
        part: &Arc<Part>,
        (mut first, mut last): (usize, usize),
        from_end: bool,
        keep: bool,
    ) -> Result<Vec<(usize, Arc<Block>)>> {
        let place = |block: usize| part.index.place(block).unwrap_or_default();
        let bytes = |first: usize, last: usize| place(last - 1).end().saturating_sub(place(first).offset);
        while last - first > 1 && bytes(first, last) > ROW_BYTES {
            if from_end { first += 1 } else { last -= 1 }
        }
        let whole = BlockPlace { offset: place(first).offset, length: bytes(first, last) };
        let mut read = section::request(self.file()?, &self.path, whole)?;
        read.read();
        let row = read.into_bytes().map_err(|error| Error::io(&self.path, error))?;
        let open = |block: usize| {
            let place = place(block);
            let from = place.offset.saturating_sub(whole.offset) as usize;
            let bytes = row.get(from..from.saturating_add(place.length as usize)).unwrap_or_default();
            self.block_of(section::open(bytes.to_vec(), &self.path, place)?, place)
        };
        let mut blocks = Vec::with_capacity(last - first);
        for at in 0..last - first {
            let block = if from_end { last - 1 - at } else { first + at };
            match open(block) {
                Ok(opened) => {
                    if keep {
                        part.blocks.put(part, block, &opened);
                    }
                    blocks.push((block, opened));
                }
                // Damage is told of when the walk comes to it.
                Err(_) if at > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(blocks)
    }
}
