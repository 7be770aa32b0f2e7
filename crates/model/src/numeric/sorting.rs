//! Numbers as bytes that sort as the numbers do.
//!
//! Sign, exponent, and the digits in pairs: `FORMAT.md` shows the bytes. They end by themselves, so that
//! more may follow. [`Decoded`] is what they say; [`Digits`] is a number digit by digit, which text and
//! PostgreSQL's binary form are made from without arithmetic on large numbers.

use super::{Decimal, Numeric, Wide, decimal::power_of_ten};

const NEGATIVE: u8 = 0;
const ZERO: u8 = 1;
const POSITIVE: u8 = 2;
const NAN: u8 = 3;
/// Added to an exponent that one byte holds.
const EXPONENT_BIAS: i32 = 128;
/// Largest exponent, and smallest one with its sign, that one byte holds.
const SHORT_EXPONENT_MAX: i32 = 100;
/// Begins an exponent of three more bytes; larger than any of one byte.
const LONG_EXPONENT: u8 = 0xf0;
/// The same below zero.
const LONG_NEGATIVE_EXPONENT: u8 = 0x10;
/// In the place of an infinity's exponent.
const INFINITE: u8 = 0xff;
/// Added to an exponent of three bytes below zero.
const LONG_BIAS: i32 = 1 << 23;
/// Ends a scale of two bytes.
const LONG_SCALE: u8 = 0xff;
/// Pairs that a `Decimal` has at most.
const HEAD_PAIRS: usize = 19;

/// What is not a finite number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    NegativeInfinity,
    Infinity,
    NaN,
}

impl Special {
    /// Its sorting bytes.
    pub(super) const fn bytes(self) -> &'static [u8] {
        match self {
            Self::NegativeInfinity => &[NEGATIVE, !INFINITE],
            Self::Infinity => &[POSITIVE, INFINITE],
            Self::NaN => &[NAN],
        }
    }

    /// The special number that sorting bytes begin with.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        [Self::NaN, Self::Infinity, Self::NegativeInfinity]
            .into_iter()
            .find(|special| bytes.starts_with(special.bytes()))
    }
}

/// A finite number digit by digit: 0.d1d2d3… × 10^exponent.
#[allow(clippy::struct_field_names)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digits {
    pub(crate) negative: bool,
    pub(crate) exponent: i32,
    /// Each 0 to 9; neither the first nor the last is 0. None for zero.
    pub(crate) digits: Vec<u8>,
    /// Digits that are shown after the point.
    pub(crate) scale: u32,
}

impl Digits {
    /// The number `digits / 10^scale`.
    pub(crate) fn new(negative: bool, mut digits: Vec<u8>, scale: u32) -> Self {
        let leading = digits.iter().take_while(|digit| **digit == 0).count();
        let exponent = (digits.len() - leading) as i32 - scale as i32;
        digits.drain(..leading);
        digits.truncate(digits.iter().rposition(|digit| *digit != 0).map_or(0, |last| last + 1));
        if digits.is_empty() {
            return Self { scale, ..Self::default() };
        }
        Self { negative, exponent, digits, scale }
    }

    /// Appends the sorting bytes.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        encode(self.negative, self.exponent, &self.digits, 0, out);
    }

    /// The number; with all of its digits, even when there are more than a number may have.
    pub(crate) fn numeric(self) -> Numeric {
        if let Some(decimal) = self.decimal() {
            return Numeric::Decimal(decimal);
        }
        let mut bytes = Vec::with_capacity(self.digits.len() / 2 + 10);
        self.encode(&mut bytes);
        push_scale(self.scale, &mut bytes);
        Numeric::Wide(Wide(bytes.into()))
    }

    /// The nearest double, infinite when it is too large for one.
    pub(super) fn to_f64(&self) -> f64 {
        // No double needs more digits to be told from its neighbours.
        const DIGITS_MAX: usize = 800;
        let kept = self.digits.len().min(DIGITS_MAX);
        let mut text = String::with_capacity(kept + 12);
        text.push_str(if self.negative { "-0" } else { "0" });
        text.extend(self.digits.iter().take(kept).map(|digit| char::from(digit + b'0')));
        text.push_str(&format!("e{}", self.exponent - kept as i32));
        text.parse().unwrap_or(f64::NAN)
    }

    fn decimal(&self) -> Option<Decimal> {
        let scale = u8::try_from(self.scale).ok().filter(|scale| *scale <= super::DECIMAL_DIGITS_MAX)?;
        let places =
            usize::try_from(self.exponent + self.scale as i32).ok().filter(|places| *places <= 38)?;
        let mut unscaled = 0i128;
        for at in 0..places {
            unscaled = unscaled * 10 + i128::from(self.digits.get(at).copied().unwrap_or(0));
        }
        Some(Decimal::new(if self.negative { -unscaled } else { unscaled }, scale))
    }
}

/// Appends the sorting bytes of a number of up to 38 digits.
pub(crate) fn encode_decimal(value: Decimal, out: &mut Vec<u8>) {
    let magnitude = value.unscaled.unsigned_abs();
    let mut buffer = itoa::Buffer::new();
    let digits = match u64::try_from(magnitude) {
        Ok(short) => buffer.format(short),
        Err(_) => buffer.format(magnitude),
    };
    let exponent = digits.len() as i32 - i32::from(value.scale);
    let digits = if magnitude == 0 { "" } else { digits.trim_end_matches('0') };
    encode(value.unscaled < 0, exponent, digits.as_bytes(), b'0', out);
}

fn encode(negative: bool, exponent: i32, digits: &[u8], zero: u8, out: &mut Vec<u8>) {
    if digits.is_empty() {
        out.push(ZERO);
        return;
    }
    out.push(if negative { NEGATIVE } else { POSITIVE });
    let start = out.len();
    if exponent.abs() <= SHORT_EXPONENT_MAX {
        out.push((exponent + EXPONENT_BIAS) as u8);
    } else {
        let (mark, biased) = if exponent > 0 {
            (LONG_EXPONENT, exponent)
        } else {
            (LONG_NEGATIVE_EXPONENT, exponent + LONG_BIAS)
        };
        out.push(mark);
        out.extend_from_slice(&biased.to_be_bytes()[1..]);
    }
    let mut pairs = digits.chunks(2).peekable();
    while let Some(pair) = pairs.next() {
        let tens = pair.first().map_or(0, |digit| digit - zero);
        let units = pair.get(1).map_or(0, |digit| digit - zero);
        out.push((tens * 10 + units) * 2 + u8::from(pairs.peek().is_some()));
    }
    if negative {
        for byte in &mut out[start..] {
            *byte = !*byte;
        }
    }
}

/// What sorting bytes say.
pub(crate) enum Decoded {
    Special(Special),
    Zero,
    Number {
        negative: bool,
        exponent: i32,
        /// The number made of the first pairs.
        head: i128,
        pairs: usize,
        /// The pairs after those.
        tail: Vec<u8>,
    },
}

impl Decoded {
    /// Reads bytes until the number ends; `None` when they are no number.
    pub(crate) fn read(mut next: impl FnMut() -> Option<u8>) -> Option<Self> {
        let negative = match next()? {
            ZERO => return Some(Self::Zero),
            NAN => return Some(Self::Special(Special::NaN)),
            NEGATIVE => true,
            POSITIVE => false,
            _ => return None,
        };
        let mask = if negative { 0xff } else { 0 };
        let mut next = || next().map(|byte| byte ^ mask);
        let exponent = match next()? {
            INFINITE if negative => return Some(Self::Special(Special::NegativeInfinity)),
            INFINITE => return Some(Self::Special(Special::Infinity)),
            mark @ (LONG_EXPONENT | LONG_NEGATIVE_EXPONENT) => {
                let biased = i32::from_be_bytes([0, next()?, next()?, next()?]);
                if mark == LONG_EXPONENT { biased } else { biased - LONG_BIAS }
            }
            byte => i32::from(byte) - EXPONENT_BIAS,
        };
        let (mut head, mut pairs, mut tail) = (0i128, 0, Vec::new());
        loop {
            let byte = next()?;
            let pair = byte / 2;
            if pair > 99 {
                return None;
            }
            if pairs < HEAD_PAIRS {
                head = head * 100 + i128::from(pair);
            } else {
                tail.push(pair);
            }
            pairs += 1;
            if byte % 2 == 0 {
                return Some(Self::Number { negative, exponent, head, pairs, tail });
            }
        }
    }

    /// The number, with as many digits after the point as it has at least.
    pub(crate) fn numeric(self) -> Numeric {
        let scale = match &self {
            Self::Number { exponent, head, pairs, tail, .. } => {
                let odd = tail.last().map_or(head % 10 == 0, |last| last % 10 == 0);
                ((*pairs * 2) as i32 - i32::from(odd) - exponent).max(0) as u32
            }
            Self::Special(_) | Self::Zero => 0,
        };
        self.with_scale(scale)
    }

    /// The number with that many digits after the point, which are not fewer than it has.
    pub(crate) fn with_scale(self, scale: u32) -> Numeric {
        if let Some(decimal) = self.decimal(scale) {
            return Numeric::Decimal(decimal);
        }
        match self.digits(scale) {
            Ok(digits) => digits.numeric(),
            Err(special) => Numeric::special(special),
        }
    }

    /// The same, where 38 digits are enough.
    pub(crate) fn decimal(&self, scale: u32) -> Option<Decimal> {
        let narrow = u8::try_from(scale).ok().filter(|scale| *scale <= super::DECIMAL_DIGITS_MAX)?;
        match self {
            Self::Special(_) => None,
            Self::Zero => Some(Decimal::new(0, narrow)),
            Self::Number { negative, exponent, head, pairs, tail } => {
                if !tail.is_empty() || !(0..=38).contains(&(exponent + i32::from(narrow))) {
                    return None;
                }
                // The head is in units of 10^(exponent - its digits).
                let shift = i32::from(narrow) + exponent - (*pairs * 2) as i32;
                let unscaled = if shift >= 0 {
                    head.checked_mul(power_of_ten(shift.unsigned_abs())?)?
                } else {
                    head / power_of_ten(shift.unsigned_abs())?
                };
                Some(Decimal::new(if *negative { -unscaled } else { unscaled }, narrow))
            }
        }
    }

    /// The number digit by digit.
    pub(crate) fn digits(self, scale: u32) -> std::result::Result<Digits, Special> {
        match self {
            Self::Special(special) => Err(special),
            Self::Zero => Ok(Digits { scale, ..Digits::default() }),
            Self::Number { negative, exponent, head, pairs, tail } => {
                let width = pairs.min(HEAD_PAIRS) * 2;
                let mut digits: Vec<u8> =
                    format!("{head:0width$}").bytes().map(|digit| digit - b'0').collect();
                digits.extend(tail.iter().flat_map(|pair| [pair / 10, pair % 10]));
                if digits.last() == Some(&0) {
                    digits.pop();
                }
                Ok(Digits { negative, exponent, digits, scale })
            }
        }
    }
}

/// Appends how many digits are shown after the point.
pub(crate) fn push_scale(scale: u32, out: &mut Vec<u8>) {
    match u8::try_from(scale) {
        Ok(short) if short != LONG_SCALE => out.push(short),
        _ => {
            out.extend_from_slice(&(scale.min(u32::from(u16::MAX)) as u16).to_be_bytes());
            out.push(LONG_SCALE);
        }
    }
}

/// Takes the scale off the end of bytes: what is before it, and the scale.
pub(crate) fn split_scale(bytes: &[u8]) -> Option<(&[u8], u32)> {
    match bytes.split_last()? {
        (&LONG_SCALE, before) => {
            let (before, scale) = before.split_last_chunk::<2>()?;
            Some((before, u16::from_be_bytes(*scale).into()))
        }
        (&short, before) => Some((before, short.into())),
    }
}
