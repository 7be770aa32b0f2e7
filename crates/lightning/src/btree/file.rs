//! A tree's file: finding the tree that the last checkpoint left, and reading nodes.

use luma_sync::atomic::{AtomicBool, Ordering};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use luma_sync::Mutex;
use luma_vfs::{Vfs, VfsFile};

use super::node::{Node, Place};
use super::pages::{FIRST_PAGE, PAGE_BYTES, Pages, Run};
use super::slot::{SLOT_BYTES, Slot};
use super::{BTree, Inner, Root, SEGMENT_PAGES, SEGMENT_PAGES_MIN, Segment};
use crate::cache::{BlockSlots, Cache};
use crate::{Error, Result};

/// What is wrong when a place is where no file is.
pub(super) const BEYOND: &str = "the node lies beyond the end of the file";

/// The name of a tree's file.
fn file_name(number: u64) -> String {
    format!("{number:010}.tree")
}

/// The number in the name of a tree's file.
pub(crate) fn id_of(name: &str) -> Option<u64> {
    name.strip_suffix(".tree")?.parse().ok()
}

/// What all trees of a keyspace share. The file goes with the last of them once it is obsolete.
pub(crate) struct TreeFile {
    pub(super) vfs: Arc<dyn Vfs>,
    pub(super) directory: PathBuf,
    /// Never given to another file, so readers of an older one are not disturbed.
    number: u64,
    cache: Arc<Cache>,
    obsolete: AtomicBool,
    pub(super) pages: Mutex<Pages>,
    /// Trees that may still be read.
    pub(super) trees: Mutex<Vec<Weak<BTree>>>,
}

impl TreeFile {
    /// The tree in the file of a number, of the generation that the manifest says; 0 for none. A newer one was
    /// never finished.
    pub(crate) fn open(
        vfs: &Arc<dyn Vfs>,
        directory: &Path,
        number: u64,
        generation: u64,
        cache: &Arc<Cache>,
    ) -> Result<Arc<BTree>> {
        let path = directory.join(file_name(number));
        let (slot, handle) = find_slot(vfs.as_ref(), &path, generation)?;
        let length = handle.as_ref().map_or(Ok(0), |handle| handle.len());
        let length = length.map_err(|error| Error::io(&path, error))?;
        let mut loading = Loading { path: &path, handle: handle.as_deref(), length, used: Vec::new() };
        let root = loading.root(&slot)?;
        let pages = Pages::of(loading.used)
            .ok_or_else(|| Error::corruption(&path, 0, "two nodes of the tree are in the same place"))?;
        let end = pages.end();
        let file = Arc::new(Self {
            vfs: Arc::clone(vfs),
            directory: directory.to_owned(),
            number,
            cache: Arc::clone(cache),
            obsolete: AtomicBool::new(false),
            pages: Mutex::new(pages),
            trees: Mutex::default(),
        });
        let tree = BTree {
            generation: slot.generation,
            root,
            entries: slot.entries,
            bytes: u64::from(end) * PAGE_BYTES as u64,
            segments: file.segments(&[], end),
            handle,
            file: Arc::clone(&file),
        };
        Ok(file.in_use(tree))
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.join(file_name(self.number))
    }

    /// Lets the file be removed when the last reader is done.
    pub(crate) fn set_obsolete(&self) {
        self.obsolete.store(true, Ordering::Release);
    }

    /// Takes that back.
    pub(crate) fn keep(&self) {
        self.obsolete.store(false, Ordering::Release);
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn cache_bytes(&self) -> usize {
        self.cache.capacity()
    }

    /// Whether the cache takes so much more without pushing anything out.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.cache.has_room(bytes)
    }

    /// Places in the cache for the leaves of so many pages, the first of them as they are.
    pub(super) fn segments(&self, known: &[Segment], end: u32) -> Arc<[Segment]> {
        let wanted = (end as usize).div_ceil(SEGMENT_PAGES);
        let part = |number: usize| {
            let pages = (end as usize).saturating_sub(number * SEGMENT_PAGES).next_power_of_two();
            let pages = pages.clamp(SEGMENT_PAGES_MIN, SEGMENT_PAGES);
            match known.get(number) {
                Some(segment) if segment.len() >= pages => Arc::clone(segment),
                // A small tree that grows finds its leaves in the file once more.
                _ => Arc::new(BlockSlots::new(Arc::clone(&self.cache), pages, 0)),
            }
        };
        (0..wanted.max(known.len())).map(part).collect()
    }

    /// Notes that a tree is read from now on.
    pub(super) fn in_use(&self, tree: BTree) -> Arc<BTree> {
        let tree = Arc::new(tree);
        let mut trees = self.trees.lock();
        trees.retain(|tree| tree.strong_count() > 0);
        trees.push(Arc::downgrade(&tree));
        tree
    }

    /// The generation of the oldest tree that is read.
    pub(super) fn oldest(&self) -> u64 {
        let trees = self.trees.lock();
        trees.iter().filter_map(Weak::upgrade).map(|tree| tree.generation).min().unwrap_or(0)
    }
}

impl Drop for TreeFile {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Acquire) {
            // A file that stays is removed at the next start.
            let _ = self.vfs.remove_file(&self.path());
        }
    }
}

/// The slot of a generation, and the open file; that of an empty tree before the first.
fn find_slot(vfs: &dyn Vfs, path: &Path, generation: u64) -> Result<(Slot, Option<Arc<dyn VfsFile>>)> {
    if generation == 0 {
        return Ok((Slot { generation: 0, height: 0, entries: 0, root: Place::default() }, None));
    }
    let missing =
        |what: &str| Error::corruption(path, 0, format!("checkpoint {generation} was made, and {what}"));
    let handle = vfs.open_write(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => missing("the file is missing"),
        _ => Error::io(path, error),
    })?;
    let io = |error| Error::io(path, error);
    let offset = generation % u64::from(FIRST_PAGE) * PAGE_BYTES as u64;
    if handle.len().map_err(io)? < offset + SLOT_BYTES as u64 {
        return Err(missing("the file ends before its root"));
    }
    let mut bytes = [0; SLOT_BYTES];
    handle.read_at(&mut bytes, offset).map_err(io)?;
    match Slot::decode(&bytes, path)?.filter(|slot| slot.generation == generation) {
        Some(slot) => Ok((slot, Some(handle))),
        None => Err(missing("its root can't be read")),
    }
}

/// Reads the inner nodes and notes what is used.
struct Loading<'a> {
    path: &'a Path,
    handle: Option<&'a dyn VfsFile>,
    length: u64,
    used: Vec<Run>,
}

impl Loading<'_> {
    fn note(&mut self, place: Place) -> Result<()> {
        let run = Run::of(place.page, place.length);
        let end = (u64::from(run.page) + u64::from(run.pages)) * PAGE_BYTES as u64;
        if run.page < FIRST_PAGE || end > self.length {
            let offset = u64::from(run.page) * PAGE_BYTES as u64;
            return Err(Error::corruption(
                self.path,
                offset,
                "a node of the tree lies beyond the file's end",
            ));
        }
        self.used.push(run);
        Ok(())
    }

    fn root(&mut self, slot: &Slot) -> Result<Root> {
        Ok(match slot.height {
            0 => Root::Empty,
            1 => {
                self.note(slot.root)?;
                Root::Leaf(slot.root)
            }
            height => Root::Inner(self.inner(slot.root, height)?),
        })
    }

    fn inner(&mut self, place: Place, height: u32) -> Result<Arc<Inner>> {
        self.note(place)?;
        let handle = self.handle.ok_or_else(|| Error::corruption(self.path, 0, "the tree has no file"))?;
        let node = read_node(handle, self.path, place, false)?;
        let mut children = Vec::new();
        for at in 0..node.count() {
            match height {
                2 => self.note(node.place(at))?,
                _ => children.push(self.inner(node.place(at), height - 1)?),
            }
        }
        Ok(Arc::new(Inner::new(place, node, children)))
    }
}

impl Inner {
    pub(super) fn new(place: Place, node: Node, children: Vec<Arc<Inner>>) -> Self {
        let lowest = children.is_empty();
        let below = children.iter().map(|child| child.leaves).sum();
        let leaves = if lowest { node.count() as u64 } else { below };
        let of_leaves = (0..node.count()).filter(|_| lowest).map(|at| node.place(at).page);
        let pages = of_leaves.chain(children.iter().map(|child| child.last_page));
        let last_page = pages.fold(place.page, u32::max);
        Self { place, node, children, leaves, last_page }
    }
}

/// Reads a node and checks it.
pub(super) fn read_node(handle: &dyn VfsFile, path: &Path, place: Place, leaf: bool) -> Result<Node> {
    let offset = place.offset();
    if handle.len().is_ok_and(|length| length < offset + u64::from(place.length)) {
        return Err(Error::corruption(path, offset, BEYOND));
    }
    let mut bytes = vec![0; place.length as usize];
    handle.read_at(&mut bytes, offset).map_err(|error| Error::io(path, error))?;
    node_of(bytes, path, place, leaf)
}

/// The node in the bytes at a place.
pub(super) fn node_of(bytes: Vec<u8>, path: &Path, place: Place, leaf: bool) -> Result<Node> {
    let damaged = |what| Error::corruption(path, place.offset(), what);
    if crc32c::crc32c(&bytes) != place.checksum {
        return Err(damaged("the node does not match the checksum that its parent has"));
    }
    Node::decode(bytes.into(), leaf).ok_or_else(|| damaged("the node is malformed"))
}
