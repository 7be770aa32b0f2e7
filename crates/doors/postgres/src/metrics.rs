//! What the door counts, in plain atomics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use luma_query::CommandTag;

/// Upper bounds of the buckets of a [`Histogram`], seconds; one more bucket holds the rest.
pub const DURATION_BOUNDS_SECONDS: [f64; 12] =
    [0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0];

/// What kind of statement a duration is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// Reads.
    Select,
    /// Inserts.
    Insert,
    /// Updates.
    Update,
    /// Deletes.
    Delete,
    /// Copies, in and out.
    Copy,
    /// Everything else.
    Other,
}

impl StatementKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Select, Self::Insert, Self::Update, Self::Delete, Self::Copy, Self::Other];

    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Copy => "copy",
            Self::Other => "other",
        }
    }

    fn of(tag: &CommandTag) -> Self {
        match tag {
            CommandTag::Select(_) | CommandTag::Fetch(_) | CommandTag::Move(_) => Self::Select,
            CommandTag::Insert(_) => Self::Insert,
            CommandTag::Update(_) | CommandTag::Merge(_) => Self::Update,
            CommandTag::Delete(_) => Self::Delete,
            CommandTag::Copy(_) => Self::Copy,
            CommandTag::Other(_) => Self::Other,
        }
    }
}

/// How long things took.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; DURATION_BOUNDS_SECONDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    fn record(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = DURATION_BOUNDS_SECONDS.iter().position(|bound| seconds <= *bound);
        let bucket = bucket.unwrap_or(DURATION_BOUNDS_SECONDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(duration.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Things per bucket, not cumulative; the last bucket has no bound.
    pub fn counts(&self) -> Vec<u64> {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect()
    }

    /// The sum of all durations, seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9
    }
}

/// What the door counts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Clients connected now.
    pub active_connections: AtomicU64,
    /// Clients that connected since the start.
    pub connections: AtomicU64,
    /// Clients whose password was wrong.
    pub authentication_failures: AtomicU64,
    /// Clients turned away because there were too many.
    pub rejected_connections: AtomicU64,
    /// Statements completed.
    pub statements: AtomicU64,
    /// Errors sent.
    pub errors: AtomicU64,
    durations: [Histogram; StatementKind::ALL.len()],
}

impl Metrics {
    /// How long statements of a kind took.
    pub fn durations(&self, kind: StatementKind) -> &Histogram {
        &self.durations[kind as usize]
    }

    pub(crate) fn completed(&self, tag: &CommandTag, duration: Duration) {
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.durations(StatementKind::of(tag)).record(duration);
    }

    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let metrics = Metrics::default();
        metrics.completed(&CommandTag::Select(1), Duration::from_micros(20));
        metrics.completed(&CommandTag::Select(1), Duration::from_secs(11));
        let histogram = metrics.durations(StatementKind::Select);
        let counts = histogram.counts();
        assert_eq!((counts[1], counts[12], counts.iter().sum()), (1, 1, 2));
        assert!((histogram.sum_seconds() - 11.00002).abs() < 1e-9);
    }
}
