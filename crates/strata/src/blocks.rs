//! Bytes of a file with a checksum for each block of them.
//!
//! Parquet has no checksums that its Rust library writes. So the manifest keeps one for each 32 KiB of a
//! file, and whatever is read is read in whole blocks and compared: damage is an error that names the file,
//! never a wrong number, and the library only sees bytes that it wrote.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, Bytes, buf::Reader};
use luma_vfs::VfsFile;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};

use crate::error::Error;

/// How many bytes have a checksum of their own.
pub const BLOCK_BYTES: usize = 32 << 10;
/// How many bytes are written at once.
const WRITE_BYTES: usize = 8 * BLOCK_BYTES;

/// Writes a file from its beginning to its end.
#[derive(Debug)]
pub struct Output {
    file: Arc<dyn VfsFile>,
    buffer: Vec<u8>,
    written: u64,
    sums: Vec<u32>,
}

impl Output {
    /// Writes an empty file.
    pub fn new(file: Arc<dyn VfsFile>) -> Self {
        Self { file, buffer: Vec::with_capacity(WRITE_BYTES), written: 0, sums: Vec::new() }
    }

    /// Writes and syncs what is left; the length and the checksums.
    ///
    /// # Errors
    /// What the file system says.
    pub fn finish(mut self) -> io::Result<(u64, Vec<u32>)> {
        self.write_out()?;
        self.file.sync_all()?;
        Ok((self.written, self.sums))
    }

    fn write_out(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.file.write_at(&self.buffer, self.written)?;
        self.sums.extend(self.buffer.chunks(BLOCK_BYTES).map(crc32c::crc32c));
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = WRITE_BYTES - self.buffer.len();
        let taken = bytes.len().min(room);
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == WRITE_BYTES {
            self.write_out()?;
        }
        Ok(taken)
    }

    /// Nothing is written before a buffer is full: blocks are written once.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a file whose length and checksums are known.
#[derive(Debug)]
pub struct Input {
    path: PathBuf,
    file: Arc<dyn VfsFile>,
    length: u64,
    sums: Arc<[u32]>,
}

impl Input {
    /// An input over an open file.
    ///
    /// # Errors
    /// When the file has another length.
    pub fn new(path: &Path, file: Arc<dyn VfsFile>, length: u64, sums: Arc<[u32]>) -> Result<Self, Error> {
        let found = file.len().map_err(|error| Error::io(path, error))?;
        if found != length {
            return Err(Error::damaged(path, format!("it has {found} bytes, {length} were written")));
        }
        Ok(Self { path: path.to_owned(), file, length, sums })
    }

    fn read(&self, start: u64, length: usize) -> Result<Bytes, Error> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.length).ok_or_else(|| {
            Error::damaged(&self.path, format!("bytes {start} and {length} more are behind its end"))
        })?;
        let block_bytes = BLOCK_BYTES as u64;
        let first = start / block_bytes;
        let (from, to) = (first * block_bytes, (end.div_ceil(block_bytes) * block_bytes).min(self.length));
        let mut bytes = vec![0; (to - from) as usize];
        self.file.read_at(&mut bytes, from).map_err(|error| Error::io(&self.path, error))?;
        for (at, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
            let at = first as usize + at;
            if self.sums.get(at) != Some(&crc32c::crc32c(block)) {
                let offset = at * BLOCK_BYTES;
                return Err(Error::damaged(
                    &self.path,
                    format!("the checksum of the block at {offset} differs"),
                ));
            }
        }
        let skipped = (start - from) as usize;
        Ok(Bytes::from(bytes).slice(skipped..skipped + length))
    }

    /// Compares all bytes with their checksums.
    pub fn verify(&self) -> Result<(), Error> {
        let step = WRITE_BYTES as u64;
        (0..self.length.div_ceil(step)).try_for_each(|at| {
            let length = step.min(self.length - at * step) as usize;
            self.read(at * step, length).map(drop)
        })
    }
}

impl Length for Input {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Input {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let length = (self.length.saturating_sub(start)).min(BLOCK_BYTES as u64) as usize;
        Ok(self.get_bytes(start, length)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.read(start, length).map_err(|error| ParquetError::External(Box::new(error)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use luma_vfs::{SimDisk, Vfs};

    #[test]
    fn every_flipped_bit_is_noticed_and_every_range_reads_back() {
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new("/d")).unwrap();
        let path = Path::new("/d/f");
        let content: Vec<u8> = (0..BLOCK_BYTES * 3 + 777).map(|at| (at * 31 % 251) as u8).collect();
        let mut output = Output::new(disk.create(path).unwrap());
        for part in content.chunks(1000) {
            output.write_all(part).unwrap();
        }
        let (length, sums) = output.finish().unwrap();
        assert_eq!(length, content.len() as u64);
        let sums: Arc<[u32]> = sums.into();
        let open = |length| Input::new(path, disk.open(path).unwrap(), length, Arc::clone(&sums));
        let input = open(length).unwrap();
        for (start, len) in [(0, 1), (BLOCK_BYTES - 1, 2), (5, BLOCK_BYTES * 2), (content.len() - 3, 3)] {
            assert_eq!(input.read(start as u64, len).unwrap(), content[start..start + len]);
        }
        input.verify().unwrap();
        assert!(open(length - 1).unwrap_err().to_string().contains("/d/f is damaged"));
        assert!(input.read(length, 1).is_err());
        for at in [0, BLOCK_BYTES, content.len() - 1] {
            disk.flip_bit(path, at as u64, 3).unwrap();
            assert!(input.read(at as u64, 1).unwrap_err().to_string().contains("/d/f is damaged"));
            assert!(input.verify().is_err());
            disk.flip_bit(path, at as u64, 3).unwrap();
        }
        input.verify().unwrap();
    }
}
