//! The operations of recent commits, for serializable transactions to compare with what they read, and for
//! those that delete ranges.
//!
//! Invariants: every commit after the oldest snapshot that a serializable transaction has, and after what
//! is published, is here, unless it was let go to keep the bound; then `forgotten` says up to where.
//! A snapshot is registered while `oldest` is held, which is held, too, when the bound for letting go is
//! computed; so none is taken between.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use luma_sync::Mutex;

use super::Engine;
use crate::batch::Operations;
use crate::readable::Snapshot;
use crate::{Error, Result};

/// Operations that are kept, oldest first. The commit lock guards it.
#[derive(Default)]
pub(super) struct Recent {
    commits: VecDeque<(u64, Arc<Operations>)>,
    bytes: usize,
    forgotten: u64,
}

impl Recent {
    /// Adds a commit, and lets go of those up to `needless`, and of the oldest past `bytes_max`.
    pub(super) fn push(&mut self, sequence: u64, operations: Operations, needless: u64, bytes_max: usize) {
        self.bytes += operations.bytes.len();
        self.commits.push_back((sequence, Arc::new(operations)));
        while let Some((oldest, operations)) = self.commits.front() {
            if *oldest > needless {
                if self.bytes <= bytes_max {
                    break;
                }
                self.forgotten = *oldest;
            }
            self.bytes -= operations.bytes.len();
            self.commits.pop_front();
        }
    }

    /// The commits after a sequence.
    ///
    /// # Errors
    /// [`Error::TransactionTooOld`] when some were let go.
    pub(super) fn after(&self, sequence: u64) -> Result<Vec<(u64, Arc<Operations>)>> {
        if self.forgotten > sequence {
            return Err(Error::TransactionTooOld);
        }
        let from = self.commits.partition_point(|(known, _)| *known <= sequence);
        Ok(self.commits.range(from..).cloned().collect())
    }
}

/// The snapshots of serializable transactions, each with how many have it.
#[derive(Default)]
pub(super) struct SerializableSnapshots(Mutex<BTreeMap<u64, usize>>);

/// Keeps the commits after a snapshot until it is dropped.
pub(crate) struct Registered {
    engine: Arc<Engine>,
    sequence: u64,
}

impl Registered {
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut snapshots = self.engine.serializable.0.lock();
        if let Some(count) = snapshots.get_mut(&self.sequence) {
            *count -= 1;
            if *count == 0 {
                snapshots.remove(&self.sequence);
            }
        }
    }
}

impl Engine {
    /// A snapshot of what is published, after which commits are kept.
    pub(crate) fn registered_snapshot(self: &Arc<Self>) -> (Snapshot, Registered) {
        self.registered(|| self.snapshot())
    }

    /// The snapshot that `take` gives, after which commits are kept.
    pub(crate) fn registered(self: &Arc<Self>, take: impl FnOnce() -> Snapshot) -> (Snapshot, Registered) {
        let mut snapshots = self.serializable.0.lock();
        let snapshot = take();
        let sequence = snapshot.sequence();
        *snapshots.entry(sequence).or_default() += 1;
        (snapshot, Registered { engine: Arc::clone(self), sequence })
    }

    /// Up to where no serializable transaction needs commits, now or later; and whether there is one now.
    pub(super) fn needless_commits(&self) -> (u64, bool) {
        let snapshots = self.serializable.0.lock();
        let visible = self.publisher.visible();
        let oldest = snapshots.first_key_value().map(|(oldest, _)| *oldest);
        (oldest.map_or(visible, |oldest| visible.min(oldest)), oldest.is_some())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn operations(bytes: usize) -> Operations {
        Operations { bytes: vec![0; bytes], ..Operations::default() }
    }

    #[test]
    fn commits_go_once_nobody_needs_them_or_past_the_bound_and_then_it_is_known() {
        let mut recent = Recent::default();
        for sequence in 1..=5 {
            recent.push(sequence, operations(10), sequence.saturating_sub(3), 1000);
        }
        let kept = |recent: &Recent, after| -> Vec<u64> {
            recent.after(after).unwrap().into_iter().map(|(sequence, _)| sequence).collect()
        };
        assert_eq!((kept(&recent, 0), kept(&recent, 4)), (vec![3, 4, 5], vec![5]));
        recent.push(6, operations(10), 2, 25);
        assert_eq!(kept(&recent, 4), [5, 6]);
        assert!(matches!(recent.after(3), Err(Error::TransactionTooOld)));
    }
}
