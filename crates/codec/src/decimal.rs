//! Numbers as whole numbers and a power of ten, where that loses nothing.
//!
//! Most numbers that are measured have few digits: counters are whole, percentages have one or two decimals.
//! The differences of whole numbers are small, those of their binary forms are not.
//!
//! Arithmetic leaves noise in last digits: 30.723 becomes 30.72300000000001. Such a number is a mantissa and a residual, what
//! it is beside the whole number by the power of ten; the difference of two neighbours is exact, and so is their sum.
//!
//! Invariants: `mantissa as f64 / 10^scale`, plus the residual if there is one, has every bit of the number; a number that
//! has no such form (NaN, infinities, -0.0, too many digits) is left as it is. A run has one scale.

/// The largest power of ten.
const SCALE_MAX: usize = 15;
/// Whole numbers up to here are exact.
const MANTISSA_MAX: f64 = 9_007_199_254_740_992.0;

const POWERS: [f64; SCALE_MAX + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Noise is at most so many times the distance of neighbouring numbers,
const NOISE_MAX: u64 = 16;
/// and beside whole numbers that are so small that it can't be more digits.
const NOISY_MAX: f64 = (1u64 << 43) as f64;

/// What numbers of a scale are divided by.
pub(crate) fn power(scale: usize) -> Option<f64> {
    POWERS.get(scale).copied()
}

/// The mantissa of a number at a scale.
#[inline]
pub fn mantissa(value: f64, scale: usize) -> Option<i64> {
    let power = POWERS.get(scale)?;
    let whole = (value * power).round_ties_even();
    let mantissa = whole as i64;
    // Also false for NaN, which is not smaller than anything.
    let exact = whole.abs() < MANTISSA_MAX && (mantissa as f64 / power).to_bits() == value.to_bits();
    exact.then_some(mantissa)
}

/// The mantissa of a number at a scale and the residual, 0 if there is none.
#[inline]
pub fn parts(value: f64, scale: usize) -> Option<(i64, f64)> {
    if let Some(mantissa) = mantissa(value, scale) {
        return Some((mantissa, 0.0));
    }
    let power = POWERS.get(scale)?;
    let whole = (value * power).round_ties_even();
    let near = whole / power;
    let noise = near.to_bits().abs_diff(value.to_bits());
    let residual = value - near;
    let exact =
        whole.abs() < NOISY_MAX && noise <= NOISE_MAX && (near + residual).to_bits() == value.to_bits();
    exact.then_some((whole as i64, residual))
}

/// The number of a mantissa at a scale.
#[inline]
pub fn number(mantissa: i64, scale: i32) -> Option<f64> {
    let power = POWERS.get(usize::try_from(scale).ok()?)?;
    Some(mantissa as f64 / power)
}

/// The smallest scale at which nearly all of the numbers that have parts have them; `None` if fewer than half have.
pub fn scale_of(values: impl Iterator<Item = f64>) -> Option<usize> {
    let mut needing = [0usize; SCALE_MAX + 1];
    let (mut all, mut at) = (0usize, 0);
    for value in values {
        all += 1;
        // Neighbours need similar scales: what is exact at one is exact at larger ones, as long as it fits.
        if parts(value, at).is_some() {
            needing[at] += 1;
        } else if let Some(found) = (0..=SCALE_MAX).find(|scale| parts(value, *scale).is_some()) {
            needing[found] += 1;
            at = found;
        }
    }
    let with_form: usize = needing.iter().sum();
    if with_form * 2 < all || with_form == 0 {
        return None;
    }
    let enough = with_form - with_form / 32;
    let mut sum = 0;
    needing.iter().position(|count| {
        sum += count;
        sum >= enough
    })
}

/// The mantissas of numbers at the smallest scale at which all of them have one, and that scale.
pub fn mantissas(values: &[f64]) -> Option<(usize, Vec<i64>)> {
    let mut scale = 0;
    for value in values {
        scale = (scale..=SCALE_MAX).find(|scale| mantissa(*value, *scale).is_some())?;
    }
    let all: Option<Vec<i64>> = values.iter().map(|value| mantissa(*value, scale)).collect();
    Some((scale, all?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_number_that_has_a_form_comes_back_bit_for_bit(bits: u64, whole in -1_000_000_000i64..1_000_000_000, scale in 0usize..=SCALE_MAX) {
            for value in [f64::from_bits(bits), number(whole, scale as i32).unwrap()] {
                for scale in 0..=SCALE_MAX {
                    if let Some(m) = mantissa(value, scale) {
                        prop_assert_eq!(number(m, scale as i32).unwrap().to_bits(), value.to_bits());
                    }
                }
            }
        }

        #[test]
        fn a_number_with_noise_is_near_what_was_meant(whole in 1i64..1_000_000_000, scale in 0usize..=SCALE_MAX, noise in 0u64..=NOISE_MAX, minus: bool) {
            let meant = number(whole, scale as i32).unwrap();
            let value = f64::from_bits(meant.to_bits() + noise) * if minus { -1.0 } else { 1.0 };
            let (mantissa, residual) = parts(value, scale).unwrap();
            prop_assert_eq!(mantissa.abs(), whole);
            prop_assert_eq!((number(mantissa, scale as i32).unwrap() + residual).to_bits(), value.to_bits());
            prop_assert_eq!(residual == 0.0, noise == 0);
        }

        #[test]
        fn parts_make_the_number_again(bits: u64) {
            for value in [f64::from_bits(bits), f64::from_bits(bits & 0x800f_ffff_ffff_ffff | 0x3f00_0000_0000_0000)] {
                for scale in 0..=SCALE_MAX {
                    if let Some((mantissa, residual)) = parts(value, scale) {
                        prop_assert_eq!((number(mantissa, scale as i32).unwrap() + residual).to_bits(), value.to_bits());
                    }
                }
            }
        }
    }

    #[test]
    fn what_has_no_form_is_left_and_what_is_measured_has_one() {
        for odd in [f64::NAN, f64::INFINITY, -0.0, 1e300, 0.1 + 0.2] {
            assert_eq!((0..=SCALE_MAX).find_map(|scale| mantissa(odd, scale)), None, "{odd}");
        }
        for odd in [f64::NAN, f64::INFINITY, -0.0, 1e300, 1e-20] {
            assert_eq!((0..=SCALE_MAX).find_map(|scale| parts(odd, scale)), None, "{odd}");
        }
        assert_eq!(parts(0.1 + 0.2, 1).map(|(mantissa, _)| mantissa), Some(3));
        assert_eq!(scale_of([0.1 + 0.2, 0.4].into_iter()), Some(1));
        assert_eq!(scale_of([12.5, 13.25, 99.0].into_iter()), Some(2));
        assert_eq!(scale_of([1.0, 2.0, f64::NAN].into_iter()), Some(0));
        assert_eq!(scale_of([f64::NAN, f64::INFINITY, 1.0].into_iter()), None);
        assert_eq!(scale_of(std::iter::empty()), None);
    }
}
