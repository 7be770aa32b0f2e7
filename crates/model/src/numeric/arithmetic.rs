//! Checked arithmetic on decimal numbers.
//!
//! The scales of results are PostgreSQL's: the larger one for sums, the sum for products, and for
//! quotients enough for 16 significant digits.

use super::{NUMERIC_DIGITS_MAX, Numeric, power_of_ten};

impl Numeric {
    /// The sum.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let (one, other) = self.aligned(other)?;
        Self { unscaled: one.unscaled.checked_add(other.unscaled)?, scale: one.scale }.checked_digits()
    }

    /// The difference.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(other.checked_neg()?)
    }

    /// The product.
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        let exact = |one: Self, other: Self| {
            let scale = one.scale.checked_add(other.scale).filter(|scale| *scale <= NUMERIC_DIGITS_MAX)?;
            Self { unscaled: one.unscaled.checked_mul(other.unscaled)?, scale }.checked_digits()
        };
        exact(self, other).or_else(|| exact(self.normalized(), other.normalized()))
    }

    /// The quotient with PostgreSQL's choice of digits; `None` also for division by zero.
    pub fn checked_div(self, other: Self) -> Option<Self> {
        if other.unscaled == 0 {
            return None;
        }
        self.checked_div_scale(other, self.quotient_scale(other))
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
            let exact = self.checked_div_scale(other, self.scale)?;
            return exact.rescale(scale);
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
    pub fn checked_neg(self) -> Option<Self> {
        Some(Self { unscaled: self.unscaled.checked_neg()?, scale: self.scale })
    }

    /// The number without its sign.
    pub fn checked_abs(self) -> Option<Self> {
        Some(Self { unscaled: self.unscaled.checked_abs()?, scale: self.scale })
    }

    /// Both numbers with one scale: the larger one, or the smaller one where only that has room.
    fn aligned(self, other: Self) -> Option<(Self, Self)> {
        let scale = self.scale.max(other.scale);
        match (self.rescale(scale), other.rescale(scale)) {
            (Some(one), Some(other)) => Some((one, other)),
            _ => {
                let (one, other) = (self.normalized(), other.normalized());
                let scale = one.scale.max(other.scale);
                Some((one.rescale(scale)?, other.rescale(scale)?))
            }
        }
    }

    /// PostgreSQL counts digits in groups of four from the point.
    fn quotient_scale(self, other: Self) -> u8 {
        let (weight, first) = self.leading_group();
        let (other_weight, other_first) = other.leading_group();
        let weight = weight - other_weight - i32::from(first <= other_first);
        let scale = (16 - weight * 4).max(i32::from(self.scale)).max(i32::from(other.scale));
        scale.clamp(0, i32::from(NUMERIC_DIGITS_MAX)) as u8
    }

    /// Place (0 is just before the point) and value of the first group of four digits that is not
    /// zero.
    fn leading_group(self) -> (i32, u128) {
        let magnitude = self.unscaled.unsigned_abs();
        let Some(log) = magnitude.checked_ilog10() else { return (0, 0) };
        let exponent = log as i32 - i32::from(self.scale);
        let weight = exponent.div_euclid(4);
        // Digits below the group's last one.
        let below = i32::from(self.scale) + weight * 4;
        let group = if below >= 0 {
            power_of_ten(below as u32).map_or(0, |divisor| magnitude / divisor.unsigned_abs())
        } else {
            magnitude * 10u128.pow(below.unsigned_abs())
        };
        (weight, group)
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

    fn number(text: &str) -> Numeric {
        Numeric::parse(text).unwrap()
    }

    #[test]
    fn results_have_the_digits_that_postgresql_gives() {
        assert_eq!(number("1.5").checked_add(number("2.25")).unwrap().to_string(), "3.75");
        assert_eq!(number("1.50").checked_sub(number("1.5")).unwrap().to_string(), "0.00");
        assert_eq!(number("1.5").checked_mul(number("2.25")).unwrap().to_string(), "3.375");
        // Checked against PostgreSQL 15.
        for (one, other, wanted) in [
            ("1", "3", "0.33333333333333333333"),
            ("10", "3", "3.3333333333333333"),
            ("2", "3", "0.66666666666666666667"),
            ("100000", "3", "33333.333333333333"),
            ("1", "7.00", "0.14285714285714285714"),
            ("-22", "7", "-3.1428571428571429"),
            ("123456789012345678901234567890", "7", "17636684144620811271604938270"),
            ("0.0001", "3", "0.000033333333333333333333"),
            ("4", "2", "2.0000000000000000"),
            ("0", "5", "0.00000000000000000000"),
            ("9999", "10000", "0.99990000000000000000"),
        ] {
            assert_eq!(number(one).checked_div(number(other)).unwrap().to_string(), wanted, "{one}/{other}");
        }
        assert_eq!(number("7.5").checked_rem(number("-2")).unwrap().to_string(), "1.5");
        assert_eq!(number("-7.5").checked_rem(number("2")).unwrap().to_string(), "-1.5");
    }

    #[test]
    fn what_does_not_fit_is_none() {
        let most = number("99999999999999999999999999999999999999");
        assert_eq!(most.checked_add(number("1")), None);
        assert_eq!(most.checked_mul(number("10")), None);
        assert_eq!(most.checked_mul(number("1.0")), Some(most));
        assert_eq!(most.checked_add(number("0.0")), Some(most));
        assert_eq!(most.checked_div(number("0")), None);
        assert_eq!(most.checked_rem(number("0")), None);
    }

    proptest! {
        #[test]
        fn quotient_times_divisor_plus_rest_is_the_number(
            one in any::<i64>(), other in any::<i64>().prop_filter("zero", |n| *n != 0)
        ) {
            let (one, other) = (Numeric::from(one), Numeric::from(other));
            let quotient = one.checked_sub(one.checked_rem(other).unwrap()).unwrap()
                .checked_div_scale(other, 0).unwrap();
            let rest = one.checked_rem(other).unwrap();
            prop_assert_eq!(quotient.checked_mul(other).unwrap().checked_add(rest).unwrap(), one);
        }

        #[test]
        fn arithmetic_never_panics(
            one in any::<i128>(), other in any::<i128>(), a in 0u8..=38, b in 0u8..=38
        ) {
            let (one, other) = (Numeric::new(one, a), Numeric::new(other, b));
            let _ = (one.checked_add(other), one.checked_mul(other), one.checked_div(other), one.checked_rem(other));
            let _ = (one.cmp(&other), one.to_i64(), one.to_f64(), one.normalized(), one.rescale(b));
        }
    }
}
