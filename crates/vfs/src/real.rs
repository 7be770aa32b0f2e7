//! The real disk: `pread`, `pwrite`, `fdatasync`, `fallocate`, `flock`.
//!
//! Invariant: no call is retried after an error of a sync; the caller decides.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::{BatchRead, FileLock, LockError, Vfs, VfsFile};

/// The files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

#[derive(Debug)]
pub(crate) struct RealFile(pub(crate) File);

#[derive(Debug)]
struct RealLock {
    file: File,
}

impl FileLock for RealLock {}

impl Drop for RealLock {
    fn drop(&mut self) {
        // Closing the file would not do at once: a child that another thread has just forked has it, too, until it
        // runs its own program.
        let _ = self.file.unlock();
    }
}

fn shared(file: File) -> Arc<dyn VfsFile> {
    Arc::new(RealFile(file))
}

impl Vfs for RealDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        File::open(path).map(shared)
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        OpenOptions::new().read(true).write(true).open(path).map(shared)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).map(shared)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn link(&self, file: &Path, name: &Path) -> io::Result<()> {
        std::fs::hard_link(file, name)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        std::fs::create_dir_all(path)?;
        // Each new name is made durable in its parent.
        for ancestor in path.ancestors().skip(1) {
            let ancestor = if ancestor.as_os_str().is_empty() { Path::new(".") } else { ancestor };
            // A parent that this user may not open existed before and needs no sync.
            if File::open(ancestor).and_then(|directory| directory.sync_all()).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn read_batch(&self, reads: &mut [BatchRead]) {
        #[cfg(target_os = "linux")]
        crate::uring::read(reads);
        #[cfg(not(target_os = "linux"))]
        reads.iter_mut().for_each(BatchRead::read);
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>, LockError> {
        Ok(Box::new(RealLock::of(path)?))
    }
}

impl RealLock {
    fn of(path: &Path) -> Result<Self, LockError> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let owner = std::fs::read_to_string(path).ok();
                return Err(LockError::Held { pid: owner.and_then(|text| text.trim().parse().ok()) });
            }
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        let owner = format!("{}\n", std::process::id());
        file.set_len(0)?;
        file.write_all_at(owner.as_bytes(), 0)?;
        Ok(Self { file })
    }
}

impl VfsFile for RealFile {
    fn read_all(&self) -> io::Result<Vec<u8>> {
        let length = self.len()?;
        let capacity = usize::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        // The buffer need not be filled with zeros first.
        let mut bytes = Vec::with_capacity(capacity);
        let mut file = &self.0;
        file.seek(io::SeekFrom::Start(0))?;
        file.take(length).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    #[cfg(target_os = "linux")]
    fn begin_writeback(&self, offset: u64, length: u64) {
        let (Ok(offset), Ok(length)) = (libc::off64_t::try_from(offset), libc::off64_t::try_from(length))
        else {
            return;
        };
        // SAFETY: the descriptor is open for as long as `self.0` lives and no memory is passed. An error is told of by
        // the sync that follows: this call does not look at those of earlier writes.
        unsafe { libc::sync_file_range(self.0.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        if self.len()? >= length {
            return Ok(());
        }
        let bytes =
            libc::off_t::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        loop {
            // SAFETY: the descriptor is open for as long as `self.0` lives and no memory is passed.
            let result = unsafe { libc::fallocate(self.0.as_raw_fd(), 0, 0, bytes) };
            if result == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                // Some file systems can't reserve; a longer file serves, without the reservation.
                Some(libc::EOPNOTSUPP | libc::ENOSYS) => return self.0.set_len(length),
                _ => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn bytes_written_are_read_back_and_lengths_follow() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er");
        RealDisk.create_dir_all(&path).unwrap();
        let file = RealDisk.create(&path.join("a")).unwrap();
        assert!(file.is_empty().unwrap());
        file.preallocate(10_000).unwrap();
        assert_eq!(file.len().unwrap(), 10_000);
        file.write_at(b"hello", 9_998).unwrap();
        file.begin_writeback(9_998, u64::MAX);
        file.begin_writeback(0, 20_000);
        assert_eq!(file.len().unwrap(), 10_003);
        file.sync_data().unwrap();
        file.sync_all().unwrap();
        let mut buffer = [1; 7];
        RealDisk.open(&path.join("a")).unwrap().read_at(&mut buffer, 9_996).unwrap();
        assert_eq!(&buffer, b"\0\0hello");
        let all = file.read_all().unwrap();
        assert_eq!((all.len(), &all[9_998..]), (10_003, &b"hello"[..]));
        file.set_len(5 << 20).unwrap();
        file.write_at(b"end", (5 << 20) - 3).unwrap();
        let all = file.read_all().unwrap();
        assert_eq!((all.len(), &all[9_998..10_003], all.ends_with(b"end")), (5 << 20, &b"hello"[..], true));
        file.set_len(10_003).unwrap();
        file.set_len(9_999).unwrap();
        let error = file.read_at(&mut buffer, 9_996).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        RealDisk.rename(&path.join("a"), &path.join("b")).unwrap();
        RealDisk.sync_dir(&path).unwrap();
        assert_eq!(RealDisk.read_dir(&path).unwrap(), ["b"]);
        RealDisk.open_write(&path.join("b")).unwrap().write_at(b"x", 0).unwrap();
        RealDisk.remove_file(&path.join("b")).unwrap();
        assert!(!RealDisk.exists(&path.join("b")));
    }

    #[test]
    fn a_held_lock_names_its_owner_and_is_free_after_drop() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("LOCK");
        let held = RealDisk.lock(&path).unwrap();
        match RealDisk.lock(&path) {
            Err(LockError::Held { pid }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("the lock was given twice: {other:?}"),
        }
        drop(held);
        RealDisk.lock(&path).unwrap();
    }

    #[test]
    fn a_lock_that_was_let_go_is_free_though_another_process_still_has_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("LOCK");
        let held = RealLock::of(&path).unwrap();
        // As a forked child has it.
        let inherited = held.file.try_clone().unwrap();
        drop(held);
        RealDisk.lock(&path).unwrap();
        drop(inherited);
    }
}
