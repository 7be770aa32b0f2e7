//! Walking a tree.

use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

use super::node::{Node, Place};
use super::{BTree, Inner, Root};
use crate::options::Direction;
use crate::{Error, Result};

/// A walk over a tree that is too large for the cache anyway puts one of so many parts of it there.
const CACHE_SHARE: usize = 8;
/// A walk reads up to so many leaves ahead, of so many bytes.
const AHEAD_MAX: usize = 32;
const AHEAD_BYTES: usize = 256 << 10;
/// Room for so much of a key after the prefix of its leaf, to begin with.
const KEY_RESERVED: usize = 64;

/// A place in a tree. It keeps the tree alive.
pub(crate) struct TreeCursor {
    tree: Arc<BTree>,
    direction: Direction,
    /// Whether leaves read from the file go to the cache.
    keep: bool,
    /// Bytes of the leaves it went through.
    passed: usize,
    /// Leaves that were read together with one before, by page; not those that were gone through.
    ahead: Vec<(u32, Arc<Node>)>,
    /// How many leaves the last such read was for: each that follows is for twice as many.
    window: usize,
    /// Which child was taken, from the root to the leaf.
    path: SmallVec<[u32; 8]>,
    leaf: Option<Arc<Node>>,
    at: usize,
    /// Of the entry here; its beginning is the leaf's prefix.
    key: Vec<u8>,
    /// Where in the leaf its value is.
    value: Range<usize>,
}

impl TreeCursor {
    pub(crate) fn new(tree: Arc<BTree>, direction: Direction, keep: bool) -> Self {
        Self {
            tree,
            direction,
            keep,
            passed: 0,
            ahead: Vec::new(),
            window: 0,
            path: SmallVec::new(),
            leaf: None,
            at: 0,
            key: Vec::new(),
            value: 0..0,
        }
    }

    #[inline]
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.leaf.as_ref().map(|_| self.key.as_slice())
    }

    #[inline]
    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.leaf.as_ref().map(|leaf| leaf.bytes_at(&self.value))
    }

    /// To the first entry in the cursor's direction.
    pub(crate) fn seek_first(&mut self) -> Result<()> {
        self.descend(None)?;
        self.enter_leaf();
        Ok(())
    }

    /// Forward: to the first key at or after `key`. Reverse: to the last at or before it.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.descend(Some(key))?;
        let Some(leaf) = &self.leaf else { return Ok(()) };
        let (before, found) = leaf.search(key);
        let at = match self.direction {
            Direction::Forward if before == leaf.count() => return self.next_leaf(),
            Direction::Reverse if before == 0 && !found => return self.next_leaf(),
            Direction::Reverse if !found => before - 1,
            Direction::Forward | Direction::Reverse => before,
        };
        self.enter_leaf_at(at);
        Ok(())
    }

    /// Like `seek`, from an entry before `key`. What it finds comes after that entry, or a damaged tree whose
    /// checksums match could send a walk around in circles.
    pub(crate) fn seek_on(&mut self, key: &[u8]) -> Result<()> {
        let before = self.path.clone();
        self.seek(key)?;
        let Some(here) = self.key() else { return Ok(()) };
        let goes_on = match self.direction {
            Direction::Forward => self.path >= before && here >= key,
            Direction::Reverse => self.path <= before && here <= key,
        };
        if goes_on { Ok(()) } else { Err(Error::corruption(&self.tree.path(), 0, "keys are not in order")) }
    }

    /// To no entry.
    pub(crate) fn finish(&mut self) {
        self.path.clear();
        self.leaf = None;
    }

    #[inline]
    pub(crate) fn advance(&mut self) -> Result<()> {
        let Some(leaf) = &self.leaf else { return Ok(()) };
        match self.direction {
            Direction::Forward if self.at + 1 < leaf.count() => self.place_at(self.at + 1),
            Direction::Reverse if self.at > 0 => self.place_at(self.at - 1),
            _ => return self.next_leaf(),
        }
        Ok(())
    }

    /// To the first entry of the leaf in the cursor's direction.
    fn enter_leaf(&mut self) {
        let Some(leaf) = &self.leaf else { return };
        self.enter_leaf_at(match self.direction {
            Direction::Forward => 0,
            Direction::Reverse => leaf.count() - 1,
        });
    }

    fn enter_leaf_at(&mut self, at: usize) {
        let Some(leaf) = &self.leaf else { return };
        self.key.clear();
        // Most keys fit, so that one allocation is enough.
        self.key.reserve(leaf.prefix().len() + KEY_RESERVED);
        self.key.extend_from_slice(leaf.prefix());
        self.place_at(at);
    }

    /// To an entry of the leaf, whose prefix is in the key already.
    #[inline]
    fn place_at(&mut self, at: usize) {
        if let Some(leaf) = &self.leaf {
            let (rest, value) = leaf.entry(at);
            self.at = at;
            self.key.truncate(leaf.prefix().len());
            self.key.extend_from_slice(rest);
            self.value = value;
        }
    }

    /// Opens the leaf for a key, or the first in the cursor's direction; none in an empty tree.
    fn descend(&mut self, key: Option<&[u8]>) -> Result<()> {
        self.path.clear();
        self.leaf = None;
        self.window = 0;
        let place = match &self.tree.root {
            Root::Empty => return Ok(()),
            Root::Leaf(place) => *place,
            Root::Inner(root) => descend_from(root, key, self.direction, &mut self.path),
        };
        self.open(place)
    }

    fn open(&mut self, place: Place) -> Result<()> {
        self.passed += place.length as usize;
        let cache = self.tree.file.cache_bytes();
        if self.keep && self.passed > cache / CACHE_SHARE {
            // What a long walk reads is of use to the next one only if the cache can hold all of it.
            self.keep = self.tree.bytes < cache as u64 / 2;
        }
        self.leaf = None;
        let read = self.ahead.iter().position(|(page, _)| *page == place.page);
        self.leaf = Some(match read {
            Some(read) => self.ahead.swap_remove(read).1,
            None => self.tree.leaf(place, self.keep)?,
        });
        Ok(())
    }

    /// Reads a leaf of a node together with those that follow it, unless it was read before.
    fn read_ahead(&mut self, inner: &Inner, next: usize) {
        let place = inner.node.place(next);
        let was_read = self.ahead.iter().any(|(page, _)| *page == place.page);
        if was_read || self.tree.cached(place).is_some() {
            return;
        }
        self.window = (self.window * 2).clamp(1, AHEAD_MAX);
        if self.window == 1 {
            return;
        }
        let following: &mut dyn Iterator<Item = usize> = match self.direction {
            Direction::Forward => &mut (next..inner.node.count()),
            Direction::Reverse => &mut (0..=next).rev(),
        };
        let mut bytes = 0;
        let places: Vec<Place> = following
            .take(self.window)
            .map(|at| inner.node.place(at))
            .take_while(|place| {
                bytes += place.length as usize;
                bytes <= AHEAD_BYTES
            })
            .filter(|place| self.tree.cached(*place).is_none())
            .collect();
        // What can't be read is told of when the walk comes to it.
        let Ok(leaves) = self.tree.load(&places, self.keep) else { return };
        self.ahead.clear();
        self.ahead.extend(places.iter().map(|place| place.page).zip(leaves));
    }

    /// To the first entry of the next leaf in the cursor's direction.
    fn next_leaf(&mut self) -> Result<()> {
        self.leaf = None;
        let tree = Arc::clone(&self.tree);
        let Root::Inner(root) = &tree.root else { return Ok(()) };
        while let Some(at) = self.path.pop() {
            // The path is as long as the tree is high, so walking down again is less than keeping the nodes.
            let inner = self.path.iter().try_fold(root, |inner, at| inner.children.get(*at as usize));
            let Some(inner) = inner else { return Ok(()) };
            let next = match self.direction {
                Direction::Forward => Some(at as usize + 1).filter(|at| *at < inner.node.count()),
                Direction::Reverse => (at as usize).checked_sub(1),
            };
            let Some(next) = next else { continue };
            self.path.push(next as u32);
            let place = match inner.children.get(next) {
                Some(child) => descend_from(child, None, self.direction, &mut self.path),
                None => {
                    self.read_ahead(inner, next);
                    inner.node.place(next)
                }
            };
            self.open(place)?;
            self.enter_leaf();
            return Ok(());
        }
        Ok(())
    }
}

/// Where the leaf for a key is, or the first in a direction, below a node; adds the children taken to `path`.
fn descend_from(
    inner: &Arc<Inner>,
    key: Option<&[u8]>,
    direction: Direction,
    path: &mut SmallVec<[u32; 8]>,
) -> Place {
    let mut inner = inner;
    loop {
        let at = match (key, direction) {
            (Some(key), _) => inner.node.child_of(key),
            (None, Direction::Forward) => 0,
            (None, Direction::Reverse) => inner.node.count() - 1,
        };
        path.push(at as u32);
        match inner.children.get(at) {
            Some(child) => inner = child,
            None => return inner.node.place(at),
        }
    }
}
