//! Converting a keyspace to the other layout while it is in use.
//!
//! The stored data is copied aside from a tree that stays as it is. What is flushed meanwhile goes to the old
//! layout as ever, and is kept as *runs* besides: of tables, the flushed tables themselves; of a B+Tree, a
//! table of the same entries. The runs follow in their order, the last of them while no flush can come
//! between; then one edit of the manifest makes the new layout the keyspace's only one.
//!
//! Invariants: until that edit the manifest names nothing of the new layout, so a crash leaves files that the
//! next start removes; after it nothing of the old. New files go with their last handle until just before
//! the edit, old ones after it. Memtables are no part of it.

use luma_sync::atomic::Ordering;
use std::sync::Arc;

use super::Engine;
use crate::btree::{BTree, TreeFile, Watch};
use crate::keyspace::KeyspaceInner;
use crate::layout::Tree;
use crate::lsm::{Levels, RUNS};
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

/// The tables of one flush, in key order and apart.
type Run = Arc<[Arc<Table>]>;

/// What was flushed since a conversion began.
#[derive(Default)]
pub(crate) struct Meanwhile {
    /// Oldest first.
    runs: Vec<Run>,
    failure: Option<Error>,
}

impl KeyspaceInner {
    /// Keeps what was flushed for the conversion that is under way, if one is. The caller holds `flushing`.
    pub(super) fn note_flushed(&self, run: Run) {
        if let Some(meanwhile) = self.meanwhile.lock().as_mut()
            && !run.is_empty()
        {
            meanwhile.runs.push(run);
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
        runs.flat_map(|run| run.iter()).map(|table| table.meta.bytes).sum()
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
fn entries_of(tree: &Tree) -> Result<Merge> {
    let mut sources = Vec::new();
    tree.add_sources(None, None, Direction::Forward, &mut sources);
    Merge::new(sources, Direction::Forward, None)
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
        let empty = TreeFile::open(&self.vfs, &self.tables_directory(), number, 0, &self.cache)?;
        empty.file.set_obsolete();
        let mut tree = empty.prepare(&mut entries_of(from)?, watch)?.install()?;
        let mut rounds = 0;
        while keyspace.waiting_bytes() > LAST_BYTES && rounds < ROUNDS_MAX {
            tree = apply(&tree, &keyspace.take_runs()?, watch)?;
            rounds += 1;
        }
        let _turn = keyspace.flushing.lock();
        let _merges = keyspace.compacting.lock();
        // Nobody outside is told now: what they would do may wait for a flush.
        let tree = apply(&tree, &keyspace.take_runs()?, &mut |_| self.check_writable())?;
        let edit = Edit::Convert {
            keyspace: keyspace.id,
            layout: Layout::BTree,
            tree: tree.file.number(),
            generation: tree.generation,
            tables: Vec::new(),
        };
        let file = Arc::clone(&tree.file);
        self.replace_tree(keyspace, edit, Tree::BTree(tree), &|| file.keep())
    }

    fn convert_to_tables(&self, keyspace: &KeyspaceInner, from: &Tree, watch: Watch<'_>) -> Result<()> {
        let mut entries = entries_of(from)?;
        let mut tables: Vec<(usize, Arc<Table>)> = Vec::new();
        let mut writer: Option<TableWriter> = None;
        let mut copied = 0;
        while let Some(key) = entries.key() {
            if let Some(value) = entries.value() {
                let open = match &mut writer {
                    Some(open) => open,
                    None => writer.insert(self.new_table(keyspace)?),
                };
                open.add(key, Some(value))?;
                copied += 1;
                if open.bytes() >= self.options.table_bytes
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
        tables.extend(runs.iter().flat_map(|run| run.iter()).map(|table| (0, Arc::clone(table))));
        self.sync_tables()?;
        let edit = Edit::Convert {
            keyspace: keyspace.id,
            layout: Layout::Lsm,
            tree: 0,
            generation: 0,
            tables: tables.iter().map(|(level, table)| (*level, table.meta.clone())).collect(),
        };
        let next = Tree::Lsm(Levels::default().changed(&tables, &[]));
        self.replace_tree(keyspace, edit, next, &|| tables.iter().for_each(|(_, table)| table.keep()))
    }

    /// Makes another tree the keyspace's, durably and for new readers at once. The caller holds `flushing`
    /// and `compacting`.
    fn replace_tree(&self, keyspace: &KeyspaceInner, edit: Edit, next: Tree, keep: &dyn Fn()) -> Result<()> {
        let mut manifest = self.manifest.lock();
        self.check_writable()?;
        keyspace.check()?;
        // An edit that fails may be durable all the same: from here on the new files stay.
        keep();
        manifest.commit(&[edit]).map_err(|error| self.fail(error))?;
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

/// A tree with runs, oldest first, merged into it.
fn apply(tree: &Arc<BTree>, runs: &[Run], watch: Watch<'_>) -> Result<Arc<BTree>> {
    if runs.is_empty() {
        return Ok(Arc::clone(tree));
    }
    let newest_first = runs.iter().rev();
    let sources =
        newest_first.map(|run| Source::Run(RunCursor::new(Arc::clone(run), Direction::Forward, false)));
    let mut changes = Merge::new(sources.collect(), Direction::Forward, None)?;
    tree.prepare(&mut changes, watch)?.install()
}
