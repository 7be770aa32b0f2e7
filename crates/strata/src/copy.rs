//! A copy of a table as it was at a moment: a table of its own in another database.
//!
//! Files are never changed, so the copy's are the same under a second name, and take no room until the table lets go of them; where the file system
//! can't do that they are copied byte for byte. While a snapshot is there, none of its files goes. The copy belongs to an empty log, so that what is
//! deleted in a log has no meaning there.

use std::path::Path;
use std::sync::Arc;

use lightning::{Database, KeyspaceOptions, TransactionMode, TransactionOptions};
use luma_vfs::{Vfs, VfsFile};

use crate::error::{Error, Result};
use crate::manifest::FileEntry;
use crate::open_file::file_name;
use crate::table::Snapshot;
use crate::tombstone::Tombstone;

/// How many bytes are copied at a time.
const PART_BYTES: u64 = 1 << 20;

impl Snapshot {
    /// Makes a copy as the table `name` of a database that has none of that name, its files in `directory`. It is durable when this returns.
    ///
    /// # Errors
    /// When a file cannot be read or written, or the database fails. What was copied so far is left.
    pub fn copy_to(&self, vfs: &dyn Vfs, directory: &Path, database: &Database, name: &str) -> Result<()> {
        vfs.create_dir_all(directory).map_err(|error| Error::io(directory, error))?;
        for file in self.files() {
            let to = directory.join(file_name(file.entry.number));
            if vfs.link(file.path(), &to).is_err() {
                copy(vfs, file.path(), &to).map_err(|error| Error::io(&to, error))?;
            }
        }
        vfs.sync_dir(directory).map_err(|error| Error::io(directory, error))?;
        let write = || {
            let manifest = database.create_keyspace(&format!("strata.{name}"), KeyspaceOptions::default())?;
            let options =
                TransactionOptions { mode: TransactionMode::Pessimistic, ..TransactionOptions::default() };
            let mut transaction = database.begin(options);
            for entry in self.entries() {
                transaction.put(&manifest, &FileEntry::key(entry.number), &entry.encode())?;
            }
            for tombstone in self.tombstones() {
                let of_no_log = Tombstone { mark: 0, ..(**tombstone).clone() };
                transaction.put(&manifest, &Tombstone::key(tombstone.number), &of_no_log.encode())?;
            }
            transaction.commit().map(drop)
        };
        write().map_err(|source| Error::Manifest { table: name.to_owned(), source })
    }
}

fn copy(vfs: &dyn Vfs, from: &Path, to: &Path) -> std::io::Result<()> {
    let source = vfs.open(from)?;
    let target: Arc<dyn VfsFile> = vfs.create(to)?;
    let (mut at, end) = (0, source.len()?);
    while at < end {
        let mut part = vec![0; PART_BYTES.min(end - at) as usize];
        source.read_at(&mut part, at)?;
        target.write_at(&part, at)?;
        at += part.len() as u64;
    }
    target.sync_all()
}
