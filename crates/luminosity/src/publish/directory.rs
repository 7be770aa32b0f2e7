//! Publication to a directory.
//!
//! A file is written under another name, synced, and renamed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use luma_vfs::{LockError, Vfs, VfsFile};

use super::{Content, Target};
use crate::error::{Error, Result};

const PART: &str = ".luminosity-part";
const BUFFER_BYTES: usize = 256 << 10;
/// Larger than any list of what was published.
const READ_BYTES_MAX: u64 = 64 << 20;

/// A directory.
pub(super) struct Directory {
    vfs: Arc<dyn Vfs>,
    directory: PathBuf,
}

impl Directory {
    pub(super) fn new(vfs: Arc<dyn Vfs>, directory: &Path) -> Self {
        Self { vfs, directory: directory.to_owned() }
    }

    fn remove_parts(&self) -> Result<()> {
        for name in self.vfs.read_dir(&self.directory).map_err(|error| Error::io(&self.directory, error))? {
            if name.starts_with('.') && name.ends_with(PART) {
                self.remove(&name)?;
            }
        }
        Ok(())
    }
}

impl Target for Directory {
    fn begin(&self) -> Result<Box<dyn Send>> {
        self.vfs.create_dir_all(&self.directory).map_err(|error| Error::io(&self.directory, error))?;
        let lock = self.directory.join(".luminosity.lock");
        let held = self.vfs.lock(&lock).map_err(|error| match error {
            LockError::Held { pid } => Error::Settings(format!(
                "{} is being published to by {}; wait for it",
                self.directory.display(),
                pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
            )),
            LockError::Io(error) => Error::io(&lock, error),
        })?;
        self.remove_parts()?;
        Ok(Box::new(held))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.directory.join(name);
        let failed = |error| Error::io(&path, error);
        let file = match self.vfs.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed)?,
        };
        let length = file.len().map_err(failed)?;
        if length > READ_BYTES_MAX {
            return Ok(None);
        }
        let mut bytes = vec![0; length as usize];
        file.read_at(&mut bytes, 0).map_err(failed)?;
        Ok(Some(bytes))
    }

    fn length(&self, name: &str) -> Option<u64> {
        self.vfs.open(&self.directory.join(name)).ok()?.len().ok()
    }

    fn put(&self, name: &str, content: Content<'_>) -> Result<u64> {
        let part = self.directory.join(format!(".{name}{PART}"));
        let written = (|| {
            let mut out = Output { file: self.vfs.create(&part)?, buffer: Vec::new(), at: 0 };
            out.buffer.reserve(BUFFER_BYTES);
            content(&mut out)?;
            out.flush()?;
            out.file.sync_data()?;
            self.vfs.rename(&part, &self.directory.join(name))?;
            Ok(out.at)
        })();
        written.map_err(|error| Error::io(&part, error))
    }

    fn settle(&self) -> Result<()> {
        self.vfs.sync_dir(&self.directory).map_err(|error| Error::io(&self.directory, error))
    }

    fn remove(&self, name: &str) -> Result<()> {
        let file = self.directory.join(name);
        self.vfs.remove_file(&file).map_err(|error| Error::io(&file, error))
    }
}

/// A file that is written from its start.
struct Output {
    file: Arc<dyn VfsFile>,
    buffer: Vec<u8>,
    at: u64,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(&self.buffer, self.at)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
