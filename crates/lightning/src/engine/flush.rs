//! Flushing: the oldest frozen memtable of a keyspace becomes a table; all of them
//! become one checkpoint of a B+Tree.
//!
//! Invariants: only what is published and, if logged, durable in the log is flushed, so a table never
//! holds a part of a commit whose other part could be lost, nor a commit that follows a lost one.
//! Memtables of a keyspace are flushed in order. The log is released only up to what is needed no more,
//! and the manifest says so before.

use luma_sync::atomic::Ordering;
use std::sync::Arc;

use luma_log::Lsn;

use super::Engine;
use crate::btree::Prepared;
use crate::key_range::KeyRanges;
use crate::keyspace::KeyspaceInner;
use crate::layout::Tree;
use crate::lsm::Levels;
use crate::manifest::Edit;
use crate::memtable::{Memtable, MemtableCursor};
use crate::merge::{Merge, Source};
use crate::options::Direction;
use crate::table::{Table, TableMeta, TableWriter};
use crate::{Error, Result};

fn is_among(memtable: &Arc<Memtable>, others: &[Arc<Memtable>]) -> bool {
    others.iter().any(|other| Arc::ptr_eq(memtable, other))
}

/// Memtables on disk, before the manifest knows.
enum Written {
    /// None when nothing of it is left.
    Table(Option<Arc<Table>>),
    Checkpoint(Prepared),
}

impl Engine {
    /// Flushes everything a keyspace has in memory.
    pub(crate) fn flush_keyspace(&self, keyspace: &KeyspaceInner) -> Result<()> {
        self.check_writable()?;
        {
            let _commit = self.commit.lock();
            self.freeze(keyspace.slot, keyspace.id);
        }
        let newest =
            self.view().get(keyspace.slot, keyspace.id).and_then(|view| view.frozen.first().cloned());
        let Some(newest) = newest else { return Ok(()) };
        while self
            .view()
            .get(keyspace.slot, keyspace.id)
            .is_some_and(|view| view.frozen.iter().any(|table| Arc::ptr_eq(table, &newest)))
        {
            self.flush_oldest(keyspace).map_err(|error| self.fail_unless_over(error))?;
        }
        self.run_inline_work()
    }

    fn fail_unless_over(&self, error: Error) -> Error {
        match error {
            Error::Closed | Error::KeyspaceNotFound { .. } => error,
            error => self.fail(error),
        }
    }

    /// Flushes all frozen memtables of a keyspace.
    pub(super) fn flush_frozen(&self, keyspace: &KeyspaceInner) -> Result<()> {
        while self.flush_oldest(keyspace)? {}
        Ok(())
    }

    /// Flushes the oldest frozen memtable, or all of them into a B+Tree; `false` when there is none.
    fn flush_oldest(&self, keyspace: &KeyspaceInner) -> Result<bool> {
        let _turn = keyspace.flushing.lock();
        let view = Arc::clone(&self.view());
        let Some(found) = view.get(keyspace.slot, keyspace.id) else { return Ok(false) };
        let tree = Arc::clone(&found.tree);
        // Each checkpoint may rewrite many leaves: all that waits goes into one.
        let together = if tree.btree().is_some() { found.frozen.len() } else { 1 };
        // Newest first.
        let full: Vec<Arc<Memtable>> = found.frozen.iter().rev().take(together).rev().cloned().collect();
        let Some(newest) = full.first() else { return Ok(false) };
        // Old views are not held: they would make the history longer.
        drop(view);
        if self.is_inline() {
            self.sync_log()?;
        } else {
            let logged_to = full.iter().map(|table| table.logged_to()).max();
            self.log.wait_durable(logged_to.unwrap_or(Lsn(0)))?;
        }
        self.publisher.wait_published(newest.max_sequence())?;
        let erased = full.iter().fold(KeyRanges::default(), |mut all, table| {
            all.extend(&table.erased(u64::MAX, &[]));
            all
        });
        let written = match tree.as_ref() {
            Tree::Lsm(levels) => {
                let (levels, _) = levels.erased(&erased);
                let meta = self.write_table(keyspace, newest, &levels)?;
                Written::Table(meta.map(|meta| self.open_table(meta)).transpose()?)
            }
            Tree::BTree(tree) => {
                let cursors = full.iter().map(|table| MemtableCursor::over_all(Arc::clone(table)));
                let mut changes =
                    Merge::new(cursors.map(Source::Memory).collect(), Direction::Forward, None)?;
                Written::Checkpoint(tree.prepare(&mut changes, &erased)?)
            }
        };

        let mut manifest = self.manifest.lock();
        if keyspace.check().is_err() {
            if let Written::Table(Some(table)) = written {
                table.set_obsolete();
            }
            return Ok(false);
        }
        let released = self.log_needed_from(&full);
        let flushed = newest.max_sequence();
        let id = keyspace.id;
        let mut edits = Vec::new();
        let (edit, added, next, bytes) = match written {
            Written::Table(table) => {
                let added: Vec<(usize, Arc<Table>)> = table.into_iter().map(|table| (0, table)).collect();
                let metas = added.iter().map(|(level, table)| (*level, table.meta.clone())).collect();
                let bytes = added.iter().map(|(_, table)| table.meta.bytes_with_blobs()).sum();
                if !erased.is_empty() {
                    // Of what was there before.
                    edits.push(Edit::Erase { keyspace: id, ranges: erased.clone() });
                    if let Some(meanwhile) = keyspace.erased_meanwhile.lock().as_mut() {
                        meanwhile.extend(&erased);
                    }
                }
                (
                    Edit::Tables { keyspace: id, added: metas, removed: Vec::new(), flushed },
                    added,
                    None,
                    bytes,
                )
            }
            Written::Checkpoint(prepared) => {
                let bytes = prepared.written_bytes();
                let next = prepared.install()?;
                let edit = Edit::Checkpoint { keyspace: id, generation: next.generation, flushed };
                (edit, Vec::new(), Some(next), bytes)
            }
        };
        let progress = Edit::Progress { sequence: self.publisher.visible(), log_released: released.0 };
        edits.extend([edit, progress]);
        manifest.commit(&edits)?;
        let mut gone = Vec::new();
        self.change_view_and_history(|view, history| {
            for table in full.iter().rev() {
                history.flushed(table);
            }
            view.change(keyspace.slot, keyspace.id, |keyspace| {
                keyspace.frozen.retain(|table| !is_among(table, &full));
                keyspace.remembered.splice(..0, full.iter().cloned());
                keyspace.tree = Arc::new(match &next {
                    Some(next) => Tree::BTree(Arc::clone(next)),
                    None => {
                        let (tree, tables) = keyspace.tree.erased(&erased);
                        gone = tables;
                        tree.changed(&added, &[])
                    }
                });
                keyspace.flushed = keyspace.flushed.max(flushed);
            });
        });
        for table in &gone {
            table.set_obsolete();
        }
        let written_bytes = full.iter().map(|table| table.written_bytes()).sum();
        self.memory.fetch_sub(written_bytes, Ordering::Relaxed);
        drop(manifest);
        // The view that this replaced is gone now, unless somebody reads it.
        self.change_view(|_| {});
        self.done.flushes.fetch_add(full.len() as u64, Ordering::Relaxed);
        self.done.flushed_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.log.truncate_before(released)?;
        self.look_at_log();
        self.schedule_merge(keyspace.id);
        Ok(true)
    }

    /// Writes the newest version of each key; `None` when nothing is left of them.
    fn write_table(
        &self,
        keyspace: &KeyspaceInner,
        memtable: &Arc<Memtable>,
        levels: &Levels,
    ) -> Result<Option<TableMeta>> {
        let directory = self.tables_directory();
        let options = self.table_options(keyspace.options);
        let mut writer = TableWriter::create(&self.vfs, &directory, &self.next_table, options)?;
        let cursor = MemtableCursor::over_all(Arc::clone(memtable));
        let mut entries = Merge::new(vec![Source::Memory(cursor)], Direction::Forward, None)?;
        while let Some(key) = entries.key() {
            let value = entries.value();
            // A tombstone that covers nothing is not needed.
            if value.is_some() || levels.overlaps(key, key) {
                writer.add(key, value)?;
            }
            entries.advance()?;
        }
        if writer.is_empty() {
            return Ok(None);
        }
        let meta = writer.finish()?;
        self.sync_tables()?;
        Ok(Some(meta))
    }

    pub(crate) fn open_table(&self, meta: TableMeta) -> Result<Arc<Table>> {
        Table::open(&self.vfs, &self.tables_directory(), meta, &self.cache).map(Arc::new)
    }

    pub(super) fn tables_directory(&self) -> std::path::PathBuf {
        self.path.join(super::TABLES_DIRECTORY)
    }

    /// Makes the names of new tables durable.
    pub(super) fn sync_tables(&self) -> Result<()> {
        let directory = self.tables_directory();
        self.vfs.sync_dir(&directory).map_err(|error| Error::io(&directory, error))
    }

    /// From where the log is needed once `flushed` is in a table.
    fn log_needed_from(&self, flushed: &[Arc<Memtable>]) -> Lsn {
        // Whatever is appended later than this is noted in its memtable later, and lies behind.
        let end = {
            let _commit = self.commit.lock();
            self.log.end()
        };
        // A place that a crash could take back must not be recorded.
        let end = end.min(self.log.durable_end());
        let view = self.view();
        let memtables = view.keyspaces().flat_map(|(_, keyspace)| keyspace.memtables());
        let others = memtables.filter(|table| !is_among(table, flushed));
        others.filter_map(|table| table.logged_from()).fold(end, Lsn::min)
    }
}
