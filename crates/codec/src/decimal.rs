//! Numbers as whole numbers and a power of ten, where that loses nothing.
//!
//! Most numbers that are measured have few digits: counters are whole, percentages have one or two decimals.
//! The differences of whole numbers are small, those of their binary forms are not.
//!
//! Invariants: `mantissa as f64 / 10^scale` has every bit of the number; a number that has no such form (NaN,
//! infinities, -0.0, too many digits) is left as it is. A run has one scale.

/// The largest power of ten.
const SCALE_MAX: usize = 15;
/// Whole numbers up to here are exact.
const MANTISSA_MAX: f64 = 9_007_199_254_740_992.0;

const POWERS: [f64; SCALE_MAX + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

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

/// The number of a mantissa at a scale.
#[inline]
pub fn number(mantissa: i64, scale: i32) -> Option<f64> {
    let power = POWERS.get(usize::try_from(scale).ok()?)?;
    Some(mantissa as f64 / power)
}

/// The smallest scale at which nearly all of the numbers that have a form have one; `None` if fewer than half have.
pub fn scale_of(values: impl Iterator<Item = f64>) -> Option<usize> {
    let mut needing = [0usize; SCALE_MAX + 1];
    let (mut all, mut at) = (0usize, 0);
    for value in values {
        all += 1;
        // Neighbours need similar scales: what is exact at one is exact at larger ones, as long as it fits.
        if mantissa(value, at).is_some() {
            needing[at] += 1;
        } else if let Some(found) = (0..=SCALE_MAX).find(|scale| mantissa(value, *scale).is_some()) {
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
    }

    #[test]
    fn what_has_no_form_is_left_and_what_is_measured_has_one() {
        for odd in [f64::NAN, f64::INFINITY, -0.0, 1e300, 0.1 + 0.2] {
            assert_eq!((0..=SCALE_MAX).find_map(|scale| mantissa(odd, scale)), None, "{odd}");
        }
        assert_eq!(scale_of([12.5, 13.25, 99.0].into_iter()), Some(2));
        assert_eq!(scale_of([1.0, 2.0, f64::NAN].into_iter()), Some(0));
        assert_eq!(scale_of([f64::NAN, f64::INFINITY, 1.0].into_iter()), None);
        assert_eq!(scale_of(std::iter::empty()), None);
    }
}
