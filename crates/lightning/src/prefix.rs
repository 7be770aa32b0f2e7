//! Prefixes of keys that filters of tables have besides the keys, so that walks within one prefix pass over tables
//! that have none of it.
//!
//! Invariant: every table of a keyspace has the prefixes of all its keys, deleted ones too: how they are cut is chosen
//! when the keyspace is made, and stays. A key that has none is looked for as without them.

use std::ops::Bound;

use crate::range::prefix_bounds;
use crate::table::hash;

/// How the prefix of a key is cut: see [`KeyspaceOptions::prefix`](crate::KeyspaceOptions::prefix).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// So many bytes. Shorter keys have none.
    Bytes(u32),
    /// Up to this byte, which belongs to it, where it comes first. Keys without it have none.
    UpTo(u8),
}

impl Prefix {
    /// The prefix of a key.
    pub(crate) fn of(self, key: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => key.get(..bytes as usize),
            Self::UpTo(last) => key.iter().position(|byte| *byte == last).and_then(|at| key.get(..=at)),
        }
    }

    /// The hash of the prefix that all keys between two bounds have, if it is certain that they have one.
    pub(crate) fn hash_of_all(self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Option<u64> {
        let (Bound::Included(first) | Bound::Excluded(first)) = start else { return None };
        let prefix = self.of(first)?;
        let within = match end {
            Bound::Unbounded => false,
            Bound::Included(last) => last.starts_with(prefix),
            Bound::Excluded(last) => {
                last.starts_with(prefix) || prefix_bounds(prefix).as_deref() == Some(last)
            }
        };
        within.then(|| hash(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::RangeBounds;

    use proptest::prelude::*;

    fn any_key() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(prop_oneof![0u8..3, 254u8..=255], 0..4)
    }

    fn any_bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
        prop_oneof![
            any_key().prop_map(Bound::Included),
            any_key().prop_map(Bound::Excluded),
            Just(Bound::Unbounded)
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn every_key_between_the_bounds_has_the_prefix_that_all_are_said_to_have(
            start in any_bound(), end in any_bound(), key in any_key(), way in 0u32..5,
        ) {
            let prefix = if way == 0 { Prefix::UpTo(1) } else { Prefix::Bytes(way - 1) };
            let (start, end) = (start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
            let said = prefix.hash_of_all(start, end);
            if let Some(said) = said
                && (start, end).contains(key.as_slice())
            {
                prop_assert_eq!(prefix.of(&key).map(hash), Some(said));
            }
            // A walk over exactly what begins with a prefix is one of those.
            if let Some(cut) = prefix.of(&key)
                && let Some(end) = prefix_bounds(cut)
            {
                prop_assert_eq!(prefix.hash_of_all(Bound::Included(cut), Bound::Excluded(&end)), Some(hash(cut)));
            }
        }
    }
}
