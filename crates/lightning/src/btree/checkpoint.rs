//! A checkpoint: the next tree from this one and sorted changes.
//!
//! Subtrees whose keys are all deleted go without being read. Children that changes reach are taken apart and packed anew, together with changed neighbours; what
//! became small takes in the next child. All others stay where they are.
//!
//! Invariant: pages that the last durable tree or a tree in use has are not written. If anything fails,
//! the tree and its pages are as before.

use std::ops::Range;
use std::sync::Arc;

use luma_vfs::VfsFile;

use super::node::{Node, Place};
use super::pack::{Pack, Packed};
use super::pages::{PAGE_BYTES, Pages, Run, Sweep};
use super::slot::Slot;
use super::{BTree, Inner, Root, SEGMENT_PAGES};
use crate::keep::Keep;
use crate::key_range::KeyRanges;
use crate::merge::Merge;
use crate::merge_operator::Below;
use crate::options::Direction;
use crate::{Error, Result};

const WRITE_BYTES: usize = 256 << 10;
/// With each checkpoint, if a quarter of the file is free, up to 2 MiB move.
const BESIDES: Sweep = Sweep { free_pages_min: 64, share: 4, moved_pages_max: 512 };
/// When somebody asks for it.
const ASKED: Sweep = Sweep { free_pages_min: 4, share: 64, moved_pages_max: 1 << 14 };

/// A child of a node in the making.
#[derive(Clone)]
struct Child {
    separator: Vec<u8>,
    place: Place,
    /// None for a leaf.
    inner: Option<Arc<Inner>>,
}

/// The next tree, durable but for its slot.
pub(crate) struct Prepared {
    tree: BTree,
    pages: Pages,
    slot: Slot,
    handle: Arc<dyn VfsFile>,
    written_bytes: u64,
}

/// Is told now and then how many keys the tree in the making has; an error ends the checkpoint.
pub(crate) type Watch<'a> = &'a mut dyn FnMut(u64) -> Result<()>;

struct Checkpoint<'a> {
    tree: &'a BTree,
    watch: Watch<'a>,
    changes: &'a mut Merge,
    /// What goes before the changes come.
    erased: &'a KeyRanges,
    /// What stays of the changes, and of the leaves they reach.
    keep: &'a Keep,
    handle: Arc<dyn VfsFile>,
    pages: Pages,
    /// Nodes from this page on move to others.
    move_from: u32,
    left: Vec<Run>,
    entries: u64,
    /// Bytes of neighbouring pages that are not written yet, and where they go.
    out: Vec<u8>,
    out_page: u32,
    written_bytes: u64,
    /// New leaves for the cache: what was just written is likely to be read.
    fresh: Vec<(usize, Arc<Node>)>,
    fresh_bytes: usize,
}

impl BTree {
    /// Writes the tree without the keys of some ranges and then with these changes; it counts once it is
    /// installed. One at a time.
    pub(crate) fn prepare(
        self: &Arc<Self>,
        changes: &mut Merge,
        erased: &KeyRanges,
        keep: &Keep,
        watch: Watch<'_>,
    ) -> Result<Prepared> {
        let mut pages = self.file.pages.lock().clone();
        pages.reclaim(self.file.oldest());
        let move_from = pages.tail(BESIDES).unwrap_or(u32::MAX);
        self.prepare_moving(changes, erased, keep, watch, pages, move_from)
    }

    /// Writes the tree with its last nodes moved to free pages before them; `None` when that would not make
    /// the file shorter.
    pub(crate) fn sweep(self: &Arc<Self>, watch: Watch<'_>) -> Result<Option<Prepared>> {
        let mut pages = self.file.pages.lock().clone();
        pages.reclaim(self.file.oldest());
        let tail = pages.tail(ASKED);
        let is_long = self.bytes > u64::from(pages.end()) * PAGE_BYTES as u64;
        if tail.is_none() && !is_long || self.handle.is_none() {
            return Ok(None);
        }
        let mut nothing = Merge::new(Vec::new(), Direction::Forward, None)?;
        let move_from = tail.unwrap_or(u32::MAX);
        let (erased, keep) = (KeyRanges::default(), Keep::default());
        self.prepare_moving(&mut nothing, &erased, &keep, watch, pages, move_from).map(Some)
    }

    fn prepare_moving(
        self: &Arc<Self>,
        changes: &mut Merge,
        erased: &KeyRanges,
        keep: &Keep,
        watch: Watch<'_>,
        pages: Pages,
        move_from: u32,
    ) -> Result<Prepared> {
        let path = self.path();
        let file = &self.file;
        let io = |error| Error::io(&path, error);
        let handle = match &self.handle {
            Some(handle) => Arc::clone(handle),
            None => file.vfs.create(&path).map_err(io)?,
        };
        let mut checkpoint = Checkpoint {
            tree: self,
            watch,
            changes,
            erased,
            keep,
            handle: Arc::clone(&handle),
            pages,
            move_from,
            left: Vec::new(),
            entries: self.entries,
            out: Vec::new(),
            out_page: 0,
            written_bytes: 0,
            fresh: Vec::new(),
            fresh_bytes: 0,
        };
        let root = checkpoint.root()?;
        checkpoint.write_out()?;
        handle.sync_data().map_err(io)?;
        if self.handle.is_none() {
            file.vfs.sync_dir(&file.directory).map_err(|error| Error::io(&file.directory, error))?;
        }
        let Checkpoint { mut pages, left, entries, written_bytes, fresh, .. } = checkpoint;
        let generation = self.generation + 1;
        pages.leave(generation, left);
        let place = match &root {
            Root::Empty => Place::default(),
            Root::Leaf(place) => *place,
            Root::Inner(inner) => inner.place,
        };
        let slot = Slot { generation, height: height(&root), entries, root: place };
        let tree = Self {
            generation,
            root,
            entries,
            bytes: u64::from(pages.end()) * PAGE_BYTES as u64,
            segments: file.segments(&self.segments, pages.end()),
            handle: Some(Arc::clone(&handle)),
            file: Arc::clone(file),
        };
        for (page, leaf) in fresh {
            if let Some(segment) = tree.segments.get(page / SEGMENT_PAGES) {
                segment.keep(segment, page % SEGMENT_PAGES, &leaf);
            }
        }
        Ok(Prepared { tree, pages, slot, handle, written_bytes })
    }
}

fn height(root: &Root) -> u32 {
    match root {
        Root::Empty => 0,
        Root::Leaf(_) => 1,
        Root::Inner(inner) => {
            let (mut height, mut inner) = (2, inner);
            while let Some(child) = inner.children.first() {
                (height, inner) = (height + 1, child);
            }
            height
        }
    }
}

impl Prepared {
    /// Bytes of the nodes that were written.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Makes it the tree that a start finds.
    pub(crate) fn install(self) -> Result<Arc<BTree>> {
        let Self { tree, pages, slot, handle, .. } = self;
        let io = |error| Error::io(&tree.path(), error);
        handle.write_at(&slot.encode(), slot.generation % 2 * PAGE_BYTES as u64).map_err(io)?;
        handle.sync_data().map_err(io)?;
        // Pages after the last one in use are given back to the disk.
        if handle.len().map_err(io)? > tree.bytes {
            handle.set_len(tree.bytes).map_err(io)?;
        }
        let file = Arc::clone(&tree.file);
        *file.pages.lock() = pages;
        Ok(file.in_use(tree))
    }
}

impl Checkpoint<'_> {
    fn root(&mut self) -> Result<Root> {
        let mut children = match &self.tree.root {
            Root::Empty => {
                let (mut pack, mut children) = (Pack::new(true), Vec::new());
                pack.begin(&[]);
                self.take_changes(None, &mut pack, &mut children)?;
                self.finish(&mut pack, &mut children)?;
                children
            }
            Root::Leaf(place) => {
                let (mut pack, mut children) = (Pack::new(true), Vec::new());
                pack.begin(&[]);
                self.merge_leaf(*place, &[], None, &mut pack, &mut children)?;
                self.finish(&mut pack, &mut children)?;
                children
            }
            Root::Inner(inner) => {
                let inner = Arc::clone(inner);
                let children = self.children(&inner, &[], None)?;
                self.leave(inner.place);
                children
            }
        };
        while children.len() > 1 {
            let mut pack = Pack::new(false);
            let mut above = Vec::new();
            pack.begin(&[]);
            for child in children {
                self.push_child(&child, &mut pack, &mut above)?;
            }
            self.finish(&mut pack, &mut above)?;
            children = above;
        }
        let Some(Child { place, inner, .. }) = children.pop() else { return Ok(Root::Empty) };
        let Some(mut inner) = inner else { return Ok(Root::Leaf(place)) };
        // A root of one child is none.
        while inner.node.count() == 1 {
            self.leave(inner.place);
            match inner.children.first().cloned() {
                Some(child) => inner = child,
                None => return Ok(Root::Leaf(inner.node.place(0))),
            }
        }
        Ok(Root::Inner(inner))
    }

    /// The children that a node will have; keys below it are from `low` on and before `high`.
    fn children(&mut self, inner: &Inner, low: &[u8], high: Option<&[u8]>) -> Result<Vec<Child>> {
        let mut children = Vec::new();
        let mut pack = Pack::new(inner.children.is_empty());
        let mut separator = low.to_vec();
        for at in 0..inner.node.count() {
            let next = (at + 1 < inner.node.count()).then(|| inner.node.key(at + 1));
            let end = next.as_deref().or(high);
            let changed = self.change_before(end) || self.erased.first_between(&separator, end).is_some();
            let place = inner.node.place(at);
            let below = inner.children.get(at);
            let moves = below.map_or(place.page, |below| below.last_page) >= self.move_from;
            if !changed && !moves && !pack.wants_more() {
                self.finish(&mut pack, &mut children)?;
                children.push(Child { separator, place, inner: below.cloned() });
            } else {
                pack.begin(&separator);
                match below {
                    None => self.merge_leaf(place, &separator, end, &mut pack, &mut children)?,
                    Some(below) if !self.change_before(end) && self.erased.cover_until(&separator, end) => {
                        self.leave(place);
                        self.leave_below(below);
                    }
                    Some(below) => {
                        self.leave(place);
                        let merged = if changed || moves {
                            self.children(below, &separator, end)?
                        } else {
                            children_of(below, &separator)
                        };
                        for child in merged {
                            self.push_child(&child, &mut pack, &mut children)?;
                        }
                    }
                }
            }
            separator = next.unwrap_or_default();
        }
        self.finish(&mut pack, &mut children)?;
        if let Some(first) = children.first_mut() {
            // What came before it may be gone.
            first.separator = low.to_vec();
        }
        Ok(children)
    }

    fn change_before(&self, end: Option<&[u8]>) -> bool {
        self.changes.key().is_some_and(|key| end.is_none_or(|end| key < end))
    }

    /// Packs the changes before `end`.
    fn take_changes(&mut self, end: Option<&[u8]>, pack: &mut Pack, done: &mut Vec<Child>) -> Result<()> {
        while self.change_before(end) {
            self.changes.load()?;
            let Some(key) = self.changes.key() else { break };
            let keep = self.keep;
            let value = self.changes.value();
            if let Some(value) = value.and_then(|stored| keep.value(key, stored, || Below::Nothing)) {
                pack.push(&[], key, &value, None);
                self.entries += 1;
            }
            self.changes.advance()?;
            self.write_full(pack, done)?;
        }
        Ok(())
    }

    /// Packs a leaf, whose keys are from `low` on, with the changes before `end`.
    fn merge_leaf(
        &mut self,
        place: Place,
        low: &[u8],
        end: Option<&[u8]>,
        pack: &mut Pack,
        done: &mut Vec<Child>,
    ) -> Result<()> {
        self.leave(place);
        if self.erased.cover_until(low, end) {
            self.entries = self.entries.saturating_sub(u64::from(place.entries));
            return self.take_changes(end, pack, done);
        }
        let leaf = self.tree.leaf(place, false)?;
        let erased = self.erased_in(&leaf);
        let mut at = 0;
        while let Some(key) = self.changes.key().filter(|key| end.is_none_or(|end| *key < end)) {
            let (before, found) = leaf.search(key);
            self.push_entries(&leaf, at..before, &erased, pack, done)?;
            at = before + usize::from(found);
            self.changes.load()?;
            let Some(key) = self.changes.key() else { break };
            self.entries -= u64::from(found);
            let keep = self.keep;
            let is_left = found && !erased.iter().any(|erased| erased.contains(&before));
            let below = || {
                if is_left { Below::Stored(leaf.payload(before)) } else { Below::Nothing }
            };
            if let Some(value) = self.changes.value().and_then(|stored| keep.value(key, stored, below)) {
                pack.push(&[], key, &value, None);
                self.entries += 1;
            }
            self.changes.advance()?;
            self.write_full(pack, done)?;
        }
        self.push_entries(&leaf, at..leaf.count(), &erased, pack, done)
    }

    /// Which entries of a leaf are deleted.
    fn erased_in(&self, leaf: &Node) -> Vec<Range<usize>> {
        let Some(last) = leaf.count().checked_sub(1) else { return Vec::new() };
        let erased = self.erased.within(&leaf.key(0), &leaf.key(last));
        let end = |end: &Option<Vec<u8>>| end.as_ref().map_or(leaf.count(), |end| leaf.search(end).0);
        erased.iter().map(|range| leaf.search(&range.start).0..end(&range.end)).collect()
    }

    fn push_entries(
        &mut self,
        leaf: &Node,
        entries: Range<usize>,
        erased: &[Range<usize>],
        pack: &mut Pack,
        done: &mut Vec<Child>,
    ) -> Result<()> {
        for at in entries {
            if erased.iter().any(|erased| erased.contains(&at)) {
                self.entries -= 1;
                continue;
            }
            if self.keep.is_all() {
                pack.push(leaf.prefix(), leaf.rest(at), leaf.payload(at), None);
            } else {
                match self.keep.value(&leaf.key(at), leaf.payload(at), || Below::Nothing) {
                    Some(value) => pack.push(leaf.prefix(), leaf.rest(at), &value, None),
                    None => self.entries -= 1,
                }
            }
            self.write_full(pack, done)?;
        }
        Ok(())
    }

    fn push_child(&mut self, child: &Child, pack: &mut Pack, done: &mut Vec<Child>) -> Result<()> {
        pack.push(&[], &child.separator, &child.place.encode(), child.inner.as_ref());
        self.write_full(pack, done)
    }

    fn write_full(&mut self, pack: &mut Pack, done: &mut Vec<Child>) -> Result<()> {
        while let Some(full) = pack.take_full() {
            done.push(self.write(full, pack.is_leaf())?);
        }
        Ok(())
    }

    fn finish(&mut self, pack: &mut Pack, done: &mut Vec<Child>) -> Result<()> {
        while let Some(packed) = pack.take_rest() {
            done.push(self.write(packed, pack.is_leaf())?);
        }
        Ok(())
    }

    /// Leaves all that is below a node.
    fn leave_below(&mut self, inner: &Inner) {
        for at in 0..inner.node.count() {
            let place = inner.node.place(at);
            self.leave(place);
            match inner.children.get(at) {
                Some(below) => self.leave_below(below),
                None => self.entries = self.entries.saturating_sub(u64::from(place.entries)),
            }
        }
    }

    fn leave(&mut self, place: Place) {
        self.left.push(Run::of(place.page, place.length));
    }

    /// Gives a node its place and writes it, with others that follow it.
    fn write(&mut self, packed: Packed, leaf: bool) -> Result<Child> {
        let Packed { separator, bytes, count, children } = packed;
        let damaged = |what| Error::corruption(&self.tree.path(), 0, what);
        let full =
            || Error::TooLarge { what: "a keyspace", bytes: u64::MAX, limit: u64::from(u32::MAX) << 12 };
        let length = u32::try_from(bytes.len()).map_err(|_| full())?;
        let run = self.pages.take(Run::of(0, length).pages).ok_or_else(full)?;
        let entries = if leaf { count as u32 } else { 0 };
        let place = Place { page: run.page, length, checksum: crc32c::crc32c(&bytes), entries };
        let page = run.page as usize;
        if let Some(segment) = self.tree.segments.get(page / SEGMENT_PAGES) {
            segment.forget(page % SEGMENT_PAGES);
        }
        if self.out_page as usize + self.out.len() / PAGE_BYTES != page || self.out.len() >= WRITE_BYTES {
            self.write_out()?;
            self.out_page = run.page;
        }
        self.out.extend_from_slice(&bytes);
        self.out.resize(self.out.len().next_multiple_of(PAGE_BYTES), 0);
        let inner = if leaf {
            if self.tree.file.has_room(self.fresh_bytes + bytes.len()) {
                self.fresh_bytes += bytes.len();
                let leaf =
                    Node::decode(bytes.into(), true).ok_or_else(|| damaged("a new leaf is malformed"))?;
                self.fresh.push((page, Arc::new(leaf)));
            }
            None
        } else {
            let node = Node::decode(bytes.into(), false).ok_or_else(|| damaged("a new node is malformed"))?;
            Some(Arc::new(Inner::new(place, node, children)))
        };
        Ok(Child { separator, place, inner })
    }

    fn write_out(&mut self) -> Result<()> {
        if !self.out.is_empty() {
            let offset = u64::from(self.out_page) * PAGE_BYTES as u64;
            let written = self.handle.write_at(&self.out, offset);
            written.map_err(|error| Error::io(&self.tree.path(), error))?;
            self.written_bytes += self.out.len() as u64;
            self.out.clear();
            (self.watch)(self.entries)?;
        }
        Ok(())
    }
}

/// The children of a node as they are.
fn children_of(inner: &Inner, low: &[u8]) -> Vec<Child> {
    let child = |at: usize| Child {
        separator: if at == 0 { low.to_vec() } else { inner.node.key(at) },
        place: inner.node.place(at),
        inner: inner.children.get(at).cloned(),
    };
    (0..inner.node.count()).map(child).collect()
}
