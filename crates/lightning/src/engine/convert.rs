//! Converting a keyspace to the other layout while it is in use.
//!
//! The stored data is copied aside from a tree that stays as it is. What is flushed meanwhile goes to the old
//! layout as ever, and is kept as *runs* besides: of tables, the flushed table itself; of a B+Tree, a table of
//! the same entries; of both, the ranges that went before. The runs follow in their order, the last of them while no flush can come
//! between; then one edit of the manifest makes the new layout the keyspace's only one.
//!
//! Invariants: until that edit the manifest names nothing of the new layout, so a crash leaves files that the
//! next start removes; after it nothing of the old. New files go with their last handle until just before
//! the edit, old ones after it. Memtables are no part of it.

use luma_sync::atomic::Ordering;
use std::sync::Arc;

use super::Engine;
use crate::btree::{BTree, TreeFile, Watch};
use crate::key_range::KeyRanges;
use crate::keyspace::KeyspaceInner;
use crate::layout::Tree;
use crate::lsm::{HoledRun, Levels, RUNS};
use crate::manifest::Edit;
use crate::merge::{Merge, Source};
use crate::options::{Direction, Layout};
use crate::table::{RunCursor, Table, TableWriter};
use crate::{Error, Result};

/// How often runs are brought over while flushes go on.
const ROUNDS_MAX: usize = 8;
/// So little may be left for the time in which no flush goes on.
const LAST_BYTES: u64 = 4 << 20;
/// Tables written to tell how far it is.
const WATCH_EVERY: u64 = 1024;

/// How far a conversion is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConvertProgress {
    /// Keys that were copied.
    pub done_keys: u64,
    /// About how many there are.
    pub total_keys: u64,
}

/// What one flush left: first ranges go of what was there before, then entries come.
struct Run {
    erased: KeyRanges,
    table: Option<Arc<Table>>,
}

/// What was flushed since a conversion began.
#[derive(Default)]
pub(crate) struct Meanwhile {
    /// Oldest first.
    runs: Vec<Run>,
    failure: Option<Error>,
}

impl KeyspaceInner {
    /// Keeps what was flushed for the conversion that is under way, if one is. The caller holds `flushing`.
    pub(super) fn note_flushed(&self, erased: KeyRanges, table: Option<Arc<Table>>) {
        if let Some(meanwhile) = self.meanwhile.lock().as_mut()
            && (table.is_some() || !erased.is_empty())
        {
            meanwhile.runs.push(Run { erased, table });
        }
    }

    /// Ends the conversion that is under way.
    pub(super) fn fail_conversion(&self, error: Error) {
        if let Some(meanwhile) = self.meanwhile.lock().as_mut() {
            meanwhile.failure.get_or_insert(error);
        }
    }

    fn take_runs(&self) -> Result<Vec<Run>> {
        let mut meanwhile = self.meanwhile.lock();
        let Some(meanwhile) = meanwhile.as_mut() else { return Ok(Vec::new()) };
        match meanwhile.failure.clone() {
            Some(failure) => Err(failure),
            None => Ok(std::mem::take(&mut meanwhile.runs)),
        }
    }

    fn waiting_bytes(&self) -> u64 {
        let meanwhile = self.meanwhile.lock();
        let runs = meanwhile.iter().flat_map(|meanwhile| &meanwhile.runs);
        runs.filter_map(|run| run.table.as_ref()).map(|table| table.meta.bytes_with_blobs()).sum()
    }
}

/// Closes the list of runs whatever happens.
struct Noting<'a>(&'a KeyspaceInner);

impl Drop for Noting<'_> {
    fn drop(&mut self) {
        *self.0.meanwhile.lock() = None;
    }
}

fn keys_in(tree: &Tree) -> u64 {
    let in_tables = |table: &Arc<Table>| table.meta.entries.saturating_sub(table.meta.tombstones);
    tree.btree().map_or(0, |tree| tree.entries)
        + tree.tables().map(|(_, table)| in_tables(table)).sum::<u64>()
}

/// All of a tree, in order.
fn entries_of(keyspace: &KeyspaceInner, tree: &Tree) -> Result<Merge> {
    let mut sources = Vec::new();
    tree.add_sources(None, None, None, Direction::Forward, &mut sources)?;
    Merge::gathering(keyspace.merges.is_some(), sources, Direction::Forward, None)
}

/// Opens a table that goes with its last handle.
fn open_aside(engine: &Engine, writer: TableWriter) -> Result<Arc<Table>> {
    let table = engine.open_table(writer.finish()?)?;
    table.set_obsolete();
    Ok(table)
}

impl Engine {
    pub(crate) fn convert(
        &self,
        keyspace: &KeyspaceInner,
        layout: Layout,
        progress: &mut dyn FnMut(ConvertProgress),
    ) -> Result<()> {
        let _one = self.converting.lock();
        let _alone = keyspace.rearranging.lock();
        self.check_writable()?;
        let (tree, _noting) = {
            let _turn = keyspace.flushing.lock();
            let tree = self.tree_of(keyspace).ok_or_else(|| keyspace.not_found())?;
            if tree.layout() == layout {
                return Ok(());
            }
            *keyspace.meanwhile.lock() = Some(Meanwhile::default());
            (tree, Noting(keyspace))
        };
        let total_keys = keys_in(&tree);
        let mut watch = |done_keys: u64| {
            progress(ConvertProgress { done_keys, total_keys: total_keys.max(done_keys) });
            self.check_writable().and_then(|()| keyspace.check())
        };
        watch(0)?;
        match layout {
            Layout::BTree => self.convert_to_btree(keyspace, &tree, &mut watch)?,
            Layout::Lsm => self.convert_to_tables(keyspace, &tree, &mut watch)?,
        }
        // Readers of the new layout hold it no more.
        drop(tree);
        self.schedule_merge(keyspace.id);
        self.run_inline_work()
    }

    fn convert_to_btree(&self, keyspace: &KeyspaceInner, from: &Tree, watch: Watch<'_>) -> Result<()> {
        let number = self.next_table.fetch_add(1, Ordering::Relaxed);
        let empty = TreeFile::open(&self.flush_vfs, &self.tables_directory(), number, 0, &self.cache)?;
        empty.file.set_obsolete();
        let mut tree = empty
            .prepare(&mut entries_of(keyspace, from)?, &KeyRanges::default(), &keyspace.keep_all(), watch)?
            .install()?;
        let mut rounds = 0;
        while keyspace.waiting_bytes() > LAST_BYTES && rounds < ROUNDS_MAX {
            tree = apply(keyspace, &tree, watch)?;
            rounds += 1;
        }
        let _turn = keyspace.flushing.lock();
        let _merges = keyspace.compacting.lock();
        // Nobody outside is told now: what they would do may wait for a flush.
        let tree = apply(keyspace, &tree, &mut |_| self.check_writable())?;
        let edit = Edit::Convert {
            keyspace: keyspace.id,
            layout: Layout::BTree,
            tree: tree.file.number(),
            generation: tree.generation,
            tables: Vec::new(),
        };
        let file = Arc::clone(&tree.file);
        self.replace_tree(keyspace, vec![edit], Tree::BTree(tree), &|| file.keep())
    }

    fn convert_to_tables(&self, keyspace: &KeyspaceInner, from: &Tree, watch: Watch<'_>) -> Result<()> {
        let mut entries = entries_of(keyspace, from)?;
        let mut tables: Vec<(usize, Arc<Table>)> = Vec::new();
        let mut writer: Option<TableWriter> = None;
        let mut copied = 0;
        loop {
            entries.load()?;
            let Some(key) = entries.key() else { break };
            if let Some(value) = entries.value() {
                let open = match &mut writer {
                    Some(open) => open,
                    None => writer.insert(self.new_table(keyspace)?),
                };
                open.add(key, Some(value))?;
                copied += 1;
                if open.is_full(self.options.table_bytes)
                    && let Some(full) = writer.take()
                {
                    tables.push((RUNS, open_aside(self, full)?));
                }
                if copied % WATCH_EVERY == 0 {
                    watch(copied)?;
                }
            }
            entries.advance()?;
        }
        if let Some(last) = writer {
            tables.push((RUNS, open_aside(self, last)?));
        }
        let _turn = keyspace.flushing.lock();
        let _merges = keyspace.compacting.lock();
        let runs = keyspace.take_runs()?;
        self.sync_tables()?;
        let mut levels = Levels::default().changed(&tables, &[]);
        for Run { erased, table } in runs {
            // Tables of which nothing is left go with their handles.
            levels = levels.erased(&erased).0;
            if let Some(table) = table {
                levels = levels.changed(&[(0, table)], &[]);
            }
        }
        let edit = Edit::Convert {
            keyspace: keyspace.id,
            layout: Layout::Lsm,
            tree: 0,
            generation: 0,
            tables: levels.tables().map(|(level, table)| (level, table.meta.clone())).collect(),
        };
        let holes = levels.tables().filter_map(|(_, table)| {
            let ranges = levels.holes_of(table.meta.id)?.clone();
            Some(Edit::Holes { keyspace: keyspace.id, table: table.meta.id, ranges })
        });
        let edits = std::iter::once(edit).chain(holes).collect();
        let kept: Vec<Arc<Table>> = levels.tables().map(|(_, table)| Arc::clone(table)).collect();
        self.replace_tree(keyspace, edits, Tree::Lsm(levels), &|| kept.iter().for_each(|table| table.keep()))
    }

    /// Makes another tree the keyspace's, durably and for new readers at once. The caller holds `flushing`
    /// and `compacting`.
    fn replace_tree(
        &self,
        keyspace: &KeyspaceInner,
        edits: Vec<Edit>,
        next: Tree,
        keep: &dyn Fn(),
    ) -> Result<()> {
        let mut manifest = self.manifest.lock();
        self.check_writable()?;
        keyspace.check()?;
        // An edit that fails may be durable all the same: from here on the new files stay.
        keep();
        manifest.commit(&edits).map_err(|error| self.fail(error))?;
        let next = Arc::new(next);
        let mut before = None;
        self.change_view(|view| {
            view.change(keyspace.slot, keyspace.id, |keyspace| {
                before = Some(std::mem::replace(&mut keyspace.tree, Arc::clone(&next)));
            });
        });
        if let Some(before) = before {
            before.set_obsolete();
        }
        Ok(())
    }
}

/// A tree with what was flushed meanwhile merged into it.
fn apply(keyspace: &KeyspaceInner, tree: &Arc<BTree>, watch: Watch<'_>) -> Result<Arc<BTree>> {
    let mut tree = Arc::clone(tree);
    // The oldest first.
    let mut runs = keyspace.take_runs()?.into_iter().peekable();
    while let Some(Run { erased, table }) = runs.next() {
        // Those that take nothing away can follow in the same checkpoint.
        let mut tables: Vec<Arc<Table>> = table.into_iter().collect();
        while let Some(Run { table, .. }) = runs.next_if(|run| run.erased.is_empty()) {
            tables.extend(table);
        }
        let sources = tables.into_iter().rev().map(|newest| {
            let run = RunCursor::new(Arc::from([newest]), Direction::Forward, false);
            Source::Run(HoledRun::new(run, Arc::default(), Direction::Forward))
        });
        let merges = keyspace.merges.is_some();
        let mut changes = Merge::gathering(merges, sources.collect(), Direction::Forward, None)?;
        tree = tree.prepare(&mut changes, &erased, &keyspace.keep_all(), watch)?.install()?;
    }
    Ok(tree)
}
