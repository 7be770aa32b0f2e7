//! Exact decimal numbers: PostgreSQL's `numeric`.
//!
//! A [`Numeric`] has up to 131072 digits before the point and 16383 after it, or is NaN or an infinity.
//! Nearly all numbers have up to 38 digits: those are a [`Decimal`], a number of 128 bits and a scale,
//! which is copied and computed with in registers. The others are bytes that sort as the numbers do,
//! with the scale behind them: the form in which rows, keys and Arrow columns have them, so that they are
//! borrowed and compared where they lie. A number that fits in a `Decimal` always is one.
//!
//! Equality, order and hash look at the number, not at how many zeros follow it: 1.0 equals 1.00. NaN equals
//! itself and is larger than everything. Rounding is half away from zero.

mod arithmetic;
mod big;
mod decimal;
mod functions;
pub(crate) mod sorting;
mod text;
mod transcendental;

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use crate::error::{Error, ErrorKind, Result};
use big::Big;
pub(crate) use decimal::power_of_ten;
pub use decimal::{DECIMAL_DIGITS_MAX, Decimal};
pub use functions::{factorial, gcd, lcm, variance, width_bucket};
use sorting::{Decoded, Special};
pub use text::NumericParseError;

/// Most digits before the point.
pub const INTEGER_DIGITS_MAX: u32 = 131_072;
/// Most digits after the point.
pub const SCALE_MAX: u32 = 16_383;
/// Most digits that the declaration of a column may name.
pub const PRECISION_MAX: u16 = 1000;

/// An exact decimal number.
#[derive(Clone, Debug)]
pub enum Numeric {
    /// One of up to 38 digits.
    Decimal(Decimal),
    /// One of more, NaN or an infinity.
    Wide(Wide),
}

/// A [`Numeric`] that is borrowed.
#[derive(Clone, Copy, Debug)]
pub enum NumericRef<'a> {
    /// One of up to 38 digits.
    Decimal(Decimal),
    /// One of more, NaN or an infinity.
    Wide(WideRef<'a>),
}

/// Sorting bytes and, behind them, the scale.
#[derive(Clone, Debug)]
pub struct Wide(Box<[u8]>);

/// A [`Wide`] that is borrowed.
#[derive(Clone, Copy, Debug)]
pub struct WideRef<'a>(&'a [u8]);

impl<'a> WideRef<'a> {
    /// The sorting bytes and the scale behind them.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0
    }

    fn special(self) -> Option<Special> {
        Special::of(self.0)
    }
}

/// What a number is to arithmetic.
enum Form {
    Finite(Big),
    Special(Special),
}

/// What decides how many digits a quotient has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leading {
    /// Place of the first group of four digits that is not zero; 0 is just before the point.
    pub(crate) weight: i32,
    /// That group.
    pub(crate) group: u32,
    pub(crate) scale: u32,
}

/// Most digits after the point that an inexact result has.
const INEXACT_SCALE_MAX: u32 = 1000;
/// Fewest significant digits of an inexact result.
const SIGNIFICANT_DIGITS_MIN: i32 = 16;

/// Digits after the point of a quotient: enough for 16 significant ones.
pub(crate) fn quotient_scale(one: Leading, other: Leading) -> u32 {
    let weight = one.weight - other.weight - i32::from(one.group <= other.group);
    inexact_scale(SIGNIFICANT_DIGITS_MIN - weight * 4, &[one.scale, other.scale])
}

/// Digits after the point of an inexact result: as many as wanted, no fewer than the operands have.
fn inexact_scale(wanted: i32, operands: &[u32]) -> u32 {
    let least = operands.iter().copied().max().unwrap_or(0);
    u32::try_from(wanted).unwrap_or(0).max(least).min(INEXACT_SCALE_MAX)
}

#[cold]
pub(crate) fn overflow() -> Error {
    Error::new(ErrorKind::OutOfRange, "value overflows numeric format")
}

#[cold]
fn division_by_zero() -> Error {
    Error::new(ErrorKind::DivisionByZero, "division by zero")
}

impl Default for Numeric {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Numeric {
    /// Zero.
    pub const ZERO: Numeric = Numeric::Decimal(Decimal::ZERO);

    /// The number `unscaled / 10^scale`, which has up to 38 digits.
    pub const fn new(unscaled: i128, scale: u8) -> Self {
        Self::Decimal(Decimal::new(unscaled, scale))
    }

    /// Borrows it.
    #[allow(clippy::should_implement_trait)]
    pub fn as_ref(&self) -> NumericRef<'_> {
        match self {
            Self::Decimal(number) => NumericRef::Decimal(*number),
            Self::Wide(wide) => NumericRef::Wide(WideRef(&wide.0)),
        }
    }

    /// Not a number: equal to itself and larger than all others.
    pub fn nan() -> Self {
        Self::special(Special::NaN)
    }

    /// Infinity.
    pub fn infinity() -> Self {
        Self::special(Special::Infinity)
    }

    /// Infinity below zero.
    pub fn negative_infinity() -> Self {
        Self::special(Special::NegativeInfinity)
    }

    fn special(special: Special) -> Self {
        let mut bytes = special.bytes().to_vec();
        sorting::push_scale(0, &mut bytes);
        Self::Wide(Wide(bytes.into()))
    }

    /// The number of 15 significant digits that is nearest, as PostgreSQL converts.
    pub fn from_f64(number: f64) -> Self {
        Self::from_float(number, || format!("{number:.14e}"))
    }

    /// The number of 6 significant digits that is nearest, as PostgreSQL converts `real`.
    pub fn from_f32(number: f32) -> Self {
        Self::from_float(number.into(), || format!("{number:.5e}"))
    }

    fn from_float(number: f64, digits: impl Fn() -> String) -> Self {
        if number.is_nan() {
            return Self::nan();
        }
        if number.is_infinite() {
            return if number > 0.0 { Self::infinity() } else { Self::negative_infinity() };
        }
        Self::parse(&digits()).map_or_else(|_| Self::nan(), |number| number.as_ref().trim_scale())
    }
}

impl<'a> NumericRef<'a> {
    /// The number `unscaled / 10^scale`, which has up to 38 digits.
    pub const fn new(unscaled: i128, scale: u8) -> Self {
        Self::Decimal(Decimal::new(unscaled, scale))
    }

    /// The number of sorting bytes with the scale behind them; `None` when they are no number.
    pub(crate) fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let (key, scale) = sorting::split_scale(bytes)?;
        let mut rest = key.iter();
        let decoded = Decoded::read(|| rest.next().copied())?;
        if !rest.as_slice().is_empty() {
            return None;
        }
        Some(match decoded.decimal(scale) {
            Some(decimal) => Self::Decimal(decimal),
            None => Self::Wide(WideRef(bytes)),
        })
    }

    /// Copies it.
    #[allow(clippy::should_implement_trait, clippy::wrong_self_convention)]
    pub fn to_owned(self) -> Numeric {
        match self {
            Self::Decimal(number) => Numeric::Decimal(number),
            Self::Wide(wide) => Numeric::Wide(Wide(wide.0.into())),
        }
    }

    /// Appends the sorting bytes, without the scale.
    pub(crate) fn sorting_bytes(self, out: &mut Vec<u8>) {
        match self {
            Self::Decimal(number) => sorting::encode_decimal(number, out),
            Self::Wide(wide) => out.extend_from_slice(sorting::split_scale(wide.0).map_or(wide.0, |it| it.0)),
        }
    }

    /// The digits of a finite number.
    pub(crate) fn digits(self) -> std::result::Result<sorting::Digits, Special> {
        match self {
            Self::Decimal(number) => {
                let digits = number.unscaled.unsigned_abs().to_string();
                let digits = digits.bytes().map(|digit| digit - b'0').collect();
                Ok(sorting::Digits::new(number.unscaled < 0, digits, number.scale.into()))
            }
            Self::Wide(wide) => {
                let damaged = Special::NaN;
                let (key, scale) = sorting::split_scale(wide.0).ok_or(damaged)?;
                let mut rest = key.iter();
                Decoded::read(|| rest.next().copied()).ok_or(damaged)?.digits(scale)
            }
        }
    }

    fn form(self) -> Form {
        if let Self::Decimal(number) = self {
            return Form::Finite(number.into());
        }
        match self.digits() {
            Ok(digits) => Form::Finite(Big::from(&digits)),
            Err(special) => Form::Special(special),
        }
    }

    /// Whether it is NaN.
    pub fn is_nan(self) -> bool {
        matches!(self, Self::Wide(wide) if wide.special() == Some(Special::NaN))
    }

    /// Whether it is neither NaN nor an infinity.
    pub fn is_finite(self) -> bool {
        !matches!(self, Self::Wide(wide) if wide.special().is_some())
    }

    /// Whether it is infinite.
    pub fn is_infinite(self) -> bool {
        !self.is_finite() && !self.is_nan()
    }

    /// -1, 0 or 1; of NaN 1.
    pub fn signum(self) -> i32 {
        match self {
            Self::Decimal(number) => number.unscaled.signum() as i32,
            Self::Wide(_) if self < Self::new(0, 0) => -1,
            // Zero with many digits is wide, too.
            Self::Wide(_) => i32::from(self > Self::new(0, 0)),
        }
    }

    /// Whether it is zero.
    pub fn is_zero(self) -> bool {
        self.signum() == 0
    }

    /// Digits that are shown after the point; `None` for what is not finite.
    pub fn scale(self) -> Option<u32> {
        match self {
            Self::Decimal(number) => Some(number.scale.into()),
            Self::Wide(wide) if wide.special().is_some() => None,
            Self::Wide(wide) => sorting::split_scale(wide.0).map(|(_, scale)| scale),
        }
    }

    /// How many digits stand before the point; 0 for numbers between -1 and 1.
    pub fn integer_digits(self) -> u32 {
        match self {
            Self::Decimal(number) => number.integer_digits(),
            wide @ Self::Wide(_) => wide.digits().map_or(0, |digits| digits.exponent.max(0).unsigned_abs()),
        }
    }

    /// The nearest integer.
    ///
    /// # Errors
    /// 0A000 for what is not finite, 22003 when 64 bits do not hold it; both name the type.
    pub fn to_i64(self, type_name: &str) -> Result<i64> {
        let refused = |what: &str| {
            Error::new(ErrorKind::FeatureNotSupported, format!("cannot convert {what} to {type_name}"))
        };
        let rounded = match self {
            Self::Decimal(number) => number.to_i64(),
            Self::Wide(_) if self.is_nan() => return Err(refused("NaN")),
            Self::Wide(_) if self.is_infinite() => return Err(refused("infinity")),
            wide @ Self::Wide(_) => match wide.form() {
                Form::Finite(big) => i64::try_from(big.rescale(0).unscaled).ok(),
                Form::Special(_) => None,
            },
        };
        rounded.ok_or_else(|| Error::new(ErrorKind::OutOfRange, format!("{type_name} out of range")))
    }

    /// The nearest floating-point number; infinite for what is too large.
    pub fn to_f64(self) -> f64 {
        match self {
            Self::Decimal(number) => number.to_f64(),
            wide @ Self::Wide(_) => match wide.digits() {
                Ok(digits) => digits.to_f64(),
                Err(Special::NaN) => f64::NAN,
                Err(Special::Infinity) => f64::INFINITY,
                Err(Special::NegativeInfinity) => f64::NEG_INFINITY,
            },
        }
    }

    /// The nearest single-precision floating-point number; infinite for what is too large.
    pub fn to_f32(self) -> f32 {
        match self {
            Self::Decimal(number) => number.to_f32(),
            Self::Wide(_) if !self.is_finite() => self.to_f64() as f32,
            wide @ Self::Wide(_) => wide.to_string().parse().unwrap_or(f32::NAN),
        }
    }
}

impl From<i64> for Numeric {
    fn from(number: i64) -> Self {
        Self::Decimal(number.into())
    }
}

impl From<i32> for Numeric {
    fn from(number: i32) -> Self {
        Self::Decimal(number.into())
    }
}

impl From<u64> for Numeric {
    fn from(number: u64) -> Self {
        Self::Decimal(number.into())
    }
}

impl From<Decimal> for Numeric {
    fn from(number: Decimal) -> Self {
        Self::Decimal(number)
    }
}

impl PartialEq for NumericRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for NumericRef<'_> {}

impl PartialOrd for NumericRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for NumericRef<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        if let (Self::Decimal(one), Self::Decimal(other)) = (self, other) {
            return one.cmp(other);
        }
        let (mut one, mut two) = (Vec::new(), Vec::new());
        self.sorting_bytes(&mut one);
        other.sorting_bytes(&mut two);
        one.cmp(&two)
    }
}

impl Hash for NumericRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut bytes = Vec::new();
        self.sorting_bytes(&mut bytes);
        bytes.hash(state);
    }
}

impl PartialEq for Numeric {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Numeric {}

impl PartialOrd for Numeric {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Numeric {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_ref().cmp(&other.as_ref())
    }
}

impl Hash for Numeric {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}
