//! The block cache: one byte budget for all tables.
//!
//! Each open table has a slot per block, so finding a cached block is one indexed atomic load: no
//! hash, no lock. The cache decides what stays, like S3-FIFO: a new block enters a small queue and
//! leaves it after one round unless it was read again; then it moves to the main queue, where each
//! read buys another round. A block that was pushed out recently and comes back goes to the main
//! queue directly, so a long scan can't wash out what is used.
//!
//! Parts of the indexes and filters of tables are held like blocks, and hold the slots of their blocks: a part
//! that is pushed out takes those along.
//!
//! Invariants: `used` is the bytes of resident blocks and parts plus what tables charged for the rest of
//! their indexes. A hit stores at most one byte. Only a miss takes a lock, that of one of the shards.

use luma_sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use luma_sync::Mutex;

use crate::counter::Counter;
use crate::files::OpenFiles;
use crate::table::BlobFiles;

const SHARDS: usize = 16;
const USES_MAX: u8 = 3;

/// What the cache holds.
pub(crate) trait Cached: Send + Sync + 'static {
    /// Its size in memory.
    fn bytes(&self) -> usize;
    /// How often it was read lately.
    fn uses(&self) -> &AtomicU8;
}

/// The cached blocks of one table, or of a part of a tree.
pub(crate) struct BlockSlots<B: Cached> {
    slots: Box<[ArcSwapOption<B>]>,
    /// In which generation the block was last pushed out of the small queue; 0 for never.
    pushed_out: Box<[AtomicU8]>,
    cache: Arc<Cache>,
    charged: usize,
}

/// The owner of slots, whatever is in them.
pub(crate) trait Owner: Send + Sync + 'static {
    fn uses(&self, block: u32) -> u8;
    fn set_uses(&self, block: u32, uses: u8);
    fn evict(&self, block: u32);
    /// Notes in which generation a block was pushed out.
    fn mark(&self, block: u32, generation: u8);
}

struct Resident {
    owner: Weak<dyn Owner>,
    block: u32,
    bytes: usize,
}

#[derive(Default)]
struct Shard {
    small: VecDeque<Resident>,
    small_bytes: usize,
    main: VecDeque<Resident>,
    main_bytes: usize,
}

/// Counters of the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Bytes in use.
    pub used_bytes: usize,
    /// The budget.
    pub capacity_bytes: usize,
    /// Blocks found in the cache.
    pub hits: u64,
    /// Blocks read from files because they were not cached.
    pub misses: u64,
    /// Parts of the indexes and filters of tables that were read from files because they were not cached.
    pub index_misses: u64,
    /// Point reads that a filter kept from reading a table without the key.
    pub filter_negatives: u64,
    /// Point reads of a table that its filter let pass, and that did not have the key.
    pub filter_false_positives: u64,
}

/// The cache.
pub(crate) struct Cache {
    /// Where blocks that are not cached are read.
    pub(crate) files: Arc<OpenFiles>,
    /// Where large values are.
    pub(crate) blobs: BlobFiles,
    shards: [Mutex<Shard>; SHARDS],
    used: AtomicUsize,
    /// Of that, what stays as long as its table is open.
    pinned: AtomicUsize,
    capacity: usize,
    hits: Counter,
    misses: AtomicU64,
    index_misses: AtomicU64,
    filter_negatives: Counter,
    filter_false_positives: Counter,
    /// Bytes pushed out of small queues so far: the clock of `pushed_out`.
    pushed_bytes: AtomicU64,
}

impl Cache {
    pub(crate) fn new(capacity: usize, max_open_files: usize) -> Self {
        let files = Arc::new(OpenFiles::new(max_open_files));
        Self {
            blobs: BlobFiles::new(Arc::clone(&files)),
            files,
            shards: Default::default(),
            used: AtomicUsize::new(0),
            pinned: AtomicUsize::new(0),
            capacity,
            hits: Counter::default(),
            misses: AtomicU64::new(0),
            index_misses: AtomicU64::new(0),
            filter_negatives: Counter::default(),
            filter_false_positives: Counter::default(),
            pushed_bytes: AtomicU64::new(0),
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether so much more fits without pushing anything out.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.used.load(Ordering::Relaxed) + bytes <= self.capacity
    }

    pub(crate) fn stats(&self) -> CacheStats {
        CacheStats {
            used_bytes: self.used.load(Ordering::Relaxed),
            capacity_bytes: self.capacity,
            hits: self.hits.total(),
            misses: self.misses.load(Ordering::Relaxed),
            index_misses: self.index_misses.load(Ordering::Relaxed),
            filter_negatives: self.filter_negatives.total(),
            filter_false_positives: self.filter_false_positives.total(),
        }
    }

    /// Sets so much aside for something that stays; `false` when a quarter of the cache is full of such.
    pub(crate) fn pin(&self, bytes: usize) -> bool {
        let fits = |pinned: usize| Some(pinned + bytes).filter(|pinned| *pinned <= self.capacity / 4);
        let pinned = self.pinned.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if pinned {
            self.used.fetch_add(bytes, Ordering::Relaxed);
        }
        pinned
    }

    /// Gives back what was set aside.
    pub(crate) fn unpin(&self, bytes: usize) {
        self.pinned.fetch_sub(bytes, Ordering::Relaxed);
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts a point read that a filter ended.
    #[inline]
    pub(crate) fn count_filter_negative(&self) {
        self.filter_negatives.count();
    }

    /// Counts a point read that found nothing though a filter had let it pass.
    pub(crate) fn count_filter_false_positive(&self) {
        self.filter_false_positives.count();
    }

    /// Counts a part of an index that was read.
    pub(crate) fn count_index_miss(&self) {
        self.index_misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Numbers stretches of cache turnover from 1 to 255, again and again.
    fn generation(&self) -> u8 {
        let turns = self.pushed_bytes.load(Ordering::Relaxed) / (self.capacity as u64 + 1);
        (turns % 255) as u8 + 1
    }

    fn make_room(&self, shard: &mut Shard) {
        while self.used.load(Ordering::Relaxed) > self.capacity {
            let small_share = (shard.small_bytes + shard.main_bytes) / 10;
            let freed = if shard.small_bytes > small_share || shard.main.is_empty() {
                self.pop_small(shard)
            } else {
                Self::pop_main(shard)
            };
            if !freed {
                return;
            }
        }
    }

    /// Takes the oldest of the small queue: out, or to the main queue. `false` when it was empty.
    fn pop_small(&self, shard: &mut Shard) -> bool {
        let Some(resident) = shard.small.pop_front() else { return false };
        shard.small_bytes -= resident.bytes;
        let Some(owner) = resident.owner.upgrade() else { return true };
        let uses = owner.uses(resident.block);
        if uses > 0 {
            owner.set_uses(resident.block, 0);
            shard.main_bytes += resident.bytes;
            shard.main.push_back(resident);
        } else {
            owner.evict(resident.block);
            self.pushed_bytes.fetch_add(resident.bytes as u64, Ordering::Relaxed);
            owner.mark(resident.block, self.generation());
        }
        true
    }

    fn pop_main(shard: &mut Shard) -> bool {
        let Some(resident) = shard.main.pop_front() else { return false };
        let Some(owner) = resident.owner.upgrade() else {
            shard.main_bytes -= resident.bytes;
            return true;
        };
        let uses = owner.uses(resident.block);
        if uses > 0 {
            owner.set_uses(resident.block, uses - 1);
            shard.main.push_back(resident);
        } else {
            shard.main_bytes -= resident.bytes;
            owner.evict(resident.block);
        }
        true
    }
}

impl<B: Cached> BlockSlots<B> {
    /// Slots for a table of `blocks` blocks that keeps `charged` bytes of its own in memory.
    pub(crate) fn new(cache: Arc<Cache>, blocks: usize, charged: usize) -> Self {
        let charged = charged + blocks * (size_of::<ArcSwapOption<B>>() + 1);
        cache.used.fetch_add(charged, Ordering::Relaxed);
        Self {
            slots: (0..blocks).map(|_| ArcSwapOption::empty()).collect(),
            pushed_out: (0..blocks).map(|_| AtomicU8::new(0)).collect(),
            cache,
            charged,
        }
    }

    /// How many blocks there may be.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// A cached block.
    #[inline]
    pub(crate) fn get(&self, block: usize) -> arc_swap::Guard<Option<Arc<B>>> {
        let found = self.find(block);
        if found.is_some() {
            self.cache.hits.count();
        }
        found
    }

    /// A cached block; it does not count as found.
    #[inline]
    pub(crate) fn find(&self, block: usize) -> arc_swap::Guard<Option<Arc<B>>> {
        let Some(slot) = self.slots.get(block) else { return arc_swap::Guard::from_inner(None) };
        let found = slot.load();
        if let Some(found) = found.as_ref() {
            let uses = found.uses().load(Ordering::Relaxed);
            if uses < USES_MAX {
                found.uses().store(uses + 1, Ordering::Relaxed);
            }
        }
        found
    }

    /// Keeps a block that was just read from the file; `owner` holds these slots.
    pub(crate) fn put(&self, owner: &Arc<impl Owner>, index: usize, block: &Arc<B>) {
        self.cache.misses.fetch_add(1, Ordering::Relaxed);
        self.keep(owner, index, block);
    }

    /// Keeps a block, new or just read; `owner` holds these slots.
    pub(crate) fn keep(&self, owner: &Arc<impl Owner>, index: usize, block: &Arc<B>) {
        let cache = &self.cache;
        let Some(slot) = self.slots.get(index) else { return };
        let before = slot.compare_and_swap(&None::<Arc<B>>, Some(Arc::clone(block)));
        if before.is_some() {
            return;
        }
        let bytes = block.bytes();
        cache.used.fetch_add(bytes, Ordering::Relaxed);
        let generation = cache.generation();
        let pushed_out = self.pushed_out[index].load(Ordering::Relaxed);
        let returns = pushed_out != 0 && generation.wrapping_sub(pushed_out) <= 1;
        let mut shard = cache.shards[index % SHARDS].lock();
        let owner = Arc::downgrade(owner) as Weak<dyn Owner>;
        let resident = Resident { owner, block: index as u32, bytes };
        if returns {
            shard.main_bytes += bytes;
            shard.main.push_back(resident);
        } else {
            shard.small_bytes += bytes;
            shard.small.push_back(resident);
        }
        cache.make_room(&mut shard);
    }

    /// Forgets a block: its place will hold another.
    pub(crate) fn forget(&self, block: usize) {
        self.evict(block as u32);
    }
}

impl<B: Cached> Owner for BlockSlots<B> {
    fn uses(&self, block: u32) -> u8 {
        let found = self.slots.get(block as usize).map(arc_swap::ArcSwapAny::load);
        found.and_then(|block| block.as_ref().map(|block| block.uses().load(Ordering::Relaxed))).unwrap_or(0)
    }

    fn set_uses(&self, block: u32, uses: u8) {
        if let Some(slot) = self.slots.get(block as usize)
            && let Some(block) = slot.load().as_ref()
        {
            block.uses().store(uses, Ordering::Relaxed);
        }
    }

    fn evict(&self, block: u32) {
        if let Some(gone) = self.slots.get(block as usize).and_then(|slot| slot.swap(None)) {
            self.cache.used.fetch_sub(gone.bytes(), Ordering::Relaxed);
        }
    }

    fn mark(&self, block: u32, generation: u8) {
        if let Some(mark) = self.pushed_out.get(block as usize) {
            mark.store(generation, Ordering::Relaxed);
        }
    }
}

impl<B: Cached> Drop for BlockSlots<B> {
    fn drop(&mut self) {
        let resident: usize =
            self.slots.iter().filter_map(|slot| slot.swap(None)).map(|block| block.bytes()).sum();
        self.cache.used.fetch_sub(resident + self.charged, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::table::Block;

    fn block() -> Arc<Block> {
        // One entry: no shared bytes, a key of one byte, a value of 1000.
        let mut bytes = vec![0, 1, 0xa0, 0x1f, b'k'];
        bytes.resize(5 + 1000, 7);
        bytes.extend_from_slice(&[0, 0, 0, 0, 1, 0, 0, 0]);
        Arc::new(Block::new(bytes.into()).unwrap())
    }

    #[test]
    fn the_budget_is_kept_and_what_is_read_again_survives_a_scan() {
        let cache = Arc::new(Cache::new(400_000, 1));
        let slots = Arc::new(BlockSlots::new(Arc::clone(&cache), 5000, 1000));
        for index in 0..64 {
            slots.put(&slots, index, &block());
            slots.get(index);
            slots.get(index);
        }
        for index in 64..5000 {
            slots.put(&slots, index, &block());
            assert!(cache.stats().used_bytes <= 400_000 + 2000);
            if index % 50 == 0 {
                for hot in 0..64 {
                    slots.get(hot);
                }
            }
        }
        let kept = (0..64).filter(|index| slots.get(*index).is_some()).count();
        assert!(kept > 56, "only {kept} of 64 hot blocks survived");
        drop(slots);
        assert_eq!(cache.stats().used_bytes, 0);
    }
}
