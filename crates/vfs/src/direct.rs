//! The real disk, past the system's cache: for programs that have a cache of their own, so that nothing is in
//! memory twice.
//!
//! Reads go to the disk with `O_DIRECT`, in whole sectors, and are copied to where they are wanted. Writes go through
//! the system's cache, which gathers them, and are dropped from it by [`VfsFile::sync_all`]. A file system
//! without direct reads is read as usual; nobody is told.
//!
//! Invariant: what was written through any handle is read. The kernel writes back what it holds of a range before it
//! reads that range directly.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use crate::real::RealFile;
use crate::{BatchRead, FileLock, LockError, RealDisk, Vfs, VfsFile};

/// Offsets, lengths and places in memory of direct reads are multiples of this: no disk has larger sectors.
const SECTOR: usize = 4096;
/// A whole file is read in parts of this.
const PART: usize = 1 << 20;

/// The files of this machine, read past the system's cache.
#[derive(Clone, Copy, Debug, Default)]
pub struct DirectDisk;

#[derive(Debug)]
struct DirectFile {
    /// For reads.
    direct: File,
    /// For everything else.
    file: RealFile,
}

/// Memory for the sectors around a range of a file.
pub(crate) struct Sectors {
    memory: Vec<u8>,
    /// Where in the memory the first sector begins.
    first: usize,
    /// Where in the file it does.
    offset: u64,
    /// Bytes of it before the range.
    lead: usize,
}

impl Sectors {
    pub(crate) fn around(offset: u64, length: usize) -> Self {
        let lead = (offset % SECTOR as u64) as usize;
        let bytes = (lead + length).next_multiple_of(SECTOR);
        let memory = vec![0; bytes + SECTOR];
        // Where nothing is known of a place, the read fails and is done through the system's cache.
        let first = memory.as_ptr().align_offset(SECTOR).min(SECTOR);
        Self { memory, first, offset: offset - lead as u64, lead }
    }

    /// Where in the file to read.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// What is to be filled.
    pub(crate) fn memory(&mut self) -> &mut [u8] {
        let end = self.memory.len() - SECTOR + self.first;
        &mut self.memory[self.first..end]
    }

    /// The range, if the first so many bytes of the sectors have it.
    pub(crate) fn range(&self, got: usize, length: usize) -> Option<&[u8]> {
        let from = self.first + self.lead;
        (got >= self.lead + length).then(|| &self.memory[from..from + length])
    }
}

impl DirectDisk {
    fn open_as(path: &Path, file: File) -> io::Result<Arc<dyn VfsFile>> {
        let direct = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path);
        match direct {
            Ok(direct) => Ok(Arc::new(DirectFile { direct, file: RealFile(file) })),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(Arc::new(RealFile(file))),
            Err(error) => Err(error),
        }
    }
}

impl Vfs for DirectDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        Self::open_as(path, File::open(path)?)
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        Self::open_as(path, OpenOptions::new().read(true).write(true).open(path)?)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        let mut options = OpenOptions::new();
        Self::open_as(path, options.read(true).write(true).create(true).truncate(true).open(path)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn link(&self, file: &Path, name: &Path) -> io::Result<()> {
        RealDisk.link(file, name)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_file(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        RealDisk.read_dir(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }

    fn exists(&self, path: &Path) -> bool {
        RealDisk.exists(path)
    }

    fn read_batch(&self, reads: &mut [BatchRead]) {
        RealDisk.read_batch(reads);
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>, LockError> {
        RealDisk.lock(path)
    }
}

/// Reads at an offset until the memory is full or the file ends; how much it was.
fn read_some(file: &File, memory: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < memory.len() {
        match file.read_at(&mut memory[got..], offset + got as u64) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if !got.is_multiple_of(SECTOR) {
            // Only the end of the file is no whole sector.
            break;
        }
    }
    Ok(got)
}

impl VfsFile for DirectFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut sectors = Sectors::around(offset, buffer.len());
        let at = sectors.offset();
        let got = match read_some(&self.direct, sectors.memory(), at) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                return self.file.read_at(buffer, offset);
            }
            got => got?,
        };
        let range = sectors.range(got, buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(range);
        Ok(())
    }

    fn read_all(&self) -> io::Result<Vec<u8>> {
        let length = self.len()?;
        let capacity = usize::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let mut bytes = Vec::with_capacity(capacity);
        while bytes.len() < capacity {
            let part = (capacity - bytes.len()).min(PART);
            let at = bytes.len();
            bytes.resize(at + part, 0);
            self.read_at(&mut bytes[at..], at as u64)?;
        }
        Ok(bytes)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.direct.as_fd())
    }

    fn is_direct(&self) -> bool {
        true
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()?;
        // SAFETY: the descriptor is open for as long as the file lives and no memory is passed. It is advice:
        // whether it was followed changes nothing that is read.
        unsafe { libc::posix_fadvise(self.file.0.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        self.file.preallocate(length)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 31 % 251) as u8).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn any_range_is_read_as_it_was_written_alone_and_in_batches(
            length in 0usize..20_000,
            ranges in proptest::collection::vec((0u64..21_000, 0usize..9000), 2..20),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("a");
            let bytes = content(length);
            let written = DirectDisk.create(&path).unwrap();
            written.write_at(&bytes, 0).unwrap();
            let file = DirectDisk.open(&path).unwrap();
            prop_assert_eq!(&file.read_all().unwrap(), &bytes, "before it is synced");
            written.sync_all().unwrap();
            let new = |(offset, length): &(u64, usize)| BatchRead::new(Arc::clone(&file), *offset, *length);
            let mut reads: Vec<BatchRead> = ranges.iter().map(new).collect();
            DirectDisk.read_batch(&mut reads);
            for ((offset, length), read) in ranges.into_iter().zip(reads) {
                let mut alone = vec![1; length];
                let outcome = file.read_at(&mut alone, offset);
                match bytes.get(offset as usize..offset as usize + length) {
                    Some(expected) => {
                        outcome.unwrap();
                        prop_assert_eq!(alone, expected);
                        prop_assert_eq!(read.into_bytes().unwrap(), expected);
                    }
                    None => {
                        // Nothing of a range of no bytes is beyond the end.
                        let is_missing = |outcome: io::Result<()>| {
                            length == 0 || outcome.unwrap_err().kind() == io::ErrorKind::UnexpectedEof
                        };
                        prop_assert!(is_missing(outcome) && is_missing(read.outcome));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_read_does_not_stay_in_the_systems_cache() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let written = DirectDisk.create(&path).unwrap();
        if !written.is_direct() {
            println!("skipped: the file system of {} has no direct reads", path.display());
            return;
        }
        written.write_at(&content(1 << 20), 0).unwrap();
        written.sync_all().unwrap();
        let file = DirectDisk.open(&path).unwrap();
        assert!(file.read_all().unwrap() == content(1 << 20));
        assert_eq!(cached_pages(&path), 0);
        RealDisk.open(&path).unwrap().read_all().unwrap();
        assert!(cached_pages(&path) > 0, "that is how it would look otherwise");
    }

    /// Pages of a file that the system's cache holds.
    fn cached_pages(path: &Path) -> usize {
        let file = File::open(path).unwrap();
        let length = file.metadata().unwrap().len() as usize;
        let mut held = vec![0u8; length.div_ceil(4096)];
        // SAFETY: the mapping is of an open file, is not written to, and is unmapped here; `held` has a byte
        // per page of it.
        unsafe {
            let place = libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            );
            assert_ne!(place, libc::MAP_FAILED);
            assert_eq!(libc::mincore(place, length, held.as_mut_ptr()), 0);
            libc::munmap(place, length);
        }
        held.iter().filter(|page| **page & 1 == 1).count()
    }
}
