//! How far long work is, on one line of the terminal.
//!
//! Nothing is written where standard error is no terminal, nor with `--quiet`.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(100);

/// One line that says how far it is; it goes when this is dropped.
pub(crate) struct Progress {
    shown: bool,
    written: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { shown: !quiet && std::io::stderr().is_terminal(), written: None }
    }

    /// Says how far it is, unless that was said just now.
    pub(crate) fn say(&mut self, text: &dyn Fn() -> String) {
        if !self.shown || self.written.is_some_and(|written| written.elapsed() < EVERY) {
            return;
        }
        self.written = Some(Instant::now());
        // A line that can't be shown is no failure of the work.
        let _ = write!(std::io::stderr(), "\r\x1b[K{}", text());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.written.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// A part of a whole as people read it.
pub(crate) fn percent(done: u64, total: u64) -> u64 {
    if total == 0 { 100 } else { (u128::from(done) * 100 / u128::from(total)).min(100) as u64 }
}
