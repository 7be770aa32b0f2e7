//! Universal compaction's and FIFO's choice of tables.
//!
//! Universal: level 0 is merged with runs below it as long as the next is not much larger than all before. The
//! result goes into the level above the next run that stays, or into the deepest if none does; where there is
//! no such level, the next run is merged, too. So runs get older and larger downwards, and there are at
//! most six besides level 0.
//!
//! FIFO: the deepest tables go first, then level 0 from the oldest on. Older versions of a key are never deeper than
//! newer ones, so what goes never uncovers anything.

use std::sync::Arc;

use super::compaction::bytes;
use super::{CompactionPlan, Levels, RUNS, Run};
use crate::options::Options;
use crate::table::Table;

/// What universal compaction merges: level 0 and the runs down to a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picked {
    /// The last level that is merged; 0 for level 0 alone.
    pub(super) deepest: usize,
    /// Where the result goes.
    target: usize,
}

/// Which of the runs, by their bytes, to merge with a level 0 of so many.
fn pick(level0: u64, runs: &[u64; RUNS], ratio_percent: u32, amplification_percent_max: u32) -> Picked {
    let everything = Picked { deepest: RUNS, target: RUNS };
    let Some(oldest) = runs.iter().rposition(|run| *run > 0) else { return everything };
    let newer: u64 = level0 + runs[..oldest].iter().sum::<u64>();
    let percent = |bytes: u64, percent: u32| u128::from(bytes) * u128::from(percent) / 100;
    if u128::from(newer) > percent(runs[oldest], amplification_percent_max) {
        return everything;
    }
    let mut merged = level0;
    let mut deepest = 0;
    for (index, run) in runs.iter().enumerate().filter(|(_, run)| **run > 0) {
        let similar = u128::from(*run) <= percent(merged, ratio_percent.saturating_add(100));
        // Above the first level there is no place for a result.
        let no_room = index == 0;
        if !similar && !no_room {
            return Picked { deepest, target: index };
        }
        merged += run;
        deepest = index + 1;
    }
    everything
}

impl Levels {
    /// What universal compaction merges next, if level 0 has enough tables.
    pub(super) fn pick_universal(
        &self,
        options: &Options,
        ratio: u32,
        amplification_max: u32,
    ) -> Option<Picked> {
        let runs: [u64; RUNS] = std::array::from_fn(|index| bytes(&self.runs[index]));
        (self.level0.len() >= options.level0_tables.max(1))
            .then(|| pick(bytes(&self.level0), &runs, ratio, amplification_max))
    }

    pub(super) fn merge_newest(&self, picked: Picked) -> CompactionPlan {
        let level0 = self.level0.iter().map(|table| Arc::from([Arc::clone(table)]));
        let runs = self.runs[..picked.deepest].iter().filter(|run| !run.is_empty()).map(Arc::clone);
        let upper: Vec<Run> = level0.chain(runs).collect();
        self.merge(upper, Arc::from([]), picked.target, self.runs[picked.deepest..].to_vec())
    }

    /// The oldest tables, as many as there are too many bytes.
    pub(super) fn plan_fifo(&self, bytes_max: u64) -> CompactionPlan {
        let mut excess =
            self.tables().map(|(_, table)| table.meta.bytes).sum::<u64>().saturating_sub(bytes_max);
        let deep = self.runs.iter().rev().flat_map(|run| run.iter());
        let oldest_first = deep.chain(self.level0.iter().rev());
        let count = self.tables().count();
        let mut dropped: Vec<Arc<Table>> = Vec::new();
        for table in oldest_first.take(count.saturating_sub(1)) {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(table.meta.bytes);
            dropped.push(Arc::clone(table));
        }
        if dropped.is_empty() { CompactionPlan::None } else { CompactionPlan::Drop(dropped) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn picked(level0: u64, runs: [u64; RUNS]) -> (usize, usize) {
        let Picked { deepest, target } = pick(level0, &runs, 10, 200);
        (deepest, target)
    }

    #[test]
    fn runs_of_similar_size_are_merged_and_larger_ones_stay() {
        assert_eq!(picked(100, [0; 6]), (6, 6), "the first goes to the bottom");
        assert_eq!(picked(100, [0, 0, 0, 0, 0, 109]), (6, 6));
        assert_eq!(picked(100, [0, 0, 0, 0, 0, 200]), (0, 5), "above a larger one");
        assert_eq!(picked(100, [0, 0, 0, 0, 100, 1000]), (5, 5), "what is similar is merged, the rest stays");
        assert_eq!(picked(100, [0, 0, 0, 100, 200, 1000]), (5, 5), "and what is similar to all of that");
        assert_eq!(picked(100, [0, 0, 0, 300, 300, 1000]), (0, 3));
    }

    #[test]
    fn all_is_merged_when_too_much_lies_above_the_oldest_run() {
        assert_eq!(picked(100, [0, 0, 0, 500, 1000, 700]), (6, 6));
        assert_eq!(picked(100, [0, 0, 0, 500, 700, 700]), (0, 3));
    }

    #[test]
    fn without_a_level_above_the_next_run_that_is_merged_too() {
        assert_eq!(picked(1, [50, 0, 100, 200, 400, 800]), (1, 2));
        assert_eq!(picked(1, [50, 300, 600, 1200, 2400, 4800]), (1, 1));
    }

    proptest! {
        #[test]
        fn the_target_is_free_or_merged_and_between_what_is_merged_and_what_stays(
            level0 in 1u64..1000,
            runs: [u16; RUNS],
            gaps: [bool; RUNS],
            ratio in 0u32..300,
            amplification in 0u32..500,
        ) {
            let runs: [u64; RUNS] = std::array::from_fn(|at| if gaps[at] { 0 } else { runs[at].into() });
            let Picked { deepest, target } = pick(level0, &runs, ratio, amplification);
            prop_assert!((1..=RUNS).contains(&target));
            prop_assert!(target >= deepest);
            prop_assert!(runs[deepest..target].iter().all(|run| *run == 0), "nothing older lies above the result");
        }

        #[test]
        fn data_that_only_grows_is_written_about_once_per_doubling(rounds in 1u64..400) {
            let mut runs = [0u64; RUNS];
            let mut written = 0;
            for _ in 0..rounds {
                let Picked { deepest, target } = pick(100, &runs, 10, 200);
                let merged = 100 + runs[..deepest].iter().sum::<u64>();
                runs[..deepest].fill(0);
                runs[target - 1] += merged;
                written += merged;
            }
            prop_assert_eq!(runs.iter().sum::<u64>(), rounds * 100);
            prop_assert!(written / (rounds * 100) <= u64::from(rounds.ilog2()) + 2, "{written}");
        }
    }
}
