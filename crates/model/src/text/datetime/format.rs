//! Dates and times in the styles that PostgreSQL shows them in.

use crate::calendar::{MICROS_PER_SECOND, civil};
use crate::interval::MICROS_PER_DAY;
use crate::text::{DateOrder, DateStyle, Style, TextContext};
use crate::value::{DATE_INFINITY, DATE_NEGATIVE_INFINITY, TIMESTAMP_INFINITY, TIMESTAMP_NEGATIVE_INFINITY};
use crate::zone;

/// Appends a number of at least two digits.
pub(in crate::text) fn two_digits(number: i64, out: &mut Vec<u8>) {
    if number < 10 {
        out.push(b'0');
    }
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn year_digits(year: i64, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(year);
    out.resize(out.len() + 4usize.saturating_sub(digits.len()), b'0');
    out.extend_from_slice(digits.as_bytes());
}

/// Year as it is written, month and day; and whether the year is before Christ.
fn written(days: i64) -> (i64, u32, u32, bool) {
    let (year, month, day) = civil(days);
    if year > 0 { (year, month, day, false) } else { (1 - year, month, day, true) }
}

/// Appends year, month and day as numbers; gives back whether the year is before Christ.
fn calendar_day(days: i64, style: Style, out: &mut Vec<u8>) -> bool {
    let (year, month, day, before_christ) = written(days);
    let (month, day) = (i64::from(month), i64::from(day));
    let day_first = style.order == DateOrder::Dmy;
    let (first, second, separator) = match style.date {
        DateStyle::Iso => {
            year_digits(year, out);
            for part in [month, day] {
                out.push(b'-');
                two_digits(part, out);
            }
            return before_christ;
        }
        DateStyle::German => (day, month, b'.'),
        DateStyle::Sql if day_first => (day, month, b'/'),
        DateStyle::Sql => (month, day, b'/'),
        DateStyle::Postgres if day_first => (day, month, b'-'),
        DateStyle::Postgres => (month, day, b'-'),
    };
    for part in [first, second] {
        two_digits(part, out);
        out.push(separator);
    }
    year_digits(year, out);
    before_christ
}

fn era(before_christ: bool, out: &mut Vec<u8>) {
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

/// Appends a date.
pub(in crate::text) fn date(days: i32, style: Style, out: &mut Vec<u8>) {
    match days {
        DATE_INFINITY => out.extend_from_slice(b"infinity"),
        DATE_NEGATIVE_INFINITY => out.extend_from_slice(b"-infinity"),
        days => {
            let before_christ = calendar_day(days.into(), style, out);
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

const WEEKDAYS: [&[u8]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Appends date and time; gives back whether the year is before Christ.
fn local(micros: i64, style: Style, out: &mut Vec<u8>) -> bool {
    let (days, clock) = (micros.div_euclid(MICROS_PER_DAY), micros.rem_euclid(MICROS_PER_DAY));
    if style.date != DateStyle::Postgres {
        let before_christ = calendar_day(days, style, out);
        out.push(b' ');
        time(clock, out);
        return before_christ;
    }
    let (year, month, day, before_christ) = written(days);
    let weekday = WEEKDAYS.get(days.rem_euclid(7) as usize).copied().unwrap_or_default();
    let month = MONTHS.get(month as usize - 1).copied().unwrap_or_default();
    out.extend_from_slice(weekday);
    out.push(b' ');
    if style.order == DateOrder::Dmy {
        two_digits(day.into(), out);
        out.push(b' ');
        out.extend_from_slice(month);
    } else {
        out.extend_from_slice(month);
        out.push(b' ');
        two_digits(day.into(), out);
    }
    out.push(b' ');
    time(clock, out);
    out.push(b' ');
    year_digits(year, out);
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
pub(in crate::text) fn timestamp(micros: i64, style: Style, out: &mut Vec<u8>) {
    if !infinity(micros, out) {
        let before_christ = local(micros, style, out);
        era(before_christ, out);
    }
}

/// Appends a timestamp as the zone's clocks show it, with the offset, or its name where the style is not ISO.
pub(in crate::text) fn timestamptz(micros: i64, context: &TextContext, out: &mut Vec<u8>) {
    if infinity(micros, out) {
        return;
    }
    let offset = zone::offset_at(context.timezone, micros);
    let shown = micros.saturating_add(i64::from(offset) * MICROS_PER_SECOND);
    let before_christ = local(shown, context.style, out);
    if context.style.date == DateStyle::Iso {
        zone_offset(offset, out);
    } else {
        out.push(b' ');
        out.extend_from_slice(context.timezone.abbreviation_at(micros).as_bytes());
    }
    era(before_christ, out);
}

/// Appends seconds east of Greenwich as hours, and minutes and seconds where there are some.
pub(in crate::text) fn zone_offset(seconds: i32, out: &mut Vec<u8>) {
    out.push(if seconds < 0 { b'-' } else { b'+' });
    let offset = i64::from(seconds.unsigned_abs());
    two_digits(offset / 3600, out);
    if offset % 3600 != 0 {
        out.push(b':');
        two_digits(offset / 60 % 60, out);
    }
    if offset % 60 != 0 {
        out.push(b':');
        two_digits(offset % 60, out);
    }
}
