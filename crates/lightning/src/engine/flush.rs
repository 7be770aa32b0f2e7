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
use crate::btree::{BTree, Prepared};
use crate::key_range::KeyRanges;
use crate::keyspace::KeyspaceInner;
use crate::layout::Tree;
use crate::lsm::Levels;
use crate::manifest::Edit;
use crate::memtable::{Memtable, MemtableCursor};
use crate::merge::{Merge, Source};
use crate::merge_operator::Below;
use crate::options::Direction;
use crate::table::{Table, TableMeta, TableWriter};
use crate::{Error, Result};

fn is_among(memtable: &Arc<Memtable>, others: &[Arc<Memtable>]) -> bool {
    others.iter().any(|other| Arc::ptr_eq(memtable, other))
}

/// Memtables on disk, before the manifest knows.
enum Written {
    /// None when nothing of them is left.
    Table(Option<Arc<Table>>),
    Checkpoint(Prepared),
}

/// What a keyspace flushed, before the manifest knows.
pub(super) struct Flushed<'a> {
    keyspace: &'a KeyspaceInner,
    /// Newest first.
    full: Vec<Arc<Memtable>>,
    /// What goes of what was there before.
    erased: KeyRanges,
    written: Written,
    /// For a conversion.
    beside: Option<Arc<Table>>,
}

/// The same when the manifest knows.
struct Installed<'a> {
    keyspace: &'a KeyspaceInner,
    full: Vec<Arc<Memtable>>,
    erased: KeyRanges,
    sequence: u64,
    added: Vec<(usize, Arc<Table>)>,
    next: Option<Arc<BTree>>,
    beside: Option<Arc<Table>>,
}

/// How many memtables of a keyspace are flushed at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HowMany {
    /// The oldest, or all where each time costs much.
    Few,
    All,
}

impl Engine {
    /// Flushes everything a keyspace has in memory.
    pub(crate) fn flush_keyspace(&self, keyspace: &KeyspaceInner) -> Result<()> {
        self.check_writable()?;
        if self.options.external_log {
            self.flush_together().map_err(|error| self.fail_unless_over(error))?;
            return self.run_inline_work();
        }
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
            self.spill();
        }
        self.run_inline_work()
    }

    pub(super) fn fail_unless_over(&self, error: Error) -> Error {
        match error {
            Error::Closed | Error::KeyspaceNotFound { .. } => error,
            error => self.fail(error),
        }
    }

    /// Flushes all frozen memtables of a keyspace.
    pub(super) fn flush_frozen(&self, keyspace: &KeyspaceInner) -> Result<()> {
        if self.options.external_log {
            return self.flush_together();
        }
        while self.flush_oldest(keyspace)? {
            self.spill();
        }
        Ok(())
    }

    /// Flushes the oldest frozen memtable, or all of them into a B+Tree; `false` when there is none.
    fn flush_oldest(&self, keyspace: &KeyspaceInner) -> Result<bool> {
        let _turn = keyspace.flushing.lock();
        let Some(flushed) = self.write_frozen(keyspace, HowMany::Few)? else { return Ok(false) };
        self.install_flushed(vec![flushed], None)
    }

    /// Writes frozen memtables of a keyspace; `None` when there are none. The caller holds `flushing`.
    pub(super) fn write_frozen<'a>(
        &self,
        keyspace: &'a KeyspaceInner,
        how_many: HowMany,
    ) -> Result<Option<Flushed<'a>>> {
        let view = self.view();
        let Some(found) = view.get(keyspace.slot, keyspace.id) else { return Ok(None) };
        let tree = Arc::clone(&found.tree);
        // Each checkpoint may rewrite many leaves: all that waits goes into one.
        let all = tree.btree().is_some() || how_many == HowMany::All;
        let together = if all { found.frozen.len() } else { 1 };
        // Newest first.
        let full: Vec<Arc<Memtable>> = found.frozen.iter().rev().take(together).rev().cloned().collect();
        let Some(newest) = full.first() else { return Ok(None) };
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
                Written::Table(self.write_table(keyspace, &full, &levels)?)
            }
            Tree::BTree(tree) => {
                // From before it was converted.
                keyspace.shared_segments.lock().clear();
                let cursors = full.iter().map(|table| MemtableCursor::over_all(Arc::clone(table)));
                let cursors = cursors.map(Source::Memory).collect();
                let mut changes =
                    Merge::gathering(keyspace.merges.is_some(), cursors, Direction::Forward, None)?;
                Written::Checkpoint(tree.prepare(&mut changes, &erased, &keyspace.keep(), &mut |_| Ok(()))?)
            }
        };

        let beside = tree.btree().and_then(|_| self.write_for_conversion(keyspace, &full));
        Ok(Some(Flushed { keyspace, full, erased, written, beside }))
    }

    /// Makes what was flushed durable and the keyspaces' own with one edit, and with it the index of the
    /// external log up to which that is; `false` when all keyspaces were dropped meanwhile. The caller holds
    /// their `flushing`.
    pub(super) fn install_flushed(&self, flushed: Vec<Flushed<'_>>, applied: Option<u64>) -> Result<bool> {
        let mut manifest = self.manifest.lock();
        let (flushed, dropped): (Vec<_>, Vec<_>) =
            flushed.into_iter().partition(|flushed| flushed.keyspace.check().is_ok());
        for flushed in &dropped {
            if let Written::Table(Some(table)) = &flushed.written {
                table.set_obsolete();
            }
        }
        if flushed.is_empty() && applied.is_none() {
            return Ok(false);
        }
        let all: Vec<Arc<Memtable>> =
            flushed.iter().flat_map(|flushed| flushed.full.iter().cloned()).collect();
        let released = self.log_needed_from(&all);
        let (mut edits, mut installed, mut bytes) = (Vec::new(), Vec::with_capacity(flushed.len()), 0);
        for Flushed { keyspace, full, erased, written, beside } in flushed {
            let id = keyspace.id;
            let sequence = full.first().map_or(0, |newest| newest.max_sequence());
            let (edit, added, next) = match written {
                Written::Table(table) => {
                    let added: Vec<(usize, Arc<Table>)> = table.into_iter().map(|table| (0, table)).collect();
                    let metas = added.iter().map(|(level, table)| (*level, table.meta.clone())).collect();
                    bytes += added.iter().map(|(_, table)| table.meta.written_bytes()).sum::<u64>();
                    if !erased.is_empty() {
                        // Of what was there before.
                        edits.push(Edit::Erase { keyspace: id, ranges: erased.clone() });
                        if let Some(meanwhile) = keyspace.erased_meanwhile.lock().as_mut() {
                            meanwhile.extend(&erased);
                        }
                    }
                    let edit =
                        Edit::Tables { keyspace: id, added: metas, removed: Vec::new(), flushed: sequence };
                    (edit, added, None)
                }
                Written::Checkpoint(prepared) => {
                    bytes += prepared.written_bytes();
                    let next = prepared.install()?;
                    let edit =
                        Edit::Checkpoint { keyspace: id, generation: next.generation, flushed: sequence };
                    (edit, Vec::new(), Some(next))
                }
            };
            edits.push(edit);
            installed.push(Installed { keyspace, full, erased, sequence, added, next, beside });
        }
        edits.push(Edit::Progress { sequence: self.publisher.visible(), log_released: released.0 });
        edits.extend(applied.map(|index| Edit::Applied { index }));
        manifest.commit(&edits)?;
        let mut gone = Vec::new();
        self.change_view_and_history(|view, history| {
            for Installed { keyspace, full, erased, sequence, added, next, .. } in &installed {
                for table in full.iter().rev() {
                    history.flushed(table);
                }
                view.change(keyspace.slot, keyspace.id, |keyspace| {
                    keyspace.frozen.retain(|table| !is_among(table, full));
                    keyspace.remembered.splice(..0, full.iter().cloned());
                    keyspace.tree = Arc::new(match next {
                        Some(next) => Tree::BTree(Arc::clone(next)),
                        None => {
                            let (tree, tables) = keyspace.tree.erased(erased);
                            gone.extend(tables);
                            tree.changed(added, &[])
                        }
                    });
                    keyspace.flushed = keyspace.flushed.max(*sequence);
                });
            }
        });
        for table in &gone {
            table.set_obsolete();
        }
        let written_bytes = all.iter().map(|table| table.written_bytes()).sum();
        self.memory.fetch_sub(written_bytes, Ordering::Relaxed);
        drop(manifest);
        let ids: Vec<u64> = installed.iter().map(|installed| installed.keyspace.id).collect();
        for Installed { keyspace, erased, added, beside, .. } in installed {
            let table = added.into_iter().map(|(_, table)| table).next().or(beside);
            keyspace.note_flushed(erased, table);
        }
        // The view that this replaced is gone now, unless somebody reads it.
        self.change_view(|_| {});
        self.make_way();
        self.done.flushes.fetch_add(all.len() as u64, Ordering::Relaxed);
        self.done.flushed_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.log.truncate_before(released)?;
        self.look_at_log();
        self.look_at_debt();
        for id in ids {
            self.schedule_merge(id);
        }
        Ok(true)
    }

    /// Writes the newest version of each key in a B+Tree's memtables, tombstones too, for a conversion that
    /// is under way. That it failed is the conversion's failure, not the flush's.
    fn write_for_conversion(&self, keyspace: &KeyspaceInner, full: &[Arc<Memtable>]) -> Option<Arc<Table>> {
        if keyspace.meanwhile.lock().is_none() {
            return None;
        }
        let write = || {
            let mut writer = self.new_table(keyspace)?;
            let cursors = full.iter().map(|table| MemtableCursor::over_all(Arc::clone(table)));
            let cursors = cursors.map(Source::Memory).collect();
            let mut entries = Merge::gathering(keyspace.merges.is_some(), cursors, Direction::Forward, None)?;
            while let Some(key) = entries.key() {
                writer.add(key, entries.value())?;
                entries.advance()?;
            }
            if writer.is_empty() {
                return Ok(None);
            }
            let table = self.open_table(writer.finish()?)?;
            table.set_obsolete();
            Ok(Some(table))
        };
        write().unwrap_or_else(|error| {
            keyspace.fail_conversion(error);
            None
        })
    }

    /// Writes the newest version of each key in memtables, newest first; `None` when nothing is left of them.
    fn write_table(
        &self,
        keyspace: &KeyspaceInner,
        full: &[Arc<Memtable>],
        levels: &Levels,
    ) -> Result<Option<Arc<Table>>> {
        let directory = self.tables_directory();
        let options = self.table_options(&keyspace.options);
        let mut writer = TableWriter::create(&self.flush_vfs, &directory, &self.next_table, options)?;
        let cursors = full.iter().map(|table| MemtableCursor::over_all(Arc::clone(table)));
        let cursors = cursors.map(Source::Memory).collect();
        let mut entries = Merge::gathering(keyspace.merges.is_some(), cursors, Direction::Forward, None)?;
        let in_log = self.values_in_log(keyspace, full, options)?;
        let keep = keyspace.keep();
        while let Some(key) = entries.key() {
            let below = || if levels.overlaps(key, key) { Below::Older } else { Below::Nothing };
            let value = entries.value().and_then(|stored| keep.value(key, stored, below));
            // A tombstone that covers nothing is not needed.
            match value.as_deref().and_then(|value| in_log.find(value)) {
                Some((pointer, file)) => writer.add_pointer(key, pointer, file)?,
                None if value.is_some() || levels.overlaps(key, key) => writer.add(key, value.as_deref())?,
                None => {}
            }
            entries.advance()?;
        }
        if writer.is_empty() {
            return Ok(None);
        }
        let meta = writer.finish()?;
        self.sync_tables()?;
        self.open_flushed(keyspace, meta, in_log).map(Some)
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
