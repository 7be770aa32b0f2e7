//! Times of day and zones, read on their own.

use super::decode::{Fault, Outcome};
use crate::zone::{self, Zone};

/// Hours, minutes, seconds and microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::text) struct Time {
    pub(in crate::text) hour: i64,
    pub(in crate::text) minute: i64,
    pub(in crate::text) second: i64,
    pub(in crate::text) micros: i64,
}

/// `hours:minutes`, `hours:minutes:seconds` or `minutes:seconds.fraction`; hours have no limit here.
pub(in crate::text) fn time(text: &str) -> Outcome<Time> {
    let number = |digits: &str| -> Outcome<i64> {
        if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
            return Err(Fault::Format);
        }
        digits.parse().map_err(|_| Fault::Range)
    };
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let parts: Vec<&str> = whole.split(':').collect();
    let mut time = Time::default();
    match (parts.as_slice(), fraction) {
        ([hour, ""], None) => time.hour = number(hour)?,
        ([minute, second], Some(_)) => {
            time.minute = number(minute)?;
            time.second = number(second)?;
        }
        ([hour, minute], None) => {
            time.hour = number(hour)?;
            time.minute = number(minute)?;
        }
        ([hour, minute, second], _) => {
            time.hour = number(hour)?;
            time.minute = number(minute)?;
            time.second = number(second)?;
        }
        _ => return Err(Fault::Format),
    }
    time.micros = fraction_micros(fraction.unwrap_or(""))?;
    if time.minute > 59 || time.second > 60 || time.micros > 1_000_000 {
        return Err(Fault::Range);
    }
    Ok(time)
}

/// Digits after a point as microseconds, rounded.
pub(super) fn fraction_micros(digits: &str) -> Outcome<i64> {
    if digits.is_empty() {
        return Ok(0);
    }
    if !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(Fault::Format);
    }
    let fraction: f64 = format!("0.{digits}").parse().map_err(|_| Fault::Format)?;
    Ok((fraction * 1_000_000.0).round_ties_even() as i64)
}

/// Seconds east of Greenwich of `+hh`, `+hhmm`, `+hh:mm` or `+hh:mm:ss`.
pub(super) fn offset(text: &str) -> Outcome<i32> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => return Err(Fault::Format),
    };
    let (hours, mut rest) = leading_number(digits)?;
    let (mut hours, mut minutes, mut seconds) = (hours, 0, 0);
    if let Some(after) = rest.strip_prefix(':') {
        (minutes, rest) = leading_number(after)?;
        if let Some(after) = rest.strip_prefix(':') {
            (seconds, rest) = leading_number(after)?;
        }
    } else if rest.is_empty() && digits.len() > 2 {
        (hours, minutes) = (hours / 100, hours % 100);
    }
    if !(0..=15).contains(&hours) || !(0..60).contains(&minutes) || !(0..60).contains(&seconds) {
        return Err(Fault::Displacement);
    }
    if !rest.is_empty() {
        return Err(Fault::Format);
    }
    let total = (hours * 60 + minutes) * 60 + seconds;
    Ok(if negative { -total } else { total })
}

/// A zone of the database, or one in POSIX form with a name.
pub(super) fn named_zone(text: &str) -> Option<Zone> {
    match zone::find(text) {
        Some(zone) => Some(Zone::Named(zone)),
        None if text.starts_with(|c: char| c.is_ascii_alphabetic()) => zone::posix(text),
        None => None,
    }
}

fn leading_number(text: &str) -> Outcome<(i32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = if end == 0 { 0 } else { text[..end].parse().map_err(|_| Fault::Displacement)? };
    Ok((number, &text[end..]))
}
