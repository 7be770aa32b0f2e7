//! Which times were changed since when: whoever keeps answers to queries learns from it which of them still hold.
//!
//! Invariants: a change is noted while readers are kept out, or after it shows, so who looks at the version first and reads then
//! sees every change up to that version. What is forgotten makes a change look older in time, never newer.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::store::Metrics;

/// How many changes are told apart.
const CHANGES_MAX: usize = 4096;

/// The changes of a store.
#[derive(Debug, Default)]
pub(crate) struct Versions(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// How many changes there were.
    version: u64,
    /// A version, and the earliest time that it or a later one changed; both grow from entry to entry.
    earliest: VecDeque<(u64, i64)>,
}

impl Versions {
    /// Notes that samples of this time and later ones changed.
    pub fn note(&self, from: i64) {
        let mut noted = self.0.lock();
        noted.version += 1;
        while noted.earliest.back().is_some_and(|(_, time)| *time >= from) {
            noted.earliest.pop_back();
        }
        let version = noted.version;
        noted.earliest.push_back((version, from));
        if noted.earliest.len() > CHANGES_MAX {
            noted.forget_half();
        }
    }

    /// How many changes there were.
    pub fn version(&self) -> u64 {
        self.0.lock().version
    }

    /// The earliest time that changed after a version.
    pub fn since(&self, version: u64) -> Option<i64> {
        let noted = self.0.lock();
        let at = noted.earliest.partition_point(|(of, _)| *of <= version);
        noted.earliest.get(at).map(|(_, time)| *time)
    }
}

impl Metrics {
    /// How many changes there were since the store was opened: batches, deletes, removals of files.
    pub fn version(&self) -> u64 {
        self.versions.version()
    }

    /// The earliest time (in milliseconds) whose samples changed after a version; `None` if none did. It may be earlier than
    /// what changed, never later.
    pub fn changed_since(&self, version: u64) -> Option<i64> {
        self.versions.since(version)
    }
}

impl Noted {
    /// Makes one of each two changes: of the later version, from the earlier time on.
    fn forget_half(&mut self) {
        let all: Vec<_> = self.earliest.drain(..).collect();
        self.earliest.extend(all.chunks(2).filter_map(|two| Some((two.last()?.0, two.first()?.1))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_earliest_change_since_a_version_is_known(times in proptest::collection::vec(-50i64..50, 0..100)) {
            let changes = Versions::default();
            for (at, time) in times.iter().enumerate() {
                changes.note(*time);
                prop_assert_eq!(changes.version(), at as u64 + 1);
                for version in 0..=at + 1 {
                    prop_assert_eq!(changes.since(version as u64), times[version..=at].iter().min().copied());
                }
            }
        }
    }

    #[test]
    fn what_is_forgotten_makes_changes_look_older_and_never_newer() {
        let changes = Versions::default();
        let count = 5 * CHANGES_MAX as i64;
        (0..count).for_each(|time| changes.note(time));
        assert!(changes.0.lock().earliest.len() <= CHANGES_MAX);
        for version in (0..count).step_by(7) {
            let since = changes.since(version as u64).unwrap_or(i64::MAX);
            assert!(since <= version, "{version}: {since}");
            // The newest are all told apart.
            assert!(since == version || version < count - CHANGES_MAX as i64 / 2, "{version}: {since}");
        }
        assert_eq!(changes.since(count as u64), None);
    }
}
