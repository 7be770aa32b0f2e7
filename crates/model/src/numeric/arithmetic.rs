//! Arithmetic on numbers of any count of digits, NaN and the infinities.
//!
//! Numbers of up to 38 digits are computed with in 128 bits as long as the result has no more; only
//! what does not fit goes the long way. NaN gives NaN, and what the infinities leave undecided is NaN.

use super::sorting::Special;
use super::{Form, Numeric, NumericRef, big::Big, division_by_zero, quotient_scale};
use crate::error::{Error, ErrorKind, Result};

/// An infinity of that sign.
fn infinity(negative: bool) -> Numeric {
    if negative { Numeric::negative_infinity() } else { Numeric::infinity() }
}

// The traits of operators are for what cannot fail.
#[allow(clippy::should_implement_trait)]
impl NumericRef<'_> {
    /// The sum.
    ///
    /// # Errors
    /// 22003 when it has too many digits, here as in all operations.
    pub fn add(self, other: NumericRef<'_>) -> Result<Numeric> {
        if let (Self::Decimal(one), NumericRef::Decimal(other)) = (self, other)
            && let Some(sum) = one.checked_add(other)
        {
            return Ok(sum.into());
        }
        match (self.form(), other.form()) {
            (Form::Finite(one), Form::Finite(other)) => one.add(other).numeric(),
            (Form::Special(one), Form::Special(other)) if one == other => Ok(Numeric::special(one)),
            (Form::Special(_), Form::Special(_)) => Ok(Numeric::nan()),
            (Form::Special(special), _) | (_, Form::Special(special)) => Ok(Numeric::special(special)),
        }
    }

    /// The difference.
    pub fn sub(self, other: NumericRef<'_>) -> Result<Numeric> {
        if let (Self::Decimal(one), NumericRef::Decimal(other)) = (self, other)
            && let Some(difference) = one.checked_sub(other)
        {
            return Ok(difference.into());
        }
        self.add(other.neg().as_ref())
    }

    /// The product.
    pub fn mul(self, other: NumericRef<'_>) -> Result<Numeric> {
        if let (Self::Decimal(one), NumericRef::Decimal(other)) = (self, other)
            && let Some(product) = one.checked_mul(other)
        {
            return Ok(product.into());
        }
        if self.is_nan() || other.is_nan() {
            return Ok(Numeric::nan());
        }
        match (self.form(), other.form()) {
            (Form::Finite(one), Form::Finite(other)) => one.mul(other).numeric(),
            _ => Ok(match self.signum() * other.signum() {
                0 => Numeric::nan(),
                sign => infinity(sign < 0),
            }),
        }
    }

    /// The quotient, with at least 16 significant digits.
    ///
    /// # Errors
    /// 22012 for a division by zero, here as in all divisions.
    pub fn div(self, other: NumericRef<'_>) -> Result<Numeric> {
        if let (Self::Decimal(one), NumericRef::Decimal(other)) = (self, other)
            && let Some(quotient) = one.checked_div(other)
        {
            return Ok(quotient.into());
        }
        self.divide(other, |one, other| {
            let scale = quotient_scale(one.leading(), other.leading());
            one.div(&other, scale)
        })
    }

    /// The whole part of the quotient.
    pub fn div_whole(self, other: NumericRef<'_>) -> Result<Numeric> {
        self.divide(other, |one, other| {
            let (one, other, _) = one.aligned(other);
            Big::new(one / other, 0)
        })
    }

    fn divide(self, other: NumericRef<'_>, finite: impl Fn(Big, Big) -> Big) -> Result<Numeric> {
        if self.is_nan() || other.is_nan() {
            return Ok(Numeric::nan());
        }
        if other.is_zero() {
            return Err(division_by_zero());
        }
        match (self.form(), other.form()) {
            (Form::Finite(one), Form::Finite(other)) => finite(one, other).numeric(),
            (Form::Special(_), Form::Special(_)) => Ok(Numeric::nan()),
            (Form::Special(_), _) => Ok(infinity((self.signum() < 0) != (other.signum() < 0))),
            (_, Form::Special(_)) => Ok(Numeric::ZERO),
        }
    }

    /// The rest of the division that cuts towards zero.
    pub fn rem(self, other: NumericRef<'_>) -> Result<Numeric> {
        if let (Self::Decimal(one), NumericRef::Decimal(other)) = (self, other)
            && let Some(rest) = one.checked_rem(other)
        {
            return Ok(rest.into());
        }
        if self.is_nan() || other.is_nan() {
            return Ok(Numeric::nan());
        }
        if other.is_zero() {
            return Err(division_by_zero());
        }
        match (self.form(), other.form()) {
            (Form::Finite(one), Form::Finite(other)) => one.rem(other).numeric(),
            (Form::Special(_), _) => Ok(Numeric::nan()),
            (_, Form::Special(_)) => Ok(self.to_owned()),
        }
    }

    /// The opposite.
    pub fn neg(self) -> Numeric {
        if let Self::Decimal(number) = self {
            return number.negated().into();
        }
        match self.digits() {
            Ok(mut digits) => {
                digits.negative = !digits.negative && !digits.digits.is_empty();
                digits.numeric()
            }
            Err(Special::NaN) => Numeric::nan(),
            Err(special) => infinity(special == Special::Infinity),
        }
    }

    /// The number without its sign.
    pub fn abs(self) -> Numeric {
        if self.signum() < 0 { self.neg() } else { self.to_owned() }
    }

    /// The number with that many digits after the point, rounded half away from zero; negative places
    /// are before the point.
    pub fn round(self, places: i32) -> Result<Numeric> {
        self.cut(places, Big::rescale)
    }

    /// The number cut after that many digits; negative places are before the point.
    pub fn trunc(self, places: i32) -> Result<Numeric> {
        self.cut(places, Big::truncate)
    }

    fn cut(self, places: i32, shorten: fn(Big, u32) -> Big) -> Result<Numeric> {
        if self.scale().is_some_and(|scale| u32::try_from(places) == Ok(scale)) {
            return Ok(self.to_owned());
        }
        let Form::Finite(number) = self.form() else { return Ok(self.to_owned()) };
        let Ok(scale) = u32::try_from(places) else {
            // 1234.5 to the hundreds: 12.345, shortened, times a hundred.
            let moved = Big::new(number.unscaled, number.scale + places.unsigned_abs());
            let whole = shorten(moved, 0);
            return Big::new(whole.unscaled * super::big::ten_to(places.unsigned_abs()), 0).numeric();
        };
        shorten(number, scale).numeric()
    }

    /// The largest whole number that is not larger.
    pub fn floor(self) -> Result<Numeric> {
        let whole = self.trunc(0)?;
        if whole.as_ref() > self { whole.as_ref().sub(NumericRef::new(1, 0)) } else { Ok(whole) }
    }

    /// The smallest whole number that is not smaller.
    pub fn ceil(self) -> Result<Numeric> {
        let whole = self.trunc(0)?;
        if whole.as_ref() < self { whole.as_ref().add(NumericRef::new(1, 0)) } else { Ok(whole) }
    }

    /// Whether it has no fraction; so do infinities.
    pub fn is_whole(self) -> bool {
        match self {
            Self::Decimal(number) => number.normalized().scale == 0,
            wide @ Self::Wide(_) => match wide.digits() {
                Ok(digits) => digits.exponent >= digits.digits.len() as i32,
                Err(special) => special != Special::NaN,
            },
        }
    }

    /// The number without the zeros that end its fraction.
    pub fn trim_scale(self) -> Numeric {
        if let Self::Decimal(number) = self {
            return number.normalized().into();
        }
        match self.digits() {
            Ok(mut digits) => {
                digits.scale = (digits.digits.len() as i32 - digits.exponent).max(0).unsigned_abs();
                digits.numeric()
            }
            Err(special) => Numeric::special(special),
        }
    }

    /// The number under a column's `numeric(precision, scale)`.
    ///
    /// # Errors
    /// 22003 when the column has too few digits before the point.
    pub fn fit(self, precision: u16, scale: i16) -> Result<Numeric> {
        let whole = i32::from(precision) - i32::from(scale);
        let refused =
            |detail: String| Error::new(ErrorKind::OutOfRange, "numeric field overflow").detail(detail);
        if self.is_infinite() {
            return Err(refused(format!(
                "A field with precision {precision}, scale {scale} cannot hold an infinite value."
            )));
        }
        if let (Self::Decimal(number), Ok(scale)) = (self, u8::try_from(scale))
            && let Some(number) = number.rescale(scale)
            && number.integer_digits() as i32 <= whole.max(0)
            && whole >= 0
        {
            return Ok(number.into());
        }
        let rounded = self.round(scale.into())?;
        let fits = match rounded.as_ref().digits() {
            Ok(digits) => digits.digits.is_empty() || digits.exponent <= whole,
            // NaN has no digits.
            Err(_) => true,
        };
        if fits {
            return Ok(rounded);
        }
        let limit = if whole == 0 { "1".to_owned() } else { format!("10^{whole}") };
        Err(refused(format!(
            "A field with precision {precision}, scale {scale} must round to an absolute value less than {limit}."
        )))
    }
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
    fn quotients_have_the_digits_that_postgresql_gives() {
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
            let quotient = number(one).as_ref().div(number(other).as_ref()).unwrap();
            assert_eq!(quotient.to_string(), wanted, "{one}/{other}");
        }
    }

    #[test]
    fn nan_and_the_infinities_behave_as_postgresql_has_them() {
        let (nan, infinity, below) = (Numeric::nan(), Numeric::infinity(), Numeric::negative_infinity());
        assert!(nan > infinity && infinity > number("1e1000") && number("-1e1000") > below && nan == nan);
        let shown = |number: Result<Numeric>| number.unwrap().to_string();
        assert_eq!(shown(infinity.as_ref().add(below.as_ref())), "NaN");
        assert_eq!(shown(infinity.as_ref().sub(number("5").as_ref())), "Infinity");
        assert_eq!(shown(infinity.as_ref().mul(number("-2").as_ref())), "-Infinity");
        assert_eq!(shown(infinity.as_ref().mul(number("0").as_ref())), "NaN");
        assert_eq!(shown(number("5").as_ref().div(below.as_ref())), "0");
        assert_eq!(shown(number("5").as_ref().rem(below.as_ref())), "5");
        assert!(infinity.as_ref().div(number("0").as_ref()).is_err());
    }

    #[test]
    fn a_number_with_too_many_digits_is_refused() {
        let large = number("1e131071");
        assert_eq!(large.as_ref().mul(number("10").as_ref()).unwrap_err().sqlstate(), "22003");
        assert_eq!(large.as_ref().add(number("1").as_ref()).unwrap().as_ref().integer_digits(), 131_072);
        let small = number("1e-16383");
        assert_eq!(small.as_ref().mul(number("0.1").as_ref()).unwrap().as_ref().scale(), Some(16_383));
    }

    proptest! {
        /// The 128-bit form and the long one are two ways to one result.
        #[test]
        fn both_forms_compute_the_same(one in any::<i64>(), other in any::<i64>(), a in 0u8..=12, b in 0u8..=12) {
            let (one, other) = (Numeric::new(one.into(), a), Numeric::new(other.into(), b));
            let big = |number: &Numeric| match number.as_ref().form() {
                Form::Finite(big) => big,
                Form::Special(_) => unreachable!(),
            };
            let same = |short: Result<Numeric>, long: Big| {
                let (short, long) = (short.unwrap(), long.numeric().unwrap());
                assert_eq!(short.to_string(), long.to_string());
            };
            same(one.as_ref().add(other.as_ref()), big(&one).add(big(&other)));
            same(one.as_ref().mul(other.as_ref()), big(&one).mul(big(&other)));
            if !other.as_ref().is_zero() {
                let scale = quotient_scale(big(&one).leading(), big(&other).leading());
                same(one.as_ref().div(other.as_ref()), big(&one).div(&big(&other), scale));
                same(one.as_ref().rem(other.as_ref()), big(&one).rem(big(&other)));
            }
        }

        #[test]
        fn what_was_added_can_be_taken_away(one in "-?[1-9][0-9]{0,60}\\.[0-9]{0,50}", other in "-?[1-9][0-9]{30,60}") {
            let (one, other) = (number(&one), number(&other));
            let sum = one.as_ref().add(other.as_ref()).unwrap();
            prop_assert_eq!(sum.as_ref().sub(other.as_ref()).unwrap(), one.clone());
            let product = one.as_ref().mul(other.as_ref()).unwrap();
            prop_assert_eq!(product.as_ref().div(other.as_ref()).unwrap().as_ref().round(50).unwrap(), one);
        }

        #[test]
        fn order_is_that_of_the_difference(one in "-?[0-9]{1,50}(\\.[0-9]{1,50})?", other in "-?[0-9]{1,50}(\\.[0-9]{1,50})?") {
            let (one, other) = (number(&one), number(&other));
            let difference = one.as_ref().sub(other.as_ref()).unwrap();
            prop_assert_eq!(difference.as_ref().signum().cmp(&0), one.cmp(&other));
        }
    }
}
