//! Taking in tables that were written aside: as they are, or into a B+Tree.

use luma_sync::atomic::Ordering;
use std::sync::Arc;

use super::Engine;
use crate::key_range::KeyRanges;
use crate::keyspace::KeyspaceInner;
use crate::layout::Tree;
use crate::lsm::HoledRun;
use crate::manifest::Edit;
use crate::merge::{Merge, Source};
use crate::options::Direction;
use crate::table::{RunCursor, Table, TableWriter};
use crate::view::KeyspaceView;
use crate::{Error, Result};

impl Engine {
    /// A table in the making for a keyspace.
    pub(crate) fn new_table(&self, keyspace: &KeyspaceInner) -> Result<TableWriter> {
        let options = self.table_options(&keyspace.options);
        TableWriter::create(&self.vfs, &self.tables_directory(), &self.next_table, options)
    }

    /// Adds tables, in key order and apart from each other, to a keyspace that has no keys among theirs.
    pub(crate) fn adopt_tables(&self, keyspace: &KeyspaceInner, tables: &[Arc<Table>]) -> Result<()> {
        let (Some(first), Some(last)) = (tables.first(), tables.last()) else { return Ok(()) };
        if self.options.external_log {
            return Err(Error::ExternalLog(
                "a bulk load has no place in an external log; write batches instead",
            ));
        }
        let (smallest, largest) = (&first.meta.smallest, &last.meta.largest);
        self.sync_tables()?;
        let erases =
            |keyspace: &Arc<KeyspaceView>| keyspace.memtables().any(|table| table.erases(smallest, largest));
        if self.view().get(keyspace.slot, keyspace.id).is_some_and(erases) {
            // What was deleted as a range makes room once it is gone from the stored data.
            self.flush_keyspace(keyspace)?;
        }
        let _alone = keyspace.rearranging.lock();
        let _turn = keyspace.flushing.lock();
        let _merges = keyspace.compacting.lock();
        let tree = {
            let view = self.view();
            let found = view.get(keyspace.slot, keyspace.id).ok_or_else(|| keyspace.not_found())?;
            Arc::clone(&found.tree)
        };
        let overlap = || Error::Overlap { keyspace: keyspace.name.to_string() };
        // Neither flushes nor merges change it meanwhile.
        if tree.overlaps(smallest, largest)? {
            return Err(overlap());
        }
        let prepared = match tree.btree() {
            Some(btree) => {
                let run = RunCursor::new(tables.into(), Direction::Forward, false);
                let run = Source::Run(HoledRun::new(run, Arc::default(), Direction::Forward));
                let mut entries = Merge::new(vec![run], Direction::Forward, None)?;
                Some(btree.prepare(&mut entries, &KeyRanges::default(), &keyspace.keep_all(), &mut |_| {
                    self.check_writable()
                })?)
            }
            None => None,
        };
        let mut manifest = self.manifest.lock();
        // No commit may put a key among the new ones between the check and the change.
        let mut commit = self.commit.lock();
        self.check_writable()?;
        keyspace.check()?;
        let in_memory = {
            let view = self.view();
            let found = view.get(keyspace.slot, keyspace.id).ok_or_else(|| keyspace.not_found())?;
            found.memtables().any(|table| table.overlaps(smallest, largest))
        };
        if in_memory {
            return Err(overlap());
        }
        let (edit, next, bytes) = match prepared {
            None => {
                let level = tree.level_with_room(smallest, largest);
                let added: Vec<(usize, Arc<Table>)> =
                    tables.iter().map(|table| (level, Arc::clone(table))).collect();
                let metas = added.iter().map(|(level, table)| (*level, table.meta.clone())).collect();
                let edit =
                    Edit::Tables { keyspace: keyspace.id, added: metas, removed: Vec::new(), flushed: 0 };
                (
                    edit,
                    tree.changed(&added, &[]),
                    tables.iter().map(|table| table.meta.bytes_with_blobs()).sum(),
                )
            }
            Some(prepared) => {
                let bytes = prepared.written_bytes();
                let next = prepared.install().map_err(|error| self.fail(error))?;
                let edit =
                    Edit::Checkpoint { keyspace: keyspace.id, generation: next.generation, flushed: 0 };
                (edit, Tree::BTree(next), bytes)
            }
        };
        if let Tree::Lsm(_) = next {
            // An edit that fails may be durable all the same: from here on the files stay.
            for table in tables {
                table.keep();
            }
        }
        manifest.commit(&[edit]).map_err(|error| self.fail(error))?;
        self.done.ingested_bytes.fetch_add(bytes, Ordering::Relaxed);
        let next = Arc::new(next);
        // A number of its own, so that transactions that began before notice the change.
        let sequence = commit.next_sequence;
        commit.next_sequence += 1;
        self.change_view(|view| {
            view.change(keyspace.slot, keyspace.id, |keyspace| {
                keyspace.tree = Arc::clone(&next);
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
