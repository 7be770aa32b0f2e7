//! The numbers of series.
//!
//! Files have their rows in the order of these numbers, and a query reads the series of a metric. So each metric takes its
//! numbers in blocks, the more the more series it has: neighbours are of one metric, whatever the order in which a fleet's hosts
//! send theirs, and a query unpacks few pages that have others' rows.
//!
//! Invariants: no number is given twice; what is left of blocks is forgotten at the end of the process, since the next one begins behind all
//! of them. Of one series, a number given later is higher.

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

/// Metrics whose names have the same slot share their blocks, so that what is kept here is bounded.
const SLOTS: usize = 16 << 10;
/// Numbers of the first block of a metric, and of the largest.
const BLOCK_MIN: u32 = 16;
const BLOCK_MAX: u32 = 4096;

/// The block that a slot takes numbers from.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    next: u32,
    end: u32,
    /// How many numbers it had as a whole.
    size: u32,
}

#[derive(Debug)]
struct State {
    slots: Box<[Block]>,
    next: u32,
}

/// Gives numbers to series.
#[derive(Debug)]
pub(crate) struct References {
    state: Mutex<State>,
}

impl References {
    /// Numbers from `next` on.
    pub fn new(next: u32) -> Self {
        Self { state: Mutex::new(State { slots: vec![Block::default(); SLOTS].into(), next }) }
    }

    /// A number for a new series of a metric; `None` if there is none left.
    pub fn give(&self, metric: &str) -> Option<u32> {
        let slot = xxh3_64(metric.as_bytes()) as usize % SLOTS;
        let State { slots, next } = &mut *self.state.lock();
        let block = slots.get_mut(slot)?;
        if block.next == block.end {
            let size = (block.size * 2).clamp(BLOCK_MIN, BLOCK_MAX);
            // The last number stands for none: a series behind it could not be told from the first.
            let end = next.checked_add(size)?;
            *block = Block { next: *next, end, size };
            *next = end;
        }
        let given = block.next;
        block.next += 1;
        Some(given)
    }

    /// Whatever was given is below.
    pub fn end(&self) -> u32 {
        self.state.lock().next
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn no_number_is_given_twice_and_those_of_a_metric_ascend_as_neighbours() {
        let references = References::new(7);
        let mut all = std::collections::HashSet::new();
        let mut of_load = Vec::new();
        // A fleet: each host has one series of one metric and thirty of another.
        for _host in 0..20_000 {
            of_load.push(references.give("node_load1").unwrap());
            assert!(all.insert(*of_load.last().unwrap()));
            for _cpu in 0..30 {
                assert!(all.insert(references.give("node_cpu_seconds_total").unwrap()));
            }
        }
        assert!(all.iter().all(|given| (7..references.end()).contains(given)));
        assert!(of_load.is_sorted_by(|a, b| a < b));
        let jumps = of_load.windows(2).filter(|two| two[1] != two[0] + 1).count();
        assert!(jumps <= 8 + 20_000 / BLOCK_MAX as usize, "{jumps}");
    }

    #[test]
    fn any_number_of_metrics_takes_bounded_memory_and_the_numbers_end_with_an_answer() {
        let references = References::new(0);
        (0..100_000).for_each(|at| assert!(references.give(&format!("m{at}")).is_some()));
        assert!(references.end() <= SLOTS as u32 * BLOCK_MIN * 3);
        let last = References::new(u32::MAX - BLOCK_MIN);
        let given: Vec<Option<u32>> = (0..=BLOCK_MIN).map(|_| last.give("m")).collect();
        assert_eq!(given.first().copied().flatten(), Some(u32::MAX - BLOCK_MIN));
        assert_eq!(given.last().copied().flatten(), None);
        assert_eq!((last.give("other"), last.end()), (None, u32::MAX));
    }
}
