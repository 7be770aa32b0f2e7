//! A Ribbon filter: a quarter to a third smaller than a Bloom filter of the same error, slower to build and to ask.
//!
//! Each key stands for a linear equation over bits: of 128 neighbouring slots, from a start of its own, those that
//! its coefficients choose must add up to the key's fingerprint. The equations are solved when the filter is
//! built; a key is looked up by adding. The rows are stored as columns: per block of 128 slots a word for each
//! bit of the fingerprint.
//!
//! Invariants: there is a block more than the last start's, or the start is the first slot of the last block, so that
//! a window never leaves the filter. Building ends: with more and more room, or with `None`.
//!
//! After Dillinger and Walzer, "Ribbon filter: practically smaller than Bloom and Xor", 2021.

/// Slots of a block, and width of a window.
const WIDTH: usize = 128;
const WORD_BYTES: usize = WIDTH / 8;
/// More bits would be a part of the hash twice.
const BITS_MAX: u32 = 16;
/// Slots per thousand keys, try by try; each try has a seed of its own.
const SLOTS_PER_THOUSAND: [usize; 6] = [1030, 1050, 1070, 1100, 1150, 1300];

/// What a key asks of the slots.
#[derive(Clone, Copy)]
struct Equation {
    start: usize,
    coefficients: u128,
    fingerprint: u16,
}

impl Equation {
    #[inline]
    fn of(hash: u64, seed: u8, slots: usize, bits: u32) -> Self {
        let mut mixed = hash ^ u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^= mixed >> 29;
        let starts = (slots + 1).saturating_sub(WIDTH);
        let start = ((u128::from(mixed) * starts as u128) >> 64) as usize;
        let low = mixed.wrapping_mul(0xa076_1d64_78bd_642f);
        let high = low.rotate_left(32).wrapping_mul(0xe703_7ed1_a0b4_28db);
        let coefficients = u128::from(high) << 64 | u128::from(low ^ high >> 32) | 1;
        let fingerprint = (high.wrapping_mul(0x8ebc_6af0_9c88_c6e3) >> (64 - bits)) as u16;
        Self { start, coefficients, fingerprint }
    }
}

/// The rows of the equations in a form that can be solved from the last slot on; `None` if two keys contradict.
fn eliminate(hashes: &[u64], seed: u8, slots: usize, bits: u32) -> Option<Vec<(u128, u16)>> {
    let mut rows = vec![(0u128, 0u16); slots];
    for hash in hashes {
        let Equation { mut start, mut coefficients, mut fingerprint } =
            Equation::of(*hash, seed, slots, bits);
        loop {
            // The coefficient of the first slot is always set.
            let row = rows.get_mut(start)?;
            if row.0 == 0 {
                *row = (coefficients, fingerprint);
                break;
            }
            coefficients ^= row.0;
            fingerprint ^= row.1;
            if coefficients == 0 {
                if fingerprint != 0 {
                    return None;
                }
                // The key says what others say already.
                break;
            }
            let zeros = coefficients.trailing_zeros();
            start += zeros as usize;
            coefficients >>= zeros;
        }
    }
    Some(rows)
}

/// The columns, block by block, that solve the rows.
fn solve(rows: &[(u128, u16)], bits: u32) -> Vec<u128> {
    let bits = bits as usize;
    let mut words = vec![0u128; rows.len() / WIDTH * bits];
    // Per column the solution of the slots from the present one on; it is the lowest bit.
    let mut windows = [0u128; BITS_MAX as usize];
    for (slot, (coefficients, fingerprint)) in rows.iter().enumerate().rev() {
        for (bit, window) in windows.iter_mut().enumerate().take(bits) {
            let above = *window << 1;
            let sum = (coefficients & above).count_ones() & 1;
            let value = u128::from((u32::from(fingerprint >> bit & 1) ^ sum) & u32::from(*coefficients != 0));
            *window = above | value;
            if let Some(word) = words.get_mut(slot / WIDTH * bits + bit) {
                *word |= value << (slot % WIDTH);
            }
        }
    }
    words
}

/// The bytes of the filter of the keys with these hashes and so many bits of fingerprint; `None` when it can't be
/// built, which is about as likely as a collision of hashes.
pub(super) fn build(hashes: &[u64], bits: u32) -> Option<Vec<u8>> {
    let bits = bits.clamp(1, BITS_MAX);
    for (seed, per_thousand) in (0u8..).zip(SLOTS_PER_THOUSAND) {
        let slots = (hashes.len() * per_thousand / 1000).div_ceil(WIDTH).max(1) * WIDTH;
        if let Some(rows) = eliminate(hashes, seed, slots, bits) {
            let mut out = vec![seed, bits as u8];
            out.extend(solve(&rows, bits).into_iter().flat_map(u128::to_le_bytes));
            return Some(out);
        }
    }
    None
}

/// A filter in memory.
pub(super) struct Ribbon {
    words: Box<[u128]>,
    slots: usize,
    seed: u8,
    bits: u32,
}

impl Ribbon {
    /// `None` when these are not the bytes of a filter.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let ([seed, bits], words) = bytes.split_first_chunk()?;
        let (words, rest) = words.as_chunks::<WORD_BYTES>();
        let bits = u32::from(*bits);
        if !(1..=BITS_MAX).contains(&bits)
            || !rest.is_empty()
            || words.is_empty()
            || !words.len().is_multiple_of(bits as usize)
        {
            return None;
        }
        let slots = words.len() / bits as usize * WIDTH;
        let words = words.iter().map(|word| u128::from_le_bytes(*word)).collect();
        Some(Self { words, slots, seed: *seed, bits })
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.words.len() * WORD_BYTES
    }

    /// Whether the key with this hash may be in the set.
    #[inline]
    pub(super) fn may_contain(&self, hash: u64) -> bool {
        let Equation { start, coefficients, fingerprint } =
            Equation::of(hash, self.seed, self.slots, self.bits);
        let (bits, offset) = (self.bits as usize, start % WIDTH);
        // The window lies in one block or in two.
        let (here, next) = (coefficients << offset, coefficients.checked_shr((WIDTH - offset) as u32));
        let first = start / WIDTH * bits;
        let Some(block) = self.words.get(first..first + bits) else { return true };
        let after = self.words.get(first + bits..first + 2 * bits).unwrap_or(block);
        let next = next.unwrap_or(0);
        block.iter().zip(after).enumerate().all(|(bit, (word, after))| {
            let sum = (word & here ^ after & next).count_ones() & 1;
            sum == u32::from(fingerprint >> bit & 1)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::table::{bloom, hash};
    use proptest::prelude::*;

    fn hashes(numbers: std::ops::Range<u64>) -> Vec<u64> {
        numbers.map(|number| hash(&number.to_be_bytes())).collect()
    }

    #[test]
    fn it_errs_as_often_as_its_bits_say_and_is_a_quarter_smaller_than_bloom() {
        for keys in [3_000u64, 20_000, 100_000] {
            let bytes = build(&hashes(0..keys), 7).unwrap();
            let filter = Ribbon::decode(&bytes).unwrap();
            assert!(hashes(0..keys).iter().all(|hash| filter.may_contain(*hash)));
            let asked = 400_000;
            let wrong =
                hashes(1 << 40..(1 << 40) + asked).iter().filter(|hash| filter.may_contain(**hash)).count();
            // One in 128 is 3125.
            assert!((2_700..3_600).contains(&wrong), "{wrong} of {asked} for {keys} keys");
            let bloom = bloom::bytes_for(keys as usize, 10);
            assert!(bytes.len() * 100 < bloom * 77, "{} bytes for {keys} keys, Bloom {bloom}", bytes.len());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_key_is_found_whatever_the_keys(keys: Vec<u64>, few: Vec<u8>, bits in 1u32..20) {
            // Some of them many times.
            let keys: Vec<u64> = keys.into_iter().chain(few.into_iter().map(u64::from)).collect();
            let filter = Ribbon::decode(&build(&keys, bits).unwrap()).unwrap();
            prop_assert!(keys.iter().all(|hash| filter.may_contain(*hash)));
        }

        #[test]
        fn damaged_bytes_give_no_filter_or_one_that_answers(bytes: Vec<u8>, hash: u64) {
            if let Some(filter) = Ribbon::decode(&bytes) {
                filter.may_contain(hash);
            }
        }
    }
}
