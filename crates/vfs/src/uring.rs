//! Reads that the kernel does at the same time, by `io_uring`.
//!
//! Whether the kernel has it is found out with the first batch; where it has not, or does not allow it, reads
//! are done one after the other, and nobody is told. So are reads of files that are not the system's, single
//! reads, and what the kernel gives back half done.
//!
//! Invariant: a buffer is neither used nor freed as long as the kernel may write to it. A ring is in the pool
//! only when nothing of it is under way.
//! Cost: two system calls for up to [`PART`] reads; a ring takes some ten kilobytes.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

use io_uring::{IoUring, opcode, types::Fd};
use parking_lot::Mutex;

use crate::BatchRead;
use crate::direct::Sectors;

/// Reads that are under way at the same time.
const PART: usize = 128;
/// Rings that wait for the next batch.
const POOL_MAX: usize = 4;

static POOL: Mutex<Vec<IoUring>> = Mutex::new(Vec::new());
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Does all reads, together where that is possible.
pub(crate) fn read(reads: &mut [BatchRead]) {
    if reads.len() < 2 || REFUSED.load(Ordering::Relaxed) {
        return reads.iter_mut().for_each(BatchRead::read);
    }
    for part in reads.chunks_mut(PART) {
        if read_together(part).is_err() {
            // A kernel without it, a process that may not use it, or one that has too many.
            REFUSED.store(true, Ordering::Relaxed);
            part.iter_mut().for_each(BatchRead::read);
        }
    }
}

fn read_together(part: &mut [BatchRead]) -> io::Result<()> {
    let pooled = POOL.lock().pop();
    let mut ring = pooled.map_or_else(|| IoUring::new(PART as u32), Ok)?;
    let mut under_way = 0;
    let mut sectors: Vec<Option<Sectors>> = Vec::with_capacity(part.len());
    for (number, read) in part.iter_mut().enumerate() {
        let direct = read.file.is_direct().then(|| Sectors::around(read.offset, read.buffer.len()));
        sectors.push(direct);
        let (offset, memory) = match sectors.last_mut() {
            Some(Some(sectors)) => (sectors.offset(), sectors.memory()),
            _ => (read.offset, read.buffer.as_mut_slice()),
        };
        let (Some(file), Ok(length)) = (read.file.descriptor(), u32::try_from(memory.len())) else {
            read.outcome = read.file.read_at(&mut read.buffer, read.offset);
            continue;
        };
        let entry = opcode::Read::new(Fd(file.as_raw_fd()), memory.as_mut_ptr(), length)
            .offset(offset)
            .build()
            .user_data(number as u64);
        // SAFETY: the memory has `length` bytes and the file is open; they are held by `part`, which this
        // function borrows, and `sectors`. It returns only when the kernel is done with them, or forgets them.
        let pushed = unsafe { ring.submission().push(&entry) };
        match pushed {
            Ok(()) => under_way += 1,
            Err(_) => read.read(),
        }
    }
    let mut waiting: Vec<bool> = vec![false; part.len()];
    let waited = finish(&mut ring, part, &mut sectors, &mut waiting, under_way);
    if let Err(error) = waited {
        // What the kernel may still write to is never used again.
        std::mem::forget(sectors);
        for read in part.iter_mut() {
            let length = read.buffer.len();
            std::mem::forget(std::mem::replace(&mut read.buffer, vec![0; length]));
        }
        return Err(error);
    }
    let mut pool = POOL.lock();
    if pool.len() < POOL_MAX {
        pool.push(ring);
    }
    Ok(())
}

/// Waits for all that is under way and notes how each ended.
fn finish(
    ring: &mut IoUring,
    part: &mut [BatchRead],
    sectors: &mut [Option<Sectors>],
    done: &mut [bool],
    mut under_way: usize,
) -> io::Result<()> {
    while under_way > 0 {
        match ring.submit_and_wait(under_way) {
            Ok(_) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => {}
            Err(error) => return Err(error),
        }
        for completed in ring.completion() {
            let number = completed.user_data() as usize;
            let (Some(read), Some(done)) = (part.get_mut(number), done.get_mut(number)) else { continue };
            if !std::mem::replace(done, true) {
                under_way -= 1;
                match sectors.get_mut(number).and_then(Option::take) {
                    Some(sectors) => conclude_direct(read, &sectors, completed.result()),
                    None => conclude(read, completed.result()),
                }
            }
        }
    }
    Ok(())
}

/// Takes what the kernel says of a read; what it did not do, or not to the end, is done here.
fn conclude(read: &mut BatchRead, result: i32) {
    let got = usize::try_from(result).unwrap_or(0);
    let retried = [libc::EINTR, libc::EAGAIN, libc::EINVAL, libc::EOPNOTSUPP];
    if result < 0 && !retried.contains(&-result) {
        read.outcome = Err(io::Error::from_raw_os_error(-result));
    } else if got < read.buffer.len() {
        read.outcome = read.file.read_at(&mut read.buffer[got..], read.offset + got as u64);
    } else {
        read.outcome = Ok(());
    }
}

/// The same for a read of whole sectors.
fn conclude_direct(read: &mut BatchRead, sectors: &Sectors, result: i32) {
    let got = usize::try_from(result).unwrap_or(0);
    match sectors.range(got, read.buffer.len()) {
        Some(range) => {
            read.buffer.copy_from_slice(range);
            read.outcome = Ok(());
        }
        None => read.read(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{RealDisk, SimDisk, Vfs, VfsFile};
    use std::path::Path;
    use std::sync::Arc;

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 31 % 251) as u8).collect()
    }

    #[test]
    fn a_batch_gives_what_single_reads_give_whatever_is_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let simulated = SimDisk::new();
        simulated.create_dir_all(Path::new("/d")).unwrap();
        let bytes = content(300_000);
        let real = RealDisk.create(&directory.path().join("a")).unwrap();
        let other = simulated.create(Path::new("/d/a")).unwrap();
        for file in [&real, &other] {
            file.write_at(&bytes, 0).unwrap();
        }
        for count in [0, 1, 2, 5, 128, 129, 400] {
            let mut reads: Vec<BatchRead> = (0..count)
                .map(|number: usize| {
                    // Some cross the end, some are empty, some are of a file that is none of the system's.
                    let file: &Arc<dyn VfsFile> = if number % 7 == 3 { &other } else { &real };
                    BatchRead::new(Arc::clone(file), (number * 997 % 301_000) as u64, number * 61 % 5000)
                })
                .collect();
            RealDisk.read_batch(&mut reads);
            for read in reads {
                let from = read.offset as usize;
                match bytes.get(from..from + read.buffer.len()) {
                    Some(expected) => assert!(read.into_bytes().unwrap() == expected, "at {from}"),
                    None => assert_eq!(read.outcome.unwrap_err().kind(), io::ErrorKind::UnexpectedEof),
                }
            }
        }
        assert!(POOL.lock().len() <= POOL_MAX);
    }

    #[test]
    fn what_the_kernel_leaves_undone_is_done() {
        let directory = tempfile::tempdir().unwrap();
        let file = RealDisk.create(&directory.path().join("a")).unwrap();
        file.write_at(&content(5000), 0).unwrap();
        for result in [-libc::EAGAIN, -libc::EOPNOTSUPP, 0, 1, 999, 1000] {
            let mut read = BatchRead::new(Arc::clone(&file), 100, 1000);
            let given = usize::try_from(result).unwrap_or(0);
            read.buffer[..given].copy_from_slice(&content(5000)[100..100 + given]);
            conclude(&mut read, result);
            assert!(read.into_bytes().unwrap() == content(5000)[100..1100]);
        }
        let mut failed = BatchRead::new(file, 0, 10);
        conclude(&mut failed, -libc::EIO);
        assert_eq!(failed.outcome.unwrap_err().raw_os_error(), Some(libc::EIO));
    }
}
