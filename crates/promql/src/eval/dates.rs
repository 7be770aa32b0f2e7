//! Parts of dates.

use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};

/// The function of a name, if it is one of a date.
pub(super) fn function(name: &str) -> Option<fn(DateTime<Utc>) -> f64> {
    Some(match name {
        "days_in_month" => |t| f64::from(days_in_month(t)),
        "day_of_month" => |t| f64::from(t.day()),
        "day_of_week" => |t| f64::from(t.weekday().num_days_from_sunday()),
        "day_of_year" => |t| f64::from(t.ordinal()),
        "hour" => |t| f64::from(t.hour()),
        "minute" => |t| f64::from(t.minute()),
        "month" => |t| f64::from(t.month()),
        "year" => |t| f64::from(t.year()),
        _ => return None,
    })
}

/// Applies a function to seconds since the epoch; NaN for times no calendar has.
pub(super) fn at(f: fn(DateTime<Utc>) -> f64, seconds: f64) -> f64 {
    DateTime::from_timestamp(seconds as i64, 0).map_or(f64::NAN, f)
}

fn days_in_month(t: DateTime<Utc>) -> u32 {
    let (year, month) = if t.month() == 12 { (t.year() + 1, 1) } else { (t.year(), t.month() + 1) };
    NaiveDate::from_ymd_opt(year, month, 1).and_then(|first| first.pred_opt()).map_or(31, |last| last.day())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn february_has_a_day_more_in_leap_years() {
        let days = |seconds: f64| at(function("days_in_month").unwrap(), seconds);
        assert_eq!(days(1_454_284_800.0), 29.0);
        assert_eq!(days(1_485_907_200.0), 28.0);
        assert_eq!(days(1_482_000_000.0), 31.0);
        assert!(days(1e300).is_nan());
    }
}
