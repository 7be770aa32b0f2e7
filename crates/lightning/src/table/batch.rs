//! Reading several parts, blocks and large values at the same time: those of many keys, and those that follow
//! each other.

use std::sync::Arc;

use luma_vfs::{BatchRead, VfsFile};

use super::blob::{BlobFile, BlobPointer};
use super::index::BlockPlace;
use super::{Block, Part, Stored, Table, section};
use crate::{Error, Result, ahead};

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

/// Where a look-up in a table got.
pub(crate) enum Looked<T> {
    /// The key may be there.
    At(T),
    Absent,
    /// Something has to be read first.
    Unknown(Missing),
}

/// A look-up in what a table has in memory, in steps, each of which can be taken for many keys before the next: what
/// it will look at is fetched by the one before.
pub(crate) struct Probe<'a> {
    table: &'a Arc<Table>,
    part: Resident<'a>,
    block: usize,
    entry: usize,
}

/// A part in memory.
enum Resident<'a> {
    Only(&'a Arc<Part>),
    Cached(Arc<Part>),
}

impl Resident<'_> {
    #[inline]
    fn part(&self) -> &Arc<Part> {
        match self {
            Self::Only(part) => part,
            Self::Cached(part) => part,
        }
    }
}

impl<'a> Probe<'a> {
    /// The first step: to the part and the block that would have a key.
    #[inline]
    pub(crate) fn begin(table: &'a Arc<Table>, key: &[u8], hash: u64) -> Looked<Self> {
        if key < table.meta.smallest.as_slice() || key > table.meta.largest.as_slice() {
            return Looked::Absent;
        }
        let part = match &table.only {
            Some(only) => Resident::Only(only),
            None => {
                let at = table.parts.find(key);
                match table.cached.find(at).as_ref() {
                    Some(part) => Resident::Cached(Arc::clone(part)),
                    None => {
                        let Some(place) = table.parts.place(at) else { return Looked::Absent };
                        return Looked::Unknown(Missing {
                            table: Arc::clone(table),
                            piece: Piece::Part(at),
                            place,
                        });
                    }
                }
            }
        };
        part.part().filter.fetch(hash);
        let block = part.part().index.find(key);
        Looked::At(Self { table, part, block, entry: 0 })
    }

    /// The second: whether the filter lets the key with this hash pass.
    #[inline]
    pub(crate) fn passes(&self, hash: u64) -> bool {
        let part = self.part.part();
        let passes = part.filter.may_contain(hash);
        if !passes {
            self.table.cache.count_filter_negative();
        } else if let Some(block) = part.blocks.address(self.block) {
            ahead::fetch(block, size_of::<Block>());
        }
        passes
    }

    /// The third: to what tells where in the block the key is.
    #[inline]
    pub(crate) fn open(&self) {
        if let Some(block) = self.part.part().blocks.find(self.block).as_ref() {
            block.fetch_directory();
        }
    }

    /// The fourth: to the first entry that the key may have.
    #[inline]
    pub(crate) fn approach(&self, key: &[u8]) {
        if let Some(block) = self.part.part().blocks.find(self.block).as_ref() {
            block.fetch_entry(key);
        }
    }

    /// The last: to the entry of the key.
    #[inline]
    pub(crate) fn find(&mut self, key: &[u8]) -> Looked<()> {
        let Self { table, block, .. } = *self;
        let part = self.part.part();
        let missing = |piece, place| Looked::Unknown(Missing { table: Arc::clone(table), piece, place });
        let found = part.blocks.find(block);
        let Some(found) = found.as_ref() else {
            let place = part.index.place(block);
            return place
                .map_or(Looked::Absent, |place| missing(Piece::Block(Arc::clone(part), block), place));
        };
        let Some((entry, stored)) = found.find(key) else { return Looked::Absent };
        self.entry = entry;
        match stored {
            Stored::Value(_) | Stored::Tombstone => Looked::At(()),
            // A pointer to nowhere is told of by the get.
            Stored::Pointer(pointer) => match table.blob_file(pointer) {
                Ok((file, pointer)) if file.is_to_be_read(pointer) => {
                    missing(Piece::Value(Arc::clone(file), pointer), pointer.place)
                }
                _ => Looked::At(()),
            },
        }
    }

    /// Hands the value at the entry that was found to `use_value`, `None` for a tombstone; gives the function back if
    /// it is in no block of the cache any more.
    #[inline]
    pub(crate) fn give<R, F: FnOnce(Option<&[u8]>) -> R>(&self, use_value: F) -> std::result::Result<R, F> {
        let found = self.part.part().blocks.get(self.block);
        match found.as_ref().and_then(|block| block.stored_at(self.entry)) {
            Some(Stored::Value(value)) => Ok(use_value(Some(value))),
            Some(Stored::Tombstone) => Ok(use_value(None)),
            Some(Stored::Pointer(_)) | None => Err(use_value),
        }
    }
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
