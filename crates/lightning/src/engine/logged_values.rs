//! Flushing large values that are in the log without writing them again.
//!
//! Where at least half of a log segment is large values of one memtable, its file gets a second name, as a blob file of
//! the keyspace, and the new table points into it. The log lets go of its own name when it is not needed for replay any
//! more, and does not use the file again. So a large value is written once.
//!
//! Invariants: what is pointed to was durable in the log before; the second name is durable with that of the table,
//! before the manifest's edit. A segment has one such name per keyspace, which counts what is in use of it; whoever keeps
//! [`SharedSegment`] keeps the file, so a later memtable may point into the same one.
//! Values that would become shorter by compression are not left in the log.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use luma_log::Place;
use luma_sync::atomic::Ordering;
use luma_vfs::Vfs;

use super::Engine;
use crate::Result;
use crate::keyspace::KeyspaceInner;
use crate::memtable::{LOGGED_VALUE_MIN, LoggedValue, Memtable, MemtableCursor};
use crate::merge::{Merge, Source};
use crate::merge_operator::is_value;
use crate::options::Direction;
use crate::table::{
    BlobFile, BlobPointer, BlobSource, Table, TableMeta, TableOptions, blob_file_name, shrinks,
};

/// A segment is pointed into if at least one part in so many of it is.
const USED_SHARE: u64 = 2;

/// A log segment that is a blob file, too.
pub(crate) struct SharedSegment {
    /// Its number in the log.
    segment: u64,
    /// Its number as a blob file.
    blob: u64,
    _file: Arc<BlobFile>,
}

/// A segment that was given a second name for a table that is not there yet. Dropped, the name goes.
struct NewName {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    segment: u64,
    blob: u64,
    is_used: bool,
}

impl Drop for NewName {
    fn drop(&mut self) {
        if !self.is_used {
            // One that stays is removed at the next start.
            let _ = self.vfs.remove_file(&self.path);
        }
    }
}

/// The large values of memtables that a flush finds in the log.
pub(super) struct InLog {
    options: TableOptions,
    source: BlobSource,
    /// By address: how long each is, and where in which blob file.
    values: HashMap<usize, (usize, u64, Place)>,
    names: Vec<NewName>,
}

impl InLog {
    /// Where a value is that a walk over the memtables shows, if it is to stay in the log.
    pub(super) fn find(&self, value: &[u8]) -> Option<(BlobPointer, BlobSource)> {
        if value.len() < LOGGED_VALUE_MIN || self.values.is_empty() {
            return None;
        }
        let (length, blob, place) = self.values.get(&value.as_ptr().addr())?;
        // With a merge operator, only what is whole may be in a blob file.
        let is_whole = *length == value.len() && (!self.options.merges || is_value(value));
        if !is_whole || shrinks(value, self.options.compression) {
            return None;
        }
        Some((BlobPointer::into_log(*blob, *place, value), self.source))
    }
}

/// Where in memory the values are that memtables, newest first, have last.
fn newest_values(keyspace: &KeyspaceInner, full: &[Arc<Memtable>]) -> Result<HashSet<usize>> {
    let cursors = full.iter().map(|table| Source::Memory(MemtableCursor::over_all(Arc::clone(table))));
    let gathers = keyspace.merges.is_some();
    let mut entries = Merge::gathering(gathers, cursors.collect(), Direction::Forward, None)?;
    let mut newest = HashSet::new();
    while entries.key().is_some() {
        newest.extend(
            entries
                .value()
                .filter(|value| value.len() >= LOGGED_VALUE_MIN)
                .map(|value| value.as_ptr().addr()),
        );
        entries.advance()?;
    }
    Ok(newest)
}

impl KeyspaceInner {
    /// The number that a log segment has as a blob file of it.
    fn shared_as(&self, segment: u64) -> Option<u64> {
        let shared = self.shared_segments.lock();
        shared.iter().find(|shared| shared.segment == segment).map(|shared| shared.blob)
    }
}

impl Engine {
    /// Finds the large values of memtables in the log, and gives the segments that have enough of them their names as
    /// blob files. The caller holds the keyspace's `flushing`, and the log is durable as far as the memtables go.
    pub(super) fn values_in_log(
        &self,
        keyspace: &KeyspaceInner,
        full: &[Arc<Memtable>],
        options: TableOptions,
    ) -> Result<InLog> {
        let bytes = self.options.wal_segment_bytes;
        let source = BlobSource { bytes, is_segment: true };
        let mut found = InLog { options, source, values: HashMap::new(), names: Vec::new() };
        let large = |value: &LoggedValue| value.length >= options.blob_threshold;
        let mut values: Vec<LoggedValue> = full.iter().flat_map(|table| table.logged_values()).collect();
        values.retain(large);
        if values.iter().map(|value| value.length as u64).sum::<u64>() * USED_SHARE < bytes {
            return Ok(found);
        }
        let newest = newest_values(keyspace, full)?;
        // In order, so that the same commits give the same files.
        let mut by_segment: BTreeMap<u64, Vec<(LoggedValue, Place)>> = BTreeMap::new();
        for value in values.into_iter().filter(|value| newest.contains(&value.address)) {
            if let Some(place) = self.log.place(value.at, value.length as u64) {
                by_segment.entry(place.segment).or_default().push((value, place));
            }
        }
        for (segment, values) in by_segment {
            let used: u64 = values.iter().map(|(_, place)| place.length).sum();
            let blob = match keyspace.shared_as(segment) {
                Some(blob) => blob,
                None if used * USED_SHARE < bytes => continue,
                None => {
                    // Where that can't be done they are written again.
                    let Ok(name) = self.name_as_blob(segment) else { continue };
                    let blob = name.blob;
                    found.names.push(name);
                    blob
                }
            };
            let values = values.into_iter();
            found.values.extend(values.map(|(value, place)| (value.address, (value.length, blob, place))));
        }
        Ok(found)
    }

    fn name_as_blob(&self, segment: u64) -> Result<NewName> {
        let blob = self.next_table.fetch_add(1, Ordering::Relaxed);
        let path = self.tables_directory().join(blob_file_name(blob));
        self.log.share(segment, &path)?;
        Ok(NewName { vfs: Arc::clone(&self.vfs), path, segment, blob, is_used: false })
    }

    /// Opens the table that was written, and remembers which segments it points into.
    pub(super) fn open_flushed(
        &self,
        keyspace: &KeyspaceInner,
        meta: TableMeta,
        mut in_log: InLog,
    ) -> Result<Arc<Table>> {
        for name in &mut in_log.names {
            name.is_used = meta.blobs.contains_key(&name.blob);
        }
        let table = self.open_table(meta)?;
        let mut shared = keyspace.shared_segments.lock();
        let oldest = self.log.oldest_segment();
        shared.retain(|shared| shared.segment >= oldest);
        for name in in_log.names.iter().filter(|name| name.is_used) {
            if let Some(file) = table.blob_of(name.blob) {
                shared.push(SharedSegment {
                    segment: name.segment,
                    blob: name.blob,
                    _file: Arc::clone(file),
                });
            }
        }
        Ok(table)
    }
}
