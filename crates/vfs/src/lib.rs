//! Files behind one trait: the real disk and the simulated disk of the tests.
//!
//! Everything in the house that touches a file goes through [`Vfs`] and [`VfsFile`], so that
//! [`SimDisk`] can lose, tear, reorder and refuse its writes while [`RealDisk`] serves production.
//!
//! ```
//! use luma_vfs::{SimDisk, Vfs};
//! use std::path::Path;
//!
//! let disk = SimDisk::new();
//! disk.create_dir_all(Path::new("/db"))?;
//! let file = disk.create(Path::new("/db/a"))?;
//! file.write_at(b"hello", 0)?;
//! // Nothing was synced: a crash may lose the bytes, and the file with them.
//! let after = disk.crash_image(7);
//! assert!(!after.exists(Path::new("/db/a")) || after.open(Path::new("/db/a"))?.len()? <= 5);
//! # Ok::<(), std::io::Error>(())
//! ```

mod counted;
#[cfg(target_os = "linux")]
mod direct;
mod observed;
mod real;
mod sim;
#[cfg(target_os = "linux")]
mod uring;

use std::fmt::Debug;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

pub use counted::{Counted, Counters};
#[cfg(target_os = "linux")]
pub use direct::DirectDisk;
pub use observed::{Observed, Observer};
pub use real::RealDisk;
pub use sim::{FaultPlan, SimDisk, SimOp};

/// A file system: the only way to files in the house.
pub trait Vfs: Send + Sync + Debug {
    /// Opens an existing file for reading.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>>;
    /// Opens an existing file for reading and overwriting.
    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>>;
    /// Creates an empty file, or empties an existing one, for reading and writing.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>>;
    /// Renames a file, replacing what had the new name. Durable after [`Vfs::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file one more name, which must be free. The file stays as long as one of its names.
    ///
    /// # Errors
    /// Where the file system can't do that, too.
    fn link(&self, file: &Path, name: &Path) -> io::Result<()>;
    /// Removes a file's name; open handles go on. Durable after [`Vfs::sync_dir`].
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// The names of the files and directories in a directory, sorted.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Creates a directory and its parents, durably.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Whether a file or directory has this name.
    fn exists(&self, path: &Path) -> bool;
    /// Does reads that don't depend on each other, at the same time where that is possible, and leaves the
    /// outcome of each in it.
    fn read_batch(&self, reads: &mut [BatchRead]) {
        reads.iter_mut().for_each(BatchRead::read);
    }
    /// Takes an exclusive lock for as long as the returned value lives.
    ///
    /// # Errors
    /// [`LockError::Held`] names the process that has it.
    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>, LockError>;
}

/// One read of a batch.
#[derive(Debug)]
pub struct BatchRead {
    /// What is read from.
    pub file: Arc<dyn VfsFile>,
    /// Where.
    pub offset: u64,
    /// What is to be filled. Its content counts only if the outcome is `Ok`.
    pub buffer: Vec<u8>,
    /// How it ended; `UnexpectedEof` when the file ends first.
    pub outcome: io::Result<()>,
}

impl BatchRead {
    /// A read of so many bytes, not done yet.
    pub fn new(file: Arc<dyn VfsFile>, offset: u64, length: usize) -> Self {
        let outcome = Err(io::ErrorKind::WouldBlock.into());
        Self { file, offset, buffer: vec![0; length], outcome }
    }

    /// Does it by itself.
    pub fn read(&mut self) {
        self.outcome = self.file.read_at(&mut self.buffer, self.offset);
    }

    /// The bytes.
    pub fn into_bytes(self) -> io::Result<Vec<u8>> {
        self.outcome.map(|()| self.buffer)
    }
}

/// An open file. All methods take positions, so that threads can share a handle.
pub trait VfsFile: Send + Sync + Debug {
    /// Fills the buffer from an offset.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends first.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Reads the whole file.
    fn read_all(&self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.len()?).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let mut bytes = vec![0; length];
        self.read_at(&mut bytes, 0)?;
        Ok(bytes)
    }
    /// What the system calls the file, if it is one of the system's, for reads in batches.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// Whether reads through the descriptor must be of whole sectors, to whole sectors of memory.
    fn is_direct(&self) -> bool {
        false
    }
    /// Writes all bytes at an offset, extending the file when needed.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Has the system begin to write bytes to the disk that were written here, so that a later sync waits for less. A hint:
    /// nothing is durable by it, and it need not do anything.
    fn begin_writeback(&self, offset: u64, length: u64) {
        let _ = (offset, length);
    }
    /// Makes the content and the length durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes the content and all metadata durable.
    fn sync_all(&self) -> io::Result<()>;
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts or extends (with zeros) the file.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Reserves space up to a length; the file is at least that long afterwards, new bytes are zero.
    fn preallocate(&self, length: u64) -> io::Result<()>;
}

/// A held lock; dropping it lets go.
pub trait FileLock: Send + Sync + Debug {}

/// Why a lock could not be taken.
#[derive(Debug)]
pub enum LockError {
    /// Another owner has it; the process identifier when it could be read.
    Held {
        /// The owner.
        pid: Option<u32>,
    },
    /// The lock file could not be opened or written.
    Io(io::Error),
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
