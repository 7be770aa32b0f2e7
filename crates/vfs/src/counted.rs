//! A file system that counts what is written through it.
//!
//! Cost: one addition per write or sync, nothing per read.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{BatchRead, FileLock, LockError, Vfs, VfsFile};

#[derive(Debug, Default)]
struct Counters {
    written_bytes: AtomicU64,
    syncs: AtomicU64,
}

/// Passes everything on to another file system and counts writes and syncs.
#[derive(Debug)]
pub struct Counted {
    inner: Arc<dyn Vfs>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct CountedFile {
    inner: Arc<dyn VfsFile>,
    counters: Arc<Counters>,
}

impl Counted {
    /// Counts what goes to `inner`.
    pub fn new(inner: Arc<dyn Vfs>) -> Self {
        Self { inner, counters: Arc::default() }
    }

    /// Bytes written to files so far.
    pub fn written_bytes(&self) -> u64 {
        self.counters.written_bytes.load(Ordering::Relaxed)
    }

    /// Syncs of files and directories so far, failed ones too.
    pub fn syncs(&self) -> u64 {
        self.counters.syncs.load(Ordering::Relaxed)
    }

    fn counted(&self, file: io::Result<Arc<dyn VfsFile>>) -> io::Result<Arc<dyn VfsFile>> {
        let counters = Arc::clone(&self.counters);
        file.map(|inner| Arc::new(CountedFile { inner, counters }) as Arc<dyn VfsFile>)
    }
}

impl Vfs for Counted {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        // Nothing is written through it.
        self.inner.open(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        self.counted(self.inner.open_write(path))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        self.counted(self.inner.create(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        self.inner.read_dir(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        self.inner.sync_dir(path)
    }

    fn exists(&self, path: &Path) -> bool {
        self.inner.exists(path)
    }

    fn read_batch(&self, reads: &mut [BatchRead]) {
        self.inner.read_batch(reads);
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>, LockError> {
        self.inner.lock(path)
    }
}

impl VfsFile for CountedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.inner.read_at(buffer, offset)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inner.descriptor()
    }

    fn is_direct(&self) -> bool {
        self.inner.is_direct()
    }

    fn read_all(&self) -> io::Result<Vec<u8>> {
        self.inner.read_all()
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.inner.write_at(bytes, offset)?;
        self.counters.written_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        self.inner.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.inner.set_len(length)
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        self.inner.preallocate(length)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{FaultPlan, SimDisk};

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
