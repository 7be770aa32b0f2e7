//! The B+Tree layout: one file per keyspace, for data that is read more than written.
//!
//! A flush is a checkpoint: the memtable is merged into the leaves it touches, changed nodes are written
//! to free pages up to the root, and then one of two root slots is replaced. So a tree in use is never
//! changed, and a crash finds the checkpoint before or the one after.
//!
//! Invariants: a node is written before the slot that reaches it, each synced before the next; a parent
//! holds the checksum of its children, so lost and misplaced writes are noticed, too. The manifest knows
//! a generation that must be there. Inner nodes are in memory; leaves come and go through the cache.
//! Cost: a point read searches one node per level and reads at most one leaf; a checkpoint writes a page
//! per leaf it touches.

mod checkpoint;
mod cursor;
mod file;
mod node;
mod pack;
mod pages;
mod slot;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use luma_vfs::VfsFile;

use crate::cache::BlockSlots;
use crate::{Error, Result};
pub(crate) use checkpoint::Prepared;
pub(crate) use cursor::TreeCursor;
pub(crate) use file::{TreeFile, id_of};
use node::{Node, Place};
use pages::PAGE_BYTES;

/// Leaves by page, in parts that trees share.
type Segment = Arc<BlockSlots<Node>>;
const SEGMENT_PAGES: usize = 1024;
/// The last part is at least so long, and no longer than twice what is needed.
const SEGMENT_PAGES_MIN: usize = 16;

/// An inner node and all below it but the leaves.
pub(super) struct Inner {
    place: Place,
    node: Node,
    /// Empty where the children are leaves.
    children: Vec<Arc<Inner>>,
    /// Leaves below.
    leaves: u64,
}

/// What a tree begins with.
#[derive(Clone)]
enum Root {
    Empty,
    Leaf(Place),
    Inner(Arc<Inner>),
}

/// A tree as one checkpoint left it.
pub(crate) struct BTree {
    pub(crate) generation: u64,
    root: Root,
    pub(crate) entries: u64,
    /// Length of the file when it was made.
    pub(crate) bytes: u64,
    segments: Arc<[Segment]>,
    /// None as long as there is no checkpoint.
    handle: Option<Arc<dyn VfsFile>>,
    pub(crate) file: Arc<TreeFile>,
}

impl BTree {
    fn path(&self) -> PathBuf {
        self.file.path()
    }

    /// The leaf at a place, from the cache if it is there; `keep` puts it there if it is not.
    #[inline]
    fn leaf(&self, place: Place, keep: bool) -> Result<Arc<Node>> {
        let page = place.page as usize;
        let segment = self.segments.get(page / SEGMENT_PAGES);
        if let Some(segment) = segment
            && let Some(found) = segment.get(page % SEGMENT_PAGES).as_ref()
        {
            return Ok(Arc::clone(found));
        }
        let node = Arc::new(self.read(place, true)?);
        if let Some(segment) = segment.filter(|_| keep) {
            segment.put(segment, page % SEGMENT_PAGES, &node);
        }
        Ok(node)
    }

    fn read(&self, place: Place, leaf: bool) -> Result<Node> {
        let Some(handle) = &self.handle else {
            return Err(Error::corruption(&self.path(), 0, "the tree has no file"));
        };
        file::read_node(handle.as_ref(), &self.path(), place, leaf)
    }

    /// Hands the value of a key to `use_value`; gives the function back when the key is not here.
    #[inline]
    pub(crate) fn get<R, F: FnOnce(Option<&[u8]>) -> R>(
        &self,
        key: &[u8],
        use_value: F,
    ) -> Result<std::result::Result<R, F>> {
        let place = match &self.root {
            Root::Empty => return Ok(Err(use_value)),
            Root::Leaf(place) => *place,
            Root::Inner(inner) => {
                let mut inner = inner;
                loop {
                    let at = inner.node.child_of(key);
                    match inner.children.get(at) {
                        Some(child) => inner = child,
                        None => break inner.node.place(at),
                    }
                }
            }
        };
        let page = place.page as usize;
        if let Some(segment) = self.segments.get(page / SEGMENT_PAGES)
            && let Some(leaf) = segment.get(page % SEGMENT_PAGES).as_ref()
        {
            return Ok(get_in_leaf(leaf, key, use_value));
        }
        let leaf = self.leaf(place, true)?;
        Ok(get_in_leaf(&leaf, key, use_value))
    }

    /// Whether there are keys between two keys, both included.
    pub(crate) fn overlaps(self: &Arc<Self>, first: &[u8], last: &[u8]) -> Result<bool> {
        let mut cursor = TreeCursor::new(Arc::clone(self), crate::Direction::Forward, true);
        cursor.seek(first)?;
        Ok(cursor.key().is_some_and(|key| key <= last))
    }

    /// How many leaves there are.
    pub(crate) fn leaves(&self) -> u64 {
        match &self.root {
            Root::Empty => 0,
            Root::Leaf(_) => 1,
            Root::Inner(inner) => inner.leaves,
        }
    }

    /// How many leaves end before `key`.
    pub(crate) fn leaves_before(&self, key: &[u8]) -> u64 {
        let Root::Inner(mut inner) = self.root.clone() else { return 0 };
        let mut before = 0;
        loop {
            let at = inner.node.child_of(key);
            before += inner.leaves_before(at);
            let Some(child) = inner.children.get(at).cloned() else { return before };
            inner = child;
        }
    }

    /// A key not before any of the leaves up to one, and before those after it. `None` for the last.
    pub(crate) fn key_after(&self, leaf: u64) -> Option<Vec<u8>> {
        let mut wanted = leaf + 1;
        let Root::Inner(mut inner) = self.root.clone() else { return None };
        if wanted >= inner.leaves {
            return None;
        }
        let mut key = Vec::new();
        loop {
            let mut at = 0;
            while let Some(child) = inner.children.get(at)
                && wanted >= child.leaves
            {
                wanted -= child.leaves;
                at += 1;
            }
            if inner.children.is_empty() {
                at = wanted as usize;
            }
            if at > 0 {
                key = inner.node.key(at);
            }
            let Some(child) = inner.children.get(at).cloned() else { return Some(key) };
            inner = child;
        }
    }

    /// Reads every node from the file and checks checksums, order and counts; calls `progress` with the
    /// bytes of each leaf.
    pub(crate) fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<()> {
        let mut last: Option<Vec<u8>> = None;
        let mut entries = 0;
        let mut stack: Vec<(Arc<Inner>, usize)> = Vec::new();
        let mut next = match &self.root {
            Root::Empty => None,
            Root::Leaf(place) => Some(*place),
            Root::Inner(inner) => {
                self.read(inner.place, false)?;
                stack.push((Arc::clone(inner), 0));
                None
            }
        };
        loop {
            if let Some(place) = next.take() {
                let leaf = self.read(place, true)?;
                if leaf.count() != place.entries as usize {
                    let offset = u64::from(place.page) * PAGE_BYTES as u64;
                    let what = format!("a leaf has {} keys, it should have {}", leaf.count(), place.entries);
                    return Err(Error::corruption(&self.path(), offset, what));
                }
                for at in 0..leaf.count() {
                    let key = leaf.key(at);
                    if last.as_ref().is_some_and(|last| *last >= key) {
                        let offset = u64::from(place.page) * PAGE_BYTES as u64;
                        return Err(Error::corruption(&self.path(), offset, "keys do not ascend"));
                    }
                    last = Some(key);
                }
                entries += leaf.count() as u64;
                progress(u64::from(place.length));
            }
            let Some((inner, at)) = stack.pop() else { break };
            if at >= inner.node.count() {
                continue;
            }
            match inner.children.get(at) {
                Some(child) => {
                    let child = Arc::clone(child);
                    self.read(child.place, false)?;
                    stack.push((inner, at + 1));
                    stack.push((child, 0));
                }
                None => {
                    next = Some(inner.node.place(at));
                    stack.push((inner, at + 1));
                }
            }
        }
        if entries != self.entries {
            let what = format!("there are {entries} keys, there should be {}", self.entries);
            return Err(Error::corruption(&self.path(), 0, what));
        }
        Ok(())
    }
}

impl Inner {
    fn leaves_before(&self, at: usize) -> u64 {
        match self.children.get(..at) {
            Some(children) if !self.children.is_empty() => children.iter().map(|child| child.leaves).sum(),
            _ => at as u64,
        }
    }
}

#[inline]
fn get_in_leaf<R, F: FnOnce(Option<&[u8]>) -> R>(
    leaf: &Node,
    key: &[u8],
    use_value: F,
) -> std::result::Result<R, F> {
    match leaf.search(key) {
        (at, true) => Ok(use_value(Some(leaf.payload(at)))),
        _ => Err(use_value),
    }
}
