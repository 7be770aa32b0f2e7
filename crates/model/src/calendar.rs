//! The proleptic Gregorian calendar in days and microseconds since 1970-01-01.
//!
//! Years are counted astronomically: 1 BC is year 0. The ranges are PostgreSQL's, with one
//! exception: microseconds since 1970 in 64 bits end in the year 294247, some decades before
//! PostgreSQL's, which count from 2000.

use crate::value::{TIMESTAMP_INFINITY, TIMESTAMP_NEGATIVE_INFINITY};

pub(crate) const MICROS_PER_SECOND: i64 = 1_000_000;
pub(crate) const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
pub(crate) const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;

/// 4714-11-24 BC, day 0 of the Julian count.
pub(crate) const DATE_MIN: i32 = -2_440_588;
/// 5874897-12-31.
pub(crate) const DATE_MAX: i32 = 2_145_042_905;
/// 4714-11-24 00:00 BC.
pub(crate) const TIMESTAMP_MIN: i64 = DATE_MIN as i64 * crate::interval::MICROS_PER_DAY;
/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL's binary forms begin.
pub(crate) const DAYS_TO_2000: i32 = 10_957;

/// Days since 1970-01-01 of a date; month and day need not be inside of their ranges.
pub fn days_of(year: i64, month: u32, day: u32) -> i64 {
    // Years begin in March, so that the day that comes and goes is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
pub fn civil(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

/// How many days a month has.
pub fn days_of_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Whether a timestamp is a moment, not an infinity, and inside of the range.
pub(crate) fn is_timestamp(micros: i64) -> bool {
    micros >= TIMESTAMP_MIN && micros != TIMESTAMP_INFINITY
}

/// Whether a timestamp is one of the infinities.
pub(crate) fn is_infinite(micros: i64) -> bool {
    micros == TIMESTAMP_INFINITY || micros == TIMESTAMP_NEGATIVE_INFINITY
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ends_of_the_range_are_those_of_postgresql() {
        assert_eq!(civil(DATE_MIN.into()), (-4713, 11, 24));
        assert_eq!(civil(DATE_MAX.into()), (5_874_897, 12, 31));
        assert_eq!(days_of(2000, 1, 1), i64::from(DAYS_TO_2000));
        assert_eq!(days_of(1970, 1, 1), 0);
        assert_eq!(civil(days_of(2024, 2, 29)), (2024, 2, 29));
    }

    proptest! {
        #[test]
        fn a_day_survives_its_date(day in DATE_MIN..=DATE_MAX) {
            let (year, month, day_of_month) = civil(day.into());
            prop_assert!(day_of_month <= days_of_month(year, month));
            prop_assert_eq!(days_of(year, month, day_of_month), i64::from(day));
        }
    }
}
