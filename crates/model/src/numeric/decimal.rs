//! Decimal numbers of up to 38 digits: the form that most numbers have.
//!
//! A number is `unscaled / 10^scale`. Equality, order and hash look at the number, not at how many
//! zeros follow it: 1.0 equals 1.00. All arithmetic is checked: a result that has more than 38 digits is
//! `None`, never a wrong number, and never one with fewer digits than PostgreSQL shows.

mod arithmetic;

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use super::NumericRef;

/// Most digits of a number, before and after the point together.
pub const DECIMAL_DIGITS_MAX: u8 = 38;

const POWERS: [i128; 39] = {
    let mut powers = [1i128; 39];
    let mut at = 1;
    while at < 39 {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// 10 to that power; `None` past 38.
pub(crate) fn power_of_ten(exponent: u32) -> Option<i128> {
    POWERS.get(exponent as usize).copied()
}

/// A decimal number of up to 38 digits.
///
/// Packed to the alignment of its halves, so that a value of any type has no more room for it than it needs.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed(8))]
pub struct Decimal {
    /// The number times 10 to the power of the scale.
    pub unscaled: i128,
    /// Digits after the point.
    pub scale: u8,
}

impl Decimal {
    /// Zero.
    pub const ZERO: Decimal = Decimal { unscaled: 0, scale: 0 };

    /// The number `unscaled / 10^scale`.
    pub const fn new(unscaled: i128, scale: u8) -> Self {
        Self { unscaled, scale }
    }

    /// The same number without the zeros that end its fraction.
    pub fn normalized(self) -> Self {
        let Self { mut unscaled, mut scale } = self;
        if unscaled == 0 {
            return Self::ZERO;
        }
        // Division of 128 bits is slow; most numbers are short.
        if let Ok(mut short) = i64::try_from(unscaled) {
            while scale > 0 && short % 10 == 0 {
                short /= 10;
                scale -= 1;
            }
            return Self { unscaled: i128::from(short), scale };
        }
        while scale > 0 && unscaled % 10 == 0 {
            unscaled /= 10;
            scale -= 1;
        }
        Self { unscaled, scale }
    }

    /// The number with that many digits after the point, rounded half away from zero; `None` when it
    /// then has more than 38 digits.
    pub fn rescale(self, scale: u8) -> Option<Self> {
        if scale == self.scale {
            return self.checked_digits();
        }
        if scale > self.scale {
            let factor = power_of_ten(u32::from(scale - self.scale));
            let Some(factor) = factor else {
                return (self.unscaled == 0).then_some(Self { unscaled: 0, scale });
            };
            return Self { unscaled: self.unscaled.checked_mul(factor)?, scale }.checked_digits();
        }
        let Some(divisor) = power_of_ten(u32::from(self.scale - scale)) else {
            return Some(Self { unscaled: 0, scale });
        };
        Self { unscaled: divide_rounded(self.unscaled, divisor), scale }.checked_digits()
    }

    /// The number cut after that many digits of its fraction.
    pub fn truncate(self, scale: u8) -> Self {
        if scale >= self.scale {
            return self;
        }
        match power_of_ten(u32::from(self.scale - scale)) {
            Some(divisor) => Self { unscaled: self.unscaled / divisor, scale },
            None => Self { unscaled: 0, scale },
        }
    }

    /// The number, if it has at most 38 digits.
    pub(crate) fn checked_digits(self) -> Option<Self> {
        (self.unscaled.unsigned_abs() < POWERS[38].unsigned_abs()).then_some(self)
    }

    /// How many digits stand before the point; 0 for numbers between -1 and 1.
    pub fn integer_digits(self) -> u32 {
        let magnitude = self.unscaled.unsigned_abs();
        let digits = magnitude.checked_ilog10().map_or(0, |log| log + 1);
        digits.saturating_sub(u32::from(self.scale))
    }

    /// The nearest integer; `None` when it does not fit in 64 bits.
    pub fn to_i64(self) -> Option<i64> {
        let Some(divisor) = power_of_ten(u32::from(self.scale)) else { return Some(0) };
        i64::try_from(divide_rounded(self.unscaled, divisor)).ok()
    }

    /// The nearest floating-point number.
    pub fn to_f64(self) -> f64 {
        // Two exact operands give a correctly rounded quotient.
        if self.unscaled.unsigned_abs() < (1 << 53) && self.scale <= 22 {
            return self.unscaled as f64 / 10f64.powi(i32::from(self.scale));
        }
        NumericRef::Decimal(self).to_string().parse().unwrap_or(f64::NAN)
    }

    /// The nearest single-precision floating-point number.
    pub fn to_f32(self) -> f32 {
        NumericRef::Decimal(self).to_string().parse().unwrap_or(f32::NAN)
    }
}

/// Quotient rounded half away from zero; the divisor is positive.
fn divide_rounded(number: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (number / divisor, number % divisor);
    if rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs() {
        quotient + number.signum()
    } else {
        quotient
    }
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Self {
        Self::new(i128::from(number), 0)
    }
}

impl From<i32> for Decimal {
    fn from(number: i32) -> Self {
        Self::new(i128::from(number), 0)
    }
}

impl From<u64> for Decimal {
    fn from(number: u64) -> Self {
        Self::new(i128::from(number), 0)
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl Hash for Decimal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let number = self.normalized();
        { number.unscaled }.hash(state);
        number.scale.hash(state);
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.scale == other.scale {
            return { self.unscaled }.cmp(&{ other.unscaled });
        }
        let (one, other) = (self.parts(), other.parts());
        one.cmp(&other)
    }
}

impl Decimal {
    /// The part before the point, and the part after it in units of 10^-38; both carry the sign.
    fn parts(self) -> (i128, i128) {
        let number = if self.scale > DECIMAL_DIGITS_MAX { self.normalized() } else { self };
        let scale = number.scale.min(DECIMAL_DIGITS_MAX);
        let divisor = POWERS[usize::from(scale)];
        let fraction = number.unscaled % divisor;
        (number.unscaled / divisor, fraction * POWERS[usize::from(DECIMAL_DIGITS_MAX - scale)])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::numeric::{Numeric, NumericRef};

    fn number(text: &str) -> Decimal {
        match Numeric::parse(text).unwrap() {
            Numeric::Decimal(number) => number,
            wide @ Numeric::Wide(_) => panic!("{wide} has more than 38 digits"),
        }
    }

    #[test]
    fn equality_ignores_the_zeros_at_the_end() {
        assert_eq!(number("1.0"), number("1.00"));
        assert_eq!(number("0"), number("-0.000"));
        assert!(number("1.05") < number("1.5"));
        assert!(number("-1.5") < number("-1.05"));
        assert!(number("99999999999999999999999999999999999999") > number("0.5"));
        assert_eq!(number("1.50").normalized().scale, 1);
        assert_eq!(number("100").normalized().scale, 0);
    }

    #[test]
    fn rounding_is_half_away_from_zero() {
        let shown = |number: Decimal| NumericRef::Decimal(number).to_string();
        assert_eq!(shown(number("2.345").rescale(2).unwrap()), "2.35");
        assert_eq!(shown(number("-2.345").rescale(2).unwrap()), "-2.35");
        assert_eq!(shown(number("2.3449").rescale(2).unwrap()), "2.34");
        assert_eq!(number("0.5").to_i64(), Some(1));
        assert_eq!(number("-2.5").to_i64(), Some(-3));
        assert_eq!(number("9223372036854775807.5").to_i64(), None);
        let large = number("99999999999999999999999999999999999999");
        assert_eq!(large.rescale(1), None);
        assert_eq!(large.rescale(0), Some(large));
    }
}
