//! A part of a table: some blocks in a row, their index and the filter of their keys.
//!
//! A part is a section of the file, after its blocks. In memory it is what the cache holds and pushes out,
//! together with the blocks it has read: those are found through it.
//!
//! ```text
//! part = bytes index, filter
//! ```

use luma_sync::atomic::AtomicU8;
use std::sync::Arc;

use super::block::Block;
use super::filter::Filter;
use super::index::{BlockPlace, Index};
use crate::cache::{BlockSlots, Cache, Cached, Owner};
use crate::codec::{Reader, put_bytes};

/// A part in memory.
#[repr(C)]
pub(crate) struct Part {
    uses: AtomicU8,
    pub(super) filter: Filter,
    pub(super) index: Index,
    pub(super) blocks: BlockSlots<Block>,
}

impl Cached for Part {
    /// The places of its blocks are charged apart.
    fn bytes(&self) -> usize {
        self.index.bytes() + self.filter.bytes() + size_of::<Self>()
    }

    fn uses(&self) -> &AtomicU8 {
        &self.uses
    }
}

impl Owner for Part {
    fn uses(&self, block: u32) -> u8 {
        self.blocks.uses(block)
    }

    fn set_uses(&self, block: u32, uses: u8) {
        self.blocks.set_uses(block, uses);
    }

    fn evict(&self, block: u32) {
        self.blocks.evict(block);
    }

    fn mark(&self, block: u32, mark: u32) {
        self.blocks.mark(block, mark);
    }
}

pub(super) fn encode(index: &[u8], filter: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(index.len() + filter.len() + 5);
    put_bytes(&mut out, index);
    out.extend_from_slice(filter);
    out
}

impl Part {
    /// `None` when it is malformed.
    pub(super) fn decode(bytes: &[u8], cache: &Arc<Cache>) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let index = Index::decode(reader.bytes()?)?;
        let filter = Filter::decode(reader.rest)?;
        let blocks = BlockSlots::new(Arc::clone(cache), index.len(), 0);
        Some(Self { uses: AtomicU8::new(0), filter, index, blocks })
    }

    /// How many blocks it has.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// How many of its blocks end before `key`.
    pub(crate) fn blocks_before(&self, key: &[u8]) -> usize {
        self.index.find(key)
    }

    /// The block that holds `key` or the first key after it, or else the last one.
    pub(super) fn place_of(&self, key: &[u8]) -> Option<BlockPlace> {
        self.index.place(self.index.find(key).min(self.len().saturating_sub(1)))
    }
}
