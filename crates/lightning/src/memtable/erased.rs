//! Range tombstones: which keys were deleted together, and when.
//!
//! They are kept as fragments: between two neighbouring bounds every key has the same tombstones. A newer
//! one comes as a tier of its own, and tiers of about the same size become one, as digits carry in a
//! counter. So adding one costs a logarithm on average, and so does asking for a key; readers ask what was
//! published last and take no lock.
//!
//! Invariants: sequences never fall from one tombstone to the next, so a newer tier has the newer
//! tombstones. Tiers are immutable. Where there are no tombstones, asking costs a load.

use luma_sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::{Undone, is_undone};
use crate::key_range::{KeyRange, KeyRanges, is_before};

/// From `start` to the start of the next: the sequences of the tombstones, newest first.
#[derive(Clone)]
struct Fragment {
    start: Arc<[u8]>,
    sequences: Vec<u64>,
}

impl Fragment {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.start.len() + self.sequences.len() * size_of::<u64>()
    }
}

/// Ascending; what lies before the first has no tombstones.
struct Tier {
    fragments: Vec<Fragment>,
    bytes: usize,
}

/// Oldest first.
pub(crate) struct Tiers(Vec<Arc<Tier>>);

impl Tier {
    fn new(fragments: Vec<Fragment>) -> Self {
        let bytes = fragments.iter().map(Fragment::bytes).sum();
        Self { fragments, bytes }
    }

    fn one(range: &KeyRange, sequence: u64) -> Self {
        let start = Fragment { start: range.start.as_slice().into(), sequences: vec![sequence] };
        let end = range.end.as_ref().map(|end| Fragment { start: end.as_slice().into(), sequences: vec![] });
        Self::new(std::iter::once(start).chain(end).collect())
    }

    /// Both in one.
    fn merged(older: &Self, newer: &Self) -> Self {
        let (mut left, mut right) = (older.fragments.iter().peekable(), newer.fragments.iter().peekable());
        let (mut below, mut above): (&[u64], &[u64]) = (&[], &[]);
        let mut fragments: Vec<Fragment> = Vec::with_capacity(older.fragments.len() + newer.fragments.len());
        loop {
            let start = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(next), None) | (None, Some(next)) => Arc::clone(&next.start),
                (Some(left), Some(right)) => Arc::clone((&left.start).min(&right.start)),
            };
            if let Some(next) = left.next_if(|next| next.start == start) {
                below = &next.sequences;
            }
            if let Some(next) = right.next_if(|next| next.start == start) {
                above = &next.sequences;
            }
            let same = fragments.last().map_or(below.is_empty() && above.is_empty(), |last| {
                last.sequences.iter().eq(above.iter().chain(below))
            });
            if !same {
                fragments.push(Fragment { start, sequences: [above, below].concat() });
            }
        }
        Self::new(fragments)
    }

    /// The fragment of a key, and where the next begins.
    fn at(&self, key: &[u8]) -> (Option<&Fragment>, Option<&Arc<[u8]>>) {
        let after = self.fragments.partition_point(|fragment| &*fragment.start <= key);
        let here = after.checked_sub(1).and_then(|at| self.fragments.get(at));
        (here, self.fragments.get(after).map(|next| &next.start))
    }
}

fn newest(sequences: &[u64], until: u64, undone: &Undone) -> Option<u64> {
    sequences.iter().copied().find(|sequence| *sequence <= until && !is_undone(undone, *sequence))
}

impl Tiers {
    /// The newest tombstone of a key that is not newer than `until` and not undone.
    pub(crate) fn newest_over(&self, key: &[u8], until: u64, undone: &Undone) -> Option<u64> {
        self.0.iter().rev().find_map(|tier| newest(&tier.at(key).0?.sequences, until, undone))
    }

    /// The keys with tombstones that count.
    pub(crate) fn ranges(&self, until: u64, undone: &Undone) -> KeyRanges {
        let mut all = KeyRanges::default();
        for tier in &self.0 {
            for (at, fragment) in tier.fragments.iter().enumerate() {
                if newest(&fragment.sequences, until, undone).is_some() {
                    let end = tier.fragments.get(at + 1).map(|next| next.start.to_vec());
                    all.add(KeyRange { start: fragment.start.to_vec(), end });
                }
            }
        }
        all
    }

    /// The first key of a range with a tombstone newer than `after` and not newer than `until`.
    pub(crate) fn first_between(&self, range: &KeyRange, after: u64, until: u64) -> Option<Vec<u8>> {
        let firsts = self.0.iter().filter_map(|tier| {
            let from = tier.fragments.partition_point(|fragment| *fragment.start <= *range.start);
            let near = tier.fragments.iter().skip(from.saturating_sub(1));
            let mut near = near.take_while(|fragment| is_before(&fragment.start, range.end.as_deref()));
            let is_new =
                |sequences: &[u64]| newest(sequences, until, &[]).is_some_and(|sequence| sequence > after);
            let found = near.find(|fragment| is_new(&fragment.sequences))?;
            let start: &[u8] = &found.start;
            Some(start.max(range.start.as_slice()).to_vec())
        });
        firsts.min()
    }
}

/// The range tombstones of a memtable. One thread at a time adds.
#[derive(Default)]
pub(crate) struct Erased {
    any: AtomicBool,
    tiers: ArcSwapOption<Tiers>,
    /// The most they took; never falls.
    bytes: AtomicUsize,
}

impl Erased {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What there is now.
    pub(crate) fn tiers(&self) -> Option<Arc<Tiers>> {
        if self.is_empty() { None } else { self.tiers.load_full() }
    }

    /// Adds a tombstone that is not older than those before.
    pub(crate) fn add(&self, range: &KeyRange, sequence: u64) {
        if range.is_empty() {
            return;
        }
        let mut tiers = self.tiers.load().as_ref().map_or_else(Vec::new, |tiers| tiers.0.clone());
        let mut last = Arc::new(Tier::one(range, sequence));
        while let Some(before) = tiers.pop_if(|before| before.fragments.len() <= last.fragments.len()) {
            last = Arc::new(Tier::merged(&before, &last));
        }
        tiers.push(last);
        let bytes = tiers.iter().map(|tier| tier.bytes).sum();
        self.bytes.fetch_max(bytes, Ordering::Relaxed);
        self.tiers.store(Some(Arc::new(Tiers(tiers))));
        self.any.store(true, Ordering::Release);
    }

    /// The newest tombstone of a key that is not newer than `until` and not undone.
    #[inline]
    pub(crate) fn newest_over(&self, key: &[u8], until: u64, undone: &Undone) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        self.tiers.load().as_ref()?.newest_over(key, until, undone)
    }
}

/// Where a range begins or ends, if it does.
pub(crate) type Edge = Option<Arc<[u8]>>;

/// What a walk sees of one memtable's range tombstones. It remembers where the last answer holds, so
/// that neighbouring keys cost a comparison.
pub(crate) struct Veil {
    tiers: Arc<Tiers>,
    until: u64,
    undone: Option<Arc<Undone>>,
    answer: Option<u64>,
    /// Where the answer holds: from a key, included, to another; to the first and last without.
    from: Edge,
    to: Edge,
    asked: bool,
}

impl Veil {
    pub(crate) fn new(tiers: Arc<Tiers>, until: u64, undone: Option<Arc<Undone>>) -> Self {
        Self { tiers, until, undone, answer: None, from: None, to: None, asked: false }
    }

    fn holds_at(&self, key: &[u8]) -> bool {
        self.asked
            && self.from.as_ref().is_none_or(|from| **from <= *key)
            && is_before(key, self.to.as_deref())
    }

    /// The newest tombstone of a key.
    #[inline]
    pub(crate) fn newest_over(&mut self, key: &[u8]) -> Option<u64> {
        if !self.holds_at(key) {
            self.ask(key);
        }
        self.answer
    }

    fn ask(&mut self, key: &[u8]) {
        (self.asked, self.answer, self.from, self.to) = (true, None, None, None);
        let undone = self.undone.as_deref().unwrap_or_default();
        for tier in self.tiers.0.iter().rev() {
            let (here, next) = tier.at(key);
            if let Some(here) = here {
                if self.from.as_ref().is_none_or(|from| *from < here.start) {
                    self.from = Some(Arc::clone(&here.start));
                }
                self.answer = self.answer.or_else(|| newest(&here.sequences, self.until, undone));
            }
            if let Some(next) = next
                && self.to.as_ref().is_none_or(|to| next < to)
            {
                self.to = Some(Arc::clone(next));
            }
        }
    }

    /// Where the last answer begins to hold, and where it ends.
    pub(crate) fn bounds(&self) -> (Edge, Edge) {
        (self.from.clone(), self.to.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::key_range::tests::any_range;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_key_has_the_tombstones_of_the_ranges_it_lies_in(
            ranges in proptest::collection::vec(any_range(), 0..40),
            until in 0u64..44,
            undone in (0u64..40, 0u64..10),
            keys in proptest::collection::vec((0u8..26, any::<bool>()), 1..40),
        ) {
            let erased = Erased::default();
            for (at, range) in ranges.iter().enumerate() {
                erased.add(range, at as u64 + 1);
            }
            let undone: Arc<Undone> = Arc::from([(undone.0, undone.0 + undone.1)]);
            let expected = |key: &[u8]| {
                let over = |(at, range): (usize, &KeyRange)| range.contains(key).then_some(at as u64 + 1);
                ranges.iter().enumerate().filter_map(over).rfind(|sequence| *sequence <= until && !is_undone(&undone, *sequence))
            };
            let Some(tiers) = erased.tiers() else {
                prop_assert!(ranges.iter().all(KeyRange::is_empty));
                return Ok(());
            };
            let mut veil = Veil::new(Arc::clone(&tiers), until, Some(Arc::clone(&undone)));
            let union = tiers.ranges(until, &undone);
            for (key, longer) in keys {
                let key = if longer { vec![key, 3] } else { vec![key] };
                prop_assert_eq!(erased.newest_over(&key, until, &undone), expected(&key));
                prop_assert_eq!(veil.newest_over(&key), expected(&key));
                prop_assert_eq!(union.contains(&key), expected(&key).is_some());
            }
        }

        #[test]
        fn the_first_change_of_a_range_is_found(
            ranges in proptest::collection::vec(any_range(), 0..20),
            wanted in any_range(),
            after in 0u64..20,
            until in 0u64..24,
        ) {
            prop_assume!(!wanted.is_empty());
            let erased = Erased::default();
            for (at, range) in ranges.iter().enumerate() {
                erased.add(range, at as u64 + 1);
            }
            let Some(tiers) = erased.tiers() else { return Ok(()) };
            let new = ranges.iter().enumerate().filter(|(at, _)| (after + 1..=until).contains(&(*at as u64 + 1)));
            let starts = new.filter_map(|(_, range)| {
                let start = (&range.start).max(&wanted.start).clone();
                (range.contains(&start) && wanted.contains(&start)).then_some(start)
            });
            prop_assert_eq!(tiers.first_between(&wanted, after, until), starts.min());
        }
    }

    #[test]
    fn many_tombstones_are_few_tiers() {
        let erased = Erased::default();
        for number in 0..5000u32 {
            let range = KeyRange {
                start: (number * 7919 % 5000 * 2).to_be_bytes().to_vec(),
                end: Some((number * 7919 % 5000 * 2 + 1).to_be_bytes().to_vec()),
            };
            erased.add(&range, u64::from(number) + 1);
        }
        assert!(erased.tiers().unwrap().0.len() <= 16);
        assert_eq!(erased.tiers().unwrap().ranges(u64::MAX, &[]).len(), 5000);
    }
}
