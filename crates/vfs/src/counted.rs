//! A file system that counts what is written through it.
//!
//! Cost: one addition per write or sync, nothing per read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Observed, Observer, Vfs};

/// Bytes and syncs so far.
#[derive(Debug, Default)]
pub struct Counters {
    written_bytes: AtomicU64,
    syncs: AtomicU64,
}

impl Observer for Counters {
    fn written(&self, bytes: usize) {
        self.written_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn syncing(&self) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }
}

/// Passes everything on to another file system and counts writes and syncs.
pub type Counted = Observed<Counters>;

impl Counted {
    /// Counts what goes to `inner`.
    pub fn new(inner: Arc<dyn Vfs>) -> Self {
        Self::with(inner, Counters::default())
    }

    /// Bytes written to files so far.
    pub fn written_bytes(&self) -> u64 {
        self.observer().written_bytes.load(Ordering::Relaxed)
    }

    /// Syncs of files and directories so far, failed ones too.
    pub fn syncs(&self) -> u64 {
        self.observer().syncs.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{FaultPlan, SimDisk};
    use std::path::Path;

    #[test]
    fn it_counts_what_the_disk_below_counts_and_passes_everything_on() {
        let disk = SimDisk::new();
        let counted = Counted::new(Arc::new(disk.clone()));
        let (directory, path) = (Path::new("/d"), Path::new("/d/a"));
        counted.create_dir_all(directory).unwrap();
        let before = disk.syncs();
        let file = counted.create(path).unwrap();
        file.write_at(b"hello", 3).unwrap();
        file.sync_data().unwrap();
        counted.sync_dir(directory).unwrap();
        let again = counted.open_write(path).unwrap();
        again.write_at(b"h", 0).unwrap();
        again.sync_all().unwrap();
        assert_eq!(counted.written_bytes(), 6);
        assert_eq!(counted.syncs(), 3);
        assert_eq!(disk.syncs() - before, 2, "the disk below counts files only");
        assert_eq!(counted.open(path).unwrap().read_all().unwrap(), b"h\0\0hello");
        assert_eq!(again.read_all().unwrap(), b"h\0\0hello");
        disk.set_faults(FaultPlan { error_at: Some(disk.operations()), ..FaultPlan::default() });
        assert!(again.write_at(b"lost", 0).is_err());
        assert_eq!(counted.written_bytes(), 6, "what was refused is not written");
    }
}
