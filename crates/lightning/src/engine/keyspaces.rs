//! Creating, finding and dropping keyspaces.

use luma_sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use crate::btree::TreeFile;
use crate::keyspace::KeyspaceInner;
use crate::layout::Tree;
use crate::lsm::Levels;
use crate::manifest::Edit;
use crate::merge_operator::Merges;
use crate::options::{KeyspaceOptions, Layout};
use crate::view::KeyspaceView;
use crate::{Error, Result};

/// The longest name of a keyspace.
const NAME_BYTES_MAX: usize = 1 << 10;

/// At least as long, in what the manifest can hold.
fn whole_millis(time: Duration) -> Duration {
    let millis = time.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

impl Engine {
    pub(crate) fn create_keyspace(&self, name: &str, options: KeyspaceOptions) -> Result<Arc<KeyspaceInner>> {
        if name.len() > NAME_BYTES_MAX {
            let (bytes, limit) = (name.len() as u64, NAME_BYTES_MAX as u64);
            return Err(Error::TooLarge { what: "a keyspace name", bytes, limit });
        }
        let options = KeyspaceOptions { ttl: options.ttl.map(whole_millis), ..options };
        if let Some(operator) = &options.merge_operator {
            if options.ttl.is_some() {
                return Err(Error::MergesExpire);
            }
            Merges::find(name, operator, &self.options.merge_operators).check()?;
        }
        self.check_writable()?;
        let mut manifest = self.manifest.lock();
        if self.names.lock().contains_key(name) {
            return Err(Error::KeyspaceExists { name: name.to_owned() });
        }
        let id = manifest.state().next_keyspace;
        let number = match options.layout {
            Layout::Lsm => 0,
            Layout::BTree => self.next_table.fetch_add(1, Ordering::Relaxed),
        };
        let edit = Edit::CreateKeyspace { id, name: name.to_owned(), options: options.clone(), tree: number };
        manifest.commit(&[edit]).map_err(|error| self.fail(error))?;
        let tree = match options.layout {
            Layout::Lsm => Tree::Lsm(Levels::default()),
            Layout::BTree => {
                let directory = self.tables_directory();
                let tree = TreeFile::open(&self.flush_vfs, &directory, number, 0, &self.cache);
                Tree::BTree(tree.map_err(|error| self.fail(error))?)
            }
        };
        let mut slot = 0;
        self.change_view(|view| {
            slot = view.add(KeyspaceView::new(id, Arc::new(tree), 0));
        });
        let inner = Arc::new(KeyspaceInner::new(id, slot, name, options).with(&self.options));
        self.names.lock().insert(Arc::clone(&inner.name), Arc::clone(&inner));
        Ok(inner)
    }

    pub(crate) fn keyspace(&self, name: &str) -> Option<Arc<KeyspaceInner>> {
        self.names.lock().get(name).cloned()
    }

    pub(crate) fn keyspace_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.names.lock().keys().map(ToString::to_string).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn keyspaces(&self) -> Vec<Arc<KeyspaceInner>> {
        let mut all: Vec<Arc<KeyspaceInner>> = self.names.lock().values().cloned().collect();
        all.sort_by_key(|keyspace| keyspace.id);
        all
    }

    pub(crate) fn by_id(&self, id: u64) -> Option<Arc<KeyspaceInner>> {
        self.names.lock().values().find(|keyspace| keyspace.id == id).cloned()
    }

    pub(crate) fn drop_keyspace(&self, name: &str) -> Result<()> {
        self.check_writable()?;
        let mut manifest = self.manifest.lock();
        let not_found = || Error::KeyspaceNotFound { name: name.to_owned() };
        let inner = self.keyspace(name).ok_or_else(not_found)?;
        manifest.commit(&[Edit::DropKeyspace { id: inner.id }]).map_err(|error| self.fail(error))?;
        inner.dropped.store(true, Ordering::Release);
        self.names.lock().remove(name);
        // Commits that are under way end before the memory is counted off.
        let commit = self.commit.lock();
        let last = self.view().get(inner.slot, inner.id).cloned();
        self.change_view(|view| view.remove(inner.slot, inner.id));
        if let Some(last) = last {
            let memory: usize = last.memtables().map(|table| table.written_bytes()).sum();
            self.memory.fetch_sub(memory, Ordering::Relaxed);
            last.tree.set_obsolete();
        }
        drop(commit);
        inner.shared_segments.lock().clear();
        self.look_at_debt();
        self.background.notify();
        Ok(())
    }
}
