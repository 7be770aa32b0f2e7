//! `to_char`, `to_date`, `to_timestamp` and `to_number`: values by patterns.

use std::fmt::Write as _;

use luma_model::{
    Error, ErrorKind, Interval, MICROS_PER_DAY, Numeric, Result, Value, ValueRef, civil, days_of,
    days_of_month, time_zone_offset,
};

use crate::functions::calendar::{from_local, iso_week, to_local};
use crate::functions::numbers::{float, int, number};
use crate::functions::operators::micros;
use crate::functions::overload::Kind::{
    Date, Float8, Int8, Interval as Span, Numeric as N, Text, Time, Timestamp, TimestampTz,
};
use crate::functions::overload::Surroundings;
use crate::functions::overload::{Function, Overload};
use crate::functions::text::string;

mod digits;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The keywords, longer ones before those that begin them.
const KEYWORDS: [&str; 60] = [
    "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "HH24", "HH12", "MONTH", "Month", "month", "YYYY", "IYYY",
    "SSSSS", "SSSS", "Y,YYY", "A.M.", "P.M.", "a.m.", "p.m.", "YYY", "IYY", "DDD", "DAY", "Day", "day",
    "MON", "Mon", "mon", "TZH", "TZM", "HH", "MI", "SS", "MS", "US", "AM", "PM", "am", "pm", "YY", "IY",
    "MM", "DD", "ID", "DY", "Dy", "dy", "WW", "IW", "CC", "OF", "TZ", "tz", "RM", "rm", "Y", "D", "W", "Q",
];

enum Piece<'a> {
    /// A keyword; whether blanks and zeros are left away, and the ordinal's letters asked for.
    Key {
        key: &'static str,
        fill: bool,
        ordinal: Option<bool>,
    },
    Plain(&'a str),
}

/// A pattern's pieces.
fn pieces(pattern: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = pattern;
    let mut fill = true;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm")) {
            fill = false;
            rest = after;
            continue;
        }
        // Names are English in any language.
        if let Some(after) = rest.strip_prefix("TM") {
            fill = false;
            rest = after;
            continue;
        }
        if let Some(escaped) = rest.strip_prefix("\\\"") {
            found.push(Piece::Plain(&rest[1..2]));
            rest = escaped;
            continue;
        }
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            found.push(Piece::Plain(&quoted[..end]));
            rest = quoted.get(end + 1..).unwrap_or("");
            continue;
        }
        // Keywords that have one case in the table are known in any.
        let upper: String = rest.chars().take(6).collect::<String>().to_uppercase();
        let exact = KEYWORDS.iter().find(|key| rest.starts_with(**key));
        let key = exact.or_else(|| KEYWORDS.iter().find(|key| upper.starts_with(**key)));
        let key = key.copied().or_else(|| if upper.starts_with('J') { Some("J") } else { None });
        if let Some(key) = key {
            rest = &rest[key.len()..];
            let ordinal = if rest.starts_with("TH") {
                Some(true)
            } else if rest.starts_with("th") {
                Some(false)
            } else {
                None
            };
            if ordinal.is_some() {
                rest = &rest[2..];
            }
            found.push(Piece::Key { key, fill, ordinal });
            fill = true;
            continue;
        }
        let length = rest.chars().next().map_or(1, char::len_utf8);
        found.push(Piece::Plain(&rest[..length]));
        rest = &rest[length..];
    }
    found
}

/// What a pattern may show.
struct Shown {
    year: i64,
    month: i64,
    day: i64,
    /// Days since 1970, for weekdays and weeks; `None` for a span.
    date: Option<i64>,
    time: i64,
    zone: Option<(String, i32)>,
}

fn ordinal(number: i64) -> &'static str {
    match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    }
}

fn write_padded(out: &mut String, value: i64, width: usize, fill: bool) {
    // Writing to a string cannot fail.
    let _ = if !fill {
        write!(out, "{value}")
    } else if value < 0 {
        write!(out, "-{:0width$}", -value)
    } else {
        write!(out, "{value:0width$}")
    };
}

fn named(names: &[&str], place: i64, key: &str, short: bool, fill: bool) -> String {
    let whole = names.get(place as usize).copied().unwrap_or_default();
    let name = if short { &whole[..3] } else { whole };
    let cased = if key.chars().all(char::is_uppercase) {
        name.to_uppercase()
    } else if key.chars().all(char::is_lowercase) {
        name.to_lowercase()
    } else {
        name.to_owned()
    };
    if fill && !short { format!("{cased:<9}") } else { cased }
}

fn show(shown: &Shown, pattern: &str) -> Result<Value> {
    if pattern.is_empty() {
        return Ok(Value::Null);
    }
    let mut out = String::new();
    let hour = shown.time / HOUR;
    let half = if hour.rem_euclid(12) == 0 { 12 } else { hour.rem_euclid(12) };
    let date = shown.date.unwrap_or(0);
    let (iso_year, week) = iso_week(date);
    let day_of_year = date - days_of(shown.year, 1, 1) + 1;
    for piece in pieces(pattern) {
        let (key, fill, th) = match piece {
            Piece::Plain(text) => {
                out.push_str(text);
                continue;
            }
            Piece::Key { key, fill, ordinal } => (key, fill, ordinal),
        };
        let year = if shown.year > 0 || shown.date.is_none() { shown.year } else { 1 - shown.year };
        let (value, width) = match key {
            "YYYY" => (year, 4),
            "Y,YYY" => {
                let _ = write!(out, "{},{:03}", year / 1000, year % 1000);
                continue;
            }
            "YYY" => (year % 1000, 3),
            "YY" => (year % 100, 2),
            "Y" => (year % 10, 1),
            "IYYY" => (iso_year, 4),
            "IYY" => (iso_year % 1000, 3),
            "IY" => (iso_year % 100, 2),
            "MM" => (shown.month, 2),
            "DD" => (shown.day, 2),
            "DDD" => (day_of_year, 3),
            "D" => ((date + 4).rem_euclid(7) + 1, 1),
            "ID" => ((date + 3).rem_euclid(7) + 1, 1),
            "W" => ((shown.day - 1) / 7 + 1, 1),
            "WW" => ((day_of_year - 1) / 7 + 1, 2),
            "IW" => (week, 2),
            "Q" => ((shown.month - 1) / 3 + 1, 1),
            "CC" => ((year + 99) / 100, 2),
            "J" => (date + 2_440_588, 1),
            "HH24" => (hour, 2),
            "HH12" | "HH" => (half, 2),
            "MI" => (shown.time / (60 * SECOND) % 60, 2),
            "SS" => (shown.time / SECOND % 60, 2),
            "SSSS" | "SSSSS" => (shown.time / SECOND, 1),
            "MS" => (shown.time % SECOND / 1000, 3),
            "US" => (shown.time % SECOND, 6),
            "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6" => {
                let digits = usize::from(key.as_bytes()[2] - b'0');
                let micros = format!("{:06}", shown.time % SECOND);
                out.push_str(micros.get(..digits).unwrap_or_default());
                continue;
            }
            "RM" | "rm" => {
                let roman = digits::roman_letters(shown.month.into());
                let roman = if key == "rm" { roman.to_lowercase() } else { roman };
                let _ = if fill { write!(out, "{roman:<4}") } else { write!(out, "{roman}") };
                continue;
            }
            "AM" | "PM" => {
                out.push_str(if hour.rem_euclid(24) < 12 { "AM" } else { "PM" });
                continue;
            }
            "am" | "pm" => {
                out.push_str(if hour.rem_euclid(24) < 12 { "am" } else { "pm" });
                continue;
            }
            "A.M." | "P.M." => {
                out.push_str(if hour.rem_euclid(24) < 12 { "A.M." } else { "P.M." });
                continue;
            }
            "a.m." | "p.m." => {
                out.push_str(if hour.rem_euclid(24) < 12 { "a.m." } else { "p.m." });
                continue;
            }
            "MONTH" | "Month" | "month" => {
                out.push_str(&named(&MONTHS, shown.month - 1, key, false, fill));
                continue;
            }
            "MON" | "Mon" | "mon" => {
                out.push_str(&named(&MONTHS, shown.month - 1, key, true, fill));
                continue;
            }
            "DAY" | "Day" | "day" => {
                out.push_str(&named(&DAYS, (date + 4).rem_euclid(7), key, false, fill));
                continue;
            }
            "DY" | "Dy" | "dy" => {
                out.push_str(&named(&DAYS, (date + 4).rem_euclid(7), key, true, fill));
                continue;
            }
            "TZ" | "tz" => {
                let name = shown.zone.as_ref().map_or("", |(name, _)| name.as_str());
                out.push_str(&if key == "tz" { name.to_lowercase() } else { name.to_owned() });
                continue;
            }
            "OF" | "TZH" | "TZM" => {
                let offset = shown.zone.as_ref().map_or(0, |(_, offset)| *offset);
                let (hours, minutes) = (offset.abs() / 3600, offset.abs() % 3600 / 60);
                let sign = if offset < 0 { '-' } else { '+' };
                let _ = match key {
                    "TZM" => write!(out, "{minutes:02}"),
                    "OF" if minutes != 0 => write!(out, "{sign}{hours:02}:{minutes:02}"),
                    _ => write!(out, "{sign}{hours:02}"),
                };
                continue;
            }
            _ => continue,
        };
        write_padded(&mut out, value, width, fill);
        if let Some(upper) = th {
            let suffix = ordinal(value);
            out.push_str(&if upper { suffix.to_uppercase() } else { suffix.to_owned() });
        }
    }
    Ok(Value::Text(out))
}

fn moment(local: i64, zone: Option<(String, i32)>) -> Shown {
    let (date, time) = (local.div_euclid(MICROS_PER_DAY), local.rem_euclid(MICROS_PER_DAY));
    let (year, month, day) = civil(date);
    Shown { year, month: month.into(), day: day.into(), date: Some(date), time, zone }
}

fn invalid(value: &str, key: &str, why: &str) -> Error {
    Error::new(ErrorKind::InvalidDatetime, format!("invalid value \"{value}\" for \"{key}\"")).detail(why)
}

/// What a pattern finds in a text: the local time.
fn read(source: &str, pattern: &str) -> Result<i64> {
    let mut rest = source.trim_start();
    let (mut year, mut month, mut day, mut day_of_year) = (None, 1i64, 1i64, None);
    let (mut hour, mut minute, mut second, mut fraction) = (0i64, 0i64, 0i64, 0i64);
    let (mut afternoon, mut julian) = (None, None);
    let list = pieces(pattern);
    for (at, piece) in list.iter().enumerate() {
        let key = match piece {
            Piece::Plain(text) => {
                let blank = text.chars().all(|character| !character.is_alphanumeric());
                let mut skipped = rest.chars();
                if let Some(next) = skipped.next().filter(|next| !blank || !next.is_alphanumeric())
                    && !(blank && next == '-' && *text == " ")
                {
                    rest = skipped.as_str();
                    let _ = next;
                }
                continue;
            }
            Piece::Key { key, .. } => *key,
        };
        rest = rest.trim_start();
        if rest.is_empty() {
            break;
        }
        let names: Option<(&[&str], bool)> = match key.to_uppercase().as_str() {
            "MONTH" => Some((&MONTHS, false)),
            "MON" => Some((&MONTHS, true)),
            "DAY" => Some((&DAYS, false)),
            "DY" => Some((&DAYS, true)),
            _ => None,
        };
        if let Some((names, short)) = names {
            let found = names.iter().enumerate().find_map(|(place, name)| {
                let name = if short { &name[..3] } else { name };
                let start = rest.get(..name.len())?;
                start.eq_ignore_ascii_case(name).then_some((place, name.len()))
            });
            let Some((place, length)) = found else {
                return Err(invalid(
                    rest,
                    key,
                    "The given value did not match any of the allowed values for this field.",
                ));
            };
            rest = &rest[length..];
            if names.len() == MONTHS.len() {
                month = place as i64 + 1;
            }
            continue;
        }
        if matches!(key, "AM" | "PM" | "am" | "pm" | "A.M." | "P.M." | "a.m." | "p.m.") {
            afternoon = Some(rest.starts_with(['P', 'p']));
            rest = rest.get(key.len()..).unwrap_or("");
            continue;
        }
        let longest = match key {
            "YYYY" if matches!(list.get(at + 1), None | Some(Piece::Plain(_))) => 9,
            "YYYY" => 4,
            "US" => 6,
            "MS" | "DDD" | "YYY" => 3,
            "J" | "SSSS" | "SSSSS" => 9,
            "Y" | "D" | "Q" | "W" | "ID" => 1,
            _ => 2,
        };
        let length = rest.bytes().take(longest).take_while(u8::is_ascii_digit).count();
        let (found, after) = rest.split_at(length);
        let Ok(value) = found.parse::<i64>() else {
            let shown: String = rest.chars().take(longest.min(4)).collect();
            return Err(invalid(&shown, key, "Value must be an integer."));
        };
        rest = after;
        match key {
            "YYYY" | "IYYY" => year = Some(value),
            "YYY" | "YY" | "Y" => year = Some(if value < 70 { value + 2000 } else { value + 1900 }),
            "MM" => month = value,
            "DD" => day = value,
            "DDD" => day_of_year = Some(value),
            "J" => julian = Some(value),
            "HH24" | "HH12" | "HH" => hour = value,
            "MI" => minute = value,
            "SS" => second = value,
            "SSSS" | "SSSSS" => (hour, minute, second) = (value / 3600, value / 60 % 60, value % 60),
            "MS" => fraction = value * 10i64.pow(6 - found.len() as u32),
            "US" => fraction = value * 10i64.pow(6 - found.len() as u32),
            _ => {}
        }
    }
    if let Some(afternoon) = afternoon {
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    let year = year.unwrap_or(0);
    let in_month = u32::try_from(month).ok().filter(|month| (1..=12).contains(month));
    let fits = in_month.is_some_and(|month| day >= 1 && day <= i64::from(days_of_month(year, month)))
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..60).contains(&second);
    if !fits {
        return Err(Error::new(
            ErrorKind::DatetimeOverflow,
            format!("date/time field value out of range: \"{source}\""),
        ));
    }
    let days = match (julian, day_of_year) {
        (Some(julian), _) => julian - 2_440_588,
        (_, Some(place)) => days_of(year, 1, 1) + place - 1,
        _ => days_of(year, month as u32, day as u32),
    };
    Ok(days * MICROS_PER_DAY + hour * HOUR + (minute * 60 + second) * SECOND + fraction)
}

fn zoned(info: &Surroundings, value: ValueRef<'_>) -> Shown {
    let zone = info.text_context().timezone;
    let moment_micros = micros(value);
    let offset = time_zone_offset(zone, moment_micros);
    let name = zone.abbreviation_at(moment_micros);
    moment(to_local(moment_micros, zone), Some((name, offset)))
}

pub(super) static FUNCTIONS: &[&Function] = &[
    &Function::new(
        "to_char",
        &[
            Overload::new(&[Timestamp, Text], Text, |_, values, _| {
                show(&moment(micros(values[0]), None), string(values[1]))
            }),
            Overload::new(&[TimestampTz, Text], Text, |info, values, _| {
                show(&zoned(info, values[0]), string(values[1]))
            }),
            Overload::new(&[Date, Text], Text, |info, values, _| {
                let local = micros(values[0]);
                let at = from_local(local, info.text_context().timezone);
                let zone = zoned(info, ValueRef::TimestampTz(at)).zone;
                show(&moment(local, zone), string(values[1]))
            }),
            Overload::new(&[Time, Text], Text, |_, values, _| {
                span(Interval::new(0, 0, micros(values[0])), values[1])
            }),
            Overload::new(&[Span, Text], Text, |_, values, _| match values[0] {
                ValueRef::Interval(value) => span(value, values[1]),
                _ => Ok(Value::Null),
            }),
            Overload::new(&[N, Text], Text, |_, values, _| {
                digits::show(number(values[0]), true, string(values[1]))
            }),
            Overload::new(&[Int8, Text], Text, |_, values, _| {
                digits::show(Numeric::from(int(values[0])).as_ref(), false, string(values[1]))
            }),
            Overload::new(&[Float8, Text], Text, |_, values, _| {
                digits::show(Numeric::from_f64(float(values[0])).as_ref(), false, string(values[1]))
            }),
        ],
    ),
    &Function::new(
        "to_number",
        &[Overload::new(&[Text, Text], N, |_, values, _| digits::read(string(values[0]), string(values[1])))],
    ),
    &Function::new(
        "to_date",
        &[Overload::new(&[Text, Text], Date, |_, values, _| {
            read(string(values[0]), string(values[1]))
                .map(|local| Value::Date(local.div_euclid(MICROS_PER_DAY) as i32))
        })],
    ),
    &Function::new(
        "to_timestamp",
        &[
            Overload::new(&[Text, Text], TimestampTz, |info, values, _| {
                let local = read(string(values[0]), string(values[1]))?;
                Ok(Value::TimestampTz(from_local(local, info.text_context().timezone)))
            }),
            Overload::new(&[Float8], TimestampTz, |_, values, _| {
                Ok(Value::TimestampTz((float(values[0]) * 1e6).round() as i64))
            }),
        ],
    ),
];

fn span(value: Interval, pattern: ValueRef<'_>) -> Result<Value> {
    let shown = Shown {
        year: (value.months / 12).into(),
        month: (value.months % 12).into(),
        day: value.days.into(),
        date: None,
        time: value.micros,
        zone: None,
    };
    show(&shown, string(pattern))
}
