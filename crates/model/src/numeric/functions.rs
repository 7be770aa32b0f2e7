//! Functions of several numbers.

use num_bigint::BigInt;

use super::big::Big;
use super::{Form, Numeric, NumericRef, overflow};
use crate::error::{Error, ErrorKind, Result};

/// Largest number whose factorial has no more digits than a number may have.
const FACTORIAL_MAX: i64 = 32_177;

/// Both numbers in units of the larger scale; `None` when one is not finite.
fn whole(one: NumericRef<'_>, other: NumericRef<'_>) -> Option<(BigInt, BigInt, u32)> {
    match (one.form(), other.form()) {
        (Form::Finite(one), Form::Finite(other)) => Some(one.aligned(other)),
        _ => None,
    }
}

fn divisor(mut one: BigInt, mut other: BigInt) -> BigInt {
    let zero = BigInt::from(0);
    while other != zero {
        (one, other) = (other.clone(), one % other);
    }
    BigInt::from(one.magnitude().clone())
}

/// The greatest common divisor: the largest number of which both are multiples.
///
/// # Errors
/// None that the arguments' range does not exclude.
pub fn gcd(one: NumericRef<'_>, other: NumericRef<'_>) -> Result<Numeric> {
    let Some((one, other, scale)) = whole(one, other) else { return Ok(Numeric::nan()) };
    Big::new(divisor(one, other), scale).numeric()
}

/// The least common multiple.
///
/// # Errors
/// 22003 when it has too many digits.
pub fn lcm(one: NumericRef<'_>, other: NumericRef<'_>) -> Result<Numeric> {
    let Some((one, other, scale)) = whole(one, other) else { return Ok(Numeric::nan()) };
    let common = divisor(one.clone(), other.clone());
    if common == BigInt::from(0) {
        return Big::new(0, scale).numeric();
    }
    let multiple = one / common * other;
    Big::new(BigInt::from(multiple.magnitude().clone()), scale).numeric()
}

/// The product of all whole numbers up to this one.
///
/// # Errors
/// 22003 for a negative number, and for one whose factorial has too many digits.
pub fn factorial(number: i64) -> Result<Numeric> {
    if number < 0 {
        return Err(Error::new(ErrorKind::OutOfRange, "factorial of a negative number is undefined"));
    }
    if number > FACTORIAL_MAX {
        return Err(overflow());
    }
    Big::new((2..=number).fold(BigInt::from(1), |product, factor| product * factor), 0).numeric()
}

/// Which of `count` equal parts of a range a number is in: 0 below it, `count + 1` above it.
///
/// # Errors
/// 2201G for a range or a count that has no parts, 22003 when the number of the part does not fit.
pub fn width_bucket(
    operand: NumericRef<'_>,
    low: NumericRef<'_>,
    high: NumericRef<'_>,
    count: i32,
) -> Result<i32> {
    let refused = |message: &str| Error::new(ErrorKind::InvalidWidthBucketArgument, message);
    if count <= 0 {
        return Err(refused("count must be greater than zero"));
    }
    if operand.is_nan() || low.is_nan() || high.is_nan() {
        return Err(refused("operand, lower bound, and upper bound cannot be NaN"));
    }
    if low.is_infinite() || high.is_infinite() {
        return Err(refused("lower and upper bounds must be finite"));
    }
    if low == high {
        return Err(refused("lower bound cannot equal upper bound"));
    }
    let above =
        || count.checked_add(1).ok_or_else(|| Error::new(ErrorKind::OutOfRange, "integer out of range"));
    let (before, after) =
        if low < high { (operand < low, operand >= high) } else { (operand > low, operand <= high) };
    if before {
        return Ok(0);
    }
    if after {
        return above();
    }
    let Some((place, width, _)) = whole(operand.sub(low)?.as_ref(), high.sub(low)?.as_ref()) else {
        return above();
    };
    let part = place * count / width;
    i32::try_from(&part).ok().and_then(|part| part.checked_add(1)).map_or_else(above, Ok)
}

/// The variance of `count` numbers, given their sum and the sum of their squares, or its square root: of a
/// sample of more numbers, or of all of them. `None` where so few numbers have none.
///
/// # Errors
/// 22003 when a number on the way has too many digits.
pub fn variance(
    count: i64,
    sum: NumericRef<'_>,
    squares: NumericRef<'_>,
    sample: bool,
    root: bool,
) -> Result<Option<Numeric>> {
    let divisor_count = if sample { count - 1 } else { count };
    if divisor_count <= 0 {
        return Ok(None);
    }
    let (Form::Finite(sum), Form::Finite(squares)) = (sum.form(), squares.form()) else {
        return Ok(Some(Numeric::nan()));
    };
    let square = Big { scale: sum.scale * 2, unscaled: &sum.unscaled * &sum.unscaled };
    let negative = Big::new(-square.unscaled, square.scale);
    let number = Big::new(squares.unscaled * count, squares.scale).add(negative);
    if number.is_zero() || number.is_negative() {
        return Ok(Some(Numeric::ZERO));
    }
    let divisor = Big::new(BigInt::from(count) * divisor_count, 0);
    let scale = super::quotient_scale(number.leading(), divisor.leading());
    let variance = number.div(&divisor, scale);
    let result = if root { super::transcendental::square_root(&variance, scale) } else { variance };
    result.numeric().map(Some)
}
