//! Searching the heads of a node: ascending numbers of four bytes.
//!
//! A few halvings leave a window that eight heads at a time are compared with, where the processor has AVX2,
//! which is found out at run time; elsewhere halving goes on. Both give the same.

use std::cmp::Ordering;

/// How many heads are smaller than a number. `heads` are little-endian.
#[inline]
pub(super) fn count_before(heads: &[u8], sought: u32) -> usize {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function was compiled for.
        return unsafe { count_before_avx2(heads, sought) };
    }
    halve(heads, sought, 0).0
}

fn head(heads: &[u8], at: usize) -> u32 {
    heads.get(at * 4..).and_then(<[u8]>::first_chunk::<4>).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Halves until no more than `window` heads are left; those before are smaller, those after are not.
#[inline]
fn halve(heads: &[u8], sought: u32, window: usize) -> (usize, usize) {
    let (mut first, mut left) = (0, heads.len() / 4);
    while left > window {
        let half = left / 2;
        match head(heads, first + half).cmp(&sought) {
            Ordering::Less => (first, left) = (first + half + 1, left - half - 1),
            Ordering::Equal | Ordering::Greater => left = half,
        }
    }
    (first, left)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn count_before_avx2(heads: &[u8], sought: u32) -> usize {
    use std::arch::x86_64::{
        _mm256_castsi256_ps, _mm256_cmpgt_epi32, _mm256_loadu_si256, _mm256_movemask_ps, _mm256_set1_epi32,
        _mm256_xor_si256,
    };

    /// Heads that are compared one vector after the other.
    const WINDOW: usize = 32;
    let (first, left) = halve(heads, sought, WINDOW);
    let window = heads.get(first * 4..(first + left) * 4).unwrap_or_default();
    // There is only a signed comparison: with the highest bit flipped it orders as an unsigned one does.
    let flip = _mm256_set1_epi32(i32::MIN);
    let wanted = _mm256_xor_si256(_mm256_set1_epi32(sought.cast_signed()), flip);
    let mut count = first;
    let (vectors, rest) = window.as_chunks::<32>();
    for vector in vectors {
        // SAFETY: the chunk has the 32 bytes that are read, and they may lie anywhere.
        let vector = unsafe { _mm256_loadu_si256(vector.as_ptr().cast()) };
        let smaller = _mm256_cmpgt_epi32(wanted, _mm256_xor_si256(vector, flip));
        count += _mm256_movemask_ps(_mm256_castsi256_ps(smaller)).count_ones() as usize;
    }
    let (rest, _) = rest.as_chunks::<4>();
    count + rest.iter().filter(|head| u32::from_le_bytes(**head) < sought).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn vectors_and_halving_count_what_a_walk_counts(
            mut numbers in proptest::collection::vec(prop_oneof![any::<u32>(), 0u32..9, (u32::MAX - 9)..], 0..400),
            probe in prop_oneof![any::<u32>(), 0u32..9, (u32::MAX - 9)..],
        ) {
            numbers.sort_unstable();
            let heads: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            for sought in numbers.iter().copied().chain([probe, 0, u32::MAX]) {
                let expected = numbers.iter().filter(|number| **number < sought).count();
                prop_assert_eq!(count_before(&heads, sought), expected);
                prop_assert_eq!(halve(&heads, sought, 0), (expected, 0));
            }
        }
    }
}
