//! The block cache: one byte budget for all tables and trees, and for what else is in memory, to which it gives way.
//!
//! Each open table has a slot per block, so finding a cached block is one indexed atomic load: no
//! hash, no lock. What stays is the policy's choice ([`policy`]): S3-FIFO or ARC.
//!
//! Parts of the indexes and filters of tables are held like blocks, and hold the slots of their blocks: a part
//! that is pushed out takes those along.
//!
//! Invariants: `used` is the bytes of resident blocks and parts plus what tables charged for the rest of
//! their indexes. A hit stores at most one byte. Only a miss takes a lock, that of one of the shards.

mod arc;
mod policy;
mod s3_fifo;

use luma_sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use luma_sync::Mutex;

use crate::counter::Counter;
use crate::files::OpenFiles;
use crate::options::CachePolicy;
use crate::table::BlobFiles;
pub(crate) use policy::Owner;
use policy::{Policy, Resident, policy};

const SHARDS: usize = 16;
/// Blocks have at least one part of so many of the budget.
const FLOOR_SHARE: usize = 4;
/// Blocks that are looked at in a shard before the next one has its turn.
const TURN: usize = 16;
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
    /// What the policy noted of a block when it was pushed out; 0 for nothing.
    marks: Box<[AtomicU32]>,
    cache: Arc<Cache>,
    charged: usize,
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
    shards: [Mutex<Box<dyn Policy>>; SHARDS],
    used: AtomicUsize,
    /// Of that, what stays as long as its table is open.
    pinned: AtomicUsize,
    capacity: usize,
    /// Bytes of what is not blocks: memtables, and what long readers hold.
    others: AtomicUsize,
    hits: Counter,
    misses: AtomicU64,
    index_misses: AtomicU64,
    filter_negatives: Counter,
    filter_false_positives: Counter,
}

impl Cache {
    pub(crate) fn new(which: CachePolicy, capacity: usize, max_open_files: usize) -> Self {
        let files = Arc::new(OpenFiles::new(max_open_files));
        Self {
            blobs: BlobFiles::new(Arc::clone(&files)),
            files,
            shards: std::array::from_fn(|_| Mutex::new(policy(which))),
            used: AtomicUsize::new(0),
            pinned: AtomicUsize::new(0),
            capacity,
            others: AtomicUsize::new(0),
            hits: Counter::default(),
            misses: AtomicU64::new(0),
            index_misses: AtomicU64::new(0),
            filter_negatives: Counter::default(),
            filter_false_positives: Counter::default(),
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// What blocks may take now.
    fn room(&self) -> usize {
        let others = self.others.load(Ordering::Relaxed);
        self.capacity - others.min(self.capacity - self.capacity / FLOOR_SHARE)
    }

    /// Whether so much more fits without pushing anything out.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.used.load(Ordering::Relaxed) + bytes <= self.room()
    }

    /// Says what is in memory besides blocks, and lets blocks go for it.
    pub(crate) fn make_way(&self, others: usize) {
        self.others.store(others, Ordering::Relaxed);
        let mut goes_on = true;
        while goes_on && self.is_over() {
            goes_on = false;
            for shard in &self.shards {
                let mut shard = shard.lock();
                goes_on |= (0..TURN).take_while(|_| self.is_over() && shard.step()).count() > 0;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.room()
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

    fn make_room(&self, shard: &mut dyn Policy) {
        while self.is_over() && shard.step() {}
    }
}

impl<B: Cached> BlockSlots<B> {
    /// Slots for a table of `blocks` blocks that keeps `charged` bytes of its own in memory.
    pub(crate) fn new(cache: Arc<Cache>, blocks: usize, charged: usize) -> Self {
        let charged = charged + blocks * (size_of::<ArcSwapOption<B>>() + size_of::<AtomicU32>());
        cache.used.fetch_add(charged, Ordering::Relaxed);
        Self {
            slots: (0..blocks).map(|_| ArcSwapOption::empty()).collect(),
            marks: (0..blocks).map(|_| AtomicU32::new(0)).collect(),
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

    /// Where a cached block is, for fetching it ahead; nothing of it is looked at.
    #[inline]
    pub(crate) fn address(&self, block: usize) -> Option<*const B> {
        self.slots.get(block)?.load().as_ref().map(Arc::as_ptr)
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
        let mark = self.marks[index].load(Ordering::Relaxed);
        let owner = Arc::downgrade(owner) as Weak<dyn Owner>;
        let resident = Resident { owner, block: index as u32, bytes };
        let mut shard = cache.shards[index % SHARDS].lock();
        shard.admit(resident, mark);
        cache.make_room(shard.as_mut());
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

    fn mark(&self, block: u32, mark: u32) {
        if let Some(place) = self.marks.get(block as usize) {
            place.store(mark, Ordering::Relaxed);
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

/// A place for policies to work on, without blocks.
#[cfg(test)]
mod testing {
    use super::policy::{Owner, Policy, Resident};
    use luma_sync::Mutex;
    use std::sync::{Arc, Weak};

    #[derive(Clone, Copy, Default)]
    struct Place {
        bytes: usize,
        uses: u8,
        mark: u32,
    }

    pub(super) struct Shelf(Arc<Places>);

    struct Places(Mutex<Vec<Place>>);

    impl Shelf {
        pub(super) fn new(places: usize) -> Self {
            Self(Arc::new(Places(Mutex::new(vec![Place::default(); places]))))
        }

        pub(super) fn admit(&self, policy: &mut dyn Policy, block: u32, bytes: usize) {
            let owner = Arc::downgrade(&self.0) as Weak<dyn Owner>;
            let place = &mut self.0.0.lock()[block as usize];
            place.bytes = bytes;
            place.uses = 0;
            policy.admit(Resident { owner, block, bytes }, place.mark);
        }

        pub(super) fn read(&self, block: u32) {
            self.0.0.lock()[block as usize].uses += 1;
        }

        pub(super) fn has(&self, block: u32) -> bool {
            self.0.0.lock()[block as usize].bytes > 0
        }

        pub(super) fn bytes(&self) -> usize {
            self.0.0.lock().iter().map(|place| place.bytes).sum()
        }
    }

    impl Owner for Places {
        fn uses(&self, block: u32) -> u8 {
            self.0.lock()[block as usize].uses
        }

        fn set_uses(&self, block: u32, uses: u8) {
            self.0.lock()[block as usize].uses = uses;
        }

        fn evict(&self, block: u32) {
            self.0.lock()[block as usize].bytes = 0;
        }

        fn mark(&self, block: u32, mark: u32) {
            self.0.lock()[block as usize].mark = mark;
        }
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
        for which in [CachePolicy::S3Fifo, CachePolicy::Arc] {
            check_a_scan(which);
        }
    }

    fn check_a_scan(which: CachePolicy) {
        let cache = Arc::new(Cache::new(which, 400_000, 1));
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
        assert!(kept > 56, "{which:?}: only {kept} of 64 hot blocks survived");
        drop(slots);
        assert_eq!(cache.stats().used_bytes, 0);
    }

    #[test]
    fn blocks_give_way_to_what_else_is_in_memory_and_keep_a_quarter() {
        for which in [CachePolicy::S3Fifo, CachePolicy::Arc] {
            let cache = Arc::new(Cache::new(which, 400_000, 1));
            let slots = Arc::new(BlockSlots::new(Arc::clone(&cache), 600, 1000));
            let fill = || (0..600).for_each(|index| slots.put(&slots, index, &block()));
            let used = || cache.stats().used_bytes;
            fill();
            assert!(used() > 390_000);
            cache.make_way(200_000);
            assert!((190_000..=200_000).contains(&used()), "{which:?}: {}", used());
            fill();
            assert!(used() <= 202_000, "{which:?}: {}", used());
            cache.make_way(usize::MAX);
            assert!((90_000..=100_000).contains(&used()), "{which:?}: {}", used());
            cache.make_way(0);
            fill();
            assert!(used() > 390_000, "{which:?}: {}", used());
        }
    }
}
