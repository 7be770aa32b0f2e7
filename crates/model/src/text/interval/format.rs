//! The four styles of intervals.

use super::super::IntervalStyle;
use super::super::datetime::{format_seconds, two_digits};
use crate::calendar::{MICROS_PER_MINUTE, MICROS_PER_SECOND};
use crate::interval::Interval;

/// Appends an interval.
pub(in crate::text) fn format(interval: Interval, style: IntervalStyle, out: &mut Vec<u8>) {
    match style {
        IntervalStyle::Postgres => postgres(interval, out),
        IntervalStyle::PostgresVerbose => verbose(interval, out),
        IntervalStyle::SqlStandard => sql_standard(interval, out),
        IntervalStyle::Iso8601 => iso_8601(interval, out),
    }
}

fn integer(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends hours of at least as many digits, minutes and seconds.
fn clock(micros: u64, two_digit_hours: bool, out: &mut Vec<u8>) {
    let minute = MICROS_PER_MINUTE as u64;
    let hours = (micros / minute / 60) as i64;
    if two_digit_hours {
        two_digits(hours, out);
    } else {
        integer(hours, out);
    }
    out.push(b':');
    two_digits((micros / minute % 60) as i64, out);
    out.push(b':');
    format_seconds((micros % minute) as i64, out);
}

/// Appends `1 year 2 mons 3 days 04:05:06`.
fn postgres(interval: Interval, out: &mut Vec<u8>) {
    let mut empty = true;
    let mut after_negative = false;
    let mut part = |value: i32, unit: &str, out: &mut Vec<u8>| {
        if value == 0 {
            return;
        }
        if !empty {
            out.push(b' ');
        }
        if after_negative && value > 0 {
            out.push(b'+');
        }
        integer(value, out);
        out.push(b' ');
        out.extend_from_slice(unit.as_bytes());
        if value != 1 {
            out.push(b's');
        }
        empty = false;
        after_negative = value < 0;
    };
    part(interval.months / 12, "year", out);
    part(interval.months % 12, "mon", out);
    part(interval.days, "day", out);
    if !empty && interval.micros == 0 {
        return;
    }
    if !empty {
        out.push(b' ');
    }
    if interval.micros < 0 {
        out.push(b'-');
    } else if after_negative {
        out.push(b'+');
    }
    clock(interval.micros.unsigned_abs(), true, out);
}

/// Appends `@ 1 year 2 mons -3 days ago`: the first part's sign is said at the end.
fn verbose(interval: Interval, out: &mut Vec<u8>) {
    out.push(b'@');
    let start = out.len();
    let mut ago: Option<bool> = None;
    let micros = interval.micros;
    let (minutes, seconds) = (micros / MICROS_PER_MINUTE, micros % MICROS_PER_MINUTE);
    let parts = [
        (i64::from(interval.months / 12), "year"),
        (i64::from(interval.months % 12), "mon"),
        (i64::from(interval.days), "day"),
        (minutes / 60, "hour"),
        (minutes % 60, "min"),
    ];
    for (value, unit) in parts {
        if value == 0 {
            continue;
        }
        let negated = *ago.get_or_insert(value < 0);
        let value = if negated { -value } else { value };
        out.push(b' ');
        integer(value, out);
        out.push(b' ');
        out.extend_from_slice(unit.as_bytes());
        if value != 1 {
            out.push(b's');
        }
    }
    if seconds != 0 {
        let negated = *ago.get_or_insert(seconds < 0);
        let seconds = if negated { -seconds } else { seconds };
        out.push(b' ');
        signed_seconds(seconds, out);
        out.extend_from_slice(if seconds == MICROS_PER_SECOND { b" sec" } else { b" secs" });
    }
    if out.len() == start {
        out.extend_from_slice(b" 0");
    }
    if ago == Some(true) {
        out.extend_from_slice(b" ago");
    }
}

/// Appends seconds with their sign and without zeros at either end.
fn signed_seconds(micros: i64, out: &mut Vec<u8>) {
    if micros < 0 {
        out.push(b'-');
    }
    let micros = micros.abs();
    let start = out.len();
    format_seconds(micros, out);
    if micros < 10 * MICROS_PER_SECOND {
        out.remove(start);
    }
}

/// Appends `1-2`, `3 4:05:06`, or all parts with their signs where one kind is not enough.
fn sql_standard(interval: Interval, out: &mut Vec<u8>) {
    let Interval { months, days, micros } = interval;
    let negative = months < 0 || days < 0 || micros < 0;
    let positive = months > 0 || days > 0 || micros > 0;
    let (has_months, has_rest) = (months != 0, days != 0 || micros != 0);
    if !negative && !positive {
        out.push(b'0');
        return;
    }
    let year_month = |out: &mut Vec<u8>| {
        integer(months.unsigned_abs() / 12, out);
        out.push(b'-');
        integer(months.unsigned_abs() % 12, out);
    };
    if (negative && positive) || (has_months && has_rest) {
        let sign = |below: bool| if below { b'-' } else { b'+' };
        out.push(sign(months < 0));
        year_month(out);
        out.extend_from_slice(&[b' ', sign(days < 0)]);
        integer(days.unsigned_abs(), out);
        out.extend_from_slice(&[b' ', sign(micros < 0)]);
        clock(micros.unsigned_abs(), false, out);
        return;
    }
    if negative {
        out.push(b'-');
    }
    if has_months {
        year_month(out);
        return;
    }
    if days != 0 {
        integer(days.unsigned_abs(), out);
        out.push(b' ');
    }
    clock(micros.unsigned_abs(), false, out);
}

/// Appends `P1Y2M3DT4H5M6S`.
fn iso_8601(interval: Interval, out: &mut Vec<u8>) {
    let Interval { months, days, micros } = interval;
    if months == 0 && days == 0 && micros == 0 {
        out.extend_from_slice(b"PT0S");
        return;
    }
    out.push(b'P');
    let part = |value: i64, unit: u8, out: &mut Vec<u8>| {
        if value != 0 {
            integer(value, out);
            out.push(unit);
        }
    };
    part((months / 12).into(), b'Y', out);
    part((months % 12).into(), b'M', out);
    part(days.into(), b'D', out);
    if micros == 0 {
        return;
    }
    out.push(b'T');
    let (minutes, seconds) = (micros / MICROS_PER_MINUTE, micros % MICROS_PER_MINUTE);
    part(minutes / 60, b'H', out);
    part(minutes % 60, b'M', out);
    if seconds != 0 {
        signed_seconds(seconds, out);
        out.push(b'S');
    }
}
