//! Tasks that wait until a place in the log is durable.

use std::collections::HashMap;
use std::task::Waker;

use crate::Lsn;

/// Wakers by ticket; a ticket is one future.
#[derive(Default)]
pub(crate) struct Waiters {
    next_ticket: u64,
    waiting: HashMap<u64, (Lsn, Waker)>,
}

impl Waiters {
    /// A ticket for a new future.
    pub(crate) fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    /// Registers, or renews, what to wake.
    pub(crate) fn register(&mut self, ticket: u64, lsn: Lsn, waker: &Waker) {
        self.waiting.insert(ticket, (lsn, waker.clone()));
    }

    pub(crate) fn forget(&mut self, ticket: u64) {
        self.waiting.remove(&ticket);
    }

    /// Takes the wakers of those that wait for at most `lsn`.
    pub(crate) fn take_until(&mut self, lsn: Lsn) -> Vec<Waker> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        self.waiting.extract_if(|_, (wanted, _)| *wanted <= lsn).map(|(_, (_, waker))| waker).collect()
    }
}
