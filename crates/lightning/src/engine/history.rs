//! Which memtables are remembered after they were flushed: those that tell a running transaction whether
//! somebody changed a key after its snapshot. Tables don't know when a key was changed.
//!
//! A snapshot's number is never smaller than what was visible when its view was made. So the smallest
//! such number of all views that are alive bounds all snapshots, and a flushed memtable that has nothing
//! newer is forgotten. Nobody has to register anything.
//!
//! Views that were replaced are kept for so long as reading in the past is asked for, oldest let go first, all of
//! them in a row: what a view misses, the one before has.
//!
//! Invariants: remembered memtables and those that only old views hold are within `history_bytes`
//! together, or nothing is remembered. What readers hold is never taken from them, but goes to files when it is
//! much (`engine/spill.rs`). Whatever is forgotten
//! too early is noted in `KeyspaceView::forgotten`, so a check that would need it fails instead.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::memtable::Memtable;
use crate::view::{HeldView, KeyspaceId, SpilledOf, View};

/// The number of no keyspace.
const NOWHERE: KeyspaceId = KeyspaceId::MAX;

/// A flushed memtable that only old views hold.
pub(super) struct HeldMemtable {
    pub(super) memtable: Arc<Memtable>,
    pub(super) keyspace: KeyspaceId,
    /// The sequences of snapshots that read it, each from and to, both included; none if it is held for conflict
    /// checks that nobody can make any more.
    pub(super) read_at: Vec<(u64, u64)>,
}

/// Guarded by the lock for changes of the view.
#[derive(Default)]
pub(super) struct History {
    /// Views that were replaced, oldest first.
    replaced: Vec<Weak<HeldView>>,
    /// Memtables that were flushed, oldest first.
    flushed: Vec<Weak<Memtable>>,
    /// Views that are kept to read in the past, and when they were replaced, oldest first.
    kept: VecDeque<(Instant, Arc<HeldView>)>,
}

impl History {
    /// Notes that a view was replaced. `before` is not to be used afterwards.
    pub(super) fn replaced(&mut self, before: Arc<HeldView>, retention: Duration) {
        self.replaced.push(Arc::downgrade(&before));
        if !retention.is_zero() {
            self.kept.push_back((luma_sync::now(), Arc::new(before.for_readers())));
        }
        drop(before);
        self.replaced.retain(|view| view.strong_count() > 0);
    }

    /// Lets go of views that were kept for long enough, and of the oldest beyond the budget.
    pub(super) fn let_go(&mut self, retention: Duration, budget: usize) {
        while let Some((replaced, _)) = self.kept.front()
            && (luma_sync::since(*replaced) > retention || self.bytes() > budget)
        {
            self.kept.pop_front();
        }
    }

    /// The view that has what was visible at a sequence, if it is there; `current` is the newest one.
    pub(super) fn view_at(&self, sequence: u64, current: Arc<HeldView>) -> Option<Arc<HeldView>> {
        // Whatever was visible when the next view was made is in the one before, and what a view has besides
        // its versions was there when it was made.
        let until = self.kept.iter().skip(1).map(|(_, next)| next.born()).chain([current.born()]);
        let mut kept = self.kept.iter().map(|(_, view)| view).zip(until);
        let found = kept.find(|(view, until)| view.born() <= sequence && sequence <= *until);
        found.map(|(view, _)| Arc::clone(view)).or_else(|| (current.born() <= sequence).then_some(current))
    }

    /// Notes that a memtable was flushed.
    pub(super) fn flushed(&mut self, memtable: &Arc<Memtable>) {
        self.flushed.push(Arc::downgrade(memtable));
    }

    /// Bytes of flushed memtables that are still in memory.
    pub(super) fn bytes(&self) -> usize {
        self.flushed.iter().filter_map(Weak::upgrade).map(|memtable| memtable.bytes()).sum()
    }

    /// The old views that are alive.
    fn views(&self) -> impl Iterator<Item = Arc<HeldView>> {
        let kept = self.kept.iter().map(|(_, view)| Arc::clone(view));
        self.replaced.iter().filter_map(Weak::upgrade).chain(kept)
    }

    /// Flushed memtables that only old views hold, each with the sequences at which it may be read; nothing if they
    /// have few bytes. `current` is the newest view.
    pub(super) fn held_by_readers(&self, current: &View, few_bytes: usize) -> Vec<HeldMemtable> {
        let remembered = current.keyspaces().flat_map(|(_, keyspace)| &keyspace.remembered);
        let remembered: HashSet<*const Memtable> = remembered.map(Arc::as_ptr).collect();
        let flushed = self.flushed.iter().filter_map(Weak::upgrade);
        let mut held: Vec<HeldMemtable> = flushed
            .filter(|memtable| !remembered.contains(&Arc::as_ptr(memtable)))
            .map(|memtable| HeldMemtable { memtable, keyspace: NOWHERE, read_at: Vec::new() })
            .collect();
        if held.iter().map(|held| held.memtable.bytes()).sum::<usize>() <= few_bytes {
            return Vec::new();
        }
        let at: HashMap<*const Memtable, usize> =
            held.iter().enumerate().map(|(at, held)| (Arc::as_ptr(&held.memtable), at)).collect();
        for old in self.views() {
            let view = old.view();
            for (_, keyspace) in view.keyspaces() {
                let found = |memtable: &Arc<Memtable>| at.get(&Arc::as_ptr(memtable)).copied();
                for at in keyspace.memtables().filter_map(found) {
                    held[at].read_at.push(old.sequences());
                    held[at].keyspace = keyspace.id;
                }
                for at in keyspace.remembered.iter().filter_map(found) {
                    held[at].keyspace = keyspace.id;
                }
            }
        }
        held.retain(|held| held.keyspace != NOWHERE);
        held
    }

    /// Has old views read files in place of memtables.
    pub(super) fn spill(&self, files: &SpilledOf) {
        self.views().for_each(|old| old.spill(files));
    }

    /// Has a view forget what no snapshot can need, and the oldest beyond the budget.
    pub(super) fn trim(&mut self, view: &mut View, budget: usize) {
        self.flushed.retain(|memtable| memtable.strong_count() > 0);
        if self.flushed.is_empty() {
            return;
        }
        let alive = self.replaced.iter().filter_map(Weak::upgrade).map(|view| view.born());
        let needed_after = alive.fold(view.born, u64::min);
        let mut bytes = self.bytes();
        let mut remembered: Vec<(u64, usize, KeyspaceId, usize)> = view
            .keyspaces()
            .flat_map(|(slot, keyspace)| {
                let sized = |memtable: &Arc<Memtable>| (memtable.max_sequence(), memtable.bytes());
                keyspace
                    .remembered
                    .iter()
                    .map(sized)
                    .map(move |(newest, size)| (newest, slot, keyspace.id, size))
            })
            .collect();
        remembered.sort_unstable();
        for (newest, slot, id, size) in remembered {
            if newest > needed_after && bytes <= budget {
                break;
            }
            bytes -= size;
            view.change(slot, id, |keyspace| {
                keyspace.remembered.pop();
                keyspace.forgotten = keyspace.forgotten.max(newest);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::layout::Tree;
    use crate::lsm::Levels;
    use crate::view::KeyspaceView;

    fn memtable(newest: u64) -> Arc<Memtable> {
        let memtable = Memtable::new(64);
        memtable.insert(&newest.to_be_bytes(), newest, Some(&[0; 1000]));
        Arc::new(memtable)
    }

    fn remembering(born: u64, history: &mut History, newest: &[u64]) -> View {
        let mut view = View::new(born);
        let remembered: Vec<_> = newest.iter().map(|newest| memtable(*newest)).collect();
        remembered.iter().rev().for_each(|memtable| history.flushed(memtable));
        view.add(KeyspaceView {
            remembered,
            ..KeyspaceView::new(1, Arc::new(Tree::Lsm(Levels::default())), 0)
        });
        view
    }

    fn kept(view: &View) -> (Vec<u64>, u64) {
        let keyspace = view.get(0, 1).unwrap();
        (keyspace.remembered.iter().map(|memtable| memtable.max_sequence()).collect(), keyspace.forgotten)
    }

    #[test]
    fn a_memtable_is_remembered_as_long_as_a_view_from_before_its_flush_lives() {
        let mut history = History::default();
        let old = Arc::new(HeldView::new(View::new(20)));
        history.replaced(Arc::clone(&old), Duration::ZERO);
        let mut view = remembering(40, &mut history, &[30, 20, 10]);
        history.trim(&mut view, usize::MAX);
        assert_eq!(kept(&view), (vec![30], 20));
        drop(old);
        history.trim(&mut view, usize::MAX);
        assert_eq!(kept(&view), (vec![], 30));
        assert_eq!(history.bytes(), 0);
    }

    #[test]
    fn past_the_budget_the_oldest_are_forgotten_and_what_readers_hold_counts() {
        let mut history = History::default();
        let mut view = remembering(0, &mut history, &[30, 20, 10]);
        let one = history.bytes() / 3;
        history.trim(&mut view, one * 2);
        assert_eq!(kept(&view), (vec![30, 20], 10));
        let held = memtable(5);
        history.flushed(&held);
        history.trim(&mut view, one * 2);
        assert_eq!(kept(&view), (vec![30], 20));
        assert!(history.bytes() <= one * 2);
    }
}
