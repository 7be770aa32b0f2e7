//! Checked arithmetic on decimal numbers of up to 38 digits.
//!
//! The scales of results are PostgreSQL's: the larger one for sums, the sum for products, and for
//! quotients enough for 16 significant digits.

use super::{DECIMAL_DIGITS_MAX, Decimal, power_of_ten};
use crate::numeric::{Leading, quotient_scale};

impl Decimal {
    /// The sum.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let (one, other) = self.aligned(other)?;
        Self { unscaled: one.unscaled.checked_add(other.unscaled)?, scale: one.scale }.checked_digits()
    }

    /// The difference.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(other.negated())
    }

    /// The product.
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        let scale = self.scale.checked_add(other.scale).filter(|scale| *scale <= DECIMAL_DIGITS_MAX)?;
        Self { unscaled: self.unscaled.checked_mul(other.unscaled)?, scale }.checked_digits()
    }

    /// The quotient with PostgreSQL's choice of digits; `None` also for division by zero.
    pub fn checked_div(self, other: Self) -> Option<Self> {
        if other.unscaled == 0 {
            return None;
        }
        let scale = quotient_scale(self.leading(), other.leading());
        self.checked_div_scale(other, u8::try_from(scale).ok().filter(|scale| *scale <= DECIMAL_DIGITS_MAX)?)
    }

    /// The quotient rounded to that many digits after the point; `None` also for division by zero.
    pub fn checked_div_scale(self, other: Self, scale: u8) -> Option<Self> {
        if other.unscaled == 0 {
            return None;
        }
        let divisor = other.unscaled.unsigned_abs();
        let mut quotient = self.unscaled.unsigned_abs() / divisor;
        let mut rest = self.unscaled.unsigned_abs() % divisor;
        let digits = i32::from(scale) + i32::from(other.scale) - i32::from(self.scale);
        if digits < 0 {
            return None;
        }
        for _ in 0..digits {
            if quotient == 0 && rest == 0 {
                break;
            }
            let (digit, left) = ten_times(rest, divisor);
            quotient = quotient.checked_mul(10)?.checked_add(digit)?;
            rest = left;
        }
        if rest >= divisor - rest {
            quotient += 1;
        }
        let magnitude = i128::try_from(quotient).ok()?;
        let negative = (self.unscaled < 0) != (other.unscaled < 0);
        Self { unscaled: if negative { -magnitude } else { magnitude }, scale }.checked_digits()
    }

    /// The rest of the division that cuts towards zero; `None` also for division by zero.
    pub fn checked_rem(self, other: Self) -> Option<Self> {
        let (one, other) = self.aligned(other)?;
        Some(Self { unscaled: one.unscaled.checked_rem(other.unscaled)?, scale: one.scale })
    }

    /// The opposite.
    pub const fn negated(self) -> Self {
        // No number has more than 38 digits, so that its opposite is one.
        Self { unscaled: self.unscaled.wrapping_neg(), scale: self.scale }
    }

    /// The number without its sign.
    pub const fn magnitude(self) -> Self {
        Self { unscaled: self.unscaled.wrapping_abs(), scale: self.scale }
    }

    /// Both numbers with the larger one's scale.
    fn aligned(self, other: Self) -> Option<(Self, Self)> {
        let scale = self.scale.max(other.scale);
        Some((self.rescale(scale)?, other.rescale(scale)?))
    }

    /// What decides the digits of a quotient: PostgreSQL counts digits in groups of four from the point.
    pub(crate) fn leading(self) -> Leading {
        let magnitude = self.unscaled.unsigned_abs();
        let scale = u32::from(self.scale);
        let Some(log) = magnitude.checked_ilog10() else { return Leading { weight: 0, group: 0, scale } };
        let exponent = log as i32 - i32::from(self.scale);
        let weight = exponent.div_euclid(4);
        // Digits below the group's last one.
        let below = i32::from(self.scale) + weight * 4;
        let group = if below >= 0 {
            power_of_ten(below as u32).map_or(0, |divisor| magnitude / divisor.unsigned_abs())
        } else {
            magnitude * 10u128.pow(below.unsigned_abs())
        };
        Leading { weight, group: group as u32, scale }
    }
}

/// `rest * 10` divided by the divisor, without a product that could overflow; `rest < divisor`.
fn ten_times(rest: u128, divisor: u128) -> (u128, u128) {
    let add = |digit: u128, one: u128, other: u128| {
        // Both are below the divisor, which is at most 2^127: the sum fits.
        let sum = one + other;
        if sum >= divisor { (digit + 1, sum - divisor) } else { (digit, sum) }
    };
    let (digit, left) = add(0, rest, rest);
    let (digit, left) = add(digit * 2, left, left);
    let (digit, left) = add(digit, left, rest);
    add(digit * 2, left, left)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quotient_times_divisor_plus_rest_is_the_number(
            one in any::<i64>(), other in any::<i64>().prop_filter("zero", |n| *n != 0)
        ) {
            let (one, other) = (Decimal::from(one), Decimal::from(other));
            let quotient = one.checked_sub(one.checked_rem(other).unwrap()).unwrap()
                .checked_div_scale(other, 0).unwrap();
            let rest = one.checked_rem(other).unwrap();
            prop_assert_eq!(quotient.checked_mul(other).unwrap().checked_add(rest).unwrap(), one);
        }

        #[test]
        fn arithmetic_never_panics(
            one in any::<i128>(), other in any::<i128>(), a in 0u8..=38, b in 0u8..=38
        ) {
            let (one, other) = (Decimal::new(one, a), Decimal::new(other, b));
            let _ = (one.checked_add(other), one.checked_mul(other), one.checked_div(other), one.checked_rem(other));
            let _ = (one.cmp(&other), one.to_i64(), one.to_f64(), one.normalized(), one.rescale(b));
        }
    }
}
