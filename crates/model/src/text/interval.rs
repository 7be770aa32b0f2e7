//! Intervals as text: PostgreSQL's words and SQL's forms in, the four styles out.

mod format;
mod iso8601;
mod parts;

use super::IntervalStyle;
use super::datetime::token::{self, Field, Shape};
use super::datetime::{Fault, fault, time};
use crate::calendar::{MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND};
use crate::error::Result;
use crate::interval::Interval;
use parts::{Parts, Unit};

pub(super) use format::format;

/// Reads an interval.
pub(super) fn parse(text: &str, style: IntervalStyle) -> Result<Interval> {
    let decoded = match token::split(text) {
        Some(fields) => decode(&fields, style),
        None => Err(Fault::Format),
    };
    let decoded = match decoded {
        Err(Fault::Format) => iso8601::parse(text),
        other => other,
    };
    decoded.map_err(|reason| {
        let reason = if reason == Fault::Range { Fault::Interval } else { reason };
        fault(reason, "interval", text)
    })
}

/// Reads the fields from the last to the first, because a unit follows its number.
fn decode(fields: &[Field], style: IntervalStyle) -> Result<Interval, Fault> {
    // In SQL's style a sign before all is that of every part, unless another one has a sign, too.
    let one_sign = style == IntervalStyle::SqlStandard
        && fields.first().is_some_and(|field| field.text.starts_with('-'))
        && !fields[1..].iter().any(|field| field.text.starts_with(['-', '+']));
    let mut parts = Parts::default();
    let mut seen = 0u16;
    // Of the number to come; none after `ago`, where the last word must be a unit.
    let mut unit = Some(Unit::Second);
    let mut ago = false;
    for field in fields.iter().rev() {
        let text = field.text.as_str();
        let mask = match field.shape {
            Shape::Time => {
                unit = Some(Unit::Day);
                clock(text, one_sign, &mut parts)?
            }
            Shape::Offset
                if text.contains(':')
                    && clock(&text[1..], text.starts_with('-'), &mut parts.clone()).is_ok() =>
            {
                unit = Some(Unit::Day);
                clock(&text[1..], text.starts_with('-'), &mut parts)?
            }
            Shape::Offset | Shape::Date | Shape::Number => {
                let (mask, next) = number(text, one_sign, unit, &mut parts)?;
                unit = Some(next);
                mask
            }
            Shape::Word | Shape::SignedWord => {
                unit = match text {
                    "ago" => None,
                    _ => Some(Unit::parse(text).ok_or(Fault::Format)?),
                };
                ago |= unit.is_none();
                continue;
            }
        };
        if mask & seen != 0 {
            return Err(Fault::Format);
        }
        seen |= mask;
    }
    if seen == 0 {
        return Err(Fault::Format);
    }
    let interval = parts.finish()?;
    if ago { interval.checked_neg().ok_or(Fault::Range) } else { Ok(interval) }
}

/// Hours, minutes and seconds with colons.
fn clock(text: &str, negative: bool, parts: &mut Parts) -> Result<u16, Fault> {
    let time = time(text)?;
    let rest = time.minute * MICROS_PER_MINUTE + time.second * MICROS_PER_SECOND + time.micros;
    let hours = time.hour.checked_mul(MICROS_PER_HOUR);
    let micros = hours.and_then(|hours| hours.checked_add(rest)).ok_or(Fault::Range)?;
    parts.add_micros(if negative { -micros } else { micros })?;
    Ok(parts::CLOCK)
}

/// A number of some unit, or years and months; gives back what it fills and the unit of a bare number before it.
fn number(text: &str, one_sign: bool, unit: Option<Unit>, parts: &mut Parts) -> Result<(u16, Unit), Fault> {
    let negative = one_sign || text.starts_with('-');
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = body.find(|c: char| !c.is_ascii_digit()).unwrap_or(body.len());
    let magnitude: i64 = match &body[..digits] {
        "" => 0,
        whole => whole.parse().map_err(|_| Fault::Range)?,
    };
    let value = if negative { -magnitude } else { magnitude };
    match body.as_bytes().get(digits) {
        None => parts.add(unit.ok_or(Fault::Format)?, value, 0.0),
        Some(b'-') => {
            let months: i64 = body[digits + 1..].parse().map_err(|_| Fault::Format)?;
            if !(0..12).contains(&months) {
                return Err(Fault::Range);
            }
            let months = if negative { -months } else { months };
            let total = value.checked_mul(12).and_then(|years| years.checked_add(months));
            parts.add(Unit::Month, total.ok_or(Fault::Range)?, 0.0)
        }
        Some(b'.') => {
            let fraction = &body[digits + 1..];
            if !fraction.bytes().all(|c| c.is_ascii_digit()) || body.len() == 1 {
                return Err(Fault::Format);
            }
            let fraction: f64 = format!("0.{fraction}0").parse().map_err(|_| Fault::Format)?;
            parts.add(unit.ok_or(Fault::Format)?, value, if negative { -fraction } else { fraction })
        }
        Some(_) => Err(Fault::Format),
    }
}
