//! Merging tables, one step at a time.

use luma_sync::atomic::Ordering;
use std::sync::Arc;

use super::Engine;
use crate::Result;
use crate::keyspace::KeyspaceInner;
use crate::layout::Tree;
use crate::lsm::{Compaction, CompactionPlan};
use crate::manifest::Edit;
use crate::table::Table;

/// Steps in which a B+Tree's file is made short; each moves up to 64 MiB.
const SWEEPS_MAX: usize = 256;

impl Engine {
    /// Does the most urgent merge of a keyspace, and queues the next if there is one.
    pub(super) fn compact_step(&self, keyspace: &KeyspaceInner) -> Result<()> {
        let mut cursors = keyspace.compacting.lock();
        let Some(tree) = self.tree_of(keyspace) else { return Ok(()) };
        // A B+Tree has nothing to merge.
        let Tree::Lsm(levels) = tree.as_ref() else { return Ok(()) };
        match levels.plan(&self.options, &mut cursors) {
            CompactionPlan::None => return Ok(()),
            CompactionPlan::Move(table, level) => {
                let removed = [table.meta.id];
                self.replace_tables(keyspace, vec![(level, table)], &removed)?;
            }
            CompactionPlan::Merge(compaction) => self.merge(keyspace, &compaction)?,
        }
        drop(cursors);
        self.schedule_merge(keyspace.id);
        Ok(())
    }

    /// Merges all tables of a keyspace into one level.
    pub(crate) fn compact_all(&self, keyspace: &KeyspaceInner) -> Result<()> {
        self.sweep(keyspace).map_err(|error| self.fail_unless_over(error))?;
        let _cursors = keyspace.compacting.lock();
        let tree = self.tree_of(keyspace).ok_or_else(|| keyspace.not_found())?;
        // A B+Tree has nothing to merge.
        let Tree::Lsm(levels) = tree.as_ref() else { return Ok(()) };
        let CompactionPlan::Merge(compaction) = levels.plan_all() else { return Ok(()) };
        self.merge(keyspace, &compaction).map_err(|error| self.fail_unless_over(error))
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

    fn merge(&self, keyspace: &KeyspaceInner, compaction: &Compaction) -> Result<()> {
        let keep_going = || self.check_writable().and_then(|()| keyspace.check());
        let metas = compaction.run(
            &self.vfs,
            &self.tables_directory(),
            self.table_options(keyspace.options),
            self.options.table_bytes,
            &self.next_table,
            &keep_going,
        )?;
        self.sync_tables()?;
        let mut added = Vec::with_capacity(metas.len());
        for meta in metas {
            added.push((compaction.level, self.open_table(meta)?));
        }
        let bytes = added.iter().map(|(_, table): &(usize, Arc<Table>)| table.meta.bytes).sum();
        let inputs: Vec<Arc<Table>> = compaction.inputs().map(Arc::clone).collect();
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

    /// Replaces tables by others, durably and for new readers at once; `false` when the keyspace was
    /// dropped meanwhile.
    pub(super) fn replace_tables(
        &self,
        keyspace: &KeyspaceInner,
        added: Vec<(usize, Arc<Table>)>,
        removed: &[u64],
    ) -> Result<bool> {
        let mut manifest = self.manifest.lock();
        if keyspace.check().is_err() {
            for (_, table) in &added {
                table.set_obsolete();
            }
            return Ok(false);
        }
        manifest.commit(&[Edit::Tables {
            keyspace: keyspace.id,
            added: added.iter().map(|(level, table)| (*level, table.meta.clone())).collect(),
            removed: removed.to_vec(),
            flushed: 0,
        }])?;
        self.change_view(|view| {
            view.change(keyspace.slot, keyspace.id, |keyspace| {
                keyspace.tree = Arc::new(keyspace.tree.changed(&added, removed));
            });
        });
        Ok(true)
    }
}
