//! Truth values, integers and floating-point numbers as text.

use super::error::{invalid, out_of_range};
use crate::error::{Error, ErrorKind, Result};

/// What C's `isspace` accepts.
pub(super) fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// Any beginning of `true`, `false`, `yes`, `no` and of `on`, `off` from the second letter; 1 and 0.
pub(super) fn parse_bool(text: &str) -> Result<bool> {
    let word = text.trim_matches(is_space).to_ascii_lowercase();
    let begins = |full: &str, least: usize| word.len() >= least && full.starts_with(&word);
    if word == "1" || begins("true", 1) || begins("yes", 1) || begins("on", 2) {
        Ok(true)
    } else if word == "0" || begins("false", 1) || begins("no", 1) || begins("off", 2) {
        Ok(false)
    } else {
        Err(invalid("boolean", text))
    }
}

/// An integer between two bounds; `name` is the type's in messages.
pub(super) fn parse_integer(text: &str, name: &str, least: i64, most: i64) -> Result<i64> {
    let body = text.trim_matches(is_space);
    let digits = body.strip_prefix(['+', '-']).unwrap_or(body);
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(invalid(name, text));
    }
    match body.parse::<i64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(out_of_range(name, text)),
    }
}

/// An object identifier; negative numbers wrap, as in PostgreSQL.
pub(super) fn parse_oid(text: &str) -> Result<u32> {
    parse_integer(text, "oid", i32::MIN.into(), u32::MAX.into()).map(|number| number as u32)
}

/// Whether a number that came out as zero was written with other digits than zero.
fn underflows(body: &str) -> bool {
    let mantissa = body.split(['e', 'E']).next().unwrap_or_default();
    mantissa.bytes().any(|c| (b'1'..=b'9').contains(&c))
}

#[cold]
fn float_out_of_range(name: &str, text: &str) -> Error {
    Error::new(ErrorKind::OutOfRange, format!("\"{text}\" is out of range for type {name}"))
}

macro_rules! parse_float {
    ($function:ident, $float:ty, $name:literal) => {
        /// A floating-point number, `NaN` or `Infinity`.
        pub(super) fn $function(text: &str) -> Result<$float> {
            let body = text.trim_matches(is_space);
            let number: $float = body.parse().map_err(|_| invalid($name, text))?;
            let spelled = body.bytes().any(|c| matches!(c, b'f' | b'F'));
            if (number.is_infinite() && !spelled) || (number == 0.0 && underflows(body)) {
                return Err(float_out_of_range($name, body));
            }
            Ok(number)
        }
    };
}

parse_float!(parse_float4, f32, "real");
parse_float!(parse_float8, f64, "double precision");

macro_rules! format_float {
    ($function:ident, $float:ty, $digits:literal, $most:literal) => {
        /// Appends the shortest digits that read back as the same number.
        pub(super) fn $function(number: $float, out: &mut Vec<u8>) {
            if special(number.is_nan(), number.is_infinite(), number.is_sign_negative(), out) {
                return;
            }
            let mut buffer = ryu::Buffer::new();
            let text = buffer.format_finite(number);
            let bits = number.to_bits();
            let fraction = <$float>::MANTISSA_DIGITS - 1;
            let significand = u64::from(bits & ((1 << fraction) - 1)) | (1 << fraction);
            if is_midpoint(text, significand) {
                // Digits halfway between two numbers would do, because the even one wins; PostgreSQL
                // wants digits that are nearer to this one than to any other.
                for precision in 0..$most {
                    let longer = format!("{number:.precision$e}");
                    if !same_number(&longer, text) && longer.parse() == Ok(number) {
                        return shortest(&longer, $digits, out);
                    }
                }
            }
            shortest(text, $digits, out);
        }
    };
}

format_float!(format_float4, f32, 6, 10);
format_float!(format_float8, f64, 15, 18);

/// Whether two texts have the same significant digits.
fn same_number(one: &str, other: &str) -> bool {
    decimal(one).map(|number| number.0) == decimal(other).map(|number| number.0)
}

/// The digits of a number without zeros at the end, and the power of ten that they count.
fn decimal(text: &str) -> Option<(u64, i32)> {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut power = exponent.parse::<i32>().ok()? - fraction.len() as i32;
    let mut digits = 0u64;
    for digit in integer.bytes().chain(fraction.bytes()).filter(u8::is_ascii_digit) {
        digits = digits.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    while digits != 0 && digits.is_multiple_of(10) {
        digits /= 10;
        power += 1;
    }
    Some((digits, power))
}

/// Whether the digits are exactly halfway between a number with that significand and a neighbour;
/// only large numbers have shortest digits of that kind.
fn is_midpoint(text: &str, significand: u64) -> bool {
    let Some((digits, power)) = decimal(text) else { return false };
    if digits == 0 || !(1..=30).contains(&power) {
        return false;
    }
    let Some(scaled) = 5u128.pow(power as u32).checked_mul(u128::from(digits)) else { return false };
    let odd = scaled >> scaled.trailing_zeros();
    odd == u128::from(significand) * 2 + 1 || odd == u128::from(significand) * 2 - 1
}

fn special(nan: bool, infinite: bool, negative: bool, out: &mut Vec<u8>) -> bool {
    if nan {
        out.extend_from_slice(b"NaN");
    } else if infinite {
        out.extend_from_slice(if negative { b"-Infinity" } else { b"Infinity" });
    }
    nan || infinite
}

/// Brings shortest digits into the form of C's `%g` with that many digits before exponents begin.
fn shortest(text: &str, exponent_from: i32, out: &mut Vec<u8>) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let body = mantissa.strip_prefix('-').unwrap_or(mantissa);
    if body.len() < mantissa.len() {
        out.push(b'-');
    }
    let (integer, fraction) = body.split_once('.').unwrap_or((body, ""));
    let mut digits = [0u8; 40];
    let mut count = 0;
    let all = integer.bytes().chain(fraction.bytes());
    // Ryu writes few enough digits for the buffer: at most 17 and some zeros.
    for (digit, place) in all.zip(digits.iter_mut()) {
        *place = digit;
        count += 1;
    }
    let zeros = digits[..count].iter().take_while(|digit| **digit == b'0').count();
    let significant = digits[zeros..count].trim_ascii_end();
    let end = significant.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    let significant = &significant[..end];
    if significant.is_empty() {
        out.push(b'0');
        return;
    }
    // The number is d.ddd times ten to the power of this.
    let exponent = exponent.parse::<i32>().unwrap_or(0) + integer.len() as i32 - zeros as i32 - 1;
    if exponent < -4 || exponent >= exponent_from {
        out.push(significant[0]);
        if significant.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&significant[1..]);
        }
        out.push(b'e');
        out.push(if exponent < 0 { b'-' } else { b'+' });
        super::datetime::two_digits(exponent.unsigned_abs().into(), out);
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-exponent - 1) as usize, b'0');
        out.extend_from_slice(significant);
    } else {
        let before = exponent as usize + 1;
        let kept = before.min(significant.len());
        out.extend_from_slice(&significant[..kept]);
        out.resize(out.len() + (before - kept), b'0');
        if significant.len() > before {
            out.push(b'.');
            out.extend_from_slice(&significant[before..]);
        }
    }
}
