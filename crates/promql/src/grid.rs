//! The times an expression is evaluated at.

/// Times from `start` to `end`, `step` apart, all in milliseconds; the step is more than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// The first time.
    pub start: i64,
    /// Up to when; a time of its own only if it is some steps behind the first.
    pub end: i64,
    /// How far apart they are.
    pub step: i64,
}

impl Grid {
    /// Whether there is no time.
    pub fn is_empty(self) -> bool {
        self.end < self.start
    }

    /// How many times there are.
    pub fn len(self) -> usize {
        if self.is_empty() {
            return 0;
        }
        usize::try_from((i128::from(self.end) - i128::from(self.start)) / i128::from(self.step.max(1)))
            .map_or(usize::MAX, |steps| steps.saturating_add(1))
    }

    /// The times.
    pub fn times(self) -> impl Iterator<Item = i64> {
        self.times_from(0)
    }

    /// The times from a step on.
    pub(crate) fn times_from(self, step: usize) -> impl Iterator<Item = i64> {
        let number = |steps: usize| i64::try_from(steps).unwrap_or(i64::MAX);
        // From one end of time to the other the distance does not fit, and the sum does.
        (number(step)..number(self.len())).map(move |at| self.start.wrapping_add(at.wrapping_mul(self.step)))
    }

    /// The same times earlier.
    pub fn before(self, by: i64) -> Self {
        Self { start: self.start.saturating_sub(by), end: self.end.saturating_sub(by), ..self }
    }

    /// Which step a time is.
    pub(crate) fn index(self, t: i64) -> usize {
        usize::try_from(t.abs_diff(self.start) / self.step.unsigned_abs()).unwrap_or(usize::MAX)
    }
}
