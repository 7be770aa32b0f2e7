//! Taking in tables that were written aside.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Engine;
use crate::keyspace::KeyspaceInner;
use crate::manifest::Edit;
use crate::table::{Table, TableWriter};
use crate::{Error, Result};

impl Engine {
    /// A table in the making for a keyspace.
    pub(crate) fn new_table(&self, keyspace: &KeyspaceInner) -> Result<TableWriter> {
        let id = self.next_table.fetch_add(1, Ordering::Relaxed);
        TableWriter::create(&self.vfs, &self.tables_directory(), id, self.table_options(keyspace.options))
    }

    /// Adds tables, in key order and apart from each other, to a keyspace that has no keys among theirs.
    pub(crate) fn adopt_tables(&self, keyspace: &KeyspaceInner, tables: &[Arc<Table>]) -> Result<()> {
        let (Some(first), Some(last)) = (tables.first(), tables.last()) else { return Ok(()) };
        let (smallest, largest) = (&first.meta.smallest, &last.meta.largest);
        self.sync_tables()?;
        let _turn = keyspace.flushing.lock();
        let _merges = keyspace.compacting.lock();
        let mut manifest = self.manifest.lock();
        // No commit may put a key among the new ones between the check and the change.
        let mut commit = self.commit.lock();
        self.check_writable()?;
        keyspace.check()?;
        let view = self.view.load_full();
        let found = view.get(keyspace.slot, keyspace.id).ok_or_else(|| keyspace.not_found())?;
        let in_memory = found.memtables().any(|table| table.overlaps(smallest, largest));
        if in_memory || found.tree.overlaps(smallest, largest) {
            return Err(Error::Overlap { keyspace: keyspace.name.to_string() });
        }
        let level = found.tree.ingest_level();
        let added: Vec<(usize, Arc<Table>)> = tables.iter().map(|table| (level, Arc::clone(table))).collect();
        let edit = Edit::Tables {
            keyspace: keyspace.id,
            added: added.iter().map(|(level, table)| (*level, table.meta.clone())).collect(),
            removed: Vec::new(),
            flushed: 0,
        };
        manifest.commit(&[edit]).map_err(|error| self.fail(error))?;
        let bytes = tables.iter().map(|table| table.meta.bytes).sum();
        self.done.ingested_bytes.fetch_add(bytes, Ordering::Relaxed);
        for table in tables {
            table.keep();
        }
        // A number of its own, so that transactions that began before notice the change.
        let sequence = commit.next_sequence;
        commit.next_sequence += 1;
        self.change_view(|view| {
            view.change(keyspace.slot, keyspace.id, |keyspace| {
                keyspace.tree = Arc::new(keyspace.tree.changed(&added, &[]));
                keyspace.changed_aside = sequence;
            });
        });
        self.enqueue_empty(sequence);
        drop(commit);
        drop(manifest);
        self.publisher.publish();
        Ok(())
    }
}
