//! Locks, atomics, threads and the clock: the real ones, or with `--cfg shuttle` those of a model checker.
//!
//! Under the model every operation here is a point where another thread may go on. The lists of
//! `lightning`'s memtables use the real atomics: their nodes are laid out by hand.

#[cfg(shuttle)]
mod model;
#[cfg(not(shuttle))]
mod real;

#[cfg(shuttle)]
pub use model::{
    Condvar, Mutex, MutexGuard, WaitTimeoutResult, atomic, available_parallelism, now, schedule_point, thread,
};
#[cfg(not(shuttle))]
pub use real::{
    Condvar, Mutex, MutexGuard, WaitTimeoutResult, atomic, available_parallelism, now, schedule_point, thread,
};

use std::time::{Duration, Instant};

/// How long ago a moment of [`now`] was.
pub fn since(moment: Instant) -> Duration {
    now().saturating_duration_since(moment)
}
