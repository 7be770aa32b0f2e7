//! Merging tables, one step at a time; a large one on as many threads as are not needed for other merges.
//!
//! Ranges may be deleted from the tables while they are merged: what a flush deletes meanwhile is noted, and
//! is deleted from the result before that counts.

use luma_sync::atomic::Ordering;
use std::panic::resume_unwind;
use std::sync::Arc;

use super::Engine;
use crate::Result;
use crate::key_range::{KeyRange, KeyRanges};
use crate::keyspace::KeyspaceInner;
use crate::layout::Tree;
use crate::lsm::{Compaction, CompactionPlan, Left, Output, left_of};
use crate::manifest::Edit;
use crate::options::CompactionStrategy;
use crate::table::{Table, TableMeta, TableOptions};

/// Steps in which a B+Tree's file is made short; each moves up to 64 MiB.
const SWEEPS_MAX: usize = 256;

impl Engine {
    /// Does the most urgent merge of a keyspace, and queues the next if there is one.
    pub(super) fn compact_step(&self, keyspace: &KeyspaceInner) -> Result<()> {
        let mut cursors = keyspace.compacting.lock();
        let Some(tree) = self.tree_to_merge(keyspace) else { return Ok(()) };
        // A B+Tree has nothing to merge.
        let Tree::Lsm(levels) = tree.as_ref() else { return Ok(()) };
        let strategy = *keyspace.strategy.lock();
        match levels.plan(&self.options, strategy, &mut cursors) {
            CompactionPlan::None => return Ok(()),
            CompactionPlan::Drop(oldest) => self.drop_tables(keyspace, &oldest)?,
            CompactionPlan::Move(table, level) => {
                let removed = [table.meta.id];
                self.replace_tables(keyspace, vec![(level, table)], &removed)?;
            }
            CompactionPlan::Merge(compaction) => self.merge(keyspace, compaction)?,
        }
        drop(cursors);
        self.schedule_merge(keyspace.id);
        Ok(())
    }

    /// Merges all tables of a keyspace into one level.
    pub(crate) fn compact_all(&self, keyspace: &KeyspaceInner) -> Result<()> {
        self.sweep(keyspace).map_err(|error| self.fail_unless_over(error))?;
        let _cursors = keyspace.compacting.lock();
        let tree = self.tree_to_merge(keyspace).ok_or_else(|| keyspace.not_found())?;
        // A B+Tree has nothing to merge.
        let Tree::Lsm(levels) = tree.as_ref() else { return Ok(()) };
        let strategy = *keyspace.strategy.lock();
        match levels.plan_all(strategy, !keyspace.keep().is_all()) {
            CompactionPlan::Merge(compaction) => self.merge(keyspace, compaction),
            CompactionPlan::Drop(oldest) => self.drop_tables(keyspace, &oldest),
            CompactionPlan::None | CompactionPlan::Move(..) => Ok(()),
        }
        .map_err(|error| self.fail_unless_over(error))
    }

    /// Lets whole tables go.
    fn drop_tables(&self, keyspace: &KeyspaceInner, oldest: &[Arc<Table>]) -> Result<()> {
        let removed: Vec<u64> = oldest.iter().map(|table| table.meta.id).collect();
        if self.replace_tables(keyspace, Vec::new(), &removed)? {
            for table in oldest {
                table.set_obsolete();
            }
            self.done.dropped_tables.fetch_add(removed.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Has a keyspace's tables merged in another way, durably.
    pub(crate) fn set_compaction(
        &self,
        keyspace: &KeyspaceInner,
        strategy: CompactionStrategy,
    ) -> Result<()> {
        self.check_writable()?;
        {
            let mut manifest = self.manifest.lock();
            keyspace.check()?;
            let edit = Edit::Compaction { keyspace: keyspace.id, strategy };
            manifest.commit(&[edit]).map_err(|error| self.fail(error))?;
            *keyspace.strategy.lock() = strategy;
        }
        self.look_at_debt();
        self.schedule_merge(keyspace.id);
        self.run_inline_work()
    }

    /// Makes the file of a B+Tree as short as its nodes allow, as far as no older tree is read.
    fn sweep(&self, keyspace: &KeyspaceInner) -> Result<()> {
        // A step that moves nodes is followed by one that gives their pages back.
        for _ in 0..SWEEPS_MAX {
            let _turn = keyspace.flushing.lock();
            let tree = self.tree_of(keyspace).ok_or_else(|| keyspace.not_found())?;
            let Some(btree) = tree.btree() else { return Ok(()) };
            let mut keep_going = |_| self.check_writable().and_then(|()| keyspace.check());
            let Some(prepared) = btree.sweep(&mut keep_going)? else { return Ok(()) };
            let mut manifest = self.manifest.lock();
            keyspace.check()?;
            self.done.compacted_bytes.fetch_add(prepared.written_bytes(), Ordering::Relaxed);
            let next = prepared.install()?;
            manifest.commit(&[Edit::Checkpoint {
                keyspace: keyspace.id,
                generation: next.generation,
                flushed: 0,
            }])?;
            self.change_view(|view| {
                view.change(keyspace.slot, keyspace.id, |keyspace| {
                    keyspace.tree = Arc::new(Tree::BTree(Arc::clone(&next)));
                });
            });
        }
        Ok(())
    }

    /// The stored data of a keyspace. The view is not held: it would pin memtables during a merge.
    pub(super) fn tree_of(&self, keyspace: &KeyspaceInner) -> Option<Arc<Tree>> {
        self.view().get(keyspace.slot, keyspace.id).map(|found| Arc::clone(&found.tree))
    }

    /// The same; what is deleted from it afterwards is noted.
    fn tree_to_merge(&self, keyspace: &KeyspaceInner) -> Option<Arc<Tree>> {
        let _manifest = self.manifest.lock();
        *keyspace.erased_meanwhile.lock() = Some(KeyRanges::default());
        self.view().get(keyspace.slot, keyspace.id).map(|found| Arc::clone(&found.tree))
    }

    fn merge(&self, keyspace: &KeyspaceInner, mut compaction: Compaction) -> Result<()> {
        compaction.keep = keyspace.keep();
        let mut options = self.table_options(&keyspace.options);
        options.filter.small = self.options.ribbon_filters && compaction.is_at_the_bottom();
        let helpers = self.background.take_free(keyspace.id, self.merges_max());
        let metas = self.merge_in_parts(keyspace, &compaction, options, helpers + 1);
        self.background.give_back(keyspace.id, helpers);
        let metas = metas?;
        self.sync_tables()?;
        let mut added = Vec::with_capacity(metas.len());
        for meta in metas {
            added.push((compaction.level, self.open_table(meta)?));
        }
        let inputs: Vec<Arc<Table>> = compaction.inputs().map(Arc::clone).collect();
        let is_new = |file: &u64| !inputs.iter().any(|table| table.meta.blobs.contains_key(file));
        let written = |(_, table): &(usize, Arc<Table>)| {
            let blobs = table.meta.blobs.iter().filter(|(file, _)| is_new(file));
            table.meta.bytes + blobs.map(|(_, uses)| uses.file.bytes).sum::<u64>()
        };
        let bytes = added.iter().map(written).sum();
        let removed: Vec<u64> = inputs.iter().map(|table| table.meta.id).collect();
        if self.replace_tables(keyspace, added, &removed)? {
            for table in &inputs {
                table.set_obsolete();
            }
            self.done.compactions.fetch_add(1, Ordering::Relaxed);
            self.done.compacted_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Merges into new tables, on so many threads at once if there is enough to do.
    fn merge_in_parts(
        &self,
        keyspace: &KeyspaceInner,
        compaction: &Compaction,
        options: TableOptions,
        threads: usize,
    ) -> Result<Vec<TableMeta>> {
        let keep_going = || self.check_writable().and_then(|()| keyspace.check());
        let output = Output {
            vfs: &self.merge_vfs,
            directory: &self.tables_directory(),
            options,
            table_bytes: self.options.table_bytes,
            next_id: &self.next_table,
        };
        let merge = |range: &KeyRange| compaction.run(range, &output, &keep_going);
        let ranges = compaction.ranges(threads, self.options.table_bytes);
        let Some((last, others)) = ranges.split_last() else { return Ok(Vec::new()) };
        let parts: Vec<Result<Vec<TableMeta>>> = std::thread::scope(|scope| {
            let helping: Vec<_> = others.iter().map(|range| scope.spawn(|| merge(range))).collect();
            let last = merge(last);
            let joined =
                helping.into_iter().map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic)));
            joined.chain([last]).collect()
        });
        let parts: Vec<Vec<TableMeta>> = parts.into_iter().collect::<Result<_>>()?;
        Ok(parts.concat())
    }

    /// Replaces tables by others, durably and for new readers at once; `false` when the keyspace was
    /// dropped meanwhile.
    pub(super) fn replace_tables(
        &self,
        keyspace: &KeyspaceInner,
        mut added: Vec<(usize, Arc<Table>)>,
        removed: &[u64],
    ) -> Result<bool> {
        let mut manifest = self.manifest.lock();
        let erased = keyspace.erased_meanwhile.lock().take().unwrap_or_default();
        if keyspace.check().is_err() {
            for (_, table) in &added {
                table.set_obsolete();
            }
            return Ok(false);
        }
        let mut holes = Vec::new();
        let known = manifest.state().keyspaces.get(&keyspace.id);
        added.retain(|(_, table)| {
            let id = table.meta.id;
            if removed.contains(&id) {
                // A table that moves, with its holes. It may have been deleted meanwhile.
                return known.is_some_and(|known| known.tables.contains_key(&id));
            }
            match left_of(&table.meta, None, &erased) {
                Left::All => true,
                Left::Part(left_out) => {
                    holes.push((id, left_out));
                    true
                }
                Left::Nothing => {
                    table.set_obsolete();
                    false
                }
            }
        });
        if let Some(tree) = self.tree_of(keyspace) {
            tree.changed(&added, removed).check_order()?;
        }
        let mut edits = vec![Edit::Tables {
            keyspace: keyspace.id,
            added: added.iter().map(|(level, table)| (*level, table.meta.clone())).collect(),
            removed: removed.to_vec(),
            flushed: 0,
        }];
        edits.extend(holes.iter().map(|(table, ranges)| Edit::Holes {
            keyspace: keyspace.id,
            table: *table,
            ranges: ranges.clone(),
        }));
        manifest.commit(&edits)?;
        self.change_view(|view| {
            view.change(keyspace.slot, keyspace.id, |keyspace| {
                keyspace.tree = Arc::new(keyspace.tree.changed(&added, removed).with_holes(&holes));
            });
        });
        self.look_at_debt();
        Ok(true)
    }
}
