//! The real primitives.

pub use std::sync::atomic;
pub use std::thread;
use std::time::Instant;

pub use parking_lot::{Condvar, Mutex, MutexGuard, WaitTimeoutResult};

/// The time.
#[inline]
pub fn now() -> Instant {
    Instant::now()
}

/// How many threads can run at once.
pub fn available_parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Where another thread may go on although nothing here says so: an exchange that is atomic by other means.
#[inline]
pub fn schedule_point() {}
