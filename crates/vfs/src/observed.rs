//! A file system that tells somebody what is written through it, before and after.
//!
//! Cost: a call per write or sync, nothing per read.

use std::fmt::Debug;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{BatchRead, FileLock, LockError, Vfs, VfsFile};

/// Is told of what goes through an [`Observed`] file system.
pub trait Observer: Debug + Send + Sync + 'static {
    /// So many bytes are about to be written to a file, and are once this returns.
    fn writing(&self, path: &Path, bytes: usize) {
        let _ = (path, bytes);
    }

    /// So many bytes were written.
    fn written(&self, bytes: usize) {
        let _ = bytes;
    }

    /// A file or directory is about to be synced.
    fn syncing(&self) {}
}

/// Passes everything on to another file system and tells an observer.
#[derive(Debug)]
pub struct Observed<O> {
    inner: Arc<dyn Vfs>,
    observer: Arc<O>,
}

#[derive(Debug)]
struct ObservedFile<O> {
    inner: Arc<dyn VfsFile>,
    path: PathBuf,
    observer: Arc<O>,
}

impl<O: Observer> Observed<O> {
    /// Tells `observer` of what goes to `inner`.
    pub fn with(inner: Arc<dyn Vfs>, observer: O) -> Self {
        Self { inner, observer: Arc::new(observer) }
    }

    /// Who is told.
    pub fn observer(&self) -> &O {
        &self.observer
    }

    fn observed(&self, path: &Path, file: io::Result<Arc<dyn VfsFile>>) -> io::Result<Arc<dyn VfsFile>> {
        let (path, observer) = (path.to_owned(), Arc::clone(&self.observer));
        file.map(|inner| Arc::new(ObservedFile { inner, path, observer }) as Arc<dyn VfsFile>)
    }
}

impl<O: Observer> Vfs for Observed<O> {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        // Nothing is written through it.
        self.inner.open(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        self.observed(path, self.inner.open_write(path))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        self.observed(path, self.inner.create(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn link(&self, file: &Path, name: &Path) -> io::Result<()> {
        self.inner.link(file, name)
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
        self.observer.syncing();
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

impl<O: Observer> VfsFile for ObservedFile<O> {
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
        self.observer.writing(&self.path, bytes.len());
        self.inner.write_at(bytes, offset)?;
        self.observer.written(bytes.len());
        Ok(())
    }

    fn begin_writeback(&self, offset: u64, length: u64) {
        self.inner.begin_writeback(offset, length);
    }

    fn sync_data(&self) -> io::Result<()> {
        self.observer.syncing();
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.observer.syncing();
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
