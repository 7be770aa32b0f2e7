//! Finite numbers of any count of digits, to be computed with.

use num_bigint::{BigInt, BigUint, Sign};

use super::sorting::Digits;
use super::{Decimal, INTEGER_DIGITS_MAX, Leading, Numeric, SCALE_MAX, overflow};
use crate::error::Result;

/// The number `unscaled / 10^scale`.
#[derive(Clone, Debug)]
pub(super) struct Big {
    pub(super) unscaled: BigInt,
    pub(super) scale: u32,
}

/// 10 to that power.
pub(super) fn ten_to(exponent: u32) -> BigInt {
    BigInt::from(10u8).pow(exponent)
}

impl From<Decimal> for Big {
    fn from(number: Decimal) -> Self {
        Self { unscaled: number.unscaled.into(), scale: number.scale.into() }
    }
}

impl From<&Digits> for Big {
    fn from(number: &Digits) -> Self {
        let sign = if number.negative { Sign::Minus } else { Sign::Plus };
        let magnitude = BigUint::from_radix_be(&number.digits, 10).unwrap_or_default();
        let given = BigInt::from_biguint(sign, magnitude);
        // The digits are in units of 10^(exponent - their count), the result is in units of 10^-scale.
        let shift = number.scale as i32 + number.exponent - number.digits.len() as i32;
        Self { unscaled: given * ten_to(shift.max(0).unsigned_abs()), scale: number.scale }
    }
}

/// A quotient rounded half away from zero.
pub(super) fn divide_rounded(number: &BigInt, divisor: &BigInt) -> BigInt {
    let quotient = number / divisor;
    let rest = number - &quotient * divisor;
    if rest.magnitude() * 2u8 >= *divisor.magnitude() {
        let away = if (number.sign() == Sign::Minus) == (divisor.sign() == Sign::Minus) { 1 } else { -1 };
        return quotient + away;
    }
    quotient
}

impl Big {
    pub(super) fn new(unscaled: impl Into<BigInt>, scale: u32) -> Self {
        Self { unscaled: unscaled.into(), scale }
    }

    pub(super) fn is_zero(&self) -> bool {
        self.unscaled.sign() == Sign::NoSign
    }

    pub(super) fn is_negative(&self) -> bool {
        self.unscaled.sign() == Sign::Minus
    }

    /// The number with that many digits after the point, rounded half away from zero.
    pub(super) fn rescale(self, scale: u32) -> Self {
        let unscaled = if scale >= self.scale {
            self.unscaled * ten_to(scale - self.scale)
        } else {
            divide_rounded(&self.unscaled, &ten_to(self.scale - scale))
        };
        Self { unscaled, scale }
    }

    /// The number cut after that many digits of its fraction.
    pub(super) fn truncate(self, scale: u32) -> Self {
        if scale >= self.scale {
            return self.rescale(scale);
        }
        Self { unscaled: self.unscaled / ten_to(self.scale - scale), scale }
    }

    /// Both numbers with the larger one's scale.
    pub(super) fn aligned(self, other: Self) -> (BigInt, BigInt, u32) {
        let scale = self.scale.max(other.scale);
        (self.rescale(scale).unscaled, other.rescale(scale).unscaled, scale)
    }

    pub(super) fn add(self, other: Self) -> Self {
        let (one, other, scale) = self.aligned(other);
        Self { unscaled: one + other, scale }
    }

    /// The product; a fraction of more digits than a number may have is rounded.
    pub(super) fn mul(self, other: Self) -> Self {
        let scale = self.scale + other.scale;
        let product = Self { unscaled: self.unscaled * other.unscaled, scale };
        if scale > SCALE_MAX { product.rescale(SCALE_MAX) } else { product }
    }

    /// The quotient rounded to that many digits after the point; the divisor is not zero.
    pub(super) fn div(self, other: &Self, scale: u32) -> Self {
        let shift = i64::from(scale) + i64::from(other.scale) - i64::from(self.scale);
        let factor = ten_to(shift.unsigned_abs() as u32);
        let unscaled = if shift >= 0 {
            divide_rounded(&(self.unscaled * factor), &other.unscaled)
        } else {
            divide_rounded(&self.unscaled, &(&other.unscaled * factor))
        };
        Self { unscaled, scale }
    }

    /// The rest of the division that cuts towards zero; the divisor is not zero.
    pub(super) fn rem(self, other: Self) -> Self {
        let (one, other, scale) = self.aligned(other);
        Self { unscaled: one % other, scale }
    }

    /// What decides the digits of a quotient.
    pub(super) fn leading(&self) -> Leading {
        let digits = self.digits();
        let Some(last) = digits.exponent.checked_sub(1).filter(|_| !digits.digits.is_empty()) else {
            return Leading { weight: 0, group: 0, scale: self.scale };
        };
        let width = last.rem_euclid(4) as usize + 1;
        let digit = |at: usize| u32::from(digits.digits.get(at).copied().unwrap_or(0));
        let group = (0..width).fold(0, |group, at| group * 10 + digit(at));
        Leading { weight: last.div_euclid(4), group, scale: self.scale }
    }

    /// The power of ten that the number is 0.d1d2d3… times of; `None` for zero.
    pub(super) fn exponent(&self) -> Option<i32> {
        (!self.is_zero()).then(|| self.digits().exponent)
    }

    fn digits(&self) -> Digits {
        let (sign, digits) = self.unscaled.to_radix_be(10);
        Digits::new(sign == Sign::Minus, digits, self.scale)
    }

    /// The nearest double, infinite when it is too large for one.
    pub(super) fn to_f64(&self) -> f64 {
        self.digits().to_f64()
    }

    /// The number, if it has no more digits than a number may have.
    pub(super) fn numeric(self) -> Result<Numeric> {
        if self.scale <= u32::from(super::DECIMAL_DIGITS_MAX)
            && let Ok(unscaled) = i128::try_from(&self.unscaled)
            && let Some(decimal) = Decimal::new(unscaled, self.scale as u8).checked_digits()
        {
            return Ok(Numeric::Decimal(decimal));
        }
        // 3.32 bits are a digit: what is far too large is not written out first.
        if self.unscaled.bits() > u64::from(INTEGER_DIGITS_MAX + SCALE_MAX) * 4 {
            return Err(overflow());
        }
        let digits = self.digits();
        if digits.exponent > INTEGER_DIGITS_MAX as i32 || digits.scale > SCALE_MAX {
            return Err(overflow());
        }
        Ok(digits.numeric())
    }
}
