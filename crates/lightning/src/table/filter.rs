//! The filter of a part: no false negatives, and few false positives.
//!
//! Bloom filters are built and asked faster; Ribbon filters are smaller at the same error. With
//! `Options::ribbon_filters` those tables get them that nothing lies below: they hold most of the keys, and are rewritten
//! least. The first byte tells which it is.

use super::bloom::{self, Bloom};
use super::ribbon::{self, Ribbon};

const NONE: u8 = 0;
const BLOOM: u8 = 1;
const RIBBON: u8 = 2;

/// How filters are built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FilterOptions {
    /// Bits per key of Bloom filters, and the measure of the error of all; 0 for no filters.
    pub(crate) bits_per_key: u32,
    /// Whether a smaller filter is worth more time.
    pub(crate) small: bool,
}

impl FilterOptions {
    /// Bits of a Ribbon filter's fingerprint with which it errs no more often than a Bloom filter.
    fn fingerprint_bits(self) -> u32 {
        (self.bits_per_key * 7).div_ceil(10)
    }

    /// Bytes of the filter of so many keys, at most about.
    pub(super) fn bytes_for(self, keys: usize) -> usize {
        bloom::bytes_for(keys, self.bits_per_key)
    }

    /// The bytes of the filter of the keys with these hashes.
    pub(super) fn build(self, hashes: &[u64]) -> Vec<u8> {
        if self.bits_per_key == 0 {
            return vec![NONE];
        }
        let worthwhile = self.bytes_for(hashes.len());
        let ribbon = self.small.then(|| ribbon::build(hashes, self.fingerprint_bits())).flatten();
        match ribbon.filter(|bytes| bytes.len() < worthwhile) {
            Some(mut bytes) => {
                bytes.insert(0, RIBBON);
                bytes
            }
            None => {
                let mut bytes = vec![BLOOM];
                bytes.extend_from_slice(&bloom::build(hashes, self.bits_per_key));
                bytes
            }
        }
    }
}

/// A filter in memory.
pub(crate) enum Filter {
    None,
    Bloom(Bloom),
    Ribbon(Ribbon),
}

impl Filter {
    /// `None` when these are not the bytes of a filter.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, bytes) = bytes.split_first()?;
        match *kind {
            NONE => bytes.is_empty().then_some(Self::None),
            BLOOM => Bloom::decode(bytes).map(Self::Bloom),
            RIBBON => Ribbon::decode(bytes).map(Self::Ribbon),
            _ => None,
        }
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Bloom(filter) => filter.bytes(),
            Self::Ribbon(filter) => filter.bytes(),
        }
    }

    /// Whether it lets everything pass.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Has fetched what [`Filter::may_contain`] will look at.
    #[inline]
    pub(super) fn fetch(&self, hash: u64) {
        match self {
            Self::Bloom(filter) => filter.fetch(hash),
            // Smaller by far, and mostly in the processor's caches.
            Self::Ribbon(_) | Self::None => {}
        }
    }

    /// Whether the key with this hash may be in the set.
    #[inline]
    pub(super) fn may_contain(&self, hash: u64) -> bool {
        match self {
            Self::Bloom(filter) => filter.may_contain(hash),
            Self::Ribbon(filter) => filter.may_contain(hash),
            Self::None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::table::hash;

    #[test]
    fn a_small_filter_errs_no_more_often_than_a_bloom_filter_of_the_same_bits() {
        for bits_per_key in [5, 8, 10, 14] {
            let hashes: Vec<u64> = (0..20_000u64).map(|number| hash(&number.to_be_bytes())).collect();
            let wrong = |small: bool| {
                let bytes = FilterOptions { bits_per_key, small }.build(&hashes);
                let filter = Filter::decode(&bytes).unwrap();
                assert_eq!(matches!(filter, Filter::Ribbon(_)), small);
                assert!(hashes.iter().all(|hash| filter.may_contain(*hash)));
                let others = 1_000_000..1_300_000u64;
                others.filter(|number| filter.may_contain(hash(&number.to_be_bytes()))).count()
            };
            let (bloom, ribbon) = (wrong(false), wrong(true));
            assert!(ribbon <= bloom + bloom / 10, "{bits_per_key} bits: Bloom {bloom}, Ribbon {ribbon}");
        }
    }

    #[test]
    fn few_keys_get_a_bloom_filter_and_none_are_asked_for_gets_none() {
        let few = FilterOptions { bits_per_key: 10, small: true }.build(&[1, 2, 3]);
        assert!(matches!(Filter::decode(&few).unwrap(), Filter::Bloom(_)));
        let off = FilterOptions { bits_per_key: 0, small: true }.build(&[1, 2, 3]);
        let off = Filter::decode(&off).unwrap();
        assert!(off.is_none() && off.may_contain(9) && off.bytes() == 0);
        assert!(Filter::decode(&[]).is_none() && Filter::decode(&[7]).is_none());
    }
}
