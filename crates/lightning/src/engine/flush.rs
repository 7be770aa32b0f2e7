//! Flushing: the oldest frozen memtable of a keyspace becomes a table.
//!
//! Invariants: only what is published and, if logged, durable in the log is flushed, so a table never
//! holds a part of a commit whose other part could be lost, nor a commit that follows a lost one.
//! Memtables of a keyspace are flushed in order. The log is released only up to what is needed no more,
//! and the manifest says so before.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use luma_log::Lsn;

use super::Engine;
use crate::keyspace::KeyspaceInner;
use crate::layout::Tree;
use crate::manifest::Edit;
use crate::memtable::{Memtable, MemtableCursor};
use crate::table::{Table, TableMeta, TableWriter};
use crate::{Error, Result};

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

    /// Flushes the oldest frozen memtable; `false` when there is none.
    fn flush_oldest(&self, keyspace: &KeyspaceInner) -> Result<bool> {
        let _turn = keyspace.flushing.lock();
        let view = self.view.load_full();
        let Some(found) = view.get(keyspace.slot, keyspace.id) else { return Ok(false) };
        let Some(oldest) = found.frozen.last().cloned() else { return Ok(false) };
        let tree = Arc::clone(&found.tree);
        // Old views are not held: they would make the history longer.
        drop(view);
        let oldest = &oldest;
        if self.is_inline() {
            self.sync_log()?;
        } else {
            self.log.wait_durable(oldest.logged_to())?;
        }
        self.publisher.wait_published(oldest.max_sequence())?;
        let meta = self.write_table(keyspace, oldest, &tree)?;
        let table = meta.map(|meta| self.open_table(meta)).transpose()?;

        let mut manifest = self.manifest.lock();
        if keyspace.check().is_err() {
            table.inspect(|table| table.set_obsolete());
            return Ok(false);
        }
        let released = self.log_needed_from(oldest);
        let flushed = oldest.max_sequence();
        let added: Vec<(usize, Arc<Table>)> = table.into_iter().map(|table| (0, table)).collect();
        let edit = Edit::Tables {
            keyspace: keyspace.id,
            added: added.iter().map(|(level, table)| (*level, table.meta.clone())).collect(),
            removed: Vec::new(),
            flushed,
        };
        let progress = Edit::Progress { sequence: self.publisher.visible(), log_released: released.0 };
        manifest.commit(&[edit, progress])?;
        self.change_view_and_history(|view, history| {
            history.flushed(oldest);
            view.change(keyspace.slot, keyspace.id, |keyspace| {
                keyspace.frozen.retain(|table| !Arc::ptr_eq(table, oldest));
                keyspace.remembered.insert(0, Arc::clone(oldest));
                keyspace.tree = Arc::new(keyspace.tree.changed(&added, &[]));
                keyspace.flushed = keyspace.flushed.max(flushed);
            });
        });
        self.memory.fetch_sub(oldest.written_bytes(), Ordering::Relaxed);
        drop(manifest);
        // The view that this replaced is gone now, unless somebody reads it.
        self.change_view(|_| {});
        self.done.flushes.fetch_add(1, Ordering::Relaxed);
        let bytes = added.iter().map(|(_, table)| table.meta.bytes).sum();
        self.done.flushed_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.log.truncate_before(released)?;
        self.schedule_merge(keyspace.id);
        Ok(true)
    }

    /// Writes the newest version of each key; `None` when nothing is left of them.
    fn write_table(
        &self,
        keyspace: &KeyspaceInner,
        memtable: &Arc<Memtable>,
        tree: &Tree,
    ) -> Result<Option<TableMeta>> {
        let directory = self.tables_directory();
        let id = self.next_table.fetch_add(1, Ordering::Relaxed);
        let options = self.table_options(keyspace.options);
        let mut writer = TableWriter::create(&self.vfs, &directory, id, options)?;
        let mut cursor = MemtableCursor::over_all(Arc::clone(memtable));
        while let Some(entry) = cursor.entry() {
            // A tombstone that covers nothing is not needed.
            if entry.value.is_some() || tree.overlaps(entry.key, entry.key) {
                writer.add(entry.key, entry.value)?;
            }
            cursor.advance();
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
    fn log_needed_from(&self, flushed: &Arc<Memtable>) -> Lsn {
        // Whatever is appended later than this is noted in its memtable later, and lies behind.
        let end = {
            let _commit = self.commit.lock();
            self.log.end()
        };
        // A place that a crash could take back must not be recorded.
        let end = end.min(self.log.durable_end());
        let view = self.view.load();
        let memtables = view.keyspaces().flat_map(|(_, keyspace)| keyspace.memtables());
        let others = memtables.filter(|table| !Arc::ptr_eq(table, flushed));
        others.filter_map(|table| table.logged_from()).fold(end, Lsn::min)
    }
}
