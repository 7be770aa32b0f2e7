//! Dates as people write them, kept as one number and a precision.
//!
//! Invariant: what [`Moment::write`] writes is W3C datetime, which the protocol asks for, and
//! [`Moment::parse`] reads it back as the same value. Times are kept in UTC.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Invalid;
use crate::loose::Loose;

/// How much of a date was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Precision {
    /// `2026`
    Year,
    /// `2026-11`
    Month,
    /// `2026-11-21`
    Day,
    /// `2026-11-21T07:00:00Z`
    Second,
    /// `2026-11-21T07:00:00.123Z`
    Millisecond,
}

impl Precision {
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::Year, Self::Month, Self::Day, Self::Second, Self::Millisecond].get(code as usize).copied()
    }
}

/// A date, with or without a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970, UTC.
    pub millis: i64,
    /// How much of it was given.
    pub precision: Precision,
}

/// Year 0 and the end of year 9999: what four digits can say.
const MILLIS: std::ops::Range<i64> = -62_167_219_200_000..253_402_300_800_000;

impl Moment {
    /// A point in time.
    ///
    /// # Errors
    /// Outside of the years 0 to 9999.
    pub fn from_millis(millis: i64) -> Result<Self, Invalid> {
        if !MILLIS.contains(&millis) {
            return Err(Invalid::new(format!("{millis} ms is not between the years 0 and 9999")));
        }
        let precision = if millis.rem_euclid(1000) == 0 { Precision::Second } else { Precision::Millisecond };
        Ok(Self { millis, precision })
    }

    /// Now, to the second.
    pub fn now() -> Self {
        Self { millis: Utc::now().timestamp() * 1000, precision: Precision::Second }
    }

    /// Reads W3C datetimes, RFC 2822, HTTP dates, `YYYY-MM-DD HH:MM:SS`, `YYYY/MM/DD`, `YYYYMMDD`, what
    /// JavaScript prints, and seconds or milliseconds since 1970 with ten digits or more. A time without a
    /// zone is UTC.
    ///
    /// # Errors
    /// Anything else, and days that don't exist.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        parse_w3c(text.as_bytes())
            .or_else(|| parse_other(text))
            .filter(|m| MILLIS.contains(&m.millis))
            .ok_or_else(|| {
                let shown: String = text.chars().take(60).collect();
                Invalid::new(format!("\"{shown}\" is no date; write YYYY-MM-DD or YYYY-MM-DDTHH:MM:SSZ"))
            })
    }

    /// Seconds since 1970, or milliseconds when the number is too large for seconds.
    pub(crate) fn from_number(number: f64) -> Result<Self, Invalid> {
        // Seconds reach 9999 with 2.5e11; as milliseconds that is in 1978.
        if !number.is_finite() {
            return Err(Invalid::new("the date is not a finite number"));
        }
        Self::from_millis(if number.abs() < 1e11 { (number * 1000.0) as i64 } else { number as i64 })
    }

    /// Writes it as a W3C datetime.
    pub fn write(self, out: &mut Vec<u8>) {
        let Some(time) = DateTime::from_timestamp_millis(self.millis) else { return };
        let year = time.year() as u32;
        two(out, year / 100);
        two(out, year % 100);
        if self.precision >= Precision::Month {
            out.push(b'-');
            two(out, time.month());
        }
        if self.precision >= Precision::Day {
            out.push(b'-');
            two(out, time.day());
        }
        if self.precision >= Precision::Second {
            out.push(b'T');
            two(out, time.hour());
            out.push(b':');
            two(out, time.minute());
            out.push(b':');
            two(out, time.second());
            if self.precision == Precision::Millisecond {
                let millis = time.timestamp_subsec_millis();
                out.push(b'.');
                out.push(b'0' + (millis / 100) as u8);
                two(out, millis % 100);
            }
            out.push(b'Z');
        }
    }

    /// As an HTTP date, for `Last-Modified`.
    pub fn http_date(self) -> String {
        DateTime::from_timestamp_millis(self.millis)
            .map_or_else(String::new, |time| time.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
    }
}

fn two(out: &mut Vec<u8>, number: u32) {
    out.push(b'0' + (number / 10 % 10) as u8);
    out.push(b'0' + (number % 10) as u8);
}

fn digits(bytes: &[u8]) -> Option<u32> {
    let mut number = 0;
    for byte in bytes {
        number = number * 10 + u32::from(byte.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    (!bytes.is_empty()).then_some(number)
}

/// The W3C profile of ISO 8601, without detours.
fn parse_w3c(bytes: &[u8]) -> Option<Moment> {
    let part = |from: usize, to: usize| digits(bytes.get(from..to)?);
    let year = part(0, 4)?;
    let dash = |at: usize| bytes.get(at) == Some(&b'-');
    let moment = |days: NaiveDate, precision| {
        Some(Moment { millis: days.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis(), precision })
    };
    if bytes.len() == 4 {
        return moment(NaiveDate::from_ymd_opt(year as i32, 1, 1)?, Precision::Year);
    }
    if !dash(4) {
        return None;
    }
    let month = part(5, 7)?;
    if bytes.len() == 7 {
        return moment(NaiveDate::from_ymd_opt(year as i32, month, 1)?, Precision::Month);
    }
    if !dash(7) {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(year as i32, month, part(8, 10)?)?;
    if bytes.len() == 10 {
        return moment(date, Precision::Day);
    }
    if !matches!(bytes.get(10)?, b'T' | b't' | b' ') || bytes.get(13) != Some(&b':') {
        return None;
    }
    let (hour, minute) = (part(11, 13)?, part(14, 16)?);
    let mut rest = bytes.get(16..)?;
    let mut second = 0;
    let mut millis = 0;
    if let [b':', tens, ones, after @ ..] = rest {
        second = digits(&[*tens, *ones])?;
        rest = after;
        if let [b'.' | b',', after @ ..] = rest {
            let length = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let fraction = after.get(..length)?;
            let mut padded = [b'0'; 3];
            for (place, digit) in padded.iter_mut().zip(fraction) {
                *place = *digit;
            }
            (!fraction.is_empty()).then_some(())?;
            millis = digits(&padded)?;
            rest = after.get(length..)?;
        }
    }
    if rest.first() == Some(&b' ') && rest.len() > 1 {
        rest = &rest[1..];
    }
    let offset = match rest {
        [] | [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, zone @ ..] => {
            let minutes = match zone {
                [] => 0,
                [b':', m1, m2] | [m1, m2] => digits(&[*m1, *m2])?,
                _ => return None,
            };
            let total = digits(&[*h1, *h2])? * 60 + minutes;
            if total > 24 * 60 || minutes > 59 {
                return None;
            }
            if *sign == b'-' { -i64::from(total) } else { i64::from(total) }
        }
        _ => return None,
    };
    // A leap second is the last of its minute.
    let time = date.and_hms_opt(hour, minute, second.min(59)).filter(|_| second <= 60)?;
    let precision = if millis == 0 { Precision::Second } else { Precision::Millisecond };
    let millis = time.and_utc().timestamp_millis() + i64::from(millis) - offset * 60_000;
    Some(Moment { millis, precision })
}

fn parse_other(text: &str) -> Option<Moment> {
    if text.len() == 8
        && let Ok(date) = NaiveDate::parse_from_str(text, "%Y%m%d")
    {
        return Some(day(date));
    }
    if text.len() >= 10 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Moment::from_number(text.parse().ok()?).ok();
    }
    if let Ok(time) = DateTime::parse_from_rfc2822(text) {
        return Some(seconds(time.timestamp()));
    }
    // JavaScript: Sat Nov 21 2026 07:00:00 GMT+0000 (Coordinated Universal Time)
    let plain = text.split(" (").next().unwrap_or(text);
    for format in ["%a %b %d %Y %H:%M:%S GMT%z", "%Y/%m/%d %H:%M:%S %z"] {
        if let Ok(time) = DateTime::parse_from_str(plain, format) {
            return Some(seconds(time.timestamp()));
        }
    }
    for format in ["%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%a %b %e %H:%M:%S %Y", "%Y%m%dT%H%M%SZ"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(plain, format) {
            return Some(seconds(time.and_utc().timestamp()));
        }
    }
    ["%Y/%m/%d", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%Y.%m.%d"]
        .iter()
        .find_map(|format| NaiveDate::parse_from_str(plain, format).ok())
        .map(day)
}

fn day(date: NaiveDate) -> Moment {
    Moment {
        millis: date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis(),
        precision: Precision::Day,
    }
}

fn seconds(timestamp: i64) -> Moment {
    Moment { millis: timestamp.saturating_mul(1000), precision: Precision::Second }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(24);
        self.write(&mut text);
        formatter.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Loose::deserialize(deserializer)? {
            Loose::Text(text) => Self::parse(&text),
            Loose::Number(number) => Self::from_number(number),
            Loose::Flag(_) => Err(Invalid::new("true and false are no dates")),
        }
        .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_shapes_people_write_are_one_date() {
        for text in [
            "2026-11-21T07:08:09Z",
            "2026-11-21 07:08:09",
            "2026-11-21T08:08:09+01:00",
            "2026-11-21T08:08:09+0100",
            "2026-11-21t07:08:09.000z",
            "Sat, 21 Nov 2026 07:08:09 GMT",
            "Sat, 21 Nov 2026 07:08:09 +0000",
            "Sat Nov 21 2026 08:08:09 GMT+0100 (Central European Standard Time)",
            "2026/11/21 07:08:09",
            "20261121T070809Z",
            "1795244889",
            "1795244889000",
            "  2026-11-21T07:08:09Z\n",
        ] {
            assert_eq!(Moment::parse(text).unwrap().to_string(), "2026-11-21T07:08:09Z", "{text}");
        }
        for text in ["2026-11-21", "2026/11/21", "20261121", "Nov 21, 2026", "21 November 2026"] {
            assert_eq!(Moment::parse(text).unwrap().to_string(), "2026-11-21", "{text}");
        }
        for text in ["2026", "2026-11", "2026-11-21T07:08:09.120Z"] {
            assert_eq!(Moment::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "soon",
            "2026-13-01",
            "2026-02-30",
            "2026-11-21T25:00Z",
            "26-11-21",
            "NaN",
            "2026-11-21T07:08:09+99:99",
            "９９９９-01-01",
            "-",
        ] {
            assert!(Moment::parse(text).is_err(), "{text}");
        }
        assert!(Moment::from_number(f64::NAN).is_err());
        assert!(Moment::from_number(1e300).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in MILLIS.start..MILLIS.end) {
            let moment = Moment::from_millis(millis).unwrap();
            prop_assert_eq!(Moment::parse(&moment.to_string()).unwrap(), moment);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}|[0-9T:Z+. -]{0,30}") {
            if let Ok(moment) = Moment::parse(&text) {
                prop_assert_eq!(Moment::parse(&moment.to_string()).unwrap(), moment);
            }
        }
    }
}
