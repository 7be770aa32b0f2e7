//! A span of time in months, days and microseconds.
//!
//! The three parts are kept apart, because a month has no fixed number of days and a day no fixed
//! number of hours. Comparison follows PostgreSQL: a month counts as 30 days, a day as 24 hours, so
//! that spans with different parts can be equal.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// Microseconds of a day.
pub const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A span of time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interval {
    /// Whole months.
    pub months: i32,
    /// Whole days.
    pub days: i32,
    /// The rest, in microseconds.
    pub micros: i64,
}

impl Interval {
    /// A span of these parts.
    pub const fn new(months: i32, days: i32, micros: i64) -> Self {
        Self { months, days, micros }
    }

    /// Its length in microseconds with months of 30 days; what comparison looks at.
    pub const fn total_micros(self) -> i128 {
        let days = self.months as i128 * 30 + self.days as i128;
        days * MICROS_PER_DAY as i128 + self.micros as i128
    }

    /// The span of that length whose parts are all of one sign and as large as they can be.
    pub fn from_total_micros(total: i128) -> Option<Self> {
        let day = i128::from(MICROS_PER_DAY);
        let (days, micros) = (total / day, total % day);
        let months = days / 30;
        Some(Self { months: i32::try_from(months).ok()?, days: (days % 30) as i32, micros: micros as i64 })
    }

    /// Whether the parts are equal, not only the lengths.
    pub const fn is_identical(self, other: Self) -> bool {
        self.months == other.months && self.days == other.days && self.micros == other.micros
    }

    /// The sum, part by part.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            months: self.months.checked_add(other.months)?,
            days: self.days.checked_add(other.days)?,
            micros: self.micros.checked_add(other.micros)?,
        })
    }

    /// The opposite, part by part.
    pub fn checked_neg(self) -> Option<Self> {
        Some(Self {
            months: self.months.checked_neg()?,
            days: self.days.checked_neg()?,
            micros: self.micros.checked_neg()?,
        })
    }
}

impl PartialEq for Interval {
    fn eq(&self, other: &Self) -> bool {
        self.total_micros() == other.total_micros()
    }
}

impl Eq for Interval {}

impl Hash for Interval {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.total_micros().hash(state);
    }
}

impl PartialOrd for Interval {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Interval {
    fn cmp(&self, other: &Self) -> Ordering {
        self.total_micros().cmp(&other.total_micros())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_month_equals_thirty_days_and_a_day_equals_its_hours() {
        assert_eq!(Interval::new(1, 0, 0), Interval::new(0, 30, 0));
        assert_eq!(Interval::new(0, 1, 0), Interval::new(0, 0, MICROS_PER_DAY));
        assert!(Interval::new(0, 29, 0) < Interval::new(1, 0, 0));
        assert!(!Interval::new(1, 0, 0).is_identical(Interval::new(0, 30, 0)));
    }

    #[test]
    fn a_length_gives_back_an_equal_span() {
        for span in [
            Interval::new(13, 40, -5),
            Interval::new(i32::MAX, i32::MIN, 7),
            Interval::new(-1, 29, MICROS_PER_DAY - 1),
            Interval::default(),
        ] {
            assert_eq!(Interval::from_total_micros(span.total_micros()).unwrap(), span);
        }
    }
}
