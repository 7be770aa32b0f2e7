//! Dates and times: what is in them, and how they move.

use luma_model::{
    DataType, Error, ErrorKind, Interval, MICROS_PER_DAY, Numeric, Result, TIMESTAMP_INFINITY,
    TIMESTAMP_NEGATIVE_INFINITY, Value, ValueRef, Zone, civil, days_of, days_of_month, find_time_zone,
    posix_time_zone, time_zone_abbreviation, time_zone_offset, time_zone_offset_of_local,
};

use crate::functions::numbers::{float, int};
use crate::functions::operators::micros;
use crate::functions::overload::Kind::{
    Bool, Date, Float8, Int4, Interval as Span, Numeric as N, Text, Time, Timestamp, TimestampTz,
};
use crate::functions::overload::Surroundings;
use crate::functions::overload::{Function, Overload};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// Midnight of a day, in microseconds since 1970.
pub(super) fn midnight(days: i32) -> i64 {
    match days {
        luma_model::DATE_INFINITY => TIMESTAMP_INFINITY,
        luma_model::DATE_NEGATIVE_INFINITY => TIMESTAMP_NEGATIVE_INFINITY,
        days => i64::from(days).saturating_mul(MICROS_PER_DAY),
    }
}

pub(super) fn is_infinite(micros: i64) -> bool {
    micros == TIMESTAMP_INFINITY || micros == TIMESTAMP_NEGATIVE_INFINITY
}

pub(super) fn timestamp_range() -> Error {
    Error::new(ErrorKind::DatetimeOverflow, "timestamp out of range")
}

/// The moment a span later: months first, the day kept inside of its month, then days, then time.
pub(super) fn shift(moment: i64, by: Interval) -> Result<i64> {
    if is_infinite(moment) {
        return Ok(moment);
    }
    let (mut day, time) = (moment.div_euclid(MICROS_PER_DAY), moment.rem_euclid(MICROS_PER_DAY));
    if by.months != 0 {
        let (year, month, day_of_month) = civil(day);
        let months = year * 12 + i64::from(month) - 1 + i64::from(by.months);
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) as u32 + 1);
        day = days_of(year, month, day_of_month.min(days_of_month(year, month)));
    }
    let start = (day + i64::from(by.days)).checked_mul(MICROS_PER_DAY).ok_or_else(timestamp_range)?;
    let moved = start.checked_add(time).and_then(|moved| moved.checked_add(by.micros));
    let first = days_of(-4713, 11, 24) * MICROS_PER_DAY;
    moved.filter(|moved| *moved >= first && *moved != TIMESTAMP_INFINITY).ok_or_else(timestamp_range)
}

/// As `shift`, where months and days are those of the zone's clock.
pub(super) fn shift_zoned(moment: i64, by: Interval, zone: Zone) -> Result<i64> {
    let whole = Interval::new(by.months, by.days, 0);
    let moved = if by.months == 0 && by.days == 0 || is_infinite(moment) {
        moment
    } else {
        from_local(shift(to_local(moment, zone), whole)?, zone)
    };
    shift(moved, Interval::new(0, 0, by.micros))
}

/// What the zone's clock shows at a moment.
pub(super) fn to_local(moment: i64, zone: Zone) -> i64 {
    if is_infinite(moment) { moment } else { moment + i64::from(time_zone_offset(zone, moment)) * SECOND }
}

/// The moment at which the zone's clock shows this.
pub(super) fn from_local(local: i64, zone: Zone) -> i64 {
    if is_infinite(local) {
        local
    } else {
        local - i64::from(time_zone_offset_of_local(zone, local)) * SECOND
    }
}

/// The span without what is finer than a field.
fn cut(span: Interval, field: &str) -> Interval {
    let whole = |unit: i64| Interval::new(span.months, span.days, span.micros / unit * unit);
    match field.to_ascii_uppercase().as_str() {
        "YEAR" => Interval::new(span.months / 12 * 12, 0, 0),
        "MONTH" => Interval::new(span.months, 0, 0),
        "DAY" => Interval::new(span.months, span.days, 0),
        "HOUR" => whole(3600 * SECOND),
        "MINUTE" => whole(60 * SECOND),
        _ => span,
    }
}

/// A zone so far from Greenwich.
fn zone_by(offset: Interval) -> Result<Zone> {
    if offset.months != 0 || offset.days != 0 {
        let message = "an interval that is a time zone must not have months or days";
        return Err(Error::new(ErrorKind::InvalidParameterValue, message));
    }
    i32::try_from(offset.micros / SECOND)
        .map(Zone::Fixed)
        .map_err(|_| Error::new(ErrorKind::InvalidParameterValue, "the interval is too long for a time zone"))
}

/// A zone as a user names it.
fn zone_named(name: &str) -> Result<Zone> {
    if let Some(offset) = time_zone_abbreviation(&name.to_lowercase()) {
        return Ok(Zone::Fixed(offset));
    }
    if let Some(zone) = find_time_zone(name) {
        return Ok(zone.into());
    }
    // A bare number counts west of Greenwich as those with a sign do.
    let west = name.starts_with(|first: char| first.is_ascii_digit()).then(|| format!("+{name}"));
    posix_time_zone(west.as_deref().unwrap_or(name)).ok_or_else(|| {
        Error::new(ErrorKind::InvalidParameterValue, format!("time zone \"{name}\" not recognized"))
    })
}

fn name(value: ValueRef<'_>) -> &str {
    match value {
        ValueRef::Text(name) => name,
        _ => "",
    }
}

fn span_of(value: ValueRef<'_>) -> Interval {
    match value {
        ValueRef::Interval(span) => span,
        _ => Interval::default(),
    }
}

/// The year as PostgreSQL counts: there is no year 0.
fn shown_year(year: i64) -> i64 {
    if year > 0 { year } else { year - 1 }
}

/// ISO week and the year it belongs to.
pub(super) fn iso_week(day: i64) -> (i64, i64) {
    // The week belongs to the year of its Thursday.
    let thursday = day - (day + 3).rem_euclid(7) + 3;
    let (year, _, _) = civil(thursday);
    (year, (thursday - days_of(year, 1, 1)) / 7 + 1)
}

fn unit_error(unit: &str, data_type: &str, known: bool) -> Error {
    if known {
        Error::new(
            ErrorKind::FeatureNotSupported,
            format!("unit \"{unit}\" not supported for type {data_type}"),
        )
    } else {
        Error::new(
            ErrorKind::InvalidParameterValue,
            format!("unit \"{unit}\" not recognized for type {data_type}"),
        )
    }
}

/// One name for each unit.
fn canonical_unit(unit: &str) -> String {
    let unit = unit.trim_matches('"').to_lowercase();
    match unit.as_str() {
        "years" | "yr" | "yrs" | "y" => "year",
        "months" | "mon" | "mons" => "month",
        "days" | "d" => "day",
        "hours" | "hr" | "hrs" | "h" => "hour",
        "minutes" | "min" | "mins" | "m" => "minute",
        "seconds" | "sec" | "secs" | "s" => "second",
        "millisecond" | "ms" | "msec" | "msecs" => "milliseconds",
        "microsecond" | "us" | "usec" | "usecs" => "microseconds",
        "weeks" | "w" => "week",
        "quarters" | "qtr" => "quarter",
        "decades" => "decade",
        "centuries" | "c" => "century",
        "millenniums" | "millennia" | "mil" => "millennium",
        other => return other.to_owned(),
    }
    .to_owned()
}

const DATE_UNITS: [&str; 14] = [
    "year",
    "month",
    "day",
    "quarter",
    "week",
    "isoyear",
    "isodow",
    "dow",
    "doy",
    "century",
    "decade",
    "millennium",
    "julian",
    "epoch",
];
const TIME_UNITS: [&str; 6] = ["hour", "minute", "second", "milliseconds", "microseconds", "epoch"];
const ZONE_UNITS: [&str; 3] = ["timezone", "timezone_hour", "timezone_minute"];

fn is_unit(unit: &str) -> bool {
    DATE_UNITS.contains(&unit) || TIME_UNITS.contains(&unit) || ZONE_UNITS.contains(&unit)
}

fn scaled(micros: i64, scale: u8) -> Numeric {
    Numeric::new(micros.into(), scale)
}

/// A part of a day.
fn date_part(unit: &str, day: i64) -> Option<Numeric> {
    let (year, month, day_of_month) = civil(day);
    let grouped = |size: i64| if year > 0 { (year + size - 1) / size } else { -((size - year) / size) };
    Some(Numeric::from(match unit {
        "year" => shown_year(year),
        "month" => month.into(),
        "day" => day_of_month.into(),
        "quarter" => i64::from(month - 1) / 3 + 1,
        "week" => iso_week(day).1,
        "isoyear" => shown_year(iso_week(day).0),
        "dow" => (day + 4).rem_euclid(7),
        "isodow" => (day + 3).rem_euclid(7) + 1,
        "doy" => day - days_of(year, 1, 1) + 1,
        "century" => grouped(100),
        "millennium" => grouped(1000),
        "decade" => year.div_euclid(10),
        "julian" => day + 2_440_588,
        _ => return None,
    }))
}

/// A part of a time of day.
fn time_part(unit: &str, time: i64) -> Option<Numeric> {
    Some(match unit {
        "hour" => (time / HOUR).into(),
        "minute" => (time / MINUTE % 60).into(),
        "second" => scaled(time % MINUTE, 6),
        "milliseconds" => scaled(time % MINUTE, 3),
        "microseconds" => (time % MINUTE).into(),
        _ => return None,
    })
}

/// A part of a moment, whose local clock shows `local`.
fn moment_part(unit: &str, local: i64, epoch: i64, data_type: &str, offset: Option<i64>) -> Result<Value> {
    let canonical = canonical_unit(unit);
    let unit_known = is_unit(&canonical);
    if is_infinite(local) {
        // Parts that grow without end are infinite; there is no such number here.
        return if unit_known { Ok(Value::Null) } else { Err(unit_error(unit, data_type, false)) };
    }
    let (day, time) = (local.div_euclid(MICROS_PER_DAY), local.rem_euclid(MICROS_PER_DAY));
    if let Some(offset) = offset {
        match canonical.as_str() {
            "timezone" => return Ok(Value::Numeric(offset.into())),
            "timezone_hour" => return Ok(Value::Numeric((offset / 3600).into())),
            "timezone_minute" => return Ok(Value::Numeric((offset % 3600 / 60).into())),
            _ => {}
        }
    }
    let part = match canonical.as_str() {
        "epoch" => Some(scaled(epoch, 6)),
        "julian" => {
            let whole = Numeric::from(day + 2_440_588);
            let part = Numeric::from(time).as_ref().div(Numeric::from(MICROS_PER_DAY).as_ref())?;
            Some(whole.as_ref().add(part.as_ref())?)
        }
        other => date_part(other, day).or_else(|| time_part(other, time)),
    };
    part.map(Value::Numeric).ok_or_else(|| unit_error(unit, data_type, unit_known))
}

/// A part of a span.
fn span_part(unit: &str, span: Interval) -> Result<Value> {
    let canonical = canonical_unit(unit);
    let (years, months) = (i64::from(span.months / 12), i64::from(span.months % 12));
    let time = span.micros;
    let part = match canonical.as_str() {
        "year" => years.into(),
        "month" => months.into(),
        "quarter" => (months / 3 + 1).into(),
        "day" => i64::from(span.days).into(),
        "decade" => (years / 10).into(),
        "century" => (years / 100).into(),
        "millennium" => (years / 1000).into(),
        "hour" => (time / HOUR).into(),
        "epoch" => {
            // A year has 365.25 days here, a month 30.
            let days = years * 1461 * 86_400 / 4 + (months * 30 + i64::from(span.days)) * 86_400;
            Numeric::new(i128::from(days) * 1_000_000 + i128::from(time), 6)
        }
        other => time_part(other, time).ok_or_else(|| unit_error(unit, "interval", is_unit(&canonical)))?,
    };
    Ok(Value::Numeric(part))
}

fn extract_date(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    let unit = canonical_unit(name(values[0]));
    let ValueRef::Date(day) = values[1] else { return Ok(Value::Null) };
    let part = match unit.as_str() {
        "epoch" => Some(Numeric::from(i64::from(day) * 86_400)),
        unit => date_part(unit, day.into()),
    };
    part.map(Value::Numeric).ok_or_else(|| unit_error(name(values[0]), "date", is_unit(&unit)))
}

fn extract_time(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    let unit = canonical_unit(name(values[0]));
    let time = micros(values[1]);
    let part = if unit == "epoch" { Some(scaled(time, 6)) } else { time_part(&unit, time) };
    part.map(Value::Numeric)
        .ok_or_else(|| unit_error(name(values[0]), "time without time zone", is_unit(&unit)))
}

fn extract_timestamp(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    let moment = micros(values[1]);
    moment_part(name(values[0]), moment, moment, "timestamp without time zone", None)
}

fn extract_zoned(info: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    let moment = micros(values[1]);
    let zone = info.text_context().timezone;
    let offset = if is_infinite(moment) { 0 } else { time_zone_offset(zone, moment) };
    let local = to_local(moment, zone);
    moment_part(name(values[0]), local, moment, "timestamp with time zone", Some(offset.into()))
}

fn extract_span(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    span_part(name(values[0]), span_of(values[1]))
}

/// As a float, which is what `date_part` gives.
fn as_float(value: Result<Value>) -> Result<Value> {
    value.map(|value| match value {
        Value::Numeric(number) => Value::Float8(number.as_ref().to_f64()),
        other => other,
    })
}

/// The beginning of the unit that a local time is in.
fn truncate(unit: &str, local: i64, data_type: &str) -> Result<i64> {
    let canonical = canonical_unit(unit);
    if is_infinite(local) {
        return Ok(local);
    }
    let (day, time) = (local.div_euclid(MICROS_PER_DAY), local.rem_euclid(MICROS_PER_DAY));
    let (year, month, _) = civil(day);
    let start = |year: i64, month: u32| days_of(year, month, 1) * MICROS_PER_DAY;
    let step = |size: i64| time - time.rem_euclid(size) + day * MICROS_PER_DAY;
    Ok(match canonical.as_str() {
        "microseconds" => local,
        "milliseconds" => step(1000),
        "second" => step(SECOND),
        "minute" => step(MINUTE),
        "hour" => step(HOUR),
        "day" => day * MICROS_PER_DAY,
        "week" => (day - (day + 3).rem_euclid(7)) * MICROS_PER_DAY,
        "month" => start(year, month),
        "quarter" => start(year, (month - 1) / 3 * 3 + 1),
        "year" => start(year, 1),
        "decade" => start(year.div_euclid(10) * 10, 1),
        "century" => start((year - 1).div_euclid(100) * 100 + 1, 1),
        "millennium" => start((year - 1).div_euclid(1000) * 1000 + 1, 1),
        _ => return Err(unit_error(unit, data_type, is_unit(&canonical))),
    })
}

fn truncate_span(unit: &str, span: Interval) -> Result<Value> {
    let Interval { months, days, micros } = span;
    let canonical = canonical_unit(unit);
    Ok(Value::Interval(match canonical.as_str() {
        "millennium" => Interval::new(months / 12_000 * 12_000, 0, 0),
        "century" => Interval::new(months / 1200 * 1200, 0, 0),
        "decade" => Interval::new(months / 120 * 120, 0, 0),
        "year" => Interval::new(months / 12 * 12, 0, 0),
        "quarter" => Interval::new(months / 3 * 3, 0, 0),
        "month" => Interval::new(months, 0, 0),
        "day" => Interval::new(months, days, 0),
        "hour" => Interval::new(months, days, micros / HOUR * HOUR),
        "minute" => Interval::new(months, days, micros / MINUTE * MINUTE),
        "second" => Interval::new(months, days, micros / SECOND * SECOND),
        "milliseconds" => Interval::new(months, days, micros / 1000 * 1000),
        "microseconds" => span,
        _ => return Err(unit_error(unit, "interval", is_unit(&canonical))),
    }))
}

/// The time between two local times in years, months, days and what is left.
fn age(later: i64, earlier: i64) -> Interval {
    let negative = later < earlier;
    let (high, low) = if negative { (earlier, later) } else { (later, earlier) };
    let split = |local: i64| {
        let (year, month, day) = civil(local.div_euclid(MICROS_PER_DAY));
        (year, i64::from(month), i64::from(day), local.rem_euclid(MICROS_PER_DAY))
    };
    let (one, other) = (split(high), split(low));
    let mut months = (one.0 - other.0) * 12 + one.1 - other.1;
    let (mut days, mut time) = (one.2 - other.2, one.3 - other.3);
    if time < 0 {
        time += MICROS_PER_DAY;
        days -= 1;
    }
    if days < 0 {
        // The month that was not finished is as long as the earlier one.
        let (year, month) = if negative {
            let before = one.0 * 12 + one.1 - 2;
            (before.div_euclid(12), before.rem_euclid(12) as u32 + 1)
        } else {
            (other.0, other.1 as u32)
        };
        days += i64::from(days_of_month(year, month));
        months -= 1;
    }
    let span = Interval::new(months as i32, days as i32, time);
    if negative { span.checked_neg().unwrap_or(span) } else { span }
}

fn whole_days(local: i64) -> i64 {
    local.div_euclid(MICROS_PER_DAY)
}

fn make_day(values: &[ValueRef<'_>]) -> Result<i64> {
    let (year, month, day) = (int(values[0]), int(values[1]), int(values[2]));
    let shown = format!("{year}-{month:02}-{day:02}");
    let year = if year < 0 { year + 1 } else { year };
    let fits = int(values[0]) != 0
        && (1..=12).contains(&month)
        && day >= 1
        && day <= i64::from(days_of_month(year, month as u32));
    if !fits {
        return Err(Error::new(
            ErrorKind::DatetimeOverflow,
            format!("date field value out of range: {shown}"),
        ));
    }
    Ok(days_of(year, month as u32, day as u32))
}

fn make_clock(hour: i64, minute: i64, second: f64) -> Result<i64> {
    let micros = (second * 1e6).round() as i64;
    if !(0..=24).contains(&hour) || !(0..60).contains(&minute) || !(0..=60 * SECOND).contains(&micros) {
        return Err(Error::new(
            ErrorKind::DatetimeOverflow,
            format!("time field value out of range: {hour}:{minute:02}:{second}"),
        ));
    }
    Ok(hour * HOUR + minute * MINUTE + micros)
}

/// A local time rounded to that many digits of a second.
fn rounded(micros: i64, digits: i64) -> i64 {
    if is_infinite(micros) || digits >= 6 {
        return micros;
    }
    let unit = 10i64.pow(6 - digits.max(0) as u32);
    let (whole, rest) = (micros.div_euclid(unit), micros.rem_euclid(unit));
    (whole + i64::from(rest * 2 >= unit)) * unit
}

/// A time of a column that keeps that many digits of a second.
pub(crate) fn round_value(value: &mut Value, digits: u8) {
    match value {
        Value::Time(micros) | Value::Timestamp(micros) | Value::TimestampTz(micros) => {
            *micros = rounded(*micros, digits.into());
        }
        Value::Interval(span) => span.micros = rounded(span.micros, digits.into()),
        _ => {}
    }
}

const EXTRACT: &[Overload] = &[
    Overload::new(&[Text, Date], N, extract_date),
    Overload::new(&[Text, Time], N, extract_time),
    Overload::new(&[Text, Timestamp], N, extract_timestamp),
    Overload::new(&[Text, TimestampTz], N, extract_zoned),
    Overload::new(&[Text, Span], N, extract_span),
];

pub(crate) static FUNCTIONS: &[&Function] = &[
    &Function::new("luma_extract", EXTRACT),
    &Function::new(
        "date_part",
        &[
            Overload::new(&[Text, Date], Float8, |info, values, types| {
                as_float(extract_date(info, values, types))
            }),
            Overload::new(&[Text, Time], Float8, |info, values, types| {
                as_float(extract_time(info, values, types))
            }),
            Overload::new(&[Text, Timestamp], Float8, |info, values, types| {
                as_float(extract_timestamp(info, values, types))
            }),
            Overload::new(&[Text, TimestampTz], Float8, |info, values, types| {
                as_float(extract_zoned(info, values, types))
            }),
            Overload::new(&[Text, Span], Float8, |info, values, types| {
                as_float(extract_span(info, values, types))
            }),
        ],
    ),
    &Function::new(
        "date_trunc",
        &[
            Overload::new(&[Text, Timestamp], Timestamp, |_, values, _| {
                truncate(name(values[0]), micros(values[1]), "timestamp without time zone")
                    .map(Value::Timestamp)
            }),
            Overload::new(&[Text, TimestampTz], TimestampTz, |info, values, _| {
                let zone = info.text_context().timezone;
                let local = to_local(micros(values[1]), zone);
                truncate(name(values[0]), local, "timestamp with time zone")
                    .map(|local| Value::TimestampTz(from_local(local, zone)))
            }),
            Overload::new(&[Text, TimestampTz, Text], TimestampTz, |_, values, _| {
                let zone = zone_named(name(values[2]))?;
                truncate(name(values[0]), to_local(micros(values[1]), zone), "timestamp with time zone")
                    .map(|local| Value::TimestampTz(from_local(local, zone)))
            }),
            Overload::new(&[Text, Span], Span, |_, values, _| {
                truncate_span(name(values[0]), span_of(values[1]))
            }),
        ],
    ),
    &Function::new(
        "date_bin",
        &[
            Overload::new(&[Span, Timestamp, Timestamp], Timestamp, |_, values, _| {
                bin(values).map(Value::Timestamp)
            }),
            Overload::new(&[Span, TimestampTz, TimestampTz], TimestampTz, |_, values, _| {
                bin(values).map(Value::TimestampTz)
            }),
        ],
    ),
    &Function::new(
        "time_bucket",
        &[
            Overload::new(&[Span, Timestamp, Timestamp], Timestamp, |_, values, _| {
                bucket(values).map(Value::Timestamp)
            })
            .optional(1),
            Overload::new(&[Span, TimestampTz, TimestampTz], TimestampTz, |_, values, _| {
                bucket(values).map(Value::TimestampTz)
            })
            .optional(1),
        ],
    ),
    &Function::new(
        "age",
        &[
            Overload::new(&[Timestamp, Timestamp], Span, |_, values, _| {
                Ok(Value::Interval(age(micros(values[0]), micros(values[1]))))
            }),
            Overload::new(&[TimestampTz, TimestampTz], Span, |info, values, _| {
                let zone = info.text_context().timezone;
                Ok(Value::Interval(age(to_local(micros(values[0]), zone), to_local(micros(values[1]), zone))))
            }),
            Overload::new(&[TimestampTz], Span, |info, values, _| {
                let zone = info.text_context().timezone;
                let today = whole_days(to_local(info.transaction_micros, zone)) * MICROS_PER_DAY;
                Ok(Value::Interval(age(today, to_local(micros(values[0]), zone))))
            }),
        ],
    ),
    &Function::new(
        "luma_interval_fields",
        &[Overload::new(&[Span, Text], Span, |_, values, _| {
            Ok(Value::Interval(cut(span_of(values[0]), name(values[1]))))
        })],
    ),
    &Function::new(
        "timezone",
        &[
            Overload::new(&[Span, Timestamp], TimestampTz, |_, values, _| {
                Ok(Value::TimestampTz(from_local(micros(values[1]), zone_by(span_of(values[0]))?)))
            }),
            Overload::new(&[Span, TimestampTz], Timestamp, |_, values, _| {
                Ok(Value::Timestamp(to_local(micros(values[1]), zone_by(span_of(values[0]))?)))
            }),
            Overload::new(&[Text, Timestamp], TimestampTz, |_, values, _| {
                Ok(Value::TimestampTz(from_local(micros(values[1]), zone_named(name(values[0]))?)))
            }),
            Overload::new(&[Text, TimestampTz], Timestamp, |_, values, _| {
                Ok(Value::Timestamp(to_local(micros(values[1]), zone_named(name(values[0]))?)))
            }),
        ],
    ),
    &Function::new(
        "make_date",
        &[Overload::new(&[Int4, Int4, Int4], Date, |_, values, _| {
            make_day(values).map(|day| Value::Date(day as i32))
        })],
    ),
    &Function::new(
        "make_time",
        &[Overload::new(&[Int4, Int4, Float8], Time, |_, values, _| {
            make_clock(int(values[0]), int(values[1]), float(values[2])).map(Value::Time)
        })],
    ),
    &Function::new(
        "make_timestamp",
        &[Overload::new(&[Int4, Int4, Int4, Int4, Int4, Float8], Timestamp, |_, values, _| {
            let clock = make_clock(int(values[3]), int(values[4]), float(values[5]))?;
            Ok(Value::Timestamp(make_day(values)? * MICROS_PER_DAY + clock))
        })],
    ),
    &Function::new(
        "make_timestamptz",
        &[Overload::new(&[Int4, Int4, Int4, Int4, Int4, Float8, Text], TimestampTz, |info, values, _| {
            let clock = make_clock(int(values[3]), int(values[4]), float(values[5]))?;
            let local = make_day(values)? * MICROS_PER_DAY + clock;
            Ok(Value::TimestampTz(match values.get(6) {
                Some(zone) => from_local(local, zone_named(name(*zone))?),
                None => from_local(local, info.text_context().timezone),
            }))
        })
        .optional(1)],
    ),
    &Function::new(
        "make_interval",
        &[Overload::new(&[Int4, Int4, Int4, Int4, Int4, Int4, Float8], Span, |_, values, _| {
            let part = |at: usize| values.get(at).map_or(0, |value| int(*value));
            let seconds = values.get(6).map_or(0.0, |value| float(*value));
            Ok(Value::Interval(Interval::new(
                (part(0) * 12 + part(1)) as i32,
                (part(2) * 7 + part(3)) as i32,
                part(4) * HOUR + part(5) * MINUTE + (seconds * 1e6).round() as i64,
            )))
        })
        .optional(7)],
    ),
    &Function::new(
        "isfinite",
        &[
            Overload::new(&[Date], Bool, |_, values, _| Ok(Value::Bool(!is_infinite(micros(values[0]))))),
            Overload::new(&[Timestamp], Bool, |_, values, _| {
                Ok(Value::Bool(!is_infinite(micros(values[0]))))
            }),
            Overload::new(&[TimestampTz], Bool, |_, values, _| {
                Ok(Value::Bool(!is_infinite(micros(values[0]))))
            }),
            Overload::new(&[Span], Bool, |_, _, _| Ok(Value::Bool(true))),
        ],
    ),
    &Function::new(
        "luma_precision",
        &[
            Overload::new(&[Time, Int4], Time, |_, values, _| {
                Ok(Value::Time(rounded(micros(values[0]), int(values[1]))))
            }),
            Overload::new(&[Timestamp, Int4], Timestamp, |_, values, _| {
                Ok(Value::Timestamp(rounded(micros(values[0]), int(values[1]))))
            }),
            Overload::new(&[TimestampTz, Int4], TimestampTz, |_, values, _| {
                Ok(Value::TimestampTz(rounded(micros(values[0]), int(values[1]))))
            }),
            Overload::new(&[Span, Int4], Span, |_, values, _| {
                let span = span_of(values[0]);
                Ok(Value::Interval(Interval::new(
                    span.months,
                    span.days,
                    rounded(span.micros, int(values[1])),
                )))
            }),
        ],
    ),
    &Function::new(
        "luma_overlaps",
        &[
            Overload::new(&[TimestampTz, TimestampTz, TimestampTz, TimestampTz], Bool, overlaps),
            Overload::new(&[TimestampTz, Span, TimestampTz, Span], Bool, overlaps),
            Overload::new(&[TimestampTz, TimestampTz, TimestampTz, Span], Bool, overlaps),
            Overload::new(&[TimestampTz, Span, TimestampTz, TimestampTz], Bool, overlaps),
            Overload::new(&[Time, Time, Time, Time], Bool, overlaps),
        ],
    ),
];

/// Whether two stretches of time, each from a moment to another or of a length, have a moment in common.
fn overlaps(info: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    let zone = info.text_context().timezone;
    let stretch = |start: ValueRef<'_>, end: ValueRef<'_>| -> Result<(i64, i64)> {
        let one = micros(start);
        let other = match end {
            ValueRef::Interval(length) => shift_zoned(one, length, zone)?,
            end => micros(end),
        };
        Ok((one.min(other), one.max(other)))
    };
    let (first, second) = (stretch(values[0], values[1])?, stretch(values[2], values[3])?);
    let meets = |one: (i64, i64), other: (i64, i64)| one.0 < other.1 || one.0 == other.0;
    Ok(Value::Bool(meets(first, second) && meets(second, first)))
}

/// Where buckets begin to be counted from: a Monday, so that weeks begin with one.
const BUCKET_ORIGIN: i64 = 10_959 * MICROS_PER_DAY;
/// The same for buckets of months: the first day of 2000.
const MONTHS_ORIGIN: i64 = 10_957 * MICROS_PER_DAY;

/// When the bucket begins that a time is in.
fn bucket(values: &[ValueRef<'_>]) -> Result<i64> {
    let span = span_of(values[0]);
    let origin = |default| values.get(2).copied().unwrap_or(ValueRef::Timestamp(default));
    if span.months == 0 {
        return bin(&[values[0], values[1], origin(BUCKET_ORIGIN)]);
    }
    if span.months < 0 || span.days != 0 || span.micros != 0 {
        let message = "a time bucket is of months or of days and less, and greater than zero";
        return Err(Error::new(ErrorKind::InvalidParameterValue, message));
    }
    let (moment, origin) = (micros(values[1]), micros(origin(MONTHS_ORIGIN)));
    // As many whole months as may lie between, then one less if that was too many.
    let apart = age(moment, origin).months;
    let mut buckets = apart.div_euclid(span.months);
    loop {
        let begins = shift(origin, Interval::new(buckets * span.months, 0, 0))?;
        if begins <= moment {
            return Ok(begins);
        }
        buckets -= 1;
    }
}

fn bin(values: &[ValueRef<'_>]) -> Result<i64> {
    let span = span_of(values[0]);
    if span.months != 0 {
        return Err(Error::new(
            ErrorKind::FeatureNotSupported,
            "timestamps cannot be binned into intervals containing months or years",
        ));
    }
    let stride = i64::from(span.days) * MICROS_PER_DAY + span.micros;
    if stride <= 0 {
        return Err(Error::new(ErrorKind::DatetimeOverflow, "stride must be greater than zero"));
    }
    let (moment, origin) = (micros(values[1]), micros(values[2]));
    Ok(origin + (moment - origin).div_euclid(stride) * stride)
}
