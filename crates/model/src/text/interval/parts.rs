//! The parts of an interval while it is read: fractions flow down into smaller units.

use super::super::datetime::{Fault, words::LETTERS_MAX};
use crate::calendar::{MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND};
use crate::interval::{Interval, MICROS_PER_DAY};

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
    Decade,
    Century,
    Millennium,
}

const MICROSECOND: u16 = 1;
const MILLISECOND: u16 = 2;
const SECOND: u16 = 4;
const MINUTE: u16 = 8;
const HOUR: u16 = 16;
const DAY: u16 = 32;
const WEEK: u16 = 64;
const MONTH: u16 = 128;
const YEAR: u16 = 256;
const DECADE: u16 = 512;
const CENTURY: u16 = 1024;
const MILLENNIUM: u16 = 2048;
const ALL_SECONDS: u16 = MICROSECOND | MILLISECOND | SECOND;
/// What hours, minutes and seconds with colons fill.
pub(super) const CLOCK: u16 = HOUR | MINUTE | ALL_SECONDS;

impl Unit {
    /// The unit that a word in lower case names.
    pub(super) fn parse(word: &str) -> Option<Self> {
        Some(match word.get(..LETTERS_MAX).unwrap_or(word) {
            "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecon" => Unit::Microsecond,
            "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecon" => Unit::Millisecond,
            "s" | "sec" | "secs" | "second" | "seconds" => Unit::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
            "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Hour,
            "d" | "day" | "days" => Unit::Day,
            "w" | "week" | "weeks" => Unit::Week,
            "mon" | "mons" | "month" | "months" => Unit::Month,
            "y" | "yr" | "yrs" | "year" | "years" => Unit::Year,
            "dec" | "decs" | "decade" | "decades" => Unit::Decade,
            "c" | "cent" | "century" | "centuries" => Unit::Century,
            "mil" | "mils" | "millennia" | "millennium" => Unit::Millennium,
            _ => return None,
        })
    }
}

/// Months, days and microseconds being summed up.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    years: i32,
    months: i32,
    days: i32,
    micros: i64,
}

impl Parts {
    pub(super) fn finish(self) -> Result<Interval, Fault> {
        let months = i64::from(self.years) * 12 + i64::from(self.months);
        let months = i32::try_from(months).map_err(|_| Fault::IntervalTotal)?;
        Ok(Interval::new(months, self.days, self.micros))
    }

    /// Adds a number of a unit; gives back what it fills and the unit of a bare number before it.
    pub(super) fn add(&mut self, unit: Unit, value: i64, fraction: f64) -> Result<(u16, Unit), Fault> {
        let mut next = unit;
        let mask = match unit {
            Unit::Microsecond => {
                self.add_micros(value)?;
                self.add_fraction_micros(fraction, 1)?;
                MICROSECOND
            }
            Unit::Millisecond => {
                self.add_scaled(value, fraction, 1000)?;
                MILLISECOND
            }
            Unit::Second => {
                self.add_scaled(value, fraction, MICROS_PER_SECOND)?;
                // A fraction stands for milliseconds and microseconds as well.
                if fraction == 0.0 { SECOND } else { ALL_SECONDS }
            }
            Unit::Minute => {
                self.add_scaled(value, fraction, MICROS_PER_MINUTE)?;
                MINUTE
            }
            Unit::Hour => {
                self.add_scaled(value, fraction, MICROS_PER_HOUR)?;
                next = Unit::Day;
                HOUR
            }
            Unit::Day => {
                self.add_days(value, 1)?;
                self.add_fraction_micros(fraction, MICROS_PER_DAY)?;
                DAY
            }
            Unit::Week => {
                self.add_days(value, 7)?;
                self.add_fraction_days(fraction, 7)?;
                WEEK
            }
            Unit::Month => {
                let months = i32::try_from(value).ok().and_then(|months| self.months.checked_add(months));
                self.months = months.ok_or(Fault::Range)?;
                self.add_fraction_days(fraction, 30)?;
                MONTH
            }
            Unit::Year => self.add_years(value, fraction, 1, YEAR)?,
            Unit::Decade => self.add_years(value, fraction, 10, DECADE)?,
            Unit::Century => self.add_years(value, fraction, 100, CENTURY)?,
            Unit::Millennium => self.add_years(value, fraction, 1000, MILLENNIUM)?,
        };
        Ok((mask, next))
    }

    pub(super) fn add_micros(&mut self, micros: i64) -> Result<(), Fault> {
        self.micros = self.micros.checked_add(micros).ok_or(Fault::Range)?;
        Ok(())
    }

    fn add_scaled(&mut self, value: i64, fraction: f64, scale: i64) -> Result<(), Fault> {
        self.add_micros(value.checked_mul(scale).ok_or(Fault::Range)?)?;
        self.add_fraction_micros(fraction, scale)
    }

    fn add_fraction_micros(&mut self, fraction: f64, scale: i64) -> Result<(), Fault> {
        let exact = fraction * scale as f64;
        let mut micros = exact as i64;
        let rest = exact - micros as f64;
        if rest > 0.5 {
            micros += 1;
        } else if rest < -0.5 {
            micros -= 1;
        }
        self.add_micros(micros)
    }

    fn add_days(&mut self, value: i64, scale: i32) -> Result<(), Fault> {
        let days = i32::try_from(value).ok().and_then(|days| days.checked_mul(scale));
        self.days = days.and_then(|days| self.days.checked_add(days)).ok_or(Fault::Range)?;
        Ok(())
    }

    fn add_fraction_days(&mut self, fraction: f64, scale: i32) -> Result<(), Fault> {
        let exact = fraction * f64::from(scale);
        let days = exact as i32;
        self.add_days(days.into(), 1)?;
        self.add_fraction_micros(exact - f64::from(days), MICROS_PER_DAY)
    }

    fn add_years(&mut self, value: i64, fraction: f64, scale: i64, mask: u16) -> Result<u16, Fault> {
        let years = value.checked_mul(scale).and_then(|years| i32::try_from(years).ok());
        self.years = years.and_then(|years| self.years.checked_add(years)).ok_or(Fault::Range)?;
        let extra = (fraction * scale as f64 * 12.0).round_ties_even() as i32;
        self.months = self.months.checked_add(extra).ok_or(Fault::Range)?;
        Ok(mask)
    }
}
