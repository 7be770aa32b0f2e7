//! S3-FIFO: three queues, and no order changes on a hit.
//!
//! What is new enters a small queue, a tenth of the bytes, and leaves it after one round, unless it was read
//! again: then it moves to the main queue, where each read buys another round. What was pushed out of the small
//! queue recently and comes back goes to the main queue directly. So a long scan can't wash out what is used.
//!
//! The third queue, of what was pushed out, is not kept: each slot is marked with how much had been pushed out
//! when it was, and has fallen out of that queue once as much again as the main queue holds has followed.
//!
//! After Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023.

use std::collections::VecDeque;

use super::policy::{Policy, Resident};

/// The unit of the clock in marks: it comes round once in 256 GiB.
const CLOCK_BYTES: u64 = 64;

/// The queues of a shard.
#[derive(Default)]
pub(super) struct S3Fifo {
    small: VecDeque<Resident>,
    small_bytes: usize,
    main: VecDeque<Resident>,
    main_bytes: usize,
    /// Bytes pushed out of the small queue so far.
    pushed_bytes: u64,
}

impl S3Fifo {
    /// The clock; never 0, which is the mark of slots without one.
    fn clock(&self) -> u32 {
        (self.pushed_bytes / CLOCK_BYTES) as u32 | 1
    }

    fn was_pushed_out_lately(&self, mark: u32) -> bool {
        let since = u64::from(self.clock().wrapping_sub(mark)) * CLOCK_BYTES;
        mark != 0 && since <= self.main_bytes as u64
    }

    /// Takes the oldest of the small queue: out, or to the main queue. `false` when it was empty.
    fn pop_small(&mut self) -> bool {
        let Some(resident) = self.small.pop_front() else { return false };
        self.small_bytes -= resident.bytes;
        let Some(owner) = resident.owner.upgrade() else { return true };
        if owner.uses(resident.block) > 0 {
            owner.set_uses(resident.block, 0);
            self.main_bytes += resident.bytes;
            self.main.push_back(resident);
        } else {
            owner.evict(resident.block);
            self.pushed_bytes += resident.bytes as u64;
            owner.mark(resident.block, self.clock());
        }
        true
    }

    /// Takes the oldest of the main queue: out, or to its end. `false` when it was empty.
    fn pop_main(&mut self) -> bool {
        let Some(resident) = self.main.pop_front() else { return false };
        let uses = resident.owner.upgrade().map(|owner| (owner.uses(resident.block), owner));
        match uses {
            Some((uses, owner)) if uses > 0 => {
                owner.set_uses(resident.block, uses - 1);
                self.main.push_back(resident);
            }
            Some((_, owner)) => {
                self.main_bytes -= resident.bytes;
                owner.evict(resident.block);
            }
            None => self.main_bytes -= resident.bytes,
        }
        true
    }
}

impl Policy for S3Fifo {
    fn admit(&mut self, resident: Resident, mark: u32) {
        if self.was_pushed_out_lately(mark) {
            self.main_bytes += resident.bytes;
            self.main.push_back(resident);
        } else {
            self.small_bytes += resident.bytes;
            self.small.push_back(resident);
        }
    }

    fn step(&mut self) -> bool {
        let small_share = (self.small_bytes + self.main_bytes) / 10;
        if self.small_bytes > small_share || self.main.is_empty() {
            self.pop_small()
        } else {
            self.pop_main()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::testing::Shelf;

    #[test]
    fn what_was_not_read_again_goes_and_returns_to_the_main_queue() {
        let shelf = Shelf::new(100);
        let mut policy = S3Fifo::default();
        for block in 0..10 {
            shelf.admit(&mut policy, block, 1000);
        }
        shelf.read(3);
        while shelf.bytes() > 2000 {
            assert!(policy.step());
        }
        assert!(shelf.has(3) && shelf.has(9) && !shelf.has(0), "the used one and the last one stay");
        assert_eq!((policy.main.len(), policy.small.len()), (1, 1));
        // Nothing was pushed out since 8 was.
        shelf.admit(&mut policy, 8, 1000);
        assert_eq!(policy.main.len(), 2);
        // More than the main queue holds was pushed out since 0 was.
        shelf.admit(&mut policy, 0, 1000);
        assert_eq!((policy.main.len(), policy.small.len()), (2, 2));
    }

    #[test]
    fn each_read_buys_a_round_in_the_main_queue() {
        let shelf = Shelf::new(10);
        let mut policy = S3Fifo::default();
        shelf.admit(&mut policy, 0, 1000);
        shelf.read(0);
        assert!(policy.step(), "to the main queue");
        shelf.read(0);
        shelf.read(0);
        let steps = (0..9).take_while(|_| shelf.has(0) && policy.step()).count();
        assert_eq!(steps, 3, "two rounds, and out");
        assert!(!policy.step());
    }
}
