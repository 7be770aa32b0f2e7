//! Dates, times and timestamps as text, in and out.
//!
//! Input takes every spelling that PostgreSQL takes; output has the session's style. A timestamp without zone ignores a zone in its text; one with zone takes the session's when its text
//! names none.

mod clock;
mod decode;
mod format;
pub(super) mod token;
pub(super) mod words;

pub(super) use clock::time;
pub(super) use decode::Fault;
pub(super) use format::{date as format_date, time as format_time, timestamp as format_timestamp};
pub(super) use format::{seconds as format_seconds, timestamptz as format_timestamptz, two_digits};

use decode::{Civil, Moment};

use super::{DateOrder, TextContext};
use crate::calendar::{
    DATE_MAX, DATE_MIN, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, days_of, is_timestamp,
};
use crate::error::{Error, ErrorKind, Result};
use crate::infer::{iso_date, iso_timestamp};
use crate::interval::MICROS_PER_DAY;
use crate::value::{DATE_INFINITY, DATE_NEGATIVE_INFINITY, TIMESTAMP_INFINITY, TIMESTAMP_NEGATIVE_INFINITY};
use crate::zone::{self, Zone};

/// The error for a text that is none of the type's.
#[cold]
pub(super) fn fault(fault: Fault, data_type: &str, text: &str) -> Error {
    let range = format!("date/time field value out of range: \"{text}\"");
    match fault {
        Fault::Format => Error::new(
            ErrorKind::InvalidDatetime,
            format!("invalid input syntax for type {data_type}: \"{text}\""),
        ),
        Fault::Range => Error::new(ErrorKind::DatetimeOverflow, range),
        Fault::MonthOrDay => Error::new(ErrorKind::DatetimeOverflow, range)
            .hint("Perhaps you need a different \"datestyle\" setting."),
        Fault::Interval => {
            Error::new(ErrorKind::IntervalOverflow, format!("interval field value out of range: \"{text}\""))
        }
        Fault::IntervalTotal => Error::new(ErrorKind::DatetimeOverflow, "interval out of range"),
        Fault::Displacement => Error::new(
            ErrorKind::InvalidTimeZoneDisplacement,
            format!("time zone displacement out of range: \"{text}\""),
        ),
        Fault::Zone(name) => {
            Error::new(ErrorKind::InvalidParameterValue, format!("time zone \"{name}\" not recognized"))
        }
    }
}

fn moment(data_type: &str, text: &str, time_only: bool, order: DateOrder) -> Result<Moment> {
    let decoded = match token::split(text) {
        None => Err(Fault::Format),
        Some(fields) if time_only => decode::time_of_day(&fields, order),
        Some(fields) => decode::date_and_time(&fields, order),
    };
    decoded.map_err(|reason| fault(reason, data_type, text))
}

/// Microseconds since midnight.
fn time_micros(civil: &Civil) -> i64 {
    civil.hour * MICROS_PER_HOUR
        + civil.minute * MICROS_PER_MINUTE
        + civil.second * MICROS_PER_SECOND
        + civil.micros
}

/// Days since 1970-01-01; year, month and day are inside of their ranges.
fn day(civil: &Civil) -> i64 {
    days_of(civil.year, civil.month, civil.day)
}

/// The local time of the session.
fn local_now(context: &TextContext) -> i64 {
    context.now_micros + i64::from(zone::offset_at(context.timezone, context.now_micros)) * MICROS_PER_SECOND
}

fn today(context: &TextContext) -> i64 {
    local_now(context).div_euclid(MICROS_PER_DAY)
}

#[cold]
fn out_of_range(what: &str, text: &str) -> Error {
    Error::new(ErrorKind::DatetimeOverflow, format!("{what} out of range: \"{text}\""))
}

/// Days since 1970-01-01. Dates are mostly in the form of ISO 8601, which takes a fraction of the time.
pub(super) fn parse_date(text: &str, context: &TextContext) -> Result<i32> {
    iso_date(text.as_bytes()).map_or_else(|| parse_any_date(text, context), Ok)
}

fn parse_any_date(text: &str, context: &TextContext) -> Result<i32> {
    let days = match moment("date", text, false, context.style.order)? {
        Moment::Civil(civil) => day(&civil),
        Moment::Now => today(context),
        Moment::Relative(days, _) => today(context) + days,
        Moment::Epoch => 0,
        Moment::Infinity { negative } => {
            return Ok(if negative { DATE_NEGATIVE_INFINITY } else { DATE_INFINITY });
        }
    };
    match i32::try_from(days) {
        Ok(days) if (DATE_MIN..=DATE_MAX).contains(&days) => Ok(days),
        _ => Err(out_of_range("date", text)),
    }
}

/// Microseconds since midnight.
pub(super) fn parse_time(text: &str, context: &TextContext) -> Result<i64> {
    match moment("time", text, true, context.style.order)? {
        Moment::Civil(civil) => {
            if matches!(civil.zone, Some(Zone::Named(_))) && !civil.has_date {
                // The offset of a named zone depends on the date.
                return Err(fault(Fault::Format, "time", text));
            }
            Ok(time_micros(&civil))
        }
        Moment::Now => Ok(local_now(context).rem_euclid(MICROS_PER_DAY)),
        _ => Err(fault(Fault::Format, "time", text)),
    }
}

/// Microseconds since 1970-01-01 of no zone.
pub(super) fn parse_timestamp(text: &str, context: &TextContext) -> Result<i64> {
    match iso_timestamp(text.as_bytes()) {
        Some((micros, _)) => Ok(micros),
        None => parse_any_timestamp(text, context),
    }
}

fn parse_any_timestamp(text: &str, context: &TextContext) -> Result<i64> {
    let micros = match moment("timestamp", text, false, context.style.order)? {
        Moment::Civil(civil) => join(day(&civil), time_micros(&civil)),
        Moment::Relative(days, civil) => join(today(context) + days, time_micros(&civil)),
        Moment::Now => Some(local_now(context)),
        Moment::Epoch => Some(0),
        Moment::Infinity { negative } => return Ok(infinity(negative)),
    };
    micros.filter(|micros| is_timestamp(*micros)).ok_or_else(|| out_of_range("timestamp", text))
}

/// Microseconds since 1970-01-01 UTC.
pub(super) fn parse_timestamptz(text: &str, context: &TextContext) -> Result<i64> {
    let Some((local, offset)) = iso_timestamp(text.as_bytes()) else {
        return parse_any_timestamptz(text, context);
    };
    let seconds = offset.unwrap_or_else(|| zone::offset_of_local(context.timezone, local));
    Ok(local - i64::from(seconds) * MICROS_PER_SECOND)
}

fn parse_any_timestamptz(text: &str, context: &TextContext) -> Result<i64> {
    let (civil, local) = match moment("timestamp with time zone", text, false, context.style.order)? {
        Moment::Civil(civil) => (civil, join(day(&civil), time_micros(&civil))),
        Moment::Relative(days, civil) => (civil, join(today(context) + days, time_micros(&civil))),
        Moment::Now => return Ok(context.now_micros),
        Moment::Epoch => return Ok(0),
        Moment::Infinity { negative } => return Ok(infinity(negative)),
    };
    let utc = local.and_then(|local| {
        let seconds = match civil.zone {
            Some(zone) => zone::offset_of_local(zone, local),
            None => zone::offset_of_local(context.timezone, local),
        };
        local.checked_sub(i64::from(seconds) * MICROS_PER_SECOND)
    });
    utc.filter(|micros| is_timestamp(*micros)).ok_or_else(|| out_of_range("timestamp", text))
}

fn infinity(negative: bool) -> i64 {
    if negative { TIMESTAMP_NEGATIVE_INFINITY } else { TIMESTAMP_INFINITY }
}

fn join(days: i64, micros: i64) -> Option<i64> {
    days.checked_mul(MICROS_PER_DAY)?.checked_add(micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn same<T: PartialEq + std::fmt::Debug>(fast: &Result<T>, full: &Result<T>) -> bool {
        match (fast, full) {
            (Ok(fast), Ok(full)) => fast == full,
            (Err(fast), Err(full)) => fast.to_string() == full.to_string(),
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        /// The short way says what the one for all spellings says, or leaves the text to it.
        #[test]
        fn iso_texts_mean_the_same_either_way(
            text in "[0-2][0-9]{3}-[01][0-9]-[0-3][0-9]([ T][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\\.[0-9]{1,7})?)?(Z|[+-][01][0-9](:?[0-6][0-9])?)?)?",
            zone in prop_oneof![Just("UTC"), Just("Europe/Berlin"), Just("America/St_Johns")],
        ) {
            let context = TextContext { timezone: zone::find(zone).map_or(Zone::UTC, Zone::Named), ..TextContext::default() };
            prop_assert!(same(&parse_date(&text, &context), &parse_any_date(&text, &context)), "{}", text);
            prop_assert!(same(&parse_timestamp(&text, &context), &parse_any_timestamp(&text, &context)), "{}", text);
            let (fast, full) = (parse_timestamptz(&text, &context), parse_any_timestamptz(&text, &context));
            prop_assert!(same(&fast, &full), "{}: {:?} {:?}", text, fast, full);
        }
    }
}
