//! A count that many threads add to, each in a cache line of its own.
//!
//! Cost: an addition to a line that few other threads use; reading adds up all lines.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const LINES: usize = 16;

#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicU64);

/// The count.
#[derive(Default)]
pub(crate) struct Counter([Line; LINES]);

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static LINE: Cell<usize> = const { Cell::new(usize::MAX) };
}

#[cold]
fn choose_line() -> usize {
    let line = THREADS.fetch_add(1, Ordering::Relaxed) % LINES;
    LINE.set(line);
    line
}

impl Counter {
    /// Adds one.
    #[inline]
    pub(crate) fn count(&self) {
        let line = LINE.get();
        let line = if line < LINES { line } else { choose_line() };
        self.0[line].0.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it was counted.
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().map(|line| line.0.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_count_of_any_thread_is_lost() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| (0..100).for_each(|_| counter.count()));
            }
        });
        assert_eq!(counter.total(), 4000);
    }
}
