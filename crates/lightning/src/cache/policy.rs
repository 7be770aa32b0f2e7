//! What a cache policy is: it keeps the residents of one shard in its queues and says which goes next.
//!
//! A policy never hears of hits: whoever reads a block raises the count of its uses, one byte in the block, and
//! the policy looks at it when it needs room. So what a hit costs does not depend on the policy.

use std::sync::Weak;

use super::arc::Arc as AdaptiveReplacement;
use super::s3_fifo::S3Fifo;
use crate::options::CachePolicy;

/// The owner of slots, whatever is in them.
pub(crate) trait Owner: Send + Sync + 'static {
    /// How often what is in a slot was read lately.
    fn uses(&self, block: u32) -> u8;
    fn set_uses(&self, block: u32, uses: u8);
    fn evict(&self, block: u32);
    /// Leaves a note with a slot, for when it is filled again; its meaning is the policy's own.
    fn mark(&self, block: u32, mark: u32);
}

/// Something in the cache: where its slot is, and its size.
pub(crate) struct Resident {
    pub(super) owner: Weak<dyn Owner>,
    pub(super) block: u32,
    pub(super) bytes: usize,
}

/// The policy of one shard, behind the shard's lock.
pub(crate) trait Policy: Send {
    /// Takes in what was just put into its slot, with the mark that the slot has: 0 if it never got one.
    fn admit(&mut self, resident: Resident, mark: u32);

    /// One step on the way to more room: pushes something out, or gives something another round. `false` when
    /// there is nothing to push out.
    fn step(&mut self) -> bool;
}

/// The policy that was asked for, with nothing in it.
pub(crate) fn policy(which: CachePolicy) -> Box<dyn Policy> {
    match which {
        CachePolicy::S3Fifo => Box::new(S3Fifo::default()),
        CachePolicy::Arc => Box::new(AdaptiveReplacement::default()),
    }
}
