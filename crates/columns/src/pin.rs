//! When files that no manifest has any more may go.
//!
//! A transaction that began before a file was replaced may still read the manifest that has it. So each holds a
//! [`Pin`], taken before its view of the data; files are given up under the newest pin, and go when that and
//! all older ones are dropped.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::file::ColumnFile;

/// Keeps files that are given up from now on.
#[derive(Clone, Debug)]
pub struct Pin(#[allow(dead_code, reason = "held for its life only")] Arc<Generation>);

/// What is given up while this is the newest generation, and all later ones.
#[derive(Debug, Default)]
struct Generation {
    given_up: Mutex<Vec<Arc<ColumnFile>>>,
    next: OnceLock<Arc<Generation>>,
}

#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<Arc<Generation>>);

impl Pins {
    /// Keeps what there is now.
    pub fn pin(&self) -> Pin {
        Pin(Arc::clone(&self.0.lock()))
    }

    /// Lets files go as soon as nobody can need them.
    pub fn give_up(&self, files: Vec<Arc<ColumnFile>>) {
        if files.is_empty() {
            return;
        }
        for file in &files {
            file.make_obsolete();
        }
        let next = Arc::new(Generation::default());
        let mut newest = self.0.lock();
        newest.given_up.lock().extend(files);
        // It is set once: the generation is replaced here and now.
        let _ = newest.next.set(Arc::clone(&next));
        let before = std::mem::replace(&mut *newest, next);
        drop(newest);
        // Without the lock: files may be removed.
        drop(before);
    }
}
