//! When commits became visible, so that a past moment has a sequence.
//!
//! Kept only as long as asked, and within a bound: past it every other one of the older half goes, so
//! what is long ago is known less exactly, as a moment a little earlier. Nothing is kept unless asked.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use luma_sync::Mutex;

/// Past so many the older half is thinned out.
const MOMENTS_MAX: usize = 1 << 20;

/// The times of commits.
pub(crate) struct Moments {
    retention: Duration,
    /// How many are kept at most.
    most: usize,
    /// Both ascend.
    known: Mutex<VecDeque<(SystemTime, u64)>>,
}

impl Moments {
    pub(crate) fn new(retention: Duration) -> Self {
        Self { retention, most: MOMENTS_MAX, known: Mutex::new(VecDeque::new()) }
    }

    /// Notes that what is visible from now on ends with a sequence.
    pub(crate) fn note(&self, sequence: u64) {
        if !self.retention.is_zero() {
            self.note_at(SystemTime::now(), sequence);
        }
    }

    fn note_at(&self, now: SystemTime, sequence: u64) {
        let mut known = self.known.lock();
        // A clock that was set back stands still instead.
        let now = known.back().map_or(now, |(last, _)| now.max(*last));
        known.push_back((now, sequence));
        // The newest one before the time that is asked for is needed, too.
        while known.get(1).is_some_and(|(next, _)| *next + self.retention < now) {
            known.pop_front();
        }
        if known.len() > self.most {
            let half = known.len() / 2;
            let mut at = 0;
            known.retain(|_| {
                at += 1;
                at > half || at % 2 == 1
            });
        }
    }

    /// What was visible at a time; `None` when that is not known any more.
    pub(crate) fn sequence_at(&self, time: SystemTime) -> Option<u64> {
        let known = self.known.lock();
        let after = known.partition_point(|(noted, _)| *noted <= time);
        known.get(after.checked_sub(1)?).map(|(_, sequence)| *sequence)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    #[test]
    fn a_time_has_the_sequence_that_was_visible_then() {
        let moments = Moments::new(Duration::from_millis(100));
        for (time, sequence) in [(1000, 5), (1010, 6), (1010, 7), (1005, 8), (1050, 9)] {
            moments.note_at(at(time), sequence);
        }
        let found = [999, 1000, 1009, 1010, 1049, 1050, 9999].map(|time| moments.sequence_at(at(time)));
        assert_eq!(found, [None, Some(5), Some(5), Some(8), Some(8), Some(9), Some(9)]);
        moments.note_at(at(1130), 10);
        assert_eq!(moments.sequence_at(at(1009)), None);
        assert_eq!(moments.sequence_at(at(1031)), Some(8), "needed for the start of what is kept");
    }

    #[test]
    fn past_the_bound_what_is_long_ago_is_known_less_exactly() {
        let moments = Moments { most: 64, ..Moments::new(Duration::from_secs(1000)) };
        for number in 1..=1000u64 {
            moments.note_at(at(number), number);
        }
        assert!(moments.known.lock().len() <= 64);
        for number in 1..=1000u64 {
            let found = moments.sequence_at(at(number)).unwrap();
            assert!(found <= number, "{found} was not visible at {number}");
            assert!(number < 980 || found == number, "{found} at {number}");
        }
    }

    #[test]
    fn nothing_is_kept_unless_asked() {
        let moments = Moments::new(Duration::ZERO);
        moments.note(1);
        assert!(moments.known.lock().is_empty());
    }
}
