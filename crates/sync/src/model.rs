//! The model checker's primitives in the shape of the real ones.
//!
//! Locks are not poisoned: a panic ends the model's run anyway. Time is a number that grows by a step
//! with each look at it and jumps ahead for whoever waits for it, so that no schedule waits for a real clock.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shuttle::rand::Rng;
pub use shuttle::sync::atomic;
pub use shuttle::thread;

const STEP: Duration = Duration::from_micros(50);

static START: OnceLock<Instant> = OnceLock::new();
/// Nanoseconds since the start. Runs follow each other on it.
static CLOCK: AtomicU64 = AtomicU64::new(0);

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2)
}

/// The model's time.
pub fn now() -> Instant {
    let passed = CLOCK.fetch_add(nanoseconds(STEP), Ordering::Relaxed);
    *START.get_or_init(Instant::now) + Duration::from_nanos(passed)
}

fn jump_to(moment: Instant) {
    let start = *START.get_or_init(Instant::now);
    CLOCK.fetch_max(nanoseconds(moment.saturating_duration_since(start)), Ordering::Relaxed);
}

/// One: what is done by several threads is done by the threads of the test.
pub fn available_parallelism() -> usize {
    1
}

/// Where another thread may go on although nothing here says so.
pub fn schedule_point() {
    // A yield would also lower the thread's priority, and so hide the orders in which it is overtaken here.
    atomic::AtomicBool::new(false).load(Ordering::SeqCst);
}

/// A mutex.
#[derive(Default)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

/// Access to what a mutex guards.
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// Empty only inside [`Condvar::wait`] and [`MutexGuard::unlocked`].
    guard: Option<shuttle::sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    /// A mutex that is free.
    pub const fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, guard: Some(self.take()) }
    }

    fn take(&self) -> shuttle::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The lock, if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        Some(MutexGuard { mutex: self, guard: Some(self.0.try_lock().ok()?) })
    }

    /// What it guards; nobody else can have it.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What it guarded.
    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Mutex").finish_non_exhaustive()
    }
}

impl<T> MutexGuard<'_, T> {
    /// Gives the lock up while `action` runs.
    pub fn unlocked<R>(guard: &mut Self, action: impl FnOnce() -> R) -> R {
        guard.guard = None;
        let result = action();
        guard.guard = Some(guard.mutex.take());
        result
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.guard {
            Some(guard) => guard,
            None => unreachable!("nobody can use a guard while it is given up"),
        }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.guard {
            Some(guard) => guard,
            None => unreachable!("nobody can use a guard while it is given up"),
        }
    }
}

/// Whether a wait ended because of its deadline.
#[derive(Clone, Copy, Debug)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether it did.
    pub fn timed_out(self) -> bool {
        self.0
    }
}

/// A condition variable.
#[derive(Debug, Default)]
pub struct Condvar(shuttle::sync::Condvar);

impl Condvar {
    /// One that nobody waits on.
    pub const fn new() -> Self {
        Self(shuttle::sync::Condvar::new())
    }

    /// Wakes one that waits.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all that wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Gives the lock up until notified.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        if let Some(taken) = guard.guard.take() {
            let back = self.0.wait(taken).unwrap_or_else(std::sync::PoisonError::into_inner);
            guard.guard = Some(back);
        }
    }

    /// Gives the lock up for a moment; whether it is over by then is for the schedule to say.
    pub fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, deadline: Instant) -> WaitTimeoutResult {
        MutexGuard::unlocked(guard, thread::yield_now);
        let timed_out = shuttle::rand::thread_rng().gen_bool(0.5);
        if timed_out {
            jump_to(deadline);
        }
        WaitTimeoutResult(timed_out)
    }

    /// Like [`Condvar::wait_until`].
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, time: Duration) -> WaitTimeoutResult {
        self.wait_until(guard, now() + time)
    }
}
