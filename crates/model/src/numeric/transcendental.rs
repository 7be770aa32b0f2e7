//! Roots, exponentials, logarithms and powers, with the digits that PostgreSQL shows.
//!
//! Each is computed with a dozen digits more than are shown, in binary numbers with a fixed point, and then
//! rounded.

use num_bigint::BigInt;

use super::big::{Big, divide_rounded, ten_to};
use super::sorting::Special;
use super::{
    Form, INEXACT_SCALE_MAX, INTEGER_DIGITS_MAX, Numeric, NumericRef, SIGNIFICANT_DIGITS_MIN, inexact_scale,
    overflow,
};
use crate::error::{Error, ErrorKind, Result};

/// Decimal digits that are computed beyond those shown.
const GUARD_DIGITS: u32 = 12;
/// Largest argument of the exponential function, with either sign.
const EXPONENT_MAX: f64 = 6000.0;

/// The logarithm of e with PostgreSQL's digits, which decide about the digits of results.
#[allow(clippy::approx_constant)]
const LOG10_E: f64 = 0.434_294_481_903_252;

/// Bits that hold so many decimal digits.
const fn bits_of(digits: u32) -> u32 {
    // log2(10) is a little less than 3.322.
    digits * 3322 / 1000 + 1
}

fn logarithm_error(what: &str) -> Error {
    Error::new(ErrorKind::InvalidLogarithmArgument, format!("cannot take logarithm of {what}"))
}

fn power_error(message: &str) -> Error {
    Error::new(ErrorKind::InvalidPowerArgument, message)
}

impl NumericRef<'_> {
    /// The square root.
    ///
    /// # Errors
    /// 2201F for a negative number.
    pub fn sqrt(self) -> Result<Numeric> {
        if self.signum() < 0 {
            return Err(power_error("cannot take square root of a negative number"));
        }
        let Form::Finite(number) = self.form() else { return Ok(self.to_owned()) };
        let weight = (number.leading().weight + 1) * 2 - 1;
        let scale = inexact_scale(SIGNIFICANT_DIGITS_MIN - weight, &[number.scale]);
        square_root(&number, scale).numeric()
    }

    /// e to the power of the number.
    pub fn exp(self) -> Result<Numeric> {
        let number = match self.form() {
            Form::Finite(number) => number,
            Form::Special(Special::NegativeInfinity) => return Ok(Numeric::ZERO),
            Form::Special(special) => return Ok(Numeric::special(special)),
        };
        let weight = (number.to_f64() * LOG10_E).clamp(-2000.0, 2000.0);
        let scale = inexact_scale(SIGNIFICANT_DIGITS_MIN - weight as i32, &[number.scale]);
        exponential(&number, scale)?.numeric()
    }

    /// The natural logarithm.
    ///
    /// # Errors
    /// 2201E for zero and negative numbers, here as for other bases.
    pub fn ln(self) -> Result<Numeric> {
        self.check_logarithm()?;
        let Form::Finite(number) = self.form() else { return Ok(self.to_owned()) };
        let scale = inexact_scale(SIGNIFICANT_DIGITS_MIN - logarithm_weight(&number), &[number.scale]);
        logarithm(&number, scale).numeric()
    }

    /// The logarithm to a base.
    pub fn log(self, base: NumericRef<'_>) -> Result<Numeric> {
        if self.is_nan() || base.is_nan() {
            return Ok(Numeric::nan());
        }
        if self.signum() < 0 || base.signum() < 0 {
            return Err(logarithm_error("a negative number"));
        }
        self.check_logarithm()?;
        base.check_logarithm()?;
        let (number, base) = match (self.form(), base.form()) {
            (Form::Finite(number), Form::Finite(base)) => (number, base),
            (Form::Special(_), Form::Special(_)) => return Ok(Numeric::nan()),
            (Form::Special(special), _) => return Ok(Numeric::special(special)),
            (_, Form::Special(_)) => return Ok(Numeric::ZERO),
        };
        let (number_weight, base_weight) = (logarithm_weight(&number), logarithm_weight(&base));
        let wanted = SIGNIFICANT_DIGITS_MIN - (number_weight - base_weight);
        let scale = inexact_scale(wanted, &[number.scale, base.scale]);
        // As many significant digits of both as the result has.
        let digits = scale as i32 + number_weight - base_weight;
        let precise = |weight: i32| (digits - weight).max(0).unsigned_abs() + GUARD_DIGITS;
        let divisor = logarithm(&base, precise(base_weight));
        if divisor.is_zero() {
            return Err(super::division_by_zero());
        }
        logarithm(&number, precise(number_weight)).div(&divisor, scale).numeric()
    }

    fn check_logarithm(self) -> Result<()> {
        match self.signum() {
            0 => Err(logarithm_error("zero")),
            -1 => Err(logarithm_error("a negative number")),
            _ => Ok(()),
        }
    }

    /// The number to the power of another one.
    ///
    /// # Errors
    /// 2201F for zero to a negative power and a negative number to a fractional one.
    pub fn power(self, exponent: NumericRef<'_>) -> Result<Numeric> {
        let one = NumericRef::new(1, 0);
        if self.is_nan() || exponent.is_nan() {
            return Ok(if exponent.is_zero() || self == one { Numeric::new(1, 0) } else { Numeric::nan() });
        }
        if self.is_zero() && exponent.signum() < 0 {
            return Err(power_error("zero raised to a negative power is undefined"));
        }
        if self.signum() < 0 && !exponent.is_whole() {
            return Err(power_error(
                "a negative number raised to a non-integer power yields a complex result",
            ));
        }
        match (self.form(), exponent.form()) {
            (Form::Finite(base), Form::Finite(power)) => finite_power(base, &power)?.numeric(),
            _ => Ok(self.infinite_power(exponent)),
        }
    }

    /// A power of which one side is infinite.
    fn infinite_power(self, exponent: NumericRef<'_>) -> Numeric {
        let one = Numeric::new(1, 0);
        if self == one.as_ref() || exponent.is_zero() {
            return one;
        }
        if self.is_zero() {
            return Numeric::ZERO;
        }
        if exponent.is_infinite() {
            let size = self.abs();
            if size == one {
                return one;
            }
            let grows = (size > one) == (exponent.signum() > 0);
            return if grows { Numeric::infinity() } else { Numeric::ZERO };
        }
        if exponent.signum() < 0 {
            return Numeric::ZERO;
        }
        let half = exponent.rem(NumericRef::new(2, 0)).unwrap_or_default();
        if self.signum() < 0 && !half.as_ref().is_zero() {
            Numeric::negative_infinity()
        } else {
            Numeric::infinity()
        }
    }
}

/// The square root with that many digits after the point.
pub(super) fn square_root(number: &Big, scale: u32) -> Big {
    let shift = i64::from(scale) * 2 - i64::from(number.scale);
    let factor = ten_to(shift.unsigned_abs() as u32);
    let radicand = if shift >= 0 { &number.unscaled * factor } else { &number.unscaled / factor };
    let root = radicand.sqrt();
    // Half way between two roots lies no square of whole numbers: the rest decides.
    let up = &radicand - &root * &root > root;
    Big::new(if up { root + 1 } else { root }, scale)
}

/// A number as a whole one in units of 2^-bits.
fn fixed(number: &Big, bits: u32) -> BigInt {
    (&number.unscaled << bits) / ten_to(number.scale)
}

fn from_fixed(value: &BigInt, bits: u32, scale: u32) -> Big {
    Big::new(divide_rounded(&(value * ten_to(scale)), &(BigInt::from(1) << bits)), scale)
}

/// e^x with that many digits after the point.
fn exponential(number: &Big, scale: u32) -> Result<Big> {
    let size = number.to_f64();
    if size.abs() >= EXPONENT_MAX {
        return if size > 0.0 { Err(overflow()) } else { Ok(Big::new(0, scale)) };
    }
    let weight = (size * LOG10_E).max(0.0) as u32;
    // The argument is halved until it is small, and the result squared as often.
    let halvings = (size.abs().log2().max(0.0) as u32) + 10;
    let bits = bits_of(scale + weight + GUARD_DIGITS) + 2 * halvings;
    let argument = fixed(number, bits) >> halvings;
    let one = BigInt::from(1) << bits;
    let (mut sum, mut term) = (one.clone() + &argument, argument.clone());
    for place in 2u32.. {
        term = ((term * &argument) >> bits) / place;
        if term.bits() < 2 {
            break;
        }
        sum += &term;
    }
    for _ in 0..halvings {
        sum = (&sum * &sum) >> bits;
    }
    Ok(from_fixed(&sum, bits, scale))
}

/// Twice the area hyperbolic tangent of a small number, in units of 2^-bits.
fn twice_artanh(argument: &BigInt, bits: u32) -> BigInt {
    let square = (argument * argument) >> bits;
    let (mut sum, mut power) = (argument.clone(), argument.clone());
    for place in (3u32..).step_by(2) {
        power = (power * &square) >> bits;
        let term = &power / place;
        if term.bits() < 2 {
            break;
        }
        sum += term;
    }
    sum * 2
}

/// ln x with that many digits after the point; x is positive.
fn logarithm(number: &Big, scale: u32) -> Big {
    let bits = bits_of(scale + GUARD_DIGITS) + 32;
    let divisor = ten_to(number.scale);
    // x is mantissa / 2^bits × 2^exponent, with a mantissa that has about that many bits.
    let shift = i64::from(bits) + divisor.bits() as i64 - number.unscaled.bits() as i64;
    let mut mantissa = if shift >= 0 {
        (&number.unscaled << shift.unsigned_abs()) / &divisor
    } else {
        &number.unscaled / (&divisor << shift.unsigned_abs())
    };
    let mut exponent = i64::from(bits) - shift;
    let one = BigInt::from(1) << bits;
    // Between 3/4 and 3/2, where the series is short.
    while &mantissa * 2 > &one * 3 {
        mantissa >>= 1;
        exponent += 1;
    }
    while &mantissa * 4 < &one * 3 {
        mantissa <<= 1;
        exponent -= 1;
    }
    let argument = ((&mantissa - &one) << bits) / (&mantissa + &one);
    let ln_two = twice_artanh(&(&one / 3), bits);
    from_fixed(&(twice_artanh(&argument, bits) + ln_two * exponent), bits, scale)
}

/// Decimal places of the first digit of ln x, estimated as PostgreSQL does.
fn logarithm_weight(number: &Big) -> i32 {
    let (nine, eleven) = (Big::new(9, 1), Big::new(11, 1));
    let less = |one: &Big, other: &Big| {
        let (one, other, _) = one.clone().aligned(other.clone());
        one < other
    };
    if !less(number, &nine) && !less(&eleven, number) {
        // Near 1, ln x is about x - 1.
        let rest = number.clone().add(Big::new(-1, 0));
        return rest.exponent().map_or(0, |exponent| exponent - 1);
    }
    let Some(exponent) = number.exponent() else { return 0 };
    // As a fraction of one digit before the point, which a double holds however large the number is.
    let digits = number.unscaled.magnitude().to_string();
    let first: f64 = digits.get(..digits.len().min(8)).and_then(|it| it.parse().ok()).unwrap_or(1.0);
    let fraction = first / 10f64.powi(digits.len().min(8) as i32);
    (fraction.ln() + f64::from(exponent) * std::f64::consts::LN_10).abs().log10() as i32
}

fn finite_power(base: Big, power: &Big) -> Result<Big> {
    let whole = power.clone().truncate(0);
    let is_whole = whole.clone().rescale(power.scale).unscaled == power.unscaled;
    if is_whole && let Ok(exponent) = i32::try_from(&whole.unscaled) {
        return whole_power(base, exponent);
    }
    if base.is_zero() {
        return Ok(Big::new(0, SIGNIFICANT_DIGITS_MIN.unsigned_abs()));
    }
    let odd = base.is_negative() && whole.unscaled.bit(0);
    let base = Big::new(BigInt::from(base.unscaled.magnitude().clone()), base.scale);
    let rough_scale = inexact_scale(8 - logarithm_weight(&base), &[]);
    let size = logarithm(&base, rough_scale).mul(power.clone()).rescale(rough_scale).to_f64();
    if size.abs() > EXPONENT_MAX * 1.003_333 {
        return if size > 0.0 { Err(overflow()) } else { Ok(Big::new(0, INEXACT_SCALE_MAX)) };
    }
    let weight = (size * LOG10_E) as i32;
    let scale = inexact_scale(SIGNIFICANT_DIGITS_MIN - weight, &[base.scale, power.scale]);
    // An error of the exponent is one of the result's significant digits.
    let digits = (scale as i32 + weight).max(0).unsigned_abs() + GUARD_DIGITS;
    let power_digits = power.exponent().unwrap_or(0).max(0).unsigned_abs();
    let product = logarithm(&base, digits + power_digits);
    let exponent = Big::new(product.unscaled * &power.unscaled, product.scale + power.scale).rescale(digits);
    let result = exponential(&exponent, scale)?;
    Ok(if odd { Big::new(-result.unscaled, scale) } else { result })
}

/// A power with a whole exponent, by squaring, with no more digits than the result needs.
fn whole_power(base: Big, exponent: i32) -> Result<Big> {
    let scale = inexact_scale(SIGNIFICANT_DIGITS_MIN, &[base.scale]);
    match exponent {
        0 => return Ok(Big::new(1, 0).rescale(scale)),
        1 => return Ok(base.rescale(scale)),
        2 => {
            let square = Big { unscaled: &base.unscaled * &base.unscaled, scale: base.scale * 2 };
            return Ok(square.rescale(scale));
        }
        _ if base.is_zero() => return Ok(Big::new(0, scale)),
        _ => {}
    }
    // Of the result: how many digits it has before the point.
    let digits = base.unscaled.magnitude().to_string();
    let first: f64 = digits.get(..digits.len().min(16)).and_then(|it| it.parse().ok()).unwrap_or(1.0);
    let base_weight = first.log10() + (digits.len() - digits.len().min(16)) as f64 - f64::from(base.scale);
    let weight = base_weight * f64::from(exponent);
    if weight > f64::from(INTEGER_DIGITS_MAX) {
        return Err(overflow());
    }
    if weight + 1.0 < -f64::from(scale) {
        return Ok(Big::new(0, scale));
    }
    let lost = f64::from(exponent).abs().log10() as u32 + 1;
    let kept = (f64::from(scale) + weight).max(1.0) as u32 + lost + GUARD_DIGITS;
    let mut result = Power { unscaled: BigInt::from(1), scale: 0 };
    let mut factor = Power { unscaled: base.unscaled, scale: base.scale.into() };
    let mut rest = exponent.unsigned_abs();
    loop {
        if rest & 1 == 1 {
            result = result.times(&factor, kept);
        }
        rest >>= 1;
        if rest == 0 {
            break;
        }
        factor = factor.times(&factor, kept);
    }
    let wanted = i64::from(scale);
    let (number, divisor) = if exponent < 0 {
        // 10^(scale + result.scale) / unscaled
        let shift = wanted + result.scale;
        let number = if shift >= 0 { ten_to(shift as u32) } else { BigInt::from(0) };
        (number, result.unscaled)
    } else if wanted >= result.scale {
        (result.unscaled * ten_to((wanted - result.scale) as u32), BigInt::from(1))
    } else {
        (result.unscaled, ten_to((result.scale - wanted) as u32))
    };
    Ok(Big::new(divide_rounded(&number, &divisor), scale))
}

/// A number of a bounded count of digits, `unscaled / 10^scale`.
struct Power {
    unscaled: BigInt,
    scale: i64,
}

impl Power {
    fn times(&self, other: &Self, kept: u32) -> Self {
        let unscaled = &self.unscaled * &other.unscaled;
        let scale = self.scale + other.scale;
        let digits = (unscaled.bits() * 3010 / 10_000) as u32;
        let Some(spare) = digits.checked_sub(kept).filter(|spare| *spare > 0) else {
            return Self { unscaled, scale };
        };
        Self { unscaled: divide_rounded(&unscaled, &ten_to(spare)), scale: scale - i64::from(spare) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn number(text: &str) -> Numeric {
        Numeric::parse(text).unwrap()
    }

    /// What these give beside PostgreSQL is compared statement by statement; here they are compared with
    /// each other, with many digits.
    #[test]
    fn logarithms_and_powers_undo_each_other() {
        for text in ["0.5", "2", "1.0000001", "123456.789", "1e-40", "9.99e60"] {
            let given = number(text);
            let given = given.as_ref().round(120).unwrap();
            let back = given.as_ref().ln().unwrap().as_ref().exp().unwrap();
            let error = back.as_ref().sub(given.as_ref()).unwrap();
            // A relative error of 10^-100 at most.
            let allowed = given.as_ref().mul(number("1e-50").as_ref()).unwrap();
            assert!(error.as_ref().abs() <= allowed, "{text}: {back}");
        }
        let root = number("2").as_ref().round(200).unwrap().as_ref().sqrt().unwrap();
        let square = root.as_ref().mul(root.as_ref()).unwrap();
        assert_eq!(square.as_ref().round(198).unwrap(), number("2"));
        let half = number("2").as_ref().round(200).unwrap().as_ref().power(number("0.5").as_ref()).unwrap();
        assert_eq!(half.to_string(), root.to_string());
    }

    #[test]
    fn arguments_out_of_the_range_are_refused_at_once() {
        let sqlstate = |result: Result<Numeric>| result.unwrap_err().sqlstate();
        assert_eq!(sqlstate(number("6000").as_ref().exp()), "22003");
        assert_eq!(sqlstate(number("10").as_ref().power(number("1e9").as_ref())), "22003");
        assert_eq!(sqlstate(number("1e1000").as_ref().power(number("1000.5").as_ref())), "22003");
        assert_eq!(sqlstate(number("0").as_ref().ln()), "2201E");
        assert_eq!(sqlstate(number("-1").as_ref().sqrt()), "2201F");
    }
}
