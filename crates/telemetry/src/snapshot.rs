//! A copy of a store as it was at a moment, while it goes on: a store of its own in another directory.
//!
//! What memory has goes to files first, so the copy needs no samples in its log, only metadata and exemplars. Series of all
//! files are in the registry before the files are; nothing moves while both are copied.

use std::path::Path;

use luma_log::{Flusher, Log, LogOptions};

use crate::error::{Error, Result};
use crate::record::RecordWriter;
use crate::store::Metrics;
use crate::tier::{Tier, open_database};

impl Metrics {
    /// Copies the store into a directory that does not exist yet; without `memory` only what files have already. When this returns the copy is
    /// durable, and [`Metrics::open`] opens it.
    ///
    /// # Errors
    /// When the directory is there, or something cannot be read or written. What was copied so far is left then.
    pub fn snapshot(&self, directory: &Path, memory: bool) -> Result<()> {
        let vfs = &self.tier.vfs;
        if vfs.exists(directory) {
            let source = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            return Err(Error::of_lock(directory, source.into()));
        }
        if memory {
            // All of it stays in memory as well.
            self.flush(i64::MIN)?;
        }
        let _moving = self.moving.lock();
        let files = self.tier.table.snapshot();
        let database = open_database(vfs, &directory.join("manifest"), true)?;
        self.tier.copy_registry(&database)?;
        files.copy_to(vfs.as_ref(), &directory.join("files"), &database, Tier::TABLE)?;
        let options = LogOptions { flusher: Flusher::Inline, ..LogOptions::default() };
        let log = Log::open(vfs.clone(), &directory.join("log"), options, &mut |_, _| Ok(()))?;
        let mut append = |record: RecordWriter| -> Result<()> {
            record.finish().map_or(Ok(()), |record| Ok(log.append(&[&record]).map(drop)?))
        };
        self.metadata.say_again(&mut append)?;
        self.exemplars.say_again(&mut append)?;
        log.wait_durable(log.end())?;
        vfs.sync_dir(directory).map_err(|error| Error::of_lock(directory, error.into()))
    }
}
