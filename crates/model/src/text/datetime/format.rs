//! Dates and times in ISO form, as PostgreSQL shows them.

use chrono_tz::Tz;

use crate::calendar::{MICROS_PER_SECOND, civil};
use crate::interval::MICROS_PER_DAY;
use crate::value::{DATE_INFINITY, DATE_NEGATIVE_INFINITY, TIMESTAMP_INFINITY, TIMESTAMP_NEGATIVE_INFINITY};
use crate::zone;

/// Appends a number of at least two digits.
pub(in crate::text) fn two_digits(number: i64, out: &mut Vec<u8>) {
    if number < 10 {
        out.push(b'0');
    }
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends year, month and day; gives back whether the year is before Christ.
fn calendar_day(days: i64, out: &mut Vec<u8>) -> bool {
    let (year, month, day) = civil(days);
    let (year, before_christ) = if year > 0 { (year, false) } else { (1 - year, true) };
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(year);
    out.resize(out.len() + 4usize.saturating_sub(digits.len()), b'0');
    out.extend_from_slice(digits.as_bytes());
    out.push(b'-');
    two_digits(month.into(), out);
    out.push(b'-');
    two_digits(day.into(), out);
    before_christ
}

fn era(before_christ: bool, out: &mut Vec<u8>) {
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

/// Appends a date.
pub(in crate::text) fn date(days: i32, out: &mut Vec<u8>) {
    match days {
        DATE_INFINITY => out.extend_from_slice(b"infinity"),
        DATE_NEGATIVE_INFINITY => out.extend_from_slice(b"-infinity"),
        days => {
            let before_christ = calendar_day(days.into(), out);
            era(before_christ, out);
        }
    }
}

/// Appends seconds of two digits and what is left of the microseconds without zeros at the end.
pub(in crate::text) fn seconds(micros: i64, out: &mut Vec<u8>) {
    two_digits(micros / MICROS_PER_SECOND, out);
    let fraction = micros % MICROS_PER_SECOND;
    if fraction == 0 {
        return;
    }
    out.push(b'.');
    let mut divisor = MICROS_PER_SECOND / 10;
    let mut rest = fraction;
    while rest > 0 {
        out.push(b'0' + (rest / divisor) as u8);
        rest %= divisor;
        divisor /= 10;
    }
}

/// Appends a time of day.
pub(in crate::text) fn time(micros: i64, out: &mut Vec<u8>) {
    let minutes = micros / (60 * MICROS_PER_SECOND);
    two_digits(minutes / 60, out);
    out.push(b':');
    two_digits(minutes % 60, out);
    out.push(b':');
    seconds(micros % (60 * MICROS_PER_SECOND), out);
}

/// Appends date and time; gives back whether the year is before Christ, `None` for infinities.
fn local(micros: i64, out: &mut Vec<u8>) -> bool {
    let before_christ = calendar_day(micros.div_euclid(MICROS_PER_DAY), out);
    out.push(b' ');
    time(micros.rem_euclid(MICROS_PER_DAY), out);
    before_christ
}

fn infinity(micros: i64, out: &mut Vec<u8>) -> bool {
    match micros {
        TIMESTAMP_INFINITY => out.extend_from_slice(b"infinity"),
        TIMESTAMP_NEGATIVE_INFINITY => out.extend_from_slice(b"-infinity"),
        _ => return false,
    }
    true
}

/// Appends a timestamp of no zone.
pub(in crate::text) fn timestamp(micros: i64, out: &mut Vec<u8>) {
    if !infinity(micros, out) {
        let before_christ = local(micros, out);
        era(before_christ, out);
    }
}

/// Appends a timestamp as the zone's clocks show it, with the offset.
pub(in crate::text) fn timestamptz(micros: i64, timezone: Tz, out: &mut Vec<u8>) {
    if infinity(micros, out) {
        return;
    }
    let offset = zone::offset_at(timezone, micros);
    let shown = micros.saturating_add(i64::from(offset) * MICROS_PER_SECOND);
    let before_christ = local(shown, out);
    out.push(if offset < 0 { b'-' } else { b'+' });
    let offset = i64::from(offset.abs());
    two_digits(offset / 3600, out);
    if offset % 3600 != 0 {
        out.push(b':');
        two_digits(offset / 60 % 60, out);
    }
    if offset % 60 != 0 {
        out.push(b':');
        two_digits(offset % 60, out);
    }
    era(before_christ, out);
}
