//! Ranges of keys that are deleted together, and sets of them.
//!
//! A range goes from a key, included, to a key, excluded, or to the end. So two that touch become one, and
//! every pair of bounds has one form.

use std::ops::Bound;

use crate::codec::{Reader, put_bytes};

/// The keys from `start` on and before `end`; to the last one without an `end`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyRange {
    pub(crate) start: Vec<u8>,
    pub(crate) end: Option<Vec<u8>>,
}

/// The first key after `key`.
pub(crate) fn successor(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

impl KeyRange {
    pub(crate) fn from_bounds(start: Bound<&[u8]>, end: Bound<&[u8]>) -> Self {
        let start = match start {
            Bound::Included(key) => key.to_vec(),
            Bound::Excluded(key) => successor(key),
            Bound::Unbounded => Vec::new(),
        };
        let end = match end {
            Bound::Included(key) => Some(successor(key)),
            Bound::Excluded(key) => Some(key.to_vec()),
            Bound::Unbounded => None,
        };
        Self { start, end }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && is_before(key, self.end.as_deref())
    }

    /// The part between two keys, both included; `None` when they have nothing in common.
    pub(crate) fn within(&self, first: &[u8], last: &[u8]) -> Option<Self> {
        if self.start.as_slice() > last || !is_before(first, self.end.as_deref()) {
            return None;
        }
        let start = self.start.as_slice().max(first).to_vec();
        let end = match self.end.as_deref() {
            Some(end) if end <= last => end.to_vec(),
            _ => successor(last),
        };
        Some(Self { start, end: Some(end) })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, &self.start);
        out.push(u8::from(self.end.is_some()));
        if let Some(end) = &self.end {
            put_bytes(out, end);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let start = reader.bytes()?.to_vec();
        let end = match reader.u8()? {
            0 => None,
            1 => Some(reader.bytes()?.to_vec()),
            _ => return None,
        };
        Some(Self { start, end })
    }
}

/// Whether a key is before the end of a range.
pub(crate) fn is_before(key: &[u8], end: Option<&[u8]>) -> bool {
    end.is_none_or(|end| key < end)
}

/// Orders ends: none is after all keys.
fn is_end_before(left: Option<&[u8]>, right: Option<&[u8]>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => left < right,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// Keys in ranges that ascend and neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyRanges(Vec<KeyRange>);

impl KeyRanges {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, KeyRange> {
        self.0.iter()
    }

    /// Adds the keys of a range.
    pub(crate) fn add(&mut self, range: KeyRange) {
        if range.is_empty() {
            return;
        }
        // Those that end before it begins stay, and those that begin after it ends.
        let from = self.0.partition_point(|known| is_end_before(known.end.as_deref(), Some(&range.start)));
        let to = self.0.partition_point(|known| range.end.as_ref().is_none_or(|end| known.start <= *end));
        let mut joined = range;
        for known in self.0.get(from..to).unwrap_or_default() {
            if known.start < joined.start {
                joined.start.clone_from(&known.start);
            }
            if is_end_before(joined.end.as_deref(), known.end.as_deref()) {
                joined.end.clone_from(&known.end);
            }
        }
        self.0.splice(from..to.max(from), [joined]);
    }

    pub(crate) fn extend(&mut self, others: &Self) {
        others.iter().for_each(|range| self.add(range.clone()));
    }

    /// The range that a key lies in.
    pub(crate) fn around(&self, key: &[u8]) -> Option<&KeyRange> {
        let after = self.0.partition_point(|range| range.start.as_slice() <= key);
        self.0.get(after.checked_sub(1)?).filter(|range| is_before(key, range.end.as_deref()))
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.around(key).is_some()
    }

    /// Whether all keys between two, both included, are in.
    pub(crate) fn cover(&self, first: &[u8], last: &[u8]) -> bool {
        self.around(first).is_some_and(|range| is_before(last, range.end.as_deref()))
    }

    /// Whether all keys from one on and before another are in.
    pub(crate) fn cover_until(&self, first: &[u8], end: Option<&[u8]>) -> bool {
        self.around(first).is_some_and(|range| !is_end_before(range.end.as_deref(), end))
    }

    /// The first range that has keys from `first` on and before `end`.
    pub(crate) fn first_between(&self, first: &[u8], end: Option<&[u8]>) -> Option<&KeyRange> {
        let at = self.0.partition_point(|range| is_end_before(range.end.as_deref(), Some(first)));
        let mut after = self.0.get(at..).unwrap_or_default().iter();
        let found = after.find(|range| range.end.as_deref() != Some(first))?;
        is_before(&found.start, end).then_some(found)
    }

    /// The keys of these ranges between two keys, both included.
    pub(crate) fn within(&self, first: &[u8], last: &[u8]) -> Self {
        let from = self.0.partition_point(|range| is_end_before(range.end.as_deref(), Some(first)));
        let near = self.0.get(from..).unwrap_or_default().iter();
        let near = near.take_while(|range| range.start.as_slice() <= last);
        Self(near.filter_map(|range| range.within(first, last)).collect())
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        crate::codec::put_varint(out, self.0.len() as u64);
        self.iter().for_each(|range| range.encode(out));
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let mut ranges = Self::default();
        for _ in 0..reader.varint()? {
            ranges.add(KeyRange::decode(reader)?);
        }
        Some(ranges)
    }
}

impl FromIterator<KeyRange> for KeyRanges {
    fn from_iter<T: IntoIterator<Item = KeyRange>>(ranges: T) -> Self {
        let mut all = Self::default();
        ranges.into_iter().for_each(|range| all.add(range));
        all
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_range() -> impl Strategy<Value = KeyRange> {
        (0u8..24, proptest::option::weighted(0.9, 0u8..24))
            .prop_map(|(start, end)| KeyRange { start: vec![start], end: end.map(|end| vec![end]) })
    }

    fn keys() -> impl Iterator<Item = Vec<u8>> {
        (0u8..26).flat_map(|key| [vec![key], vec![key, 0], vec![key, 7]])
    }

    proptest! {
        #[test]
        fn a_set_holds_the_keys_of_its_ranges_in_the_fewest_ranges(
            ranges in proptest::collection::vec(any_range(), 0..12),
            first in 0u8..24,
            length in 0u8..24,
        ) {
            let set: KeyRanges = ranges.iter().cloned().collect();
            let inside = |key: &[u8]| ranges.iter().any(|range| range.contains(key));
            for key in keys() {
                prop_assert_eq!(set.contains(&key), inside(&key), "{:?}", key);
            }
            prop_assert!(set.iter().all(|range| !range.is_empty()));
            prop_assert!(set.iter().zip(set.iter().skip(1)).all(|(left, right)| left.end.as_ref().unwrap() < &right.start));
            let mut bytes = Vec::new();
            set.encode(&mut bytes);
            prop_assert_eq!(KeyRanges::decode(&mut Reader::new(&bytes)).unwrap(), set.clone());

            let (first, last) = (vec![first], vec![first.saturating_add(length)]);
            let between = |key: &Vec<u8>| *key >= first && *key <= last;
            prop_assert_eq!(set.cover(&first, &last), keys().filter(between).all(|key| inside(&key)));
            let part = set.within(&first, &last);
            for key in keys() {
                prop_assert_eq!(part.contains(&key), between(&key) && inside(&key), "{:?}", key);
            }
            let before = |key: &Vec<u8>| *key >= first && *key < last;
            if first < last {
                prop_assert_eq!(set.cover_until(&first, Some(&last)), keys().filter(before).all(|key| inside(&key)));
                prop_assert_eq!(set.first_between(&first, Some(&last)).is_some(), keys().filter(before).any(|key| inside(&key)));
            }
        }

        #[test]
        fn every_pair_of_bounds_has_its_range(start in 0u8..9, end in 0u8..9, kinds in (0u8..3, 0u8..3)) {
            let (start, end) = ([start], [end]);
            let bound = |kind, key| match kind {
                0 => Bound::Included(key),
                1 => Bound::Excluded(key),
                _ => Bound::Unbounded,
            };
            let (low, high) = (bound(kinds.0, &start[..]), bound(kinds.1, &end[..]));
            let range = KeyRange::from_bounds(low, high);
            for key in keys() {
                use std::ops::RangeBounds;
                let inside = (low, high).contains(&key.as_slice());
                prop_assert_eq!(range.contains(&key), inside);
            }
        }
    }
}
