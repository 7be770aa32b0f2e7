//! Where in the log the large values of a memtable are, so that a flush need not write them again.
//!
//! A value is known by its place in memory: those of a memtable never move and stay as long as it does, and a walk
//! shows them where they are. Cost: 24 bytes per large value.

use luma_log::Lsn;
use luma_sync::Mutex;

/// A shorter value is not noted.
pub(crate) const LOGGED_VALUE_MIN: usize = 4096;

/// A value that is in the log, too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoggedValue {
    /// Where in memory it is.
    pub(crate) address: usize,
    pub(crate) length: usize,
    /// Where in the log its first byte is.
    pub(crate) at: Lsn,
}

/// Those of a memtable.
#[derive(Default)]
pub(super) struct LoggedValues(Mutex<Vec<LoggedValue>>);

impl LoggedValues {
    pub(super) fn note(&self, value: LoggedValue) {
        self.0.lock().push(value);
    }

    pub(super) fn all(&self) -> Vec<LoggedValue> {
        self.0.lock().clone()
    }
}
