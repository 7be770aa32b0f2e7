//! Which fragment and slot a new URL gets.
//!
//! A URL keeps its slot until it is removed. New URLs fill the last fragment; when it is full, fragments
//! that lost a quarter of their entries are filled up before another one is begun. So a list that only
//! grows touches one fragment at a time, and one that shrinks and grows does not leave ruins.
//!
//! Everything here is in memory: some 50 bytes per block of 512 entries.

use crate::engine::layout::{BLOCK_SLOTS, Block};
use crate::render::FRAME_BYTES_MAX;

/// Bytes that a fragment may have, uncompressed.
pub(crate) const FRAGMENT_BYTES_MAX: u64 = 50 << 20;
/// News that a fragment may have.
pub(crate) const FRAGMENT_NEWS_MAX: u32 = 1000;

/// What an entry takes of a fragment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) bytes: u64,
    pub(crate) news: u32,
}

/// One fragment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fragment {
    pub(crate) blocks: Vec<Block>,
    pub(crate) count: u32,
    pub(crate) bytes: u64,
    pub(crate) news: u32,
    /// Slots from here on were never used.
    pub(crate) next_slot: u32,
}

impl Fragment {
    pub(crate) fn block(&mut self, block: u32) -> &mut Block {
        let block = block as usize;
        if self.blocks.len() <= block {
            self.blocks.resize(block + 1, Block::default());
        }
        &mut self.blocks[block]
    }
}

/// Slots that a block has in fragments of this many.
fn capacity(block: u32, entries_max: u32) -> u32 {
    entries_max.saturating_sub(block * BLOCK_SLOTS).min(BLOCK_SLOTS)
}

/// All fragments.
#[derive(Debug)]
pub(crate) struct Slots {
    pub(crate) fragments: Vec<Fragment>,
    entries_max: u32,
    bytes_max: u64,
    /// The fragment that is filled up, and free slots found in it.
    refill: Option<(u32, Vec<u32>)>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// This fragment and slot.
    Slot(u32, u32),
    /// The free slots of this block must be looked up and given to [`Slots::found_free`].
    LookInto { fragment: u32, block: u32 },
}

impl Slots {
    pub(crate) fn new(fragments: Vec<Fragment>, entries_max: u32, bytes_max: u64) -> Self {
        Self { fragments, entries_max, bytes_max, refill: None }
    }

    /// Whether the fragment can take so much more.
    pub(crate) fn has_room(&self, fragment: u32, need: Need) -> bool {
        self.fragments.get(fragment as usize).is_some_and(|found| {
            found.bytes + need.bytes + FRAME_BYTES_MAX <= self.bytes_max
                && (need.news == 0 || found.news + need.news <= FRAGMENT_NEWS_MAX)
        })
    }

    /// Chooses for an entry with this need. Blocks with `version` changed in this very batch, so what is
    /// stored doesn't tell their free slots.
    pub(crate) fn choose(&mut self, need: Need, version: u64) -> Choice {
        if let Some((fragment, free)) = &mut self.refill {
            let fragment = *fragment;
            if let Some(slot) = free.last().copied() {
                if self.has_room(fragment, need) {
                    if let Some((_, free)) = &mut self.refill {
                        free.pop();
                    }
                    return Choice::Slot(fragment, slot);
                }
                self.refill = None;
            } else {
                if let Some(block) = self.block_with_room(fragment, version)
                    && self.has_room(fragment, need)
                {
                    return Choice::LookInto { fragment, block };
                }
                self.refill = None;
            }
        }
        if let Some(last) = self.fragments.len().checked_sub(1) {
            let number = last as u32;
            if self.fragments[last].next_slot < self.entries_max && self.has_room(number, need) {
                let slot = self.fragments[last].next_slot;
                self.fragments[last].next_slot += 1;
                return Choice::Slot(number, slot);
            }
        }
        let hollow = (0..self.fragments.len() as u32).find_map(|number| {
            let count = self.fragments.get(number as usize)?.count;
            let hollow = count <= self.entries_max / 4 * 3 && self.has_room(number, need);
            let block = self.block_with_room(number, version).filter(|_| hollow)?;
            Some(Choice::LookInto { fragment: number, block })
        });
        if let Some(choice) = hollow {
            return choice;
        }
        self.fragments.push(Fragment { next_slot: 1, ..Fragment::default() });
        Choice::Slot(self.fragments.len() as u32 - 1, 0)
    }

    /// The free slots of the block that was to be looked into.
    pub(crate) fn found_free(&mut self, fragment: u32, block: u32, mut used: Vec<u32>) {
        used.sort_unstable();
        let first = block * BLOCK_SLOTS;
        let free = (first..first + capacity(block, self.entries_max))
            .rev()
            .filter(|slot| used.binary_search(slot).is_err())
            .collect();
        if let Some(found) = self.fragments.get_mut(fragment as usize) {
            found.next_slot = found.next_slot.max(first + capacity(block, self.entries_max));
        }
        self.refill = Some((fragment, free));
    }

    /// A block with unused slots that was not touched by this batch.
    fn block_with_room(&self, fragment: u32, version: u64) -> Option<u32> {
        let found = self.fragments.get(fragment as usize)?;
        let blocks = self.entries_max.div_ceil(BLOCK_SLOTS);
        (0..blocks).find(|block| {
            let known = found.blocks.get(*block as usize).copied().unwrap_or_default();
            known.version != version && known.count < capacity(*block, self.entries_max)
        })
    }
}
