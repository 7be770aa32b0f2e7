//! Where a file is that may not be needed in the end.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use luma_vfs::Vfs;

/// A file that goes with its owner unless it is kept.
#[derive(Debug)]
pub struct Place {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    kept: bool,
}

impl Place {
    /// The place of a file, which need not be there yet.
    pub fn new(vfs: Arc<dyn Vfs>, path: PathBuf) -> Self {
        Self { vfs, path, kept: false }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the file there.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed now is an orphan, which the next start removes.
            let _ = self.vfs.remove_file(&self.path);
        }
    }
}
