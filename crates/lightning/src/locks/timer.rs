//! Deadlines of waiting futures: a thread that exists only while there are some.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use luma_sync::{Condvar, Mutex};

use super::wait::WaitCell;
use super::{LockKey, LockTable};
use crate::Error;

#[derive(Default)]
struct Deadlines {
    /// By time, and a number that keeps equal times apart.
    pending: BTreeMap<(Instant, u64), (LockKey, Weak<WaitCell>)>,
    next_number: u64,
    running: bool,
}

/// The deadlines.
#[derive(Default)]
pub(super) struct Timer {
    deadlines: Mutex<Deadlines>,
    changed: Condvar,
}

impl Timer {
    pub(super) fn add(&self, table: &Arc<LockTable>, at: Instant, key: &LockKey, cell: &Arc<WaitCell>) {
        let mut deadlines = self.deadlines.lock();
        deadlines.next_number += 1;
        let number = deadlines.next_number;
        deadlines.pending.insert((at, number), (key.clone(), Arc::downgrade(cell)));
        if deadlines.running {
            self.changed.notify_one();
            return;
        }
        let table = Arc::clone(table);
        let spawned = luma_sync::thread::Builder::new()
            .name("lightning-timer".into())
            .spawn(move || table.timer.run(&table));
        deadlines.running = spawned.is_ok();
    }

    fn run(&self, table: &Arc<LockTable>) {
        let mut deadlines = self.deadlines.lock();
        loop {
            // A wait that is over needs no thread to wait for its deadline.
            deadlines.pending.retain(|_, (_, cell)| cell.strong_count() > 0);
            let Some(first) = deadlines.pending.first_entry() else {
                deadlines.running = false;
                return;
            };
            let at = first.key().0;
            if luma_sync::now() < at {
                self.changed.wait_until(&mut deadlines, at);
                continue;
            }
            let (key, cell) = first.remove();
            drop(deadlines);
            if let Some(cell) = cell.upgrade() {
                table.give_up(&key, &cell, Err(Error::LockTimeout));
            }
            deadlines = self.deadlines.lock();
        }
    }
}
