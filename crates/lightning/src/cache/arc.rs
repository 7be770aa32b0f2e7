//! Adaptive replacement (ARC), in the form of clocks, so that a hit changes no order.
//!
//! `recent` holds what came in lately and was not read since, `frequent` what was. Beside each is a list of
//! what was pushed out of it, of which only the identity is kept. A block that returns from the ghosts of
//! `recent` shows that `recent` was too short, and its target grows; one from those of `frequent` makes it
//! shrink. All counts are bytes.
//!
//! Invariants: `0 <= target <= recent + frequent`; the ghosts of `recent` and `recent` together, and both lists of
//! ghosts, have no more bytes than what is resident, once something was pushed out.
//!
//! After Megiddo and Modha, "ARC: a self-tuning, low overhead replacement cache", FAST 2003, and Bansal and
//! Modha, "CAR: clock with adaptive replacement", FAST 2004.

use std::collections::VecDeque;
use std::sync::Weak;

use super::policy::{Owner, Policy, Resident};

/// A list of residents, as a clock.
#[derive(Default)]
struct Clock {
    queue: VecDeque<Resident>,
    bytes: usize,
}

impl Clock {
    fn push(&mut self, resident: Resident) {
        self.bytes += resident.bytes;
        self.queue.push_back(resident);
    }

    fn pop(&mut self) -> Option<Resident> {
        let resident = self.queue.pop_front()?;
        self.bytes -= resident.bytes;
        Some(resident)
    }
}

/// What was pushed out, oldest first. Each has a number, in order, which its slot bears as mark; so it is found
/// without a search.
#[derive(Default)]
struct Ghosts {
    queue: VecDeque<Option<Resident>>,
    /// The number of the first.
    first: u32,
    bytes: usize,
    present: usize,
}

/// The lowest bit of a mark tells the list, the others the number.
const NUMBERS: u32 = u32::MAX >> 1;
/// So many places of ghosts that returned may lie between those that did not.
const EMPTY_MAX: usize = 64;

impl Ghosts {
    /// Adds one; returns its number.
    fn push(&mut self, resident: Resident) -> u32 {
        let number = self.first.wrapping_add(self.queue.len() as u32) & NUMBERS;
        self.bytes += resident.bytes;
        self.present += 1;
        self.queue.push_back(Some(resident));
        while self.queue.len() > 2 * self.present + EMPTY_MAX {
            self.pop();
        }
        number
    }

    /// Forgets the oldest; `false` when there is none.
    fn pop(&mut self) -> bool {
        while let Some(oldest) = self.queue.pop_front() {
            self.first = self.first.wrapping_add(1) & NUMBERS;
            if let Some(ghost) = oldest {
                self.bytes -= ghost.bytes;
                self.present -= 1;
                return true;
            }
        }
        false
    }

    /// Takes the one with a number out, if it is that block of that owner.
    fn take(&mut self, number: u32, owner: &Weak<dyn Owner>, block: u32) -> bool {
        let at = (number.wrapping_sub(self.first) & NUMBERS) as usize;
        let Some(place) = self.queue.get_mut(at) else { return false };
        let is_it = |ghost: &mut Resident| ghost.block == block && ghost.owner.ptr_eq(owner);
        let Some(ghost) = place.take_if(is_it) else { return false };
        self.bytes -= ghost.bytes;
        self.present -= 1;
        true
    }
}

/// The lists of a shard.
#[derive(Default)]
pub(super) struct Arc {
    recent: Clock,
    frequent: Clock,
    recent_ghosts: Ghosts,
    frequent_ghosts: Ghosts,
    /// How many bytes `recent` should have.
    target: usize,
}

impl Arc {
    fn resident_bytes(&self) -> usize {
        self.recent.bytes + self.frequent.bytes
    }

    /// Looks at the oldest of one list: it goes, or to the end of `frequent` if it was read.
    fn step_in(&mut self, of_frequent: bool) -> bool {
        let (list, ghosts) = if of_frequent {
            (&mut self.frequent, &mut self.frequent_ghosts)
        } else {
            (&mut self.recent, &mut self.recent_ghosts)
        };
        let Some(resident) = list.pop() else { return false };
        let Some(owner) = resident.owner.upgrade() else { return true };
        let block = resident.block;
        if owner.uses(block) > 0 {
            owner.set_uses(block, 0);
            self.frequent.push(resident);
        } else {
            owner.evict(block);
            owner.mark(block, ghosts.push(resident) << 1 | u32::from(of_frequent));
        }
        true
    }
}

impl Policy for Arc {
    fn admit(&mut self, resident: Resident, mark: u32) {
        let (number, of_frequent) = (mark >> 1, mark & 1 == 1);
        let (recent, frequent) = (self.recent_ghosts.bytes, self.frequent_ghosts.bytes);
        let weighted = |others: usize, own: usize| (others / own.max(1)).max(1) * resident.bytes;
        if !of_frequent && self.recent_ghosts.take(number, &resident.owner, resident.block) {
            let more = self.target + weighted(frequent, recent);
            self.target = more.min(self.resident_bytes());
            self.frequent.push(resident);
        } else if of_frequent && self.frequent_ghosts.take(number, &resident.owner, resident.block) {
            self.target = self.target.saturating_sub(weighted(recent, frequent));
            self.frequent.push(resident);
        } else {
            self.recent.push(resident);
        }
        let room = self.resident_bytes();
        while self.recent.bytes + self.recent_ghosts.bytes > room && self.recent_ghosts.pop() {}
        while self.recent_ghosts.bytes + self.frequent_ghosts.bytes > room && self.frequent_ghosts.pop() {}
    }

    fn step(&mut self) -> bool {
        let recent_first = self.recent.bytes >= self.target.max(1) || self.frequent.bytes == 0;
        recent_first && self.step_in(false) || self.step_in(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::testing::Shelf;
    use proptest::prelude::*;

    const ROOM: usize = 10_000;

    fn put(shelf: &Shelf, policy: &mut Arc, block: u32, bytes: usize) {
        if shelf.has(block) {
            return shelf.read(block);
        }
        while shelf.bytes() + bytes > ROOM && policy.step() {}
        shelf.admit(policy, block, bytes);
    }

    #[test]
    fn the_target_grows_when_what_was_new_returns_and_shrinks_when_what_was_used_does() {
        let shelf = Shelf::new(100);
        let mut policy = Arc::default();
        for block in 0..5 {
            put(&shelf, &mut policy, block, 1000);
            shelf.read(block);
        }
        // The five go to `frequent` when room is needed; one after the other of these is pushed out.
        for block in 10..20 {
            put(&shelf, &mut policy, block, 1000);
        }
        assert_eq!((policy.frequent.bytes, policy.recent_ghosts.bytes), (5000, 5000));
        put(&shelf, &mut policy, 10, 1000);
        put(&shelf, &mut policy, 11, 1000);
        assert_eq!(policy.target, 2000);
        assert_eq!(policy.frequent.bytes, 7000, "what returns counts as used");
        // Now those of `frequent` are the ones in excess of the target's complement.
        policy.target = ROOM;
        for block in 30..33 {
            put(&shelf, &mut policy, block, 1000);
        }
        assert_eq!(policy.frequent_ghosts.bytes, 3000);
        let gone = (0..5).find(|block| !shelf.has(*block));
        put(&shelf, &mut policy, gone.unwrap_or(0), 1000);
        assert!(policy.target < ROOM);
    }

    proptest! {
        #[test]
        fn the_lists_keep_their_bounds_whatever_is_read(
            reads in proptest::collection::vec(0u32..60, 1..600)
        ) {
            let shelf = Shelf::new(64);
            let mut policy = Arc::default();
            for block in reads {
                put(&shelf, &mut policy, block, 300 + (block as usize % 4) * 500);
                let resident = policy.resident_bytes();
                prop_assert_eq!(resident, shelf.bytes());
                prop_assert!(resident <= ROOM);
                prop_assert!(policy.target <= ROOM);
                let ghosts = [&policy.recent_ghosts, &policy.frequent_ghosts];
                for list in ghosts {
                    let present: Vec<&Resident> = list.queue.iter().flatten().collect();
                    prop_assert_eq!(present.len(), list.present);
                    prop_assert_eq!(present.iter().map(|ghost| ghost.bytes).sum::<usize>(), list.bytes);
                    prop_assert!(list.queue.len() <= 2 * list.present + EMPTY_MAX + 1);
                    prop_assert!(present.iter().all(|ghost| !shelf.has(ghost.block)), "a ghost is not here");
                }
                prop_assert!(ghosts.iter().map(|list| list.bytes).sum::<usize>() <= resident + 2000);
            }
        }
    }
}
